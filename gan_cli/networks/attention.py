"""Self-attention over the positions of a feature map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_cli.errors import ConfigError, two_lines
from gan_cli.networks.conditioning import Wrap


class SelfAttention(nn.Module):
    """y = x + γ·attention(x), γ = 0 at first (SAGAN, arXiv 1805.08318, section 3).

    Queries and keys have an eighth of the channels, values a half; keys and values are max-pooled to half the side, as
    in the authors' code.
    """

    def __init__(self, channels: int, wrap: Wrap) -> None:
        super().__init__()
        inner, middle = max(1, channels // 8), max(1, channels // 2)
        self.query = wrap(nn.Conv2d(channels, inner, 1, bias=False))
        self.key = wrap(nn.Conv2d(channels, inner, 1, bias=False))
        self.value = wrap(nn.Conv2d(channels, middle, 1, bias=False))
        self.output = wrap(nn.Conv2d(middle, channels, 1, bias=False))
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        query, key, value = self.query(x), self.key(x), self.value(x)
        if min(height, width) > 1:
            key, value = F.max_pool2d(key, 2), F.max_pool2d(value, 2)
        query, key, value = query.flatten(2), key.flatten(2), value.flatten(2)  # [N, inner or middle, positions]
        attention = (query.transpose(1, 2) @ key).softmax(2)  # [N, positions, attended positions]
        mixed = (value @ attention.transpose(1, 2)).unflatten(2, (height, width))
        return x + self.gamma * self.output(mixed)


def check_attention(attention: Sequence[int], sides: Sequence[int], setting: str) -> None:
    """Raises ConfigError when attention is asked for at a side that the network does not have."""
    for side in attention:
        if side not in sides:
            remedy = f"choose from {', '.join(map(str, sides))}"
            raise ConfigError(two_lines(f"{setting}=[{side}]: this network has no map of that side", remedy))
