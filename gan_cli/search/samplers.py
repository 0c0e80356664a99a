"""Where a search looks next. Each gives the sampler of a trial by the trial's number: what it draws is a function of
the seed, the number and the trials before, so that a search that was killed goes on as if it had never stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from gan_cli.types import PositiveInt

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

OfTrial = Callable[[int], "BaseSampler"]


def _drawn(seed: int, number: int) -> int:
    """A seed for one trial."""
    return int(np.random.SeedSequence([seed % 2**64, number]).generate_state(1)[0])


def tpe(seed: int, startup: PositiveInt, joint: bool) -> OfTrial:
    """The tree-structured Parzen estimator (arXiv 2304.11127).

    Args:
        startup: Trials at random before it begins to model.
        joint: Whether it models all settings together instead of one by one.
    """
    from optuna.samplers import TPESampler

    return lambda number: TPESampler(seed=_drawn(seed, number), n_startup_trials=startup, multivariate=joint)


def gp(seed: int, startup: PositiveInt) -> OfTrial:
    """A Gaussian process and its expected improvement.

    Args:
        startup: Trials at random before it begins to model.
    """
    from optuna.samplers import GPSampler

    return lambda number: GPSampler(seed=_drawn(seed, number), n_startup_trials=startup)


def random(seed: int) -> OfTrial:
    """Uniformly at random (on the scale of each interval)."""
    from optuna.samplers import RandomSampler

    return lambda number: RandomSampler(seed=_drawn(seed, number))
