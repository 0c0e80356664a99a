"""Archives of tensors, as torch writes them and in safetensors: bounded before they are read, and inspected without
torch."""

from __future__ import annotations

import json
import pickletools
import struct
import zipfile
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

MEMBERS = 100_000  # one per tensor
LARGEST_DIRECTORY = 2**24  # bytes
LARGEST_PICKLE = 2**24  # bytes: the names and shapes of the tensors, and a config
NEAR = 100  # steps of a pickle from its start; the config of a checkpoint is the second thing in it
TAIL = 2**16 + 22  # bytes within which a zip says where its directory is
FOLDER = 0x10  # the bit of a member's external attributes by which DOS knows a folder


class HoldsCode(ValueError):
    """It is a TorchScript archive: a program, with its tensors beside it."""


def check_archive(file: BinaryIO) -> zipfile.ZipFile:
    """The zip in a file, if it is one as torch writes them: nothing compressed, nothing larger than the file.

    Raises:
        HoldsCode: It is a program.
        ValueError, zipfile.BadZipFile, OSError, NotImplementedError: It is not one; the message says why.
    """
    size = file.seek(0, 2)
    if _directory_size(file, size) > LARGEST_DIRECTORY:
        raise ValueError("its list of members is too long")
    archive = zipfile.ZipFile(file)
    members = archive.infolist()
    if len(members) > MEMBERS or len({member.filename for member in members}) < len(members):
        raise ValueError("it has too many members, or two of one name")
    if any("/code/" in member.filename for member in members):
        raise HoldsCode("it is a TorchScript archive")
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise ValueError("its members are compressed or encrypted, which torch does not do")
        if member.external_attr & FOLDER or member.is_dir():  # of which torch reads nothing, and says nothing
            raise ValueError("one of its members is marked as a folder")
        if member.filename.endswith("data.pkl") and member.file_size > LARGEST_PICKLE:
            raise ValueError("its list of tensors is too long")
    if sum(member.file_size for member in members) > size:
        raise ValueError("it declares more than it holds")
    return archive


def _directory_size(file: BinaryIO, size: int) -> int:
    """Bytes of a zip's list of members, according to the record at its end. Raises BadZipFile."""
    file.seek(max(0, size - TAIL))
    tail = file.read()
    end = tail.rfind(b"PK\5\6")
    try:
        (length,) = struct.unpack_from("<L", tail, end + 12)
        if end >= 20 and tail[end - 20 :].startswith(b"PK\6\7"):
            (place,) = struct.unpack_from("<Q", tail, end - 12)
            file.seek(place)
            (length,) = struct.unpack_from("<Q", file.read(56), 40)
    except (struct.error, OverflowError, OSError):
        end = -1
    if end < 0:
        raise zipfile.BadZipFile("it has no list of members")
    return int(length)


def header_of(path: Path) -> dict[str, Any] | None:
    """The header of a safetensors file; None for any other file."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length)) if length <= LARGEST_PICKLE else None
    except (OSError, ValueError, RecursionError, struct.error):
        return None
    return header if isinstance(header, dict) else None


def config_in(path: Path) -> str | None:
    """The config in a checkpoint or an exported generator, found without loading it; None if none is found."""
    if (header := header_of(path)) is not None:
        facts = header.get("__metadata__")
        config = facts.get("config") if isinstance(facts, dict) else None
        return config if isinstance(config, str) else None
    try:
        with path.open("rb") as file:
            archive = check_archive(file)
            listing = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            steps = islice(pickletools.genops(archive.read(listing)), NEAR)
            words = (word for _, word, _ in steps if isinstance(word, str))
            return next(next(words) for word in words if word == "config")
    except Exception:  # whatever is wrong with it is reported when it is loaded
        return None
