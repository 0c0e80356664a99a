"""Images: quantisation, fitting, labels, batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gan_cli import pictures
from gan_cli.data import fit
from gan_cli.data.images import Decoded, Images, Request, to_float
from gan_cli.errors import DataError


def source(request: Request) -> Decoded:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (20, 3, 12, 8), generator=generator, dtype=torch.uint8)
    return Decoded(images, torch.arange(20) % 4)


def images(**settings: object) -> Images:
    defaults = {"root": "none", "resolution": (12, 8), "classes": 4, "batch_size": 5}
    return Images(source, **{**defaults, **settings})  # type: ignore[arg-type]


def test_all_256_levels_survive_the_round_trip() -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    floats = to_float(levels)
    assert (floats.min().item(), floats.max().item()) == (-1, 1)
    assert torch.equal(pictures.to_uint8(floats), levels)


def test_quantisation_rounds() -> None:
    between = torch.tensor([10.4, 10.6]) / 127.5 - 1
    assert pictures.to_uint8(between.view(1, 1, 1, 2)).flatten().tolist() == [10, 11]


@pytest.mark.parametrize("name", list(fit.FITS))
@pytest.mark.parametrize("frame", [(8, 8), (12, 8), (6, 20), (32, 32)])
def test_fits_fill_the_frame_alike_for_one_image_and_a_stack(name: str, frame: tuple[int, int]) -> None:
    stack = torch.full((2, 3, 12, 8), 200, dtype=torch.uint8)
    fitted = fit.fit_stack(stack, *frame, fit.FITS[name])
    one = fit.fit_image(Image.new("RGB", (8, 12), (200, 200, 200)), *frame, fit.FITS[name])
    assert fitted.shape == (2, 3, *frame)
    assert one.size == (frame[1], frame[0])
    alone = torch.from_numpy(np.asarray(one).copy())
    assert torch.equal(alone.permute(2, 0, 1).to(torch.uint8), fitted[0])
    assert (fitted == 200).all() or name == "pad"


def test_padding_keeps_exact_pixels() -> None:
    digit = torch.randint(0, 256, (1, 1, 28, 28), dtype=torch.uint8)
    framed = fit.fit_stack(digit, 32, 32, fit.pad)
    assert torch.equal(framed[..., 2:30, 2:30], digit)
    assert framed.float().sum() == digit.float().sum()


@pytest.mark.parametrize("size", [(300, 1), (1, 300), (2, 2)])
def test_thin_pictures_keep_a_pixel(size: tuple[int, int]) -> None:
    assert fit.fit_image(Image.new("L", size, 200), 16, 16, fit.pad).getextrema()[1] > 150
    assert (fit.fit_stack(torch.full((1, 1, *size), 200, dtype=torch.uint8), 16, 16, fit.pad) == 200).any()


def test_crop_takes_the_middle() -> None:
    wide = torch.zeros(1, 1, 4, 8, dtype=torch.uint8)
    wide[..., 2:6] = 255
    assert (fit.fit_stack(wide, 4, 4, fit.crop) == 255).all()


def test_grey_and_colour() -> None:
    assert images(channels=1).images.shape == (20, 1, 12, 8)
    white = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    assert (fit.recolour(white, 1) == 255).all()
    grey = torch.randint(0, 256, (1, 1, 2, 2), dtype=torch.uint8)
    assert torch.equal(fit.recolour(fit.recolour(grey, 3), 1), grey)


def test_facts_are_verified() -> None:
    with pytest.raises(DataError, match=r"dataset\.classes=4"):
        images(classes=10)
    with pytest.raises(DataError, match="no labels"):
        Images(lambda r: Decoded(source(r).images), root="none", resolution=8, classes=4)
    with pytest.raises(DataError, match=r"dataset\.channels=2"):
        images(channels=2)
    with pytest.raises(DataError, match="crop, pad, stretch"):
        images(fit="squeeze")
    with pytest.raises(DataError, match="at least 2"):
        images(limit=1)


def test_batches_are_pure_and_labelled() -> None:
    data = images(flip=True)
    data.place(torch.device("cpu"), seed=3)
    a, b = data.batch(7), data.batch(7)
    assert torch.equal(a.real, b.real)
    assert a.real.shape == (5, 3, 12, 8)
    stored = {tuple(x.flatten().tolist()): int(y) for x, y in zip(to_float(data.images), data.labels, strict=True)}
    mirrored = 0
    for sample, label in zip(a.real, a.label, strict=True):
        key, other = tuple(sample.flatten().tolist()), tuple(sample.flip(-1).flatten().tolist())
        assert stored.get(key, stored.get(other)) == int(label)
        mirrored += key not in stored
    everything = [data.batch(k) for k in range(40)]
    flipped = sum(tuple(x.flatten().tolist()) not in stored for batch in everything for x in batch.real)
    assert 60 < flipped < 140  # of 200, at one half


def test_unlabelled_data_have_zero_labels() -> None:
    assert images(classes=0).batch(0).label.tolist() == [0] * 5


def test_fingerprint_follows_content() -> None:
    a, b = images(), images()
    assert a.fingerprint() == b.fingerprint()
    b.images[3, 0, 0, 0] ^= 1
    assert a.fingerprint() != b.fingerprint()


def test_cache_folder_is_not_needed_for_arrays(tmp_path: Path) -> None:
    images(cache=str(tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()
