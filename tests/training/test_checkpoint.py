"""Checkpoints are whole or refused, and nothing in them runs."""

from __future__ import annotations

import io
import os
import pickle
import random
import shutil
import subprocess
import time
import zipfile
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import Inside
from gan_cli.callbacks.checkpoints import expendable
from gan_cli.errors import CheckpointError, Unsound
from gan_cli.store import checkpoint, contents
from gan_cli.store.run import newest_first


def state(value: float = 1.0, **parts: Any) -> dict:
    """A checkpoint of one weight, with other parts where they are given."""
    weight = {"w": torch.full((100,), value)}
    moments = {0: {"step": torch.tensor(3.0), "exp_avg": torch.full((100,), value), "exp_avg_sq": torch.ones(100)}}
    return {
        "config": "seed: 0",
        "game": {**weight, "n": torch.tensor(3), "_extra_state": {"any": "thing"}},
        "ema": weight,
        "optimizers": {
            "generator": {"state": moments, "param_groups": [{"lr": 0.1, "betas": (0, 0.9), "params": [0]}]}
        },
        "updates": {"generator": 3},
        "clock": {"step": 3, "images": 24, "seconds": 0.5},
        "meter": {"groups": [(["loss"], [torch.ones(1, dtype=torch.float64) for _ in range(3)])]},
        **parts,
    }


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


def test_a_copied_folder_holds_each_checkpoint_once(tmp_path: Path) -> None:
    """And it is the copy's own that `last.pt` names."""
    home, copy = tmp_path / "home", tmp_path / "copy"
    checkpoint.save(state(), home / "step-1.pt")
    checkpoint.alias(home / "step-1.pt", "last.pt")
    subprocess.run(["cp", "-r", home, copy], check=True)
    files = [path for path in copy.iterdir() if not path.is_symlink()]
    assert [path.name for path in files] == ["step-1.pt"]
    assert (copy / "last.pt").resolve() == copy / "step-1.pt"
    assert newest_first(copy) == [copy / "last.pt", copy / "step-1.pt"]
    checkpoint.save(state(), copy / "step-2.pt")  # and then the process was killed
    assert newest_first(copy) == [copy / "step-2.pt", copy / "step-1.pt"]


@pytest.mark.parametrize("lacking", [("symlink",), ("symlink", "link")])
def test_a_file_system_without_links_has_a_second_file(
    lacking: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*names: object) -> None:
        raise PermissionError

    for name in lacking:
        monkeypatch.setattr(os, name, none)
    for step in (1, 2):
        checkpoint.save(state(step), tmp_path / f"step-{step}.pt")
        checkpoint.alias(tmp_path / f"step-{step}.pt", "last.pt")
    assert not (tmp_path / "last.pt").is_symlink()
    assert (tmp_path / "last.pt").samefile(tmp_path / "step-2.pt") == ("link" not in lacking)
    assert checkpoint.load(tmp_path / "last.pt")["game"]["w"][0] == 2
    assert sorted(os.listdir(tmp_path)) == ["last.pt", "step-1.pt", "step-2.pt"]


@pytest.mark.parametrize("keep", [0, 10, 0.3, 0.9, 0.999])
def test_files_cut_short_are_refused(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "step-1.pt"
    checkpoint.save(state(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep if keep >= 1 else keep * len(whole))])
    with pytest.raises(CheckpointError):
        checkpoint.load(path)


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "step-1.pt"
    checkpoint.save(state(), path)
    whole = bytearray(path.read_bytes())
    weights = torch.ones(100).numpy().tobytes()
    whole[whole.index(weights) + 9] ^= 1
    path.write_bytes(whole)
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.load(path)


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    checkpoint.save(state(1.0), path)
    with pytest.raises(Exception, match="local object"):
        checkpoint.save({**state(2.0), "game": lambda: None}, path)
    assert checkpoint.load(path)["game"]["w"][0] == 1
    assert os.listdir(tmp_path) == ["last.pt"]


def test_the_one_before_is_used_and_the_problem_is_told(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        checkpoint.save(state(step), tmp_path / f"step-{step}.pt")
    (tmp_path / "last.pt").write_bytes(b"PK")
    (tmp_path / "step-3.pt").write_bytes((tmp_path / "step-3.pt").read_bytes()[:-100])
    loaded, path, problems = checkpoint.load_newest(newest_first(tmp_path))
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
        with pytest.raises(CheckpointError):
            checkpoint.load(tmp_path / name)
    assert not target.exists()


def test_foreign_files_are_told_apart(tmp_path: Path) -> None:
    torch.save({"weights": torch.ones(3)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="not a checkpoint of gan"):
        checkpoint.load(tmp_path / "other.pt")
    torch.save({**state(), "format": 99}, tmp_path / "future.pt")
    with pytest.raises(CheckpointError, match="format 99"):
        checkpoint.load(tmp_path / "future.pt")


W = torch.ones(100)
NAN = torch.full((100,), float("nan"))
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "config is not text": ({"config": 5}, "config is not text"),
    "config of 2 MB": ({"config": "x" * 2**21}, "config is longer"),
    "game is a list": ({"game": [W]}, "game is not a dict"),
    "a weight is a number": ({"game": {"w": 3.0}}, r"game\.w is not a tensor"),
    "a weight is NaN": ({"game": {"w": NAN}}, r"weight game\.w holds numbers that are infinite"),
    "one of many is infinite": ({"ema": {"w": torch.where(torch.arange(100) == 7, float("inf"), W)}}, r"ema\.w"),
    "a weight is sparse": ({"game": {"w": W.to_sparse()}}, "not a plain tensor"),
    "a weight claims 4 TB": ({"game": {"w": torch.ones(1).expand(10**12)}}, "more numbers than it holds"),
    "an optimizer is NaN": (
        {"optimizers": {"d": {"state": {0: {"exp_avg": NAN}}, "param_groups": []}}}, r"optimizers\.d\.state\.0\.exp_avg"
    ),
    "an optimizer without groups": ({"optimizers": {"d": {"state": {}}}}, "no groups of parameters"),
    "updates below 0": ({"updates": {"generator": -1}}, r"updates\.generator"),
    "updates in fractions": ({"updates": {"generator": 1.5}}, r"updates\.generator"),
    "a step beyond all": ({"clock": {"step": 2**62, "images": 0, "seconds": 0.0}}, r"clock\.step"),
    "a step that is true": ({"clock": {"step": True, "images": 0, "seconds": 0.0}}, r"clock\.step"),
    "images as a word": ({"clock": {"step": 1, "images": "1", "seconds": 0.0}}, r"clock\.images"),
    "seconds without end": ({"clock": {"step": 1, "images": 1, "seconds": float("inf")}}, r"clock\.seconds"),
    "seconds that are none": ({"clock": {"step": 1, "images": 1, "seconds": float("nan")}}, r"clock\.seconds"),
    "a clock of other hands": ({"clock": {"hour": 3}}, "clock does not consist of"),
    "a meter of other shape": ({"meter": {"groups": [(["a", "b"], [torch.ones(1)] * 3)]}}, "numbers for 2 names"),
    "a meter of whole numbers": ({"meter": {"groups": [(["a"], [torch.ones(1).long()] * 3)]}}, "holds no numbers"),
    "a meter without tensors": ({"meter": {"groups": [(["a"], [])]}}, "lacks sums"),
    "draws below 0": ({"draws": -1}, "draws"),
    "an average that is a number": ({"averages": {0.1: 3.0}}, r"averages\.0\.1 is not a dict"),
    "an average that is NaN": ({"averages": {0.1: {"w": NAN}}}, r"weight averages\.0\.1\.w holds numbers"),
    "an average of no width": ({"averages": {"w": {"w": W}}}, "a width that is not a number from 0.01"),
    "an average of width NaN": ({"averages": {float("nan"): {"w": W}}}, "a width that is not a number from 0.01"),
    "averages without end": ({"averages": {0.1 + k / 1000: {"w": W} for k in range(9)}}, "more than 8"),
    "class names of numbers": ({"class_names": [1, 2]}, "class_names"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_what_training_never_writes_is_refused(tmp_path: Path, wrong: str) -> None:
    parts, message = WRONG[wrong]
    checkpoint.save(state(**parts), tmp_path / "x.pt")
    began = time.process_time()
    with pytest.raises(CheckpointError, match=message) as caught:
        checkpoint.load(tmp_path / "x.pt")
    assert len(str(caught.value).splitlines()) == 2
    assert time.process_time() - began < 2


def test_what_a_newer_version_adds_is_left_alone(tmp_path: Path) -> None:
    checkpoint.save(state(draws=7, class_names=["a", "b"], later={"x": 1}), tmp_path / "x.pt")
    assert checkpoint.load(tmp_path / "x.pt")["draws"] == 7


def test_an_infinite_second_moment_of_finite_weights_loads(tmp_path: Path) -> None:
    """Of a gradient beyond 1.8e19 it is one in float32, and training went on."""
    moments = {0: {"exp_avg_sq": torch.full((3,), float("inf"))}}
    optimizers = {"generator": {"state": moments, "param_groups": [{"params": [0]}]}}
    checkpoint.save(state(optimizers=optimizers), tmp_path / "x.pt")
    assert checkpoint.load(tmp_path / "x.pt")["optimizers"]["generator"]["state"][0]["exp_avg_sq"].isinf().all()


def test_weights_that_are_no_numbers_fall_back_to_the_one_before(tmp_path: Path) -> None:
    checkpoint.save(state(1.0), tmp_path / "step-1.pt")
    checkpoint.save(state(float("nan")), tmp_path / "step-2.pt")
    _, path, problems = checkpoint.load_newest(newest_first(tmp_path))
    assert path.name == "step-1.pt"
    assert ["game.w" in problem for problem in problems] == [True]


def test_whole_numbers_are_no_weights(finished: Path, here: Path, gan_here: Inside) -> None:
    """Neither to sample from nor to go on with, though torch would convert them."""
    shutil.copytree(finished, "run")
    path = Path("run/checkpoints/last.pt")
    whole = torch.load(path, weights_only=True)
    first = next(name for name, tensor in whole["game"].items() if tensor.is_floating_point())
    for file in path.parent.iterdir():
        file.unlink()
    torch.save({**whole, "game": {**whole["game"], first: whole["game"][first].long()}}, path)
    for words in (
        ("sample", "run", "n=1"),
        ("eval", "run", "detector=pixels", "n=20"),
        ("train", "resume=run", "trainer.max_steps=8"),
    ):
        done = gan_here(*words)
        assert done.returncode == 2, done
        assert f"the weight game.{first} is of another type, int64 for float32" in done.stderr
        assert len(done.stderr.strip().splitlines()) == 2


def test_the_optimizers_are_those_of_the_players() -> None:
    weights = [torch.nn.Parameter(torch.ones(2)) for _ in range(3)]
    saved = {"generator": torch.optim.Adam(weights[:2]).state_dict()}
    updates = {"generator": 3}
    contents.check_players({"optimizers": saved, "updates": updates}, {"generator": torch.optim.Adam(weights[:2])})
    for optimizers, counts in (({}, updates), (saved, {})):
        with pytest.raises(Unsound, match="no state of the generator"):
            contents.check_players(
                {"optimizers": optimizers, "updates": counts}, {"generator": torch.optim.Adam(weights)}
            )
    with pytest.raises(Unsound, match="other parameters"):
        contents.check_players({"optimizers": saved, "updates": updates}, {"generator": torch.optim.Adam(weights)})


def bytes_of(state: dict) -> bytes:
    """Equal where all that is in two checkpoints is."""
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


def rewritten(path: Path, method: int = zipfile.ZIP_STORED, **members: bytes) -> Path:
    """The checkpoint again, its members stored otherwise, with more of them."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(path.with_name("other.pt"), "w", method) as archive:
        for name in source.namelist():
            archive.writestr(name, source.read(name))
        for name, content in members.items():
            archive.writestr(name, content)
    return path.with_name("other.pt")


def test_archives_that_torch_does_not_write_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    checkpoint.save(state(), path)
    assert checkpoint.load(rewritten(path))["clock"]["step"] == 3
    with pytest.raises(CheckpointError, match="compressed"):
        checkpoint.load(rewritten(path, zipfile.ZIP_DEFLATED, bomb=bytes(10**7)))
    other = rewritten(path)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(other, "a") as archive:
        archive.writestr(archive.namelist()[0], b"again")
    with pytest.raises(CheckpointError, match="two of one name"):
        checkpoint.load(other)
    many = rewritten(path, **{f"m{i}": b"" for i in range(100_001)})
    with pytest.raises(CheckpointError, match="too many"):
        checkpoint.load(many)


def test_a_bit_turned_in_the_directory_of_an_archive_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    """No checksum covers it, and a tensor marked as a folder is not read: of that, torch says nothing."""
    path = tmp_path / "x.pt"
    checkpoint.save(state(), path)
    whole, right = path.read_bytes(), bytes_of(checkpoint.load(path))
    entry = whole.rindex(b"PK\1\2", 0, whole.rindex(b"archive/data/"))
    refused = 0
    for place in range(entry, whole.index(b"archive/data/", entry)):
        for bit in range(8):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
            try:
                assert bytes_of(checkpoint.load(path)) == right
            except CheckpointError:
                refused += 1
    assert refused > 100


def test_a_storage_that_declares_more_than_its_record_is_refused(tmp_path: Path) -> None:
    """The pickle says 3 TB of a record of 400 bytes, as pickled by torch with the number changed."""
    torch.save({**state(), "format": 1}, tmp_path / "x.pt")
    with (
        zipfile.ZipFile(tmp_path / "x.pt") as source,
        zipfile.ZipFile(tmp_path / "y.pt", "w") as archive,
    ):
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("data.pkl"):
                assert b"Kd" in content  # 100
                content = content.replace(b"Kd", b"\x8a\x06" + (3 * 2**40 // 4).to_bytes(6, "little"))
            archive.writestr(name, content)
    with pytest.raises(CheckpointError):
        checkpoint.load(tmp_path / "y.pt")


def test_random_damage_is_refused_or_harmless(tmp_path: Path) -> None:
    """300 flips and 100 cuts through the real loader: the state that was written, or a refusal."""
    path, other = tmp_path / "x.pt", tmp_path / "y.pt"
    checkpoint.save(state(), path)
    rng, whole, wanted = random.Random(0), path.read_bytes(), checkpoint.load(path)
    for trial in range(400):
        damaged = bytearray(whole)
        at = rng.randrange(len(damaged))
        if trial < 300:
            damaged[at] ^= 1 << rng.randrange(8)
        else:
            del damaged[at:]
        other.write_bytes(damaged)
        with suppress(CheckpointError):
            assert repr(checkpoint.load(other)) == repr(wanted)


@pytest.mark.parametrize("kind", ["a folder", "nothing", "a page", "zeros"])
def test_what_is_no_checkpoint_costs_two_lines(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.pt"
    if kind == "a folder":
        path.mkdir()
    elif kind != "nothing":
        path.write_bytes(b"<!DOCTYPE html>" if kind == "a page" else bytes(10**6))
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(path)
    assert len(str(caught.value).splitlines()) == 2
    assert "Error" not in str(caught.value)


def test_old_saves_thin_out() -> None:
    steps = list(range(100, 3001, 100))
    gone = expendable(steps, keep=3, spacing=Fraction(1000))
    assert sorted(set(steps) - set(gone)) == [1000, 2000, 2800, 2900, 3000]
    assert expendable([150], keep=3, spacing=Fraction(1000)) == []


def test_thinning_out_again_takes_no_more() -> None:
    """Also where a spacing is no whole number of steps, and saves were made between the regular ones."""
    steps, kept = [], []
    for step in range(1, 400):
        if step % 7 == 0 or step % 30 == 0:
            steps.append(step)
            kept.append(step)
            kept = [s for s in kept if s not in expendable(kept, keep=2, spacing=Fraction(70, 3))]
    firsts = {min(s for s in steps if s // Fraction(70, 3) == k) for k in range(1, 18)}
    assert set(kept) == firsts | set(steps[-2:])
