"""The schema of experiments: whatever is shipped or written by gan config passes, and what is misspelt does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from omegaconf import OmegaConf

from conftest import CONF
from gan_cli.config import choices, editors
from gan_cli.shell.main import main


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft7Validator:
    found = editors.experiments()
    jsonschema.Draft7Validator.check_schema(found)
    return jsonschema.Draft7Validator(json.loads(json.dumps(found)))


def read(text: str) -> Any:
    return OmegaConf.to_container(OmegaConf.create(text), resolve=False)


def test_every_shipped_experiment_passes(schema: jsonschema.Draft7Validator) -> None:
    for choice in choices.packaged()["experiment"]:
        schema.validate(read((CONF / "experiment" / f"{choice}.yaml").read_text()))


def test_what_gan_config_writes_passes(schema: jsonschema.Draft7Validator, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "experiment=r3gan_cifar10"]) == 0
    schema.validate(read(capsys.readouterr().out))


@pytest.mark.parametrize(
    "text",
    [
        "trainer: {max_steps: 20}",
        "model: {generator: {norm: none}}",
        "trainer: {max_steps: '${oc.env:STEPS}'}",
        "penalty: {r1: {weight: {_target_: gan_cli.ramps.Linear, start: 1, end: 0, images: 100}}}",
        "penalty: {mine: {_target_: my_penalties.Mine, anything: 1}}",
        "loss: {_target_: my_losses.Mine, anything: 1}",
        "defaults: [demo, {override /loss: hinge}, {override /penalty: [r1, r2]}, _self_]",
        "dataset: {resolution: [32, 64], limit: null}",
        "optimizer: {generator: {lr: 1e-4}}",
    ],
)
def test_what_may_be_written_passes(schema: jsonschema.Draft7Validator, text: str) -> None:
    schema.validate(read(text))


@pytest.mark.parametrize(
    "text",
    [
        "trainr: {max_steps: 20}",
        "trainer: {max_step: 20}",
        "trainer: {max_steps: -1}",
        "trainer: {max_steps: many}",
        "trainer: {ema_rampup: [0.1]}",
        "model: {generator: {nrom: none}}",
        "penalty: {r1: {wieght: 1}}",
        "penalty: {mine: {weight: 1}}",
        "callback: {checkpoints: {keep: 0}}",
        "defaults: [{override /loss: hinj}]",
        "defaults: [{override /los: hinge}]",
        "defaults: [{override /penalty: [r1, r3]}]",
        "dataset: {flip: sideways}",
        "seed: one",
    ],
)
def test_what_is_wrong_does_not(schema: jsonschema.Draft7Validator, text: str) -> None:
    assert not schema.is_valid(read(text))


def test_settings_are_described(schema: jsonschema.Draft7Validator) -> None:
    keep = schema.schema["properties"]["callback"]["properties"]["checkpoints"]
    assert "how many of the newest are kept" in json.dumps(keep)


def test_ones_own_choices_are_in_it(here: Path) -> None:
    (here / "my_conf" / "loss").mkdir(parents=True)
    (here / "my_conf" / "loss" / "mine.yaml").write_text("# Mine\n_target_: my_losses.Mine\n")
    assert main(["config", "schema", "--config-dir", "my_conf", "out=gan.schema.json"]) == 0
    found = jsonschema.Draft7Validator(json.loads((here / "gan.schema.json").read_text()))
    assert found.is_valid({"defaults": [{"override /loss": "mine"}]})
