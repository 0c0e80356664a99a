"""What generators of images pay besides their loss, for generators with known answers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from conftest import SMALL_TRANSLATORS, checked, words
from gan_cli import train
from gan_cli.auxiliaries import L1
from gan_cli.config import build
from gan_cli.errors import Incompatible, WeightsMissing
from gan_cli.games.adversarial import Adversarial
from gan_cli.games.parts import Parts
from gan_cli.image_auxiliaries import Cycle, Identity, Perceptual, TotalVariation
from gan_cli.losses import Hinge
from gan_cli.metrics.backbones import RandomFeatures
from gan_cli.networks import mlp
from gan_cli.priors import Normal
from gan_cli.types import Batch, DiscriminatorOutput, Need, Round, Term

Way = Callable[[Tensor, Tensor], Tensor]


def play(given: Tensor, real: Tensor, there: Way, back: Way | None = None) -> Round:
    """One update of a generator that is given images."""
    label = torch.zeros(len(given), dtype=torch.int64)
    output = DiscriminatorOutput(torch.zeros(len(given)))
    batch = Batch(label, real, given)
    fake = there(given, label)
    return Round(batch, given, real, fake, None, output, lambda x, y: output, there, nn.Identity(), 0, back)


def times(factor: float) -> Way:
    return lambda images, label: factor * images


@pytest.mark.parametrize("shape", [(3, 1, 1, 1), (2, 3, 5, 7), (1, 2, 16, 16)])
def test_a_cycle_of_inverses_costs_nothing_and_another_its_distance(shape: tuple[int, ...]) -> None:
    given, real = torch.randn(shape), torch.randn(shape)
    assert Cycle()(play(given, real, times(2.0), times(0.5))).abs().max().item() == 0
    cost = Cycle()(play(given, real, times(2.0), times(2.0)))
    torch.testing.assert_close(cost, 3 * given.abs().flatten(1).mean(1))


def test_identity_is_the_distance_that_real_images_are_moved_by() -> None:
    given, real = torch.randn(4, 3, 6, 5), torch.randn(4, 3, 6, 5)
    assert Identity()(play(given, real, times(1.0))).abs().max().item() == 0
    torch.testing.assert_close(Identity()(play(given, real, times(-1.0))), 2 * real.abs().flatten(1).mean(1))


def test_shapes_that_do_not_go_together_are_refused_in_two_lines() -> None:
    """Also where broadcasting would have made a number of them."""
    grey, colour = torch.randn(2, 1, 4, 4), torch.randn(2, 3, 4, 4)

    def coloured(images: Tensor, label: Tensor) -> Tensor:
        return images.expand(-1, 3, -1, -1)

    for term, current in (
        (Identity(), play(grey, colour, coloured)),
        (Cycle(), play(grey, colour, coloured, coloured)),
    ):
        with pytest.raises(Incompatible, match=r"3 x 4 x 4") as caught:
            term(current)
        assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(("h", "w"), [(4, 6), (1, 6), (4, 1), (1, 1)])
def test_total_variation_of_a_ramp_is_its_slopes(h: int, w: int) -> None:
    image = 0.5 * torch.arange(h).view(1, 1, h, 1) - 0.25 * torch.arange(w).view(1, 1, 1, w)
    expected = 0.5 * (h > 1) + 0.25 * (w > 1)
    found = TotalVariation()(play(image.expand(2, 3, h, w), image, times(1.0)))
    torch.testing.assert_close(found, torch.full((2,), expected))


def terms() -> list[Term]:
    return [Cycle(), Identity(), TotalVariation(), Perceptual(RandomFeatures(width=2)), L1()]


@pytest.mark.parametrize("term", terms(), ids=lambda term: type(term).__name__)
def test_terms_are_values_of_single_samples_that_teach_the_generator(term: Term) -> None:
    """One value a sample, that of the sample alone, float32 also under autocast; the gradient reaches the generator."""
    layer = nn.Conv2d(3, 3, 1)
    given, real = torch.randn(3, 3, 17, 19), torch.randn(3, 3, 17, 19)

    def there(images: Tensor, label: Tensor) -> Tensor:
        return layer(images)

    found = term(play(given, real, there, there))
    assert found.shape == (3,)
    torch.testing.assert_close(term(play(given[1:2], real[1:2], there, there)), found[1:2], rtol=1e-5, atol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = term(play(given, real, there, there))
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, found, rtol=0.05, atol=0.05)
    found.sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.abs().sum() > 0


def test_perceptual_distance_is_none_of_equals_and_weighs_its_layers() -> None:
    given, real = torch.randn(2, 3, 16, 16), torch.randn(2, 3, 16, 16)

    def distance(**layers: float) -> Tensor:
        return Perceptual(RandomFeatures(width=2, layers=layers))(play(given, real, times(1.0)))

    assert distance(conv1_1=1.0, conv2_2=1.0).min().item() > 0
    torch.testing.assert_close(distance(conv1_1=2.0, conv2_2=0.5), 2 * distance(conv1_1=1) + distance(conv2_2=1) / 2)
    same = Perceptual(RandomFeatures(width=2))(play(real, real, times(1.0)))
    assert same.abs().max().item() == 0


def paired(**auxiliaries: Term) -> Adversarial:
    """A game whose prior says that it gives pairs."""

    class Pairs(Normal):
        provides = frozenset({Need.LATENTS, Need.GIVEN, Need.PAIRS})

    networks = mlp.Generator(4, 3, (8, 8), (8,)), mlp.Discriminator(3, (8, 8), (8,))
    return Adversarial(Parts(*networks, Hinge(), Pairs(4), auxiliaries=auxiliaries))


def test_no_checkpoint_carries_the_network_and_nothing_trains_it() -> None:
    term = Perceptual(RandomFeatures(width=2))
    game = paired(perceptual=term)
    term.prepare()
    assert game.state_dict().keys() == paired().state_dict().keys()
    assert {*game.parameters()} == {p for player in game.players().values() for p in player.parameters()}
    assert copy.deepcopy(game).auxiliaries["perceptual"].network is term.network
    game.train().requires_grad_(True)
    outcome = game.generator_objective(Batch(torch.zeros(2, dtype=torch.int64), torch.randn(2, 3, 8, 8)), 0)
    sum(outcome.terms.values()).backward()  # type: ignore[union-attr]
    network = term.network._loaded()
    assert not network.training
    assert all(not p.requires_grad and p.grad is None for p in network.parameters())


def test_the_network_follows_what_it_sees() -> None:
    term = Perceptual(RandomFeatures(width=2)).to("meta")
    images = torch.zeros(2, 3, 8, 8, device="meta")
    assert term(play(images, images, times(1.0))).device.type == "meta"


def test_a_run_with_a_perceptual_term_trains_draws_and_resumes(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    random = ("auxiliary=[perceptual_random]", "auxiliary.perceptual.network.width=2")
    with caplog.at_level("INFO"):
        run = train(*words(*random, model=SMALL_TRANSLATORS["srgan"]))
    assert "untrained random convolutions, seed 0, width 2" in (run.folder / "train.log").read_text()
    assert not [key for key in run_keys(run.folder) if "network" in key]
    assert train(f"resume={run.folder}", "trainer.max_steps=4").step == 4


def run_keys(folder: Path) -> list[str]:
    state: dict[str, Any] = torch.load(folder / "checkpoints" / "last.pt", weights_only=True)
    return [*state["game"], *state["ema"]]


def test_missing_weights_are_told_before_anything_is_written_and_only_to_those_who_train(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(here / "hub"))
    monkeypatch.delenv("GAN_VGG19", raising=False)
    chosen = words("auxiliary=[perceptual]", model=SMALL_TRANSLATORS["srgan"])
    assert build.game(checked(chosen)).state_dict()
    with pytest.raises(WeightsMissing, match=r"vgg19-dcbb9e9d\.pth .*\$GAN_VGG19") as caught:
        train(*chosen)
    assert len(str(caught.value).splitlines()) == 2
    assert not [*here.iterdir()]


def test_a_sampling_round_needs_no_way_back() -> None:
    current = play(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), times(1.0))
    assert current.back is None
    assert replace(current, update=1).back is None
