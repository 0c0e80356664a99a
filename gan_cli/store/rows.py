"""metrics.jsonl: a line of numbers for each step at which any were read.

Older files have several lines a step, one for each reading; whoever reads rows need not know.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gan_cli.store.disk import naming, write_text

LONGEST = 2**20  # bytes of a line that are written at once
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
    rows = ((line, row(line)) for line in path.read_text(encoding="utf-8", errors="replace").splitlines())
    return [line for line, found in rows if found is not None and wanted(found)]


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl, one a step; a last line cut short by a crash, or any other that is not a row, is left
    out."""
    rows: list[dict[str, Any]] = []
    for found in (row(line) for line in read_lines(path)):
        if found is not None and rows and rows[-1]["step"] == found["step"]:
            rows[-1] |= found
        elif found is not None:
            rows.append(found)
    return rows


class RowWriter:
    """Adds to metrics.jsonl. Several readings of one step become one line: a later one replaces the line by a longer
    one, at the same place and in a single write, so that what was read before is never missing.

    Args:
        path: The file.
        kept: Its lines that stay.
    """

    def __init__(self, path: Path, kept: Sequence[str]) -> None:
        self.path = path
        self.last: dict[str, Any] = {}  # the last line, if this wrote it,
        self.start = 0  # and where it begins
        write_text(path, "".join(f"{line}\n" for line in kept))

    def add(self, record: Mapping[str, Any]) -> None:
        """Numbers of a step, by name. Raises NotWritten."""
        same = bool(self.last) and self.last["step"] == record["step"]
        self.last = {**self.last, **record} if same else dict(record)
        line = json.dumps(self.last).encode() + b"\n"
        with naming(self.path), self.path.open("r+b" if same else "ab", LONGEST) as file:
            self.start = file.seek(self.start) if same else file.tell()
            file.write(line)
            file.truncate()
