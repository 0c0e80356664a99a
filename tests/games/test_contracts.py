"""A part of the user's own that breaks its contract is named before the first step, with what it gave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_cli.augment.base import Augment
from gan_cli.auxiliaries import Weighting
from gan_cli.errors import Incompatible
from gan_cli.games.adversarial import Adversarial
from gan_cli.games.parts import Parts
from gan_cli.losses import Loss, NonSaturating
from gan_cli.networks import mlp
from gan_cli.penalties import Constraint
from gan_cli.priors import Normal, Prior
from gan_cli.types import Batch, Round, Term

REAL = Batch(torch.arange(4) % 1, torch.linspace(-1, 1, 4 * 16).view(4, 1, 4, 4))
NAN = float("nan")


def game(**parts: Any) -> Adversarial:
    networks = mlp.Generator(2, 1, 4, (8,)), mlp.Discriminator(1, 4, (8,))
    return Adversarial(Parts(*networks, **{"loss": NonSaturating(), "prior": Normal(2), **parts}))


class Losses(Loss):
    """Gives whatever it is told to."""

    def __init__(self, of_d: Any = F.softplus, of_g: Any = F.softplus) -> None:
        super().__init__()
        self.of_d, self.of_g = of_d, of_g

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return self.of_d(fake)

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return self.of_g(fake)


class Adds(Term):
    def __init__(self, give: Any) -> None:
        super().__init__()
        self.give = give

    def forward(self, current: Round) -> Tensor:
        return self.give(current)


class Weighs(Weighting):
    def __init__(self, give: Any) -> None:
        super().__init__()
        self.give = give

    def forward(self, values: Tensor, current: Round) -> Tensor:
        return self.give(values)


class Changes(Augment):
    def __init__(self, give: Any) -> None:
        super().__init__()
        self.give = give

    def forward(self, samples: Tensor) -> Tensor:
        return self.give(samples)


class Feeds(Prior):
    def __init__(self, give: Any) -> None:
        super().__init__(2)
        self.give = give

    def forward(self, batch: Batch) -> Tensor:
        return self.give(len(batch))


class Projects(Constraint):
    def __init__(self, give: Any) -> None:
        super().__init__()
        self.give = give

    def project(self, player: nn.Module) -> None:
        self.give(player)


def logits(current: Round) -> Tensor:
    return current.fake_output.logits


BREACHES: Mapping[str, tuple[dict[str, Any], str]] = {
    "a mean": ({"loss": Losses(lambda x: x.square().mean())}, r"loss \(Losses\): discriminator.*it gave float32 \[\]"),
    "no value": ({"loss": Losses(of_g=lambda x: None)}, r"loss \(Losses\): generator.*failed: .*NoneType"),
    "NaN": ({"loss": Losses(of_g=lambda x: x * NAN)}, r"loss \(Losses\): generator.*infinite or none"),
    "pairs": ({"loss": Losses(lambda x: x[:, None] - x[None])}, r"loss .*it gave float32 \[2, 2\]"),
    "no gradient": ({"loss": Losses(of_g=lambda x: x.detach())}, "loss .*numbers without a gradient"),
    "real logits": ({"loss": Losses(of_g=lambda x: x - None)}, "loss .*failed.*\n.*needs_real_logits = True"),
    "no term": ({"penalties": {"own": Adds(lambda r: None)}}, r"penalty\.own \(Adds\): forward.*it gave None"),
    "pixels": ({"auxiliaries": {"own": Adds(lambda r: r.fake)}}, r"auxiliary\.own .*it gave float32 \[2, 1, 4, 4\]"),
    "double": ({"penalties": {"own": Adds(lambda r: logits(r).double())}}, r"penalty\.own .*it gave float64"),
    "no such field": ({"penalties": {"own": Adds(lambda r: r.fakes)}}, r"penalty\.own .*'fakes'\n.*`needs`"),
    "real undeclared": ({"auxiliaries": {"own": Adds(lambda r: r.batch.real)}}, r"auxiliary\.own .*declares needs"),
    "weights": ({"auxiliaries": {"own": Weighs(lambda v: torch.ones(3))}}, r"auxiliary\.own .*it gave float32 \[3\]"),
    "twice": ({"augments": {"own": Changes(lambda x: torch.cat([x, x]))}}, r"augment\.own .*it gave float32 \[4, 1"),
    "cut": ({"augments": {"own": Changes(lambda x: x[..., :2])}}, r"model\.discriminator.* 4, 2\].* augment\.own"),
    "cut off": ({"augments": {"own": Changes(lambda x: x.detach())}}, r"augment\.own .*without a gradient"),
    "a vector": ({"prior": Feeds(lambda n: torch.zeros(2 * n))}, r"prior \(Feeds\).*\[N, 2\].*it gave float32 \[4\]"),
    "integers": ({"prior": Feeds(lambda n: torch.zeros(n, 2, dtype=torch.int64))}, r"prior \(Feeds\).*it gave int64"),
    "no player": ({"penalties": {"own": Projects(lambda p: p.missing)}}, r"penalty\.own .*project.*'missing'"),
}  # fmt: skip


@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_is_told_with_the_part_and_what_it_gave(breach: str) -> None:
    parts, told = BREACHES[breach]
    played = game(**parts)
    before = {name: tensor.clone() for name, tensor in played.state_dict().items()}
    state = torch.get_rng_state()
    with pytest.raises(Incompatible, match=told) as refused:
        played.rehearse(REAL, 4)
    assert len(str(refused.value).splitlines()) == 2
    assert all(torch.equal(tensor, before[name]) for name, tensor in played.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.requires_grad for parameter in played.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in played.modules())


def test_parts_that_keep_their_contracts_pass() -> None:
    mean = Adds(lambda current: logits(current).square().mean())
    mirror = Changes(lambda samples: samples.flip(-1))
    two = {"own": mean, "other": Projects(nn.Module.eval)}
    game(loss=Losses(), penalties=two, auxiliaries={"own": Weighs(torch.ones_like)}).rehearse(REAL, 4)
    game(auxiliaries={"own": mean}, augments={"own": mirror}, prior=Feeds(lambda n: torch.ones(n, 2))).rehearse(REAL, 4)


def test_a_single_word_is_no_set() -> None:
    term = Adds(logits)
    term.needs = "real"  # type: ignore[assignment]
    with pytest.raises(Incompatible, match=r"penalty\.own: needs = 'real' is not a set of words"):
        game(penalties={"own": term})
