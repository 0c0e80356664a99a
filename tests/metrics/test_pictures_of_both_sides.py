"""Copies and leaks of augmentation: what is found in the pictures themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from conftest import words
from gan_cli import evaluate, train
from gan_cli.augment.diffaugment import CHANGES
from gan_cli.callbacks.alarms import leaks
from gan_cli.data import sources
from gan_cli.data.fit import crop
from gan_cli.data.request import Request
from gan_cli.errors import ConfigError
from gan_cli.metrics import Context, NotMeasurable
from gan_cli.metrics.copies import Copies
from gan_cli.metrics.leak import AugmentationLeak, Probe


def of(drawn: Tensor, real: Tensor) -> Context:
    return Context(drawn=lambda: iter(drawn.split(7)), real=lambda: iter(real.split(50)))


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Tensor:
    """uint8 [1797, 1, 16, 16]."""
    root = tmp_path_factory.mktemp("none")
    images = sources.digits(Request(root, "all", False, False, 1, 8, 8, crop, root)).images
    assert isinstance(images, Tensor)
    return F.interpolate(images.float(), scale_factor=2, mode="bilinear").round().to(torch.uint8)


@pytest.fixture(scope="module")
def probe(digits: Tensor) -> Probe:
    return Probe(digits[:1400], tuple(CHANGES), steps=150, seed=0)


def augmented(images: Tensor, change: str) -> Tensor:
    done = CHANGES[change](images.float() / 127.5 - 1).clamp(-1, 1)
    return ((done + 1) * 127.5).round().to(torch.uint8)


@pytest.mark.parametrize("change", ["translation", "cutout"])
def test_a_probe_rings_for_a_generator_of_augmented_pictures(probe: Probe, digits: Tensor, change: str) -> None:
    fresh = digits[1400:]
    shares = {name: share for name, (share, _) in probe.shares(augmented(fresh, change)).items()}
    assert max(shares, key=lambda name: shares[name]) == change
    assert leaks([shares[change]])
    half = torch.cat([augmented(fresh[::2], change), fresh[1::2]])
    share, se = probe.shares(half)[change]
    assert 0.2 < share < shares[change]
    assert 0 < se < 0.1


def test_a_probe_is_silent_for_a_generator_of_plain_pictures_even_of_blurred_and_noisy_ones(
    probe: Probe, digits: Tensor
) -> None:
    fresh = digits[1400:].float()
    noisy = (fresh + 15 * torch.randn_like(fresh)).clamp(0, 255)
    for images in (fresh, F.avg_pool2d(F.pad(fresh, (1, 1, 1, 1)), 3, 1), noisy):
        shares = probe.shares(images.round().to(torch.uint8))
        assert not leaks([max(share for share, _ in shares.values())]), shares


def test_leaks_are_refused_where_they_cannot_be_told(digits: Tensor) -> None:
    grey = torch.full((80, 1, 8, 8), 128, dtype=torch.uint8)
    with pytest.raises(NotMeasurable, match="cannot tell"):
        AugmentationLeak(["translation"], steps=2).compute(of(grey, grey))
    with pytest.raises(NotMeasurable, match="64 real pictures"):
        AugmentationLeak().compute(of(digits, digits[:20]))
    with pytest.raises(NotMeasurable, match="reference"):
        AugmentationLeak().compute(Context())
    for policy, message in ((["blur"], "blur is no change"), ([], "no change is named")):
        with pytest.raises(ConfigError, match=message):
            AugmentationLeak(policy)


def test_copies_are_counted_with_and_without_a_little_noise(digits: Tensor) -> None:
    real, fresh = digits[:1000], digits[1000:1100]
    close = (real[:50].float() + 2 * torch.randn(50, 1, 16, 16)).clamp(0, 255).round().to(torch.uint8)
    found = Copies().compute(of(torch.cat([close, real[50:60], fresh]), torch.cat([real, real[:300]])))
    assert found["copies"].value == pytest.approx(60 / 160, abs=0.02)
    assert found["copies_real"].value < 0.02
    assert (found["copies"].n_fake, found["copies"].n_real) == (160, len(real.unique(dim=0)))


def test_copies_need_pictures() -> None:
    few = torch.zeros(5, 1, 4, 4, dtype=torch.uint8)
    with pytest.raises(NotMeasurable, match="three different"):
        Copies().compute(of(few, few))
    with pytest.raises(NotMeasurable, match="as the reference"):
        Copies().compute(Context())


def test_points_are_no_pictures(here: Path) -> None:
    """What looks at pictures says so of points, in two lines; what measures points beside it is measured."""
    run = train(*words("dataset=ring")).folder
    found = evaluate(run, metrics=["copies", "leak", "point_modes"], n=50)
    assert "w2_points" in found
    assert not {"copies", "copies_real"} & {*found}
    assert {*found.refused} == {"copies", "leak"}
    for reason in found.refused.values():
        assert "pictures" in reason
        assert len(reason.splitlines()) == 2
