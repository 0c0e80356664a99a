"""Samples by index: sample i is a function of the generator, the seed and i."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gan_cli import rng
from gan_cli.errors import Incompatible
from gan_cli.types import Batch, Game, Prior

# Samples are always computed in blocks of this many, whatever is asked for: not even the rounding of a matrix
# product, which may depend on the number of rows, then depends on how many samples were wanted.
BLOCK = 64


def on_demand(generator: nn.Module) -> int:
    """The classes that the generator draws on demand; 0 when labels say nothing to it."""
    return int(getattr(generator, "classes", 0))


def in_turn(generator: nn.Module, classes: Sequence[int] = ()) -> Tensor:
    """The labels that samples take in turn: the classes asked for, all of them, or 0 where labels say nothing."""
    return torch.tensor(list(classes) or range(max(1, on_demand(generator))))


@contextmanager
def seeded(device: torch.device, *parts: int | str) -> Iterator[None]:
    """Random numbers that depend on `parts` alone; global random state is kept."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(rng.mix(*parts))
        yield


def _labels(turn: Tensor, block: int, device: torch.device) -> Tensor:
    return turn[torch.arange(block * BLOCK, (block + 1) * BLOCK) % len(turn)].to(device)


@torch.no_grad()
def blocks(
    game: Game, generator: nn.Module, seed: int, n: int, device: torch.device, classes: Sequence[int] = ()
) -> Iterator[tuple[Tensor, Tensor]]:
    """Samples 0 ... n - 1 in order and their labels, on `device`, in pieces of up to `BLOCK`.

    Sample i has the label `classes[i mod len(classes)]`; all classes take turns when none are named. The generator is
    used in evaluation mode and left in the mode in which it came; global random state is kept.
    """
    training = generator.training
    turn = in_turn(generator, classes)
    generator.eval()
    try:
        for block in range(-(-n // BLOCK)):
            label = _labels(turn, block, device)
            with seeded(device, seed, "samples", block):
                samples = game.sample(generator, Batch(label))
            left = n - block * BLOCK
            yield samples[:left], label[:left]
    finally:
        generator.train(training)


def draw(
    game: Game, generator: nn.Module, seed: int, n: int, device: torch.device, classes: Sequence[int] = ()
) -> Tensor:
    """Samples 0 ... n - 1 as one tensor on the CPU: `[n, C, H, W]` in [-1, 1], or points `[n, D]`."""
    return torch.cat([block.cpu() for block, _ in blocks(game, generator, seed, n, device, classes)])


@torch.no_grad()
def standing_statistics(game: Game, generator: nn.Module, seed: int, passes: int, device: torch.device) -> None:
    """Sets the batch-norm statistics of `generator` to their mean over `passes` blocks of samples (arXiv 1809.11096).

    Those of training were taken of weights that have moved since, or are averages of such; and they belong to the
    prior of training, where sampling may use a truncated one. Nothing else of the generator changes.

    Raises:
        Incompatible: It has no batch norm.
    """
    norms = [m for m in generator.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not norms:
        raise Incompatible("this generator has no batch norm whose statistics could be computed anew: leave it out")
    training, momenta = generator.training, [norm.momentum for norm in norms]
    turn = in_turn(generator)
    generator.eval()
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # all passes count alike
            norm.train()
        for block in range(passes):
            with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
                torch.manual_seed(rng.mix(seed, "statistics", block))
                game.sample(generator, Batch(_labels(turn, block, device)))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        generator.train(training)


@torch.no_grad()
def latents(prior: Prior, turn: Tensor, seed: int, n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The latents `[n, Z]` and labels `[n]` from which `blocks` draws samples 0 ... n - 1, labels taken in `turn`."""
    drawn, labels = [], []
    for block in range(-(-n // BLOCK)):
        labels.append(_labels(turn, block, device))
        with seeded(device, seed, "samples", block):
            drawn.append(prior.sample(Batch(labels[-1])))
    return torch.cat(drawn)[:n], torch.cat(labels)[:n]


@torch.no_grad()
def in_blocks(function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """`function` of inputs that have one row a sample, on the CPU, computed in blocks of exactly `BLOCK` rows.

    What a network draws for itself is the same in every block.
    """
    n = len(inputs[0])
    rows = torch.arange(n + -n % BLOCK, device=inputs[0].device) % n
    outputs = []
    for index in rows.split(BLOCK):
        with seeded(index.device, "in blocks"):
            outputs.append(function(*(values[index] for values in inputs)).cpu())
    return torch.cat(outputs)[:n]


@torch.no_grad()
def steps_along_paths(
    game: Game, generator: nn.Module, seed: int, n: int, epsilon: float, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """`n` pairs of samples at latents `epsilon` apart, at random places of the great circles between two latents.

    Needs a game with a `prior` of latents; yields float images `[<= BLOCK, C, H, W]` in pieces.
    """
    prior: Callable[[Batch], Tensor] = game.prior  # type: ignore[attr-defined]
    turn = in_turn(generator)
    for block in range(-(-n // BLOCK)):
        with seeded(device, seed, "paths", block):
            batch = Batch(_labels(turn, block, device))
            start, end = prior(batch), prior(batch)
            t = torch.rand(BLOCK, 1, device=device)
            pair = []
            for at in (t, t + epsilon):
                torch.manual_seed(rng.mix(seed, "noise", block))  # both meet the same noise within the generator
                pair.append(generator(slerp(start, end, at), batch.label)[: n - block * BLOCK])
        yield pair[0], pair[1]


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Spherical interpolation of latents `[N, Z]` at `t` `[N, 1]`: along the great circle, lengths interpolated too.

    Latents in one line through 0 have no one great circle between them: there the way is straight.
    """
    length_a, length_b = a.norm(dim=1, keepdim=True), b.norm(dim=1, keepdim=True)
    angle = ((a * b).sum(1, keepdim=True) / (length_a * length_b)).clamp(-1, 1).acos()
    direction = ((1 - t) * angle).sin() * a / length_a + (t * angle).sin() * b / length_b
    circle = direction / angle.sin().clamp_min(1e-8) * ((1 - t) * length_a + t * length_b)
    return torch.where(angle.sin() < 1e-3, torch.lerp(a, b, t), circle)
