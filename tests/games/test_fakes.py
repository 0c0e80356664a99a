"""Games as they are taught: who moves first, how often, and on whose fakes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_cli.auxiliaries import PathLength
from gan_cli.errors import Refused
from gan_cli.games.adversarial import Adversarial
from gan_cli.games.parts import Parts
from gan_cli.games.unrolled import Unrolled
from gan_cli.losses import NonSaturating
from gan_cli.networks import mlp
from gan_cli.penalties import R1
from gan_cli.priors import Normal
from gan_cli.training.schedules import Constant
from gan_cli.training.trainer import Trainer
from gan_cli.types import Batch

N = 8


class Numbers:
    """The draw-th batch is N points around (draw, draw); it counts how many were drawn."""

    classes, batch_size, shape, provides = 0, N, (2,), frozenset[str]()

    def __init__(self) -> None:
        self.drawn: list[int] = []

    def __len__(self) -> int:
        return 100

    def place(self, device: torch.device, seed: int, rank: int = 0, world: int = 1) -> None: ...

    def points(self, draw: int) -> Tensor:
        return draw + torch.linspace(-1, 1, 2 * N).view(N, 2)

    def batch(self, draw: int) -> Batch:
        self.drawn.append(draw)
        return Batch(torch.zeros(N, dtype=torch.int64), self.points(draw))

    def sampling(self, draw: int) -> Batch:
        return Batch(torch.zeros(N, dtype=torch.int64))


def game(kind: type[Adversarial] = Adversarial, parts: dict[str, Any] | None = None, **settings: Any) -> Adversarial:
    torch.manual_seed(0)
    networks = mlp.Generator(4, 2, (), (8,), norm="batch"), mlp.Discriminator(2, (), (8,))
    return kind(Parts(*networks, NonSaturating(), Normal(4), **(parts or {})), **settings)


def trainer(played: Adversarial, **settings: Any) -> Trainer:
    optimizers = {name: torch.optim.SGD(player.parameters(), 0.1) for name, player in played.players().items()}
    trainer = Trainer(played, Numbers(), optimizers, 3, Constant(), max_steps=9, device="cpu", **settings)  # type: ignore[arg-type]
    trainer.place()
    return trainer


def descend(player: nn.Module, loss: Tensor) -> None:
    gradients = torch.autograd.grad(loss, list(player.parameters()), retain_graph=True)
    with torch.no_grad():
        for weight, gradient in zip(player.parameters(), gradients, strict=True):
            weight -= 0.1 * gradient


def bce(logits: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def taught(g: nn.Module, d: nn.Module, latents: Tensor, real: Tensor, order: Sequence[str]) -> None:
    """One step of the loop that every course shows: one batch of fakes, both players."""
    y = torch.zeros(N, dtype=torch.int64)
    fake = g(latents, y)
    for player in order:
        if player == "discriminator":
            descend(d, bce(d(real, y).logits, 1.0) + bce(d(fake.detach(), y).logits, 0.0))
        else:
            descend(g, bce(d(fake, y).logits, 1.0))


@pytest.mark.parametrize("order", [("discriminator", "generator"), ("generator", "discriminator")])
@pytest.mark.parametrize("parts", [1, 2])
def test_reused_fakes_give_the_step_of_a_tutorial(order: tuple[str, str], parts: int) -> None:
    played = game(order=order, fakes="reused")
    by_hand = copy.deepcopy(played)
    ours = trainer(played, micro_batches=parts)
    seen: list[Tensor] = []
    played.prior.register_forward_hook(lambda module, given, latent: seen.append(latent.detach()))
    ours.step()
    assert len(seen) == parts, "one pass of the generator a step"
    if parts == 1:  # parts have statistics of their own in batch norm
        taught(by_hand.generator, by_hand.discriminator, seen[0], ours.data.points(0), order)  # type: ignore[attr-defined]
        for name, value in by_hand.state_dict().items():
            torch.testing.assert_close(played.state_dict()[name], value, msg=name)
    assert ours.data.drawn == [0]  # type: ignore[attr-defined]
    assert ours.clock.images == N


@pytest.mark.parametrize("order", [("discriminator", "generator"), ("generator", "discriminator")])
def test_only_where_the_players_meet_is_a_batch_shared(order: tuple[str, str]) -> None:
    played = game(order=order, fakes="reused", critic_steps=3, generator_steps=2)
    ours = trainer(played)
    passes: list[Tensor] = []
    played.generator.register_forward_hook(lambda module, given, fake: passes.append(fake))
    ours.step()
    assert ours.updates == {"discriminator": 3, "generator": 2}
    assert len(passes) == 4
    assert (ours.clock.step, ours.clock.images) == (1, 3 * N)
    assert ours.data.drawn == [0, 1, 2], "every batch was shown to the discriminator"  # type: ignore[attr-defined]


def test_terms_of_both_players_read_the_shared_fakes() -> None:
    terms = {"penalties": {"r1": R1()}, "auxiliaries": {"path_length": PathLength(interval=2)}}
    ours = trainer(game(parts=terms, fakes="reused"))
    for _ in range(3):
        ours.step()
    ours.check_finite()


def test_nothing_of_one_step_reaches_the_next() -> None:
    """Three steps at once equal three steps with a stop in between."""
    whole = trainer(game(order=("generator", "discriminator"), fakes="reused"))
    halves = [trainer(game(order=("generator", "discriminator"), fakes="reused")) for _ in range(2)]
    for _ in range(3):
        whole.step()
    halves[0].step()
    halves[1].load_state_dict(copy.deepcopy(halves[0].state_dict()))
    for _ in range(2):
        halves[1].step()
    for name, value in whole.game.state_dict().items():
        assert torch.equal(halves[1].game.state_dict()[name], value), name


def test_the_unrolled_game_may_begin_with_the_generator() -> None:
    played = game(Unrolled, order=["generator", "discriminator"], generator_steps=2, unroll_steps=1)
    assert [(p.player, p.runs) for p in played.phases()] == [("generator", 2), ("discriminator", 1)]
    trainer(played).step()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"order": ["generator"]}, "game.order=[generator] does not name each player once"),
        ({"order": ["generator", "critic"]}, "game.order=[generator,critic]"),
        ({"fakes": "old"}, "game.fakes=old is unknown"),
    ],
)
def test_what_is_no_order_and_no_source_of_fakes(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(Refused) as refused:
        game(**settings)
    assert says in str(refused.value)
    assert len(str(refused.value).splitlines()) == 2
