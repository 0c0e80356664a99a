"""Walks the headers of a tar file: regular files alone, each by its name and where its bytes lie. Nothing is unpacked.

The format is POSIX.1-1988 (ustar) with the long names of POSIX.1-2001 (pax) and of GNU. A header is checked before
anything in it is used, and no header can ask for more memory than `LARGEST_HEADER`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO, NamedTuple

from gan_cli.data.flaws import shown

BLOCK = 512
END = bytes(2 * BLOCK)
LARGEST_HEADER = 2**16  # bytes of a long name or of pax records
REGULAR, FOLDER, LONG_NAME, PAX, PAX_FOR_ALL = (b"0", b"\0"), b"5", b"L", b"x", b"g"
NOT_FILES = {b"1": "a link", b"2": "a link", b"3": "a device", b"4": "a device", b"6": "a pipe", b"S": "a sparse file"}


class NoTar(ValueError):
    """It is not a tar file as it should be; the message says why, worded to follow the file's name."""


class Member(NamedTuple):
    """A file in a tar file: its name, and its bytes from `begin` on."""

    name: str
    begin: int
    size: int


def members(file: BinaryIO, most: int) -> Iterator[Member]:
    """The files in a tar file, in their order, each at most `most` bytes.

    Raises:
        NoTar: It is none, it is cut, or it holds what no honest one does: links, sparse files, names that lead out of
            it, two files of one name.
        OSError: It cannot be read.
    """
    end, place, long_name = file.seek(0, 2), 0, ""
    taken: set[str] = set()
    while True:
        file.seek(place)
        head = file.read(BLOCK)
        if head == END[:BLOCK]:
            if file.read(BLOCK) != END[BLOCK:]:
                raise NoTar("is cut: its end mark is not whole")
            return
        kind, size = head[156:157], _size(head, place)
        begin = place + BLOCK
        place = begin + -(-size // BLOCK) * BLOCK
        if kind in (PAX, PAX_FOR_ALL, LONG_NAME):
            if size > LARGEST_HEADER:
                raise NoTar(f"has a header of {size:,} bytes")
            long_name = _long_name(kind, file.read(size)) or long_name
            continue
        name, long_name = long_name or _name(head), ""
        if kind != FOLDER:
            name = _checked(name, kind, size, most)
            if name in taken:
                raise NoTar(f"holds {shown(name)} more than once")
            taken.add(name)
        if place > end:
            raise NoTar(f"is cut: {shown(name)} is not whole")
        if kind != FOLDER:
            yield Member(name, begin, size)


def _size(head: bytes, place: int) -> int:
    """The size that a header states, if it is a header."""
    if len(head) < BLOCK:
        raise NoTar("is cut: it has no end mark" if place else "is not a tar file")
    try:
        total = int(head[148:156].strip(b" \0") or b"x", 8)
        size = int(head[124:136].strip(b" \0") or b"0", 8)
    except ValueError:
        total, size = -1, 0
    if total != sum(head) - sum(head[148:156]) + 8 * ord(" ") or size < 0:
        raise NoTar(f"is damaged: there is no header at byte {place:,}" if place else "is not a tar file")
    return size


def _name(head: bytes) -> str:
    name, before = head[:100].split(b"\0")[0], head[345:500].split(b"\0")[0]
    whole = before + b"/" + name if before and head[257:263] == b"ustar\0" else name
    return whole.decode(errors="surrogateescape")


def _long_name(kind: bytes, content: bytes) -> str:
    """The name for the next file; empty where the header does not tell one. Raises NoTar."""
    if kind == LONG_NAME:
        return content.split(b"\0")[0].decode(errors="surrogateescape")
    found = ""
    while content:
        length, _, rest = content.partition(b" ")
        if not (length.isdigit() and len(length) < 8 and len(length) + 1 < int(length) <= len(content)):
            raise NoTar("is damaged: its pax records are not whole")
        record = rest[: int(length) - len(length) - 1]
        content = content[int(length) :]
        key, _, value = record.rstrip(b"\n").partition(b"=")
        if key.startswith(b"GNU.sparse"):
            raise NoTar("holds a sparse file")
        if key == b"size" or (kind == PAX_FOR_ALL and key == b"path"):
            raise NoTar(f"states a {key.decode()} where files of pictures do not need it")
        if key == b"path":
            found = value.decode(errors="surrogateescape")
    return found


def _checked(name: str, kind: bytes, size: int, most: int) -> str:
    """The name, if it is of a regular file that lies in the archive and is not too large."""
    if kind not in REGULAR:
        raise NoTar(f"holds {shown(name)}, {NOT_FILES.get(kind, 'not a regular file')}")
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or name.startswith("/") or "\0" in name:
        raise NoTar(f"holds the name {shown(name) or 'of no letters'}, which leads out of it")
    if size > most:
        raise NoTar(f"holds {shown(name)} of {size / 2**30:.1f} GiB, and no more than {most / 2**30:g} are read")
    return "/".join(parts)
