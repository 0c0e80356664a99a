"""What came of a search: the same facts as a file, as JSON and as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_cli.search import storage
from gan_cli.search.outcome import DONE, ENDINGS
from gan_cli.search.study import ABOUT, Study
from gan_cli.store.locks import holder

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

FORMAT = 1
RUNNING, LEFT = "running", "left"  # by this or another process; or that process was killed
MOST_MEASURED = 200  # measurements of a trial that are told
MOST_ROWS = 40  # of the table


def of(study: Study, words: Sequence[str], asked: int, command: str) -> dict[str, Any]:
    """The account of a study.

    Args:
        words: What was typed, but for what may change while it goes on.
        asked: How many trials it is to have.
    """
    trials = [_trial(study, found) for found in study.trials]
    best = min((row for row in trials if row["ended"] == DONE), key=_cost, default=None)
    measured: Mapping[str, Any] = next((row["best"] for row in trials if row["best"]), {})
    return {
        "format": FORMAT,
        "command": command,
        "words": [*words],
        "asked": asked,
        "folder": str(study.folder),
        "storage": study.kept,
        "study": study.study.study_name,
        "metric": measured.get("metric"),
        "better": measured.get("better"),
        "counts": dict(Counter(row["ended"] for row in trials)),
        "best": None if best is None else best["number"],
        "importance": {},
        "trials": trials,
    }


def importance(study: Study) -> dict[str, float]:
    """How much of the variation of the score each setting explains (functional ANOVA), summing to 1; empty where fewer
    than two trials ended by themselves, or all alike."""
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    try:
        with storage.quiet():
            found = get_param_importances(study.study, evaluator=FanovaImportanceEvaluator(seed=0))
    except (ValueError, RuntimeError):
        return {}
    return {key: float(share) for key, share in found.items()}


def _cost(row: Mapping[str, Any]) -> float:
    sign = -1 if row["best"]["better"] == "larger" else 1
    return sign * float(row["best"]["value"])


def _trial(study: Study, found: FrozenTrial) -> dict[str, Any]:
    about = found.user_attrs.get(ABOUT) if found.state.is_finished() else None
    lock = study.folder / f".trial-{found.number}.lock"
    if about is None:
        about = {"ended": RUNNING if holder(lock) is not None else LEFT, "best": None, "why": "", "folder": None}
    sign = -1 if about["best"] and about["best"]["better"] == "larger" else 1
    measured = sorted(found.intermediate_values.items())
    return {
        "number": found.number,
        "ended": about["ended"],
        "values": dict(found.params),
        "best": about["best"],
        "step": about.get("step"),
        "seconds": about.get("seconds"),
        "why": about["why"],
        "run": about["folder"]
        if about["folder"] and (study.folder / about["folder"] / "config.yaml").exists()
        else None,
        "measured": [[step, sign * cost] for step, cost in measured[-MOST_MEASURED:]],
    }


def ranked(trials: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those that ended by themselves first, the best of them first."""
    order = {ended: i for i, ended in enumerate((*ENDINGS, RUNNING, LEFT))}
    return sorted(trials, key=lambda row: (order[row["ended"]], _cost(row) if row["best"] else 0.0, row["number"]))


def table(account: Mapping[str, Any]) -> list[str]:
    """The trials, the best first, in lines."""
    rows = ranked(account["trials"])
    keys = list(dict.fromkeys(key for row in rows for key in row["values"]))
    lines = [["trial", "", account["metric"] or "score", "step", *keys]]
    for row in rows[:MOST_ROWS]:
        value = f"{row['best']['value']:.5g}" if row["best"] else "-"
        step = "-" if row["step"] is None else str(row["step"])
        lines.append(
            [f"#{row['number']}", row["ended"], value, step, *(_short(row["values"].get(key)) for key in keys)]
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    shown = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    more = len(rows) - MOST_ROWS
    return [*shown, *([f"and {more} more in {Path(account['folder']) / 'search.json'}"] if more > 0 else [])]


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "-" if value is None else str(value)
