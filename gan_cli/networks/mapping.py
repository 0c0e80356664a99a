"""Labels through mapping networks: conditional StyleGAN2 (arXiv 2006.06676; the authors' `training/networks.py`).

In G an embedding of the label, its mean square made 1, is joined to the latent. In D one goes through a mapping network
of its own, and the logit is an inner product with what it becomes.
"""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_cli.networks.conditioning import (
    DiscriminatorConditioning,
    GeneratorConditioning,
    Head,
    Input,
    Judgement,
    Wrap,
    checked_classes,
)
from gan_cli.networks.equalised import PixelNorm, equalised, leaky
from gan_cli.types import NonNegativeInt, Positive, PositiveInt

MAPPING_RATE = 0.01  # a mapping network's learning rate, relative to the others' (arXiv 1812.04948, appendix C)


class MappingLayers(nn.ModuleList):
    """Vectors `[N, widths[0]]` to `[N, widths[-1]]`: linear layers, each with an activation, that learn at `rate`."""

    def __init__(self, widths: list[int], rate: float = MAPPING_RATE) -> None:
        super().__init__(
            equalised(nn.Linear(wide_in, wide_out), lr_multiplier=rate)
            for wide_in, wide_out in itertools.pairwise(widths)
        )

    def forward(self, values: Tensor) -> Tensor:
        for layer in self:
            values = leaky(layer(values))
        return values


class NormalisedEmbedding(nn.Module):
    """Labels `[N]` to `[N, width]`: an equalised linear layer of the one-hot label, then mean square 1."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.linear = equalised(nn.Linear(classes, width))
        self.normalise = PixelNorm()

    def forward(self, label: Tensor) -> Tensor:
        # The product with a one-hot vector is a column of the weight.
        column = F.embedding(label, self.linear.weight.T)
        embedded: Tensor = self.normalise(column + self.linear.bias)
        return embedded

    def of_mixtures(self, mixtures: Tensor) -> NormalisedEmbedding:
        """One whose label j stands for the mixture `mixtures[j]` of the classes: a row of `[J, K]`, not a one-hot
        label."""
        width, classes = self.linear.weight.shape
        other = NormalisedEmbedding(classes, width)
        other.linear = nn.Linear(len(mixtures), width).to(mixtures)
        with torch.no_grad():
            other.linear.weight.copy_(self.linear.weight @ mixtures.T)
            other.linear.bias.copy_(self.linear.bias)
        return other.requires_grad_(False)


class JoinedNormalised(nn.Module):
    """Vectors `[N, D]` with a normalised embedding of the label after them: `[N, D + width]`."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.embedding = NormalisedEmbedding(classes, width)

    def forward(self, values: Tensor, label: Tensor) -> Tensor:
        return torch.cat([values, self.embedding(label)], 1)


class MappedHead(Head):
    """logit = <linear(φ), m(y)> / √width, where m is an embedding of the label and a mapping network."""

    def __init__(self, features: int, wrap: Wrap, classes: int, width: int, layers: int, rate: float) -> None:
        super().__init__()
        self.linear = wrap(nn.Linear(features, width))
        self.embedding = NormalisedEmbedding(classes, width)
        self.layers = MappingLayers([width] * (layers + 1), rate)
        self.scale = 1 / math.sqrt(width)

    def judge(self, features: Tensor, label: Tensor) -> Judgement:
        mapped = self.layers(self.embedding(label))
        return Judgement(self.scale * (self.linear(features) * mapped).sum(1))


class MappedLatent(GeneratorConditioning):
    """A normalised embedding of the label joined to the latent, for a mapping network to read both.

    Args:
        width: Of the embedding; as many numbers as the latent has when not given.
    """

    def __init__(self, classes: NonNegativeInt, width: PositiveInt | None = None) -> None:
        self.classes = checked_classes(classes, "mapping")
        self.width = width

    def latent(self, latent_dim: int) -> Input:
        width = self.width or latent_dim
        return Input(JoinedNormalised(self.classes, width), latent_dim + width)


class MappedProjection(DiscriminatorConditioning):
    """A head whose logit is the inner product of the features, mapped linearly, with the label's mapping network.

    That network is equalised in every architecture, whatever is done to the layer that reads the features.

    Args:
        width: Of what both become; as many numbers as there are features when not given.
        layers: Of the mapping network; with 0 it is the embedding alone.
        rate: Learning rate of these layers, relative to the others'.
    """

    reads_labels = True

    def __init__(
        self,
        classes: NonNegativeInt,
        width: PositiveInt | None = None,
        layers: NonNegativeInt = 8,
        rate: Positive = MAPPING_RATE,
    ) -> None:
        self.classes = checked_classes(classes, "mapping")
        self.width = width
        self.layers = layers
        self.rate = rate

    def head(self, features: int, wrap: Wrap) -> Head:
        return MappedHead(features, wrap, self.classes, self.width or features, self.layers, self.rate)
