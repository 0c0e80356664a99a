"""What every benchmark reports about itself."""

from __future__ import annotations

import json
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from gan_cli.store.run import environment


def seconds(work: Callable[[], Any], repeats: int = 3) -> tuple[float, Any]:
    """The median time of `work`, and its last result."""
    times = []
    result = None
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return statistics.median(times), result


def peak_mib() -> float:
    """The largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def report(name: str, **facts: Any) -> None:
    """One JSON line."""
    found = environment()
    machine = {
        "cpu": found["hardware"]["cpu"],
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "torch": found["versions"]["torch"],
    }
    print(json.dumps({"benchmark": name, **facts, "machine": machine, "git": found["git"]}), flush=True)
