"""DCGAN as in pytorch/examples (`dcgan/main.py`): one `nn.Sequential` a player, named `main`."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from gan_cli.errors import WeightsRefused, two_lines
from gan_cli.foreign.families import Family
from gan_cli.foreign.networks import Weights
from gan_cli.foreign.tables import OTHER, Constant, Line, Row, batch_norm, sided


def spread(kernel: Tensor) -> Tensor:
    """A transposed 4x4 convolution of a 1x1 map, `[Z, C, 4, 4]`, as the linear layer that it is, `[C·16, Z]`."""
    return kernel.flatten(1).T


def flat(kernel: Tensor) -> Tensor:
    """A 4x4 convolution of a 4x4 map, `[1, C, 4, 4]`, as the linear layer that it is, `[1, C·16]`."""
    return kernel.flatten(1)


def convolutions(weights: Weights) -> list[int]:
    """The places of the convolutions in the sequence."""
    numbers = weights.numbered("main.")
    found = [i for i in numbers if f"main.{i}.weight" in weights and len(weights.shape(f"main.{i}.weight")) == 4]
    if len(found) < 3:
        raise WeightsRefused(two_lines(f"{weights.where} has {len(found)} convolutions", OTHER))
    return found


def halved(weights: Weights, width: int) -> int:
    """Our width, half of theirs."""
    if width % 2:
        raise WeightsRefused(two_lines(f"{weights.where} has {width} channels next to the image", "an odd number"))
    return width // 2


def generator_settings(weights: Weights) -> list[str]:
    found = convolutions(weights)
    width, channels = weights.shape(f"main.{found[-1]}.weight")[:2]
    return [
        f"dataset.resolution={sided(4 << min(len(found) - 1, 30))}",
        f"dataset.channels={channels}",
        f"model.latent_dim={weights.shape('main.0.weight')[0]}",
        f"model.width={halved(weights, width)}",
    ]


def discriminator_settings(weights: Weights, _: Weights) -> list[str]:
    return [f"model.discriminator.width={halved(weights, weights.shape('main.0.weight')[0])}"]


def generator(weights: Weights) -> Iterator[Line]:
    first, *others, last = convolutions(weights)
    yield Row("stages.0.layer.0.weight", f"main.{first}.weight", spread)
    yield Constant("stages.0.layer.0.bias")
    yield from batch_norm("stages.0.norm.module", f"main.{first + 1}")
    for i, place in enumerate(others, 1):
        yield Row(f"stages.{i}.layer.weight", f"main.{place}.weight")
        yield Constant(f"stages.{i}.layer.bias")
        yield from batch_norm(f"stages.{i}.norm.module", f"main.{place + 1}")
    yield Row("output.weight", f"main.{last}.weight")
    yield Constant("output.bias")


def discriminator(weights: Weights) -> Iterator[Line]:
    *halvings, last = convolutions(weights)
    for i, place in enumerate(halvings):
        yield Row(f"stages.{i}.0.weight", f"main.{place}.weight")
        yield Constant(f"stages.{i}.0.bias")
        if i:
            yield from batch_norm(f"stages.{i}.1", f"main.{place + 1}")
    yield Row("head.linear.weight", f"main.{last}.weight", flat)
    yield Constant("head.linear.bias")


def _sequence(weights: Weights) -> bool:
    return "main.0.weight" in weights and len(weights.shape("main.0.weight")) == 4


FAMILY = Family(
    name="DCGAN (pytorch/examples)",
    choices=("model=dcgan", "loss=nonsaturating", "optimizer.lr=2e-4", "optimizer.betas=[0.5,0.999]"),
    # Theirs begin with a normalised layer in the generator, with one that is not in the discriminator.
    draws=lambda weights: _sequence(weights) and "main.1.running_mean" in weights,
    judges=lambda weights: _sequence(weights) and "main.1.running_mean" not in weights,
    generator_settings=generator_settings,
    discriminator_settings=discriminator_settings,
    generator=generator,
    discriminator=discriminator,
)
