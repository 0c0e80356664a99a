"""Batches are a pure function of (seed, draw)."""

from __future__ import annotations

import torch

from gan_cli.data.order import Shuffle

CPU = torch.device("cpu")


def test_each_epoch_shows_every_sample_once_in_a_new_order() -> None:
    order = Shuffle(size=10, batch=3, seed=0, device=CPU)
    walk = torch.cat([order(k) for k in range(20)])  # six epochs, batches across their borders
    epochs = walk.view(6, 10)
    for epoch in epochs:
        assert sorted(epoch.tolist()) == list(range(10))
    assert len({tuple(e.tolist()) for e in epochs}) == 6


def test_a_draw_depends_on_nothing_drawn_before() -> None:
    forward, backward = Shuffle(50, 8, 1, CPU), Shuffle(50, 8, 1, CPU)
    ahead = [forward(k) for k in range(30)]
    behind = [backward(k) for k in reversed(range(30))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(ahead, behind, strict=True))
    assert not torch.equal(ahead[0], Shuffle(50, 8, 2, CPU)(0))


def test_ranks_share_a_draw_without_overlap() -> None:
    order = Shuffle(50, 8, 3, CPU)
    for draw in range(10):
        shares = [order(draw, rank, 4) for rank in range(4)]
        assert torch.equal(torch.cat(shares), order(draw))


def test_a_batch_larger_than_the_data_walks_several_epochs() -> None:
    assert torch.bincount(Shuffle(3, 7, 0, CPU)(0), minlength=3).min() >= 2
