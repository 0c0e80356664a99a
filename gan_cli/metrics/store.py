"""A cache of tensors on disk, keyed by the facts they follow from; verified when read, and never essential.

What cannot be read is computed again; what cannot be written costs a warning, and is computed again the next time.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as as_bytes
from torch import Tensor

from gan_cli.store.disk import cause, remove_leftovers, write_bytes, write_json
from gan_cli.store.locks import alone

log = logging.getLogger(__name__)

SCHEMA = 3  # of the entries and of the code that fills them
BOOKMARK_SECONDS = 60.0
LARGEST_NOTES = 2**20  # bytes

Tensors = Mapping[str, Tensor]
Facts = Mapping[str, Any]


class Bookmark:
    """The progress of a long pass, kept on disk beside its future entry: an interrupted pass continues from it.

    The file is the sha256 of the rest, then a collector's state; a damaged file counts as absent.

    Args:
        path: The file; None where nothing can be kept.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._last = time.monotonic()

    def read(self) -> dict[str, Any] | None:
        if self.path is None or not self.path.is_file():
            return None
        try:
            whole = self.path.read_bytes()
        except OSError:
            return None
        if hashlib.sha256(whole[32:]).digest() != whole[:32]:
            log.warning("%s is damaged: the pass starts again", self.path)
            return None
        state: dict[str, Any] = torch.load(io.BytesIO(whole[32:]), weights_only=True)
        return state

    def maybe_write(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """Writes the state if the last one is a minute old."""
        if self.path is None or time.monotonic() - self._last < BOOKMARK_SECONDS:
            return
        buffer = io.BytesIO()
        torch.save(dict(state()), buffer)
        try:
            write_bytes(self.path, hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue())
        except OSError as error:
            log.warning("%s; if this is interrupted, it starts again", error)
            self.path = None
        self._last = time.monotonic()

    def remove(self) -> None:
        if self.path is not None:
            with suppress(OSError):
                self.path.unlink()


@dataclass(frozen=True)
class Entry:
    """One entry of the cache."""

    key: str
    size: int  # bytes
    facts: Facts | None  # None where the notes are damaged, or of another version


@dataclass(frozen=True)
class Store:
    """A folder of entries: `<key>.safetensors`, and `<key>.json` with the facts and one digest over all of it."""

    folder: Path  # may begin with ~

    def get(self, facts: Facts, compute: Callable[[Bookmark], Tensors]) -> dict[str, Tensor]:
        """The tensors that `facts` describe: read if they are there and undamaged, else computed and kept.

        Both have the same memory layout, so that results computed from them have the same bits. One process computes;
        others that want the same tensors wait for it. `compute` may leave and find a bookmark. Anything wrong with the
        folder only costs a warning.
        """
        facts = json.loads(json.dumps({**facts, "schema": SCHEMA}))  # as they will be read back
        key = hashlib.sha256(_canonical(facts)).hexdigest()
        with ExitStack() as held:
            folder, bookmark, obstacle = self.folder, Bookmark(None), ""
            try:
                folder = folder.expanduser()
                folder.mkdir(parents=True, exist_ok=True)
                held.enter_context(alone(folder / key))
                remove_leftovers(folder)
                bookmark = Bookmark(folder / f"{key}.part")
            except OSError as error:
                obstacle = cause(error)
            except RuntimeError as error:  # no home folder
                obstacle = str(error)
            tensors = _read(folder, key, facts)
            if tensors is None:
                if obstacle:
                    log.warning("nothing is kept in %s (%s): it will have to be computed again", folder, obstacle)
                tensors = plain(compute(bookmark))
                if not obstacle:
                    _keep(folder, key, facts, tensors)
            bookmark.remove()
            return tensors

    def entries(self) -> list[Entry]:
        """All entries, newest first."""
        rows = []
        for notes in self.folder.expanduser().glob("*.json"):
            with suppress(OSError):
                found = Entry(notes.stem, notes.with_suffix(".safetensors").stat().st_size, _facts(notes))
                rows.append((notes.stat().st_mtime, found))
        return [entry for _, entry in sorted(rows, key=lambda row: row[0], reverse=True)]


def plain(tensors: Tensors) -> dict[str, Tensor]:
    """Copies on the CPU, contiguous and aligned by torch: rounding in matrix products depends on both."""
    return {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }


def _canonical(facts: Facts) -> bytes:
    return json.dumps(facts, sort_keys=True).encode()


def _digest(facts: Facts, whole: bytes) -> str:
    noted = _canonical(facts)
    return hashlib.sha256(len(noted).to_bytes(8, "little") + noted + whole).hexdigest()


def _read(folder: Path, key: str, facts: Facts) -> dict[str, Tensor] | None:
    """The entry; None when there is none. A damaged one is removed with a warning."""
    notes, tensors = folder / f"{key}.json", folder / f"{key}.safetensors"
    if not notes.is_file():  # the notes are written last
        return None
    with suppress(OSError, ValueError, RecursionError, SafetensorError):
        whole = tensors.read_bytes()
        if _record(notes) == {"facts": facts, "sha256": _digest(facts, whole)}:
            return plain(read_tensors(whole))
    log.warning("%s or the .json beside it is damaged: computing it again", tensors)
    for path in (notes, tensors):
        with suppress(OSError):
            path.unlink()
    return None


def _record(notes: Path) -> Any:
    """The contents of the notes. Raises OSError, ValueError, RecursionError."""
    with notes.open("rb") as file:
        return json.loads(file.read(LARGEST_NOTES))


def _facts(notes: Path) -> Facts | None:
    with suppress(OSError, ValueError, RecursionError):
        record = _record(notes)
        if isinstance(record, dict) and isinstance(record.get("facts"), dict):
            facts: Facts = record["facts"]
            return facts
    return None


def _keep(folder: Path, key: str, facts: Facts, tensors: Tensors) -> None:
    whole = as_bytes(dict(tensors))
    try:
        write_bytes(folder / f"{key}.safetensors", whole)
        write_json(folder / f"{key}.json", {"facts": facts, "sha256": _digest(facts, whole)})
    except OSError as error:
        log.warning("%s; it will have to be computed again", error)
