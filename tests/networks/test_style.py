"""StyleGAN2, StyleGAN, and what the style-based generators are made of: against the equations of their papers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from gan_cli.auxiliaries import PathLength, StylePathLength
from gan_cli.errors import Incompatible
from gan_cli.games.adversarial import Adversarial
from gan_cli.games.parts import Parts
from gan_cli.losses import Hinge
from gan_cli.networks import conditioning, pggan, stylegan, stylegan2
from gan_cli.networks.resampling import SameConvolution, UpConvolution
from gan_cli.networks.styles import crossed
from gan_cli.priors import Normal
from gan_cli.sampling import Draws, steps_along_paths
from gan_cli.types import Batch, DiscriminatorOutput, Round

LABEL = torch.zeros(4, dtype=torch.int64)


def generator(mixing: float = 0.0, resolution: int = 16) -> stylegan2.Generator:
    return stylegan2.Generator(
        5, 3, resolution, style_dim=6, mapping_layers=2, channel_base=64, channel_max=8, mixing=mixing
    )


def size(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def per_sample(layer: stylegan2.ModulatedConvolution, values: Tensor, w: Tensor) -> Tensor:
    """Equations 1 and 3 as they stand, with weights of each sample's own."""
    style, outputs = layer.style(w), []
    for x, s in zip(values, style, strict=True):
        weight = layer.kernel.weight * s.view(1, -1, 1, 1)
        if layer.demodulate:
            weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        outputs.append(layer.convolve(x.unsqueeze(0), weight))
    return torch.cat(outputs)


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize(("kernel", "convolve"), [(1, SameConvolution), (3, SameConvolution), (3, UpConvolution)])
def test_modulated_convolution_is_that_of_per_sample_weights(
    kernel: int, demodulate: bool, convolve: type[nn.Module]
) -> None:
    layer = stylegan2.ModulatedConvolution(5, 7, 6, kernel, demodulate, convolve()).double()
    values, w = torch.randn(4, 5, 6, 6).double(), torch.randn(4, 6).double()
    torch.testing.assert_close(layer(values, w), per_sample(layer, values, w))


def test_demodulation_gives_unit_variance() -> None:
    layer = stylegan2.ModulatedConvolution(64, 16, 8)
    values, w = torch.randn(32, 64, 16, 16), 10 * torch.randn(32, 8)
    within = (..., slice(1, -1), slice(1, -1))  # the border sees zeros
    variance = layer(values, w)[within].var((2, 3)).mean(1)
    assert variance.mean().item() == pytest.approx(1, abs=0.03)
    assert variance.max() / variance.min() < 1.5
    layer.demodulate = False
    assert layer(values, w)[within].var() > 20


def test_parameter_counts() -> None:
    """At 32 px, 512 channels everywhere, W = Z = 512, 8 mapping layers, counted by hand."""
    c, w, image = 512, 512, 3
    mapping = 8 * (w * w + w)
    style = w * c + c
    layer = style + 9 * c * c + c + 1  # kernel, bias, noise strength
    paint = style + c * image + image
    stages = 4  # sides 4, 8, 16, 32
    synthesis = 16 * c + layer + (stages - 1) * 2 * layer + stages * paint
    built = stylegan2.Generator(512, image, 32, channel_base=32768)
    assert size(built) == mapping + synthesis
    convolution = 9 * c * c + c
    halving = 2 * convolution + c * c
    head = 9 * (c + 1) * c + c + 16 * c * c + c + c + 1
    judge = stylegan2.Discriminator(image, 32, channel_base=32768)
    assert size(judge) == (image * c + c) + 3 * halving + head


def test_published_sizes_at_1024_pixels() -> None:
    """StyleGAN2 F as the authors' code prints it; StyleGAN and its baseline as in arXiv 1812.04948, section 2."""
    with torch.device("meta"):
        assert size(stylegan2.Generator(512, 3, 1024, channel_base=32768)) == 30_370_060
        assert size(stylegan2.Discriminator(3, 1024, channel_base=32768)) == 29_012_513
        assert size(stylegan.Generator(512, 3, 1024)) / 1e6 == pytest.approx(26.2, abs=0.05)
        assert size(pggan.Generator(512, 3, 1024)) / 1e6 == pytest.approx(23.1, abs=0.05)


def test_published_sizes_of_the_layers_at_32_pixels() -> None:
    """Each layer of 512 channels as in the tables that the authors' code prints (NVlabs/stylegan2-ada-pytorch, issues
    181 and 182), where small sides have as many channels as CIFAR-10's preset has at all of them.
    """
    with torch.device("meta"):
        built = stylegan2.Generator(512, 3, 32, mapping_layers=2, channel_base=32768)
        judge = stylegan2.Discriminator(3, 32, channel_base=32768)
        plain = stylegan2.Discriminator(3, 32, channel_base=32768, residual=False)
    assert [size(layer) for layer in built.mapping.layers] == [262_656] * 2
    synthesis = built.synthesis
    assert isinstance(synthesis, stylegan2.SkipSynthesis)
    assert synthesis.constant.numel() == 8_192
    layers = (synthesis.first, *synthesis.doubling, *synthesis.following)
    assert [size(layer) for layer in layers] == [2_622_465] * 7
    assert [size(layer) for layer in synthesis.to_image] == [264_195] * 4
    assert size(built) == 2 * 262_656 + 8_192 + 7 * 2_622_465 + 4 * 264_195
    for stage in judge.stages:
        assert isinstance(stage, stylegan2.ResidualBlock)
        assert [size(layer) for layer in (stage.shortcut, *stage.residual)] == [262_144, 2_359_808, 2_359_808]
    assert size(judge) - size(plain) == 3 * 262_144


@pytest.mark.parametrize("resolution", [20, 28, (), (16, 18), 4])
def test_what_does_not_halve_is_refused(resolution: object) -> None:
    for make in (stylegan2.Generator, stylegan.Generator):
        with pytest.raises(Incompatible, match=r"use .*model=mlp"):
            make(4, 1, resolution)  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [stylegan2.Generator, stylegan.Generator])
@pytest.mark.parametrize(("channels", "resolution"), [(1, 16), (3, 32), (2, (16, 48))])
def test_shapes(make: type[nn.Module], channels: int, resolution: int) -> None:
    built = make(5, channels, resolution, style_dim=6, mapping_layers=2, channel_base=64, channel_max=8)
    sides = resolution if isinstance(resolution, tuple) else (resolution, resolution)
    images = built(torch.randn(4, 5), LABEL)
    assert images.shape == (4, channels, *sides)
    output = stylegan2.Discriminator(channels, resolution, 64, 8)(images, LABEL)
    assert output.logits.shape == (4,)
    assert len(output.features) == {16: 2, 32: 3}[sides[0]]


def test_the_parts_make_the_whole_and_noise_starts_at_nothing() -> None:
    network = generator().eval()
    latent = torch.randn(4, 5)
    w = network.mapping(latent, LABEL)
    assert torch.equal(network(latent, LABEL), network.synthesis(w))
    every = w.unsqueeze(1).expand(-1, network.synthesis.layers, -1)
    assert torch.equal(network.synthesis(w), network.synthesis(every))
    network.synthesis.first.noise.strength.data.fill_(1.0)
    assert not torch.equal(network.synthesis(w), network.synthesis(w))


@pytest.mark.parametrize("make", [stylegan2.Generator, stylegan.Generator])
def test_every_style_reaches_the_image(make: type[nn.Module]) -> None:
    network = make(5, 3, 16, style_dim=6, mapping_layers=2, channel_base=64, channel_max=8)
    for module in network.modules():
        if hasattr(module, "images"):
            module.images.fill_(10**9)  # fully grown
    styles = torch.randn(2, network.synthesis.layers, 6, requires_grad=True)
    (gradient,) = torch.autograd.grad(network.synthesis(styles).square().sum(), styles)
    assert (gradient.abs().sum((0, 2)) > 0).all()


def test_the_mapping_reads_the_direction_of_a_latent_only() -> None:
    network = generator()
    latent = torch.randn(4, 5)
    torch.testing.assert_close(network.mapping(3 * latent, LABEL), network.mapping(latent, LABEL))


def test_truncation_moves_towards_the_mean_of_w() -> None:
    network = generator()
    for _ in range(1500):
        network.w_mean.lerp_(network.mapping(torch.randn(4, 5), LABEL).detach().mean(0), 0.005)
    expected = network.mapping(torch.randn(20_000, 5), torch.zeros(20_000, dtype=torch.int64)).mean(0)
    before = network.w_mean.clone()
    network(torch.randn(4, 5), LABEL)
    assert not torch.equal(network.w_mean, before)  # it follows in training,
    before = network.w_mean.clone()
    network.eval()(torch.randn(4, 5), LABEL)
    assert torch.equal(network.w_mean, before)  # and not when sampling
    torch.testing.assert_close(network.w_mean, expected, atol=0.1, rtol=0.1)
    w = network.mapping(torch.randn(4, 5), LABEL)
    assert torch.equal(network.truncated(w, 1.0), w)
    torch.testing.assert_close(network.truncated(w, 0.0), network.w_mean.expand_as(w))
    distance = (network.truncated(w, 0.5) - network.w_mean).norm() / (w - network.w_mean).norm()
    assert distance.item() == pytest.approx(0.5)


def test_crossover() -> None:
    first, second = torch.zeros(3, 2), torch.ones(3, 2)
    styles = crossed(first, second, torch.tensor([1, 3, 4]), layers=4)
    assert styles[..., 0].tolist() == [[0, 1, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]]


def test_style_mixing_only_while_training_and_as_often_as_said() -> None:
    network = generator(mixing=0.3)
    n = 3000
    latent, label = torch.randn(n, 5), torch.zeros(n, dtype=torch.int64)
    w = network.mapping(latent, label)
    styles = network.mixed(w, latent, label)
    own = (styles == w.unsqueeze(1)).all(2)
    assert own[:, 0].all()  # the first layer's is never taken away
    assert 1 - own.all(1).float().mean().item() == pytest.approx(0.3, abs=0.03)
    crossovers = own.sum(1)[~own.all(1)].bincount(minlength=network.synthesis.layers)
    assert (crossovers[1:] > 0.7 * crossovers.sum() / (network.synthesis.layers - 1)).all()  # all are as likely
    torch.testing.assert_close(styles[:, -1][~own.all(1)], network.mapping(latent.roll(1, 0), label)[~own.all(1)])
    assert torch.equal(network.eval()(latent[:4], LABEL), network.synthesis(w[:4]))


def test_adain_gives_each_channel_the_styles_mean_and_deviation() -> None:
    layer = stylegan.AdaIN(6, 5, 1e-8)
    w = torch.randn(4, 5)
    styled = layer(7 + 3 * torch.randn(4, 6, 16, 16), w)
    scale, shift = layer.style(w).chunk(2, 1)
    torch.testing.assert_close(styled.mean((2, 3)), shift, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(styled.std((2, 3), correction=0), (1 + scale).abs(), atol=1e-4, rtol=1e-4)


class Linear(nn.Module):
    """G(z) = A z."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.matrix = matrix

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        return (latent @ self.matrix.T).view(-1, 2, 4, 4)


def test_path_length_of_a_linear_generator() -> None:
    """E ‖Aᵀy‖² = ‖A‖²_F / places; for an A with orthogonal columns of equal length, every norm is χ distributed."""
    places, latent_dim = 16, 3
    matrix = 5.0 * torch.linalg.qr(torch.randn(32, latent_dim)).Q
    latent = torch.randn(4000, latent_dim, requires_grad=True)
    network = Linear(matrix)
    label = torch.zeros(4000, dtype=torch.int64)
    fake = network(latent, label)
    output = DiscriminatorOutput(torch.zeros(4000))
    current = Round(Batch(label), latent, None, fake, None, output, lambda x, y: output, network, network, 0)
    term = PathLength(decay=1.0)
    deviation = term(current)
    chi = math.sqrt(2) * math.gamma((latent_dim + 1) / 2) / math.gamma(latent_dim / 2)  # E ‖N(0, I)‖
    assert term.mean.item() == pytest.approx(5 / math.sqrt(places) * chi, rel=0.02)
    assert deviation.mean().item() == pytest.approx(25 / places * (latent_dim - chi**2), rel=0.1)


class LinearStyles(nn.Module):
    """mapping(z) = 2z, synthesis(w) = Σ over three layers of A w."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.synthesis = Linear(matrix)
        self.synthesis.forward = lambda styles: (styles.sum(1) @ matrix.T).view(-1, 2, 4, 4)
        self.synthesis.layers = 3

    def mapping(self, latent: Tensor, label: Tensor) -> Tensor:
        return 2 * latent


def test_path_length_in_w_does_not_see_the_mapping() -> None:
    """Every layer's style has the slope of `test_path_length_of_a_linear_generator`, and so has their mean."""
    matrix = 5.0 * torch.linalg.qr(torch.randn(32, 3)).Q
    latent, label = torch.randn(4000, 3), torch.zeros(4000, dtype=torch.int64)
    output = DiscriminatorOutput(torch.zeros(4000))
    network = LinearStyles(matrix)
    fake = torch.zeros(4000, 2, 4, 4)
    latent.requires_grad_()
    current = Round(Batch(label), latent, None, fake, None, output, lambda x, y: output, network, network, 0)
    term = StylePathLength(decay=1.0)
    term(current)
    chi = math.sqrt(2) * math.gamma(2) / math.gamma(1.5)
    assert term.mean.item() == pytest.approx(5 / 4 * chi, rel=0.02)


@pytest.mark.parametrize("term", [PathLength(), StylePathLength()], ids=["z", "w"])
def test_path_length_reaches_the_generators_weights(term: PathLength) -> None:
    network = generator(mixing=0.9)
    latent = torch.randn(4, 5, requires_grad=True)
    fake = network(latent, LABEL)
    output = DiscriminatorOutput(torch.zeros(4))
    current = Round(Batch(LABEL), latent, None, fake, None, output, lambda x, y: output, network, network, 0)
    term(current).mean().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
    assert network.synthesis.first.convolution.kernel.parametrizations["weight"].original.grad.abs().sum() > 0


@pytest.mark.parametrize("minibatch", ["none", "stddev"])
def test_double_backward_through_d_is_that_of_finite_differences(minibatch: str) -> None:
    judge = stylegan2.Discriminator(1, 8, 16, 2, minibatch=minibatch).double()
    x = torch.randn(4, 1, 8, 8).double().requires_grad_()
    assert torch.autograd.gradgradcheck(
        lambda images: judge(images, LABEL).logits, x, torch.randn(4).double().requires_grad_(), fast_mode=True
    )


def test_the_deviation_of_a_batch_is_one_more_map_at_the_end() -> None:
    judge = stylegan2.Discriminator(3, 16, 64, 8, minibatch_group=2)
    alone = torch.randn(1, 3, 16, 16).expand(4, -1, -1, -1)
    seen: list[Tensor] = []
    judge.minibatch.register_forward_hook(lambda module, inputs, output: seen.append(output))
    judge(alone, LABEL)
    judge(torch.randn(4, 3, 16, 16), LABEL)
    assert seen[0].shape == (4, 9, 4, 4)
    torch.testing.assert_close(seen[0][:, -1], torch.full((4, 4, 4), 1e-4))  # √1e-8: nothing differs
    statistic = seen[1][:, -1].flatten(1)
    assert (statistic == statistic[:, :1]).all()
    assert statistic[0, 0] == statistic[2, 0] != statistic[1, 0]  # two groups of two
    expected = (seen[1][[0, 2], :-1].var(0, correction=0) + 1e-8).sqrt().mean()
    torch.testing.assert_close(statistic[0, 0], expected)


def test_labels_enter_beside_the_latent_and_in_the_head() -> None:
    label = torch.tensor([0, 1, 2, 0])
    latent = torch.randn(1, 5).expand(4, -1)
    for choice in (conditioning.ConcatLatent(3, 4), conditioning.ConditionalNorm(3)):
        network = stylegan2.Generator(5, 1, 16, 6, 2, 64, 8, conditioning=choice).eval()
        images = network(latent, label)
        assert network.classes == 3
        torch.testing.assert_close(images[0], images[3])
        assert (images[0] - images[1]).abs().max() > 1e-3
    judge = stylegan2.Discriminator(1, 16, 64, 8, "none", conditioning=conditioning.Projection(3))
    logits = judge(images[:1].expand(4, -1, -1, -1), label).logits
    assert logits[0].item() == pytest.approx(logits[3].item())
    assert abs((logits[0] - logits[1]).item()) > 1e-4
    assert not hasattr(judge.head.embedding, "bias")


def test_autocast_keeps_the_precision_of_the_demodulation() -> None:
    network = generator().eval()
    latent = torch.randn(4, 5)
    exact = network(latent, LABEL)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = network(latent, LABEL)
    assert (rounded - exact).abs().max() < 0.1 * exact.std()


def test_neighbours_on_a_path_meet_the_same_noise() -> None:
    """Else the perceptual path length would measure the noise."""
    network = generator().eval()
    network.synthesis.first.noise.strength.data.fill_(1.0)

    game = Adversarial(Parts(network, nn.Identity(), Hinge(), Normal(5)))
    ((a, b),) = steps_along_paths(game, network, Draws.of(network, 0, torch.device("cpu")), 8, 1e-4)
    assert 0 < (a - b).abs().max() < 0.01


def test_paths_lie_where_truncated_samples_do() -> None:
    """Of two latents within a bound, no coordinate of a point between them is larger: the great circle through a and b
    has the length of the longer one at most, √Z times the bound. Latents with tails lie farther out."""
    bound, width = 0.05, 16
    drawn: list[Tensor] = []

    class Straight(nn.Module):
        def forward(self, latent: Tensor, label: Tensor) -> Tensor:
            drawn.append(latent)
            return latent.view(-1, 1, 4, 4)

    network = Straight()
    for prior in (Normal(width).truncated(bound), Normal(width)):
        game = Adversarial(Parts(network, nn.Identity(), Hinge(), prior))
        list(steps_along_paths(game, network, Draws.of(network, 0, torch.device("cpu")), 8, 1e-4))
    (one, _, other, _) = (latent.norm(dim=1) for latent in drawn)
    assert one.max() <= bound * width**0.5 + 1e-6
    assert other.min() > bound * width**0.5
