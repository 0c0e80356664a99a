"""Shards of other machines, from a server of this one: fetched once, whole and verified, or told of in two lines."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import trustme

import served
from conftest import SMALL_MLP, TINY, Inside, same, save, weights
from gan_cli.data import packing, remote, sources
from gan_cli.data.images import Images
from gan_cli.data.listing import listed
from gan_cli.errors import DataError
from gan_cli.store import caches, removal
from served import Handler, Server, data, kept, pattern

cache, shards, server = served.cache, served.shards, served.server


@pytest.mark.parametrize("by", ["pattern", "folder", "without index", "without sizes"])
def test_they_are_those_of_the_folder_and_are_fetched_once(cache: Path, shards: Path, server: Server, by: str) -> None:
    here = data(shards, cache)
    if by.startswith("without index"):
        (shards / "index.json").unlink()
    server.sized = by != "without sizes"
    root = f"{server.url}/set 1/" if by == "folder" else pattern(server)
    there = data(root, cache)
    assert there.fingerprint() == here.fingerprint()
    assert there.class_names == (("0", "1") if by == "without index" else here.class_names)
    assert len(server.tars) == 3
    before = list(server.asked)
    assert data(root, cache, download=False).fingerprint() == here.fingerprint()
    server.stop()
    assert data(root, cache).fingerprint() == here.fingerprint()
    assert server.asked == before


def test_an_index_without_digests_is_read(cache: Path, shards: Path, server: Server) -> None:
    index = json.loads((shards / "index.json").read_bytes())
    for shard in index["shardlist"]:
        assert len(shard.pop("sha256")) == 64
    (shards / "index.json").write_text(json.dumps(index))
    assert len(data(pattern(server), cache)) == len(data(shards, cache)) == 9


@pytest.mark.parametrize("ranges", [True, False])
def test_a_connection_that_is_cut_is_taken_up_again(cache: Path, shards: Path, server: Server, ranges: bool) -> None:
    server.cuts, server.ranges = [4096, 0, 2048], ranges
    assert data(pattern(server), cache).fingerprint() == data(shards, cache).fingerprint()
    begun = [each.rpartition("@")[2] for each in server.tars]
    assert begun == (["0", "4096", "4096", "6144", "0", "0"] if ranges else ["0"] * 6)


def test_a_connection_that_is_always_cut_ends_in_two_lines_and_leaves_no_half_file(cache: Path, server: Server) -> None:
    server.cuts, server.ranges = [100] * 50, False
    with pytest.raises(DataError, match=r"was cut 4 times\n  .*dataset\.root=FOLDER"):
        data(pattern(server), cache)
    assert kept(cache) == []


HARMS = {
    "digest": "has the sha256 .*, and index.json says .*: it was changed\n  pack",
    "short": "bytes, and index.json says .*: it was cut or changed\n  pack",
    "long": "at most are expected\n  pack",
    "absent": "answers 404 .*\n  check the address",
    "busy": "answers 503 .*\n  try again",
    "gone": r"127\.0\.0\.1:\d+ cannot be reached .*\n  try again",
}


@pytest.mark.parametrize("harm", HARMS)
def test_what_cannot_be_fetched_is_told_in_two_lines(
    cache: Path, shards: Path, server: Server, harm: str, gan_here: Inside
) -> None:
    last = shards / "000002.tar"
    if harm == "digest":
        content = bytearray(last.read_bytes())
        content[600] ^= 1
        last.write_bytes(content)
    elif harm == "short":
        os.truncate(last, 5120)
    elif harm == "long":
        last.write_bytes(last.read_bytes() + bytes(512))
    elif harm == "absent":
        last.unlink()
    elif harm == "busy":
        server.status = 503
    else:
        server.stop()
    words = ("dataset=webdataset", f"dataset.root={pattern(server)}", "dataset.resolution=8", *SMALL_MLP, *TINY)
    done = gan_here("train", *words)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 2, done.stderr
    assert not [*Path("outputs").rglob("*")]
    with pytest.raises(DataError, match=HARMS[harm]):
        data(pattern(server), cache)
    assert len(kept(cache)) == (0 if harm in ("busy", "gone") else 2)  # those that are whole


def test_what_was_cut_in_the_cache_is_fetched_again_and_without_that_refused(
    cache: Path, shards: Path, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    root = pattern(server)
    print_there = data(root, cache).fingerprint()
    for harm in ("cut", "changed"):
        path = sorted((cache / "shards").glob("*.tar"))[1]
        content = path.read_bytes()
        path.write_bytes(content[:512] if harm == "cut" else content[:-1] + b"x")
        with pytest.raises(DataError, match=r"1 shards are not in .*dataset\.download=false\n  allow"):
            data(root, cache, download=False)
        asked = len(server.tars)
        assert data(root, cache).fingerprint() == print_there
        assert len(server.tars) == asked + 1
        assert path.read_bytes() == content
        assert "is fetched again: it was cut or changed in the cache" in caplog.text


def test_shards_that_were_packed_anew_are_noticed_when_one_is_fetched(
    cache: Path, shards: Path, server: Server, tmp_path: Path
) -> None:
    old = data(pattern(server), cache).fingerprint()
    save(tmp_path / "photos" / "a" / "0.png", np.zeros((9, 8, 3), np.uint8))
    shutil.rmtree(shards)
    packing.pack(listed(tmp_path / "photos"), shards, 20480)
    assert data(pattern(server), cache).fingerprint() == old  # a run goes on with what it has
    sorted((cache / "shards").glob("*.tar"))[0].unlink()
    assert data(pattern(server), cache).fingerprint() == data(shards / "{000000..000002}.tar", cache).fingerprint()
    assert removal.clear(caches.CACHES[remote.CACHE]) > 6
    assert kept(cache) == []


def test_one_of_several_that_want_a_shard_fetches_it(cache: Path, server: Server) -> None:
    found: list[list[bytes]] = []

    def want(i: int) -> None:
        shards, _ = remote.fetched(pattern(server), "train", True, cache / str(i))
        found.append([shard.path.read_bytes() for shard in shards])

    threads = [threading.Thread(target=want, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert found[0] == found[1] == found[2]
    assert len(server.tars) == 3


@pytest.mark.parametrize(
    ("root", "says"),
    [("http://u:p@h/{0..1}.tar", "more than a host"), ("http://h/{0..1}.tar?key=1", "more than a host"),
     ("http://h/*.tar", "more than a host"), ("http://h:x/1.tar", "no address"), ("http://[h/1.tar", "no address"),
     ("http://h/{a.tar,b.zip}", "no .tar"), ("http://h/{a,a}.tar", "twice"), ("http://h/{3..1}.tar", "no files"),
     (f"http://{'x' * 70}/1.tar", "no address")],
)  # fmt: skip
def test_what_is_no_address_of_shards_is_told_and_nothing_is_asked_for(cache: Path, root: str, says: str) -> None:
    with pytest.raises(DataError, match=f"{says}.*\n  "):
        data(root, cache)
    assert not cache.exists()


def test_other_sources_say_that_they_take_no_addresses(cache: Path) -> None:
    for source in (sources.folder, sources.parquet):
        with pytest.raises(DataError, match=r"dataset\.root=http://h/x is not on this machine\n  fetch"):
            Images(source, "http://h/x", 8, cache=str(cache))


def test_of_an_address_the_shards_of_a_split_are_taken(cache: Path, shards: Path, server: Server) -> None:
    index = json.loads((shards / "index.json").read_bytes())
    for shard, split in zip(index["shardlist"], ("train", "test", "test"), strict=True):
        name = f"{split}-{shard['url']}"
        (shards / shard["url"]).rename(shards / name)
        shard["url"] = name
    (shards / "index.json").write_text(json.dumps(index))
    counts = [len(data(f"{server.url}/set 1", cache, split=split, classes=0)) for split in ("train", "test")]
    assert sum(counts) == 9
    assert counts[0] == sum(shard["nsamples"] for shard in index["shardlist"][:1])
    with pytest.raises(DataError, match="split into test, train"):
        data(f"{server.url}/set 1", cache, split="val")


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_https_is_read_from_a_server_whose_certificate_this_machine_trusts(
    cache: Path, shards: Path, server: Server, known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.url = server.url.replace("http:", "https:")
    (authority if known else trustme.CA()).cert_pem.write_to_path(str(tmp_path / "trusted.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))
    if known:
        assert data(pattern(server), cache).fingerprint() == data(shards, cache).fingerprint()
    else:
        with pytest.raises(DataError, match=r"certificate verify failed.*\n  try again .*dataset\.root=FOLDER"):
            data(pattern(server), cache)
        assert kept(cache) == []


def test_a_server_leads_to_no_file_of_this_machine(cache: Path, shards: Path, server: Server) -> None:
    class Away(Handler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", (shards / self.path.rpartition("/")[2]).as_uri())
            self.end_headers()

    away = Server(shards)
    away.RequestHandlerClass = partial(Away, directory=str(shards))  # type: ignore[assignment]
    try:
        with pytest.raises(DataError, match="\n  "):
            data(f"{away.url}/000000.tar", cache)
    finally:
        away.stop()
    assert kept(cache) == []


def test_a_run_trains_is_measured_and_resumed_from_an_address_and_a_stranger_s_is_not_asked_for(
    cache: Path, shards: Path, server: Server, gan_here: Inside
) -> None:
    chosen = ("dataset=webdataset", "dataset.resolution=8", "dataset.classes=2", *SMALL_MLP)
    usual = ("dataset.batch_size=4", "trainer.device=cpu", "callback=[history,checkpoints]")
    for name, root, steps in (("here", str(shards), 4), ("there", pattern(server), 2)):
        run = (f"dataset.root={root}", *chosen, *usual, f"hydra.run.dir={name}", f"trainer.max_steps={steps}")
        done = gan_here("train", *run)
        assert done.returncode == 0, done.stderr
    assert gan_here("train", "resume=there", "trainer.max_steps=4").returncode == 0
    assert same(weights(Path("here")), weights(Path("there")))
    done = gan_here("eval", "there", "n=7", "detector=pixels", "metrics=[prdc]")
    assert done.returncode == 0, done.stderr
    assert len(server.tars) == 3

    removal.clear(caches.CACHES[remote.CACHE])
    (cache / "own").rename(cache / "not own")
    before = len(server.asked)
    for command in (("train", "resume=there", "trainer.max_steps=6"), ("eval", "there", "detector=pixels"),
                    ("train", "repeat=there", "hydra.run.dir=again")):  # fmt: skip
        assert gan_here(*command).returncode == 2
    assert len(server.asked) == before
    done = gan_here("train", "resume=there", "trainer.max_steps=6", f"dataset.root={pattern(server)}")
    assert done.returncode == 0, done.stderr
    assert len(server.tars) == 6
