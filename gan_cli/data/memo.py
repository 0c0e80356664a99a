"""What was found out about files, kept for as long as the files stay as they are.

A file's stamp is its size, its place on the disk and when it was changed last, as the system says: the time of a change
cannot be set back. A file that was changed within the last moments may change again within one tick of that clock, so
nothing is kept of it yet.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gan_cli.store.disk import write_text

log = logging.getLogger(__name__)

MOMENTS = 2 * 10**9  # nanoseconds, more than a tick of any file system's clock
LARGEST = 2**31  # bytes of a memo

Stamp = tuple[int, int, int, int]  # bytes, inode, nanoseconds of the last change of content and of anything


def stamp_of(found: os.stat_result) -> Stamp:
    return found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns


def stamped(path: Path) -> Stamp:
    """The file's stamp. Raises OSError."""
    return stamp_of(path.stat())


def key_of(*facts: Any) -> str:
    """The key of the entry that these facts describe."""
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def remembered(
    folder: Path, about: Sequence[Any], stamps: Sequence[Stamp], find: Callable[[], Any], now: int | None = None
) -> Any:
    """What `find` returns, plain values that JSON holds; as it was found before if all stamps are the same.

    Args:
        folder: Folder of the cache.
        about: Which files, and what is found out about them.
        stamps: Of the files, before they are read.
        now: Nanoseconds since 1970; the clock's when None.
    """
    path = folder / f"{key_of('memo', *about)}.json"
    marks = [list(stamp) for stamp in stamps]
    found = _read(path, marks)
    if found is not None:
        return found
    now = time.time_ns() if now is None else now
    found = find()
    if all(max(stamp[2:]) < now - MOMENTS for stamp in stamps):
        _keep(path, marks, found)
    return found


def _read(path: Path, marks: list[list[int]]) -> Any:
    try:
        if path.stat().st_size > LARGEST:
            return None
        memo = json.loads(path.read_bytes())
        right = memo["stamps"] == marks and memo["sha256"] == key_of(memo["found"])
        return memo["found"] if right else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _keep(path: Path, marks: list[list[int]], found: Any) -> None:
    try:
        write_text(path, json.dumps({"stamps": marks, "found": found, "sha256": key_of(found)}))
    except OSError as error:
        log.debug("%s", error)  # it is found again at the next start
