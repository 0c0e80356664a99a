"""Mirrored borders and the arithmetic of receptive fields, against torch's padding and against gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gan_cli.networks.borders import Reflect, Step, convolved, enlarged, extended, radius, transposed, unshuffled


@pytest.mark.parametrize("width", [1, 3])
def test_reflect_is_torchs(width: int) -> None:
    x = torch.randn(2, 3, 4, 7, requires_grad=True)
    ours, torchs = Reflect(width)(x), F.pad(x, 4 * [width], mode="reflect")
    assert torch.equal(ours, torchs)
    weight = torch.randn_like(ours)
    gradients = [torch.autograd.grad((y * weight).sum(), x)[0] for y in (ours, torchs)]
    torch.testing.assert_close(*gradients)


def test_extended_mirrors_as_often_as_it_takes() -> None:
    x = torch.randn(2, 3, 5, 6)
    assert extended(x, 5, 6) is x
    assert torch.equal(extended(x, 9, 8), F.pad(x, (0, 2, 0, 4), mode="reflect"))
    line = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    assert extended(line, 1, 10).flatten().tolist() == [1, 2, 3, 2, 1, 2, 3, 2, 1, 2]
    assert torch.equal(extended(line, 4, 3), line.expand(1, 1, 4, 3))  # a side of 1 has nothing to mirror
    assert torch.equal(extended(torch.full((1, 1, 1, 1), 7.0), 3, 2), torch.full((1, 1, 3, 2), 7.0))


ONES = {"padding": 1, "bias": False}
CHAINS: dict[str, tuple[Callable[[], Sequence[nn.Module]], list[Step], int, int]] = {  # layers, steps, scale, multiple
    "convolutions": (
        lambda: [nn.Conv2d(1, 1, 3, **ONES), nn.Conv2d(1, 1, 3, **ONES)],
        [convolved(3), convolved(3)],
        1,
        1,
    ),
    "down and up by 3": (
        lambda: [nn.Conv2d(1, 1, 3, stride=2, **ONES), nn.ConvTranspose2d(1, 1, 3, stride=2, output_padding=1, **ONES)],
        [transposed(3, 2), convolved(3, 2)],
        *(1, 2),
    ),
    "down and up by 4": (
        lambda: [nn.Conv2d(1, 1, 4, stride=2, **ONES), nn.ConvTranspose2d(1, 1, 4, stride=2, **ONES)],
        [transposed(4, 2), convolved(4, 2)],
        *(1, 2),
    ),
    "enlarged": (
        lambda: [nn.Conv2d(1, 9, 3, **ONES), nn.PixelShuffle(3), nn.Conv2d(1, 1, 3, **ONES)],
        [convolved(3), enlarged(3), convolved(3)],
        *(3, 1),
    ),
    "unshuffled": (
        lambda: [
            nn.PixelUnshuffle(4),
            nn.Conv2d(16, 1, 3, **ONES),
            nn.Upsample(scale_factor=4),
            nn.Conv2d(1, 1, 3, **ONES),
        ],
        [convolved(3), enlarged(4), convolved(3), unshuffled(4)],
        *(1, 4),
    ),
}


@pytest.mark.parametrize("chain", CHAINS)
def test_the_radius_is_that_of_the_gradients(chain: str) -> None:
    """Weights of one reach all that they can; the farthest gradient of any output place, in pixels of the source."""
    layers, steps, scale, multiple = CHAINS[chain]
    network = nn.Sequential(*layers())
    for weight in network.parameters():
        nn.init.ones_(weight)
    x = torch.ones(1, 1, 32, 32, requires_grad=True)
    row = network(x)[0, 0, 16 * scale]
    farthest = 0
    for place in range(16 * scale, (16 + multiple) * scale):
        (gradient,) = torch.autograd.grad(row[place], x, retain_graph=True)
        columns = gradient[0, 0].sum(0).nonzero().flatten() - place // scale
        farthest = max(farthest, int(columns.abs().max()))
    assert radius(steps, scale, multiple) == farthest
