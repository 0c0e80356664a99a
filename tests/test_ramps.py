"""Numbers that follow progress, and where they may stand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from conftest import checked, same, weights, words
from gan_cli import ramps, train
from gan_cli.config import build, compose
from gan_cli.errors import ConfigError
from gan_cli.games.adversarial import Adversarial
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
    with pytest.raises(ValueError, match="2 values need 1 bounds"):
        ramps.Steps([1, 2], [])


def test_a_terms_weight_and_the_critic_steps_may_be_ramps() -> None:
    game = Adversarial(
        mlp.Generator(2, 2, (), (4,)),
        mlp.Discriminator(2, (), (4,)),
        NonSaturating(),
        Normal(2),
        {"r1": R1(weight=ramps.Linear(4.0, 0.0, 100))},
        critic_steps=ramps.Steps([5, 1], [50]),
    )
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
