"""Checkpoints are whole or refused, and nothing in them runs."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from gan_cli.callbacks.checkpoints import expendable
from gan_cli.training import checkpoint

STATE = {key: {} for key in checkpoint.KEYS - {"format", "config"}}


def state(value: float = 1.0) -> dict:
    return {**STATE, "config": "seed: 0", "game": {"w": torch.full((100,), value)}}


def test_round_trip(tmp_path: Path) -> None:
    checkpoint.save(state(3.0), tmp_path / "a" / "step-1.pt")
    loaded = checkpoint.load(tmp_path / "a" / "step-1.pt")
    assert torch.equal(loaded["game"]["w"], torch.full((100,), 3.0))
    assert os.listdir(tmp_path / "a") == ["step-1.pt"]


def test_alias_follows_without_touching_what_it_named(tmp_path: Path) -> None:
    for step in (1, 2):
        checkpoint.save(state(step), tmp_path / f"step-{step}.pt")
        checkpoint.alias(tmp_path / f"step-{step}.pt", "last.pt")
    assert checkpoint.load(tmp_path / "last.pt")["game"]["w"][0] == 2
    assert checkpoint.load(tmp_path / "step-1.pt")["game"]["w"][0] == 1


@pytest.mark.parametrize("keep", [0, 10, 0.3, 0.9, 0.999])
def test_files_cut_short_are_refused(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "step-1.pt"
    checkpoint.save(state(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep if keep >= 1 else keep * len(whole))])
    with pytest.raises(checkpoint.CheckpointError):
        checkpoint.load(path)


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "step-1.pt"
    checkpoint.save(state(), path)
    whole = bytearray(path.read_bytes())
    weights = torch.ones(100).numpy().tobytes()
    whole[whole.index(weights) + 9] ^= 1
    path.write_bytes(whole)
    with pytest.raises(checkpoint.CheckpointError, match="damaged"):
        checkpoint.load(path)


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    checkpoint.save(state(1.0), path)
    with pytest.raises(Exception, match="pickle"):
        checkpoint.save({**state(2.0), "game": lambda: None}, path)
    assert checkpoint.load(path)["game"]["w"][0] == 1
    assert os.listdir(tmp_path) == ["last.pt"]


def test_the_one_before_is_used_and_the_problem_is_told(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        checkpoint.save(state(step), tmp_path / f"step-{step}.pt")
    (tmp_path / "last.pt").write_bytes(b"PK")
    (tmp_path / "step-3.pt").write_bytes((tmp_path / "step-3.pt").read_bytes()[:-100])
    loaded, path, problems = checkpoint.load_newest(checkpoint.newest_first(tmp_path))
    assert path.name == "step-2.pt"
    assert loaded["game"]["w"][0] == 2
    assert len(problems) == 2


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return (open, (str(self.target), "w"))


def test_hostile_pickles_run_nothing(tmp_path: Path) -> None:
    target = tmp_path / "written"
    torch.save({**state(), "format": 1, "game": Bomb(target)}, tmp_path / "modern.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Bomb(target)))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Bomb(target)))
    (tmp_path / "zip.pt").write_bytes(buffer.getvalue())
    for name in ("modern.pt", "plain.pt", "zip.pt"):
        with pytest.raises(checkpoint.CheckpointError):
            checkpoint.load(tmp_path / name)
    assert not target.exists()


def test_foreign_files_are_told_apart(tmp_path: Path) -> None:
    torch.save({"weights": torch.ones(3)}, tmp_path / "other.pt")
    with pytest.raises(checkpoint.CheckpointError, match="no checkpoint of gan"):
        checkpoint.load(tmp_path / "other.pt")
    torch.save({**state(), "format": 99}, tmp_path / "future.pt")
    with pytest.raises(checkpoint.CheckpointError, match="format 99"):
        checkpoint.load(tmp_path / "future.pt")


def test_old_saves_thin_out() -> None:
    steps = list(range(100, 3001, 100))
    gone = expendable(steps, keep=3, keep_every=10, every_steps=100)
    assert sorted(set(steps) - set(gone)) == [1000, 2000, 2800, 2900, 3000]
    assert expendable([150], keep=3, keep_every=10, every_steps=100) == []
