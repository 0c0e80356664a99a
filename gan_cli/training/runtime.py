"""Where a run computes: device, precision, ranks, determinism, and requests to stop."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from types import FrameType

import torch
from torch import nn

from gan_cli.errors import ConfigError, two_lines, unknown
from gan_cli.hangup import HANGUP, heard, let_go_of_a_terminal_that_is_gone

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # names of mallopt(3)
STOPS = (signal.SIGINT, signal.SIGTERM, HANGUP)
WARNINGS = tuple(getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2") if hasattr(signal, name))  # none on Windows
PATIENCE = 1.0  # seconds within which a second signal counts as the same one
NO_MEMORY = (
    *("not enough memory", "out of memory", "allocate memory", "alloc_cpu", "ALLOC_FAILED", "start new thread"),
    "error return without exception set",  # from an import, when there is no memory left to say what is missing
)
Stopwatch = Callable[[], float]  # seconds
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def pick_device(name: str, key: str = "device") -> torch.device:
    """`auto` is cuda, else mps, else cpu. Raises ConfigError, naming `key`, for a device that this machine lacks."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(unknown(f"{key}={name}", ("auto", "cpu", "cuda", "cuda:1", "mps"))) from None
    present = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not present.get(device.type, False):
        raise ConfigError(two_lines(f"{key}={name} is not on this machine", f"use {key}=auto or {key}=cpu"))
    return device


def fix_algorithms() -> None:
    """The same arithmetic every time: no autotuned convolutions, and deterministic kernels where torch has them."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    torch.set_deterministic_debug_mode("warn")  # the same, without taking a second to load the compiler
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def keep_freed_memory() -> None:
    """Large tensors reuse freed memory (glibc only): otherwise each of over 32 MB is newly mapped, and a pass of a
    large network on a CPU spends up to three quarters of its time on page faults.
    """
    if sys.platform == "linux":
        with suppress(AttributeError):  # another C library
            malloc = ctypes.CDLL(None).mallopt
            malloc(M_MMAP_MAX, 0)
            malloc(M_TRIM_THRESHOLD, -1)


def out_of_memory(error: BaseException) -> bool:
    """Whether the machine or the accelerator ran out of memory; torch has no single class for that."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or (isinstance(error, RuntimeError | SystemError) and any(words in str(error) for words in NO_MEMORY))


def prepare_process() -> None:
    """The first thing every command that computes does."""
    fix_algorithms()
    keep_freed_memory()


@contextmanager
def process_settings_kept() -> Iterator[None]:
    """What a run sets for its process, threads and the choice of convolutions, ends with the run."""
    threads, benchmark = torch.get_num_threads(), torch.backends.cudnn.benchmark
    try:
        yield
    finally:
        _set_threads(threads)
        torch.backends.cudnn.benchmark = benchmark


def _set_threads(count: int) -> None:
    if count != torch.get_num_threads():  # setting what is set already changes how MKL shares its work
        torch.set_num_threads(count)


def precision_of(name: str) -> torch.dtype:
    """Raises ConfigError for a name that is none of a precision."""
    if name not in PRECISIONS:
        raise ConfigError(unknown(f"trainer.precision={name}", PRECISIONS))
    return PRECISIONS[name]


def bfloat16_cost(device: torch.device, side: int = 512, times: int = 3) -> float:
    """The time of a product of two matrices in bfloat16 over the time in float32, measured; each the best of some."""
    return _product(device, torch.bfloat16, side, times) / _product(device, torch.float32, side, times)


def _product(device: torch.device, precision: torch.dtype, side: int, times: int) -> float:
    matrix = torch.ones(side, side, dtype=precision, device=device)
    matrix @ matrix  # loads the kernel
    spent = []
    for _ in range(times):
        wait_for(device)
        begun = time.perf_counter()
        matrix @ matrix
        wait_for(device)
        spent.append(time.perf_counter() - begun)
    return min(spent)


def wait_for(device: torch.device) -> None:
    """Until the device has done what it was given; a CPU always has."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def clock_of(device: torch.device, threads: int) -> Stopwatch:
    """One thread's own time where there is one, of which other programs take nothing; else the clock on the wall, once
    the device has done what it was given."""
    if device.type == "cpu" and threads == 1:
        return time.process_time

    def wall() -> float:
        wait_for(device)
        return time.perf_counter()

    return wall


@dataclass(frozen=True)
class Runtime:
    """One process of a run, and how it computes; `str()` gives the words for it.

    `world` processes share each batch; rank 0 writes.
    """

    device: torch.device
    precision: torch.dtype = torch.float32
    rank: int = 0
    world: int = 1
    channels_last: bool = False  # the channels of a pixel lie side by side in memory
    compiled: bool = False
    threads: int | None = None
    benchmark: bool = False

    @property
    def stream(self) -> int:
        """The number of the random stream of what this process draws for itself. 0 is that of the whole batch, which is
        this process's own where it shares the batch with nobody."""
        return 0 if self.world == 1 else 1 + self.rank

    def __str__(self) -> str:
        words = {
            str(self.device): True,
            str(self.precision).removeprefix("torch."): self.precision != torch.float32,
            "channels last": self.channels_last,
            "compiled": self.compiled,
            "convolutions by timing": self.benchmark,
            f"{self.threads} thread{'s' if self.threads != 1 else ''}": self.threads is not None,
        }
        return ", ".join(word for word, said in words.items() if said)

    def prepare(self) -> None:
        """Readies this process."""
        prepare_process()
        torch.backends.cudnn.benchmark = self.benchmark
        if self.threads is not None:
            _set_threads(self.threads)

    def place(self, network: nn.Module) -> None:
        """Moves a network to the device; its weights' layout is what the layouts of all it computes follow from."""
        network.to(self.device)
        if self.channels_last:
            network.to(memory_format=torch.channels_last)

    def autocast(self) -> AbstractContextManager:
        """Mixed precision in bfloat16 runs: bfloat16 where it is safe; no loss scaling, so penalties need no care."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.precision == torch.bfloat16 else nullcontext()


@dataclass
class StopRequest:
    """Whether the run was asked to stop (Ctrl-C, SIGTERM, a closed terminal); the trainer checks between steps."""

    asked: bool = False
    since: float = 0.0


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """The first signal asks for a stop after the current step; a second one, a while later, interrupts at once.

    A terminal and a launcher may both pass on the same Ctrl-C: a signal that follows at once is the same request.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def ask() -> None:
        if not request.asked:
            request.asked, request.since = True, time.monotonic()

    def stop(number: int, frame: FrameType | None) -> None:
        if number == HANGUP:
            let_go_of_a_terminal_that_is_gone()
        if request.asked and time.monotonic() - request.since > PATIENCE:
            raise KeyboardInterrupt
        ask()

    with time_limit_heard(ask):
        before = {number: signal.signal(number, stop) for number in heard(*STOPS)}
        try:
            yield request
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def time_limit_heard(ask: Callable[[], None]) -> Iterator[None]:
    """Within it SIGUSR1 and SIGUSR2, by which batch systems say that a job's time is about to end, `ask` for a stop.

    Who handles them already, as submitit does to send its job again, is told after the block, when all is saved. One
    that is ignored stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told: list[int] = []

    def hear(number: int, frame: FrameType | None) -> None:
        told.append(number)
        ask()

    heard = [number for number in WARNINGS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, hear) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in dict.fromkeys(told):
            if callable(handler := before[number]):
                handler(number, None)
