"""A GPU for each job, where a machine has several and jobs run side by side."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gan_cli.store.locks import Held, holding


@contextmanager
def own_device(folder: Path, job: int) -> Iterator[None]:
    """In the block, `cuda` is a GPU that no other job of the sweep in `folder` has, as long as there is one.

    A launcher that gives each job its own lets it see no other, and nothing is left to choose.
    """
    import torch  # a job that is not run does not wait for it

    there = torch.cuda.device_count()
    if there < 2:
        yield
        return
    with ExitStack() as stack:
        torch.cuda.set_device(_free(folder, job, there, stack))
        yield


def _free(folder: Path, job: int, there: int, stack: ExitStack) -> int:
    """The first of `there` devices that nobody holds, held from here on; where all are, they are dealt in turn."""
    for device in range(there):
        try:
            stack.enter_context(holding(folder / f".gpu-{device}", f"job {job}, process {os.getpid()}"))
            return device
        except Held:
            continue
    return job % there
