"""Densities in the plane and on a line, with known answers: every batch is drawn afresh from the density."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gan_cli import rng
from gan_cli.errors import ConfigError, two_lines
from gan_cli.types import Batch, NonNegative, NonNegativeInt, Positive, PositiveInt

Density = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]  # (n, generator) -> points [n, D], component [n]


@dataclass(frozen=True)
class Mixture:
    """Equally likely Gaussians: centres `[K, D]` and one standard deviation."""

    centres: Tensor
    std: float

    def __call__(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        component = torch.randint(len(self.centres), (n,), generator=generator)
        dimensions = self.centres.shape[1]
        return self.centres[component] + self.std * torch.randn(n, dimensions, generator=generator), component

    def log_density(self, points: Tensor) -> Tensor:
        """log p(x) = log 1/K Σ_k N(x; μ_k, σ²I) at points `[N, D]`: `[N]`."""
        count, dimensions = self.centres.shape
        squares = (points.unsqueeze(1) - self.centres.to(points)).square().sum(2) / (2 * self.std**2)
        constant = math.log(count) + dimensions * math.log(self.std * math.sqrt(2 * math.pi))
        return torch.logsumexp(-squares, 1) - constant


def ring_centres(modes: int, radius: float) -> Tensor:
    """`[modes, 2]`, evenly around a circle."""
    angle = torch.arange(modes) * (2 * math.pi / modes)
    return radius * torch.stack([angle.cos(), angle.sin()], 1)


def grid_centres(side: int, spacing: float) -> Tensor:
    """`[side², 2]`, a square lattice around the origin."""
    line = (torch.arange(side) - (side - 1) / 2) * spacing
    return torch.cartesian_prod(line, line)


def ring(modes: PositiveInt = 8, radius: Positive = 2.0, std: Positive = 0.02) -> Mixture:
    """Gaussians on a circle (Unrolled GAN, arXiv 1611.02163, figure 1)."""
    return Mixture(ring_centres(modes, radius), std)


def grid(side: PositiveInt = 5, spacing: Positive = 2.0, std: Positive = 0.05) -> Mixture:
    """side x side Gaussians on a lattice (VEEGAN, arXiv 1705.07761, section 4.1)."""
    return Mixture(grid_centres(side, spacing), std)


def line(modes: PositiveInt = 2, spacing: Positive = 4.0, std: Positive = 0.5) -> Mixture:
    """Gaussians on the real line, around 0: points of one coordinate."""
    return Mixture(((torch.arange(modes) - (modes - 1) / 2) * spacing).unsqueeze(1), std)


def sunflower(modes: PositiveInt = 100, spacing: Positive = 2.0, std: Positive = 0.05) -> Mixture:
    """Gaussians on the spiral of a sunflower's seeds (Vogel 1979): mode k at the angle k times the golden angle and the
    radius 0.56 spacing √(k + ½), about one for each `spacing`²."""
    k = torch.arange(modes, dtype=torch.float64)
    angle, radius = k * math.pi * (3 - math.sqrt(5)), spacing / math.sqrt(math.pi) * (k + 0.5).sqrt()
    return Mixture((radius.unsqueeze(1) * torch.stack([angle.cos(), angle.sin()], 1)).float(), std)


def scatter(
    modes: PositiveInt = 100, spacing: Positive = 2.0, std: Positive = 0.05, seed: NonNegativeInt = 0
) -> Mixture:
    """Gaussians anywhere in a square with room of `spacing`² for each, none closer than half of that to another."""
    generator = rng.generator(seed, "scatter")
    side, centres = spacing * math.sqrt(modes), torch.empty(0, 2)
    while len(centres) < modes:
        centre = (torch.rand(1, 2, generator=generator) - 0.5) * side
        if not len(centres) or float(torch.cdist(centre, centres).min()) >= spacing / 2:
            centres = torch.cat([centres, centre])
    return Mixture(centres, std)


def swiss_roll(noise: NonNegative = 0.05, scale: Positive = 0.15) -> Density:
    """A spiral (t cos t, t sin t), t from 1.5π to 4.5π, with Gaussian noise."""

    def draw(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        t = 1.5 * math.pi * (1 + 2 * torch.rand(n, generator=generator))
        spiral = scale * torch.stack([t * t.cos(), t * t.sin()], 1)
        return spiral + noise * torch.randn(n, 2, generator=generator), torch.zeros(n, dtype=torch.int64)

    return draw


class Points:
    """Batches of a density. `classes` is the number of its components where they serve as labels.

    Args:
        density: The density to draw from.
        channels: Coordinates of a point, as the density has: 2, or 1 on a line.
        resolution: Empty, since points have none; the networks read it.
        classes: 0 for unlabelled, or the number of components of the density.
        batch_size: Points per update, over all devices.
    """

    def __init__(
        self,
        density: Density,
        channels: PositiveInt = 2,
        resolution: tuple[int, ...] = (),
        classes: NonNegativeInt = 0,
        batch_size: PositiveInt = 256,
        size: PositiveInt = 50_000,
    ) -> None:
        coordinates = density(1, rng.generator("points", "coordinates"))[0].shape[1]
        if channels != coordinates or resolution:
            what = f"dataset.channels={channels} and dataset.resolution={[*resolution]} do not fit these points"
            raise ConfigError(two_lines(what, f"set dataset.channels={coordinates} and dataset.resolution=[]"))
        self.density = density
        self.shape = (channels,)
        self.classes = classes
        self.batch_size = batch_size
        self.size = size
        self.class_names: tuple[str, ...] = ()
        self.described: Mapping[str, Any] = {}
        self.provides: frozenset[str] = frozenset()
        self.place(torch.device("cpu"), seed=0)

    def __len__(self) -> int:
        return self.size

    def place(self, device: torch.device, seed: int, rank: int = 0, world: int = 1) -> None:
        """Fixes what batches depend on."""
        self.device, self.seed, self.rank, self.world = device, seed, rank, world

    def batch(self, draw: int) -> Batch:
        """Batch `draw` of this rank: points `[batch_size / world, D]`."""
        points, label = self._share("points", draw)
        return Batch(label.to(self.device), points.to(self.device))

    def sampling(self, draw: int) -> Batch:
        """The labels of equally many other points; without classes no point need be drawn for them."""
        if not self.classes:
            return Batch(torch.zeros(self.batch_size // self.world, dtype=torch.int64, device=self.device))
        return Batch(self._share("sampling", draw)[1].to(self.device))

    def _share(self, use: str, draw: int) -> tuple[Tensor, Tensor]:
        """This rank's rows of the points and labels that are drawn for all."""
        points, component = self.density(self.batch_size, rng.generator(self.seed, use, draw, 0))
        label = component if self.classes else torch.zeros_like(component)
        share = self.batch_size // self.world
        mine = slice(self.rank * share, (self.rank + 1) * share)
        return points[mine], label[mine]

    def previewed(self, n: int) -> Batch:
        """`n` points, always the same."""
        points, component = self.density(n, rng.generator("points", "preview"))
        return Batch(component if self.classes else torch.zeros_like(component), points)

    def pictures(self) -> int:
        """None to draw from."""
        return 0

    def called(self, i: int) -> str:
        return str(i)

    def given_how(self) -> str:
        return ""

    def example(self, i: int) -> Batch:
        raise IndexError("points give no pictures to draw from")

    def quantised(self, n: int) -> Tensor:
        """The same points: they are measured as they are."""
        return self.previewed(n).real

    def reference(self, seed: int) -> tuple[Tensor, Tensor]:
        """`size` points and their components, as a reference for metrics; a function of the seed."""
        return self.density(self.size, rng.generator(seed, "reference"))

    def fingerprint(self) -> str:
        """sha256 of a fixed draw, which changes when the density does."""
        return hashlib.sha256(self.quantised(1024).numpy().tobytes()).hexdigest()
