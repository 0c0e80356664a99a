"""Runs side by side: means over seeds, and whether a difference is one."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from gan_cli.config.errors import ConfigError, two_lines
from gan_cli.runs import Run

SURE = 2.0  # standard errors beyond which a difference is called one
# What must agree for two numbers to be comparable.
SAME = ("n_fake", "n_real", "convention", "reference", "detector", "weights_sha256", "drawn")


@dataclass(frozen=True)
class Side:
    """One thing that is compared: a run, an evaluation file, or the jobs of a sweep that differ by their seed only."""

    name: str
    records: tuple[Mapping[str, Any], ...]  # metric name -> value record, one a seed


@dataclass(frozen=True)
class Mean:
    """A metric of one side."""

    value: float
    se: float | None  # over seeds where there are several, else that of the single measurement
    seeds: int


def _read(path: Path) -> Mapping[str, Any]:
    try:
        record = json.loads(path.read_text())
        metrics = record["metrics"]
        if not all(isinstance(value, dict) and "value" in value for value in metrics.values()):
            raise KeyError("value")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = "it is no text" if isinstance(error, UnicodeDecodeError) else error
        raise ConfigError(
            two_lines(f"{path} is no evaluation file ({why})", "gan eval writes them: json=scores.json")
        ) from error
    found: Mapping[str, Any] = metrics
    return found


def _latest(run: Run) -> Mapping[str, Any] | None:
    files = sorted(run.evals.glob("*.json"))
    return _read(files[-1]) if files else None


def _label(folder: Path) -> tuple[str, ...]:
    """What tells a job of a sweep from the others, but for its seed."""
    words = Run(folder).read_manifest().get("overrides", [])
    return tuple(sorted(word for word in words if not word.startswith("seed=")))


def sides_of(word: str) -> list[Side]:
    """A run, an evaluation file, or a sweep, whose jobs are gathered over seeds.

    Raises:
        ConfigError: It is none of them, or was not measured yet.
    """
    path = Path(word)
    if not os.path.exists(word):  # also where it is too long for a name
        raise ConfigError(two_lines(f"{word} does not exist", "give run folders, sweeps or evaluation files"))
    if path.is_file():
        return [Side(path.stem, (_read(path),))]
    if (path / "config.yaml").is_file():
        found = _latest(Run(path))
        if found is None:
            raise ConfigError(two_lines(f"{word} was not measured yet", f"gan eval {word}"))
        return [Side(path.name, (found,))]
    jobs = sorted((p for p in path.glob("*") if (p / "config.yaml").is_file()), key=lambda p: (len(p.name), p.name))
    if not jobs:
        raise ConfigError(two_lines(f"{word} is nothing to compare", "give run folders, sweeps or evaluation files"))
    gathered: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for job in jobs:
        found = _latest(Run(job))
        if found is None:
            raise ConfigError(two_lines(f"{job} was not measured yet", f"gan eval {job}"))
        gathered.setdefault(_label(job), []).append(found)
    common = set.intersection(*(set(label) for label in gathered))
    return [Side(" ".join(w for w in label if w not in common) or path.name, tuple(r)) for label, r in gathered.items()]


def check_comparable(sides: Sequence[Side]) -> list[str]:
    """The metrics that all sides have. Raises ConfigError where their conventions or sizes differ."""
    records = [(side.name, record) for side in sides for record in side.records]
    first_name, first = records[0]
    shared = [name for name in first if all(name in record for _, record in records)]
    if not shared:
        raise ConfigError(
            two_lines("these have no metric in common", "measure them alike: gan eval RUN metrics=[...] n=...")
        )
    for name in shared:
        for other_name, other in records[1:]:
            for fact in SAME:
                a, b = first[name].get(fact), other[name].get(fact)
                if a != b:
                    what = f"{name} of {first_name} and {other_name} cannot be compared: {fact} {a} against {b}"
                    raise ConfigError(two_lines(what, "measure them alike"))
        _check_one_reference(name, records)
    return shared


def _check_one_reference(name: str, records: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Raises ConfigError where one name of a reference stands for several contents: another root, size or version.

    Files of before the content was kept are taken at their word.
    """
    known = [(side, record[name]) for side, record in records if record[name].get("reference_content")]
    for side, value in known[1:]:
        first_side, first = known[0]
        if value["reference_content"] != first["reference_content"]:
            word, a, b = value["reference"], first["reference_content"][:12], value["reference_content"][:12]
            what = f"{name} of {first_side} and {side} cannot be compared: {word} had other images or sizes ({a}, {b})"
            remedy = "measure both against the same data: gan eval RUN reference=FOLDER, or NAME:SPLIT with root="
            raise ConfigError(two_lines(what, remedy))


def mean_of(side: Side, name: str) -> Mean:
    values = [float(record[name]["value"]) for record in side.records]
    if len(values) > 1 and not all(map(math.isfinite, values)):
        return Mean(sum(values), None, len(values))
    if len(values) > 1:
        return Mean(fmean(values), stdev(values) / math.sqrt(len(values)), len(values))
    se = side.records[0][name]["se"]
    return Mean(values[0], None if se is None else float(se), 1)


def verdict(a: Mean, b: Mean) -> str:
    """ "differs" beyond two standard errors, "no difference shown" within, "no error bar" without one."""
    if a.se is None or b.se is None:
        return "no error bar"
    spread = math.hypot(a.se, b.se)
    if spread == 0:
        return "differs" if a.value != b.value else "no difference shown"
    return "differs" if abs(a.value - b.value) > SURE * spread else "no difference shown"


def table(sides: Sequence[Side]) -> list[str]:
    """Lines: one a metric, one column a side, and what is to be said of the last columns against the first."""
    names = check_comparable(sides)
    rows = [["", *(side.name for side in sides)]]
    for name in names:
        means = [mean_of(side, name) for side in sides]
        cells = []
        for i, mean in enumerate(means):
            text = f"{mean.value:.5g}" + (f" ± {mean.se:.2g}" if mean.se is not None else "")
            text += f" ({mean.seeds} seeds)" if mean.seeds > 1 else ""
            cells.append(text if i == 0 else f"{text}  {verdict(means[0], mean)}")
        rows.append([name, *cells])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
