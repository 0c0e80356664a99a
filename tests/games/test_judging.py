"""The discriminator's update judges real samples and fakes in two passes or in one, and learns the same."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList

from gan_cli.augment.packing import Packing
from gan_cli.errors import Refused
from gan_cli.games.adversarial import Adversarial
from gan_cli.games.judging import JUDGED
from gan_cli.games.parts import Parts
from gan_cli.losses import NonSaturating, RelativisticPairing
from gan_cli.networks import critics, dcgan, mlp
from gan_cli.networks.conditioning import AuxiliaryClassifier, Projection
from gan_cli.networks.panel import Jury, Slices
from gan_cli.networks.spectral import SpectralNorm
from gan_cli.penalties import R1, Classification, LeCam
from gan_cli.priors import Normal, Pair
from gan_cli.training.schedules import Constant
from gan_cli.training.trainer import Trainer
from gan_cli.types import Batch

N, CLASSES = 6, 3
D = Callable[[], nn.Module]


def images(n: int = N) -> Batch:
    shape = (n, 1, 16, 16)
    return Batch(torch.arange(n) % CLASSES, torch.rand(shape) * 2 - 1, torch.rand(shape) * 2 - 1)


def conditional(conditioning: Any) -> D:
    return lambda: dcgan.Discriminator(1, 16, width=2, norm="layer", conditioning=conditioning)


DISCRIMINATORS: Mapping[str, tuple[D, dict[str, Any]]] = {
    "mlp": (lambda: mlp.Discriminator(1, 16, hidden=(8,)), {}),
    "layer norm": (lambda: dcgan.Discriminator(1, 16, width=2, norm="layer"), {"loss": RelativisticPairing()}),
    "labels": (conditional(Projection(CLASSES)), {"penalties": {"lecam": LeCam()}}),
    "classes": (conditional(AuxiliaryClassifier(CLASSES)), {"penalties": {"classification": Classification()}}),
    "jury": (lambda: Jury(lambda: mlp.Discriminator(1, 16, hidden=(8,)), 2), {}),
    "slices": (lambda: Slices(lambda: mlp.Discriminator(1, 16, hidden=(8,)), 3), {}),
    "patches beside sources": (
        lambda: critics.Patches(2, width=2, layers=1, norm="instance"),
        {"prior": Pair()},
    ),
}


class Shifts(nn.Module):
    """A translator of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.tensor(0.5))

    def forward(self, source: Tensor, label: Tensor) -> Tensor:
        return source + self.by


def game(make: D, judged: str = "apart", **parts: Any) -> Adversarial:
    torch.manual_seed(0)
    generator = Shifts() if "prior" in parts else mlp.Generator(4, 1, 16, (8,))
    usual = {"loss": NonSaturating(), "prior": Normal(4)}
    return Adversarial(Parts(generator, make(), **{**usual, **copy.deepcopy(parts)}), judged=judged)


def learned(played: Adversarial, batch: Batch, update: int = 0) -> dict[str, Tensor]:
    """What D's update comes to, and the gradients of D's weights."""
    torch.manual_seed(1)
    outcome = played.discriminator_objective(batch, update)
    sum(outcome.terms.values()).backward()  # type: ignore[union-attr]
    slopes = {name: weight.grad for name, weight in played.discriminator.named_parameters() if weight.grad is not None}
    return {**outcome.terms, **outcome.readings, **slopes}


@pytest.fixture
def precise() -> Iterator[None]:
    """In float64."""
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(usual)


@pytest.mark.usefixtures("precise")
@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_one_pass_over_both_teaches_what_two_passes_teach(name: str) -> None:
    make, parts = DISCRIMINATORS[name]
    batch = images()
    apart, together = (learned(game(make, judged, **parts), batch) for judged in JUDGED)
    assert apart.keys() == together.keys()
    for value, expected in apart.items():
        torch.testing.assert_close(together[value], expected, rtol=1e-9, atol=1e-12, msg=value)


def seen_by(discriminator: nn.Module) -> list[int]:
    """The sizes of its passes, in order."""
    sizes: list[int] = []
    discriminator.register_forward_hook(lambda module, given, output: sizes.append(len(given[0])))
    return sizes


@pytest.mark.parametrize(("update", "sizes"), [(0, [N, N]), (1, [2 * N])])
def test_updates_with_a_penalty_on_gradients_there_judge_apart(update: int, sizes: list[int]) -> None:
    make, _ = DISCRIMINATORS["mlp"]
    apart, together = (game(make, judged, penalties={"r1": R1(interval=2)}) for judged in JUDGED)
    passes, batch = seen_by(together.discriminator), images()
    values = learned(together, batch, update)
    assert passes == sizes
    for name, expected in learned(apart, batch, update).items():
        assert update == 1 or torch.equal(values[name], expected), name


def test_a_penalty_on_a_share_judges_that_share_again() -> None:
    make, _ = DISCRIMINATORS["mlp"]
    together = game(make, "together", penalties={"r1": R1(share=0.5)})
    passes = seen_by(together.discriminator)
    learned(together, images())
    assert passes == [2 * N, N // 2]


def test_spectral_normalisation_iterates_once_an_update() -> None:
    played = game(lambda: mlp.Discriminator(1, 16, (8,), spectral_norm=True), "together")
    norms = [module for module in played.discriminator.modules() if isinstance(module, SpectralNorm)]
    assert norms
    for module in norms:  # so far from the end that another iteration shows
        module.u.copy_(torch.nn.functional.normalize(torch.randn_like(module.u), dim=0))
    expected = [
        SpectralNorm.iterated(weight.original.detach().flatten(1), weight[0].u)[1]
        for weight in played.discriminator.modules()
        if isinstance(weight, ParametrizationList)
    ]
    learned(played, images())
    for module, u in zip(norms, expected, strict=True):
        torch.testing.assert_close(module.u, u)


REFUSED: Mapping[str, tuple[D, dict[str, Any], str]] = {
    "batch norm": (lambda: dcgan.Discriminator(1, 16, width=2), {}, r"BatchNorm2d\) mixes"),
    "minibatch": (lambda: mlp.Discriminator(1, 16, (8,), minibatch="stddev"), {}, r"StandardDeviation\) mixes"),
    "packing": (
        lambda: mlp.Discriminator(2, 16, (8,)),
        {"augments": {"packing": Packing(2)}},
        r"augment\.packing mixes",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_mixes_samples_is_refused(name: str) -> None:
    make, parts, says = REFUSED[name]
    game(make, **parts)
    with pytest.raises(Refused, match=says) as refused:
        game(make, "together", **parts)
    first, second = str(refused.value).splitlines()
    assert first.startswith("game.judged=together ")
    assert "game.judged=apart" in second


def test_another_word_is_refused() -> None:
    with pytest.raises(Refused, match=r"game\.judged=once is unknown\n  choose one of apart, together"):
        game(DISCRIMINATORS["mlp"][0], "once")


class Pictures:
    """The draw-th batch is made of that number."""

    classes, batch_size, shape, provides = 0, N, (1, 16, 16), frozenset[str]()

    def __len__(self) -> int:
        return 100

    def place(self, device: torch.device, seed: int, rank: int = 0, world: int = 1) -> None: ...

    def batch(self, draw: int) -> Batch:
        waves = torch.linspace(0, 9 + draw, N * 256).sin().view(N, 1, 16, 16)
        return Batch(torch.zeros(N, dtype=torch.int64), waves)

    def sampling(self, draw: int) -> Batch:
        return Batch(torch.zeros(N, dtype=torch.int64))


def trainer(micro_batches: int = 1) -> Trainer:
    played = game(lambda: mlp.Discriminator(1, 16, (8,), spectral_norm=True, dropout=0.5), "together")
    optimizers = {name: torch.optim.Adam(player.parameters()) for name, player in played.players().items()}
    made = Trainer(
        played,
        Pictures(),  # type: ignore[arg-type]
        optimizers,
        3,
        Constant(),
        max_steps=9,
        device="cpu",
        micro_batches=micro_batches,
    )
    made.place()
    return made


@pytest.mark.parametrize("parts", [1, 2])
def test_a_resumed_run_is_one_that_never_stopped(parts: int) -> None:
    whole, first, second = (trainer(parts) for _ in range(3))
    for _ in range(4):
        whole.step()
    for _ in range(2):
        first.step()
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for _ in range(2):
        second.step()
    for name, value in whole.game.state_dict().items():
        assert torch.equal(second.game.state_dict()[name], value), name
