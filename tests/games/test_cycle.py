"""Two ways between two domains, played as one game."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from conftest import SMALL_TRANSLATORS, checked, words
from gan_cli.auxiliaries import ModeSeeking
from gan_cli.config import build
from gan_cli.errors import Incompatible
from gan_cli.games.cycle import Cycle
from gan_cli.games.parts import Parts
from gan_cli.games.pool import Pool
from gan_cli.image_auxiliaries import Cycle as CycleLoss
from gan_cli.image_auxiliaries import Identity
from gan_cli.losses import LeastSquares
from gan_cli.networks.panel import Both
from gan_cli.penalties import LeCam
from gan_cli.priors import Normal, Pair, Source
from gan_cli.types import Batch


class Times(nn.Module):
    """x -> a x, a known translation."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, images: Tensor, label: Tensor) -> Tensor:
        return self.factor * images


class Mean(nn.Module):
    """A judgement a sample."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, images: Tensor, label: Tensor) -> Tensor:
        return self.factor * images.flatten(1).mean(1)


def pair(make: Callable[[float], nn.Module], there: float, back: float) -> Both:
    networks = iter((make(there), make(back)))
    return Both(lambda settings: next(networks))


def game(
    there: float = 1.0, back: float = 1.0, past: Pool | None = None, fakes: str = "fresh", **settings: object
) -> Cycle:
    parts = Parts(pair(Times, there, back), pair(Mean, 2.0, 3.0), LeastSquares(), Source())
    usual = {"auxiliaries": {"cycle": CycleLoss(10.0), "identity": Identity(5.0)}}
    return Cycle(Parts(**{**vars(parts), **usual, **settings}), fakes=fakes, past=past)  # type: ignore[arg-type]


def batch(n: int = 4) -> Batch:
    return Batch(torch.zeros(n, dtype=torch.int64), torch.rand(n, 3, 4, 4), torch.rand(n, 3, 4, 4))


def test_generators_that_change_nothing_pay_for_no_cycle() -> None:
    terms = game().generator_objective(batch(), 0).terms
    assert {name: terms[name].item() for name in ("cycle", "identity", "back/cycle", "back/identity")} == {
        "cycle": 0.0,
        "identity": 0.0,
        "back/cycle": 0.0,
        "back/identity": 0.0,
    }


def test_inverses_pay_for_identity_alone_and_each_term_for_its_own_side() -> None:
    drawn = batch()
    terms = game(2.0, 0.5).generator_objective(drawn, 0).terms
    assert float(terms["cycle"]) == float(terms["back/cycle"]) == 0
    torch.testing.assert_close(terms["identity"], 5 * drawn.real.mean())
    torch.testing.assert_close(terms["back/identity"], 5 * 0.5 * drawn.source.mean())
    terms = game(2.0, 2.0).generator_objective(drawn, 0).terms
    torch.testing.assert_close(terms["cycle"], 10 * 3 * drawn.source.mean())
    torch.testing.assert_close(terms["back/cycle"], 10 * 3 * drawn.real.mean())


def test_each_discriminator_judges_its_own_side() -> None:
    """By the closed form of the least squares: D[0] sees B and what was drawn of A, D[1] the reverse."""
    drawn = batch()
    outcome = game(2.0, 0.5).discriminator_objective(drawn, 0)
    loss = LeastSquares()

    def expected(factor: float, real: Tensor, fake: Tensor) -> Tensor:
        return loss.discriminator(factor * real.flatten(1).mean(1), factor * fake.flatten(1).mean(1)).mean()

    torch.testing.assert_close(outcome.terms["loss"], expected(2.0, drawn.real, 2 * drawn.source))
    torch.testing.assert_close(outcome.terms["back/loss"], expected(3.0, drawn.source, drawn.real / 2))
    told = {"D(real)", "D(fake)", "D(accuracy)"}
    assert {*told, *(f"back/{name}" for name in told)} == outcome.readings.keys()


def test_generators_come_first_and_both_players_learn() -> None:
    played = game()
    assert [(phase.player, phase.shown, phase.uses_real) for phase in played.phases()] == [
        ("generator", False, True),
        ("discriminator", True, True),
    ]
    for phase in played.phases():
        player = played.players()[phase.player]
        sum(phase.objective(batch(), 0).terms.values()).backward()  # type: ignore[union-attr]
        assert all(parameter.grad is not None and parameter.grad != 0 for parameter in player.parameters())


def test_every_weight_is_there_once_and_every_state_once_a_way() -> None:
    played = game(past=Pool(3, 3, 4), penalties={"lecam": LeCam()})
    assert len(list(played.parameters())) == 4
    names = list(played.state_dict())
    of_pools = [name for name in names if name.endswith("past.fakes")]
    assert len(of_pools) == 2
    moving = [name for name in names if "lecam" in name]
    assert moving
    assert len(moving) % 2 == 0
    assert {id(p) for player in played.players().values() for p in player.parameters()} == {
        *map(id, played.parameters())
    }
    one, other = played.there.past, played.back.past
    assert one is not None
    assert other is not None
    played.discriminator_objective(batch(2), 0)
    assert not torch.equal(one.fakes, other.fakes)  # each has the fakes of its way
    assert not {id(buffer) for buffer in played.parted()} & {id(one.fakes), id(other.fakes)}


def test_turned_it_draws_the_way_back_with_the_same_weights() -> None:
    played, drawn = game(2.0, 7.0), batch()
    there = played.sample(played.players()["generator"], Batch(drawn.label, given=drawn.source))
    back = played.turned()
    images = back.sample(back.players()["generator"], Batch(drawn.label, given=drawn.source))
    assert torch.equal(there, 2 * drawn.source)
    assert torch.equal(images, 7 * drawn.source)
    again = back.turned()
    assert torch.equal(again.sample(again.players()["generator"], Batch(drawn.label, given=drawn.source)), there)
    mirrored = back.generator_objective(drawn.swapped(), 0).terms
    for name, value in played.generator_objective(drawn, 0).terms.items():
        other = name.removeprefix("back/") if name.startswith("back/") else f"back/{name}"
        torch.testing.assert_close(mirrored[other], value)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"prior": Pair()}, "use prior=source"),
        ({"prior": Normal(3)}, "use prior=source"),
        ({"generator": Times(1.0)}, "set cast as conf/game/cycle.yaml does"),
        (
            {"auxiliaries": {"mode_seeking": ModeSeeking()}},
            "needs latents, which nothing here provides\n  .*given images",
        ),
    ],
    ids=["pair", "normal", "one generator", "mode_seeking"],
)
def test_what_cannot_be_played_is_refused(settings: dict[str, object], match: str) -> None:
    with pytest.raises(Incompatible, match=match):
        game(**settings)  # type: ignore[arg-type]


WITHOUT_NORM = ("model.generator.norm=none", "model.discriminator.norm=none", "game.past=null")


def test_a_batch_in_parts_is_the_batch() -> None:
    """The same step, to rounding, where no norm and no pool mix samples."""
    after = []
    for parts in (1, 2):
        more = (
            "dataset.batch_size=4",
            f"trainer.micro_batches={parts}",
            *WITHOUT_NORM,
            "optimizer=sgd",
            "optimizer.lr=0.1",
        )
        trainer = build.trainer(checked(words(*more, model=SMALL_TRANSLATORS["cyclegan"])))
        trainer.place()
        before = copy.deepcopy(trainer.game.state_dict())
        trainer.step()
        after.append(trainer.game.state_dict())
    moved = 0
    for name, tensor in after[0].items():
        torch.testing.assert_close(tensor, after[1][name], rtol=1e-4, atol=1e-6)
        moved += not torch.equal(tensor, before[name])
    assert moved == len([*trainer.game.parameters()])


def test_sides_of_other_channels_fill_and_use_their_pools() -> None:
    """A grey, B colour: each pool keeps the fakes of its own way."""
    more = ("dataset.given.channels=1", "auxiliary=[cycle]", "game.past.size=1")
    trainer = build.trainer(checked(words(*more, model=SMALL_TRANSLATORS["cyclegan"])))
    trainer.place()
    for _ in range(3):
        trainer.step()
    assert isinstance(trainer.game, Cycle)
    pools = [way.past for way in (trainer.game.there, trainer.game.back)]
    assert [tuple(pool.fakes.shape) for pool in pools if pool is not None] == [(1, 3, 16, 16), (1, 1, 16, 16)]


def test_the_discriminators_may_judge_the_fakes_of_the_generators_update() -> None:
    """Each way's fakes are drawn once; D's loss is that of the generators before their update."""
    played = game(there=0.5, back=0.25, fakes="reused")
    seen = Batch(torch.zeros(2, dtype=torch.int64), torch.ones(2, 1, 4, 4), torch.full((2, 1, 4, 4), 2.0))
    generators, discriminators = played.phases()
    assert (generators.uses_real, discriminators.uses_real) == (True, False)
    generators.objective(seen, 0)
    with torch.no_grad():
        for weight in played.players()["generator"].parameters():
            weight.zero_()
    terms = discriminators.objective(Batch(seen.label), 0).terms
    # ½(D(x) - 1)² + ½D(G(s))²; D multiplies the mean by 2, and by 3 on the way back; G by 0.5 and by 0.25.
    assert terms["loss"].item() == pytest.approx(0.5 * (2 * 1 - 1) ** 2 + 0.5 * (2 * 0.5 * 2) ** 2)
    assert terms["back/loss"].item() == pytest.approx(0.5 * (3 * 2 - 1) ** 2 + 0.5 * (3 * 0.25 * 1) ** 2)
