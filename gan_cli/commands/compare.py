"""gan compare: runs, sweeps and evaluation files side by side."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from gan_cli.config import plain
from gan_cli.errors import NotComparable, two_lines
from gan_cli.store import outputs

log = logging.getLogger(__name__)


def main(words: Sequence[str]) -> None:
    """The command line: `words` after `gan compare`."""
    from gan_cli.evaluation import comparison

    asked = plain.answering(words)
    sides = [side for word in asked.plain for side in comparison.sides_of(word)]
    if len(sides) < 2:
        raise NotComparable(two_lines("compare what with what?", "gan compare RUN_OR_SWEEP RUN_OR_SWEEP ..."))
    if asked.json is not None:
        outputs.answer(asked.json, comparison.record(sides))
        return
    for line in comparison.table(sides):
        log.info("%s", line)
    log.info("± is one standard error; a difference from the first column counts beyond two of them")
