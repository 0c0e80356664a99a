"""Progressive growing: what grows when, and that it is a function of the images shown and of nothing else."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conftest import same, weights, words
from gan_cli import sample, train
from gan_cli.errors import Incompatible
from gan_cli.games.adversarial import Adversarial
from gan_cli.games.parts import Parts
from gan_cli.losses import Hinge
from gan_cli.networks import conditioning, pggan, stylegan
from gan_cli.networks.growth import GrowingImage, Growth, Stage, enlarged, reduced
from gan_cli.priors import Normal
from gan_cli.training.ema import Ema
from gan_cli.types import Batch, Clock, Scheduled

LABEL = torch.zeros(4, dtype=torch.int64)
SMALL = ("model.latent_dim=4", "model.channel_base=64", "model.channel_max=4")
STYLE = ("model.generator.style_dim=4", "model.generator.mapping_layers=2")
GROWING = (*SMALL, "model.growth.start=4", "model.growth.fade_images=24", "model.growth.stable_images=8")


def grown(network: nn.Module, images: int) -> nn.Module:
    """The network once `images` were shown."""
    for module in network.modules():
        if isinstance(module, Scheduled):
            module.advance(Clock(images=images))
    return network


def pair(name: str, **parts: object) -> tuple[nn.Module, nn.Module]:
    """Networks for 16 px that grow at 10, fade until 20, grow again at 30 and fade until 40."""
    growth = Growth(4, 10, 10)
    discriminator = pggan.Discriminator(1, 16, 64, 8, growth=growth)
    if name == "pggan":
        return pggan.Generator(5, 1, 16, 64, 8, growth=copy.deepcopy(growth), **parts), discriminator
    return stylegan.Generator(5, 1, 16, 6, 2, 64, 8, growth=copy.deepcopy(growth), **parts), discriminator


@pytest.mark.parametrize(
    ("images", "stage"),
    [
        (0, (0, 1.0)),
        (9, (0, 1.0)),
        (10, (1, 0.0)),
        (15, (1, 0.5)),
        (20, (1, 1.0)),
        (29, (1, 1.0)),
        (30, (2, 0.0)),
        (39, (2, 0.9)),
        (40, (2, 1.0)),
        (50, (2, 1.0)),
        (10**10, (2, 1.0)),
    ],
)
def test_the_stage_follows_the_images_shown(images: int, stage: tuple[int, float]) -> None:
    growth = Growth(4, fade_images=10, stable_images=10)
    for before in (0, 10**10, 35):  # whatever came before
        growth.advance(Clock(images=before))
    growth.advance(Clock(step=7, images=images, seconds=3.0))
    assert growth.stage(2) == stage


@pytest.mark.parametrize("start", [4, 8, 16, 32])
def test_growth_is_complete_when_the_last_stage_has_faded_in(start: int) -> None:
    growth = Growth(start, fade_images=10, stable_images=7)
    complete = growth.complete(2)
    growth.advance(Clock(images=complete))
    assert growth.stage(2) == (2, 1.0)
    growth.advance(Clock(images=complete - 1))
    assert complete == 0 or growth.stage(2) == (2, 0.9)


def test_a_run_that_is_too_short_to_grow_up_says_so(here: Path) -> None:
    """16 px grow up after two doublings of 24 + 8 images each; a step shows 8 images."""

    def told(steps: int) -> str:
        run = train(*words("dataset.resolution=16", *GROWING, model=("model=pggan",), steps=steps))
        return (run.folder / "train.log").read_text()

    assert "ends after 16 images, the model is fully grown after 64: trainer.max_steps=8 or" in told(2)
    assert "grown" not in told(8)


def test_the_first_side_is_chosen_and_at_most_the_last() -> None:
    assert Growth(8).stage(3) == (1, 1.0)
    assert Growth(64).stage(3) == (3, 1.0)
    with pytest.raises(ValueError, match=r"model\.growth\.start=6 .*\n  use 4, 8, 16"):
        Growth(6)


@pytest.mark.parametrize("name", ["pggan", "stylegan"])
@pytest.mark.parametrize(("images", "side"), [(0, 4), (10, 4), (11, 8), (25, 8), (30, 8), (31, 16), (99, 16)])
def test_images_have_the_full_size_and_the_present_detail(name: str, images: int, side: int) -> None:
    """Constant over squares, which are no larger than they must be."""
    generator = grown(pair(name)[0], images)
    drawn = generator(torch.randn(4, 5), LABEL)
    assert drawn.shape == (4, 1, 16, 16)
    halvings = (16 // side).bit_length() - 1
    torch.testing.assert_close(enlarged(reduced(drawn, halvings), halvings), drawn)
    assert (enlarged(reduced(drawn, halvings + 1), halvings + 1) - drawn).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["pggan", "stylegan"])
def test_the_generator_fades_from_the_lower_path_to_the_higher(name: str) -> None:
    generator = pair(name)[0].eval()
    latent = torch.randn(4, 5)

    def at(images: int) -> Tensor:
        drawn: Tensor = grown(generator, images)(latent, LABEL)
        return drawn

    torch.testing.assert_close(at(10), at(9))
    torch.testing.assert_close(at(30), at(29))
    torch.testing.assert_close(at(15), 0.5 * at(10) + 0.5 * at(20))
    torch.testing.assert_close(at(33), 0.7 * at(30) + 0.3 * at(40))
    assert (at(20) - at(10)).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["pggan", "stylegan"])
def test_real_images_fade_as_drawn_ones_do(name: str) -> None:
    """Figure 2: the means over squares of the lower side, then more and more of the higher one."""
    generator, judge = pair(name)
    real = torch.randn(4, 1, 16, 16)
    coarse, middle = enlarged(reduced(real, 2), 2), enlarged(reduced(real, 1), 1)
    for images, expected in (
        (0, coarse),
        (10, coarse),
        (14, 0.6 * coarse + 0.4 * middle),
        (25, middle),
        (33, 0.7 * middle + 0.3 * real),
        (40, real),
    ):
        torch.testing.assert_close(grown(generator, images).matched(real), expected)
    seen: list[Tensor] = []
    judge.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach()))
    game = Adversarial(Parts(grown(generator, 14), judge, Hinge(), Normal(5)))
    game.discriminator_objective(Batch(LABEL, real), 0)
    torch.testing.assert_close(seen[0], 0.6 * coarse + 0.4 * middle)


def test_the_discriminator_fades_from_the_lower_path_to_the_higher() -> None:
    judge = pair("pggan")[1]
    images = torch.randn(4, 1, 16, 16)
    seen: list[Tensor] = []
    judge.minibatch.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))

    def at(shown: int) -> Tensor:
        grown(judge, shown)(images, LABEL)
        return seen[-1]

    torch.testing.assert_close(at(10), at(9))
    torch.testing.assert_close(at(15), 0.5 * at(10) + 0.5 * at(20))
    torch.testing.assert_close(at(10), F.leaky_relu(judge.from_image[0](F.avg_pool2d(images, 4)), 0.2))
    # what is finer than the present side does not count
    torch.testing.assert_close(
        grown(judge, 25)(images, LABEL).logits, judge(enlarged(reduced(images, 1), 1), LABEL).logits
    )


def test_layers_of_later_stages_get_no_gradient() -> None:
    generator, judge = (grown(network, 15) for network in pair("pggan"))
    judge(generator(torch.randn(4, 5), LABEL), LABEL).logits.sum().backward()
    assert all(p.grad is None for p in generator.doubling[1].parameters())
    assert all(p.grad is None for p in generator.image.to_image[2].parameters())
    assert all(p.grad is None for p in judge.halvings[1].parameters())
    assert all(p.grad is not None for p in generator.doubling[0].parameters())
    assert all(p.grad is not None for p in judge.from_image[0].parameters())


def test_the_averaged_copy_and_a_loaded_one_have_the_same_stage() -> None:
    generator = pair("pggan")[0]
    ema = Ema(generator, 100.0, 0.0)
    grown(generator, 35)
    ema.update(40, 5)
    assert ema.network.image.stage() == Stage(2, 0.5)
    other = pair("pggan")[0]
    other.load_state_dict(ema.network.state_dict())
    assert other.image.stage() == Stage(2, 0.5)


def test_double_backward_while_fading() -> None:
    judge = grown(pair("pggan")[1], 33).double()
    x = torch.randn(4, 1, 16, 16).double().requires_grad_()
    logits = torch.randn(4).double().requires_grad_()
    assert torch.autograd.gradgradcheck(lambda images: judge(images, LABEL).logits, x, logits, fast_mode=True)


def test_a_growing_image_is_linear_in_its_maps() -> None:
    image = GrowingImage(Growth(), (3, 3), 2)
    lower, higher = torch.randn(1, 3, 4, 4), torch.randn(1, 3, 8, 8)
    drawn = image(lower, higher, Stage(1, 0.25))
    expected = 0.75 * enlarged(image.to_image[0](lower), 1) + 0.25 * image.to_image[1](higher)
    torch.testing.assert_close(drawn, expected)


def test_pixel_norm_has_gains_and_biases_of_the_class() -> None:
    generator = pair("pggan", conditioning=conditioning.ConditionalNorm(3))[0]
    for module in generator.modules():
        if isinstance(module, conditioning.ConditionalNormalisation):
            nn.init.normal_(module.gain.weight)
    latent = torch.randn(1, 5).expand(3, -1)
    images = generator(latent, torch.tensor([0, 1, 0]))
    torch.testing.assert_close(images[0], images[2])
    assert (images[0] - images[1]).abs().max() > 1e-3


@pytest.mark.parametrize("resolution", [20, (), (16, 18)])
def test_what_does_not_halve_is_refused(resolution: object) -> None:
    with pytest.raises(Incompatible, match=r"model=pggan .*\n  .*model=mlp"):
        pggan.Generator(4, 1, resolution)  # type: ignore[arg-type]


@pytest.mark.parametrize(("model", "more"), [("pggan", ()), ("stylegan", STYLE)])
def test_a_run_stopped_in_the_middle_of_a_fade_goes_on_as_if_it_had_not(
    here: Path, model: str, more: tuple[str, ...]
) -> None:
    """8 images a step: the second side fades in during steps 2 to 4, the run stops after 3."""
    base = words(*GROWING, *more, "dataset.batch_size=8", model=(f"model={model}",))
    whole = train(*base, "trainer.max_steps=6").folder
    half = train(*base, "trainer.max_steps=3").folder
    assert weights(half)["/ema/" + buffer(model)] == 16  # shown before the third step
    # `gan sample` draws what has grown: 8 x 8 in 16 x 16, half faded in
    drawn = sample(half, "n=4")
    torch.testing.assert_close(enlarged(reduced(drawn, 1), 1), drawn)
    assert (enlarged(reduced(drawn, 2), 2) - drawn).abs().max() > 1e-4
    train(f"resume={half}", "trainer.max_steps=6")
    assert same(weights(whole), weights(half))
    assert weights(whole)["/ema/" + buffer(model)] == 40


def buffer(model: str) -> str:
    return {"pggan": "image.growth.images", "stylegan": "synthesis.image.growth.images"}[model]
