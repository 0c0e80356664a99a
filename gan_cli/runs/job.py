"""One session of a run: build, restore, train, and write how it ended."""

from __future__ import annotations

import logging
import platform
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from gan_cli.callbacks import Callback
from gan_cli.config import build, own, plain_yaml, saved
from gan_cli.config.trust import Trust
from gan_cli.errors import (
    CheckpointError,
    ConfigError,
    DiskFull,
    Incompatible,
    NotARun,
    NotWritable,
    RunFailed,
    Unsound,
    two_lines,
)
from gan_cli.games.base import Game
from gan_cli.progress import display
from gan_cli.references.opening import beside
from gan_cli.runs import endings
from gan_cli.runs.foresight import Said, consider
from gan_cli.store import contents
from gan_cli.store.checkpoint import load_newest
from gan_cli.store.disk import NotWritten, is_full
from gan_cli.store.rows import read_rows
from gan_cli.store.run import Run, checkpoints_of, heard
from gan_cli.training import together
from gan_cli.training.limits import ENDS, Limits
from gan_cli.training.runtime import StopRequest, out_of_memory, process_settings_kept, stop_on_signals
from gan_cli.training.session import Session
from gan_cli.training.trainer import Trainer
from gan_cli.types import Clock, Named

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """One session of one run; plain values, so that it reaches other processes."""

    config: dict[str, Any]
    folder: Path
    command: str  # as it was typed
    facts: dict[str, Any]
    trust: Trust
    resume: bool
    watchers: tuple[Callback, ...] = ()  # beside those of the config
    aloud: bool = True  # else the process that started this one has said what is found while building


def play(job: Job, rank: int) -> dict[str, Any]:
    """Trains as one of the run's processes. Rank 0 writes; the result that it wrote is returned."""
    with process_settings_kept():
        return _play(job, rank)


def _play(job: Job, rank: int) -> dict[str, Any]:
    run = Run(job.folder)
    try:
        checked = build.check(job.config, job.trust)
        earlier = _earlier(run, job)
        with heard(job.aloud and rank == 0) as lines, display():
            trainer = build.trainer(checked, rank, partial(_check_types, earlier))
        trainer.place()
        if rank != 0:
            evaluation = build.evaluation(checked, beside(checked, job.trust))
            return _follow(Session(trainer, run, measures=evaluation.contribute), job, earlier)
        with display(), together.apart():  # the others wait until there is a run
            callbacks = [*build.callbacks(checked, beside(checked, job.trust)), *job.watchers]
            session = Session(trainer, run, callbacks, plain_yaml.written(job.config))
            said = consider(session, checked)
        with run.alone():
            if not job.resume and run.config.exists():  # another process was faster
                remedy = f"{endings.typed('resume', run)} continues it"
                raise NotARun(two_lines(f"{job.folder} holds a run already", remedy))
            return _play_alone(session, job, earlier, lines, said)
    except OSError as error:
        if not job.resume:
            raise NotWritable(two_lines(endings.where(error), "hydra.run.dir=FOLDER names another folder")) from error
        remedy = "make room, or make the folder writable" if isinstance(error, NotWritten) else ""
        failed = DiskFull if is_full(error) else RunFailed
        raise failed(two_lines(f"{endings.where(error)}; nothing was trained", remedy)) from error
    except Exception as error:
        if out_of_memory(error):
            raise ConfigError(
                two_lines("this run needs more memory than there is", endings.smaller(job.config))
            ) from error
        raise


def _follow(session: Session, job: Job, earlier: Earlier | None) -> dict[str, Any]:
    """The session of a process that does not write; it logs into a file of its own, once there is a run."""
    trainer, rank = session.trainer, session.trainer.runtime.rank
    _restore(trainer, earlier, job)
    together.told("")  # the folder is made
    with session.run.logging_of(rank):
        log.info(
            "process %d of %d, from step %d, on %s", rank, trainer.runtime.world, session.clock.step, _where(trainer)
        )
        try:
            status = session.fit(StopRequest())
        except Exception as error:
            log.error("%s: %s", type(error).__name__, error, exc_info=True)
            raise
        log.info("%s at step %d", status, session.clock.step)
    return {"status": status}


def _where(trainer: Trainer) -> str:
    return f"{trainer.runtime.device} of {platform.node()}"


def _play_alone(
    session: Session, job: Job, earlier: Earlier | None, lines: Sequence[logging.LogRecord], said: list[Said]
) -> dict[str, Any]:
    """The session of the one process that writes."""
    trainer, run = session.trainer, session.run
    restored = [*_restore(trainer, earlier, job), *_other_length(trainer, run, job)]
    described = _describe(trainer)
    said = [*restored, *said, *_other_data(run, described)]
    if job.resume and not run.read_manifest():
        said.append((logging.WARNING, f"{run.manifest} cannot be read: starting a new one"))
    facts = {**job.facts, "seed": trainer.seed, "data": described, "parameters": _sizes(trainer)}
    run.begin(session.config, job.command, facts)
    together.told("")  # the others may write beside it
    own.remember(session.config)
    with run.logging(lines):
        for level, line in said:
            log.log(level, "%s", line)
        log.info("training in %s on %s", job.folder, trainer.runtime)
        return _guarded(session, job)


def _guarded(session: Session, job: Job) -> dict[str, Any]:
    """Trains, and writes how it ended, whatever happens."""
    begun, run = session.clock, session.run
    result: dict[str, Any] = {"status": "stopped"}  # stays so if interrupted in the middle of a step
    with stop_on_signals() as stop, quiet_threads():
        try:
            result = {"status": session.fit(stop)}
        except Exception as error:
            log.debug("the run failed", exc_info=True)
            session.close()  # what is being written belongs to what is saved
            foreseen = endings.told(error, run, job.config)
            result = {"status": "failed", "error": foreseen or f"{type(error).__name__}: {error}; {endings.saved(run)}"}
            result |= endings.lack_of_space(error)
            if not foreseen:
                raise
        finally:
            try:
                session.close()
            finally:
                _conclude(session, result, begun)
    return result


def _conclude(session: Session, result: dict[str, Any], begun: Clock) -> None:
    """Completes the result and writes it; if it cannot be written, that is reported, unless there is worse news."""
    clock, run = session.clock, session.run
    spent = max(clock.seconds - begun.seconds, 1e-9)
    if session.diverged and result["status"] == "finished":
        result["status"] = "diverged"
    result |= {
        "step": clock.step,
        "images": clock.images,
        "seconds": clock.seconds,
        "images_per_second": (clock.images - begun.images) / spent,
        "best": session.best,
        "last": _last(run),
        **session.findings(),
    }
    try:
        run.end(result)
    except OSError as error:
        log.debug("the result was not written", exc_info=True)
        if "error" not in result:
            result |= {
                "status": "failed",
                "error": two_lines(f"{endings.where(error)}; {endings.saved(run)}", endings.again(run)),
                **endings.lack_of_space(error),
            }


@contextmanager
def quiet_threads() -> Iterator[None]:
    """An error that ends a thread goes to the log only: whoever waits for the thread reports it properly."""
    before = threading.excepthook
    threading.excepthook = lambda args: log.debug("a thread failed: %s", args.exc_value)
    try:
        yield
    finally:
        threading.excepthook = before


def _last(run: Run) -> dict[str, float]:
    """All numbers of the last step that has any; several callbacks may have recorded some."""
    try:
        rows = read_rows(run.metrics)
    except OSError:
        return {}
    return {name: value for row in rows if row["step"] == rows[-1]["step"] for name, value in row.items()}


def _describe(trainer: Trainer) -> dict[str, Any]:
    data = trainer.data
    facts: dict[str, Any] = {"samples": len(data), "shape": list(data.shape), "sha256": data.fingerprint()}
    if isinstance(data, Named):
        facts |= {"class_names": list(data.class_names)} if data.class_names else {}
        facts |= {"read": dict(data.described)} if data.described else {}
    return facts


def _other_data(run: Run, described: dict[str, Any]) -> list[Said]:
    """A warning where the data of a resumed run have changed."""
    then = run.data() or described
    began, now = ({key: data.get(key) for key in ("samples", "shape", "sha256")} for data in (then, described))
    if began == now:
        return []
    return [(logging.WARNING, f"the data have changed since this run began: {began} then, {now} now")]


def _sizes(trainer: Trainer) -> dict[str, int]:
    return {name: sum(p.numel() for p in player.parameters()) for name, player in trainer.players.items()}


class Earlier(NamedTuple):
    """The checkpoint that a session starts from."""

    state: dict[str, Any]
    path: Path
    source: Path  # as the user named it
    problems: Sequence[str]  # with newer checkpoints, which cannot be used


def _earlier(run: Run, job: Job) -> Earlier | None:
    """Read before anything is built, so that an unusable checkpoint is reported at once."""
    source = run.folder if job.resume else job.config.get("init_from")
    if source is None:
        return None
    paths, _ = checkpoints_of(source)
    state, path, problems = load_newest(paths)
    return Earlier(state, path, source, problems)


def _check_types(earlier: Earlier | None, game: Game) -> None:
    """Raises CheckpointError where the weights to start from are of other types than the game's."""
    if earlier is None:
        return
    try:
        contents.check_types(earlier.state["game"], game, "game")
    except Unsound as error:
        raise _unusable(earlier, error) from error


def _other_length(trainer: Trainer, run: Run, job: Job) -> list[Said]:
    """What a resumed run does at another pace than before, since its limits are others."""
    if not job.resume:
        return []
    before = saved.read(saved.content_of(run.config), run.config).get("trainer", {})
    then, now = ({end: each.get(end) for end in ENDS} for each in (before, job.config["trainer"]))
    if then == now or not any(then.values()):
        return []
    jumps = trainer.jumps(Limits(**then, size=len(trainer.data)))
    remedy = f"a run of this length from its start is gan train {endings.typed('repeat', run)} with the same limits"
    return [(logging.WARNING, f"{jumps}; {remedy}")] if jumps else []


def _unusable(earlier: Earlier, error: Unsound) -> CheckpointError:
    return CheckpointError(f"{earlier.path} cannot be used: {error}")


def _misplaced(earlier: Earlier, job: Job) -> str:
    """A warning where the checkpoint is another run's."""
    config = saved.read(earlier.state["config"].encode(errors="surrogatepass"), earlier.path)
    return saved.of_another(config, earlier.path, Run(job.folder).config)


def _restore(trainer: Trainer, earlier: Earlier | None, job: Job) -> list[Said]:
    """Loads the state to start from; returns the lines to log about it once the log is open."""
    if earlier is None:
        return []
    state, path = earlier.state, earlier.path
    told: list[str] = []
    try:
        if job.resume:
            trainer.load_state_dict(state)
        else:
            told = trainer.take_weights(state, str(earlier.source))
    except Unsound as error:
        raise _unusable(earlier, error) from error
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise Incompatible(two_lines(f"the weights of {earlier.source} do not fit this model", first)) from error
    warnings = [(logging.WARNING, f"{problem}; using {path.name}, the one before it") for problem in earlier.problems]
    if job.resume and (said := _misplaced(earlier, job)):
        warnings.append((logging.WARNING, said))
    if job.resume and "draws" not in state:
        older = "this checkpoint is from an earlier version of gan: from here on images come in another order"
        warnings.append((logging.WARNING, older))
    begun = f"resuming at step {trainer.clock.step}" if job.resume else f"starting from the weights of {path}"
    return [*warnings, *((logging.INFO, line) for line in (begun, *told))]
