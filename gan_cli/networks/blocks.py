"""Layers that several architectures share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrize

from gan_cli.errors import ConfigError, unknown
from gan_cli.networks.conditioning import Wrap
from gan_cli.networks.equalised import Scale, Unit
from gan_cli.networks.spectral import spectral_norm

T = TypeVar("T")


def _batch_map(channels: int, affine: bool = True) -> nn.Module:
    return nn.BatchNorm2d(channels, affine=affine)


def _instance_map(channels: int, affine: bool = True) -> nn.Module:
    return nn.InstanceNorm2d(channels, affine=affine)


def _layer_map(channels: int, affine: bool = True) -> nn.Module:
    return nn.GroupNorm(1, channels, affine=affine)


def _batch_vector(channels: int, affine: bool = True) -> nn.Module:
    return nn.BatchNorm1d(channels, affine=affine)


def _layer_vector(channels: int, affine: bool = True) -> nn.Module:
    return nn.LayerNorm(channels, elementwise_affine=affine)


def _none(channels: int, affine: bool = True) -> nn.Module:
    return nn.Identity()


# Normalisations of feature maps [N, C, H, W] and of feature vectors [N, C], by their name in `norm`.
MAP_NORMS: Mapping[str, Callable[..., nn.Module]] = {
    "batch": _batch_map,
    "instance": _instance_map,
    "layer": _layer_map,
    "none": _none,
}
# The same of translators and patches: an instance norm without gain and bias, as in CycleGAN's and pix2pix's code.
UNSCALED_NORMS: Mapping[str, Callable[[int], nn.Module]] = {
    "instance": partial(_instance_map, affine=False),
    "batch": _batch_map,
    "none": _none,
}
VECTOR_NORMS: Mapping[str, Callable[..., nn.Module]] = {"batch": _batch_vector, "layer": _layer_vector, "none": _none}


def choose(choices: Mapping[str, T], setting: str, name: str) -> T:
    """`choices[name]`, or a ConfigError that names the setting and its valid values."""
    if name not in choices:
        raise ConfigError(unknown(f"{setting}={name}", choices))
    return choices[name]


def identity(layer: nn.Module) -> nn.Module:
    """Returns the layer unchanged; the counterpart of `spectral_norm`."""
    return layer


def untouched(layer: nn.Module) -> None:
    """Keeps PyTorch's initialisation."""


def constraint(spectral: bool, initialise: Callable[[nn.Module], None] = untouched) -> Wrap:
    """What is applied to each layer with weights: its initialisation, then spectral norm (arXiv 1802.05957) or nothing.

    In this order, because spectral norm reads the weights when it is applied.
    """
    bound = spectral_norm if spectral else identity

    def wrap(layer: nn.Module) -> nn.Module:
        initialise(layer)
        wrapped: nn.Module = bound(layer)
        return wrapped

    return wrap


def mixing_layers(network: nn.Module) -> list[str]:
    """The layers through which one sample of a batch influences another, as 'name (Type)'.

    Batch norm is known; other modules declare it by a true attribute `mixes_samples`.
    """
    return [
        f"{name} ({type(layer).__name__})"
        for name, layer in network.named_modules()
        if isinstance(layer, _BatchNorm) or getattr(layer, "mixes_samples", False)
    ]


def spectrally_normalised(network: nn.Module) -> bool:
    """Whether every layer with a weight matrix is spectrally normalised."""
    layers = [m for m in network.modules() if isinstance(m, nn.Linear | nn.modules.conv._ConvNd)]
    return bool(layers) and all(_is_spectral(layer) for layer in layers)


def _is_spectral(layer: nn.Module) -> bool:
    if not parametrize.is_parametrized(layer, "weight"):
        return False
    # The others here, the factor of an equalised learning rate and rows of norm 1, do not bound the largest slope.
    return not all(isinstance(p, Scale | Unit) for p in layer.parametrizations["weight"])  # type: ignore[index]


def dcgan_init(module: nn.Module) -> None:
    """Radford 2016, arXiv 1511.06434, section 4: weights N(0, 0.02), batch-norm scales N(1, 0.02), biases 0."""
    if isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, _BatchNorm) and module.affine:
        nn.init.normal_(module.weight, 1.0, 0.02)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)
