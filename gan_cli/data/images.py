"""Image data sets: one uint8 tensor that lives where the work is."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from gan_cli import rng
from gan_cli.data.fit import FITS, Fit, fit_stack, recolour
from gan_cli.data.order import Shuffle
from gan_cli.types import Batch, NonNegativeInt, PositiveInt, sample_shape


class DataError(ValueError):
    """The data are not there or not what the config says; the message says what to do."""


@dataclass(frozen=True)
class Request:
    """What a source is asked for."""

    root: Path
    split: str
    download: bool
    strict: bool
    channels: int
    height: int
    width: int
    fit: Fit
    cache: Path


class Decoded(NamedTuple):
    """What a source returns."""

    images: Tensor  # uint8 [N, C, H, W], of any one size
    labels: Tensor | None = None  # int64 [N]
    class_names: tuple[str, ...] = ()


def to_float(images: Tensor) -> Tensor:
    """uint8 0 ... 255 to float -1 ... 1."""
    return images.float().div_(127.5).sub_(1)


class Images:
    """Decoded images, and their batches.

    Args:
        source: `(Request) -> Decoded`; a function of `gan_cli.data.sources`, or your own.
        root: Where the files are, or are downloaded to.
        split: train | test, as the source knows it.
        resolution: Side, or [height, width]; images are fitted to it.
        channels: 1 or 3; images are converted to it.
        classes: Number of classes, 0 when unlabelled; checked against the labels.
        batch_size: Real images of one update, over all devices.
        flip: Mirror each image left to right with probability one half.
        fit: crop | pad | stretch (see `gan_cli.data.fit`).
        download: Whether missing files may be fetched.
        strict: Whether an image that cannot be read is an error instead of a warning.
        limit: Keep the first `limit` images only.
        cache: Where decoded folders are kept.

    Raises:
        DataError: Nothing there, too few images, or labels that contradict `classes`.
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
    ) -> None:
        if channels not in (1, 3):
            raise DataError(f"dataset.channels={channels}: images have 1 channel (grey) or 3 (colour)")
        if fit not in FITS:
            raise DataError(f"dataset.fit={fit} is unknown: choose one of {', '.join(FITS)}")
        self.shape = sample_shape(channels, resolution)
        if len(self.shape) != 3:
            raise DataError(f"dataset.resolution={resolution}: give a side, or [height, width]")
        self.classes = classes
        self.batch_size = batch_size
        self.flip = flip
        request = Request(
            Path(os.path.expanduser(root)),
            split,
            download,
            strict,
            *self.shape,
            FITS[fit],
            Path(os.path.expanduser(cache)),
        )
        decoded = source(request)
        images = recolour(fit_stack(decoded.images[:limit], *self.shape[1:], FITS[fit]), channels)
        self.images, self.labels = images, self._checked_labels(decoded, limit)
        self.class_names = decoded.class_names
        if len(self.images) < 2:
            raise DataError(f"dataset.root={root} has {len(self.images)} images: a GAN needs at least 2")
        self.place(torch.device("cpu"), seed=0)

    def _checked_labels(self, decoded: Decoded, limit: int | None) -> Tensor:
        if self.classes == 0 or decoded.labels is None:
            if self.classes:
                raise DataError(
                    f"dataset.classes={self.classes}, but these images have no labels: use dataset.classes=0"
                )
            return torch.zeros(len(decoded.images[:limit]), dtype=torch.int64)
        found = int(decoded.labels.max()) + 1
        if found != self.classes:
            raise DataError(
                f"dataset.classes={self.classes}, but the labels name {found} classes: set dataset.classes={found}"
            )
        return decoded.labels[:limit].to(torch.int64)

    def __len__(self) -> int:
        return len(self.images)

    def place(self, device: torch.device, seed: int, rank: int = 0, world: int = 1) -> None:
        """Puts the tensor where the work is and fixes what batches depend on.

        Images that would fill over half of the accelerator's free memory stay in RAM; their batches travel.
        """
        self.device, self.seed, self.rank, self.world = device, seed, rank, world
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            home = device if self.images.nbytes < free // 2 else torch.device("cpu")
        else:
            home = device
        self.images, self.labels = self.images.to(home), self.labels.to(home)
        self.order = Shuffle(len(self), self.batch_size, seed, home)

    def batch(self, draw: int) -> Batch:
        """Batch `draw` of this rank: images `[batch_size / world, C, H, W]` in [-1, 1] and their labels."""
        index = self.order(draw, self.rank, self.world)
        images = to_float(self.images[index].to(self.device, non_blocking=True))
        if self.flip:
            coin = torch.rand(len(index), generator=rng.generator(self.seed, "flip", draw, self.rank))
            images = torch.where((coin < 0.5).to(self.device).view(-1, 1, 1, 1), images.flip(-1), images)
        return Batch(self.labels[index].to(self.device), images)

    def sampling(self, draw: int) -> Batch:
        """The labels of as many samples, each as likely as it is frequent; no image is looked at."""
        source = rng.generator(self.seed, "sampling", draw, self.rank)
        index = torch.randint(len(self), (self.batch_size // self.world,), generator=source)
        return Batch(self.labels[index.to(self.labels.device)].to(self.device))

    def quantised(self, n: int) -> Tensor:
        """At most `n` real images as they are stored, uint8 `[n, C, H, W]` on the CPU, spread over the data set."""
        index = torch.linspace(0, len(self) - 1, min(n, len(self)), dtype=torch.float64).round().long()
        return self.images[index.to(self.images.device)].cpu()

    def preview(self, n: int) -> Tensor:
        """At most `n` real images, `[n, C, H, W]` in [-1, 1], spread over the data set."""
        return to_float(self.quantised(n))

    def fingerprint(self) -> str:
        """sha256 of the decoded pixels, their shape and the labels."""
        digest = hashlib.sha256(repr(tuple(self.images.shape)).encode())
        for start in range(0, len(self), 4096):
            digest.update(self.images[start : start + 4096].cpu().contiguous().numpy().data)
        digest.update(self.labels.cpu().contiguous().numpy().data)
        return digest.hexdigest()
