"""Whose a trial is: nobody else's while its process lives, and the next one's once that is gone."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import optuna
import pytest

from gan_cli.errors import ConfigError
from gan_cli.search import pruners, samplers, space, storage
from gan_cli.search.outcome import DONE, PRUNED, REFUSED, Ending
from gan_cli.search.study import Study, begin
from gan_cli.store.summary import Score

RATES = "optimizer.lr=interval(0,1)"


def study(folder: Path, word: str = RATES) -> Study:
    storage.load()
    kept = storage.opened("sqlite", folder)
    begun = begin("search", "sqlite", kept, folder, folder / "search.json")
    (folder / "search.json").touch()  # which a search writes before its first trial
    pruner = pruners.none()(pruners.Measured(None, None))
    return Study(begun, "sqlite", folder, space.read([word]), samplers.random(0), pruner)


def test_processes_share_a_study_and_what_one_leaves_behind_another_takes(tmp_path: Path) -> None:
    folder = tmp_path / "a ?%#{b}"  # none of which may mean anything in the storage's address
    folder.mkdir()
    one, other = study(folder), study(folder)
    with ExitStack() as both:
        first, second = (both.enter_context(each.next(2)) for each in (one, other))
        assert first is not None
        assert second is not None
        assert (first.number, second.number, second.left) == (0, 1, False)
        with one.next(2) as third:
            assert third is None  # there are two, and both are somebody's
        other.tell(second, Ending(DONE, Score("kid", 0.5, 3, "smaller")))
    with other.next(2) as again:  # nobody told how the first ended
        assert again is not None
        assert (again.number, again.words, again.left) == (0, first.words, True)
    assert (folder / "study.db").is_file()


@pytest.mark.parametrize(
    ("outcome", "state", "value"),
    [
        (Ending(DONE, Score("kid", 0.5, 3, "smaller")), "COMPLETE", 0.5),
        (Ending(DONE, Score("recall", 0.5, 3, "larger")), "COMPLETE", -0.5),
        (Ending("diverged", Score("kid", 0.5, 3, "smaller")), "COMPLETE", float("inf")),
        (Ending(PRUNED, Score("kid", 0.5, 3, "smaller")), "PRUNED", None),
        (Ending(REFUSED, why="no"), "FAIL", None),
        (Ending("failed", why="no"), "FAIL", None),
    ],
)
def test_a_study_is_told_how_a_trial_ended(tmp_path: Path, outcome: Ending, state: str, value: float | None) -> None:
    mine = study(tmp_path)
    with mine.next(1) as trial:
        assert trial is not None
        mine.tell(trial, outcome)
    (found,) = mine.trials
    assert (found.state, found.value) == (optuna.trial.TrialState[state], value)


def test_trials_whose_words_are_gone_are_nobodys(tmp_path: Path) -> None:
    begun = study(tmp_path)
    (tmp_path / "search.json").unlink()
    with study(tmp_path, "optimizer.lr=interval(0,2)").next(1):  # no trial was asked for: it begins
        pass
    (tmp_path / "search.json").unlink()
    with pytest.raises(ConfigError, match=r"search\.json, which has its words, is gone\n  put it back"):
        study(tmp_path)
    assert len(begun.trials) == 1


def test_the_values_of_another_space_are_not_made_words(tmp_path: Path) -> None:
    with study(tmp_path).next(1):
        pass
    with pytest.raises(ConfigError, match="another space"), study(tmp_path, "optimizer.lr=interval(0,2)").next(1):
        pass
