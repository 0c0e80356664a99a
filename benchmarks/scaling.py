"""What several processes cost on this machine: the step of one and of two, an average over ranks, a checkpoint.

    python benchmarks/scaling.py > benchmarks/results/scaling.jsonl

Each model trains with the same batch by one process of one thread, by one on half the batch, and by two of one thread
that share it: `shared - half` is what sharing costs.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from common import report

from gan_cli.config import build, compose, trust
from gan_cli.store import checkpoint
from gan_cli.training import together
from gan_cli.training.ranks import launch

SIZES = (10**4, 10**5, 10**6, 10**7)  # numbers averaged at once
STEPS, WARM = 8, 2
MODELS = {
    "dcgan": ("model=dcgan",),
    "biggan": ("model=biggan", "model.width=16"),
    "stylegan2": ("model=stylegan2", "model.channel_base=2048"),
    "r3gan": ("model=r3gan", "model.width=64"),
}
COMMON = ("dataset=digits", "trainer.device=cpu", "trainer.max_steps=1000")


def words(model: str, batch: int, devices: int) -> tuple[str, ...]:
    return (*MODELS[model], *COMMON, f"dataset.batch_size={batch}", f"trainer.devices={devices}")


def stepped(chosen: tuple[str, ...], rank: int) -> tuple[float, Any]:
    """Seconds of a step, the median, and the trainer."""
    torch.set_num_threads(1)
    trainer = build.trainer(build.check(compose.compose("train", chosen).config, trust.for_runs()), rank)
    trainer.place()
    seconds = []
    for _ in range(WARM + STEPS):
        begun = time.perf_counter()
        trainer.step()
        seconds.append(time.perf_counter() - begun)
    return sorted(seconds[WARM:])[STEPS // 2], trainer


def shared(job: tuple[dict[str, tuple[str, ...]], Path], rank: int) -> dict[str, str]:
    """Every model's step by two processes, and averages of several sizes."""
    models, path = job
    found: dict[str, float] = {name: stepped(chosen, rank)[0] for name, chosen in models.items()}
    for size in SIZES:
        values = [torch.ones(size)]
        seconds = []
        for _ in range(5):
            begun = time.perf_counter()
            together.average(values)
            seconds.append(time.perf_counter() - begun)
        found[f"average {size}"] = min(seconds)
    if rank == 0:
        torch.save(found, path)
    return {"status": "finished"}


def main(batch: int = 16) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "two.pt"
        launch(shared, ({name: words(name, batch, 2) for name in MODELS}, path), 2)
        two = torch.load(path, weights_only=True)
        rows = []
        for name in MODELS:
            whole, trainer = stepped(words(name, batch, 1), 0)
            half, _ = stepped(words(name, batch // 2, 1), 0)
            begun = time.perf_counter()
            checkpoint.save(trainer.state_dict(), saved := Path(folder) / "state.pt")
            seconds = time.perf_counter() - begun
            numbers = {key: sum(p.numel() for p in player.parameters()) for key, player in trainer.players.items()}
            rows.append(
                {
                    "model": name,
                    "batch": batch,
                    "parameters": numbers,
                    "step_1x16": whole,
                    "step_1x8": half,
                    "step_2x8": two[name],
                    "checkpoint_seconds": seconds,
                    "checkpoint_bytes": saved.stat().st_size,
                }
            )
    for row in (*rows, *({"averaged": size, "seconds": two[f"average {size}"]} for size in SIZES)):
        report("scaling", **row)


if __name__ == "__main__":
    main()
