"""How learning rates follow progress: functions of the fraction of the run that is done."""

from __future__ import annotations

import math
from typing import Protocol

from gan_cli.types import Fraction


class Schedule(Protocol):
    """`(progress in [0, 1]) -> factor of the learning rate`."""

    def __call__(self, progress: float) -> float: ...


class Constant:
    """The learning rate stays."""

    def __call__(self, progress: float) -> float:
        return 1.0


class Linear:
    """From 1 at `start` of the run in a straight line to `final` at `end` of it; both are fractions of the run."""

    def __init__(self, start: Fraction = 0.0, final: Fraction = 0.0, end: Fraction = 1.0) -> None:
        if end < start:
            raise ValueError(f"schedule.end={end} is before schedule.start={start}: set it to {start} or more")
        self.start = start
        self.final = final
        self.end = end

    def __call__(self, progress: float) -> float:
        done = max(0.0, progress - self.start) / max(self.end - self.start, 1e-12)
        return 1 + (self.final - 1) * min(done, 1.0)


class Cosine:
    """From 1 at `start` of the run along half a cosine to `final` at `end` of it; both are fractions of the run."""

    def __init__(self, start: Fraction = 0.0, final: Fraction = 0.0, end: Fraction = 1.0) -> None:
        self.line = Linear(start, 0.0, end)
        self.final = final

    def __call__(self, progress: float) -> float:
        remaining = self.line(progress)
        return self.final + (1 - self.final) * (1 - math.cos(math.pi * remaining)) / 2
