"""What a run folder tells, whoever wrote it: nothing here follows a link, and what cannot be read is left out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gan_cli.config import plain_yaml
from gan_cli.errors import DataError
from gan_cli.evaluation import comparison
from gan_cli.report.curves import Curve, read
from gan_cli.store import literal, summary
from gan_cli.store.disk import peek
from gan_cli.store.rows import LAST_STEP
from gan_cli.store.run import Run
from gan_cli.store.summary import Summary

MOST_ALARMS, MOST_EVALUATIONS, MOST_FAILURES = 100, 200, 100
LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Alarm:
    """A health alarm that rang."""

    step: int
    cleared: int | None  # the step at which it ended
    message: str
    remedy: str


@dataclass(frozen=True)
class Told:
    """A run."""

    run: Run
    about: Summary
    words: tuple[str, ...]  # of its command
    curves: Mapping[str, Curve]
    left_out: int  # names beyond those curves
    alarms: tuple[Alarm, ...]
    records: tuple[comparison.Record, ...]  # its evaluations, the latest last
    unreadable: tuple[str, ...]  # names of evaluation files that are none
    settings: Mapping[str, str]  # the leaves of config.yaml by their dotted keys

    @property
    def name(self) -> str:
        return self.about.name

    @property
    def watched(self) -> bool:
        """Whether alarms could ring."""
        return any(name.startswith("health/") for name in self.curves)

    @property
    def label(self) -> tuple[str, ...]:
        """What it shares with its repetitions: its words, apart from the seed."""
        return comparison.apart_from_the_seed(self.words)


def of(run: Run) -> Told:
    """What a run folder tells."""
    curves, left_out = read(run.metrics)
    records, unreadable = _evaluations(run)
    alarms = tuple(_alarms(summary.read(str(run.result)).get("alarms"), curves))[:MOST_ALARMS]
    about, words = summary.of(str(run.folder)), comparison.words_of(run.folder)
    return Told(run, about, words, curves, left_out, alarms, records, unreadable, _settings(run.config))


def failures(sweep: Path) -> list[tuple[str, str, str]]:
    """The jobs of a sweep that were refused or failed: number, words, error."""
    found = []
    for line in peek(sweep / "failures.jsonl", summary.LARGEST).decode(errors="replace").splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            words = row.get("words")
            typed = " ".join(map(str, words)) if isinstance(words, list) else ""
            found.append((str(row.get("job", "?")), typed, str(row.get("error", ""))))
    return found[:MOST_FAILURES]


def _alarms(result: Any, curves: Mapping[str, Curve]) -> Iterator[Alarm]:
    """Those of result.json; of a run without one, those that its curves tell of."""
    if isinstance(result, list):
        for row in result:
            if isinstance(row, dict) and _is_step(row.get("step")):
                cleared = row["cleared"] if _is_step(row.get("cleared")) else None
                yield Alarm(row["step"], cleared, str(row.get("message", "")), str(row.get("remedy", "")))
        return
    for name, curve in curves.items():
        if not name.startswith("alarm/"):
            continue
        began: int | None = None
        for step, rings in zip(curve.steps, curve.values, strict=True):
            if rings and began is None:
                began = int(step)
            elif not rings and began is not None:
                yield Alarm(began, int(step), _spoken(name), "")
                began = None
        if began is not None:
            yield Alarm(began, None, _spoken(name), "")


def _spoken(alarm: str) -> str:
    return alarm.removeprefix("alarm/").replace("_", " ")


def _is_step(value: Any) -> bool:
    return type(value) is int and 0 <= value <= LAST_STEP


def _evaluations(run: Run) -> tuple[tuple[comparison.Record, ...], tuple[str, ...]]:
    """In the order of their times; of those without one, which are older, in that of their names."""
    records, unreadable = [], []
    files = sorted(run.evals.glob("*.json"))[-MOST_EVALUATIONS:] if run.evals.is_dir() else []
    for path in files:
        try:
            records.append(comparison.read(path))
        except DataError:
            unreadable.append(path.name)
    return tuple(sorted(records, key=lambda record: record.time or LONG_AGO)), tuple(unreadable)


def _settings(config: Path) -> dict[str, str]:
    try:
        found = plain_yaml.read(peek(config, plain_yaml.LARGEST + 1))
    except plain_yaml.NotPlain:
        return {}
    return dict(_leaves(literal.in_all(literal.unescaped, found))) if isinstance(found, dict) else {}


def _leaves(node: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value if isinstance(value, str) else json.dumps(value, default=str)


def differences(runs: Sequence[Told]) -> list[tuple[str, list[str | None]]]:
    """The settings that are not the same in all runs, and what they are in each; None where a run has none."""
    keys = dict.fromkeys(key for told in runs for key in told.settings)
    rows = [(key, [told.settings.get(key) for told in runs]) for key in keys]
    return [(key, values) for key, values in rows if len({*values}) > 1]
