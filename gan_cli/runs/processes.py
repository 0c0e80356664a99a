"""The processes of a run: this one, those that it starts, or those that torchrun or srun started.

How the run ended is said once, by the first of them.
"""

from __future__ import annotations

import logging
import math
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_cli.config import trust
from gan_cli.errors import ConfigError, DiskFull, Interrupted, RunFailed, two_lines
from gan_cli.progress import display

if TYPE_CHECKING:
    from gan_cli.config.build import Checked
    from gan_cli.runs.job import Job
    from gan_cli.store.run import Run
    from gan_cli.training.ranks import Died, Member
    from gan_cli.types import Clock

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """How a run ended, as in result.json."""

    folder: Path
    status: str  # finished, or diverged: it reached its end, but with losses or weights beyond any use
    step: int
    images: int
    metrics: dict[str, float]
    # What a sweep minimises: the best measurement, negated where larger is better; infinite where the run diverged.
    score: float | None = None


def our_place() -> Member | None:
    """This process's place among those that torchrun or srun started; None where it is alone, as most are."""
    if not {"RANK", "SLURM_STEP_NUM_TASKS"} & {*os.environ}:
        return None  # without torch, which takes seconds
    from gan_cli.training.ranks import member

    return member()


def on_devices(config: dict[str, Any]) -> dict[str, Any]:
    """With the number of processes in trainer.devices: that of the group this process belongs to, or of devices."""
    trainer = config.get("trainer")
    if not isinstance(trainer, dict) or "devices" not in trainer:
        return config
    devices, place = trainer["devices"], our_place()
    if place is not None:
        if devices not in (1, "auto", place.world):
            remedy = "leave trainer.devices out: torchrun or srun says how many there are"
            raise ConfigError(two_lines(f"trainer.devices={devices}, and {place.world} processes were started", remedy))
        devices = place.world
    elif devices == "auto":
        from gan_cli.training.ranks import counted

        devices = counted(trainer.get("device"))
    return {**config, "trainer": {**trainer, "devices": devices}}


def play_all(job: Job, checked: Checked) -> Result:
    from gan_cli.config import build
    from gan_cli.references.opening import beside
    from gan_cli.runs.foresight import consider
    from gan_cli.runs.job import play
    from gan_cli.store.run import Run
    from gan_cli.training import together
    from gan_cli.training.ranks import Died, check_present, launch
    from gan_cli.training.session import Session

    processes = job.config["trainer"]["devices"]
    place = our_place()
    if place is not None and place.rank != 0:
        followed = play(replace(job, folder=Path(together.told(""))), place.rank)
        if followed["status"] == "stopped":
            raise Interrupted("stopped")
        return Result(job.folder, followed["status"], 0, 0, {})
    if place is not None or processes == 1:
        together.told(str(job.folder))
        return _conclude(job, checked, play(job, 0))
    run = Run(job.folder)
    # Problems are reported once, before the processes start.
    check_present(processes, job.config["trainer"]["device"])
    with display():
        callbacks = build.callbacks(checked, beside(checked, job.trust))
        consider(Session(build.trainer(checked), run, callbacks), checked)
    with run.alone():
        pass
    try:
        launch(play, replace(job, aloud=False), processes)
    except Died as died:
        _record(run, died)
    result = run.read_result()
    if not result:
        raise RunFailed(f"no process of the run reported a result; see {job.folder}")
    return _conclude(job, checked, result)


def _record(run: Run, died: Died) -> None:
    """Writes down which process failed, unless rank 0 knows better. Raises Died where there is no run."""
    from gan_cli.runs import endings
    from gan_cli.training.ranks import LOST

    result = run.read_result()
    if result.get("status") == "failed" and LOST not in result.get("error", ""):
        return
    if not run.config.exists():
        raise died
    error = two_lines(f"{died}; {endings.saved(run)}", endings.again(run))
    run.end({"step": 0, "images": 0, "seconds": 0.0, **result, "status": "failed", "error": error})


def _conclude(job: Job, checked: Checked, result: dict[str, Any]) -> Result:
    """Says where everything is, and raises the error that the run's end calls for."""
    from gan_cli.store import summary
    from gan_cli.store.run import Run, newest_first
    from gan_cli.types import Clock

    folder, step = job.folder, result["step"]
    if result["status"] == "failed":
        raise (DiskFull if result.get(summary.DISK_FULL) else RunFailed)(result["error"])
    typed, vouched = shlex.quote(str(folder)), trust.asked_for(checked.targets())
    resume = f"gan train resume={typed}{vouched}"
    if result["status"] == "stopped":
        again = resume if newest_first(Run(folder).checkpoints) else f"gan train repeat={typed}{vouched}"
        raise Interrupted(two_lines(f"stopped at step {step}; everything is saved in {folder}", again))
    diverged = result["status"] == "diverged"
    if diverged:
        log.warning("the run diverged: at step %d losses or weights are beyond any use", step)
    log.info("%s at step %d; everything is in %s", result["status"], step, folder)
    if newest_first(Run(folder).checkpoints):
        translates = job.config["dataset"].get("given") is not None
        wanted = "source=FOLDER out=FOLDER" if translates else "n=64"
        log.info("  gan sample %s %s%s", typed, wanted, vouched)
        log.info("  gan eval %s%s", typed, vouched)
        done = Clock(*(result[key] for key in ("step", "images", "seconds")))
        log.info("  %s %s", resume, more(job.config["trainer"], done, Run(folder).size()))
    else:
        log.warning("no weights were kept: callback=[checkpoints] keeps them")
    score = math.inf if diverged else _cost(result["best"])
    return Result(folder, result["status"], step, result["images"], result["last"], score)


def _cost(best: Mapping[str, Any] | None) -> float | None:
    """The score of a run that a sweep minimises; None where nothing was measured."""
    from gan_cli.metrics import Better

    return None if best is None else Better(best["better"]).cost(float(best["value"]))


def more(limits: Mapping[str, Any], done: Clock, size: int) -> str:
    """The settings that let a run on `size` images go on for as long again as it was allowed to so far."""
    from gan_cli.training.limits import ENDS, Limits

    set_ends = {key: limits[key] for key in ENDS if limits.get(key)}
    alone = {key: Limits(**{**dict.fromkeys(ENDS), key: end}, size=size) for key, end in set_ends.items()}
    reached = [f"trainer.{key}={2 * set_ends[key]:.12g}" for key, limit in alone.items() if limit.reached(done)]
    return " ".join(reached) or f"trainer.max_steps={2 * done.step}"
