"""Writes to the name that the user gave: a file is replaced whole, anything else is written through.

`-` is standard output. A pipe or a device is never replaced by a file, and a link stays: its target is replaced.
"""

from __future__ import annotations

import errno
import io
import json
import math
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from gan_cli import hangup
from gan_cli.errors import ConfigError, NotWritable, two_lines
from gan_cli.store.disk import cause, naming, remove_leftovers, replacing

STANDARD = Path("-")
LINKS = 40  # most links followed, as in Linux
DESCRIPTOR = re.compile(r"/(?:proc/(\d+)|dev)/fd/(\d{1,9})")


def descriptor(path: Path) -> int | None:
    """The open file of this process that the name stands for, such as `/dev/stdout` or `/dev/fd/63`; else None.

    Opening it by its name would truncate a file that the shell lets several commands write to.
    """
    if path == STANDARD:
        return 1
    name = os.path.abspath(path)
    for _ in range(LINKS):
        name = os.path.join(os.path.realpath(os.path.dirname(name)), os.path.basename(name))
        found = DESCRIPTOR.fullmatch(name)
        if found is not None and found[1] in (None, str(os.getpid())):
            return int(found[2])
        if not os.path.islink(name):
            return None
        name = os.path.join(os.path.dirname(name), os.readlink(name))
    return None


def is_standard(path: Path) -> bool:
    """Whether the file goes to standard output, so that nothing else may be printed there."""
    return descriptor(path) == 1


def aside(out: str | None, answer: str | None) -> bool:
    """Whether `out=` or `json=` goes to standard output, so that messages have to go elsewhere.

    Raises:
        ConfigError: Both name one place.
    """
    places = [Path(name) for name in (out, answer) if name is not None]
    standard = [place for place in places if is_standard(place)]
    if len(standard) == 2:
        raise ConfigError(two_lines("out= and json= both go to standard output", "give one of them a file"))
    if len(places) == 2 and len({os.path.realpath(place) for place in places}) == 1 and not is_stream(places[0]):
        raise ConfigError(two_lines(f"out= and json= are both {answer}", "give one of them another name"))
    return bool(standard)


def is_stream(path: Path) -> bool:
    """Whether the name stands for something that cannot be replaced: a pipe, a device, an open file."""
    if descriptor(path) is not None:
        return True
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """Puts what the block writes at that name once it is complete. Missing folders are made; the leftovers of a process
    that was killed while it wrote the same file are removed.

    Raises:
        NotWritten: It cannot be written; what was there stays.
    """
    if is_stream(path):
        whole = io.BytesIO()
        yield whole
        with naming(path):
            _pour(path, whole.getvalue())
        return
    target = Path(os.path.realpath(path))
    with naming(path):
        if target.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if target.is_dir():
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(target.parent, target.name)
    with replacing(target) as file:
        yield file


@contextmanager
def printing() -> Iterator[None]:
    """Raises NotWritable if the block cannot print, and BrokenPipeError if its reader has seen enough."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        discard()
        raise NotWritable(full(error)) from error


def discard() -> None:
    """Discards what is still to be printed, so that it does not fail once more at the end of the process."""
    hangup.discard(sys.stdout.fileno())


def full(error: OSError) -> str:
    """The message where something cannot be printed."""
    return two_lines(f"standard output cannot be written: {cause(error)}", "make room, or send it elsewhere")


@contextmanager
def named(what: str) -> Iterator[None]:
    """If the block cannot write a file that the user named, that is theirs to fix. Raises NotWritable."""
    try:
        yield
    except OSError as error:
        raise NotWritable(two_lines(f"{what} cannot be written", reason(error))) from error


def reason(error: OSError) -> str:
    """The system's words, also of an error that names a file."""
    return cause(error.__cause__) if isinstance(error.__cause__, OSError) else cause(error)


def answer(target: str, record: Any) -> None:
    """Writes JSON where `json=` says; infinity and NaN, which it lacks, as words. Raises NotWritable."""
    with named(f"json={target}"), writing(Path(target)) as file:
        file.write(json.dumps(finite(record), indent=2, default=str, allow_nan=False).encode() + b"\n")


def finite(value: Any) -> Any:
    """The value for JSON: infinity and NaN, which it lacks, as words."""
    if isinstance(value, dict):
        return {str(key): finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _pour(path: Path, whole: bytes) -> None:
    number = descriptor(path)
    if number == 1 and isinstance(sys.stdout, io.TextIOWrapper):  # keep the order with what was printed before
        sys.stdout.flush()
        try:
            sys.stdout.buffer.write(whole)
            sys.stdout.buffer.flush()
        except BrokenPipeError:  # the reader has seen enough
            hangup.discard(1)
        return
    opened = os.dup(number) if number is not None else os.open(path, os.O_WRONLY)
    if stat.S_ISBLK(os.fstat(opened).st_mode):  # writing would destroy what is on the disk
        os.close(opened)
        raise OSError(errno.ENOTSUP, "it is a disk")
    with open(opened, "wb") as file:
        file.write(whole)
