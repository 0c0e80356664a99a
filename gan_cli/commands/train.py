"""gan train: one run, a sweep, or the continuation of a run."""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_cli import console
from gan_cli.config import compose, trust
from gan_cli.config.compose import Composed
from gan_cli.config.words import divide, take
from gan_cli.errors import ConfigError, NotARun, NotWritable, Refused, RunFailed, two_lines
from gan_cli.runs.processes import Result, more, on_devices, our_place, play_all
from gan_cli.store import outputs, summary
from gan_cli.store.disk import remove_empty
from gan_cli.store.places import anchored

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from gan_cli.callbacks import Callback
    from gan_cli.config.trust import Trust
    from gan_cli.store.run import Run

log = logging.getLogger(__name__)

RESUMES = "resume=outputs/train/<run> continues a run"


def train(*words: str) -> Result:
    """Trains as `gan train` does, with the same words: `train("model=mlp", "dataset=ring")`.

    Raises:
        Refused: The request was wrong (ConfigError, Incompatible, DataError, ...); nothing was written.
        RunFailed: The work failed; the message says what was saved.
        Interrupted: The run was interrupted; its work is saved.
    """
    console.set_up()
    return _train(words)


def _train(words: Sequence[str]) -> Result:
    place = our_place()
    if place is None:
        return _start(words)
    from gan_cli.training.ranks import joined

    if place.rank == 0:
        with joined(place):
            return _start(words)
    console.silence()
    try:
        with joined(place):
            return _start(words)
    except Refused as error:
        raise Refused() from error  # which rank 0 says
    except RuntimeError as error:
        raise RunFailed(f"process {place.rank} of {place.world}: {error}") from error


def _start(words: Sequence[str]) -> Result:
    vouched, settings = trust.taken(words)
    asked = Asked(shlex.join(["gan", "train", *words]), settings, vouched)
    for key, go in (("resume", _resume), ("repeat", _repeat)):
        source, others = take(key, settings)
        if source is not None:
            return go(replace(asked, settings=others), source)
    return _begin(compose.compose("train", settings), asked, trust.for_runs(vouched))


def main(words: Sequence[str]) -> None:
    """The command line: `words` after `gan train`."""
    answer, words = take("json", words)
    console.set_up(aside=answer is not None and outputs.is_standard(Path(answer)))
    vouched, settings = trust.taken(words)
    flags = divide(settings)[1]
    if not compose.shown_by_hydra(flags):
        result = _train(words)
        if answer is not None:
            outputs.answer(answer, vars(result))
        return
    if {"-m", "--multirun"} & {*flags}:
        if our_place() is not None:
            remedy = "trainer.devices=N gives each run N processes"
            raise ConfigError(two_lines("-m does not go with torchrun", remedy))
        _sweep(words, answer)
        return
    if answer is not None:
        raise ConfigError(two_lines(f"{flags[0]} does not go with json=", "only what is run has an answer"))
    for key in ("resume", "repeat"):
        if take(key, settings)[0] is not None:
            remedy = f"{key}= takes its config from the run's config.yaml, with your changes on top"
            raise ConfigError(two_lines(f"{flags[0]} does not go with {key}=", remedy))
    typed = shlex.join(["gan", "train", *words])

    def job(config: DictConfig) -> float | None:
        try:
            composed = compose.inside_hydra(config)
            return _begin(composed, Asked(typed, divide(settings)[0], vouched), trust.for_runs(vouched)).score
        finally:
            remove_empty(compose.hydras_folder())  # Hydra makes it before the config is checked

    if {"-r", "--run"} & {*flags}:
        compose.check_plugins("train", settings, trust.for_runs(vouched))
    compose.hydra_main("train", job, settings)


def trial(asked: Asked, folder: Path, flags: Sequence[str] = ()) -> Result:
    """One run of a search, as a job of a sweep is run; it goes on from what it saved in its folder, if anything."""
    if _goes_on(folder, asked):
        return _resume(replace(asked, settings=[]), str(folder))
    composed = compose.compose("train", [*asked.settings, *flags])
    return _begin(composed._replace(folder=folder), asked, trust.for_runs(asked.vouched))


def _sweep(words: Sequence[str], answer: str | None) -> None:
    """`gan train -m ...`: many runs. The verdict that decide= asks for is all that standard output gets."""
    from gan_cli.sweeps import play, request

    if take("repeat", words)[0] is not None:
        remedy = "repeat= takes its config from the run's config.yaml, with your changes on top"
        raise ConfigError(two_lines("-m does not go with repeat=", remedy))
    asked = request.read(words)
    aside = asked.decide is not None or (answer is not None and outputs.is_standard(Path(answer)))
    console.set_up(aside=aside)
    vouched = trust.taken(asked.words)[0]

    def begin(composed: Composed, own: list[str]) -> float | None:
        return _begin(composed, Asked(asked.command, own, vouched), trust.for_runs(vouched)).score

    def resume(folder: Path) -> float | None:
        return _resume(Asked(asked.command, [], vouched), str(folder)).score

    found = play.play(asked, play.Jobs(begin, resume), aside)
    if answer is not None:
        outputs.answer(answer, found)


@dataclass(frozen=True)
class Asked:
    """What the user asked for."""

    command: str  # as it was typed
    settings: list[str]
    vouched: tuple[str, ...]
    watchers: tuple[Callback, ...] = ()  # beside those of the config


def _repeat(asked: Asked, source: str) -> Result:
    """A new run from another's config.yaml alone, with the user's changes to its values."""
    from gan_cli.config import nodes, saved
    from gan_cli.store.run import STAMP, Run

    path = Path(source)
    try:
        text = path if path.is_file() else Run.open(path).config
    except NotARun as error:
        raise NotARun(two_lines(str(error).splitlines()[0], "repeat=outputs/train/<run> repeats a run")) from error
    folder, others = take("hydra.run.dir", asked.settings)
    content = saved.content_of(text)
    there = saved.read(content, text)
    trusted = trust.for_files(asked.vouched)
    nodes.check_names(there, nodes.of_run, trusted)
    config = saved.change(saved.at_home(there, content), others)
    label = config.get("name") or STAMP.sub("", text.resolve().parent.name)
    home = Path(folder or f"outputs/train/{compose.new_stamp()}-{label}")
    chosen = summary.choices(summary.read(str(text.with_name("manifest.json"))))
    return _begin(Composed(config, chosen, home), asked, trusted)


def _begin(composed: Composed, asked: Asked, trusted: Trust) -> Result:
    from gan_cli.config import build
    from gan_cli.runs.job import Job
    from gan_cli.runs.picking import picked
    from gan_cli.store.run import Run

    checked = build.check(on_devices(_anchored(composed.config)), trusted)
    folder, goes_on = _home(composed.folder, asked)
    if goes_on:
        return _resume(replace(asked, settings=[]), str(folder))
    place = our_place()
    leads = place is None or place.rank == 0
    if leads and _holds_a_run(folder):
        from gan_cli.runs.endings import typed

        remedy = f"{typed('resume', Run(folder))} continues it"
        raise NotWritable(two_lines(f"{folder} holds a run already", remedy))
    if leads and composed.left_out:
        log.info(
            "settings left out, which belong to choices that this run does not make: %s", ", ".join(composed.left_out)
        )
    checked, how = picked(checked, trusted)
    facts = {"overrides": asked.settings, "choices": composed.choices, **({"runtime": how} if how else {})}
    job = Job(checked.config, folder, asked.command, facts, trusted, resume=False, watchers=asked.watchers)
    return play_all(job, checked)


def _holds_a_run(folder: Path) -> bool:
    from gan_cli.store.run import Run

    return os.path.exists(Run(folder).config)  # unlike Path's, False for a name that no file can have


def _home(folder: Path, asked: Asked) -> tuple[Path, bool]:
    """The run's folder, and whether the run goes on from a checkpoint in it: where torchrun or Slurm starts the
    processes again after one of them ended, it is the folder of their first start."""
    place = our_place()
    if place is None:
        return folder, False
    from gan_cli.training import ranks, together

    goes_on = False
    if place.rank == 0:
        known = ranks.earlier(str(folder), begins=not _holds_a_run(folder))
        folder = Path(known or folder)
        goes_on = known is not None and _goes_on(folder, asked)
    followed = together.told(str(folder) if goes_on else "")
    return (Path(followed), True) if followed else (folder, False)


def _goes_on(folder: Path, asked: Asked) -> bool:
    """Whether a run that was begun with these words has a checkpoint to go on from. If it was killed before its first,
    its folder is emptied; another run stays, to be told of."""
    from gan_cli.evaluation.comparison import words_of
    from gan_cli.store import removal
    from gan_cli.store.run import ENDED, Run, newest_first

    run = Run(folder)
    ours = words_of(folder) == tuple(asked.settings) and run.read_result().get("status") not in ENDED
    return removal.resumable(run) if ours else bool(newest_first(run.checkpoints))


def _anchored(config: dict[str, Any]) -> dict[str, Any]:
    """With dataset.root and evaluation.reference as they are found from any folder."""
    root, reference = (_setting(config, *path) for path in (("dataset", "root"), ("evaluation", "reference")))
    if root:
        config = {**config, "dataset": {**config["dataset"], "root": anchored(root)}}
    if reference and os.path.exists(reference):
        config = {**config, "evaluation": {**config["evaluation"], "reference": anchored(reference)}}
    return config


def _setting(config: Mapping[str, Any], group: str, key: str) -> str | None:
    """A setting that is a text; None for anything else, which the check refuses."""
    node = config.get(group)
    value = node.get(key) if isinstance(node, dict) else None
    return value if isinstance(value, str) else None


def _resume(asked: Asked, source: str) -> Result:
    from gan_cli.config import nodes, saved
    from gan_cli.store.run import Run

    try:
        run = Run.open(source)
    except NotARun as error:
        raise NotARun(two_lines(str(error).partition("\n")[0], _resumable(source))) from error
    if run.imported():
        typed = shlex.quote(source)
        remedy = f"gan train repeat={typed} init_from={typed} dataset.root=FOLDER begins a run with its weights"
        raise NotARun(two_lines(f"{source} was imported: it has no state of optimizers, and cannot go on", remedy))
    content = saved.content_of(run.config)
    there = saved.read(content, run.config)
    trusted = trust.for_files(asked.vouched)
    nodes.check_names(there, nodes.of_run, trusted)
    former = saved.at_home(there, content)
    config = saved.change(former, asked.settings, saved.KEPT)
    if asked.settings:
        from gan_cli.references.former import check

        check(*(_setting(each, "evaluation", "reference") for each in (former, config)))
    return _go_on(run, config, asked, trusted)


def _resumable(source: str) -> str:
    """The remedy where there is no run to resume."""
    from gan_cli.store.run import Run
    from gan_cli.sweeps.folder import Sweep

    run = Run(Path(source).parent.parent)
    if run.config.is_file() and Path(source).parent == run.checkpoints:
        typed, folder = shlex.quote(source), shlex.quote(str(run.folder))
        return f"resume={folder} goes on from the newest checkpoint, init_from={typed} begins a run with these weights"
    return f"gan train -m resume={source} continues this sweep" if Sweep(source).is_one() else RESUMES


def _go_on(run: Run, config: dict[str, Any], asked: Asked, trusted: Trust) -> Result:
    from gan_cli.config import build
    from gan_cli.runs.job import Job
    from gan_cli.runs.picking import picked
    from gan_cli.training.limits import ENDS, Limits

    checked = build.check(on_devices(config), trusted)
    trainer = checked.config["trainer"]
    done = run.finished()
    limits = Limits(**{end: trainer.get(end) for end in ENDS}, size=run.size())
    if done is not None and limits.reached(done):
        raise ConfigError(
            two_lines(
                f"{run.folder} is finished: step {done.step}, {done.images} images",
                f"give it more to do: {more(trainer, done, run.size())}",
            )
        )
    checked, _ = picked(checked, trusted)
    facts = {"overrides": asked.settings}
    job = Job(checked.config, run.folder, asked.command, facts, trusted, resume=True, watchers=asked.watchers)
    return play_all(job, checked)
