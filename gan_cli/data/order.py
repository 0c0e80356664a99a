"""Which samples form a batch: a pure function of (seed, draw)."""

from __future__ import annotations

import torch
from torch import Tensor

from gan_cli import rng


class Shuffle:
    """An endless walk over `size` indices: each epoch is a new permutation, fixed by (seed, epoch).

    Draw k takes positions k·batch to (k+1)·batch of the walk; it may begin in one epoch and end in the next, so no
    sample is dropped. Only the current epoch's permutation is cached. Any thread may ask.
    """

    def __init__(self, size: int, batch: int, seed: int, device: torch.device) -> None:
        self.size = size
        self.batch = batch
        self.seed = seed
        self.device = device
        self._epochs: dict[int, Tensor] = {}

    def _permutation(self, epoch: int) -> Tensor:
        found = self._epochs.get(epoch)
        if found is None:
            order = torch.randperm(self.size, generator=rng.generator(self.seed, "epoch", epoch))
            found = order.to(self.device)
            self._epochs = {e: p for e, p in self._epochs.items() if e == epoch - 1} | {epoch: found}
        return found

    def __call__(self, draw: int, rank: int = 0, world: int = 1) -> Tensor:
        """Rank `rank`'s share of the indices of draw `draw`, int64."""
        share = self.batch // world
        start = draw * self.batch + rank * share
        pieces = []
        while share > 0:
            epoch, offset = divmod(start, self.size)
            taken = self._permutation(epoch)[offset : offset + share]
            pieces.append(taken)
            start += len(taken)
            share -= len(taken)
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)
