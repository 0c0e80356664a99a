"""gan train: one run, a sweep, or the continuation of a run."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from gan_cli import console
from gan_cli.config import compose
from gan_cli.config.compose import Composed
from gan_cli.config.errors import ConfigError, Interrupted, RunFailed, two_lines

if TYPE_CHECKING:
    from gan_cli.training.trainer import Trainer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """How a run ended; what result.json says."""

    folder: Path
    status: str  # finished, stopped or failed
    step: int
    images: int
    metrics: dict[str, float]
    score: float | None = None  # the best measurement, which a sweep minimises


def train(*overrides: str) -> Result:
    """Trains as `gan train` does, with the same words: `train("model=mlp", "dataset=ring")`.

    Raises:
        ConfigError: The request was wrong; nothing was written.
        RunFailed: The work failed; the message says what was saved.
        Interrupted: Somebody stopped it; what was done is saved.
    """
    console.set_up()
    resumed = [word for word in overrides if word.startswith("resume=")]
    if resumed:
        return _resume([word for word in overrides if word not in resumed], resumed[-1].partition("=")[2])
    return _start(compose.compose("train", overrides), overrides)


def main(words: Sequence[str]) -> None:
    """The command line: `words` after `gan train`."""
    if any(word.startswith("resume=") for word in words):
        if {"-m", "--multirun"} & set(words):
            raise ConfigError("resume= continues one run: leave -m out")
        train(*words)
        return
    overrides = [word for word in words if not word.startswith("-")]
    with compose.friendly("train", overrides):
        compose.hydra_main("train", lambda config: _job(config, overrides))


def _job(config: DictConfig, overrides: Sequence[str]) -> float | None:
    """Hydra's task: one run, or one job of a sweep."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    console.set_up()
    meta = HydraConfig.get()
    sweep = meta.mode == RunMode.MULTIRUN
    if sweep:
        overrides = list(meta.overrides.task)
        log.info("\n#%s  %s", meta.job.num, " ".join(overrides))
    folder = Path(meta.runtime.output_dir)
    try:
        return _start(compose.inside_hydra(config), overrides).score
    except Exception as error:
        if sweep:
            log.warning("#%s failed: %s", meta.job.num, error)
        raise
    finally:
        _leave_no_empty_folder(folder)


def _leave_no_empty_folder(folder: Path) -> None:
    """Hydra makes the folder before the config is checked; a refused run leaves nothing behind."""
    for path in (folder, folder.parent, folder.parent.parent):
        try:
            path.rmdir()
        except OSError:
            return


def _start(composed: Composed, overrides: Sequence[str]) -> Result:
    from gan_cli.config import build, trust

    build.check(composed.config, trust.for_runs())
    facts = {"overrides": list(overrides), "choices": composed.choices}
    return _play(Job(composed.config, composed.folder, facts, resume=False))


def _resume(overrides: Sequence[str], source: str) -> Result:
    from gan_cli.config import build, trust
    from gan_cli.runs import NotARun, Run
    from gan_cli.training.trainer import Limits

    try:
        run = Run.open(source.strip("'\""))
    except NotARun as error:
        raise ConfigError(two_lines(str(error), "resume=outputs/train/<run> continues a run")) from error
    saved = compose.read_saved(run.config.read_text(), run.config)
    config = compose.change_saved(saved, overrides)
    build.check(config, trust.for_checkpoints())
    result = run.read_result()
    if result.get("status") == "finished":
        from gan_cli.types import Clock

        limits = Limits(*(config["trainer"].get(k) for k in ("max_steps", "max_images", "max_minutes")))
        if limits.reached(Clock(result["step"], result["images"], result["seconds"])):
            raise ConfigError(
                two_lines(
                    f"{run.folder} is finished: step {result['step']}, {result['images']} images",
                    f"give it more to do: trainer.max_steps={2 * result['step']}",
                )
            )
    return _play(Job(config, run.folder, {"overrides": list(overrides)}, resume=True))


@dataclass(frozen=True)
class Job:
    """One session of one run; plain values, so that it reaches other processes."""

    config: dict[str, Any]
    folder: Path
    facts: dict[str, Any]
    resume: bool


def _play(job: Job) -> Result:
    if job.config["trainer"]["devices"] > 1:
        from gan_cli.training.ranks import launch

        launch(play_rank, job, job.config["trainer"]["devices"])
        from gan_cli.runs import Run

        result = Run(job.folder).read_result()
        if not result:
            raise RunFailed(f"no process of the run reported a result; see {job.folder}")
        return _conclude(job, result)
    return _conclude(job, play_rank(job, 0))


def _conclude(job: Job, result: dict[str, Any]) -> Result:
    """Says where everything is, and raises what the run's end calls for."""
    folder, step = job.folder, result["step"]
    if result["status"] == "failed":
        raise RunFailed(result["error"])
    resume = f"gan train resume={folder}"
    if result["status"] == "stopped":
        raise Interrupted(two_lines(f"stopped at step {step}; everything is saved in {folder}", resume))
    log.info("finished at step %d; everything is in %s", step, folder)
    log.info("  gan sample %s n=64", folder)
    log.info("  gan eval %s", folder)
    log.info("  %s trainer.max_steps=%d", resume, 2 * step)
    best = result["best"]
    score = None if best is None else float(best["value"])
    return Result(folder, result["status"], step, result["images"], result["last"], score)


def play_rank(job: Job, rank: int) -> dict[str, Any]:
    """Trains as one of the run's processes. Rank 0 writes; what it wrote as result is returned."""
    from gan_cli.config import build
    from gan_cli.runs import Run

    trainer = build.trainer(job.config, rank)
    trainer.folder = job.folder
    trainer.config = compose.to_yaml(job.config)
    trainer.place()
    run = Run(job.folder)
    source = _restore(trainer, run, job)
    if rank != 0:
        from gan_cli.training.runtime import StopRequest

        trainer.fit(StopRequest())
        return {}
    trainer.callbacks = build.callbacks(job.config)
    facts = {**job.facts, "seed": trainer.seed, "data": _describe(trainer), "parameters": _sizes(trainer)}
    run.begin(trainer.config, facts)
    with run.logging():
        if source:
            log.info("%s", source)
        log.info("training in %s on %s", job.folder, trainer.runtime.device)
        return _guarded(trainer, run)


def _guarded(trainer: Trainer, run: Any) -> dict[str, Any]:
    """Trains, and writes how it ended whatever happens."""
    from gan_cli.training.meter import NonFinite
    from gan_cli.training.runtime import stop_on_signals

    begun = trainer.clock
    result: dict[str, Any] = {}
    try:
        with stop_on_signals() as stop:
            result = {"status": trainer.fit(stop)}
    except NonFinite as error:
        advice = "lower optimizer.lr, add a penalty (penalty=[r1]), or use trainer.precision=float32"
        result = {"status": "failed", "error": f"{error}; {_saved(run)}\n  {advice}"}
    except Exception as error:
        log.debug("the run failed", exc_info=True)
        result = {"status": "failed", "error": f"{type(error).__name__}: {error}; {_saved(run)}"}
        raise
    finally:
        for callback in trainer.callbacks:
            callback.close()
        clock = trainer.clock
        spent = max(clock.seconds - begun.seconds, 1e-9)
        run.end(
            result := {  # an interruption in the middle of a step leaves no status
                "status": "stopped",
                **result,
                "step": clock.step,
                "images": clock.images,
                "seconds": clock.seconds,
                "images_per_second": (clock.images - begun.images) / spent,
                "best": trainer.best,
                "last": _last(trainer, run),
            }
        )
    return result


def _last(trainer: Trainer, run: Any) -> dict[str, float]:
    from gan_cli.files import read_json_lines

    rows = read_json_lines(run.metrics)
    return rows[-1] if rows else {}


def _saved(run: Any) -> str:
    from gan_cli.training.checkpoint import newest_first

    kept = newest_first(run.checkpoints)
    return f"the last good checkpoint is {kept[-1] if len(kept) == 1 else kept[1]}" if kept else "nothing was saved yet"


def _describe(trainer: Trainer) -> dict[str, Any]:
    data = trainer.data
    return {"samples": len(data), "shape": list(data.shape), "sha256": data.fingerprint()}


def _sizes(trainer: Trainer) -> dict[str, int]:
    return {name: sum(p.numel() for p in player.parameters()) for name, player in trainer.players.items()}


def _restore(trainer: Trainer, run: Any, job: Job) -> str:
    """Loads the state to go on from; returns what to say about it."""
    from gan_cli.runs import NotARun, checkpoints_of
    from gan_cli.training.checkpoint import CheckpointError, load_newest

    source = run.folder if job.resume else job.config.get("init_from")
    if source is None:
        return ""
    try:
        paths, _ = checkpoints_of(source)
        state, path, problems = load_newest(paths)
        if job.resume:
            trainer.load_state_dict(state)
        else:
            trainer.load_weights(state)
    except (NotARun, CheckpointError) as error:
        raise ConfigError(str(error)) from error
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise ConfigError(two_lines(f"the weights of {source} do not fit this model", first)) from error
    for problem in problems:
        print(f"warning: {problem}; using {path.name}, the one before it", file=sys.stderr)
    return f"resuming at step {trainer.clock.step}" if job.resume else f"starting from the weights of {path}"
