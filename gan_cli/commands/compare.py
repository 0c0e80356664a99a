"""gan compare: runs, sweeps and evaluation files side by side."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from gan_cli import console
from gan_cli.errors import NotComparable, two_lines

log = logging.getLogger(__name__)


def main(words: Sequence[str]) -> None:
    """The command line: `words` after `gan compare`."""
    from gan_cli.evaluation import comparison

    console.set_up()
    sides = [side for word in words for side in comparison.sides_of(word)]
    if len(sides) < 2:
        raise NotComparable(two_lines("compare what with what?", "gan compare RUN_OR_SWEEP RUN_OR_SWEEP ..."))
    for line in comparison.table(sides):
        log.info("%s", line)
    log.info("± is one standard error; a difference from the first column counts beyond two of them")
