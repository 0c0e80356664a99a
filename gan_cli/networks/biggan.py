"""BigGAN's generator (Brock 2019, arXiv 1809.11096); its discriminator is the one in `gan_cli.networks.resnet`."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from gan_cli.errors import ConfigError, two_lines
from gan_cli.networks.base import BaseGenerator
from gan_cli.networks.blocks import MAP_NORMS, choose
from gan_cli.networks.conditioning import GeneratorConditioning, Wrap
from gan_cli.networks.residual import INITIALISATIONS, doublings, wraps
from gan_cli.networks.resnet import ResidualSynthesis
from gan_cli.types import PositiveInt


class ModulatedNorm(nn.Module):
    """(1 + A c) · norm(x) + B c: gain and bias of every channel are linear in a context c (figure 15).

    Args:
        norm: A normalisation without gain and bias of its own.
        features: Width of the context.
        channels: Channels of the maps.
        wrap: Applied to A and B.
    """

    def __init__(self, norm: nn.Module, features: int, channels: int, wrap: Wrap) -> None:
        super().__init__()
        self.norm = norm
        self.gain = wrap(nn.Linear(features, channels, bias=False))
        self.bias = wrap(nn.Linear(features, channels, bias=False))

    def forward(self, values: Tensor, context: Tensor) -> Tensor:
        gain, bias = 1 + self.gain(context), self.bias(context)
        output: Tensor = self.norm(values) * gain[:, :, None, None] + bias[:, :, None, None]
        return output


def chunks(latent_dim: int, count: int) -> list[int]:
    """The sizes of `count` parts of the latent: all equal, but the first also takes the remainder.

    Raises:
        ConfigError: There are more parts than numbers.
    """
    if latent_dim < count:
        what = (
            f"model.latent_dim={latent_dim}: this generator reads its latent in {count} parts, one for the smallest "
            "map and one per block"
        )
        raise ConfigError(two_lines(what, f"set model.latent_dim={count} or more"))
    size = latent_dim // count
    return [latent_dim - (count - 1) * size, *[size] * (count - 1)]


class Generator(BaseGenerator):
    """Latent in chunks: the first becomes the smallest map, each of the others modulates one residual up-block.

    Where labels are read in the normalisations (`conditioning=projection`), one embedding of the label, shared by all
    blocks, is joined to each chunk; without labels, the normalisations read the chunk alone.

    Args:
        latent_dim: Z; 80 makes four chunks of 20 at 32 px.
        embedding: Width of the shared embedding.
        spectral_norm: Spectral normalisation of every layer except the embedding.
        resolution, width, norm, upsample, attention, init: As for the generator of `gan_cli.networks.resnet`.
    """

    def __init__(
        self,
        latent_dim: PositiveInt,
        channels: PositiveInt,
        resolution: PositiveInt | Sequence[PositiveInt],
        width: PositiveInt | Sequence[PositiveInt] = 96,
        embedding: PositiveInt = 128,
        norm: str = "batch",
        upsample: str = "nearest",
        spectral_norm: bool = True,
        attention: Sequence[PositiveInt] | None = None,
        init: str = "orthogonal",
        conditioning: GeneratorConditioning | None = None,
    ) -> None:
        super().__init__(conditioning)
        make_norm = choose(MAP_NORMS, "model.generator.norm", norm)
        initialisation = choose(INITIALISATIONS, "model.generator.init", init)
        wrapped = wraps(spectral_norm, initialisation)
        self.chunks = chunks(latent_dim, doublings(resolution)[0] + 1)
        self.latent, features = self.conditioning.latent(self.chunks[0])
        self.context, read = self.conditioning.context(self.chunks[-1], embedding)
        self.context.apply(initialisation.other)
        self.synthesis = ResidualSynthesis(
            features,
            channels,
            resolution,
            width,
            lambda wide: ModulatedNorm(make_norm(wide, affine=False), read, wide, wrapped.other),
            make_norm,
            upsample,
            attention,
            wrapped,
        )

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        first, *others = latent.split(self.chunks, 1)
        contexts = [self.context(chunk, label) for chunk in others]
        images: Tensor = self.synthesis(self.latent(first, label), contexts)
        return images
