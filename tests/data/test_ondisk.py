"""Sets larger than the memory they may take: the same pictures, batches and digests as in memory."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import alike
from gan_cli.data import memo, sources
from gan_cli.data.ahead import Ahead, in_order
from gan_cli.data.images import Images
from gan_cli.data.ondisk import OnDisk
from gan_cli.data.sides import one_of_pair
from gan_cli.errors import DataError

CPU = torch.device("cpu")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Pictures of two classes and several sizes; one of them cannot be read."""
    source = np.random.default_rng(0)
    for i in range(11):
        folder = tmp_path / "photos" / ("bus", "car")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = source.integers(0, 256, (8 + i % 3, 10, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02d}.png")
    (tmp_path / "photos" / "bus" / "broken.png").write_bytes(b"no picture")
    return tmp_path / "photos"


def data(root: Path, memory: float, **settings: object) -> Images:
    usual: dict[str, object] = {"resolution": 8, "classes": 2, "batch_size": 4, "cache": str(root.parent / "cache")}
    return Images(sources.folder, str(root), memory=memory, **{**usual, **settings})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings", [{}, {"flip": True}, {"limit": 6}, {"load": 9, "resolution": 6, "flip": True}, {"channels": 1}]
)
def test_a_set_on_the_disk_is_the_set_in_memory(photos: Path, settings: dict[str, object]) -> None:
    held, read = data(photos, 256, **settings), data(photos, 0, **settings)
    assert isinstance(read.stored, OnDisk)
    assert not isinstance(held.stored, OnDisk)
    alike(held, read)
    alike(held, data(photos, 0, **settings))  # out of the cache
    assert held.names == read.names
    assert held.described == read.described


def test_halves_of_pictures_too(photos: Path, tmp_path: Path) -> None:
    for side in "AB":
        halves = []
        for memory in (256, 0):
            source = lambda request, side=side: one_of_pair(request, side)  # noqa: E731
            settings = {"resolution": (8, 4), "batch_size": 2, "cache": str(tmp_path / "cache"), "memory": memory}
            halves.append(Images(source, str(photos / "bus"), **settings))  # type: ignore[arg-type]
        alike(*halves)


def test_ranks_share_a_batch(photos: Path) -> None:
    whole, parts = data(photos, 0), [data(photos, 0) for _ in range(2)]
    whole.place(CPU, seed=5)
    for rank, part in enumerate(parts):
        part.place(CPU, seed=5, rank=rank, world=2)
    for draw in range(6):
        together = torch.cat([part.batch(draw).real for part in parts])
        assert torch.equal(whole.batch(draw).real, together)


@pytest.mark.parametrize("harm", ["cut", "changed"])
def test_a_file_that_is_cut_or_changed_under_a_run_is_an_error_in_two_lines(photos: Path, harm: str) -> None:
    read = data(photos, 0)
    read.place(CPU, seed=1)
    read.batch(0)
    (array,) = (photos.parent / "cache").glob("*.npy")
    if harm == "cut":
        os.truncate(array, 200)
    else:
        with array.open("r+b") as file:
            file.seek(150)
            file.write(b"x")
        os.utime(array, ns=(0, 0))
    with pytest.raises(DataError, match="while it was read\n  start again"):
        read.batch(9)  # none that was made ahead
    alike(data(photos, 256), data(photos, 0))  # a new start makes it good


def test_a_file_that_is_removed_under_a_run_is_read_on(photos: Path) -> None:
    held, read = data(photos, 256), data(photos, 0)
    for path in (photos.parent / "cache").iterdir():
        path.unlink()
    alike(held, read)


def test_what_was_found_is_kept_while_the_files_stay_as_they_are(tmp_path: Path) -> None:
    file, found = tmp_path / "file", []
    file.write_bytes(b"a")

    def look() -> list[str]:
        found.append(file.read_text())
        return found[-1:]

    def remembered(later: int = 10**10) -> list[str]:
        stamp = memo.stamped(file)
        return memo.remembered(tmp_path / "cache", ["it"], [stamp], look, now=max(stamp[2:]) + later)

    assert remembered(later=10) == remembered(later=10) == ["a"]
    assert len(found) == 2  # changed a moment ago: it may change again unseen
    assert remembered() == remembered() == ["a"]
    assert len(found) == 3
    before = file.stat()
    file.write_bytes(b"b")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # the time of the content can be set back
    assert remembered() == ["b"]
    (memory,) = (tmp_path / "cache").iterdir()
    for harm in (b"", b"[]", b"[" * 100_000, memory.read_bytes().replace(b'"b"', b'"c"')):
        memory.write_bytes(harm)
        assert remembered() == ["b"]


def test_results_come_in_order_and_few_wait() -> None:
    begun, gate = [], threading.Event()

    def work(i: int) -> int:
        begun.append(i)
        assert gate.wait(10)
        return i * i

    results = in_order(work, range(100), threads=2)
    gate.set()
    assert next(results) == 0
    assert max(begun) <= 16
    assert [*results] == [i * i for i in range(1, 100)]


@pytest.mark.parametrize("at_once", [1, 8])
def test_draws_ahead_are_the_draws(at_once: int) -> None:
    made: list[int] = []

    def make(draw: int) -> int:
        made.append(draw)
        if draw == 6:
            raise DataError("six")
        return draw * draw

    ahead = Ahead(make, at_once)
    assert [ahead(draw) for draw in (0, 1, 2, 0, 9, 3)] == [0, 1, 4, 0, 81, 9]
    with pytest.raises(DataError, match="six"):
        ahead(6)
    assert ahead(7) == 49
