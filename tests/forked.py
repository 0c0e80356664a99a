"""`gan ...` in a process of its own that is forked off one which has imported everything: a start costs seconds."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from subprocess import TimeoutExpired
from tempfile import NamedTemporaryFile

from gan_cli.training.ranks import IMPORTED

FORKS = multiprocessing.get_context("forkserver")


class Forked:
    """A running `gan`; as much of subprocess.Popen as the tests use, with both outputs in files.

    Args:
        arguments: Its command line.
        folder: Where it runs.
        environment: Its variables, all of them; by default those of this process.
        outputs: A file that takes both outputs, instead of one for each that `said` reads.
    """

    def __init__(
        self, *arguments: str, folder: Path, environment: Mapping[str, str] | None = None, outputs: str = ""
    ) -> None:
        multiprocessing.set_forkserver_preload(list(IMPORTED))
        self._outputs = [NamedTemporaryFile(prefix="gan-said-") for _ in range(2)]  # noqa: SIM115 - they go with this object
        job = (arguments, folder, dict(environment or os.environ), [outputs or file.name for file in self._outputs])
        self._process = FORKS.Process(target=_play, args=job)
        self._process.start()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """Ends it, unless it has ended."""
        self._process.kill()

    def said(self) -> tuple[str, str]:
        """What it wrote to both outputs so far."""
        out, err = (Path(file.name).read_text(errors="replace") for file in self._outputs)
        return out, err

    def wait(self, timeout: float = 120) -> int:
        """Its exit code. Raises TimeoutExpired, and kills it."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            self._process.kill()
            raise TimeoutExpired("gan", timeout, *self.said())
        return self._process.exitcode


def _play(arguments: tuple[str, ...], folder: Path, environment: dict[str, str], outputs: list[str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path.insert(0, "")  # as `python -m` has it
    for number, path in enumerate(outputs, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), number)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # a terminal that may be closed, also under `nohup`
    from gan_cli.cli import main

    sys.argv = ["gan", *arguments]
    sys.exit(main())
