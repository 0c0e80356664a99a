"""Numbers that follow progress: weights of terms, strengths of augmentations, critic steps, settings of optimizers, the
factor of the learning rates, the half-life of the averaged generator.

Progress is counted in images shown, or as the fraction of the run that is done, by steps or images. On the command line
`'penalty.r1.weight=${linear:1,0.1,1000000}'` is short for `Linear(1, 0.1, 1000000)`; `cosine` alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gan_cli.types import Fraction, NonNegative, PositiveInt, Ramp

PARTS = 1000  # of a run, in each of which a ramp is looked at: it may end where it began


def settled(value: Any, images: int, done: float = 0.0) -> Any:
    """The value of a setting once `images` were shown and `done` of the run: ramps in it, also within a list, are
    replaced by their numbers."""
    if isinstance(value, Ramp):
        return value.at(images, done)
    # torch's Adam does not accept integers as betas
    return [float(settled(part, images, done)) for part in value] if isinstance(value, list) else value


def follows_run(value: Any) -> bool:
    """Whether a setting is, or contains, a ramp that follows the fraction of the run."""
    begun = settled(value, 0, 0.0)
    return any(settled(value, 0, part / PARTS) != begun for part in range(1, PARTS + 1))


def _one_unit(images: Any, fraction: Any) -> None:
    if (images is None) == (fraction is None):
        raise ValueError(
            "a ramp is counted either in images or in fractions of the run\n  give it images=, or fraction="
        )


class Linear(Ramp):
    """From `start` in a straight line to `end`, then constant.

    Args:
        start, end: Its first and last values.
        images: Images shown when it reaches `end`.
        fraction: Alternatively, the fraction of the run.
        after: When it leaves `start`, in the same unit.
    """

    def __init__(
        self,
        start: float,
        end: float,
        images: PositiveInt | None = None,
        fraction: Fraction | None = None,
        after: NonNegative = 0,
    ) -> None:
        _one_unit(images, fraction)
        self.start, self.end, self.images, self.fraction, self.after = start, end, images, fraction, after
        if after > self._last:
            what = f"a ramp cannot leave its start after={after} and be at its end before, at {self._last}"
            raise ValueError(f"{what}\n  lower after=")
        super().__init__()

    @property
    def _last(self) -> float:
        last = self.fraction if self.images is None else self.images
        assert last is not None  # one of the two is given
        return last

    def way(self, images: int, done: float) -> float:
        """How much of the way from `start` to `end` is done, 0 ... 1."""
        now = done if self.images is None else images
        return min(1.0, max(0.0, now - self.after) / max(self._last - self.after, 1e-12))

    def at(self, images: int, done: float = 0.0) -> float:
        return self.start + (self.end - self.start) * self.way(images, done)


class Cosine(Linear):
    """The same along half a cosine (R3GAN's schedules, arXiv 2501.05441, table 9)."""

    def left(self, way: float) -> float:
        """How much of the difference is left, 1 ... 0."""
        return (1 + math.cos(math.pi * way)) / 2

    def at(self, images: int, done: float = 0.0) -> float:
        return self.end + (self.start - self.end) * self.left(self.way(images, done))


class Steps(Ramp):
    """`values[i]` until `images[i]`, the last value from then on; one more value than bounds, which may be given
    as fractions of the run instead."""

    def __init__(
        self,
        values: Sequence[float],
        images: Sequence[int] | None = None,
        fractions: Sequence[Fraction] | None = None,
    ) -> None:
        _one_unit(images, fractions)
        self.values, self.in_images = tuple(values), images is not None
        self.bounds = tuple(images or fractions or ())
        if len(self.values) != len(self.bounds) + 1:
            what = f"{len(self.bounds)} bounds cannot lie between {len(self.values)} values"
            raise ValueError(f"{what}\n  give {len(self.values) - 1} bounds")
        super().__init__()

    def at(self, images: int, done: float = 0.0) -> float:
        now = images if self.in_images else done
        return self.values[sum(now >= bound for bound in self.bounds)]
