"""Files that are whole or absent, whose errors say where and why, and that one process at a time writes."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

if sys.platform != "win32":
    import fcntl

LEFTOVER = re.compile(r"\.(\d+)\.tmp(\.json)?$")  # how the name of an unfinished file ends; with the process's id
LARGEST_JSON = 2**24  # bytes of a JSON file that is read


class NotWritten(OSError):
    """A file could not be written; the message names it and the cause."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(f"{path} cannot be written: {cause(error)}")
        self.path = path


class Held(RuntimeError):
    """Another process holds the file; the message is what that one says of itself."""


def cause(error: OSError) -> str:
    """The system's words: "no space left on device"."""
    words = error.strerror or str(error) or type(error).__name__
    return words[:1].lower() + words[1:]


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An OSError of the block as NotWritten, for those of a full disk do not say what was written."""
    try:
        yield
    except NotWritten:
        raise
    except OSError as error:
        raise NotWritten(path, error) from error


class _Raw(io.FileIO):
    """Remembers why it could not be written, which a writer in another language covers with an error of its own."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.error = error
            raise


@contextmanager
def replacing(path: Path, durable: bool = True) -> Iterator[BinaryIO]:
    """The file anew: written beside it, then renamed, so that a reader sees the old content or the new one.

    Args:
        durable: Whether it outlives a power failure too, which costs waiting for the disk.

    Raises:
        NotWritten: The old content stays, and nothing besides.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with naming(path):
        raw = _Raw(scratch, "w")
        try:
            with io.BufferedWriter(raw) as file:
                lock(file.fileno())  # says to `remove_leftovers` that somebody is at it
                yield file
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            os.replace(scratch, path)
        except BaseException as error:
            with suppress(OSError):
                scratch.unlink()
            if raw.error is not None:
                raise raw.error from error
            raise
        if durable:
            _make_the_rename_durable(path.parent)


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


def append(path: Path, text: str) -> None:
    """Adds to the end of the file. Raises NotWritten."""
    with naming(path), path.open("a") as file:
        file.write(text)


def lock(descriptor: int) -> bool:
    """Takes the open file's lock, which goes when the file is closed or the process ends, however it ends.

    False when another process has it. A file system without locks lets everybody in.
    """
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
    return True


@contextmanager
def holding(path: Path, who: str) -> Iterator[None]:
    """Keeps others out of the block by a file that is there meanwhile and holds `who` we are.

    Raises:
        Held: Somebody else is in it.
    """
    file = path.open("a+")
    try:
        while True:
            if not lock(file.fileno()):
                file.seek(0)
                raise Held(file.read().strip())
            if os.fstat(file.fileno()).st_nlink:
                break
            file.close()  # its last holder removed it between our opening and our locking it
            file = path.open("a+")
        file.truncate(0)
        file.write(who)
        file.flush()
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink()
    finally:
        file.close()


def remove_leftovers(folder: Path, of: str = "") -> list[Path]:
    """Removes unfinished files that processes left in the folder when they were killed; those of living ones stay.

    Args:
        of: The file whose unfinished ones are meant, in a folder that is the user's; else of all.
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
            if path.is_symlink() or not path.is_file() or _alive(match[1]):
                continue
            with path.open("rb") as file:  # of a process elsewhere that shares this folder
                if not lock(file.fileno()):
                    continue
            path.unlink()
            removed.append(path)
    return removed


def _alive(process: str) -> bool:
    """Whether another process of this machine has the number; ours writes nothing while it looks."""
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
            found = json.loads(file.read(LARGEST_JSON))  # what is longer is none of ours, and ends in the middle
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def remove_empty(folder: Path) -> None:
    """Removes an empty folder, and the empty ones around it as far as they lie below where the program was started:
    what was refused leaves nothing behind, and nobody's own folder goes with it."""
    here = Path.cwd()
    for path in (folder, folder.parent, folder.parent.parent):
        if path != folder and here not in path.resolve().parents:
            return
        try:
            path.rmdir()
        except OSError:
            return
