"""The words of this harness: a Case does harm in a Lab, and raises Lost where something does not hold afterwards."""

from __future__ import annotations

import json
import re
import shutil
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import torch
from child import Child, Hung
from PIL import Image

from gan_cli.store import checkpoint
from gan_cli.store.rows import read_rows

NAMES = re.compile(r"Traceback|HYDRA_FULL_ERROR|\b[A-Z]\w*(?:Error|Exception|Interrupt)\b|enforce fail|\.cpp:\d+")
NOTHING_WRONG = (0,)
WRONG = (1, 2)


class Lost(Exception):
    """Something that must hold after the harm does not."""


def must(holds: object, otherwise: str) -> None:
    if not holds:
        raise Lost(otherwise)


@dataclass
class Lab:
    """What a case works with: an empty folder, seeded chance, and the uninterrupted runs that all cases share."""

    folder: Path
    random: Random
    shared: Path
    tried: int = 0  # harms done
    shown: list[str] = field(default_factory=list)  # exception names that came onto the screen

    def start(self, *words: str, **how: Any) -> Child:
        """A child that runs here, with a cache of its own unless it is told another."""
        how["environment"] = {"GAN_CACHE": str(self.shared / "cache"), **how.get("environment", {})}
        return Child(self.folder, words, **how)

    def end(self, child: Child, codes: Sequence[int] = NOTHING_WRONG) -> str:
        """What the child said; it must end with one of the codes, and show no exception's name."""
        code, text = child.wait(), child.text()
        found = NAMES.search(text)
        if found:
            self.shown.append(f"{found[0]}: gan {' '.join(child.words)[-160:]} ({child.said})")
        must(code in codes, f"exit code {code}, not one of {codes}: gan {' '.join(child.words)}\n{text[-1500:]}")
        return text

    def gan(self, *words: str, codes: Sequence[int] = NOTHING_WRONG, **how: Any) -> str:
        """One whole command; what it said."""
        return self.end(self.start(*words, **how), codes)


Harm = Callable[[Lab], None]


@dataclass(frozen=True)
class Case:
    """What is done, and (within it) what must hold."""

    part: str
    name: str
    harm: Harm


@dataclass(frozen=True)
class Outcome:
    """What became of a case."""

    case: tuple[str, str]  # part, name
    tried: int
    lost: str | None
    shown: tuple[str, ...]
    seconds: float


def carry_out(case: Case, seed: int, root: Path) -> Outcome:
    """Does the case's harm in a folder of its own, which stays where something was lost."""
    folder = root / f"{case.part}-{case.name}"
    folder.mkdir()
    lab = Lab(folder, Random(f"{seed}/{case.part}/{case.name}"), root / "shared")
    lost, begin = None, time.monotonic()
    try:
        case.harm(lab)
    except (Lost, Hung) as found:
        lost = str(found)
    except Exception:  # a fault of the harness, or of what it calls of the program
        lost = traceback.format_exc()
    if lost is None and not lab.shown:
        shutil.rmtree(folder, ignore_errors=True)
    return Outcome((case.part, case.name), lab.tried, lost, tuple(lab.shown), time.monotonic() - begin)


def leaves(node: Any, path: str = "") -> dict[str, Any]:
    """All that a checkpoint's state holds, by its path, without what the clock on the wall told."""
    if isinstance(node, dict):
        return {k: v for key, value in node.items() for k, v in leaves(value, f"{path}/{key}").items()}
    if isinstance(node, list | tuple):
        return {k: v for i, value in enumerate(node) for k, v in leaves(value, f"{path}/{i}").items()}
    return {} if path.endswith("/seconds") else {path: node}


def equal(a: Any, b: Any) -> bool:
    """Of two leaves: the same bits."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()
    return type(a) is type(b) and a == b


def difference(a: dict[str, Any], b: dict[str, Any]) -> str:
    """The first few leaves that differ; empty where none does."""
    one, other = leaves(a), leaves(b)
    keys = sorted(one.keys() ^ other.keys()) + [k for k in one.keys() & other.keys() if not equal(one[k], other[k])]
    return ", ".join(keys[:4])


def numbers(folder: Path) -> list[dict[str, Any]]:
    """metrics.jsonl without what depends on the clock on the wall."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in read_rows(folder / "metrics.jsonl")]


def must_equal(folder: Path, whole: Path, config: bool = True) -> None:
    """The run ended like the one that nobody disturbed: every bit of its last checkpoint, every line of its numbers.

    Args:
        config: Whether its config is the same too; else it was given another folder in it.
    """
    for name in ("last.pt", *(path.name for path in (whole / "checkpoints").glob("best.pt"))):
        mine, right = (checkpoint.load(place / "checkpoints" / name) for place in (folder, whole))
        differing = difference(mine, right if config else {**right, "config": mine["config"]})
        must(not differing, f"{folder}/checkpoints/{name} differs from the uninterrupted run's in {differing}")
    must(numbers(folder) == numbers(whole), f"{folder}/metrics.jsonl differs from the uninterrupted run's")
    result = json.loads((folder / "result.json").read_text())
    must(result["status"] == "finished", f"{folder}/result.json says {result['status']}")
    nothing_left_over(folder)


def nothing_left_over(folder: Path) -> None:
    """No temporary file, no lock, and what there is can be read whole."""
    for path in folder.rglob("*"):
        must(".tmp" not in path.name, f"{path} was left over")
        must(path.name != ".lock", f"{path} was left over")
        if not path.is_file():
            continue
        try:
            if path.suffix == ".png":
                Image.open(path).load()
            elif path.suffix == ".json":
                json.loads(path.read_text())
            elif path.suffix == ".jsonl":
                [json.loads(line) for line in path.read_text().splitlines()]
            elif path.suffix == ".pt":
                checkpoint.load(path)
        except (OSError, ValueError, SyntaxError) as error:
            raise Lost(f"{path} is not whole: {error}") from error


def in_words(text: str, *named: str) -> None:
    """What a refusal must be: its last lines say `gan COMMAND: what`, then two spaces and a remedy; and name these."""
    lines = [line for line in text.splitlines() if line.strip()]
    said = next((lines[i:] for i, line in enumerate(lines) if re.match(r"gan \w+: ", line)), [])
    must(said and all(re.match(r"gan \w+: |  \S", line) for line in said), f"not in two lines:\n{text[-1500:]}")
    tail = "\n".join(said).lower()
    for name in named:
        must(re.search(name.lower(), tail), f"it does not say '{name}':\n{text[-1500:]}")
