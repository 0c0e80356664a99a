"""Trackio, by the real library, on this machine alone: `make extras` runs this."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ["HF_HUB_OFFLINE"] = "1"

from conftest import SMALL_DCGAN, words
from gan_cli import train


def test_a_run_and_its_continuation_are_one_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))  # read when it is imported, which is later
    chosen = ("callback=[history,checkpoints,samples,trackio]", "trainer.log_every=1", "hydra.run.dir=run")
    train(*words(*chosen, model=SMALL_DCGAN))
    train("resume=run", "trainer.max_steps=4")

    from trackio.sqlite_storage import SQLiteStorage

    (run,) = SQLiteStorage.get_runs("gan")
    assert run.startswith("run-")
    rows = SQLiteStorage.get_logs("gan", run)
    assert [row["step"] for row in rows if "generator/loss" in row] == [1, 2, 3, 4]
    assert [row["step"] for row in rows if "samples" in row] == [0, 2, 4]
    assert [row["status"] for row in rows if "status" in row] == ["finished", "finished"]
    assert SQLiteStorage.get_run_config("gan", run)["optimizer.lr"] == 0.0002
