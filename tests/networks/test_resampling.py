"""Resampling: a filter, its transpose, and their derivatives of any order."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import vmap

from gan_cli.networks import resampling
from gan_cli.networks.resampling import Downsample, Filter, Upsample

LAYERS = [Filter(), Filter(padding=2, gain=3.0), Downsample(), Upsample()]


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("sides", [(4, 6), (5, 8), (7, 7)])
def test_derivatives_of_first_and_second_order_are_those_of_finite_differences(
    layer: nn.Module, sides: tuple[int, int]
) -> None:
    values = drawn(2, 3, *sides).requires_grad_()
    torch.autograd.gradcheck(layer, values)
    torch.autograd.gradgradcheck(lambda x: layer(x).square(), values)


def test_filters() -> None:
    """Constants stay constant within, up is 4 times the transpose of down, and [1, 3, 3, 1] = [1, 2, 1] * [1, 1]."""
    x, y = torch.randn(2, 3, 8, 12), torch.randn(2, 3, 4, 6)
    up, down = resampling.Upsample(), resampling.Downsample()
    assert (up(y).shape, down(x).shape) == (x.shape, y.shape)
    torch.testing.assert_close((up(y) * x).sum(), 4 * (y * down(x)).sum())
    one = torch.ones(1, 1, 8, 8)
    torch.testing.assert_close(up(one)[..., 1:-1, 1:-1], torch.ones(1, 1, 14, 14))
    torch.testing.assert_close(down(one)[..., 1:-1, 1:-1], torch.ones(1, 1, 2, 2))
    smooth = torch.outer(torch.tensor([1.0, 2, 1]), torch.tensor([1.0, 2, 1])).view(1, 1, 3, 3) / 16
    repeated = F.interpolate(y[:, :1], scale_factor=2)
    torch.testing.assert_close(up(y[:, :1]), F.conv2d(repeated, smooth, padding=1))
    weight = torch.randn(5, 3, 3, 3)
    inner = (..., slice(3, -3), slice(3, -3))
    torch.testing.assert_close(
        resampling.UpConvolution()(x, weight)[inner], resampling.SameConvolution()(up(x), weight)[inner]
    )


@pytest.mark.parametrize("padding", [1, 2])
def test_a_filter_changes_sides_by_its_padding_and_values_by_its_gain(padding: int) -> None:
    filtered = Filter(padding, gain=3.0)(torch.ones(1, 2, 8, 6))
    assert filtered.shape[2:] == (5 + 2 * padding, 3 + 2 * padding)
    torch.testing.assert_close(filtered[..., padding:-padding, padding:-padding], torch.full((1, 2, 5, 3), 3.0))


def test_a_second_derivative_computes_no_gradient_of_the_kernel() -> None:
    """A penalty's backward pass takes a few convolutions, however many channels there are."""
    values = drawn(2, 32, 8, 8).requires_grad_()
    layer = Downsample()
    (gradient,) = torch.autograd.grad(layer(values).square().sum(), values, create_graph=True)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        gradient.square().sum().backward()
    assert sum(row.count for row in found.key_averages() if row.key == "aten::convolution") <= 4


def test_a_batch_of_batches_is_mapped_over() -> None:
    many = drawn(4, 2, 3, 8, 8)
    for layer in LAYERS:
        torch.testing.assert_close(vmap(layer)(many), torch.stack([layer(one) for one in many]))
