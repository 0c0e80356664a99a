"""Points compared with a mixture whose modes are known."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch

from gan_cli.errors import two_lines
from gan_cli.metrics import Better, Context, Estimate, Metric, NotMeasurable
from gan_cli.metrics.features import Features, Seen
from gan_cli.metrics.scores import kl_from_counts
from gan_cli.types import PositiveInt

REACH = 3.0  # standard deviations within which a sample is of high quality (VEEGAN, arXiv 1705.07761, section 4.1)
PLANE = two_lines(
    "point_modes measures points in the plane or on a line", "use it with dataset=ring, grid, swiss_roll or line"
)
MOST = 2  # coordinates: images have more features


class PointModes(Metric):
    """`modes`, `high_quality`, `mode_kl` for a mixture, and `w2` for any density: the exact Wasserstein distance.

    Args:
        subsample: Points on each side of the exact transport problem.
    """

    needs = frozenset({"rows"})
    better = MappingProxyType({"w2": Better.SMALLER})  # the others need the mixture

    def __init__(self, subsample: PositiveInt = 1000) -> None:
        self.subsample = subsample

    def least(self, seen: Seen) -> int:
        if seen.features.shape[1] > MOST:
            raise NotMeasurable(PLANE)
        return super().least(seen)

    def compute(self, fake: Features, real: Features, context: Context) -> Mapping[str, Estimate]:
        if fake.rows is None or real.rows is None or fake.rows.shape[1] > MOST:
            raise NotMeasurable(PLANE)
        found = {}
        if context.mixture is not None:
            centres, std = context.mixture
            distance, nearest = torch.cdist(fake.rows, centres.float()).min(1)
            good = distance < REACH * std
            counts = nearest[good].bincount(minlength=len(centres))
            share = good.double().mean()
            found = {
                "modes": Estimate(float((counts > 0).sum()), None, f"of {len(centres)}, within {REACH:g} std"),
                "high_quality": Estimate(
                    float(share), float((share * (1 - share) / len(good)).sqrt()), f"fraction within {REACH:g} std"
                ),
                "mode_kl": Estimate(
                    kl_from_counts(counts, torch.ones_like(counts)) if good.any() else float("inf"),
                    None,
                    "of high-quality samples against uniform, nats",
                ),
            }
        size = min(self.subsample, len(fake.rows), len(real.rows))
        w2 = wasserstein2(fake.rows[:size], real.rows[:size])
        return {**found, "w2": Estimate(w2, None, f"exact on {size} points", size, size)}


def wasserstein2(x: torch.Tensor, y: torch.Tensor) -> float:
    """(min over pairings of the mean of ‖xᵢ - y_π(i)‖²)^½, for equally many points on both sides."""
    from scipy.optimize import linear_sum_assignment

    cost = torch.cdist(x.double(), y.double()).square()
    rows, columns = linear_sum_assignment(cost.numpy())
    return float(cost[rows, columns].mean().sqrt())
