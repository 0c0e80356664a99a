"""Each image is shown to D once an epoch: phases that look at no real samples draw none."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch
from torch import Tensor

from conftest import same, weights, words
from gan_cli import train
from gan_cli.config import build, compose
from gan_cli.data.images import Decoded, Images, Request
from gan_cli.data.points import Points, ring
from gan_cli.games.adversarial import Adversarial
from gan_cli.games.parts import Parts
from gan_cli.games.unrolled import Unrolled
from gan_cli.losses import NonSaturating, RelativisticPairing
from gan_cli.networks import mlp
from gan_cli.priors import Normal
from gan_cli.store import checkpoint
from gan_cli.types import Batch, Need, Round, Term


def numbered(request: Request) -> Decoded:
    """96 images, each of a grey value of its own; three quarters are of class 1."""
    values = torch.arange(96, dtype=torch.uint8)
    labels = (torch.arange(96) % 4 > 0).long()
    return Decoded(values.view(-1, 1, 1, 1).expand(-1, 1, request.height, request.width).clone(), labels)


def images(classes: int = 0) -> Images:
    return Images(numbered, ".", resolution=16, channels=1, classes=classes, batch_size=8)


def epochs(updates: int, *choices: str) -> tuple[list[Counter[int]], Counter[int]]:
    """Which images D saw as real in each epoch of `updates` of its updates, and those that any phase drew in all."""
    trainer = build.trainer(compose.compose("train", words("dataset.resolution=16", *choices)).config)
    trainer.data = data = images()
    drawn: list[list[int]] = []
    take = data.batch

    def watched(draw: int) -> Batch:
        batch = take(draw)
        drawn.append([round(float(value)) for value in (batch.real[:, 0, 0, 0] + 1) * 127.5])
        return batch

    data.batch = watched  # type: ignore[method-assign]
    while trainer.updates["discriminator"] < updates:
        trainer.step()
    size = len(data) // data.batch_size
    parts = [drawn[i : i + size] for i in range(0, len(drawn), size)]
    return [Counter(i for batch in part for i in batch) for part in parts], Counter(i for b in drawn for i in b)


ONCE = Counter(range(96))


@pytest.mark.parametrize("choices", [(), ("game.critic_steps=4",), ("loss=wgan_gp", "game.critic_steps=3")])
def test_an_epoch_shows_each_image_to_the_discriminator_once(choices: tuple[str, ...]) -> None:
    (first, second), _ = epochs(24, *choices)
    assert first == second == ONCE


def test_where_the_generator_compares_with_real_samples_both_phases_share_the_walk() -> None:
    """D and G then take turns in one walk through the data: twelve updates of each are two epochs."""
    (first, second), both = epochs(12, "loss=r3gan")
    assert first == second == ONCE
    assert set(both.values()) == {2}


class Compares(Term):
    """How far a sample is from the real one of its row."""

    needs = frozenset({Need.REAL})

    def forward(self, current: Round) -> Tensor:
        return (current.batch.real - current.fake).abs().flatten(1).mean(1)


def test_only_games_that_compare_draw_real_samples_for_the_generator() -> None:
    def draws(
        kind: Any = Adversarial, loss: Any = None, auxiliaries: Any = MappingProxyType({}), **settings: Any
    ) -> bool:
        networks = mlp.Generator(2, 2, (), (8,)), mlp.Discriminator(2, (), (8,))
        parts = Parts(*networks, loss or NonSaturating(), Normal(2), auxiliaries=auxiliaries)
        return kind(parts, **settings).phases()[1].uses_real

    assert not draws()
    assert draws(loss=RelativisticPairing())
    assert draws(auxiliaries={"x": Compares()})
    assert draws(Unrolled, unroll_steps=1)
    assert not draws(Unrolled, unroll_steps=0)


@pytest.mark.parametrize("data", [images(2), Points(ring(), classes=8, batch_size=8)], ids=["images", "points"])
def test_labels_to_draw_are_as_frequent_as_the_datas_and_a_function_of_seed_draw_and_rank(data: Any) -> None:
    def labels(draw: int, seed: int = 0, rank: int = 0) -> list[int]:
        data.place(torch.device("cpu"), seed, rank, 2)
        batch = data.sampling(draw)
        assert batch.images is None
        return batch.label.tolist()

    assert labels(3) == labels(3)
    assert len(labels(3)) == 4
    others = [labels(3, 1), labels(3, 0, 1), labels(4), labels(5)]
    assert any(other != labels(3) for other in others)
    counts = Counter(label for draw in range(1000) for label in labels(draw))
    shares = [counts[k] / 4000 for k in range(data.classes)]
    expected = [0.25, 0.75] if data.classes == 2 else [1 / 8] * 8
    assert shares == pytest.approx(expected, abs=0.03)


def test_batches_without_images_are_split_too() -> None:
    parts = Batch(torch.arange(6)).split(3)
    assert [part.label.tolist() for part in parts] == [[0, 1], [2, 3], [4, 5]]
    assert all(part.images is None for part in parts)


def test_a_checkpoint_that_counts_no_draws_goes_on_and_this_is_said(here: Path) -> None:
    run = train(*words("hydra.run.dir=run", steps=4)).folder
    path = run / "checkpoints" / "last.pt"
    state = checkpoint.load(path)
    assert state["draws"] == 4
    del state["draws"]
    checkpoint.save(state, path)
    train(f"resume={run}", "trainer.max_steps=6")
    assert "images come in another order" in (run / "train.log").read_text()
    assert checkpoint.load(path)["draws"] == 8 + 2  # as many as there were updates, and one for each of D's since
    whole = train(*words(steps=6)).folder
    assert not same(weights(run), weights(whole))
