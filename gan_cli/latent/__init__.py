"""What a generator has learned: each module is one way to explore its latents, with its mode of `gan sample`.

The functions are pure torch over generators, latents and labels; a mode adds the settings and lays the samples out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn

from gan_cli import sampling
from gan_cli.errors import Incompatible
from gan_cli.games.base import Game
from gan_cli.latent.drawings import Drawing
from gan_cli.metrics.measure import Batches
from gan_cli.networks.panel import Both
from gan_cli.priors import Prior
from gan_cli.sampling import Draws
from gan_cli.types import Data, Need


class Sources(Protocol):
    """Pictures to draw from."""

    @property
    def single(self) -> bool:
        """Whether one picture was named, whose result is then an image file by itself."""
        ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Example]: ...


@dataclass(frozen=True)
class Example:
    """A picture to draw from."""

    name: str  # its file's, without ending
    source: Tensor  # [1, C', h, w] in [-1, 1]
    target: Tensor | None = None  # [1, C, H, W], where it has one
    alpha: Tensor | None = None  # [1, 1, h, w] in [0, 1]: how opaque it is, where that is not 1 everywhere
    is_grey: bool = False  # a picture without colours, which stays one


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
    sources: Sources | None = None  # pictures to draw from, of a generator that is given some
    tile: int | None = None  # side of the tiles that large pictures are drawn in
    levels: tuple[float, float] | None = None  # the values in image files that became black and white
    real: Callable[[str | None], Batches] | None = None  # reads real ones, as `reference=` names them
    class_names: tuple[str, ...] = ()  # of the classes that it draws on demand, where they are known

    def turned(self) -> tuple[Game, nn.Module] | None:
        """The game and the generator of the way back, where there is one."""
        if not isinstance(self.generator, Both):
            return None
        return self.game.turned(), self.generator.turned()

    @property
    def draws(self) -> Draws:
        """The random draws behind its samples."""
        return Draws.of(self.generator, self.seed, self.device, self.classes)

    @property
    def prior(self) -> Prior:
        """The distribution of its latents. Raises Incompatible if the generator is fed with something else."""
        if Need.LATENTS not in self.game.prior.provides:
            raise Incompatible("this generator is not fed with latents\n  use mode=translate")
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
    ending: ClassVar[str] = ".png"  # of the file, where the user names none
    n: int | None

    @property
    def title(self) -> str:
        """The description for the log."""
        return self.name

    def use(self, file: Path) -> str:
        """How its file is used, where that is no picture to look at."""
        return ""

    @abstractmethod
    def draw(self, subject: Subject) -> Drawing:
        """The drawing, computed when it is written. Raises Incompatible for a generator or data that do not suit it."""
