"""What a run was measured against before: scores against other data of its name would be told as the same."""

from __future__ import annotations

import filecmp
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from gan_cli.callbacks.evaluation import short
from gan_cli.errors import ConfigError, two_lines

MOST, READ = 100_000, 16  # files whose sizes are compared, and of which the content is


def check(before: str | None, now: str | None) -> None:
    """Raises ConfigError where the files that a resumed run shall be measured against have the name of the former ones,
    and are others. Those that were moved there are told by nothing: the former ones are gone."""
    if before is None or now is None or before == now or short(before) != short(now):
        return
    former, latter = Path(before), Path(now)
    if not former.exists() or not latter.exists() or former.samefile(latter):
        return
    if not _alike(former, latter):
        what = f"evaluation.reference={now} is not {before}, which this run was measured against, and has its name"
        raise ConfigError(two_lines(what, "give it another name, so that their scores stay apart"))


def _alike(former: Path, latter: Path) -> bool:
    """Whether one is a copy of the other, as far as names, sizes and the first files tell."""
    ours, theirs = ([*islice(_files(place), MOST)] for place in (former, latter))
    if ours != theirs:
        return False
    return all(filecmp.cmp(former / name, latter / name, shallow=False) for name, _ in ours[:READ])


def _files(place: Path) -> Iterator[tuple[str, int]]:
    """The files, by their names below the place and their sizes; a file is all that is there itself."""
    if not place.is_dir():
        yield "", place.stat().st_size
        return
    for folder, inside, names in os.walk(place):
        inside.sort()
        for name in sorted(names):
            path = Path(folder) / name
            if path.is_file():
                yield str(path.relative_to(place)), path.stat().st_size
