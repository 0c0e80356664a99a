"""Sources in files of their own: a partner for each image, or another domain."""

from __future__ import annotations

import logging
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from gan_cli import rng
from gan_cli.data.described import line_of
from gan_cli.data.given import Given
from gan_cli.data.order import Shuffle
from gan_cli.data.request import Decoded, Request, decoded_by, fitted, to_float
from gan_cli.data.stored import Hash, Result, Stored, Views, mirrored, stored
from gan_cli.errors import DataError, two_lines
from gan_cli.types import PositiveInt

log = logging.getLogger(__name__)


class Others(Given):
    """Sources in files of their own: a partner for each image, or another domain.

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
            what = f"dataset.given.channels={channels}: no image has so many channels"
            raise DataError(two_lines(what, "give 1 (grey) or 3 (colour)"))
        self.source, self.channels, self.paired, self.scale, self.root = source, channels, paired, scale, root

    def read(self, request: Request, images: Decoded) -> Decoded:
        there = request if self.root is None else request.at(self.root)
        root = there.root
        height, width = request.height // self.scale, request.width // self.scale
        wanted = replace(there, channels=self.channels, height=height, width=width)
        found = decoded_by(self.source, wanted, "dataset.given.source")
        if found.described:
            log.info("given: %s", line_of(found.described))
        if self.paired:
            images, rows = _partners(images, found, request, root)
            found = found.taken(rows)
            if request.windows:
                _check_sizes(images, found, self.scale)
        if root == request.root and _alike(images, found):
            raise DataError(
                two_lines(
                    f"{root} is used for both sides, so source and target are the same", "set dataset.given.root=FOLDER"
                )
            )
        if len(found.images) < 1:
            raise DataError(two_lines(f"dataset.given.root={root} holds no image", "name another folder"))
        self.stored: Stored = stored(fitted(found.images, wanted))
        self.names = found.names
        return images

    def keep(self, rows: Sequence[int]) -> None:
        if self.paired:
            self.stored = self.stored.rows(rows)
            self.names = tuple(self.names[i] for i in rows)

    def place(self, seed: int, batch: int, flip: bool) -> None:
        self.seed, self.flip = seed, flip
        self.order = Shuffle(len(self.stored), batch, rng.mix(seed, "given"), torch.device("cpu"))

    def reader(self, make: Callable[[int], Result]) -> Callable[[int], Result]:
        return self.stored.reader(make)

    def count(self, images: int) -> int:
        return len(self.stored)

    def batch(
        self, size: tuple[int, int], index: Tensor, views: Views, draw: int, rank: int, world: int
    ) -> Callable[[Tensor], Tensor]:
        if not self.paired:
            index = self.order(draw, rank, world)
            source = rng.generator(self.seed, "given views", draw, 0)
            views = Views.at_random(len(index), self.flip, source, rank, world)
        pixels = self._windows(size, index, views)
        return lambda images: _seen(pixels, views, images.device)

    def preview(self, images: Tensor, index: Tensor, views: Views) -> Tensor:
        if not self.paired:
            index = torch.arange(len(images)) * len(self.stored) // len(images)
        height, width = images.shape[-2:]
        return _seen(self._windows((height, width), index, views), views, images.device)

    def _windows(self, size: tuple[int, int], index: Tensor, views: Views) -> Tensor:
        """Sources of images of this size, uint8 `[N, C, h, w]`."""
        return self.stored.windows(index, views, (size[0] // self.scale, size[1] // self.scale))

    def example(self, image: Tensor, i: int) -> Tensor:
        return to_float(self.stored.picture(i).unsqueeze(0).to(image.device))

    def enter(self, digest: Hash) -> None:
        digest.update(repr((self.paired, self.scale)).encode())
        self.stored.enter(digest)


def _seen(pixels: Tensor, views: Views, device: torch.device) -> Tensor:
    """Sources `[N, C, h, w]` in [-1, 1]."""
    return mirrored(to_float(pixels.to(device, non_blocking=True)), views.mirrored)


def _alike(images: Decoded, others: Decoded) -> bool:
    """Whether both are the same pictures."""
    if len(images.images) != len(others.images) or images.names != others.names or not len(images.images):
        return False
    first, second = next(iter(images.images)), next(iter(others.images))
    return first.shape == second.shape and torch.equal(first, second)


def _partners(images: Decoded, found: Decoded, request: Request, root: Path) -> tuple[Decoded, list[int]]:
    """The images that have a partner, and the rows of their partners, by name. Raises DataError."""
    ours, theirs = (_composed(names) for names in (images.names, found.names))
    place = {name: i for i, name in enumerate(theirs)}
    mine = set(ours)
    alone = [*(n for n in ours if n not in place), *(n for n in theirs if n not in mine)]
    if not images.names or len(place) != len(found.names):
        raise DataError(
            two_lines(
                f"dataset.given.paired=true: images of {request.root} have no names of their own to find partners by",
                "give both of a pair the same name, each name once in its folder; or use dataset.given.paired=false",
            )
        )
    if len(mine) < len(ours):
        twice = next(name for name, count in Counter(ours).items() if count > 1)
        log.warning("several images of %s are called %s: each has the one partner of that name", request.root, twice)
    if alone:
        more = f" and {len(alone) - 1} more have no" if len(alone) > 1 else " has no"
        here, there = images.described.get("place", request.root), found.described.get("place", root)
        raise DataError(
            two_lines(
                f"{alone[0]}{more} partner: {len(images.names)} images in {here}, {len(found.names)} in {there}",
                "give both of a pair the same name, and move away what has no partner",
            )
        )
    return images, [place[name] for name in ours]


def _composed(names: Sequence[str]) -> list[str]:
    """The names with é as one character: files that have been on a Mac are called by two."""
    return [unicodedata.normalize("NFC", name) for name in names]


def _check_sizes(images: Decoded, found: Decoded, scale: int) -> None:
    """Raises DataError for a pair of different sizes, whose windows would not show the same."""
    ours, theirs = stored(images.images), stored(found.images)
    for i, name in enumerate(images.names):
        (height, width), sides = ours.shape_of(i)[-2:], theirs.shape_of(i)[-2:]
        if (height // scale, width // scale) != tuple(sides):
            what = f"dataset.windows=true: the pair {name} has {height} x {width} and {sides[0]} x {sides[1]} pixels"
            wanted = "one size" if scale == 1 else f"sizes that differ by dataset.given.scale={scale}"
            raise DataError(two_lines(what, f"give both {wanted}, or use dataset.load=... in place of windows"))
