"""Distances in units of those of real pictures from each other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gan_cli.metrics import Context, NotMeasurable, kernel
from gan_cli.metrics.features import Collector, Features, Seen
from gan_cli.metrics.moments import Gaussian
from gan_cli.metrics.ratios import NAMES, Ratios, Rows, sliced


def features(rows: Tensor) -> Features:
    collector = Collector(lambda images: Seen(images.flatten(1)), rows=10_000)
    collector.add(rows)
    return collector.finish()


def ratios(fake: Tensor, real: Tensor) -> dict[str, tuple[float, float]]:
    found = Ratios().compute(features(fake), features(real), Context())
    return {name: (estimate.value, estimate.se or 0.0) for name, estimate in found.items()}


def test_samples_of_the_same_law_have_one_within_the_bar() -> None:
    """Over ten sets: the mean is 1, and the bars are honest: neither too narrow nor more than twice too wide."""
    mixing = torch.randn(6, 6)
    drawn = [[torch.randn(400, 6) @ mixing for _ in range(2)] for _ in range(10)]
    found = [ratios(fake, real) for fake, real in drawn]
    for name in NAMES:
        values, bars = (torch.tensor([row[name][i] for row in found]) for i in (0, 1))
        assert abs(values.mean() - 1) < 3 * values.std() / 10**0.5
        assert 0.6 < bars.mean() / values.std() < 3.5


def test_the_size_of_the_sets_and_of_the_space_does_not_matter_on_the_floor_and_distance_shows_above_it() -> None:
    for n, width in ((60, 40), (600, 3)):
        real, near, far = (torch.randn(n, width) + shift for shift in (0.0, 0.0, 2.0))
        for name, (value, se) in ratios(near, real).items():
            assert abs(value - 1) < 3 * se, name
        for name, (value, se) in ratios(far, real).items():
            assert value - 3 * se > 3, name


def test_a_scale_of_the_features_changes_no_ratio_of_frechet_and_sliced_distances() -> None:
    def kept(rows: Tensor) -> Features:
        return Features(len(rows), Gaussian(len(rows), rows.mean(0)), rows=rows)

    fake, real = torch.randn(100, 4) + 0.5, torch.randn(100, 4)
    plain, scaled = (Ratios().compute(kept(by * fake), kept(by * real), Context()) for by in (1, 8))
    for name in ("fid_ratio", "sliced_ratio"):
        assert plain[name].value == pytest.approx(scaled[name].value, rel=1e-4)


def test_copies_of_the_real_pictures_are_closer_than_other_real_ones() -> None:
    real = torch.randn(400, 5)
    for name, (value, _) in ratios(real, real).items():
        assert value < 0.8 if name != "kid_ratio" else value == pytest.approx(1, abs=0.3)


def test_sliced_distance_of_a_shift_is_its_square_along_the_directions() -> None:
    rows, shift = torch.randn(50, 3), torch.tensor([1.0, -2.0, 0.5])
    directions = torch.eye(3)
    distance = sliced(directions)
    found = distance.between(distance.of(Rows(rows + shift, None)), distance.of(Rows(rows, None)))
    assert found == pytest.approx(float(shift.square().mean()), rel=1e-5)


def test_too_few_and_pictures_that_do_not_differ_are_refused() -> None:
    with pytest.raises(NotMeasurable, match="at least 20"):
        ratios(torch.randn(10, 3), torch.randn(100, 3))
    with pytest.raises(NotMeasurable, match="do not differ"):
        ratios(torch.randn(40, 3), torch.ones(40, 3))


def test_the_kernel_distance_of_a_set_to_itself_is_zero_and_equal_pictures_are_no_pairs() -> None:
    rows = features(torch.randn(200, 8))
    found = kernel.Kernel(subsets=False).compute(rows, rows, Context())["kid"]
    assert found.value == pytest.approx(0, abs=1e-9)
    assert found.se == pytest.approx(0, abs=1e-9)
    assert rows.rows is not None
    assert kernel.block_estimate(rows.rows, rows.rows).value < -0.001  # what counting them would give


def test_the_unit_of_the_kernel_distance_is_the_bias_of_counting_all_pairs() -> None:
    """Exactly, for two sets that are all that there is: E over draws with replacement, from the closed form."""
    law, size = torch.randn(300, 4), 20
    x, y = (law[torch.randint(300, (400, size))] for _ in range(2))

    def mean(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.transpose(1, 2) / 4 + 1).pow(3).mean()

    biased = float(mean(x, x) + mean(y, y) - 2 * mean(x, y))
    assert kernel.chance(law, size) == pytest.approx(biased, rel=0.15)
