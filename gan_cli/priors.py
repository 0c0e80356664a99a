"""The generator's input: latents `[N, latent_dim]`, drawn on the batch's device."""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_cli.errors import Incompatible
from gan_cli.types import Batch, Need, NonNegativeInt, Positive, PositiveInt


class Prior(nn.Module, ABC):
    """The generator's input: latents `[N, latent_dim]`, drawn on the batch's device."""

    provides: frozenset[str] = frozenset({Need.LATENTS})
    needs: frozenset[str] = frozenset()  # `Need.REAL` if latents in training are made from a batch's real samples
    hides: frozenset[str] = frozenset()  # what the discriminator can no longer provide
    bound: float | None = None  # how far out latents lie at most, where there is an end

    def __init__(self, latent_dim: NonNegativeInt) -> None:
        super().__init__()
        self.latent_dim = latent_dim

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """The latents for a training batch."""

    def sample(self, batch: Batch) -> Tensor:
        """The latents for a sampling batch; overridden where they differ (truncation)."""
        latent: Tensor = self(batch)
        return latent

    def beside(self, samples: Tensor, batch: Batch) -> Tensor:
        """The discriminator's input for samples: joined to what the generator was given, if D should judge the pair.
        Augmentations come after it."""
        return samples

    def truncated(self, bound: float) -> Prior:
        """This prior without its tails beyond `bound`. Raises Incompatible if it has none."""
        raise Incompatible(
            f"truncation={bound}: {type(self).__name__} latents have no tails to cut\n"
            "  leave it out, or train with prior=normal"
        )


class Normal(Prior):
    """z ~ N(0, I)."""

    def forward(self, batch: Batch) -> Tensor:
        return torch.randn(len(batch), self.latent_dim, device=batch.label.device)

    def truncated(self, bound: float) -> Prior:
        return Truncated(self.latent_dim, bound)


class Uniform(Prior):
    """z ~ U(-1, 1) in every coordinate."""

    def forward(self, batch: Batch) -> Tensor:
        return 2 * torch.rand(len(batch), self.latent_dim, device=batch.label.device) - 1


class Truncated(Normal):
    """z ~ N(0, I) in training; when samples are drawn, each coordinate is redrawn until it lies in [-bound, bound].

    The truncation trick of BigGAN (arXiv 1809.11096, section 3.1): better looking samples of less variety.
    """

    def __init__(self, latent_dim: PositiveInt, bound: Positive = 2.0) -> None:
        super().__init__(latent_dim)
        self.bound: float = bound

    def sample(self, batch: Batch) -> Tensor:
        # Φ⁻¹ of a uniform number between Φ(-bound) and Φ(bound) has the distribution of redrawing.
        tail = math.erf(self.bound / math.sqrt(2))
        uniform = 2 * torch.rand(len(batch), self.latent_dim, device=batch.label.device, dtype=torch.float64) - 1
        return (math.sqrt(2) * torch.erfinv(uniform * tail)).float().clamp(-self.bound, self.bound)


class Ball(Prior):
    """z ~ N(0, I) among those of norm |z| <= bound, in training and in samples.

    |z|² of N(0, I) has the distribution P(k/2, r²/2), P the regularised lower incomplete gamma function and k the
    number of coordinates; the direction is uniform.

    Args:
        bound: The largest norm; most of N(0, I) lies near √k.
    """

    def __init__(self, latent_dim: PositiveInt, bound: Positive) -> None:
        from scipy.special import gammainc

        super().__init__(latent_dim)
        self.bound: float = bound
        self.within = float(gammainc(latent_dim / 2, bound**2 / 2))  # the share of N(0, I) in the ball
        if self.within < sys.float_info.min:
            raise Incompatible(
                f"prior.bound={bound}: of {latent_dim} coordinates, no norm is so small\n"
                f"  the norms lie near {math.sqrt(latent_dim):.3g}"
            )

    def forward(self, batch: Batch) -> Tensor:
        from scipy.special import gammaincinv

        device = batch.label.device
        direction = F.normalize(torch.randn(len(batch), self.latent_dim, device=device), dim=1)
        below = torch.rand(len(batch), 1, dtype=torch.float64).numpy()
        radius = torch.from_numpy(np.sqrt(2 * gammaincinv(self.latent_dim / 2, below * self.within)))
        return direction * radius.float().clamp(max=self.bound).to(device)


class Spherical(Prior):
    """z uniform on the sphere of radius √Z, where N(0, I) has nearly all its mass (White 2016, arXiv 1609.04468)."""

    def forward(self, batch: Batch) -> Tensor:
        normal = torch.randn(len(batch), self.latent_dim, device=batch.label.device)
        return math.sqrt(self.latent_dim) * F.normalize(normal, dim=1)


class Source(Prior):
    """No latents: the generator is given the images that the data give, and draws a picture of each."""

    provides = frozenset({Need.GIVEN})
    needs = frozenset({Need.GIVEN})

    def __init__(self) -> None:
        super().__init__(0)

    def forward(self, batch: Batch) -> Tensor:
        return batch.source


class Pair(Source):
    """The same; and the discriminator sees each sample beside its source, along the channels (pix2pix, arXiv
    1611.07004, section 3.1). A source that is smaller is enlarged by repetition."""

    needs = frozenset({Need.GIVEN, Need.PAIRS})
    hides = frozenset({Need.ALONE})

    def beside(self, samples: Tensor, batch: Batch) -> Tensor:
        return torch.cat([samples, F.interpolate(batch.source, samples.shape[-2:])], 1)
