"""Kernel distance: the squared maximum mean discrepancy with a cubic kernel (KID: Binkowski 2018, arXiv 1801.01401).

k(x, y) = (x·y / F + 1)³
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from gan_cli import rng
from gan_cli.metrics import Better, Context, Estimate, Metric, NotMeasurable
from gan_cli.metrics.features import Features, Seen

BLOCK = 1000
LEAST = 20  # ten blocks of two


def _kernel_sum(x: Tensor, y: Tensor, chunk: int = 2048) -> float:
    """Σ k(xᵢ, yⱼ) over all pairs, without the whole matrix.

    The products keep the features' precision, because they are the expensive part; the sum is in float64, where the
    rounding of a million products averages out.
    """
    total = 0.0
    for piece in x.split(chunk):
        total += float((piece @ y.T).div_(x.shape[1]).add_(1).pow_(3).sum(dtype=torch.float64))
    return total


def _own_sum(x: Tensor) -> float:
    """Σ k(xᵢ, xᵢ)."""
    return float(x.double().square().sum(1).div(x.shape[1]).add(1).pow(3).sum())


def mmd2(x: Tensor, y: Tensor) -> float:
    """The unbiased estimate from features `[m, F]` and `[n, F]`: pairs of a sample with itself do not count."""
    m, n = len(x), len(y)
    within_x = (_kernel_sum(x, x) - _own_sum(x)) / (m * (m - 1))
    within_y = (_kernel_sum(y, y) - _own_sum(y)) / (n * (n - 1))
    return within_x + within_y - 2 * _kernel_sum(x, y) / (m * n)


def block_estimate(fake: Tensor, real: Tensor) -> Estimate:
    """The mean over disjoint blocks, which are independent, so that its standard error is valid."""
    size = min(BLOCK, min(len(fake), len(real)) // 10)
    if size < 2:
        raise NotMeasurable(f"kid needs at least {LEAST} samples on both sides, not {min(len(fake), len(real))}")
    count = min(len(fake), len(real)) // size
    blocks = [mmd2(fake[i * size : (i + 1) * size], real[i * size : (i + 1) * size]) for i in range(count)]
    values = torch.tensor(blocks, dtype=torch.float64)
    used = count * size
    return Estimate(
        float(values.mean()), float(values.std() / count**0.5), f"{count} disjoint blocks of {size}", used, used
    )


def subset_estimate(fake: Tensor, real: Tensor, seed: int, subsets: int = 100, size: int = BLOCK) -> Estimate:
    """The convention of 100 random subsets of 1000. Their spread is not an error bar, so none is given."""
    generator = rng.generator(seed, "kid")
    values = []
    for _ in range(subsets):
        x = fake[torch.randperm(len(fake), generator=generator)[:size]]
        y = real[torch.randperm(len(real), generator=generator)[:size]]
        values.append(mmd2(x, y))
    mean = float(torch.tensor(values, dtype=torch.float64).mean())
    return Estimate(mean, None, f"{subsets} random subsets of {size}", len(fake), len(real))


class Kernel(Metric):
    """`kid` with the standard error of disjoint blocks; optionally `kid_100x1000` as well.

    Args:
        subsets: Also report the mean over 100 random subsets of 1000, as other libraries do.
    """

    needs = frozenset({"rows"})
    better = MappingProxyType({"kid": Better.SMALLER})

    def __init__(self, subsets: bool = True) -> None:
        self.subsets = subsets

    def least(self, seen: Seen) -> int:
        return LEAST

    def compute(self, fake: Features, real: Features, context: Context) -> Mapping[str, Estimate]:
        assert fake.rows is not None
        assert real.rows is not None
        found = {"kid": block_estimate(fake.rows, real.rows)}
        asked = self.subsets and context.wants("kid_100x1000")
        if asked and min(len(fake.rows), len(real.rows)) >= BLOCK:
            found["kid_100x1000"] = subset_estimate(fake.rows, real.rows, context.seed)
        return found


class PerClassKernel(Metric):
    """`kid_class_<k>` for each class, for a generator and data with labels; a class has too few samples for an FID."""

    needs = frozenset({"rows", "labels"})

    def compute(self, fake: Features, real: Features, context: Context) -> Mapping[str, Estimate]:
        assert fake.rows is not None
        assert real.rows is not None
        if context.classes < 2 or fake.row_labels is None or len(fake.row_labels.unique()) < 2:
            raise NotMeasurable("kid_per_class needs a generator that draws classes on demand and labelled data")
        assert real.row_labels is not None
        return {
            f"kid_class_{k}": block_estimate(fake.rows[fake.row_labels == k], real.rows[real.row_labels == k])
            for k in range(context.classes)
        }
