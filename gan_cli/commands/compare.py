"""gan compare: runs, sweeps and evaluation files side by side."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gan_cli import console
from gan_cli.config import plain
from gan_cli.errors import ConfigError, NotComparable, two_lines
from gan_cli.store import outputs

if TYPE_CHECKING:
    from gan_cli.sweeps.folder import Sweep

log = logging.getLogger(__name__)

VERDICT = "--verdict"


def main(words: Sequence[str]) -> None:
    """The command line: `words` after `gan compare`."""
    from gan_cli.evaluation import comparison
    from gan_cli.sweeps.folder import Sweep
    from gan_cli.sweeps.sides import sides_of

    asked = plain.answering(words, flags=(VERDICT,))
    if VERDICT in asked.flags:
        _decide(asked)
        return
    if len(asked.plain) == 1 and Sweep(asked.plain[0]).is_one():
        _rank(Sweep(asked.plain[0]), asked)
        return
    sides = [side for word in asked.plain for side in sides_of(word)]
    if len(sides) < 2:
        raise NotComparable(two_lines("compare what with what?", "gan compare RUN_OR_SWEEP RUN_OR_SWEEP ..."))
    if asked.json is not None:
        outputs.answer(asked.json, comparison.record(sides))
        return
    for line in comparison.table(sides):
        log.info("%s", line)
    if any(side.trained for side in sides):
        log.info("scores taken while training, the best of each run, where gan eval has measured nothing")
    log.info("± is one standard error; a difference from the first column counts beyond two of them")


def _rank(sweep: Sweep, asked: plain.Asked) -> None:
    """A sweep by itself: its table."""
    from gan_cli.sweeps import conclusion, ranking
    from gan_cli.sweeps.sides import jobs_of

    jobs = jobs_of(sweep)
    order = ranking.ranked(jobs)
    if order is None:
        raise NotComparable(two_lines(f"{sweep.folder} was not measured yet", f"gan eval {sweep.folder} measures it"))
    if asked.json is not None:
        outputs.answer(asked.json, conclusion.record(sweep, jobs, order))
        return
    for line in conclusion.lines(sweep, jobs, order):
        log.info("%s", line)


def _decide(asked: plain.Asked) -> None:
    """Whether the second is better than the first: keep, drop or undecided, as one line of JSON."""
    from gan_cli.evaluation import verdicts
    from gan_cli.sweeps.sides import sides_of

    if asked.json is not None:
        raise ConfigError(two_lines("--verdict does not go with --json", "it is one line of JSON by itself"))
    sides = [side for word in asked.plain for side in sides_of(word)]
    if len(sides) != 2:
        remedy = "give two: gan compare OLD NEW --verdict, runs or sweeps over seeds"
        raise NotComparable(two_lines(f"--verdict is about two, and here are {len(sides)}", remedy))
    console.set_up(aside=True)
    print(json.dumps(outputs.finite(verdicts.compare(sides[0], sides[1]))), flush=True)
