"""gan stop: asks a run to stop as Ctrl-C does, from another terminal."""

from __future__ import annotations

import logging
import os
import platform
import re
import shlex
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gan_cli import console
from gan_cli.config import own, plain
from gan_cli.errors import NotARun, RunFailed, two_lines
from gan_cli.store import outputs, summary
from gan_cli.store.locks import holder
from gan_cli.store.run import Run, newest_first

log = logging.getLogger(__name__)

WHO = re.compile(r"process (\d{1,9}) on (.*)", flags=re.DOTALL)  # what `Run.alone` writes into the lock file
LOOK = 0.1  # seconds between looks at the lock
LONG = 10.0  # seconds after which it is said what is being waited for


def main(words: Sequence[str]) -> None:
    """The command line: `words` after `gan stop`."""
    asked = plain.answering(words)
    run = Run.open(plain.one_run(asked.plain, "stop"))
    lock = run.folder / ".lock"
    number = _process(run, holder(lock), lock)
    try:
        os.kill(number, signal.SIGTERM)  # `gan train` takes it for Ctrl-C from its first line on
    except ProcessLookupError:
        pass  # it has just ended
    except PermissionError:
        raise NotARun(
            two_lines(f"{run.folder} is another user's run", f"ask its owner to stop it: kill {number}")
        ) from None
    log.info("asked process %d to stop", number)
    _wait(run, lock)
    told = _tell(run)
    if asked.json is not None:
        outputs.answer(asked.json, told)


def _process(run: Run, who: str | None, lock: Path) -> int:
    """The number of the process that trains the run. Raises NotARun where none does, or none that can be asked."""
    if who is None:
        raise NotARun(two_lines(f"{run.folder} is not running", "gan runs status=running lists the runs that are"))
    found = WHO.fullmatch(who)
    if found is None:
        raise NotARun(two_lines(f"{run.folder} is running, but does not say where", "stop it where it was started"))
    number, node = int(found[1]), found[2]
    if node != platform.node():
        raise NotARun(two_lines(f"{run.folder} runs on {console.one_line(node)}, not here", "type gan stop there"))
    if not _has_open(number, lock):
        raise NotARun(
            two_lines(f"{run.folder} is running, but not as process {number}", "stop it where it was started")
        )
    return number


def _has_open(number: int, lock: Path) -> bool:
    """Whether the process has the file open, as far as the system tells: a lock file may say anything."""
    try:
        about = lock.stat(follow_symlinks=False)
        opened = list(Path(f"/proc/{number}/fd").iterdir())
    except PermissionError:
        return True  # another user's: it will not take a signal either
    except OSError:
        return number > 1 and not Path("/proc/self/fd").exists()
    for path in opened:
        try:
            other = path.stat()
        except OSError:
            continue
        if (other.st_dev, other.st_ino) == (about.st_dev, about.st_ino):
            return True
    return False


def _wait(run: Run, lock: Path) -> None:
    """Until nobody holds the lock."""
    begun, told = time.monotonic(), False
    while holder(lock) is not None:
        if not told and time.monotonic() - begun > LONG:
            log.info("it completes its step and saves; Ctrl-C ends this waiting alone")
            told = True
        time.sleep(LOOK)


def _tell(run: Run) -> dict[str, Any]:
    """Says how it ended, and returns the same for programs. Raises RunFailed where it did not end well."""
    result, typed = summary.read(str(run.result)), shlex.quote(str(run.folder))
    status, step = result.get("status"), result.get("step")
    vouched = own.vouched(run)
    resume = f"gan train resume={typed}{vouched}"
    if status is None:
        restart = f"gan train repeat={typed}{vouched} starts it again"
        again = f"{resume} continues it" if newest_first(run.checkpoints) else restart
        raise RunFailed(two_lines(f"{run.folder} ended without a result", again))
    if status == "failed":
        raise RunFailed(two_lines(f"{run.folder} failed: {str(result.get('error')).splitlines()[0][:300]}", resume))
    log.info("%s at step %s; everything is saved in %s", status, step, run.folder)
    following = resume if status == "stopped" else f"gan show {typed}"
    log.info("  %s", following)
    return {"folder": str(run.folder), "status": status, "step": step, "next": following}
