"""Broken training, on purpose: the alarms say what is wrong, in every place where one may look."""

from __future__ import annotations

import json
import logging
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from conftest import same, weights, words
from gan_cli import train
from gan_cli.callbacks import readings
from gan_cli.callbacks.health import Health, compare, gradient_norms
from gan_cli.data.points import Points, ring
from gan_cli.games.adversarial import Adversarial
from gan_cli.games.parts import Parts
from gan_cli.losses import Loss, NonSaturating
from gan_cli.networks import mlp
from gan_cli.priors import Normal
from gan_cli.store.rows import read_rows
from gan_cli.store.run import Run
from gan_cli.training.runtime import StopRequest
from gan_cli.training.schedules import Constant
from gan_cli.training.session import Session
from gan_cli.training.trainer import Trainer

QUICK = (
    *("dataset=digits", "model=mlp", "model.latent_dim=8", "dataset.batch_size=16"),
    *("model.generator.hidden=[32,32]", "model.discriminator.hidden=[32,32]"),
    *("callback=[health,history]", "trainer.log_every=5", "trainer.device=cpu"),
    *("callback.health.every_steps=10", "callback.health.patience=40"),
)
IN_BALANCE = ("optimizer.lr=1e-3", "penalty=[r1]", "penalty.r1.weight=0.2", "model.generator.norm=batch")


def findings(folder: Path) -> dict[str, dict[str, Any]]:
    return {alarm["name"]: alarm for alarm in json.loads((folder / "result.json").read_text())["alarms"]}


def numbers(folder: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in read_rows(folder / "metrics.jsonl")]


def test_a_discriminator_that_learns_too_fast_is_named_everywhere(here: Path, capsys: pytest.CaptureFixture) -> None:
    run = train(*QUICK, "optimizer.discriminator.lr=4e-3", "trainer.max_steps=100", "callback=[health,tensorboard]")
    alarm = findings(run.folder)["saturated_discriminator"]
    assert "too sure" in alarm["message"]
    assert {"penalty=[r1]", "optimizer.discriminator.lr=0.001"} < {*alarm["remedy"].split(", or ")}
    line = f"step {alarm['step']}: {alarm['message']}; try {alarm['remedy']}"
    assert f"warning: {line}" in capsys.readouterr().err
    assert f"WARNING {line}" in (run.folder / "train.log").read_text()
    assert (run.folder / "plots" / "health.png").stat().st_size > 10_000
    events = b"".join(p.read_bytes() for p in (run.folder / "tensorboard").iterdir())
    assert b"alarm/saturated_discriminator" in events
    assert line.encode() in events


def test_a_discriminator_that_learns_too_slowly_is_called_weak(here: Path) -> None:
    run = train(*QUICK, "optimizer.discriminator.lr=2e-6", "trainer.max_steps=60")
    assert "weak_discriminator" in findings(run.folder)


def test_a_deep_generator_without_normalisation_draws_one_sample_and_with_it_many(here: Path) -> None:
    deep = ("model.generator.hidden=[32,32,32,32,32,32,32,32]", "trainer.max_steps=60")
    bare, normalised = train(*QUICK, *deep).folder, train(*QUICK, *deep, "model.generator.norm=batch").folder
    assert "collapsed_generator" in findings(bare)
    assert not {"collapsed_generator", "constant_generator"} & {*findings(normalised)}


def test_the_minimax_generator_loses_its_gradient_before_a_discriminator_that_is_sure(here: Path) -> None:
    run = train(
        *QUICK, "loss=minimax", "optimizer.discriminator.lr=1e-2", "trainer.max_steps=140", "trainer.log_every=1"
    )
    assert "loss=nonsaturating" in findings(run.folder)["vanishing_generator_gradient"]["remedy"]


def test_a_healthy_run_raises_no_alarm(here: Path) -> None:
    run = train(*QUICK, *IN_BALANCE, "trainer.max_steps=140")
    assert json.loads((run.folder / "result.json").read_text())["alarms"] == []
    assert "WARNING" not in (run.folder / "train.log").read_text()
    assert (run.folder / "plots" / "health.png").exists()
    # the last numbers of a run are those of all who told of its last step
    assert {"D(real)", "generator/loss", "health/generator_gradient", readings.DIVERSITY} <= run.metrics.keys()


def test_a_resumed_run_judges_as_one_that_never_stopped(here: Path) -> None:
    broken = (*QUICK, "optimizer.discriminator.lr=4e-3", "callback=[health,history,checkpoints]")
    whole = train(*broken, "trainer.max_steps=100").folder
    half = train(*broken, "trainer.max_steps=40").folder
    assert findings(half) == {}
    train(f"resume={half}", "trainer.max_steps=100")
    assert findings(whole) == findings(half) != {}
    assert numbers(whole) == numbers(half)
    assert (whole / "train.log").read_text().count("too sure") == 1


def test_watching_changes_nothing(here: Path) -> None:
    small = words("model.generator.norm=batch", steps=6)
    watched = train(*small, "callback=[health,checkpoints]", "callback.health.every_steps=1", "trainer.log_every=1")
    alone = train(*small, "callback=[checkpoints]", "trainer.log_every=1")
    a, b = weights(watched.folder), weights(alone.folder)
    assert same({k: v for k, v in a.items() if "meter" not in k}, {k: v for k, v in b.items() if "meter" not in k})


class Stubborn(nn.Module):
    """Draws the same point whatever it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.point = nn.Parameter(torch.zeros(2))

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        return self.point.expand(len(latent), 2)


def play(folder: Path, generator: nn.Module, loss: Loss, health: Health) -> Trainer:
    """A short run on the ring, from objects."""
    torch.manual_seed(0)
    game = Adversarial(Parts(generator, mlp.Discriminator(2, (), (16,)), loss, Normal(2)))
    optimizers = {name: torch.optim.Adam(player.parameters(), 1e-3) for name, player in game.players().items()}
    data = Points(ring(), batch_size=16)
    trainer = Trainer(game, data, optimizers, 0, Constant(), max_steps=60, device="cpu", log_every=5)
    trainer.place()
    Session(trainer, Run(folder), [health]).fit(StopRequest())
    return trainer


def test_a_generator_of_one_sample_is_found_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    health = Health(every_steps=5, patience=30)
    with caplog.at_level(logging.WARNING, "gan_cli"):
        logging.getLogger("gan_cli").propagate = True
        play(tmp_path, Stubborn(), NonSaturating(), health)
    names = {alarm["name"] for alarm in health.findings()["alarms"]}
    assert "constant_generator" in names
    assert "the same sample for every latent" in caplog.text


def test_gradient_norms_are_those_of_the_last_update_of_each_player(tmp_path: Path) -> None:
    trainer = play(tmp_path, mlp.Generator(2, 2, (), (8,)), NonSaturating(), Health())
    norms = gradient_norms(trainer.players)
    assert norms.keys() == trainer.players.keys()
    for name, player in trainer.players.items():
        squares = sum(p.grad.square().sum().item() for p in player.parameters() if p.grad is not None)
        assert norms[name] == pytest.approx(math.sqrt(squares))
        assert norms[name] > 0
        player.zero_grad()
    assert gradient_norms(trainer.players) == {}


def test_samples_are_compared_as_round_gaussians() -> None:
    """In D dimensions N(m·1, s²I) lies √(m²D + (s - 1)²D) / √D = √(m² + (s - 1)²) from N(0, I), and s apart."""
    noise = torch.randn(4000, 16, generator=torch.Generator().manual_seed(0))
    real = torch.randn(4000, 4, 2, 2, generator=torch.Generator().manual_seed(1))
    found = compare(0.7 + 0.5 * noise, real)
    assert found[readings.DIVERSITY] == pytest.approx(0.5, abs=0.01)
    assert found[readings.DISTANCE] == pytest.approx(math.hypot(0.7, 0.5), abs=0.02)
    assert compare(real, real) == {readings.DIVERSITY: 1.0, readings.DISTANCE: 0.0}
    assert compare(torch.ones(8, 2), torch.randn(8, 2))[readings.DIVERSITY] == 0


def passes(steps: int, *more: str) -> Counter[str]:
    """How often each network is gone through in training, over a run."""
    counted: Counter[str] = Counter()

    def count(module: nn.Module, given: object, output: object) -> None:
        if isinstance(module, mlp.Generator | mlp.Discriminator) and module.training:  # the averaged one is not
            counted[type(module).__name__] += 1

    with register_module_forward_hook(count):
        train(*words("trainer.log_every=1", *more, steps=steps))
    return counted


def test_readings_compute_nothing_again(here: Path) -> None:
    """A step whose losses, scores and health are read has the passes of its two updates, and no other."""
    usual = "callback=[progress,health,history]"
    assert passes(4, usual) - passes(2, usual) == Counter(Generator=2 * 2, Discriminator=2 * 3)
