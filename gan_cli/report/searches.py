"""What the account of a search (search.json, which may be anybody's) tells: its history, what mattered, what failed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gan_cli import pages
from gan_cli.report.charts import Chart, Line, Stroke
from gan_cli.report.curves import Curve
from gan_cli.report.scores import NAME
from gan_cli.store.disk import peek, read_json
from gan_cli.store.rows import DRAWN

ACCOUNT = "search.json"
MOST_TRIALS, MOST_SETTINGS, MOST_FAILURES = 2_000, 24, 100
ENDED = ("done", "pruned")  # that have a score


def charts(folder: Path) -> list[Chart]:
    """The history of a search and the importance of its settings; none where the folder holds no search."""
    account = _account(folder)
    metric = pages.shown(str(account.get("metric") or "score"), NAME)
    scored = {ended: _curve(account, ended) for ended in ENDED}
    lines = [
        Line(f"search {ended}", ended, curve, Stroke.of(i), joined=False)
        for i, (ended, curve) in enumerate(scored.items())
        if len(curve.steps)
    ]
    if len(scored["done"].steps):
        best = np.maximum if account.get("better") == "larger" else np.minimum
        so_far = Curve(scored["done"].steps, best.accumulate(scored["done"].values))
        lines.append(Line("search best", "best so far", so_far, Stroke.of(2)))
    history = [Chart(f"search: {metric} of each trial", tuple(lines), counts="trial")] if lines else []
    return [*history, *_importance(account)]


def failures(folder: Path) -> list[tuple[str, str, str]]:
    """The trials that failed or were refused: number, words, error."""
    rows = [row for row in _trials(_account(folder)) if row.get("ended") in ("refused", "failed")]
    return [(str(row.get("number")), _words(row), str(row.get("why", ""))) for row in rows][:MOST_FAILURES]


def _account(folder: Path) -> Mapping[str, Any]:
    path = folder / ACCOUNT
    return read_json(path) if peek(path, 1) else {}  # peek follows no link


def _trials(account: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    rows = account.get("trials")
    yield from (row for row in (rows if isinstance(rows, list) else [])[:MOST_TRIALS] if isinstance(row, dict))


def _words(row: Mapping[str, Any]) -> str:
    values = row.get("values")
    return " ".join(f"{key}={value}" for key, value in values.items()) if isinstance(values, dict) else ""


def _number(value: Any) -> float:
    """A number that can be drawn; NaN for anything else."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= DRAWN
    return float(value) if good else math.nan


def _curve(account: Mapping[str, Any], ended: str) -> Curve:
    """The best score of each trial that ended so, over their numbers."""
    points = []
    for row in _trials(account):
        best = row.get("best")
        if row.get("ended") == ended and isinstance(best, dict):
            points.append((_number(row.get("number")), _number(best.get("value"))))
    there = sorted(point for point in points if not any(map(math.isnan, point)))
    return Curve(np.array([x for x, _ in there]), np.array([y for _, y in there]))


def _importance(account: Mapping[str, Any]) -> list[Chart]:
    shares = account.get("importance")
    pairs = [(str(key), _number(share)) for key, share in shares.items()] if isinstance(shares, dict) else []
    known = sorted((pair for pair in pairs if not math.isnan(pair[1])), key=lambda pair: -pair[1])[:MOST_SETTINGS]
    if not known:
        return []
    curve = Curve(np.arange(len(known), dtype=float), np.array([share for _, share in known]))
    names = tuple(pages.shown(key, NAME) for key, _ in known)
    bars = Line("importance", "share of the variation", curve, Stroke.of(0), np.full(len(known), math.nan))
    return [Chart("search: importance of each setting", (bars,), columns=names)]
