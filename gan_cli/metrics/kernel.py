"""Kernel distance: the squared maximum mean discrepancy with a cubic kernel (KID: Binkowski 2018, arXiv 1801.01401).

k(x, y) = (x·y / F + 1)³
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from gan_cli import rng
from gan_cli.errors import two_lines
from gan_cli.metrics import ON_DEMAND, Better, Context, Estimate, Metric, NotMeasurable
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


def _within(x: Tensor) -> float:
    """The mean of k over pairs of different samples."""
    return (_kernel_sum(x, x) - _own_sum(x)) / (len(x) * (len(x) - 1))


def _across(x: Tensor, y: Tensor, equal: Tensor) -> float:
    """The mean of k over pairs of a sample of each, but for the pairs `equal` `[E, 2]`, unless there are no others."""
    pairs = len(x) * len(y)
    if not 0 < len(equal) < pairs:
        return _kernel_sum(x, y) / pairs
    one, other = x[equal[:, 0]].double(), y[equal[:, 1]].double()
    own = float((one * other).sum(1).div(x.shape[1]).add(1).pow(3).sum())
    return (_kernel_sum(x, y) - own) / (pairs - len(equal))


def same(a: Tensor | None, b: Tensor | None) -> Tensor:
    """The pairs `[E, 2]` of an image with itself, by their keys `[m]` and `[n]`; none where these are not known. Of an
    image that is in both sets several times, each is in one pair: the others are independent of it."""
    if a is None or b is None:
        return torch.empty(0, 2, dtype=torch.int64)
    return (a.unsqueeze(1) == b).nonzero()


def mmd2(x: Tensor, y: Tensor, equal: Tensor | None = None) -> float:
    """The unbiased estimate from features `[m, F]` and `[n, F]`: pairs of a sample with itself do not count.

    It takes x and y for independent. An image that is in both sets is a sample beside itself, not beside another, so
    the pairs `equal` `[E, 2]` do not count either: the distance of a set to itself is 0, not below it.
    """
    across = _across(x, y, same(None, None) if equal is None else equal)
    return _within(x) + _within(y) - 2 * across


def chance(x: Tensor, size: int) -> float:
    """What the biased estimate, which counts all pairs, has on average for two sets of `size` samples of one law:
    2 (E k(x, x) - E k(x, x')) / size, from features `[m, F]` of that law."""
    return 2 * (_own_sum(x) / len(x) - _within(x)) / size


def block_estimate(
    fake: Tensor, real: Tensor, fake_hashes: Tensor | None = None, real_hashes: Tensor | None = None
) -> Estimate:
    """The mean over disjoint blocks, which are independent, so that its standard error is valid.

    Rows are ordered by their keys, so that an image of both sets tends to be in the same block of each: see `mmd2`.
    """
    size = min(BLOCK, min(len(fake), len(real)) // 10)
    if size < 2:
        raise NotMeasurable(
            two_lines(
                f"kid needs at least {LEAST} samples on both sides, not {min(len(fake), len(real))}",
                "raise n, or give more real images",
            )
        )
    count = min(len(fake), len(real)) // size
    parts = [slice(i * size, (i + 1) * size) for i in range(count)]

    def equal(part: slice) -> Tensor:
        return same(*(None if hashes is None else hashes[part] for hashes in (fake_hashes, real_hashes)))

    blocks = [mmd2(fake[part], real[part], equal(part)) for part in parts]
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
        found = {"kid": block_estimate(fake.rows, real.rows, fake.row_hashes, real.row_hashes)}
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
            raise NotMeasurable(
                two_lines("kid_per_class needs a generator that draws classes on demand and labelled data", ON_DEMAND)
            )
        assert real.row_labels is not None

        def of_class(k: int, features: Features) -> tuple[Tensor, Tensor | None]:
            assert features.rows is not None
            chosen = features.row_labels == k
            return features.rows[chosen], None if features.row_hashes is None else features.row_hashes[chosen]

        found = {}
        for k in range(context.classes):
            (x, x_hashes), (y, y_hashes) = of_class(k, fake), of_class(k, real)
            found[f"kid_class_{k}"] = block_estimate(x, y, x_hashes, y_hashes)
        return found
