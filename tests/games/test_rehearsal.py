"""Networks that break the contract are told before the first step, and trying them changes nothing."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from conftest import SMALL, words
from gan_cli.config import build, compose
from gan_cli.errors import Incompatible, TooFew
from gan_cli.games.adversarial import Adversarial
from gan_cli.games.parts import Parts
from gan_cli.losses import NonSaturating
from gan_cli.networks import mlp, panel
from gan_cli.priors import Normal
from gan_cli.types import Batch

SHAPE = (1, 4, 4)
ONE = Batch(torch.zeros(1, dtype=torch.int64), torch.zeros(1, *SHAPE))


class Draws(nn.Module):
    def __init__(self, size: int = 4) -> None:
        super().__init__()
        self.size = size
        self.linear = nn.Linear(2, size * size)

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        return self.linear(latent).tanh().view(-1, 1, self.size, self.size)


class WithoutLabel(Draws):
    def forward(self, latent: Tensor) -> Tensor:  # type: ignore[override]
        return latent


class Halves(Draws):
    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        return super().forward(latent, label).round().to(torch.int64)


class Judges(nn.Module):
    """Plain logits [N, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(16, 1)

    def forward(self, samples: Tensor, label: Tensor) -> object:
        return self.linear(samples.flatten(1))


class JudgesFlat(Judges):
    def forward(self, samples: Tensor, label: Tensor) -> object:
        return self.linear(samples.flatten(1)).squeeze(1)


class Pair(Judges):
    def forward(self, samples: Tensor, label: Tensor) -> object:
        return super().forward(samples, label), None


class One(Judges):
    def forward(self, samples: Tensor, label: Tensor) -> object:
        return self.linear(samples.flatten(1)).mean()


def game(generator: nn.Module | None = None, discriminator: nn.Module | None = None) -> Adversarial:
    return Adversarial(Parts(generator or Draws(), discriminator or Judges(), NonSaturating(), Normal(2)))


@pytest.mark.parametrize(
    ("make", "gave"),
    [
        (WithoutLabel, "takes 2 positional arguments but 3 were given"),
        (lambda: Draws(8), r"it gave float32 \[2, 1, 8, 8\]"),
        (Halves, r"it gave int64 \[2, 1, 4, 4\]"),
    ],
)
def test_a_generator_is_told_its_contract(make: Callable[[], nn.Module], gave: str) -> None:
    words = rf"model\.generator \(\w+\): forward\(latent \[N, 2\], label \[N\]\) -> images \[N, 1, 4, 4\] .*{gave}"
    with pytest.raises(Incompatible, match=words):
        game(make()).rehearse(ONE, 64)


@pytest.mark.parametrize(("make", "gave"), [(Pair, "it gave a tuple"), (One, r"logits are float32 \[\]")])
def test_a_discriminator_is_told_its_contract(make: type[nn.Module], gave: str) -> None:
    with pytest.raises(Incompatible, match=rf"model\.discriminator \(\w+\): forward\(images \[N, 1, 4, 4\].*{gave}"):
        game(discriminator=make()).rehearse(ONE, 64)


@pytest.mark.parametrize("make", [Judges, JudgesFlat], ids=["column", "flat"])
def test_a_plain_tensor_is_taken_as_logits(make: type[nn.Module]) -> None:
    batch = Batch(torch.zeros(6, dtype=torch.int64), torch.rand(6, *SHAPE))
    for discriminator in (make(), panel.Jury(make, 2), panel.Slices(make, 2)):
        plain = game(discriminator=discriminator)
        plain.rehearse(ONE, 64)
        assert plain.discriminator_objective(batch, 0).terms["loss"].isfinite()
        assert plain.generator_objective(Batch(batch.label), 0).terms["loss"].isfinite()


def test_batch_norm_wants_two_samples_and_gets_as_many_as_a_step_has() -> None:
    normed = game(mlp.Generator(2, 1, 4, (8, 8), norm="batch"))
    with pytest.raises(TooFew, match=r"batch norm in model\.generator \(Generator\) cannot work with 1 samples"):
        normed.rehearse(ONE, 1)
    normed.rehearse(ONE, 2)
    shared = panel.Slices(lambda: mlp.Discriminator(1, 4, (8, 8), norm="batch"), 3)  # two samples are one for a member
    game(discriminator=shared).rehearse(ONE, 64)


@pytest.mark.parametrize("model", SMALL)
def test_the_models_keep_the_contract_and_a_rehearsal_leaves_no_trace(model: str) -> None:
    played = build.game(compose.compose("train", words("dataset.resolution=32", model=SMALL[model])).config)
    before = {name: tensor.clone() for name, tensor in played.state_dict().items()}
    states = torch.get_rng_state(), random.getstate()
    played.rehearse(Batch(ONE.label, torch.zeros(1, 1, 32, 32)), 8)
    assert all(torch.equal(tensor, before[name]) for name, tensor in played.state_dict().items())
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate()
