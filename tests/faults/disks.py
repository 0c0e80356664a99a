"""Disks that are full or read-only, folders that vanish, few open files, little memory.

A small disk of its own is mounted where that is allowed (Linux, root); a limit on the size of files stands for it else.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import runs
from cases import WRONG, Case, Lab, in_words, must, must_equal, nothing_left_over
from child import until

from gan_cli.store import checkpoint

FULL = "no space left|file too large"
READ_ONLY = "read-only|not permitted|permission denied"
ROOM = 200  # MiB, when there is space again


def cases(quick: bool) -> list[Case]:
    found = [Case("disks", f"limit-{i}", _limited) for i in range(1 if quick else 4)]
    found += [Case("disks", f"files-{n}", _few_files(n)) for n in ((12,) if quick else (8, 12, 16, 24))]
    found += [Case("disks", f"memory-{n}", _little_memory(n)) for n in ((50,) if quick else (40, 80, 160, 400))]
    found += [Case("disks", f"removed-{name or 'run'}", _removed(name)) for name in ("", "checkpoints", "samples")]
    found += [Case("disks", f"misplaced-{name}", _misplaced(name)) for name in ("checkpoints", "samples", "evals")]
    if mounts():
        found += [Case("disks", f"full-{i}", _full) for i in range(1 if quick else 8)]
        found += [Case("disks", f"full-{name}", _full_for(name)) for name in COMMANDS]
        found += [Case("disks", f"read-only-{name}", _read_only(name)) for name in (*COMMANDS, "train", "resume")]
    else:
        print("no disk can be mounted here: full disks are limits on files alone", file=sys.stderr)
    return found


def needs() -> tuple[str, ...]:
    return ("large", "mlp", "points", "measured")


@cache
def mounts() -> bool:
    """Whether this process may mount."""
    place = Path(f"/tmp/.gan-faults-{os.getpid()}")
    place.mkdir()
    try:
        with disk(place, "size=1m"):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False
    finally:
        place.rmdir()


@contextmanager
def disk(place: Path, options: str) -> Iterator[None]:
    """A disk in memory at that folder."""
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", place], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def remount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", place], check=True)


def _continued(lab: Lab, run: Path, name: str) -> None:
    """With space again the run goes on to the same end; one that was not saved yet begins anew."""
    if any((run / "checkpoints").glob("*.pt")):
        lab.gan("train", f"resume={run}")
    else:
        shutil.rmtree(run, ignore_errors=True)
        lab.gan("train", *runs.CONFIGURATIONS[name].typed, f"hydra.run.dir={run}")
    must_equal(run, runs.whole(lab, name))


def _good(run: Path) -> None:
    """What was saved is whole, and nothing is half-written."""
    for path in (run / "checkpoints").glob("*"):
        must(".tmp" not in path.name, f"{path} was left over")
        checkpoint.load(path)


def _full(lab: Lab) -> None:
    """The disk is full at some save; the run says so, keeps what was good, and goes on when there is space."""
    place = lab.folder / "disk"
    saved = (runs.whole(lab, "large") / "checkpoints" / "last.pt").stat().st_size
    room = int(saved * lab.random.uniform(0.02, 12)) + 30_000
    with disk(place, f"size={room}"):
        run = place / "run"
        typed = runs.CONFIGURATIONS["large"].typed
        text = lab.gan("train", *typed, f"hydra.run.dir={run}", codes=WRONG)
        lab.tried += 1
        in_words(text, str(place), FULL)
        _good(run)
        remount(place, f"size={ROOM}m")
        _continued(lab, run, "large")


def _limited(lab: Lab) -> None:
    """No file may be larger than so and so much."""
    run = lab.folder / "run"
    saved = (runs.whole(lab, "large") / "checkpoints" / "last.pt").stat().st_size
    limits = {resource.RLIMIT_FSIZE: int(saved * lab.random.choice((0.0001, 0.01, 0.5, 0.999)))}
    text = lab.gan("train", *runs.CONFIGURATIONS["large"].typed, f"hydra.run.dir={run}", codes=WRONG, limits=limits)
    lab.tried += 1
    in_words(text, str(lab.folder), FULL)
    _good(run)
    _continued(lab, run, "large")


def _few_files(most: int) -> Callable[[Lab], None]:
    def harm(lab: Lab) -> None:
        run = lab.folder / "run"
        words = ("train", *runs.CONFIGURATIONS["points"].typed, f"hydra.run.dir={run}")
        child = lab.start(*words, limits={resource.RLIMIT_NOFILE: most}, cold=True)
        if child.wait() < 0:
            must(False, f"ended by signal {child.code}")
        lab.tried += 1
        text = lab.end(child, (0, 1, 2))
        if child.code:
            in_words(text, "too many open files")
            _good(run)
            _continued(lab, run, "points")
        else:
            must_equal(run, runs.whole(lab, "points"))

    return harm


def _little_memory(more: int) -> Callable[[Lab], None]:
    """So many MiB besides what the program has when its imports are done."""

    def harm(lab: Lab) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limits = {resource.RLIMIT_AS: pages * resource.getpagesize() + more * 2**20}
        run = lab.folder / "run"
        large = ("model=mlp", "model.generator.hidden=[2048,2048,2048]", "dataset.batch_size=1024")
        words = (*runs.COMMON, *large, "callback=[checkpoints]", "trainer.max_steps=2", f"hydra.run.dir={run}")
        child = lab.start("train", *words, limits=limits)
        text = lab.end(child, (0, 1, 2))
        lab.tried += 1
        if child.code:
            in_words(text, "memory")
        _good(run)

    return harm


def _removed(name: str) -> Callable[[Lab], None]:
    """Somebody removes the run, or a folder of it, while it is trained."""

    def harm(lab: Lab) -> None:
        run = lab.folder / "run"
        child = lab.start("train", *runs.CONFIGURATIONS["points"].typed, f"hydra.run.dir={run}")
        until(lambda: (run / "checkpoints" / "last.pt").exists(), lab.random.uniform(0, 0.3))(child)
        with suppress(OSError):
            shutil.rmtree(run / name)
        lab.tried += 1
        text = lab.end(child, (0, 1, 2))
        if child.code:
            in_words(text, str(run))
        if run.exists():
            _good(run)

    return harm


def _misplaced(name: str) -> Callable[[Lab], None]:
    """A file is where a folder of the run belongs."""

    def harm(lab: Lab) -> None:
        run = runs.half(lab)
        aside = lab.folder / "aside"
        if (run / name).exists():
            (run / name).rename(aside)
        (run / name).write_text("no folder")
        lab.tried += 1
        in_words(lab.gan("train", f"resume={run}", codes=(2,)), f"{run}/{name}|no checkpoint yet")
        (run / name).unlink()
        if aside.exists():
            aside.rename(run / name)
        _continued(lab, run, "mlp")

    return harm


def _drawn(lab: Lab, place: Path, codes: tuple[int, ...], cause: str) -> None:
    for out in ("x.png", "x.npz", "images"):
        source = str(runs.whole(lab, "mlp"))
        text = lab.gan("sample", source, "n=256", f"out={place / 'drawn' / out}", codes=codes)
        lab.tried += 1
        in_words(text, str(place / "drawn"), cause)


def _measured(lab: Lab, place: Path, codes: tuple[int, ...], cause: str) -> None:
    """What cannot be kept is measured all the same."""
    run = lab.folder / "run"
    shutil.copytree(runs.whole(lab, "mlp"), run)
    found = []
    for kept in (place / "cache", lab.folder / "other"):
        said = lab.gan(
            *("eval", str(run), "n=300", "metrics=[kid]", "detector=pixels", "json=found.json"),
            environment={"GAN_CACHE": str(kept)},
        )
        found.append(json.loads((lab.folder / "found.json").read_text())["metrics"])
        if kept.parent == place:
            must("computed again" in said, f"nothing is said of {kept}:\n{said}")
    lab.tried += 1
    must(found[0] == found[1], "a measurement that could not be kept is another")
    in_words(lab.gan("eval", str(run), "n=300", "detector=pixels", f"json={place / 'f.json'}", codes=codes), cause)


def _cached(lab: Lab, place: Path, codes: tuple[int, ...], cause: str) -> None:
    """A run that measures itself, and cannot keep what it measures against."""
    run = lab.folder / "run"
    typed = runs.CONFIGURATIONS["measured"].typed
    lab.gan("train", *typed, f"hydra.run.dir={run}", environment={"GAN_CACHE": str(place / "cache")})
    lab.tried += 1
    must_equal(run, runs.whole(lab, "measured"), config=False)


COMMANDS = {"sample": _drawn, "eval": _measured, "cache": _cached}


def _full_for(name: str) -> Callable[[Lab], None]:
    def harm(lab: Lab) -> None:
        place = lab.folder / "disk"
        with disk(place, "size=64k"):
            with suppress(OSError), (place / "others").open("wb") as file:
                file.write(bytes(2**17))
            COMMANDS[name](lab, place, WRONG, FULL)
            for path in place.rglob("*"):
                must(".tmp" not in path.name, f"{path} was left over")

    return harm


def _read_only(name: str) -> Callable[[Lab], None]:
    def harm(lab: Lab) -> None:
        place = lab.folder / "disk"
        with disk(place, f"size={ROOM}m"):
            run = place / "run"
            if name == "resume":
                shutil.move(runs.half(lab), run)
            remount(place, "ro")
            if name in COMMANDS:
                COMMANDS[name](lab, place, WRONG, READ_ONLY)
                return
            start = (*runs.CONFIGURATIONS["mlp"].typed, f"hydra.run.dir={run}")
            words = (f"resume={run}",) if name == "resume" else start
            text = lab.gan("train", *words, codes=WRONG)
            lab.tried += 1
            in_words(text, str(run), READ_ONLY)
            remount(place, "rw")
            if name == "resume":
                nothing_left_over(run)
            _continued(lab, run, "mlp")

    return harm
