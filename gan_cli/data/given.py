"""The sources of a translator, and those that are made from the images themselves."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from gan_cli import rng
from gan_cli.data.fit import GREY
from gan_cli.data.request import Decoded, Request, to_float
from gan_cli.data.stored import Hash, Result, Views
from gan_cli.errors import DataError, two_lines
from gan_cli.types import Fraction, NonNegative, Positive, PositiveInt


class Given(ABC):
    """The sources of a data set: the pictures that a translator draws from.

    Attributes:
        channels: Channels of the sources.
        scale: How many times larger an image is than its source.
        paired: Whether each source belongs to the image of the same row.
        names: File names of the sources, without ending; empty if they are made from the images.
    """

    channels: int
    scale: int = 1
    paired: bool = True
    names: tuple[str, ...] = ()

    def read(self, request: Request, images: Decoded) -> Decoded:
        """Reads the sources and returns the images that have one. Raises DataError."""
        return images

    def says(self) -> str:
        """How the sources were made, for the conventions of metrics; empty for files."""
        return ""

    @abstractmethod
    def keep(self, rows: Sequence[int]) -> None:
        """Keeps the sources of these images only."""

    @abstractmethod
    def place(self, seed: int, batch: int, flip: bool) -> None:
        """Fixes what batches depend on."""

    def reader(self, make: Callable[[int], Result]) -> Callable[[int], Result]:
        """`make`, with the next draws being made meanwhile where sources are read from files."""
        return make

    @abstractmethod
    def count(self, images: int) -> int:
        """The number of sources for that many images."""

    @abstractmethod
    def batch(
        self, size: tuple[int, int], index: Tensor, views: Views, draw: int, rank: int, world: int
    ) -> Callable[[Tensor], Tensor]:
        """Reads what the sources of a batch are made of, ahead of its step and in any thread.

        Args:
            size: H and W of the images.
            index, views: Which images these are, and which window of each is shown.

        Returns:
            Makes the sources `[N, C', H / scale, W / scale]` of the images `[N, C, H, W]`, both in [-1, 1].
        """

    @abstractmethod
    def preview(self, images: Tensor, index: Tensor, views: Views) -> Tensor:
        """The sources of images in a preview; always the same."""

    @abstractmethod
    def example(self, image: Tensor, i: int) -> Tensor:
        """The `i`-th source, whole, `[1, C', h, w]` in [-1, 1]; `image` is the whole image of that row."""

    @abstractmethod
    def enter(self, digest: Hash) -> None:
        """Adds everything that determines the sources to a digest."""


class Made(Given):
    """Sources made from the images themselves."""

    def keep(self, rows: Sequence[int]) -> None:
        pass

    def count(self, images: int) -> int:
        return images

    def place(self, seed: int, batch: int, flip: bool) -> None:
        self.seed = seed

    def batch(
        self, size: tuple[int, int], index: Tensor, views: Views, draw: int, rank: int, world: int
    ) -> Callable[[Tensor], Tensor]:
        return lambda images: self.make(images, rng.generator(self.seed, "given", draw, rank))

    def preview(self, images: Tensor, index: Tensor, views: Views) -> Tensor:
        return self.make(images, rng.generator("preview"))

    def example(self, image: Tensor, i: int) -> Tensor:
        return self.make(image, rng.generator("example", i))

    def enter(self, digest: Hash) -> None:
        digest.update(repr((type(self).__name__, sorted(self.settings().items()))).encode())

    def settings(self) -> dict[str, object]:
        """The settings that determine how a source is made."""
        return {name: value for name, value in vars(self).items() if name != "seed"}

    @abstractmethod
    def make(self, images: Tensor, source: torch.Generator) -> Tensor:
        """The sources of images `[N, C, H, W]` in [-1, 1]; random numbers come from `source`."""


class Smaller(Made):
    """The image `scale` times smaller, bicubic and antialiased: for super-resolution.

    Args:
        channels: Those of the images.
        scale: 2, 4 or 8, say; sides of images are cut to multiples of it.
    """

    def __init__(self, channels: PositiveInt = 3, scale: PositiveInt = 4) -> None:
        self.channels, self.scale = channels, scale

    def says(self) -> str:
        return f"made {self.scale} times smaller by torch's antialiased bicubic"

    def make(self, images: Tensor, source: torch.Generator) -> Tensor:
        size = [side // self.scale for side in images.shape[-2:]]
        small = F.interpolate(images.float(), size, mode="bicubic", antialias=True, align_corners=False)
        return quantised(small)


def quantised(images: Tensor) -> Tensor:
    """Images in [-1, 1] rounded to the 256 values that a file has."""
    return images.add(1).mul(127.5).round().clamp(0, 255).div(127.5).sub(1)


class Grey(Made):
    """The image without its colours (luma of ITU-R BT.601)."""

    def __init__(self, channels: PositiveInt = 1) -> None:
        _check_channels(channels, 1, "grey")
        self.channels = channels

    def make(self, images: Tensor, source: torch.Generator) -> Tensor:
        return grey(images)


def _check_channels(channels: int, wanted: int, name: str) -> None:
    if channels != wanted:
        raise DataError(two_lines(f"dataset.given.channels={channels}: given={name} has {wanted}", "leave it as it is"))


def grey(images: Tensor) -> Tensor:
    """Luma `[N, 1, H, W]` of images of 1 or 3 channels."""
    if images.shape[1] == 1:
        return images
    weights = torch.tensor(GREY, device=images.device, dtype=images.dtype).view(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True)


class Outline(Made):
    """Lines where the image's brightness changes: white on black, the gradient by Sobel's filters beyond a threshold.

    Args:
        threshold: The least change that is a line, of the range of values; the gradient of a step of full range is 1.
    """

    def __init__(self, channels: PositiveInt = 1, threshold: Fraction = 0.15) -> None:
        _check_channels(channels, 1, "outline")
        self.channels, self.threshold = channels, threshold

    def make(self, images: Tensor, source: torch.Generator) -> Tensor:
        across = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], device=images.device) / 8
        filters = torch.stack([across, across.T]).unsqueeze(1)
        slopes = F.conv2d(F.pad(grey(images).float(), (1, 1, 1, 1), mode="replicate"), filters)
        return slopes.norm(dim=1, keepdim=True).gt(self.threshold).float().mul(2).sub(1)


class Degraded(Made):
    """The image blurred, with noise, and out of a JPEG file: for restoration.

    Args:
        channels: Those of the images.
        blur: Standard deviation of a Gaussian, in pixels; 0 for none.
        noise: Standard deviation of normal noise, of the range of values.
        jpeg: Quality of the JPEG file, 1 to 100; 0 for none.
    """

    def __init__(
        self, channels: PositiveInt = 3, blur: NonNegative = 1.0, noise: NonNegative = 0.05, jpeg: int = 50
    ) -> None:
        if not 0 <= jpeg <= 100:
            raise DataError(two_lines(f"dataset.given.jpeg={jpeg} is not a quality", "give 1 to 100, or 0 for none"))
        self.channels, self.blur, self.noise, self.jpeg = channels, blur, noise, jpeg

    def make(self, images: Tensor, source: torch.Generator) -> Tensor:
        out = blurred(images, self.blur) if self.blur else images
        if self.noise:
            out = out + 2 * self.noise * torch.randn(out.shape, generator=source).to(out.device)
        return through_jpeg(out, self.jpeg) if self.jpeg else quantised(out)


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Convolved with a Gaussian, cut off at 3 sigma; edges are repeated."""
    radius = max(1, round(3 * sigma))
    place = torch.arange(-radius, radius + 1, device=images.device, dtype=torch.float32)
    weights = torch.exp(-(place**2) / (2 * sigma**2))
    line = (weights / weights.sum()).view(1, 1, 1, -1).expand(images.shape[1], 1, 1, -1)
    wide = F.pad(images.float(), (radius,) * 4, mode="replicate")
    once = F.conv2d(wide, line, groups=images.shape[1])
    return F.conv2d(once, line.transpose(2, 3), groups=images.shape[1])


def through_jpeg(images: Tensor, quality: int) -> Tensor:
    """Written as JPEG and read back."""
    pixels = images.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).cpu()
    back = []
    for picture in pixels:
        array = picture.permute(1, 2, 0).numpy()
        file = io.BytesIO()
        Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array).save(file, "JPEG", quality=quality)
        read = torch.from_numpy(np.array(Image.open(file)))
        back.append(read.unsqueeze(0) if read.ndim == 2 else read.permute(2, 0, 1))
    return to_float(torch.stack(back)).to(images.device)


class Mask(Made):
    """The image with a grey rectangle at a random place: for filling holes.

    Args:
        channels: Those of the images.
        part: The rectangle's sides, of the image's.
    """

    def __init__(self, channels: PositiveInt = 3, part: Positive = 0.5) -> None:
        if part > 1:
            raise DataError(two_lines(f"dataset.given.part={part}: the hole is part of the image", "give at most 1"))
        self.channels, self.part = channels, part

    def make(self, images: Tensor, source: torch.Generator) -> Tensor:
        out = images.clone()
        height, width = (max(1, round(side * self.part)) for side in images.shape[-2:])
        for i, (down, right) in enumerate(torch.rand(len(images), 2, generator=source).tolist()):
            top, left = int(down * (images.shape[-2] - height + 1)), int(right * (images.shape[-1] - width + 1))
            out[i, :, top : top + height, left : left + width] = 0
        return out
