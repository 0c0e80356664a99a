"""Pictures that stay in their files: the same set, bit for bit, and nothing decoded is kept."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import SMALL_MLP, TINY, Inside, alike, same, save, weights
from gan_cli.data import cache, folder, packing, sources
from gan_cli.data.images import Images
from gan_cli.data.listing import listed
from gan_cli.data.sides import one_of_pair
from gan_cli.data.streamed import Streamed
from gan_cli.errors import DataError

CPU = torch.device("cpu")
SETTINGS = [
    {},
    {"flip": True, "limit": 6},
    {"load": 9, "resolution": 6, "flip": True},
    {"windows": True, "resolution": 7},
    {"windows": True, "resolution": 9},  # which some are too small for
    {"channels": 1},
]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Pictures of two classes and several sizes; one of them cannot be read."""
    source = np.random.default_rng(0)
    for i in range(11):
        path = tmp_path / "photos" / ("bus", "car")[i % 2] / f"{i:02d}.png"
        save(path, source.integers(0, 256, (8 + i % 3, 10, 3), dtype=np.uint8))
    (tmp_path / "photos" / "bus" / "broken.png").write_bytes(b"no picture")
    return tmp_path / "photos"


def data(root: Path, stream: bool, source: object = sources.folder, **settings: object) -> Images:
    usual: dict[str, object] = {"resolution": 8, "classes": 2, "batch_size": 4, "cache": str(root.parent / "cache")}
    return Images(source, str(root), stream=stream, **{**usual, **settings})  # type: ignore[arg-type]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("packed", ["folder", "zip", "shards"])
def test_a_streamed_set_is_the_set_in_memory(photos: Path, settings: dict[str, object], packed: str) -> None:
    held, root, source = data(photos, False, **settings), photos, sources.folder
    shutil.rmtree(photos.parent / "cache", ignore_errors=True)
    if packed == "zip":
        root = Path(shutil.make_archive(str(photos), "zip", photos))
    if packed == "shards":
        root, source = photos.parent / "shards", sources.webdataset
        packing.pack(listed(photos), root, 4096)
    for _ in ("first start", "later start"):
        read = data(root, True, source, **settings)
        assert isinstance(read.stored, Streamed)
        assert read.class_names == held.class_names
        assert read.stored.nbytes == held.stored.nbytes
        alike(held, read)
    assert not list((photos.parent / "cache").glob("*.npy"))


def test_what_lies_in_files_stays_there_and_so_does_what_is_looked_up_by_it(photos: Path) -> None:
    """On an accelerator too, whose work an index there would have to wait for."""
    read = data(photos, True)
    read.place(torch.device("meta"), seed=1)
    assert read.stored.device == read.labels.device == read.order(0).device == CPU
    held = data(photos, False)
    held.place(torch.device("meta"), seed=1)
    assert held.stored.device == held.labels.device == held.order(0).device == torch.device("meta")


@pytest.mark.parametrize("windows", [False, True])
def test_halves_of_pictures_too(photos: Path, tmp_path: Path, windows: bool) -> None:
    for side in "AB":
        source = lambda request, side=side: one_of_pair(request, side)  # noqa: E731
        usual = {
            "resolution": (8, 4),
            "batch_size": 2,
            "classes": 0,
            "cache": str(tmp_path / "cache"),
        }
        alike(*(data(photos / "bus", stream, source, windows=windows, **usual) for stream in (False, True)))


def test_ranks_share_a_batch(photos: Path) -> None:
    whole, *parts = (data(photos, True) for _ in range(3))
    whole.place(CPU, seed=5)
    for rank, part in enumerate(parts):
        part.place(CPU, seed=5, rank=rank, world=2)
    for draw in range(6):
        assert torch.equal(whole.batch(draw).real, torch.cat([part.batch(draw).real for part in parts]))


def test_what_was_found_is_remembered_and_later_only_what_is_shown_is_decoded(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []
    usual = folder._decode

    def counted(file: folder.Readable, *more: object) -> object:
        if str(file).startswith(str(photos)):  # and not one that a thread still draws ahead, for another set
            decoded.append(str(file))
        return usual(file, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(folder, "_decode", counted)
    first = data(photos, True)
    assert len(decoded) == 12 + 1  # all, and the one that is looked at to see that it is a picture
    decoded.clear()
    later = data(photos, True)
    assert len(decoded) == 1
    assert later.described == first.described
    decoded.clear()
    with (photos / "car" / "01.png").open("ab") as file:
        file.write(b"\0")  # another file, if with the same picture
    assert data(photos, True).fingerprint() == first.fingerprint()
    assert len(decoded) == 12 + 1


def test_what_was_found_of_fitted_pictures_is_not_taken_for_that_of_whole_ones(photos: Path) -> None:
    data(photos, True)
    alike(data(photos, False, windows=True), data(photos, True, windows=True))


def test_the_same_holds_of_halves(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose values are others than those of the whole pictures."""
    source = lambda request: one_of_pair(request, "B")  # noqa: E731
    usual = {"resolution": (8, 4), "batch_size": 2, "classes": 0}
    first = data(photos / "bus", True, source, **usual).fingerprint()
    shown: list[int] = []
    usual_picture = Streamed.picture
    monkeypatch.setattr(Streamed, "picture", lambda self, i: (shown.append(i), usual_picture(self, i))[1])
    assert data(photos / "bus", True, source, **usual).fingerprint() == first
    assert set(shown) == {0}  # the one that is looked at to see that it is a picture


def harmed(path: Path, harm: str) -> None:
    if harm == "cut":
        os.truncate(path, 40)
    elif harm == "removed":
        path.unlink()
    else:
        save(path, np.zeros((8, 10, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("harm", "says"),
    [("cut", "cannot be read any more"), ("removed", "cannot be read any more"), ("another", "was changed")],
)
def test_a_file_that_is_not_what_it_was_is_an_error_in_two_lines(photos: Path, harm: str, says: str) -> None:
    read = data(photos, True, batch_size=11)
    harmed(photos / "car" / "03.png", harm)
    with pytest.raises(DataError, match=rf"car/03\.png {says}.*\n  start again"):
        read.batch(0)
    assert len(data(photos, True)) == (11 if harm == "another" else 10)  # a new start takes it as it is


def test_a_run_on_streamed_pictures_is_the_run_on_kept_ones_and_each_goes_on_as_the_other(
    gan_here: Inside, photos: Path, tmp_path: Path
) -> None:
    mine = (*SMALL_MLP, *TINY, "dataset=folder", f"dataset.root={photos}", "dataset.resolution=8", "dataset.flip=true")
    mine = (*mine, f"dataset.cache={tmp_path / 'cache'}", "callback=[history,checkpoints]")
    for name, stream in (("kept", "false"), ("streamed", "true")):
        assert gan_here("train", *mine, f"dataset.stream={stream}", f"hydra.run.dir={tmp_path / name}").returncode == 0
    assert same(weights(tmp_path / "kept"), weights(tmp_path / "streamed"))
    for name, stream in (("kept", "true"), ("streamed", "true")):
        more = (f"resume={tmp_path / name}", "trainer.max_steps=4", f"dataset.stream={stream}")
        went_on = gan_here("train", *more)
        assert went_on.returncode == 0, went_on.stderr
        assert "changed" not in went_on.stderr
    assert same(weights(tmp_path / "kept"), weights(tmp_path / "streamed"))


@pytest.mark.parametrize("dataset", ["digits", "parquet"])
def test_pictures_that_are_no_files_of_their_own_are_refused(gan_here: Inside, dataset: str, tmp_path: Path) -> None:
    mine = (f"dataset={dataset}", f"dataset.root={tmp_path}", "dataset.stream=true")
    refused = gan_here("train", *SMALL_MLP, *TINY, *mine)
    assert refused.returncode == 2
    assert refused.stderr.startswith("gan train: dataset.stream=true: ")
    assert "leave dataset.stream out" in refused.stderr
    assert refused.stderr.count("\n") == 2


def test_of_several_that_want_an_entry_one_makes_it_while_the_others_wait(tmp_path: Path) -> None:
    inside, most, guard = 0, 0, threading.Lock()

    def want() -> None:
        nonlocal inside, most
        with cache.by_one(tmp_path / "new" / "entry"):
            with guard:
                inside += 1
                most = max(most, inside)
            threading.Event().wait(0.02)
            with guard:
                inside -= 1

    threads = [threading.Thread(target=want) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert not list((tmp_path / "new").iterdir())  # and no lock stays


def test_where_no_lock_can_be_placed_nobody_waits(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with cache.by_one(tmp_path / "file" / "entry"):
        pass
