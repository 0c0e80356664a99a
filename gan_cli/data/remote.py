"""Shards on other machines: fetched over HTTP, whole, into a cache, by whichever process comes first; those that have
no room here are left where they are.

A shard in the cache has the sha256 of its address as its name, and beside it what it was when it was fetched. What is
there and still the same is not asked for again, so that a run goes on without a network, and with the data that it
began with.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import urlsplit

from gan_cli.data import memo
from gan_cli.data.ahead import AFAR, in_order
from gan_cli.data.flaws import shown
from gan_cli.data.http import LARGEST, Absent, part, pieces
from gan_cli.data.patterns import expanded, of_split
from gan_cli.data.shard_index import INDEX, Told, digest_of, told
from gan_cli.errors import DataError, two_lines
from gan_cli.progress import tracked
from gan_cli.store import caches
from gan_cli.store.disk import (
    LARGEST_JSON,
    NotWritten,
    naming,
    read_json,
    remove_leftovers,
    replacing,
    write_bytes,
    write_json,
)
from gan_cli.store.locks import alone

log = logging.getLogger(__name__)

CACHE = "shards"
TAR = ".tar"
ROOM = "make room there, or let GAN_CACHE name another folder"
CHECK = "check the address, and the numbers in braces; what was fetched before stays"
EXAMPLE = "as in 'dataset.root=http://host/path/{000..009}.tar'"


class Fetched(NamedTuple):
    """A shard of another machine: its address, and the file that holds it here."""

    address: str
    path: Path

    @property
    def folder(self) -> str:
        return self.address.rpartition("/")[0]

    @property
    def name(self) -> str:
        return self.address.rpartition("/")[2]


class Left(NamedTuple):
    """A shard that stays on another machine: its address, its size in bytes, the mark by which it is known again, and
    what an index there says of it."""

    address: str
    whole: int
    mark: str
    wanted: Told | None


def fetched(
    root: str, split: str, download: bool, cache: Path, disk: float = math.inf
) -> tuple[list[Fetched] | list[Fetched | Left], dict[str, dict[str, Any]]]:
    """The shards at an address, in their order, and what the index of each folder says.

    Args:
        root: A pattern, `http://host/path/{000..009}.tar`, or the folder of an `index.json`, whose shards are meant.
        download: Whether what is missing may be fetched.
        cache: Where digests are remembered.
        disk: Bytes of them that may be kept here. The first ones are, and those that are here already.

    Raises:
        DataError: One of them cannot be fetched, is not what the index says, or is missing and must not be fetched.
    """
    home, addresses = _home(), _addresses(root)
    folders = dict.fromkeys(address.rpartition("/")[0] for address in addresses)
    indices = {folder: read_json(_at(home, f"{folder}/{INDEX}", ".json")) for folder in folders}
    shards = _named(addresses, indices, split, home)
    missing = [shard for shard in shards if _flaw(shard, None, cache) is not None]
    if shards and not missing:
        return shards, indices
    if not download:
        what = f"dataset.root={root}: {len(missing) or 'its'} shards are not in {home}, and dataset.download=false"
        raise DataError(two_lines(what, "allow dataset.download=true, or name a folder that holds them"))
    try:
        with naming(home):
            home.mkdir(parents=True, exist_ok=True)
            remove_leftovers(home)
        indices = {folder: _index(folder, home) for folder in folders}
        shards = _named(addresses, indices, split, home)
        if not shards:
            what = f"dataset.root={root}: there is no {INDEX} that names shards"
            raise DataError(two_lines(what, f"name the shards themselves, {EXAMPLE}"))
        facts = {folder: told(index) for folder, index in indices.items()}
        wanted = {shard: facts[shard.folder].get(shard.name) for shard in shards}
        missing = [shard for shard in shards if _flaw(shard, wanted[shard], cache) is not None]
        left = _left(missing, shards, wanted, disk) if disk < math.inf else {}
        missing = [shard for shard in missing if shard not in left]
        _check_room(home, [wanted[shard] for shard in missing])
        if missing:
            log.info("fetching shards from %s, which are kept in %s", urlsplit(root).netloc, home)
        if left:
            log.info("%d of %d shards stay there: pictures are asked for when they are shown", len(left), len(shards))
        for shard in tracked(missing, len(missing), "fetching shards"):
            _fetch(shard, wanted[shard], cache)
    except NotWritten as error:
        raise DataError(two_lines(str(error), ROOM)) from error
    return [left.get(shard, shard) for shard in shards], indices


def _left(
    missing: Sequence[Fetched], shards: Sequence[Fetched], wanted: Mapping[Fetched, Told | None], disk: float
) -> dict[Fetched, Left]:
    """Those of the missing shards that so many bytes have no room for. Raises DataError."""
    room = disk - sum(shard.path.stat().st_size for shard in {*shards} - {*missing})
    left: dict[Fetched, Left] = {}
    try:
        parts = in_order(lambda shard: part(shard.address, 0, 1), missing, AFAR.threads)
        for shard, there in zip(missing, parts, strict=True):
            if there.whole <= room:
                room -= there.whole
            elif there.mark:
                left[shard] = Left(shard.address, there.whole, there.mark, wanted[shard])
            else:
                what = f"nothing tells by what {shard.address} is known again: its server sends no ETag and no date"
                raise DataError(two_lines(what, "leave dataset.disk out: its shards are then kept here"))
    except Absent as error:
        raise DataError(two_lines(str(error), CHECK)) from error
    return left


@contextmanager
def borrowed(shard: Left) -> Iterator[BinaryIO]:
    """A temporary copy of a shard. Raises DataError."""
    home = _home()
    try:
        with naming(home), TemporaryFile(dir=home) as file:
            there = _download(shard.address, file, shard.wanted)
            if there.size != shard.whole:
                raise DataError(two_lines(f"{shard.address} was changed while it was fetched", "start again"))
            file.flush()
            yield file
    except NotWritten as error:
        raise DataError(two_lines(str(error), ROOM)) from error
    except Absent as error:
        raise DataError(two_lines(str(error), CHECK)) from error


def _home() -> Path:
    try:
        return caches.home() / CACHE
    except RuntimeError as error:
        raise DataError(two_lines("there is no home folder to keep shards in", "name one: GAN_CACHE=FOLDER")) from error


def _check_room(home: Path, wanted: Sequence[Told | None]) -> None:
    """Raises DataError where the disk has no room for what the indices tell of."""
    size, free = sum(each.size for each in wanted if each), shutil.disk_usage(home).free
    if size > free:
        what = f"the shards have {size:,} bytes, and {home} has room for {free:,}"
        raise DataError(two_lines(what, f"{ROOM}; with dataset.stream=true, dataset.disk= keeps fewer here"))


def _addresses(root: str) -> list[str]:
    """The addresses that a pattern names; of a folder, that of its index. Raises DataError."""
    try:
        parts = urlsplit(root)
        _ = parts.port, (parts.hostname or ".").encode("idna")
    except ValueError as error:
        raise DataError(two_lines(f"dataset.root={root} is no address ({error})", EXAMPLE)) from error
    if "@" in parts.netloc or parts.query or parts.fragment or "*" in root:
        raise DataError(two_lines(f"dataset.root={root} is more than a host and a path", EXAMPLE))
    found = list(expanded(root))
    if len(found) == 1 and not root.endswith(TAR):
        return [f"{root.rstrip('/')}/{INDEX}"]
    if other := next((address for address in found if not address.endswith(TAR)), None):
        raise DataError(two_lines(f"dataset.root={root} names {other}, which is no .tar", EXAMPLE))
    if len(set(found)) < len(found):
        raise DataError(two_lines(f"dataset.root={root} names a shard twice", "name each of them once"))
    return found


def _named(addresses: Sequence[str], indices: dict[str, dict[str, Any]], split: str, home: Path) -> list[Fetched]:
    """The shards at these addresses, or where it is that of an index, those of the split that the index names."""
    if not addresses[0].endswith(TAR):
        ((folder, index),) = indices.items()
        names = [Path(name) for name in told(index) if name.endswith(TAR)]
        addresses = [f"{folder}/{path}" for path in of_split(names, folder, split)] if names else []
    return [Fetched(address, _at(home, address, TAR)) for address in addresses]


def _at(home: Path, address: str, ending: str) -> Path:
    return home / f"{memo.key_of('shard', address)}{ending}"


def _flaw(shard: Fetched, wanted: Told | None, cache: Path) -> str | None:
    """Why what the cache holds of a shard does not count; empty where that is nothing, None where it counts."""
    facts = read_json(shard.path.with_suffix(".json"))
    try:
        there = Told(shard.path.stat().st_size, digest_of(shard.path, cache))
    except OSError:
        return ""
    if (there.size, there.sha256) != (facts.get("filesize"), facts.get("sha256")):
        return f"it was cut or changed in the cache, at {shard.path}"
    if wanted is not None and wanted not in (there, (there.size, None)):
        return f"{INDEX} says that it was changed there"
    return None


def _index(folder: str, home: Path) -> dict[str, Any]:
    """The index at an address; empty where there is none. Raises DataError."""
    address = f"{folder}/{INDEX}"
    try:
        content = b"".join(piece for _, piece in pieces(address, LARGEST_JSON))
    except Absent:
        content = b"{}"
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(two_lines(f"{address} is not JSON", "ask who keeps it")) from error
    path = _at(home, address, ".json")
    with alone(path):
        write_bytes(path, content)
    return found if isinstance(found, dict) else {}


def _fetch(shard: Fetched, wanted: Told | None, cache: Path) -> None:
    """Fetches a shard, unless it is here or another process fetches it meanwhile. Raises DataError, NotWritten."""
    with alone(shard.path):
        flaw = _flaw(shard, wanted, cache)
        if flaw is None:
            return
        if flaw:
            log.warning("%s is fetched again: %s", shown(shard.address), flaw)
        try:
            with replacing(shard.path, durable=False) as file:
                found = _download(shard.address, file, wanted)
        except Absent as error:
            raise DataError(two_lines(str(error), CHECK)) from error
        facts = {"url": shard.address, "filesize": found.size, "sha256": found.sha256}
        write_json(shard.path.with_suffix(".json"), facts)


def _download(address: str, file: BinaryIO, wanted: Told | None) -> Told:
    """Writes what is at the address into a file. Raises Absent, DataError."""
    found, size = hashlib.sha256(), 0
    for begin, piece in pieces(address, wanted.size if wanted else LARGEST):
        if begin == 0:  # also where the server does not go on where it was cut
            file.seek(0)
            file.truncate()
            found, size = hashlib.sha256(), 0
        file.write(piece)
        found.update(piece)
        size += len(piece)
    there = Told(size, found.hexdigest())
    _check(address, there, wanted)
    return there


def _check(address: str, found: Told, wanted: Told | None) -> None:
    """Raises DataError where what was fetched is not what the index says."""
    remedy = f"pack the shards again there, with their {INDEX}; what was fetched of this one is not kept"
    if wanted is not None and found.size != wanted.size:
        what = f"{address} has {found.size:,} bytes, and {INDEX} says {wanted.size:,}: it was cut or changed"
        raise DataError(two_lines(what, remedy))
    if wanted is not None and wanted.sha256 not in (None, found.sha256):
        what = f"{address} has the sha256 {found.sha256[:16] if found.sha256 else ''}..., and {INDEX} says "
        raise DataError(two_lines(f"{what}{str(wanted.sha256)[:16]}...: it was changed", remedy))
