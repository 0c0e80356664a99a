"""Spectral normalisation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

FIRST_ITERATIONS = 15  # on the initial weights; one more in each training pass


class SpectralNorm(nn.Module):
    """W / σ(W), σ the largest singular value by power iteration (Miyato 2018, arXiv 1802.05957, algorithm 1).

    v = Wᵀu / ‖Wᵀu‖, u = Wv / ‖Wv‖, σ = uᵀWv. Training keeps u for the next pass. Evaluation also iterates once, from
    the kept u but without updating it: an averaged copy of a network, whose u is an average of directions and not a
    unit vector, is thus normalised by the norm of its own weights.
    """

    u: Tensor  # [rows]; a row of W is an output channel

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        matrix = weight.detach().flatten(1)
        u = F.normalize(torch.randn_like(matrix[:, 0]), dim=0)
        for _ in range(FIRST_ITERATIONS):
            _, u = self.iterated(matrix, u)
        self.register_buffer("u", u)

    @staticmethod
    @torch.no_grad()
    def iterated(matrix: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """(v, u) after one power iteration."""
        v = F.normalize(matrix.T @ u, dim=0)
        return v, F.normalize(matrix @ v, dim=0)

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):  # σ is a small sum of many products
            matrix = weight.flatten(1)
            v, u = self.iterated(matrix, self.u)
            if self.training:
                self.u.copy_(u)
            return weight / (u @ matrix @ v)


def spectral_norm(layer: nn.Module) -> nn.Module:
    """`layer` with its weight spectrally normalised."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return parametrize.register_parametrization(layer, "weight", SpectralNorm(weight))
