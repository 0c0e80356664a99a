"""The averaged generator, which samples better than the one being trained."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from gan_cli.ramps import settled
from gan_cli.types import Ramp


class Ema:
    """Exponential moving average of a network's weights and running statistics (arXiv 1806.04498).

    Args:
        network: The network to average; the copy starts from its values.
        half_life: Images after which an old value counts half, or a ramp of them; 0 keeps a plain copy.
        rampup: The half-life is at most this fraction of the images shown so far, so that the first, poor weights
            are soon forgotten (StyleGAN2-ADA's rule).
    """

    def __init__(self, network: nn.Module, half_life: float | Ramp, rampup: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.half_life = half_life
        self.rampup = rampup

    def decay(self, images: int, shown: int, done: float = 0.0) -> float:
        """β for a step that showed `shown` images, at `images` in all and `done` of the run: ½^(shown / half-life)."""
        half_life = settled(self.half_life, images, done)
        if self.rampup > 0:
            half_life = min(half_life, self.rampup * images)
        return 0.5 ** (shown / half_life) if half_life > 0 else 0.0

    @torch.no_grad()
    def update(self, network: nn.Module, images: int, shown: int, done: float = 0.0) -> None:
        weight = 1 - self.decay(images, shown, done)
        old: list[Tensor] = []
        new: list[Tensor] = []
        for kept, current in zip(self._state(self.network), self._state(network), strict=True):
            if kept.is_floating_point():
                old.append(kept)
                new.append(current)
            else:
                kept.copy_(current)
        torch._foreach_lerp_(old, new, weight)

    @staticmethod
    def _state(network: nn.Module) -> list[Tensor]:
        return [*network.parameters(), *network.buffers()]
