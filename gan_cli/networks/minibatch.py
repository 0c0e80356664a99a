"""Layers that let a discriminator see the variety of a batch; they come before its head, on features `[N, F]`.

Those of `MAP_MINIBATCH` also take feature maps `[N, F, H, W]`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn


class Alone(nn.Module):
    """Each sample is judged by itself."""

    features: int  # output width

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features

    def forward(self, features: Tensor) -> Tensor:
        return features


class StandardDeviation(Alone):
    """Adds one feature (map): the standard deviation over the batch, averaged (arXiv 1710.10196, section 3).

    The batch is split into groups of `group` samples, or taken as one group where it does not split evenly.
    """

    mixes_samples = True

    def __init__(self, features: int, group: int = 4) -> None:
        super().__init__(features + 1)
        self.group = group

    def forward(self, features: Tensor) -> Tensor:
        n = len(features)
        group = self.group if n % self.group == 0 else n
        # Sample i belongs to group i mod (n / group), so that a group is spread over the batch.
        precise = torch.promote_types(features.dtype, torch.float32)
        grouped = features.to(precise).reshape(group, n // group, -1)
        deviation = (grouped.var(0, correction=0) + 1e-8).sqrt().mean(1).to(features.dtype).repeat(group)
        places = features.shape[2:]
        return torch.cat([features, deviation.view(n, 1, *[1] * len(places)).expand(n, 1, *places)], 1)


class Discrimination(Alone):
    """Minibatch discrimination (Salimans 2016, arXiv 1606.03498, section 3.2).

    For each of `kernels` learned projections M, adds a sample's closeness to the others, Σ_j exp(-‖M_i - M_j‖₁).
    """

    mixes_samples = True

    def __init__(self, features: int, kernels: int = 16, dimensions: int = 8) -> None:
        super().__init__(features + kernels)
        self.size = (kernels, dimensions)
        self.projection = nn.Linear(features, kernels * dimensions, bias=False)
        nn.init.normal_(self.projection.weight, 0.0, 0.02)

    def forward(self, features: Tensor) -> Tensor:
        projected = self.projection(features).view(-1, *self.size)
        distance = (projected.unsqueeze(0) - projected.unsqueeze(1)).abs().sum(3)
        closeness = (-distance).exp().sum(1) - 1  # without the sample itself
        return torch.cat([features, closeness], 1)


def alone(features: int, group: int) -> Alone:
    """Each sample is judged by itself, whatever the group."""
    return Alone(features)


# By their name in `minibatch`: called with (features), and with (maps, samples in a group).
MINIBATCH: Mapping[str, Callable[[int], Alone]] = {
    "none": Alone,
    "stddev": StandardDeviation,
    "discrimination": Discrimination,
}
MAP_MINIBATCH: Mapping[str, Callable[[int, int], Alone]] = {"none": alone, "stddev": StandardDeviation}
