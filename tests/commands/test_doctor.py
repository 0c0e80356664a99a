"""gan doctor and gan cache: what they find, what they say of what is broken, and what they leave alone."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gan_cli.commands import doctor
from gan_cli.errors import RunFailed
from gan_cli.metrics import shelf
from gan_cli.metrics.store import Store
from gan_cli.runs import probe
from gan_cli.shell.main import main
from gan_cli.store import caches, machine, packages, removal
from gan_cli.store.disk import lock

Cached = Callable[..., list[Path]]
KEYS = [hashlib.sha256(bytes([i])).hexdigest() for i in range(9)]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of caches with an entry in each, and files beside them that are not ours."""
    home = tmp_path / "cache"
    for name, endings in (("decoded", ("npy", "json")), ("references", ("safetensors", "json", "lock"))):
        (home / name).mkdir(parents=True)
        for ending in endings:
            (home / name / f"{KEYS[0]}.{ending}").write_bytes(bytes(1000))
    for other in ("own/abc", "decoded/notes.json", "decoded/holiday.npy", "references/README", "data/digits.npz"):
        (home / other).parent.mkdir(exist_ok=True)
        (home / other).write_text("mine")
    monkeypatch.setenv("GAN_CACHE", str(home))
    return home


def left(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


OTHERS = {"own/abc", "decoded/notes.json", "decoded/holiday.npy", "references/README", "data/digits.npz"}


def test_clearing_removes_what_is_ours_and_nothing_else(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (cache / "references" / f".{KEYS[1]}.safetensors.99999999.tmp").write_text("left by a process that was killed")
    assert main(["cache", "clear", "yes=true"]) == 0
    assert left(cache) == OTHERS
    assert main(["cache", "clear", "yes=true"]) == 0
    assert "nothing to remove" in capsys.readouterr().out


def test_only_the_named_caches_are_cleared(cache: Path) -> None:
    before = left(cache)
    assert main(["cache", "clear", "decoded", "yes=true"]) == 0
    assert before - left(cache) == {f"decoded/{KEYS[0]}.npy", f"decoded/{KEYS[0]}.json"}


def test_it_asks_first(cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    before = left(cache)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main(["cache", "clear"]) == 2
    assert "there is no terminal to ask at" in capsys.readouterr().err
    assert left(cache) == before


def test_nothing_is_removed_through_a_link(cache: Path, tmp_path: Path) -> None:
    """Neither where the folder is one, nor where a file is."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for path in (elsewhere / f"{KEYS[2]}.npy", elsewhere / "kept"):
        path.write_text("mine")
    (cache / "classifiers").symlink_to(elsewhere)
    (cache / "decoded" / f"{KEYS[3]}.npy").symlink_to(elsewhere / "kept")
    (cache / "decoded" / f"{KEYS[4]}.npy").mkdir()
    for one in caches.CACHES.values():
        removal.clear(one)
    assert left(elsewhere) == {f"{KEYS[2]}.npy", "kept"}
    assert (cache / "decoded" / f"{KEYS[3]}.npy").is_symlink()
    assert (cache / "decoded" / f"{KEYS[4]}.npy").is_dir()


def test_an_entry_in_use_stays(cache: Path) -> None:
    with (cache / "references" / f"{KEYS[0]}.lock").open() as file:
        assert lock(file.fileno())
        assert removal.clear(caches.CACHES["references"]) == 0
    assert removal.clear(caches.CACHES["references"]) == 3


def test_the_names_of_a_cache_are_those_that_are_written(cache: Path) -> None:
    """Whatever a store writes is cleared."""
    Store(cache / "classifiers").get({"data": "x"}, lambda _: {"a": torch.zeros(3)})
    assert caches.content(caches.CACHES["classifiers"]).entries == 1
    removal.clear(caches.CACHES["classifiers"])
    assert not list((cache / "classifiers").iterdir())


def test_the_sizes_are_listed(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["decoded"] == {"folder": str(cache / "decoded"), "entries": 1, "bytes": 2000}
    assert told["references"]["bytes"] == 3000
    assert main(["cache", "decodet"]) == 2
    assert "no cache named 'decodet'\n  did you mean decoded?" in capsys.readouterr().err


def test_a_doctor_answers_in_words_and_as_json(
    here: Path, cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "matmul", lambda device: 2e9)
    monkeypatch.setattr(probe, "steps", lambda device: 10.0)
    assert main(["doctor"]) == 0
    page = capsys.readouterr().out
    for word in ("torch 2", "2 GFLOP/s", "10 steps/s, about 8 minutes", "vgg19-dcbb9e9d.pth", "2 kB in", "extras"):
        assert word in page
    assert main(["doctor", "json=told.json"]) == 0
    told = json.loads((here / "told.json").read_text())
    assert told.keys() == {*doctor.SECTIONS, "problems"}
    assert told["problems"] == []
    assert told["caches"]["references"]["bytes"] == 3000


def test_the_probe_counts_operations_and_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device("cpu")
    assert probe.matmul(device, 0.01) > 1e8
    assert probe.steps(device, 0.0) > 0
    ticks = itertools.count(0, 0.5)  # half a second each
    monkeypatch.setattr(probe.time, "perf_counter", lambda: next(ticks))
    assert probe._rate(lambda: None, device, 3.0) == 2.0


def test_weights_are_found_where_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (vgg,) = (wanted for wanted in shelf.WANTED if wanted.environment == "GAN_VGG19")
    assert not vgg.found
    file = tmp_path / vgg.file
    file.write_bytes(b"damaged")
    monkeypatch.setenv("GAN_VGG19", str(file))
    assert (vgg.path, vgg.found, vgg.sound()) == (file, True, False)
    found = doctor._weights()
    assert len(found.problems) == 1
    assert str(file) in found.problems[0]
    own = file.rename(tmp_path / "own.pth")  # a file of the user's own has no digest to have
    monkeypatch.setenv("GAN_VGG19", str(own))
    assert vgg.sound()


def test_what_is_broken_costs_the_exit_code(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where looking at it fails: the rest is told, and JSON is whole."""

    def fails() -> doctor.Finding:
        raise OSError("no such luck")

    monkeypatch.setattr(doctor, "SECTIONS", {"disk": fails, "extras": doctor._extras})
    with pytest.raises(RunFailed, match="disk cannot be found out: OSError: no such luck"):
        doctor.main(["json=x.json"])
    assert json.loads((here / "x.json").read_text())["problems"] == ["disk cannot be found out: OSError: no such luck"]
    assert main(["doctor"]) == 1


def test_a_package_out_of_range_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._versions().problems == []
    monkeypatch.setattr(packages, "version", lambda name: None if name == "scipy" else "0.1")
    problems = doctor._versions().problems
    assert any(problem.startswith("scipy is not installed, and gan needs >=") for problem in problems)
    assert any(problem.startswith("torch is 0.1, and gan needs >=") for problem in problems)


def test_room_is_that_of_the_nearest_folder(tmp_path: Path) -> None:
    room = machine.room(tmp_path / "not" / "yet")
    assert (room.place, room.writable) == (tmp_path, True)
    memory = machine.memory()
    assert memory is None or 0 < (memory.free or 1) <= memory.total
