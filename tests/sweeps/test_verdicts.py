"""Keep, drop or undecided: what chance alone does, what a true difference does, and which way is better."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gan_cli.errors import NotComparable
from gan_cli.evaluation.comparison import Mean, Side, bar, direction, verdict
from gan_cli.evaluation.verdicts import DROP, KEEP, UNDECIDED, compare, judge


def side(name: str, *values: float, seeds: str = "0123456789", metric: str = "kid_50") -> Side:
    return Side(name, tuple({metric: {"value": value}} for value in values), tuple(seeds[: len(values)]))


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_forty_null_comparisons_give_a_verdict_in_at_most_three(seeds: int) -> None:
    """Both sides follow one law: what a seed does to both, and what each run adds by itself."""
    rng = np.random.default_rng(0)
    told = []
    for _ in range(40):
        shared = rng.normal(size=seeds)
        a, b = shared + rng.normal(size=(2, seeds))
        told.append(compare(side("a", *a), side("b", *b))["verdict"])
    assert sum(verdict != UNDECIDED for verdict in told) <= 3


def test_the_bar_is_exceeded_by_chance_as_rarely_for_any_number_of_seeds() -> None:
    """Closed forms of Student's quantiles: Cauchy's law for one degree of freedom, an algebraic one for two."""
    inside = math.erf(2 / math.sqrt(2))
    assert bar(1) == pytest.approx(math.tan(math.pi * inside / 2))
    assert bar(2) == pytest.approx(inside * math.sqrt(2 / (1 - inside**2)))
    assert bar(math.inf) == 2
    assert [bar(n) for n in (1, 2, 5, 50, 5000)] == sorted((bar(n) for n in (1, 2, 5, 50, 5000)), reverse=True)
    rng = np.random.default_rng(1)
    draws = rng.normal(size=(20_000, 3))
    beyond = np.abs(draws.mean(1)) > bar(2) * draws.std(1, ddof=1) / math.sqrt(3)
    assert beyond.mean() == pytest.approx(1 - inside, abs=0.005)


def test_pairs_take_out_what_the_seed_does_to_both() -> None:
    """The spread over seeds is a hundred times the difference, and the same on both sides."""
    shared = np.array([10.0, 50.0, 90.0, 30.0])
    a, b = side("a", *shared), side("b", *(shared - 1 + np.array([0.01, -0.01, 0.02, -0.02])))
    found = compare(a, b)
    assert (found["verdict"], found["pairs"]) == (KEEP, 4)
    assert found["difference"] == pytest.approx(-1)
    assert compare(b, a)["verdict"] == DROP
    assert compare(b, a)["difference"] == -found["difference"]


def test_larger_is_better_where_the_metric_says_so() -> None:
    a, b = (side(name, *values, metric="recall_50") for name, values in (("a", (0.1, 0.2)), ("b", (0.5, 0.6))))
    assert compare(a, b)["verdict"] == KEEP
    assert compare(b, a)["verdict"] == DROP


def test_pairs_are_of_one_seed() -> None:
    """In another order, and where each side has a seed that the other lacks."""
    a, b = side("a", 1.0, 2.0, 9.0, seeds="017"), side("b", 2.5, 1.5, -9.0, seeds="108")
    found = compare(a, b)
    assert (found["pairs"], found["difference"], found["se"]) == (2, 0.5, 0.0)


@pytest.mark.parametrize("differences", [(), (1.0,), (1.0, math.inf), (math.nan, 1.0)])
def test_what_cannot_be_told_is_undecided(differences: tuple[float, ...]) -> None:
    found = judge(differences)
    assert found.verdict == UNDECIDED
    assert found.se is None
    assert found.reason


def test_a_metric_without_a_direction_decides_nothing() -> None:
    with pytest.raises(NotComparable, match="which way is better"):
        compare(side("a", 1.0, metric="mine"), side("b", 2.0, metric="mine"))


@pytest.mark.parametrize(
    ("metric", "way"),
    [
        ("fid", "smaller"),
        ("fd_pixels", "smaller"),
        ("fd_debiased_pixels_50", "smaller"),
        ("kid_classifier_1000", "smaller"),
        ("recall", "larger"),
        ("psnr_gain", "larger"),
        ("modest", None),
        ("fidelity", None),
    ],
)
def test_the_direction_of_a_metric(metric: str, way: str | None) -> None:
    assert direction(metric) == way


def test_means_over_few_seeds_need_a_larger_difference() -> None:
    few, many = (Mean(0.0, 1.0, seeds) for seeds in (2, 1000))
    assert verdict(many, Mean(2.9, 1.0, 1000)) == "differs"
    assert verdict(few, Mean(2.9, 1.0, 2)) == "no difference shown"
    assert verdict(few, Mean(2.9, 0.0, 1)) == "no difference shown"
    assert verdict(Mean(0.0, 0.0, 3), Mean(0.1, 0.0, 3)) == "differs"
