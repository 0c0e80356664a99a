"""Runs side by side: means over seeds, and whether a difference is significant."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from gan_cli.errors import DataError, NotComparable, two_lines
from gan_cli.store import summary
from gan_cli.store.disk import cause
from gan_cli.store.rows import LAST_STEP
from gan_cli.store.run import Run

LARGEST = 2**24  # bytes of an evaluation file
_NO_JSON = (UnicodeDecodeError, json.JSONDecodeError, RecursionError)
LARGEST_SQUARED = 1e150  # numbers beyond it have no standard deviation in floating point
SURE = 2.0  # standard errors beyond which a difference counts
# What must agree for two numbers to be comparable.
SAME = ("n_fake", "n_real", "convention", "reference", "detector", "weights_sha256", "drawn")


@dataclass(frozen=True)
class Side:
    """One thing that is compared: a run, an evaluation file, or the jobs of a sweep that differ only by seed."""

    name: str
    records: tuple[Mapping[str, Any], ...]  # metric name -> value record, one per seed
    pairs: tuple[str, ...] = ()  # what pairs each with one of another side: its seed, where it is known
    trained: bool = False  # whether the scores were taken while training


@dataclass(frozen=True)
class Mean:
    """A metric of one side."""

    value: float
    se: float | None  # over seeds if there are several, else of the single measurement
    seeds: int

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the standard error; that of a single measurement is as good as known."""
        return self.seeds - 1 if self.seeds > 1 else math.inf


@dataclass(frozen=True)
class Record:
    """An evaluation file."""

    metrics: Mapping[str, Any]  # name -> value record
    time: datetime | None  # when it was measured; older files do not say
    step: int | None = None  # of the checkpoint that was measured, if it was one


def read(path: Path) -> Record:
    """Reads an evaluation file. Raises DataError for any other file, whatever its bytes are."""
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST + 1)
        if len(text) > LARGEST:
            raise ValueError("it is too large")
        found = json.loads(text)
        metrics = found["metrics"] if isinstance(found, dict) and "metrics" in found else None
        if not isinstance(metrics, dict):
            raise ValueError("it holds no metrics")
        for name, value in metrics.items():
            _check_value(name, value)
        step = found.get("step")
        return Record(metrics, _time(found.get("time")), step if type(step) is int and 0 <= step <= LAST_STEP else None)
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, OSError):
            reason = cause(error)
        else:
            reason = "it is not JSON" if isinstance(error, _NO_JSON) else str(error)[:200]
        raise DataError(
            two_lines(f"{path} is not an evaluation file ({reason})", "gan eval writes them: json=scores.json")
        ) from error


def _check_value(name: str, value: object) -> None:
    """Raises ValueError for anything but a value record; the words for infinity and NaN count as numbers."""
    if not isinstance(value, dict) or "value" not in value:
        raise ValueError(f"{name[:80]} has no value")
    numbers = [value["value"], *([value["se"]] if value.get("se") is not None else [])]
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int | float | str):
            raise ValueError(f"{name[:80]} is not a number")
        try:
            float(number)
        except (ValueError, OverflowError):
            raise ValueError(f"{name[:80]} is not a number") from None


def _time(word: object) -> datetime | None:
    try:
        time = datetime.fromisoformat(word) if isinstance(word, str) else None
        return time.astimezone(UTC) if time is not None else None
    except (ValueError, OverflowError):
        return None


def latest(run: Run) -> Record | None:
    """The run's last evaluation, by the time in the record. Records without a time are older: among
    them the file's own time decides, since their names are in the local time of wherever they were measured."""
    run.check_contained()
    found = [(path, read(path)) for path in run.evals.glob("*.json")]
    if not found:
        return None
    told = [(record.time, path.name, record) for path, record in found if record.time is not None]
    if told:
        return max(told, key=lambda row: row[:2])[2]
    return max(found, key=lambda row: (row[0].stat().st_mtime_ns, row[0].name))[1]


def words_of(folder: Path) -> tuple[str, ...]:
    """The words of a run's command."""
    words = Run(folder).read_manifest().get("overrides", [])
    return tuple(word for word in words if isinstance(word, str)) if isinstance(words, list) else ()


def direction(metric: str) -> str | None:
    """Which way a metric improves, "smaller" or "larger", by its name; None where that is not known."""
    known = {"fd": "smaller", **summary.BETTER}  # `fd_pixels` is fid of another detector
    found = [name for name in known if metric == name or metric.startswith(f"{name}_")]
    return known[max(found, key=len)] if found else None


def apart_from_the_seed(words: Iterable[str]) -> tuple[str, ...]:
    """What distinguishes a job of a sweep from the others, apart from its seed."""
    return tuple(sorted(word for word in words if not word.startswith("seed=")))


def check_comparable(sides: Sequence[Side]) -> list[str]:
    """The metrics that all sides have. Raises NotComparable where their conventions or sizes differ."""
    records = [(side.name, record) for side in sides for record in side.records]
    first_name, first = records[0]
    shared = [name for name in first if all(name in record for _, record in records)]
    if not shared:
        raise NotComparable(
            two_lines("these have no metric in common", "measure them alike: gan eval RUN metrics=[...] n=...")
        )
    for name in shared:
        for other_name, other in records[1:]:
            for fact in SAME:
                a, b = first[name].get(fact), other[name].get(fact)
                if a != b:
                    what = f"{name} of {first_name} and {other_name} cannot be compared: {fact} {a} against {b}"
                    raise NotComparable(two_lines(what, "measure them alike"))
        _check_one_reference(name, records)
    return shared


def _check_one_reference(name: str, records: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Raises NotComparable where one reference name stands for different contents: another root, size or version.

    Older files, which do not record the content, are taken at their word.
    """
    known = [(side, record[name]) for side, record in records if record[name].get("reference_content")]
    for side, value in known[1:]:
        first_side, first = known[0]
        if value["reference_content"] != first["reference_content"]:
            a, b = (str(side["reference_content"])[:12] for side in (first, value))
            word = value.get("reference")
            what = f"{name} of {first_side} and {side} cannot be compared: {word} had other images or sizes ({a}, {b})"
            remedy = "measure both against the same data: gan eval RUN reference=FOLDER, or NAME:SPLIT with root="
            raise NotComparable(two_lines(what, remedy))


def mean_of(side: Side, name: str) -> Mean:
    values = [float(record[name]["value"]) for record in side.records]
    if len(values) > 1 and not all(abs(value) < LARGEST_SQUARED for value in values):
        return Mean(sum(values), None, len(values))
    if len(values) > 1:
        return Mean(fmean(values), stdev(values) / math.sqrt(len(values)), len(values))
    se = side.records[0][name].get("se")
    return Mean(values[0], None if se is None else float(se), 1)


def bar(freedom: float) -> float:
    """How many standard errors make a difference: two, and more of one that few seeds tell, so that chance alone
    exceeds it as rarely (4.6 %): Student's t."""
    if math.isinf(freedom):
        return SURE
    from scipy.special import ndtr, stdtrit

    return float(stdtrit(freedom, ndtr(SURE)))


def verdict(a: Mean, b: Mean) -> str:
    """ "differs" beyond two standard errors (`bar`), "no difference shown" within, "no error bar" without one."""
    if a.se is None or b.se is None:
        return "no error bar"
    spread = math.hypot(a.se, b.se)
    if spread == 0:
        return "differs" if a.value != b.value else "no difference shown"
    # Welch and Satterthwaite: the degrees of freedom of a difference of two means.
    freedom = spread**4 / (a.se**4 / a.freedom + b.se**4 / b.freedom) if a.seeds > 1 or b.seeds > 1 else math.inf
    return "differs" if abs(a.value - b.value) > bar(freedom) * spread else "no difference shown"


def shown(mean: Mean) -> str:
    """A number as tables show it."""
    error = "" if mean.se is None else f" ± {mean.se:.2g}"
    return f"{mean.value:.5g}{error}" + (f" ({mean.seeds} seeds)" if mean.seeds > 1 else "")


def table(sides: Sequence[Side]) -> list[str]:
    """Lines of a table: a row per metric, a column per side, each later column with a verdict against the first."""
    names = check_comparable(sides)
    rows = [["", *(side.name for side in sides)]]
    for name in names:
        means = [mean_of(side, name) for side in sides]
        cells = []
        for i, mean in enumerate(means):
            text = shown(mean)
            cells.append(text if i == 0 else f"{text}  {verdict(means[0], mean)}")
        rows.append([name, *cells])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def record(sides: Sequence[Side]) -> dict[str, Any]:
    """The table for programs: of each metric that all sides have, a mean per side, with its verdict."""
    metrics: dict[str, list[dict[str, Any]]] = {}
    for name in check_comparable(sides):
        means = [mean_of(side, name) for side in sides]
        verdicts = [None, *(verdict(means[0], mean) for mean in means[1:])]
        metrics[name] = [
            {"side": side.name, "value": mean.value, "se": mean.se, "seeds": mean.seeds, "verdict": told}
            for side, mean, told in zip(sides, means, verdicts, strict=True)
        ]
    return {"sides": [side.name for side in sides], "metrics": metrics}
