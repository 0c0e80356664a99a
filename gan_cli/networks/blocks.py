"""Layers that several architectures share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

T = TypeVar("T")

# Normalisations of feature maps [N, C, H, W] and of feature vectors [N, C], by the name that `norm` takes.
MAP_NORMS: Mapping[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "instance": partial(nn.InstanceNorm2d, affine=True),
    "layer": partial(nn.GroupNorm, 1),
    "none": lambda channels: nn.Identity(),
}
VECTOR_NORMS: Mapping[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
    "none": lambda channels: nn.Identity(),
}


def choose(choices: Mapping[str, T], setting: str, name: str) -> T:
    """`choices[name]`, or a ValueError that names the setting and what it takes."""
    if name not in choices:
        raise ValueError(f"{setting}={name} is unknown: choose one of {', '.join(choices)}")
    return choices[name]


def identity(layer: nn.Module) -> nn.Module:
    """Leaves a layer as it is; the counterpart of `spectral_norm`."""
    return layer


def constraint(spectral: bool) -> Callable[[nn.Module], nn.Module]:
    """What wraps each layer with weights: spectral normalisation (arXiv 1802.05957) or nothing."""
    return spectral_norm if spectral else identity


def mixing_layers(network: nn.Module) -> list[str]:
    """The layers through which one sample of a batch reaches another, as 'name (Type)'.

    Batch norm is known; other modules say so with a true attribute `mixes_samples`.
    """
    return [
        f"{name} ({type(layer).__name__})"
        for name, layer in network.named_modules()
        if isinstance(layer, _BatchNorm) or getattr(layer, "mixes_samples", False)
    ]


def spectrally_normalised(network: nn.Module) -> bool:
    """Whether every layer that has a matrix of weights is spectrally normalised."""
    layers = [m for m in network.modules() if isinstance(m, nn.Linear | nn.modules.conv._ConvNd)]
    return bool(layers) and all(parametrize.is_parametrized(layer, "weight") for layer in layers)


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
