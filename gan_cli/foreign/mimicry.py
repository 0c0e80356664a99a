"""mimicry's residual networks (`nets/sngan`, `sagan`, `cgan_pd`, `wgan_gp`, and the generators of `ssgan`, ...)."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from gan_cli.errors import WeightsRefused, two_lines
from gan_cli.foreign.families import Family
from gan_cli.foreign.networks import Weights
from gan_cli.foreign.residual import TORCH, Blocks, Code, Spectral, square
from gan_cli.foreign.tables import OTHER, Line, Row, batch_norm

CODE = Code(
    spectral=(TORCH, Spectral("weight", "sn_u", "sn_sigma")),  # the second is of its own, and of older versions
    attention={"query": "theta", "key": "phi", "value": "g", "output": "o", "gamma": "gamma"},
    convolutions=("c1", "c2", "c_sc"),
)
ATTENTION = "attn_block"
UNLIKE = 64  # side of images whose discriminator halves in every block
IN_SMALL = 1  # the block behind which small images attend, 16 px in G and 8 px in D, where all channels are alike


def gains(embedding: Tensor) -> Tensor:
    """The first half of the columns of a conditional norm's embedding."""
    return embedding.chunk(2, 1)[0]


def biases(embedding: Tensor) -> Tensor:
    """The second half."""
    return embedding.chunk(2, 1)[1]


def blocks(weights: Weights) -> Blocks:
    """The blocks by number; the channels tell which of them attention follows."""
    names = [f"block{i}" for i in weights.numbered("block")]
    if len(names) < 2:
        raise WeightsRefused(two_lines(f"{weights.where} has {len(names)} blocks", OTHER))
    if f"{ATTENTION}.gamma" not in weights:
        return Blocks(names, {})
    wide = CODE.shape(weights, f"{ATTENTION}.o")[0]
    behind = [i for i, name in enumerate(names) if CODE.shape(weights, f"{name}.c2")[0] == wide]
    if not behind:
        raise WeightsRefused(two_lines(f"{weights.where}: no block has the {wide} channels of {ATTENTION}", OTHER))
    return Blocks(names, {behind[0] if len(behind) == 1 else IN_SMALL: ATTENTION})


def drawn(weights: Weights) -> tuple[int, str, str]:
    """A generator's side, our width, and the sides that attend to themselves."""
    found = blocks(weights)
    smallest = CODE.shape(weights, f"{found.names[0]}.c1")[1]
    maps = [smallest, *(CODE.shape(weights, f"{name}.c2")[0] for name in found.names)]
    return found.drawn(maps, square(CODE.shape(weights, "l1", 2)[0], smallest))


def generator_settings(weights: Weights) -> list[str]:
    side, width, attention = drawn(weights)
    spectral = CODE.bound(weights, "l1") is not None
    labels = []
    if "block2.b1.embed.weight" in weights:
        classes = weights.shape("block2.b1.embed.weight", 2)[0]
        labels = [f"dataset.classes={classes}", "conditioning=projection"]
    return [
        *(["model=sagan"] if spectral else []),
        f"dataset.resolution={side}",
        f"dataset.channels={CODE.shape(weights, f'c{_last(weights)}')[0]}",
        f"model.latent_dim={CODE.shape(weights, 'l1', 2)[1]}",
        f"model.width={width}",
        "model.generator.upsample=bilinear",
        f"model.generator.attention={attention}",
        f"model.generator.spectral_norm={spectral}".lower(),
        *labels,
    ]


def discriminator_settings(weights: Weights, generator: Weights) -> list[str]:
    """Raises WeightsRefused for discriminators that none here is equal to, or that their tensors do not tell apart."""
    alone = "leave its file out: the run begins with a new discriminator"
    if drawn(generator)[0] == UNLIKE:
        raise WeightsRefused(two_lines(f"{weights.where} halves images of 64 px once more than any model here", alone))
    if CODE.bound(weights, "block1.c1") is None:
        what = (
            f"{weights.where} has no spectral norm: WGAN-GP's takes means where another of the same tensors takes sums"
        )
        raise WeightsRefused(two_lines(what, alone))
    found = blocks(weights)
    width, attention = found.judged([CODE.shape(weights, f"{name}.c2")[0] for name in found.names])
    inner, entering = CODE.shape(weights, "block2.c1")[:2]
    return [
        f"model.discriminator.width={width}",
        f"model.discriminator.attention={attention}",
        f"model.discriminator.wide={inner != entering}".lower(),
        "model.discriminator.rectified=true",
    ]


def _last(weights: Weights) -> int:
    """The number of the layer next to the image."""
    return weights.numbered("block")[-1] + 1


def norm(weights: Weights, ours: str, theirs: str) -> Iterator[Line]:
    """A batch norm whose gain and bias are of the class, or its own."""
    if f"{theirs}.embed.weight" in weights:
        yield from batch_norm(f"{ours}.norm", f"{theirs}.bn", affine=False)
        yield Row(f"{ours}.gain.weight", f"{theirs}.embed.weight", gains)
        yield Row(f"{ours}.bias.weight", f"{theirs}.embed.weight", biases)
    else:
        yield from batch_norm(f"{ours}.module", theirs)


def generator(weights: Weights) -> Iterator[Line]:
    found, last = blocks(weights), _last(weights)
    yield from CODE.layer(weights, "synthesis.start.0", "l1")
    for i, theirs in enumerate(found.names):
        ours = f"synthesis.blocks.{i}"
        yield from CODE.up(weights, ours, theirs)
        yield from norm(weights, f"{ours}.norm1", f"{theirs}.b1")
        yield from norm(weights, f"{ours}.norm2", f"{theirs}.b2")
        if i in found.attention:
            yield from CODE.attend(weights, f"{ours}.attention", found.attention[i])
    yield from batch_norm("synthesis.norm", f"b{last}")
    yield from CODE.layer(weights, "synthesis.output", f"c{last}")


def discriminator(weights: Weights) -> Iterator[Line]:
    yield from CODE.stages(weights, blocks(weights))
    # One of 48 px has its last layer numbered like the last block.
    yield from CODE.layer(weights, "head.linear", f"l{max(weights.numbered('l'))}")
    if CODE.has(weights, "l_y"):
        yield from CODE.layer(weights, "head.embedding", "l_y")


FAMILY = Family(
    name="SNGAN, SAGAN, cGAN-PD or WGAN-GP (mimicry)",
    choices=("model=sngan", "loss=hinge", "optimizer.lr=2e-4", "optimizer.betas=[0.0,0.9]"),
    draws=lambda weights: CODE.has(weights, "l1") and CODE.has(weights, "block2.c1"),
    judges=lambda weights: CODE.has(weights, "block1.c1") and CODE.has(weights, "block2.c1"),
    generator_settings=generator_settings,
    discriminator_settings=discriminator_settings,
    generator=generator,
    discriminator=discriminator,
)
