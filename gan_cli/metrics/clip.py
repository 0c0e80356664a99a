"""CLIP's image encoder, a vision transformer (Radford 2021, arXiv 2103.00020), with weights from a file."""

from __future__ import annotations

import math
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from gan_cli.errors import DetectorMissing, two_lines
from gan_cli.metrics import weights as files
from gan_cli.metrics.pretrained import PretrainedNetwork

FILE = "open_clip_model.safetensors"  # as open_clip publishes OpenAI's weights
ENVIRONMENT = "GAN_CLIP"
PREFIX = "visual."  # of the image encoder's tensors; the others are the text's
BLOCKS = "transformer.resblocks."
HEAD = 64  # width of a head of attention; that of encoders wider than ViT-L is another, and no tensor says so
MOST_WIDE, MOST_LAYERS, MOST_FEATURES = 1024, 24, 1024  # ViT-L's
LARGEST_PATCH, LARGEST_GRID = 32, 24  # ViT-B/32's, and that of ViT-L/14 at 336 pixels
REMEDY = f"give the state dict of ViT-B/32 or ViT-L/14 with OpenAI's names, such as open_clip's {FILE}"


class QuickGELU(nn.Module):
    """x · sigmoid(1.702 x), with which OpenAI trained."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)), of tokens `[N, T, width]`."""

    def __init__(self, width: int, activation: nn.Module) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, width // HEAD, batch_first=True)
        layers = (("c_fc", nn.Linear(width, 4 * width)), ("gelu", activation), ("c_proj", nn.Linear(4 * width, width)))
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, x: Tensor) -> Tensor:
        seen = self.ln_1(x)
        x = x + self.attn(seen, seen, seen, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class Sizes(NamedTuple):
    """What the shapes of an encoder's tensors say of it."""

    width: int
    patch: int  # pixels of a patch's side
    grid: int  # patches of a picture's side
    layers: int
    features: int

    @property
    def side(self) -> int:
        """Pixels of the side of the pictures that it sees."""
        return self.patch * self.grid

    @classmethod
    def of(cls, state: dict[str, Tensor]) -> Self:
        """Raises ValueError: a tensor is missing, has an odd shape or is too large; the message names it."""
        width, colours, patch, across = _shape(state, "conv1.weight", 4)
        tokens, _ = _shape(state, "positional_embedding", 2)
        _, features = _shape(state, "proj", 2)
        grid = math.isqrt(max(tokens - 1, 0))
        indices = {name.removeprefix(BLOCKS).partition(".")[0] for name in state if name.startswith(BLOCKS)}
        within = {
            "conv1.weight": colours == 3
            and 1 <= patch == across <= LARGEST_PATCH
            and HEAD <= width <= MOST_WIDE
            and width % HEAD == 0,
            "positional_embedding": tokens == grid**2 + 1 and 1 <= grid <= LARGEST_GRID,
            "proj": 1 <= features <= MOST_FEATURES,
        }
        for name, sound in within.items():
            if not sound:
                raise ValueError(f"{PREFIX}{name} has the shape {[*state[name].shape]}")
        if not 1 <= len(indices) <= MOST_LAYERS:
            raise ValueError(f"{PREFIX}{BLOCKS}* are {len(indices)} layers, and it has 1 to {MOST_LAYERS}")
        return cls(width, patch, grid, len(indices), features)


def _shape(state: dict[str, Tensor], name: str, dimensions: int) -> tuple[int, ...]:
    if name not in state:
        raise ValueError(f"there is no {PREFIX}{name}")
    if state[name].ndim != dimensions:
        raise ValueError(f"{PREFIX}{name} has the shape {[*state[name].shape]}")
    return tuple(state[name].shape)


class ImageEncoder(nn.Module):
    """Pictures `[N, 3, side, side]` to embeddings `[N, features]`: the class token of the last layer, projected.

    The names are those of OpenAI's tensors.
    """

    def __init__(self, sizes: Sizes, activation: nn.Module) -> None:
        super().__init__()
        width = sizes.width
        self.conv1 = nn.Conv2d(3, width, sizes.patch, sizes.patch, bias=False)
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.positional_embedding = nn.Parameter(torch.empty(sizes.grid**2 + 1, width))
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        blocks = nn.Sequential(*(Block(width, activation) for _ in range(sizes.layers)))
        self.transformer = nn.Sequential(OrderedDict(resblocks=blocks))
        self.proj = nn.Parameter(torch.empty(width, sizes.features))

    def forward(self, images: Tensor) -> Tensor:
        patches = self.conv1(images).flatten(2).mT
        tokens = torch.cat([self.class_embedding.expand(len(images), 1, -1), patches], 1) + self.positional_embedding
        last = self.transformer(self.ln_pre(tokens))
        return self.ln_post(last[:, 0]) @ self.proj


def encoder(state: dict[str, Tensor], activation: nn.Module) -> tuple[ImageEncoder, Sizes]:
    """The image encoder of a state dict of all of CLIP, float32; its sizes are those of the tensors.

    Raises:
        ValueError: These are other tensors; the message names the first that is odd.
    """
    own = {name.removeprefix(PREFIX): tensor for name, tensor in state.items() if name.startswith(PREFIX)}
    sizes = Sizes.of(own)
    with torch.device("meta"):  # what the file declares takes no memory before it is compared with what it holds
        network = ImageEncoder(sizes, activation)
    expected = network.state_dict()
    for name, tensor in expected.items():
        if (found := _shape(own, name, tensor.ndim)) != tensor.shape:
            raise ValueError(f"{PREFIX}{name} has the shape {[*found]}, not {[*tensor.shape]}")
        if not own[name].is_floating_point():
            raise ValueError(f"{PREFIX}{name} holds {own[name].dtype}, not floats")
    if foreign := next((name for name in own if name not in expected), None):
        raise ValueError(f"it has no {PREFIX + foreign[:80]!r}")
    network.load_state_dict({name: tensor.float() for name, tensor in own.items()}, assign=True)
    return network, sizes


class Clip(PretrainedNetwork):
    """CLIP's image embedding, as its authors' `encode_image` gives it: 512 features of ViT-B/32, 768 of ViT-L/14.

    Args:
        weights: A state dict (.pt, .safetensors) with OpenAI's names; else $GAN_CLIP, else torch hub's copy.
        quick_gelu: Whether it was trained with QuickGELU, as OpenAI's were and most of LAION's not. No tensor says so.
    """

    name = "clip"
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)

    def __init__(self, weights: str | None = None, quick_gelu: bool = True) -> None:
        path: Path = files.find(FILE, weights, ENVIRONMENT)
        state, digest = files.read(path)
        try:
            network, sizes = encoder(state, QuickGELU() if quick_gelu else nn.GELU())
        except ValueError as error:
            raise DetectorMissing(two_lines(f"{path} holds no image encoder of CLIP: {error}", REMEDY)) from error
        self.side = sizes.side
        kind = f"width {sizes.width}, {sizes.layers} layers, patches of {sizes.patch}"
        gelu = "QuickGELU" if quick_gelu else "GELU"
        super().__init__(network, digest, f"clip image embedding of a ViT ({kind}, {gelu})")
