"""Metrics: detectors turn images into features, one pass sums them up, metrics compare the sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from gan_cli.errors import NotMeasurable as NotMeasurable

if TYPE_CHECKING:
    from gan_cli.metrics.features import Features, Seen


@dataclass(frozen=True)
class Estimate:
    """A number, its standard error where one is known, and how it was computed."""

    value: float
    se: float | None = None
    convention: str = ""
    n_fake: int | None = None  # where fewer samples were used than were seen
    n_real: int | None = None


@dataclass(frozen=True)
class Context:
    """What a metric may ask for besides features."""

    seed: int = 0
    classes: int = 0
    mixture: tuple[Tensor, float] | None = None  # centres [K, 2] and standard deviation, of points
    see: Callable[[Tensor], Seen] | None = None  # the detector
    # (pairs, ε) -> batches of images float 0 ... 255 at latents ε apart, where there is a generator
    paths: Callable[[int, float], Iterator[tuple[Tensor, Tensor]]] | None = None
    scratch: dict[str, Any] = field(default_factory=dict)  # pictures to be saved beside the numbers, by name


class Metric(Protocol):
    """A metric declares what one pass has to collect for it."""

    needs: frozenset[str]  # "rows", "logits", "groups", "labels", "images"

    def compute(self, fake: Features, real: Features, context: Context) -> Mapping[str, Estimate]: ...


class Sized(Metric, Protocol):
    """A metric that says how few samples it can do with, so that a run is not the one to find out."""

    least: int  # on either side
