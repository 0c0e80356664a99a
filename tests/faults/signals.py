"""Signals, terminals that close, and several processes at once."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import runs
from cases import Case, Lab, must, must_equal
from child import Child, after, until

from gan_cli.store.run import Run

INTERRUPTED = 130
DEAF = (-signal.SIGTERM, -signal.SIGHUP, -signal.SIGINT)  # before the program listens, the system ends it
NOT_YET = "Fatal Python error: init_import_site"  # so does the interpreter end when it is interrupted in its own start
STARTS = 10


def cases(quick: bool) -> list[Case]:
    times = 1 if quick else 3
    found = [Case("signals", f"{name}-{i}", _told(send)) for name, send in SENT.items() for i in range(times)]
    found += [Case("signals", f"before-{n.name}", _before(n)) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    found += [Case("signals", f"terminal-{i}", _terminal) for i in range(times - 1)]
    found += [Case("signals", f"two-resumes-{i}", _two_resumes) for i in range(times)]
    found += [Case("signals", f"two-starts-{i}", _two_starts) for i in range(times)]
    return [*found, Case("signals", "ten-starts", _ten_starts)]


def needs() -> tuple[str, ...]:
    return ("ada", "mlp", "points")


def _once(number: int) -> Callable[[Child, Lab], None]:
    def send(child: Child, lab: Lab) -> None:
        child.strike(number)

    return send


def _twice(child: Child, lab: Lab) -> None:
    child.strike(signal.SIGINT)
    time.sleep(lab.random.uniform(0, 0.02))
    child.strike(signal.SIGINT)


def _storm(child: Child, lab: Lab) -> None:
    for _ in range(50):
        child.strike(signal.SIGTERM)
        time.sleep(lab.random.uniform(0, 0.002))


SENT: dict[str, Callable[[Child, Lab], None]] = {
    **{number.name: _once(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)},
    "SIGINT-twice": _twice,
    "SIGTERM-storm": _storm,
}


def _going(run: Path) -> Callable[[], bool]:
    return lambda: (run / "checkpoints" / "last.pt").exists()


def _told(send: Callable[[Child, Lab], None]) -> Callable[[Lab], None]:
    """A run that is told to stop: saved, and how to go on; then the same end."""

    def harm(lab: Lab) -> None:
        run, name = lab.folder / "run", lab.random.choice(("ada", "mlp"))
        child = lab.start("train", *runs.CONFIGURATIONS[name].typed, f"hydra.run.dir={run}")
        until(_going(run), lab.random.uniform(0, 0.3) * runs.lasts(lab, name))(child)
        send(child, lab)
        lab.tried += 1
        text = lab.end(child, (0, INTERRUPTED))
        if child.code == INTERRUPTED:
            must(f"gan train resume={run}" in text or "interrupted" in text, f"it does not say how to go on:\n{text}")
            lab.gan("train", f"resume={run}")
        must_equal(run, runs.whole(lab, name))

    return harm


def _before(number: signal.Signals) -> Callable[[Lab], None]:
    """A signal at every stage of a start: nothing is left that would be in the way of the next one."""

    def harm(lab: Lab) -> None:
        for seconds in (0.01, 0.2, 1, 2.5, lab.random.uniform(0, 5)):
            run = lab.folder / "run"
            words = ("train", *runs.CONFIGURATIONS["mlp"].typed, f"hydra.run.dir={run}")
            child = lab.start(*words, cold=True)
            after(seconds)(child)
            child.strike(number)
            lab.tried += 1
            if child.wait() not in DEAF and NOT_YET not in child.text():  # else our first line was not reached
                lab.end(child, (0, INTERRUPTED))
            if run.exists() and child.code != 0 and Run(run).finished() is None:
                must((run / "checkpoints" / "last.pt").exists(), f"{run} was left without anything saved")
                lab.gan("train", f"resume={run}")
            if run.exists():
                must_equal(run, runs.whole(lab, "mlp"))
                shutil.rmtree(run)

    return harm


def _terminal(lab: Lab) -> None:
    """The window closes: the run is saved, though nobody can be told."""
    run = lab.folder / "run"
    master, slave = os.openpty()
    words = ("train", *runs.CONFIGURATIONS["points"].typed, f"hydra.run.dir={run}", "trainer.max_steps=100000")
    child = lab.start(*words, terminal=slave, cold=True)
    os.close(slave)
    os.set_blocking(master, False)

    def going() -> bool:
        with suppress(OSError):
            os.read(master, 100_000)
        return _going(run)()

    until(going, lab.random.uniform(0, 0.3))(child)
    os.close(master)
    lab.tried += 1
    lab.end(child, (0, 1, 120, INTERRUPTED, *DEAF))
    must((run / "result.json").exists(), f"{run} does not say how it ended")
    reached = max(int(path.stem[5:]) for path in (run / "checkpoints").glob("step-*.pt"))
    lab.gan("train", f"resume={run}", f"trainer.max_steps={reached + 3}")


def _two_resumes(lab: Lab) -> None:
    """One of them is refused, and the other ends as if it had been alone."""
    run = runs.half(lab)
    children = [lab.start("train", f"resume={run}") for _ in range(2)]
    texts = [lab.end(child, (0, 2)) for child in children]
    lab.tried += 1
    must(sorted(child.code or 0 for child in children) == [0, 2], f"both went on:\n{texts}")
    must("is being trained by" in "".join(texts) or "is finished" in "".join(texts), f"not told why:\n{texts}")
    must_equal(run, runs.whole(lab, "mlp"))


def _two_starts(lab: Lab) -> None:
    """Into one folder: one begins, the other is refused."""
    run = lab.folder / "run"
    words = ("train", *runs.CONFIGURATIONS["mlp"].typed, f"hydra.run.dir={run}")
    children = []
    for _ in range(2):
        children.append(lab.start(*words))
        time.sleep(lab.random.uniform(0, 0.1))
    texts = [lab.end(child, (0, 2)) for child in children]
    lab.tried += 1
    must(sorted(child.code or 0 for child in children) == [0, 2], f"both began:\n{texts}")
    must_equal(run, runs.whole(lab, "mlp"))


def _ten_starts(lab: Lab) -> None:
    """Of the same words in the same second: ten folders, ten times the same run."""
    children = [lab.start("train", *runs.CONFIGURATIONS["mlp"].typed) for _ in range(STARTS)]
    for child in children:
        lab.end(child)
        lab.tried += 1
    folders = list((lab.folder / "outputs" / "train").iterdir())
    must(len(folders) == STARTS, f"{STARTS} starts made {len(folders)} folders")
    for folder in folders:
        must_equal(folder, runs.whole(lab, "mlp"))
