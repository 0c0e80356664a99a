"""Image data sets: one uint8 tensor in memory, on the accelerator if it fits."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gan_cli import rng
from gan_cli.data.decoding import Levels, checked_levels
from gan_cli.data.described import line_of
from gan_cli.data.fit import FITS, Fit, fit_stack, recolour
from gan_cli.data.order import Shuffle
from gan_cli.data.subset import digests_of, fair_part
from gan_cli.errors import DataError
from gan_cli.types import Batch, NonNegativeInt, PositiveInt, sample_shape

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What is requested from a source."""

    root: Path
    split: str
    download: bool
    strict: bool
    channels: int
    height: int
    width: int
    fit: Fit
    cache: Path
    levels: Levels | None = None


class Decoded(NamedTuple):
    """What a source returns."""

    images: Tensor  # uint8 [N, C, H, W], all of one size
    labels: Tensor | None = None  # int64 [N]
    class_names: tuple[str, ...] = ()
    described: Mapping[str, Any] = {}  # what was read and what was passed over, where files were listed


def to_float(images: Tensor) -> Tensor:
    """uint8 0 ... 255 to float -1 ... 1."""
    return images.float().div_(127.5).sub_(1)


def _limited(decoded: Decoded, limit: int | None, classes: int) -> Decoded:
    """At most `limit` of the images, evenly over the classes."""
    if limit is None or limit >= len(decoded.images):
        return decoded
    labels = None if decoded.labels is None else decoded.labels.tolist()
    if labels is not None and 1 < limit < classes:
        raise DataError(f"dataset.limit={limit} leaves some of dataset.classes={classes} without an image: raise it")
    chosen = torch.tensor(fair_part(digests_of(decoded.images), labels, limit))
    log.info("%d of %d images, chosen by their content%s", limit, len(decoded.images), ", evenly" if labels else "")
    return decoded._replace(
        images=decoded.images[chosen], labels=None if decoded.labels is None else decoded.labels[chosen]
    )


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
            checked_levels(levels, "dataset.levels"),
        )
        decoded = source(request)
        self.described = decoded.described
        self._tell()
        decoded = _limited(decoded, limit, classes)
        if len(decoded.images) < 2:
            raise DataError(f"dataset.root={root} has {len(decoded.images)} images: a GAN needs at least 2")
        images = recolour(fit_stack(decoded.images, *self.shape[1:], FITS[fit]), channels)
        self.images, self.labels = images, self._checked_labels(decoded)
        self.class_names = decoded.class_names
        self.place(torch.device("cpu"), seed=0)

    def _tell(self) -> None:
        """Logs what was read, if files were listed."""
        if not self.described:
            return
        count = len(self.described["classes"])
        unused = f"; dataset.classes={count} makes them labels" if count and not self.classes else ""
        log.info("%s%s", line_of(self.described), unused)

    def _checked_labels(self, decoded: Decoded) -> Tensor:
        if self.classes == 0 or decoded.labels is None:
            if self.classes:
                why = self.described.get("no_labels_because")
                reason = f": {why}; or use dataset.classes=0" if why else ": use dataset.classes=0"
                raise DataError(f"dataset.classes={self.classes}, but these images have no labels{reason}")
            return torch.zeros(len(decoded.images), dtype=torch.int64)
        found = int(decoded.labels.max()) + 1
        if found != self.classes:
            empty = self.described.get("passed_over", {}).get("empty folder")
            but = f" ({', '.join(empty['names'])} has no image)" if empty else ""
            raise DataError(
                f"dataset.classes={self.classes}, but the labels name {found} classes{but}: set dataset.classes={found}"
            )
        return decoded.labels.to(torch.int64)

    def __len__(self) -> int:
        return len(self.images)

    def place(self, device: torch.device, seed: int, rank: int = 0, world: int = 1) -> None:
        """Moves the images to the device and fixes what batches depend on.

        Images that would fill over half of the accelerator's free memory stay in RAM; their batches are copied.
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
        """As many labels as a batch has, each as likely as it is frequent; no image is read."""
        source = rng.generator(self.seed, "sampling", draw, self.rank)
        index = torch.randint(len(self), (self.batch_size // self.world,), generator=source)
        return Batch(self.labels[index.to(self.labels.device)].to(self.device))

    def quantised(self, n: int) -> Tensor:
        """At most `n` real images as stored, uint8 `[n, C, H, W]` on the CPU, spread over the data set."""
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
