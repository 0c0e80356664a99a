"""What a command reads is never what it writes."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from gan_cli.errors import WouldOverwrite
from gan_cli.store.run import Run

Identity = tuple[int, int]  # device and inode: one for all names of a file


def refuse_overwriting(
    key: str, targets: Iterable[Path], words: Iterable[str | None], spared: Callable[[Path], bool] = lambda _: False
) -> None:
    """Checks, before anything is computed, that no file to be written is one that is read, under whatever name.

    Args:
        key: The setting that names the targets, such as `json`.
        targets: The files that would be written.
        words: Values of settings. Those that name a file, a run or a folder of pictures are read.
        spared: Whether a file may be replaced although it is in a folder that is read.

    Raises:
        WouldOverwrite: One of the targets is read.
    """
    there = {found: target for target in targets if (found := _identity(target)) is not None}
    if not there:
        return
    for word in filter(None, words):
        for path in _files(word):
            target = there.get(_identity(path) or (-1, -1))
            if target is not None and (path == Path(os.path.expanduser(word)) or not spared(target)):
                raise WouldOverwrite(f"{key}={target} would overwrite {path}, which is an input\n  give another name")


def refuse_links(targets: Iterable[Path]) -> None:
    """Raises WouldOverwrite where a file of a run is a link: whoever made the run may have put it there so that another
    file gets written."""
    for target in targets:
        if target.is_symlink():
            raise WouldOverwrite(f"{target} is a link to another file\n  remove the link, or give another name")


def parts(target: Path, ending: str) -> list[Path]:
    """The existing files that would be parts of it: its name, a dash, more letters and this ending."""
    if not target.parent.is_dir():
        return []
    names = (entry.name for entry in os.scandir(target.parent) if entry.name.startswith(f"{target.stem}-"))
    return [target.with_name(name) for name in names if name.endswith(ending)]


def _identity(path: Path) -> Identity | None:
    """None for anything but a regular file."""
    try:
        facts = os.stat(path)
    except (OSError, ValueError):
        return None
    return (facts.st_dev, facts.st_ino) if stat.S_ISREG(facts.st_mode) else None


def _files(word: str) -> Iterator[Path]:
    path = Path(os.path.expanduser(word))
    try:
        if path.is_file():
            yield path
            run = path.resolve().parent.parent
            yield from _files_of_run(run) if (run / "config.yaml").is_file() else ()
        elif (path / "config.yaml").is_file():
            yield from _files_of_run(path)
        elif path.is_dir():
            yield from _below(path)
    except (OSError, ValueError):  # not a path at all
        return


def _files_of_run(folder: Path) -> Iterator[Path]:
    """What a run is made of; pictures and evaluations may be replaced."""
    run = Run(folder)
    yield from (run.config, run.manifest, run.metrics, run.result, run.log)
    for part in (run.checkpoints, run.tensorboard):
        yield from _below(part)


def _below(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names)
