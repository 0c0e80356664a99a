"""Files that are whole or absent, that one process at a time writes, and whose errors say where and why."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

if sys.platform != "win32":
    import fcntl

LEFTOVER = re.compile(r"\.(\d+)\.tmp(\.json)?$")  # the end of an unfinished file's name, with the process's id
LARGEST_JSON = 2**24  # bytes read of a JSON file
# How a file that may be anybody's is opened: no link is followed, no pipe is waited for.
AS_IT_STANDS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class NotWritten(OSError):
    """A file could not be written; the message names it and the cause."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(f"{path} cannot be written: {cause(error)}")
        self.path = path


def cause(error: OSError) -> str:
    """The system's words: "no space left on device"."""
    words = error.strerror or str(error) or type(error).__name__
    return words[:1].lower() + words[1:]


def is_full(error: BaseException | None) -> bool:
    """Whether the error, or one that it arose from, is that there is no space left."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # an error that is raised again may arise from itself
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turns an OSError of the block into NotWritten, since those of a full disk name no file."""
    try:
        yield
    except NotWritten:
        raise
    except OSError as error:
        raise NotWritten(path, error) from error


class _Raw(io.FileIO):
    """Remembers the error of a failed write, which a writer in another language hides behind one of its own."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.error = error
            raise


@contextmanager
def replacing(path: Path, durable: bool = True) -> Iterator[BinaryIO]:
    """Replaces the file: written beside it, then renamed, so that a reader sees the old content or the new.

    Args:
        durable: Whether it also survives a power failure, at the price of waiting for the disk.

    Raises:
        NotWritten: The old content stays, and nothing else is left behind.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with naming(path), _in_use(scratch) as raw:
        try:
            with io.BufferedWriter(raw) as file:
                yield file
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            os.replace(scratch, path)
        except BaseException as error:
            with suppress(OSError):
                scratch.unlink()
            if raw.error is None or raw.error is error:
                raise
            raise raw.error from error
        if durable:
            _make_the_rename_durable(path.parent)


@contextmanager
def _in_use(scratch: Path) -> Iterator[_Raw]:
    """The file opened for writing. It is locked during the block, also when it is closed by then, which tells
    `remove_leftovers` that it is no leftover."""
    raw = _Raw(scratch, "w")
    while not (lock(raw.fileno()) and os.fstat(raw.fileno()).st_nlink):
        raw.close()  # it was taken for a leftover between our opening and our locking it
        raw = _Raw(scratch, "w")
    with raw:
        if sys.platform == "win32":  # knows no such locks, and renames nothing that is open
            yield raw
            return
        held = os.dup(raw.fileno())
        try:
            yield raw
        finally:
            os.close(held)


def _make_the_rename_durable(folder: Path) -> None:
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_bytes(path: Path, content: bytes) -> None:
    """Replaces the file in one step: a reader sees the old content or the new one. Raises NotWritten."""
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    """Replaces the file in one step: a reader sees the old text or the new one. Raises NotWritten."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, default=str) + "\n")


def lock(descriptor: int) -> bool:
    """Takes the open file's lock, which is released when the file is closed or the process ends in any way.

    Returns False when another process has it. A file system without locks lets everybody in.
    """
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
    return True


def peek(path: Path | str, most: int, end: bool = False) -> bytes:
    """At most so many bytes of a regular file, from its start or its end; empty where it is absent, a link or anything
    else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | AS_IT_STANDS)
    except OSError:
        return b""
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return b""
        count = min(most, found.st_size)
        return os.pread(descriptor, count, found.st_size - count if end else 0)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path, of: str = "") -> list[Path]:
    """Removes unfinished files left in the folder by killed processes; those of running ones stay.

    Args:
        of: Only the unfinished versions of this file, for a folder of the user's own; "" for all.
    """
    if folder.is_symlink() or not folder.is_dir():
        return []
    mine = f".{of}." if of else ""
    found = [
        (path, match)
        for path in folder.iterdir()
        if path.name.startswith(mine) and (match := LEFTOVER.search(path.name))
    ]
    removed = []
    for path, match in found:
        with suppress(OSError):
            if _alive(match[1]):
                continue
            if path.is_symlink():  # what was to be a second name of a checkpoint, and holds nothing
                path.unlink()
            elif path.is_file():
                with path.open("rb") as file:  # a process elsewhere that shares this folder may have it
                    if not lock(file.fileno()) or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                        continue
                    path.unlink()
            else:
                continue
            removed.append(path)
    return removed


def _alive(process: str) -> bool:
    """Whether another process of this machine has the id; what ours writes meanwhile is told by its lock."""
    number = int(process)
    if os.name != "posix" or number == os.getpid():
        return number != os.getpid()
    try:
        os.kill(number, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty where the file is absent, cannot be read or holds anything else."""
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(LARGEST_JSON))  # a longer one is not ours, and is cut off
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


@contextmanager
def made(folder: Path) -> Iterator[None]:
    """The folder, made where it is missing. What of it was made and is empty is removed again if the block fails."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        with naming(folder):
            folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        with suppress(OSError):
            for path in missing:
                path.rmdir()
        raise


def remove_empty(folder: Path) -> None:
    """Removes an empty folder, and its empty parents as long as they are below the working directory: a refused request
    leaves nothing behind, and no folder of the user's goes with it."""
    here = Path.cwd()
    for path in (folder, *folder.parents):
        place = path.resolve()
        if place == here or (path != folder and here not in place.parents):
            return
        try:
            path.rmdir()
        except OSError:
            return
