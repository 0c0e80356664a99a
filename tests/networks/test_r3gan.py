"""R3GAN: the published sizes, the resampling kernels, blocks that begin as the identity, and second derivatives."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gan_cli.errors import Incompatible
from gan_cli.networks import conditioning as c
from gan_cli.networks.blocks import mixing_layers
from gan_cli.networks.r3gan import GAIN, Block, Discriminator, Generator

LABEL = torch.tensor([0, 1, 2])
SMALL = {"width": 8, "blocks": 1, "group_width": 4}
CONDITIONINGS = {
    "none": (c.GeneratorConditioning(), c.DiscriminatorConditioning()),
    "concat": (c.ConcatLatent(3), c.ConcatSample(3)),
    "projection": (c.ConditionalNorm(3), c.Projection(3)),
    "acgan": (c.ConcatLatent(3), c.AuxiliaryClassifier(3)),
    "bilinear": (c.ConcatLatent(3), c.Bilinear(3)),
}


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_the_published_size_of_cifar10() -> None:
    """4 stages of 2 blocks, width 768, 1536 inner channels in 96 groups: 20.8 M in G and 21.3 M in D."""
    with torch.device("meta"):
        generator = Generator(64, 3, 32, conditioning=c.ConcatLatent(10, 64))
        discriminator = Discriminator(3, 32, conditioning=c.Bilinear(10))
    block = 2 * 768 * 1536 + 1536 * 16 * 9 + 2 * 1536
    assert parameters(generator) == 8 * block + 16 * 768 + 128 * 768 + 3 * 768 + 10 * 64
    assert parameters(discriminator) == 8 * block + 3 * 768 + 16 * 768 + 768 * 768 + 10 * 768
    assert [round(parameters(n) / 1e6, 1) for n in (generator, discriminator)] == [20.8, 21.3]
    assert generator.stages[0].blocks[0].mix.groups == 96


FFHQ = {64: ([768] * 4 + [384], 22_429_824, 22_381_440), 256: ([768] * 4 + [384, 192, 96], 23_057_952, 23_009_568)}


@pytest.mark.parametrize("side", FFHQ)
def test_the_published_sizes_of_ffhq(side: int) -> None:
    """The authors' networks have these numbers of parameters; ours have one more in D, the bias of its last layer."""
    width, drawn, judged = FFHQ[side]
    with torch.device("meta"):
        generator, discriminator = Generator(64, 3, side, width=width), Discriminator(3, side, width=width)
    assert (parameters(generator), parameters(discriminator) - 1) == (drawn, judged)
    for network in (generator, discriminator):
        mixing = [module for module in network.modules() if isinstance(module, Block)]
        assert {block.mix.weight.shape[1] for block in mixing} == {16}


def test_stages_of_one_width_are_those_of_a_list_of_it() -> None:
    for make in (lambda **sizes: Generator(5, 1, 32, **sizes), lambda **sizes: Discriminator(1, 32, **sizes)):
        torch.manual_seed(0)
        one = make(**SMALL).state_dict()
        torch.manual_seed(0)
        several = make(**{name: [size] * 4 for name, size in SMALL.items()}).state_dict()
        assert list(one) == list(several)
        assert all(torch.equal(one[name], several[name]) for name in one)


@pytest.mark.parametrize("setting", SMALL)
def test_a_list_has_a_number_for_each_stage(setting: str) -> None:
    expected = rf"model\.{setting}=\[8,8\] has 2 values, and there are 4 stages, from 4 px up\n  give one for each"
    for make in (lambda **sizes: Generator(5, 1, 32, **sizes), lambda **sizes: Discriminator(1, 32, **sizes)):
        with pytest.raises(ValueError, match=expected):
            make(**SMALL | {setting: [8, 8]})


@pytest.mark.parametrize(("channels", "resolution"), [(1, 16), (3, 32), (3, (16, 32))])
@pytest.mark.parametrize("name", CONDITIONINGS)
def test_shapes_and_whether_the_label_is_read(name: str, channels: int, resolution: int) -> None:
    for_generator, for_discriminator = CONDITIONINGS[name]
    generator = Generator(5, channels, resolution, **SMALL, conditioning=for_generator)
    discriminator = Discriminator(channels, resolution, **SMALL, conditioning=for_discriminator)
    images = generator(torch.randn(3, 5), LABEL)
    height, width = (resolution, resolution) if isinstance(resolution, int) else resolution
    assert images.shape == (3, channels, height, width)
    output = discriminator(images, LABEL)
    assert output.logits.shape == (3,)
    assert [f.shape[2] for f in output.features] == [height >> i for i in range(len(output.features))]
    assert output.features[-1].shape[2] == 4
    assert mixing_layers(discriminator) == []
    for network in (generator, discriminator):  # every parameter has a part in the outcome
        network.requires_grad_(True)
        for parameter in network.parameters():
            nn.init.normal_(parameter)
    latent = torch.randn(3, 5)
    assert torch.equal(generator(latent, LABEL), generator(latent, LABEL.flip(0))) == (name == "none")
    reads = not torch.equal(discriminator(images, LABEL).logits, discriminator(images, LABEL.flip(0)).logits)
    assert reads == discriminator.reads_labels


@pytest.mark.parametrize("resolution", [8, 20, (), (16, 18)])
def test_what_does_not_halve_is_refused(resolution: int) -> None:
    with pytest.raises(Incompatible, match=r"model=r3gan .*\n  .*model=mlp"):
        Generator(5, 1, resolution, **SMALL)


def test_groups_that_do_not_come_out_even_are_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.width=100: 200 inner.*\n  .*multiple of 8"):
        Discriminator(1, 16, width=100)
    with pytest.raises(ValueError, match=r"model\.width=100: 200 inner"):
        Generator(5, 1, 16, width=[64, 100, 64])


def test_a_block_begins_as_the_identity_and_learns_from_there() -> None:
    x = torch.randn(2, 8, 4, 4)
    block = Block(8, 16, 4, depth=6)
    assert torch.equal(block(x), x)
    block(x).square().mean().backward()
    assert block.contract.weight.grad.abs().max() > 0
    assert {n for n, _ in block.named_parameters()} == {
        *("expand.weight", "expand.bias", "mix.weight", "mix.bias", "contract.weight")
    }


def test_scale_of_the_first_weights() -> None:
    """std = GAIN · L^-¼ / √inputs: L blocks, each of which would grow the variance by 1/√L at unit last weights."""
    block = Block(64, 256, 16, depth=16)
    assert block.expand.weight.std().item() == pytest.approx(GAIN / 2 / 8, rel=0.05)
    assert block.mix.weight.std().item() == pytest.approx(GAIN / 2 / 12, rel=0.05)  # 16 channels of 3 x 3
    x = torch.randn(4000, 100)
    linear = nn.Linear(100, 200, bias=False)
    nn.init.normal_(linear.weight, 0, GAIN / 10)
    assert nn.functional.leaky_relu(linear(x), 0.2).square().mean().item() == pytest.approx(1, rel=0.03)


def test_resampling_moves_nothing() -> None:
    """Behind all doublings, or halvings, a mirrored map is the map mirrored: the picture stays where it is."""
    generator, discriminator = Generator(4, 1, 32, **SMALL), Discriminator(1, 32, **SMALL)
    x = torch.randn(2, 8, 4, 4)
    up = nn.Sequential(*(stage.transition for stage in generator.stages[1:]))
    assert up(x).shape == (2, 8, 32, 32)
    torch.testing.assert_close(up(x.flip(2, 3)), up(x).flip(2, 3))
    torch.testing.assert_close(up(torch.ones(1, 8, 4, 4))[..., 8:24, 8:24], torch.ones(1, 8, 16, 16))
    down = nn.Sequential(*(stage[0] for stage in discriminator.stages[1:]))
    y = torch.randn(2, 8, 32, 32)
    torch.testing.assert_close(down(y.flip(2, 3)), down(y).flip(2, 3))
    torch.testing.assert_close(64 * (x * down(y)).sum(), (up(x) * y).sum(), rtol=1e-4, atol=1e-4)


def test_second_derivatives_reach_every_weight() -> None:
    """R1's gradient, checked against finite differences along one direction in double precision."""
    discriminator = Discriminator(1, 16, **SMALL, conditioning=c.Bilinear(3)).double()
    for parameter in discriminator.parameters():
        nn.init.normal_(parameter, 0, 0.3)
    images = torch.randn(3, 1, 16, 16, dtype=torch.float64, requires_grad=True)
    weights = list(discriminator.parameters())

    def penalty() -> torch.Tensor:
        logits = discriminator(images, LABEL).logits
        (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
        return gradient.square().sum()

    # the biases move the penalty only where an activation changes its sign
    found = torch.autograd.grad(penalty(), weights, allow_unused=True)
    assert {n for (n, _), g in zip(discriminator.named_parameters(), found, strict=True) if g is None} <= {
        n for n, _ in discriminator.named_parameters() if n.endswith("bias")
    }
    step = 1e-6
    directions = [torch.randn_like(w) for w in weights]
    slope = sum((g * d).sum() for g, d in zip(found, directions, strict=True) if g is not None)
    values = []
    for sign in (1, -2):
        with torch.no_grad():
            for weight, direction in zip(weights, directions, strict=True):
                weight += sign * step * direction
        values.append(penalty())
    torch.testing.assert_close((values[0] - values[1]) / (2 * step), slope, rtol=1e-4, atol=0)
