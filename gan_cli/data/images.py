"""Image data sets: uint8 pictures that live where the work is, and the batches that show them."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from gan_cli import rng
from gan_cli.data.decoding import checked_levels
from gan_cli.data.fit import FITS
from gan_cli.data.given import Given
from gan_cli.data.order import Shuffle
from gan_cli.data.reading import checked_labels, read
from gan_cli.data.request import Decoded as Decoded
from gan_cli.data.request import Request as Request
from gan_cli.data.request import fitted
from gan_cli.data.request import to_float as to_float
from gan_cli.data.stored import CPU, OneSize, Views, mirrored, stored
from gan_cli.errors import DataError, two_lines, unknown
from gan_cli.types import Amount, Batch, Need, NonNegativeInt, PositiveInt, sample_shape

MOST_MEMORY = 2.0**40  # MiB; dataset.memory=inf is no number of bytes


class Read(NamedTuple):
    """What is read of a batch ahead of its step."""

    rows: Tensor  # int64 [N], which images
    views: Views  # which window of each
    pixels: Tensor  # uint8 [N, C, H, W]
    sources: Callable[[Tensor], Tensor] | None  # of the images that these become


class Images:
    """Decoded images, and their batches.

    Args:
        source: `(Request) -> Decoded`; a function of `gan_cli.data.sources`, or your own.
        root: Where the files are, or are downloaded to.
        split: train | test, by the source's names.
        resolution: Side, or [height, width]; images are fitted to it.
        channels: 1 or 3; images are converted.
        classes: Number of classes, 0 when unlabelled; checked against the labels.
        batch_size: Real images per update, over all devices.
        flip: Mirror each image left to right with probability ½.
        fit: crop | pad | stretch (see `gan_cli.data.fit`).
        download: Whether missing files may be fetched.
        strict: Whether an image that cannot be read is an error instead of a warning.
        limit: Keep only this many images, chosen by their content, evenly over the classes if there are labels.
        cache: Where decoded folders are kept.
        levels: `[low, high]`: the values in the files that become black and white, for files that do not say.
        load: Side, or [height, width], that images are kept at; a batch shows random windows of `resolution`. The
            resolution itself when null.
        windows: Images keep the size of their files; a batch shows random windows of `resolution`.
        given: The sources that a translator draws the images from.
        memory: MiB of decoded files that are held in memory; of a larger set only what is shown is read, unless a GPU
            has room for all of it.
        stream: Pictures stay in their files and are decoded whenever they are shown; nothing decoded is kept.
        disk: GiB of shards of another machine that are kept on this one; the pictures of the others are asked for
            whenever they are shown.

    Raises:
        DataError: There is nothing, there are too few images, or the labels contradict `classes`.
    """

    def __init__(
        self,
        source: Callable[[Request], Decoded],
        root: str,
        resolution: PositiveInt | Sequence[PositiveInt],
        channels: int = 3,
        classes: NonNegativeInt = 0,
        batch_size: PositiveInt = 64,
        split: str = "train",
        flip: bool = False,
        fit: str = "crop",
        download: bool = True,
        strict: bool = False,
        limit: PositiveInt | None = None,
        cache: str = "~/.cache/gan/decoded",
        levels: tuple[float, float] | None = None,
        load: PositiveInt | Sequence[PositiveInt] | None = None,
        windows: bool = False,
        given: Given | None = None,
        memory: Amount = 256,
        stream: bool = False,
        disk: Amount = math.inf,
    ) -> None:
        if channels not in (1, 3):
            what = f"dataset.channels={channels}: no image has so many channels"
            raise DataError(two_lines(what, "give 1 (grey) or 3 (colour)"))
        if disk < math.inf and not stream:
            what = f"dataset.disk={disk:g} is for shards, and dataset.stream=false keeps their decoded pictures as well"
            raise DataError(two_lines(what, "set dataset.stream=true, or leave dataset.disk out"))
        if fit not in FITS:
            raise DataError(unknown(f"dataset.fit={fit}", FITS))
        self.shape = sample_shape(channels, resolution)
        if len(self.shape) != 3:
            raise DataError(
                two_lines(
                    f"dataset.resolution={resolution} is not the size of an image", "give a side, or [height,width]"
                )
            )
        self.classes = classes
        self.batch_size = batch_size
        self.flip = flip
        self.given = given
        self._check_sizes(load, windows)
        _, height, width = self.shape if load is None else sample_shape(channels, load)
        request = Request(
            root=Path(),
            split=split,
            download=download,
            strict=strict,
            channels=channels,
            height=height,
            width=width,
            fit=FITS[fit],
            cache=Path(os.path.expanduser(cache)),
            levels=checked_levels(levels, "dataset.levels"),
            windows=windows,
            memory=round(min(memory, MOST_MEMORY) * 2**20),
            stream=stream,
            disk=disk * 2**30,
        ).at(root)
        decoded = read(source, request, given, limit, classes)
        self.described = decoded.described
        self.cropped = windows or load is not None
        if len(decoded.images) < (1 if self.cropped else 2):
            what = f"dataset.root={root} has {len(decoded.images)} images"
            raise DataError(two_lines(what, "a GAN needs at least 2: add some, or name another folder"))
        self.stored, self.labels = stored(fitted(decoded.images, request)), checked_labels(decoded, classes)
        self.names = decoded.names
        self.class_names = decoded.class_names
        self.place(torch.device("cpu"), seed=0)

    def _check_sizes(self, load: int | Sequence[int] | None, windows: bool) -> None:
        """Raises DataError if no window of the resolution can be cut out, or if a source would not have whole sides."""
        sides = self.shape[1:]
        if load is not None and windows:
            what = f"dataset.load={load} scales images, dataset.windows=true keeps their size"
            raise DataError(two_lines(what, "use one of them"))
        if load is not None and any(a > b for a, b in zip(sides, sample_shape(1, load)[1:], strict=True)):
            what = f"dataset.load={load} is smaller than dataset.resolution={sides}"
            raise DataError(two_lines(what, "raise it, or leave it out"))
        if self.given is not None and any(side % self.given.scale for side in sides):
            scale = self.given.scale
            what = f"dataset.resolution={sides} is not a multiple of dataset.given.scale={scale}"
            raise DataError(two_lines(what, "change one of them"))

    @property
    def provides(self) -> frozenset[str]:
        """What a batch holds in addition to images and labels."""
        if self.given is None:
            return frozenset()
        return frozenset({Need.GIVEN, Need.PAIRS} if self.given.paired else {Need.GIVEN})

    @property
    def images(self) -> Tensor:
        """All images as they are previewed, uint8 `[N, C, H, W]`."""
        if isinstance(self.stored, OneSize) and not self.cropped:
            return self.stored.images
        return self.kept(torch.arange(len(self)))

    def kept(self, rows: Tensor) -> Tensor:
        """Some images as they are previewed, uint8 `[N, C, H, W]`."""
        return self.stored.windows(rows, Views.plain(len(rows)), self._size)

    @property
    def _size(self) -> tuple[int, int]:
        return self.shape[1], self.shape[2]

    def __len__(self) -> int:
        return len(self.stored)

    def place(self, device: torch.device, seed: int, rank: int = 0, world: int = 1) -> None:
        """Puts the images where the work is and fixes what batches depend on.

        Images that would fill over half of the accelerator's free memory stay in RAM; their batches are copied.
        """
        self.device, self.seed, self.rank, self.world = device, seed, rank, world
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            home = device if self.stored.nbytes < free // 2 else torch.device("cpu")
        else:
            home = device
        self.stored = self.stored.to(home)
        self.labels = self.labels.to(self.stored.device)
        self.order = Shuffle(len(self), self.batch_size, seed, self.stored.device)
        make = self._read_draw
        self.read = self.stored.reader(make)
        if self.given is not None:
            self.given.place(seed, self.batch_size, self.flip)
            if self.read == make:  # images in memory
                self.read = self.given.reader(make)

    def batch(self, draw: int) -> Batch:
        """Batch `draw` of this rank: images `[batch_size / world, C, H, W]` in [-1, 1], labels, and sources."""
        read = self.read(draw)
        images = self._seen(read.pixels, read.views)
        given = None if read.sources is None else read.sources(images)
        return Batch(self.labels[read.rows].to(self.device), images, given)

    def _read_draw(self, draw: int) -> Read:
        """What is read of batch `draw`, in any thread."""
        index = self.order(draw, self.rank, self.world)
        views = self._views(len(index), draw)
        step = 1 if self.given is None else self.given.scale
        pixels = self.stored.windows(index, views, self._size, step)
        if self.device.type == "cuda" and pixels.device == CPU:
            pixels = pixels.pin_memory()  # to be copied while the device computes
        sources = None
        if self.given is not None:
            sources = self.given.batch(self._size, index, views, draw, self.rank, self.world)
        return Read(index, views, pixels, sources)

    def _views(self, n: int, draw: int) -> Views:
        views, shared = Views.plain(n), (n, self.rank, self.world)
        if self.cropped:
            source = rng.generator(self.seed, "crop", draw, 0)
            views = views._replace(corner=rng.dealt(lambda rows: torch.rand(rows, 2, generator=source), *shared))
        if self.flip:
            source = rng.generator(self.seed, "flip", draw, 0)
            coin = rng.dealt(lambda rows: torch.rand(rows, generator=source), *shared)
            views = views._replace(mirrored=coin < 0.5)
        return views

    def _seen(self, pixels: Tensor, views: Views) -> Tensor:
        """Images `[N, C, H, W]` in [-1, 1]."""
        images = to_float(pixels.to(self.device, non_blocking=True))
        return mirrored(images, views.mirrored) if self.flip else images

    def sampling(self, draw: int) -> Batch:
        """As many labels as a batch has, each as likely as it is frequent; no image is read."""
        source, share = rng.generator(self.seed, "sampling", draw, 0), self.batch_size // self.world
        index = rng.dealt(
            lambda rows: torch.randint(len(self), (rows,), generator=source), share, self.rank, self.world
        )
        return Batch(self.labels[index.to(self.labels.device)].to(self.device))

    def previewed(self, n: int) -> Batch:
        """Some images and their sources, on the CPU, always the same, spread over the data set.

        At most `n`, and at most all of them; exactly `n` windows if the images are larger than a window.
        """
        index, views = self._spread(n)
        images = to_float(self._pixels(index, views))
        given = None
        if self.given is not None:
            given = self.given.preview(images, index, views)
        return Batch(self.labels[index.to(self.labels.device)].cpu(), images, given)

    def _spread(self, n: int) -> tuple[Tensor, Views]:
        if self.cropped:
            corner = torch.rand(n, 2, generator=rng.generator("preview"))
            return torch.arange(n) * len(self) // n, Views(corner, torch.zeros(n, dtype=torch.bool))
        index = torch.linspace(0, len(self) - 1, min(n, len(self)), dtype=torch.float64).round().long()
        return index, Views.plain(len(index))

    def _pixels(self, index: Tensor, views: Views) -> Tensor:
        step = 1 if self.given is None else self.given.scale
        return self.stored.windows(index, views, self._size, step).cpu()

    def quantised(self, n: int) -> Tensor:
        """The images of `previewed` as they are stored, uint8 `[n, C, H, W]` on the CPU."""
        return self._pixels(*self._spread(n))

    def pictures(self) -> int:
        """The number of sources; 0 if there are none."""
        return 0 if self.given is None else self.given.count(len(self))

    def called(self, i: int) -> str:
        """The name of the `i`-th source: its file's, or its number."""
        names = (self.given.names if self.given is not None else ()) or self.names
        return names[i] if names else f"{i:05d}"

    def given_how(self) -> str:
        """How the sources were made; empty for files."""
        return "" if self.given is None else self.given.says()

    def example(self, i: int) -> Batch:
        """The `i`-th source, whole, with the image of that row, in a batch of one on the CPU."""
        assert self.given is not None
        row = i % len(self)
        image = to_float(self.stored.picture(row).unsqueeze(0).cpu())
        height, width = (side - side % self.given.scale for side in image.shape[-2:])
        image = image[..., :height, :width]
        return Batch(self.labels[row : row + 1].cpu(), image, self.given.example(image, i))

    def fingerprint(self) -> str:
        """sha256 of the decoded pixels, their sizes, the labels and the sources."""
        digest = hashlib.sha256()
        self.stored.enter(digest)
        digest.update(self.labels.cpu().contiguous().numpy().data)
        if self.given is not None:
            self.given.enter(digest)
        return digest.hexdigest()
