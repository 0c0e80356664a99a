"""One pass of a detector over images, and what it collects for the metrics.

Everything that chooses or orders samples (which rows are kept, which block or split or jackknife group a sample
belongs to) goes by a hash of the image itself: results depend on the set of images, not on the order, the batches or
the shards in which they came. Equal images lie as far apart as any others: see `Keys`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gan_cli.errors import NotMeasurable, two_lines
from gan_cli.metrics.moments import Gaussian, Moments, pooled

GROUPS = 10  # jackknife groups


class Seen(NamedTuple):
    """A detector's output for a batch."""

    features: Tensor  # [n, F] float32
    logits: Tensor | None = None  # [n, classes], where the detector classifies


@dataclass(frozen=True)
class Features:
    """What one detector tells about a set of images."""

    n: int
    moments: Gaussian  # of all features
    groups: tuple[Gaussian, ...] = ()  # of disjoint tenths; empty when not asked for
    rows: Tensor | None = None  # float32 [min(n, cap), F], an unbiased selection in a fixed order
    logits: Tensor | None = None  # float32 [n, classes], ordered likewise
    row_labels: Tensor | None = None  # int64, the label of each row
    row_images: Tensor | None = None  # uint8, the image of each row, where asked for
    logit_labels: Tensor | None = None  # int64, the label of each row of logits
    row_hashes: Tensor | None = None  # int64, the key of each row: the k-th of equal images has the same in every set


def _hash(content: bytes) -> int:
    """A 62-bit hash."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little") >> 2


class Keys:
    """By what images are chosen and ordered: their hashes; of one that was there before, a hash of it and of how often.

    By their hashes alone, equal images would be side by side: those of a generator that draws a few pictures again and
    again would fill whole blocks and splits, which then are no fair parts of them. A set has the same keys in any
    order; of equal images with different labels, that one gets the first key which comes first.
    """

    def __init__(self) -> None:
        self.seen: Counter[int] = Counter()

    def of(self, images: Tensor) -> Tensor:
        """The keys of the next images, int64 `[n]`."""
        return torch.tensor([self._next(_hash(image.contiguous().numpy().tobytes())) for image in images.cpu()])

    def _next(self, image: int) -> int:
        before = self.seen[image]
        self.seen[image] += 1
        return _hash(f"{image} {before}".encode()) if before else image

    def state(self) -> dict[str, Tensor]:
        return {name: torch.tensor([*values]) for name, values in (("of", self.seen.keys()), ("n", self.seen.values()))}

    def load(self, state: Mapping[str, Tensor]) -> None:
        self.seen = Counter(dict(zip(state["of"].tolist(), state["n"].tolist(), strict=True)))


class _Smallest:
    """Of all values added, keeps those with the `cap` smallest hashes, ordered by hash."""

    def __init__(self, cap: int) -> None:
        self.cap = cap
        self.hashes = torch.empty(0, dtype=torch.int64)
        self.kept: list[Tensor] = []
        self._waiting: list[tuple[Tensor, list[Tensor]]] = []

    def add(self, hashes: Tensor, values: list[Tensor]) -> None:
        self._waiting.append((hashes, values))
        if sum(len(h) for h, _ in self._waiting) > 4096:
            self._merge()

    def _merge(self) -> None:
        if not self._waiting:
            return
        parts = [(self.hashes, self.kept)] if self.kept else []
        parts += self._waiting
        self._waiting = []
        hashes = torch.cat([h for h, _ in parts])
        order = hashes.argsort(stable=True)[: self.cap]
        columns = zip(*(values for _, values in parts), strict=True)
        self.hashes, self.kept = hashes[order], [torch.cat(column)[order] for column in columns]

    def finish(self) -> list[Tensor]:
        self._merge()
        return self.kept

    def state(self) -> dict[str, Any]:
        self._merge()
        return {"hashes": self.hashes, "kept": self.kept}

    def load(self, state: Mapping[str, Any]) -> None:
        self.hashes, self.kept = state["hashes"], state["kept"]


def fair(batches: Iterable[tuple[Tensor, Tensor | None]], n: int) -> tuple[Tensor, Tensor]:
    """At most n images and their labels: those with the smallest keys, in that order, whatever order they come in.

    Raises:
        NotMeasurable: There are none.
    """
    smallest, keys = _Smallest(n), Keys()
    for images, labels in batches:
        smallest.add(
            keys.of(images), [images.cpu(), torch.zeros(len(images), dtype=torch.int64) if labels is None else labels]
        )
    kept = smallest.finish()
    if not kept:
        raise NotMeasurable(two_lines("there are no images", "give at least 2"))
    return kept[0], kept[1]


class Collector:
    """Accumulates a detector's output.

    Args:
        see: The detector.
        rows: How many rows of features to keep; 0 for none.
        logits: Whether to keep the logits of all images, if the detector has them.
        groups: Whether to keep the moments of tenths, for the jackknife.
        images: Whether to keep the images of the rows.
    """

    def __init__(
        self,
        see: Callable[[Tensor], Seen],
        rows: int = 0,
        logits: bool = False,
        groups: bool = False,
        images: bool = False,
    ) -> None:
        self.see = see
        self.n = 0
        self.moments = [Moments() for _ in range(GROUPS if groups else 1)]
        self.rows = _Smallest(rows) if rows else None
        self.logits = _Smallest(2**62) if logits else None
        self.images = images
        self.keys = Keys()

    def add(self, images: Tensor, labels: Tensor | None = None) -> None:
        """Images uint8 `[n, C, H, W]` and their labels."""
        self.take(images, self.see(images), labels)

    def take(self, images: Tensor, seen: Seen, labels: Tensor | None = None) -> None:
        """Images, what the detector says of them, and their labels."""
        features = seen.features.cpu()
        keys = self.keys.of(images)
        self.n += len(images)
        for group, moments in enumerate(self.moments):
            moments.add(features[keys % len(self.moments) == group])
        labels = torch.zeros(len(images), dtype=torch.int64) if labels is None else labels
        if self.rows is not None:
            values = [features.float(), labels]
            self.rows.add(keys, [*values, images.cpu()] if self.images else values)
        if self.logits is not None and seen.logits is not None:
            self.logits.add(keys, [seen.logits.float().cpu(), labels])

    def state(self) -> dict[str, Any]:
        """What was collected so far, as plain tensors and numbers; a new collector continues from there by `load`."""
        return {
            "n": self.n,
            "moments": [moments.state() for moments in self.moments],
            "rows": None if self.rows is None else self.rows.state(),
            "logits": None if self.logits is None else self.logits.state(),
            "keys": self.keys.state(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        self.n = state["n"]
        self.keys.load(state["keys"])
        for moments, saved in zip(self.moments, state["moments"], strict=True):
            moments.load(saved)
        for smallest, saved in ((self.rows, state["rows"]), (self.logits, state["logits"])):
            if smallest is not None:
                smallest.load(saved)

    def finish(self) -> Features:
        """Raises NotMeasurable when there were fewer than two images."""
        if self.n < 2:
            raise NotMeasurable(two_lines(f"{self.n} images are too few to measure", "give at least 2"))
        groups = tuple(m.finish() for m in self.moments if m.n > 1)
        enough = len(groups) == len(self.moments)
        total = self.moments[0].finish() if len(self.moments) == 1 else pooled([m for m in self.moments if m.n])
        kept = self.rows.finish() if self.rows is not None else []
        logits = self.logits.finish() if self.logits is not None else []
        return Features(
            self.n,
            total,
            groups if enough and len(groups) > 1 else (),
            kept[0] if kept else None,
            logits[0] if logits else None,
            kept[1] if kept else None,
            kept[2] if len(kept) > 2 else None,
            logits[1] if logits else None,
            self.rows.hashes if self.rows is not None and kept else None,
        )
