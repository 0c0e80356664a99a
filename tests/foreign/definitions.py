"""What the authors' networks compute, from their tensors by their names, written down without any module of ours."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

Tensors = Mapping[str, Tensor]


def convolved(values: Tensor, weight: Tensor) -> Tensor:
    """Sides stay; as many groups as the weight's shape says."""
    return F.conv2d(values, weight, padding=weight.shape[-1] // 2, groups=values.shape[1] // weight.shape[1])


def counted(state: Tensors, start: str) -> range:
    """The numbers behind `start`."""
    return range(1 + max(int(name.removeprefix(start).split(".")[0]) for name in state if name.startswith(start)))


def smoothed(values: Tensor) -> Tensor:
    """[1, 2, 1] / 4 in both directions, zeros around."""
    taps = torch.tensor([1.0, 2.0, 1.0]) / 4
    return convolved(values, torch.outer(taps, taps).expand(values.shape[1], 1, 3, 3))


def r3gan_block(values: Tensor, state: Tensors, start: str) -> Tensor:
    inner = values
    for i in (1, 2):
        inner = convolved(inner, state[f"{start}.LinearLayer{i}.Layer.weight"])
        inner = F.leaky_relu(inner + state[f"{start}.NonLinearity{i}.Bias"][:, None, None], 0.2)
    return values + convolved(inner, state[f"{start}.LinearLayer3.Layer.weight"])


def r3gan_drawn(state: Tensors, latent: Tensor, label: Tensor) -> Tensor:
    """Without labels. Larger stages begin with a 1x1 convolution, if any, and then double."""
    values = latent
    for i in counted(state, "Model.MainLayers."):
        start = f"Model.MainLayers.{i}.Layers."
        if i == 0:
            values = (values @ state[f"{start}0.LinearLayer.weight"].T)[..., None, None] * state[f"{start}0.Basis"]
        else:
            if f"{start}0.LinearLayer.Layer.weight" in state:
                values = convolved(values, state[f"{start}0.LinearLayer.Layer.weight"])
            values = smoothed(values.repeat_interleave(2, 2).repeat_interleave(2, 3))
        for j in counted(state, start)[1:]:
            values = r3gan_block(values, state, f"{start}{j}")
    return convolved(values, state["Model.AggregationLayer.Layer.weight"])


def r3gan_judged(state: Tensors, images: Tensor, label: Tensor) -> Tensor:
    """Without labels. Stages end by halving, and then with a 1x1 convolution, if any; the last one with its basis."""
    values = convolved(images, state["Model.ExtractionLayer.Layer.weight"])
    for i in counted(state, "Model.MainLayers."):
        start = f"Model.MainLayers.{i}.Layers."
        *blocks, last = counted(state, start)
        for j in blocks:
            values = r3gan_block(values, state, f"{start}{j}")
        if f"{start}{last}.Basis.weight" not in state:
            values = F.avg_pool2d(smoothed(values), 2)
            if f"{start}{last}.LinearLayer.Layer.weight" in state:
                values = convolved(values, state[f"{start}{last}.LinearLayer.Layer.weight"])
    vectors = (values * state[f"{start}{last}.Basis.weight"][:, 0]).sum((2, 3))
    return (vectors @ state[f"{start}{last}.LinearLayer.weight"].T)[:, 0]
