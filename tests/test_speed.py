"""What `make bench` compares is the same work, and its page shows what was measured."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import speed
import speed_tables
from counted import cost


def test_arithmetic_and_memory_are_counted() -> None:
    """Of a product [3, 5] x [5, 7], and of a gradient by its first factor that could be differentiated again."""
    left, right = torch.randn(3, 5, requires_grad=True), torch.randn(5, 7)
    product = 2 * 3 * 5 * 7 / 1e9
    assert cost(lambda: left @ right) == (pytest.approx(product), (15 + 35 + 21) * 4 / 2**20)
    assert cost(lambda: torch.autograd.grad((left @ right).sum(), left, create_graph=True))[0] == pytest.approx(
        2 * product
    )


def test_memory_that_was_let_go_is_not_counted_twice() -> None:
    def work() -> None:
        for _ in range(3):
            torch.ones(2**18)

    assert cost(work)[1] == 1


@pytest.mark.parametrize("name", speed.PAIRS)
def test_the_tutorial_computes_what_we_do(name: str) -> None:
    """The same losses and gradients, for the same networks, batch and random numbers."""
    pair = speed.PAIRS[name]
    ours, config = speed.trainer_of((*pair.words, *pair.tiny, "trainer.device=cpu"))
    theirs = speed.tutorial_of(pair, ours, config, "twice", torch.device("cpu"))
    batch = ours.data.batch(0)

    torch.manual_seed(0)
    ours._freeze_all_but(("discriminator",))
    loss = sum(ours.game.discriminator_objective(batch, 0).terms.values())
    gradients = torch.autograd.grad(loss, ours.weights["discriminator"])
    ours._freeze_all_but(("generator",))
    answer = sum(ours.game.generator_objective(batch, 0).terms.values())

    torch.manual_seed(0)
    same, *_ = theirs.discriminator_loss(batch.real.clone(), batch.label)
    again = torch.autograd.grad(same, list(theirs.discriminator.parameters()))
    torch.testing.assert_close(same, loss)
    torch.testing.assert_close(again, gradients)
    torch.testing.assert_close(theirs.generator_loss(theirs.draw(batch.label), batch.real, batch.label), answer)


def test_a_pair_is_measured_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Each of our loops has a row; fewer fakes are less of it."""
    arguments = Namespace(tiny=True, seconds=0.0, threads=1, device="cpu")
    speed.measured("mlp on ring", arguments, torch.device("cpu"))
    line = json.loads(capsys.readouterr().out)
    loops = line["loops"]
    assert loops["reused"]["gflop"] < loops["ours"]["gflop"]
    assert loops[speed_tables.TUTORIAL]["gflop"] < loops["tutorial, fakes twice"]["gflop"]
    (rows,) = speed_tables.newest([line, line], "speed").values()
    assert len(speed_tables.steps(rows)) == 2 + len(loops) - len(speed.TUTORIALS)


def test_the_page_shows_the_results() -> None:
    shown = speed_tables.PAGE.read_text()
    assert speed_tables.page(shown, speed_tables.results()) == shown, "run benchmarks/speed.py --table"
    assert all(f"| {name} |" in shown for name in speed.PAIRS)
