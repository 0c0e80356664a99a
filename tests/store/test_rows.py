"""metrics.jsonl: a line a step, however many readings there are, and old files with more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conftest import SMALL_DCGAN, words
from gan_cli import train
from gan_cli.store.disk import NotWritten
from gan_cli.store.rows import RowWriter, read_lines, read_rows
from gan_cli.store.run import Run

READINGS = [{"step": 1, "a": 1.0}, {"step": 1, "b": 2.0}, {"step": 2, "a": 3.0}, {"step": 2, "a": 4.0, "c": None}]
ROWS = [{"step": 1, "a": 1.0, "b": 2.0}, {"step": 2, "a": 4.0}]


def test_readings_of_a_step_are_one_line(tmp_path: Path) -> None:
    rows = RowWriter(tmp_path / "m.jsonl", ['{"step": 0}'])
    for reading in READINGS:
        rows.add(reading)
        assert read_lines(tmp_path / "m.jsonl")[-1] == json.dumps(rows.last)  # whole at any moment
    assert (tmp_path / "m.jsonl").read_text() == (
        '{"step": 0}\n{"step": 1, "a": 1.0, "b": 2.0}\n{"step": 2, "a": 4.0, "c": null}\n'
    )
    assert read_rows(tmp_path / "m.jsonl") == [{"step": 0}, *ROWS]


def test_a_line_may_become_shorter(tmp_path: Path) -> None:
    rows = RowWriter(tmp_path / "m.jsonl", [])
    for value in (0.1234567, 1.0):
        rows.add({"step": 1, "a": value})
    assert (tmp_path / "m.jsonl").read_text() == '{"step": 1, "a": 1.0}\n'


def test_an_older_file_reads_the_same(tmp_path: Path) -> None:
    """Several lines a step, and one that was cut short."""
    (tmp_path / "m.jsonl").write_text("".join(f"{json.dumps(r)}\n" for r in READINGS) + '{"step": 3, "a"')
    assert read_rows(tmp_path / "m.jsonl") == ROWS


def test_a_full_disk_has_a_name(tmp_path: Path) -> None:
    rows = RowWriter(tmp_path / "m.jsonl", [])
    rows.path = Path("/dev/full")
    with pytest.raises(NotWritten, match="/dev/full cannot be written: no space left"):
        rows.add({"step": 1})


def test_a_run_writes_a_line_a_step_and_its_continuation_too(here: Path) -> None:
    """The file of a run that was stopped and resumed is that of one which was not, but for the time it took."""
    chosen = (
        *("callback=[health,history,checkpoints]", "callback.health.every_steps=1", "trainer.log_every=1"),
        *("evaluation.every_steps=2", "evaluation.n=16", "evaluation.metric=fid"),
    )
    train(*words(*chosen, "hydra.run.dir=whole", model=SMALL_DCGAN, steps=4))
    train(*words(*chosen, "hydra.run.dir=parts", model=SMALL_DCGAN, steps=2))
    train("resume=parts", "trainer.max_steps=4")

    def told(run: str) -> list[dict[str, float]]:
        rows = [json.loads(line) for line in Run(run).metrics.read_text().splitlines()]
        return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]

    assert [row["step"] for row in told("whole")] == [1, 2, 3, 4]
    assert {"generator/loss", "health/diversity", "fd_pixels_16"} <= told("whole")[1].keys()
    assert told("parts") == told("whole")
