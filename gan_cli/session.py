"""One session of one run: build, restore, train, and write how it ended."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan_cli.config import build, compose
from gan_cli.config.errors import ConfigError, two_lines
from gan_cli.files import read_json_lines
from gan_cli.runs import NotARun, Run, checkpoints_of, heard
from gan_cli.training.checkpoint import CheckpointError, load_newest, newest_first
from gan_cli.training.meter import NonFinite
from gan_cli.training.runtime import StopRequest, stop_on_signals
from gan_cli.training.trainer import Trainer
from gan_cli.types import Growing, Named

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """One session of one run; plain values, so that it reaches other processes."""

    config: dict[str, Any]
    folder: Path
    facts: dict[str, Any]
    resume: bool


def play(job: Job, rank: int) -> dict[str, Any]:
    """Trains as one of the run's processes. Rank 0 writes; what it wrote as result is returned."""
    # Of several processes, the one that started them has built all this before, aloud.
    with heard(aloud=job.config["trainer"]["devices"] == 1) as earlier:
        trainer = build.trainer(job.config, rank)
    trainer.folder = job.folder
    trainer.config = compose.to_yaml(job.config)
    trainer.place()
    run = Run(job.folder)
    said = [*_restore(trainer, run, job), *_foresee(trainer)]
    if rank != 0:
        return {"status": trainer.fit(StopRequest())}
    trainer.callbacks = build.callbacks(job.config)
    described = _describe(trainer)
    said += _other_data(run, described)
    facts = {**job.facts, "seed": trainer.seed, "data": described, "parameters": _sizes(trainer)}
    run.begin(trainer.config, facts)
    with run.logging(earlier):
        for level, line in said:
            log.log(level, "%s", line)
        log.info("training in %s on %s", job.folder, trainer.runtime.device)
        return _guarded(trainer, run)


def _guarded(trainer: Trainer, run: Run) -> dict[str, Any]:
    """Trains, and writes how it ended whatever happens."""
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
                "last": _last(run),
                **{key: value for callback in trainer.callbacks for key, value in callback.findings().items()},
            }
        )
    return result


def _foresee(trainer: Trainer) -> list[tuple[int, str]]:
    """A warning where the run will end before a growing generator has grown up."""
    generator = trainer.players["generator"]
    if not isinstance(generator, Growing) or not trainer.limits.foreseeable:
        return []
    shown = trainer.data.batch_size * sum(phase.runs for phase in trainer.game.phases() if phase.shown)
    end, complete = min(trainer.limits.max_images, shown * trainer.limits.max_steps), generator.complete()
    if end >= complete:
        return []
    remedy = (
        f"trainer.max_steps={-(-complete // shown)} or lower model.growth.stable_images and model.growth.fade_images"
    )
    return [
        (logging.WARNING, f"the run ends after {end:.0f} images, the model is fully grown after {complete}: {remedy}")
    ]


def _last(run: Run) -> dict[str, float]:
    """All numbers of the last step that has any; several callbacks may have told of it."""
    rows = read_json_lines(run.metrics)
    return {name: value for row in rows if row["step"] == rows[-1]["step"] for name, value in row.items()}


def _saved(run: Run) -> str:
    kept = newest_first(run.checkpoints)
    return f"the last good checkpoint is {kept[-1] if len(kept) == 1 else kept[1]}" if kept else "nothing was saved yet"


def _describe(trainer: Trainer) -> dict[str, Any]:
    data = trainer.data
    facts: dict[str, Any] = {"samples": len(data), "shape": list(data.shape), "sha256": data.fingerprint()}
    if isinstance(data, Named):
        facts |= {"class_names": list(data.class_names)} if data.class_names else {}
        facts |= {"read": dict(data.described)} if data.described else {}
    return facts


def _other_data(run: Run, described: dict[str, Any]) -> list[tuple[int, str]]:
    """A warning where a resumed run no longer finds the data that it began with."""
    then = run.read_manifest().get("data", described)
    began, now = ({key: data.get(key) for key in ("samples", "shape", "sha256")} for data in (then, described))
    if began == now:
        return []
    return [(logging.WARNING, f"the data have changed since this run began: {began} then, {now} now")]


def _sizes(trainer: Trainer) -> dict[str, int]:
    return {name: sum(p.numel() for p in player.parameters()) for name, player in trainer.players.items()}


def _restore(trainer: Trainer, run: Run, job: Job) -> list[tuple[int, str]]:
    """Loads the state to go on from; returns what to say about it once the log is open, with its level."""
    source = run.folder if job.resume else job.config.get("init_from")
    if source is None:
        return []
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
    begun = f"resuming at step {trainer.clock.step}" if job.resume else f"starting from the weights of {path}"
    warnings = [(logging.WARNING, f"{problem}; using {path.name}, the one before it") for problem in problems]
    return [*warnings, (logging.INFO, begun)]
