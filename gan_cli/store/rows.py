"""metrics.jsonl: one line of numbers for each step that was recorded."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

LAST_STEP = 2**53  # more than any run reaches


def _whole_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LAST_STEP


def _reading(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value is None or (number and abs(value) <= sys.float_info.max)


def row(line: str) -> dict[str, Any] | None:
    """One line of metrics.jsonl: numbers by name, including `step`; None for a line that is anything else.

    A number that is missing (null) is left out.
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not _whole_number(found.get("step")) or not all(map(_reading, found.values())):
        return None
    return {name: value for name, value in found.items() if value is not None}


def read_lines(path: Path, wanted: Callable[[dict[str, Any]], bool] = bool) -> list[str]:
    """The lines of metrics.jsonl whose rows are `wanted`, unchanged."""
    if not path.is_file():
        return []
    rows = ((line, row(line)) for line in path.read_text(errors="replace").splitlines())
    return [line for line, found in rows if found is not None and wanted(found)]


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl; a last line cut short by a crash, or any other that is not a row, is left out."""
    return [found for line in read_lines(path) if (found := row(line)) is not None]
