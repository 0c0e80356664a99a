"""Parquet files of the Hugging Face layout: the data of the folder that holds the same pictures."""

from __future__ import annotations

import io
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from conftest import SMALL_MLP, TINY, Inside, save
from gan_cli.data import ahead, parquet, sources
from gan_cli.data.images import Images
from gan_cli.data.memo import stamped
from gan_cli.data.patterns import found
from gan_cli.errors import DataError, PackageMissing

CPU = torch.device("cpu")
ROW = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def png(pixels: np.ndarray) -> bytes:
    kept = io.BytesIO()
    Image.fromarray(pixels).save(kept, "png")
    return kept.getvalue()


def write(
    path: Path,
    pictures: list[bytes | None],
    labels: list[int | None] | None,
    names: object = None,
    image: str = "image",
) -> None:
    """As `datasets` writes it: rows in groups of two, and the names of the classes in a note on the columns."""
    rows = pa.array([{"bytes": content, "path": f"{i}.png"} for i, content in enumerate(pictures)], ROW)
    table = pa.table({image: rows} if labels is None else {image: rows, "label": pa.array(labels, pa.int64())})
    note = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(note)}), path, row_group_size=2)


@pytest.fixture
def stack() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (7, 9, 8, 3), dtype=np.uint8)


@pytest.fixture
def files(tmp_path: Path, stack: np.ndarray) -> Path:
    """Two files of the split `train` and one of `test`, beside folders of classes with the pictures of `train`."""
    content, labels = [png(pixels) for pixels in stack], [0, 0, 0, 1, 1, 2, 2]
    for part, rows in enumerate((slice(0, 5), slice(5, 7))):
        name = f"train-{part:05d}-of-00002.parquet"
        write(tmp_path / "set" / "data" / name, content[rows], labels[rows], ["a", "b", "c"])
    write(tmp_path / "set" / "data" / "test-00000-of-00001.parquet", content[:2], [1, 1], ["a", "b", "c"])
    for i, label in enumerate(labels):
        save(tmp_path / "photos" / "abc"[label] / f"{i}.png", stack[i])
    return tmp_path / "set"


def data(root: object, cache: Path, **settings: object) -> Images:
    usual: dict[str, object] = {"resolution": [9, 8], "classes": 3, "batch_size": 4, "cache": str(cache)}
    return Images(sources.parquet, str(root), **{**usual, **settings})  # type: ignore[arg-type]


@pytest.mark.parametrize("memory", [256, 0])
@pytest.mark.parametrize("settings", [{}, {"flip": True, "limit": 5}, {"windows": True, "resolution": 6}])
def test_rows_are_the_folder_with_the_same_pictures(
    files: Path, stack: np.ndarray, memory: float, settings: dict[str, object]
) -> None:
    cache = files.parent / "cache"
    usual: dict[str, object] = {"resolution": [9, 8], "classes": 3, "batch_size": 4, "cache": str(cache)}
    folder = Images(sources.folder, str(files.parent / "photos"), memory=memory, **{**usual, **settings})  # type: ignore[arg-type]
    for root in (files, files / "data" / "train-{00000..00001}-of-00002.parquet", files / "data" / "train-*"):
        rows = data(root, cache, memory=memory, **settings)
        assert rows.fingerprint() == folder.fingerprint()
        assert rows.class_names == ("a", "b", "c")
        for each in (rows, folder):
            each.place(CPU, seed=3)
        for draw in (0, 1, 5):
            assert torch.equal(rows.batch(draw).real, folder.batch(draw).real)


def test_a_row_without_a_picture_is_left_out_and_a_missing_part_is_told(
    tmp_path: Path, stack: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    rows = pa.array([None, *({"bytes": png(pixels), "path": "x.png"} for pixels in stack)], ROW)
    (tmp_path / "rows").mkdir()
    pq.write_table(pa.table({"image": rows}), tmp_path / "rows" / "train-00001-of-00003.parquet")
    read = Images(sources.parquet, str(tmp_path / "rows"), 8, cache=str(tmp_path / "cache"))
    assert len(read) == 7
    assert "the row has no picture" in caplog.text
    assert "2 of 3 files are missing, the first train-00000-of-00003.parquet" in caplog.text


def test_the_split_is_that_of_the_names(files: Path) -> None:
    assert len(data(files, files.parent / "cache", split="test", classes=2)) == 2
    with pytest.raises(DataError, match="is split into test, train"):
        data(files, files.parent / "cache", split="val")


def test_a_class_without_a_picture_is_told(tmp_path: Path, stack: np.ndarray, caplog: pytest.LogCaptureFixture) -> None:
    """Labels are often numbered from 1: the generator would be asked for a class 0 that it never sees."""
    (tmp_path / "set").mkdir()
    write(tmp_path / "set" / "x.parquet", [png(pixels) for pixels in stack], [1, 2, 3, 1, 2, 3, 1], [])
    expected = r"labels name 4 classes \(0 has no image\)\n  set dataset.classes=4, or number the classes from 0$"
    with pytest.raises(DataError, match=expected):
        data(tmp_path / "set", tmp_path / "cache", classes=3)
    assert "means nothing" not in caplog.text
    data(tmp_path / "set", tmp_path / "cache", classes=4)
    assert "no image is of the class 0, of dataset.classes=4: what is drawn of it means nothing" in caplog.text


@pytest.mark.parametrize(
    ("there", "split", "taken"),
    [
        ("train-0-of-2 train-1-of-2 test-0-of-1 extra-0-of-1", "train", "train-0-of-2 train-1-of-2"),
        ("train-0-of-2 train-1-of-2 test-0-of-1 extra-0-of-1", "extra", "extra-0-of-1"),
        ("train-0-of-1 train_extra-0-of-1", "train", "train-0-of-1"),
        (
            "imagenet1k-train-00 imagenet1k-train-01 imagenet1k-Validation-00",
            "train",
            "imagenet1k-train-00 imagenet1k-train-01",
        ),
        ("imagenet1k-train-00 imagenet1k-Validation-00", "validation", "imagenet1k-Validation-00"),
        ("a.train.0 a.val.0", "val", "a.val.0"),
        ("train0 test0", "test", "test0"),
        # nothing that tells all files apart
        ("crash-test-00 crash-test-01", "train", "crash-test-00 crash-test-01"),
        ("cats-0-of-1 dogs-0-of-1", "train", "cats-0-of-1 dogs-0-of-1"),
        ("trains-00 latest-00", "train", "latest-00 trains-00"),
        ("train-00 more-00", "train", "more-00 train-00"),
    ],
)
def test_files_of_other_splits_are_left_out_however_they_are_named(
    tmp_path: Path, there: str, split: str, taken: str
) -> None:
    for name in there.split():
        (tmp_path / f"{name}.tar").touch()
    assert [path.stem for path in found(tmp_path, ".tar", split).files] == taken.split()


def test_splits_in_a_folder_of_their_own_are_told_apart_from_splits(files: Path) -> None:
    (files / "data").rename(files / "plain_text")
    with pytest.raises(DataError, match=r"its folders plain_text do\n  dataset.root=.*/set/plain_text$"):
        found(files, ".parquet", "train")


def test_rows_in_order_read_each_group_once(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[parquet.RowGroup] = []
    pictures = parquet._pictures
    monkeypatch.setattr(parquet, "_pictures", lambda part: (read.append(part), pictures(part))[1])
    with ThreadPoolExecutor(1) as in_order:  # of several threads, one may fall behind by more groups than are held
        monkeypatch.setattr(ahead, "pool", lambda threads: in_order)
        data(files, files.parent / "cache", windows=True, resolution=6)
    assert len(read) == len(set(read)) == 4  # of rows 2, 2 and 1, and 2


def test_other_columns_and_rows_without_a_class(tmp_path: Path, stack: np.ndarray) -> None:
    content = [png(pixels) for pixels in stack]
    write(tmp_path / "a.parquet", [*content, None, b"no picture"], [0, 1, 0, 1, 0, -1, None, 1, 1], image="img")
    read = Images(partial(sources.parquet, image="img"), str(tmp_path / "a.parquet"), 8, cache=str(tmp_path / "cache"))
    assert len(read) == 7
    assert read.described["passed_over"]["unreadable"]["count"] == 2
    assert "has no class number in the column label" in read.described["no_labels_because"]
    write(tmp_path / "b.parquet", list(content), None)
    read = data(tmp_path / "b.parquet", tmp_path / "cache", classes=0)
    assert torch.equal(read.images, torch.from_numpy(stack).permute(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (["cat", "dog"], "the column label holds string and no whole numbers"),
        ([0.0, 1.0], "the column label holds double and no whole numbers"),
        ([[0], [1]], "the column label holds list<"),
        (None, "there is no column label among image"),
    ],
)
def test_a_column_that_holds_no_class_numbers_is_named_with_what_it_holds(
    tmp_path: Path, stack: np.ndarray, labels: list[object] | None, says: str
) -> None:
    rows = pa.array([{"bytes": png(pixels), "path": "x.png"} for pixels in stack[:2]], ROW)
    table = pa.table({"image": rows} if labels is None else {"image": rows, "label": pa.array(labels)})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError) as refusal:
        data(tmp_path / "a.parquet", tmp_path / "cache", classes=2)
    assert f"have no labels: {says}" in str(refusal.value)
    assert "dataset.source.label= names a column of class numbers" in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 2
    assert len(data(tmp_path / "a.parquet", tmp_path / "cache", classes=0)) == 2


@pytest.mark.parametrize(
    ("harm", "says"),
    [("cut", "cannot be read"), ("no parquet", "cannot be read"), ("missing", "1 of 2 files are missing"),
     ("no column", "its columns are img, label\n  dataset.source.image="), ("flat column", "has no column image of"),
     ("class", "there is a class 3, and the names of only 1")],
)  # fmt: skip
def test_files_that_are_not_what_they_should_be_are_refused_in_two_lines(
    tmp_path: Path, stack: np.ndarray, gan_here: Inside, harm: str, says: str
) -> None:
    path, content = tmp_path / "set" / "0.parquet", [png(pixels) for pixels in stack]
    names, image = ["a"] if harm == "class" else None, "img" if harm == "no column" else "image"
    write(path, list(content), [0] * 6 + [3], names, image)
    root = tmp_path / "set"
    if harm == "cut":
        os.truncate(path, path.stat().st_size - 8)
    elif harm == "no parquet":
        path.write_bytes(b"PAR1" + bytes(1000) + b"PAR1")
    elif harm == "flat column":
        pq.write_table(pa.table({"image": pa.array(content), "label": pa.array([0] * 7)}), path)
    elif harm == "missing":
        root = root / "{0..1}.parquet"
    done = gan_here("train", "dataset=parquet", f"dataset.root={root}", "dataset.resolution=8", *SMALL_MLP, *TINY)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 2, done.stderr
    assert says in done.stderr
    assert not [*Path("outputs").rglob("*")]


def test_what_is_damaged_or_changed_is_told_and_never_ends_otherwise(tmp_path: Path, stack: np.ndarray) -> None:
    path = tmp_path / "a.parquet"
    write(path, [png(pixels) for pixels in stack], [0] * 7)
    whole = path.read_bytes()
    draw = np.random.default_rng(0)
    for _ in range(60):
        content = bytearray(whole)
        for place in draw.integers(0, len(whole), 3):
            content[place] = draw.integers(256)
        path.write_bytes(content)
        with suppress(DataError):
            assert len(data(path, tmp_path / "cache", classes=0)) <= 7
    path.write_bytes(whole)
    part = parquet.RowGroup(path, stamped(path), 0, "image")
    assert parquet.Held().reader(part, 0)() == png(stack[0])
    os.utime(path, ns=(0, 0))
    with pytest.raises(DataError, match="was changed while it was read\n  start again"):
        parquet.Held().reader(part, 0)()
    path.unlink()
    with pytest.raises(DataError, match="cannot be read any more"):
        parquet.Held().reader(part, 0)()


def test_a_picture_that_many_rows_repeat_is_held_once(tmp_path: Path) -> None:
    """A file of a few kB that states 50 pictures of 512 KiB."""
    path = tmp_path / "a.parquet"
    table = pa.table({"image": pa.array([{"bytes": bytes(2**19), "path": ""}] * 50, ROW)})
    pq.write_table(table, path, compression="zstd", dictionary_pagesize_limit=2**24)
    part = parquet.RowGroup(path, stamped(path), 0, "image")
    assert path.stat().st_size < 2**14
    assert parquet._pictures(part).nbytes < 2 * 2**19


def test_a_group_that_is_too_large_is_refused(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "LARGEST_GROUP", 100)
    with pytest.raises(DataError, match="has a row group with"):
        data(files, files.parent / "cache")
    monkeypatch.setattr(parquet, "MOST_ROWS", 1)
    with pytest.raises(DataError, match="states 5 rows"):
        data(files, files.parent / "cache")


def test_without_the_extra_it_is_named(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(PackageMissing, match=r"pip install 'gan-cli\[parquet\]'"):
        data(files, files.parent / "cache")
