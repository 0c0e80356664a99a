"""BigGAN of ajbrock/BigGAN-PyTorch (`BigGAN.py`): latent in chunks (`--hier`), shared embedding (`--G_shared`)."""

from __future__ import annotations

from collections.abc import Iterator

from gan_cli.foreign.families import Family
from gan_cli.foreign.networks import Weights
from gan_cli.foreign.residual import KEPT, Blocks, Code, Spectral, labels_last, paired, square
from gan_cli.foreign.tables import Constant, Line, Row, Unread

CODE = Code(
    spectral=(Spectral("weight", "u0", "sv0"),),
    attention={"query": "theta", "key": "phi", "value": "g", "output": "o", "gamma": "gamma"},
    convolutions=("conv1", "conv2", "conv_sc"),
)
# Where running statistics stand: by torch's function, by synchronised norm, by the author's own.
STATISTICS = (("stored_mean", "stored_var"), ("bn.running_mean", "bn.running_var"), ("bn.stored_mean", "bn.stored_var"))


def blocks(weights: Weights) -> Blocks:
    return paired(
        weights, "blocks.", lambda name: f"{name}.conv1.weight" in weights, lambda name: f"{name}.gamma" in weights
    )


def generator_settings(weights: Weights) -> list[str]:
    found = blocks(weights)
    smallest = weights.shape(f"{found.names[0]}.conv1.weight", 4)[1]
    maps = [smallest, *(weights.shape(f"{name}.conv1.weight", 4)[0] for name in found.names)]
    outputs, chunk = weights.shape("linear.weight", 2)
    classes, embedding = weights.shape("shared.weight", 2)
    side, width, attention = found.drawn(maps, square(outputs, smallest))
    return [
        f"dataset.resolution={side}",
        f"dataset.channels={weights.shape('output_layer.2.weight', 4)[0]}",
        f"dataset.classes={classes}",
        f"model.latent_dim={chunk * (len(found.names) + 1)}",
        f"model.width={width}",
        f"model.generator.embedding={embedding}",
        f"model.generator.attention={attention}",
        f"model.generator.spectral_norm={CODE.bound(weights, 'linear') is not None}".lower(),
    ]


def discriminator_settings(weights: Weights, _: Weights) -> list[str]:
    found = blocks(weights)
    width, attention = found.judged([weights.shape(f"{name}.conv2.weight", 4)[0] for name in found.names])
    return [f"model.discriminator.width={width}", f"model.discriminator.attention={attention}"]


def statistics(weights: Weights, ours: str, theirs: str) -> Iterator[Line]:
    mean, variance = next((names for names in STATISTICS if f"{theirs}.{names[0]}" in weights), STATISTICS[0])
    yield Row(f"{ours}.running_mean", f"{theirs}.{mean}")
    yield Row(f"{ours}.running_var", f"{theirs}.{variance}")
    yield Constant(f"{ours}.num_batches_tracked")
    yield from (Unread(f"{theirs}.bn.{name}", KEPT) for name in ("num_batches_tracked", "accumulation_counter"))


def generator(weights: Weights) -> Iterator[Line]:
    found = blocks(weights)
    change = labels_last(weights.shape("shared.weight", 2)[1])
    yield Row("context.embedding.weight", "shared.weight")
    yield from CODE.layer(weights, "synthesis.start.0", "linear")
    for i, theirs in enumerate(found.names):
        ours = f"synthesis.blocks.{i}"
        yield from CODE.up(weights, ours, theirs)
        for norm in (1, 2):
            yield from statistics(weights, f"{ours}.norm{norm}.norm", f"{theirs}.bn{norm}")
            for part in ("gain", "bias"):
                yield from CODE.layer(weights, f"{ours}.norm{norm}.{part}", f"{theirs}.bn{norm}.{part}", change)
        if i in found.attention:
            yield from CODE.attend(weights, f"{ours}.attention", found.attention[i])
    yield Row("synthesis.norm.weight", "output_layer.0.gain")
    yield Row("synthesis.norm.bias", "output_layer.0.bias")
    yield from statistics(weights, "synthesis.norm", "output_layer.0")
    yield from CODE.layer(weights, "synthesis.output", "output_layer.2")


def discriminator(weights: Weights) -> Iterator[Line]:
    yield from CODE.stages(weights, blocks(weights))
    yield from CODE.layer(weights, "head.linear", "linear")
    yield from CODE.layer(weights, "head.embedding", "embed")


FAMILY = Family(
    name="BigGAN (ajbrock/BigGAN-PyTorch)",
    choices=(
        "model=biggan",
        "conditioning=projection",
        "loss=hinge",
        "optimizer.lr=1e-4",
        "optimizer.betas=[0.0,0.999]",
    ),
    draws=lambda weights: "output_layer.0.gain" in weights and "linear.weight" in weights,
    judges=lambda weights: "embed.weight" in weights and "blocks.0.0.conv1.weight" in weights,
    generator_settings=generator_settings,
    discriminator_settings=discriminator_settings,
    generator=generator,
    discriminator=discriminator,
)
