"""Numbers that follow progress, and where they are allowed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from conftest import checked, same, weights, words
from gan_cli import ramps, train
from gan_cli.config import build, compose
from gan_cli.errors import ConfigError
from gan_cli.games.adversarial import Adversarial
from gan_cli.games.parts import Parts
from gan_cli.losses import NonSaturating
from gan_cli.networks import mlp
from gan_cli.penalties import R1
from gan_cli.priors import Normal
from gan_cli.types import Batch, Clock


def test_ramps_start_end_and_stay() -> None:
    for kind in (ramps.Linear, ramps.Cosine):
        ramp = kind(1.0, 0.2, 1000)
        assert [ramp.at(n) for n in (0, 500, 1000, 5000)] == pytest.approx([1.0, 0.6, 0.2, 0.2])
    assert ramps.Cosine(1.0, 0.0, 1000).at(250) == pytest.approx((1 + 2**-0.5) / 2)
    steps = ramps.Steps([5, 1, 2], [100, 200])
    assert [steps.at(n) for n in (0, 99, 100, 199, 200)] == [5, 5, 1, 1, 2]
    with pytest.raises(ValueError, match=r"0 bounds cannot lie between 2 values\n  give 1 bounds"):
        ramps.Steps([1, 2], [])


def test_a_terms_weight_and_the_critic_steps_may_be_ramps() -> None:
    penalties = {"r1": R1(weight=ramps.Linear(4.0, 0.0, 100))}
    networks = mlp.Generator(2, 2, (), (4,)), mlp.Discriminator(2, (), (4,))
    game = Adversarial(Parts(*networks, NonSaturating(), Normal(2), penalties), critic_steps=ramps.Steps([5, 1], [50]))
    batch = Batch(torch.zeros(6, dtype=torch.int64), torch.randn(6, 2))
    found = []
    for images in (0, 50, 100):
        for module in game.modules():
            if hasattr(module, "advance"):
                module.advance(Clock(images=images))
        found.append((game.discriminator_objective(batch, 0).terms["r1"].item(), game.phases()[0].runs))
    assert found[1][0] == pytest.approx(found[0][0] / 2)
    assert found[2][0] == 0
    assert [runs for _, runs in found] == [5, 1, 1]


def test_ramps_on_the_command_line_and_in_a_resumed_run(here: Path) -> None:
    base = words("penalty=[r1]", "penalty.r1.weight=${linear:1,0.1,64}", "game.critic_steps=${cosine:3,1,40}")
    node = compose.compose("train", base).config["penalty"]["r1"]["weight"]
    assert node == {"_target_": "gan_cli.ramps.Linear", "start": 1, "end": 0.1, "images": 64}
    whole, half = (train(*base, f"trainer.max_steps={n}").folder for n in (4, 2))
    train(f"resume={half}", "trainer.max_steps=4")
    assert same(weights(whole), weights(half))
    with pytest.raises(ConfigError, match=r"penalty\.r1\.weight='heavy' is not valid"):
        train(*words("penalty=[r1]", "penalty.r1.weight=heavy"))
    with pytest.raises(ConfigError, match=r"penalty\.r1\.weight=-1 is not valid"):
        train(*words("penalty=[r1]", "penalty.r1.weight=-1"))


def test_settings_of_optimizers_may_be_ramps(here: Path) -> None:
    moving = ("optimizer.discriminator.lr=${linear:1e-3,0,32}", "optimizer.betas=[0,'${cosine:0.9,0.99,32}']")
    base = words(*moving, "schedule=linear", "trainer.ema_half_life=${linear:0,100,32}", "trainer.ema_rampup=0")
    trainer = build.trainer(checked(base))
    trainer.place()
    found = []
    for _ in range(2):
        trainer.step()
        (theirs,), (mine,) = (trainer.optimizers[p].param_groups for p in ("discriminator", "generator"))
        found.append((theirs["lr"], mine["lr"], *mine["betas"]))
    # 0 and 8 of 32 images, 0 and a half of the run
    assert found[0] == pytest.approx((1e-3, 2e-4, 0, 0.9))
    assert found[1] == pytest.approx((0.75e-3 / 2, 1e-4, 0, 0.99 - 0.09 * (1 + 2**-0.5) / 2))
    assert trainer.ema.decay(16, 8) == 0.5 ** (8 / 50)
    assert trainer.ema.decay(0, 8) == 0
    whole, half = (train(*base, f"trainer.max_steps={n}").folder for n in (4, 2))
    assert not same(weights(whole), weights(half))


@pytest.mark.parametrize("kind", [ramps.Linear, ramps.Cosine])
def test_a_ramp_over_a_fraction_of_the_run_is_one_over_its_images(kind: type[ramps.Linear]) -> None:
    """In a run of 1000 images the two time bases agree, from beginning to end and beyond."""
    in_images, in_fractions = kind(1.0, 0.2, images=750, after=250), kind(1.0, 0.2, fraction=0.75, after=0.25)
    for n in (0, 250, 333, 500, 750, 1000):
        assert in_fractions.at(0, n / 1000) == pytest.approx(in_images.at(n, 0.0))
    assert [in_images.at(n) for n in (250, 500, 750)] == pytest.approx([1.0, 0.6, 0.2])
    steps = ramps.Steps([5, 1], fractions=[0.5])
    assert [steps.at(10**9, done) for done in (0.0, 0.49, 0.5, 1.0)] == [5, 5, 1, 1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "counted either in images or in fractions"),
        ({"images": 10, "fraction": 0.5}, "counted either in images or in fractions"),
        ({"images": 10, "after": 11}, "after=11"),
    ],
)
def test_a_ramp_has_one_unit_and_ends_after_it_begins(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ramps.Linear(1.0, 0.0, **settings)  # type: ignore[arg-type]


HALF = "{_target_: gan_cli.ramps.Linear, start: 1.0, end: 0.0, fraction: 0.5}"


def test_whatever_follows_progress_may_follow_the_fraction_of_the_run(here: Path) -> None:
    """A term's weight, an optimizer's setting, the half-life, the learning rates: all read one clock."""
    moving = ("penalty=[r1]", f"penalty.r1.weight={HALF}", f"optimizer.generator.lr={HALF}")
    trainer = build.trainer(checked(words(*moving, f"trainer.ema_half_life={HALF}", "schedule=linear", steps=8)))
    trainer.place()
    for step in range(6):
        trainer.step()
        left = max(0.0, 1 - step / 4)
        assert float(trainer.game.penalties["r1"].weight) == pytest.approx(left)
        assert trainer.optimizers["generator"].param_groups[0]["lr"] == pytest.approx(left * (1 - step / 8))
        assert trainer.clock.done == (step + 1) / 8


def test_the_averaged_generator_follows_the_fraction_of_the_run_after_the_step(here: Path) -> None:
    """Of a half-life of 100 images that falls to zero by half the run, 50 are left after the first of 4 steps."""
    falling = "trainer.ema_half_life={_target_: gan_cli.ramps.Linear, start: 100, end: 0, fraction: 0.5}"
    trainer = build.trainer(checked(words(falling, "trainer.ema_rampup=0", steps=4)))
    trainer.place()
    before = [p.clone() for p in trainer.ema.network.parameters()]
    trainer.step()
    kept = 0.5 ** (8 / 50)
    now = zip(trainer.ema.network.parameters(), before, trainer.players["generator"].parameters(), strict=True)
    for averaged, old, new in now:
        assert torch.allclose(averaged, kept * old + (1 - kept) * new, atol=1e-7)


def test_a_schedule_may_be_any_ramp(here: Path) -> None:
    """`schedule=cosine` over a whole run, and the ramp over the same number of images."""
    spoken = ("+schedule.start=1.0", "+schedule.end=0.0", "+schedule.images=64")
    asked = (("schedule=cosine",), ("schedule._target_=gan_cli.ramps.Cosine", *spoken))
    runs = [train(*words(*said, "trainer.max_steps=null", "trainer.max_images=64")).folder for said in asked]
    a, b = (weights(run) for run in runs)
    assert a.keys() == b.keys()
    assert all(torch.allclose(a[key].double(), b[key].double(), atol=1e-7) for key in a)


def test_a_ramp_over_a_fraction_wants_a_run_whose_end_is_known(here: Path) -> None:
    asked = words("penalty=[r1]", f"penalty.r1.weight={HALF}", "trainer.max_steps=null", "trainer.max_minutes=1")
    with pytest.raises(ConfigError, match=r"fraction of the run follows steps or images, .*max_minutes=1 ends") as told:
        train(*asked)
    assert len(str(told.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("value", "follows"),
    [
        (ramps.Linear(1, 0, fraction=0.5), True),
        (ramps.Steps([1, 0.1, 1], fractions=[0.3, 0.6]), True),
        ([0.0, ramps.Steps([0.99, 0.9, 0.99], fractions=[0.5, 0.505])], True),
        (ramps.Steps([1, 0.1, 1], images=[30, 60]), False),
        (ramps.Linear(1, 1, fraction=0.5), False),
        (0.5, False),
    ],
)
def test_a_ramp_follows_the_run_also_where_it_comes_back_to_its_start(value: object, follows: bool) -> None:
    assert ramps.follows_run(value) is follows


def test_the_saved_clock_is_unchanged(here: Path) -> None:
    """The fraction follows from the limits, which a resumed run may change: no file holds it."""
    run = train(*words("schedule=linear")).folder
    saved = torch.load(run / "checkpoints" / "last.pt", weights_only=True)["clock"]
    assert saved.keys() == {"step", "images", "seconds"}
    assert "done" not in (run / "metrics.jsonl").read_text()
