"""Sweeps: Hydra's sweepers and launchers run the jobs; what became of each is kept in the sweep's folder."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep, Transformer
from omegaconf import DictConfig

from gan_cli import console
from gan_cli.config import compose
from gan_cli.config.compose import Composed
from gan_cli.config.words import divide, quote, readable
from gan_cli.errors import ConfigError, Refused, RunFailed, two_lines
from gan_cli.store.disk import remove_empty

log = logging.getLogger(__name__)

FAILURES = "failures.jsonl"  # one line per job that was refused or failed
OWN_FILES = (FAILURES, "multirun.yaml", "optimization_results.yaml")  # what is in the folder beside the jobs
MULTIRUN = ("-m", "--multirun")
BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"  # tries every combination; the others search

SweepJob = Callable[[Composed, list[str]], float | None]  # (config, its words) -> score, the lower the better


def sweep(words: Sequence[str], job: SweepJob) -> None:
    """Runs all jobs of a sweep. To a search, a job that is refused or fails scores worst; the sweep goes on.

    Raises:
        ConfigError: The sweep cannot begin, or every job that failed was refused.
        RunFailed: A job failed after it began.
    """
    folder = _planned(words)

    def task(config: DictConfig) -> float | None:
        return _one(config, job)

    if not any(word.startswith("hydra.sweep.dir=") for word in words):
        words = [f"hydra.sweep.dir={quote(str(folder))}", *words]
    try:
        compose.hydra_main("train", task, words)
        _conclude(folder)
    finally:
        _leave_nothing_of_what_never_began(folder)


def _planned(words: Sequence[str]) -> Path:
    """The sweep's folder. Raises ConfigError for words that are wrong in the very first job."""
    overrides, flags = divide(words)
    with compose.friendly("train", overrides):
        parsed = OverridesParser.create().parse_overrides([readable(word) for word in overrides])
    first = [_first(word, override) for word, override in zip(overrides, parsed, strict=True)]
    chosen = [flag for flag in flags if flag not in MULTIRUN]
    composed, sweeper, folder = compose.compose_sweep([*first, *chosen])
    measured = {composed["evaluation"][key] for key in ("every_steps", "every_epochs")} != {None}
    if sweeper.get("_target_") != BASIC and not measured:
        what = "a search needs a number to go by, and these jobs measure nothing"
        raise ConfigError(two_lines(what, "add evaluation.every_steps=500"))
    return folder


def _first(word: str, override: Override) -> str:
    """A word of a sweep as its first job sees it."""
    if not override.is_sweep_override():
        return word
    value = override.value()
    if isinstance(value, IntervalSweep):
        start: Any = value.start
    elif isinstance(value, ChoiceSweep | RangeSweep):
        start = next(iter(override.sweep_iterator(Transformer.encode)))
    else:
        return word
    return f"{word.partition('=')[0]}={start}"


def _one(config: DictConfig, job: SweepJob) -> float | None:
    """Hydra's task: one job, in whatever process the launcher starts it."""
    console.set_up()
    meta = HydraConfig.get()
    os.chdir(meta.runtime.cwd)  # paths are relative to where they were typed, hydra.job.chdir or not
    words = list(meta.overrides.task)
    log.info("\n#%s  %s", meta.job.num, " ".join(words))
    sign = -1 if meta.sweeper.get("direction") == "maximize" else 1  # a search looks for the lowest score
    worst = sign * float("inf")
    try:
        score = job(compose.inside_hydra(config), words)
    except Exception as error:
        log.warning("#%s failed: %s", meta.job.num, error)
        log.debug("the job failed", exc_info=True)
        _note(Path(meta.sweep.dir), {"job": meta.job.num, "words": words, "error": str(error), "code": _code(error)})
        return worst
    finally:
        # Hydra makes a job's folder before the config is checked.
        remove_empty(Path(meta.runtime.output_dir))
    if score is None:
        return None if meta.sweeper.get("_target_") == BASIC else worst
    return sign * score


def _code(error: Exception) -> int:
    return 2 if isinstance(error, Refused) else 1


def _note(folder: Path, failure: dict[str, Any]) -> None:
    """One line at the end of the file, whole even where several jobs write at once."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / FAILURES).open("a") as file:
        file.write(json.dumps(failure) + "\n")


def _conclude(folder: Path) -> None:
    """Raises the error that the failed jobs call for."""
    path = folder / FAILURES
    failures = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    if not failures:
        return
    named = "; ".join(f"#{row['job']}: {row['error'].splitlines()[0]}" for row in failures[:3])
    more = f" and {len(failures) - 3} more" if len(failures) > 3 else ""
    began = any((job / "config.yaml").is_file() for job in folder.glob("*"))
    where = f"the others are in {folder}" if began else "nothing was written"
    jobs = "one job" if len(failures) == 1 else f"{len(failures)} jobs"
    text = two_lines(f"{jobs} of the sweep failed: {named}{more}", where)
    raise RunFailed(text) if any(row["code"] != 2 for row in failures) else ConfigError(text)


def _leave_nothing_of_what_never_began(folder: Path) -> None:
    """Removes the folder where no job began: it holds only Hydra's own notes."""
    if not folder.is_dir() or any(path.is_dir() or path.name not in OWN_FILES for path in folder.iterdir()):
        return
    shutil.rmtree(folder)
    remove_empty(folder.parent)
