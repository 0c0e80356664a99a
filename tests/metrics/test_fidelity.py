"""PSNR and SSIM against scikit-image; gains, borders and cycle errors with known answers; measured once a run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import metrics as theirs
from torch import Tensor

from conftest import Inside
from gan_cli.config import build
from gan_cli.evaluation.samples import Source
from gan_cli.evaluation.values import Evaluation, measure
from gan_cli.metrics import Better, Context, Estimate, NotMeasurable
from gan_cli.metrics.detectors import Detector, Pixels
from gan_cli.metrics.fidelity import CycleError, Fidelity, enlarged, luma, psnr, ssim
from gan_cli.metrics.frechet import Frechet
from gan_cli.metrics.measure import Plan, Reference

Triple = tuple[Tensor, Tensor, Tensor]


def picture(channels: int = 3, height: int = 40, width: int = 33, seed: int = 0) -> Tensor:
    """A smooth picture with noise on it, uint8."""
    drawn = torch.Generator().manual_seed(seed)
    waves = torch.sin(
        torch.arange(height)[:, None] / 5 + torch.arange(width) / 7 + torch.arange(channels)[:, None, None]
    )
    noise = torch.randn(channels, height, width, generator=drawn)
    return (127 + 80 * waves + 12 * noise).clamp(0, 255).to(torch.uint8)[None]


def context(*triples: Triple) -> Context:
    return Context(pairs=lambda: iter(triples))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(40, 33), (11, 11), (64, 12)])
def test_psnr_and_ssim_are_scikit_images(channels: int, size: tuple[int, int]) -> None:
    a, b = picture(channels, *size), picture(channels, *size, seed=1)
    x, y = (images[0].permute(1, 2, 0).numpy() for images in (a, b))
    assert float(psnr(a, b)) == pytest.approx(theirs.peak_signal_noise_ratio(y, x, data_range=255), abs=1e-6)
    _, places = theirs.structural_similarity(
        x, y, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, full=True
    )
    assert float(ssim(a, b)) == pytest.approx(places[5:-5, 5:-5].mean(), abs=1e-6)


def test_y_is_matlabs_in_studio_range() -> None:
    """Black, white and the primaries, as rgb2ycbcr has them."""
    colours = torch.tensor([[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]])
    found = luma(colours.to(torch.uint8).view(5, 3, 1, 1)).flatten()
    expected = [16, 235, 16 + 65.481, 16 + 128.553, 16 + 24.966]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-9)


def test_a_known_error_has_its_psnr_and_equals_an_infinite_one() -> None:
    target = torch.full((1, 1, 20, 20), 100, dtype=torch.uint8)
    found = Fidelity().compute(context((target + 5, target, target)))
    assert found["psnr"].value == pytest.approx(20 * math.log10(255 / 5))
    assert found["psnr"].se is None
    same = Fidelity().compute(context((target, target, target), (target + 5, target, target)))
    assert (same["psnr"].value, same["psnr"].se) == (math.inf, None)
    assert same["ssim"].value < 1


def test_colours_are_compared_by_y_and_grey_as_it_is() -> None:
    a, b = picture(3), picture(3, seed=1)
    by_luma, by_all = (Fidelity(luma=choice).compute(context((a, b, b))) for choice in (True, False))
    assert by_luma["psnr"].value == pytest.approx(float(psnr(luma(a), luma(b))))
    assert by_all["psnr"].value == pytest.approx(float(psnr(a, b)))
    assert by_all["ssim"].value == pytest.approx(float(ssim(a, b)))
    grey = Fidelity().compute(context((a[:, :1], b[:, :1], b)))
    assert grey["psnr"].value == pytest.approx(float(psnr(a[:, :1], b[:, :1])))
    said = [found["psnr"].convention for found in (by_luma, by_all, grey)]
    assert said == [
        "Y of BT.601 (16 ... 235), border 0, mean over pictures",
        "RGB, border 0, mean over pictures",
        "grey, border 0, mean over pictures",
    ]


def smaller(target: Tensor, scale: int) -> Tensor:
    return torch.nn.functional.avg_pool2d(target.float(), scale).round().to(torch.uint8)


def test_an_enlargement_has_no_gain_over_itself_and_another_the_mean_of_its_own() -> None:
    """Two pictures of unequal sizes: drawn by bicubic, and one grey level off the target."""
    targets = [picture(3, 48, 32), picture(3, 24, 40, seed=1)]
    given = [smaller(target, 4) for target in targets]
    cubic = [enlarged(small, target) for small, target in zip(given, targets, strict=True)]
    found = Fidelity().compute(context(*zip(cubic, targets, given, strict=True)))
    assert (found["psnr_gain"].value, found["psnr_gain"].se, found["psnr_gain"].n_fake) == (0, 0, 2)
    assert found["psnr"].value == found["psnr_bicubic"].value
    assert found["ssim"].value == found["ssim_bicubic"].value
    near = [torch.where(target > 0, target - 1, target) for target in targets]
    better = Fidelity().compute(context(*zip(near, targets, given, strict=True)))
    gains = [float(psnr(*(luma(x)[..., 4:-4, 4:-4] for x in pair))) for pair in zip(near, targets, strict=True)]
    losses = [float(psnr(*(luma(x)[..., 4:-4, 4:-4] for x in pair))) for pair in zip(cubic, targets, strict=True)]
    each = np.subtract(gains, losses)
    assert better["psnr_gain"].value == pytest.approx(each.mean())
    assert better["psnr_gain"].se == pytest.approx(each.std(ddof=1) / 2**0.5)
    assert better["psnr"].value == pytest.approx(np.mean(gains))
    assert better["psnr"].convention.startswith("Y of BT.601 (16 ... 235), border 4, enlarged x4")


@pytest.mark.parametrize("shape", [(48, 48), (12, 10), (9, 12), (48, 40)])
def test_only_what_is_smaller_by_one_whole_factor_is_enlarged(shape: tuple[int, int]) -> None:
    target = picture(1, 48, 40)
    found = Fidelity().compute(context((target, target, picture(1, *shape))))
    assert ("psnr_bicubic" in found) == ("psnr_gain" in found) == (shape == (12, 10))


def test_what_is_grey_and_smaller_is_no_enlargement_of_a_colour_picture() -> None:
    target = picture(3, 48, 40)
    found = Fidelity().compute(context((target, target, picture(1, 12, 10))))
    assert found.keys() == {"psnr", "ssim"}


def test_a_bicubic_enlargement_is_pillows() -> None:
    from PIL import Image

    given, target = picture(1, 16, 12), picture(1, 64, 48)
    pillow = np.asarray(Image.fromarray(given[0, 0].numpy()).resize((48, 64), Image.Resampling.BICUBIC))
    assert np.abs(enlarged(given, target)[0, 0].numpy().astype(int) - pillow).max() <= 1


def test_the_border_is_left_out() -> None:
    target = picture(1)
    drawn = target.clone()
    drawn[..., :3, :] = 255 - drawn[..., :3, :]
    drawn[..., -3:] = 255 - drawn[..., -3:]
    found = [Fidelity(border).compute(context((drawn, target, target)))["psnr"].value for border in (2, 3)]
    assert found[0] < found[1] == math.inf


@pytest.mark.parametrize(
    ("metric", "triples", "reason"),
    [
        (Fidelity(), None, "these have none"),
        (Fidelity(), [], "there are none"),
        (Fidelity(), [(picture(3), picture(1), picture(1))], "3 x 40 x 33 and 1 x 40 x 33"),
        (Fidelity(border=17), [(picture(), picture(), picture())], "leaves nothing of pictures of 40 x 33"),
    ],
)
def test_what_cannot_be_compared_says_why(metric: Fidelity, triples: list[Triple] | None, reason: str) -> None:
    with pytest.raises(NotMeasurable, match=reason):
        metric.compute(Context() if triples is None else context(*triples))


def test_small_pictures_have_a_psnr_and_no_ssim() -> None:
    found = Fidelity().compute(context((picture(1, 8, 8), picture(1, 8, 8, seed=1), picture(1, 8, 8))))
    assert found.keys() == {"psnr"}
    assert "no ssim under 11 pixels" in found["psnr"].convention


def test_cycle_error_is_in_grey_levels() -> None:
    """Also where the difference is negative, which uint8 has not."""
    low, high = (torch.full((1, 3, 4, 5), value, dtype=torch.uint8) for value in (10, 14))
    trips = [(low, high), (high, low), (low, low)]
    found = CycleError().compute(Context(round_trips=lambda: iter(trips)))["cycle_error"]
    assert found.value == pytest.approx(8 / 3)
    assert found.se == pytest.approx(np.std([4, 4, 0], ddof=1) / 3**0.5)
    assert (found.n_fake, found.n_real) == (3, 3)
    for trips, reason in (([(low, high[:, :1])], "one size"), ([], "there are none")):
        with pytest.raises(NotMeasurable, match=reason):
            CycleError().compute(Context(round_trips=lambda trips=trips: iter(trips)))
    with pytest.raises(NotMeasurable, match="game=cycle"):
        CycleError().compute(Context())


def test_directions() -> None:
    assert Fidelity.better == dict.fromkeys(("psnr", "ssim", "psnr_gain"), Better.LARGER)
    assert CycleError.better == {"cycle_error": Better.SMALLER}
    assert {"psnr", "ssim", "cycle_error", "lpips"} <= build.watchable().keys()


def source(name: str, n: int = 6) -> Source:
    images = torch.cat([picture(3, 12, 12, seed=i) for i in range(n)])

    def batches(size: int) -> Iterator[tuple[Tensor, None]]:
        return ((piece, None) for piece in images.split(size))

    return Source(name, n, batches, fingerprint=name)


class Counted(Fidelity):
    times = 0

    def compute(self, context: Context) -> dict[str, Estimate]:
        self.times += 1
        return dict(super().compute(context))


class Other(Pixels):
    name = "other"


def measured(here: Path, drawn: Source, detectors: dict[str, Detector], **metrics: object) -> Evaluation:
    plan, real = Plan(10, 4, here / "cache"), source("data")
    against = Reference(real.name, real.n, real.batches, real.fingerprint)
    return measure(drawn, against, detectors, metrics, plan, Evaluation("x", None, 0))  # type: ignore[arg-type]


def test_pairs_are_measured_once_whatever_the_detectors(here: Path) -> None:
    triples = [(picture(seed=i), picture(seed=i + 9), picture()) for i in range(3)]
    drawn = replace(source("run"), pairs=lambda: iter(triples), drawn="averaged generator")
    counted = Counted()
    detectors: dict[str, Detector] = {"pixels": Pixels(), "other": Other()}
    found = measured(here, drawn, detectors, fid=Frechet(), fidelity=counted, cycle_error=CycleError())
    assert found.keys() == {"fd_pixels", "fd_other", "psnr", "ssim"}
    assert counted.times == 1
    psnr = found.psnr
    assert (psnr.n, psnr.n_real, psnr.detector, psnr.weights_sha256) == (3, 3, "none", None)
    assert (psnr.reference, psnr.drawn) == ("data", "averaged generator")
    assert found.refused.keys() == {"cycle_error"}
    alone = measured(here, drawn, {}, fidelity=Fidelity())
    assert alone.psnr == psnr


def test_a_run_without_pairs_is_told_so(gan_here: Inside, finished: Path) -> None:
    """Without a detector, whose weights nobody needs."""
    done = gan_here("eval", str(finished), "n=10", "metrics=[fidelity,cycle_error,lpips]", "detector=dinov2")
    assert done.returncode == 2
    for name in ("fidelity", "cycle_error", "lpips"):
        assert f"{name} was not measured: " in done.stderr
    done = gan_here("eval", str(finished), "n=10", "metrics=[fid,fidelity]", "detector=pixels")
    assert done.returncode == 0, done.stderr
    assert "fidelity" in done.stdout
    assert "not measured" in done.stdout
