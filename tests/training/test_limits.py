"""Runs counted in epochs: where they end, what is due in them, and that they are otherwise the same runs."""

from __future__ import annotations

import json
import shutil
from itertools import accumulate, pairwise
from pathlib import Path

import pytest
import torch

from conftest import Inside, same, weights, words
from gan_cli import train
from gan_cli.errors import ConfigError
from gan_cli.store import checkpoint
from gan_cli.store.run import step_of
from gan_cli.training.limits import Limits, due
from gan_cli.types import Clock

THIRDS = ("dataset.batch_size=599", "trainer.log_every=1")  # of the 1,797 digits: three steps an epoch
OLD = Path(__file__).resolve().parents[1] / "data" / "run"  # of an earlier version
RING = ("dataset=ring", "model=mlp", "+dataset.size=20")  # with eight a step, epochs end at steps 3, 5, 8, 10, 13, 15


def of_epochs(*more: str) -> tuple[str, ...]:
    return tuple(word for word in words(*more) if not word.startswith("trainer.max_steps="))


def saved(folder: Path) -> list[int]:
    return sorted(step_of(path) for path in (folder / "checkpoints").glob("step-*.pt"))


def rows(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(("size", "every"), [(1797, 1.0), (100, 2.5), (60000, 0.1), (7, 3.0), (10, 0.01)])
def test_each_stretch_of_epochs_is_noticed_once(size: int, every: float) -> None:
    """However the images come: in each of the steps in which the end of a stretch was reached, and in no other."""
    shown = torch.randint(1, 3 * size, (200,)).tolist()
    clocks = [Clock(step, images) for step, images in enumerate(accumulate(shown, initial=0))]
    stretch = max(1, round(size * every))
    ends = range(stretch, clocks[-1].images + 1, stretch)
    crossed = {next(now.step for now in clocks if now.images >= end) for end in ends}
    assert {now.step for before, now in pairwise(clocks) if due(before, now, size, 1, every)} == crossed


def test_steps_count_where_no_epochs_are_given_and_only_then() -> None:
    clocks = [Clock(step, 8 * step) for step in range(21)]
    steps = [now.step for before, now in pairwise(clocks) if due(before, now, 40, 4, None)]
    assert steps == [4, 8, 12, 16, 20]
    assert [now.step for before, now in pairwise(clocks) if due(before, now, 40, 4, 1.0)] == [5, 10, 15, 20]
    assert not any(due(before, now, 40, None, None) for before, now in pairwise(clocks))


def test_epochs_end_a_run_as_their_images_do_and_whichever_end_comes_first_counts() -> None:
    limits = Limits(None, None, None, max_epochs=2.5, size=40)
    assert limits.foreseeable
    assert [limits.reached(Clock(1, images)) for images in (99, 100)] == [False, True]
    assert limits.progress(Clock(1, 25)) == 0.25
    assert Limits(3, None, None, max_epochs=2, size=40).reached(Clock(3, 24))
    assert Limits(None, 50, None, max_epochs=2, size=40).max_images == 50
    assert Limits(None, 90, None, max_epochs=2, size=40).max_images == 80


def test_a_run_of_two_epochs_is_that_of_as_many_steps(here: Path) -> None:
    """Bit for bit, with a learning rate that follows the fraction of the run, and whatever looks on by epochs."""
    by_steps = train(*words(*THIRDS, "schedule=linear", steps=6)).folder
    often = ["callback.checkpoints.every_epochs=1", "callback.samples.every_epochs=1", "evaluation.every_epochs=2"]
    looked = ("callback=[history,samples,checkpoints]", *often, "evaluation.n=50")
    run = train(*of_epochs(*THIRDS, "schedule=linear", "trainer.max_epochs=2", *looked))
    assert run.step == 6
    assert same(weights(by_steps), weights(run.folder))
    assert saved(run.folder) == [3, 6]
    drawn = sorted(path.name for path in (run.folder / "samples").glob("step-*.png"))
    assert drawn == [f"step-{step:09d}.png" for step in (0, 3, 6)]
    assert [row["step"] for row in rows(run.folder) if "kid_pixels_50" in row] == [6]
    assert all(row["epoch"] == row["images"] / 1797 for row in rows(run.folder))
    assert {row["step"] for row in rows(run.folder) if row["epoch"] == 1} == {3}


def test_an_epoch_counts_what_the_discriminator_was_shown(here: Path) -> None:
    """Five critic steps a step: five batches."""
    run = train(*of_epochs(*THIRDS, "loss=wgan", "trainer.max_epochs=2"))
    assert (run.step, run.images) == (2, 2 * 5 * 599)


def test_an_epoch_of_points_is_their_size(here: Path) -> None:
    run = train(*of_epochs(*RING, "trainer.max_epochs=1.5"))
    assert (run.step, run.images) == (4, 32)


def test_a_run_resumed_within_an_epoch_ends_saves_and_thins_out_as_one_that_never_stopped(
    gan_here: Inside, here: Path
) -> None:
    often = ("callback.checkpoints.every_epochs=1", "callback.checkpoints.keep=1", "callback.checkpoints.keep_every=2")
    whole = train(*of_epochs(*RING, *often, "trainer.max_epochs=6", "hydra.run.dir=whole")).folder
    train(*of_epochs(*RING, *often, "trainer.max_epochs=3.4", "hydra.run.dir=parts"))  # at step 9, which ends no epoch
    asked = gan_here("train", "resume=parts")
    assert asked.returncode == 2
    assert "trainer.max_epochs=6.8" in asked.stderr
    assert gan_here("train", "resume=parts", "trainer.max_epochs=6").returncode == 0
    assert same(weights(whole), weights(here / "parts"))
    assert saved(whole) == saved(here / "parts") == [5, 10, 15]
    assert checkpoint.load(whole / "checkpoints" / "last.pt")["clock"]["images"] == 120


def test_epochs_of_which_none_ends_measure_nothing(here: Path, capsys: pytest.CaptureFixture) -> None:
    train(*of_epochs("dataset.batch_size=599", "trainer.max_epochs=1", "evaluation.every_epochs=2"))
    assert "evaluation.every_epochs=2 measures nothing: the run ends after 1797 images" in capsys.readouterr().err


@pytest.mark.parametrize(
    "word", ["trainer.max_epochs=0", "callback.samples.every_epochs=-1", "evaluation.every_epochs=x"]
)
def test_epochs_are_above_zero(here: Path, word: str) -> None:
    with pytest.raises(ConfigError, match=word.partition("=")[0]):
        train(*words("callback=[samples]", word))


def test_a_search_goes_by_what_is_measured_every_epoch(here: Path) -> None:
    with pytest.raises(ConfigError, match="waits for measurements"):
        train(*words("evaluation.patience=2"))
    assert train(*words("evaluation.patience=2", "evaluation.every_epochs=1")).step == 2


def test_a_run_from_before_there_were_epochs_says_how_to_count_them(gan_here: Inside, here: Path) -> None:
    shutil.copytree(OLD, here / "old")
    for word, remedy in (
        ("trainer.max_epochs=1", "this run is from before there was such a setting: +trainer.max_epochs=1 adds it"),
        ("epochs=1", "trainer.max_epochs=1 ends the run after so many; or .max_steps=, .max_images=, .max_minutes="),
    ):
        told = gan_here("train", "resume=old", word)
        assert (told.returncode, told.stderr.splitlines()[1]) == (2, f"  {remedy}")
    often = ("+callback.checkpoints.every_epochs=0.01", "+trainer.max_epochs=0.02", "trainer.max_steps=null")
    assert gan_here("train", "resume=old", *often).returncode == 0
    assert saved(here / "old") == [5]  # it had seen 32 images, and the end of 36 is in the next eight
