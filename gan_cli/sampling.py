"""Samples by index: sample i is a function of the generator, the seed and i."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from gan_cli import rng
from gan_cli.types import Batch, Game

# Samples are always computed in blocks of this many, whatever is asked for: not even the rounding of a matrix
# product, which may depend on the number of rows, then depends on how many samples were wanted.
BLOCK = 64


@torch.no_grad()
def blocks(game: Game, generator: nn.Module, seed: int, n: int, device: torch.device) -> Iterator[Tensor]:
    """Samples 0 ... n - 1 in order, on `device`, in pieces of up to `BLOCK`.

    The generator is used in evaluation mode and left in the mode in which it came; global random state is kept.
    """
    training = generator.training
    generator.eval()
    try:
        for block in range(-(-n // BLOCK)):
            with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
                torch.manual_seed(rng.mix(seed, "samples", block))
                batch = Batch(torch.zeros(BLOCK, dtype=torch.int64, device=device))
                samples = game.sample(generator, batch)
            yield samples[: n - block * BLOCK]
    finally:
        generator.train(training)


def draw(game: Game, generator: nn.Module, seed: int, n: int, device: torch.device) -> Tensor:
    """Samples 0 ... n - 1 as one tensor on the CPU: `[n, C, H, W]` in [-1, 1], or points `[n, D]`."""
    return torch.cat([block.cpu() for block in blocks(game, generator, seed, n, device)])
