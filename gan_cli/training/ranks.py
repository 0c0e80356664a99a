"""Several processes for one run: one per device, started by torch's elastic launcher."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from gan_cli import console
from gan_cli.training.runtime import STOPS

GRACE = 1.0  # seconds in which the launcher fetches the result of a stopped process


def _enter(work: Callable[[Any, int], Mapping[str, Any]], job: Any, aside: bool) -> None:
    console.set_up(aside)
    rank = int(os.environ["RANK"])
    if rank != 0:
        # Rank 0 receives a stop and tells the others at the end of the step; they must live until then.
        for number in STOPS:
            signal.signal(number, signal.SIG_IGN)
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    if backend == "nccl":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    # Rank 0 draws grids and evaluates while the others wait.
    dist.init_process_group(backend, timeout=timedelta(hours=6))
    try:
        result = work(job, rank)
    finally:
        dist.destroy_process_group()
    if result["status"] == "stopped":
        # A launcher that received the same signal no longer fetches the result, and a process would wait for that.
        leave = threading.Timer(GRACE, os._exit, (0,))
        leave.daemon = True
        leave.start()


def launch(work: Callable[[Any, int], Mapping[str, Any]], job: Any, processes: int) -> None:
    """Runs `work(job, rank)` in `processes` new processes and waits for them, or until a signal stops them.

    `work` returns how it ended under `status`: "stopped" if a signal ended it.

    Raises:
        RuntimeError: One of them failed; its own message is in the text.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=f"gan-{os.getpid()}",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        start_method="spawn",
    )
    try:
        elastic_launch(config, _enter)(work, job, console.is_aside())
    except SignalException:
        return  # the processes were asked to stop, and have recorded their progress in the run folder
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        raise RuntimeError(f"process {rank} of {processes} failed: {failure.message}") from error
