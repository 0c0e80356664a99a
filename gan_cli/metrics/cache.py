"""Features of references, kept by content: what was measured, how, and by which weights; never by a name."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from gan_cli.files import write_json
from gan_cli.metrics.detectors import sha256
from gan_cli.metrics.features import Features
from gan_cli.metrics.moments import Gaussian

SCHEMA = 1  # of the entries and of the code that fills them


@dataclass(frozen=True)
class Cache:
    """A folder of entries: `<key>.safetensors` with the tensors, `<key>.json` with what they are and their digest."""

    folder: Path

    def get(self, facts: Mapping[str, Any], compute: Callable[[], Features]) -> Features:
        """The features that `facts` describe: from the cache if they are there and undamaged, else computed and kept.

        One process computes; others that want the same wait for it.
        """
        facts = {**facts, "schema": SCHEMA}
        key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / f"{key}.lock"):
            found = self._read(key)
            if found is None:
                found = compute()
                self._write(key, facts, found)
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
