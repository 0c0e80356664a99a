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


def spectral(state: Tensors, layer: str) -> Tensor:
    """A weight over its largest singular value, which one power iteration from `u0` estimates."""
    weight = state[f"{layer}.weight"]
    matrix = weight.flatten(1)
    v = F.normalize(state[f"{layer}.u0"] @ matrix)
    u = F.normalize(v @ matrix.T)
    return weight / (v @ matrix.T @ u.T)


def brock_layer(values: Tensor, state: Tensors, layer: str) -> Tensor:
    """A linear layer of vectors, or a convolution of maps, with spectral norm."""
    weight, bias = spectral(state, layer), state.get(f"{layer}.bias", torch.zeros(()))
    return values @ weight.T + bias if values.dim() == 2 else convolved(values, weight) + bias.view(-1, 1, 1)


def brock_norm(values: Tensor, state: Tensors, norm: str) -> Tensor:
    mean, variance = (state[f"{norm}.stored_{what}"].view(-1, 1, 1) for what in ("mean", "var"))
    return (values - mean) / (variance + 1e-5).sqrt()


def brock_attention(values: Tensor, state: Tensors, start: str) -> Tensor:
    theta, phi, g = (brock_layer(values, state, f"{start}.{name}") for name in ("theta", "phi", "g"))
    phi, g = (F.max_pool2d(maps, 2).flatten(2) for maps in (phi, g))
    weights = torch.einsum("ncq,nck->nqk", theta.flatten(2), phi).softmax(2)
    found = torch.einsum("nck,nqk->ncq", g, weights).unflatten(2, values.shape[2:])
    return values + state[f"{start}.gamma"] * brock_layer(found, state, f"{start}.o")


def brock_drawn(state: Tensors, latent: Tensor, label: Tensor) -> Tensor:
    """With --hier and --G_shared, in evaluation."""
    shared, blocks = state["shared.weight"][label], counted(state, "blocks.")
    first, *chunks = latent.chunk(1 + len(blocks), 1)
    values = brock_layer(first, state, "linear").unflatten(1, (-1, 4, 4))
    for i in blocks:
        context = torch.cat([shared, chunks[i]], 1)

        def normed(maps: Tensor, norm: str, context: Tensor = context) -> Tensor:
            gain, bias = (brock_layer(context, state, f"{norm}.{part}")[..., None, None] for part in ("gain", "bias"))
            return F.relu((1 + gain) * brock_norm(maps, state, norm) + bias)

        start = f"blocks.{i}.0"
        hidden = F.interpolate(normed(values, f"{start}.bn1"), scale_factor=2)
        hidden = normed(brock_layer(hidden, state, f"{start}.conv1"), f"{start}.bn2")
        shortcut = brock_layer(F.interpolate(values, scale_factor=2), state, f"{start}.conv_sc")
        values = shortcut + brock_layer(hidden, state, f"{start}.conv2")
        if f"blocks.{i}.1.gamma" in state:
            values = brock_attention(values, state, f"blocks.{i}.1")
    gain, bias = (state[f"output_layer.0.{part}"].view(-1, 1, 1) for part in ("gain", "bias"))
    last = F.relu(gain * brock_norm(values, state, "output_layer.0") + bias)
    return brock_layer(last, state, "output_layer.2").tanh()


def brock_judged(state: Tensors, images: Tensor, label: Tensor) -> Tensor:
    """More than 32 px: all blocks but the last halve."""
    values = images
    *_, last = blocks = counted(state, "blocks.")
    for i in blocks:
        start = f"blocks.{i}.0"
        hidden = brock_layer(F.relu(values) if i else values, state, f"{start}.conv1")
        hidden = brock_layer(F.relu(hidden), state, f"{start}.conv2")
        if f"{start}.conv_sc.weight" in state:
            values = brock_layer(values, state, f"{start}.conv_sc")
        values = values + hidden
        if i != last:
            values = F.avg_pool2d(values, 2)
        if f"blocks.{i}.1.gamma" in state:
            values = brock_attention(values, state, f"blocks.{i}.1")
    vectors = F.relu(values).sum((2, 3))
    return brock_layer(vectors, state, "linear")[:, 0] + (spectral(state, "embed")[label] * vectors).sum(1)
