"""Measuring: sets of images, a detector's pass over each, and the reference's pass cached by content."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from torch import Tensor, nn

from gan_cli import pictures, sampling
from gan_cli.data.points import Mixture
from gan_cli.games.base import Game
from gan_cli.metrics.detectors import Detector, Labelled
from gan_cli.metrics.features import Collector, Features, fair
from gan_cli.metrics.moments import Gaussian
from gan_cli.metrics.packed import FeatureCache, as_kept
from gan_cli.metrics.store import Bookmark
from gan_cli.progress import tracked
from gan_cli.types import Data

log = logging.getLogger(__name__)

# size -> images uint8 [n, C, H, W], or points float [n, D], and their labels [n], if any
Batches = Callable[[int], Iterator[tuple[Tensor, Tensor | None]]]


@dataclass(frozen=True)
class SampleSet:
    """A set of images (or points) for a detector to go over."""

    name: str
    n: int
    batches: Batches
    fingerprint: str | None = None  # of the content; None for a generator's samples
    statistics: Gaussian | None = None  # where only these are known
    indices: str = "all"  # which of the fingerprinted images these are


@dataclass(frozen=True)
class Reference(SampleSet):
    """A set of real images or points, and what is known of them."""

    labelled: Labelled | None = None  # images with their labels
    mixture: Mixture | None = None  # the density of points, where its modes are known
    points: bool = False
    shape: tuple[int, ...] | None = None  # [C, H, W] or [D], where all share it
    prepared: str = ""  # how it was fitted to the samples' size; part of every convention
    data: Data | None = None  # the data set that it is


@dataclass(frozen=True)
class Plan:
    """How to go over them."""

    rows: int  # most rows of features to keep, for metrics that compare individual samples
    batch_size: int
    cache: Path  # for the features of references
    most: int | None = None  # images of a reference that detectors see; all when None


def as_measured(samples: Tensor) -> Tensor:
    """Samples as detectors see them, on the CPU: images rounded to uint8, points as they are."""
    return (pictures.to_uint8(samples) if samples.ndim == 4 else samples).cpu()


def drawn(game: Game, generator: nn.Module, draws: sampling.Draws, n: int) -> Batches:
    """A generator's first `n` samples."""

    def batches(size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        for block, label in sampling.blocks(game, generator, draws, n):
            yield from zip(as_measured(block).split(size), label.cpu().split(size), strict=True)

    return batches


def collector_of(detector: Detector, needs: frozenset[str], rows: int) -> Collector:
    """Collects what metrics need, and of features at most so many rows."""
    return Collector(
        detector,
        rows=rows if needs & {"rows", "labels", "images"} else 0,
        logits="logits" in needs,
        groups="groups" in needs,
        images="images" in needs,
    )


def collect(
    source: SampleSet, detector: Detector, needs: frozenset[str], plan: Plan, bookmark: Bookmark | None = None
) -> Features:
    """One pass of one detector over one source; it continues from the bookmark, if there is one."""
    collector = collector_of(detector, needs, plan.rows)
    found = bookmark.read() if bookmark is not None else None
    if found is not None and "keys" in found:  # without them it is of a version that ordered copies otherwise
        collector.load(found)
        log.info("continuing with %s after %d of %d images", source.name, collector.n, source.n)
    seen = 0
    title = f"measuring {Path(source.name).name}"
    for images, labels in tracked(source.batches(plan.batch_size), source.n, title, lambda batch: len(batch[0])):
        new = max(collector.n - seen, 0)  # the rest of a batch whose start was already seen
        seen += len(images)
        if new < len(images):
            collector.add(images[new:], None if labels is None else labels[new:])
        if bookmark is not None:
            bookmark.maybe_write(collector.state)
    return collector.finish()


def reference_features(source: SampleSet, detector: Detector, needs: frozenset[str], plan: Plan) -> Features:
    """The reference's features, cached by content."""
    if source.statistics is not None:
        return Features(source.statistics.n, source.statistics)
    kept = needs - {"groups"}  # the reference is never jackknifed
    if "images" in kept:
        return as_kept(collect(source, detector, kept, plan))
    facts = {
        "data": source.fingerprint,
        "n": source.n,
        "indices": source.indices,
        "detector": detector.name or "inception",
        "preprocessing": detector.convention,
        "weights": detector.digest,
        "dtype": "float32 features, float64 moments",
        "collected": sorted(kept),
        "rows": plan.rows,
        "passes": f"{plan.batch_size} images on {detector.device.type}",  # a network's last digits depend on them
    }
    cache = FeatureCache(plan.cache)
    compute = partial(collect, source, detector, kept, plan)
    found = cache.get(facts, compute)
    if _copies_lie_side_by_side(found):  # as versions kept them that knew images by their hashes alone
        found = cache.get({**facts, "order": "by keys"}, compute)
    return found


def _copies_lie_side_by_side(features: Features) -> bool:
    return features.row_hashes is not None and len(features.row_hashes.unique()) < len(features.row_hashes)


def part_of(reference: Reference, n: int | None) -> Reference:
    """The reference, or a part of it of n images, chosen by their keys."""
    if n is None or n >= reference.n or reference.statistics is not None:
        return reference

    def batches(size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        images, labels = fair(reference.batches(size), n)
        yield from zip(images.split(size), labels.split(size), strict=True)

    return replace(reference, n=n, batches=batches, indices=f"smallest hashes:{n}")


def full_name(metric: str, detector: str) -> str:
    """A metric's name with its detector's; only with the 2015 Inception is it called FID."""
    if not detector or metric.startswith(detector):  # it says already what it is of
        return metric
    return f"{metric.replace('fid', 'fd', 1) if metric.startswith('fid') else metric}_{detector}"
