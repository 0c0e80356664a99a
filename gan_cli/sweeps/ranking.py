"""Which choice of a sweep came out best: means over seeds in order, and whether their differences count."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gan_cli.evaluation.comparison import Mean, Side, check_comparable, mean_of, shown, verdict
from gan_cli.evaluation.verdicts import ranking_metric
from gan_cli.sweeps.sides import Job, Scores, are_trained, grouped, named, scored

COLUMNS = 4  # metrics that a table of lines shows
NOTE = "± is one standard error; a difference from the first row counts beyond two of them, more where seeds are few"


@dataclass(frozen=True)
class Row:
    """Jobs that differ only by their seeds."""

    name: str
    jobs: tuple[Job, ...]
    means: Mapping[str, Mean]
    verdict: str = ""  # against the first row


@dataclass(frozen=True)
class Ranking:
    """A sweep in order, the best first.

    Attributes:
        metric: The one that it is ordered by; the first in `means`.
        better: Which way that improves, "smaller" or "larger".
        trained: Whether the scores were taken while training, for want of others.
        best: The best run, and its score.
        without: Jobs that have no score, and stand in no row.
    """

    metric: str
    better: str
    trained: bool
    rows: tuple[Row, ...]
    best: tuple[Job, float]
    without: tuple[Job, ...]

    @property
    def measured(self) -> str:
        return "while training" if self.trained else "gan eval"


def ranked(jobs: Sequence[Job]) -> Ranking | None:
    """The order of the jobs; None where nothing was measured.

    Raises:
        NotComparable: They were not measured alike.
        DataError: A file in their folders is no evaluation.
    """
    found = scored(jobs)
    if not found:
        return None
    scores = {id(job): record for job, record in found}
    groups = grouped([job for job, _ in found])
    tried = list(grouped(jobs))  # what a job without a score was to try is no less a difference
    sides = {group: Side(named(group, tried, its), _of(its, scores)) for group, its in groups.items()}
    metric, better = ranking_metric(list(sides.values()))
    others = [name for name in check_comparable(list(sides.values())) if name != metric]
    sign = -1 if better == "larger" else 1

    def cost(value: float) -> float:
        return math.inf if math.isnan(value) else sign * value

    rows = [
        Row(side.name, tuple(groups[group]), {name: mean_of(side, name) for name in (metric, *others)})
        for group, side in sides.items()
    ]
    rows.sort(key=lambda row: cost(row.means[metric].value))
    first = rows[0].means[metric]
    told = [Row(r.name, r.jobs, r.means, verdict(first, r.means[metric]) if i else "") for i, r in enumerate(rows)]
    value, best = min(((float(record[metric]["value"]), job) for job, record in found), key=lambda pair: cost(pair[0]))
    without = tuple(job for job in jobs if id(job) not in scores)
    return Ranking(metric, better, are_trained(jobs), tuple(told), (best, value), without)


def _of(jobs: Sequence[Job], scores: Mapping[int, Scores]) -> tuple[Scores, ...]:
    return tuple(scores[id(job)] for job in jobs)


def lines(ranking: Ranking) -> list[str]:
    """The table."""
    names = list(ranking.rows[0].means)[:COLUMNS]
    cells = [["", "", *names]]
    for i, row in enumerate(ranking.rows):
        texts = [shown(row.means[name]) for name in names]
        texts[0] += f"  {row.verdict}" if row.verdict else ""
        cells.append([str(i + 1), row.name, *texts])
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def record(ranking: Ranking) -> dict[str, Any]:
    """The table for programs."""
    rows = [
        {
            "words": row.name,
            "verdict": row.verdict or None,
            "metrics": {n: {"value": m.value, "se": m.se, "seeds": m.seeds} for n, m in row.means.items()},
            "runs": [job.name for job in row.jobs],
        }
        for row in ranking.rows
    ]
    best, value = ranking.best
    return {
        "metric": ranking.metric,
        "better": ranking.better,
        "measured": ranking.measured,
        "rows": rows,
        "best": {"run": best.name, "value": value},
    }


def table(jobs: Sequence[Job]) -> str:
    """The jobs as CSV: a line each, with what distinguishes it, how far it came and its scores."""
    scores = {id(job): found for job, found in scored(jobs)}
    metrics = list(dict.fromkeys(name for found in scores.values() for name in found))
    common = set.intersection(*(set(job.words) for job in jobs)) if jobs else set()
    own = [dict(word.partition("=")[::2] for word in job.words if word not in common) for job in jobs]
    keys = list(dict.fromkeys(key for words in own for key in words))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", *keys, "status", "step", *(head for name in metrics for head in (name, f"{name} se"))])
    for job, words in zip(jobs, own, strict=True):
        found = scores.get(id(job), {})
        numbers = [found.get(name, {}).get(key) for name in metrics for key in ("value", "se")]
        writer.writerow([job.name, *(words.get(key, "") for key in keys), job.about.status, job.about.step, *numbers])
    return text.getvalue()
