"""metrics.jsonl: one line of numbers for each step that was recorded."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

LAST_STEP = 2**53  # more than any run reaches
DRAWN = 1e30  # beyond it, the arithmetic of a plot's axes overflows
CLOCK = frozenset({"step", "images", "seconds", "epoch", "learning_rate"})  # what goes forward by itself


def _whole_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LAST_STEP


def _reading(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value is None or (number and abs(value) <= sys.float_info.max)


def readings(line: str) -> dict[str, Any] | None:
    """One line of metrics.jsonl: numbers by name, including `step`; None for a line that is anything else.

    A number that was infinite or none when it was written is None.
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not _whole_number(found.get("step")) or not all(map(_reading, found.values())):
        return None
    return found


def row(line: str) -> dict[str, Any] | None:
    """As `readings`, without the numbers that are None."""
    found = readings(line)
    return None if found is None else {name: value for name, value in found.items() if value is not None}


def sort_out(names: Iterable[str]) -> dict[str, list[str]]:
    """Which numbers belong in which plot, by name: player/term, D(...), or a measured metric."""
    watched = ("health/", "alarm/")  # are shown by themselves
    plotted = sorted({name for name in names if not name.startswith(watched)} - CLOCK)
    return {
        "losses": [n for n in plotted if "/" in n],
        "scores": [n for n in plotted if n.startswith("D(")],
        "metrics": [n for n in plotted if "/" not in n and not n.startswith("D(")],
    }


def read_lines(path: Path, wanted: Callable[[dict[str, Any]], bool] = bool) -> list[str]:
    """The lines of metrics.jsonl whose rows are `wanted`, unchanged."""
    if not path.is_file():
        return []
    rows = ((line, row(line)) for line in path.read_text(errors="replace").splitlines())
    return [line for line, found in rows if found is not None and wanted(found)]


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl; a last line cut short by a crash, or any other that is not a row, is left out."""
    return [found for line in read_lines(path) if (found := row(line)) is not None]
