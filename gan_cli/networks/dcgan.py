"""DCGAN (Radford 2016, arXiv 1511.06434): strided convolutions all the way."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from gan_cli.networks.blocks import MAP_NORMS, choose, constraint, dcgan_init
from gan_cli.types import DiscriminatorOutput, Incompatible, PositiveInt, sample_shape


def halvings(resolution: int | Sequence[int]) -> tuple[int, tuple[int, int]]:
    """How often the sides halve until the shorter one is 4, and the map that is left.

    Raises:
        Incompatible: The data are not images, or a side does not halve evenly down to 4.
    """
    shape = sample_shape(1, resolution)
    if len(shape) != 3:
        raise Incompatible("model=dcgan draws images, and this data set has points: use model=mlp")
    height, width = shape[1:]
    count = (min(height, width) // 4).bit_length() - 1
    if count < 2 or min(height, width) != 4 << count or max(height, width) % (1 << count):
        raise Incompatible(
            f"model=dcgan halves images down to a side of 4, and {height} x {width} does not: "
            "use dataset.resolution=16, 32, 64, ... (the images are fitted to it), or model=mlp"
        )
    return count, (height >> count, width >> count)


def transposed(channels_in: int, channels_out: int) -> nn.Module:
    """Doubles the sides with a 4x4 transposed convolution, as the paper does."""
    return nn.ConvTranspose2d(channels_in, channels_out, 4, stride=2, padding=1)


def resize(channels_in: int, channels_out: int) -> nn.Module:
    """Doubles the sides by repetition, then a 3x3 convolution: no checkerboards (Odena 2016, Distill)."""
    return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(channels_in, channels_out, 3, padding=1))


UPSAMPLES: Mapping[str, Callable[[int, int], nn.Module]] = {"transposed": transposed, "resize": resize}


class Generator(nn.Module):
    """Latent -> 4x4 map -> doublings (norm, ReLU) -> tanh image.

    Args:
        latent_dim: Z.
        channels: C.
        resolution: Side or [height, width]; the shorter a power of two from 16.
        width: Channels double from 2 x `width` before the last layer down to the 4x4 map: 512-256-128 for 32 px at 64.
        norm: batch | instance | layer | none.
        upsample: transposed | resize.
    """

    def __init__(
        self,
        latent_dim: PositiveInt,
        channels: PositiveInt,
        resolution: PositiveInt | Sequence[PositiveInt],
        width: PositiveInt = 64,
        norm: str = "batch",
        upsample: str = "transposed",
    ) -> None:
        super().__init__()
        make_norm = choose(MAP_NORMS, "model.generator.norm", norm)
        make_upsample = choose(UPSAMPLES, "model.generator.upsample", upsample)
        count, base = halvings(resolution)
        widths = [width << i for i in range(count, 0, -1)]
        layers = [nn.Linear(latent_dim, widths[0] * base[0] * base[1]), nn.Unflatten(1, (widths[0], *base))]
        layers += [make_norm(widths[0]), nn.ReLU()]
        for wide_in, wide_out in itertools.pairwise(widths):
            layers += [make_upsample(wide_in, wide_out), make_norm(wide_out), nn.ReLU()]
        layers += [make_upsample(widths[-1], channels), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.apply(dcgan_init)

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        images: Tensor = self.layers(latent)
        return images


class Discriminator(nn.Module):
    """Image -> halvings (norm but in the first, LeakyReLU 0.2) -> 4x4 map -> one logit.

    Args:
        channels, resolution, width, norm: As for the generator, mirrored.
        spectral_norm: Spectral normalisation of every layer.
    """

    def __init__(
        self,
        channels: PositiveInt,
        resolution: PositiveInt | Sequence[PositiveInt],
        width: PositiveInt = 64,
        norm: str = "batch",
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        make_norm = choose(MAP_NORMS, "model.discriminator.norm", norm)
        count, base = halvings(resolution)
        widths = [channels, *(width << i for i in range(1, count + 1))]
        convolutions = [
            nn.Conv2d(wide_in, wide_out, 4, stride=2, padding=1) for wide_in, wide_out in itertools.pairwise(widths)
        ]
        head = nn.Linear(widths[-1] * base[0] * base[1], 1)
        for layer in (*convolutions, head):
            dcgan_init(layer)
        # Wrapped after their initialisation: a spectral norm reads the weights when it is put on.
        wrap = constraint(spectral_norm)
        self.stages = nn.ModuleList()
        for i, convolution in enumerate(convolutions):
            normed = make_norm(widths[i + 1]) if i > 0 else nn.Identity()
            normed.apply(dcgan_init)
            self.stages.append(nn.Sequential(wrap(convolution), normed, nn.LeakyReLU(0.2)))
        self.head = wrap(head)

    def forward(self, images: Tensor, label: Tensor) -> DiscriminatorOutput:
        features = []
        for stage in self.stages:
            images = stage(images)
            features.append(images)
        return DiscriminatorOutput(self.head(images.flatten(1)).squeeze(1), features=tuple(features))
