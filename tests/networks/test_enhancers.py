"""SRResNet and RRDB: the published sizes, what is drawn by weights of zero, and the first weights."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gan_cli.errors import Incompatible
from gan_cli.networks.blocks import mixing_layers
from gan_cli.networks.enhancer import RRDB, Dense, Nested, SRResNet

LABEL = torch.zeros(2, dtype=torch.int64)


@pytest.mark.parametrize(
    ("count", "make"),
    [
        (1_517_571, lambda: SRResNet(3, 3)),
        (1_369_859, lambda: SRResNet(3, 3, scale=2)),
        (16_697_987, lambda: RRDB(3, 3)),
        (4_467_779, lambda: RRDB(3, 3, blocks=6)),
        (16_703_171, lambda: RRDB(3, 3, scale=2)),
    ],
)
def test_the_sizes_of_basicsr(count: int, make: Callable[[], nn.Module]) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in make().parameters()) == count


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
def test_srresnet_begins_at_the_bilinear_picture(scale: int) -> None:
    """With a last convolution of zero it draws the source, enlarged; by itself, something near."""
    network = SRResNet(3, 3, scale=scale, width=8, blocks=2)
    source = torch.rand(2, 3, 7, 5) * 2 - 1
    enlarged = F.interpolate(source, scale_factor=scale, mode="bilinear") if scale > 1 else source
    assert 0 < (network(source, LABEL) - enlarged).abs().max() < 0.1
    nn.init.zeros_(network.layers[-1].weight)
    assert torch.equal(network(source, LABEL), enlarged)


@pytest.mark.parametrize(("given", "wanted"), [(1, 3), (3, 1), (4, 3)])
def test_other_channels_begin_at_the_mean_of_the_source(given: int, wanted: int) -> None:
    network = SRResNet(given, wanted, scale=1, width=4, blocks=0)
    nn.init.zeros_(network.layers[-1].weight)
    source = torch.randn(2, given, 3, 4)
    for channel in network(source, LABEL).unbind(1):
        torch.testing.assert_close(channel, source.mean(1))


def test_a_dense_block_reads_all_that_came_before() -> None:
    """Against its formula, with each convolution's output and input at hand."""
    block, x = Dense(4, 2), torch.randn(2, 4, 6, 6)
    known = [x]
    for layer in block.grow:
        known.append(F.leaky_relu(layer(torch.cat(known, 1)), 0.2))
    torch.testing.assert_close(block(x), x + 0.2 * block.join(torch.cat(known, 1)))
    assert [layer.in_channels for layer in block.grow] == [4, 6, 8, 10]


def test_residuals_are_scaled_at_both_levels() -> None:
    """Dense blocks that only add their bias: each adds 0.2 b, and the three in a block 0.2 · 0.6 b."""
    block, x = Nested(4, 2), torch.randn(2, 4, 5, 5)
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(block(x), x + 0.2 * x)  # f is the identity then
    for dense in block.blocks:
        nn.init.ones_(dense.join.bias)
    torch.testing.assert_close(block(x), x + 0.2 * (x + 0.6))


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_rrdb_of_zero_weights_draws_its_last_bias(scale: int) -> None:
    network = RRDB(3, 2, scale=scale, width=4, growth=2, blocks=1)
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    network.last[-1].bias.data.copy_(torch.tensor([3.0, -4.0]))  # beyond [-1, 1]: no tanh
    drawn = network(torch.randn(2, 3, 5, 6), LABEL)
    assert torch.equal(drawn, torch.tensor([3.0, -4.0]).view(1, 2, 1, 1).expand(2, 2, 5 * scale, 6 * scale))


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_rrdb_keeps_every_pixel_in_its_place(scale: int) -> None:
    """Convolutions that only copy: a picture that is constant over each place of the small map comes back as it was."""
    network, shrinking = RRDB(1, 1, scale=scale, width=1, growth=1, blocks=0), 4 // scale
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    network.first.weight.data[0, 0, 1, 1] = 1  # of each place, the pixel on the upper left
    for layer in (*network.doublings, network.last[0], network.last[-1]):
        layer.weight.data[0, 0, 1, 1] = 1
    small = torch.rand(2, 1, 3, 5)
    source = small.repeat_interleave(shrinking, 2).repeat_interleave(shrinking, 3)
    assert torch.equal(network(source, LABEL), small.repeat_interleave(4, 2).repeat_interleave(4, 3))


def test_first_weights() -> None:
    """A tenth of He's everywhere in SRResNet, and in RRDB's dense blocks alone; torch's own elsewhere."""

    def gain(layer: nn.Conv2d) -> float:
        return layer.weight.std().item() / math.sqrt(2 / layer.weight[0].numel())

    torch.manual_seed(0)
    convolutions = [m for m in SRResNet(3, 3, width=32, blocks=1).modules() if isinstance(m, nn.Conv2d)]
    assert [gain(c) for c in convolutions] == pytest.approx([0.1] * len(convolutions), rel=0.1)
    assert not any(c.bias.any() for c in convolutions)
    network = RRDB(3, 3, width=32, growth=16, blocks=1)
    dense = {m for block in network.modules() if isinstance(block, Dense) for m in block.modules()}
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):  # torch draws from ±1 / √inputs
            assert gain(layer) == pytest.approx(0.1 if layer in dense else math.sqrt(1 / 6), rel=0.1)


@pytest.mark.parametrize(("make", "scale", "known"), [(SRResNet, 5, "1, 2, 3, 4, 8"), (RRDB, 8, "1, 2, 4")])
def test_other_scales_are_refused(make: Callable[..., nn.Module], scale: int, known: str) -> None:
    with pytest.raises(Incompatible, match=rf"cannot enlarge {scale} times\n  choose .*among {known}$"):
        make(3, 3, scale=scale)


def test_nothing_mixes_samples() -> None:
    for network in (SRResNet(1, 1, width=4, blocks=1), RRDB(1, 1, width=4, growth=2, blocks=1)):
        assert mixing_layers(network) == []
        source = torch.randn(2, 1, 6, 6)
        torch.testing.assert_close(network(source, LABEL)[:1], network(source[:1], LABEL[:1]))
