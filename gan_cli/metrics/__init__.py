"""Metrics: detectors turn images into features, one pass collects their statistics, metrics compare these."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from torch import Tensor

from gan_cli.errors import NotMeasurable as NotMeasurable

# Remedies of several metrics.
ON_DEMAND = "measure a run that was trained with labels: conditioning=, dataset.classes="
PAIRS = "name data that have pairs as the reference: paired_folder:test"
ONE_SIZE = "bring them to one size first"
SOME = "give at least one"

if TYPE_CHECKING:
    from gan_cli.metrics.features import Features, Seen


@dataclass(frozen=True)
class Estimate:
    """A number, its standard error where one is known, and how it was computed."""

    value: float
    se: float | None = None
    convention: str = ""
    n_fake: int | None = None  # where fewer samples were used than seen
    n_real: int | None = None
    weights: str | None = None  # sha256 of those that it was computed with, where they are not the detector's


@dataclass(frozen=True)
class Context:
    """What a metric may use in addition to features."""

    seed: int = 0
    classes: int = 0
    mixture: tuple[Tensor, float] | None = None  # centres [K, 2] and standard deviation, of points
    see: Callable[[Tensor], Seen] | None = None  # the detector
    # (pairs, ε) -> batches of images float 0 ... 255 at latents ε apart, where there is a generator
    paths: Callable[[int, float], Iterator[tuple[Tensor, Tensor]]] | None = None
    # What was drawn [1, C, H, W], its target [1, C, H, W] and what was given [1, C', h, w], uint8, one picture at a
    # time; their sizes may differ. Where a generator draws after pictures that have targets.
    pairs: Callable[[], Iterator[tuple[Tensor, Tensor, Tensor]]] | None = None
    # What was given and what came back of it, uint8 alike, where there is a generator of the way back.
    round_trips: Callable[[], Iterator[tuple[Tensor, Tensor]]] | None = None
    # All samples, and all real pictures: uint8 [n, C, H, W], batch by batch; where they are pictures.
    drawn: Callable[[], Iterator[Tensor]] | None = None
    real: Callable[[], Iterator[Tensor]] | None = None
    scratch: dict[str, Any] = field(default_factory=dict)  # pictures to be saved beside the numbers, by name
    only: str | None = None  # the only value that is read; others need not be computed

    def wants(self, value: str) -> bool:
        return self.only is None or self.only == value


class Better(StrEnum):
    """Which way a value improves; result.json holds these words."""

    SMALLER = "smaller"
    LARGER = "larger"

    def cost(self, value: float) -> float:
        """The quantity to minimise."""
        return value if self is Better.SMALLER else -value


class Metric(ABC):
    """A metric declares what one pass has to collect for it, and which of its values can be watched during training."""

    needs: frozenset[str] = frozenset()  # "rows", "logits", "groups", "labels", "images"
    # The values that improve in one direction and need only samples and a reference.
    better: Mapping[str, Better] = MappingProxyType({})

    def least(self, seen: Seen) -> int:
        """The fewest samples, on either side, for its watchable values, so that a run knows before it starts.

        Args:
            seen: The detector's output for some images.

        Raises:
            NotMeasurable: No number of samples is enough with this detector.
        """
        return 2

    @abstractmethod
    def compute(self, fake: Features, real: Features, context: Context) -> Mapping[str, Estimate]:
        """Values by name. Raises NotMeasurable."""


class PairMetric(ABC):
    """Compares each sample with its own target, or with what it was drawn from, by itself, or looks at the pictures of
    both sides: it reads no features, is measured once whatever the detectors, and carries none in its name."""

    better: Mapping[str, Better] = MappingProxyType({})  # the values that improve in one direction
    detector = "none"  # what sees the pictures, as an evaluation names it

    @abstractmethod
    def compute(self, context: Context) -> Mapping[str, Estimate]:
        """Values by name. Raises NotMeasurable."""
