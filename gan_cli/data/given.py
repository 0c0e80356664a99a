"""What a generator is given to draw from: made out of the image that it should draw, or other pictures."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from gan_cli import rng
from gan_cli.data.fit import GREY
from gan_cli.data.order import Shuffle
from gan_cli.data.request import Decoded, Request, fitted, to_float
from gan_cli.data.stored import Hash, Stored, Views, mirrored, stored
from gan_cli.errors import DataError, two_lines
from gan_cli.types import Fraction, NonNegative, Positive, PositiveInt


class Given(ABC):
    """What a data set gives beside its images.

    Attributes:
        channels: Of what is given.
        scale: How many times the image is larger than what is given.
        paired: Whether what is given belongs to the image of the same row.
    """

    channels: int
    scale: int = 1
    paired: bool = True

    def read(self, request: Request, images: Decoded) -> Decoded:
        """Reads what it needs; returns the images that have something given to them. Raises DataError."""
        return images

    @abstractmethod
    def keep(self, rows: Sequence[int]) -> None:
        """Takes note that only these of the images are used."""

    @abstractmethod
    def place(self, seed: int, batch: int, flip: bool) -> None:
        """Fixes what batches depend on, as those of the images do."""

    @abstractmethod
    def count(self, images: int) -> int:
        """How many pictures there are to draw from, of a data set of so many images."""

    @abstractmethod
    def batch(self, images: Tensor, index: Tensor, views: Views, draw: int, rank: int, world: int) -> Tensor:
        """What is given with a batch of images `[N, C, H, W]` in [-1, 1]: `[N, C', H / scale, W / scale]`, too.

        Args:
            index, views: Which of the images these are, and which part of them.
        """

    @abstractmethod
    def preview(self, images: Tensor, index: Tensor, views: Views) -> Tensor:
        """The same of images that are looked at, which never changes."""

    @abstractmethod
    def example(self, image: Tensor, i: int) -> Tensor:
        """The `i`-th, whole, `[1, C', h, w]` in [-1, 1]; `image` is the image of that row, whole."""

    @abstractmethod
    def enter(self, digest: Hash) -> None:
        """Adds what decides the pictures to a digest."""


class Made(Given):
    """Made out of the image itself."""

    def keep(self, rows: Sequence[int]) -> None:
        pass

    def count(self, images: int) -> int:
        return images

    def place(self, seed: int, batch: int, flip: bool) -> None:
        self.seed = seed

    def batch(self, images: Tensor, index: Tensor, views: Views, draw: int, rank: int, world: int) -> Tensor:
        return self.make(images, rng.generator(self.seed, "given", draw, rank))

    def preview(self, images: Tensor, index: Tensor, views: Views) -> Tensor:
        return self.make(images, rng.generator("preview"))

    def example(self, image: Tensor, i: int) -> Tensor:
        return self.make(image, rng.generator("example", i))

    def enter(self, digest: Hash) -> None:
        digest.update(repr((type(self).__name__, sorted(self.settings().items()))).encode())

    def settings(self) -> dict[str, object]:
        """What decides how it is made."""
        return {name: value for name, value in vars(self).items() if name != "seed"}

    @abstractmethod
    def make(self, images: Tensor, source: torch.Generator) -> Tensor:
        """What is given for images `[N, C, H, W]` in [-1, 1]; chance comes from `source`."""


class Smaller(Made):
    """The image `scale` times smaller, bicubic and antialiased: for super-resolution.

    Args:
        channels: Those of the images.
        scale: 2, 4 or 8, say; sides of images are cut to multiples of it.
    """

    def __init__(self, channels: PositiveInt = 3, scale: PositiveInt = 4) -> None:
        self.channels, self.scale = channels, scale

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
        raise DataError(f"dataset.given.channels={channels}: given={name} has {wanted}: leave it as it is")


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
            raise DataError(f"dataset.given.jpeg={jpeg} is no quality: give 1 to 100, or 0 for none")
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
            raise DataError(f"dataset.given.part={part}: the hole is part of the image, give at most 1")
        self.channels, self.part = channels, part

    def make(self, images: Tensor, source: torch.Generator) -> Tensor:
        out = images.clone()
        height, width = (max(1, round(side * self.part)) for side in images.shape[-2:])
        for i, (down, right) in enumerate(torch.rand(len(images), 2, generator=source).tolist()):
            top, left = int(down * (images.shape[-2] - height + 1)), int(right * (images.shape[-1] - width + 1))
            out[i, :, top : top + height, left : left + width] = 0
        return out


class Others(Given):
    """Other pictures: a partner for each image, or another domain.

    Args:
        source: `(Request) -> Decoded`, as that of the data set.
        channels: 1 or 3.
        paired: Whether each belongs to the image of the same name; images without a partner are refused.
        scale: How many times smaller they are than the images.
        root: Where they are; the data set's root when null.
    """

    def __init__(
        self,
        source: Callable[[Request], Decoded],
        channels: PositiveInt = 3,
        paired: bool = False,
        scale: PositiveInt = 1,
        root: str | None = None,
    ) -> None:
        if channels not in (1, 3):
            raise DataError(f"dataset.given.channels={channels}: images have 1 channel (grey) or 3 (colour)")
        self.source, self.channels, self.paired, self.scale, self.root = source, channels, paired, scale, root

    def read(self, request: Request, images: Decoded) -> Decoded:
        root = request.root if self.root is None else Path(self.root).expanduser()
        height, width = request.height // self.scale, request.width // self.scale
        wanted = replace(request, root=root, channels=self.channels, height=height, width=width)
        found = self.source(wanted)
        if self.paired:
            images, rows = _partners(images, found, request, root)
            found = found.taken(rows)
            if request.windows:
                _check_alike(images, found, self.scale)
        if len(found.images) < 1:
            raise DataError(two_lines(f"dataset.given.root={root} holds no image", "name another folder"))
        self.stored: Stored = stored(fitted(found.images, wanted))
        return images

    def keep(self, rows: Sequence[int]) -> None:
        if self.paired:
            self.stored = self.stored.rows(rows)

    def place(self, seed: int, batch: int, flip: bool) -> None:
        self.seed, self.flip = seed, flip
        self.order = Shuffle(len(self.stored), batch, rng.mix(seed, "given"), torch.device("cpu"))

    def count(self, images: int) -> int:
        return len(self.stored)

    def batch(self, images: Tensor, index: Tensor, views: Views, draw: int, rank: int, world: int) -> Tensor:
        if not self.paired:
            index = self.order(draw, rank, world)
            source = rng.generator(self.seed, "given views", draw, rank)
            views = Views.at_random(len(index), self.flip, source)
        return self._seen(images, index, views)

    def preview(self, images: Tensor, index: Tensor, views: Views) -> Tensor:
        if not self.paired:
            index = torch.arange(len(images)) * len(self.stored) // len(images)
        return self._seen(images, index, views)

    def _seen(self, images: Tensor, index: Tensor, views: Views) -> Tensor:
        size = (images.shape[-2] // self.scale, images.shape[-1] // self.scale)
        pictures = to_float(self.stored.windows(index, views, size).to(images.device, non_blocking=True))
        return mirrored(pictures, views.mirrored)

    def example(self, image: Tensor, i: int) -> Tensor:
        return to_float(self.stored.picture(i).unsqueeze(0).to(image.device))

    def enter(self, digest: Hash) -> None:
        digest.update(repr((self.paired, self.scale)).encode())
        self.stored.enter(digest)


def _partners(images: Decoded, found: Decoded, request: Request, root: Path) -> tuple[Decoded, list[int]]:
    """The images that have a partner, and the rows of their partners, by name. Raises DataError."""
    place = {name: i for i, name in enumerate(found.names)}
    mine = set(images.names)
    alone = [*(n for n in images.names if n not in place), *(n for n in found.names if n not in mine)]
    if not images.names or len(place) != len(found.names):
        raise DataError(
            two_lines(
                f"dataset.given.paired=true: images of {request.root} have no names of their own to find partners by",
                "give both of a pair the same name, each name once in its folder; or use dataset.given.paired=false",
            )
        )
    if alone:
        more = f" and {len(alone) - 1} more" if len(alone) > 1 else ""
        raise DataError(
            two_lines(
                f"{alone[0]}{more} has no partner: {len(images.names)} images in {request.root}, "
                f"{len(found.names)} in {root}",
                "give both of a pair the same name, and move away what has no partner",
            )
        )
    return images, [place[name] for name in images.names]


def _check_alike(images: Decoded, found: Decoded, scale: int) -> None:
    """Raises DataError for a pair of different sizes, whose windows would not show the same."""
    for name, image, other in zip(images.names, images.images, found.images, strict=True):
        (height, width), sides = image.shape[-2:], other.shape[-2:]
        if (height // scale, width // scale) != tuple(sides):
            what = f"dataset.windows=true: the pair {name} has {height} x {width} and {sides[0]} x {sides[1]} pixels"
            wanted = "one size" if scale == 1 else f"sizes that differ by dataset.given.scale={scale}"
            raise DataError(two_lines(what, f"give both {wanted}, or use dataset.load=... in place of windows"))
