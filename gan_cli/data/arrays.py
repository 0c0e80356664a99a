"""Arrays from `.npz` files: no larger than the file and of numbers, or else refused in two lines."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from tokenize import TokenError
from typing import IO, NamedTuple

import numpy as np

from gan_cli.data.listing import checked_members, shown
from gan_cli.errors import DataError, two_lines

MOST_BYTES = 2**37
Arrays = Mapping[str, np.ndarray]


class Header(NamedTuple):
    """What an array in `.npy` form says of itself."""

    shape: tuple[int, ...]
    by_columns: bool
    dtype: np.dtype


def header(file: IO[bytes]) -> Header:
    """The header of the array that begins here; the file then stands at its values. Raises ValueError, OSError."""
    version = np.lib.format.read_magic(file)
    headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in headers:
        raise ValueError(f"unknown format {version}")
    try:
        return Header(*headers[version](file))
    except (SyntaxError, TokenError, TypeError, RecursionError, MemoryError) as error:  # text of any kind
        raise ValueError("its header is damaged") from error


def check_zip(path: Path) -> None:
    """Raises DataError for a zip that no program of ours has written; anything but a zip is left to others."""
    try:
        with zipfile.ZipFile(path) as archive:
            for _ in checked_members(path, archive.infolist(), MOST_BYTES):
                pass
    except DataError:
        raise
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile):
        return


def read(path: Path, wanted: Collection[str], enough: Callable[[Collection[str]], bool], give: str) -> Arrays:
    """The arrays whose names are wanted; the others are never read.

    Args:
        enough: Whether arrays of these names are of use.
        give: What to give instead, for the second line of an error.

    Raises:
        DataError: The file cannot be read, or holds something else.
    """
    try:
        if path.stat().st_size == 0:
            raise DataError(two_lines(f"{path} is empty", give))
        with zipfile.ZipFile(path) as archive:
            members = dict(checked_members(path, archive.infolist(), MOST_BYTES))
            found = {name: member for name, member in _named(members).items() if name in wanted}
            if not enough(found.keys()):
                there = ", ".join(shown(name) for name in list(_named(members))[:5]) or "nothing"
                raise DataError(two_lines(f"{path} holds {there}", give))
            return {name: _array(archive, member, f"{path}: {name}", give) for name, member in found.items()}
    except DataError:
        raise
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, MemoryError) as error:
        reason = (shown(line) for line in str(error).splitlines()[:1])
        raise DataError(two_lines(f"{path} cannot be read ({next(reason, 'damaged')})", give)) from error


def _named(members: Mapping[str, zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    return {name.removesuffix(".npy"): member for name, member in members.items()}


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, what: str, give: str) -> np.ndarray:
    """One array; its header must agree with the bytes that are there before any memory is allocated."""
    with archive.open(member) as file:
        shape, _, dtype = header(file)
        if dtype.hasobject or dtype.kind not in "biufcSUmM":
            raise DataError(two_lines(f"{what} holds {dtype}, which is not a number", give))
        size = dtype.itemsize
        for side in shape:
            size *= int(side)
        if size != member.file_size - file.tell():
            there = member.file_size - file.tell()
            raise DataError(two_lines(f"{what} says that it has {size} bytes and has {there}", "fetch it again"))
    with archive.open(member) as file:
        loaded: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
    return loaded
