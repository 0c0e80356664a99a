"""Samples by index: sample i is a function of the generator, the seed and i."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gan_cli import rng
from gan_cli.errors import Incompatible, two_lines
from gan_cli.games.base import Game
from gan_cli.networks.base import declared
from gan_cli.priors import Prior
from gan_cli.progress import tracked
from gan_cli.types import Batch

# Samples are always computed in blocks of this many, however many are asked for: not even the rounding of a matrix
# product, which may depend on the number of rows, then depends on how many samples are asked for.
BLOCK = 64


def on_demand(generator: nn.Module) -> int:
    """The classes that the generator draws on demand; 0 if it ignores labels."""
    return declared(generator).classes


def in_turn(generator: nn.Module, classes: Sequence[int] = ()) -> Tensor:
    """The labels that samples take in turn: the classes asked for, all of them, or 0 if it ignores labels."""
    return torch.tensor(list(classes) or range(max(1, on_demand(generator))))


@contextmanager
def seeded(device: torch.device, *parts: int | str) -> Iterator[None]:
    """Random numbers that depend on `parts` alone; global random state is kept."""
    with rng.kept(device):
        torch.manual_seed(rng.mix(*parts))
        yield


@dataclass(frozen=True)
class Draws:
    """The inputs of sample i: a function of the seed and i.

    Attributes:
        seed: For the latents, and everything else drawn at random on the way.
        labels: int64, taken in turn: sample i has `labels[i mod len(labels)]`.
        device: Where the samples are computed.
        given: What the generator is given, `[M, C, H, W]`, taken in turn too; then a sample is computed by itself, for
            such images may be large.
    """

    seed: int
    labels: Tensor
    device: torch.device
    given: Tensor | None = None

    @classmethod
    def of(
        cls,
        generator: nn.Module,
        seed: int,
        device: torch.device,
        classes: Sequence[int] = (),
        given: Tensor | None = None,
    ) -> Draws:
        """With the labels `classes` in turn; with all of the generator's classes if none are named."""
        return cls(seed, in_turn(generator, classes), device, given)

    @property
    def rows(self) -> int:
        """Samples that are computed together."""
        return BLOCK if self.given is None else 1

    def batch(self, block: int) -> Batch:
        """The sampling batch of `rows` rows from which samples `block * rows` and on are drawn."""
        index = torch.arange(block * self.rows, (block + 1) * self.rows)
        given = None if self.given is None else self.given[index % len(self.given)].to(self.device)
        return Batch(self.labels[index % len(self.labels)].to(self.device), given=given)

    def seeded(self, *parts: int | str) -> AbstractContextManager:
        """Random numbers that depend on these draws' seed and `parts`."""
        return seeded(self.device, self.seed, *parts)


Computed = tuple[Tensor, ...]  # what is computed of one block of samples
Blocks = Generator[Computed, None, None]
Deal = Callable[[Callable[[int], Computed], int], Blocks]  # (computes it of block k, how many) -> it, in order


def in_order(compute: Callable[[int], Computed], count: int) -> Blocks:
    """Blocks 0 ... count - 1, one after the other."""
    yield from map(compute, range(count))


@torch.no_grad()
def made(
    game: Game, generator: nn.Module, draws: Draws, n: int, make: Callable[[Tensor], Computed], deal: Deal = in_order
) -> Generator[tuple[Computed, Tensor], None, None]:
    """What `make` makes of samples 0 ... n - 1, block by block, and their labels, on the device of the draws.

    `deal` has it computed, here or in several processes, and gives it in order.
    """

    def compute(block: int) -> Computed:
        batch = draws.batch(block)
        with torch.no_grad(), draws.seeded("samples", block):
            samples = game.sample(generator, batch)
        return make(samples[: n - block * draws.rows])

    training = generator.training
    generator.eval()
    try:
        for block, found in enumerate(deal(compute, -(-n // draws.rows))):
            yield found, draws.batch(block).label[: n - block * draws.rows]
    finally:
        generator.train(training)


def blocks(
    game: Game, generator: nn.Module, draws: Draws, n: int, deal: Deal = in_order
) -> Iterator[tuple[Tensor, Tensor]]:
    """Samples 0 ... n - 1 in order and their labels, on the device of the draws, in pieces."""
    for (samples,), label in made(game, generator, draws, n, lambda samples: (samples,), deal):
        yield samples.to(draws.device), label


def draw(game: Game, generator: nn.Module, draws: Draws, n: int) -> Tensor:
    """Samples 0 ... n - 1 as one tensor on the CPU: `[n, C, H, W]` in [-1, 1], or points `[n, D]`."""
    return torch.cat([block.cpu() for block, _ in blocks(game, generator, draws, n)])


@torch.no_grad()
def standing_statistics(game: Game, generator: nn.Module, draws: Draws, passes: int) -> None:
    """Sets the batch-norm statistics of `generator` to their mean over `passes` blocks of samples (arXiv 1809.11096).

    Those from training belong to weights that have changed since, or are averages of such statistics, and to the
    prior of training, whereas sampling may use a truncated one. Nothing else in the generator changes.

    Raises:
        Incompatible: It has no batch norm.
    """
    norms = [m for m in generator.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not norms:
        what = "standing_statistics: this generator has no batch norm whose statistics could be recomputed"
        raise Incompatible(two_lines(what, "leave it out"))
    training, momenta = generator.training, [norm.momentum for norm in norms]
    generator.eval()
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # all passes have equal weight
            norm.train()
        for block in tracked(range(passes), passes, "recomputing the statistics of batch norm"):
            with draws.seeded("statistics", block):
                game.sample(generator, draws.batch(block))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        generator.train(training)


@torch.no_grad()
def latents(prior: Prior, draws: Draws, n: int) -> tuple[Tensor, Tensor]:
    """The latents `[n, Z]` and labels `[n]` from which `blocks` draws samples 0 ... n - 1."""
    drawn, labels = [], []
    for block in range(-(-n // BLOCK)):
        batch = draws.batch(block)
        labels.append(batch.label)
        with draws.seeded("samples", block):
            drawn.append(prior.sample(batch))
    return torch.cat(drawn)[:n], torch.cat(labels)[:n]


@torch.no_grad()
def in_blocks(function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """`function` of inputs with one row per sample, on the CPU, computed in blocks of exactly `BLOCK` rows.

    Noise that a network draws itself is the same in every block.
    """
    n = len(inputs[0])
    rows = torch.arange(n + -n % BLOCK, device=inputs[0].device) % n
    outputs = []
    for index in tracked(rows.split(BLOCK), len(rows), "drawing", len):
        with seeded(index.device, "in blocks"):
            outputs.append(function(*(values[index] for values in inputs)).cpu())
    return torch.cat(outputs)[:n]


@torch.no_grad()
def one_by_one(function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """`function` of each row of the inputs by itself, on the CPU.

    Noise that a network draws itself is the same for every row: what differs between them are the inputs alone.
    """
    outputs = []
    rows = zip(*(values.split(1) for values in inputs), strict=True)
    for row in tracked(rows, len(inputs[0]), "drawing"):
        with seeded(row[0].device, "one by one"):
            outputs.append(function(*row).cpu())
    return torch.cat(outputs)


@torch.no_grad()
def steps_along_paths(
    game: Game, generator: nn.Module, draws: Draws, n: int, epsilon: float
) -> Iterator[tuple[Tensor, Tensor]]:
    """`n` pairs of samples at latents `epsilon` apart, at random points of the great circles between two latents, drawn
    as those of samples are: without the prior's tails where it is truncated.

    Yields float images `[<= BLOCK, C, H, W]` in pieces.
    """
    for block in range(-(-n // BLOCK)):
        with draws.seeded("paths", block):
            batch = draws.batch(block)
            start, end = game.prior.sample(batch), game.prior.sample(batch)
            t = torch.rand(BLOCK, 1, device=draws.device)
            pair = []
            for at in (t, t + epsilon):
                torch.manual_seed(rng.mix(draws.seed, "noise", block))  # both get the same noise within the generator
                pair.append(generator(slerp(start, end, at), batch.label)[: n - block * BLOCK])
        yield pair[0], pair[1]


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Spherical interpolation of latents `[N, Z]` at `t` `[N, 1]`: along the great circle, lengths interpolated too.

    Collinear latents do not define a unique great circle: between them, interpolation is linear.
    """
    length_a, length_b = a.norm(dim=1, keepdim=True), b.norm(dim=1, keepdim=True)
    angle = ((a * b).sum(1, keepdim=True) / (length_a * length_b)).clamp(-1, 1).acos()
    direction = ((1 - t) * angle).sin() * a / length_a + (t * angle).sin() * b / length_b
    circle = direction / angle.sin().clamp_min(1e-8) * ((1 - t) * length_a + t * length_b)
    return torch.where(angle.sin() < 1e-3, torch.lerp(a, b, t), circle)
