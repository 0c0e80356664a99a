"""Directions in the space of a generator's latents, and samples that move along them.

SeFa finds those that change samples most, in the weights alone (Shen 2021, arXiv 2007.06600); others are learned, in
`latent.learned`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Annotated, ClassVar, NamedTuple, Protocol, runtime_checkable

import torch
from annotated_types import Ge
from torch import Tensor, nn

from gan_cli.errors import ConfigError, Incompatible, two_lines
from gan_cli.latent import Mode, Subject
from gan_cli.latent.drawings import Drawing, Film, Sheet
from gan_cli.latent.styling import MANY, space, styled
from gan_cli.networks.base import declared
from gan_cli.sampling import in_blocks
from gan_cli.types import Positive, PositiveInt

MOST_NAMES = 20  # in a message


@runtime_checkable
class NamesStyleLayers(Protocol):
    """A synthesis that says which of its layers read the styles."""

    def style_layers(self) -> Sequence[nn.Module]: ...


def latent_layers(generator: nn.Module) -> Sequence[nn.Module]:
    """The layers that read the latent (or w) first: those that `generator.latent_layers` names, or else the first
    linear one; with styles, those that the synthesis names in `style_layers()`, or else all of its linear ones."""
    if named := declared(generator).latent_layers:
        return named
    parts = styled(generator)
    if parts and isinstance(parts.synthesis, NamesStyleLayers):
        return parts.synthesis.style_layers()
    inside = parts.synthesis if parts else generator
    linear = [layer for layer in inside.modules() if isinstance(layer, nn.Linear)]
    if not linear:
        raise Incompatible(
            "along=sefa: this generator does not say which layers read the latent first\n"
            "  give it an attribute `latent_layers`, a list of modules with `weight` [out, in]"
        )
    return linear if parts else linear[:1]


def affine(generator: nn.Module, width: int) -> Tensor:
    """A `[out, width]`: how a latent (or w) of `width` enters, the stacked weights of `latent_layers`.

    What is appended to the latent (a label's embedding) is cut off; coordinates that enter later count as zeros.
    """
    weights = [layer.weight.detach().flatten(1)[:, :width] for layer in latent_layers(generator)]  # type: ignore[operator]
    return torch.cat([nn.functional.pad(weight, (0, width - weight.shape[1])) for weight in weights])


def sefa(a: Tensor, count: int) -> Tensor:
    """The unit directions n `[count, width]` of largest ‖A n‖, orthogonal: eigenvectors of AᵀA (equation 3).

    As the paper writes it. Its authors' code first divides each row of A by its length, and of StyleGAN2's layers that
    colour the image takes only the last: give it such rows for the figures of the paper.

    Of n and -n, the one whose largest coordinate is positive, so that the answer is unique.
    """
    _, vectors = torch.linalg.eigh(a.double().T @ a.double())
    directions = vectors.T.flip(0)[:count]
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    return (directions * largest.sign()).to(a.dtype)


class Direction(NamedTuple):
    """A direction in the space where a generator's directions are straight."""

    name: str  # a part of a file's name
    vector: Tensor  # [W], of length 1


class Along(ABC):
    """A way to find directions."""

    @abstractmethod
    def find(self, subject: Subject) -> Iterator[Direction]:
        """The directions, the most telling first. Raises Incompatible for a generator or data that do not suit it."""


class SeFa(Along):
    """Those that change samples most, called 1, 2, ..."""

    def find(self, subject: Subject) -> Iterator[Direction]:
        latent_layers(subject.generator)  # refused at once
        return self._found(subject)

    @staticmethod
    def _found(subject: Subject) -> Iterator[Direction]:
        width = space(subject.generator).encode(*subject.latents(1)).shape[-1]
        for i, vector in enumerate(sefa(affine(subject.generator, width), width)):
            yield Direction(f"{i + 1}", vector)


def moved(w: Tensor, vector: Tensor, shifts: Tensor) -> Tensor:
    """`[N, T, ...]`: each of `w` `[N, ...]`, shifted by each of `shifts` `[T]` along a direction `[W]`."""
    return w.unsqueeze(1) + shifts.view(-1, *[1] * (w.ndim - 1)) * vector


def chosen(directions: Iterator[Direction], count: int, towards: str | None) -> Iterator[Direction]:
    """The first `count` directions, or the one called `towards`. Raises ConfigError where there is none."""
    if towards is None:
        return islice(directions, count)
    names: list[str] = []
    for direction in directions:
        if direction.name == towards:
            return iter([direction])
        names.append(direction.name)
    there = ", ".join(names[:MOST_NAMES]) + (", ..." if len(names) > MOST_NAMES else "")
    raise ConfigError(two_lines(f"mode.towards={towards}: there is no such direction", f"there are {there}"))


@dataclass(frozen=True)
class Directions(Mode):
    """One sheet per direction: row i is sample i, moved from -strength to +strength standard deviations along it.

    Args:
        count: The most directions.
        towards: Only the direction of this name.
        along: How they are found.
    """

    name: ClassVar[str] = "directions"
    n: PositiveInt = 4
    count: PositiveInt = 5
    steps: Annotated[int, Ge(2)] = 7
    strength: Positive = 3.0
    towards: str | None = None
    along: Along = field(default_factory=SeFa)

    def draw(self, subject: Subject) -> Drawing:
        self.along.find(subject)  # refused before anything is drawn
        return Film(self.sheets(subject))

    def sheets(self, subject: Subject) -> Iterator[Sheet]:
        directions = chosen(self.along.find(subject), self.count, self.towards)
        _, encode, decode = space(subject.generator)
        with torch.no_grad():
            w = encode(*subject.latents(max(self.n, MANY)))
        label = subject.latents(self.n)[1].repeat_interleave(self.steps)
        shifts = torch.linspace(-self.strength, self.strength, self.steps, device=w.device)
        for name, vector in directions:
            there = moved(w[: self.n], vector, shifts * (w @ vector).std())
            samples = in_blocks(decode, there.flatten(0, 1), label).unflatten(0, (self.n, self.steps))
            yield Sheet(samples, name, {"direction": vector.cpu()})
