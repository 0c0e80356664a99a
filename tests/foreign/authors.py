"""Networks of ours as the authors' code would save them: names and conventions written down once more, backwards."""

from __future__ import annotations

import contextlib
import pickle
import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NAMES = Path(__file__).parent / "names"
Tensors = dict[str, Tensor]


class Code(NamedTuple):
    """One network of one code: what to replace in our names, in order; what to do with a tensor of a name of theirs."""

    listing: str  # the file of names and shapes
    replace: Sequence[tuple[str, str | Callable[[re.Match[str]], str]]]
    change: Sequence[tuple[str, Callable[[Tensor], Tensor]]] = ()
    absent: str = "num_batches_tracked"  # tensors of ours that theirs do not have; all are zero


def shapes(listing: str) -> dict[str, tuple[int, ...]]:
    """The authors' names and shapes."""
    lines = [line.partition(" ") for line in (NAMES / f"{listing}.txt").read_text().splitlines()]
    return {name: tuple(int(n) for n in shape.split(",") if n) for name, _, shape in lines}


def side(first: int, place: str) -> Callable[[re.Match[str]], str]:
    return lambda match: place.format(first << int(match[1]))


RAW = (r"\.parametrizations\.(weight|bias)\.original", r".\1")
STYLED = (
    (r"^w_mean", "mapping.w_avg"),
    (r"^mapping\.layers\.(\d+)", r"mapping.fc\1"),
    (r"^synthesis\.constant", "synthesis.b4.const"),
    (r"^synthesis\.first\.", "synthesis.b4.conv1."),
    (r"^synthesis\.doubling\.(\d+)\.", side(8, "synthesis.b{}.conv0.")),
    (r"^synthesis\.following\.(\d+)\.", side(8, "synthesis.b{}.conv1.")),
    (r"^synthesis\.to_image\.(\d+)\.", side(4, "synthesis.b{}.torgb.")),
    (r"convolution\.style\.", "affine."),
    (r"convolution\.kernel\.", ""),
    (r"\.kernel\.", "."),
    (r"noise\.strength", "noise_strength"),
    RAW,
    (r"\.\.", "."),
)
STYLED_CHANGES: Sequence[tuple[str, Callable[[Tensor], Tensor]]] = (
    (r"conv0\.weight", lambda kernel: kernel[:, :, [2, 1, 0]][:, :, :, [2, 1, 0]]),
    (r"(conv\d|torgb)\.bias", Tensor.flatten),
    (r"noise_strength", lambda tensor: tensor[0, 0, 0]),
)
SEEN_16 = (
    (r"^from_image\.layers\.0\.", "b16.fromrgb."),
    (r"^stages\.(\d)\.(?:residual\.)?0\.layers\.0\.", lambda m: f"b{16 >> int(m[1])}.conv0."),
    (r"^stages\.(\d)\.(?:residual\.)?1\.layers\.1\.", lambda m: f"b{16 >> int(m[1])}.conv1."),
    (r"^stages\.(\d)\.shortcut\.1\.", lambda m: f"b{16 >> int(m[1])}.skip."),
    (r"^last\.0\.layers\.0\.", "b4.conv."),
    (r"^last\.2\.layers\.0\.", "b4.fc."),
    (r"^head\.linear\.", "b4.out."),
    (r"\.parametrizations\.weight\.original|parametrizations\.weight\.original", ".weight"),
    (r"\.\.", "."),
)
BLOCK = (
    (r"\.expand\.weight", ".LinearLayer1.Layer.weight"),
    (r"\.expand\.bias", ".NonLinearity1.Bias"),
    (r"\.mix\.weight", ".LinearLayer2.Layer.weight"),
    (r"\.mix\.bias", ".NonLinearity2.Bias"),
    (r"\.contract\.weight", ".LinearLayer3.Layer.weight"),
)
R3_DRAWN = (
    (r"^stages\.0\.transition\.linear", "Model.MainLayers.0.Layers.0.LinearLayer"),
    (r"^stages\.0\.transition\.images", "Model.MainLayers.0.Layers.0.Basis"),
    (r"^stages\.(\d)\.blocks\.(\d)", lambda m: f"Model.MainLayers.{m[1]}.Layers.{int(m[2]) + 1}"),
    (r"^output\.", "Model.AggregationLayer.Layer."),
    (r"^latent\.embedding\.", "Model.EmbeddingLayer."),
    *BLOCK,
)
R3_SEEN = (
    (r"^input\.", "Model.ExtractionLayer.Layer."),
    (r"^stages\.(\d)\.(\d)", lambda m: f"Model.MainLayers.{m[1]}.Layers.{int(m[2]) - (m[1] != '0')}"),
    (r"^basis\.", "Model.MainLayers.2.Layers.1.Basis."),
    (r"^head\.linear\.", "Model.MainLayers.2.Layers.1.LinearLayer."),
    (r"^head\.embedding\.", "Model.EmbeddingLayer."),
    *BLOCK,
)
R3_SEEN_WIDTHS = (
    (r"^input\.", "Model.ExtractionLayer.Layer."),
    (r"^stages\.1\.0\.1\.", "Model.MainLayers.0.Layers.1.LinearLayer.Layer."),
    (r"^stages\.2\.0\.1\.", "Model.MainLayers.1.Layers.1.LinearLayer.Layer."),
    (r"^stages\.(\d)\.(\d)", lambda m: f"Model.MainLayers.{m[1]}.Layers.{int(m[2]) - (m[1] != '0')}"),
    (r"^basis\.", "Model.MainLayers.3.Layers.1.Basis."),
    (r"^head\.linear\.", "Model.MainLayers.3.Layers.1.LinearLayer."),
    *BLOCK,
)


def residual(
    first: str,
    last_norm: str,
    last: str,
    convolutions: Sequence[str],
    attention: Sequence[str],
    place: Callable[[int, bool], str],
) -> list[tuple[str, Any]]:
    """A generator with up-blocks: what each code calls its layers; `place(i, attended)` begins the names of a block."""
    return [
        (r"^synthesis\.start\.0", first),
        (r"^synthesis\.norm\.", f"{last_norm}."),
        (r"^synthesis\.output", last),
        (r"^synthesis\.blocks\.(\d)\.attention", lambda m: place(int(m[1]), True)),
        (r"^synthesis\.blocks\.(\d)", lambda m: place(int(m[1]), False)),
        *inside(convolutions, attention),
    ]


def inside(convolutions: Sequence[str], attention: Sequence[str]) -> list[tuple[str, str]]:
    ours = ("conv1", "conv2", "shortcut(?:\\.1)?", "query", "key", "value", "output", "gamma")
    return [(rf"\.{own}\b", f".{name}") for own, name in zip(ours, (*convolutions, *attention), strict=True)]


def judging(
    last: str, label: str, convolutions: Sequence[str], attention: Sequence[str], place: Callable[[int, bool], str]
) -> list[tuple[str, Any]]:
    """A discriminator with down-blocks."""
    return [
        (r"^head\.linear", last),
        (r"^head\.embedding", label),
        (r"^stages\.(\d)\.1\.", lambda m: f"{place(int(m[1]), True)}."),
        (r"^stages\.(\d)\.0\.", lambda m: f"{place(int(m[1]), False)}."),
        (r"residual\.[02]\.", "conv1."),
        (r"residual\.[35]\.", "conv2."),
        *inside(convolutions, attention),
    ]


BROCK = (("conv1", "conv2", "conv_sc"), ("theta", "phi", "g", "o", "gamma"))
STUDIO = (
    ("conv2d1", "conv2d2", "conv2d0"),
    ("conv1x1_theta", "conv1x1_phi", "conv1x1_g", "conv1x1_attn", "sigma"),
)
MIMICRY = (("c1", "c2", "c_sc"), ("theta", "phi", "g", "o", "gamma"))
SPECTRAL = [(r"\.parametrizations\.weight\.original", ".weight"), (r"\.parametrizations\.weight\.0\.u", ".u0")]
TORCH = [(r"\.parametrizations\.weight\.original", ".weight_orig"), (r"\.parametrizations\.weight\.0\.u", ".weight_u")]


def two_of_a_side(block: int, attends: bool) -> str:
    return f"blocks.{block}.{int(attends)}"


def one_after_another(attending: int) -> Callable[[int, bool], str]:
    return lambda block, attends: f"blocks.{block + (attends or block > attending)}.0"


def label_first(weight: Tensor) -> Tensor:
    """Three numbers of the latent, then six of the label: theirs begin with the label."""
    return torch.cat([weight[:, 3:], weight[:, :3]], 1)


BROCK_CODES = (
    Code(
        "biggan-generator",
        [
            (r"^context\.embedding", "shared"),
            (r"^synthesis\.norm\.weight", "synthesis.norm.gain"),
            *residual(
                "linear",
                "output_layer.0",
                "output_layer.2",
                *BROCK,
                two_of_a_side,
            ),
            (r"norm(\d)\.norm", r"bn\1"),
            (r"norm(\d)\.", r"bn\1."),
            (r"running_", "stored_"),
            *SPECTRAL,
        ],
        [(r"bn\d\.(gain|bias)\.weight", label_first), (r"u0$", lambda u: u[None])],
    ),
    Code(
        "biggan-discriminator",
        [*judging("linear", "embed", *BROCK, two_of_a_side), *SPECTRAL],
        [(r"u0$", lambda u: u[None])],
    ),
)


def studiogan(size: str, drawn: int, judged: int) -> tuple[Code, Code]:
    """Networks of the listings that end with `size`, with attention behind these blocks."""
    return (
        Code(
            f"studiogan-generator{size}",
            [
                (r"^context\.embedding", "shared"),
                *residual("linear0", "bn4", "conv2d5", *STUDIO, one_after_another(drawn)),
                (r"norm(\d)\.norm", r"bn\1.bn"),
                (r"norm(\d)\.", r"bn\1."),
                *TORCH,
            ],
            [
                (r"bn\d\.(gain|bias)\.weight_orig", label_first),
                (r"running_var", lambda variance: variance + 1e-5 - 1e-4),
                (r"sigma", lambda tensor: tensor[None]),
            ],
            absent="none",
        ),
        Code(
            f"studiogan-discriminator{size}",
            [
                *judging("linear1", "embedding", *STUDIO, one_after_another(judged)),
                *TORCH,
            ],
            [(r"sigma", lambda tensor: tensor[None])],
        ),
    )


CODES = {
    "stylegan2": (
        Code("stylegan2-generator", STYLED, STYLED_CHANGES),
        Code("stylegan2-discriminator-resnet", SEEN_16),
    ),
    "stylegan2_orig": (None, Code("stylegan2-discriminator-orig", SEEN_16)),
    "stylegan2_labels": (
        Code(
            "stylegan2-generator-labels",
            [(r"^mapping\.latent\.embedding\.linear\.", "mapping.embed."), *STYLED],
            STYLED_CHANGES,
        ),
        Code(
            "stylegan2-discriminator-labels",
            [
                (r"^head\.embedding\.linear\.", "mapping.embed."),
                (r"^head\.layers\.(\d)", r"mapping.fc\1"),
                (r"\.parametrizations\.bias\.original", ".bias"),
                *SEEN_16,
            ],
        ),
    ),
    "r3gan": (Code("r3gan-generator", R3_DRAWN), Code("r3gan-discriminator", R3_SEEN, absent="LinearLayer.bias")),
    "r3gan_labels": (
        Code("r3gan-generator-labels", R3_DRAWN, [(r"EmbeddingLayer", lambda table: table.T)]),
        Code("r3gan-discriminator-labels", R3_SEEN, [(r"EmbeddingLayer", lambda table: table.T)]),
    ),
    "r3gan_widths": (
        Code(
            "r3gan-generator-widths",
            [(r"^stages\.(\d)\.transition\.0\.", r"Model.MainLayers.\1.Layers.0.LinearLayer.Layer."), *R3_DRAWN],
        ),
        Code("r3gan-discriminator-widths", R3_SEEN_WIDTHS, absent="LinearLayer.bias"),
    ),
    "biggan": BROCK_CODES,
    "biggan_64": tuple(code._replace(listing=f"{code.listing}-64") for code in BROCK_CODES),
    "studiogan": studiogan("", 1, 0),
    "studiogan_256": studiogan("-256", 0, 4),
    "mimicry_sngan": (
        Code(
            "mimicry-sngan-generator",
            [
                *residual("l1", "b5", "c5", *MIMICRY, lambda i, _: f"block{i + 2}"),
                (r"norm(\d)\.module", r"b\1"),
            ],
            absent="none",
        ),
        Code("mimicry-sngan-discriminator", [*judging("l5", "l_y", *MIMICRY, lambda i, _: f"block{i + 1}"), *TORCH]),
    ),
    "mimicry_sagan": (
        Code(
            "mimicry-sagan-generator",
            [
                *residual("l1", "b5", "c5", *MIMICRY, lambda i, attends: "attn_block" if attends else f"block{i + 2}"),
                (r"norm(\d)\.norm", r"b\1.bn"),
                (r"norm(\d)\.(gain|bias)", r"b\1.\2"),
                *TORCH,
            ],
            absent="none",
        ),
        Code(
            "mimicry-sagan-discriminator",
            [
                *judging("l5", "l_y", *MIMICRY, lambda i, attends: "attn_block" if attends else f"block{i + 1}"),
                *TORCH,
            ],
        ),
    ),
    "dcgan": (
        Code(
            "dcgan-generator",
            [
                (r"^stages\.0\.layer\.0\.", "main.0."),
                (r"^stages\.(\d)\.layer\.", lambda m: f"main.{3 * int(m[1])}."),
                (r"^stages\.(\d)\.norm\.module\.", lambda m: f"main.{3 * int(m[1]) + 1}."),
                (r"^output\.", "main.12."),
            ],
            [(r"^main\.0\.weight", lambda matrix: matrix.unflatten(0, (-1, 4, 4)).permute(3, 0, 1, 2))],
            absent=r"main\.(0|3|6|9|12)\.bias",
        ),
        Code(
            "dcgan-discriminator",
            [
                (r"^stages\.(\d)\.0\.", lambda m: f"main.{max(0, 3 * int(m[1]) - 1)}."),
                (r"^stages\.(\d)\.1\.", lambda m: f"main.{3 * int(m[1])}."),
                (r"^head\.linear\.", "main.11."),
            ],
            [(r"^main\.11\.weight", lambda matrix: matrix.unflatten(1, (-1, 4, 4)))],
            absent=r"main\.(0|2|5|8|11)\.bias",
        ),
    ),
}


def renamed(name: str, code: Code) -> str:
    for pattern, place in code.replace:
        name = re.sub(pattern, place, name)
    return name


def shaken(network: nn.Module, code: Code, seed: int = 0) -> None:
    """Sets every number at random, but zero where theirs have none."""
    draws = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if re.search(code.absent, renamed(name, code)):
            tensor.zero_()
        elif name.endswith("running_var"):
            tensor.copy_(1 + torch.rand(tensor.shape, generator=draws))
        elif tensor.is_floating_point():
            tensor.add_(0.1 * torch.randn(tensor.shape, generator=draws))


def saved(network: nn.Module, code: Code) -> Tensors:
    """The network as the authors' would be saved, in their order."""
    found: Tensors = {}
    for name, tensor in network.state_dict().items():
        theirs = renamed(name, code)
        if re.search(code.absent, theirs):
            continue
        for pattern, change in code.change:
            if re.search(pattern, theirs):
                tensor = change(tensor)
        found[theirs] = tensor.clone()
    for name in [name for name in found if name.endswith("weight_u")]:  # directions as torch keeps them: after a step
        matrix = found[name.replace("weight_u", "weight_orig")].flatten(1)
        found[name.replace("weight_u", "weight_v")] = v = F.normalize(matrix.T @ found[name], dim=0)
        found[name] = F.normalize(matrix @ v, dim=0)
    for name in [name for name in found if re.search(r"b\d\.gain\.weight$", name)]:  # both in one table
        found[name.replace("gain", "embed")] = torch.cat([found.pop(name), found.pop(name.replace("gain", "bias"))], 1)
    wanted = shapes(code.listing)
    for name, shape in wanted.items():
        if name not in found:
            found[name] = fixed(name, shape)
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == wanted
    return {name: found[name] for name in wanted}


def fixed(name: str, shape: tuple[int, ...]) -> Tensor:
    """What their code keeps besides weights."""
    assert re.search(r"resample_filter|Kernel|noise_const|sv0|num_batches_tracked", name), name
    if re.search(r"resample_filter|Kernel", name):
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
        return torch.outer(taps, taps) / 64
    return torch.zeros(shape, dtype=torch.int64) if "tracked" in name else torch.ones(shape)


class Tree(nn.Module):
    """A module with these tensors, nested as their names say, and these facts about its parts."""

    def __init__(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        super().__init__()
        inner: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            first, _, rest = name.partition(".")
            if rest:
                inner.setdefault(first, {})[rest] = tensor
            elif tensor.is_floating_point() and not name.endswith(("filter", "w_avg", "Kernel", "const")):
                self.register_parameter(name, nn.Parameter(tensor, requires_grad=False))
            else:
                self.register_buffer(name, tensor)
        said: dict[str, dict[str, Any]] = {}
        for name, value in facts.items():
            first, _, rest = name.partition(".")
            if rest:
                said.setdefault(first, {})[rest] = value
            else:
                setattr(self, first, value)
        for first in {**inner, **said}:
            self.add_module(first, Tree(inner.get(first, {}), said.get(first, {})))


@contextlib.contextmanager
def modules(*names: str) -> Iterator[dict[str, types.ModuleType]]:
    """Modules of these names, for as long as something is pickled."""
    made = {name: types.ModuleType(name) for name in names}
    sys.modules.update(made)
    try:
        yield made
    finally:
        for name in names:
            del sys.modules[name]


def plain_pickle(content: Any, path: Path) -> None:
    """As R3GAN's training writes its networks: by the names of their classes."""
    with modules("R3GAN", "R3GAN.Networks") as made:
        made["R3GAN.Networks"].Tree = Tree
        home, Tree.__module__ = Tree.__module__, "R3GAN.Networks"
        try:
            path.write_bytes(pickle.dumps(content))
        finally:
            Tree.__module__ = home


def persistent_pickle(content: Any, path: Path, source: str = "raise SystemExit") -> None:
    """As stylegan2-ada and stylegan3 write theirs: the state of each module beside the source of its class."""
    with modules("torch_utils", "torch_utils.persistence") as made:

        def _reconstruct_persistent_obj(meta: Any) -> None:
            raise AssertionError

        _reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
        _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
        made["torch_utils.persistence"]._reconstruct_persistent_obj = _reconstruct_persistent_obj

        def reduce(self: Tree) -> tuple[Any, ...]:
            facts = {"type": "class", "version": 6, "module_src": source, "class_name": "Tree", "state": self.__dict__}
            return _reconstruct_persistent_obj, (facts,)

        Tree.__reduce__ = reduce
        try:
            path.write_bytes(pickle.dumps(content))
        finally:
            del Tree.__reduce__
