"""The Fréchet distance of two Gaussians (Dowson and Landau 1982; FID: Heusel 2017, arXiv 1706.08500, equation 6).

    d² = ‖μ₁ - μ₂‖² + tr Σ₁ + tr Σ₂ - 2 tr (Σ₁Σ₂)^½

With Σᵢ = FᵢFᵢᵀ the last trace is the nuclear norm of F₁ᵀF₂: real arithmetic only, nothing added to the diagonal.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from gan_cli.errors import two_lines
from gan_cli.metrics import Better, Context, Estimate, Metric, NotMeasurable
from gan_cli.metrics.features import GROUPS, Features, Seen
from gan_cli.metrics.moments import Gaussian, leaving_out, without

FEW = 500  # samples up to which ten more distances take a moment
ENOUGH = 5  # samples per feature below which the jackknife's error bar was found too narrow


def nuclear_norm(a: Gaussian, b: Gaussian) -> float:
    """tr (Σ₁Σ₂)^½."""
    if a.thin is not None or b.thin is not None:
        return float(torch.linalg.svdvals(a.factor.T @ b.factor).sum())
    # Neither is thin: the eigenvalues of FᵀΣF are the squares of those singular values, and much cheaper.
    product = b.factor.T @ a.covariance @ b.factor
    return float(torch.linalg.eigvalsh((product + product.T) / 2).clamp_min(0).sqrt().sum())


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """d² in the squared units of the features. The factor of `b` is computed once and kept with it."""
    squared = float((a.mean - b.mean).square().sum()) + a.trace + b.trace - 2 * nuclear_norm(a, b)
    return max(squared, 0.0)  # for a set against itself, rounding may give less


class Frechet(Metric):
    """`fid` with the 2015 Inception, `fd` with any other detector."""

    better = MappingProxyType({"fid": Better.SMALLER})

    def compute(self, fake: Features, real: Features, context: Context) -> Mapping[str, Estimate]:
        distance = frechet_distance(fake.moments, real.moments)
        return {"fid": Estimate(distance, spread(fake.moments, real.moments), "n-1 covariance, float64")}


def deviation(leaving: Tensor) -> float:
    """The standard error, from the values `[G]` that leave out one group each."""
    count = len(leaving)
    return float(((count - 1) / count * (leaving - leaving.mean()).square().sum()).sqrt())


def spread(fake: Gaussian, real: Gaussian) -> float | None:
    """The standard error of the distance at this number of samples, by leaving out one tenth of them at a time. It is
    of the generated side, and knows nothing of the bias. None where the samples are many: ten more distances cost much.
    """
    if fake.thin is None or fake.thin.shape[1] != fake.n or not GROUPS < fake.n <= FEW:
        return None
    distances = [frechet_distance(left, real) for left in leaving_out(fake, GROUPS)]
    return deviation(torch.tensor(distances, dtype=torch.float64))


def jackknife(fake: Features, real: Features) -> Estimate:
    """The distance corrected for its bias of order 1/n from the generated side, by leaving out one tenth at a time.

        θ_J = G θ - (G - 1) mean θ₋g,   se² = (G - 1)/G Σ (θ₋g - mean θ₋g)²

    (Quenouille 1956.) The bias from the reference's finite sample remains.
    """
    whole = frechet_distance(fake.moments, real.moments)
    leaving = torch.tensor(
        [frechet_distance(without(fake.moments, group), real.moments) for group in fake.groups], dtype=torch.float64
    )
    count = len(leaving)
    return Estimate(
        float(count * whole - (count - 1) * leaving.mean()), deviation(leaving), f"delete-a-group jackknife, {count}"
    )


class DebiasedFrechet(Metric):
    """`fid_debiased`: never to be called FID. Refused for fewer than 5 samples per feature."""

    needs = frozenset({"groups"})
    better = MappingProxyType({"fid_debiased": Better.SMALLER})

    def least(self, seen: Seen) -> int:
        return ENOUGH * seen.features.shape[1]

    def compute(self, fake: Features, real: Features, context: Context) -> Mapping[str, Estimate]:
        width = len(fake.moments.mean)
        if fake.n < ENOUGH * width or not fake.groups:
            what = f"fid_debiased: n={fake.n} is too few for the {width} features of this detector"
            raise NotMeasurable(two_lines(what, f"give at least n={ENOUGH * width}"))
        return {"fid_debiased": jackknife(fake, real)}
