"""What stands beside the weights of a hidden layer: its normalisation, activation, dropout and bias, as lessons on GANs
vary them. A setting holds for all layers, or is a list with one value for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, TypeVar

from annotated_types import Interval
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from gan_cli.errors import ConfigError, two_lines
from gan_cli.networks.blocks import choose
from gan_cli.networks.conditioning import Norm

T = TypeVar("T")
Momentum = Annotated[float, Interval(gt=0, le=1)]

# By their name in `activation`. In place where that computes the same bits: nothing else reads what enters.
ACTIVATIONS: Mapping[str, Callable[..., nn.Module]] = {
    "relu": partial(nn.ReLU, inplace=True),
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}
SLOPE = 0.2  # of a leaky ReLU, as in the papers


def make_activation(player: str, name: str, slope: float | None) -> Callable[[], nn.Module]:
    """What makes the activation of this name; `slope` is that of leaky_relu below 0, 0.2 when None.

    Raises:
        ConfigError: The name is unknown, or has no slope and one is given.
    """
    activation = choose(ACTIVATIONS, f"model.{player}.activation", name)
    if activation is nn.LeakyReLU:
        return lambda: nn.LeakyReLU(SLOPE if slope is None else slope, inplace=True)
    if slope is not None:
        remedy = f"use model.{player}.activation=leaky_relu, or leave the slope out"
        raise ConfigError(two_lines(f"model.{player}.slope={slope:g}: activation={name} has no slope to set", remedy))
    return activation


def by_layer(setting: str, value: T | Sequence[T], layers: int, kind: str = "hidden layers") -> list[T]:
    """The value of each layer, or whatever else `kind` names. Raises ConfigError for a list of another length."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return [value] * layers
    if len(value) != layers:
        shown = ",".join(map(str, value))
        problem = f"{setting}=[{shown}] has {len(value)} values, and there are {layers} {kind}"
        raise ConfigError(two_lines(problem, "give one for each of them, or a single one"))
    return list(value)


def norm_by_layer(
    choices: Sequence[Mapping[str, Norm]], player: str, norm: str | Sequence[str], bare: int = 0
) -> list[Norm]:
    """What normalises each layer, out of that layer's choices. A single name leaves the first `bare` layers without; a
    list says it of each."""
    setting = f"model.{player}.norm"
    names: list[str] = by_layer(setting, norm, len(choices))
    made = [choose(offered, setting, name) for offered, name in zip(choices, names, strict=True)]
    return [offered["none"] for offered in choices[:bare]] + made[bare:] if isinstance(norm, str) else made


def in_order(norm: nn.Module, activation: nn.Module, activation_first: bool) -> list[nn.Module]:
    """Normalisation and activation as they follow each other."""
    return [activation, norm] if activation_first else [norm, activation]


def set_momentum(network: nn.Module, player: str, momentum: float | None) -> None:
    """How much of a batch enters the running statistics of every batch norm; PyTorch's 0.1 when None.

    Raises:
        ConfigError: It is set, and there is no batch norm.
    """
    found = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    if momentum is not None and not found:
        problem = f"model.{player}.momentum={momentum:g} is batch norm's, and no layer of this network has one"
        raise ConfigError(two_lines(problem, f"use model.{player}.norm=batch, or leave the momentum out"))
    for module in found if momentum is not None else ():
        module.momentum = momentum


def drop_biases(network: nn.Module, *kinds: type[nn.Module]) -> None:
    """Takes the biases from all layers of these kinds."""
    for layer in network.modules():
        if isinstance(layer, kinds):
            layer.register_parameter("bias", None)
