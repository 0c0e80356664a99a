"""What the discriminator sees: statistics, borders, gradients, and adaptation."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import Tensor

from gan_cli import ramps
from gan_cli.augment import ada, diffaugment, filtered, warps
from gan_cli.augment.base import Augment
from gan_cli.augment.noise import InstanceNoise
from gan_cli.augment.packing import Packing
from gan_cli.games.adversarial import Adversarial
from gan_cli.games.parts import Parts
from gan_cli.losses import Hinge
from gan_cli.networks.critics import Patches
from gan_cli.priors import Pair
from gan_cli.types import Batch, Clock


def images(n: int = 64, channels: int = 3, height: int = 16, width: int = 16) -> Tensor:
    return torch.rand(n, channels, height, width) * 2 - 1


EVERY = [diffaugment.DiffAugment(), ada.GeometryAndColor(p=0.8), InstanceNoise(0.1), Packing(2)]


@pytest.mark.parametrize("augment", EVERY, ids=lambda a: type(a).__name__)
@pytest.mark.parametrize("channels", [1, 3])
def test_gradients_of_gradients_pass(augment: Augment, channels: int) -> None:
    x = images(8, channels, 12, 16).requires_grad_()
    (slope,) = torch.autograd.grad(augment(x).square().sum(), x, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.square().sum(), x)
    assert curvature.isfinite().all()
    assert curvature.abs().sum() > 0


def test_saturation_is_changed_by_a_factor_of_0_to_2() -> None:
    """Contrast scales the grey levels and the colours of an image alike, saturation the colours alone."""
    level = torch.tensor([0.2, -0.2]).view(1, 1, 2, 1)
    tint = torch.tensor([0.3, 0.0, -0.3]).view(1, 3, 1, 1)
    changed = diffaugment.color((level + tint).expand(4000, -1, -1, -1))
    contrast = (changed[:, :, 0] - changed[:, :, 1])[:, 1, 0] / 0.4
    saturation = (changed[:, 0, 0, 0] - changed[:, 2, 0, 0]) / 0.6 / contrast
    assert saturation.mean().item() == pytest.approx(1, abs=0.03)
    assert (saturation.min().item(), saturation.max().item()) == pytest.approx((0, 2), abs=0.01)


def test_color_keeps_the_mean_over_many_and_moves_each_by_half_at_most() -> None:
    grey = torch.zeros(4000, 3, 2, 2)
    changed = diffaugment.color(grey)
    assert changed.abs().max().item() <= 0.5
    assert changed.mean().item() == pytest.approx(0, abs=0.02)
    assert changed.std().item() == pytest.approx(1 / math.sqrt(12), rel=0.05)


def test_color_scales_the_saturation_by_up_to_two_and_the_contrast_by_a_half_to_one_and_a_half() -> None:
    """Two pixels: brightness moves both, contrast their difference in grey, saturation what parts red from green."""
    red, green, blue = [0.8, -0.2], [0.2, -0.8], [0.5, -0.5]
    changed = diffaugment.color(torch.tensor([red, green, blue])[:, None].expand(4000, 3, 1, 2))
    contrast = changed.mean(1)[:, 0, 0] - changed.mean(1)[:, 0, 1]  # 1 before
    saturation = (changed[:, 0] - changed[:, 1])[:, 0, 0] / 0.6 / contrast
    for factor, least, most in ((saturation, 0, 2), (contrast, 0.5, 1.5)):
        assert factor.mean().item() == pytest.approx(1, abs=0.05)
        assert factor.min().item() == pytest.approx(least, abs=0.02)
        assert factor.max().item() == pytest.approx(most, abs=0.02)


def test_cutout_clears_a_rectangle_of_half_the_side() -> None:
    hidden = (diffaugment.cutout(torch.ones(2000, 1, 16, 16)) == 0).float()
    assert hidden.flatten(1).sum(1).max().item() == 64
    assert hidden.flatten(1).sum(1).min().item() >= 16  # in a corner, a quarter of it is left
    assert hidden.mean((0, 1))[8, 8] > hidden.mean((0, 1))[0, 0]


def test_shifts_are_whole_pixels_and_fill_what_comes_in() -> None:
    x = torch.zeros(500, 1, 16, 16)
    x[:, :, 8, 8] = 1
    moved = warps.shifted(x, 0.125, -1.0)
    places = (moved == 1).flatten(1).float().argmax(1)
    rows, columns = places // 16, places % 16
    assert set(rows.tolist()) == set(columns.tolist()) == {6, 7, 8, 9, 10}
    edge = warps.shifted(torch.zeros(500, 1, 16, 16), 0.125, -1.0)
    assert set(edge.unique().tolist()) == {-1.0, 0.0}
    assert set(diffaugment.translation(torch.ones(500, 1, 16, 16)).unique().tolist()) == {0.0, 1.0}


def test_an_unknown_change_is_named() -> None:
    with pytest.raises(ValueError, match=r"policy=\[colour\] is unknown"):
        diffaugment.DiffAugment(["colour"])


def test_warps_identity_quarter_turn_and_whole_shift_are_exact() -> None:
    x = images(2, 3, 8, 8)
    one = torch.eye(3).expand(2, 3, 3)
    torch.testing.assert_close(warps.warped(x, one[:, :2]), x)
    turn = ada.rotation(torch.full((2,), math.pi / 2))
    torch.testing.assert_close(warps.warped(x, turn[:, :2]), x.rot90(1, (2, 3)), atol=1e-5, rtol=0)
    shift = ada.translation(torch.full((2,), 2.0), torch.zeros(2))
    torch.testing.assert_close(warps.warped(x, shift[:, :2])[..., :6], x[..., 2:], atol=1e-5, rtol=0)


def test_probability_zero_changes_nothing() -> None:
    x = images(8)
    torch.testing.assert_close(ada.GeometryAndColor(p=0.0)(x), x, atol=1e-5, rtol=0)


def test_hue_turns_keep_grey_and_saturation() -> None:
    grey = images(16, 1).expand(-1, 3, -1, -1) * 0 + 0.3
    changed = ada.color(grey, 1.0)
    torch.testing.assert_close(changed[:, 0], changed[:, 1], atol=1e-5, rtol=0)
    torch.testing.assert_close(changed[:, 1], changed[:, 2], atol=1e-5, rtol=0)


def shown(augment: ada.Ada, logits: torch.Tensor, start: int, steps: int, batch: int = 32) -> None:
    """What a run does: p is moved at the start of a step, then D sees a batch."""
    for step in range(start, start + steps):
        augment.advance(Clock(step, batch * step))
        augment.observe(logits)
    augment.advance(Clock(start + steps, batch * (start + steps)))


# D's logits of 32 images: one each, of a jury of three, of packs of two, below the target
JUDGED = [torch.ones(32), torch.ones(32, 3), torch.ones(16), torch.full((32,), -0.5)]


@pytest.mark.parametrize("logits", JUDGED)
def test_p_follows_how_surely_real_samples_are_known(logits: torch.Tensor) -> None:
    direction = float(logits.flatten()[0].sign())
    augment = ada.Ada(target=0.6, images=1000, interval=2)
    augment.p.fill_(0.5)
    shown(augment, logits, 0, 4)
    assert float(augment.p) == pytest.approx(0.5 + direction * 4 * 32 / 1000)
    shown(augment, logits, 4, 200)
    assert float(augment.p) == (1.0 if direction > 0 else 0.0)
    again = ada.Ada(target=0.6, images=1000, interval=2)
    again.load_state_dict(augment.state_dict())
    assert float(again.p) == float(augment.p)
    shown(again, -logits, 0, 2)  # as the start of another run, whose clock begins anew
    assert float(again.p) == pytest.approx(float(augment.p) - direction * 2 * 32 / 1000)


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_p_moves_after_as_many_updates_in_however_many_parts_they_are_computed(parts: int) -> None:
    """Two updates a step, four to an adjustment: p moves at every second step, by what was shown since."""
    augment = ada.Ada(target=0.6, images=1000, interval=4)
    moved = []
    for step in range(5):
        augment.advance(Clock(step, 64 * step))
        moved.append(round(1000 * float(augment.p)))
        for update in (2 * step, 2 * step + 1):
            for part in torch.ones(32).tensor_split(parts):
                augment.follow(part, update)
    assert moved == [0, 0, 128, 128, 256]


def test_places_keep_their_digits_in_bfloat16() -> None:
    x = torch.linspace(-1, 1, 64).expand(8, 1, 64, 64)
    torch.manual_seed(1)
    expected = ada.geometry(x, 1.0)
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ada.geometry(x, 1.0), expected)


def test_instance_noise_has_its_strength_and_decays() -> None:
    noise = InstanceNoise(ramps.Linear(0.5, 0.0, 100))
    x = torch.zeros(20_000)
    assert noise(x).std().item() == pytest.approx(0.5, rel=0.03)
    noise.sigma.advance(Clock(images=100))
    assert torch.equal(noise(x), x)


@pytest.mark.parametrize("shape", [(2,), (3, 4, 4)])
def test_packing_joins_neighbours_along_channels(shape: tuple[int, ...]) -> None:
    x = torch.randn(7, *shape)
    packed = Packing(3)(x)
    assert packed.shape == (2, 3 * shape[0], *shape[1:])
    assert torch.equal(packed[1], torch.cat([x[3], x[4], x[5]]))


def test_borders_are_mirrors() -> None:
    assert warps.reflect(torch.arange(-3, 8), 5).tolist() == [3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1]
    assert warps.reflect(torch.arange(-2, 3), 1).tolist() == [0, 0, 0, 0, 0]


def test_the_wavelet_is_orthogonal_so_that_its_filters_lead_back() -> None:
    taps = torch.tensor(filtered.SYM6, dtype=torch.float64)
    for shift in range(0, len(taps), 2):
        product = (taps[shift:] * taps[: len(taps) - shift]).sum()
        assert product == pytest.approx(float(shift == 0), abs=1e-9)
    x = torch.randn(2, 3, 7, 12, dtype=torch.float64)
    torch.testing.assert_close(filtered.halved(filtered.doubled(x)), x, rtol=0, atol=1e-9)
    wide, high = torch.randn(2, 3, 24, 34, dtype=torch.float64), filtered.doubled(x)
    assert (high * wide).sum() == pytest.approx(
        (x * filtered.halved(wide)).sum().item()
    )  # one is the other's transpose


def test_filtered_maps_are_those_of_pixels_and_keep_more_detail() -> None:
    """Nothing and whole shifts change nothing else; at a shift of 0.43 px, 81 % of fine detail is left, not 53 %."""
    x = torch.randn(4, 2, 16, 16)
    one = torch.eye(3)[:2].repeat(4, 1, 1)
    torch.testing.assert_close(filtered.warped(x, one), x, atol=1e-5, rtol=0)
    shift = one.clone()
    shift[:, 0, 2] = 2
    torch.testing.assert_close(filtered.warped(x, shift)[..., 5:9], x[..., 7:11], atol=1e-5, rtol=0)
    smooth = torch.sin(torch.arange(32.0) / 4).expand(1, 1, 32, 32)
    shift = torch.tensor([[[1.0, 0.0, 0.43], [0.0, 1.0, 0.43]]])
    places = (torch.arange(32.0) + 0.43) / 4
    torch.testing.assert_close(
        filtered.warped(smooth, shift)[0, 0, 16, 8:24], torch.sin(places)[8:24], atol=5e-3, rtol=0
    )
    noise = torch.randn(16, 1, 32, 32)
    left = [
        move(noise, shift.expand(16, -1, -1))[..., 8:24, 8:24].square().mean()
        for move in (warps.warped, filtered.warped)
    ]
    assert left[1] > 1.2 * left[0]


def test_a_saved_config_without_the_key_warps_as_it_did() -> None:
    x = torch.rand(4, 1, 16, 16)
    torch.manual_seed(1)
    before = ada.Ada(0.6, 500_000, 4)
    before.p.fill_(0.8)
    old = before(x)
    torch.manual_seed(1)
    torch.testing.assert_close(ada.color(ada.geometry(x, float(before.p), False), float(before.p)), old, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("side", "half_up", "reach", "cut"), [(20, False, 2, 10), (20, True, 3, 10), (30, True, 4, 15), (30, False, 4, 14)]
)
def test_odd_eighths_and_halves_of_a_side(side: int, half_up: bool, reach: int, cut: int) -> None:
    ones = torch.ones(2000, 1, side, side)
    moved = diffaugment.translation(ones, half_up)
    assert int((moved[:, 0, side // 2] == 0).sum(1).max()) == reach
    kept = diffaugment.cutout(ones, half_up)
    assert int(side - kept.amax(2).sum((1, 2)).min()) in (0, cut)
    assert int((kept == 0).sum((1, 2, 3)).max()) == cut * cut


def adaptive(filtered: bool) -> ada.Ada:
    augment = ada.Ada(filtered=filtered)
    augment.p.fill_(0.8)
    return augment


COLOURFUL = {
    "diffaugment": diffaugment.DiffAugment(),
    "half up": diffaugment.DiffAugment(["cutout", "color", "translation"], half_up=True),
    "geometry and colour": ada.GeometryAndColor(p=0.8),
    "adaptive, filtered": adaptive(True),
}


def by_the_same_draw(augment: Augment, *pictures: Tensor) -> Tensor:
    """Each changed alone, then joined."""
    changed = []
    for picture in pictures:
        torch.manual_seed(5)
        changed.append(augment(picture))
    return torch.cat(changed, 1)


@pytest.mark.parametrize("sides", [(3, 1), (1, 3), (1, 1), (3, 3)], ids=str)
@pytest.mark.parametrize("name", COLOURFUL)
def test_each_side_of_a_pair_is_what_the_same_draw_makes_of_it_alone(name: str, sides: tuple[int, int]) -> None:
    drawn, source = (images(32, channels, 12, 16) for channels in sides)
    networks = torch.nn.Identity(), Patches(sum(sides), width=2, layers=0, norm="none")
    game = Adversarial(Parts(*networks, Hinge(), Pair(), augments={"a": COLOURFUL[name]}))
    torch.manual_seed(5)
    seen = game.seen(drawn, Batch(torch.zeros(32, dtype=torch.int64), given=source))
    torch.testing.assert_close(seen, by_the_same_draw(COLOURFUL[name], drawn, source), rtol=0, atol=1e-6)


def test_an_inverted_luma_brings_nothing_of_one_side_into_the_other() -> None:
    """Whatever stands beside it, an even picture stays even, and of two the brighter one stays the farther from 0."""
    even, other = torch.full((64, 1, 4, 4), 0.5), images(64, 1, 4, 4)
    for color in (partial(ada.color, p=1.0), diffaugment.color):
        assert color(torch.cat([even, other], 1), sides=(1, 1))[:, 0].flatten(1).std(1).max() < 1e-6
    flipped = ada.color(torch.cat([even, 0 * even], 1), 1.0, (1, 1))
    steps = (flipped[:, 0] - flipped[:, 1])[:, 0, 0]  # ± ½ · contrast
    contrast = 2 * steps.abs()
    assert 0.3 < float((steps < 0).float().mean()) < 0.7
    torch.testing.assert_close(flipped[:, 0] - steps.view(-1, 1, 1), flipped[:, 1], rtol=0, atol=1e-6)
    assert float(contrast.log2().std()) == pytest.approx(0.5, rel=0.3)


def test_a_pack_of_pairs_is_changed_picture_by_picture() -> None:
    x = images(8, 4, 6, 6)
    packed = Packing(2).joined(x, (3, 1))
    augment = COLOURFUL["geometry and colour"]
    torch.manual_seed(5)
    changed = augment.joined(packed, (3, 1))
    torch.testing.assert_close(changed, by_the_same_draw(augment, *packed.split([3, 1, 3, 1], 1)), rtol=0, atol=1e-6)


def test_noise_is_another_one_on_each_side() -> None:
    noise = InstanceNoise(1.0).joined(torch.zeros(64, 2, 8, 8), (1, 1))
    assert abs(float(torch.corrcoef(noise.transpose(0, 1).flatten(1))[0, 1])) < 0.1


def test_colours_of_single_pictures_are_those_that_saved_runs_go_on_with() -> None:
    """Bit for bit: the same numbers are drawn in the same order, and the sums are the same."""
    x, n, p = images(16, 3), 16, 0.7
    draw = lambda make: make(n, 1, 1, 1)  # noqa: E731

    def on() -> Tensor:
        return (torch.rand(n) < p).float().view(-1, 1, 1, 1)

    torch.manual_seed(1)
    y = x + (draw(torch.rand) - 0.5)
    grey = y.mean(1, keepdim=True)
    y = (y - grey) * (2 * draw(torch.rand)) + grey
    level = y.mean((1, 2, 3), keepdim=True)
    y = (y - level) * (draw(torch.rand) + 0.5) + level
    torch.manual_seed(1)
    assert torch.equal(diffaugment.color(x), y)

    torch.manual_seed(1)
    y = x + 0.2 * draw(torch.randn) * on()
    y = y * 2 ** (0.5 * draw(torch.randn) * on())
    flips = on() * torch.randint(2, (n, 1, 1, 1))
    y = y - 2 * y.mean(1, keepdim=True) * flips
    angle = math.pi * (2 * draw(torch.rand) - 1) * on()
    grey = y.mean(1, keepdim=True)
    turned = (y.roll(1, 1) - y.roll(2, 1)) / math.sqrt(3)
    y = grey + ((y - grey) * angle.cos() + turned * angle.sin()) * 2 ** (draw(torch.randn) * on())
    torch.manual_seed(1)
    assert torch.equal(ada.color(x, p), y)
