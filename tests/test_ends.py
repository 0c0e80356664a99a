"""How a run ends is reported and written, whatever fails at the end, at the start or in between."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from conftest import Inside, files_of_at_most, same, weights, words
from forked import Forked
from gan_cli import train
from gan_cli.callbacks import Callback, plots
from gan_cli.callbacks.health import Health
from gan_cli.callbacks.samples import Samples
from gan_cli.errors import ConfigError, RunFailed
from gan_cli.store.disk import NotWritten, lock, remove_leftovers
from gan_cli.store.locks import alone_in, holding
from gan_cli.store.rows import read_rows
from gan_cli.store.run import Run
from gan_cli.training.runtime import StopRequest
from gan_cli.training.session import Session
from gan_cli.training.trainer import Trainer

DEFAULT = ("progress", "health", "history", "tensorboard", "samples", "plots", "checkpoints")


def result(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())


def test_any_order_of_the_default_callbacks_trains_the_same(here: Path) -> None:
    first: dict[str, torch.Tensor] = {}
    for order in [*permutations(DEFAULT, 2), DEFAULT[::-1]]:
        run = train(*words(f"callback=[{','.join(order)}]"))
        assert result(run.folder)["status"] == "finished", order
        if "checkpoints" in order:
            first = first or weights(run.folder)
            assert same(first, weights(run.folder)), order


class Fails(Exception):
    pass


def refuse(*_: object) -> None:
    raise Fails("out of ink")


@pytest.mark.parametrize("moment", ["on_start", "on_step", "on_end", "on_record"])
def test_a_callback_that_fails_is_what_the_result_names(
    here: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Samples, moment, refuse)
    with pytest.raises(Fails, match="out of ink"):
        train(*words("callback=[samples,tensorboard,health,checkpoints]", "hydra.run.dir=run"))
    ended = result(here / "run")
    assert (ended["status"], ended["error"].split(";")[0]) == ("failed", "Fails: out of ink")
    if moment == "on_end":  # a later callback saves the weights
        assert (here / "run" / "checkpoints" / "last.pt").exists()


def test_closing_cannot_hide_an_error_nor_an_end(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Health, "close", refuse)
    monkeypatch.setattr(Health, "findings", refuse)
    run = train(*words("callback=[health,checkpoints]"))
    assert result(run.folder)["status"] == "finished"
    assert "Health did not close: out of ink" in (run.folder / "train.log").read_text()
    monkeypatch.setattr(Samples, "on_step", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(*words("callback=[samples,health]", "hydra.run.dir=run"))
    assert result(here / "run")["error"].startswith("ZeroDivisionError")


class Speaks(Callback):
    """Publishes as it starts, and remembers what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def on_start(self, session: Session) -> None:
        session.publish({"hello": 1.0})
        self.heard.append("started")

    def on_record(self, session: Session, record: Mapping[str, float]) -> None:
        self.heard.append("hello" if "hello" in record else "record")


def test_what_is_published_at_the_start_reaches_all_once_all_have_started(tmp_path: Path) -> None:
    from gan_cli.config import build, compose

    composed = compose.compose("train", words())
    callbacks = [Speaks(), Speaks()]
    Session(build.trainer(composed.config), Run(tmp_path), callbacks).fit(StopRequest(asked=True))
    assert [c.heard for c in callbacks] == [["started", "hello", "hello"]] * 2


def test_a_file_that_cannot_be_written_is_named_with_the_cause(here: Path) -> None:
    run = train(*words("callback.checkpoints.every_steps=2", "hydra.run.dir=run")).folder
    before = weights(run)
    with files_of_at_most(40_000), pytest.raises(RunFailed) as caught:
        train(f"resume={run}", "trainer.max_steps=4")
    message = str(caught.value)
    assert "step-000000004.pt cannot be written: file too large" in message
    assert "the last good checkpoint is" in message
    assert f"gan train resume={run}" in message.splitlines()[1]
    assert len(message.splitlines()) == 2
    assert result(run)["error"] == message
    assert not [*run.rglob("*.tmp")]
    assert same(before, weights(run))
    train(f"resume={run}", "trainer.max_steps=4")


def test_a_disk_without_room_for_the_lock_gets_no_folder(here: Path) -> None:
    with files_of_at_most(0), pytest.raises(OSError, match=r"\.lock"), alone_in(here / "run", "trained"):
        pass
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(("config", "fact"), [("a: 1\n" * 20_000, "x"), ("a: 1\n", "x" * 80_000)])
def test_a_run_that_cannot_begin_leaves_no_part_of_it(here: Path, config: str, fact: str) -> None:
    run = Run("run")
    with files_of_at_most(40_000), pytest.raises(NotWritten, match="file too large"):
        run.begin(config, "gan train", {"fact": fact})
    assert list(run.folder.iterdir()) == []
    run.begin(config, "gan train", {"fact": fact})
    began = run.read_manifest()
    with files_of_at_most(40_000), pytest.raises(NotWritten, match="file too large"):
        run.begin(config, "gan train resume=run", {})
    assert run.config.read_text() == config
    assert run.read_manifest()["fact"] == began["fact"]


def test_a_removed_run_does_not_come_back(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def remove(self: Callback, session: Session) -> None:
        shutil.rmtree(here / "run", ignore_errors=True)

    monkeypatch.setattr(Samples, "on_step", remove)
    with pytest.raises(RunFailed, match=r"cannot be written: no such file or directory; nothing was saved yet"):
        train(
            *words("callback=[samples,health,checkpoints]", "callback.checkpoints.every_steps=1", "hydra.run.dir=run")
        )
    assert not (here / "run").exists()


def test_leftovers_of_killed_processes_go_at_the_next_start_and_those_of_living_ones_stay(here: Path) -> None:
    run = train(*words("hydra.run.dir=run")).folder
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = [run / "checkpoints" / f".step-9.pt.{n}.tmp" for n in (dead.pid, os.getpid(), 2**40)]
    living = [run / "checkpoints" / f".step-9.pt.{os.getppid()}.tmp", run / "samples.tmp", run / "notes.12x.tmp"]
    for path in (*left, *living):
        path.write_bytes(b"half")
    train(f"resume={run}", "trainer.max_steps=3")
    assert not [path for path in left if path.exists()]
    assert all(path.exists() for path in living)
    with (run / f".a.{dead.pid}.tmp").open("wb") as file:  # from a process elsewhere, which we cannot see
        assert lock(file.fileno())
        assert remove_leftovers(run) == []
    assert remove_leftovers(run) == [run / f".a.{dead.pid}.tmp"]
    link = run / f".last.pt.{dead.pid}.tmp"  # what last.pt was about to be; a link is removed, and not what it leads to
    (run / "mine").write_text("kept")
    link.symlink_to("mine")
    assert remove_leftovers(run) == [link]
    assert not link.is_symlink()
    assert (run / "mine").read_text() == "kept"


def test_one_process_trains_a_run(here: Path, gan_here: Inside) -> None:
    run = train(*words("hydra.run.dir=run")).folder
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    with holding(run / ".lock", "process 7 on moon"):
        told = gan_here("train", "resume=run", "trainer.max_steps=4")
    assert told.returncode == 2
    assert told.stderr.splitlines() == [
        "gan train: run is being trained by process 7 on moon",
        "  wait until it ends, or stop it",
    ]
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before
    (run / ".lock").write_text("process 7 on moon")  # from a process that was killed
    train("resume=run", "trainer.max_steps=4")
    assert not (run / ".lock").exists()


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"5", b"[]", b"{}", b'{"resumed": "x"}', b"", b"[" * 9000, None])
@pytest.mark.parametrize("name", ["result.json", "manifest.json", "metrics.jsonl"])
def test_a_run_goes_on_from_damaged_small_files(
    here: Path, finished: Path, gan_here: Inside, name: str, content: bytes | None
) -> None:
    shutil.copytree(finished, here / "run")
    file = here / "run" / name
    file.unlink()
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    told = gan_here("train", "resume=run", "trainer.max_steps=5")
    assert "HYDRA_FULL_ERROR" not in told.stderr
    if content is None:
        assert told.returncode == 2
        assert told.stderr == f"gan train: run/{name} is a folder, and a file belongs there\n  move it away\n"
        return
    assert told.returncode == 0
    assert Run(here / "run").read_result()["step"] == 5
    if name == "manifest.json":
        assert "resumed" in Run(here / "run").read_manifest() or "manifest.json cannot be read" in told.stderr


def test_rows_are_objects_of_numbers_with_a_step(tmp_path: Path) -> None:
    good = ['{"step": 1, "a": 2.5}', '{"step": 2, "a": null, "b": 1}']
    bad = ["5", '"x"', "{}", "[1]", '{"step": "1"}', '{"step": 1, "a": NaN}', '{"step": 1, "a": "x"}', '{"step": true}']
    bad += ['{"step": -1}', '{"step": 1.5}', '{"step": 1, "a": 1e999}', "{" * 5000, '{"step": 3, "a"']
    (tmp_path / "m").write_bytes("\n".join([*bad, *good]).encode() + b"\n\xff\xfe\n")
    assert read_rows(tmp_path / "m") == [{"step": 1, "a": 2.5}, {"step": 2, "b": 1}]


def test_readings_beyond_every_scale_are_drawn_without_a_warning(tmp_path: Path) -> None:
    from gan_cli.callbacks import health, readings
    from gan_cli.callbacks.monitor import Monitor

    inf = float("inf")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for values in ([0.0, 0.0], [inf, -inf], [float("nan"), 1.0], [1e308, -1e308], [-1.0, -2.0], [1e30, 1e-300]):
            rows = [{"step": i, "generator/loss": value} for i, value in enumerate(values)]
            plots.plot(rows, ["generator/loss"], "losses", tmp_path / "losses.png")
            monitor = Monitor((), 1)
            for i, value in enumerate(values):
                monitor.observe({"step": i, **dict.fromkeys(readings.ALL, value), readings.GENERATOR_GRADIENT: value})
            health.plot(monitor, tmp_path / "health.png")


def test_a_run_that_diverged_says_so_everywhere_and_no_sweep_takes_it(
    here: Path, capsys: pytest.CaptureFixture
) -> None:
    wild = words("optimizer.lr=1e4", "callback=[health,history,checkpoints]", "trainer.log_every=50", steps=7)
    run = train(*wild)  # it ends before the first reading
    assert (run.status, run.score) == ("diverged", float("inf"))
    ended = result(run.folder)
    assert ended["status"] == "diverged"
    assert [alarm["name"] for alarm in ended["alarms"]] == ["diverged"]
    said = capsys.readouterr()
    assert "the run has diverged" in said.err
    assert "diverged at step 7; everything is in" in said.out
    with pytest.raises(ConfigError, match="is finished: step 7"):
        train(f"resume={run.folder}")
    calm = train(*words("callback=[health,history,checkpoints]"))
    assert (calm.status, calm.score) == ("finished", None)


def test_a_lack_of_memory_is_reported_with_what_to_lower(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"(?s)model\.generator needs more memory than there is\n  lower"):
        train(*words("model.generator.hidden=[1000000000000]"))
    assert not (here / "outputs").exists() or not [*(here / "outputs").rglob("*.*")]

    def exhaust(*_: object) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(Trainer, "step", exhaust)
    with pytest.raises(RunFailed, match=r"not enough memory; nothing was saved yet\n  lower dataset\.batch_size=8"):
        train(*words("hydra.run.dir=run"))
    assert result(here / "run")["status"] == "failed"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (("evaluation.every_steps=1", "evaluation.n=19"), "evaluation.n=19 is too few for kid, which needs 20"),
        (("evaluation.every_steps=1", "evaluation.n=1", "evaluation.metric=fid"), "fid, which needs 2"),
        (("evaluation.patience=2",), "evaluation.patience=2 waits for measurements"),
        (("trainer.max_steps=9223372036854775808",), "trainer.max_steps=9223372036854775808 is not valid"),
    ],
)
def test_what_can_be_known_is_known_before_the_first_step(gan_here: Inside, setting: tuple, message: str) -> None:
    told = gan_here("train", *words(*setting))
    assert told.returncode == 2
    assert message in told.stderr
    assert not [*Path("outputs").rglob("*.*")]


def test_measurements_that_never_come_are_warned_about(here: Path, capsys: pytest.CaptureFixture) -> None:
    train(*words("evaluation.every_steps=3"))
    assert "evaluation.every_steps=3 measures nothing: the run ends at step 2" in capsys.readouterr().err


def at_a_terminal_that_closes(once: Callable[[], bool], *arguments: str) -> int:
    """The exit code of `gan ...`, whose terminal is gone as soon as that holds."""
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "gan_cli", *arguments]
    process = subprocess.Popen(
        command, stdin=child, stdout=child, stderr=child, start_new_session=True, preexec_fn=_takes_the_terminal
    )
    os.close(child)
    os.set_blocking(parent, False)
    end = time.monotonic() + 60
    while not once():
        assert time.monotonic() < end
        with suppress(BlockingIOError):
            os.read(parent, 65536)
        time.sleep(0.02)
    os.close(parent)
    return process.wait(60)


def test_a_terminal_that_is_gone_leaves_a_run_that_was_stopped(here: Path) -> None:
    base = ("callback=[progress,checkpoints]", "callback.checkpoints.every_steps=2", "hydra.run.dir=run")
    saved = here / "run" / "checkpoints" / "last.pt"
    assert at_a_terminal_that_closes(saved.exists, "train", *words(steps=100_000), *base) == 130
    assert result(here / "run")["status"] == "stopped"


def test_a_terminal_that_is_gone_leaves_whole_pictures(finished: Path, here: Path) -> None:
    drawn = lambda: any(here.glob("pictures/*.png"))  # noqa: E731
    assert at_a_terminal_that_closes(drawn, "sample", str(finished), "n=1000000", "out=pictures") == 130
    for path in (here / "pictures").iterdir():
        Image.open(path).load()


def _takes_the_terminal() -> None:
    import fcntl
    import signal
    import termios

    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_a_full_standard_output_stops_no_training(here: Path) -> None:
    assert Forked("train", *words("hydra.run.dir=run"), folder=here, outputs="/dev/full").wait() == 0
    assert result(here / "run")["status"] == "finished"
