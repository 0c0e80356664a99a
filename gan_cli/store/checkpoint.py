"""Checkpoints: one file, written whole or not at all, read without running anything in it."""

from __future__ import annotations

import copy
import os
import pickle
import shutil
import warnings
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_cli.errors import CheckpointError
from gan_cli.store import contents
from gan_cli.store.archives import check_archive
from gan_cli.store.disk import naming, replacing

FORMAT = 1
KEYS = frozenset({"format", "config", "game", "ema", "optimizers", "updates", "clock", "meter"})


def save(state: dict[str, Any], path: Path) -> None:
    """Writes the whole state or nothing: the target is always whole. Raises NotWritten."""
    with naming(path):
        path.parent.mkdir(exist_ok=True)  # only inside an existing run: a removed run does not come back
    with replacing(path) as file:
        torch.save({"format": FORMAT, **state}, file)


def snapshot(state: Any) -> Any:
    """A copy of a state in the computer's memory, which later steps do not change; what was shared stays shared."""
    copies: dict[tuple[Any, ...], Tensor] = {}

    def copied(value: Any) -> Any:
        if isinstance(value, Tensor):
            key = value.device, value.data_ptr(), value.dtype, value.shape, value.stride()
            if value.numel() == 0 or key not in copies:
                copies[key] = value.detach().to("cpu", copy=True)
            return copies[key]
        if isinstance(value, dict):
            other = copy.copy(value)  # a state of networks says in an attribute which version of a layer wrote it
            other.update({key: copied(inner) for key, inner in value.items()})
            return other
        return type(value)(map(copied, value)) if type(value) in (list, tuple) else value

    return copied(state)


def alias(path: Path, name: str) -> Path:
    """A second name for a checkpoint in the same folder: a link, which stays one where the folder is copied; where the
    file system has none, a second name of the file, else a copy."""
    target = path.with_name(name)
    scratch = path.with_name(f".{name}.{os.getpid()}.tmp")
    with naming(target):
        for named in (lambda: os.symlink(path.name, scratch), lambda: os.link(path, scratch)):
            with suppress(OSError):
                scratch.unlink(missing_ok=True)
                named()
                os.replace(scratch, target)
                return target
        with suppress(OSError):
            scratch.unlink()
        with path.open("rb") as source, replacing(target) as file:
            shutil.copyfileobj(source, file)
    return target


def load(path: Path) -> dict[str, Any]:
    """The checkpoint's state, tensors on the CPU. Executes nothing from the file (`weights_only`).

    Raises:
        CheckpointError: The file is truncated, damaged (its checksums differ), foreign, or of another format; or it
            holds something that training never writes.
    """
    try:
        with path.open("rb") as file:
            damaged = check_archive(file).testzip()
            if damaged is not None:
                raise CheckpointError(f"{path} is damaged (checksum of {damaged})")
            file.seek(0)
            with warnings.catch_warnings(action="ignore"):  # about tensors that are refused anyway
                state = torch.load(file, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist", "give a run folder, or one of its checkpoints/*.pt") from None
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path} holds more than weights and was not loaded: {_first_line(error)}") from None
    except Exception as error:  # strange bytes fail to load in more ways than can be listed
        raise CheckpointError(f"{path} is cut short or not a checkpoint ({_first_line(error)})") from None
    if not isinstance(state, dict) or not state.keys() >= KEYS:
        raise CheckpointError(f"{path} is not a checkpoint of gan: it lacks {', '.join(sorted(KEYS))}")
    if state["format"] != FORMAT:
        what = f"{path} has format {_short(state['format'])}, this version of gan reads {FORMAT}"
        raise CheckpointError(what, "use the version of gan that wrote it")
    try:
        contents.check(state)
    except Exception as error:  # also from tensors of kinds that the checks do not expect
        raise CheckpointError(f"{path} cannot be used: {_first_line(error)}") from None
    return state


def _short(value: object) -> str:
    return str(value)[:20] if isinstance(value, int | str) else type(value).__name__


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else "unreadable"


def load_newest(paths: Iterable[Path]) -> tuple[dict[str, Any], Path, list[str]]:
    """The first intact checkpoint, its path, and what was wrong with those before it.

    Raises:
        CheckpointError: None is intact.
    """
    problems: list[str] = []
    for path in paths:
        try:
            return load(path), path, problems
        except CheckpointError as error:
            problems.append(error.what)
            last = error
    if len(problems) == 1:
        raise last
    raise CheckpointError("; ".join(problems))
