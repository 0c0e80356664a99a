"""gan train: one run, a sweep, or the continuation of a run."""

from __future__ import annotations

import logging
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from gan_cli import console
from gan_cli.config import compose
from gan_cli.config.compose import Composed
from gan_cli.config.errors import ConfigError, Interrupted, RunFailed, two_lines
from gan_cli.files import cause

if TYPE_CHECKING:
    from gan_cli.config.trust import Trust
    from gan_cli.session import Job

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """How a run ended; what result.json says."""

    folder: Path
    status: str  # finished, or diverged: it came to its end, with losses or weights beyond any use
    step: int
    images: int
    metrics: dict[str, float]
    score: float | None = None  # the best measurement, which a sweep minimises; infinite where the run diverged


def train(*overrides: str) -> Result:
    """Trains as `gan train` does, with the same words: `train("model=mlp", "dataset=ring")`.

    Raises:
        ConfigError: The request was wrong; nothing was written.
        RunFailed: The work failed; the message says what was saved.
        Interrupted: Somebody stopped it; what was done is saved.
    """
    console.set_up()
    for key, go in (("resume", _resume), ("repeat", _repeat)):
        source, others = _take(key, overrides)
        if source is not None:
            return go(others, source)
    return _start(compose.compose("train", overrides), overrides)


def main(words: Sequence[str]) -> None:
    """The command line: `words` after `gan train`."""
    for key in ("resume", "repeat"):
        if _take(key, words)[0] is not None:
            if {"-m", "--multirun"} & set(words):
                raise ConfigError(f"{key}= stands for one run: leave -m out")
            train(*words)
            return
    overrides = list(takewhile(lambda word: not word.startswith("-"), words))  # flags and their values come last
    try:
        with compose.friendly("train", overrides):
            compose.hydra_main("train", lambda config: _job(config, overrides))
    except OSError as error:  # of Hydra, which makes the folder
        if error.filename is None:
            raise
        raise RunFailed(f"{error.filename} cannot be written: {cause(error)}; nothing was trained") from error


def _take(key: str, words: Sequence[str]) -> tuple[str | None, list[str]]:
    """The value of the last word `key=value`, and the other words."""
    values = [word.partition("=")[2].strip("'\"") for word in words if word.startswith(f"{key}=")]
    return (values[-1] if values else None), [word for word in words if not word.startswith(f"{key}=")]


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
    from gan_cli.config import trust

    return _begin(composed, overrides, trust.for_runs())


def _repeat(overrides: Sequence[str], source: str) -> Result:
    """A new run from another's config.yaml alone, with the user's changes to its values."""
    from gan_cli.config import saved, trust
    from gan_cli.runs import STAMP, Run

    path = Path(source)
    text = path if path.is_file() else Run(path).config
    if not text.is_file():
        raise ConfigError(two_lines(f"{source} holds no config.yaml", "repeat=outputs/train/<run> repeats a run"))
    folder, others = _take("hydra.run.dir", overrides)
    config = saved.change(saved.read(text.read_text(), text), others)
    label = config.get("name") or STAMP.sub("", text.resolve().parent.name)
    home = Path(folder or f"outputs/train/{compose.new_stamp()}-{label}")
    return _begin(Composed(config, {}, home), overrides, trust.for_checkpoints())


def _begin(composed: Composed, overrides: Sequence[str], trusted: Trust) -> Result:
    from gan_cli.config import build
    from gan_cli.runs import Run
    from gan_cli.session import Job

    build.check(composed.config, trusted)
    if Run(composed.folder).config.exists():
        remedy = f"gan train resume={composed.folder} continues it"
        raise ConfigError(two_lines(f"{composed.folder} holds a run already", remedy))
    facts = {"overrides": list(overrides), "choices": composed.choices}
    return _play(Job(_anchored(composed.config), composed.folder, facts, resume=False))


def _anchored(config: dict[str, Any]) -> dict[str, Any]:
    """With an absolute dataset.root, so that the run finds its data from any folder."""
    dataset = config["dataset"]
    root = dataset.get("root")
    if not root or str(root).startswith("~"):
        return config
    return {**config, "dataset": {**dataset, "root": str(Path(root).absolute())}}


def _more(limits: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """The settings that let a run go on for as long again as it was allowed to."""
    done = {"max_steps": result["step"], "max_images": result["images"], "max_minutes": result["seconds"] / 60}
    reached = [f"trainer.{key}={2 * limits[key]}" for key in done if limits.get(key) and done[key] >= limits[key]]
    return " ".join(reached) or f"trainer.max_steps={2 * result['step']}"


def _resume(overrides: Sequence[str], source: str) -> Result:
    from gan_cli.config import build, saved, trust
    from gan_cli.runs import NotARun, Run
    from gan_cli.session import Job
    from gan_cli.training.trainer import Limits

    try:
        run = Run.open(source)
    except NotARun as error:
        raise ConfigError(two_lines(str(error), "resume=outputs/train/<run> continues a run")) from error
    config = saved.change(saved.read(run.config.read_text(), run.config), overrides, saved.KEPT)
    build.check(config, trust.for_checkpoints())
    done = run.finished()
    limits = Limits(*(config["trainer"].get(k) for k in ("max_steps", "max_images", "max_minutes")))
    if done is not None and limits.reached(done):
        raise ConfigError(
            two_lines(
                f"{run.folder} is finished: step {done.step}, {done.images} images",
                f"give it more to do: {_more(config['trainer'], asdict(done))}",
            )
        )
    return _play(Job(config, run.folder, {"overrides": list(overrides)}, resume=True))


def _play(job: Job) -> Result:
    from gan_cli.config import build
    from gan_cli.runs import NotARun, Run
    from gan_cli.session import consider, play
    from gan_cli.training.ranks import launch

    processes = job.config["trainer"]["devices"]
    if processes == 1:
        return _conclude(job, play(job, 0))
    run = Run(job.folder)
    try:
        # What is wrong is told once, before the processes start.
        consider(build.trainer(job.config), job.config)
        with run.alone():
            pass
    except NotARun as error:
        raise ConfigError(str(error)) from error
    try:
        launch(play, job, processes)
    except RuntimeError:
        if run.read_result().get("status") != "failed":  # else it says what went wrong
            raise
    result = run.read_result()
    if not result:
        raise RunFailed(f"no process of the run reported a result; see {job.folder}")
    return _conclude(job, result)


def _conclude(job: Job, result: dict[str, Any]) -> Result:
    """Says where everything is, and raises what the run's end calls for."""
    from gan_cli.runs import Run
    from gan_cli.training.checkpoint import newest_first

    folder, step = job.folder, result["step"]
    if result["status"] == "failed":
        raise RunFailed(result["error"])
    typed = shlex.quote(str(folder))
    resume = f"gan train resume={typed}"
    if result["status"] == "stopped":
        raise Interrupted(two_lines(f"stopped at step {step}; everything is saved in {folder}", resume))
    diverged = result["status"] == "diverged"
    if diverged:
        log.warning("the run diverged: at step %d losses or weights are beyond any use", step)
    log.info("%s at step %d; everything is in %s", result["status"], step, folder)
    if newest_first(Run(folder).checkpoints):
        log.info("  gan sample %s n=64", typed)
        log.info("  gan eval %s", typed)
        log.info("  %s %s", resume, _more(job.config["trainer"], result))
    else:
        log.warning("no weights were kept: callback=[checkpoints] keeps them")
    best = result["best"]
    score = math.inf if diverged else None if best is None else float(best["value"])
    return Result(folder, result["status"], step, result["images"], result["last"], score)
