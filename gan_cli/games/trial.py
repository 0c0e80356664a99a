"""Plays an update of each player on a few samples, and says which part breaks its contract.

The objectives are those of training. The parts are watched while they are used: what one gives is looked at as it gives
it, and an error is that of the part at work.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gan_cli.augment.base import Augment
from gan_cli.auxiliaries import Weighting
from gan_cli.errors import Refused
from gan_cli.games.base import Game
from gan_cli.games.contract import FAULTS, Contract, shown, wrong
from gan_cli.losses import Loss
from gan_cli.penalties import Constraint
from gan_cli.types import Batch, Round, Term

DECLARES = "what it reads of the round it declares in `needs`; see docs/extending.md"


class Kind(NamedTuple):
    """A kind of part that is called within an objective."""

    words: str
    remedy: str
    fault: Callable[[Any, tuple[Any, ...], Any], str]  # (part, arguments, what it gave) -> what is wrong


def _of_term(term: Term, given: tuple[Any, ...], gave: Any) -> str:
    current: Round = given[0]
    judged = current.fake_output.logits
    sizes = {1, len(current.fake), judged.numel(), len(judged) * (judged[0].numel() if judged.ndim == 2 else 1)}
    return wrong(gave, lambda got: got.numel() in sizes, follows=True)


def _of_weighting(weighting: Weighting, given: tuple[Any, ...], gave: Any) -> str:
    values: Tensor = given[0]
    return wrong(gave, lambda got: got.shape == values.shape or got.numel() == 1, follows=False)


def _of_augment(augment: Augment, given: tuple[Any, ...], gave: Any) -> str:
    samples: Tensor = given[0]
    rows = None if augment.merges_samples else len(samples)
    fits: Callable[[Tensor], bool] = lambda got: got.ndim == samples.ndim and rows in (None, len(got))  # noqa: E731
    return wrong(gave, fits, follows=samples.requires_grad)


KINDS: Mapping[type[nn.Module], Kind] = {
    Term: Kind("forward(round) -> float32 [N], one value a sample or judgement, or one in all []", DECLARES, _of_term),
    Weighting: Kind("forward(values, round) -> float32 factors of the shape of values", DECLARES, _of_weighting),
    Augment: Kind(
        "forward(samples) -> float32 samples, as many",
        "gradients pass through it; one that joins samples says merges_samples = True",
        _of_augment,
    ),
}


@contextmanager
def watched(members: Mapping[str, nn.Module], n: int) -> Iterator[None]:
    """Looks at what each part gives while it is used. Raises Incompatible."""
    at_work: list[Contract] = []

    def watch(name: str, part: nn.Module, kind: Kind) -> Iterator[Any]:
        contract = Contract(f"{name} ({type(part).__name__})", kind.words, kind.remedy, n)
        yield part.register_forward_pre_hook(lambda part, given: at_work.append(contract))
        yield part.register_forward_hook(  # which returns None, and so changes nothing
            lambda part, given, gave: at_work.pop().check(kind.fault(part, given, gave))
        )

    with ExitStack() as hooks:
        for name, part in members.items():
            for kind in (kind for base, kind in KINDS.items() if isinstance(part, base)):
                for hook in watch(name, part, kind):
                    hooks.callback(hook.remove)
        try:
            yield
        except Refused:
            raise
        except FAULTS as error:
            if not at_work:
                raise
            raise at_work[-1].explained(error) from error


def check_loss(loss: Loss, logits: Tensor) -> None:
    """Raises Incompatible unless the loss gives a value for each logit."""
    fake = logits.detach().requires_grad_()
    real = (fake + torch.randn_like(fake)).detach().requires_grad_()
    compared = real if loss.needs_real_logits else None
    follows = not loss.needs_auxiliary
    asked: tuple[tuple[str, Callable[[], Any], bool], ...] = (
        ("discriminator(real, fake)", lambda: float(loss.discriminator_weight) * loss.discriminator(real, fake), True),
        ("generator(fake, real=None)", lambda: float(loss.weight) * loss.generator(fake, compared), follows),
        ("score(logits)", lambda: loss.score(fake), False),
    )
    remedy = "`real` is given to generator only where needs_real_logits = True; means are taken later"
    for call, ask, pulls in asked:
        words = f"{call} -> float32 {list(logits.shape)}, one value for each logit,"
        contract = Contract(f"loss ({type(loss).__name__})", words, remedy, len(logits))
        contract.check(wrong(contract.ask(ask), lambda got: got.numel() == logits.numel() and got.ndim > 0, pulls))
    targets = loss.targets
    pair = isinstance(targets, tuple | list) and len(targets) == 2 and all(isinstance(t, int | float) for t in targets)
    if targets is not None and not pair:
        contract = Contract(f"loss ({type(loss).__name__})", "targets = None or (real, fake)", remedy, len(logits))
        raise contract.breach(f"it is {shown(targets)}")


def check_term(name: str, term: Term) -> None:
    """Raises Incompatible unless it has the numbers that it is applied with."""
    words = "a weight, a number or a ramp, and an interval, a whole number,"
    contract = Contract(f"{name} ({type(term).__name__})", words, "super().__init__(weight, interval) sets them", 1)
    contract.ask(lambda: (float(term.weight), 1 // term.interval))


def check_constraint(name: str, constraint: Constraint, player: nn.Module) -> None:
    """Raises Incompatible unless it can be enforced on a copy of the player."""
    words, remedy = "project(player), which changes its weights in place,", "player is the discriminator"
    contract = Contract(f"{name} ({type(constraint).__name__})", words, remedy, 1)
    other = copy.deepcopy(player)
    contract.ask(lambda: constraint.project(other))
    if not all(parameter.isfinite().all() for parameter in other.parameters()):
        raise contract.breach("it gave weights that are infinite or not a number")


def play(game: Game, batch: Batch) -> None:
    """An update of each player without its last step: every term is computed, no gradient is. Raises Incompatible."""
    for phase in game.phases():
        for name, player in game.players().items():
            player.requires_grad_(name in phase.builds | {phase.player})
        phase.objective(batch if phase.uses_real else Batch(batch.label, None, None), 0)
