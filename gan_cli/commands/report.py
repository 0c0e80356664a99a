"""gan report: one run, a sweep, or several runs as one HTML file to look at."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gan_cli import console
from gan_cli.config import plain
from gan_cli.errors import ConfigError, NotARun, WouldOverwrite, two_lines
from gan_cli.store import outputs
from gan_cli.store.disk import peek
from gan_cli.store.inputs import refuse_links, refuse_overwriting
from gan_cli.store.run import Run
from gan_cli.sweeps.conclusion import repeat
from gan_cli.sweeps.folder import Sweep

if TYPE_CHECKING:
    from gan_cli.report.order import Order

log = logging.getLogger(__name__)

NAME = "report.html"
OURS = b'<meta name="generator" content="gan">'
ELSEWHERE = ("run", "settings", "alarms")  # of what `gan show` says: stands elsewhere in the page
MOST = 32  # runs of a page
HEAD = 2**12  # bytes of a page in which that stands


def main(words: Sequence[str]) -> None:
    """The command line: `words` after `gan report`."""
    asked = plain.answering(words, ("out",))
    out = Path(asked.settings["out"]).expanduser() if asked.settings.get("out") else None
    console.set_up(aside=outputs.aside(None if out is None else str(out), asked.json))
    if not asked.plain:
        raise ConfigError(two_lines("which run?", "gan report outputs/train/<run>; gan runs lists them"))
    named = list(dict.fromkeys(asked.plain))
    given = {word: runs_of(word) for word in named}
    target = _target(out, named)
    content = page(given)
    with outputs.named(f"out={target}"), outputs.writing(target) as file:
        file.write(content)
    log.info("report: %s (%s)", console.one_line(str(target)), console.size(len(content)))
    if asked.json is not None:
        outputs.answer(asked.json, {"written": str(target), "bytes": len(content)})


def runs_of(word: str) -> list[Run]:
    """The run in a folder, or the jobs of the sweep there. Raises NotARun where there are none."""
    folder = Path(word)
    if not os.path.isdir(word):  # False too for a name that no file can have
        raise NotARun(two_lines(f"{word} is not a folder", "gan report outputs/train/<run>, or a sweep"))
    if (folder / "config.yaml").is_file():
        return [Run.open(folder)]
    if not Sweep(folder).is_one() and not (folder / "search.json").is_file():
        raise NotARun(two_lines(f"{word} holds no run", "gan report outputs/train/<run>, or a sweep"))
    return [Run.open(run.folder) for run in Sweep(folder).runs()]


def page(given: Mapping[str, Sequence[Run]]) -> bytes:
    """The page of the runs that these words name."""
    from gan_cli.commands.show import page as facts
    from gan_cli.report import searches, told
    from gan_cli.report.page import of_run, of_runs

    runs = [run for found in given.values() for run in found]
    if [str(run.folder) for run in runs] == [str(Path(word)) for word in given] and len(runs) == 1:
        (run,) = runs
        beside = [(title, lines) for title, lines in facts(run) if title not in ELSEWHERE]
        return of_run(told.of(run), beside, repeat(run))
    failures = [row for word in given for of in (told, searches) for row in of.failures(Path(word))]
    searched = [chart for word in given for chart in searches.charts(Path(word))]
    names = [Path(word).resolve().name for word in given]
    title = " and ".join(names[:3]) + (" ..." if len(names) > 3 else "")
    shown = runs[:MOST]
    order = [line for word in given for line in _order(Path(word))]
    commands = [repeat(run) for run in shown]
    return of_runs(title, [told.of(run) for run in shown], commands, len(runs), failures, searched, order)


def _order(folder: Path) -> list[Order]:
    """Which choice of a sweep came out best; nothing for a run, or where its jobs have no order."""
    from gan_cli.report.order import of_sweep

    return of_sweep(Sweep(folder)) if Sweep(folder).is_one() else []


def _target(out: Path | None, words: Sequence[str]) -> Path:
    """Where the page goes: what the user says; else the folder of the only run or sweep, or the one where we are.

    Raises:
        WouldOverwrite: That file is read, or is none of ours and nobody named it.
    """
    if out is not None:
        target = out / NAME if out.is_dir() else out
        refuse_overwriting("out", [target], words)
        return target
    target = Path(words[0], NAME) if len(words) == 1 else Path(NAME)
    refuse_links([target])
    if os.path.lexists(target) and OURS not in peek(target, HEAD):
        raise WouldOverwrite(two_lines(f"{target} is not a report of gan's", "out=FILE names another"))
    return target
