"""BigGAN's generator: chunks of the latent, the shared embedding, and its size."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gan_cli.networks import biggan, resnet
from gan_cli.networks.conditioning import ConcatLatent, ConditionalNorm, Projection

LABEL = torch.tensor([0, 1, 2])


def conv(channels_in: int, channels_out: int, side: int = 3) -> int:
    return side * side * channels_in * channels_out + channels_out


def attention(channels: int) -> int:
    return 2 * (channels * channels // 8) + 2 * (channels * channels // 2) + 1


def test_size_at_32_pixels() -> None:
    """z = 80 in four chunks of 20, embedding 128, 10 classes, 384 channels in G and 192 in D."""
    g, d = 384, 192
    norm = 2 * g * (20 + 128)
    block = 2 * norm + 2 * conv(g, g) + conv(g, g, 1)
    expected = 10 * 128 + (20 + 1) * 16 * g + 3 * block + attention(g) + 2 * g + conv(g, 3)
    generator = biggan.Generator(80, 3, 32, conditioning=ConditionalNorm(10))
    assert sum(p.numel() for p in generator.parameters()) == expected == 9_416_196
    halving = conv(3, d) + conv(d, d) + conv(3, d, 1) + 2 * conv(d, d) + conv(d, d, 1)
    expected = halving + 4 * conv(d, d) + attention(d) + (d + 1) + 10 * d
    critic = resnet.Discriminator(3, 32, 96, attention=None, init="orthogonal", conditioning=Projection(10))
    assert sum(p.numel() for p in critic.parameters()) == expected == 2_415_170


def test_the_published_size_of_cifar10() -> None:
    """The authors' code counts 4.3M at its CIFAR-10 defaults (ajbrock/BigGAN-PyTorch, issue 78): width 64, 10 classes.

    There the latent is whole and every normalisation has an embedding of its own, which is the residual generator here;
    chunks and the shared embedding change the first layer and the normalisations, and no convolution.
    """
    whole = resnet.Generator(128, 3, 32, conditioning=ConditionalNorm(10))
    assert sum(p.numel() for p in whole.parameters()) / 1e6 == pytest.approx(4.3, abs=0.05)
    chunked = biggan.Generator(128, 3, 32, width=64, attention=[], conditioning=ConditionalNorm(10))

    def convolutions(generator: nn.Module) -> list[int]:
        return [sum(p.numel() for p in m.parameters()) for m in generator.modules() if isinstance(m, nn.Conv2d)]

    assert convolutions(chunked) == convolutions(whole)
    assert sum(convolutions(whole)) == 3 * (2 * conv(256, 256) + conv(256, 256, 1)) + conv(256, 3)


# Resolution, width, latent, parameters of G and D in ajbrock/BigGAN-PyTorch with --G_ch 96 --D_ch 96 --shared_dim 128.
IMAGENET = (
    (64, 96, 100, 70_083_972, 45_500_449),
    (128, 96, 120, 70_433_988, 87_982_370),
    (256, [1536, 1536, 768, 768, 384, 192, 96], 140, 82_235_844, 99_225_890),
)


@pytest.mark.parametrize(("side", "width", "latent_dim", "drawn", "judged"), IMAGENET)
def test_the_published_sizes_of_imagenet(
    side: int, width: int | list[int], latent_dim: int, drawn: int, judged: int
) -> None:
    wider = [1536, 1536, 768, 384, 192] if side == 64 else width  # in G alone
    seen = [64] if side > 64 else []  # there, --D_attn 64 means no map of 64 px images
    with torch.device("meta"):
        generator = biggan.Generator(
            latent_dim, 3, side, wider, attention=[64], conditioning=ConditionalNorm(1000), spectral_norm=False
        )
        critic = resnet.Discriminator(
            3, side, width, spectral_norm=False, wide=True, attention=seen, conditioning=Projection(1000)
        )
    assert [sum(p.numel() for p in network.parameters()) for network in (generator, critic)] == [drawn, judged]


def test_chunks() -> None:
    assert biggan.chunks(80, 4) == [20, 20, 20, 20]
    assert biggan.chunks(80, 6) == [15, 13, 13, 13, 13, 13]
    assert biggan.chunks(4, 4) == [1, 1, 1, 1]
    with pytest.raises(ValueError, match=r"model\.latent_dim=2.*\n  .*3 or more"):
        biggan.Generator(2, 1, 16, width=1)


def test_each_chunk_reaches_its_block_first() -> None:
    """Changing chunk i leaves all maps before block i alone and changes those from it on."""
    generator = biggan.Generator(12, 1, 32, width=1).eval()
    maps: list[torch.Tensor] = []
    for part in (generator.synthesis.start, *generator.synthesis.blocks):
        part.register_forward_hook(lambda _, x, y: maps.append(y))
    latent = torch.randn(3, 12)
    generator(latent, LABEL)
    before = maps.copy()
    for i, chunk in enumerate(latent.split(generator.chunks, 1)):
        changed = [c if c is not chunk else c + 1 for c in latent.split(generator.chunks, 1)]
        changed[i] = chunk + 1
        maps.clear()
        generator(torch.cat(changed, 1), LABEL)
        assert [torch.equal(a, b) for a, b in zip(before, maps, strict=True)] == [j < i for j in range(4)]


def test_one_embedding_for_all_blocks() -> None:
    generator = biggan.Generator(12, 1, 32, width=1, embedding=6, conditioning=ConditionalNorm(5))
    embeddings = [m for m in generator.modules() if isinstance(m, nn.Embedding)]
    assert [(e.num_embeddings, e.embedding_dim) for e in embeddings] == [(5, 6)]
    for block in generator.synthesis.blocks:
        assert block.norm1.gain.in_features == block.norm2.bias.in_features == 3 + 6
    # a label that is joined to the latent reaches the first layer and no normalisation
    joined = biggan.Generator(12, 1, 32, width=1, embedding=6, conditioning=ConcatLatent(5, 7))
    assert joined.synthesis.start[0].in_features == 3 + 7
    assert joined.synthesis.blocks[0].norm1.gain.in_features == 3


def test_modulation() -> None:
    """(1 + A c) · norm(x) + B c; with A = B = 0 the normalisation itself."""
    norm = biggan.ModulatedNorm(nn.BatchNorm2d(4, affine=False), 3, 4, lambda layer: layer)
    x, c = torch.randn(5, 4, 2, 2), torch.randn(5, 3)
    normed = (x - x.mean((0, 2, 3), keepdim=True)) / (x.var((0, 2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
    gain, bias = c @ norm.gain.weight.T, c @ norm.bias.weight.T
    torch.testing.assert_close(norm(x, c), normed * (1 + gain[..., None, None]) + bias[..., None, None])
    nn.init.zeros_(norm.gain.weight)
    nn.init.zeros_(norm.bias.weight)
    torch.testing.assert_close(norm(x, c), normed)
