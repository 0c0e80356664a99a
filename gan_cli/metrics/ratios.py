"""Distances in units of chance: how far samples lie from real pictures, over how far real ones lie from each other.

    r = mean_k d(S_k, B_k) / mean_k d(A_k, B_k)

A_k and B_k are the halves of the real rows in a random order, S_k is a random half of as many samples, for k = 1 ... K.
All sets have one size, so that what a distance owes to its finite samples is the same above and below: samples of the
law of the data have 1, whatever the features and their number. Below 1 the samples are closer to these real pictures
than other real ones are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import torch
from annotated_types import Ge
from torch import Tensor

from gan_cli import rng
from gan_cli.errors import two_lines
from gan_cli.metrics import Context, Estimate, Metric, NotMeasurable
from gan_cli.metrics.features import Features
from gan_cli.metrics.frechet import frechet_distance
from gan_cli.metrics.kernel import chance, mmd2, same
from gan_cli.metrics.moments import Gaussian, Moments
from gan_cli.types import PositiveInt

LEAST = 20  # rows on each side
FRECHET, KERNEL, SLICED = "fid_ratio", "kid_ratio", "sliced_ratio"
NAMES = (FRECHET, KERNEL, SLICED)


class Rows(NamedTuple):
    """Some rows of features `[h, F]`, and their keys `[h]` where they are known."""

    values: Tensor
    hashes: Tensor | None

    def at(self, index: Tensor) -> Rows:
        return Rows(self.values[index], None if self.hashes is None else self.hashes[index])


@dataclass(frozen=True)
class Distance:
    """A squared distance of two sets, in two steps: what is computed once of each set, and the distance of two such."""

    of: Callable[[Rows], Any]
    between: Callable[[Any, Any], float]


def frechet() -> Distance:
    """Of the Gaussians with their moments."""

    def of(rows: Rows) -> Gaussian:
        moments = Moments()
        moments.add(rows.values)
        return moments.finish()

    return Distance(of, frechet_distance)


def kernel(floor: float) -> Distance:
    """The unbiased kernel distance, which is 0 on average for two sets of one law, plus what the biased one has there:
    a unit to measure it in. Pairs of equal pictures do not count."""
    return Distance(lambda rows: rows, lambda a, b: floor + mmd2(a.values, b.values, same(a.hashes, b.hashes)))


def sliced(directions: Tensor) -> Distance:
    """The sliced Wasserstein distance W₂² (Bonneel 2015): the mean over unit directions `[F, M]` of that on a line,
    where the optimal plan pairs the sorted values."""
    return Distance(lambda rows: (rows.values @ directions).sort(0).values, lambda a, b: float((a - b).square().mean()))


def ratio(distance: Distance, fake: Rows, real: Rows, orders: list[tuple[Tensor, Tensor]]) -> tuple[float, float]:
    """r and its standard error, over the random orders `(of fake, of real)`, each `[2 h]`.

    The spread of d(S_k, B_k) over random halves is the delete-half jackknife of the whole sets (Shao and Wu 1989):
    right where the distance is far from the floor, and on the floor up to √3 too wide. The floor is a mean of K values.
    """
    above, below = [], []
    for of_fake, of_real in orders:
        half = len(of_real) // 2
        b = distance.of(real.at(of_real[half:]))
        below.append(distance.between(distance.of(real.at(of_real[:half])), b))
        above.append(distance.between(distance.of(fake.at(of_fake[:half])), b))
    over, under = (torch.tensor(values, dtype=torch.float64) for values in (above, below))
    if not under.mean() > 0:
        raise NotMeasurable(
            two_lines(
                "the real pictures do not differ in these features: there is no floor to compare with",
                "use another detector, or other pictures",
            )
        )
    value = over.mean() / under.mean()
    variance = over.var() + value.square() * under.var() / len(orders)
    return float(value), float(variance.sqrt() / under.mean())


class Ratios(Metric):
    """`fid_ratio`, `kid_ratio`, `sliced_ratio`: the Fréchet, kernel and sliced Wasserstein distances, squared, in units
    of those of real pictures from each other.

    Args:
        orders: Random orders of the rows.
        directions: Of the sliced distance.
    """

    needs = frozenset({"rows"})

    def __init__(self, orders: Annotated[int, Ge(2)] = 10, directions: PositiveInt = 256) -> None:
        self.orders, self.directions = orders, directions

    def compute(self, fake: Features, real: Features, context: Context) -> Mapping[str, Estimate]:
        assert fake.rows is not None
        assert real.rows is not None
        size = min(len(fake.rows), len(real.rows)) // 2 * 2
        if size < LEAST:
            raise NotMeasurable(
                two_lines(
                    f"ratios need at least {LEAST} samples and real pictures, not {size}",
                    "raise n, or give more real pictures",
                )
            )
        centre = real.rows.mean(0)  # squares of large numbers would swamp their differences
        x, y = Rows(fake.rows[:size], fake.row_hashes), Rows(real.rows[:size], real.row_hashes)
        generator = rng.generator(context.seed, "ratios")
        permuted = [torch.randperm(size, generator=generator) for _ in range(2 * self.orders)]
        orders = list(zip(permuted[::2], permuted[1::2], strict=True))
        directions = torch.randn(y.values.shape[1], self.directions, generator=generator)
        centred = x._replace(values=x.values - centre), y._replace(values=y.values - centre)
        unit = kernel(chance(y.values, size // 2))
        found = {
            FRECHET: ratio(frechet(), x, y, orders),
            KERNEL: ratio(unit, x, y, orders),
            SLICED: ratio(sliced(directions / directions.norm(dim=0)), centred[0], centred[1], orders),
        }
        note = f"over the same between real pictures, {self.orders} random halves of {size // 2}"
        return {name: Estimate(*value_and_se, note, size, size) for name, value_and_se in found.items()}
