"""`gan WORDS` in a process of its own, and the moments at which something is done to it.

A start takes seconds, most of them spent on imports. So a child is forked off this process, which has imported them,
and calls the program's entry point; `cold` starts an interpreter, where the start itself is what matters.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import itertools
import os
import pkgutil
import resource
import signal
import sys
import termios
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random

import gan_cli

IMPORTED = (  # besides the program itself
    *("torch._dynamo", "torch.utils.tensorboard", "matplotlib.backends.backend_agg", "mpl_toolkits.mplot3d"),
    *("sklearn.datasets._base", "scipy.linalg", "hydra.core.hydra_config", "hydra.main", "hydra._internal.hydra"),
    *("pydantic.main", "PIL.PngImagePlugin", "PIL.BmpImagePlugin", "PIL.JpegImagePlugin", "PIL.GifImagePlugin"),
)
STRICT = (signal.SIGTERM, signal.SIGHUP, signal.SIGXFSZ)
ROOT = Path(__file__).resolve().parents[2]  # of the program that is put to the test
NUMBERS = itertools.count()


class Hung(Exception):
    """A child that did not end; it was killed."""


def warm_up() -> None:
    """Imports what the children would, and starts no thread."""
    os.environ["PYTHONPATH"] = str(ROOT)
    own = [module.name for module in pkgutil.walk_packages(gan_cli.__path__, "gan_cli.")]
    for name in (*IMPORTED, *(name for name in own if not name.endswith(".__main__"))):
        importlib.import_module(name)


class Child:
    """A running `gan`, the leader of its own session.

    Args:
        folder: Where it runs.
        cold: Whether it is an interpreter of its own; else a fork of this one.
        limits: As of `resource.setrlimit`.
        environment: Variables besides those of this process.
        terminal: The slave of a pseudo-terminal that it is to write to.
    """

    def __init__(
        self,
        folder: Path,
        words: tuple[str, ...],
        cold: bool = False,
        limits: Mapping[int, int] | None = None,
        environment: Mapping[str, str] | None = None,
        terminal: int | None = None,
    ) -> None:
        self.words = words
        self.said = folder / f"said-{next(NUMBERS)}.txt"
        self.code: int | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                _settle(folder, self.said, limits or {}, environment or {}, terminal)
                if cold:
                    os.closerange(3, 1024)
                    os.execv(sys.executable, [sys.executable, "-m", "gan_cli", *words])
                os._exit(_called(words))
            finally:
                os._exit(70)

    def over(self) -> bool:
        """Whether it has ended; its code is known then: the negative signal that ended it, as of `subprocess`."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None

    def wait(self, seconds: float = 180) -> int:
        """Its exit code. Raises Hung where it takes longer."""
        end = time.monotonic() + seconds
        while not self.over():
            if time.monotonic() > end:
                self.strike(signal.SIGKILL)
                raise Hung(f"gan {' '.join(self.words)} took more than {seconds:.0f} seconds")
            time.sleep(0.003)
        assert self.code is not None
        return self.code

    def strike(self, number: int = signal.SIGKILL) -> bool:
        """Sends it a signal; whether it was still there. One that was killed has ended when this returns."""
        if self.over():
            return False
        os.kill(self.pid, number)
        if number == signal.SIGKILL:
            return self.wait() == -signal.SIGKILL
        return True

    def text(self) -> str:
        """What it said so far."""
        return self.said.read_text(errors="replace") if self.said.exists() else ""


def _settle(
    folder: Path, said: Path, limits: Mapping[int, int], environment: Mapping[str, str], terminal: int | None
) -> None:
    """Makes the forked process what a shell would have started."""
    os.setsid()
    os.chdir(folder)
    out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if terminal is None else terminal
    if terminal is not None:
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in STRICT:
        signal.signal(number, signal.SIG_IGN if number == signal.SIGXFSZ else signal.SIG_DFL)
    for number, size in limits.items():
        resource.setrlimit(number, (size, size))


def _called(words: tuple[str, ...]) -> int:
    """The program by its entry point; a traceback as an interpreter shows it."""
    from gan_cli.cli import main

    sys.argv = ["gan", *words]
    try:
        code = main()  # as the only thing that this process does
    except BaseException:
        traceback.print_exc()
        code = 1
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    return code


Moment = Callable[[Child], None]  # returns when it is time to strike, or the child is over


def after(seconds: float) -> Moment:
    """So long after its start."""

    def wait(child: Child) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not child.over():
            time.sleep(0.001)

    return wait


def until(there: Callable[[], bool], then: float = 0, most: float = 60) -> Moment:
    """As soon as something is the case, and so many seconds later."""

    def wait(child: Child) -> None:
        end = time.monotonic() + most
        while not there() and not child.over() and time.monotonic() < end:
            time.sleep(0.0005)
        time.sleep(then)

    return wait


def writing(folder: Path, random: Random, of: int = 4) -> Moment:
    """Within the writing of a file somewhere in the folder: of one of the first so many."""
    passing, was = random.randrange(of), False

    def there() -> bool:
        nonlocal passing, was
        now = any(True for _ in unfinished(folder))
        passing -= now and not was
        was = now
        return now and passing < 0

    return until(there, random.choice((0, 0, 0.0003, 0.001, 0.003)), most=20)


def unfinished(folder: Path) -> Iterator[str]:
    """Files of the folder that are being written, or were when somebody was killed."""
    for place, _, names in os.walk(folder):
        yield from (os.path.join(place, name) for name in names if ".tmp" in name)
