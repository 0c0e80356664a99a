"""Power-function averages: their profiles by their formulas, what a run keeps of them, and what it goes on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from conftest import checked, same, weights, words
from gan_cli import train
from gan_cli.config import build
from gan_cli.errors import ConfigError, Incompatible, Unsound
from gan_cli.store import checkpoint
from gan_cli.training.ema import PowerAverage
from gan_cli.training.profiles import Profile, combination, exponent

TIMES = np.linspace(0.0, 5000.0, 500_001)
KEPT = "trainer.averages=[0.05,0.1]"


def curve(profile: Profile) -> np.ndarray:
    """p(τ) = (γ + 1) τ^γ / t^(γ + 1) up to t, at TIMES."""
    g, t = exponent(profile.width), profile.images
    return np.where(t >= TIMES, (g + 1) * (np.minimum(TIMES, t) / t) ** g / t, 0.0)


@pytest.mark.parametrize("width", [0.01, 0.05, 0.1, 0.2, 0.28])
def test_the_width_is_the_standard_deviation_of_the_profile(width: float) -> None:
    profile, g = Profile(width, 5000.0), exponent(width)
    p = curve(profile)
    mean = np.trapezoid(p * TIMES, TIMES)
    spread = np.sqrt(np.trapezoid(p * (TIMES - mean) ** 2, TIMES))
    assert np.trapezoid(p, TIMES) == pytest.approx(1, rel=1e-5)
    assert mean == pytest.approx(5000 * (g + 1) / (g + 2), rel=1e-5)
    assert spread == pytest.approx(5000 * width, rel=1e-4)


@pytest.mark.parametrize("other", [Profile(0.05, 5000.0), Profile(0.1, 3000.0), Profile(0.25, 4000.0)])
def test_inner_products_are_integrals(other: Profile) -> None:
    for profile in (Profile(0.05, 4000.0), Profile(0.2, 5000.0)):
        whole = np.trapezoid(curve(profile) * curve(other), TIMES)
        assert profile.inner(other) == pytest.approx(whole, rel=2e-3)  # a profile ends within one cell of the grid
        assert profile.inner(other) == other.inner(profile)


@pytest.mark.parametrize("width", [0.05, 0.2])
@pytest.mark.parametrize("power", [0, 1, 3])
def test_the_average_of_a_power_of_time(width: float, power: int) -> None:
    """Of w(τ) = τ^k, the mean under p is t^k (γ + 1) / (γ + 1 + k); in steps, w is what it is at the end of each."""
    network = nn.Linear(1, 1, bias=False).double()
    average, images = PowerAverage(network, width), [0]
    for shown in (3, 1, 7, 2, *[5] * 2000):
        images.append(images[-1] + shown)
        nn.init.constant_(network.weight, (images[-1] / 1e4) ** power)
        average.update(images[-1], shown)
    found, t, g = average.network.weight.item(), np.array(images) / 1e4, exponent(width)
    shares = np.diff((t / t[-1]) ** (g + 1))
    assert found == pytest.approx(float(shares @ t[1:] ** power), rel=1e-9)
    assert found == pytest.approx(t[-1] ** power * (g + 1) / (g + 1 + power), rel=2e-3)


def test_integers_are_copied_and_the_first_update_forgets_the_start() -> None:
    network = nn.BatchNorm1d(2)
    average = PowerAverage(network, 0.1)
    network(torch.randn(8, 2))
    average.update(64, 64)
    assert torch.equal(average.network.running_mean, network.running_mean)
    network(torch.randn(8, 2))
    average.update(128, 64)
    assert average.network.num_batches_tracked == 2
    assert not torch.equal(average.network.running_mean, network.running_mean)
    assert not any(p.requires_grad for p in average.network.parameters())


SNAPSHOTS = [Profile(width, 500.0 * k) for k in range(1, 11) for width in (0.05, 0.1)]


def test_an_average_that_was_kept_is_made_of_itself() -> None:
    for i in (19, 18, 7):
        factors, error = combination(SNAPSHOTS, SNAPSHOTS[i])
        assert factors == pytest.approx([float(j == i) for j in range(20)], abs=1e-6)
        assert error < 1e-6


@pytest.mark.parametrize("width", [0.03, 0.08, 0.12, 0.2])
def test_the_error_is_that_of_the_profile(width: float) -> None:
    wanted = Profile(width, 5000.0)
    factors, error = combination(SNAPSHOTS, wanted)
    made = sum(x * curve(profile) for x, profile in zip(factors, SNAPSHOTS, strict=True))
    off = np.trapezoid((made - curve(wanted)) ** 2, TIMES) / np.trapezoid(curve(wanted) ** 2, TIMES)
    assert error == pytest.approx(np.sqrt(off), rel=0.02)
    assert sum(factors) == pytest.approx(1, abs=1e-9)
    for i in (0, 11, 19):  # no step that leaves the sum as it is comes nearer
        for step in (1e-3, -1e-3):
            moved = np.array(factors) + step / 19
            moved[i] -= step * 20 / 19
            other = sum(x * curve(profile) for x, profile in zip(moved, SNAPSHOTS, strict=True)) - curve(wanted)
            assert np.trapezoid(other**2, TIMES) > np.trapezoid((made - curve(wanted)) ** 2, TIMES)


def test_nearly_the_same_snapshots_are_not_told_apart_by_large_factors() -> None:
    crowd = [Profile(width, 5000.0 - k) for k in range(5) for width in (0.1, 0.1001)]
    factors, error = combination(crowd, Profile(0.08, 5000.0))
    assert error < 0.2
    assert sum(map(abs, factors)) * np.finfo(np.float32).eps < 0.2 * error


def test_a_run_without_averages_saves_none() -> None:
    assert "averages" not in build.trainer(checked(words())).state_dict()


def test_three_and_three_steps_are_six(here: Path) -> None:
    whole = train(*words(KEPT, steps=6)).folder
    half = train(*words(KEPT, steps=3)).folder
    train(f"resume={half}", "trainer.max_steps=6")
    found = weights(whole)
    assert {key.split("/")[2] for key in found if key.startswith("/averages")} == {"0.05", "0.1"}
    assert same(found, weights(half))
    without = weights(train(*words(steps=6)).folder)
    assert same(without, {key: value for key, value in found.items() if not key.startswith("/averages")})


def test_a_resumed_run_keeps_its_averages(here: Path) -> None:
    folder = train(*words(KEPT)).folder
    with pytest.raises(ConfigError, match=r"trainer\.averages: a resumed run keeps it\n") as caught:
        train(f"resume={folder}", "trainer.averages=[0.1]", "trainer.max_steps=4")
    assert len(str(caught.value).splitlines()) == 2
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("  - 0.05\n", "", 1))
    with pytest.raises(Incompatible, match=r"trainer\.averages=\[0\.1\]: .* \[0\.05, 0\.1\] so far\n  "):
        train(f"resume={folder}", "trainer.max_steps=4")


def test_a_state_of_other_types_is_refused() -> None:
    trainer = build.trainer(checked(words(KEPT)))
    state: dict[str, Any] = checkpoint.snapshot(trainer.state_dict())
    state["averages"][0.1] = {name: value.long() for name, value in state["averages"][0.1].items()}
    with pytest.raises(Unsound, match=r"averages\.0\.1\..* is of another type, int64 for float32"):
        trainer.load_state_dict(state)


@pytest.mark.parametrize("value", ["0.1", "[0.5]", "[0]", "[a]", "[0.1,0.11,0.12,0.13,0.14,0.15,0.16,0.17,0.18]"])
def test_widths_that_cannot_be(value: str) -> None:
    with pytest.raises(ConfigError, match=r"trainer\.averages=.* is not valid\n  .*should"):
        checked(words(f"trainer.averages={value}"))
