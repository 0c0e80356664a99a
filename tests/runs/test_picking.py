"""`trainer.runtime=auto`: what is picked stands in the run's config, and what the user has set stays."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml

from conftest import SMALL_DCGAN, checked, words
from gan_cli import train
from gan_cli.config import trust
from gan_cli.errors import ConfigError
from gan_cli.runs import picking
from gan_cli.runs.picking import PLAIN, picked
from gan_cli.store.run import Run

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


def test_the_faster_is_kept_by_more_than_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of changes that gain 40 %, 2 % and that fail, the first is kept."""
    spent = {"fused": 0.6, "channels_last": 0.98 * 0.6, "precision": math.inf}

    def seconds(other: dict, *_: object) -> float:
        changed = {
            "fused": other["optimizer"]["fused"],
            **{k: other["trainer"][k] not in (False, "float32") for k in ("channels_last", "precision")},
        }
        return min([1.0, *(spent[key] for key in changed if changed[key])]) if not changed["precision"] else math.inf

    monkeypatch.setattr(picking, "_seconds", seconds)
    monkeypatch.setattr(picking, "bfloat16_cost", lambda device: 0.5)
    found = picked(checked(words("trainer.runtime=auto", "optimizer.fused=null", model=SMALL_DCGAN)), trust.for_runs())
    trainer = found.checked.config["trainer"]
    assert found.checked.config["optimizer"]["fused"] is True
    assert (trainer["channels_last"], trainer["precision"], trainer["compile"]) == (False, "float32", False)
    assert "fused=true 600 ms, kept" in found.how
    assert "precision=bfloat16 fails" in found.how


def test_a_plain_run_is_not_timed() -> None:
    plain = checked(words())
    assert picked(plain, trust.for_runs()) == (plain, "")


def test_a_run_that_cannot_begin_says_so_as_ever(here: Path) -> None:
    with pytest.raises(ConfigError, match="does not divide into"):
        train(*words(*AUTO, "trainer.micro_batches=3"))
    assert not Path("run").exists()
