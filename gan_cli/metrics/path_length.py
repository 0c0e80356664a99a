"""How far samples move while their latents move a little."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from gan_cli.errors import two_lines
from gan_cli.metrics import Context, Estimate, Metric, NotMeasurable
from gan_cli.metrics.features import Features
from gan_cli.types import PositiveInt


class PerceptualPathLength(Metric):
    """`ppl`: E ‖f(G(slerp(z, z'; t + ε))) - f(G(slerp(z, z'; t)))‖² / ε² (StyleGAN, arXiv 1812.04948, section 4.1).

    f is the detector, so the value carries its name; images are not quantised.

    Args:
        samples: Pairs of latents.
        epsilon: ε.
    """

    def __init__(self, samples: PositiveInt = 2000, epsilon: float = 1e-3) -> None:
        self.samples = samples
        self.epsilon = epsilon

    def compute(self, fake: Features, real: Features, context: Context) -> Mapping[str, Estimate]:
        if context.paths is None or context.see is None:
            raise NotMeasurable(
                two_lines(
                    "ppl needs a generator with a latent space, not a set of images",
                    "measure a run or a checkpoint that draws from noise",
                )
            )
        steps = [
            (context.see(b).features.double() - context.see(a).features.double()).square().sum(1) / self.epsilon**2
            for a, b in context.paths(self.samples, self.epsilon)
        ]
        lengths = torch.cat(steps)
        se = float(lengths.std() / math.sqrt(len(lengths)))
        return {
            "ppl": Estimate(float(lengths.mean()), se, f"full paths, slerp, epsilon {self.epsilon:g}", len(lengths), 0)
        }
