"""A study in a folder: which trial is whose, and what became of each. Several processes may be at it."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_cli.errors import ConfigError, two_lines
from gan_cli.search import storage
from gan_cli.search.outcome import DIVERGED, DONE, PRUNED, Ending, home
from gan_cli.search.samplers import OfTrial
from gan_cli.search.space import Space
from gan_cli.search.watch import Watch
from gan_cli.store.locks import Held, alone, holding

if TYPE_CHECKING:
    import optuna
    from optuna.pruners import BasePruner
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

FOLDER = "folder"  # in the study: where its runs are
ABOUT = "gan"  # in each trial that ended: its Ending, and the name of its run folder
MOST_WORDS = 1000  # characters of an error that are kept there


@dataclass(frozen=True)
class Trial:
    """A trial that is this process's to run.

    Attributes:
        folder: Of its run.
        left: Whether another process began it and was killed.
    """

    number: int
    words: list[str]
    folder: Path
    left: bool


@dataclass(frozen=True)
class Study:
    """Optuna's study of one search.

    Attributes:
        kept: The storage, by its word.
    """

    study: optuna.Study
    kept: str
    folder: Path
    space: Space
    sampler: OfTrial
    pruner: BasePruner

    @property
    def trials(self) -> list[FrozenTrial]:
        with storage.faults(self.kept), storage.quiet():
            return self.study.get_trials(deepcopy=False)

    @contextmanager
    def next(self, most: int) -> Iterator[Trial | None]:
        """The next trial to run, nobody else's during the block: one whose process was killed, or a new one unless
        there are `most`."""
        with ExitStack() as held:
            with alone(self.folder / storage.LOCK), storage.faults(self.kept), storage.quiet():
                trial = self._left_behind(held) or self._new(most, held)
            yield trial

    def _left_behind(self, held: ExitStack) -> Trial | None:
        from optuna.trial import TrialState

        for found in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            try:
                held.enter_context(self._alone(found.number))
            except Held:
                continue
            missing = {key: made for key, made in self.space.ranges.items() if key not in found.params}
            if missing:  # it was killed while it asked
                trial = self._trial(found.number)
                for key, distribution in missing.items():
                    trial._suggest(key, distribution)
                found = self.study.get_trials(deepcopy=False)[found.number]
            return self._mine(found, left=True)
        return None

    def _trial(self, number: int) -> optuna.Trial:
        import optuna

        self.study.sampler = self.sampler(number)
        return optuna.Trial(self.study, self.study.get_trials(deepcopy=False)[number]._trial_id)

    def _new(self, most: int, held: ExitStack) -> Trial | None:
        number = len(self.study.get_trials(deepcopy=False))
        if number >= most:
            return None
        held.enter_context(self._alone(number))
        self.study.sampler = self.sampler(number)
        asked = self.study.ask(dict(self.space.ranges))
        return self._mine(self.study.get_trials(deepcopy=False)[asked.number], left=False)

    def _mine(self, found: FrozenTrial, left: bool) -> Trial:
        if found.distributions != dict(self.space.ranges):  # then its values are not ours to put into words
            what = f"trial {found.number} of the study in {self.kept} is of another space"
            raise ConfigError(two_lines(what, "study=NAME begins another study"))
        return Trial(found.number, self.space.words(found.params), home(self.folder, found.number), left)

    def _alone(self, number: int) -> Any:
        return holding(self.folder / f".trial-{number}.lock", f"process {os.getpid()} on {platform.node()}")

    def watch(self, trial: Trial) -> Watch:
        """What tells the study of the trial's measurements."""
        return Watch(self.kept, self.folder.absolute(), self.study.study_name, trial.number, self.pruner)

    def tell(self, trial: Trial, outcome: Ending) -> None:
        """Writes how a trial ended. One that failed or was refused has no value, one that diverged an infinite one."""
        from optuna.trial import TrialState

        state = {DONE: TrialState.COMPLETE, DIVERGED: TrialState.COMPLETE, PRUNED: TrialState.PRUNED}
        ended = state.get(outcome.ended, TrialState.FAIL)
        with storage.faults(self.kept), storage.quiet():
            about = {**asdict(outcome), "why": outcome.why[:MOST_WORDS], "folder": trial.folder.name}
            self._trial(trial.number).set_user_attr(ABOUT, about)
            self.study.tell(trial.number, outcome.cost if ended is TrialState.COMPLETE else None, state=ended)

    def forget(self) -> None:
        """Removes the study from its storage, which may be shared with others."""
        import optuna

        with storage.faults(self.kept), storage.quiet():
            kept = storage.opened(self.kept, self.folder)
            optuna.delete_study(study_name=self.study.study_name, storage=kept)


def begin(name: str, word: str, kept: BaseStorage, folder: Path, words: Path) -> optuna.Study:
    """The study of the search in this folder.

    Args:
        word: The storage as it was typed.
        words: The file that has the words of the search, from before its first trial on. Where it is not there yet the
            search begins; else the study has to be there.

    Raises:
        ConfigError: It is not there, or it is that of another folder or of words that are gone.
    """
    import optuna

    with alone(folder / storage.LOCK), storage.faults(word), storage.quiet():
        there = name in optuna.get_all_study_names(kept)
        if there and not words.exists():
            _check_empty(optuna.load_study(study_name=name, storage=kept), word, folder, words)
        if not there and words.exists():
            what = f"storage={word} has no study called {name}, which this search began"
            raise ConfigError(two_lines(what, "put it back; the runs are in the folder all the same"))
        study = optuna.create_study(study_name=name, storage=kept, direction="minimize", load_if_exists=True)
        if not there:
            study.set_user_attr(FOLDER, str(folder.resolve()))
    return study


def _check_empty(study: optuna.Study, word: str, folder: Path, words: Path) -> None:
    """Raises ConfigError for a study that another search began, or of which trials were asked for: by words that are
    gone, so that their values could be taken for those of others."""
    runs = study.user_attrs.get(FOLDER)
    if not storage.own(word) and runs != str(folder.resolve()):
        what = f"storage={word} has a study called {study.study_name} already, whose runs are in {runs}"
        raise ConfigError(two_lines(what, f"study=NAME begins another; gan search resume={runs} goes on with it"))
    if study.get_trials(deepcopy=False):
        what = f"storage={word} has trials of this search, but {words}, which has its words, is gone"
        raise ConfigError(two_lines(what, "put it back, or begin the search anew in another folder"))
