"""Shards that stay on another machine: the same set, of which little or nothing is kept here."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import served
from conftest import SMALL_MLP, TINY, Inside, alike, same, save, weights
from gan_cli.data import http, packing
from gan_cli.data.listing import listed
from gan_cli.data.streamed import Streamed
from gan_cli.errors import DataError
from served import Server, data, kept, pattern

CPU = torch.device("cpu")
BYTE = re.compile(r"@0-0$")


cache, shards, server = served.cache, served.shards, served.server


def asked_for(server: Server) -> tuple[int, int, int]:
    """How often shards were asked for whole, for their first byte, and for a picture; then forgets it."""
    each = [part for part in server.tars if part]
    server.asked.clear()
    first = sum(bool(BYTE.search(one)) for one in each)
    whole = sum(one.endswith("@0") for one in each)
    return whole, first, len(each) - first - whole


SETTINGS: list[dict[str, Any]] = [{}, {"flip": True, "limit": 6}, {"windows": True}, {"channels": 1}]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("index", [True, False], ids=["index", "no index"])
def test_it_is_the_set_that_is_here_and_nothing_of_it_is_kept(
    cache: Path, shards: Path, server: Server, settings: dict[str, Any], index: bool
) -> None:
    if not index:
        (shards / "index.json").unlink()
    here = data(shards, cache / "apart", **settings)
    afar = data(pattern(server), cache, disk=0, stream=True, **settings)
    assert isinstance(afar.stored, Streamed)
    assert asked_for(server) == (3, 3, 10)  # what a source gives is looked at once more
    again = data(pattern(server), cache, disk=0, stream=True, **settings)
    assert asked_for(server) == (0, 3, 1)
    assert again.fingerprint() == here.fingerprint()
    alike(here, afar)
    assert kept(cache) == []


def test_as_many_shards_are_kept_as_there_is_room_for(cache: Path, shards: Path, server: Server) -> None:
    sizes = [path.stat().st_size for path in sorted(shards.glob("*.tar"))]
    assert sizes[0] > sizes[2]
    here = data(shards, cache / "apart").fingerprint()
    for room, count in ((sizes[2] - 1, 0), (sizes[0], 1), (sum(sizes), 3)):
        assert data(pattern(server), cache, disk=room / 2**30, stream=True).fingerprint() == here
        assert len(kept(cache)) == count
    asked_for(server)
    assert data(pattern(server), cache, disk=0, stream=True).fingerprint() == here  # what is here counts
    assert asked_for(server) == (0, 0, 0)


def test_a_rank_asks_for_the_pictures_that_it_shows_alone(cache: Path, server: Server) -> None:
    whole, *parts = (data(pattern(server), cache, disk=0, stream=True) for _ in range(3))
    for each in (whole, *parts):
        each.place(CPU, seed=5)
    asked_for(server)
    real = whole.kept(whole.order(0))
    assert asked_for(server) == (0, 0, 4)
    dealt = [part.kept(part.order(0, rank, 2)) for rank, part in enumerate(parts)]
    assert asked_for(server) == (0, 0, 4)
    assert torch.equal(torch.cat(dealt), real)


def test_a_run_trains_and_is_resumed_bit_for_bit(cache: Path, shards: Path, server: Server, gan_here: Inside) -> None:
    chosen = ("dataset=webdataset", "dataset.resolution=8", "dataset.classes=2", *SMALL_MLP)
    usual = ("dataset.batch_size=4", "trainer.device=cpu", "callback=[history,checkpoints]", "dataset.stream=true")
    for name, root, disk, steps in (("here", str(shards), "inf", 4), ("afar", pattern(server), "0", 2)):
        run = (f"dataset.root={root}", f"dataset.disk={disk}", *chosen, *usual, f"hydra.run.dir={name}")
        done = gan_here("train", *run, f"trainer.max_steps={steps}")
        assert done.returncode == 0, done.stderr
    assert gan_here("train", "resume=afar", "trainer.max_steps=4").returncode == 0
    assert same(weights(Path("here")), weights(Path("afar")))
    assert kept(cache) == []


def test_cuts_and_refusals_that_pass_cost_nothing_and_others_end_in_two_lines(
    cache: Path, shards: Path, server: Server
) -> None:
    afar = data(pattern(server), cache, disk=0, stream=True)
    first = afar.stored.picture(0)
    server.cuts = [10, 0, 1]
    assert torch.equal(afar.stored.picture(0), first)
    server.status = 503
    timer = threading.Timer(0.05, lambda: setattr(server, "status", 200))
    timer.start()
    http.PAUSE, before = 0.02, http.PAUSE
    try:
        assert torch.equal(afar.stored.picture(0), first)
    finally:
        http.PAUSE = before
        timer.join()
    server.status = 503
    with pytest.raises(DataError, match=r"answers 503 .*\n  try again"):
        afar.stored.picture(0)
    begun = len(server.asked)
    with pytest.raises(DataError, match="answers 503"):
        afar.stored.picture(0)
    assert len(server.asked) == begun + 1  # it was given up on
    server.status = 200
    assert torch.equal(afar.stored.picture(0), first)
    begun = len(server.asked)
    server.cuts = [0]
    assert torch.equal(afar.stored.picture(0), first)
    assert len(server.asked) == begun + 2  # it answered, and is tried again
    server.status = 404
    with pytest.raises(DataError, match=r"answers 404 .*\n  start again"):
        afar.stored.picture(0)
    server.stop()
    with pytest.raises(DataError, match=r"cannot be reached .*\n  try again"):
        afar.stored.picture(0)


def test_another_shard_at_its_place_is_noticed_and_read_at_the_next_start(
    cache: Path, shards: Path, server: Server, tmp_path: Path
) -> None:
    afar = data(pattern(server), cache, disk=0, stream=True)
    for i in range(9):
        save(tmp_path / "photos" / "ab"[i % 2] / f"é {i}.png", np.full((9, 8, 3), 20 * i, dtype=np.uint8))
    for path in shards.iterdir():
        path.unlink()
    shards.rmdir()
    packing.pack(listed(tmp_path / "photos"), shards, 20480)
    with pytest.raises(DataError, match=r"000000\.tar was changed while it was used\n  start again"):
        afar.stored.picture(0)
    server.mark = '"2"'
    names = sorted(path.name for path in shards.glob("*.tar"))
    assert len(names) == len(json.loads((shards / "index.json").read_bytes())["shardlist"])
    there = data(f"{server.url}/set 1", cache, disk=0, stream=True)
    assert there.fingerprint() == data(shards, cache / "apart").fingerprint()


HARMS = {
    "whole": r"sends http.*000000\.tar whole, where a part was asked for\n  leave dataset\.disk out",
    "no mark": r"sends no ETag and no date\n  leave dataset\.disk out",
    "changed": r"has the sha256 .*, and index\.json says .*: it was changed\n  pack",
    "no tar": r"is not a tar file\n  pack",
    "absent": r"answers 404 .*\n  check the address",
}


@pytest.mark.parametrize("harm", HARMS)
def test_what_cannot_be_left_there_is_told_in_two_lines_before_the_first_step(
    cache: Path, shards: Path, server: Server, gan_here: Inside, harm: str
) -> None:
    last = shards / "000002.tar"
    if harm == "whole":
        server.ranges = False
    elif harm == "no mark":
        server.mark = 'W/"1"'
    elif harm == "absent":
        last.unlink()
    else:
        content = bytearray(last.read_bytes())
        content[600 if harm == "changed" else 0] ^= 1
        last.write_bytes(content)
        if harm == "no tar":
            (shards / "index.json").unlink()
    words = ("dataset=webdataset", f"dataset.root={pattern(server)}", "dataset.resolution=8", *SMALL_MLP, *TINY)
    done = gan_here("train", *words, "dataset.disk=0", "dataset.stream=true")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 2, done.stderr
    assert re.search(HARMS[harm], done.stderr), done.stderr
    assert not [*Path("outputs").rglob("*")]
    assert kept(cache) == []


def test_decoded_pictures_that_would_be_kept_are_no_way_to_save_room(cache: Path, server: Server) -> None:
    with pytest.raises(DataError, match=r"dataset\.disk=0\.5 is for shards.*\n  set dataset\.stream=true"):
        data(pattern(server), cache, disk=0.5)
    assert server.asked == []
