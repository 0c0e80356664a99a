"""Keep a change or drop it: paired differences over seeds, and undecided where they do not tell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any

from gan_cli.errors import NotComparable, two_lines
from gan_cli.evaluation.comparison import Side, bar, check_comparable, direction

KEEP, DROP, UNDECIDED = "keep", "drop", "undecided"


@dataclass(frozen=True)
class Verdict:
    """Whether B, the change, is better than A.

    Attributes:
        verdict: keep, drop or undecided.
        difference: The mean of B's cost - A's over pairs: below 0 where B is better.
        se: Its standard error over pairs; None of fewer than two.
        bar: The standard errors that a difference must exceed; see `comparison.bar`.
        pairs: How many pairs there were.
        reason: Why, in words.
    """

    verdict: str
    difference: float | None
    se: float | None
    bar: float | None
    pairs: int
    reason: str


def judge(differences: Sequence[float]) -> Verdict:
    """The verdict on paired differences, each B's cost - A's at one seed.

    Each pair shares its seed, so what the seed alone does to both leaves the difference.
    """
    pairs = len(differences)
    if not all(math.isfinite(difference) for difference in differences):
        return Verdict(UNDECIDED, None, None, None, pairs, "a run diverged, and has no score to take a mean of")
    if pairs < 2:
        mean = differences[0] if differences else None
        few = "one pair has no standard error" if pairs else "no pair has the same seed"
        return Verdict(UNDECIDED, mean, None, None, pairs, f"{few}: train both with several seeds")
    mean, se, limit = fmean(differences), stdev(differences) / math.sqrt(pairs), bar(pairs - 1)
    if abs(mean) <= limit * se:
        return Verdict(UNDECIDED, mean, se, limit, pairs, f"the difference is within {limit:.2f} standard errors")
    better = "better" if mean < 0 else "worse"
    reason = f"B is {better}, beyond {limit:.2f} standard errors"
    return Verdict(KEEP if mean < 0 else DROP, mean, se, limit, pairs, reason)


def compare(a: Side, b: Side, metric: str = "") -> dict[str, Any]:
    """The verdict on B against A, paired by seed, as a record for programs.

    Args:
        metric: The metric to go by; the first one that both have when empty.

    Raises:
        NotComparable: They have no such metric, or were not measured alike.
    """
    name, way = ranking_metric([a, b], metric)
    mine = dict(zip(a.pairs, a.records, strict=False))
    other = dict(zip(b.pairs, b.records, strict=False))
    sign = -1 if way == "larger" else 1
    found = judge([sign * (_value(other[seed], name) - _value(mine[seed], name)) for seed in mine if seed in other])
    measured = "while training" if a.trained else "gan eval"
    facts = {"a": a.name, "b": b.name, "metric": name, "better": way, "measured": measured}
    return {"verdict": found.verdict, **facts, **asdict(found)}


def ranking_metric(sides: Sequence[Side], metric: str = "") -> tuple[str, str]:
    """The metric to go by, and which way it improves. Raises NotComparable where there is none."""
    there = check_comparable(sides)
    known = [(name, way) for name in there if (way := direction(name)) is not None and metric in ("", name)]
    if not known:
        what = f"metric={metric} was not measured" if metric else "no metric that was measured says which way is better"
        raise NotComparable(two_lines(what, f"there are {', '.join(there[:8])}"))
    return known[0]


def _value(record: Mapping[str, Any], name: str) -> float:
    return float(record[name]["value"])
