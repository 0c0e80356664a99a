"""Experiment trackers, by the real libraries, offline: nothing leaves this machine."""

from __future__ import annotations

import logging
import struct
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from conftest import SMALL_DCGAN, Inside, words
from gan_cli import train
from gan_cli.callbacks import trackers
from gan_cli.errors import ConfigError
from gan_cli.training.session import flat

SHOWN = ("trainer.log_every=1", "evaluation.every_steps=2", "evaluation.n=16", "evaluation.metric=fid")


@pytest.fixture
def offline(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return here


BLOCK, FIRST, LAST = 2**15, 7, (1, 4)  # bytes of a block, and where the records begin; types that end a record


def told_to_wandb(folder: Path) -> list[Any]:
    """The messages in a session's file: records in blocks, each piece after its checksum, length and type."""
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = folder.glob("run-*.wandb")
    whole, place, pieces, found = file.read_bytes(), FIRST, b"", []
    while place + 7 <= len(whole):
        if BLOCK - place % BLOCK < 7:  # no room for another piece
            place += BLOCK - place % BLOCK
            continue
        length, kind = struct.unpack_from("<HB", whole, place + 4)
        pieces += whole[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in LAST:
            found.append(Record())
            found[-1].ParseFromString(pieces)
            pieces = b""
    return found


def test_a_run_and_its_continuation_are_one_record(offline: Path) -> None:
    from mlflow.tracking import MlflowClient

    chosen = "callback=[history,checkpoints,samples,wandb,mlflow]"
    train(*words(chosen, *SHOWN, "hydra.run.dir=run", model=SMALL_DCGAN))
    train("resume=run", "trainer.max_steps=4")

    client = MlflowClient((offline / "run/trackers/mlruns").as_uri())
    (home,) = [e.experiment_id for e in client.search_experiments() if e.name == "gan"]
    (run,) = client.search_runs([home])
    assert run.info.status == "FINISHED"
    assert run.data.params["model.generator.width"] == "2"
    assert [m.step for m in client.get_metric_history(run.info.run_id, "generator/loss")] == [1, 2, 3, 4]
    assert [m.step for m in client.get_metric_history(run.info.run_id, "fd_pixels_16")] == [2, 4]
    assert run.data.tags["gan.best"].startswith("fd_pixels_16 ")
    drawn = [path.name for path in (offline / "run").rglob("images/*.png")]
    assert sum(name.startswith("samples") for name in drawn) == 2 * 3  # both have steps 0, 2 and 4
    assert sum(name.startswith("real") for name in drawn) == 2 * 1

    sessions = sorted((offline / "run/trackers/wandb").glob("offline-run-*"))
    assert len({folder.name.rpartition("-")[2] for folder in sessions}) == 1  # one id
    records = [record for folder in sessions for record in told_to_wandb(folder)]
    numbers = [{item.nested_key[0] or item.key: item.value_json for item in r.history.item} for r in records]
    assert {n["step"] for n in numbers if "generator/loss" in n} >= {"1", "2", "3", "4"}
    assert any(r.HasField("exit") and r.exit.exit_code == 0 for r in records)
    configs = {item.key: item.value_json for r in records if r.HasField("run") for item in r.run.config.update}
    assert configs["optimizer.lr"] == "0.0002"


def test_a_tracker_that_fails_costs_one_warning(
    offline: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("gan_cli"), "propagate", True)
    result = train(*words("callback=[history,mlflow]", "callback.mlflow.uri=file:///dev/null/x", "trainer.log_every=1"))
    assert (result.status, result.step) == ("finished", 2)
    said = [record for record in caplog.records if "goes on without it" in record.message]
    assert len(said) == 1
    assert said[0].message.startswith("mlflow: ")


def test_a_missing_library_is_said_before_the_first_step(
    offline: Path, monkeypatch: pytest.MonkeyPatch, gan_here: Inside
) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="callback=trackio needs a package") as refused:
        train(*words("callback=[history,trackio]"))
    assert len(str(refused.value).splitlines()) == 2
    assert "gan-cli[trackio]" in str(refused.value)
    assert not list(offline.rglob("config.yaml"))


def test_names_are_as_mlflow_takes_them() -> None:
    assert trackers._plain("D(real)") == "D real"
    assert trackers._plain("health/generator_gradient") == "health/generator_gradient"


def test_settings_are_flat() -> None:
    assert flat({"a": {"b": [1], "c": {}}, "d": None}) == {"a.b": [1], "a.c": {}, "d": None}
    assert flat({}) == {}


def test_tensorboard_has_the_config_its_settings_and_real_samples(here: Path) -> None:
    train(
        *words("callback=[history,samples,tensorboard]", "trainer.log_every=1", "hydra.run.dir=run", model=SMALL_DCGAN)
    )
    found = EventAccumulator(str(here / "run/tensorboard"), size_guidance={"images": 0})
    found.Reload()
    tags = found.Tags()
    assert {"real", "samples"} == {*tags["images"]}
    assert "config/text_summary" in tags["tensors"]
    (text,) = found.Tensors("config/text_summary")
    assert (here / "run/config.yaml").read_text().encode() in text.tensor_proto.string_val[0]
    assert "hparams" in found.summary_metadata["_hparams_/experiment"].plugin_data.plugin_name
    begun = found.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"model.generator.width" in begun
    assert "_hparams_/session_end_info" in found.summary_metadata


def test_tensorboard_takes_words_that_are_no_utf8(here: Path) -> None:
    """A folder's name of another encoding reaches Python as a surrogate."""
    assert train(*words("callback=[tensorboard]", "dataset.cache=caf\udce9", "hydra.run.dir=run")).step == 2
    found = EventAccumulator(str(here / "run/tensorboard"))
    found.Reload()
    assert b"caf\\udce9" in found.summary_metadata["_hparams_/session_start_info"].plugin_data.content
