"""Precision and recall (Kynkäänniemi 2019, arXiv 1904.06991), density and coverage (Naeem 2020, arXiv 2002.09797).

A set's manifold is the union of balls around its samples that reach to their k-th neighbour.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from gan_cli.errors import two_lines
from gan_cli.metrics import Better, Context, Estimate, Metric, NotMeasurable
from gan_cli.metrics.features import Features, Seen
from gan_cli.types import PositiveInt

CHUNK = 1000


def squared_distances(piece: Tensor, others: Tensor, square: Tensor) -> Tensor:
    """‖xᵢ - yⱼ‖² `[chunk, n]`; `square` holds ‖yⱼ‖²."""
    return torch.addmm(square, piece, others.T, alpha=-2).add_(piece.square().sum(1, keepdim=True))


def radii(x: Tensor, k: int) -> Tensor:
    """Squared distance `[n]` from each sample to its k-th neighbour, itself not counted."""
    square = x.square().sum(1)
    pieces = [squared_distances(p, x, square).topk(k + 1, largest=False).values[:, -1] for p in x.split(CHUNK)]
    return torch.cat(pieces)


def prdc(real: Tensor, fake: Tensor, k: int) -> dict[str, float]:
    """The four numbers from features `[n, F]` and `[m, F]`, in chunks: an n x m matrix is never held in full."""
    centre = real.mean(0)  # squares of large numbers would swamp their differences
    real, fake = real.float() - centre, fake.float() - centre
    real_radius, fake_radius = radii(real, k), radii(fake, k)
    square = fake.square().sum(1)
    inside = torch.zeros(len(fake), dtype=torch.int64)  # number of real balls that each fake lies in
    recalled = covered = 0
    for piece, radius in zip(real.split(CHUNK), real_radius.split(CHUNK), strict=True):
        distances = squared_distances(piece, fake, square)
        inside += (distances < radius.unsqueeze(1)).sum(0)
        recalled += int((distances < fake_radius).any(1).sum())
        covered += int((distances.min(1).values < radius).sum())
    return {
        "precision": float((inside > 0).double().mean()),
        "recall": recalled / len(real),
        "density": float(inside.double().mean()) / k,
        "coverage": covered / len(real),
    }


class PRDC(Metric):
    """`precision`, `recall`, `density`, `coverage`.

    Args:
        k: Neighbours; density and coverage were defined with 5, precision and recall with 3.
    """

    needs = frozenset({"rows"})
    better = MappingProxyType(dict.fromkeys(("precision", "recall", "density", "coverage"), Better.LARGER))

    def __init__(self, k: PositiveInt = 5) -> None:
        self.k = k

    def least(self, seen: Seen) -> int:
        return self.k + 1

    def compute(self, fake: Features, real: Features, context: Context) -> Mapping[str, Estimate]:
        assert fake.rows is not None
        assert real.rows is not None
        n, m = len(fake.rows), len(real.rows)
        if min(n, m) <= self.k:
            raise NotMeasurable(
                two_lines(
                    f"prdc with k={self.k} needs more than {self.k} samples on both sides, not {min(n, m)}",
                    "raise n, or lower metrics.prdc.k",
                )
            )
        found = prdc(real.rows, fake.rows, self.k)
        return {name: Estimate(value, None, f"k={self.k}", n, m) for name, value in found.items()}
