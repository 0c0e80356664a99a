"""What this machine has: processor, cores, memory, room on the disk. Read from the system, without torch."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path
from typing import NamedTuple

# Names by which processors say that they multiply bfloat16 themselves; others convert each number first.
BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16", "svebf16"})
LIMIT = Path("/sys/fs/cgroup/memory.max")  # of a container


class Memory(NamedTuple):
    total: int  # bytes that this process may use
    free: int | None  # None where the system does not say


class Room(NamedTuple):
    """A place that is written to."""

    place: Path  # the folder, or the nearest above it that exists
    free: int  # bytes
    writable: bool


def processor() -> str:
    """Its name."""
    return next(iter(_of_processor("model name")), "") or platform.processor() or platform.machine()


def multiplies_bfloat16() -> bool | None:
    """Whether the processor has instructions for bfloat16; None where it does not say."""
    words = {word for key in ("flags", "Features") for line in _of_processor(key) for word in line.split()}
    return bool(words & BFLOAT16) if words else None


def _of_processor(key: str) -> list[str]:
    """The values of a key in /proc/cpuinfo; empty where there is no such file."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == key]


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> Memory | None:
    """None where the system does not say."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    try:
        told = LIMIT.read_text(encoding="utf-8").strip()
        total = min(total, int(told)) if told.isdigit() else total
    except OSError:
        pass
    return Memory(total, _available(total))


def _available(total: int) -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        kilobytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
        return min(total, 1024 * int(kilobytes))
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def room(folder: Path) -> Room:
    """Where a folder is, or will be. Raises OSError where that cannot be found out."""
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    return Room(place, shutil.disk_usage(place).free, os.access(place, os.W_OK))
