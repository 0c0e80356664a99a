"""The words of a sweep as a space: what Optuna may try is what Hydra would."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Transformer
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from gan_cli.errors import ConfigError
from gan_cli.search import samplers, space


@pytest.mark.parametrize(
    "values",
    ["range(1,6)", "range(1,10,3)", "range(9,0,-4)", "range(0.5,2,0.25)", "range(7)", "1,2,4", "choice(hinge,lsgan)"],
)
def test_a_discrete_range_has_the_values_of_hydras_sweep(values: str) -> None:
    (override,) = OverridesParser.create().parse_overrides([f"x={values}"])
    swept = {str(value) for value in override.sweep_iterator(Transformer.encode)}
    found = space.read([f"x={values}"]).ranges["x"]
    if isinstance(found, CategoricalDistribution):
        tried = set(found.choices)
    else:
        assert isinstance(found, IntDistribution | FloatDistribution)
        count = round((found.high - found.low) / found.step) + 1  # type: ignore[operator]
        tried = {str(found.low + i * found.step) for i in range(count)}  # type: ignore[operator]
    assert tried == swept


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ("interval(1e-5,1e-3)", FloatDistribution(1e-5, 1e-3)),
        ("tag(log,interval(1e-5,1e-3))", FloatDistribution(1e-5, 1e-3, log=True)),
        ("interval(1,8)", FloatDistribution(1, 8)),
        ("int(interval(1,8))", IntDistribution(1, 8)),
        ("tag(log,int(interval(1,64)))", IntDistribution(1, 64, log=True)),
        ("tag(log,range(1,65))", IntDistribution(1, 64, log=True)),
        ("[r1],[r1,r2]", CategoricalDistribution(["[r1]", "[r1,r2]"])),
    ],
)
def test_a_range_is_read_with_its_scale(values: str, found: object) -> None:
    assert space.read([f"x={values}", "y=3"]).ranges == {"x": found}


def test_names_can_be_globbed() -> None:
    found = space.read(["loss=glob(ra*)"]).ranges["loss"]
    assert found == CategoricalDistribution(["ragan"])


@pytest.mark.parametrize(
    "word",
    [
        *("x=interval(1,0)", "x=tag(log,interval(0,1))", "x=tag(lgo,interval(1,2))", "x=tag(log,choice(1,2))"),
        *("x=range(3,1)", "x=tag(log,range(1,9,2))", "x=intervl(1,2)", "loss=glob(nothing*)", "x=1"),
    ],
)
def test_what_is_no_range_is_told_in_two_lines(word: str) -> None:
    with pytest.raises(ConfigError) as told:
        space.read([word])
    assert len(str(told.value).splitlines()) == 2


def test_what_is_typed_replaces_what_a_space_says_and_the_rest_of_it_stays() -> None:
    layers = (["penalty=[r1]", "penalty.r1.weight=interval(1,10)"], ["+penalty.r1.weight=2", "seed=1"])
    assert space.merged(*layers) == ["penalty=[r1]", "+penalty.r1.weight=2", "seed=1"]


def test_corners_differ_from_the_first_in_one_word_and_meet_every_choice_and_both_ends() -> None:
    corners = [frozenset(words) for words in space.read(["a=1,2,3", "b=interval(0.5,1.0)", "c=7"]).corners()]
    assert corners[0] == {"a=1", "b=0.5", "c=7"}
    assert all(len(corner - corners[0]) == 1 for corner in corners[1:])
    assert frozenset().union(*corners) == {"a=1", "a=2", "a=3", "b=0.5", "b=1.0", "c=7"}


@pytest.mark.parametrize("make", [lambda seed: samplers.random(seed), lambda seed: samplers.tpe(seed, 10, True)])
def test_what_is_drawn_is_a_function_of_seed_and_number(make) -> None:
    import optuna

    def drawn(seed: int, number: int) -> float:
        study = optuna.create_study(sampler=make(seed)(number))
        return study.ask({"x": FloatDistribution(0, 1)}).params["x"]

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    cells = list(itertools.product((0, 1, -1), (0, 1, 7)))
    first, again = ([drawn(*cell) for cell in cells] for _ in range(2))
    assert first == again
    assert len(np.unique(first)) == len(cells)
