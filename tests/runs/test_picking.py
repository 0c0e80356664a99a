"""`trainer.runtime=auto`: what is picked stands in the run's config, and what the user has set stays."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from conftest import SMALL_DCGAN, checked, words
from gan_cli import train
from gan_cli.config import trust
from gan_cli.errors import ConfigError
from gan_cli.runs import picking
from gan_cli.runs.picking import PLAIN, picked
from gan_cli.store.run import Run
from gan_cli.training.runtime import Runtime

AUTO = ("trainer.runtime=auto", "trainer.threads=1", "hydra.run.dir=run")


def config() -> dict:
    return yaml.safe_load(Path("run/config.yaml").read_text())


def test_what_is_picked_is_written_down_and_a_resumed_run_keeps_it(here: Path) -> None:
    train(*words(*AUTO, "trainer.channels_last=true", model=SMALL_DCGAN))
    first = config()
    assert all(first["trainer"][key] is not None for key in PLAIN)
    assert (first["trainer"]["channels_last"], first["trainer"]["threads"]) == (True, 1)  # set by hand
    assert isinstance(first["optimizer"]["fused"], bool)
    assert "a step takes" in Run("run").read_manifest()["runtime"]
    log = Path("run/train.log").read_text()
    assert "channels last" in log
    train("resume=run", "trainer.max_steps=3")
    first["trainer"]["max_steps"] = 3
    assert config() == first


class Steps:
    """A trainer of known speed: each step moves the clock, each second one by more."""

    now = 0.0

    def __init__(self, seconds: float, noise: float) -> None:
        self.seconds, self.noise, self.taken = seconds, noise, 0
        self.runtime = Runtime(torch.device("cpu"))

    def step(self) -> None:
        self.taken += 1
        Steps.now += self.seconds * (1 + self.noise * (self.taken % 2))


@pytest.mark.parametrize(
    ("gain", "noise", "kept"),
    [(1.5, 0.2, True), (1.03, 0.0, True), (1.03, 0.2, False), (1.01, 0.0, False), (0.97, 0.0, False)],
)
def test_a_gain_that_is_sure_is_kept(gain: float, noise: float, kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Channels last gain so much, half of their steps take longer by so much; bfloat16 fails."""

    def trainer(config: dict, trust: object) -> Steps:
        if config["trainer"]["precision"] == "bfloat16":
            raise RuntimeError
        return Steps(1 / gain, noise) if config["trainer"]["channels_last"] else Steps(1.0, 0.0)

    monkeypatch.setattr(picking, "_trainer", trainer)
    monkeypatch.setattr(picking, "clock_of", lambda device, threads: lambda: Steps.now)
    monkeypatch.setattr(picking, "bfloat16_cost", lambda device: 0.5)
    settings = ("trainer.runtime=auto", "trainer.threads=1", "optimizer.fused=null")
    found = picked(checked(words(*settings, model=SMALL_DCGAN)), trust.for_runs())
    chosen = found.checked.config["trainer"]
    assert (chosen["channels_last"], chosen["precision"], chosen["compile"]) == (kept, "float32", False)
    assert found.checked.config["optimizer"]["fused"] is False, "it gains nothing"
    assert found.how.startswith("a step takes 1e+03 ms; fused=true 1e+03 ms; precision=bfloat16 fails; channels_last")
    assert found.how.endswith("kept") == kept


def test_a_plain_run_is_not_timed() -> None:
    plain = checked(words())
    assert picked(plain, trust.for_runs()) == (plain, "")


def test_a_run_that_cannot_begin_says_so_as_ever(here: Path) -> None:
    with pytest.raises(ConfigError, match="does not divide into"):
        train(*words(*AUTO, "trainer.micro_batches=3"))
    assert not Path("run").exists()
