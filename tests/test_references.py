"""Files as references: photographs are fitted to the samples' size, other folders are not; arrays are bounded."""

from __future__ import annotations

import hashlib
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import Inside, coded, save, words
from gan_cli import evaluate, train
from gan_cli.errors import ConfigError, DataError, NotMeasurable, Refused
from gan_cli.references import files

PIXELS = ("detector=pixels", "metrics=[fid]")


@pytest.fixture
def photos(here: Path) -> Path:
    """Twelve of twelve sizes, in two folders."""
    rng = np.random.default_rng(0)
    for i in range(12):
        path = here / "photos" / "ab"[i % 2] / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20 + 3 * i, 30 + i, 3), np.uint8)).save(path)
    np.savez("s.npz", arr_0=rng.integers(0, 256, (12, 16, 16, 3), dtype=np.uint8))
    return here / "photos"


def test_photographs_are_fitted_as_the_run_s_data_were(photos: Path) -> None:
    data = ("dataset=folder", "dataset.root=photos", "dataset.resolution=[16,8]", "dataset.fit=stretch")
    run = train(*words(*data, "dataset.channels=1")).folder
    own = evaluate(run, *PIXELS, n=20).fd_pixels
    by_name = evaluate(run, *PIXELS, reference="folder:train", n=20).fd_pixels
    by_folder = evaluate(run, *PIXELS, reference="photos", n=20).fd_pixels
    assert by_folder.value == pytest.approx(own.value, rel=1e-9) == by_name.value
    assert "reference fitted to 16 x 8 by stretch" in by_folder.convention
    assert "fitted" not in own.convention


def test_photographs_are_fitted_to_samples_in_files(photos: Path, gan_here: Inside) -> None:
    by_folder = evaluate("s.npz", *PIXELS, reference="photos").fd_pixels
    by_name = evaluate("s.npz", *PIXELS, "root=photos", reference="folder:train").fd_pixels
    assert by_folder.value == pytest.approx(by_name.value, rel=1e-9)
    assert "reference fitted to 16 x 16 by crop" in by_folder.convention
    assert "reference fitted to 16 x 16 by crop" in by_name.convention
    told = gan_here("eval", "s.npz", "reference=photos", *PIXELS)
    assert "photos: 12 pictures in 2 classes (a 6, b 6)" in told.stdout
    with pytest.raises(DataError, match="mixes sizes"):
        evaluate("photos", *PIXELS, reference="s.npz")


def test_a_folder_of_the_samples_size_stays_what_it_was(here: Path) -> None:
    """The fingerprint is that of earlier versions, so that old measurements can still be compared."""
    (here / "d").mkdir()
    whole = hashlib.sha256()
    for i in range(4):
        Image.new("RGB", (5, 4), (10 * i, 0, 7)).save(here / "d" / f"{i}.png")
        whole.update(hashlib.sha256((here / "d" / f"{i}.png").read_bytes()).digest())
    stored = files.pictures(here / "d")
    assert stored.fingerprint == whole.hexdigest()
    np.savez("s.npz", arr_0=np.zeros((4, 4, 5, 3), np.uint8))
    assert "fitted" not in evaluate("s.npz", *PIXELS, reference="d").fd_pixels.convention


def test_n_of_files_is_a_fair_part_whatever_their_names(here: Path) -> None:
    rng = np.random.default_rng(0)
    for k in range(5):
        for i in range(20):
            for place, name in (("g", f"c{k}/{i:02}.png"), ("h", f"{9 - k}/{99 - i}.png")):
                path = here / place / name
                path.parent.mkdir(parents=True, exist_ok=True)
                if place == "g":
                    Image.fromarray(rng.integers(k * 50, k * 50 + 20, (4, 4, 3), np.uint8)).save(path)
                else:
                    path.write_bytes((here / f"g/c{k}/{i:02}.png").read_bytes())
    whole, part, renamed = (
        evaluate(source, *PIXELS, reference="g", **n).fd_pixels.value  # type: ignore[arg-type]
        for source, n in (("g", {}), ("g", {"n": 20}), ("h", {"n": 20}))
    )
    assert abs(whole) < 1e-6
    assert part == pytest.approx(renamed, rel=1e-9)
    assert part < 0.1  # of a single class it is 2.9 and more


def test_a_name_without_a_split_is_suggested_with_one(photos: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing to compare with\n  .*reference=digits:all"):
        evaluate("s.npz", *PIXELS, reference="digits")


def header(shape: str) -> bytes:
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + b"x" * 100


def harmful(kind: str) -> None:
    """x.npz or x.pt with one fault."""
    images = np.zeros((6, 8, 8, 3), np.uint8)
    statistics = {"mu": np.zeros(4), "sigma": np.eye(4)}
    tensor = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    arrays = {
        "nchw": {"arr_0": images.transpose(0, 3, 1, 2)},
        "floats": {"arr_0": images / 255.0},
        "objects": {"arr_0": np.array([{}], dtype=object)},
        "words": {**statistics, "mu": np.array(list("abcd"))},
        "complex": {**statistics, "mu": np.zeros(4) + 1j},
        "nan": {**statistics, "sigma": np.full((4, 4), np.nan)},
        "negative": {**statistics, "sigma": -np.eye(4)},
        "too shared": {**statistics, "sigma": np.eye(4) - 3 * np.fliplr(np.eye(4))},
        "askew": {**statistics, "sigma": np.triu(np.ones((4, 4)))},
        "n of 3": {**statistics, "n": np.arange(3)},
        "n negative": {**statistics, "n": -5},
        "n in words": {**statistics, "n": "many"},
        "other": {"x": images},
    }
    if kind in arrays:
        np.savez("x.npz", **arrays[kind])
    elif kind in ("terabytes", "less than nothing"):
        with zipfile.ZipFile("x.npz", "w") as archive:
            archive.writestr("arr_0.npy", header("(1000000000, 32, 32, 3)" if kind == "terabytes" else "(-1, 4)"))
    elif kind in ("empty", "page"):
        Path("x.npz").write_bytes(b"<html>" if kind == "page" else b"")
    else:
        torch.save(tensor.expand(10**9, 3, 8, 8) if kind == "virtual" else tensor[:0], "x.pt")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("nchw", r"with the channels second.*\n.*\[N, H, W, C\].*transpose\(0, 2, 3, 1\)"),
        ("floats", "arr_0 is float64"),
        ("objects", "holds object"),
        ("words", "not real numbers"),
        ("complex", "not real numbers"),
        ("nan", "infinite or not numbers"),
        ("negative", "not a covariance"),
        ("too shared", "not a covariance"),
        ("askew", "not symmetric"),
        ("n of 3", "not a number of images"),
        ("n negative", "n=-5"),
        ("n in words", "n=many"),
        ("other", "holds x"),
        ("terabytes", "says that it has 3072000000000 bytes and has 100"),
        ("less than nothing", "says that it has -4 bytes"),
        ("empty", "is empty"),
        ("page", "cannot be read"),
        ("virtual", "of which most are missing"),
        ("nothing", r"uint8 \[0, 3, 8, 8\]"),
    ],
)
def test_harmful_arrays_are_refused_in_two_lines(here: Path, kind: str, message: str) -> None:
    np.savez("ok.npz", arr_0=np.zeros((6, 8, 8, 3), np.uint8))
    harmful(kind)
    bad = "x.pt" if Path("x.pt").exists() else "x.npz"
    for source, reference in ((bad, "ok.npz"), ("ok.npz", bad)):
        with pytest.raises(Refused, match=message) as caught:
            evaluate(source, *PIXELS, reference=reference)
        assert len(str(caught.value).splitlines()) == 2
        assert "Error" not in str(caught.value)


def test_an_array_without_a_name_is_no_damaged_checkpoint(here: Path) -> None:
    np.save("x.npy", np.zeros((4, 8, 8, 3), np.uint8))
    np.savez("y.npz", np.load("x.npy"))
    for place, reference in (("x.npy", "reference=y.npz"), ("y.npz", "reference=x.npy")):
        with pytest.raises(Refused, match=r"x\.npy is an array without a name\n  write it as an \.npz"):
            evaluate(place, *PIXELS, reference)


def test_statistics_are_not_samples(here: Path) -> None:
    np.savez("st.npz", mu=np.zeros(192), sigma=np.eye(192), n=50)
    np.savez("ok.npz", arr_0=np.zeros((6, 8, 8, 3), np.uint8))
    with pytest.raises(NotMeasurable, match=r"holds statistics.*\n  .*reference=st\.npz"):
        evaluate("st.npz", *PIXELS, reference="ok.npz")
    assert evaluate("ok.npz", *PIXELS, reference="st.npz").fd_pixels.n_real == 50


def test_where_the_data_lie_is_asked_for_by_its_word(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a run whose paths are not trusted, as that of somebody else."""
    for i in range(24):
        save(here / "p" / f"{i}.png", coded(i, 16, 16))
    run = train(*words("dataset=folder", f"dataset.root={here / 'p'}", "dataset.resolution=16")).folder
    monkeypatch.setenv("GAN_CACHE", str(here / "other"))
    asked = ("n=20", "detector=pixels", "metrics=[kid]")
    with pytest.raises(ConfigError, match=r"is not known here\n  root=FOLDER names their folder"):
        evaluate(run, *asked)
    assert evaluate(run, *asked, f"root={here / 'p'}")


@pytest.mark.parametrize("labels", [np.zeros(11, np.int64), np.zeros(12), np.eye(12, dtype=np.int64)])
def test_labels_that_are_none_are_told_of_and_left_out(
    photos: Path, labels: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    images = np.load("s.npz")["arr_0"]
    for name, given in (("wrong.npz", labels), ("right.npz", np.arange(12))):
        np.savez(name, arr_0=images, labels=given)
        assert (files.npz(Path(name)).labels is None) == (name == "wrong.npz")
    (told,) = caplog.messages
    assert told.startswith("wrong.npz: its labels are left out: they are ")
    assert told.endswith(f"{list(labels.shape)}, not an integer for each of 12 images")


def test_labels_without_a_name_are_those_of_the_second_array(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    images = np.load("s.npz")["arr_0"]
    for given in (np.zeros(11, np.int64), np.zeros(12), images):  # something else: nobody called it labels
        np.savez("two.npz", images, given)
        assert files.npz(Path("two.npz")).labels is None
    np.savez("two.npz", images, np.arange(12) % 3)
    assert files.npz(Path("two.npz")).labels == [*range(3)] * 4
    np.savez("two.npz", images, np.zeros(12, np.int64), labels=np.arange(12))
    assert files.npz(Path("two.npz")).labels == [*range(12)]
    assert not caplog.messages
