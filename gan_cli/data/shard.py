"""One tar shard: files that follow each other with one name up to its first dot are a sample.

`000/7.jpg`, `000/7.cls`: a picture and the number of its class. What else a sample holds is passed over. Nothing is
unpacked, and what was found in a shard is remembered for as long as it stays as it is. It lies here, where pictures are
read out of it, or stays on another machine, which is then asked for each picture.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from gan_cli.data import http, memo, remote
from gan_cli.data.cache import by_one
from gan_cli.data.class_names import MOST_CLASSES
from gan_cli.data.decoding import MOST_BYTES, endings
from gan_cli.data.flaws import shown
from gan_cli.data.listing import File, Listing, Passed, is_hidden
from gan_cli.data.tar import Member, NoTar, members
from gan_cli.errors import DataError, two_lines

FETCH = "pack or fetch it again"
AGAIN = "start again when the files stay as they are, or resume the run if it has saved"
PARTS = re.compile(r"((?:.*/)?[^/.]+)\.([^/]+)", re.DOTALL)  # key and ending
CLS, LONGEST_CLS = "cls", 20  # bytes


class Sample(NamedTuple):
    """A picture in a shard, as it is remembered: where its bytes lie, and its class if it has one."""

    key: str
    ending: str
    begin: int
    size: int
    label: int | None


class Shard(NamedTuple):
    """The pictures of a shard, the class of each, what it is called, and what else was there, by kind."""

    files: list[File]
    labels: list[int | None]
    keys: list[str]
    passed: dict[str, Passed]


class Here(NamedTuple):
    """A shard on this machine: the file that holds it, and its folder and name as the user knows them."""

    path: Path
    folder: str
    name: str

    def __str__(self) -> str:
        return shown(f"{self.folder}/{self.name}")

    def look(self, cache: Path) -> Shard:
        """What is in it. Raises DataError."""

        def find() -> list[Any]:
            with self.path.open("rb") as file:
                return _found(str(self), file)

        try:
            stamp = memo.stamped(self.path)
            samples, passed = _read(memo.remembered(cache, ["shard", str(self.path)], [stamp], find))
        except OSError as error:
            raise DataError(two_lines(f"{self} cannot be read ({error.strerror or error})", FETCH)) from error
        read = [reader(self.path, stamp, sample.begin, sample.size) for sample in samples]
        files = [
            File(_name(self.name, sample), self.folder, bytes_of, self.path)
            for sample, bytes_of in zip(samples, read, strict=True)
        ]
        return _shard(files, samples, passed)


class Afar(NamedTuple):
    """A shard that stays on another machine. It is downloaded once, to list its pictures and their sha256."""

    there: remote.Left

    def __str__(self) -> str:
        return shown(self.there.address)

    def look(self, cache: Path) -> Shard:
        """What is in it. Raises DataError."""
        about = ["afar", *self.there]

        def find() -> list[Any]:
            with remote.borrowed(self.there) as file:
                samples, passed = _found(str(self), file)
                return [samples, passed, [_digest(file, Sample(*sample)) for sample in samples]]

        with by_one(cache / memo.key_of(*about)):
            *found, digests = memo.remembered(cache, about, [], find)
        samples, passed = _read(found)
        folder, _, name = self.there.address.rpartition("/")
        files = [
            File(_name(name, sample), folder, self.reader(sample, digest), digest=digest)
            for sample, digest in zip(samples, digests, strict=True)
        ]
        return _shard(files, samples, passed)

    def reader(self, sample: Sample, digest: str) -> Callable[[], bytes]:
        """Asks for a picture. Raises DataError where it is not what it was."""

        def read() -> bytes:
            try:
                part = http.part(self.there.address, sample.begin, sample.size)
            except http.Absent as error:
                raise DataError(two_lines(str(error), AGAIN)) from error
            if hashlib.sha256(part.content).hexdigest() != digest:
                raise DataError(two_lines(f"{self} was changed while it was used", AGAIN))
            return part.content

        return read


def _name(shard: str, sample: Sample) -> str:
    return f"{shard}/{sample.key}.{sample.ending}"


def _shard(files: list[File], samples: list[Sample], passed: dict[str, Passed]) -> Shard:
    return Shard(files, [sample.label for sample in samples], [sample.key for sample in samples], passed)


def _digest(file: BinaryIO, sample: Sample) -> str:
    file.seek(sample.begin)
    return hashlib.sha256(file.read(sample.size)).hexdigest()


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


def _found(place: str, file: BinaryIO) -> list[Any]:
    """What is in a shard, as plain values. Raises DataError for one that is no shard, OSError."""
    try:
        samples, passed = _samples(place, members(file, MOST_BYTES), file)
    except NoTar as error:
        raise DataError(two_lines(f"{place} {error}", FETCH)) from error
    return [samples, [[kind, each.count, each.names] for kind, each in passed.items()]]


def _read(found: list[Any]) -> tuple[list[Sample], dict[str, Passed]]:
    """The same as objects."""
    samples, passed = found
    return [Sample(*sample) for sample in samples], {kind: Passed(count, names) for kind, count, names in passed}


def _samples(place: str, there: Iterable[Member], file: BinaryIO) -> tuple[list[Sample], dict[str, Passed]]:
    """The samples that have a picture, in the order of their first files. Raises DataError for one that has two."""
    pictures: dict[str, tuple[str, Member]] = {}
    labels: dict[str, int] = {}
    listing = Listing(place)
    for member in list(there):
        parts = PARTS.fullmatch(member.name)
        hidden = any(map(is_hidden, PurePosixPath(member.name).parts))
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
