"""Discriminators of patches, VGG's shape and U-Net: the published sizes, what a logit sees, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from gan_cli.errors import ConfigError, Incompatible
from gan_cli.networks.base import declared
from gan_cli.networks.blocks import mixing_layers, spectrally_normalised
from gan_cli.networks.conditioning import Projection
from gan_cli.networks.critics import Patches, UNetCritic, VGGStyle
from gan_cli.types import Need

LABEL = torch.tensor([0, 1])


@pytest.mark.parametrize(
    ("count", "make"),
    [
        (2_768_705, lambda: Patches(6, norm="batch")),
        (2_764_737, lambda: Patches(3)),
        (9_025, lambda: Patches(6, layers=0, norm="batch")),
        (14_499_401, lambda: VGGStyle(3, 128)),
        (21_055_049, lambda: VGGStyle(3, 256)),
    ],
)
def test_the_published_sizes(count: int, make: Callable[[], nn.Module]) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in make().parameters()) == count


def test_the_published_size_of_the_unet() -> None:
    """Spectral norm keeps the weight as it is learned, so the number of parameters is that of plain convolutions."""
    assert sum(p.numel() for p in UNetCritic(3).parameters()) == 4_376_897


def field(network: nn.Module, side: int) -> int:
    """Columns that the logit in the middle reads."""
    for name, value in network.named_parameters():  # weights of one sign reach all that they can
        value.data.abs_() if name.endswith("weight") else value.data.zero_()
    image = torch.ones(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    logits = network.double()(image, LABEL[:1]).logits
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    columns = image.grad[0, 0].abs().sum(0).nonzero().flatten()
    assert len(columns) == columns.max() - columns.min() + 1
    assert columns.min() > 0 or side == 1
    return len(columns)


@pytest.mark.parametrize(("layers", "pixels"), [(0, 1), (1, 16), (2, 34), (3, 70), (4, 142), (5, 286)])
def test_what_a_patch_sees(layers: int, pixels: int) -> None:
    assert field(Patches(1, width=1, layers=layers, norm="none"), 3 * pixels) == pixels


@pytest.mark.parametrize("norm", ["instance", "batch", "layer", "none"])
@pytest.mark.parametrize("layers", [0, 1, 3])
def test_shapes_of_patches(norm: str, layers: int) -> None:
    images = torch.randn(2, 3, 40, 56)
    for spectral in (False, True):
        network = Patches(3, width=4, layers=layers, norm=norm, spectral_norm=spectral)
        output = network(images, LABEL)
        lost = 2 if layers else 0
        assert output.logits.shape == (2, 1, (40 >> layers) - lost, (56 >> layers) - lost)
        assert len(output.features) == max(layers, 1) + 1
        assert [f.shape[1] for f in output.features] == [4 << i for i in range(len(output.features))]
        assert spectrally_normalised(network) == spectral
        assert (mixing_layers(network) != []) == (norm == "batch")


def test_the_layers_of_70_pixels() -> None:
    """64, 128, 256 and 512 channels, then the logit; a stride of 2 in the first three; no norm in the first layer."""
    with torch.device("meta"):
        network = Patches(3)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert [(c.out_channels, c.stride[0], c.kernel_size[0], c.padding[0]) for c in convolutions] == [
        *((64, 2, 4, 1), (128, 2, 4, 1), (256, 2, 4, 1), (512, 1, 4, 1), (1, 1, 4, 1))
    ]
    assert [sum(isinstance(m, nn.InstanceNorm2d) for m in stage) for stage in network.stages] == [0, 1, 1, 1]
    assert all(c.bias is not None for c in convolutions)
    with torch.device("meta"):
        convolutions = [m for m in Patches(3, norm="batch").modules() if isinstance(m, nn.Conv2d)]
    assert [c.bias is not None for c in convolutions] == [True, False, False, False, True]


def test_first_weights_of_patches() -> None:
    torch.manual_seed(0)
    for layer in Patches(3, width=16, norm="batch").modules():
        if isinstance(layer, nn.Conv2d):
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.15)
            assert layer.bias is None or not layer.bias.any()
        if isinstance(layer, nn.BatchNorm2d):
            assert 0 < layer.weight.std().item() < 0.04


@pytest.mark.parametrize(("layers", "least"), [(0, 2), (1, 6), (2, 12), (3, 24), (5, 96)])
def test_the_smallest_image_of_patches(layers: int, least: int) -> None:
    """It leaves a logit; one pixel less is told in two lines, at once where the resolution is known."""
    network = Patches(1, width=1, layers=layers, resolution=least)
    assert network(torch.randn(2, 1, least, least), LABEL).logits.numel() == (2 if layers else 8)
    two_lines = (
        rf"^model\.discriminator\.layers={layers} wants images of {least} x {least} .* {least - 1} x 50\n  choose"
    )
    with pytest.raises(Incompatible, match=two_lines):
        network(torch.randn(2, 1, least - 1, 50), LABEL)
    with pytest.raises(Incompatible, match=two_lines):
        Patches(1, width=1, layers=layers, resolution=(least - 1, 50))


def test_points_are_no_patches() -> None:
    with pytest.raises(Incompatible, match=r"they are points\n"):
        Patches(2, resolution=())


@pytest.mark.parametrize("norm", ["batch", "instance", "layer", "none"])
@pytest.mark.parametrize("resolution", [16, 32, (32, 64)])
def test_shapes_of_the_vgg(norm: str, resolution: int | tuple[int, int]) -> None:
    height, width = (resolution, resolution) if isinstance(resolution, int) else resolution
    network = VGGStyle(3, resolution, width=4, norm=norm)
    output = network(torch.randn(2, 3, height, width), LABEL)
    assert output.logits.shape == (2,)
    halvings = len(output.features)
    assert [f.shape[1:] for f in output.features] == [
        (4 * min(8, 1 << i), height >> i + 1, width >> i + 1) for i in range(halvings)
    ]
    assert output.features[-1].shape[2] == 4
    assert (mixing_layers(network) != []) == (norm == "batch")


def test_the_vgg_takes_a_conditioning() -> None:
    network = VGGStyle(1, 16, width=4, norm="none", conditioning=Projection(2))
    images = torch.randn(2, 1, 16, 16)
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    assert declared(network).reads_labels
    assert not torch.equal(network(images, LABEL).logits, network(images, 1 - LABEL).logits)


@pytest.mark.parametrize("resolution", [8, 48, (16, 18), ()])
def test_the_vgg_refuses_what_does_not_halve(resolution: object) -> None:
    with pytest.raises(Incompatible, match="model=srgan"):
        VGGStyle(3, resolution)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (1, 1), (3, 5), (17, 24), (40, 31)])
def test_the_unet_judges_every_pixel_of_any_size(height: int, width: int) -> None:
    output = UNetCritic(2, width=2)(torch.randn(2, 2, height, width), LABEL)
    assert output.logits.shape == (2, 1, height, width)
    assert len(output.features) == 7


def test_the_unet_pads_only_what_does_not_fit() -> None:
    """Mirrored by hand, and the logits cut, an image gives the same."""
    network = UNetCritic(1, width=2).eval()
    image = torch.randn(2, 1, 16, 13)
    mirrored = nn.functional.pad(image, (0, 3, 0, 0), mode="reflect")
    assert torch.equal(network(image, LABEL).logits, network(mirrored, LABEL).logits[..., :13])


def test_the_unets_layers_are_bounded_but_the_first_and_the_last() -> None:
    network = UNetCritic(3, width=4)
    for _ in range(60):  # one power iteration each
        network(torch.zeros(1, 3, 8, 8), LABEL[:1])
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert [parametrize.is_parametrized(c) for c in convolutions] == [False, *[True] * 8, False]
    for convolution in convolutions[1:-1]:
        assert convolution.bias is None
        norm = torch.linalg.matrix_norm(convolution.weight.flatten(1), 2).item()
        assert norm == pytest.approx(1, abs=0.01)


def test_the_unet_adds_each_map_to_that_of_its_size() -> None:
    """With every layer on the way up at zero, each sum is the skip alone."""
    network = UNetCritic(1, width=2).eval()
    for up in network.ups:
        nn.utils.parametrize.remove_parametrizations(up[0], "weight")
        nn.init.zeros_(up[0].weight)
    features = network(torch.randn(2, 1, 16, 16), LABEL).features
    assert [f.shape[1:] for f in features[:4]] == [(2, 16, 16), (4, 8, 8), (8, 4, 4), (16, 2, 2)]
    for up, down in zip(features[4:], features[2::-1], strict=True):
        assert torch.equal(up, down)


SMALL: dict[str, Callable[[], nn.Module]] = {
    "patches": lambda: Patches(2, width=2, layers=2, norm="none"),
    "patches of pixels": lambda: Patches(2, width=2, layers=0),
    "patches, bounded": lambda: Patches(2, width=2, layers=1, norm="layer", spectral_norm=True),
    "vgg": lambda: VGGStyle(2, 16, width=2, norm="layer"),
    "unet": lambda: UNetCritic(2, width=2),
}


@pytest.mark.parametrize("name", SMALL)
def test_labels_are_not_read(name: str) -> None:
    network, images = SMALL[name]().eval(), torch.randn(2, 2, 16, 16)
    assert torch.equal(network(images, LABEL).logits, network(images, 1 - LABEL).logits)
    assert not declared(network).reads_labels
    assert declared(network).provides >= {Need.FEATURES, Need.IMAGES}


@pytest.mark.parametrize("name", SMALL)
def test_second_derivatives_reach_the_weights(name: str) -> None:
    """R1's gradient along one direction, against a finite difference in double precision; no layer wrote over it."""
    network = SMALL[name]().double().eval()
    images = torch.randn(2, 2, 16, 16, dtype=torch.float64, requires_grad=True)
    weights = [p for n, p in network.named_parameters() if "bias" not in n]

    def penalty() -> Tensor:
        (gradient,) = torch.autograd.grad(network(images, LABEL).logits.sum(), images, create_graph=True)
        return gradient.square().sum()

    torch.manual_seed(0)
    directions = [torch.randn_like(w) * w.abs().mean() for w in weights]
    found = torch.autograd.grad(penalty(), weights, allow_unused=True)
    slope = sum((g * d).sum() for g, d in zip(found, directions, strict=True) if g is not None)
    values, step = [], 1e-6
    for sign in (1, -2):
        with torch.no_grad():
            for weight, direction in zip(weights, directions, strict=True):
                weight += sign * step * direction
        values.append(penalty())
    torch.testing.assert_close((values[0] - values[1]) / (2 * step), slope, rtol=1e-3, atol=1e-12)


def test_unknown_norms_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"model\.discriminator\.norm=group is unknown\n  choose one of .*layer"):
        Patches(3, norm="group")
