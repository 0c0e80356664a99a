"""Averaged generators, which sample better than the one being trained."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from gan_cli.ramps import settled
from gan_cli.training.profiles import exponent
from gan_cli.types import Ramp

Place = tuple[dict[str, Any], str]  # where a module keeps a tensor, and under which name


def places(network: nn.Module) -> list[Place]:
    """Where all weights and running statistics are kept, each once.

    Finding them takes longer than averaging small networks, and is done once; what lies there is looked up every time,
    since a module may put another tensor in its place.
    """
    kept = [(tensors, name) for m in network.modules() for tensors in (m._parameters, m._buffers) for name in tensors]
    first = {id(tensors[name]): (tensors, name) for tensors, name in reversed(kept) if tensors[name] is not None}
    return list(first.values())


class Average:
    """A copy of a network, moved towards what the network has become.

    Args:
        network: The network to average; the copy starts from its values.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._places = list(zip(places(self.network), places(network), strict=True))

    @torch.no_grad()
    def move(self, weight: float) -> None:
        """Weights and running statistics go `weight` of the way, 1 being all of it; integers are copied."""
        pairs = [(ours[name], theirs[name]) for (ours, name), (theirs, _) in self._places]
        moving = [(kept, current) for kept, current in pairs if kept.is_floating_point()]
        torch._foreach_lerp_([kept for kept, _ in moving], [current for _, current in moving], weight)
        for kept, current in pairs:
            if not kept.is_floating_point():
                kept.copy_(current)


class Ema(Average):
    """Exponential moving average of a network's weights and running statistics (arXiv 1806.04498).

    Args:
        network: The network to average; the copy starts from its values.
        half_life: Images after which an old value counts half, or a ramp of them; 0 keeps a plain copy.
        rampup: The half-life is at most this fraction of the images shown so far, so that the first, poor weights
            are soon forgotten (StyleGAN2-ADA's rule).
    """

    def __init__(self, network: nn.Module, half_life: float | Ramp, rampup: float) -> None:
        super().__init__(network)
        self.half_life = half_life
        self.rampup = rampup

    def decay(self, images: int, shown: int, done: float = 0.0) -> float:
        """β for a step that showed `shown` images, at `images` in all and `done` of the run: ½^(shown / half-life)."""
        half_life = settled(self.half_life, images, done)
        if self.rampup > 0:
            half_life = min(half_life, self.rampup * images)
        return 0.5 ** (shown / half_life) if half_life > 0 else 0.0

    def update(self, images: int, shown: int, done: float = 0.0) -> None:
        """Moves the averages towards what the network is now."""
        self.move(1 - self.decay(images, shown, done))


class PowerAverage(Average):
    """The average over all of a run with weights p(τ) = (γ + 1) τ^γ / t^(γ + 1), τ being images shown and t those so
    far (EDM2: arXiv 2312.02696, equations 121 and 127). Its length grows with the run, and the first weights are soon
    forgotten. From averages of a few widths and times, those of others are made afterwards: `profiles.combination`.

    Args:
        network: The network to average.
        width: σ, the standard deviation of p as a fraction of t.
    """

    def __init__(self, network: nn.Module, width: float) -> None:
        super().__init__(network)
        self.exponent = exponent(width)

    def kept(self, images: int, shown: int) -> float:
        """β for a step that brings the images from t - s to t: the integral of p up to t - s, ((t - s) / t)^(γ + 1)."""
        return ((images - shown) / images) ** (self.exponent + 1) if images else 0.0

    def update(self, images: int, shown: int) -> None:
        """Moves the averages towards what the network is now."""
        self.move(1 - self.kept(images, shown))
