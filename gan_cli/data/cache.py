"""Decoded pictures on disk: one memory-mapped uint8 array per entry, with notes that hold the digest of both.

An entry is read in full once, to be verified; one that is damaged, or does not match its notes, is removed with a
warning and built again. Where nothing can be written, the pictures are held in memory.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gan_cli.store.disk import naming, replacing, write_text

log = logging.getLogger(__name__)

SCHEMA = 2  # of the entries and of the decoder; raise it when either changes
CHUNK = 2**24


class Unreadable(NamedTuple):
    name: str
    reason: str


@dataclass
class DecodedFiles:
    """The outcome of decoding a list of files.

    Attributes:
        images: uint8 `[kept, C, H, W]`; a list of `[C, H, W]` where each has its own size.
        kept: The indices of the files that could be read, increasing.
        unreadable: The indices of the others, each with the reason.
        ranges: The range of values used, by the value of white.
    """

    images: np.ndarray | list[np.ndarray]
    kept: list[int]
    unreadable: list[tuple[int, str]]
    ranges: dict[int, tuple[float, float]]

    def notes(self) -> dict[str, Any]:
        """As JSON returns them."""
        ranges = [[white, [float(low), float(high)]] for white, (low, high) in sorted(self.ranges.items())]
        return {"kept": self.kept, "unreadable": [list(pair) for pair in self.unreadable], "ranges": ranges}


Items = Callable[[], Iterable[np.ndarray | Unreadable]]
Ranges = Callable[[], dict[int, tuple[float, float]]]


def key_of(*facts: Any) -> str:
    """The key of the entry that these facts describe."""
    return hashlib.sha256(json.dumps([SCHEMA, *facts]).encode()).hexdigest()


def digest(images: np.ndarray, notes: dict[str, Any]) -> str:
    """sha256 of the pixels, their shape and the notes."""
    found = hashlib.sha256(json.dumps([list(images.shape), notes], sort_keys=True).encode())
    flat = images.reshape(-1)
    for start in range(0, flat.size, CHUNK):
        found.update(flat[start : start + CHUNK].data)
    return found.hexdigest()


def kept_or_made(folder: Path, key: str, shape: tuple[int, ...], items: Items, ranges: Ranges) -> DecodedFiles:
    """The entry `key`, verified, or made anew from `items`.

    Args:
        folder: Folder of the cache.
        shape: `(files, C, H, W)`.
        items: Decodes the files, in their order.
        ranges: Gives the range of values met, after decoding.
    """
    array, notes = folder / f"{key}.npy", folder / f"{key}.json"
    if array.exists() or notes.exists():
        found = _read(array, notes, shape)
        if isinstance(found, DecodedFiles):
            return found
        log.warning("the decoded images in %s are damaged (%s): they are removed and made again", array, found)
        _remove(array, notes)
    try:
        return _written(array, notes, shape, items, ranges)
    except OSError as error:
        log.warning("decoded images cannot be kept (%s): this time they stay in memory", error)
    return _collected(items, ranges, np.empty(shape, np.uint8))


def _read(array: Path, notes: Path, shape: tuple[int, ...]) -> DecodedFiles | str:
    """The entry, or a description of what is wrong with it."""
    try:
        facts = json.loads(notes.read_bytes())
        if array.stat().st_size > np.prod(shape, dtype=np.int64) + 2**16:
            return "it is too large"
        images = np.load(array, mmap_mode="c", allow_pickle=False)
        entry = DecodedFiles(
            images,
            [int(i) for i in facts["kept"]],
            [(int(i), str(reason)) for i, reason in facts["unreadable"]],
            {int(white): (float(low), float(high)) for white, (low, high) in facts["ranges"]},
        )
        if images.dtype != np.uint8 or images.shape != (len(entry.kept), *shape[1:]) or not images.flags.c_contiguous:
            return f"it holds {images.dtype} {list(images.shape)}"
        if sorted([*entry.kept, *(i for i, _ in entry.unreadable)]) != list(range(shape[0])):
            return "its notes belong to other files"
        if facts["sha256"] != digest(images, entry.notes()):
            return "its checksum differs"
        return entry
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, RecursionError) as error:
        return str(error).split("\n")[0] or "it is incomplete"


def _remove(*paths: Path) -> None:
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s cannot be removed (%s)", path, error.strerror)


def _collected(items: Items, ranges: Ranges, memory: np.ndarray) -> DecodedFiles:
    """Everything in memory."""
    kept: list[int] = []
    unreadable: list[tuple[int, str]] = []
    for i, item in enumerate(items()):
        if isinstance(item, Unreadable):
            unreadable.append((i, item.reason))
        else:
            memory[len(kept)] = item
            kept.append(i)
    return DecodedFiles(memory[: len(kept)], kept, unreadable, ranges())


def _written(array: Path, notes: Path, shape: tuple[int, ...], items: Items, ranges: Ranges) -> DecodedFiles:
    """Both files, the notes last: an array without its notes is not an entry. Raises OSError."""
    with naming(array.parent):
        array.parent.mkdir(parents=True, exist_ok=True)
    kept: list[int] = []
    unreadable: list[tuple[int, str]] = []
    with replacing(array, durable=False) as file:  # written, not mapped: a full disk is then an error, not a signal
        header = np.lib.format.header_data_from_array_1_0(np.empty((0, *shape[1:]), np.uint8))
        np.lib.format.write_array_header_1_0(file, {**header, "shape": shape})
        for i, item in enumerate(items()):
            if isinstance(item, Unreadable):
                unreadable.append((i, item.reason))
            else:
                file.write(item.tobytes())
                kept.append(i)
        file.seek(0)  # the header has room for any number of images
        np.lib.format.write_array_header_1_0(file, {**header, "shape": (len(kept), *shape[1:])})
        file.flush()
        images = np.load(file.name, mmap_mode="c") if kept else np.empty((0, *shape[1:]), np.uint8)
        entry = DecodedFiles(images, kept, unreadable, ranges())
        facts = json.dumps({**entry.notes(), "sha256": digest(images, entry.notes())})
    if kept:
        write_text(notes, facts)
    else:
        _remove(array)
    return entry
