"""The numbers of metrics.jsonl as curves, thinned to what a screen can show."""

from __future__ import annotations

import io
import math
from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gan_cli.store.disk import peek
from gan_cli.store.rows import DRAWN, readings

LARGEST = 2**28  # bytes of metrics.jsonl that are read
LONGEST = 2**20  # characters of a line
MOST, COUNTED = 64, 10_000  # names that become curves, and that are counted beyond


@dataclass(frozen=True)
class Curve:
    """One number over steps; NaN where there is none to draw.

    Attributes:
        steps, values: float64 `[N]`.
    """

    steps: np.ndarray
    values: np.ndarray

    @property
    def lowest(self) -> float:
        """The least value; NaN where there is none."""
        return float(np.fmin.reduce(self.values, initial=math.nan))

    @property
    def varies(self) -> bool:
        return self.lowest < self.highest

    @property
    def highest(self) -> float:
        return float(np.fmax.reduce(self.values, initial=math.nan))


def read(path: Path) -> tuple[dict[str, Curve], int]:
    """The curves of a run by name, at most `MOST` of them, and how many more names there are.

    A line that is no row is passed over, as is what is missing; infinite numbers and those too large to draw are gaps.
    """
    columns: dict[str, tuple[array[float], array[float]]] = {}
    left_out: set[str] = set()
    lines = io.TextIOWrapper(io.BytesIO(peek(path, LARGEST)), "utf-8", errors="replace", newline="\n")
    for line in lines:
        found = readings(line) if len(line) <= LONGEST else None
        if found is None:
            continue
        for name, value in found.items():
            if name not in columns and len(columns) == MOST:
                left_out |= {name} if len(left_out) < COUNTED else set()
                continue
            steps, values = columns.setdefault(name, (array("d"), array("d")))
            steps.append(found["step"])
            values.append(value if value is not None and abs(value) <= DRAWN else math.nan)
    curves = {name: Curve(np.array(steps), np.array(values)) for name, (steps, values) in columns.items()}
    return curves, len(left_out)


def thin(curve: Curve, most: int) -> Curve:
    """At most `most` points (from 4 on) that look the same: of each stretch its least and its greatest value, so that
    no peak is lost, and the first and the last point."""
    n = len(curve.values)
    if n <= most:
        return curve
    kept = [0, n - 1]
    for stretch in np.array_split(np.arange(n), (most - 2) // 2):
        values = curve.values[stretch]
        if np.isnan(values).all():
            kept.append(stretch[0])  # a gap
        else:
            kept += [stretch[np.nanargmin(values)], stretch[np.nanargmax(values)]]
    index = np.unique(kept)
    return Curve(curve.steps[index], curve.values[index])
