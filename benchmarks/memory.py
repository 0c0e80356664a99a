"""Data sets beyond memory: what a run holds of 100,000 pictures, and how fast one streams four times what it may hold.

Pictures are made here (smooth noise in small JPEGs). `--folder` needs 3 GiB for `--part many`, 6 GiB for `--part
streamed`; everything is removed at the end.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent))
from common import report

from gan_cli.data import packing, sources
from gan_cli.data.images import Images
from gan_cli.data.listing import File, Listing

GAN = (sys.executable, "-m", "gan_cli")
QUIET = ("callback=[history]", "trainer.device=cpu", "trainer.log_every=10")
DCGAN = ("model=dcgan", "model.width=16")
MLP = ("model=mlp", "model.generator.hidden=[32]", "model.discriminator.hidden=[32]")


def jpeg(i: int, side: int) -> bytes:
    """Picture `i`: noise of 8 x 8, enlarged."""
    small = np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    kept = io.BytesIO()
    Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC).save(kept, "jpeg", quality=85)
    return kept.getvalue()


def listing(count: int, side: int) -> Listing:
    """So many pictures, made when they are read."""
    return Listing("made", [File(f"{i:06d}.jpg", "made", partial(jpeg, i, side)) for i in range(count)])


def resident(process: int) -> tuple[int, int]:
    """MiB that a process has in memory now, and had at most since its program was started."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    now, most = (int(fields.get(name, "0 kB").split()[0]) // 1024 for name in ("VmRSS", "VmHWM"))
    return now, most


def watched(words: tuple[str, ...], cache: Path, limit: Callable[[], None] | None = None) -> dict[str, object]:
    """A process of `gan`: its seconds, the most it had in memory, and how that grew, in MiB by second."""
    begun, peak, curve = time.monotonic(), 0, {}
    env = {**os.environ, "GAN_CACHE": str(cache)}
    with (cache / "said").open("wb") as said:
        process = subprocess.Popen([*GAN, *words], env=env, cwd=cache, stderr=said, stdout=said, preexec_fn=limit)
        try:
            while process.poll() is None:
                now, most = resident(process.pid)
                peak, curve[5 * round((time.monotonic() - begun) / 5)] = max(peak, most), now
                time.sleep(0.1)
        finally:
            process.terminate()  # where it still runs, because this program is being ended
            process.wait()
    if process.returncode:
        raise RuntimeError((cache / "said").read_text()[-1000:])
    return {"seconds": round(time.monotonic() - begun, 1), "peak_mib": peak, "curve": [*curve.items()]}


def trained(words: tuple[str, ...], cache: Path, limit: Callable[[], None] | None = None) -> dict[str, object]:
    """A run of `gan train`: the same, and its images per second between the first and the last line of its history."""
    run = cache / "run"
    found = watched(("train", *words, *QUIET, f"hydra.run.dir={run}"), cache, limit)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    shutil.rmtree(run)
    first, last = rows[0], rows[-1]
    rate = (last["images"] - first["images"]) / (last["seconds"] - first["seconds"])
    return {**found, "images_per_second": round(rate, 1)}


def many(folder: Path, count: int) -> None:
    """So many pictures of 64 px: from a folder and from shards, each started anew and again, and once more with
    nothing decoded kept."""
    photos = folder / "photos"
    photos.mkdir()
    for i in range(count):
        (photos / f"{i:06d}.jpg").write_bytes(jpeg(i, 64))
    packed = watched(("data", "pack", str(photos), f"out={folder / 'shards'}"), folder)
    report("memory: gan data pack", pictures=count, **packed)
    for stream in (False, True):
        for source, place in (("folder", photos), ("webdataset", folder / "shards")):
            cache = folder / source
            cache.mkdir()
            words = (f"dataset={source}", f"dataset.root={place}", *DCGAN, "trainer.max_steps=20")
            for start in ("first", "again"):
                found = trained((*words, f"dataset.stream={str(stream).lower()}"), cache)
                facts = {"source": source, "stream": stream, "pictures": count, "side": 64, "start": start}
                kept = sum(path.stat().st_size for path in (cache / "decoded").iterdir()) / 2**20
                report("memory: many pictures", **facts, kept_mib=round(kept), **found)
            shutil.rmtree(cache)


def streamed(folder: Path, mib: int, side: int, repeats: int = 2) -> None:
    """A set of four times `mib`: in memory, and by processes that get no more than `mib` from the system."""
    count = 4 * mib * 2**20 // (3 * side**2) + 1
    packing.pack(listing(count, side), folder / "shards", 2**28)
    cache = folder / "cache"
    cache.mkdir()
    usual = ("dataset=webdataset", f"dataset.root={folder / 'shards'}", f"dataset.resolution={side}")
    limit = partial(resource.setrlimit, resource.RLIMIT_DATA, (mib * 2**20, mib * 2**20))
    trained((*usual, *MLP, "trainer.max_steps=20", "dataset.memory=64"), cache)  # decoded once
    for name, model, steps in (("dcgan", DCGAN, 40), ("mlp", MLP, 400)):
        words = (*usual, *model, "dataset.batch_size=16", f"trainer.max_steps={steps}")
        for repeat in range(repeats):
            for way, memory, bound in (("in memory", 8 * mib, None), ("streamed", 64, limit)):
                found = trained((*words, f"dataset.memory={memory}"), cache, bound)
                facts = {"model": name, "pictures": count, "side": side, "limit_mib": mib, "repeat": repeat}
                report("memory: streamed", way=way, **facts, **{**found, "curve": None})
    interleaved(folder, 8 * mib, side)


def interleaved(folder: Path, mib: int, side: int, blocks: int = 30, steps: int = 20) -> None:
    """Short blocks of steps of one cheap network, in turn on the set in memory, read from the disk, and decoded as it
    is shown: whatever else the machine does falls on all."""
    usual: dict[str, Any] = {"batch_size": 16, "cache": str(folder / "cache" / "decoded")}
    sets = {
        way: Images(sources.webdataset, str(folder / "shards"), side, **usual, **settings)
        for way, settings in (
            ("in memory", {"memory": mib}),
            ("streamed", {"memory": 64}),
            ("decoded as shown", {"stream": True}),
        )
    }
    critic = nn.Sequential(nn.Flatten(), nn.Linear(3 * side**2, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(critic.parameters())
    taken = dict.fromkeys(sets, 0.0)
    for block in range(blocks):
        for way in sorted(sets, reverse=bool(block % 2)):
            begun = time.perf_counter()
            for draw in range(block * steps, (block + 1) * steps):
                optimizer.zero_grad()
                critic(sets[way].batch(draw).real).square().mean().backward()
                optimizer.step()
            taken[way] += time.perf_counter() - begun
    rates = {way: round(blocks * steps * 16 / seconds, 1) for way, seconds in taken.items()}
    report("memory: in turn", pictures=len(sets["streamed"]), side=side, images_per_second=rates)


def in_turn(folder: Path, count: int, side: int) -> None:
    """So many pictures, in memory, read and decoded."""
    packing.pack(listing(count, side), folder / "shards", 2**28)
    (folder / "cache").mkdir()
    interleaved(folder, count * 3 * side**2 // 2**20 + 1, side)


def draw(results: Path) -> None:
    """What the runs on 100,000 pictures hold, over time; beside the results, as PNG."""
    from matplotlib.figure import Figure

    rows = [json.loads(line) for line in results.read_text().splitlines()]
    figure = Figure(figsize=(7, 3.2), dpi=100, layout="constrained")
    axes = figure.subplots()
    for row in (row for row in rows if row["benchmark"] == "memory: many pictures" and row["pictures"] == 100_000):
        seconds, mib = zip(*row["curve"][:-1], strict=True)  # the last look finds the process gone
        axes.plot(seconds, mib, label=f"{row['source']}, {row['start']}{', stream' * row.get('stream', False)}")
    axes.axhline(1.5e9 / 2**20, color="0.4", linestyle="--", linewidth=1, label="1.5 GB")
    axes.set(xlim=(0, None), ylim=(0, None), xlabel="seconds", ylabel="MiB resident")
    axes.grid(color="0.9")
    axes.legend(fontsize="small", loc="lower right", ncols=2)
    figure.savefig(results.with_suffix(".png"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--part", choices=("many", "streamed", "turns"))
    task.add_argument("--draw", type=Path, metavar="RESULTS", help="draw the curves of results that are there")
    parser.add_argument("--folder", help="where there is room; the system's temporary folder when left out")
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--mib", type=int, default=1280)
    asked = parser.parse_args()
    if asked.draw is not None:
        return draw(asked.draw)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by way of what removes the folder
    with TemporaryDirectory(dir=asked.folder, prefix="gan-memory-") as folder:
        if asked.part == "many":
            many(Path(folder), asked.pictures)
        elif asked.part == "turns":
            in_turn(Path(folder), asked.pictures, 128)
        else:
            streamed(Path(folder), asked.mib, 128)


if __name__ == "__main__":
    main()
