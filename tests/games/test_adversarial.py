"""The two-player game: phases, what terms read, and what is refused."""

from __future__ import annotations

import logging
import math
from typing import Any

import pytest
import torch
from scipy.special import gammainc
from scipy.stats import kstest
from torch import Tensor

from gan_cli.augment.base import Augment
from gan_cli.augment.packing import Packing
from gan_cli.auxiliaries import ModeSeeking, PathLength
from gan_cli.errors import Incompatible
from gan_cli.games.adversarial import Adversarial
from gan_cli.games.parts import Parts
from gan_cli.losses import Hinge, LeastSquares, Loss, NonSaturating, RelativisticPairing, Wasserstein
from gan_cli.networks import dcgan, mlp
from gan_cli.penalties import R1, R2, GradientPenalty, WeightClipping
from gan_cli.priors import Ball, Normal, Prior, Uniform
from gan_cli.types import Batch, Round, Term


def points(loss: Loss | None = None, critic_steps: int = 1, prior: Prior | None = None, **parts: Any) -> Adversarial:
    """A small game on points."""
    networks = mlp.Generator(4, 2, (), (8,)), mlp.Discriminator(2, (), (8,))
    return Adversarial(Parts(*networks, loss or NonSaturating(), prior or Normal(4), **parts), critic_steps)


def batch(n: int = 6) -> Batch:
    return Batch(torch.zeros(n, dtype=torch.int64), torch.randn(n, 2))


def test_discriminator_first_then_generator() -> None:
    phases = points(critic_steps=5).phases()
    assert [(p.player, p.runs, p.shown) for p in phases] == [("discriminator", 5, True), ("generator", 1, False)]


def test_terms_are_weighted_and_named() -> None:
    game = points(penalties={"r1": R1(weight=2.0)})
    outcome = game.discriminator_objective(batch(), 0)
    assert set(outcome.terms) == {"loss", "r1"}
    assert set(outcome.readings) == {"D(real)", "D(fake)", "D(accuracy)"}
    twice = points(penalties={"r1": R1(weight=4.0)})
    twice.load_state_dict(game.state_dict())
    same = batch()
    torch.testing.assert_close(
        twice.discriminator_objective(same, 0).terms["r1"], 2 * game.discriminator_objective(same, 0).terms["r1"]
    )


def test_lazy_terms_apply_at_every_interval_scaled_by_it() -> None:
    game, lazy = points(penalties={"r1": R1()}), points(penalties={"r1": R1(interval=4)})
    lazy.load_state_dict(game.state_dict())
    same = batch()
    assert [u for u in range(9) if "r1" in lazy.discriminator_objective(same, u).terms] == [0, 4, 8]
    torch.testing.assert_close(
        lazy.discriminator_objective(same, 4).terms["r1"], 4 * game.discriminator_objective(same, 4).terms["r1"]
    )


def test_the_discriminators_objective_sends_nothing_to_the_generator() -> None:
    game = points(penalties={"gradient_penalty": GradientPenalty(), "r1": R1()})
    sum(game.discriminator_objective(batch(), 0).terms.values()).backward()  # type: ignore[union-attr]
    assert all(p.grad is None for p in game.generator.parameters())
    assert all(p.grad is not None for p in game.discriminator.parameters())


class Reader(Term):
    """A term of a user's own, which records what it may read."""

    def __init__(self, *needs: str) -> None:
        super().__init__()
        self.needs = frozenset(needs)

    def forward(self, current: Round) -> Tensor:
        self.saw = current
        return torch.zeros(len(current.batch))


def test_needs_decide_what_carries_a_gradient() -> None:
    reader = Reader("fake_grad")
    points(penalties={"reader": reader}).discriminator_objective(batch(), 0)
    assert reader.saw.real is not None
    assert (reader.saw.real.requires_grad, reader.saw.fake.requires_grad) == (False, True)


def test_auxiliaries_join_the_generators_objective() -> None:
    reader = Reader("real_output")
    outcome = points(auxiliaries={"reader": reader}).generator_objective(batch(), 0)
    assert set(outcome.terms) == {"loss", "reader"}
    assert reader.saw.real_output is not None
    without = Reader()
    points(auxiliaries={"reader": without}).generator_objective(batch(), 0)
    assert without.saw.real_output is None


class Halve(Augment):
    def forward(self, samples: Tensor) -> Tensor:
        return samples / 2


def test_augmentations_stand_before_the_discriminator_in_order() -> None:
    game = points(augments={"a": Halve(), "b": Halve()})
    x, y = torch.randn(3, 2), torch.zeros(3, dtype=torch.int64)
    torch.testing.assert_close(game.judge(Batch(y), x, y).logits, game.discriminator(x / 4, y).logits)


def test_projections_are_no_terms() -> None:
    game = points(Wasserstein(), penalties={"weight_clipping": WeightClipping(0.05)})
    assert set(game.discriminator_objective(batch(), 0).terms) == {"loss"}
    game.phases()[0].project()
    assert max(p.abs().max().item() for p in game.discriminator.parameters()) == pytest.approx(0.05)
    game.phases()[1].project()


def images(norm: str, *penalties: Term, spectral: bool = False, loss: Loss | None = None) -> Adversarial:
    generator = dcgan.Generator(4, 1, 16, width=2)
    discriminator = dcgan.Discriminator(1, 16, width=2, norm=norm, spectral_norm=spectral)
    named = {type(p).__name__: p for p in penalties}
    return Adversarial(Parts(generator, discriminator, loss or Hinge(), Normal(4), named))


def test_gradient_penalty_with_batch_norm_is_refused_with_the_remedy() -> None:
    with pytest.raises(Incompatible, match=r"BatchNorm2d.*\n  .*model\.discriminator\.norm=layer"):
        images("batch", GradientPenalty())
    for norm in ("layer", "instance", "none"):
        images(norm, GradientPenalty())


def test_wasserstein_without_a_bounded_slope_warns(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "gan_cli")
    logging.getLogger("gan_cli").propagate = True
    images("none", loss=Wasserstein())
    assert "gradient_penalty" in caplog.text
    caplog.clear()
    images("none", GradientPenalty(), loss=Wasserstein())
    images("none", loss=Wasserstein(), spectral=True)
    points(Wasserstein(), penalties={"clip": WeightClipping()})
    images("none", loss=Hinge())
    assert caplog.text == ""


def test_priors() -> None:
    many = Batch(torch.zeros(20_000, dtype=torch.int64))
    z = Normal(3)(many)
    assert z.shape == (20_000, 3)
    assert z.mean().abs().item() < 0.02
    assert z.std().item() == pytest.approx(1, abs=0.02)
    u = Uniform(3)(many)
    assert u.abs().max().item() <= 1
    assert u.var().item() == pytest.approx(1 / 3, abs=0.01)


class Pair(Normal):
    """Latents; D judges samples beside what the generator was given."""

    def beside(self, samples: Tensor, batch: Batch) -> Tensor:
        assert batch.given is not None
        return torch.cat([samples, batch.given], 1)


def test_the_discriminator_judges_samples_beside_what_was_given_before_the_augmentations() -> None:
    networks = mlp.Generator(4, 2, (), (8,)), mlp.Discriminator(5, (), (8,))
    game = Adversarial(Parts(*networks, Hinge(), Pair(4), augments={"a": Halve()}))
    x, given, y = torch.randn(6, 2), torch.randn(6, 3), torch.zeros(6, dtype=torch.int64)
    expected = game.discriminator(torch.cat([x, given], 1) / 2, y).logits
    torch.testing.assert_close(game.judge(Batch(y, given=given), x, y).logits, expected)
    looked = game.discriminator_objective(Batch(y, x, given), 0).readings["D(real)"]
    torch.testing.assert_close(looked, expected.mean().detach())
    assert game.generator_objective(Batch(y, given=given), 0).terms["loss"].requires_grad


class Misspelt(R1):
    needs = frozenset({"latens"})


def test_a_need_that_means_nothing_is_refused() -> None:
    with pytest.raises(Incompatible, match=r"penalty\.x needs 'latens', which means nothing\n  choose from real, "):
        points(penalties={"x": Misspelt()})


class Blind(Normal):
    """What feeds a generator that is given something else than latents."""

    provides = frozenset()


@pytest.mark.parametrize("term", [ModeSeeking(), PathLength()], ids=lambda term: type(term).__name__)
def test_terms_on_latents_need_a_prior_that_has_them(term: Term) -> None:
    points(auxiliaries={"x": term})
    with pytest.raises(Incompatible, match=r"auxiliary\.x needs latents, which nothing here provides"):
        points(auxiliaries={"x": term}, prior=Blind(4))


def test_a_gradient_of_the_latents_is_taken_only_where_a_term_needs_it() -> None:
    seen: list[bool] = []

    class Looks(ModeSeeking):
        def forward(self, current: Round) -> Tensor:
            seen.append(current.latent.requires_grad)
            return super().forward(current)

    points(auxiliaries={"x": Looks()}).generator_objective(batch(), 0)
    points(auxiliaries={"x": Looks(), "y": PathLength()}).generator_objective(batch(), 0)
    assert seen == [False, True]


def test_the_least_that_a_game_needs_names_the_part() -> None:
    assert points().least() == (1, "")
    assert points(augments={"a": Halve(), "packing": Packing(3)}).least() == (3, "augment.packing")


def test_a_batch_is_split_with_all_its_fields() -> None:
    y, x, given = torch.arange(7), torch.randn(7, 2), torch.randn(7, 3)
    parts = Batch(y, x, given).split(3)
    assert [len(part) for part in parts] == [3, 2, 2]
    for name, whole in (("label", y), ("images", x), ("given", given)):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), whole)
    assert [part.given for part in Batch(y, x).split(2)] == [None, None]


@pytest.mark.parametrize(("dim", "bound"), [(1, 0.5), (2, 1.5), (64, 7.0), (64, 30.0)])
def test_latents_in_a_ball_have_the_norms_of_those_normal_ones_that_lie_in_it(dim: int, bound: float) -> None:
    """The probability integral transform: P(k/2, r²/2) / P(k/2, c²/2) is uniform (Kolmogorov-Smirnov, 4000 draws)."""
    torch.manual_seed(1)
    norms = Ball(dim, bound)(Batch(torch.zeros(4000, dtype=torch.int64))).norm(dim=1).double().numpy()
    assert norms.max() <= bound * (1 + 1e-6)
    assert kstest(gammainc(dim / 2, norms**2 / 2) / gammainc(dim / 2, bound**2 / 2), "uniform").pvalue > 0.01


def test_the_discriminators_loss_has_a_weight_and_its_penalties_have_theirs() -> None:
    whole, half = (points(NonSaturating(discriminator_weight=w), penalties={"r1": R1()}) for w in (1.0, 0.5))
    half.load_state_dict(whole.state_dict())
    same = batch()
    torch.manual_seed(0)
    first = whole.discriminator_objective(same, 0).terms
    torch.manual_seed(0)
    second = half.discriminator_objective(same, 0).terms
    torch.testing.assert_close(second["loss"], first["loss"] / 2)
    torch.testing.assert_close(second["r1"], first["r1"])


class Square(torch.nn.Module):
    """D(x) = a|x|²/2, whose gradient a·x is known; it counts what it is asked."""

    def __init__(self, a: float) -> None:
        super().__init__()
        self.a = torch.nn.Parameter(torch.tensor(a))
        self.asked: list[int] = []

    def forward(self, samples: Tensor, label: Tensor) -> Tensor:
        self.asked.append(len(samples))
        return self.a * samples.square().sum(1) / 2


def squared(*penalties: Term, **parts: Any) -> tuple[Adversarial, Square]:
    critic = Square(3.0)
    named = {type(p).__name__: p for p in penalties}
    generator = mlp.Generator(4, 2, (), (8,))
    return Adversarial(Parts(generator, critic, Hinge(), Normal(4), penalties=named, **parts)), critic


@pytest.mark.parametrize(("share", "count"), [(1.0, 8), (0.25, 2), (0.3, 3), (0.001, 1)])
def test_a_share_of_the_batch_pays_for_all(share: float, count: int) -> None:
    """½|∇D|² = ½a²|x|², averaged over the first samples."""
    game, critic = squared(R1(weight=2.0, share=share), R2(weight=2.0, share=share))
    seen = batch(8)
    through: list[Tensor] = []
    game.generator.register_forward_hook(lambda module, given, fake: through.append(fake.detach()))
    terms = game.discriminator_objective(seen, 0).terms
    for name, samples in (("R1", seen.real), ("R2", through[0])):
        torch.testing.assert_close(terms[name], 2 * 0.5 * 9 * samples[:count].square().sum(1).mean())
    assert critic.asked == ([8, 8] if share == 1 else [8, 8, count, count])
    (slope,) = torch.autograd.grad(terms["R1"], critic.a)
    torch.testing.assert_close(slope, 2 * 3 * seen.real[:count].square().sum(1).mean())


def test_slopes_of_a_linear_critic_are_the_same_on_every_share() -> None:
    class Linear(torch.nn.Linear):
        def forward(self, samples: Tensor, label: Tensor) -> Tensor:  # type: ignore[override]
            return super().forward(samples).squeeze(1)

    linear = Linear(2, 1)
    for penalty in (GradientPenalty, R1, R2):
        values = []
        for share in (1.0, 0.5):
            parts = Parts(mlp.Generator(4, 2, (), (8,)), linear, Wasserstein(), Normal(4), {"p": penalty(share=share)})
            values.append(Adversarial(parts).discriminator_objective(batch(), 0).terms["p"])
        torch.testing.assert_close(values[0], values[1])


def test_a_share_is_of_whole_packs() -> None:
    critic = Square(1.0)
    parts = Parts(
        mlp.Generator(4, 2, (), (8,)), critic, Hinge(), Normal(4), {"r1": R1(share=0.2)}, augments={"p": Packing(4)}
    )
    Adversarial(parts).discriminator_objective(batch(12), 0)
    assert critic.asked == [3, 3, 1], "packs of four: 12 samples, of which a fifth is 3, and one pack is 4"


@pytest.mark.parametrize(
    ("loss", "at"),
    [
        (NonSaturating(), 0.0),
        (NonSaturating(real_label=0.9), math.log(0.45 / 0.55)),
        (LeastSquares(), 0.5),
        (Hinge(), 0.0),
    ],
)
def test_accuracy_is_the_share_that_lies_on_the_right_side(loss: Loss, at: float) -> None:
    game = points(loss)
    real, fake = at + torch.tensor([0.1, 2.0, -0.1, 3.0]), at + torch.tensor([-0.1, -1.0, -2.0, -4.0])
    assert game.readings(real, fake)["D(accuracy)"].item() == (3 / 4 + 4 / 4) / 2
    # Where nothing can be told apart, it is a half.
    assert game.readings(real, real)["D(accuracy)"].item() == 0.5


def test_no_accuracy_where_logits_are_compared_only() -> None:
    assert set(points(RelativisticPairing()).readings(torch.zeros(2), torch.zeros(2))) == {"D(real)", "D(fake)"}
