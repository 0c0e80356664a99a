"""Decoded pictures on disk: one uint8 array per entry, with notes that hold the digest of both.

An entry that fits into the memory that is allowed is read into it, and verified; of a larger one only the pictures that
are shown are read, and it is verified when its file is another than at the last start. One that is damaged, or does not
match its notes, is removed with a warning and built again. Where nothing can be written, the pictures are held in
memory.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from gan_cli.data import memo
from gan_cli.data.arrays import header
from gan_cli.data.ondisk import OnDisk, Opened
from gan_cli.data.stored import OneSize, Stored, Views
from gan_cli.store.disk import naming, replacing, write_text
from gan_cli.store.locks import alone

log = logging.getLogger(__name__)

SCHEMA = 4  # of the entries and of the decoder; raise it when either changes
MEMORY = 2**28  # bytes of a set that is held in memory where nothing else is said
AGAIN = "start again, or resume the run: the decoded pictures are then made again"


class Unreadable(NamedTuple):
    name: str
    reason: str


@dataclass
class DecodedFiles:
    """The outcome of decoding a list of files.

    Attributes:
        images: The pictures that could be read.
        kept: The indices of the files that could be read, increasing.
        unreadable: The indices of the others, each with the reason.
        ranges: The range of values used, by the value of white.
    """

    images: Stored
    kept: list[int]
    unreadable: list[tuple[int, str]]
    ranges: dict[int, tuple[float, float]]

    def notes(self) -> dict[str, Any]:
        """As JSON returns them."""
        ranges = [[white, [float(low), float(high)]] for white, (low, high) in sorted(self.ranges.items())]
        return {"kept": self.kept, "unreadable": [list(pair) for pair in self.unreadable], "ranges": ranges}


def sorted_out(
    items: Iterable[np.ndarray | Unreadable], keep: Callable[[np.ndarray], None]
) -> tuple[list[int], list[tuple[int, str]]]:
    """Gives each picture to `keep`. Returns the indices of those that could be read, and of the others with the
    reasons."""
    kept: list[int] = []
    unreadable: list[tuple[int, str]] = []
    for i, item in enumerate(items):
        if isinstance(item, Unreadable):
            unreadable.append((i, item.reason))
        else:
            keep(item)
            kept.append(i)
    return kept, unreadable


Items = Callable[[], Iterable[np.ndarray | Unreadable]]
Ranges = Callable[[], dict[int, tuple[float, float]]]


def key_of(*facts: Any) -> str:
    """The key of the entry that these facts describe."""
    return memo.key_of(SCHEMA, *facts)


def digest(shape: Sequence[int], digests: Iterable[bytes], notes: dict[str, Any]) -> str:
    """sha256 of the pictures' digests, their shape and the notes."""
    found = hashlib.sha256(json.dumps([list(shape), notes], sort_keys=True).encode())
    for each in digests:
        found.update(each)
    return found.hexdigest()


def kept_or_made(
    folder: Path, key: str, shape: tuple[int, ...], items: Items, ranges: Ranges, memory: int = MEMORY
) -> DecodedFiles:
    """The entry `key`, verified, or made anew from `items`.

    Args:
        folder: Folder of the cache.
        shape: `(files, C, H, W)`.
        items: Decodes the files, in their order.
        ranges: Gives the range of values met, after decoding.
        memory: Bytes up to which pictures are held in memory.
    """
    with by_one(folder / key):
        return _kept_or_made(folder / f"{key}.npy", folder / f"{key}.json", shape, items, ranges, memory)


@contextmanager
def by_one(entry: Path) -> Iterator[None]:
    """Of several processes that want an entry one makes it, the others wait; where no lock can be placed, all do."""
    with ExitStack() as held:
        with suppress(OSError):
            entry.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(alone(entry))
        yield


def _kept_or_made(
    array: Path, notes: Path, shape: tuple[int, ...], items: Items, ranges: Ranges, memory: int
) -> DecodedFiles:
    if array.exists() or notes.exists():
        found = _read(array, notes, shape, memory)
        if isinstance(found, DecodedFiles):
            return found
        log.warning("the decoded images in %s are damaged (%s): they are removed and made again", array, found)
        _remove(array, notes)
    try:
        return _written(array, notes, shape, items, ranges, memory)
    except OSError as error:
        log.warning("decoded images cannot be kept (%s): this time they stay in memory", error)
    return _collected(items, ranges, np.empty(shape, np.uint8))


def _read(array: Path, notes: Path, shape: tuple[int, ...], memory: int) -> DecodedFiles | str:
    """The entry, or a description of what is wrong with it."""
    try:
        facts = json.loads(notes.read_bytes())
        kept = [int(i) for i in facts["kept"]]
        unreadable = [(int(i), str(reason)) for i, reason in facts["unreadable"]]
        if sorted([*kept, *(i for i, _ in unreadable)]) != list(range(shape[0])):
            return "its notes belong to other files"
        images = _stored(array, (len(kept), *shape[1:]), memory)
        if isinstance(images, str):
            return images
        ranges = {int(white): (float(low), float(high)) for white, (low, high) in facts["ranges"]}
        entry = DecodedFiles(images, kept, unreadable, ranges)
        if facts["sha256"] != digest((len(kept), *shape[1:]), images.digests(), entry.notes()):
            return "its checksum differs"
        return entry
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, RecursionError) as error:
        return str(error).split("\n")[0] or "it is incomplete"


def _stored(array: Path, shape: tuple[int, ...], memory: int) -> Stored | str:
    """The pictures of an array, in memory or where they lie, or a description of what is wrong with it."""
    file = Opened(array, AGAIN)
    with array.open("rb") as head:
        there, by_columns, kind = header(head)
        begin = head.tell()
    if kind != np.uint8 or there != shape or by_columns:
        return f"it holds {kind} {list(there)}"
    count = int(np.prod(shape, dtype=np.int64))
    if file.stamp[0] != begin + count:
        return "it is too large" if file.stamp[0] > begin + count else "it is cut"
    if count <= memory:
        pixels = np.empty(shape, np.uint8)
        file.into(pixels, begin)
        return OneSize(torch.from_numpy(pixels))
    unverified = OnDisk(file, begin, shape[1:], [b""] * shape[0])
    find = lambda: [hashlib.sha256(picture.numpy().tobytes()).hexdigest() for picture in unverified]  # noqa: E731
    found = memo.remembered(array.parent, ["pictures", str(array)], [file.stamp], find)
    return OnDisk(file, begin, shape[1:], [bytes.fromhex(each) for each in found])


def _remove(*paths: Path) -> None:
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s cannot be removed (%s)", path, error.strerror)


def _collected(items: Items, ranges: Ranges, memory: np.ndarray) -> DecodedFiles:
    """Everything in memory."""
    free = iter(memory)
    kept, unreadable = sorted_out(items(), lambda pixels: np.copyto(next(free), pixels))
    return DecodedFiles(OneSize(torch.from_numpy(memory[: len(kept)])), kept, unreadable, ranges())


def _written(
    array: Path, notes: Path, shape: tuple[int, ...], items: Items, ranges: Ranges, memory: int
) -> DecodedFiles:
    """Both files, the notes last: an array without its notes is not an entry. Raises OSError."""
    with naming(array.parent):
        array.parent.mkdir(parents=True, exist_ok=True)
    digests: list[bytes] = []
    with replacing(array, durable=False) as file:
        facts = np.lib.format.header_data_from_array_1_0(np.empty((0, *shape[1:]), np.uint8))
        np.lib.format.write_array_header_1_0(file, {**facts, "shape": shape})
        begin = file.tell()

        def keep(pixels: np.ndarray) -> None:
            content = pixels.tobytes()
            file.write(content)
            digests.append(hashlib.sha256(content).digest())

        kept, unreadable = sorted_out(items(), keep)
        file.seek(0)  # the header has room for any number of images
        made = (len(kept), *shape[1:])
        np.lib.format.write_array_header_1_0(file, {**facts, "shape": made})
    if not kept:
        _remove(array)
        return DecodedFiles(OneSize(torch.empty(made, dtype=torch.uint8)), kept, unreadable, ranges())
    images: Stored = OnDisk(Opened(array, AGAIN), begin, shape[1:], digests)
    if images.nbytes <= memory:
        images = OneSize(images.windows(torch.arange(len(kept)), Views.plain(len(kept)), (shape[2], shape[3])))
    entry = DecodedFiles(images, kept, unreadable, ranges())
    write_text(notes, json.dumps({**entry.notes(), "sha256": digest(made, digests, entry.notes())}))
    return entry
