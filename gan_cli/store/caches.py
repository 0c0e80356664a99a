"""What this program keeps outside of runs: which caches there are, what is in them, and what of it may go.

Only files whose names no other program would give, in folders of our own, count as ours.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gan_cli.store.locks import holder

KEY = "[0-9a-f]{64}"  # the sha256 of what an entry follows from


@dataclass(frozen=True)
class Cache:
    """A folder of entries that can be made again at any time."""

    name: str
    says: str
    pattern: re.Pattern[str]  # the whole names of its files


def _of(endings: str) -> re.Pattern[str]:
    """Entries with these endings, and what a process that was killed left of one."""
    return re.compile(rf"{KEY}\.(?:{endings})|\.{KEY}\.(?:{endings})\.\d+\.tmp")


CACHES = {
    cache.name: cache
    for cache in (
        Cache("decoded", "pictures of folders and zips, decoded", _of("npy|json|lock")),
        Cache("shards", "shards of other machines, as they were fetched", _of("tar|json|lock")),
        Cache("references", "features of the data that samples are compared with", _of("safetensors|json|lock|part")),
        Cache("classifiers", "networks that were trained to measure with", _of("safetensors|json|lock|part")),
    )
}


@dataclass(frozen=True)
class Content:
    """What is in a cache now."""

    folder: Path
    files: tuple[Path, ...]  # ours, that no process is using
    bytes: int
    entries: int


def home() -> Path:
    """The folder of all caches: $GAN_CACHE. Raises RuntimeError where there is no home folder."""
    return Path(os.environ.get("GAN_CACHE") or "~/.cache/gan").expanduser()


def data_home() -> Path:
    """Where data sets are downloaded to: $GAN_DATA. Raises RuntimeError where there is no home folder."""
    return Path(os.environ.get("GAN_DATA") or "~/.cache/gan/data").expanduser()


def content(cache: Cache) -> Content:
    """The files of a cache; a folder that is a link, and whatever in it is not ours, is left alone."""
    folder = home() / cache.name
    found = list(_ours(folder, cache.pattern))
    names = {path.name for path, _ in found if not path.name.endswith(".lock")}
    entries = len({name.removeprefix(".").partition(".")[0] for name in names})
    return Content(folder, tuple(path for path, _ in found), sum(size for _, size in found), entries)


def _ours(folder: Path, pattern: re.Pattern[str]) -> Iterator[tuple[Path, int]]:
    """Files with such names and their sizes, but none of an entry that a process is computing."""
    if folder.is_symlink():
        return
    try:
        with os.scandir(folder) as scanned:
            there = [entry for entry in scanned if pattern.fullmatch(entry.name)]
    except OSError:
        return
    busy = {e.name.partition(".")[0] for e in there if e.name.endswith(".lock") and holder(e.path) is not None}
    for entry in sorted(there, key=lambda entry: entry.name):
        about = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(about.st_mode) and entry.name.removeprefix(".").partition(".")[0] not in busy:
            yield Path(entry.path), about.st_size
