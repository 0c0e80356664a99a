"""Which class each picture at a place belongs to, or why there are no classes."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gan_cli.data.listing import SPLITS, File, Listing, Unopened, is_hidden, natural, shown
from gan_cli.errors import DataError, two_lines

log = logging.getLogger(__name__)

MOST_CLASSES = 100_000
UNFIT = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')  # in the name of a folder, on one system or another
LONGEST = 200  # bytes of a folder's name
FLAT = "they lie in one folder, and classes are folders of their own"


@dataclass(frozen=True)
class Classified:
    """Pictures with their classes.

    Attributes:
        files: In the order of their names.
        names: Of the classes, digits by their number; empty without labels.
        labels: The class of each file, or None.
        why_none: Why there are no labels, worded to follow "have no labels: ".
        taken: The split's folder that was used as the place, or the empty string.
        numbered: Whether the classes are numbers given by the user, of which some may be missing.
    """

    files: Sequence[File]
    names: tuple[str, ...] = ()
    labels: list[int] | None = None
    why_none: str = ""
    taken: str = ""
    numbered: bool = False


def classified(listing: Listing, split: str | None = None) -> Classified:
    """The classes according to StyleGAN's dataset.json, or to the folders directly below the place, or none.

    Where all folders are splits (train, test, ...) and no picture lies beside them, the one called `split` is the
    place; with `split=None` everything is taken.

    Raises:
        DataError: There are splits, but not this one.
    """
    files, base = list(listing.files), ""
    if listing.packed:
        base = _shared_folder(files, stop=SPLITS if split is not None else frozenset())
    taken = ""
    if split is not None and (tops := splits(listing)):
        (taken, *_) = [top for top in tops if top.casefold() == split.casefold()] or [""]
        if not taken:
            there = ", ".join(map(shown, tops))
            what = f"dataset.split={split}: {listing.place} is split into {there}"
            raise DataError(f"{what}\n  choose one of these, dataset.split={shown(tops[0])}")
        base = f"{base}{taken}/"
        files = [file for file in files if file.name.startswith(base)]
    return replace(_labelled(listing, files, base), taken=shown(taken))


def splits(listing: Listing) -> list[str]:
    """The splits that a place is divided into; none where other folders or pictures lie beside them."""
    base = _shared_folder(listing.files, stop=SPLITS) if listing.packed else ""
    tops = _tops(listing.files, base)
    return tops if all(top.casefold() in SPLITS for top in tops) else []


def _tops(files: Sequence[File], base: str) -> list[str]:
    """The folders directly below `base`; none where a picture lies beside them."""
    parts = [file.name[len(base) :].split("/") for file in files]
    return sorted({p[0] for p in parts}) if all(len(p) > 1 for p in parts) else []


def _shared_folder(files: Sequence[File], stop: frozenset[str]) -> str:
    """The one folder that holds everything in a zip, with its last slash; `zip -r` adds such a folder."""
    base = ""
    while len(tops := _tops(files, base)) == 1 and tops[0].casefold() not in stop:
        base += f"{tops[0]}/"
    return base


def _by_folders(files: Sequence[File], base: str) -> Classified:
    inside = [file.name[len(base) :].split("/") for file in files]
    stray = [file for file, parts in zip(files, inside, strict=True) if len(parts) == 1]
    tops = sorted({parts[0] for parts in inside if len(parts) > 1}, key=natural)
    if len(stray) == len(files):
        return Classified(files, why_none=FLAT)
    if stray:
        name, more = shown(stray[0].parts[-1]), len(stray) - 1
        others = f" and {more} more" if more else ""
        return Classified(files, why_none=f"{name}{others} lies beside the class folders; move it into one, or away")
    if len(tops) < 2:
        return Classified(files, why_none=f"there is one folder only, {shown(tops[0])}")
    index = {top: k for k, top in enumerate(tops)}
    return Classified(files, tuple(map(shown, tops)), [index[parts[0]] for parts in inside])


def _labelled(listing: Listing, files: Sequence[File], base: str) -> Classified:
    """By the nearest dataset.json of the place; by folders if there is none, or it has another format."""
    homes = {file.name[: -len(file.parts[-1])]: file for file in listing.labels}
    home = max((home for home in homes if base.startswith(home)), key=len, default=None)
    by_folders = _by_folders(files, base)
    if home is None:
        return by_folders
    name = str(homes[home])
    try:
        pairs = json.loads(homes[home].read_bytes())["labels"]
        given = None if pairs is None else {str(file).replace("\\", "/"): label for file, label in pairs}
    except (Unopened, ValueError, KeyError, TypeError, RecursionError):
        log.warning('%s is not {"labels": [["00000/img.png", 3], ...]}: it is passed over', name)
        foreign = f'{by_folders.why_none}; {name} is not {{"labels": [["00000/img.png", 3], ...]}}'
        return replace(by_folders, why_none=foreign) if by_folders.why_none else by_folders
    if given is None:
        return Classified(files, why_none=f"{name} names none")
    return _by_json(files, given, home, name)


def _by_json(files: Sequence[File], given: Mapping[str, object], home: str, told_by: str) -> Classified:
    """The classes that a dataset.json assigns to files by their names relative to its own folder."""
    labels: list[int] = []
    for file in files:
        label = given.get(file.name.removeprefix(home))
        if type(label) is not int or not 0 <= label < MOST_CLASSES:
            return Classified(files, why_none=f"{told_by} has no class number for {shown(file.name)}")
        labels.append(label)
    names = tuple(str(k) for k in range(max(labels, default=-1) + 1))
    return Classified(files, names, labels, numbered=True)


def by_numbers(
    files: Sequence[File], labels: Sequence[int | None], names: Sequence[str], told_by: str, taken: str
) -> Classified:
    """The classes that are stated file by file, if they are of all.

    Args:
        labels: Numbers; None where nothing is stated, -1 for what is no class.
        names: What the classes are called; their numbers where this is empty.
        told_by: What states them, worded to follow "has no".

    Raises:
        DataError: A number lies beyond the names.
    """
    given = [label for label in labels if label is not None]
    if not given:
        return Classified(files, why_none=f"no picture has a {told_by}", taken=taken)
    without = next((file for file, label in zip(files, labels, strict=True) if label is None or label < 0), None)
    if without is not None:
        return Classified(files, why_none=f"{without} has no {told_by}", taken=taken)
    if names and max(given) >= len(names):
        what = f"{told_by}: there is a class {max(given)}, and the names of only {len(names)} classes"
        raise DataError(two_lines(what, "pack or fetch the files again"))
    called = tuple(names) or tuple(str(k) for k in range(max(given) + 1))
    return Classified(files, called, given, taken=taken, numbered=True)


def checked_names(names: object) -> list[str]:
    """Names of classes out of a stranger's file; nothing where they are none."""
    whole = isinstance(names, list) and len(names) <= MOST_CLASSES and all(isinstance(name, str) for name in names)
    return [shown(name) for name in names] if whole and isinstance(names, list) else []


def folders_for(labels: Sequence[int], names: Sequence[str] = ()) -> dict[int, str]:
    """A folder for each class, such that `classified` numbers these classes in the order of their labels.

    Folders have the names of the classes where those sort in this way and can be folders; else they begin with the
    number, as wide for all, so that other programs sort them alike.
    """
    chosen = sorted(set(labels))
    called = [_for_a_folder(names[k]) if k < len(names) else "" for k in chosen]
    apart = len({name.casefold() for name in called}) == len(called)
    splits = all(name.casefold() in SPLITS for name in called)
    if all(called) and apart and not splits and sorted(called, key=natural) == called:
        return dict(zip(chosen, called, strict=True))
    width = len(str(chosen[-1]))
    numbered = (f"{k:0{width}d}" for k in chosen)
    return {k: f"{n} {name}" if name else n for k, n, name in zip(chosen, numbered, called, strict=True)}


def _for_a_folder(name: str) -> str:
    """A class's name as a folder's: one part of a path, not hidden, not longer than file systems allow."""
    plain = UNFIT.sub("_", name).strip(" .").encode(errors="replace")[:LONGEST].decode(errors="ignore").strip(" .")
    return "" if is_hidden(plain) else plain
