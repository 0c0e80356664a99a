"""The directions that change samples most, computed from the weights (SeFa: Shen 2021, arXiv 2007.06600)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Protocol, runtime_checkable

import torch
from annotated_types import Ge
from torch import Tensor, nn

from gan_cli.errors import Incompatible
from gan_cli.latent import Mode, Subject
from gan_cli.latent.drawings import Drawing, Film, Sheet
from gan_cli.latent.styling import MANY, space, styled
from gan_cli.networks.base import declared
from gan_cli.sampling import in_blocks
from gan_cli.types import Positive, PositiveInt


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
            "mode=directions: this generator does not say which layers read the latent first\n"
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

    Of n and -n, the one whose largest coordinate is positive, so that the answer is unique.
    """
    _, vectors = torch.linalg.eigh(a.double().T @ a.double())
    directions = vectors.T.flip(0)[:count]
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    return (directions * largest.sign()).to(a.dtype)


@dataclass(frozen=True)
class Directions(Mode):
    """One sheet per direction: row i is sample i, moved from -strength to +strength standard deviations along it."""

    name: ClassVar[str] = "directions"
    n: PositiveInt = 4
    count: PositiveInt = 5
    steps: Annotated[int, Ge(2)] = 7
    strength: Positive = 3.0

    def draw(self, subject: Subject) -> Drawing:
        latent_layers(subject.generator)  # refused before anything is drawn
        return Film(self.sheets(subject))

    def sheets(self, subject: Subject) -> Iterator[Sheet]:
        _, encode, decode = space(subject.generator)
        with torch.no_grad():
            w = encode(*subject.latents(max(self.n, MANY)))
        label = subject.latents(self.n)[1].repeat_interleave(self.steps)
        shifts = torch.linspace(-self.strength, self.strength, self.steps, device=w.device)
        for i, direction in enumerate(sefa(affine(subject.generator, w.shape[-1]), self.count)):
            spread = (w @ direction).std()
            moved = w[: self.n].unsqueeze(1) + (shifts * spread).view(-1, *[1] * (w.ndim - 1)) * direction
            samples = in_blocks(decode, moved.flatten(0, 1), label).unflatten(0, (self.n, self.steps))
            yield Sheet(samples, f"{i + 1}", {"direction": direction.cpu()})
