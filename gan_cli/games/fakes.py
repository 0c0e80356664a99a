"""Where the fakes of an update come from: drawn for it alone, or drawn once for both players.

A tutorial's loop draws one batch of fakes a step and shows it to both players, which saves a pass of the generator.
Here a step's two players touch in one place, the last update of the first and the first update of the second; there
the fakes can be handed over, with the batch and the latents that they were drawn from.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from torch import Tensor

from gan_cli.types import Batch, Need, Outcome, Phase

Needs = frozenset[str]


class Drawn(NamedTuple):
    """Fakes, and what they were drawn from."""

    batch: Batch
    latent: Tensor  # a leaf with a gradient where a term needs one
    fake: Tensor


Draw = Callable[[Batch, Needs], Drawn]
Through = Callable[[Draw, Batch, Needs], Drawn]  # how an objective comes by its fakes


def afresh(draw: Draw, batch: Batch, needs: Needs) -> Drawn:
    """New fakes for this update alone."""
    return draw(batch, needs)


class Handover:
    """Fakes that one player's update leaves to the other's, in order.

    Args:
        needs: What the other's terms may need of the latents.
    """

    def __init__(self, needs: Needs) -> None:
        self.needs = needs
        self._waiting: deque[Drawn] = deque()

    def leave(self, draw: Draw, batch: Batch, needs: Needs) -> Drawn:
        drawn = draw(batch, needs | self.needs)
        self._waiting.append(drawn)
        return drawn

    def take(self, draw: Draw, batch: Batch, needs: Needs) -> Drawn:
        return self._waiting.popleft()


def fresh(first: Phase, second: Phase, needs: Needs) -> tuple[Phase, ...]:
    """Each update draws its own fakes."""
    return first, second


def reused(first: Phase, second: Phase, needs: Needs) -> tuple[Phase, ...]:
    """The last update of `first` and the first update of `second` share a batch, its latents and its fakes."""
    handover = Handover(needs)

    def twice(update: int) -> bool:  # the other's update goes back through the same fakes
        return first.twice(update) or Need.LATENT_GRAD in needs

    leaves, takes = _through(first, handover.leave), _through(second, handover.take)
    phases = (
        replace(first, runs=first.runs - 1),
        replace(first, runs=1, objective=leaves, uses_real=True, builds=frozenset({"generator"}), twice=twice),
        replace(second, runs=1, objective=takes, uses_real=False),
        replace(second, runs=second.runs - 1),
    )
    return tuple(phase for phase in phases if phase.runs)


def _through(phase: Phase, through: Through) -> Callable[[Batch, int], Outcome]:
    objective: Callable[..., Outcome] = phase.objective  # both players' also take `through`
    return partial(objective, through=through)


FAKES: Mapping[str, Callable[[Phase, Phase, Needs], tuple[Phase, ...]]] = {"fresh": fresh, "reused": reused}
