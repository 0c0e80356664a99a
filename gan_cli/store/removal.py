"""Removing runs, checkpoints and caches: nothing that is in use, nothing that is not ours, nothing through a link."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gan_cli.errors import NotARun, two_lines
from gan_cli.store import caches, summary
from gan_cli.store.caches import Cache
from gan_cli.store.disk import naming
from gan_cli.store.locks import Held, holding
from gan_cli.store.run import Run, newest_first, step_of


@dataclass(frozen=True)
class Surplus:
    """The checkpoints that a run can do without."""

    files: tuple[Path, ...]
    bytes: int  # that are free once they are gone; a file with a name that stays frees nothing


def own_folder(word: str) -> Path:
    """The folder of a run that may be removed. Raises NotARun for anything else, also for a link to one."""
    folder = Path(word)
    if os.path.islink(folder):  # unlike Path's, False for a name that no file can have; so below
        raise NotARun(two_lines(f"{word} is a link", "name the run's folder itself"))
    if not os.path.isdir(folder):
        raise NotARun(two_lines(f"{word} is not a folder", "gan runs lists the runs"))
    manifest = summary.read(str(folder / "manifest.json"))
    if not (folder / "config.yaml").is_file() or not {"command", "versions"} <= manifest.keys():
        raise NotARun(two_lines(f"{word} is not a run folder", "gan runs lists the runs"))
    _check_nothing_else(folder)
    return folder


def _check_nothing_else(folder: Path) -> None:
    """Raises NotARun where a folder holds what is not of a run, or is where we are."""
    run = Run(folder)
    known = {path.name for path in (*run.files, *run.folders)}
    for entry in sorted(folder.iterdir()):
        if entry.name not in known and not entry.name.startswith("."):
            raise NotARun(two_lines(f"{folder} holds {entry}, which is not of a run", "move it elsewhere first"))
    if Path.cwd().is_relative_to(folder.resolve()):
        raise NotARun(two_lines(f"{folder} is where you are", "remove it from another folder"))


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keeps the run from being trained meanwhile. Raises NotARun where it is, and NotWritten."""
    lock = folder / ".lock"
    with ExitStack() as stack:
        try:
            with naming(lock):
                stack.enter_context(holding(lock, f"process {os.getpid()} on {platform.node()}"))
        except Held as error:
            what = f"{folder} is being trained by {str(error) or 'another process'}"
            raise NotARun(two_lines(what, f"gan stop {folder} stops it")) from None
        yield


def remove(folder: Path) -> None:
    """Removes a run's folder. Raises NotARun where it is being trained, and NotWritten."""
    with held(folder), naming(folder):
        shutil.rmtree(folder)  # follows no link, and refuses a folder that has become one


def resumable(run: Run) -> bool:
    """Whether a run whose process was killed has a checkpoint to go on from; one that has none is removed, so that it
    can begin again in its folder. Raises as `own_folder` and `remove`."""
    if newest_first(run.checkpoints):
        return True
    if run.config.is_file():
        if os.path.lexists(run.manifest):
            own_folder(str(run.folder))
        else:  # the disk was full before the manifest was written
            _check_nothing_else(run.folder)
        remove(run.folder)
    return False


def surplus(folder: Path) -> Surplus:
    """All checkpoints but best.pt, last.pt and what it is a link to; where there is no last.pt, but the newest."""
    home = folder / "checkpoints"
    if home.is_symlink() or not home.is_dir():
        return Surplus((), 0)
    found = [p for p in home.glob("step-*.pt") if p.stem[5:].isdecimal() and p.is_file() and not p.is_symlink()]
    found.sort(key=step_of)
    last = home / "last.pt"
    named = last.resolve() if last.is_symlink() else home.resolve() / last.name
    if not last.is_file() or named.parent != home.resolve():
        found = found[:-1]
    found = [path for path in found if path.name != named.name]
    freed: dict[tuple[int, int], list[int]] = {}  # of each file: its bytes, and the names that stay
    for path in found:
        about = path.stat(follow_symlinks=False)
        entry = freed.setdefault((about.st_dev, about.st_ino), [about.st_size, about.st_nlink])
        entry[1] -= 1
    return Surplus(tuple(found), sum(size for size, names in freed.values() if not names))


def prune(folder: Path) -> int:
    """Removes the surplus checkpoints; returns how many. Raises NotARun where it is being trained, and NotWritten."""
    with held(folder):
        files = surplus(folder).files
        for path in files:
            with naming(path), suppress(FileNotFoundError):
                path.unlink()
    return len(files)


def clear(cache: Cache) -> int:
    """Removes the files of a cache, and returns how many; its folder and what else is in it stay. Raises NotWritten."""
    files = caches.content(cache).files
    for path in files:
        with naming(path), suppress(FileNotFoundError):
            path.unlink()
    return len(files)
