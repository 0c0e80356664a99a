"""Instance noise (Sønderby 2017, arXiv 1610.04490, section 3.3; Arjovsky 2017, arXiv 1701.04862)."""

from __future__ import annotations

import torch
from torch import Tensor

from gan_cli.augment.base import Augment
from gan_cli.types import Weight


class InstanceNoise(Augment):
    """x + σε, ε ~ N(0, I): real and fake distributions overlap, so that D can never be certain.

    Args:
        sigma: σ in the units of the samples; a number, or a ramp down to 0.
    """

    def __init__(self, sigma: Weight = 0.1) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, samples: Tensor) -> Tensor:
        return samples + float(self.sigma) * torch.randn_like(samples)
