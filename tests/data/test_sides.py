"""Two sides: found however they lie, cut out of pictures that show both, and told when one is missing."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import coded, save
from gan_cli.data.fit import FITS
from gan_cli.data.images import Decoded, Images, Request
from gan_cli.data.others import Others
from gan_cli.data.sides import found, half, one_of_pair, one_side, photos
from gan_cli.errors import DataError

LAYOUTS = {
    "trainA": "{split}{side}",
    "train_A": "{split}_{side}",
    "A/train": "{side}/{split}",
    "train/A": "{split}/{side}",
    "trainb": "{split}{side}",  # small letters
}


def request(root: Path, **settings: object) -> Request:
    usual = {
        "root": root,
        "split": "train",
        "download": False,
        "strict": False,
        "channels": 3,
        "height": 6,
        "width": 8,
        "fit": FITS["crop"],
        "cache": root / "cache",
    }
    return Request(**{**usual, **settings})  # type: ignore[arg-type]


def numbers(decoded: Decoded) -> list[int]:
    return [int(picture[2, 0, 0]) // 2 for picture in decoded.images]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_side_and_split_is_found(tmp_path: Path, layout: str) -> None:
    for s, split in enumerate(("train", "test")):
        for k, side in enumerate("AB"):
            place = LAYOUTS[layout].format(split=split, side=side)
            save(tmp_path / (place.lower() if layout.islower() else place) / "x.png", coded(10 * s + k, 6, 8))
    for s, split in enumerate(("train", "test")):
        for k, side in enumerate("AB"):
            for read in (one_side, one_of_pair):
                assert numbers(read(request(tmp_path, split=split), side)) == [10 * s + k]


def test_sides_without_splits_serve_any(tmp_path: Path) -> None:
    save(tmp_path / "A" / "x.png", coded(1, 6, 8))
    assert found(tmp_path, "train", "A") == found(tmp_path, "test", "A") == tmp_path / "A"
    assert found(tmp_path, "train", "B") is None


def test_a_missing_side_is_told_with_the_places_that_were_tried(tmp_path: Path) -> None:
    save(tmp_path / "trainA" / "x.png", coded(1, 6, 8))
    with pytest.raises(DataError, match=r"none of trainB, train_B, B/train, train/B, B\n") as caught:
        one_side(request(tmp_path), "B")
    assert len(str(caught.value).splitlines()) == 2
    with pytest.raises(DataError, match="trainB"):  # a pair that lacks a side is not pictures that show both
        one_of_pair(request(tmp_path), "B")


def together(root: Path, n: int = 5, width: int = 8) -> None:
    """A left of B, its negative."""
    for k in range(n):
        left = coded(k, 6, width)
        save(root / f"{k}.png", np.concatenate([left, 255 - left], 1))


@pytest.mark.parametrize("windows", [False, True])
def test_pictures_that_show_both_are_cut_in_the_middle(tmp_path: Path, windows: bool) -> None:
    together(tmp_path)
    wanted = request(tmp_path, windows=windows)
    left, right = half(wanted, "A"), half(wanted, "B")
    assert numbers(left) == [0, 1, 2, 3, 4]
    assert left.names == right.names == ("0", "1", "2", "3", "4")
    for a, b in zip(left.images, right.images, strict=True):
        assert a.shape == b.shape == (3, 6, 8)
        assert torch.equal(a, 255 - b)


def test_an_odd_width_loses_its_middle_and_not_the_balance(tmp_path: Path) -> None:
    picture = coded(1, 6, 17)
    save(tmp_path / "x.png", picture)
    wanted = request(tmp_path, windows=True)
    (a,), (b,) = half(wanted, "A").images, half(wanted, "B").images
    assert torch.equal(a, torch.from_numpy(picture[:, :8]).permute(2, 0, 1))
    assert torch.equal(b, torch.from_numpy(picture[:, 9:]).permute(2, 0, 1))


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(("height", "width"), [(6, 11), (5, 4), (12, 16), (30, 9)])
def test_a_half_is_what_a_file_of_its_own_would_be(tmp_path: Path, fit: str, height: int, width: int) -> None:
    """Of any shape: both sides lose, or are given, the same edges, and nothing of one gets into the other."""
    noise = np.random.default_rng(0).integers(0, 256, (height, 2 * width, 3), dtype=np.uint8)
    save(tmp_path / "pairs" / "x.png", noise)
    save(tmp_path / "sides" / "A" / "x.png", noise[:, :width])
    save(tmp_path / "sides" / "B" / "x.png", noise[:, width:])
    for side in "AB":
        (cut,) = one_of_pair(request(tmp_path / "pairs", fit=FITS[fit], cache=tmp_path), side).images
        (alone,) = one_of_pair(request(tmp_path / "sides", fit=FITS[fit], cache=tmp_path), side).images
        assert torch.equal(cut, alone)


def test_a_picture_without_a_middle_is_left_out(tmp_path: Path) -> None:
    together(tmp_path, 2)
    save(tmp_path / "thin.png", coded(9, 6, 1))
    assert numbers(half(request(tmp_path), "A")) == [0, 1]
    with pytest.raises(DataError, match=r"thin\.png .it is one pixel wide, and cannot be cut into two halves"):
        half(request(tmp_path, strict=True), "B")


@pytest.mark.parametrize("packed", [False, True])
def test_pairs_side_by_side_stay_together(tmp_path: Path, packed: bool) -> None:
    """Of a folder, of its split, and of a zip; a file that cannot be read takes its pair with it."""
    root = tmp_path / "pairs"
    together(root)
    (root / "bad.png").write_text("no picture")
    if packed:
        with zipfile.ZipFile(tmp_path / "pairs.zip", "w") as file:
            for path in sorted(root.iterdir()):
                file.write(path, path.name)
        root = tmp_path / "pairs.zip"
    given = Others(lambda wanted: one_of_pair(wanted, "A"), paired=True)
    data = Images(
        *(lambda wanted: one_of_pair(wanted, "B"), str(root), (4, 4)),
        load=(6, 8),
        batch_size=4,
        flip=True,
        given=given,
        cache=str(tmp_path / "cache"),
    )
    assert len(data) == 5
    for draw in range(10):
        batch = data.batch(draw)
        torch.testing.assert_close(batch.source, -batch.real, atol=1e-5, rtol=0)


def test_photographs_are_built_in(tmp_path: Path) -> None:
    usual = request(tmp_path, windows=True)
    assert photos(usual).names == ("china", "flower")
    assert [tuple(picture.shape) for picture in photos(usual).images] == [(3, 427, 640)] * 2
    assert photos(request(tmp_path, split="test")).names == ("grace_hopper",)
    (china,), (both, _) = photos(usual, "china").images, photos(usual).images
    assert torch.equal(china, both)
    for wrong, match in (
        (lambda: photos(usual, "japan"), "china, flower"),
        (lambda: photos(request(tmp_path, split="x")), "train, test"),
    ):
        with pytest.raises(DataError, match=match):
            wrong()
