"""A direction from which one power iteration leads to the norm that torch's spectral norm divides by."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gan_cli.foreign.residual import turned
from gan_cli.networks.spectral import SpectralNorm


@pytest.mark.parametrize("shape", [(1, 5), (2, 3), (5, 2), (20, 9, 3, 3), (90, 70), (300, 10, 3, 3)])
@pytest.mark.parametrize("age", [0.0, 0.05, 0.3])
def test_our_norm_is_theirs(shape: tuple[int, ...], age: float) -> None:
    draws = torch.Generator().manual_seed(0)
    weight = torch.randn(shape, generator=draws)
    matrix = weight.flatten(1)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    # Directions of an older weight, and averages of directions, which are shorter than 1.
    u = left[:, 0] + age * F.normalize(torch.randn(len(matrix), generator=draws), dim=0)
    v = right[0] + age * F.normalize(torch.randn(matrix.shape[1], generator=draws), dim=0)
    u, v = 0.99 * u / u.norm(), 0.99 * v / v.norm()
    theirs = u @ matrix @ v
    least = torch.linalg.svdvals(matrix)[-1]
    ours = SpectralNorm(weight).eval()
    ours.u.copy_(turned(weight, u, v))
    expected = theirs if theirs > least else least  # one singular value alone cannot become smaller
    torch.testing.assert_close(weight / ours(weight), torch.full_like(weight, float(expected)), rtol=1e-4, atol=1e-5)


def test_it_is_what_torchs_own_layer_uses() -> None:
    torch.manual_seed(0)
    theirs = nn.utils.spectral_norm(nn.Conv2d(6, 4, 3)).train()
    for _ in range(3):
        theirs(torch.zeros(1, 6, 5, 5))
    theirs.eval()
    weight, u, v = (theirs.get_parameter("weight_orig").detach(), *(theirs.get_buffer(f"weight_{n}") for n in "uv"))
    ours = SpectralNorm(weight).eval()
    ours.u.copy_(turned(weight, u, v))
    theirs(torch.zeros(1, 6, 5, 5))
    torch.testing.assert_close(ours(weight), theirs.weight.detach(), rtol=1e-5, atol=1e-6)
