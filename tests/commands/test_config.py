"""gan config: the file that it writes gives the config that it was made from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from conftest import Inside, words
from gan_cli.config import choices, compose, plain_yaml
from gan_cli.shell.main import main
from gan_cli.store.run import Run

# Companions of a loss taken back; a choice under another name than its part's, and settings that follow from others;
# a literal `${`.
TYPED = (
    ("experiment=ring_wgan_gp", "penalty=[]", "optimizer.lr=1e-3"),
    ("given=smaller", "model=srgan", "auxiliary=[l1,perceptual_random]", "dataset.resolution=32", "name=true"),
    ("dataset=folder", r"dataset.root='a \${seed} b'", r"name='\\\${x}'"),
)


@pytest.mark.parametrize("typed", TYPED, ids=" ".join)
def test_a_file_gives_the_same_config(typed: tuple[str, ...], here: Path) -> None:
    assert main(["config", *typed, "out=experiment/mine.yaml"]) == 0
    again = compose.compose("train", ["--config-dir", ".", "experiment=mine"])
    assert again.config == compose.compose("train", typed).config


def test_a_file_of_a_run_repeats_it(here: Path, gan_here: Inside) -> None:
    """config.yaml is the same, byte for byte."""
    assert gan_here("train", *words("optimizer.lr=3e-4", "hydra.run.dir=a")).returncode == 0
    done = gan_here("config", "a", "out=experiment/mine.yaml")
    assert done.returncode == 0, done.stderr
    assert "  gan train --config-dir . experiment=mine" in done.stdout
    assert gan_here("train", "--config-dir", ".", "experiment=mine", "hydra.run.dir=b").returncode == 0
    assert Run("b").config.read_text() == Run("a").config.read_text()
    changed = gan_here("config", "a", "optimizer.lr=1", "--json")
    assert json.loads(changed.stdout)["optimizer"]["lr"] == 1


def test_a_file_is_to_be_edited(capsys: pytest.CaptureFixture[str]) -> None:
    """Comments stand beside the settings, and one edit reaches what follows from it."""
    assert main(["config", "dataset=ring", "model=mlp"]) == 0
    text = capsys.readouterr().out
    assert "seed: 0  # for everything random in the run\n" in text
    assert "  keep: 3  # how many of the newest are kept\n" in text
    content = yaml.safe_load(text)
    assert content["model"]["generator"]["latent_dim"] == "${model.latent_dim}"
    assert {"override /model": "mlp"} in content["defaults"]


def test_comments_are_found_by_dotted_names() -> None:
    found = choices.comments("model", "dcgan")
    assert found["model.generator.norm"].startswith("batch | instance | layer | none")
    assert choices.comments("dataset", "digits")["dataset.flip"] == "mirror half of the images left to right"
    assert choices.comments("penalty", "weight_clipping").keys() <= {"penalty.weight_clipping.bound"}
    assert choices.comments("", "train")["seed"] == "for everything random in the run"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["out=my.yaml"], "out=experiment/my.yaml"),
        (["modle=mlp"], "did you mean model?"),
        (["a", "b"], "one run, and settings as key=value"),
        (["-m", "seed=1,2"], "takes --config-dir FOLDER only"),
        (["nowhere"], "nowhere is not a folder"),
        (["out=-", "json=-"], "give one of them a file"),
        (["out=experiment/there.yaml"], "give it another name"),
        (["old"], "gan train repeat=old key=value"),
        (["stranger"], "there is no model named '../../etc/x'"),
    ],
)
def test_what_cannot_be_is_said_in_two_lines(
    typed: list[str], said: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = {"old": {}, "stranger": {"choices": {"model": "../../etc/x"}}}.get(typed[0])
    if manifest is not None:
        Path(typed[0]).mkdir()
        config = compose.compose("train", ["model=mlp"]).config
        Path(typed[0], "config.yaml").write_text(plain_yaml.written(config))
        Path(typed[0], "manifest.json").write_text(json.dumps(manifest))
    Path("experiment").mkdir()
    Path("experiment/there.yaml").write_text("mine")
    assert main(["config", *typed]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert len(told.splitlines()) == 2
    assert Path("experiment/there.yaml").read_text() == "mine"
