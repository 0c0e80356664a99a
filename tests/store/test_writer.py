"""What is written in the background is written, in order, and its errors reach whoever handed it over."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch

from conftest import words
from gan_cli import train
from gan_cli.errors import RunFailed
from gan_cli.store import checkpoint
from gan_cli.store.run import Run
from gan_cli.store.writer import Writer


def test_work_is_done_in_order_and_one_piece_at_a_time() -> None:
    writer, go, done = Writer(), threading.Event(), []
    writer.submit(lambda: (go.wait(), done.append(1)))
    assert not done  # nobody has waited
    go.set()
    writer.submit(lambda: done.append(2))
    writer.wait()
    assert done == [1, 2]


def test_an_error_is_raised_once_by_whoever_asks_next() -> None:
    writer = Writer()
    writer.submit(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        writer.wait()
    writer.wait()
    writer.submit(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        writer.submit(lambda: None)
    writer.check()


def test_a_snapshot_stays_as_it_was_and_shares_what_was_shared() -> None:
    layer = torch.nn.BatchNorm2d(2)
    lasting = torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    state = {"net": layer.state_dict(), "twice": [lasting, lasting], "n": 3, "pair": (lasting, None)}
    kept = checkpoint.snapshot(state)
    before = lasting.clone()
    lasting.zero_()
    layer.weight.data.zero_()
    first, second = kept["twice"]
    assert torch.equal(first, before)
    assert first.is_contiguous(memory_format=torch.channels_last)
    assert first is second is kept["pair"][0]
    assert kept["net"]["weight"].sum() == 2
    assert kept["net"]._metadata == state["net"]._metadata
    assert kept["n"] == 3


def test_a_checkpoint_written_in_the_background_is_the_same(here: Path) -> None:
    for run, background in (("a", "true"), ("b", "false")):
        train(
            *words(
                f"callback.checkpoints.background={background}",
                "callback.checkpoints.every_steps=1",
                f"hydra.run.dir={run}",
                steps=3,
            )
        )
    for name in ("step-000000001.pt", "step-000000002.pt", "last.pt"):
        one, other = (checkpoint.load(Run(run).checkpoints / name) for run in ("a", "b"))
        assert all(torch.equal(one["game"][key], other["game"][key]) for key in other["game"])
        assert one["updates"] == other["updates"]


@pytest.mark.parametrize("step", [2, 3])  # in the middle, and the last, for which the end of the run waits
def test_what_cannot_be_written_ends_the_run_and_what_was_saved_is_named(here: Path, step: int) -> None:
    blocked = Run("run").checkpoints / f"step-{step:09d}.pt"
    blocked.mkdir(parents=True)
    with pytest.raises(RunFailed, match=blocked.name) as caught:
        train(*words("callback.checkpoints.every_steps=1", "hydra.run.dir=run", steps=3))
    assert f"step-{step - 1:09d}.pt" in {path.name for path in Run("run").checkpoints.iterdir()}
    assert checkpoint.load(Run("run").checkpoints / "last.pt")["clock"]["step"] == step - 1
    assert Run("run").read_result()["error"] == str(caught.value)
