"""Digests of the weights of many short runs: two versions of the program agree where their lines do.

    PYTHONPATH=<one checkout> python benchmarks/same_weights.py > a.txt
    PYTHONPATH=<other checkout> python benchmarks/same_weights.py > b.txt
    diff a.txt b.txt

Every architecture, and every choice of the groups that take part in a step, is trained for three steps on the CPU.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import torch

from conftest import SMALL, words
from gan_cli import train
from gan_cli.config.choices import conf_dir

ACTING = ("loss", "penalty", "auxiliary", "augment", "prior", "panel", "game", "conditioning", "schedule", "optimizer")
SEVERAL = ("penalty", "auxiliary", "augment")


def runs() -> Iterator[tuple[str, ...]]:
    """The words of each run."""
    for small in SMALL.values():
        yield words("dataset=digits", model=small, steps=3)
        yield words("dataset=digits", "conditioning=projection", "dataset.classes=10", model=small, steps=3)
    for group in ACTING:
        for choice in sorted(path.stem for path in (Path(conf_dir()) / group).glob("[!_]*.yaml")):
            yield words("dataset=digits", f"{group}=[{choice}]" if group in SEVERAL else f"{group}={choice}", steps=3)


def digest(folder: Path) -> str:
    """The digest of all weights and buffers of both players and of the averaged generator."""
    state = torch.load(folder / "checkpoints" / "last.pt", weights_only=True)
    summed = hashlib.sha256()
    for part in ("game", "ema"):
        for name, value in sorted(state[part].items()):
            if isinstance(value, torch.Tensor):
                summed.update(name.encode() + value.contiguous().numpy().tobytes())
    return summed.hexdigest()[:16]


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        os.chdir(home)
        for number, run in enumerate(runs()):
            told = io.StringIO()
            with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
                try:
                    found = digest(train(*run, f"hydra.run.dir=run{number}").folder)
                except ValueError as error:
                    found = "refused: " + str(error).splitlines()[0]
            print(found, *run, flush=True)


main()
