"""What `gan train` says of how it is doing, by a clock that the test sets."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from conftest import checked, words
from gan_cli.callbacks import progress
from gan_cli.callbacks.progress import ProgressLine
from gan_cli.config import build
from gan_cli.store.run import Run
from gan_cli.training.session import Session

Told = list[tuple[float, str]]  # after so many seconds, this line
Drive = Callable[..., Told]


@pytest.fixture
def drive(here: Path, monkeypatch: pytest.MonkeyPatch) -> Drive:
    """Steps of given lengths, without the work in between."""
    told: Told = []

    def run(
        seconds: Sequence[float], *choices: str, line: ProgressLine | None = None, before: float = 0.0, end: bool = True
    ) -> Told:
        trainer = build.trainer(checked(words("callback=[]", *choices)))
        trainer.clock = replace(trainer.clock, step=100 if before else 0, images=800 if before else 0, seconds=before)
        session = Session(trainer, Run(here / "run"))
        shown = line or ProgressLine()
        handler = logging.Handler()
        handler.emit = lambda record: told.append((session.clock.seconds, record.getMessage()))  # type: ignore[method-assign]
        monkeypatch.setattr(progress.log, "handlers", [handler])
        shown.on_start(session)
        for length in seconds:
            session.before = clock = trainer.clock
            trainer.clock = replace(clock, step=clock.step + 1, images=clock.images + 8, seconds=clock.seconds + length)
            shown.on_step(session)
        if end:
            shown.on_end(session, "finished")
        return told

    monkeypatch.setattr(progress.log, "level", logging.INFO)
    return run


def expectations(told: Told) -> Told:
    return [(at, line) for at, line in told if "on this machine" in line]


def lines(told: Told) -> list[float]:
    return [at for at, line in told if line.startswith("step ")]


def test_it_says_once_how_long_it_will_take_and_what_ends_it_sooner(drive: Drive) -> None:
    """The first step, which takes longer, does not count: 5000 steps of 0.35 s are 29 minutes."""
    told = expectations(drive([1.9, *[0.35] * 300], "trainer.max_steps=5000"))
    line = "about 29 minutes left on this machine (2.9 steps/s); trainer.max_minutes=5 ends it sooner"
    assert told == [(pytest.approx(1.9 + 9 * 0.35), line)]


@pytest.mark.parametrize(
    ("length", "choices", "at", "line"),
    [
        (0.01, ("trainer.max_steps=5000",), 2.0, "about 48 seconds left on this machine (100 steps/s)"),
        (6.0, ("trainer.max_steps=50",), 6.0, "about 5 minutes left on this machine (0.17 steps/s)"),
        (25.0, ("trainer.max_steps=11",), 25.0, "about 4 minutes left on this machine (0.04 steps/s)"),
        (
            0.5,
            ("trainer.max_steps=9000", "trainer.max_minutes=20"),
            5.0,
            "about 20 minutes left on this machine (2 steps/s)",
        ),
        (
            0.5,
            ("trainer.max_steps=null", "trainer.max_epochs=2"),
            5.0,
            "about 4 minutes left on this machine (2 steps/s)",
        ),
    ],
)
def test_the_pace_is_known_after_ten_steps_or_after_ten_seconds(
    drive: Drive, length: float, choices: tuple[str, ...], at: float, line: str
) -> None:
    assert expectations(drive([length] * 300, *choices)) == [(pytest.approx(at), line)]


def test_what_is_over_soon_is_not_foretold(drive: Drive) -> None:
    assert expectations(drive([0.1] * 40, "trainer.max_steps=40")) == []


def test_a_resumed_run_counts_the_minutes_that_it_has_had(drive: Drive) -> None:
    """`trainer.max_minutes` is of all sessions."""
    ((_, line),) = expectations(drive([1.0] * 30, "trainer.max_steps=5000", before=660.0))
    assert line.endswith("trainer.max_minutes=16 ends it sooner")


@pytest.mark.parametrize("length", [0.01, 0.4, 3.0, 9.0])
def test_lines_come_by_time(drive: Drive, length: float) -> None:
    """The first within ten seconds, then none later than half a minute after the last, nor much sooner."""
    at = lines(drive([length] * int(200 / length), "trainer.max_steps=100000", end=False))
    assert 10 - length < at[0] <= 10
    pauses = [later - sooner for sooner, later in pairwise(at)]
    assert all(30 - length - 1e-6 < pause <= 30 + 1e-6 for pause in pauses)


def test_steps_may_bring_more_lines_and_the_last_step_has_one(drive: Drive) -> None:
    told = drive([0.5] * 7, line=ProgressLine(every_steps=3))
    assert lines(told) == [1.5, 3.0, 3.5]
    assert re.fullmatch(r"step 7  epoch 0\.03  2 it/s  16 images/s  0:00 left  ", told[-1][1])


def test_a_step_that_takes_longer_than_the_pause_has_a_line_of_its_own(drive: Drive) -> None:
    assert lines(drive([45.0] * 4, "trainer.max_steps=100")) == [45.0, 90.0, 135.0, 180.0]
