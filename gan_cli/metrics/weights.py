"""Weights of detectors from files: their digest is checked where it is known, and no code in them runs."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from gan_cli.errors import WeightsRefused
from gan_cli.store.archives import check_archive
from gan_cli.store.tensors import flaw


class Weights(NamedTuple):
    """A state dict, and the sha256 of the file that it came from."""

    state: dict[str, Tensor]
    digest: str


def read(path: Path, expected: str | None = None) -> Weights:
    """The weights in a file, opened once to be hashed and read.

    Args:
        expected: The sha256 that it must have; None for the user's own file.

    Raises:
        WeightsRefused: It has another digest, cannot be read, or holds something else.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if expected is not None and digest != expected:
                what = f"{path} is damaged: its sha256 is {digest[:16]}..., not {expected[:16]}..."
                raise WeightsRefused(f"{what}\n  remove it and fetch it again, or name another with weights=FILE")
            if zipfile.is_zipfile(file):
                check_archive(file)
            file.seek(0)
            state = torch.load(file, map_location="cpu", weights_only=True)
        _check(state, path)
    except WeightsRefused:
        raise
    except Exception as error:  # unpickling arbitrary bytes fails in more ways than can be listed
        what = f"{path} is cut short, or holds something other than weights"
        raise WeightsRefused(f"{what}\n  fetch it again, or name another file") from error
    return Weights(dict(state), digest)


def _check(state: object, path: Path) -> None:
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsRefused(f"{path} holds no state dict\n  give a file with the names and tensors of a network")
    for name, tensor in state.items():
        if (problem := flaw(tensor)) is not None:
            raise WeightsRefused(f"{path}: {name} {problem}\n  fetch it again")
