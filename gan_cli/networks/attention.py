"""Self-attention over the places of a feature map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_cli.networks.conditioning import Wrap


class SelfAttention(nn.Module):
    """y = x + γ·attention(x), γ = 0 at first (SAGAN, arXiv 1805.08318, section 3).

    Queries and keys have an eighth of the channels, values a half; keys and values are pooled to half the side where
    the map is even, as the authors' code does.
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
        seen = F.max_pool2d(x, 2) if min(height, width) > 1 else x
        query = self.query(x).flatten(2)  # [N, inner, places]
        key, value = self.key(seen).flatten(2), self.value(seen).flatten(2)
        attention = (query.transpose(1, 2) @ key).softmax(2)  # [N, places, seen places]
        mixed = (value @ attention.transpose(1, 2)).unflatten(2, (height, width))
        return x + self.gamma * self.output(mixed)


def check_attention(attention: Sequence[int], sides: Sequence[int], setting: str) -> None:
    """Raises ValueError when attention is asked for at a side that the network does not have."""
    for side in attention:
        if side not in sides:
            raise ValueError(f"{setting}=[{side}]: this network has maps of side {', '.join(map(str, sides))}")
