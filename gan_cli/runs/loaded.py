"""Trained networks as plain modules, for programs that know nothing of games, runs and configs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from gan_cli import sampling
from gan_cli.errors import ConfigError, two_lines
from gan_cli.latent.translate import network_of
from gan_cli.priors import Prior
from gan_cli.runs.restore import Restored


class Inputs(NamedTuple):
    """What a generator is called with: `generator(*generator.latents(n))`."""

    latent: Tensor  # [n, Z]
    label: Tensor  # int64 [n]


class Network(nn.Module):
    """A trained network, in evaluation mode, and what it was trained on.

    Attributes:
        step: Of training, that its weights are from.
        channels: C of what it draws; the number of coordinates of points.
        resolution: Side or (height, width) of what it was trained on; None for points.
    """

    def __init__(self, restored: Restored) -> None:
        super().__init__()
        dataset = restored.config["dataset"]
        sides = dataset["resolution"]
        self.network = network_of(restored.generator)
        self.step = restored.step
        self.channels = restored.channels
        self.resolution: int | tuple[int, ...] | None = tuple(sides) if isinstance(sides, list) else sides
        self.resolution = None if restored.points else self.resolution
        self.eval()


class Generator(Network):
    """Latents `[N, latent_dim]` and labels int64 `[N]` to images `[N, C, H, W]` in [-1, 1], or points `[N, 2]`.

    Networks without a tanh may leave [-1, 1] a little.

    Attributes:
        latent_dim: Z.
        classes: How many classes it draws on demand; 0 where it ignores labels, and none need be given.
        class_names: Their names, or of the data's classes; empty where the run does not know them.
    """

    def __init__(self, restored: Restored) -> None:
        super().__init__(restored)
        self.prior: Prior = restored.game.prior.eval()
        self.latent_dim = self.prior.latent_dim
        self.classes = sampling.on_demand(restored.generator)
        self.class_names = restored.class_names

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        if label is None and self.classes:
            raise ConfigError(two_lines(f"this generator draws {self.classes} classes", "give it a label for each row"))
        label = latent.new_zeros(len(latent), dtype=torch.int64) if label is None else label
        samples: Tensor = self.network(latent, label)
        return samples

    def latents(self, n: int, seed: int = 0, classes: tuple[int, ...] = ()) -> Inputs:
        """What `gan sample` draws samples 0 ... n - 1 of a seed from: latents of the run's prior, labels in turn."""
        device = next(self.network.parameters()).device
        draws = sampling.Draws.of(self.network, seed, device, classes)
        return Inputs(*sampling.latents(self.prior, draws, n))


class Translator(Network):
    """Pictures `[N, source_channels, H, W]` in [-1, 1] to pictures `[N, C, scale * H, scale * W]`; any H and W will do.

    Attributes:
        source_channels: C' of what it is given.
        scale: How often larger its pictures are; 1 for a network of the user's own that does not say.
    """

    def __init__(self, restored: Restored) -> None:
        super().__init__(restored)
        self.source_channels = restored.source_channels
        self.scale = int(getattr(self.network, "scale", 1))

    def forward(self, source: Tensor) -> Tensor:
        pictures: Tensor = self.network(source, torch.zeros(len(source), dtype=torch.int64, device=source.device))
        return pictures


def of(restored: Restored) -> Generator | Translator:
    """The module of what was restored."""
    return Translator(restored) if restored.translates else Generator(restored)
