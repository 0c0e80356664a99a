"""Tries a game once before its first step, and says how its parts break their contracts."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gan_cli import rng
from gan_cli.errors import Incompatible, TooFew, two_lines
from gan_cli.games import trial
from gan_cli.games.base import Game
from gan_cli.games.contract import Contract, first_line, named, shown, wrong
from gan_cli.losses import Loss
from gan_cli.penalties import Constraint
from gan_cli.types import Batch, DiscriminatorOutput, Need, Term

NETWORKS = "latents and samples are float32; labels are int64, 0 where there are no classes"
PIXELS = 10.0  # no network that begins to draw in [-1, 1] gives so much, and nothing below 0


@contextmanager
def untouched(game: nn.Module, device: torch.device) -> Iterator[None]:
    """Restores buffers, what is trained, and all random states afterwards."""
    kept = [
        (module, name, buffer, buffer.clone())
        for module in game.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    trained = [(parameter, parameter.requires_grad) for parameter in game.parameters()]
    python, numpy = random.getstate(), np.random.get_state()
    with rng.kept(device), torch.no_grad():
        try:
            yield
        finally:
            for module, name, buffer, value in kept:
                module._buffers[name] = buffer
                buffer.copy_(value)
            for parameter, flag in trained:
                parameter.requires_grad_(flag)
            random.setstate(python)
            np.random.set_state(numpy)


def rows(real: Batch, n: int, device: torch.device) -> Batch:
    """`n` rows like those of `real`, which come again where there are fewer."""
    index = torch.arange(n) % len(real)
    columns: list[Any] = [None if value is None else value[index].to(device) for value in vars(real).values()]
    return Batch(*columns)


def trains(part: nn.Module) -> bool:
    return torch.is_grad_enabled() and any(parameter.requires_grad for parameter in part.parameters())


def latents(game: Game, batch: Batch) -> Tensor:
    """What the prior gives the generator. Raises Incompatible."""
    prior, n = game.prior, len(batch)
    if Need.GIVEN in prior.provides:
        try:
            given: Tensor = prior(batch)
        except ValueError as error:
            what = f"prior ({type(prior).__name__}): {first_line(error)}"
            raise Incompatible(two_lines(what, "use prior=normal, or data that give images")) from error
        return given
    words = f"forward(batch) -> latents float32 [N, {prior.latent_dim}]"
    remedy = "N is len(batch), and the other number is model.latent_dim; sample(batch) gives the like"
    contract = Contract(f"prior ({type(prior).__name__})", words, remedy, n)
    asked: tuple[Callable[[Batch], Tensor], ...] = (prior.sample, prior)
    for ask in asked:
        latent = contract.ask(partial(ask, batch))
        contract.check(wrong(latent, lambda got: got.shape == (n, prior.latent_dim), follows=False))
    return latent


def draws(game: Game, generator: nn.Module, real: Batch, n: int, compares: bool) -> tuple[Batch, Tensor]:
    """`n` samples of a generator for images like `real`, and the batch that they are drawn for.

    Raises:
        Incompatible, TooFew: As `rehearse`.
    """
    batch = rows(real, n, next(game.parameters()).device)
    shape = batch.real.shape[1:]
    batch = batch if compares else Batch(batch.label, None, batch.given)
    latent = latents(game, batch)
    takes = (
        named(latent.shape[1:])
        if Need.GIVEN in game.prior.provides
        else f"latent [N, {', '.join(map(str, latent.shape[1:]))}]"
    )
    words = f"forward({takes}, label [N]) -> {named(shape)}"
    contract = Contract(f"model.generator ({type(generator).__name__})", words, NETWORKS, n)
    samples: Tensor = contract.ask(lambda: generator(latent, batch.label))
    contract.check(wrong(samples, lambda got: got.shape == (n, *shape), trains(generator)))
    if len(shape) == 3 and samples.min() >= 0 and samples.max() > PIXELS:
        raise contract.breach(f"it gave values from {samples.min():.3g} to {samples.max():.3g}")
    return batch, samples


def judges(game: Game, seen: Tensor, batch: Batch) -> DiscriminatorOutput:
    """What the discriminator says of samples as it sees them. Raises Incompatible, TooFew."""
    network, n = game.players()["discriminator"], len(seen)
    behind = "".join(f" after augment.{name}" for name, _ in game.augmentations())
    words = f"forward({named(seen.shape[1:])}{behind}, label [N]) -> DiscriminatorOutput, or its logits [N]"
    contract = Contract(f"model.discriminator ({type(network).__name__})", words, NETWORKS, n)
    answer = contract.ask(lambda: network(seen, batch.label))
    if not isinstance(answer, DiscriminatorOutput | Tensor):
        raise contract.breach(f"it gave {shown(answer)}")
    output = DiscriminatorOutput.of(answer)
    contract.check(wrong(output.logits, lambda got: got.shape[:1] == (n,), trains(network), "its logits are"))
    classes = output.class_logits
    if classes is not None and not (isinstance(classes, Tensor) and classes.ndim == 2 and len(classes) == n):
        raise contract.breach(f"its class_logits are {shown(classes)} and not [N, classes]")
    features = output.features
    if not isinstance(features, tuple | list) or not all(isinstance(f, Tensor) and len(f) == n for f in features):
        raise contract.breach(f"its features are {shown(features)} and not a tuple of tensors [N, ...]")
    return output


def rehearse(
    game: Game,
    loss: Loss,
    members: Mapping[str, nn.Module],
    real: Batch,
    n: int,
    compares: bool,
) -> None:
    """Draws `n` samples like those of `real`, judges them and plays an update of each player, as training would;
    changes nothing.

    Args:
        members: The terms, weightings, constraints and augmentations, as the config names them.
        compares: Whether the generator's phase reads real samples.

    Raises:
        Incompatible: A part does not take or give what the game expects of it.
        TooFew: `n` samples at once are too few for its batch norm.
    """
    device = next(game.parameters()).device
    with untouched(game, device), torch.enable_grad(), trial.watched(members, n):
        batch, samples = draws(game, game.players()["generator"], real, n, compares)
        output = judges(game, game.seen(samples, batch), batch)
        trial.check_loss(loss, output.logits)
        for name, part in members.items():
            if isinstance(part, Term):
                trial.check_term(name, part)
                part.reads(output)
            if isinstance(part, Constraint):
                trial.check_constraint(name, part, game.players()["discriminator"])
        trial.play(game, rows(real, n, device))


def rehearse_in_parts(
    game: Game, loss: Loss, members: Mapping[str, nn.Module], real: Batch, part: int, compares: bool = False
) -> None:
    """Rehearses with the fewest samples, or with a whole `part` of a batch if those do not suffice.

    Raises:
        Incompatible: As for `rehearse`.
    """
    few = min(part, 2 * game.least().samples)
    try:
        rehearse(game, loss, members, real, few, compares)
    except TooFew:
        if few == part:
            raise
        rehearse(game, loss, members, real, part, compares)
