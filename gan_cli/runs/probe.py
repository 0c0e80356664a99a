"""How fast this machine is, within a second: a product of matrices, and steps of a usual run."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from gan_cli.config import build, compose, trust

SIDES = {"cuda": 4096}  # of the matrices; elsewhere
SIDE = 1024
PLAIN = ("callback=[]", "dataset=digits", "model=dcgan", "trainer.max_steps=1000000")


def matmul(device: torch.device, seconds: float = 0.3) -> float:
    """Floating-point operations a second of a float32 product A B, 2 n^3 each."""
    side = SIDES.get(device.type, SIDE)
    a = torch.ones(side, side, device=device)
    return 2.0 * side**3 * _rate(lambda: a @ a, device, seconds)


def steps(device: torch.device, seconds: float = 0.7) -> float:
    """Steps a second of DCGAN with the usual settings on the built-in digits. Raises what building a run raises."""
    config = compose.compose("train", [*PLAIN, f"trainer.device={device}"]).config
    trainer = build.trainer(build.check(config, trust.for_files()))
    trainer.place()
    return _rate(trainer.step, device, seconds)


def _rate(work: Callable[[], object], device: torch.device, seconds: float) -> float:
    """How often a second it can be done, after a first time that prepares things."""

    def done() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        elif device.type == "mps":
            torch.mps.synchronize()
        return time.perf_counter()

    work()
    begun, count = done(), 0
    while True:
        work()
        count += 1
        spent = done() - begun
        if spent >= max(seconds, 1e-9):
            return count / spent
