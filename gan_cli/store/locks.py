"""Locks: one process at a time in a folder, and who it is. They are files that their process holds open, so that a
killed one holds nothing."""

from __future__ import annotations

import os
import platform
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from gan_cli.errors import NotARun, two_lines
from gan_cli.store.disk import AS_IT_STANDS, lock, naming, remove_empty

if sys.platform != "win32":
    import fcntl

GLANCE = 0.05  # seconds; longer than `holder` has a lock


class Held(RuntimeError):
    """Another process holds the file; the message is what that process says about itself."""


def _lock_after_a_glance(descriptor: int) -> bool:
    """As `lock`; where it is only being looked at, by `holder`, that is waited for."""
    if lock(descriptor):
        return True
    time.sleep(GLANCE)
    return lock(descriptor)


@contextmanager
def holding(path: Path, who: str) -> Iterator[None]:
    """Keeps others out of the block, by a lock file that exists meanwhile and says `who` we are.

    Raises:
        Held: Another process is in it.
    """

    def opened() -> IO[str]:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | AS_IT_STANDS, 0o666), "a+")

    file = opened()
    try:
        while True:
            if not _lock_after_a_glance(file.fileno()):
                file.seek(0)
                raise Held(file.read().strip())
            if os.fstat(file.fileno()).st_nlink:
                break
            file.close()  # its last holder removed it between our opening and our locking it
            file = opened()
        try:
            file.truncate(0)
            file.write(who)
            file.flush()  # on a full disk this fails, and the file must not stay
            yield
        finally:
            with suppress(OSError):
                path.unlink()
    finally:
        file.close()


@contextmanager
def alone_in(folder: Path, doing: str) -> Iterator[None]:
    """Keeps other processes out of `folder` during the block. One that it made and that stayed empty is removed.

    Args:
        doing: What is done to the folder, as in "run is being trained".

    Raises:
        NotARun: Another process is in it.
        NotWritten: Nothing can be written there.
    """
    made = not folder.exists()
    try:
        with ExitStack() as held:
            with naming(folder / ".lock"):
                folder.mkdir(parents=True, exist_ok=True)
                held.enter_context(holding(folder / ".lock", _this_process()))
            yield
    except Held as error:
        what = f"{folder} is being {doing} by {str(error) or 'another process'}"
        raise NotARun(two_lines(what, "wait until it ends, or stop it")) from None
    finally:
        if made:
            remove_empty(folder)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Waits for whoever else writes the file, by a lock file beside it. Raises NotWritten where there can be none."""
    with ExitStack() as held:
        while True:
            try:
                with naming(path):
                    held.enter_context(holding(path.with_suffix(".lock"), _this_process()))
                break
            except Held:
                time.sleep(GLANCE)
        yield


def _this_process() -> str:
    return f"process {os.getpid()} on {platform.node()}"


def holder(path: Path | str) -> str | None:
    """What the process in the block of `holding` says about itself; None where there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | AS_IT_STANDS)
    except OSError:
        return None
    try:
        if sys.platform == "win32" or not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.read(descriptor, 300).decode(errors="replace").strip()
    except OSError:  # a file system without locks
        return None
    finally:
        os.close(descriptor)
    return None
