"""Strangers' run folders and checkpoints execute nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from conftest import words
from gan_cli import evaluate, sample, train
from gan_cli.config.errors import ConfigError

REFUSED = r"may not be used|interpolation"
HOSTILE: list[tuple[str, Any]] = [
    ("loss._target_", "os.system"),
    ("loss._target_", "subprocess.Popen"),
    ("loss._target_", "builtins.eval"),
    ("loss._target_", "torch.hub.load"),
    ("loss._target_", "torch.load"),
    ("loss._target_", "gan_cli.training.trainer.torch.hub.load"),  # an alias through a trusted module
    ("loss._target_", "gan_cli.data.images.os.system"),
    ("loss._target_", "gan_cli.networks.dcgan.nn.utils.spectral_norm"),
    ("loss._target_", "gan_cli.data.folder.os.remove"),
    ("loss._target_", "gan_cli.data.folder._write"),
    ("loss._target_", "gan_cli.training.checkpoint.save"),
    ("loss._target_", "gan_cli.cli.main"),
    ("loss._target_", "torch.nn.Module.load_state_dict"),
    ("prior._target_", "hydra.utils.instantiate"),
    ("game._target_", "gan_cli.config.build.instantiate"),
    ("model.generator", {"_target_": "gan_cli.networks.mlp.Generator", "hidden": {"_target_": "os.getcwd"}}),
    ("loss.real_label", "${oc.env:HOME}"),
    ("loss.real_label", "${oc.decode:'1'}"),
    ("${oc.env:HOME}", 1),
]


def change(config: dict, key: str, value: Any) -> dict:
    node = config
    *path, last = [key] if key.startswith("$") else key.split(".")
    for name in path:
        node = node[name]
    node[last] = value
    return config


@pytest.mark.parametrize(("key", "value"), HOSTILE, ids=lambda v: str(v)[:60])
def test_hostile_checkpoints(finished: Path, here: Path, key: str, value: Any) -> None:
    state = torch.load(finished / "checkpoints" / "last.pt", weights_only=True)
    state["config"] = yaml.safe_dump(change(yaml.safe_load(state["config"]), key, value))
    torch.save(state, here / "evil.pt")
    for attempt in (lambda: sample(here / "evil.pt"), lambda: evaluate(here / "evil.pt", "detector=pixels")):
        with pytest.raises(ConfigError, match=REFUSED):
            attempt()


@pytest.mark.parametrize(("key", "value"), HOSTILE, ids=lambda v: str(v)[:60])
def test_hostile_run_folders(finished: Path, here: Path, key: str, value: Any) -> None:
    shutil.copytree(finished, here / "run")
    config = here / "run" / "config.yaml"
    config.write_text(yaml.safe_dump(change(yaml.safe_load(config.read_text()), key, value)))
    with pytest.raises(ConfigError, match=REFUSED):
        train("resume=run", "trainer.max_steps=9")


def test_python_tags_in_a_config_are_not_constructed(finished: Path, here: Path) -> None:
    shutil.copytree(finished, here / "run")
    config = here / "run" / "config.yaml"
    config.write_text(config.read_text() + f"\nname: !!python/object/apply:os.system ['touch {here / 'written'}']\n")
    with pytest.raises(ConfigError, match="refused: it holds the tag"):
        train("resume=run", "trainer.max_steps=9")
    assert not (here / "written").exists()


def test_a_run_folders_hydra_section_has_no_effect(finished: Path, here: Path) -> None:
    """Logging classes of a composed Hydra config would be instantiated; a resumed run is not composed by Hydra."""
    shutil.copytree(finished, here / "run")
    config = here / "run" / "config.yaml"
    evil = {"handlers": {"x": {"()": "os.system", "command": f"touch {here / 'written'}"}}, "root": {"handlers": ["x"]}}
    config.write_text(config.read_text() + yaml.safe_dump({"hydra": {"job_logging": evil}}))
    train("resume=run", "trainer.max_steps=5")
    assert not (here / "written").exists()


def test_a_module_beside_the_run_is_not_imported(finished: Path, here: Path) -> None:
    (here / "payload.py").write_text(f"open({str(here / 'written')!r}, 'w')\nclass Loss: pass\n")
    shutil.copytree(finished, here / "run")
    config = here / "run" / "config.yaml"
    config.write_text(yaml.safe_dump(change(yaml.safe_load(config.read_text()), "loss._target_", "payload.Loss")))
    with pytest.raises(ConfigError, match="trust=payload"):
        train("resume=run", "trainer.max_steps=9")
    assert not (here / "written").exists()


def test_users_own_code_composed_on_their_own_command_line_needs_trust_too(here: Path) -> None:
    with pytest.raises(ConfigError, match="may not be used"):
        train(*words("loss._target_=os.system"))
