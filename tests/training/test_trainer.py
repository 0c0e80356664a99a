"""The trainer's promises: who moves when, what a step depends on, when it stops."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gan_cli.augment.base import Augment
from gan_cli.data.points import Points, ring
from gan_cli.errors import NonFinite
from gan_cli.games.adversarial import Adversarial
from gan_cli.games.parts import Parts
from gan_cli.losses import Loss, NonSaturating, Wasserstein
from gan_cli.networks import mlp
from gan_cli.penalties import R1, LeCam, WeightClipping
from gan_cli.priors import Normal
from gan_cli.store.run import Run
from gan_cli.training.runtime import StopRequest
from gan_cli.training.schedules import Constant, Linear
from gan_cli.training.session import Session
from gan_cli.training.trainer import Trainer
from gan_cli.types import Clock


def trainer(
    loss: Loss | None = None, penalties: Any = None, lr: float = 1e-2, game: Any = None, **settings: Any
) -> Trainer:
    torch.manual_seed(0)
    critic_steps = settings.pop("critic_steps", 1)
    schedule = settings.pop("schedule", Constant())
    networks = mlp.Generator(2, 2, (), (8,)), mlp.Discriminator(2, (), (8,))
    game = game or Adversarial(
        Parts(*networks, loss or NonSaturating(), Normal(2), penalties or {}), critic_steps=critic_steps
    )
    optimizers = {name: torch.optim.SGD(player.parameters(), lr) for name, player in game.players().items()}
    built = Trainer(
        game, Points(ring(), batch_size=8), optimizers, 0, schedule, **{"max_steps": 4, "device": "cpu", **settings}
    )
    built.place()
    return built


def fit(trainer: Trainer, stop: StopRequest | None = None) -> str:
    """A session that nobody looks at, and that writes nothing."""
    return Session(trainer, Run("nowhere")).fit(stop or StopRequest())


def snapshot(network: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in network.parameters()]


def moved(network: nn.Module, before: list[Tensor]) -> bool:
    return any(not torch.equal(p, q) for p, q in zip(network.parameters(), before, strict=True))


def test_each_phase_moves_its_own_player_only() -> None:
    t = trainer()
    batch = t.data.batch(0)
    for phase in t.game.phases():
        before = {name: snapshot(player) for name, player in t.players.items()}
        t._update(phase, batch)
        assert {name for name, old in before.items() if moved(t.players[name], old)} == {phase.player}


def test_the_clock_counts_generator_updates_and_images_shown() -> None:
    t = trainer(critic_steps=3, max_steps=2)
    assert fit(t) == "finished"
    assert (t.clock.step, t.clock.images) == (2, 2 * 3 * 8)
    assert t.updates == {"discriminator": 6, "generator": 2}


@pytest.mark.parametrize(("limits", "steps"), [({"max_images": 20}, 3), ({"max_steps": 50, "max_images": 8}, 1)])
def test_whichever_limit_comes_first(limits: dict, steps: int) -> None:
    t = trainer(**{"max_steps": None, **limits})
    fit(t)
    assert t.clock.step == steps


def test_a_limit_in_minutes_stops() -> None:
    t = trainer(max_steps=None, max_minutes=1e-6)
    assert fit(t) == "finished"
    assert t.clock.step <= 1


def test_a_run_needs_an_end() -> None:
    with pytest.raises(ValueError, match=r"trainer\.max_steps"):
        trainer(max_steps=None)


def test_micro_batches_add_up_to_the_whole_gradient() -> None:
    """For a discriminator on given fakes the gradient does not depend on how the batch is parted."""

    class Fixed(nn.Module):
        def forward(self, latent: Tensor, label: Tensor) -> Tensor:
            return torch.zeros(len(label), 2) + self.bias

        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.ones(2))

    def gradients(parts: int) -> list[Tensor]:
        torch.manual_seed(0)
        parted = Parts(Fixed(), mlp.Discriminator(2, (), (8,)), NonSaturating(), Normal(2), {"r1": R1()})
        game = Adversarial(parted)
        t = trainer(game=game, micro_batches=parts)
        t._update(t.game.phases()[0], t.data.batch(0))
        return [p.grad for p in t.players["discriminator"].parameters() if p.grad is not None]

    for whole, parted in zip(gradients(1), gradients(4), strict=True):
        torch.testing.assert_close(whole, parted)


def test_what_penalties_remember_does_not_depend_on_the_parts_of_a_batch() -> None:
    """LeCam's averages of D's logits move once an update, by its decay."""

    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.ones(2))

        def forward(self, latent: Tensor, label: Tensor) -> Tensor:
            return torch.zeros(len(label), 2) + self.bias

    def anchors(parts: int) -> list[Tensor]:
        torch.manual_seed(0)
        lecam = LeCam(weight=0.0, decay=0.5)
        parted = Parts(Fixed(), mlp.Discriminator(2, (), (8,)), NonSaturating(), Normal(2), {"lecam": lecam})
        t = trainer(game=Adversarial(parted, critic_steps=2), micro_batches=parts)
        for _ in range(3):
            t.step()
        return [lecam.anchor_real, lecam.anchor_fake]

    for whole, parted in zip(anchors(1), anchors(4), strict=True):
        assert abs(float(whole)) > 1e-3
        torch.testing.assert_close(whole, parted)


def test_batches_must_divide_evenly() -> None:
    with pytest.raises(ValueError, match=r"dataset\.batch_size=8.*trainer\.micro_batches=3"):
        trainer(micro_batches=3)


def test_a_step_does_not_depend_on_random_numbers_drawn_before_it() -> None:
    a, b = trainer(), trainer()
    for t, waste in ((a, 0), (b, 1000)):
        for _ in range(3):
            torch.rand(waste)
            t.step()
    assert all(torch.equal(x, y) for x, y in zip(a.game.parameters(), b.game.parameters(), strict=True))


def test_projection_holds_after_every_step() -> None:
    t = trainer(Wasserstein(), {"clip": WeightClipping(0.01)}, lr=1.0)
    for _ in range(3):
        t.step()
        assert max(p.abs().max().item() for p in t.players["discriminator"].parameters()) <= 0.010001


def test_a_schedule_needs_an_end_in_steps_or_images() -> None:
    with pytest.raises(ValueError, match=r"schedule=linear follows steps .* trainer\.max_minutes=1"):
        trainer(schedule=Linear(), max_steps=None, max_minutes=1)
    assert trainer(schedule=Linear(), max_steps=None, max_images=80).limits.foreseeable


def test_learning_rates_follow_the_schedule() -> None:
    t = trainer(schedule=Linear(), max_steps=4, lr=0.4)
    seen = []
    for _ in range(4):
        t.step()
        seen.append(t.optimizers["generator"].param_groups[0]["lr"])
    assert seen == pytest.approx([0.4, 0.3, 0.2, 0.1])


class Explodes(NonSaturating):
    """Not a number from the third call on."""

    calls = 0

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        self.calls += 1
        return super().generator(fake) * (float("nan") if self.calls >= 3 else 1.0)


def test_a_loss_that_is_not_finite_is_named_with_its_step() -> None:
    with pytest.raises(NonFinite, match="generator/loss became infinite or not a number at step 3"):
        fit(trainer(Explodes(), max_steps=10, log_every=5))


def test_weights_that_are_not_finite_are_named() -> None:
    t = trainer()
    with torch.no_grad():
        next(iter(t.players["generator"].parameters())).fill_(float("inf"))
    with pytest.raises(NonFinite, match=r"the weight generator\.hidden\.0\.linear\.weight"):
        t.check_finite()


class Remembers(Augment):
    """A schedule of a user's own, held by the discriminator."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Clock] = []

    def advance(self, clock: Clock) -> None:
        self.seen.append(clock)

    def forward(self, samples: Tensor) -> Tensor:
        return samples


def test_scheduled_parts_are_told_the_clock_at_every_step() -> None:
    part = Remembers()
    networks = mlp.Generator(2, 2, (), (8,)), mlp.Discriminator(2, (), (8,))
    game = Adversarial(Parts(*networks, NonSaturating(), Normal(2), augments={"a": part}))
    fit(trainer(game=game, max_steps=3))
    assert [(c.step, c.images) for c in part.seen] == [(0, 0), (1, 8), (2, 16)]


def test_bfloat16_trains_and_keeps_float32_weights() -> None:
    t = trainer(precision="bfloat16", penalties={"r1": R1()}, max_steps=3)
    fit(t)
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in t.game.parameters())
    plain = trainer(penalties={"r1": R1()}, max_steps=3)
    fit(plain)
    assert any(not torch.equal(a, b) for a, b in zip(t.game.parameters(), plain.game.parameters(), strict=True))


def test_a_stop_request_ends_after_the_step() -> None:
    t = trainer(max_steps=100)
    assert fit(t, StopRequest(asked=True)) == "stopped"
    assert t.clock.step == 0


class Watched(NonSaturating):
    """Remembers the logits of the fakes of each generator update."""

    def __init__(self) -> None:
        super().__init__()
        self.fakes: list[Tensor] = []

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        self.fakes.append(fake.detach().clone())
        return super().generator(fake, real)


def test_every_step_draws_anew() -> None:
    """With learning rates of 0 and one batch, only the latents can differ from step to step."""
    t = trainer(loss=Watched(), max_steps=3)
    for optimizer in t.optimizers.values():
        optimizer.param_groups[0]["lr"] = 0.0
    t.rates = {name: [0.0] for name in t.rates}
    fit(t)
    first, second, third = t.game.loss.fakes
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)


def test_only_the_player_whose_turn_it_is_can_learn() -> None:
    t = trainer(max_steps=1)
    seen = []
    for phase in t.game.phases():
        t._freeze_all_but({phase.player})
        seen.append({name: all(p.requires_grad for p in player.parameters()) for name, player in t.players.items()})
    assert seen == [{"discriminator": True, "generator": False}, {"discriminator": False, "generator": True}]
    t.step()
    assert all(p.grad is not None for p in t.players["discriminator"].parameters())
    before = [p.grad.clone() for p in t.players["discriminator"].parameters()]
    t._update(t.game.phases()[1], t.data.batch(9))
    after = [p.grad for p in t.players["discriminator"].parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
