"""Evaluations with their error bars: those of a run one after the other, or of several runs side by side."""

from __future__ import annotations

import math
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gan_cli import pages
from gan_cli.errors import NotComparable
from gan_cli.evaluation.comparison import Mean, Side, check_comparable, mean_of, shown, verdict
from gan_cli.report.charts import Chart, Line, Stroke
from gan_cli.report.curves import Curve
from gan_cli.report.told import Told
from gan_cli.store.rows import DRAWN

MOST, NAME = 40, 80  # metrics, and characters of a name in a chart
LETTERS = string.ascii_uppercase + string.ascii_lowercase  # of columns
FACTS = ("reference", "convention", "detector", "drawn")


@dataclass(frozen=True)
class Cell:
    """A number with its error, and its verdict against the first column."""

    text: str
    verdict: str = ""


@dataclass(frozen=True)
class Table:
    """Metrics by columns.

    Attributes:
        columns: Their headings.
        rows: The name of a metric, its cells (None for one that was not measured), and how it was measured.
        note: Why the columns cannot be compared.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...], str], ...]
    note: str = ""


def in_time(told: Told) -> tuple[Table, list[Chart]]:
    """A run's evaluations, a column each, and a chart of each metric that was measured at two steps or more."""
    records = told.records
    headings = tuple(
        f"step {'?' if r.step is None else r.step}" + (f", {r.time:%Y-%m-%d %H:%M}" if r.time else "") for r in records
    )
    names = _names([record.metrics for record in records])
    rows, charts = [], []
    for name in names:
        means = [mean_of(Side("", (r.metrics,)), name) if name in r.metrics else None for r in records]
        last = next(r.metrics[name] for r in reversed(records) if name in r.metrics)
        rows.append((name, tuple(None if mean is None else Cell(shown(mean)) for mean in means), _measured(last)))
        pairs = zip(records, means, strict=True)
        there = [(float(r.step), mean) for r, mean in pairs if mean is not None and r.step is not None]
        if len({step for step, _ in there}) > 1:
            charts.append(_chart(name, sorted(there, key=lambda pair: pair[0])))
    return Table(headings, tuple(rows)), charts


def side_by_side(groups: Sequence[tuple[str, Sequence[Told]]]) -> tuple[Table, list[Chart]]:
    """The latest evaluations of several runs, repetitions with other seeds as one column, and a chart a metric.

    Args:
        groups: What stands above a column, and its runs.
    """
    sides = []
    for name, runs in groups:
        records = tuple(told.records[-1].metrics for told in runs if told.records)
        sides += [Side(name, records)] if records else []
    if not sides:
        return Table((), ()), []
    note = ""
    try:
        comparable = set(check_comparable(sides)) if len(sides) > 1 else set()
    except NotComparable as reason:
        comparable, note = set(), str(reason)
    rows, charts = [], []
    for name in _names([record for side in sides for record in side.records]):
        means = [mean_of(side, name) if all(name in record for record in side.records) else None for side in sides]
        cells = [
            None if mean is None else Cell(shown(mean), _verdict(means, i, name in comparable))
            for i, mean in enumerate(means)
        ]
        last = next(record[name] for side in sides for record in side.records if name in record)
        rows.append((name, tuple(cells), _measured(last)))
        if name in comparable and len(sides) > 1:
            there = [(float(i), mean) for i, mean in enumerate(means) if mean is not None]
            charts.append(_chart(name, there, tuple(LETTERS[: len(sides)])))
    headings = tuple(f"{letter}: {side.name}" for letter, side in zip(LETTERS, sides, strict=False))
    return Table(headings, tuple(rows), note), charts


def _verdict(means: Sequence[Mean | None], i: int, comparable: bool) -> str:
    first, mean = means[0], means[i]
    return verdict(first, mean) if comparable and i and first is not None and mean is not None else ""


def _names(records: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for record in records for name in record))[:MOST]


def _measured(value: Mapping[str, Any]) -> str:
    """How a value was measured, in words."""
    counts = [f"{value[key]} {word}" for key, word in (("n_fake", "drawn"), ("n_real", "real")) if value.get(key)]
    return "; ".join([*counts, *(f"{key} {value[key]}" for key in FACTS if value.get(key))])


def _chart(name: str, measured: Sequence[tuple[float, Mean]], columns: tuple[str, ...] = ()) -> Chart:
    """A metric over steps, or over columns, with bars of one standard error."""
    values = np.array([mean.value if abs(mean.value) <= DRAWN else math.nan for _, mean in measured])
    errors = np.array([math.nan if mean.se is None or not mean.se <= DRAWN else mean.se for _, mean in measured])
    curve = Curve(np.array([x for x, _ in measured]), values)
    return Chart(name, (Line("metric", pages.shown(name, NAME), curve, Stroke.of(0), errors),), columns=columns)
