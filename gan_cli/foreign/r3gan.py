"""R3GAN as its authors published it (`R3GAN/Networks.py`): CIFAR-10, FFHQ, ImageNet."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from gan_cli.errors import WeightsRefused, two_lines
from gan_cli.foreign.families import Family
from gan_cli.foreign.networks import Weights
from gan_cli.foreign.tables import FILTER, OTHER, Constant, Fixed, Line, Row, one_or_each, sided

LABEL = "EmbeddingLayer.weight"


def within(weights: Weights) -> str:
    """What stands before every name: the networks are one module deeper in the files that training writes."""
    return "Model." if any(name.startswith("Model.") for name in weights) else ""


def turned(embedding: Tensor) -> Tensor:
    """A linear layer of one-hot labels, `[F, classes]`, as an embedding `[classes, F]`."""
    return embedding.T


def blocks(weights: Weights, stage: int, first: int) -> list[int]:
    """The numbers of a stage's residual blocks; in a generator the first layer is none, in a discriminator the last."""
    start = f"{within(weights)}MainLayers.{stage}.Layers."
    found = [i for i in weights.numbered(start) if f"{start}{i}.LinearLayer1.Layer.weight" in weights]
    if not found or found != list(range(first, first + len(found))):
        raise WeightsRefused(two_lines(f"{weights.where} has blocks {found} in stage {stage}", OTHER))
    return found


def body(weights: Weights, first: int, edge: str) -> list[str]:
    """The settings that follow from the stages; `edge` is the convolution next to the image.

    Raises:
        WeightsRefused: The blocks of one stage multiply its channels by another number than those of another.
    """
    home = within(weights)
    stages = weights.numbered(f"{home}MainLayers.")
    starts = [f"{home}MainLayers.{i}.Layers.{first}" for i in stages]
    sizes = [weights.shape(f"{start}.LinearLayer1.Layer.weight", 4)[:2] for start in starts]
    expansions = {inner // wide if wide and not inner % wide else 0 for inner, wide in sizes}
    if len(expansions) != 1 or 0 in expansions:
        raise WeightsRefused(two_lines(f"{weights.where} has blocks of {sizes[:3]} channels, within and out", OTHER))
    grouped = [weights.shape(f"{start}.LinearLayer2.Layer.weight", 4)[1] for start in starts]
    weights.shape(f"{home}{edge}")
    stepped = 1 if first else -1  # ours are listed from 4 px up
    return [
        f"width={one_or_each([wide for _, wide in sizes][::stepped])}",
        f"blocks={one_or_each([len(blocks(weights, i, first)) for i in stages][::stepped])}",
        f"group_width={one_or_each(grouped[::stepped])}",
        f"expansion={max(expansions)}",
    ]


def generator_settings(weights: Weights) -> list[str]:
    home = within(weights)
    settings = body(weights, 1, "AggregationLayer.Layer.weight")
    stages = weights.numbered(f"{home}MainLayers.")
    latent = weights.shape(f"{home}MainLayers.0.Layers.0.LinearLayer.weight", 2)[1]
    labels = []
    if f"{home}{LABEL}" in weights:
        embedded, classes = weights.shape(f"{home}{LABEL}", 2)
        latent -= embedded
        if latent < 1:
            raise WeightsRefused(two_lines(f"{weights.where} embeds labels wider than all that it reads", OTHER))
        labels = [f"dataset.classes={classes}", "conditioning=bilinear", f"conditioning.generator.width={embedded}"]
    return [
        f"dataset.resolution={sided(4 << min(len(stages) - 1, 30))}",
        f"dataset.channels={weights.shape(f'{home}AggregationLayer.Layer.weight', 4)[0]}",
        f"model.latent_dim={latent}",
        *(f"model.{setting}" for setting in settings[:-1]),
        f"model.generator.{settings[-1]}",
        *labels,
    ]


def discriminator_settings(weights: Weights, _: Weights) -> list[str]:
    return [f"model.discriminator.{setting}" for setting in body(weights, 0, "ExtractionLayer.Layer.weight")]


def transition(weights: Weights, ours: str, theirs: str) -> Iterator[Line]:
    """A change of size, with a convolution where it is one of width too."""
    yield Fixed(f"{theirs}.Resampler.Kernel", FILTER)
    if f"{theirs}.LinearLayer.Layer.weight" in weights:
        yield Row(f"{ours}.weight", f"{theirs}.LinearLayer.Layer.weight")


def block(ours: str, theirs: str) -> Iterator[Line]:
    yield Row(f"{ours}.expand.weight", f"{theirs}.LinearLayer1.Layer.weight")
    yield Row(f"{ours}.expand.bias", f"{theirs}.NonLinearity1.Bias")
    yield Row(f"{ours}.mix.weight", f"{theirs}.LinearLayer2.Layer.weight")
    yield Row(f"{ours}.mix.bias", f"{theirs}.NonLinearity2.Bias")
    yield Row(f"{ours}.contract.weight", f"{theirs}.LinearLayer3.Layer.weight")


def generator(weights: Weights) -> Iterator[Line]:
    home = within(weights)
    yield Row("stages.0.transition.linear.weight", f"{home}MainLayers.0.Layers.0.LinearLayer.weight")
    yield Row("stages.0.transition.images", f"{home}MainLayers.0.Layers.0.Basis")
    for i in weights.numbered(f"{home}MainLayers."):
        yield from transition(weights, f"stages.{i}.transition.0", f"{home}MainLayers.{i}.Layers.0")
        for j in blocks(weights, i, 1):
            yield from block(f"stages.{i}.blocks.{j - 1}", f"{home}MainLayers.{i}.Layers.{j}")
    yield Row("output.weight", f"{home}AggregationLayer.Layer.weight")
    if f"{home}{LABEL}" in weights:
        yield Row("latent.embedding.weight", f"{home}{LABEL}", turned)


def discriminator(weights: Weights) -> Iterator[Line]:
    home = within(weights)
    yield Row("input.weight", f"{home}ExtractionLayer.Layer.weight")
    stages = weights.numbered(f"{home}MainLayers.")
    for i in stages:
        found = blocks(weights, i, 0)
        for j in found:
            yield from block(f"stages.{i}.{j + (i > 0)}", f"{home}MainLayers.{i}.Layers.{j}")
        yield from transition(weights, f"stages.{i + 1}.0.1", f"{home}MainLayers.{i}.Layers.{len(found)}")
    last = f"{home}MainLayers.{stages[-1]}.Layers.{len(blocks(weights, stages[-1], 0))}"
    yield Row("basis.weight", f"{last}.Basis.weight")
    yield Row("head.linear.weight", f"{last}.LinearLayer.weight")
    if f"{home}{LABEL}" in weights:
        yield Row("head.embedding.weight", f"{home}{LABEL}", turned)
    else:
        yield Constant("head.linear.bias")


FAMILY = Family(
    name="R3GAN (brownvc/R3GAN)",
    choices=("model=r3gan", "loss=r3gan", "optimizer.lr=5e-5", "optimizer.betas=[0.0,0.99]"),
    draws=lambda weights: f"{within(weights)}AggregationLayer.Layer.weight" in weights,
    judges=lambda weights: f"{within(weights)}ExtractionLayer.Layer.weight" in weights,
    generator_settings=generator_settings,
    discriminator_settings=discriminator_settings,
    generator=generator,
    discriminator=discriminator,
)
