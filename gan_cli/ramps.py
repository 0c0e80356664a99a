"""Numbers that follow progress, in images shown: weights of terms, strengths of augmentations, critic steps,
settings of optimizers, the half-life of the averaged generator.

On the command line `'penalty.r1.weight=${linear:1,0.1,1000000}'` is short for `Linear(1, 0.1, 1000000)`; `cosine` and
`steps` alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gan_cli.types import PositiveInt, Ramp


def settled(value: Any, images: int) -> Any:
    """What a setting is once `images` were shown: ramps in it, also within a list, give way to their numbers."""
    if isinstance(value, Ramp):
        return value.at(images)
    # torch's Adam takes no integers among its betas
    return [float(settled(part, images)) for part in value] if isinstance(value, list) else value


class Linear(Ramp):
    """From `start` in a straight line to `end`, reached after `images`; `end` from then on."""

    def __init__(self, start: float, end: float, images: PositiveInt) -> None:
        self.start, self.end, self.images = start, end, images
        super().__init__()

    def at(self, images: int) -> float:
        return self.start + (self.end - self.start) * min(1.0, images / self.images)


class Cosine(Linear):
    """From `start` along half a cosine to `end` (R3GAN's schedules, arXiv 2501.05441, table 9)."""

    def at(self, images: int) -> float:
        remaining = (1 + math.cos(math.pi * min(1.0, images / self.images))) / 2
        return self.end + (self.start - self.end) * remaining


class Steps(Ramp):
    """`values[i]` until `images[i]`, the last value from then on; one value more than there are bounds."""

    def __init__(self, values: Sequence[float], images: Sequence[int]) -> None:
        if len(values) != len(images) + 1:
            raise ValueError(f"{len(values)} values need {len(values) - 1} bounds between them, not {len(images)}")
        self.values, self.images = tuple(values), tuple(images)
        super().__init__()

    def at(self, images: int) -> float:
        return self.values[sum(images >= bound for bound in self.images)]
