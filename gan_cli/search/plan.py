"""What a search is asked for, checked wholly before anything is written."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from gan_cli.config import compose, trust
from gan_cli.config import own as evidence
from gan_cli.config.choices import offers
from gan_cli.config.errors import did_you_mean
from gan_cli.config.schema import validated
from gan_cli.config.words import quote, text
from gan_cli.errors import ConfigError, NotARun, NotWritable, Refused, two_lines
from gan_cli.runs.processes import on_devices
from gan_cli.search import storage
from gan_cli.search.space import Space, merged, read
from gan_cli.store.disk import read_json
from gan_cli.store.places import anchored, is_address
from gan_cli.types import PositiveInt

if TYPE_CHECKING:
    from gan_cli.config.trust import Trust
    from gan_cli.search.pruners import Measured

ACCOUNT = "search.json"
CHANGING = ("trials", "json", "resume", "hydra.run.dir")  # words that do not make it another search
PATHS = ("dataset.root", "evaluation.reference", "init_from")  # words that may name something where they are typed


class SearchRequest(BaseModel):
    """The settings of conf/search.yaml."""

    model_config = ConfigDict(extra="forbid")

    trials: PositiveInt
    storage: str
    study: str
    resume: str | None
    answer: str | None = Field(alias="json")
    search: dict[str, Any]
    sampler: dict[str, Any]
    pruner: dict[str, Any]


@dataclass(frozen=True)
class Search:
    """A search, ready to begin or to go on."""

    request: SearchRequest
    folder: Path
    words: list[str]  # that make it this search and no other
    space: Space
    measured: Measured
    trusted: Trust
    vouched: tuple[str, ...]
    flags: list[str]
    command: str  # as it was typed

    @property
    def again(self) -> str:
        """The command that goes on with it."""
        given = [*(f"trust={home}" for home in self.vouched), *self.flags]
        return shlex.join(["gan", "search", f"resume={self.folder}", *given])


def parted(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words of the search, and those of its runs. Raises ConfigError for what is probably a misspelt one of the
    former, or not for a search."""
    offer, of_runs = offers()["search"], offers()["train"]
    ours = {*offer.settings, *offer.groups, "hydra"}
    theirs = {*of_runs.settings, *of_runs.groups}
    own: list[str] = []
    others: list[str] = []
    for word in map(_current, words):
        head = word.partition("=")[0].lstrip("+~").replace("@", ".").partition(".")[0]
        if head == "repeat":
            raise ConfigError(two_lines("repeat= repeats one run", "gan search takes the words of a new one"))
        if head not in {*ours, *theirs} and (meant := did_you_mean(head, {*ours, *theirs})):
            raise ConfigError(two_lines(f"no setting '{head}'", meant))
        (own if head in ours else others).append(word)
    return own, others


def _current(word: str) -> str:
    """A word by its name of today: what is searched over was `space=` once, and searches keep their words."""
    head = _key(word)
    former = head == "space" or head.startswith("space.")
    return word.replace("space", "search", 1) if former else word


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+")


def planned(typed: Sequence[str], flags: list[str], vouched: tuple[str, ...], command: str) -> Search:
    """What is asked for, checked wholly before anything is written."""
    from gan_cli.config import build
    from gan_cli.search.pruners import Measured

    own, others = parted(typed)
    composed = compose.compose("search", [*own, *flags])
    request, folder = validated(SearchRequest, composed.config), composed.folder
    source = request.resume
    words = [_anchored(word) for word in typed if _key(word) not in CHANGING]
    trusted = trust.for_runs(vouched)
    if source is not None:
        folder, trusted = Path(source), trust.for_files(vouched)
        if words:
            remedy = "only trials= may change; leave resume= out for another search"
            raise ConfigError(two_lines(f"{words[0]} does not go with resume=", remedy))
        words, most = _kept(folder)
        own, others = parted(merged(words, most, [word for word in typed if _key(word) in ("trials", "json")]))
        request = validated(SearchRequest, compose.compose("search", [*own, *flags]).config)
    else:
        others = parted(words)[1]
        _check_folder(folder, words)
    storage.check(request.storage)
    of_space = [build.make(build.check_part(f"search.{name}", node, trusted)) for name, node in request.search.items()]
    space = read(merged(*of_space, others), flags)
    checked = [
        build.check(on_devices(compose.compose("train", [*corner, *flags]).config), trusted)
        for corner in space.corners()
    ]
    if source is not None:
        _check_addresses(folder, words, [each.config["dataset"] for each in checked])
    evaluation, trainer = (checked[0].config[group] for group in ("evaluation", "trainer"))
    if evaluation.get("every_steps") is None and evaluation.get("every_epochs") is None:
        what = "a search needs a number to go by, and these runs measure nothing"
        raise ConfigError(two_lines(what, "add evaluation.every_steps=500"))
    by_epochs = evaluation.get("every_epochs") is not None
    measured = Measured(None if by_epochs else evaluation["every_steps"], trainer.get("max_steps"))
    if source is None:
        _rehearse([each.config for each in checked], trusted)
    return Search(request, folder, words, space, measured, trusted, vouched, flags, command)


def _rehearse(corners: Sequence[dict[str, Any]], trusted: Trust) -> None:
    """Raises Refused where runs at every corner of the space would be, for one and the same reason: then those within
    it would be too, one after another."""
    reasons: list[Refused] = []
    for config in corners:
        try:
            _rehearse_one(config, trusted)
        except Refused as error:
            if reasons and str(error) != str(reasons[0]):
                return
            reasons.append(error)
        except Exception:  # which its trial tells
            return
        else:
            return
    raise reasons[0]


def _rehearse_one(config: dict[str, Any], trusted: Trust) -> None:
    """Does what a run does before its first step. Raises as that does."""
    from gan_cli.config import build
    from gan_cli.references.opening import beside
    from gan_cli.runs.foresight import consider
    from gan_cli.runs.picking import PLAIN
    from gan_cli.store.run import Run, heard
    from gan_cli.training.runtime import process_settings_kept
    from gan_cli.training.session import Session

    left = {key: value for key, value in PLAIN.items() if config["trainer"].get(key) is None}
    left["compile"] = False  # takes a minute, and each trial does it
    checked = build.check({**config, "trainer": {**config["trainer"], **left}}, trusted)
    with process_settings_kept(), heard(False):
        callbacks = build.callbacks(checked, beside(checked, trusted))
        consider(Session(build.trainer(checked), Run(os.devnull), callbacks), checked)


def _anchored(word: str) -> str:
    """A word that names something here, so that it can be gone on with from any folder."""
    key, _, value = word.partition("=")
    there = key in PATHS and os.path.exists(text(value))
    return f"{key}={quote(anchored(text(value)))}" if there else word


def _kept(folder: Path) -> tuple[list[str], list[str]]:
    """The words of the search in a folder, which may be a stranger's, and how many trials it was to have."""
    remedy = "gan search resume=outputs/searches/<search> goes on with one"
    if not folder.is_dir():
        raise NotARun(two_lines(f"{folder} is not a folder", remedy))
    kept = read_json(folder / ACCOUNT)
    words, most = kept.get("words"), kept.get("asked")
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        if any((folder / name).exists() for name in storage.FILES.values()):
            what = f"{folder} holds a study, but {ACCOUNT}, which has the words of its search, is gone or damaged"
            raise NotARun(two_lines(what, "put it back, or begin the search anew"))
        raise NotARun(two_lines(f"{folder} holds no search", remedy))
    for word in words:
        if _key(word).partition(".")[0] in ("hydra", "trust", *CHANGING) or word.startswith("-") or "oc.env" in word:
            raise NotARun(two_lines(f"{folder / ACCOUNT}: '{word}' is not taken from a file", "begin the search anew"))
    return words, [f"trials={most}"] if type(most) is int else []


def _check_addresses(folder: Path, words: Sequence[str], datasets: Sequence[Mapping[str, Any]]) -> None:
    """Raises NotARun where a search that may be a stranger's would ask another machine for its data."""
    roots = [side.get("root") for each in datasets for side in (each, each.get("given") or {})]
    address = next((root for root in roots if isinstance(root, str) and is_address(root)), None)
    if address is not None and not evidence.is_own(json.dumps([*words])):
        what = f"{folder} was not begun here, and its data are at {address}"
        raise NotARun(two_lines(what, "begin the search anew, with its words"))


def _check_folder(folder: Path, words: Sequence[str]) -> None:
    """Raises NotWritable where something else is in the folder; the same search goes on, and one that was killed before
    it wrote its words begins."""
    if not os.path.isdir(folder) or {path.name for path in folder.iterdir()} <= {*storage.FILES.values(), storage.LOCK}:
        return
    kept = read_json(folder / ACCOUNT).get("words")
    if kept is None:
        raise NotWritable(two_lines(f"{folder} is not empty", "hydra.run.dir=FOLDER names another folder"))
    if kept != [*words]:
        remedy = f"gan search resume={shlex.quote(str(folder))} goes on with that; hydra.run.dir= names another folder"
        raise NotWritable(two_lines(f"{folder} holds another search", remedy))
