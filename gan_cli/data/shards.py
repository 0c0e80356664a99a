"""Tar shards in WebDataset's layout: files that follow each other with one name up to its first dot are a sample.

`000/7.jpg`, `000/7.cls`: a picture and the number of its class. What else a sample holds is passed over. Pictures are
read where they lie; nothing is unpacked. What was found in a shard is remembered for as long as it stays as it is.

The layout is that of the webdataset library, whose reader is not used: it is a stream, whose order depends on workers
and on what is in a buffer, and here a batch is a function of (seed, draw). A tar file is read by its headers
(gan_cli.data.tar), and from there on a picture in it is a file like any other: one decoder, one cache or none,
one order. The tests hold both readers against each other.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from gan_cli.data import memo, remote
from gan_cli.data.class_names import MOST_CLASSES, by_numbers, checked_names
from gan_cli.data.decoding import MOST_BYTES, endings
from gan_cli.data.folder import decode_listed
from gan_cli.data.listing import File, Listing, Passed, shown
from gan_cli.data.patterns import found
from gan_cli.data.request import Decoded, Request
from gan_cli.data.shard_index import check, index_in
from gan_cli.data.tar import Member, NoTar, members
from gan_cli.errors import DataError, two_lines

FETCH = "pack or fetch it again"
AGAIN = "start again when the files stay as they are, or resume the run if it has saved"
PARTS = re.compile(r"((?:.*/)?[^/.]+)\.([^/]+)", re.DOTALL)  # key and ending
CLS, LONGEST_CLS = "cls", 20  # bytes

Indices = Mapping[str, Mapping[str, Any]]  # by folder: what the index there says


class Sample(NamedTuple):
    """A picture in a shard, as it is remembered: where its bytes lie, and its class if it has one."""

    key: str
    ending: str
    begin: int
    size: int
    label: int | None


class Place(NamedTuple):
    """Where a shard is: the file that holds it, and its folder and name as the user knows them."""

    path: Path
    folder: str
    name: str

    def __str__(self) -> str:
        return shown(f"{self.folder}/{self.name}")


class Shard(NamedTuple):
    """The samples of a shard, and what else it holds, by kind: how many files, and the first names."""

    samples: list[Sample]
    passed: dict[str, Passed]


def decode_shards(request: Request) -> Decoded:
    """See `gan_cli.data.sources.webdataset`."""
    places, index, taken = _elsewhere(request) if request.address else _here(request)
    listing = Listing(request.address or str(request.root), kind="shards")
    samples: list[Sample] = []
    for place in places:
        stamp, shard = _shard(place, request.cache)
        for kind, passed in shard.passed.items():
            listing.passed.setdefault(kind, Passed()).take(passed)
        for sample in shard.samples:
            name = f"{place.name}/{sample.key}.{sample.ending}"
            read = reader(place.path, stamp, sample.begin, sample.size)
            listing.files.append(File(name, place.folder, read, place.path))
        samples += shard.samples
    names = (
        [name for facts in index.values() for name in checked_names(facts.get("classes"))] if len(index) == 1 else []
    )
    classes = by_numbers(listing.files, [sample.label for sample in samples], names, "class number in a .cls", taken)
    keys = tuple(sample.key for sample in samples)
    return decode_listed(listing, classes, request, keys if len(set(keys)) == len(keys) else None)


def _here(request: Request) -> tuple[list[Place], Indices, str]:
    """The shards that the root names on this machine, and the split whose folder was taken. Raises DataError."""
    paths, taken = found(request.root, ".tar", request.split)
    index = {folder: index_in(folder) for folder in {path.parent for path in paths}}
    for folder, facts in index.items():
        check(folder, facts, paths, request.root.is_dir(), request.cache)
    places = [Place(path, str(path.parent), path.name) for path in paths]
    return places, {str(folder): facts for folder, facts in index.items()}, taken


def _elsewhere(request: Request) -> tuple[list[Place], Indices, str]:
    """The same of an address, by way of the cache. Raises DataError."""
    shards, index = remote.fetched(request.address, request.split, request.download, request.cache)
    return [Place(shard.path, shard.folder, shard.name) for shard in shards], index, ""


def reader(path: Path, stamp: memo.Stamp, begin: int, size: int) -> Callable[[], bytes]:
    """Reads a part of a file that must stay as it was when it was stamped. Raises DataError where it does not."""

    def read() -> bytes:
        try:
            with path.open("rb", buffering=0) as file:
                now = memo.stamp_of(os.fstat(file.fileno()))
                if (now[0], now[2]) != (stamp[0], stamp[2]):
                    raise DataError(two_lines(f"{path} was changed while it was read", AGAIN))
                file.seek(begin)
                content = file.read(size)
        except OSError as error:
            what = f"{path} cannot be read any more ({error.strerror or error})"
            raise DataError(two_lines(what, AGAIN)) from error
        if len(content) < size:
            raise DataError(two_lines(f"{path} was cut while it was read", AGAIN))
        return content

    return read


def _shard(place: Place, cache: Path) -> tuple[memo.Stamp, Shard]:
    """What is in a shard, as it was found before if the file is the same. Raises DataError."""
    path = place.path

    def find() -> list[Any]:
        try:
            with path.open("rb") as file:
                samples, passed = _samples(str(place), members(file, MOST_BYTES), file)
        except NoTar as error:
            raise DataError(two_lines(f"{place} {error}", FETCH)) from error
        return [samples, [[kind, each.count, each.names] for kind, each in passed.items()]]

    try:
        stamp = memo.stamped(path)
        samples, others = memo.remembered(cache, ["shard", str(path)], [stamp], find)
    except OSError as error:
        raise DataError(two_lines(f"{place} cannot be read ({error.strerror or error})", FETCH)) from error
    passed = {kind: Passed(count, names) for kind, count, names in others}
    return stamp, Shard([Sample(*sample) for sample in samples], passed)


def _samples(place: str, there: Iterable[Member], file: BinaryIO) -> tuple[list[Sample], dict[str, Passed]]:
    """The samples that have a picture, in the order of their first files. Raises DataError for one that has two."""
    pictures: dict[str, tuple[str, Member]] = {}
    labels: dict[str, int] = {}
    listing = Listing(place)
    for member in list(there):
        parts = PARTS.fullmatch(member.name)
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(member.name).parts)
        if parts is None or hidden:
            listing.pass_over("hidden" if hidden else "without ending", member.name)
            continue
        key, ending = parts[1], parts[2].lower()
        if ending == CLS:
            file.seek(member.begin)
            labels[key] = _label(file.read(min(member.size, LONGEST_CLS)))
        elif PurePosixPath(member.name).suffix.lower() not in endings():
            listing.pass_over(f".{shown(ending)}", member.name)
        elif key in pictures:
            what = f"{place} holds two pictures of one sample, {shown(key)}.{pictures[key][0]} and .{shown(ending)}"
            raise DataError(two_lines(what, "pack one of them for each sample"))
        else:
            pictures[key] = (ending, member)
    found = [Sample(key, end, at.begin, at.size, labels.get(key)) for key, (end, at) in pictures.items()]
    return found, listing.passed


def _label(content: bytes) -> int:
    """The number in a `.cls` file; -1 for anything that is no class."""
    digits = content.strip()
    return int(digits) if digits.isdigit() and int(digits) < MOST_CLASSES else -1
