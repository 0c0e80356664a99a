"""Weights of detectors from files: their digest is checked where it is known, and no code in them runs."""

from __future__ import annotations

import hashlib
import os
import re
import zipfile
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from urllib.request import Request, urlopen

import torch
from safetensors.torch import load as read_tensors
from torch import Tensor

from gan_cli.errors import WeightsMissing, WeightsRefused, two_lines
from gan_cli.progress import tracked
from gan_cli.store.archives import HoldsCode, check_archive, header_of
from gan_cli.store.disk import replacing
from gan_cli.store.tensors import flaw

CHUNK = 2**17  # bytes


class Weights(NamedTuple):
    """A state dict, and the sha256 of the file that it came from."""

    state: dict[str, Tensor]
    digest: str


def find(file: str, asked: str | None, environment: str) -> Path:
    """The file that was asked for, else the one that the environment names, else torch hub's copy of `file`.

    Raises:
        WeightsMissing: It is not there.
    """
    kept = Path(torch.hub.get_dir()) / "checkpoints" / file
    path = Path(asked or os.environ.get(environment) or kept).expanduser()
    if not path.is_file():
        what = f"there are no weights at {path}"
        raise WeightsMissing(two_lines(what, f"put {file} at {kept}, or name it with weights=FILE or ${environment}"))
    return path


def fetch(url: str, path: Path, digest: str) -> None:
    """Downloads a file, which is there whole or not at all.

    Raises:
        OSError, HTTPException: It cannot be fetched, or not be written.
        WeightsRefused: It has another sha256.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with urlopen(Request(url, headers={"User-Agent": "gan"})) as answer, replacing(path) as file:
        size = int(answer.headers.get("Content-Length") or 0)
        found = hashlib.sha256()
        for piece in tracked(iter(partial(answer.read, CHUNK), b""), size, f"downloading {path.name}", len):
            found.update(piece)
            file.write(piece)
        if found.hexdigest() != digest:
            what = f"what {url} holds has the sha256 {found.hexdigest()[:16]}..., not {digest[:16]}..."
            raise WeightsRefused(two_lines(what, "fetch it by hand, and name it with weights=FILE"))


def digest_in(name: str) -> str | None:
    """The first digits of the sha256 that a file's name holds, as torch hub names files: `vgg19-dcbb9e9d.pth`."""
    found = re.search(r"-([0-9a-f]{8,64})\.", name)
    return found[1] if found else None


def read(path: Path, expected: str | None = None) -> Weights:
    """The weights in a file, torch's or safetensors, opened once to be hashed and read.

    Args:
        expected: The sha256 that it must have; None for the user's own file.

    Raises:
        WeightsRefused: It has another digest, cannot be read, or holds something else.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if expected is not None and not digest.startswith(expected):
                what = f"{path} is damaged: its sha256 is {digest[:16]}..., not {expected[:16]}..."
                raise WeightsRefused(f"{what}\n  remove it and fetch it again, or name another with weights=FILE")
            state = _content(file, header_of(path) is not None)
        _check(state, path)
    except WeightsRefused:
        raise
    except HoldsCode as error:
        remedy = (
            "save its tensors: torch.save(torch.jit.load(FILE, 'cpu').state_dict(), OTHER), if you trust who wrote it"
        )
        raise WeightsRefused(two_lines(f"{path} is a TorchScript archive, which holds code", remedy)) from error
    except Exception as error:  # unpickling arbitrary bytes fails in more ways than can be listed
        what = f"{path} is cut short, or holds something other than weights"
        raise WeightsRefused(f"{what}\n  fetch it again, or name another file") from error
    return Weights(dict(state), digest)


def _content(file: BinaryIO, is_safetensors: bool) -> Any:
    if zipfile.is_zipfile(file):
        check_archive(file)
    file.seek(0)
    return read_tensors(file.read()) if is_safetensors else torch.load(file, map_location="cpu", weights_only=True)


def _check(state: object, path: Path) -> None:
    if not isinstance(state, dict) or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise WeightsRefused(f"{path} holds no state dict\n  give a file with the names and tensors of a network")
    for name, tensor in state.items():
        if (problem := flaw(tensor)) is not None:
            raise WeightsRefused(f"{path}: {name} {problem}\n  fetch it again")
