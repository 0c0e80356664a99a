"""gan runs: what runs there are, and which of them may go."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gan_cli import console
from gan_cli.config import plain
from gan_cli.config.errors import did_you_mean
from gan_cli.errors import ConfigError, NotARun, RunFailed, two_lines
from gan_cli.store import outputs, removal, summary
from gan_cli.store.summary import STATUSES, Summary

log = logging.getLogger(__name__)

OWN = ("status", "sort", "tag", plain.JSON)  # what is not a setting of runs
DEEDS = ("rm", "prune")
AT_REST = ("finished", "stopped")  # the statuses of runs whose checkpoints `prune` removes
# How a list is sorted: the first that is shown has the least key.
ORDERS: dict[str, Callable[[Summary], Any]] = {
    "age": lambda run: -run.begun,
    "best": lambda run: (run.best is None, run.best.metric if run.best else "", run.best.cost if run.best else 0.0),
    "name": lambda run: run.name,
    "size": lambda run: -run.bytes,
    "step": lambda run: -(run.step or 0),
}


def main(words: Sequence[str]) -> None:
    """The command line: `words` after `gan runs`."""
    if words and words[0] in DEEDS:
        asked = plain.answering(words[1:], ("yes",))
        removed = {"rm": _remove, "prune": _prune}[words[0]](asked)
        if asked.json is not None:
            outputs.answer(asked.json, removed)
        return
    keys = [word.partition("=")[0] for word in words if "=" in word and not os.path.lexists(word)]
    asked = plain.answering(words, keys)
    status, order = plain.one_of(asked, "status", STATUSES), plain.one_of(asked, "sort", (*ORDERS,), "age")
    folders, parts = _divided(asked.plain)
    there = list(summary.find(folders))
    wanted = {key: value for key, value in asked.settings.items() if key not in OWN}
    _check_known(wanted, there)
    shown = [
        run
        for run in there
        if (not status or run.status == status)
        and asked.settings.get("tag") in (None, *run.tags)
        and all(part in run.name for part in parts)
        and all(_has(run, key, value) for key, value in wanted.items())
    ]
    shown.sort(key=lambda run: (ORDERS[order](run), -run.begun, run.name))
    if asked.json is not None:
        outputs.answer(asked.json, [record(run) for run in shown])
        return
    if not there:
        log.info("no runs in %s; gan train makes one", ", ".join(map(console.one_line, folders)))
    elif not shown:
        log.info("no run in %s matches", ", ".join(map(console.one_line, folders)))
    else:
        log.info("%s", "\n".join(table(shown)))
    if not shown and parts and (meant := did_you_mean(parts[0], DEEDS)):
        log.info("  %s gan runs rm removes runs, gan runs prune checkpoints", meant)


def record(run: Summary) -> dict[str, Any]:
    """A run as `--json` shows it; these keys stay."""
    best = run.best
    return {
        "name": run.name,
        "folder": run.folder,
        "status": run.status,
        "step": run.step,
        "steps": run.steps,
        "best": None if best is None else {"metric": best.metric, "value": best.value, "step": best.step},
        "bytes": run.bytes,
        "start": datetime.fromtimestamp(run.begun, UTC).isoformat(timespec="seconds"),
        "age": _age(run),
        "tags": [*run.tags],
        "chosen": {**run.chosen},
    }


def table(runs: Iterable[Summary]) -> list[str]:
    """Lines of a table, a run each."""
    runs = [*runs]
    tagged = any(run.tags for run in runs)
    rows: list[tuple[str, ...]] = [("status", "step", "best", "size", "age", *(["tags"] if tagged else []), "run")]
    for run in runs:
        steps = f"{'?' if run.step is None else run.step}/{'?' if run.steps is None else run.steps}"
        best = f"{run.best.metric} {run.best.value:.5g}" if run.best else "-"
        tags = [", ".join(run.tags)] if tagged else []
        cells = (run.status, steps, best, console.size(run.bytes), console.duration(_age(run)), *tags, run.folder)
        rows.append(tuple(map(console.one_line, cells)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _age(run: Summary) -> int:
    return max(0, int(time.time() - run.begun))


def _divided(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Folders to look in, and parts of names."""
    folders = [word for word in words if os.path.isdir(word)]
    return folders or [summary.HOME], [word for word in words if not os.path.isdir(word)]


def _has(run: Summary, key: str, value: str) -> bool:
    """Whether a choice or a setting of the run has this value: one that was typed, or stands in its config."""
    return value in (run.chosen.get(key), summary.configured(run.folder, key))


def _check_known(wanted: Iterable[str], runs: Sequence[Summary]) -> None:
    """Raises ConfigError for a key that no run has."""
    for key in wanted:
        if runs and not any(key in run.chosen or summary.configured(run.folder, key) is not None for run in runs):
            known = {*OWN, *(name for run in runs for name in run.chosen)}
            usual = "status=, tag=, sort=, or a choice or setting of a run: model=dcgan"
            sorts = f"sort={key} sorts by it; what filters is {usual.replace('sort=, ', '')}" if key in ORDERS else ""
            remedy = sorts or did_you_mean(key, sorted(known)) or usual
            raise ConfigError(two_lines(f"no run here knows '{key}'", remedy))


def _remove(asked: plain.Asked) -> dict[str, Any]:
    """`gan runs rm RUN...`: whole run folders; says what was removed."""
    if not asked.plain:
        raise ConfigError(two_lines("which runs?", "gan runs rm outputs/train/<run>; gan runs lists them"))
    folders = _own_folders(asked.plain)
    runs = [summary.of(str(folder)) for folder in folders]
    _check_at_rest(runs)
    named = ", ".join(console.one_line(run.folder) for run in runs)
    freed = sum(run.bytes for run in runs)
    if not plain.agreed(f"remove {named} ({console.size(freed)})", "nothing was removed", asked):
        return {"removed": [], "bytes": 0}
    _each(removal.remove, folders)
    log.info("removed %d run%s", len(folders), "" if len(folders) == 1 else "s")
    return {"removed": list(map(str, folders)), "bytes": freed}


def _own_folders(words: Iterable[str]) -> list[Path]:
    """The folders of these runs, each once."""
    return list({folder.resolve(): folder for folder in map(removal.own_folder, words)}.values())


def _each(deed: Callable[[Path], object], folders: Sequence[Path]) -> None:
    """Raises RunFailed where a folder withstands."""
    for done, folder in enumerate(folders):
        try:
            deed(folder)
        except OSError as error:
            raise RunFailed(two_lines(str(error), f"{done} of {len(folders)} runs were done before it")) from error


def _check_at_rest(runs: Iterable[Summary]) -> None:
    for run in runs:
        if run.status == "running":
            raise NotARun(two_lines(f"{run.folder} is running", f"gan stop {run.folder} stops it"))


def _prune(asked: plain.Asked) -> dict[str, Any]:
    """`gan runs prune [RUN...]`: all checkpoints but the best and the last, of these runs or of all at rest; says what
    was removed."""
    if asked.plain:
        runs = [summary.of(str(folder)) for folder in _own_folders(asked.plain)]
        _check_at_rest(runs)
        for run in runs:
            if run.status not in AT_REST:
                remedy = "prune is for finished and stopped runs; gan runs rm removes a whole run"
                raise NotARun(two_lines(f"{run.folder} has {run.status}", remedy))
    else:
        runs = [run for run in summary.find([summary.HOME]) if run.status in AT_REST]
    found = []
    for run in runs:
        try:
            folder = removal.own_folder(run.folder)
            extra = removal.surplus(folder)
        except (NotARun, OSError):
            continue  # among all runs, what is not quite one stays as it is
        found += [(folder, extra)] if extra.files else []
    if not found:
        log.info("nothing to prune: no finished or stopped run has more than its best and its last checkpoint")
        return {"removed": [], "bytes": 0}
    files, freed = sum(len(extra.files) for _, extra in found), sum(extra.bytes for _, extra in found)
    for folder, extra in found:
        log.info("%s: %d checkpoints, %s", console.one_line(str(folder)), len(extra.files), console.size(extra.bytes))
    what = f"remove {files} checkpoints of {len(found)} runs, all but best.pt and last.pt ({console.size(freed)})"
    if not plain.agreed(what, "nothing was removed", asked):
        return {"removed": [], "bytes": 0}
    _each(removal.prune, [folder for folder, _ in found])
    log.info("removed %d checkpoints, %s", files, console.size(freed))
    return {"removed": [str(file) for _, extra in found for file in extra.files], "bytes": freed}
