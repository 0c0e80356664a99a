"""Shapes, initialisation and layers of mlp and dcgan."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import nn

from gan_cli.errors import Incompatible
from gan_cli.networks import dcgan, mlp
from gan_cli.networks.blocks import mixing_layers, spectrally_normalised
from gan_cli.types import sample_shape

LABEL = torch.zeros(3, dtype=torch.int64)


@pytest.mark.parametrize(("channels", "resolution"), [(1, 16), (3, 32), (1, 64), (3, (32, 64)), (2, (48, 16))])
@pytest.mark.parametrize("norm", ["batch", "instance", "layer", "none"])
@pytest.mark.parametrize("upsample", ["transposed", "resize"])
def test_dcgan_shapes(channels: int, resolution: int | Sequence[int], norm: str, upsample: str) -> None:
    generator = dcgan.Generator(7, channels, resolution, width=2, norm=norm, upsample=upsample)
    images = generator(torch.randn(3, 7), LABEL)
    assert images.shape == (3, *sample_shape(channels, resolution))
    assert images.abs().max() <= 1
    for spectral in (False, True):
        output = dcgan.Discriminator(channels, resolution, width=2, norm=norm, spectral_norm=spectral)(images, LABEL)
        assert output.logits.shape == (3,)
        assert output.features


@pytest.mark.parametrize("resolution", [8, 20, 28, (32, 40, 8), (), (16, 18)])
def test_dcgan_refuses_what_does_not_halve(resolution: int | Sequence[int]) -> None:
    with pytest.raises(Incompatible, match="model=mlp"):
        dcgan.Generator(7, 1, resolution)


def test_dcgan_layer_plan_of_32_pixels() -> None:
    """512 x 4 x 4, then 256, 128 and the image."""
    convolutions = [m for m in dcgan.Generator(100, 3, 32).modules() if isinstance(m, nn.ConvTranspose2d)]
    assert [(c.in_channels, c.out_channels, c.kernel_size) for c in convolutions] == [
        (512, 256, (4, 4)),
        (256, 128, (4, 4)),
        (128, 3, (4, 4)),
    ]


def test_dcgan_initialisation_and_where_batch_norm_is_missing() -> None:
    torch.manual_seed(0)
    discriminator, generator = dcgan.Discriminator(3, 32), dcgan.Generator(100, 3, 32)
    for network in (discriminator, generator):
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                assert layer.weight.std().item() == pytest.approx(0.02, rel=0.1)
                assert layer.weight.mean().abs().item() < 0.002
            if isinstance(layer, nn.BatchNorm2d):
                assert layer.weight.mean().item() == pytest.approx(1, abs=0.02)
                assert layer.eps == 1e-5
    assert not any(isinstance(m, nn.BatchNorm2d) for m in discriminator.stages[0])
    assert sum(isinstance(m, nn.BatchNorm2d) for m in generator.modules()) == len(generator.stages)
    assert isinstance(generator.output, nn.ConvTranspose2d)


def test_mlp_plans() -> None:
    def widths(network: nn.Module) -> list[int]:
        return [m.out_features for m in network.modules() if isinstance(m, nn.Linear)]

    assert widths(mlp.Generator(100, 1, 28)) == [256, 512, 1024, 784]
    assert widths(mlp.Discriminator(1, 28)) == [1024, 512, 256, 1]
    assert widths(mlp.Generator(2, 2, ())) == [256, 256, 256, 2]
    assert widths(mlp.Generator(2, 1, 8, hidden=(5,))) == [5, 64]


def test_mlp_ranges() -> None:
    """Pixels are bounded by tanh, coordinates are not."""
    z = 1000 * torch.randn(3, 4)
    assert mlp.Generator(4, 1, (6, 5))(z, LABEL).shape == (3, 1, 6, 5)
    assert mlp.Generator(4, 1, (6, 5))(z, LABEL).abs().max() <= 1
    assert mlp.Generator(4, 2, ())(z, LABEL).abs().max() > 1


@pytest.mark.parametrize("model", ["mlp", "dcgan"])
def test_spectral_norm_bounds_the_largest_singular_value(model: str) -> None:
    torch.manual_seed(0)
    networks = {
        "mlp": mlp.Discriminator(1, 16, hidden=(32, 16), spectral_norm=True),
        "dcgan": dcgan.Discriminator(1, 16, 4, "none", spectral_norm=True),
    }
    network = networks[model]
    x = torch.randn(3, 1, 16, 16)
    for _ in range(500):
        network(x, LABEL)
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=1e-3)
    assert spectrally_normalised(network)


def test_layers_that_mix_samples_are_found() -> None:
    assert "BatchNorm2d" in mixing_layers(dcgan.Discriminator(1, 16))[0]
    for norm in ("instance", "layer", "none"):
        discriminator = dcgan.Discriminator(1, 16, width=2, norm=norm)
        assert mixing_layers(discriminator) == []
        # and indeed no sample reaches another
        x = torch.randn(4, 1, 16, 16)
        label = torch.zeros(4, dtype=torch.int64)
        alone = discriminator(x[:1], label[:1]).logits
        torch.testing.assert_close(discriminator(x, label).logits[:1], alone)


def test_dropout_only_while_training() -> None:
    network = mlp.Discriminator(1, 8, hidden=(64,), dropout=0.5)
    x = torch.randn(3, 1, 8, 8)
    assert not torch.equal(network(x, LABEL).logits, network(x, LABEL).logits)
    network.eval()
    assert torch.equal(network(x, LABEL).logits, network(x, LABEL).logits)


def test_unknown_norm_names_setting_and_choices() -> None:
    with pytest.raises(ValueError, match=r"model\.generator\.norm=bath.*\n  .*batch, instance, layer, none"):
        dcgan.Generator(4, 1, 16, norm="bath")
