"""Sources: files in the official formats, made here; folders of any images; clear errors when nothing is there."""

from __future__ import annotations

import logging
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import save
from gan_cli.data import sources
from gan_cli.data.fit import FITS
from gan_cli.data.images import Images, Request
from gan_cli.errors import DataError


def request(root: Path, **settings: object) -> Request:
    asked = Request(root, "train", False, False, 3, 16, 16, FITS["crop"], root / ".cache")
    return replace(asked, **settings)  # type: ignore[arg-type]


def test_digits_need_no_file(tmp_path: Path) -> None:
    parts = [sources.digits(request(tmp_path, split=split)) for split in ("train", "test", "all")]
    sizes = [len(part.images) for part in parts]
    assert sizes[0] + sizes[1] == sizes[2] == 1797
    assert parts[2].images.shape[1:] == (1, 8, 8)
    assert parts[2].images.max() == 255
    assert parts[2].labels is not None
    assert torch.bincount(parts[2].labels).min() > 170


def write_idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(head + array.astype(np.uint8).tobytes())


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST"), ("kmnist", "KMNIST")]
)
def test_idx_files_are_read(tmp_path: Path, name: str, folder: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 28, 28))
    for stem in ("train", "t10k"):
        write_idx(tmp_path / folder / "raw" / f"{stem}-images-idx3-ubyte", pixels)
        write_idx(tmp_path / folder / "raw" / f"{stem}-labels-idx1-ubyte", np.arange(6))
    decoded = getattr(sources, name)(request(tmp_path))
    assert torch.equal(decoded.images[:, 0], torch.from_numpy(pixels.astype(np.uint8)))
    assert decoded.labels is not None
    assert decoded.labels.tolist() == list(range(6))


@pytest.mark.parametrize("below", ["", "cifar-10-batches-bin"])
def test_cifar10_binary_distribution(tmp_path: Path, below: str) -> None:
    rng = np.random.default_rng(0)
    folder = tmp_path / below
    folder.mkdir(exist_ok=True)
    records = rng.integers(0, 256, (15, 3073)).astype(np.uint8)
    records[:, 0] %= 10
    for i in range(5):
        (folder / f"data_batch_{i + 1}.bin").write_bytes(records[3 * i : 3 * i + 3].tobytes())
    (folder / "test_batch.bin").write_bytes(records[:2].tobytes())
    decoded = sources.cifar10(request(tmp_path))
    assert decoded.images.shape == (15, 3, 32, 32)
    assert decoded.images[4, 2, 31, 31] == records[4, 3072]
    assert decoded.labels is not None
    assert decoded.labels.tolist() == records[:, 0].tolist()
    assert len(sources.cifar10(request(tmp_path, split="test")).images) == 2


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "kmnist", "cifar10", "cifar100", "svhn", "celeba"])
def test_missing_data_say_which_files_to_put_where(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError) as caught:
        getattr(sources, name)(request(tmp_path))
    assert str(tmp_path) in str(caught.value)
    assert "put " in str(caught.value)
    assert "dataset.root" in str(caught.value)


def test_failed_downloads_say_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose only way out is closed."""
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    with pytest.raises(DataError, match=r"download failed.*\n  .*put cifar-10-batches-py or cifar-10-batches-bin"):
        sources.cifar10(request(tmp_path, download=True))


def test_unknown_split(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dataset\.split=valid.*\n  .*train, test"):
        sources.cifar10(request(tmp_path, split="valid"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two class folders with every kind of file."""
    root = tmp_path / "photos"
    for name in ("cats/deep", "dogs"):
        (root / name).mkdir(parents=True)
    Image.new("RGB", (40, 20), (255, 0, 0)).save(root / "cats/a.JPG")
    Image.new("L", (16, 16), 128).save(root / "cats/deep/b.png")
    Image.new("RGBA", (16, 16), (0, 0, 0, 0)).save(root / "cats/c.webp", lossless=True)
    Image.new("P", (16, 16)).save(root / "dogs/d.bmp")
    Image.fromarray(np.full((16, 16), 65535, np.uint16)).save(root / "dogs/e.png")
    (root / "dogs/notes.txt").write_text("no image")
    return root


def test_folder_reads_every_kind_of_image(photos: Path) -> None:
    decoded = sources.folder(request(photos))
    assert decoded.images.shape == (5, 3, 16, 16)
    assert decoded.class_names == ("cats", "dogs")
    assert decoded.labels is not None
    assert decoded.labels.tolist() == [0, 0, 0, 1, 1]
    by_name = dict(zip(["a", "c", "b", "d", "e"], decoded.images, strict=True))
    assert abs(int(by_name["a"][0].float().mean()) - 254) <= 2
    assert (by_name["b"] == 128).all()
    assert (by_name["c"] == 255).all()  # transparent becomes white
    assert (by_name["e"] == 255).all()  # 16 bits are scaled, not cut off


def test_folder_as_a_data_set(photos: Path) -> None:
    data = Images(sources.folder, str(photos), resolution=(8, 16), channels=1, classes=2, cache=str(photos / ".cache"))
    assert data.batch(0).real.shape[1:] == (1, 8, 16)
    assert data.class_names == ("cats", "dogs")
    with pytest.raises(DataError, match=r"set dataset\.classes=2"):
        Images(sources.folder, str(photos), resolution=8, classes=3, cache=str(photos / ".cache"))


def test_second_reading_comes_from_the_cache(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = sources.folder(request(photos))
    monkeypatch.setattr("gan_cli.data.folder.decode", lambda *_: pytest.fail("decoded again"))
    assert torch.equal(sources.folder(request(photos)).images, first.images)
    monkeypatch.undo()
    Image.new("L", (16, 16), 7).save(photos / "cats/deep/b.png")  # same name, other content
    assert not torch.equal(sources.folder(request(photos)).images, first.images)


def test_corrupt_images_are_left_out_by_name(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("gan_cli").propagate = True
    whole = (photos / "cats/a.JPG").read_bytes()
    (photos / "cats/a.JPG").write_bytes(whole[: len(whole) // 2])
    (photos / "dogs/empty.png").write_bytes(b"")
    decoded = sources.folder(request(photos))
    assert decoded.labels is not None
    assert decoded.labels.tolist() == [0, 0, 1, 1]
    assert "a.JPG" in caplog.text
    assert "empty.png" in caplog.text
    with pytest.raises(DataError, match=r"2 images cannot be read.*a\.JPG.*\n  .*dataset\.strict=false"):
        sources.folder(request(photos, strict=True))


@pytest.mark.parametrize("stream", [False, True])
def test_what_an_ending_alone_tells_is_found_out_again_when_it_is_another(tmp_path: Path, stream: bool) -> None:
    """A TGA has no signature: it is one by its name."""
    save(tmp_path / "p" / "a.png", np.zeros((8, 8, 3), dtype=np.uint8))
    wrong, right = tmp_path / "p" / "b.png", tmp_path / "p" / "b.tga"
    save(right, np.full((8, 8, 3), 9, dtype=np.uint8)).rename(wrong)

    def count() -> int:
        return len(Images(sources.folder, str(tmp_path / "p"), 8, cache=str(tmp_path / "cache"), load=9, stream=stream))

    for name, others, there in ((wrong, right, 1), (right, wrong, 2), (wrong, right, 1), (right, wrong, 2)):
        if others.exists():
            others.rename(name)
        assert count() == there


def test_split_folders_and_flat_folders(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "both").mkdir()
    (photos).rename(tmp_path / "both" / "train")
    assert len(sources.folder(request(tmp_path / "both")).images) == 5
    flat = tmp_path / "both" / "train" / "dogs"
    assert sources.folder(request(flat)).labels is None


def test_empty_and_missing_folders(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no images"):
        sources.folder(request(tmp_path / "empty"))
    with pytest.raises(DataError, match="is neither a folder nor a zip"):
        sources.folder(request(tmp_path / "nowhere"))
