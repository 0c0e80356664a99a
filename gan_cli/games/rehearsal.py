"""Tries a game once before its first step, and says how networks break their contract."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from gan_cli.errors import Incompatible, Refused, TooFew
from gan_cli.games.base import Game
from gan_cli.types import Batch, DiscriminatorOutput, Need

T = TypeVar("T")
ONE_VALUE = "Expected more than 1 value per channel"  # torch's message from batch norm


@contextmanager
def untouched(game: nn.Module, device: torch.device) -> Iterator[None]:
    """Restores buffers and all random states afterwards."""
    kept = [
        (module, name, buffer, buffer.clone())
        for module in game.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.no_grad():
        try:
            yield
        finally:
            for module, name, buffer, value in kept:
                module._buffers[name] = buffer
                buffer.copy_(value)
            random.setstate(python)
            np.random.set_state(numpy)


def named(shape: Sequence[int]) -> str:
    """Samples of `shape`, as described in a message."""
    sizes = ", ".join(map(str, ("N", *shape)))
    return f"images [{sizes}] in [-1, 1]" if len(shape) == 3 else f"points [{sizes}]"


def shown(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    return f"a {type(value).__name__}"


class Contract:
    """One network's contract, in words; a breach raises Incompatible."""

    def __init__(self, network: str, part: nn.Module, takes: str, gives: str, n: int) -> None:
        self.name = f"model.{network} ({type(part).__name__})"
        self.words = f"{self.name}: forward({takes}, label [N]) -> {gives} is expected"
        self.n = n

    def breach(self, how: str) -> Incompatible:
        remedy = "latents and samples are float32; labels are int64, 0 where there are no classes"
        return Incompatible(f"{self.words}; for N = {self.n} {how}\n  {remedy}")

    def ask(self, question: Callable[[], T]) -> T:
        """The network's output. Raises Incompatible for its errors, except when memory runs out."""
        try:
            return question()
        except (MemoryError, Refused):  # a network of ours says itself what is wrong
            raise
        except (TypeError, ValueError, RuntimeError, LookupError, AttributeError, AssertionError) as error:
            if ONE_VALUE in str(error):
                raise TooFew(f"batch norm in {self.name} cannot work with {self.n} samples at once") from error
            if "memory" in str(error):
                raise
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise self.breach(f"it failed: {first}") from error


def draws(game: Game, generator: nn.Module, real: Batch, n: int, compares: bool) -> tuple[Batch, Tensor]:
    """`n` samples of a generator for images like `real`, and the batch that they are drawn for.

    Raises:
        Incompatible, TooFew: As `rehearse`.
    """
    device = next(game.parameters()).device
    given = None if real.given is None else torch.zeros(n, *real.given.shape[1:], device=device)
    shape = tuple(real.real.shape[1:])
    label = torch.zeros(n, dtype=torch.int64, device=device)
    batch = Batch(label, torch.zeros(n, *shape, device=device) if compares else None, given)
    try:
        latent = game.prior(batch)
    except ValueError as error:
        raise Incompatible(f"prior ({type(game.prior).__name__}): {error}") from error
    takes = (
        named(latent.shape[1:])
        if Need.GIVEN in game.prior.provides
        else f"latent [N, {', '.join(map(str, latent.shape[1:]))}]"
    )
    contract = Contract("generator", generator, takes, named(shape), n)
    samples = contract.ask(lambda: generator(latent, label))
    if not isinstance(samples, Tensor) or not samples.is_floating_point() or samples.shape != (n, *shape):
        raise contract.breach(f"it gave {shown(samples)}")
    return batch, samples


def rehearse(game: Game, real: Batch, n: int, compares: bool = False) -> DiscriminatorOutput:
    """Draws `n` samples like those of `real` and judges them, as training would; changes nothing. Returns the
    judgement.

    Args:
        compares: Whether the generator's phase reads real samples.

    Raises:
        Incompatible: A network does not take or give what the game expects of it.
        TooFew: `n` samples at once are too few for its batch norm.
    """
    generates, judges = game.players()["generator"], game.players()["discriminator"]
    with untouched(game, next(game.parameters()).device):
        batch, samples = draws(game, generates, real, n, compares)
        seen = game.seen(game.prior.beside(samples, batch))
        gives = "DiscriminatorOutput, or its logits [N]"
        discriminator = Contract("discriminator", judges, named(seen.shape[1:]), gives, len(seen))
        answer = discriminator.ask(lambda: judges(seen, batch.label))
        if not isinstance(answer, DiscriminatorOutput | Tensor):
            raise discriminator.breach(f"it gave {shown(answer)}")
        output = DiscriminatorOutput.of(answer)
        logits = output.logits
        if not isinstance(logits, Tensor) or not logits.is_floating_point() or logits.shape[:1] != (len(seen),):
            raise discriminator.breach(f"its logits are {shown(logits)}")
        return output


def rehearse_in_parts(game: Game, real: Batch, part: int, compares: bool = False) -> DiscriminatorOutput:
    """Rehearses with the fewest samples, or with a whole `part` of a batch if those do not suffice.

    Raises:
        Incompatible: As for `rehearse`.
    """
    few = min(part, 2 * game.least().samples)
    try:
        return rehearse(game, real, few, compares)
    except TooFew:
        if few == part:
            raise
        return rehearse(game, real, part, compares)
