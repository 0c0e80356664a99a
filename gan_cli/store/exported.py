"""A generator in a safetensors file: its weights, and in the file's header what it takes to build and name it."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from gan_cli.errors import CheckpointError, Incompatible, two_lines
from gan_cli.store import contents
from gan_cli.store.archives import header_of

FORMAT = "gan generator 1"
REMEDY = "gan export RUN as=safetensors writes files that can be read again"


def pack(weights: Mapping[str, Tensor], config: str, step: int, class_names: list[str]) -> bytes:
    """The content of the file. `config` describes the networks; `class_names` may be empty.

    Raises:
        Incompatible: A weight is not a tensor.
    """
    if other := [name for name, value in weights.items() if not isinstance(value, Tensor)]:
        raise Incompatible(
            two_lines(f"{other[0]} is no tensor, and a safetensors file holds nothing else", "use as=onnx")
        )
    # Each for itself: tensors that share memory are refused.
    tensors = {name: weight.detach().cpu().clone().contiguous() for name, weight in weights.items()}
    facts = {"format": FORMAT, "config": config, "step": str(step), "class_names": json.dumps(class_names)}
    return _in_order(safetensors.torch.save(tensors, facts))


def _in_order(content: bytes) -> bytes:
    """The same file with the facts of its header sorted, so that equal weights are equal bytes."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the tensors begin at a multiple of 8, as the format wants
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


def is_one(path: Path) -> bool:
    """Whether the file begins as a safetensors file does; `unpack` says what is wrong with it."""
    return header_of(path) is not None


def unpack(path: Path) -> dict[str, Any]:
    """The generator as a checkpoint would hold it: config, the game's weights, `ema`, clock, class_names.

    Raises:
        CheckpointError: It is damaged, holds what no export writes, or was not written by `gan export`.
    """
    facts = (header_of(path) or {}).get("__metadata__")
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise CheckpointError(f"{path} holds weights, but not of a generator that gan exported", REMEDY)
    try:
        weights = safetensors.torch.load_file(path)
        state: dict[str, Any] = {
            "config": facts.get("config"),
            "game": {f"generator.{name}": weight for name, weight in weights.items()},
            "ema": weights,
            "clock": {"step": int(facts["step"]), "images": 0, "seconds": 0.0},
            "class_names": json.loads(facts["class_names"]),
        }
        contents.check(state)
    except Exception as error:  # strange bytes fail to load in more ways than can be listed
        lines = str(error).strip().splitlines() or ["unreadable"]
        raise CheckpointError(f"{path} cannot be used: {lines[0][:200]}") from None
    return state
