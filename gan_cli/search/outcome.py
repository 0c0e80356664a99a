"""How a trial ended, as its run folder says: the same for one that this process ran and for one left behind."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from gan_cli.store import summary
from gan_cli.store.run import ENDED, Run, newest_first
from gan_cli.store.summary import Score

DONE, PRUNED, DIVERGED, REFUSED, FAILED = ENDINGS = ("done", "pruned", "diverged", "refused", "failed")
MARK = "pruned"  # in result.json: the step at which a trial was ended early


@dataclass(frozen=True)
class Ending:
    """How a trial ended.

    Attributes:
        ended: One of ENDINGS.
        best: Its best measurement.
        why: Of one that was refused or failed.
    """

    ended: str
    best: Score | None = None
    why: str = ""
    step: int | None = None
    seconds: float | None = None

    @property
    def cost(self) -> float:
        """What a search minimises; infinite where the run diverged."""
        return math.inf if self.best is None or self.ended == DIVERGED else self.best.cost


def attempts(folder: Path, number: int) -> Iterator[Path]:
    """The run folders of a trial: 7, and 7-2, 7-3, ... where it was killed before anything was saved."""
    yield folder / str(number)
    yield from (folder / f"{number}-{attempt}" for attempt in count(2))


def home(folder: Path, number: int) -> Path:
    """The run folder in which a trial goes on, or begins: the last attempt unless it left nothing to go on from."""
    for place in attempts(folder, number):
        run = Run(place)
        begun = run.config.is_file()
        if not begun or newest_first(run.checkpoints) or _ended(run) is not None:
            return place
    raise AssertionError("attempts never end")


def told(folder: Path) -> Ending | None:
    """How the run in this folder ended; None where it has not."""
    run = Run(folder)
    status = _ended(run)
    if status is None:
        return None
    result: dict[str, Any] = summary.read(str(run.result))
    about = summary.of(str(folder))
    seconds = result.get("seconds")
    spent = float(seconds) if isinstance(seconds, int | float) and math.isfinite(seconds) else None
    if status == "failed":
        return Ending(FAILED, about.best, str(result.get("error", "")), about.step, spent)
    if status == "diverged":
        return Ending(DIVERGED, about.best, "", about.step, spent)
    if about.best is None:
        return Ending(FAILED, None, "it ended before anything was measured", about.step, spent)
    return Ending(PRUNED if MARK in result else DONE, about.best, "", about.step, spent)


def _ended(run: Run) -> str | None:
    """How a run ended; one that failed for want of space has not, and goes on when there is some."""
    result = summary.read(str(run.result))
    status = result.get("status")
    failed = status == "failed" and not result.get(summary.DISK_FULL)
    return status if status in ENDED or failed else None
