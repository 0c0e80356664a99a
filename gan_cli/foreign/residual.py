"""What the residual networks of three codes share: spectral layers, self-attention, blocks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_cli.errors import WeightsRefused, two_lines
from gan_cli.foreign.networks import Weights
from gan_cli.foreign.tables import OTHER, SCALED, Change, Line, Row, Unread, each, sided
from gan_cli.networks.residual import SMALL, discriminator_steps, generator_widths

log = logging.getLogger(__name__)

KEPT = "kept by the authors' code to look at, or found anew at every use"
PRECISION, TOLERATED = 1e-9, 1e-4  # of a norm, relative
FEW = 64  # singular values that are found at once


def number(tensor: Tensor) -> Tensor:
    """A tensor of one number as `[]`."""
    return tensor.reshape(())


def unchanged(tensor: Tensor) -> Tensor:
    return tensor


@dataclass(frozen=True)
class Spectral:
    """How a spectral layer is kept whose code, as ours, iterates once at every use.

    Attributes:
        weight: The raw weight.
        u: The direction on the side of the outputs.
        rest: What else there is.
    """

    weight: str
    u: str
    rest: str

    def direction(self, ours: str, theirs: str) -> Iterator[Line]:
        """Our u."""
        yield Row(ours, f"{theirs}.{self.u}", Tensor.flatten)
        yield Unread(f"{theirs}.{self.rest}", KEPT)


class Torch(Spectral):
    """As `torch.nn.utils.spectral_norm` keeps it, which uses both directions of the last step as they are."""

    def direction(self, ours: str, theirs: str) -> Iterator[Line]:
        sources = (f"{theirs}.{self.weight}", f"{theirs}.{self.u}", f"{theirs}.{self.rest}")
        yield Row(ours, sources, partial(turned, layer=theirs))


TORCH = Torch("weight_orig", "weight_u", "weight_v")


def turned(weight: Tensor, u: Tensor, v: Tensor, layer: str = "a layer") -> Tensor:
    """The u from which one iteration of ours leads to their norm, uᵀWv.

    Ours from their u is ‖Wv'‖ with v' = Wᵀu / ‖Wᵀu‖, and no smaller: uᵀWv ≤ ‖Wᵀu‖ = uᵀWv' ≤ ‖Wv'‖ for directions. On
    the way from u to a direction of small singular values it comes by theirs, which bisection finds. Where it cannot,
    because all singular values are alike or their directions are too long, that is told.
    """
    matrix, u, v = weight.flatten(1).double(), u.double(), v.double()
    wanted, other = u @ matrix @ v * (1 + PRECISION), lesser(matrix)
    other = other if other @ u >= 0 else -other  # on u's side, so that the way does not lead through 0

    def norm(part: float) -> Tensor:
        return (matrix @ F.normalize(matrix.T @ torch.lerp(u, other, part), dim=0)).norm()

    low, high = 0.0, 1.0
    while high - low > PRECISION:
        part = (low + high) / 2
        low, high = (part, high) if norm(part) > wanted else (low, part)
    off = float((norm(low) / wanted - 1).abs())
    if not off < TOLERATED:
        log.warning("%s: its spectral norm is %.1g of itself from theirs, and cannot be nearer", layer, off)
    return torch.lerp(u, other, low).float()


def lesser(matrix: Tensor) -> Tensor:
    """A direction of outputs that the matrix hardly reaches: the least of all where they are few, else a random one."""
    if min(matrix.shape) <= FEW:
        least: Tensor = torch.linalg.svd(matrix, full_matrices=False).U[:, -1]
        return least
    draws = torch.randn(len(matrix), generator=torch.Generator().manual_seed(0), dtype=matrix.dtype)
    return F.normalize(draws, dim=0)


@dataclass(frozen=True)
class Code:
    """How a code names things.

    Attributes:
        spectral: How it may keep spectral layers.
        attention: The four convolutions and the gain of self-attention, by our names.
        convolutions: Those of a block: first, second, shortcut.
    """

    spectral: tuple[Spectral, ...]
    attention: Mapping[str, str]
    convolutions: tuple[str, str, str]

    def bound(self, weights: Weights, layer: str) -> Spectral | None:
        """How this layer is spectrally normalised; None where it is not."""
        return next((kind for kind in self.spectral if f"{layer}.{kind.u}" in weights), None)

    def shape(self, weights: Weights, layer: str, axes: int = 4) -> tuple[int, ...]:
        """The shape of the weight of a convolution, or of another layer with this many axes. Raises WeightsRefused."""
        kind = self.bound(weights, layer)
        return weights.shape(f"{layer}.{kind.weight if kind else 'weight'}", axes)

    def has(self, weights: Weights, layer: str) -> bool:
        """Whether there is a layer of this name."""
        return f"{layer}.weight" in weights or self.bound(weights, layer) is not None

    def layer(self, weights: Weights, ours: str, theirs: str, change: Change = unchanged) -> Iterator[Line]:
        """A layer with or without spectral norm, with or without bias."""
        kind = self.bound(weights, theirs)
        if kind:
            yield Row(f"{ours}.{SCALED.format('weight')}", f"{theirs}.{kind.weight}", change)
            yield from kind.direction(f"{ours}.parametrizations.weight.0.u", theirs)
        else:
            yield Row(f"{ours}.weight", f"{theirs}.weight", change)
        if f"{theirs}.bias" in weights:
            yield Row(f"{ours}.bias", f"{theirs}.bias")

    def attend(self, weights: Weights, ours: str, theirs: str) -> Iterator[Line]:
        """Self-attention."""
        *convolutions, (own, gain) = self.attention.items()
        for name, other in convolutions:
            yield from self.layer(weights, f"{ours}.{name}", f"{theirs}.{other}")
        yield Row(f"{ours}.{own}", f"{theirs}.{gain}", number)

    def up(self, weights: Weights, ours: str, theirs: str) -> Iterator[Line]:
        """The convolutions of a block that doubles the sides."""
        for own, other in zip(("conv1", "conv2", "shortcut"), self.convolutions, strict=True):
            yield from self.layer(weights, f"{ours}.{own}", f"{theirs}.{other}")

    def down(self, weights: Weights, ours: str, theirs: str, first: bool) -> Iterator[Line]:
        """The convolutions of a discriminator's block."""
        one, two, shortcut = self.convolutions
        yield from self.layer(weights, f"{ours}.residual.{0 if first else 2}", f"{theirs}.{one}")
        yield from self.layer(weights, f"{ours}.residual.{3 if first else 5}", f"{theirs}.{two}")
        if self.has(weights, f"{theirs}.{shortcut}"):
            yield from self.layer(weights, f"{ours}.shortcut.1", f"{theirs}.{shortcut}")

    def stages(self, weights: Weights, found: Blocks) -> Iterator[Line]:
        """A discriminator's blocks, with self-attention after those that have it."""
        for i, theirs in enumerate(found.names):
            yield from self.down(weights, f"stages.{i}.0", theirs, i == 0)
            if i in found.attention:
                yield from self.attend(weights, f"stages.{i}.1", found.attention[i])


@dataclass(frozen=True)
class Blocks:
    """The blocks of a network, and the self-attention behind some of them, by their names."""

    names: list[str]
    attention: dict[int, str]  # the number of the block before it -> its name

    def drawn(self, maps: Sequence[int], base: int) -> tuple[int, str, str]:
        """Of a generator, whose maps have these channels from the smallest up: the side of its images, and as settings
        say them our width, and the sides of the maps that attend to themselves."""
        side = sided(base << min(len(self.names), 30))
        width = maps[-1] // 4 if side <= SMALL else maps[-1]
        return side, ruled(maps, width, generator_widths(side, width)), each(base << (i + 1) for i in self.attention)

    def judged(self, widths: Sequence[int]) -> tuple[str, str]:
        """Of a discriminator, whose blocks have these channels: our width, and the sides that attend to themselves.

        Four blocks see 32 px or less, of which two halve; of more, all but the last do, down to 4 px.

        Raises:
            WeightsRefused: Four blocks differ in channels, so that which of them halve cannot be told.
        """
        count = len(self.names)
        if count == 4 and len({*widths}) > 1:
            what = f"a discriminator of four blocks with {each(widths)} channels: those here have one number"
            raise WeightsRefused(two_lines(what, OTHER))
        side, halvings = (SMALL, 2) if count == 4 else (sided(4 << min(count - 1, 30)), count - 1)
        width = widths[0] // 2 if count == 4 else widths[0]
        found = [step.width for step in discriminator_steps(side, width)]
        return ruled(widths[::-1], width, found[::-1]), each(side >> min(i + 1, halvings) for i in self.attention)


def ruled(channels: Sequence[int], width: int, by_rule: Sequence[int]) -> str:
    """The one number from which these channels follow, or else they themselves."""
    return str(width) if [*channels] == [*by_rule] else each(channels)


def paired(
    weights: Weights, start: str, is_block: Callable[[str], bool], is_attention: Callable[[str], bool]
) -> Blocks:
    """Blocks and attention that stand in one list, in order. Raises WeightsRefused for anything else."""
    names: list[str] = []
    attention: dict[int, str] = {}
    for i in weights.numbered(start):
        for j in weights.numbered(f"{start}{i}."):
            name = f"{start}{i}.{j}"
            if is_block(name):
                names.append(name)
            elif is_attention(name) and names:
                attention[len(names) - 1] = name
            else:
                raise WeightsRefused(two_lines(f"{weights.where}: {name} is an unknown part", OTHER))
    if len(names) < 2:
        raise WeightsRefused(two_lines(f"{weights.where} has {len(names)} blocks", OTHER))
    return Blocks(names, attention)


def square(count: int, channels: int) -> int:
    """The side of the smallest map, from the outputs of the linear layer before it. Raises WeightsRefused."""
    side = next((side for side in (4, 5, 6, 7) if side * side * channels == count), 0)
    if not side:
        raise WeightsRefused(two_lines(f"{count} outputs are no square map of {channels} channels", OTHER))
    return side


def labels_last(label: int) -> Change:
    """The columns of a layer that reads label and latent: theirs begin with the label, ours with the latent."""
    return lambda weight: weight.roll(-label, 1)
