"""One lister: links, hidden files, splits, classes, zips; what it passes over and what it refuses."""

from __future__ import annotations

import io
import json
import logging
import os
import random
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gan_cli.data import cache, sources
from gan_cli.data.class_names import classified
from gan_cli.data.fit import FITS
from gan_cli.data.images import Decoded, Images, Request
from gan_cli.data.listing import listed, natural, shown
from gan_cli.data.subset import fair_part
from gan_cli.errors import DataError


def picture(*parts: object) -> bytes:
    """A picture of its own for every name."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(list(map(ord, "/".join(map(str, parts))))).integers(0, 256, (6, 6, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def put(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(name))
    return root


def packed(root: Path, target: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(root.rglob("*")):
            if path.is_file():
                archive.write(path, f"{prefix}{path.relative_to(root)}")
    return target


def request(root: Path, **settings: object) -> Request:
    defaults = {"split": "train", "cache": root.parent / "cache"}
    base = Request(root, "train", False, False, 3, 6, 6, FITS["crop"], root.parent / "cache")
    return Request(**{**vars(base), **defaults, **settings})  # type: ignore[arg-type]


def names(root: Path, split: str | None = None) -> list[str]:
    return [file.name for file in classified(listed(root), split).files]


def test_digits_are_sorted_by_their_number() -> None:
    words = [str(k) for k in range(12)] + ["a2", "a10", "b"]
    shuffled = random.Random(0).sample(words, len(words))
    assert sorted(shuffled, key=natural) == words


def test_names_obey_no_terminal() -> None:
    assert shown("a\x1b[31m\nb\udce9é") == "a\\x1b[31m\\nb\\udce9é"


def test_folders_that_systems_add_hold_no_pictures_of_ours(tmp_path: Path) -> None:
    """Thumbnails and bins of network drives: pictures a second time, or thrown away."""
    ours = ["a/0.png", "b/0.png", "b/recycle/1.png"]
    added = ["a/@eaDir/0.png/SYNOPHOTO_THUMB_M.jpg", "b/@__thumb/0.png", "#recycle/x.png", "$RECYCLE.BIN/S-1/x.png"]
    root = put(tmp_path / "d", *ours, *added)
    assert names(root) == names(packed(root, tmp_path / "d.zip")) == ours
    assert classified(listed(root)).names == ("a", "b")


@pytest.mark.parametrize(
    ("encoding", "mark", "shown_as"),
    [("utf-8", 0, "zoë/0.png"), ("utf-8", 0x800, "zoë/0.png"), ("cp437", 0, "zoë/0.png"), ("latin-1", 0, "zoδ/0.png")],
)
def test_names_in_a_zip_are_read_as_they_were_meant(tmp_path: Path, encoding: str, mark: int, shown_as: str) -> None:
    """Macs write UTF-8 without the mark that says so; what is neither is read as the code page of old systems."""

    class Member(zipfile.ZipInfo):
        def _encodeFilenameFlags(self) -> tuple[bytes, int]:
            return "zoë/0.png".encode(encoding), mark

    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        archive.writestr(Member("zoë/0.png"), picture())
    (file,) = listed(tmp_path / "d.zip").files
    assert file.name == shown_as
    assert file.read_bytes() == picture()


def test_hidden_files_and_other_kinds_are_passed_over_and_counted(tmp_path: Path) -> None:
    root = put(tmp_path / "d", "a/0.png", "a/1.PNG", "b/0.jfif", ".git/x.png", "a/._0.png", "__MACOSX/a/0.png")
    (root / "a" / "notes.txt").write_text("x")
    (root / "README").write_text("x")
    os.mkfifo(root / "pipe.png")
    (root / "dead.png").symlink_to("nowhere")
    listing = listed(root)
    assert [file.name for file in listing.files] == ["a/0.png", "a/1.PNG", "b/0.jfif"]
    counts = {kind: passed.count for kind, passed in listing.passed.items()}
    assert counts == {
        "hidden": 3, ".txt": 1, "without ending": 1, "device or pipe": 1, "broken link": 1,
    }  # fmt: skip


def test_links_are_followed_and_each_folder_is_entered_once(tmp_path: Path) -> None:
    outside = put(tmp_path / "elsewhere", "cat.png", "deep/cat.png")
    root = put(tmp_path / "d", "dogs/0.png", "z.png")
    (root / "cats").symlink_to(outside)
    (root / "one.png").symlink_to(outside / "cat.png")
    (root / "dogs" / "loop").symlink_to(root)
    (root / "again").symlink_to(root / "dogs")
    assert names(root) == ["cats/cat.png", "cats/deep/cat.png", "dogs/0.png", "one.png", "z.png"]


def test_a_zip_is_the_folder_that_it_was_packed_from(tmp_path: Path) -> None:
    root = put(tmp_path / "d", *(f"{k}/{i}.png" for k in (0, 1, 2, 10) for i in range(3)), "2/deep/9.png")
    (root / "0" / "x.txt").write_text("x")
    of_folder = sources.folder(request(root))
    for prefix in ("", "d/", "a/b/"):
        of_zip = sources.folder(request(packed(root, tmp_path / "d.zip", prefix)))
        assert torch.equal(of_zip.images, of_folder.images)
        assert torch.equal(of_zip.labels, of_folder.labels)  # type: ignore[arg-type]
        assert of_zip.class_names == of_folder.class_names == ("0", "1", "2", "10")
        assert of_zip.described["classes"] == of_folder.described["classes"] == {"0": 3, "1": 3, "2": 4, "10": 3}


@pytest.mark.parametrize("prefix", ["", "top/"])
def test_labels_of_stylegan(tmp_path: Path, prefix: str) -> None:
    files = [f"{i // 4:05d}/img{i:08d}.png" for i in range(12)]
    root = put(tmp_path / "d", *files)
    (root / "dataset.json").write_text(json.dumps({"labels": [[name, i % 3] for i, name in enumerate(files)]}))
    for place in (root, packed(root, tmp_path / "d.zip", prefix)):
        decoded = sources.folder(request(place))
        assert decoded.labels is not None
        assert decoded.labels.tolist() == [i % 3 for i in range(12)]
        assert decoded.class_names == ("0", "1", "2")
    for told, why in (
        ({"labels": None}, "names none"),
        ({"labels": [[files[0], 1]]}, "no class number for 00000/img00000001.png"),
        ({"labels": [[name, [0.5, 0.5]] for name in files]}, "no class number"),
    ):
        (root / "dataset.json").write_text(json.dumps(told))
        decoded = sources.folder(request(root))
        assert decoded.labels is None
        assert why in decoded.described["no_labels_because"]
    for foreign in ("[" * 100_000, "[]", '{"labels": 5}', "no json", ""):  # folders are classes still
        (root / "dataset.json").write_text(foreign)
        assert sources.folder(request(root)).class_names == ("00000", "00001", "00002")
    flat = put(tmp_path / "flat", "0.png", "1.png")
    (flat / "dataset.json").write_text("[]")
    assert "dataset.json is not {" in classified(listed(flat)).why_none


def test_a_dataset_json_further_down_is_that_folder_s_own(tmp_path: Path) -> None:
    root = put(tmp_path / "d", "a/0.png", "a/1.png", "b/0.png")
    (root / "a" / "dataset.json").write_text(json.dumps({"labels": [["0.png", 1], ["1.png", 0]]}))
    assert classified(listed(root)).names == ("a", "b")
    assert classified(listed(root / "a")).labels == [1, 0]
    parted = put(tmp_path / "parted", "train/0.png", "train/1.png", "test/0.png")
    (parted / "train" / "dataset.json").write_text(json.dumps({"labels": [["0.png", 1], ["1.png", 0]]}))
    assert classified(listed(parted), "train").labels == [1, 0]
    assert classified(listed(parted), "test").labels is None


def test_a_split_is_one_only_where_all_its_siblings_are(tmp_path: Path) -> None:
    parted = put(tmp_path / "parted", "train/a/0.png", "train/b/0.png", "Test/a/0.png", "val/a/1.png")
    assert names(parted, "train") == ["train/a/0.png", "train/b/0.png"]
    assert names(parted, "test") == ["Test/a/0.png"]
    assert classified(listed(parted), "train").names == ("a", "b")
    assert len(names(parted)) == 4
    assert names(packed(parted, tmp_path / "p.zip"), "val") == ["val/a/1.png"]
    with pytest.raises(DataError, match=r"dataset\.split=valid.*Test, train, val\n"):
        classified(listed(parted), "valid")
    classes = put(tmp_path / "classes", "bus/0.png", "car/0.png", "train/0.png")
    assert classified(listed(classes), "train").names == ("bus", "car", "train")
    beside = put(tmp_path / "beside", "train/0.png", "test/0.png", "cover.png")
    assert len(names(beside, "train")) == 3


@pytest.mark.parametrize(
    ("files", "why"),
    [
        (("a/0.png", "b/0.png", "cover.png"), "cover.png lies beside the class folders"),
        (("a/0.png", "a/1.png"), "there is one folder only, a"),
        (("0.png", "1.png"), "they lie in one folder"),
    ],
)
def test_why_there_are_no_labels(tmp_path: Path, files: tuple[str, ...], why: str) -> None:
    root = put(tmp_path / "d", *files)
    with pytest.raises(DataError, match=f"have no labels: {why}"):
        Images(sources.folder, str(root), 6, classes=2, cache=str(tmp_path / "cache"))


def test_what_was_read_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("gan_cli"), "propagate", True)
    caplog.set_level(logging.INFO, "gan_cli")
    root = put(tmp_path / "d", *(f"{k}/{i}.png" for k in ("bus", "car", "train", "van") for i in range(3)))
    (root / "bus" / "a.txt").write_text("x")
    (root / "car" / "0.png").write_bytes(b"no picture")
    for i in range(3):
        (root / "van" / f"{i}.png").write_bytes(b"")
    (root / "none").mkdir()
    data = Images(sources.folder, str(root), 6, classes=3, cache=str(tmp_path / "cache"))
    assert data.class_names == ("bus", "car", "train")
    assert data.labels.tolist() == [0, 0, 0, 1, 1, 2, 2, 2]
    passed = "6 passed over (1 .txt, 4 unreadable, 1 empty folder: none)"
    assert f"folder {root}: 8 pictures in 3 classes (bus 3, car 2, train 3); {passed}" in caplog.text
    assert "no image of the class van can be read" in caplog.text
    assert data.described["files"] == 13
    assert data.described["passed_over"]["unreadable"]["names"][0].startswith("car/0.png (it is not a picture")
    with pytest.raises(DataError, match=r"name 3 classes \(none has no image\)"):
        Images(sources.folder, str(root), 6, classes=5, cache=str(tmp_path / "cache"))


def damaged(root: Path, kind: str) -> None:
    """A zip of six pictures with one fault."""
    names = (
        ["a.png"] * 6
        if kind == "twice"
        else ["../up.png", *"12345"]
        if kind == "up"
        else [f"{i}.png" for i in range(6)]
    )
    method = zipfile.ZIP_LZMA if kind == "lzma" else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(root, "w", method) as archive:
        for i, name in enumerate(names):
            archive.writestr(name, bytes(2**28 + 1) if kind == "bomb" and not i else picture(i))
    whole = bytearray(root.read_bytes())
    start, step = whole.find(b"PK\x01\x02"), {"encrypted": 8, "method": 10}.get(kind)
    if step is not None:
        whole[start + step] |= 1 if kind == "encrypted" else 99
    root.write_bytes(whole[: len(whole) // 2] if kind == "cut" else b"" if kind == "empty" else whole)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("twice", "a.png more than once"),
        ("up", r"\.\./up\.png, which leads out"),
        ("lzma", "packed by method 14"),
        ("method", "packed by method"),
        ("encrypted", "is encrypted"),
        ("bomb", "unpacks to"),
        ("cut", "is not a readable zip"),
        ("empty", "is not a readable zip"),
    ],
)
def test_harmful_zips_are_refused_in_two_lines(tmp_path: Path, kind: str, message: str) -> None:
    damaged(tmp_path / "x.zip", kind)
    with pytest.raises(DataError, match=message) as caught:
        sources.folder(request(tmp_path / "x.zip"))
    assert len(str(caught.value).splitlines()) == 2
    assert "Error" not in str(caught.value)


def test_a_zip_with_one_bad_checksum_loses_one_picture(tmp_path: Path) -> None:
    root = packed(put(tmp_path / "d", *(f"{i}.png" for i in range(6))), tmp_path / "d.zip")
    whole = bytearray(root.read_bytes())
    whole[60] ^= 255
    root.write_bytes(whole)
    decoded = sources.folder(request(root))
    assert len(decoded.images) == 5
    assert "the zip is damaged" in decoded.described["passed_over"]["unreadable"]["names"][0]


# A fair part: of the content, even over the classes.


def test_a_fair_part_depends_on_content_and_is_even() -> None:
    rng = random.Random(0)
    items = [(rng.randbytes(8), k) for k in range(5) for _ in range(40)]
    chosen = {items[i] for i in fair_part([d for d, _ in items], [k for _, k in items], 42)}
    assert sorted(Counter(k for _, k in chosen).values()) == [8, 8, 8, 9, 9]
    rng.shuffle(items)
    assert {items[i] for i in fair_part([d for d, _ in items], [k for _, k in items], 42)} == chosen
    assert fair_part([b"b", b"a", b"c"], None, 2) == [0, 1]
    smaller = {items[i] for i in fair_part([d for d, _ in items], [k for _, k in items], 20)}
    assert smaller < chosen


def test_a_small_class_gives_what_it_has() -> None:
    labels = [0] * 2 + [1] * 50
    chosen = fair_part([bytes([i]) for i in range(52)], labels, 12)
    assert Counter(labels[i] for i in chosen) == {0: 2, 1: 10}


def test_limit_keeps_every_class_and_follows_no_names(tmp_path: Path) -> None:
    def source(order: list[int]) -> object:
        images = torch.arange(40, dtype=torch.uint8).view(40, 1, 1, 1).expand(40, 3, 6, 6)
        return lambda asked: Decoded(images[order], torch.arange(40)[order] // 8)

    parts = []
    for seed in range(3):
        order = random.Random(seed).sample(range(40), 40)
        data = Images(source(order), "none", 6, classes=5, limit=11)  # type: ignore[arg-type]
        assert sorted(torch.bincount(data.labels).tolist()) == [2, 2, 2, 2, 3]
        parts.append(sorted(data.images[:, 0, 0, 0].tolist()))
    assert parts[0] == parts[1] == parts[2] != list(range(11))
    with pytest.raises(DataError, match=r"dataset\.limit=3 leaves"):
        Images(source(list(range(40))), "none", 6, classes=5, limit=3)  # type: ignore[arg-type]


# The decoded cache.


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Path, Path, Path]:
    root = put(tmp_path / "d", *(f"{i}.png" for i in range(4)))
    (root / "x.png").write_bytes(b"damaged")
    sources.folder(request(root))
    (array,) = (tmp_path / "cache").glob("*.npy")
    return root, array, array.with_suffix(".json")


def test_every_flip_in_a_decoded_folder_is_found_and_made_good(
    kept: tuple[Path, Path, Path], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("gan_cli"), "propagate", True)
    root, *pair = kept
    right = sources.folder(request(root)).images.clone()
    rng = random.Random(0)
    for path in pair:
        whole = path.read_bytes()
        for place in [rng.randrange(len(whole)) for _ in range(30)]:
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << rng.randrange(8)]) + whole[place + 1 :])
            caplog.clear()
            assert torch.equal(sources.folder(request(root)).images, right)
            healed = path.read_bytes() == whole
            assert healed, place
        assert "are damaged" in caplog.text


@pytest.mark.parametrize(
    "harm",
    [
        lambda array, notes: array.write_bytes(b""),
        lambda array, notes: notes.write_bytes(b""),
        lambda array, notes: notes.write_text("[]"),
        lambda array, notes: notes.write_text("[" * 100_000),
        lambda array, notes: notes.write_text('{"kept": 5}'),
        lambda array, notes: notes.unlink(),
        lambda array, notes: array.unlink(),
        lambda array, notes: np.save(array, np.zeros((4, 3, 6, 6))),
        lambda array, notes: np.save(array, np.zeros((4, 3, 6, 6), np.uint8)),
        lambda array, notes: np.save(array, np.zeros((9, 3, 6, 6), np.uint8)),
        lambda array, notes: np.save(array, np.array([{}], dtype=object), allow_pickle=True),
        lambda array, notes: array.write_bytes(array.read_bytes()[:100]),
        lambda array, notes: array.write_bytes(array.read_bytes() + b"x" * 10),
    ],
)
def test_an_entry_that_is_none_is_made_again_in_the_same_start(kept: tuple[Path, Path, Path], harm: object) -> None:
    root, array, notes = kept
    right = sources.folder(request(root)).images.clone()
    harm(array, notes)  # type: ignore[operator]
    assert torch.equal(sources.folder(request(root)).images, right)
    assert sorted(path.suffix for path in array.parent.iterdir()) == [".json", ".npy"]  # and nothing else stays


def test_a_cache_that_cannot_be_written_costs_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("gan_cli"), "propagate", True)
    root = put(tmp_path / "d", *(f"{i}.png" for i in range(4)))
    (tmp_path / "file").write_text("in the way")
    decoded = sources.folder(request(root, cache=tmp_path / "file"))
    assert torch.equal(decoded.images, sources.folder(request(root)).images)
    assert "cannot be kept" in caplog.text
    assert cache.SCHEMA >= 2
