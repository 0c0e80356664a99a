"""From their names to ours: a table of rows, in which every tensor of both sides has its place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gan_cli.errors import WeightsRefused, two_lines
from gan_cli.foreign.networks import Weights, listed

Change = Callable[..., Tensor]
SCALED = "parametrizations.{}.original"  # where ours keep the raw weight of an equalised or a spectral layer
LARGEST_SIDE = 2048  # of images


class Row(NamedTuple):
    """One tensor of ours.

    Attributes:
        ours: Its name.
        theirs: The name of theirs that it is made from, or several.
        change: How.
    """

    ours: str
    theirs: str | tuple[str, ...]
    change: Change = lambda tensor: tensor

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.theirs,) if isinstance(self.theirs, str) else self.theirs


class Constant(NamedTuple):
    """A tensor of ours that theirs have no counterpart of, because it never changes anything there."""

    ours: str
    value: float = 0.0


class Unread(NamedTuple):
    """A tensor of theirs that says nothing about what the network draws."""

    theirs: str
    why: str


class Fixed(NamedTuple):
    """A tensor of theirs that is no weight, and that ours has built in: it must be the same."""

    theirs: str
    numbers: Tensor


TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
FILTER = torch.outer(TAPS, TAPS)  # between maps of two sizes

Line = Row | Constant | Unread | Fixed


def translated(lines: Iterable[Line], theirs: Weights, network: nn.Module) -> dict[str, Tensor]:
    """The state of our network.

    Raises:
        WeightsRefused: A tensor of theirs or of ours is left over, or does not fit; the message names the first ones.
    """
    own, lines = network.state_dict(), list(lines)
    _check_names(lines, theirs, own)
    state: dict[str, Tensor] = {}
    for line in lines:
        if isinstance(line, Fixed) and line.theirs in theirs:
            _check_same(line, theirs)
        elif isinstance(line, Constant):
            state[line.ours] = torch.full_like(own[line.ours], line.value)
        elif isinstance(line, Row):
            state[line.ours] = _made(line, theirs, own[line.ours].shape)
    return state


def _check_names(lines: Sequence[Line], theirs: Weights, own: Mapping[str, Tensor]) -> None:
    """Raises WeightsRefused unless every tensor of both sides has its line, and every line its tensors."""
    wanted = [source for line in lines if isinstance(line, Row) for source in line.sources]
    for name in wanted:
        theirs.shape(name)
    aside = {line.theirs for line in lines if isinstance(line, Unread | Fixed)}
    if left := [name for name in theirs if name not in aside.union(wanted)]:
        raise WeightsRefused(two_lines(f"{theirs.where} has tensors without a place here: {listed(left)}", OTHER))
    made = {line.ours for line in lines if isinstance(line, Row | Constant)}
    if left := [name for name in own if name not in made]:
        raise WeightsRefused(two_lines(f"{theirs.where} has nothing for {listed(left)}", OTHER))
    if left := [name for name in made if name not in own]:
        raise WeightsRefused(two_lines(f"{theirs.where}: {listed(left)} has no place here", OTHER))


def _made(row: Row, theirs: Weights, shape: torch.Size) -> Tensor:
    """One tensor of ours. Raises WeightsRefused where its shape is another."""
    tensors = [theirs.tensor(name) for name in row.sources]
    try:
        made = row.change(*tensors)
    except (RuntimeError, IndexError):  # shapes that do not go together
        made = None
    if made is None or made.shape != shape:
        found = ", ".join(f"{name} has the shape {list(theirs.shape(name))}" for name in row.sources)
        what = f"{theirs.where}: {found}, and {row.ours} {list(shape)}"
        raise WeightsRefused(two_lines(what, OTHER))
    if row.ours.endswith("running_var"):
        _check_variances(row, tensors, theirs)
    return made.contiguous()


def _check_variances(row: Row, tensors: Sequence[Tensor], theirs: Weights) -> None:
    """Raises WeightsRefused for a variance below zero, of which a norm takes the square root."""
    for name, tensor in zip(row.sources, tensors, strict=True):
        if tensor.numel() and (least := float(tensor.min())) < 0:
            what = f"{theirs.where}: {name} holds the variance {least:g}, and there is none below 0"
            raise WeightsRefused(two_lines(what, "copy or fetch it again, or take an earlier checkpoint"))


def _check_same(line: Fixed, theirs: Weights) -> None:
    found = theirs.tensor(line.theirs)
    if found.shape != line.numbers.shape or not torch.allclose(found, line.numbers, atol=1e-6):
        raise WeightsRefused(two_lines(f"{theirs.where}: {line.theirs} is not what it is here", OTHER))


OTHER = "its code was changed, or has settings that no model here has"


def sided(side: int) -> int:
    """A side of images. Raises WeightsRefused beyond what anybody trains."""
    if side > LARGEST_SIDE:
        raise WeightsRefused(two_lines(f"it would draw images of {side} pixels a side", OTHER))
    return side


def each(numbers: Iterable[int]) -> str:
    """A list as a setting says it."""
    return f"[{','.join(map(str, numbers))}]"


def one_or_each(numbers: Sequence[int]) -> str:
    """The one number where all are the same, else a list."""
    return str(numbers[0]) if len({*numbers}) == 1 else each(numbers)


def plain(ours: str, theirs: str) -> list[Line]:
    """A layer, or a norm, with weight and bias."""
    return [Row(f"{ours}.{name}", f"{theirs}.{name}") for name in ("weight", "bias")]


def batch_norm(ours: str, theirs: str, affine: bool = True, epsilon: float = 1e-5) -> list[Line]:
    """A batch norm of torch. One whose epsilon is not ours has it made up for in its variance: (var + ε' - ε) + ε."""
    more = epsilon - 1e-5
    return [
        *(plain(ours, theirs) if affine else []),
        Row(f"{ours}.running_mean", f"{theirs}.running_mean"),
        Row(f"{ours}.running_var", f"{theirs}.running_var", lambda variance: variance + more),
        Row(f"{ours}.num_batches_tracked", f"{theirs}.num_batches_tracked"),
    ]
