"""The residual family: sizes of the papers' networks, shapes, and what the blocks compute."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_cli.errors import ConfigError, Incompatible
from gan_cli.networks import biggan, residual, resnet
from gan_cli.networks.attention import SelfAttention
from gan_cli.networks.blocks import mixing_layers, spectrally_normalised
from gan_cli.networks.conditioning import (
    AuxiliaryClassifier,
    ConcatLatent,
    ConcatSample,
    ConditionalNorm,
    DiscriminatorConditioning,
    GeneratorConditioning,
    Projection,
)
from gan_cli.types import sample_shape

LABEL = torch.tensor([0, 1, 2])
CONDITIONINGS = {
    "none": (GeneratorConditioning, DiscriminatorConditioning),
    "concat": (lambda: ConcatLatent(3, 5), lambda: ConcatSample(3)),
    "projection": (lambda: ConditionalNorm(3), lambda: Projection(3)),
    "acgan": (lambda: ConcatLatent(3, 5), lambda: AuxiliaryClassifier(3)),
}
Makes = dict[str, tuple[Callable[..., nn.Module], Callable[..., nn.Module]]]
# The settings of conf/model, small.
FAMILY: Makes = {
    "sngan": (
        lambda z, c, r, **more: resnet.Generator(z, c, r, width=1, **more),
        lambda c, r, **more: resnet.Discriminator(c, r, width=1, **more),
    ),
    "sagan": (
        lambda z, c, r, **more: resnet.Generator(z, c, r, width=1, spectral_norm=True, attention=None, **more),
        lambda c, r, **more: resnet.Discriminator(c, r, width=1, attention=None, **more),
    ),
    "biggan": (
        lambda z, c, r, **more: biggan.Generator(z, c, r, width=1, embedding=4, **more),
        lambda c, r, **more: resnet.Discriminator(c, r, width=1, attention=None, init="orthogonal", **more),
    ),
    "wgan_gp_resnet": (
        lambda z, c, r, **more: resnet.Generator(z, c, r, width=1, upsample="nearest", **more),
        lambda c, r, **more: resnet.Discriminator(c, r, width=1, spectral_norm=False, pool="mean", **more),
    ),
}


def size(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def conv(channels_in: int, channels_out: int, side: int = 3) -> int:
    return side * side * channels_in * channels_out + channels_out


def test_sngan_has_the_published_size_at_32_pixels() -> None:
    """4.28M and 1.05M, without labels."""
    assert size(resnet.Generator(128, 3, 32)) / 1e6 == pytest.approx(4.28, abs=0.005)
    assert size(resnet.Discriminator(3, 32)) / 1e6 == pytest.approx(1.05, abs=0.005)


def test_sizes_follow_from_the_tables() -> None:
    def generator(widths: Sequence[int], base: int, z: int = 128) -> int:
        blocks = sum(conv(a, b) + conv(b, b) + conv(a, b, 1) + 2 * a + 2 * b for a, b in itertools.pairwise(widths))
        return (z + 1) * widths[0] * base**2 + blocks + 2 * widths[-1] + conv(widths[-1], 3)

    def discriminator(widths: Sequence[int], shortcuts: int, wide: bool = False) -> int:
        plan = list(itertools.pairwise((3, *widths)))
        inner = widths if wide else (widths[0], *widths[:-1])
        blocks = sum(conv(a, i) + conv(i, b) for (a, b), i in zip(plan, inner, strict=True))
        return blocks + sum(conv(a, b, 1) for a, b in plan[:shortcuts]) + widths[-1] + 1

    assert size(resnet.Generator(128, 3, 32)) == generator([256] * 4, 4)
    assert size(resnet.Discriminator(3, 32)) == discriminator([128] * 4, shortcuts=2)
    # WGAN-GP: width 128 in both
    assert size(resnet.Generator(128, 3, 32, width=32)) == generator([128] * 4, 4)
    assert size(resnet.Discriminator(3, 32, width=64, spectral_norm=False)) == discriminator([128] * 4, shortcuts=2)
    # STL-10 and ImageNet, an eighth as wide
    assert size(resnet.Generator(128, 3, 48, width=8)) == generator([64, 32, 16, 8], 6)
    assert size(resnet.Discriminator(3, 48, width=8)) == discriminator([8, 16, 32, 64, 128], shortcuts=5)
    assert size(resnet.Generator(128, 3, 128, width=8)) == generator([128, 128, 64, 32, 16, 8], 4)
    assert size(resnet.Discriminator(3, 128, width=8)) == discriminator([8, 16, 32, 64, 128, 128], shortcuts=5)
    # SAGAN and BigGAN
    many = resnet.Discriminator(3, 128, width=8, wide=True)
    assert size(many) == discriminator([8, 16, 32, 64, 128, 128], shortcuts=5, wide=True)
    assert size(resnet.Discriminator(3, 32, wide=True)) == size(resnet.Discriminator(3, 32))


@pytest.mark.parametrize("side", [16, 28, 32, 48, 64, 128, (64, 128)])
def test_widths_by_the_rule_are_those_of_a_list_of_them(side: int | tuple[int, int]) -> None:
    maps = residual.generator_widths(side, 3)
    steps = residual.discriminator_steps(side, 3)
    assert residual.generator_widths(side, maps) == maps
    assert residual.discriminator_steps(side, [step.width for step in steps][::-1]) == steps


def test_a_list_of_widths_serves_both_players() -> None:
    maps = [8, 4, 4, 2, 2, 1, 1]
    generator, critic = resnet.Generator(4, 3, 256, maps), resnet.Discriminator(3, 256, maps)
    assert [block.conv1.in_channels for block in generator.synthesis.blocks] == maps[:-1]
    assert generator.synthesis.output.in_channels == maps[-1]
    assert [step.width for step in residual.discriminator_steps(256, maps)] == maps[::-1]
    assert critic(generator(torch.randn(1, 4), LABEL[:1]), LABEL[:1]).logits.shape == (1,)


def test_a_list_of_widths_of_another_length_is_refused() -> None:
    rest = r"values, and there are {}, from the smallest\D*\n  give one for each"
    with pytest.raises(ConfigError, match=r"model\.generator\.width=\[8,8\] has 2 " + rest.format("5 maps")):
        resnet.Generator(4, 3, 64, [8, 8])
    with pytest.raises(ConfigError, match=r"model\.generator\.width=\[8,8\] has 2 " + rest.format("4 maps")):
        biggan.Generator(8, 3, 48, [8, 8])
    with pytest.raises(ConfigError, match=r"model\.discriminator\.width=\[8\] has 1 " + rest.format("4 blocks")):
        resnet.Discriminator(3, 32, [8])


def test_sides_of_the_papers() -> None:
    assert [residual.doublings(side) for side in (32, 48, 64, 128)] == [
        (3, (4, 4)),
        (3, (6, 6)),
        (4, (4, 4)),
        (5, (4, 4)),
    ]
    for side, last in ((16, 4), (28, 7), (32, 8), (48, 3), (64, 4), (128, 4)):
        output = resnet.Discriminator(1, side, width=1)(torch.randn(1, 1, side, side), LABEL[:1])
        assert output.features[-1].shape[-1] == last


@pytest.mark.parametrize("model", FAMILY)
@pytest.mark.parametrize("conditioning", CONDITIONINGS)
@pytest.mark.parametrize(("channels", "resolution"), [(1, 16), (3, (32, 48))])
def test_every_model_takes_every_conditioning(
    model: str, conditioning: str, channels: int, resolution: int | Sequence[int]
) -> None:
    """Shapes, ranges, gradients everywhere, and D twice differentiable."""
    (make_g, make_d), (of_g, of_d) = FAMILY[model], CONDITIONINGS[conditioning]
    generator = make_g(7, channels, resolution, conditioning=of_g())
    discriminator = make_d(channels, resolution, conditioning=of_d())
    for player in (generator, discriminator):
        for name, parameter in player.named_parameters():
            if name.endswith("gamma"):
                nn.init.constant_(parameter, 0.5)  # let attention through
    images = generator(torch.randn(3, 7), LABEL)
    assert images.shape == (3, *sample_shape(channels, resolution))
    assert images.abs().max() <= 1
    output = discriminator(images, LABEL)
    assert output.logits.shape == (3,)
    assert (output.class_logits is not None) == (conditioning == "acgan")
    assert discriminator.reads_labels == (conditioning in ("concat", "projection"))
    assert generator.classes == (0 if conditioning == "none" else 3)
    (output.logits.sum() + (0 if output.class_logits is None else output.class_logits.square().sum())).backward()
    for player in (generator, discriminator):
        assert [n for n, p in player.named_parameters() if p.grad is None] == []

    real = torch.randn(3, *sample_shape(channels, resolution)).requires_grad_()
    (slope,) = torch.autograd.grad(discriminator(real, LABEL).logits.sum(), real, create_graph=True)
    discriminator.zero_grad()
    slope.square().sum().backward()
    assert sum(p.grad.abs().sum().item() for p in discriminator.parameters() if p.grad is not None) > 0


@pytest.mark.parametrize("model", FAMILY)
def test_labels_change_what_is_drawn_where_they_are_read(model: str) -> None:
    make_g, make_d = FAMILY[model]
    latent, image = torch.randn(2, 7), torch.randn(2, 1, 16, 16)
    label, other = torch.tensor([0, 0]), torch.tensor([1, 1])
    for conditioning, (of_g, of_d) in CONDITIONINGS.items():
        generator, discriminator = (
            make_g(7, 1, 16, conditioning=of_g()).eval(),
            make_d(1, 16, conditioning=of_d()).eval(),
        )
        for name, parameter in generator.named_parameters():
            if ".gain" in name or ".bias.w" in name:
                nn.init.normal_(parameter)  # classes begin alike
        assert torch.equal(generator(latent, label), generator(latent, other)) == (conditioning == "none")
        judged = [discriminator(image, y).logits for y in (label, other)]
        assert torch.equal(*judged) != discriminator.reads_labels


@pytest.mark.parametrize("resolution", [8, 12, 18, 36, (32, 36), (16, 18), ()])
@pytest.mark.parametrize("model", FAMILY)
def test_what_no_map_doubles_to_is_refused(model: str, resolution: int | Sequence[int]) -> None:
    make_g, make_d = FAMILY[model]
    for make in (lambda: make_g(7, 1, resolution), lambda: make_d(1, resolution)):
        with pytest.raises(Incompatible, match="model=mlp"):
            make()


def test_unknown_choices_name_setting_and_choices() -> None:
    for setting, value in {"norm": "bath", "upsample": "cubic", "init": "he"}.items():
        with pytest.raises(ValueError, match=rf"model\.generator\.{setting}={value} is unknown\n  choose one of"):
            resnet.Generator(4, 1, 16, **{setting: value})
    for setting, value in {"norm": "bath", "pool": "max", "init": "he", "minibatch": "all"}.items():
        with pytest.raises(ValueError, match=rf"model\.discriminator\.{setting}={value} is unknown\n  choose one of"):
            resnet.Discriminator(1, 16, **{setting: value})
    with pytest.raises(ValueError, match=r"model\.generator\.attention=\[7\].*\n  .*8, 16"):
        resnet.Generator(4, 1, 16, attention=[7])
    with pytest.raises(ValueError, match=r"model\.discriminator\.attention=\[16\].*\n  .*8, 4"):
        resnet.Discriminator(1, 16, attention=[16])


def test_critic_of_wgan_gp_keeps_samples_apart() -> None:
    critic = FAMILY["wgan_gp_resnet"][1](1, 16)
    assert mixing_layers(critic) == []
    x = torch.randn(3, 1, 16, 16)
    torch.testing.assert_close(critic(x, LABEL).logits[:1], critic(x[:1], LABEL[:1]).logits)
    assert mixing_layers(FAMILY["wgan_gp_resnet"][1](1, 16, norm="batch")) != []
    assert mixing_layers(FAMILY["wgan_gp_resnet"][1](1, 16, norm="layer")) == []


def test_which_players_are_spectrally_normalised() -> None:
    bounded = {
        model: (spectrally_normalised(make_g(7, 1, 16)), spectrally_normalised(make_d(1, 16)))
        for model, (make_g, make_d) in FAMILY.items()
    }
    assert bounded == {
        "sngan": (False, True),
        "sagan": (True, True),
        "biggan": (True, True),
        "wgan_gp_resnet": (False, False),
    }


def test_sum_pooling_is_the_mean_times_the_places() -> None:
    maps = torch.randn(2, 5, 4, 6)
    torch.testing.assert_close(resnet.sum_pool(maps), 24 * resnet.mean_pool(maps))
    # and the logit less its bias grows so
    summed = resnet.Discriminator(1, 16, width=1, pool="sum", spectral_norm=False)
    meaned = resnet.Discriminator(1, 16, width=1, pool="mean", spectral_norm=False)
    meaned.load_state_dict(summed.state_dict())
    x = torch.randn(3, 1, 16, 16)
    torch.testing.assert_close(summed(x, LABEL).logits, 16 * meaned(x, LABEL).logits)


def test_bilinear_doubling() -> None:
    maps = torch.randn(2, 3, 5, 4, dtype=torch.float64, requires_grad=True)
    expected = F.interpolate(maps, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(residual.BilinearUpsample()(maps), expected)
    assert residual.BilinearUpsample()(maps[..., :1, :1]).shape[-2:] == (2, 2)
    assert torch.autograd.gradgradcheck(residual.BilinearUpsample(), (maps[:1, :1],))


@pytest.mark.parametrize("upsample", residual.UPSAMPLES)
def test_shortcuts_commute_with_resampling(upsample: str) -> None:
    """A 1x1 convolution, bias included, before a doubling or a mean is the same as after it."""
    one, maps = nn.Conv2d(3, 5, 1), torch.randn(2, 3, 4, 6)
    double, halve = residual.UPSAMPLES[upsample](), nn.AvgPool2d(2)
    torch.testing.assert_close(double(one(maps)), one(double(maps)))
    torch.testing.assert_close(halve(one(maps)), one(halve(maps)))


def test_first_block_convolves_the_image_itself() -> None:
    """ReLU before the first convolution would lose every negative pixel."""
    network = resnet.Discriminator(1, 16, width=1)
    assert not isinstance(network.stages[0][0].residual[0], nn.ReLU | nn.Identity)
    assert isinstance(network.stages[1][0].residual[1], nn.ReLU)
    dark = -torch.rand(1, 1, 16, 16, requires_grad=True)
    (slope,) = torch.autograd.grad(network(dark, LABEL[:1]).logits.sum(), dark)
    assert slope.abs().max() > 0


def weights(network: nn.Module) -> list[tuple[str, Tensor]]:
    kinds = nn.Linear | nn.Conv2d | nn.Embedding
    return [(name, m.weight.detach()) for name, m in network.named_modules() if isinstance(m, kinds)]


def test_xavier_gains() -> None:
    """Variance gain² · 2 / (inputs + outputs), with gain √2 beside shortcuts only."""
    for network in (resnet.Generator(64, 3, 32, width=16), resnet.Discriminator(3, 32, width=32, spectral_norm=False)):
        for name, weight in weights(network):
            fan_in, fan_out = (weight[0].numel(), weight[:, 0].numel())
            squared = 2 if "conv" in name or ".residual." in name else 1
            assert weight.var().item() == pytest.approx(squared * 2 / (fan_in + fan_out), rel=0.2), name
        assert all(p.abs().max() == 0 for n, p in network.named_parameters() if n.endswith("bias"))


def test_orthogonal_weights() -> None:
    """W Wᵀ = I, or WᵀW = I where the matrix is tall; the spectral norm of such a matrix is 1 and leaves it."""
    players = (
        biggan.Generator(40, 3, 16, width=2, conditioning=ConditionalNorm(10)),
        resnet.Discriminator(3, 16, width=2, init="orthogonal", conditioning=Projection(10)),
    )
    for player in players:
        for name, weight in weights(player):
            matrix = weight.flatten(1)
            matrix = matrix if len(matrix) <= matrix.shape[1] else matrix.T
            torch.testing.assert_close(matrix @ matrix.T, torch.eye(len(matrix)), atol=2e-3, rtol=0, msg=name)


def test_attention_stands_at_half_the_side_unless_told() -> None:
    def sides(network: nn.Module, run: Callable[[nn.Module], object]) -> list[int]:
        seen: list[int] = []
        hooks = [
            m.register_forward_hook(lambda _, x, y: seen.append(x[0].shape[-2]))
            for m in network.modules()
            if isinstance(m, SelfAttention)
        ]
        run(network)
        for hook in hooks:
            hook.remove()
        return seen

    for side in (16, 32, 48):
        assert sides(FAMILY["sagan"][0](7, 1, side), lambda g: g(torch.randn(3, 7), LABEL)) == [side // 2]
        x = torch.randn(3, 1, side, side)
        assert sides(FAMILY["sagan"][1](1, side), lambda d, x=x: d(x, LABEL)) == [side // 2]
    assert sides(resnet.Generator(7, 1, 16, 1), lambda g: g(torch.randn(3, 7), LABEL)) == []
    both = resnet.Discriminator(1, 32, 1, attention=[16, 8])
    assert sides(both, lambda d: d(torch.randn(3, 1, 32, 32), LABEL)) == [16, 8]
