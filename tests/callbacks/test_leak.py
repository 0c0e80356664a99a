"""The alarm leaking_augmentation in a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import words
from gan_cli import train
from gan_cli.callbacks import readings
from gan_cli.errors import Refused
from gan_cli.store.rows import read_rows

WATCHING = ("callback=[history,leak]", "callback.leak.every_steps=2", "callback.leak.n=100", "callback.leak.steps=60")


def test_a_run_publishes_the_share_of_samples_that_look_changed(here: Path) -> None:
    run = train(*words(*WATCHING, steps=4))
    read = {row["step"]: row[readings.LEAK] for row in read_rows(run.folder / "metrics.jsonl") if readings.LEAK in row}
    assert {*read} == {2, 4}
    assert all(0 <= share <= 1 for share in read.values())


def test_points_have_no_augmentations_that_show(here: Path) -> None:
    with pytest.raises(Refused, match="these are points") as caught:
        train("model=mlp", "dataset=ring", "callback=[leak]", "trainer.max_steps=1")
    assert len(str(caught.value).splitlines()) == 2
    assert not [*here.iterdir()]
