"""Features of references, kept by content: what was measured, how, and by which weights; never by a name."""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from gan_cli.files import write_bytes, write_json
from gan_cli.metrics.detectors import sha256
from gan_cli.metrics.features import Features
from gan_cli.metrics.moments import Gaussian

SCHEMA = 1  # of the entries and of the code that fills them
BOOKMARK_SECONDS = 60.0


class Bookmark:
    """Where a long pass is, kept on disk beside the entry that it will become: an interrupted pass goes on from it.

    The file is the sha256 of what follows it, and a collector's state; what is damaged counts as absent.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last = time.monotonic()

    def read(self) -> dict[str, Any] | None:
        try:
            whole = self.path.read_bytes()
            if hashlib.sha256(whole[32:]).digest() != whole[:32]:
                return None
            state: dict[str, Any] = torch.load(io.BytesIO(whole[32:]), weights_only=True)
            return state
        except OSError:
            return None

    def maybe_write(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """Keeps the state when the last one is a minute old."""
        if time.monotonic() - self._last < BOOKMARK_SECONDS:
            return
        buffer = io.BytesIO()
        torch.save(dict(state()), buffer)
        write_bytes(self.path, hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue())
        self._last = time.monotonic()

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Cache:
    """A folder of entries: `<key>.safetensors` with the tensors, `<key>.json` with what they are and their digest."""

    folder: Path

    def get(self, facts: Mapping[str, Any], compute: Callable[[Bookmark], Features]) -> Features:
        """The features that `facts` describe: from the cache if they are there and undamaged, else computed and kept.

        One process computes; others that want the same wait for it. `compute` may leave and find a bookmark.
        """
        facts = {**facts, "schema": SCHEMA}
        key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / f"{key}.lock"):
            found = self._read(key)
            if found is None:
                bookmark = Bookmark(self.folder / f"{key}.part")
                found = compute(bookmark)
                self._write(key, facts, found)
                bookmark.remove()
            return found

    def _read(self, key: str) -> Features | None:
        tensors, notes = self.folder / f"{key}.safetensors", self.folder / f"{key}.json"
        try:
            record = json.loads(notes.read_text())
            if record["sha256"] != sha256(str(tensors)):
                return None  # poisoned or cut short: computed again
            return unpack(load_file(tensors), int(record["n"]))
        except (OSError, ValueError, KeyError, TypeError, SafetensorError):
            return None

    def _write(self, key: str, facts: Mapping[str, Any], features: Features) -> None:
        tensors = self.folder / f"{key}.safetensors"
        scratch = self.folder / f".{key}.{os.getpid()}.tmp"
        save_file(pack(features), scratch)
        digest = sha256(str(scratch))
        os.replace(scratch, tensors)
        write_json(self.folder / f"{key}.json", {"n": features.n, "sha256": digest, **facts})

    def entries(self) -> list[dict[str, Any]]:
        """What is kept, newest first, with the size of each entry in bytes."""
        rows = []
        for notes in sorted(self.folder.glob("*.json"), key=lambda p: p.stat().st_mtime, reverse=True):
            tensors = notes.with_suffix(".safetensors")
            try:
                rows.append({"key": notes.stem, "bytes": tensors.stat().st_size, **json.loads(notes.read_text())})
            except (OSError, json.JSONDecodeError):
                continue
        return rows


def pack(features: Features) -> dict[str, Tensor]:
    moments = features.moments
    tensors = {"mean": moments.mean}
    tensors |= {"thin": moments.thin} if moments.thin is not None else {"covariance": moments.covariance}
    if moments.thin is None:
        tensors["factor"] = moments.factor  # the dear part of a Fréchet distance
    named = {"rows": features.rows, "logits": features.logits, "row_labels": features.row_labels}
    tensors |= {name: tensor for name, tensor in named.items() if tensor is not None}
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def unpack(tensors: Mapping[str, Tensor], n: int) -> Features:
    moments = Gaussian(n, tensors["mean"], covariance=tensors.get("covariance"), factor=tensors.get("thin"))
    if "factor" in tensors:
        moments.factor = tensors["factor"]
    return Features(n, moments, (), tensors.get("rows"), tensors.get("logits"), tensors.get("row_labels"))
