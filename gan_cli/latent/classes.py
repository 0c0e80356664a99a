"""One latent, every class, and mixtures between the classes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from gan_cli import sampling
from gan_cli.errors import Incompatible
from gan_cli.latent import Mode, Subject
from gan_cli.latent.drawings import Drawing, Film, Sheet
from gan_cli.types import NonNegativeInt, PositiveInt


@runtime_checkable
class Mixable(Protocol):
    """A network of labels that is no plain embedding."""

    def of_mixtures(self, mixtures: Tensor) -> nn.Module:
        """One whose label j stands for the mixture `mixtures[j]` of the classes; rows of `[J, K]` sum to 1."""
        ...


def with_mixtures(generator: nn.Module, mixtures: Tensor) -> nn.Module:
    """A copy whose label j draws the mixture `mixtures[j]` of the classes; rows of `[J, K]` are shares that sum to 1.

    Labels reach a network through embeddings; a mixture of classes mixes their rows (BigGAN, arXiv 1809.11096, fig. 8).
    """
    mixed = copy.deepcopy(generator)
    for module in [*mixed.modules()]:
        for name, part in module.named_children():
            if isinstance(part, Mixable):
                setattr(module, name, part.of_mixtures(mixtures))
    for module in mixed.modules():
        if isinstance(module, nn.Embedding):
            module.weight = nn.Parameter(mixtures @ module.weight, requires_grad=False)
            module.num_embeddings = len(mixtures)
    return mixed


def ways(turn: Tensor, between: int, classes: int) -> Tensor:
    """Shares of the classes on the straight lines from each class of `turn` `[T]` to the next.

    Returns:
        `[T + (T - 1) between, classes]`, the classes of `turn` themselves at every `between + 1`-th row.
    """
    pure = torch.eye(classes, device=turn.device)[turn]
    steps = torch.arange(between + 1, device=turn.device).div(between + 1).view(1, -1, 1)
    return torch.cat([pure[:-1, None].lerp(pure[1:, None], steps).flatten(0, 1), pure[-1:]])


@dataclass(frozen=True)
class Classes(Mode):
    """Row i is the latent of sample i with each class: shows what the latent controls apart from the class.

    Args:
        between: Number of mixtures drawn between each class and the next.
    """

    name: ClassVar[str] = "classes"
    n: PositiveInt = 8
    between: NonNegativeInt = 0

    def draw(self, subject: Subject) -> Drawing:
        if not sampling.on_demand(subject.generator):
            raise Incompatible(
                "mode=classes: this generator draws no classes on demand\n"
                "  train on labelled data with a conditioning, such as conditioning=projection"
            )
        return Film(self.sheets(subject))

    def sheets(self, subject: Subject) -> Iterator[Sheet]:
        latent, _ = subject.latents(self.n)
        turn = sampling.in_turn(subject.generator, subject.classes).to(latent.device)
        shares = ways(turn, self.between, sampling.on_demand(subject.generator))
        mixed = replace(subject, generator=with_mixtures(subject.generator, shares))
        columns = torch.arange(len(shares), device=latent.device)
        rows = latent.unsqueeze(1).expand(-1, len(columns), -1)
        yield Sheet(mixed.draw(rows, columns.expand(self.n, -1)))
