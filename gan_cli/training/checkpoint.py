"""Checkpoints: one file, written whole or not at all, read without running anything in it."""

from __future__ import annotations

import os
import pickle
import shutil
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from gan_cli.files import naming, replacing

FORMAT = 1
KEYS = frozenset({"format", "config", "game", "ema", "optimizers", "updates", "clock", "meter"})


class CheckpointError(ValueError):
    """The file is not a whole checkpoint of ours; the message says what is wrong with it."""


def save(state: dict[str, Any], path: Path) -> None:
    """Writes the whole state or nothing: the target is always whole. Raises NotWritten."""
    with naming(path):
        path.parent.mkdir(exist_ok=True)  # of a run that is there: one that somebody removed does not come back
    with replacing(path) as file:
        torch.save({"format": FORMAT, **state}, file)


def alias(path: Path, name: str) -> Path:
    """A second name for a checkpoint in the same folder, without a second copy where the file system can."""
    target = path.with_name(name)
    scratch = path.with_name(f".{name}.{os.getpid()}.tmp")
    with naming(target):
        try:
            scratch.unlink(missing_ok=True)
            os.link(path, scratch)
            os.replace(scratch, target)
        except OSError:
            with suppress(OSError):
                scratch.unlink()
            with path.open("rb") as source, replacing(target) as file:
                shutil.copyfileobj(source, file)
    return target


def load(path: Path) -> dict[str, Any]:
    """The checkpoint's state, tensors on the CPU. Executes nothing from the file (`weights_only`).

    Raises:
        CheckpointError: The file is cut short, damaged (its checksums differ), foreign, or of another format.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise CheckpointError(f"{path} is damaged (checksum of {damaged})")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist") from None
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path} holds more than weights and was not loaded: {_first_line(error)}") from None
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError, KeyError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path} is cut short or no checkpoint ({_first_line(error)})") from None
    if not isinstance(state, dict) or not state.keys() >= KEYS or not isinstance(state["config"], str):
        raise CheckpointError(f"{path} is no checkpoint of gan: it lacks {', '.join(sorted(KEYS))}")
    if state["format"] != FORMAT:
        raise CheckpointError(f"{path} has format {state['format']}, this version of gan reads {FORMAT}")
    return state


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def step_of(path: Path) -> int:
    """n of step-<n>.pt."""
    return int(path.stem.removeprefix("step-"))


def newest_first(folder: Path) -> list[Path]:
    """`last.pt`, then the step files from the newest."""
    steps = sorted((p for p in folder.glob("step-*.pt") if p.stem[5:].isdigit()), key=step_of, reverse=True)
    last = folder / "last.pt"
    return [last, *steps] if last.is_file() else steps


def load_newest(paths: Iterable[Path]) -> tuple[dict[str, Any], Path, list[str]]:
    """The first whole checkpoint, where it was, and what was wrong with those before it.

    Raises:
        CheckpointError: None is whole.
    """
    problems: list[str] = []
    for path in paths:
        try:
            return load(path), path, problems
        except CheckpointError as error:
            problems.append(str(error))
    raise CheckpointError("; ".join(problems) or "there is no checkpoint yet")
