"""Schedules: ramps of the learning rates' factor over the run. Any other ramp may replace them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gan_cli import ramps
from gan_cli.types import Fraction, NonNegativeInt, PositiveInt, Ramp


class Constant(Ramp):
    """A constant learning rate."""

    def at(self, images: int, done: float = 0.0) -> float:
        return 1.0


def _check_order(start: float, end: float) -> None:
    if end < start:
        raise ValueError(f"schedule.end={end} is before schedule.start={start}\n  set it to {start} or more")


class Linear(ramps.Linear):
    """From 1 at `start` in a straight line to `final` at `end`, both fractions of the run."""

    def __init__(self, start: Fraction = 0.0, final: Fraction = 0.0, end: Fraction = 1.0) -> None:
        _check_order(start, end)
        super().__init__(1.0, final, fraction=end, after=start)


class Cosine(ramps.Cosine):
    """From 1 at `start` along half a cosine to `final` at `end`, both fractions of the run."""

    def __init__(self, start: Fraction = 0.0, final: Fraction = 0.0, end: Fraction = 1.0) -> None:
        _check_order(start, end)
        super().__init__(1.0, final, fraction=end, after=start)

    def left(self, way: float) -> float:
        """The half cosine, rounded as it always was, so that earlier runs are repeated bit for bit."""
        return (1 - math.cos(math.pi * (1 - way))) / 2


class Steps(ramps.Steps):
    """Multiplied by `factor` at each of these fractions of the run, and constant between them.

    Args:
        at: The fractions, in any order.
        factor: What is left of the learning rate each time.
    """

    def __init__(self, at: Sequence[Fraction], factor: Fraction = 0.5) -> None:
        super().__init__([factor**k for k in range(len(at) + 1)], fractions=sorted(at))


class InverseSquareRoot(Ramp):
    """min(1, t / rampup) / √max(1, t / reference) after t images (EDM2, arXiv 2312.02696, equation 67).

    Weights of fixed length have no decay of their own: a step turns them by the learning rate, so that only it settles
    them.

    Args:
        reference: Images after which the decay begins.
        rampup: Images of the straight rise from 0; 0 for none.
    """

    def __init__(self, reference: PositiveInt = 100_000, rampup: NonNegativeInt = 10_000) -> None:
        self.reference, self.rampup = reference, rampup
        super().__init__()

    def at(self, images: int, done: float = 0.0) -> float:
        risen = min(1.0, images / self.rampup) if self.rampup else 1.0
        return risen / math.sqrt(max(1.0, images / self.reference))
