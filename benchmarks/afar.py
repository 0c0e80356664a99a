"""Shards that stay on another machine: what is kept here, and how fast their pictures come, by the time of an answer.

A server in a process of its own stands for the other machine; it answers after so many milliseconds, and a new
connection takes the same again. A linear critic, which costs little, is trained on the set as it lies here and as it is
asked for, in turn.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent))
from common import report
from memory import listing

from gan_cli.data import http, packing, sources
from gan_cli.data.images import Images

SIDE, BATCH = 128, 16


class Handler(SimpleHTTPRequestHandler):
    """Sends parts of files, late."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer on an open connection waits for an acknowledgement
    wait = 0.0  # seconds

    def setup(self) -> None:
        time.sleep(self.wait)
        super().setup()

    def do_GET(self) -> None:
        time.sleep(self.wait)
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        size = path.stat().st_size
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        begin, last = (int(found[1]), int(found[2] or size - 1)) if found else (0, size - 1)
        self.send_response(206 if found else 200)
        if found:
            self.send_header("Content-Range", f"bytes {begin}-{last}/{size}")
        self.send_header("Content-Length", str(last + 1 - begin))
        self.send_header("Last-Modified", self.date_time_string(path.stat().st_mtime))
        self.end_headers()
        with path.open("rb") as file:
            file.seek(begin)
            self.wfile.write(file.read(last + 1 - begin))

    def log_message(self, *args: object) -> None:
        pass


class Waiting(ThreadingHTTPServer):
    request_queue_size = 128


def serve(folder: Path, wait: float, told: Connection) -> None:
    Handler.wait = wait
    with Waiting(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        told.send(server.server_address[1])
        server.serve_forever()


@contextmanager
def serving(folder: Path, wait: float) -> Iterator[str]:
    """The address of the folder."""
    ours, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=serve, args=(folder, wait, theirs), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def compared(folder: Path, wait: float, blocks: int, steps: int) -> None:
    """Images a second in short blocks of steps, in turn."""
    with TemporaryDirectory(dir=folder) as apart, serving(folder / "shards", wait) as address:
        begun = time.perf_counter()
        afar = Images(
            sources.webdataset, address, SIDE, batch_size=BATCH, cache=f"{apart}/decoded", stream=True, disk=0
        )
        start = time.perf_counter() - begun
        begun = time.perf_counter()
        Images(sources.webdataset, address, SIDE, batch_size=BATCH, cache=f"{apart}/decoded", stream=True, disk=0)
        again = time.perf_counter() - begun
        here = Images(
            sources.webdataset, str(folder / "shards"), SIDE, batch_size=BATCH, cache=f"{apart}/here", stream=True
        )
        assert afar.fingerprint() == here.fingerprint()
        kept = sum(path.stat().st_size for path in Path(apart, "decoded").iterdir())
        taken = dict.fromkeys(("here", "afar"), 0.0)
        critic = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE**2, 32), nn.ReLU(), nn.Linear(32, 1))
        optimizer = torch.optim.Adam(critic.parameters())
        for block in range(blocks):
            for way, data in (("here", here), ("afar", afar)):
                begun = time.perf_counter()
                for draw in range(block * steps, (block + 1) * steps):
                    optimizer.zero_grad()
                    critic(data.batch(draw).real).square().mean().backward()
                    optimizer.step()
                taken[way] += time.perf_counter() - begun
    rates = {way: round(blocks * steps * BATCH / seconds, 1) for way, seconds in taken.items()}
    size = sum(path.stat().st_size for path in (folder / "shards").glob("*.tar"))
    starts = {"first_start_s": round(start, 1), "later_start_s": round(again, 1)}
    facts = {"pictures": len(here), "side": SIDE, "mib": round(size / 2**20, 1), "kept_mib": round(kept / 2**20, 2)}
    report("shards afar", answer_ms=round(1000 * wait), **facts, **starts, images_per_second=rates)


def main() -> None:
    http.PATIENCE = 1  # nobody waits for a server that this program has ended
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", help="where there is room; the system's temporary folder when left out")
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--answers", type=float, nargs="+", default=(0, 10, 50), help="milliseconds")
    asked = parser.parse_args()
    with TemporaryDirectory(dir=asked.folder, prefix="gan-afar-") as folder:
        packing.pack(listing(asked.pictures, SIDE), Path(folder) / "shards", 2**24)
        for answer in asked.answers:
            compared(Path(folder), answer / 1000, blocks=10, steps=20)


if __name__ == "__main__":
    main()
