"""Shards in WebDataset's layout: the data of the folder they were packed from, also as their library reads them."""

from __future__ import annotations

import io
import itertools
import json
import os
import tarfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import braceexpand
import numpy as np
import pytest
import torch
import webdataset

from conftest import SMALL_MLP, TINY, Inside, same, save, weights
from gan_cli.data import packing, sources
from gan_cli.data.images import Images
from gan_cli.data.listing import listed
from gan_cli.data.memo import stamped
from gan_cli.data.patterns import expanded, found
from gan_cli.data.shard import reader
from gan_cli.data.tar import NoTar, members
from gan_cli.errors import DataError
from gan_cli.store.disk import NotWritten

CPU = torch.device("cpu")
MOST = 2**20


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Pictures of three classes, with names that a key cannot have."""
    source = np.random.default_rng(0)
    names = ("10/a.b.png", "10/a.c.png", "2/é.png", "2/a_b.png", "2/a.b.png", f"1/{'long' * 40}.png", "1/x y.png")
    for name in names:
        save(tmp_path / "photos" / name, source.integers(0, 256, (9, 8, 3), dtype=np.uint8))
    return tmp_path / "photos"


def packed(photos: Path, most: int = 4096) -> Path:
    """A few shards of these pictures."""
    out = photos.parent / "shards"
    packing.pack(listed(photos), out, most)
    return out


def data(source: Callable, root: object, cache: Path, **settings: object) -> Images:
    usual: dict[str, object] = {"resolution": 8, "classes": 3, "batch_size": 4, "cache": str(cache)}
    return Images(source, str(root), **{**usual, **settings})  # type: ignore[arg-type]


@pytest.mark.parametrize("memory", [256, 0])
@pytest.mark.parametrize("settings", [{}, {"flip": True, "limit": 5}, {"load": 8, "resolution": 6}, {"windows": True}])
def test_shards_are_the_folder_that_they_were_packed_from(
    photos: Path, memory: float, settings: dict[str, object]
) -> None:
    out, cache = packed(photos), photos.parent / "cache"
    assert len([*out.glob("*.tar")]) > 1
    folder = data(sources.folder, photos, cache, memory=memory, **settings)
    for root in (out, out / "{000000..000001}.tar" if len([*out.glob("*.tar")]) == 2 else out / "*.tar"):
        shards = data(sources.webdataset, root, cache, memory=memory, **settings)
        assert shards.fingerprint() == folder.fingerprint()
        assert shards.class_names == folder.class_names == ("1", "2", "10")
        for each in (folder, shards):
            each.place(CPU, seed=3)
        for draw in (0, 1, 5):
            one, other = folder.batch(draw), shards.batch(draw)
            assert torch.equal(one.real, other.real)
            assert torch.equal(one.label, other.label)


def test_ranks_share_a_batch_of_shards(photos: Path) -> None:
    out, cache = packed(photos), photos.parent / "cache"
    whole, *parts = (data(sources.webdataset, out, cache, memory=0) for _ in range(3))
    whole.place(CPU, seed=5)
    for rank, part in enumerate(parts):
        part.place(CPU, seed=5, rank=rank, world=2)
    for draw in range(4):
        assert torch.equal(whole.batch(draw).real, torch.cat([part.batch(draw).real for part in parts]))


def test_their_library_reads_what_is_packed(photos: Path) -> None:
    out = packed(photos)
    index = json.loads((out / "index.json").read_bytes())
    urls = [str(out / shard["url"]) for shard in index["shardlist"]]
    read = list(webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8").to_tuple("png", "cls"))
    held = data(sources.folder, photos, photos.parent / "cache", resolution=[9, 8])
    assert sum(shard["nsamples"] for shard in index["shardlist"]) == len(read) == len(held)
    for i, (picture, label) in enumerate(read):
        assert torch.equal(torch.tensor(picture).permute(2, 0, 1), held.images[i])
        assert label == held.labels[i]
    assert [shard["filesize"] for shard in index["shardlist"]] == [os.path.getsize(url) for url in urls]
    for url in urls:  # and so does tar, to the end mark
        with tarfile.open(url) as archive:
            assert all(member.isreg() for member in archive.getmembers())


@pytest.mark.parametrize(
    ("index", "says"),
    [
        ('{"shardlist": [{"url": "000000.tar"', "it is no JSON"),
        ('{"shardlist": 3}', "its shardlist is no list"),
        ('{"shardlist": [3]}', "an entry names no shard"),
        ('{"shardlist": [{"url": "000000.tar", "filesize": "12"}]}', "no size or no sha256"),
    ],
)
def test_a_damaged_index_is_refused_and_not_passed_over(photos: Path, index: str, says: str) -> None:
    """With it the shards would be unchecked, and the classes without their names."""
    out, cache = packed(photos), photos.parent / "cache"
    (out / "index.json").write_text(index)
    with pytest.raises(DataError, match=rf"index\.json.*{says}\n  pack or fetch it again, or remove index\.json"):
        data(sources.webdataset, out, cache)
    (out / "index.json").unlink()
    assert len(data(sources.webdataset, out, cache)) == 7


def test_what_their_library_writes_is_read(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    (tmp_path / "s").mkdir()
    with webdataset.ShardWriter(str(tmp_path / "s" / "set-%03d.tar"), maxcount=2, verbose=0) as writer:
        for i, picture in enumerate(pictures):
            sample = {"png": picture / 255.0, "cls": i % 3, "json": {"i": i}, "txt": "words"}
            writer.write({"__key__": f"{'deep/' * 30}{i}", **sample})
    read = data(sources.webdataset, tmp_path / "s" / "set-{000..002}.tar", tmp_path / "cache")
    assert torch.equal(read.images, torch.from_numpy(pictures).permute(0, 3, 1, 2))
    assert read.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert {kind: facts["count"] for kind, facts in read.described["passed_over"].items()} == {".json": 6, ".txt": 6}


def test_splits_are_packed_apart(photos: Path, tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in ("a/0.png", "b/0.png", "b/1.png"):
            save(tmp_path / "parts" / split / name, np.full((8, 8, 3), len(split), np.uint8))
    packing.pack(listed(tmp_path / "parts"), tmp_path / "out", MOST)
    read = data(sources.webdataset, tmp_path / "out", tmp_path / "cache", classes=2, split="test")
    assert (len(read), int(read.images.max())) == (3, 4)
    with pytest.raises(DataError, match=r"and its folders test, train do\n  choose one of these"):
        data(sources.webdataset, tmp_path / "out", tmp_path / "cache", split="val")


def test_packing_twice_gives_the_same_bytes_and_no_shard_is_too_large(photos: Path, tmp_path: Path) -> None:
    bytes_of = []
    for name, most in (("one", 2**14), ("other", 2**14), ("each", 1)):
        packing.pack(listed(photos), tmp_path / name, most)
        bytes_of.append([path.read_bytes() for path in sorted((tmp_path / name).iterdir())])
    assert bytes_of[0] == bytes_of[1]
    assert all(len(shard) <= 2**14 for shard in bytes_of[0])
    assert len(bytes_of[2]) == len(listed(photos).files) + 1  # a picture is never cut


def test_nothing_stays_of_a_folder_that_could_not_be_packed(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {path.name for path in photos.parent.iterdir()}
    listing = listed(photos)
    (photos / "2" / "a.b.png").unlink()
    with pytest.raises(DataError, match=r"a\.b\.png cannot be read"):
        packing.pack(listing, photos.parent / "new" / "shards", 1)

    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(packing, "write_json", lambda path, index: interrupted(path))
    with pytest.raises(KeyboardInterrupt):
        packing.pack(listed(photos), photos.parent / "shards", 1)
    with pytest.raises(NotWritten):
        packing.pack(listed(photos), Path("/dev/full/shards"), 1)
    assert {path.name for path in photos.parent.iterdir()} == names


@pytest.mark.parametrize("pattern", ["a{0..3}", "{000..012}.tar", "{8..11}", "{a,b}{0..1}c", "x{y}z", "{,a}", "plain"])
def test_patterns_are_those_of_the_shell(pattern: str) -> None:
    assert list(expanded(pattern)) == list(braceexpand.braceexpand(pattern))


@pytest.mark.parametrize("pattern", ["{0..999999999}", "{3..1}", "{0..999}{0..999}", "{a,{b,c}}"])
def test_patterns_without_bound_are_refused(pattern: str) -> None:
    with pytest.raises(DataError, match="\n  "):
        list(expanded(pattern))


@pytest.mark.parametrize(
    ("root", "says"),
    [("none", "no such file"), ("{a,b}.tar", "1 of 2 files are missing"), ("*.zip", "no file"), ("{a,a}.tar", "twice"),
     ("https://x/{0..9}.tar", "not on this machine"), (".", "holds no .tar file")],
)  # fmt: skip
def test_what_is_not_there_is_told(tmp_path: Path, root: str, says: str) -> None:
    (tmp_path / "a.tar" if root != "." else tmp_path / "a").touch()
    with pytest.raises(DataError, match=f"{says}.*\n  "):
        found(tmp_path / root, ".tar", "train")


def tar(*files: tuple[str, bytes], kind: bytes = tarfile.REGTYPE, pax: dict[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size, info.type, info.pax_headers = len(content), kind, pax or {}
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def walked(content: bytes, most: int = 100) -> list[tuple[str, bytes]]:
    return [(m.name, content[m.begin : m.begin + m.size]) for m in members(io.BytesIO(content), most)]


def test_the_walker_reads_what_tar_writes() -> None:
    files = [("a.b", b"1"), (f"{'d' * 90}/{'é' * 90}.x", b"22"), ("empty", b""), ("n\n\udce9", b"3" * 100)]
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
            archive.addfile(tarfile.TarInfo("folder/"))
            for name, content in files:
                info = tarfile.TarInfo(name)
                info.size, info.mtime = len(content), 1.5
                archive.addfile(info, io.BytesIO(content))
        assert walked(buffer.getvalue())[-len(files) :] == files


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "not a tar"), (b"x" * 2000, "not a tar"), (tar(("../a.png", b"1")), "leads out"),
     (tar(("/a", b"1")), "leads out"),
     (tar(("a", b""), kind=tarfile.SYMTYPE), "a link"), (tar(("a", b""), kind=tarfile.LNKTYPE), "a link"),
     (tar(("a", b""), kind=tarfile.CHRTYPE), "a device"), (tar(("a", b""), kind=tarfile.FIFOTYPE), "a pipe"),
     (tar(("a", b"1"), ("a", b"1")), "more than once"), (tar(("a", b"1" * 101)), "GiB"),
     (tar(("a", b"1"), pax={"GNU.sparse.major": "1"}), "sparse"),
     (tar(("a", b"1"), pax={"size": "9"}), "states a size"),
     (tar(("a", b"1"), pax={"comment": "x" * 2**17}), "header of"),
     (tar(("a", b"1")).replace(b"ustar", b"Ustar"), "not a tar")],
)  # fmt: skip
def test_what_no_honest_tar_holds_is_refused(content: bytes, says: str) -> None:
    with pytest.raises(NoTar, match=says):
        walked(content)


def test_a_tar_cut_anywhere_is_refused_and_bytes_in_the_wrong_place_never_end_otherwise() -> None:
    whole = tar(*((f"{'n' * 120}{i}.png", b"7" * 60) for i in range(3)))
    end = len(whole.rstrip(b"\0")) // 512 * 512 + 512 + 1024
    for length in itertools.chain(range(0, end, 100), [end - 1]):
        with pytest.raises(NoTar):
            walked(whole[:length])
    draw = np.random.default_rng(0)
    for _ in range(300):
        content = bytearray(whole)
        for place in draw.integers(0, end, 3):
            content[place] = draw.integers(256)
        with suppress(NoTar):
            assert len(walked(bytes(content))) <= 3


@pytest.mark.parametrize("harm", ["missing", "cut", "longer", "changed", "one byte", "two pictures", "class"])
def test_shards_that_are_not_what_they_were_are_refused_before_the_first_step(
    photos: Path, harm: str, gan_here: Inside
) -> None:
    out = packed(photos)
    last = sorted(out.glob("*.tar"))[-1]
    if harm == "missing":
        last.unlink()
    elif harm == "cut":
        os.truncate(last, last.stat().st_size - 512)
    elif harm == "longer":
        last.write_bytes(last.read_bytes() + bytes(512))
    elif harm == "one byte":  # which no size tells: the picture itself would be left out with a warning
        content = bytearray(last.read_bytes())
        content[content.index(b"PNG")] ^= 1
        last.write_bytes(content)
    elif harm == "changed":
        last.write_bytes(b"x" * last.stat().st_size)
    else:
        wrong = (("a.png", b"1"), ("a.jpg", b"1")) if harm == "two pictures" else (("a.png", b"1"), ("a.cls", b"7"))
        (out / "index.json").write_text(json.dumps({"classes": ["a"]}))
        last.write_bytes(tar(*wrong))
    done = gan_here("train", "dataset=webdataset", f"dataset.root={out}", "dataset.resolution=8", *SMALL_MLP, *TINY)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 2, done.stderr
    assert not [*Path("outputs").rglob("*")]


def test_shards_that_go_under_a_run_cost_nothing_and_it_is_measured_sampled_and_resumed(
    photos: Path, gan_here: Inside
) -> None:
    assert gan_here("data", "pack", "photos", "out=deep/shards", "size=1").returncode == 0
    chosen = ("dataset=webdataset", "dataset.root=deep/shards", "dataset.resolution=8", "dataset.classes=3", *SMALL_MLP)
    usual = ("dataset.batch_size=4", "trainer.device=cpu", "callback=[history,checkpoints]", "dataset.memory=0")
    for name, steps in (("one", 4), ("two", 2)):
        run = (*chosen, *usual, f"hydra.run.dir={name}", f"trainer.max_steps={steps}")
        assert gan_here("train", *run).returncode == 0
    assert gan_here("train", "resume=two", "trainer.max_steps=4").returncode == 0
    assert same(weights(Path("one")), weights(Path("two")))
    done = gan_here("eval", "one", "n=7", "detector=pixels", "metrics=[prdc]")
    assert done.returncode == 0, done.stderr
    done = gan_here("sample", "one", "n=2", "mode=neighbours")
    assert done.returncode == 0, done.stderr
    (Path("deep/shards") / "000000.tar").write_bytes(b"")
    done = gan_here("train", "resume=two", "trainer.max_steps=6")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 2, done.stderr


def test_a_shard_that_changes_while_it_is_read_ends_the_start(photos: Path) -> None:
    out = packed(photos)
    path = out / "000000.tar"
    read = reader(path, stamped(path), 0, 512)
    assert len(read()) == 512
    os.utime(path, ns=(0, 0))
    with pytest.raises(DataError, match="was changed while it was read\n  start again"):
        read()
    long = reader(path, stamped(path), 0, 2**20)
    with pytest.raises(DataError, match="was cut"):
        long()
    path.unlink()
    with pytest.raises(DataError, match="cannot be read any more"):
        long()


def test_a_picture_that_cannot_be_read_is_left_out(photos: Path) -> None:
    (photos / "1" / "broken.png").write_bytes(b"no picture")
    out = packed(photos)
    shards = data(sources.webdataset, out, photos.parent / "cache")
    assert len(shards) == 7
    with pytest.raises(DataError, match=r"1 images cannot be read.*\n  remove them"):
        data(sources.webdataset, out, photos.parent / "cache", strict=True)


def test_names_with_control_characters_are_told_in_two_lines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "0.tar").write_bytes(tar(("a\n\x1b[31m.png", b"no picture"), ("b\r.png", b"none")))
    for strict in (False, True):
        with pytest.raises(DataError, match=r"none of its 2 images .*/0\.tar/a\\n\\x1b\[31m\.png \(.*\)\n  ") as caught:
            data(sources.webdataset, tmp_path, tmp_path / "cache", strict=strict)
        assert len(str(caught.value).splitlines()) == 2
        assert str(caught.value).replace("\n", "").isprintable()
    assert not caplog.records
