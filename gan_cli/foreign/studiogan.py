"""BigGAN of POSTECH-CVLab/PyTorch-StudioGAN (`models/big_resnet.py`), with labels or without."""

from __future__ import annotations

from collections.abc import Iterator

from gan_cli.foreign.families import Family
from gan_cli.foreign.networks import Weights
from gan_cli.foreign.residual import TORCH, Blocks, Code, labels_last, paired, square
from gan_cli.foreign.tables import Line, Row, batch_norm

CODE = Code(
    spectral=(TORCH,),
    attention={
        "query": "conv1x1_theta",
        "key": "conv1x1_phi",
        "value": "conv1x1_g",
        "output": "conv1x1_attn",
        "gamma": "sigma",
    },
    convolutions=("conv2d1", "conv2d2", "conv2d0"),
)
EPSILON = 1e-4  # of their batch norm (`utils/ops.py`)


def blocks(weights: Weights) -> Blocks:
    return paired(
        weights, "blocks.", lambda name: f"{name}.conv2d1.bias" in weights, lambda name: f"{name}.sigma" in weights
    )


def generator_settings(weights: Weights) -> list[str]:
    found = blocks(weights)
    smallest = CODE.shape(weights, f"{found.names[0]}.conv2d1")[1]
    maps = [smallest, *(CODE.shape(weights, f"{name}.conv2d1")[0] for name in found.names)]
    outputs, chunk = CODE.shape(weights, "linear0", 2)
    side, width, attention = found.drawn(maps, square(outputs, smallest))
    labels = []
    if "shared.weight" in weights:
        classes, embedding = weights.shape("shared.weight", 2)
        labels = [f"dataset.classes={classes}", "conditioning=projection", f"model.generator.embedding={embedding}"]
    return [
        f"dataset.resolution={side}",
        f"dataset.channels={CODE.shape(weights, 'conv2d5')[0]}",
        f"model.latent_dim={chunk * (len(found.names) + 1)}",
        f"model.width={width}",
        f"model.generator.attention={attention}",
        f"model.generator.spectral_norm={CODE.bound(weights, 'linear0') is not None}".lower(),
        *labels,
    ]


def discriminator_settings(weights: Weights, _: Weights) -> list[str]:
    found = blocks(weights)
    width, attention = found.judged([CODE.shape(weights, f"{name}.conv2d2")[0] for name in found.names])
    return [
        f"model.discriminator.width={width}",
        f"model.discriminator.attention={attention}",
        f"model.discriminator.spectral_norm={CODE.bound(weights, 'linear1') is not None}".lower(),
        "model.discriminator.rectified=true",
    ]


def generator(weights: Weights) -> Iterator[Line]:
    found = blocks(weights)
    labelled = "shared.weight" in weights
    change = labels_last(weights.shape("shared.weight", 2)[1] if labelled else 0)
    if labelled:
        yield Row("context.embedding.weight", "shared.weight")
    yield from CODE.layer(weights, "synthesis.start.0", "linear0")
    for i, theirs in enumerate(found.names):
        ours = f"synthesis.blocks.{i}"
        yield from CODE.up(weights, ours, theirs)
        for norm in (1, 2):
            yield from batch_norm(f"{ours}.norm{norm}.norm", f"{theirs}.bn{norm}.bn", affine=False, epsilon=EPSILON)
            for part in ("gain", "bias"):
                yield from CODE.layer(weights, f"{ours}.norm{norm}.{part}", f"{theirs}.bn{norm}.{part}", change)
        if i in found.attention:
            yield from CODE.attend(weights, f"{ours}.attention", found.attention[i])
    yield from batch_norm("synthesis.norm", "bn4", epsilon=EPSILON)
    yield from CODE.layer(weights, "synthesis.output", "conv2d5")


def discriminator(weights: Weights) -> Iterator[Line]:
    yield from CODE.stages(weights, blocks(weights))
    yield from CODE.layer(weights, "head.linear", "linear1")
    if CODE.has(weights, "embedding"):
        yield from CODE.layer(weights, "head.embedding", "embedding")


FAMILY = Family(
    name="BigGAN (PyTorch-StudioGAN)",
    choices=("model=biggan", "loss=hinge", "optimizer.lr=2e-4", "optimizer.betas=[0.5,0.999]"),
    draws=lambda weights: "linear0.bias" in weights and "conv2d5.bias" in weights,
    judges=lambda weights: "linear1.bias" in weights and "blocks.0.0.conv2d1.bias" in weights,
    generator_settings=generator_settings,
    discriminator_settings=discriminator_settings,
    generator=generator,
    discriminator=discriminator,
)
