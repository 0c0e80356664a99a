"""What a generator has learned: each module is one way to explore its latents, with its mode of `gan sample`.

The functions are pure torch over generators, latents and labels; a mode adds the settings and lays the samples out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from gan_cli import sampling
from gan_cli.errors import Incompatible
from gan_cli.games.base import Game
from gan_cli.latent.drawings import Drawing
from gan_cli.priors import Prior
from gan_cli.sampling import Draws
from gan_cli.types import Data, Need


@dataclass(frozen=True)
class Subject:
    """A trained game, and which of its samples to draw: those of `seed`, with the labels `classes` in turn."""

    game: Game
    generator: nn.Module  # in evaluation mode
    seed: int
    device: torch.device
    classes: tuple[int, ...]  # all of them when empty
    points: bool
    data: Callable[[], Data]  # reads what the run was trained on
    levels: tuple[float, float] | None = None  # the values in image files that became black and white

    @property
    def draws(self) -> Draws:
        """The random draws behind its samples."""
        return Draws.of(self.generator, self.seed, self.device, self.classes)

    @property
    def prior(self) -> Prior:
        """The distribution of its latents. Raises Incompatible if the generator is fed with something else."""
        if Need.LATENTS not in self.game.prior.provides:
            raise Incompatible("this generator is not fed with latents\n  use mode=sample")
        return self.game.prior

    def latents(self, n: int) -> tuple[Tensor, Tensor]:
        """The latents `[n, Z]` and labels `[n]` of samples 0 ... n - 1 of a grid."""
        return sampling.latents(self.prior, self.draws, n)

    def draw(self, latent: Tensor, label: Tensor) -> Tensor:
        """The samples of latents `[..., Z]` with labels `[...]`, `[..., C, H, W]` on the CPU."""
        samples = sampling.in_blocks(self.generator, latent.flatten(0, -2), label.flatten())
        return samples.unflatten(0, latent.shape[:-1])


class Mode(ABC):
    """What `gan sample` draws; `n` of them: samples of a grid, rows of a sheet."""

    name: ClassVar[str]  # first word of the file
    n: int

    @property
    def title(self) -> str:
        """The description for the log."""
        return self.name

    @abstractmethod
    def draw(self, subject: Subject) -> Drawing:
        """The drawing, computed when it is written. Raises Incompatible for a generator or data that do not suit it."""
