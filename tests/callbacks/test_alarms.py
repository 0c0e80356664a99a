"""Judgement of numbers alone: each alarm rings on its pattern, on nothing else, and clears."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import count

import pytest

from gan_cli.callbacks import readings
from gan_cli.callbacks.alarms import CONSTANT, HUGE_LOSS, HUGE_WEIGHTS, alarms, swings
from gan_cli.callbacks.monitor import Finding, Monitor
from gan_cli.losses import Hinge, LeastSquares, Loss, NonSaturating, Wasserstein

RATES = {"generator": 2e-4, "discriminator": 2e-4}
EVERY, PATIENCE = 50, 500
HEALTHY = {
    readings.REAL: 0.75,
    readings.FAKE: 0.25,
    readings.DIVERSITY: 0.9,
    readings.DISTANCE: 0.2,
    readings.GENERATOR_GRADIENT: 1.0,
    readings.LEAK: 0.02,
}

Pattern = Callable[[int], Mapping[str, float]]


def healthy(i: int) -> dict[str, float]:
    """A game that goes well, with the noise of one."""
    noise = math.sin(12.9898 * i)
    return {
        readings.REAL: 0.75 + 0.05 * noise,
        readings.FAKE: 0.25 - 0.04 * noise,
        readings.DIVERSITY: min(0.9, 0.25 + 0.1 * i),
        readings.DISTANCE: max(0.2, 1.2 - 0.1 * i),
        readings.GENERATOR_GRADIENT: 1.0 + 0.5 * noise,
        readings.LEAK: 0.04 + 0.03 * noise,
    }


def always(**values: float) -> Pattern:
    """The healthy game but for numbers that keep their values."""
    names = {
        "real": readings.REAL,
        "fake": readings.FAKE,
        "diversity": readings.DIVERSITY,
        "distance": readings.DISTANCE,
        "gradient": readings.GENERATOR_GRADIENT,
    }
    names |= {"leak": readings.LEAK}
    return lambda i: healthy(i) | {names[name]: value for name, value in values.items()}


def chase(i: int) -> dict[str, float]:
    """The players take turns in winning."""
    lead = 0.4 * math.cos(i * math.pi / 2)
    return healthy(i) | {readings.REAL: 0.5 + lead, readings.FAKE: 0.5 - lead}


def fading(i: int) -> dict[str, float]:
    return healthy(i) | {readings.GENERATOR_GRADIENT: 0.5**i}


PATTERNS: dict[str, Pattern] = {
    "saturated_discriminator": always(real=0.995, fake=0.03),
    "discriminator_fails_on_real": always(real=0.3, fake=0.2),
    "weak_discriminator": always(real=0.51, fake=0.49, distance=1.0),
    "fooled_discriminator": always(real=0.98, fake=0.95),
    "collapsed_generator": always(diversity=0.05),
    "constant_generator": always(diversity=0.0),
    "vanishing_generator_gradient": fading,
    "leaking_augmentation": always(leak=0.4),
    "oscillation": chase,
}

OF_MANY_READINGS = {"oscillation", "vanishing_generator_gradient"}  # one good reading among them says little


def monitor(loss: Loss | None = None, patience: int = PATIENCE) -> Monitor:
    return Monitor(alarms((loss or NonSaturating()).targets, True, RATES), patience)


def play(judge: Monitor, pattern: Pattern, readings: int, first: int = 1) -> list[Finding]:
    """`readings` rows of a pattern; what changed."""
    rows = ({"step": (first + i) * EVERY, **pattern(i)} for i in range(readings))
    return [change for row in rows for change in judge.observe(row)]


@pytest.mark.parametrize("name", PATTERNS)
def test_each_alarm_rings_once_on_its_pattern_alone(name: str) -> None:
    judge = monitor()
    (found,) = play(judge, PATTERNS[name], 60)
    assert found.name == name
    assert found.cleared is None
    assert found.step > PATIENCE
    assert judge.findings == [found]
    assert "{" not in found.message + found.remedy


@pytest.mark.parametrize("name", PATTERNS)
def test_each_alarm_clears_and_rings_again(name: str) -> None:
    judge = monitor()
    play(judge, PATTERNS[name], 60)
    (cleared,) = play(judge, healthy, 60, first=61)
    assert (cleared.name, cleared.step) == (name, judge.findings[0].step)
    assert cleared.cleared is not None
    assert 60 * EVERY + PATIENCE <= cleared.cleared <= 120 * EVERY
    (again,) = play(judge, PATTERNS[name], 60, first=121)
    assert again.name == name
    assert [f.cleared is None for f in judge.findings] == [False, True]


def test_a_healthy_game_is_left_in_peace() -> None:
    assert play(monitor(), healthy, 400) == []
    # so is one that has come to its end: D(x) is one half where samples are as good as the data
    assert play(monitor(), always(real=0.505, fake=0.498), 400) == []


@pytest.mark.parametrize("name", sorted({*PATTERNS} - OF_MANY_READINGS))
def test_one_good_reading_begins_the_count_anew(name: str) -> None:
    judge = monitor()
    assert play(judge, PATTERNS[name], PATIENCE // EVERY) == []
    assert play(judge, lambda i: HEALTHY, 1, first=PATIENCE // EVERY + 1) == []
    assert play(judge, PATTERNS[name], PATIENCE // EVERY, first=PATIENCE // EVERY + 2) == []
    assert [f.name for f in play(judge, PATTERNS[name], 1, first=2 * PATIENCE // EVERY + 2)] == [name]


@pytest.mark.parametrize("name", sorted(OF_MANY_READINGS))
def test_one_good_reading_says_little_where_many_are_looked_at(name: str) -> None:
    """It rings all the same, and not before its time."""
    judge = monitor()
    assert play(judge, PATTERNS[name], PATIENCE // EVERY) == []
    assert play(judge, lambda i: HEALTHY, 1, first=PATIENCE // EVERY + 1) == []
    assert name in [f.name for f in play(judge, PATTERNS[name], 60, first=PATIENCE // EVERY + 2)]


def test_few_readings_far_apart_do_not_suffice() -> None:
    judge = monitor(patience=1)
    assert play(judge, PATTERNS["fooled_discriminator"], 2) == []
    assert len(play(judge, PATTERNS["fooled_discriminator"], 1, first=3)) == 1


@pytest.mark.parametrize("loss", [Wasserstein(), Hinge(), LeastSquares()], ids=lambda loss: type(loss).__name__)
def test_scores_that_are_no_probabilities_are_not_taken_for_them(loss: Loss) -> None:
    about_probabilities = {n for n in PATTERNS if "discriminator" in n}
    assert len(about_probabilities) == 4
    for name in about_probabilities:
        assert play(monitor(loss), PATTERNS[name], 60) == []
    for name in ("collapsed_generator", "constant_generator", "vanishing_generator_gradient"):
        assert [f.name for f in play(monitor(loss), PATTERNS[name], 60)] == [name]
    wide = lambda i: healthy(i) | {readings.REAL: 5 * math.cos(i * math.pi / 2), readings.FAKE: 0.0}  # noqa: E731
    assert [f.name for f in play(monitor(loss), wide, 60)] == ["oscillation"]
    steady = lambda i: healthy(i) | {readings.REAL: 20 + math.cos(i * math.pi / 2), readings.FAKE: 0.0}  # noqa: E731
    assert play(monitor(loss), steady, 60) == []


def test_smoothed_labels_move_the_thresholds() -> None:
    """With targets a and b the optimal D is (a·p + b·q) / (p + q): between equals 0.5 for 0.9 and 0.1, 0.45 for 0.9."""
    smooth = NonSaturating(real_label=0.9)
    equal = always(real=0.45, fake=0.45)
    assert play(monitor(smooth), equal, 60) == []
    assert [f.name for f in play(monitor(), equal, 60)] == ["discriminator_fails_on_real"]
    sure = always(real=0.895, fake=0.105)
    assert [f.name for f in play(monitor(NonSaturating(0.9, 0.1)), sure, 60)] == ["saturated_discriminator"]
    assert play(monitor(), sure, 60) == []
    assert play(monitor(NonSaturating(0.5, 0.5)), sure, 60) == []  # targets without a way between them


def test_remedies_are_words_of_this_run() -> None:
    rates = {"generator": 1e-3, "discriminator": 2e-4}
    words = {alarm.name: alarm.remedies for alarm in alarms((1.0, 0.0), True, rates)}
    assert {"penalty=[r1]", "augment=[diffaugment]"} < {*words["saturated_discriminator"]}
    assert "optimizer.discriminator.lr=5e-05" in words["saturated_discriminator"]
    assert {"optimizer.discriminator.lr=0.0008", "optimizer.generator.lr=0.00025"} < {*words["weak_discriminator"]}
    on_points = {word for alarm in alarms((1.0, 0.0), False, rates) for word in alarm.remedies}
    assert "augment=[diffaugment]" not in on_points
    assert "augment=[instance_noise]" in on_points


def test_swings_are_measured_around_their_mean() -> None:
    assert swings([3 + (-1) ** i for i in range(12)]) == 1
    assert swings([float(i) for i in range(12)]) == 0  # a trend crosses its mean once
    assert swings([1.0, -1.0] * 5) == 0  # too short


def test_thresholds_are_in_order() -> None:
    steps = count(1)
    judge = monitor(patience=1)
    for _ in range(3):
        judge.observe({"step": next(steps), readings.DIVERSITY: CONSTANT / 2})
    for _ in range(3):
        judge.observe({"step": next(steps), readings.DIVERSITY: CONSTANT * 2})
    assert [(f.name, f.cleared is None) for f in judge.findings] == [
        ("constant_generator", False),
        ("collapsed_generator", True),
    ]


SIZES = {
    readings.DISCRIMINATOR_LOSS: 1.4,
    readings.GENERATOR_LOSS: 0.7,
    readings.DISCRIMINATOR_WEIGHTS: 0.1,
    readings.GENERATOR_WEIGHTS: 0.05,
}


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("loss", [NonSaturating(), Wasserstein()], ids=lambda loss: type(loss).__name__)
def test_divergence_is_told_at_once_and_no_longer_once_it_is_over(loss: Loss, name: str) -> None:
    judge = monitor(loss)
    beyond = 2 * (HUGE_WEIGHTS if "weights" in name else HUGE_LOSS)
    assert judge.observe({"step": EVERY, **SIZES}) == []
    (found,) = judge.observe({"step": 2 * EVERY, **SIZES, name: beyond})
    assert (found.name, found.step) == ("diverged", 2 * EVERY)
    assert judge.rings("diverged")
    assert play(judge, lambda i: {**SIZES, name: beyond}, 60, first=3) == []
    (cleared,) = play(judge, lambda i: SIZES, 60, first=63)
    assert cleared.cleared is not None
    assert not judge.rings("diverged")


def test_critics_that_drift_have_not_diverged_and_probabilities_of_nothing_have() -> None:
    """A critic's scores have no zero: what all of them gain, its loss does not see and G's does."""
    drifted = {**SIZES, readings.DISCRIMINATOR_LOSS: -40.0, readings.GENERATOR_LOSS: 9000.0}
    assert play(monitor(Wasserstein()), lambda i: drifted, 60) == []
    assert [f.name for f in play(monitor(), lambda i: drifted, 60)] == ["diverged"]
    mapping = {**SIZES, readings.GENERATOR_WEIGHTS: 100.0}  # of layers whose learning rate is a hundredth
    assert play(monitor(), lambda i: mapping, 60) == []
