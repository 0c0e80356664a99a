"""gan cache: what is kept outside of runs, and how to be rid of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from gan_cli import console
from gan_cli.config import plain
from gan_cli.config.errors import did_you_mean
from gan_cli.errors import ConfigError, RunFailed, two_lines
from gan_cli.store import caches, outputs, removal

log = logging.getLogger(__name__)

NOTHING = "nothing was removed"


def main(words: Sequence[str]) -> None:
    """The command line: `words` after `gan cache`."""
    asked = plain.answering(words, ("yes",))
    clears = asked.plain[:1] == ["clear"]
    names = asked.plain[1:] if clears else asked.plain
    for name in names:
        if name not in caches.CACHES:
            known = caches.CACHES if clears else (*caches.CACHES, "clear")
            remedy = f"{did_you_mean(name, known)} there are {', '.join(caches.CACHES)}".strip()
            raise ConfigError(two_lines(f"no cache named '{name}'", remedy))
    chosen = [caches.CACHES[name] for name in dict.fromkeys(names) or caches.CACHES]
    if clears:
        _clear(chosen, asked)
    else:
        _list(chosen, asked)


def _list(chosen: Sequence[caches.Cache], asked: plain.Asked) -> None:
    found = [(cache, caches.content(cache)) for cache in chosen]
    if asked.json is not None:
        facts = {c.name: {"folder": str(f.folder), "entries": f.entries, "bytes": f.bytes} for c, f in found}
        outputs.answer(asked.json, facts)
        return
    for cache, there in found:
        count = f"{there.entries} entr{'y' if there.entries == 1 else 'ies'}"
        log.info("%-12s %9s  %-11s  %s", cache.name, console.size(there.bytes), count, cache.says)
    log.info("in %s; gan cache clear [NAME...] removes them", console.one_line(str(caches.home())))


def _clear(chosen: Sequence[caches.Cache], asked: plain.Asked) -> None:
    found = {cache: caches.content(cache) for cache in chosen}
    full = [cache for cache, there in found.items() if there.files]
    files, freed = sum(len(there.files) for there in found.values()), sum(there.bytes for there in found.values())
    removed = 0
    if not full:
        log.info("nothing to remove: there are no entries in %s", console.one_line(str(caches.home())))
    elif plain.agreed(
        f"remove {files} files of {', '.join(c.name for c in full)} ({console.size(freed)})", NOTHING, asked
    ):
        for cache in full:
            try:
                removed += removal.clear(cache)
            except OSError as error:
                raise RunFailed(two_lines(str(error), f"{removed} files were removed before it")) from error
        log.info("removed %d files, %s; whatever is needed again is made again", removed, console.size(freed))
    if asked.json is not None:
        outputs.answer(asked.json, {"removed": removed, "bytes": freed if removed else 0})
