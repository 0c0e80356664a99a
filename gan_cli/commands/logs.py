"""gan logs: a run's log, and what is added to it."""

from __future__ import annotations

import codecs
import os
import shlex
import stat
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from gan_cli import console
from gan_cli.config import plain
from gan_cli.errors import NotARun, two_lines
from gan_cli.store import outputs
from gan_cli.store.disk import AS_IT_STANDS, cause
from gan_cli.store.locks import holder
from gan_cli.store.run import Run

LOOK = 0.3  # seconds between looks at a log that is followed
PIECE = 2**16  # bytes read at once
LONGEST = 2**20  # characters of a line that are waited for


def main(words: Sequence[str]) -> None:
    """The command line: `words` after `gan logs`."""
    asked = plain.divide(words, ("n",), ("-f",))
    word, n = plain.one_run(asked.plain, "logs"), plain.count(asked, "n")
    run = Run.open(word)
    descriptor = _opened(run)
    try:
        os.lseek(descriptor, 0 if n is None else start_of_last(descriptor, n), os.SEEK_SET)
        for line in _lines(descriptor, lambda: "-f" in asked.flags and holder(run.folder / ".lock") is not None):
            with outputs.printing():
                print(console.printable(line), flush=True)
    except KeyboardInterrupt:
        if "-f" not in asked.flags:
            raise
        print(f"\nthe run goes on; gan stop {shlex.quote(word)} stops it", file=sys.stderr)
    finally:
        os.close(descriptor)


def _opened(run: Run) -> int:
    """The log, open. Raises NotARun where there is none."""
    try:
        descriptor = os.open(run.log, os.O_RDONLY | AS_IT_STANDS)
    except FileNotFoundError:
        raise NotARun(two_lines(f"{run.folder} has no log yet", "gan runs says which runs are running")) from None
    except OSError as error:
        raise NotARun(two_lines(f"{run.log} cannot be read: {cause(error)}", "put the log itself there")) from None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise NotARun(two_lines(f"{run.log} is not a file", "put the log itself there"))


def start_of_last(descriptor: int, n: int) -> int:
    """Where the last n lines of a file begin; read from its end."""
    place = max(0, os.fstat(descriptor).st_size - 1)  # the last line's own end is not counted
    while place > 0:
        start = max(0, place - PIECE)
        piece = os.pread(descriptor, place - start, start)
        if (found := piece.count(b"\n")) >= n:
            position = len(piece)
            for _ in range(n):
                position = piece.rindex(b"\n", 0, position)
            return start + position + 1
        n, place = n - found, start
    return 0


def _lines(descriptor: int, goes_on: Callable[[], bool]) -> Iterator[str]:
    """The lines from here on, until the end of the file is reached and nothing more is to come."""
    decoder, rest = codecs.getincrementaldecoder("utf-8")(errors="replace"), ""
    while True:
        more = goes_on()  # asked first: what is written between the question and the reading is read
        while piece := os.read(descriptor, PIECE):
            *whole, rest = (rest + decoder.decode(piece)).split("\n")
            yield from whole
            if len(rest) > LONGEST:
                yield rest
                rest = ""
        if not more:
            break
        time.sleep(LOOK)
    if rest:
        yield rest
