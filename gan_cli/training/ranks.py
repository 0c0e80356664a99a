"""Several processes for one run, one per device: started here by torch's elastic launcher, or by torchrun or srun."""

from __future__ import annotations

import multiprocessing
import os
import re
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
import torch.distributed as dist

from gan_cli import console
from gan_cli.errors import ConfigError, two_lines
from gan_cli.hangup import heard
from gan_cli.training.runtime import STOPS, WARNINGS, pick_device, time_limit_heard

GRACE = 1.0  # seconds in which the launcher fetches the result of a stopped process
PATIENCE = timedelta(hours=6)  # the others wait while rank 0 saves or scores; one that ends is noticed at once
GLANCE = 0.05  # seconds between two looks into a store
PORTS = range(20_000, 50_000)  # of which a Slurm job takes one
LOST = "another process of this run has ended"
# Where the system can, processes are forked from one that has imported all of this once and touched no device: torch's
# compiler too, which every optimizer imports.
METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
IMPORTED = ("gan_cli.runs.job", "torch.distributed.elastic.multiprocessing.api", "torch._dynamo")


class Member(NamedTuple):
    """This process's place in a group that torchrun or srun started."""

    rank: int
    world: int
    local: int  # its number on this machine


class Died(RuntimeError):
    """A process of the run failed."""

    def __init__(self, rank: int, processes: int, why: str) -> None:
        super().__init__(f"process {rank} of {processes} failed: {why}")
        self.rank = rank


def member() -> Member | None:
    """This process's place among those that torchrun or srun started; None where it was started alone.

    A batch script has variables of Slurm too; only `srun` sets those of a step of several tasks.
    """
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    elif os.environ.get("SLURM_STEP_NUM_TASKS", "1") != "1":
        names = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")
    else:
        return None
    try:
        rank, world, local = (int(os.environ.get(name, "0")) for name in names)
    except ValueError:
        rank, world, local = -1, 0, 0
    if not 0 <= rank < world or local < 0:
        told = " ".join(f"{name}={os.environ.get(name)}" for name in names)
        remedy = f"start it by torchrun or srun, or `unset {names[0]}` to start it alone"
        raise ConfigError(two_lines(f"the environment names a place that no process has: {told}", remedy))
    return Member(rank, world, local)


def counted(device: Any) -> int:
    """The processes of `trainer.devices=auto`: one for each GPU of this machine, or one on anything else."""
    gpus = torch.cuda.device_count() if device in ("auto", "cuda") and torch.cuda.is_available() else 0
    return max(1, gpus)


def check_present(devices: int, device: str) -> None:
    """Raises ConfigError where this machine has fewer devices than processes are to be started on it."""
    if devices == 1:
        return
    kind = pick_device(device, "trainer.device").type
    there = {"cuda": torch.cuda.device_count(), "cpu": os.cpu_count() or 1}.get(kind, 1)
    if ":" in device:
        there = 1
    if devices > there:
        what = {"cuda": "GPU(s)", "cpu": "core(s)"}.get(kind, "device")
        raise ConfigError(
            two_lines(
                f"trainer.devices={devices}, and this machine has {there} {what} for trainer.device={device}",
                f"use trainer.devices={there} or auto; torchrun --nnodes starts one run on several machines",
            )
        )


def _find_each_other() -> None:
    """Where rank 0 waits for the others, for a step that srun started: on the first machine."""
    if "SLURM_STEP_NUM_TASKS" not in os.environ or "MASTER_ADDR" in os.environ:
        return
    first = re.match(r"([^\[,]+)(?:\[(\d+))?", os.environ.get("SLURM_STEP_NODELIST", "localhost"))
    host = "".join(filter(None, first.groups())) if first else "localhost"
    number = re.sub(r"\D", "", os.environ.get("SLURM_JOB_ID", "0")) or "0"
    os.environ |= {"MASTER_ADDR": host, "MASTER_PORT": str(PORTS[int(number) % len(PORTS)])}


@contextmanager
def joined(place: Member) -> Iterator[None]:
    """Within it, the processes of the run can reach each other: NCCL for GPUs, gloo for all else."""
    if place.rank != 0:
        # Rank 0 receives a stop and tells the others at the end of the step; they must live until then.
        for number in (*STOPS, *WARNINGS):
            signal.signal(number, signal.SIG_IGN)
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(place.local % torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl"
    _find_each_other()
    dist.init_process_group(backend, store=_own_store(place), rank=place.rank, world_size=place.world, timeout=PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def _shares_a_store() -> bool:
    """Whether torchrun's processes talk through its own store, which outlives them."""
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def _agents_store(timeout: timedelta) -> dist.TCPStore:
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return dist.TCPStore(address, port, is_master=False, timeout=timeout)


def _own_store(place: Member) -> dist.Store | None:
    """torchrun's store with names of this group's own; None where there is no store but what the group makes."""
    if not _shares_a_store():
        return None
    store = _agents_store(PATIENCE)
    return dist.PrefixStore(_name(store, place), store)


def _name(store: dist.Store, place: Member) -> str:
    """A name for this group of processes that no earlier one had, whose addresses are still in torchrun's store.

    Process 0 makes it up. The others may read an earlier one first, so each shows a word of its own under what it read,
    until process 0 has answered to that. (torchrun's count of restarts is not the same on all machines.)
    """
    own = secrets.token_hex(8)
    if place.rank == 0:
        store.set("gan/group", own)
        for rank in range(1, place.world):
            store.set(f"gan/{own}/met/{_read(store, f'gan/{own}/{rank}')}", "")
        return own
    while True:
        name = _read(store, "gan/group")
        store.set(f"gan/{name}/{place.rank}", own)
        if store.check([f"gan/{name}/met/{own}"]):
            return name
        time.sleep(GLANCE)


def _read(store: dist.Store, key: str) -> str:
    """What stands under a key, as soon as something does; unlike `Store.get` it can be interrupted meanwhile."""
    while not store.check([key]):
        time.sleep(GLANCE)
    return bytes(store.get(key)).decode()


def earlier(folder: str, begins: bool) -> str | None:
    """The run's folder, where its processes are started again after one of them ended; None at their first start.

    torchrun's own store, where it outlives the processes, keeps its name; else it has to be in the words.

    Args:
        begins: Whether a run can begin in `folder`. Else the first start is refused, and nothing of it goes on.
    """
    if os.environ.get("SLURM_RESTART_COUNT", "0") != "0":
        return folder
    if not _shares_a_store():
        return folder if os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0" else None
    store = _agents_store(timedelta(minutes=1))
    key = f"gan/{os.environ.get('TORCHELASTIC_RUN_ID', '')}"
    known = bytes(store.get(key)).decode() if store.check([key]) else None
    if known is None and begins:
        store.set(key, folder)
    return known


class Environment:
    """This process's environment variables, which become those of the process that unpickles it.

    A fork inherits those of the first launch. It unpickles its arguments before torch adds RANK and its like.
    """

    def __reduce__(self) -> tuple[Callable[[dict[str, str]], None], tuple[dict[str, str]]]:
        return _take_over, (dict(os.environ),)


def _take_over(environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)


def _stop_when_left_alone(launcher: BaseProcess) -> None:
    """Torch has the system interrupt a child whose parent dies, but a fork's parent is the server that forked it."""
    wait([launcher.sentinel])
    os.kill(os.getpid(), signal.SIGINT)


def _enter(
    work: Callable[[Any, int], Mapping[str, Any]], job: Any, aside: bool, environment: Environment | None
) -> None:
    """What each process runs; `environment` took effect when it arrived."""
    if (launcher := multiprocessing.parent_process()) is not None:
        threading.Thread(target=_stop_when_left_alone, args=(launcher,), daemon=True).start()
    place = member()
    assert place is not None
    if place.rank == 0:
        console.show_all()
        console.set_up(aside)
    else:
        console.silence()
    with joined(place):
        result = work(job, place.rank)
    if result["status"] in ("stopped", "failed"):
        # A launcher that is ending no longer fetches the result, and a process would wait for that.
        leave = threading.Timer(GRACE, os._exit, (0,))
        leave.daemon = True
        leave.start()


def launch(work: Callable[[Any, int], Mapping[str, Any]], job: Any, processes: int) -> None:
    """Runs `work(job, rank)` in `processes` new processes and waits for them, or until a signal stops them.

    `work` returns how it ended under `status`: "stopped" if a signal ended it, "failed" if it wrote down why.

    Raises:
        Died: One of them failed; the others were ended. Its own message is in the text.
    """
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    multiprocessing.set_forkserver_preload(list(IMPORTED))
    with TemporaryDirectory(prefix="gan-ranks-", ignore_cleanup_errors=True) as errors:  # how torch passes them on
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id=f"gan-{os.getpid()}",
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
            monitor_interval=0.5,
            logs_specs=DefaultLogsSpecs(errors),
            start_method=METHOD,
        )
        # Under `nohup` not the closed terminal; torch 2.9 does not look here, and listens to all.
        config.signals_to_handle = ",".join(signal.Signals(number).name for number in heard(*STOPS))
        try:
            with time_limit_heard(lambda: os.kill(os.getpid(), signal.SIGTERM)):  # which torch passes on
                elastic_launch(config, _enter)(work, job, console.is_aside(), Environment())
        except SignalException:
            return  # the processes were asked to stop, and have recorded their progress in the run folder
        except ChildFailedError as error:
            # The one that failed by itself, not those that missed it.
            by_itself = {rank: f for rank, f in error.failures.items() if LOST not in str(f.message)} or error.failures
            rank, failure = min(by_itself.items(), key=lambda item: item[1].timestamp)
            raise Died(rank, processes, failure.message) from error
