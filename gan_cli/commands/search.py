"""gan search: Optuna chooses settings, `gan train` tries them, until so many trials have ended."""

from __future__ import annotations

import json
import logging
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_cli import console
from gan_cli.commands.train import Asked, trial
from gan_cli.config import compose, trust
from gan_cli.config import own as evidence
from gan_cli.config.words import divide, text
from gan_cli.errors import ConfigError, DiskFull, Interrupted, NotWritable, Refused, RunFailed, two_lines
from gan_cli.search import account, outcome, storage
from gan_cli.search.outcome import FAILED, REFUSED, Ending
from gan_cli.search.plan import ACCOUNT, Search, parted, planned
from gan_cli.store import outputs
from gan_cli.store.disk import is_full, remove_empty, write_json

if TYPE_CHECKING:
    from gan_cli.search.study import Study, Trial

log = logging.getLogger(__name__)


def main(words: Sequence[str]) -> None:
    """The command line: `words` after `gan search`."""
    vouched, settings = trust.taken(words)
    typed, flags = divide(settings, "search")
    if {"-m", "--multirun"} & {*flags}:
        raise ConfigError(two_lines("gan search takes words with several values as they are", "leave -m out"))
    if runs := {"-r", "--run"} & {*flags}:
        raise ConfigError(two_lines("gan search runs its trials by itself", f"leave {runs.pop()} out"))
    if compose.shown_by_hydra(flags):
        compose.perform("search", [*parted(typed)[0], *flags], lambda config: None)
        return
    answer = next((text(word.partition("=")[2]) for word in reversed(typed) if word.startswith("json=")), None)
    console.set_up(aside=answer is not None and outputs.is_standard(Path(answer)))
    storage.load()
    search = planned(typed, flags, vouched, shlex.join(["gan", "search", *words]))
    study = _opened(search)
    try:
        _go(search, study)
        _conclude(search, study)
    except KeyboardInterrupt as error:
        what = f"stopped; the trials are in {search.folder}"
        raise Interrupted(two_lines(what, search.again)) from error
    except (Refused, RunFailed, OSError) as error:
        if not (isinstance(error, DiskFull) or is_full(error)):
            raise
        what = f"{str(error).splitlines()[0]}; the trials are in {search.folder}"
        raise DiskFull(two_lines(what, f"make room, and {search.again} goes on with them")) from error


def _opened(search: Search) -> Study:
    """The study, in its storage and its folder. Raises Refused and leaves no folder where one cannot be made."""
    from gan_cli.config import build
    from gan_cli.search.study import Study, begin

    request, folder = search.request, search.folder
    sampler = build.make(build.check_part("sampler", request.sampler, search.trusted))
    pruner = build.make(build.check_part("pruner", request.pruner, search.trusted))(search.measured)
    new = not folder.is_dir()
    study = None
    try:
        early = None if storage.own(request.storage) else storage.opened(request.storage, folder)
        with outputs.named(f"the folder {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
        kept = early or storage.opened(request.storage, folder)
        begun = begin(request.study, request.storage, kept, folder, folder / ACCOUNT)
        study = Study(begun, request.storage, folder, search.space, sampler, pruner)
        _write(search, study)
    except BaseException as error:
        if new and folder.is_dir():
            if study is not None and not storage.own(request.storage):
                with suppress(Refused, RunFailed):
                    study.forget()
            _leave_nothing(folder)
        if isinstance(error, DiskFull):
            what = f"no study can be begun in {folder}: no space left on device"
            raise NotWritable(two_lines(what, "make room, or hydra.run.dir=FOLDER names another folder")) from error
        raise
    return study


def _leave_nothing(folder: Path) -> None:
    """Removes what a search has made in a folder in which no run began."""
    for name in (*storage.FILES.values(), storage.LOCK, ACCOUNT):
        (folder / name).unlink(missing_ok=True)
    remove_empty(folder)


def _write(search: Search, study: Study, final: bool = False) -> dict[str, Any]:
    told = account.of(study, search.words, search.request.trials, search.command)
    evidence.remember(json.dumps(search.words))
    told["importance"] = account.importance(study) if final else {}
    with outputs.named(f"{search.folder / ACCOUNT}"):
        write_json(search.folder / ACCOUNT, outputs.finite(told))
    return told


def _go(search: Search, study: Study) -> None:
    """Runs trials until there are as many as asked for."""
    while True:
        with study.next(search.request.trials) as mine:
            if mine is None:
                return
            study.tell(mine, outcome.told(mine.folder) or _run(search, study, mine))
        _write(search, study)


def _run(search: Search, study: Study, mine: Trial) -> Ending:
    tried = " ".join(word for word in mine.words if word not in search.space.fixed)
    log.info("\n#%s%s  %s", mine.number, " (left behind)" if mine.left else "", tried)
    asked = Asked(search.command, mine.words, search.vouched, (study.watch(mine),))
    try:
        trial(asked, mine.folder, search.flags)
    except (NotWritable, DiskFull):
        raise
    except Refused as error:
        log.warning("#%s was refused: %s", mine.number, error)
        return Ending(REFUSED, why=str(error))
    except Exception as error:
        log.warning("#%s failed: %s", mine.number, error)
        log.debug("the trial failed", exc_info=True)
        return outcome.told(mine.folder) or Ending(FAILED, why=str(error))
    ended = outcome.told(mine.folder)
    assert ended is not None
    return ended


def _conclude(search: Search, study: Study) -> None:
    """Tells what came of it. Raises RunFailed where no trial ended by itself, and ConfigError where none began; then
    nothing is left."""
    told = _write(search, study, final=True)
    if all(row["ended"] == REFUSED and row["run"] is None for row in told["trials"]):
        study.forget()
        _leave_nothing(search.folder)
        raise ConfigError(_all_refused([row["why"] for row in told["trials"]]))
    if search.request.answer is not None:
        outputs.answer(search.request.answer, told)
    log.info("")
    for line in account.table(told):
        log.info("%s", line)
    log.info("%s; everything is in %s", ", ".join(f"{n} {ended}" for ended, n in told["counts"].items()), search.folder)
    if told["best"] is None:
        _nothing_found(search, told)
    log.info("  gan report %s", shlex.quote(str(search.folder)))
    log.info("  %s trials=%d", search.again, 2 * len(told["trials"]))
    best = told["trials"][told["best"]]
    log.info("best: #%d, %s %.5g", best["number"], best["best"]["metric"], best["best"]["value"])
    if best["run"] is not None:
        run = shlex.quote(str(search.folder / best["run"]))
        log.info("  gan train repeat=%s%s", run, "".join(f" trust={home}" for home in search.vouched))


def _all_refused(reasons: Sequence[str]) -> str:
    """The problem of a search in which no run began: the commonest reason, with its remedy."""
    (why, times), *others = Counter(reasons).most_common()
    what, remedy, *_ = [*why.splitlines(), "", ""]
    more = f", {times} of them because" if others else ""
    return two_lines(f"all {len(reasons)} trials were refused{more}: {what}", remedy.strip())


def _nothing_found(search: Search, told: Mapping[str, Any]) -> None:
    why = next((row["why"] for row in told["trials"] if row["why"]), "").splitlines() or ["all ended early"]
    raise RunFailed(two_lines(f"no trial ended by itself: {why[0]}", f"the trials are in {search.folder}"))
