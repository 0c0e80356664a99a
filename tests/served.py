"""A server of shards on this machine, which does as it is told; and fixtures, which a module of tests takes by name:
`cache, shards, server = served.cache, served.shards, served.server`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import save
from gan_cli.data import http, packing, sources
from gan_cli.data.images import Images
from gan_cli.data.listing import listed


class Server(ThreadingHTTPServer):
    """Serves a folder, and does as it is told: where it cuts, whether it goes on, what it answers."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []  # what was asked for, with the byte from which on
        self.cuts: list[int] = []  # after how many bytes the next answers with a .tar end
        self.ranges = True
        self.mark = '"1"'
        self.status = 200
        self.sized = True
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.thread = threading.Thread(target=partial(self.serve_forever, poll_interval=0.01))
        self.thread.start()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
        self.thread.join()

    @property
    def tars(self) -> list[str]:
        return [each for each in self.asked if ".tar" in each]


class Handler(SimpleHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range") if self.server.ranges else None
        first, _, end = (asked or "bytes=0-").removeprefix("bytes=").partition("-")
        begin = int(first)
        self.server.asked.append(f"{self.path}@{begin}" + (f"-{end}" if end else ""))
        path = Path(self.translate_path(self.path))
        if self.server.status != 200 or not path.is_file():
            self.send_error(self.server.status if self.server.status != 200 else 404)
            return
        content = path.read_bytes()
        last = min(int(end or len(content)), len(content) - 1)
        self.send_response(206 if asked else 200)
        if self.server.sized:
            self.send_header("Content-Length", str(last + 1 - begin))
        if asked:
            self.send_header("Content-Range", f"bytes {begin}-{last}/{len(content)}")
        self.send_header("ETag", self.server.mark)
        self.end_headers()
        cut = self.server.cuts.pop(0) if self.server.cuts and path.suffix == ".tar" else len(content)
        self.wfile.write(content[begin : last + 1][:cut])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The empty folder of all caches; and nobody waits between two tries."""
    monkeypatch.setenv("GAN_CACHE", str(tmp_path / "home"))
    monkeypatch.setattr(http, "PAUSE", 0.0)
    http._opener.cache_clear()  # it reads once which certificates the machine trusts
    return tmp_path / "home"


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Three shards of two classes, with their index, as a server has them."""
    draw = np.random.default_rng(0)
    for i in range(9):
        save(tmp_path / "photos" / "ab"[i % 2] / f"é {i}.png", draw.integers(0, 256, (9, 8, 3), dtype=np.uint8))
    packing.pack(listed(tmp_path / "photos"), tmp_path / "there" / "set 1", 20480)
    assert len([*(tmp_path / "there" / "set 1").glob("*.tar")]) == 3
    return tmp_path / "there" / "set 1"


@pytest.fixture
def server(shards: Path) -> Iterator[Server]:
    server = Server(shards.parent)
    yield server
    server.stop()


def pattern(server: Server) -> str:
    return f"{server.url}/set 1/{{000000..000002}}.tar"


def data(root: object, cache: Path, **settings: Any) -> Images:
    usual: dict[str, Any] = {"classes": 2, "batch_size": 4, "cache": str(cache / "decoded")}
    return Images(sources.webdataset, str(root), 8, **{**usual, **settings})


def kept(cache: Path) -> list[str]:
    """The shards in the cache, and whatever is half there."""
    return sorted(p.name for p in (cache / "shards").glob("*") if p.suffix in (".tar", ".tmp"))
