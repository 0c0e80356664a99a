"""Daily work with runs: list, show, follow, stop, prune, remove; and what a hostile run folder cannot do."""

from __future__ import annotations

import importlib
import io
import json
import os
import pkgutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from conftest import Inside, words
from forked import Forked
from gan_cli import metrics, train
from gan_cli.commands import logs, stop
from gan_cli.commands.runs import record
from gan_cli.shell.completion import candidates
from gan_cli.shell.table import COMMANDS
from gan_cli.store import removal, summary
from gan_cli.store.locks import holder, holding
from gan_cli.store.run import Run

LIGHT = """
import sys
from gan_cli.cli import main
assert main({}) == 0
assert not {{"torch", "hydra", "omegaconf"}} & set(sys.modules)
"""
HOLDER = """
import os, platform, signal, sys, time
from pathlib import Path
from gan_cli.store.run import Run

def end(number, frame):
    raise SystemExit

run = Run(sys.argv[1])
signal.signal(signal.SIGTERM, end)
with run.alone():
    try:
        print("here", flush=True)
        time.sleep(60)
    finally:
        time.sleep(0.2)  # the step is completed
        run.result.write_text('{"status": "stopped", "step": 7}')
"""
CONFIG = "seed: 0\ndataset:\n  given: null\ntrainer:\n  max_steps: 100\nmodel:\n  width: 8\n"
MANIFEST = {"command": "gan train", "versions": {}, "start": "2026-01-01T00:00:00+00:00", "seed": 0}


def made(folder: Path, status: str | None = "finished", start: int = 1, **result: object) -> Path:
    """A run folder without the training."""
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text(CONFIG)
    manifest = {**MANIFEST, "start": f"2026-01-{start:02d}T00:00:00+00:00", "choices": {"model": f"m{start}"}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "train.log").write_text("".join(f"line {i}\n" for i in range(5)))
    if status is not None:
        (folder / "result.json").write_text(json.dumps({"status": status, "step": 10 * start, **result}))
    return folder


def best(metric: str, value: float, better: str = "smaller") -> dict[str, object]:
    return {"metric": metric, "value": value, "step": 5, "better": better}


def names(done: object) -> list[str]:
    return [run["name"] for run in json.loads(done.stdout)]  # type: ignore[attr-defined]


@pytest.fixture
def four(here: Path) -> Path:
    """Four runs, one of them in a sweep."""
    home = here / "outputs"
    made(home / "train" / "old", start=1, best=best("kid_5", 0.5))
    made(home / "train" / "young", "failed", start=9, error="no memory\n  lower it")
    made(home / "train" / "killed", None, start=3)
    made(home / "sweeps" / "s" / "0", "diverged", start=2, best=best("kid_5", 0.25))
    return home


@contextmanager
def running(folder: Path) -> Iterator[subprocess.Popen]:
    """Another process that holds the run's lock, and ends well when it is asked to stop."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "here\n"
            yield process
        finally:
            process.kill()


def test_nothing_is_said_in_words(gan_here: Inside, here: Path) -> None:
    done = gan_here("runs")
    assert (done.returncode, done.stdout) == (0, "no runs in outputs; gan train makes one\n")
    assert gan_here("runs", "--json").stdout == "[]\n"
    made(here / "outputs" / "a")
    assert gan_here("runs", "status=failed").stdout == "no run in outputs matches\n"
    made(here / "outputs" / "b")
    assert gan_here("runs", "xyz").stdout == "no run in outputs matches\n"
    assert "did you mean rm?" in gan_here("runs", "m", "outputs/a").stdout


def test_the_list_is_sorted_and_filtered(gan_here: Inside, four: Path) -> None:
    assert names(gan_here("runs", "--json")) == ["young", "killed", "0", "old"]
    assert names(gan_here("runs", "--json", "sort=best"))[:2] == ["0", "old"]
    assert names(gan_here("runs", "--json", "sort=name")) == ["0", "killed", "old", "young"]
    assert names(gan_here("runs", "--json", "sort=step")) == ["young", "0", "old", "killed"]
    (four / "train" / "killed" / "samples").mkdir()
    (four / "train" / "killed" / "samples" / "a.png").write_bytes(b"x" * 9999)
    assert names(gan_here("runs", "--json", "sort=size"))[0] == "killed"
    assert names(gan_here("runs", "--json", "status=stopped")) == ["killed"]
    assert names(gan_here("runs", "--json", "model=m2")) == ["0"]
    assert names(gan_here("runs", "--json", "model.width=8", "ol")) == ["old"]
    assert names(gan_here("runs", "--json", "outputs/sweeps")) == ["0"]
    assert names(gan_here("runs", "--json", "outputs/train/old", "outputs/train", "outputs/train/")) == names(
        gan_here("runs", "--json", "outputs/train")
    )


def test_larger_is_better_where_the_metric_says_so(gan_here: Inside, here: Path) -> None:
    for name, value in (("a", 0.2), ("b", 0.9), ("c", 0.5)):
        made(here / "outputs" / name, best=best("precision_5", value, "larger"))
    assert names(gan_here("runs", "--json", "sort=best")) == ["b", "c", "a"]


def test_the_keys_of_the_list_stay(four: Path) -> None:
    keys = ["name", "folder", "status", "step", "steps", "best", "bytes", "start", "age", "tags", "chosen"]
    assert all([*record(run)] == keys for run in summary.find(["outputs"]))
    (run,) = summary.find(["outputs/sweeps"])
    told = record(run) | {"age": 0, "bytes": 0}
    assert told == {
        "name": "0",
        "folder": "outputs/sweeps/s/0",
        "status": "diverged",
        "step": 20,
        "steps": 100,
        "best": {"metric": "kid_5", "value": 0.25, "step": 5},
        "bytes": 0,
        "start": "2026-01-02T00:00:00+00:00",
        "age": 0,
        "tags": [],
        "chosen": {"seed": "0", "model": "m2"},
    }


def test_runs_are_found_by_their_tags(gan_here: Inside, four: Path, finished: Path) -> None:
    """The column is there only where some run has one; old runs have none."""
    assert "tags" not in gan_here("runs").stdout
    old, young = four / "train" / "old" / "config.yaml", four / "train" / "young" / "config.yaml"
    for file, tags in ((old, ["first, try", "2024"]), (young, ["x" * 150 + " y" * 60, "2024", "a\nseed: 3"])):
        file.write_text(f"seed: 0\n{OmegaConf.to_yaml({'tags': tags})}trainer:\n  max_steps: 100\n")
    assert names(gan_here("runs", "--json", "tag=2024")) == ["young", "old"]
    assert names(gan_here("runs", "--json", "tag=first, try")) == ["old"]
    assert gan_here("runs", "tag=202").stdout == "no run in outputs matches\n"
    head, line, *_ = gan_here("runs", "old").stdout.splitlines()
    assert head.split()[-2:] == ["tags", "run"]
    assert "  first, try, 2024  outputs/train/old" in line
    assert gan_here("show", "outputs/train/old").stdout.count("tags         first, try  2024\n") == 1
    (run,) = summary.find(["outputs/train/young"])
    assert run.tags[1:] == ("2024", "a\nseed: 3")
    for odd in (
        "tags: {a: 1}",
        "tags: 3",
        "tags:\n- [",
        "tags: [[a], 7, b]",
        f"tags: {'[' * 9999}",
        "tags: &a [*a, b]",
    ):
        assert summary.tags(f"seed: 0\n{odd}\nname: x\n") in ((), ("b",))
    assert "tags: []\n" in (finished / "config.yaml").read_text()


def test_a_line_of_the_list(gan_here: Inside, four: Path) -> None:
    lines = gan_here("runs", "old").stdout.splitlines()
    assert lines[0].split() == ["status", "step", "best", "size", "age", "run"]
    cells = lines[1].split()
    assert cells[:4] == ["finished", "10/100", "kid_5", "0.5"]
    assert cells[-1] == "outputs/train/old"


def test_size_counts_a_file_once(here: Path) -> None:
    run = made(here / "run")
    before = summary.of("run").bytes
    (run / "checkpoints" / "step-1.pt").write_bytes(b"x" * 1000)
    os.link(run / "checkpoints" / "step-1.pt", run / "checkpoints" / "last.pt")
    (run / "away").symlink_to(sys.executable)
    assert summary.of("run").bytes == before + 1000
    assert before == sum(path.stat().st_size for path in run.iterdir() if path.is_file() and not path.is_symlink())


def test_a_real_run_and_one_without_result(finished: Path, here: Path) -> None:
    run = summary.of(str(finished))
    assert (run.status, run.step, run.steps, run.best) == ("finished", 4, 4, None)
    assert (run.chosen["model"], run.chosen["seed"], run.chosen["model.latent_dim"]) == ("mlp", "0", "4")
    measured = ("evaluation.every_steps=1", "evaluation.n=20", "callback=[history,checkpoints]")
    ended = train(*words("dataset=digits", "dataset.resolution=8", *measured, "hydra.run.dir=run", steps=3))
    told = summary.of("run").best
    Run("run").result.unlink()
    lost = summary.of("run")
    assert (lost.status, lost.step) == ("stopped", 3)
    assert lost.best == told
    assert told is not None
    assert told.metric.startswith("kid_")
    assert ended.score == told.cost


def test_the_values_that_can_be_watched_are_those_of_the_metrics() -> None:
    def below(kind: type) -> Iterator[type]:
        for other in kind.__subclasses__():
            yield other
            yield from below(other)

    for module in pkgutil.iter_modules(metrics.__path__, "gan_cli.metrics."):
        importlib.import_module(module.name)
    ours = {
        kind
        for base in (metrics.Metric, metrics.PairMetric)
        for kind in below(base)
        if kind.__module__.startswith("gan_cli.")
    }
    assert {name: str(way) for kind in ours for name, way in kind.better.items()} == summary.BETTER


def test_torch_is_not_imported(four: Path) -> None:
    for arguments in (["runs"], ["runs", "--json"], ["show", "outputs/train/old"], ["logs", "outputs/train/old"]):
        done = subprocess.run([sys.executable, "-c", LIGHT.format(arguments)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_a_run_is_running_while_its_lock_is_held(gan_here: Inside, here: Path) -> None:
    run = made(here / "outputs" / "a", "finished")
    (run / ".lock").write_text("process 1 on moon")
    assert summary.of(str(run)).status == "finished"  # left behind by a process that was killed
    with running(run) as process:
        assert summary.of(str(run)).status == "running"
        assert f"process {process.pid} on " in (holder(run / ".lock") or "")
        assert names(gan_here("runs", "--json", "status=running")) == ["a"]
        for line in (("runs", "rm"), ("runs", "prune")):
            done = gan_here(*line, "outputs/a", "yes=true")
            assert (done.returncode, done.stderr.splitlines()[1]) == (2, "  gan stop outputs/a stops it")
        (run / "checkpoints" / "step-1.pt").write_bytes(b"x")
        (run / "checkpoints" / "last.pt").write_bytes(b"x")
        assert "nothing to prune" in gan_here("runs", "prune", "yes=true").stdout
        for deed in (removal.remove, removal.prune):  # also if it began after the look
            with pytest.raises(removal.NotARun, match="is being trained by process"):
                deed(run)
    assert (run / "checkpoints" / "step-1.pt").exists()
    assert summary.of(str(run)).status == "finished"


def test_looking_at_a_lock_keeps_nobody_out(here: Path) -> None:
    """A look takes the lock for a moment: who wants it then waits that long."""
    lock, looking = here / ".lock", threading.Event()
    lock.write_text("")
    import fcntl

    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        threading.Timer(0.01, lambda: fcntl.flock(file, fcntl.LOCK_UN)).start()
        with holding(lock, "me"):
            looking.set()
    assert looking.is_set()


def test_a_lock_that_is_a_link_harms_nothing(gan_here: Inside, here: Path) -> None:
    run = made(here / "run")
    (here / "precious").write_text("precious")
    (run / ".lock").symlink_to(here / "precious")
    done = gan_here("runs", "rm", "run", "yes=true")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 2)
    assert done.stderr.startswith("gan runs: run/.lock cannot be written")
    assert (here / "precious").read_text() == "precious"


def hostile(run: Path, there: Path) -> dict[str, Callable[[], object]]:
    """What a stranger may put into a run folder."""
    (there / "secret").write_text('{"status": "secret", "step": 77}')

    def put(name: str, content: bytes | str) -> Callable[[], object]:
        data = content.encode() if isinstance(content, str) else content
        return lambda: (run / name).write_bytes(data)

    def instead(name: str, make: Callable[[Path], object]) -> Callable[[], object]:
        def act() -> None:
            (run / name).unlink(missing_ok=True)
            make(run / name)

        return act

    nested = "[" * 100_000
    return {
        "deep": put("result.json", nested),
        "a list": put("result.json", "[1]"),
        "types": put(
            "result.json", '{"status": ["x"], "step": {}, "best": {"metric": 3}, "alarms": [1, {"step": []}]}'
        ),
        "numbers": put("result.json", '{"step": 1e999, "best": {"metric": "a", "value": NaN}}'),
        "a huge number": put("result.json", '{"best": {"metric": "a", "value": 1%s}}' % ("0" * 400)),
        "running": put("result.json", '{"status": "running", "images_per_second": 1%s}' % ("0" * 400)),
        "bytes": put("manifest.json", b"\xff\x00\xfe"),
        "choices": put("manifest.json", '{"start": 3, "choices": {"model": ["x"]}, "overrides": [1, "a", {"b": 1}]}'),
        "years": put("manifest.json", '{"start": "9999-12-31T23:59:59-23:00", "data": {"shape": 3}, "resumed": "x"}'),
        "letters": put("manifest.json", json.dumps({"command": "\x1b[2J\u202e\n\r", "choices": {"\x1b": "\x07"}})),
        "rows": put("metrics.jsonl", b"{\n" * 100_000 + b"\x00\xff{"),
        "config": put("config.yaml", "trainer:\n  max_steps: " + "9" * 5000),
        "no config": put("config.yaml", b"\x00" * 1000),
        "a pipe": instead("result.json", os.mkfifo),
        "a pipe as a lock": instead(".lock", os.mkfifo),
        "a pipe as a log": instead("train.log", os.mkfifo),
        "a folder": instead("result.json", os.mkdir),
        "a link": instead("result.json", lambda path: path.symlink_to(there / "secret")),
        "a link to itself": instead("samples", lambda path: path.symlink_to(run)),
        "a name": lambda: (run / "a\x1b[2J\nb\udce9").write_text(""),
    }


KINDS = (
    *("deep", "a list", "types", "numbers", "a huge number", "running", "bytes", "choices", "years", "letters", "rows"),
    *("config", "no config", "a pipe", "a pipe as a lock", "a pipe as a log", "a folder", "a link"),
    *("a link to itself", "a name"),
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_hostile_run_breaks_no_list(gan_here: Inside, here: Path, kind: str) -> None:
    made(here / "outputs" / "good")
    bad = made(here / "outputs" / "bad\x1b[2J\u202e\nx")
    deeds = hostile(bad, here)
    assert [*deeds] == [*KINDS]
    deeds[kind]()
    listed = gan_here("runs")
    assert listed.returncode == 0
    assert len(listed.stdout.splitlines()) == 3
    found = json.loads(gan_here("runs", "--json", "sort=best").stdout, parse_constant=lambda word: pytest.fail(word))
    assert len(found) == 2
    assert len(json.dumps(found)) < 10_000
    assert 77 not in [run["step"] for run in found]
    for command in ("show", "logs", "stop"):
        done = gan_here(command, str(bad))
        assert done.returncode in (0, 2), done.stderr
        assert "secret" not in done.stdout
        for text in (*done, *listed):
            assert not {*"\x1b\u202e\x07\r"} & {*str(text)}
    assert not {*"\x1b\u202e\x07\r"} & {*listed.stdout}


def test_a_list_follows_no_link_and_ends(here: Path) -> None:
    run = made(here / "elsewhere" / "run")
    (here / "outputs").mkdir()
    (here / "outputs" / "link").symlink_to(run.parent)
    (here / "outputs" / "round").symlink_to(here / "outputs")
    assert list(summary.find(["outputs"])) == []
    assert [found.name for found in summary.find(["elsewhere", "elsewhere/run", "nowhere"])] == ["run"]


def test_a_setting_is_found_as_a_parser_finds_it(finished: Path) -> None:
    import yaml

    text = (finished / "config.yaml").read_text()
    checked = 0

    def walk(node: dict, prefix: str) -> None:
        nonlocal checked
        for name, value in node.items():
            found = summary.setting(text, prefix + name)
            assert found is not None
            if isinstance(value, dict) and value:
                walk(value, f"{prefix}{name}.")
            elif not isinstance(value, list):
                assert yaml.safe_load(found) == value
                checked += 1

    walk(yaml.safe_load(text), "")
    assert checked > 50
    assert summary.setting(text, "trainer.nothing") is None
    assert summary.setting(text, "max_steps") is None


# --- rm and prune ---------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_rm_asks(gan_here: Inside, four: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = four / "train" / "old"
    refused = gan_here("runs", "rm", "outputs/train/old")
    assert (refused.returncode, refused.stderr.splitlines()[1]) == (2, "  yes=true agrees")
    for answer in ("\n", "n\n", "", "nonsense\n"):
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        done = gan_here("runs", "rm", "outputs/train/old")
        assert (done.returncode, done.stdout.endswith("? [y/N] nothing was removed\n")) == (0, True)
        assert run.exists()
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert gan_here("runs", "rm", "outputs/train/old").stdout.endswith("? [y/N] removed 1 run\n")
    assert not run.exists()
    assert (
        gan_here(
            "runs", "rm", "outputs/train/young", "outputs/train/killed", str(four / "train" / "young"), "yes=true"
        ).returncode
        == 0
    )
    assert [path.name for path in (four / "train").iterdir()] == []


def test_rm_removes_runs_only(gan_here: Inside, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made(here / "run")
    (here / "project").mkdir()
    (here / "project" / "config.yaml").write_text("")
    (here / "project" / "manifest.json").write_text("{}")
    (here / "link").symlink_to(run)
    (here / "precious").mkdir()
    (here / "precious" / "a").write_text("a")
    before = sorted(here.rglob("*"))
    for word in (
        ".",
        "..",
        "project",
        "link",
        "link/",
        "nowhere",
        "run/checkpoints",
        "run/config.yaml",
        "precious",
    ):
        for deed in ("rm", "prune"):
            done = gan_here("runs", deed, "run", word, "yes=true")
            assert (done.returncode, len(done.stderr.splitlines())) == (2, 2), (word, done)
    assert gan_here("runs", "rm", "yes=true").returncode == 2
    assert sorted(here.rglob("*")) == before
    monkeypatch.chdir(run / "checkpoints")
    assert "is where you are" in gan_here("runs", "rm", "..", "yes=true").stderr
    monkeypatch.chdir(here)
    (run / "notes").mkdir()
    for deed in ("rm", "prune"):
        done = gan_here("runs", deed, "run", "yes=true")
        assert (done.returncode, "run/notes, which is not of a run" in done.stderr) == (2, True)
    (run / "notes").rmdir()
    (run / "samples").symlink_to(here / "precious")
    assert gan_here("runs", "rm", "run", "yes=true").returncode == 0
    assert (here / "precious" / "a").exists()
    assert not run.exists()


def test_prune_keeps_best_and_last(gan_here: Inside, here: Path) -> None:
    run = made(here / "outputs" / "run")
    for name in ("step-000000001.pt", "step-000000002.pt", "step-000000003.pt", "best.pt", "step-own.pt", "mine.pt"):
        (run / "checkpoints" / name).write_bytes(b"x" * 1000)
    os.link(run / "checkpoints" / "step-000000003.pt", run / "checkpoints" / "last.pt")
    (here / "outside").write_text("outside")
    (run / "checkpoints" / "step-000000009.pt").symlink_to(here / "outside")
    failed = made(here / "outputs" / "failed", "failed")
    for folder in (failed, made(here / "outputs" / "linked")):
        (folder / "checkpoints" / "step-1.pt").write_bytes(b"x")
        (folder / "checkpoints" / "step-2.pt").write_bytes(b"x")
    os.rename(here / "outputs" / "linked" / "checkpoints", here / "elsewhere")
    (here / "outputs" / "linked" / "checkpoints").symlink_to(here / "elsewhere")
    asked = gan_here("runs", "prune")
    assert asked.returncode == 2
    assert "outputs/run: 3 checkpoints, 2 kB" in asked.stdout  # the third is last.pt too, and frees nothing
    assert (run / "checkpoints" / "step-000000001.pt").exists()
    done = gan_here("runs", "prune", "yes=true")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "removed 3 checkpoints, 2 kB")
    left = {path.name for path in (run / "checkpoints").iterdir()}
    assert left == {"best.pt", "last.pt", "step-own.pt", "mine.pt", "step-000000009.pt"}
    assert (here / "outside").read_text() == "outside"
    assert len([*(here / "elsewhere").iterdir()]) == len([*(failed / "checkpoints").iterdir()]) == 2
    assert "nothing to prune" in gan_here("runs", "prune", "yes=true").stdout
    assert "has failed" in gan_here("runs", "prune", "outputs/failed", "yes=true").stderr


def test_prune_keeps_the_newest_where_there_is_no_last(here: Path) -> None:
    run = made(here / "run")
    for step in (9, 10, 2):
        (run / "checkpoints" / f"step-{step}.pt").write_bytes(b"x")
    assert removal.prune(run) == 2
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-10.pt"]


def test_a_pruned_run_goes_on(here: Path) -> None:
    train(*words("hydra.run.dir=run", "callback.checkpoints.every_steps=1", steps=3))
    assert removal.prune(here / "run") == 2
    assert {path.name for path in (here / "run/checkpoints").iterdir()} == {"last.pt", "step-000000003.pt"}
    assert train("resume=run", "trainer.max_steps=4").step == 4


# --- stop -----------------------------------------------------------------------------------------------------------


def test_stop_ends_a_training(gan_here: Inside, here: Path) -> None:
    base = words("hydra.run.dir=run", "callback=[progress,checkpoints]", "callback.progress.every_steps=1", steps=10**9)
    process = Forked("train", *base, folder=here)
    try:
        while "\nstep " not in process.said()[0]:
            assert process.poll() is None
            time.sleep(0.02)
        done = gan_here("stop", "run")
        assert process.wait(20) == 130
    finally:
        process.kill()
    assert done.returncode == 0, done.stderr
    step = json.loads((here / "run" / "result.json").read_text())["step"]
    assert done.stdout.splitlines()[1:] == [
        f"stopped at step {step}; everything is saved in run",
        "  gan train resume=run",
    ]
    assert train("resume=run", f"trainer.max_steps={step + 1}").step == step + 1


def test_stop_says_how_it_ended(gan_here: Inside, here: Path) -> None:
    run = made(here / "a run", None)
    with running(run):
        done = gan_here("stop", "a run")
    assert (done.returncode, done.stdout.splitlines()[1:]) == (
        0,
        ["stopped at step 7; everything is saved in a run", "  gan train resume='a run'"],
    )


def test_stop_asks_nobody_else(gan_here: Inside, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a lock file says: only the process that holds it, on this machine, gets a signal."""
    run = made(here / "run")
    for content in (None, f"process {os.getpid()} on {os.uname().nodename}"):
        if content:
            (run / ".lock").write_text(content)
        done = gan_here("stop", "run")
        assert done.returncode == 2
        assert done.stderr.splitlines()[0] == "gan stop: run is not running"
    with running(run) as process, monkeypatch.context() as patch:
        patch.setattr(os, "kill", lambda *_: pytest.fail("somebody got a signal"))
        for content, said in (
            ("process 7 on moon\x1b[2J", "runs on moon\\x1b[2J, not here"),
            (f"process {os.getppid()} on {os.uname().nodename}", f"not as process {os.getppid()}"),
            (f"process 1 on {os.uname().nodename}", "not as process 1"),
            (f"process 0 on {os.uname().nodename}", "not as process 0"),
            (f"process -{process.pid} on {os.uname().nodename}", "does not say where"),
            ("", "does not say where"),
        ):
            (run / ".lock").write_text(content)
            done = gan_here("stop", "run")
            assert (done.returncode, len(done.stderr.splitlines())) == (2, 2)
            assert said in done.stderr
    assert gan_here("stop").stderr.splitlines()[0] == "gan stop: which run?"
    assert "more than one run" in gan_here("stop", "run", "run2").stderr
    assert "is not a folder" in gan_here("stop", "nowhere").stderr


def test_stop_tells_a_failure(gan_here: Inside, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made(here / "run", "failed", error="the disk is full\n  make room")
    monkeypatch.setattr(stop, "_process", lambda *_: 2**30)
    monkeypatch.setattr(os, "kill", lambda *_: None)
    done = gan_here("stop", "run")
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, "gan stop: run failed: the disk is full")
    (run / "result.json").unlink()
    assert "ended without a result" in gan_here("stop", "run").stderr


# --- logs and show --------------------------------------------------------------------------------------------------


def test_logs(gan_here: Inside, here: Path) -> None:
    run = made(here / "run")
    text = (run / "train.log").read_text()
    assert gan_here("logs", "run").stdout == text
    assert gan_here("logs", "run", "n=2").stdout == "line 3\nline 4\n"
    assert gan_here("logs", "run", "n=99", "-f").stdout == text  # the run has ended
    (run / "train.log").write_bytes(b"a\x1b[2J\xff\r\n\xe2\x80\xaeb")
    assert gan_here("logs", "run").stdout == "a\\x1b[2J\ufffd\\r\n\\u202eb\n"
    for wrong, said in ((("n=0",), "n=20"), (("n=x",), "n=20"), (("m=2",), "it takes n=, -f"), (("-F",), "-f")):
        done = gan_here("logs", "run", *wrong)
        assert (done.returncode, said in done.stderr.splitlines()[1]) == (2, True)
    (run / "train.log").unlink()
    assert "has no log yet" in gan_here("logs", "run").stderr


def test_the_last_lines_of_any_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "PIECE", 3)
    for text in ("", "\n", "a", "a\n", "a\nb", "a\nbcdefgh\n\n\ni\n", "\n\n\n", "abc\ndef\nghi\n", "ab\ncd\nef"):
        (here / "log").write_text(text)
        descriptor = os.open("log", os.O_RDONLY)
        for n in range(1, 7):
            expected = "".join(text.splitlines(keepends=True)[-n:])
            assert text[logs.start_of_last(descriptor, n) :] == expected
        os.close(descriptor)


def test_logs_follow_a_run_to_its_end(gan_here: Inside, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written between two looks is printed, also in halves, and the following ends with the run."""
    run = made(here / "run")
    with running(run) as process, (run / "train.log").open("a") as log:
        left = ["one\ntw", "o\nthree"]

        def wait(_: float) -> None:
            if left:
                log.write(left.pop(0))
                log.flush()
            else:
                process.kill()
                process.wait()

        monkeypatch.setattr(logs, "time", SimpleNamespace(sleep=wait))
        done = gan_here("logs", "-f", "run", "n=1")
    assert (done.returncode, done.stdout) == (0, "line 4\none\ntwo\nthree\n")


def test_ctrl_c_ends_the_following_alone(gan_here: Inside, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt  # not by a signal, which whoever starts the tests may have set to be ignored

    run = made(here / "run")
    with running(run) as process:
        monkeypatch.setattr(logs, "time", SimpleNamespace(sleep=interrupted))
        done = gan_here("logs", "-f", "run")
        assert process.poll() is None
    assert (done.returncode, done.stderr) == (0, "\nthe run goes on; gan stop run stops it\n")


def test_show_is_a_page(gan_here: Inside, finished: Path) -> None:
    done = gan_here("show", str(finished))
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if not line.startswith(" ")}
    told = [
        "run",
        "status",
        "command",
        "began",
        "settings",
        "data",
        "parameters",
        "best",
        "last",
        "alarms",
        "files",
        "next",
    ]
    assert [*rows] == told
    assert "finished at step 4 of 4" in rows["status"]
    assert "digits, 1797 samples" in rows["data"]
    assert f"gan sample {finished} n=64" in done.stdout
    assert f"gan train resume={finished} trainer.max_steps=8" in done.stdout
    assert f"gan train repeat={finished} seed=1" in done.stdout
    assert f"gan eval {finished}\n" in done.stdout
    assert "model.latent_dim=4" in done.stdout


def test_show_tells_what_matters(gan_here: Inside, four: Path) -> None:
    alarm = {"step": 3, "cleared": 9, "message": "it swings", "remedy": "penalty=[r1]"}
    made(four / "x", best=best("kid_5", 0.5), alarms=[alarm], last={"step": 10, "D(real)": 0.25})
    shown = gan_here("show", "outputs/x").stdout
    for text in ("step 3-9: it swings; try penalty=[r1]", "kid_5 0.5 at step 5", "D(real) 0.25"):
        assert text in shown
    assert "step 10" not in shown.split("last")[1].split("alarms")[0]
    assert "no memory" in gan_here("show", "outputs/train/young").stdout
    assert "it was killed" in gan_here("show", "outputs/train/killed").stdout
    with running(four / "x"):
        shown = gan_here("show", "outputs/x").stdout
        assert "gan logs -f outputs/x" in shown
        assert "gan train resume" not in shown


# --- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["runs", "status=fialed"], "did you mean failed?"),
        (["runs", "sort=agee"], "did you mean age?"),
        (["runs", "modle=m1"], "did you mean model?"),
        (["runs", "age=3"], "sort=age sorts by it"),
        (["cache", "cler"], "did you mean clear?"),
        (["runs", "--jsn"], "did you mean --json?"),
        (["runs", "status=failed", "status=failed"], "leave one out"),
        (["runs", "prune", "yse=true"], "did you mean yes=?"),
        (["show"], "gan show outputs/train/<run>"),
        (["show", "outputs"], "is not a run folder"),
        (["stop", "-f"], "it takes json=, --json"),
    ],
)
def test_a_wrong_word_costs_two_lines(gan_here: Inside, four: Path, arguments: list[str], said: str) -> None:
    done = gan_here(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) <= 2


def test_completion_offers_words_and_runs(four: Path) -> None:
    assert candidates("gan runs st") == ["status="]
    assert candidates("gan runs status=f") == ["status=finished", "status=failed"]
    assert candidates("gan logs -") == ["-f"]
    assert "outputs/train/young" in candidates("gan show ")
    assert candidates("gan stop ") == []
    with running(four / "x"):
        (four / "x" / "config.yaml").write_text(CONFIG)
        assert candidates("gan stop ") == candidates("gan stop outputs/") == ["outputs/x"]
    assert candidates("gan show outputs/train/o") == ["outputs/train/old/"]


def test_help_names_every_word(gan_here: Inside) -> None:
    for row in COMMANDS.values():
        shown = gan_here(row.name, "--help").stdout
        assert all(f"  {word.typed}" in shown for word in row.takes)


def test_what_the_help_names_is_understood(gan_here: Inside, four: Path) -> None:
    for row in COMMANDS.values():
        for word in row.takes:
            for value in word.values or ("3" if word.typed.endswith("=") else "",):
                run = ["outputs/train/old"] if row.runs else []
                first = ["prune"] if word.typed == "yes=" else []
                done = gan_here(row.name, *first, word.typed + value, *run)
                assert "cannot read" not in done.stderr
                assert "is not valid" not in done.stderr


@pytest.mark.parametrize(
    "words", [("show",), ("logs",), ("stop",), ("runs", "rm", "yes=true"), ("runs", "prune", "yes=true")]
)
def test_a_name_that_no_file_can_have_is_refused_in_words(gan_here: Inside, words: tuple[str, ...]) -> None:
    told = gan_here(*words, "x" * 5000)
    assert told.returncode == 2
    assert "Error" not in told.stderr
