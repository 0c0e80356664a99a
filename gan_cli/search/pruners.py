"""Which trials end early. Each gives the pruner of a search by the steps at which its runs are measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from gan_cli.types import NonNegativeInt, PositiveInt

if TYPE_CHECKING:
    from optuna.pruners import BasePruner


class Measured(NamedTuple):
    """When runs are measured, in steps; None where that is not known before they begin."""

    every: int | None
    most: int | None


OfRuns = Callable[[Measured], "BasePruner"]


def none() -> OfRuns:
    """Every trial runs to its end."""
    from optuna.pruners import NopPruner

    return lambda measured: NopPruner()


def median(trials: PositiveInt, steps: NonNegativeInt) -> OfRuns:
    """A trial ends whose best measurement so far is worse than the median of the others at that step.

    Args:
        trials: As many run to their end before any is judged.
        steps: Of each trial before it is judged.
    """
    from optuna.pruners import MedianPruner

    return lambda measured: MedianPruner(n_startup_trials=trials, n_warmup_steps=steps)


def hyperband(reduction: PositiveInt) -> OfRuns:
    """Successive halving in several brackets (arXiv 1603.06560), from the first measurement to the last.

    Args:
        reduction: One in so many trials passes each rung; at least 2.
    """
    if reduction < 2:
        raise ValueError(f"pruner.reduction={reduction} would end no trial\n  give 2 or more, such as 3")
    from optuna.pruners import HyperbandPruner

    return lambda measured: HyperbandPruner(measured.every or 1, measured.most or "auto", reduction)
