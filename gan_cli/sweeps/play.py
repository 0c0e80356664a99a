"""Runs the jobs of a sweep: Hydra's sweepers and launchers start them; what became of each is kept in its folder."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from gan_cli import console
from gan_cli.config import compose
from gan_cli.config.compose import Composed
from gan_cli.config.sweeps import BASIC
from gan_cli.errors import ConfigError, DiskFull, Interrupted, NotWritable, Refused, RunFailed, two_lines
from gan_cli.evaluation.comparison import words_of
from gan_cli.store import removal
from gan_cli.store.disk import NotWritten, is_full, remove_empty
from gan_cli.store.run import ENDED, Run
from gan_cli.sweeps import conclusion
from gan_cli.sweeps.devices import own_device
from gan_cli.sweeps.folder import Failure, Sweep
from gan_cli.sweeps.request import Request

log = logging.getLogger(__name__)

# What is in the folder beside the jobs.
OWN_FILES = (
    *("sweep.json", "sweep.csv", "failures.jsonl", "multirun.yaml", "optimization_results.yaml"),
    *(".submitit", ".lock"),
)


class Jobs(NamedTuple):
    """How a job is run. Each returns its score, the lower the better; None where nothing was measured."""

    begin: Callable[[Composed, list[str]], float | None]  # (config, its words)
    resume: Callable[[Path], float | None]


def play(request: Request, jobs: Jobs, aside: bool = False) -> dict[str, Any]:
    """Runs the jobs that are wanted, and returns the sweep's answer. To a search, a job that is refused or fails scores
    worst; the sweep goes on.

    Args:
        aside: Whether what is said goes to standard error.

    Raises:
        ConfigError: The sweep cannot begin, or every job that failed was refused.
        NotARun: Another process is at it.
        RunFailed: A job failed after it began, a launcher lost it, or what it came to cannot be written.
        Interrupted: It was stopped; it can go on.
    """
    sweep = request.sweep
    answer, unwritten = {}, None
    try:
        with sweep.alone():
            try:
                _prepare(request)
                _launch(request, jobs, aside)
                try:
                    answer = conclusion.conclude(sweep, request.decide)
                except NotWritten as error:
                    unwritten = error
                failed = sweep.failed()
                left = conclusion.left(sweep) if request.wanted is None else 0
            finally:
                _leave_nothing_of_what_never_began(sweep.folder)
    except NotWritten as error:
        remedy = "make room, or make it writable" if request.again else "hydra.sweep.dir=FOLDER names another folder"
        raise NotWritable(two_lines(str(error), remedy)) from error
    if failed or unwritten is not None:
        _report(failed, sweep, unwritten)
    if left:
        what = f"{left} of the sweep's jobs did not finish, and the launcher did not say why"
        again = f"gan train -m resume={shlex.quote(str(sweep.folder))} continues them"
        raise RunFailed(two_lines(what, again if sweep.folder.exists() else "nothing was written"))
    return answer


def _prepare(request: Request) -> None:
    sweep = request.sweep
    if not request.again:
        sweep.begin(request.words, request.plan.jobs)
    elif request.wanted is not None:
        sweep.forget(request.wanted)
    if request.plan.ignored is not None:
        log.warning("%s", _not_from_there(request.plan.ignored))


def _not_from_there(launcher: str) -> str:
    what = f"the launcher {launcher} does not count: Hydra reads no launcher from a file that is swept over"
    return two_lines(what, f"hydra/launcher={launcher} on the command line does")


def _launch(request: Request, jobs: Jobs, aside: bool) -> None:
    wanted, again, sweep = request.wanted, request.again, request.sweep

    def task(config: DictConfig) -> float | None:
        console.set_up(aside=aside)
        return one(config, jobs, wanted, again, sweep.unwritten)

    typed = f"gan train -m resume={shlex.quote(str(sweep.folder))}"
    try:
        compose.hydra_main("train", task, request.plan.typed())
    except KeyboardInterrupt as stop:
        if not sweep.runs():
            raise
        what = f"stopped, {conclusion.progress(sweep)}; everything is saved in {sweep.folder}"
        raise Interrupted(two_lines(what, f"{typed} continues it")) from stop
    except ConfigError as error:
        if not sweep.runs():
            raise
        what = f"the sweep broke off, {conclusion.progress(sweep)}: {str(error).splitlines()[0]}"
        raise RunFailed(two_lines(what, f"{typed} continues it")) from error


def one(
    config: DictConfig, jobs: Jobs, wanted: frozenset[int] | None, again: bool, unwritten: list[Failure]
) -> float | None:
    """Hydra's task: one job, in whatever process the launcher starts it.

    Args:
        unwritten: Gets the job's failure where the sweep's folder cannot.
    """
    meta = HydraConfig.get()
    os.chdir(meta.runtime.cwd)  # paths are relative to where they were typed, hydra.job.chdir or not
    number, folder = int(meta.job.num), Path(meta.runtime.output_dir)
    words = list(meta.overrides.task)
    sign = -1 if meta.sweeper.get("direction") == "maximize" else 1  # a search looks for the lowest score
    worst = sign * float("inf")
    try:
        if wanted is not None and number not in wanted:
            return None
        log.info("\n#%s  %s", number, " ".join(words))
        with own_device(Path(meta.sweep.dir), number):
            score = _played(compose.inside_hydra(config), words, jobs, again)
    except Exception as error:
        code = 2 if isinstance(error, Refused) else 1
        if code == 2:  # the reason follows at the end, once for all jobs that have it
            log.warning("#%s was refused", number)
        else:
            log.warning("#%s failed: %s", number, error)
        log.debug("the job failed", exc_info=True)
        failure = Failure(number, tuple(words), str(error), code)
        try:
            Sweep(meta.sweep.dir).note(failure)
        except NotWritten as lost:
            said = f"{lost}; {error}" if code == 2 else lost  # all that is heard of it from another process
            log.warning("#%s: %s", number, said)
            unwritten.append(failure)
        return worst
    finally:
        remove_empty(folder)  # Hydra makes a job's folder before the config is checked
    if score is None:
        return None if meta.sweeper.get("_target_") == BASIC else worst
    return sign * score


def _played(composed: Composed, words: list[str], jobs: Jobs, again: bool) -> float | None:
    """Begins a job, or does what is left of it: of one that went on, or that Slurm requeued or Ray tried once more."""
    run = Run(composed.folder)
    if not run.config.is_file() or not (again or words_of(run.folder) == tuple(words)):
        return jobs.begin(composed, words)
    if run.read_result().get("status") in ENDED:
        log.info("it is finished already")
        return None
    return jobs.resume(run.folder) if removal.resumable(run) else jobs.begin(composed, words)


def _report(failed: Sequence[Failure], sweep: Sweep, unwritten: NotWritten | None) -> None:
    """Raises the error that these failures call for, and that what the sweep came to is `unwritten`."""
    again = f"{conclusion.all_again(sweep)} runs them again"
    if unwritten is not None:
        if not failed:
            again = f"gan train -m resume={shlex.quote(str(sweep.folder))} writes it"
        what = "; ".join([*([_in_short(failed)] if failed else []), str(unwritten)])
        broken = DiskFull if is_full(unwritten) else RunFailed
        raise broken(two_lines(what, f"once that is fixed, {again}")) from unwritten
    text = two_lines(_in_short(failed), again if sweep.folder.exists() else failed[0].remedy or "nothing was written")
    raise RunFailed(text) if any(failure.code != 2 for failure in failed) else ConfigError(text)


def _in_short(failed: Sequence[Failure]) -> str:
    """How many failed, and the first reasons: `2 jobs of the sweep failed: #3 and #4: seed=-1 is not valid`."""
    alike: dict[str, list[Failure]] = {}
    for failure in failed:
        alike.setdefault(failure.reason, []).append(failure)
    told = list(alike.items())[:3]
    named = "; ".join(f"{_numbers(failures)}: {reason}" for reason, failures in told)
    more = f" and {rest} more" if (rest := len(failed) - sum(len(failures) for _, failures in told)) else ""
    jobs = "one job" if len(failed) == 1 else f"{len(failed)} jobs"
    return f"{jobs} of the sweep failed: {named}{more}"


def _numbers(failures: Sequence[Failure]) -> str:
    """Of jobs that failed alike: `#3`, `#3 and #4`, `#3, #4 and 7 more`."""
    first = [f"#{failure.job}" for failure in failures[:2]]
    more = [f"{len(failures) - 2} more"] if len(failures) > 2 else []
    *most, last = [*first, *more]
    return f"{', '.join(most)} and {last}" if most else last


def _leave_nothing_of_what_never_began(folder: Path) -> None:
    """Removes the folder where no job began: it holds only notes."""
    if not folder.is_dir() or any(path.name not in OWN_FILES for path in folder.iterdir()):
        return
    shutil.rmtree(folder)
    remove_empty(folder.parent)
