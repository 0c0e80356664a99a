"""The files of a set that comes in many: those of a folder, or of a pattern such as `shards/{000..009}.tar`."""

from __future__ import annotations

import glob
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from gan_cli.data.listing import SPLITS, natural, shown
from gan_cli.errors import DataError, two_lines

log = logging.getLogger(__name__)

MOST_FILES = 100_000
BRACES = re.compile(r"\{([^{}]*)\}")
RANGE = re.compile(r"([0-9]{1,9})\.\.([0-9]{1,9})")
ELSEWHERE = re.compile(r"(?:^|/)(?:https?|s3|gs|hf|ftp|pipe|oci):", re.IGNORECASE)
COUNTED = re.compile(r"(.*?)([0-9]{1,9})-of-([0-9]{1,9})(.*)", re.DOTALL)  # from 0
SPLIT_COUNTED = re.compile(r"(\w+)-[0-9]+-of-[0-9]+\.")  # train-00000-of-00005.parquet, and so any other split
BEGINS = re.compile(r"([A-Za-z]+)[-_.]")  # train-000.tar


class Found(NamedTuple):
    """Files in the order in which they count, and the split's folder that was taken, if one was."""

    files: list[Path]
    taken: str = ""


def found(root: Path, ending: str, split: str) -> Found:
    """The files with this ending (`.tar`) that `root` names.

    Of a folder they are in the order of their names, digits by their number. If all of them tell a split, as
    `train-00000-of-00005.parquet` does, those of `split` are meant; if there is none, those in its folder named
    `split`, or `data`. A pattern is expanded as a shell does it: `{000..009}`, `{a,b}`, `*`.

    Raises:
        DataError: There is none, or one of those that a pattern numbers is missing.
    """
    if root.is_dir():
        return _of_folder(root, ending, split)
    if ELSEWHERE.search(str(root)):
        raise DataError(
            two_lines(f"dataset.root={root} is not on this machine", "fetch the files, and name their folder")
        )
    files: list[Path] = []
    for name in expanded(str(root)):
        matched = [name] if Path(name).exists() or not glob.has_magic(name) else sorted(glob.glob(name), key=natural)
        files += map(Path, matched)
    _check(root, files)
    return Found(files)


def _check(root: Path, files: list[Path]) -> None:
    """Raises DataError unless there are files, each a file and named once."""
    remedy = "name a folder, or a quoted pattern: 'dataset.root=shards/{000..009}.tar'"
    if not files:
        raise DataError(two_lines(f"dataset.root={root}: no file has such a name", remedy))
    missing = [path for path in files if not path.is_file()]
    if missing:
        several = f"{len(missing)} of {len(files)} files are missing, the first {missing[0]}"
        what = f"dataset.root={root}: " + (several if len(files) > 1 else "there is no such file or folder")
        raise DataError(two_lines(what, "fetch or pack what is missing" if len(files) > 1 else remedy))
    if len(set(files)) < len(files):
        raise DataError(two_lines(f"dataset.root={root} names a file twice", remedy))


def _of_folder(root: Path, ending: str, split: str) -> Found:
    inside = {entry.name.casefold(): entry for entry in root.iterdir() if entry.is_dir()}
    for folder, taken in ((root, ""), (inside.get(split.casefold()), split), (inside.get("data"), "")):
        there = [] if folder is None else [path for path in folder.iterdir() if _is_one(path, ending)]
        if there:
            files = sorted(there, key=lambda path: natural(path.name))
            files = files if taken else of_split(files, str(root), split)
            _tell_of_missing(root, files)
            return Found(files, taken)
    others = sorted(name for name, entry in inside.items() if any(_is_one(path, ending) for path in entry.iterdir()))
    where = f", and its folders {', '.join(map(shown, others[:5]))} do" if others else ""
    remedy = _where(root, others)
    raise DataError(two_lines(f"dataset.root={root} holds no {ending} file of dataset.split={split}{where}", remedy))


def _where(root: Path, others: list[str]) -> str:
    """The remedy where files lie in other folders only, each a split or one that holds splits."""
    if not others:
        return "name the folder that holds them"
    of_splits = [name for name in others if name.casefold() in SPLITS]
    return (
        f"choose one of these, dataset.split={shown(of_splits[0])}" if of_splits else f"dataset.root={root / others[0]}"
    )


def _tell_of_missing(root: Path, files: list[Path]) -> None:
    """Warns where names count files, as `train-00000-of-00002.parquet` does, and not all of them are there."""
    counted: dict[tuple[str, str, str], set[int]] = {}
    for path in files:
        if match := COUNTED.fullmatch(path.name):
            counted.setdefault((match[1], match[3], match[4]), set()).add(int(match[2]))
    for (begin, of, end), there in counted.items():
        missing = sorted({*range(min(int(of), MOST_FILES))} - there)
        if missing:
            first = f"{begin}{missing[0]:0{len(of)}d}-of-{of}{end}"
            log.warning("%s: %d of %d files are missing, the first %s", root, len(missing), int(of), shown(first))


def _is_one(path: Path, ending: str) -> bool:
    return path.suffix.lower() == ending and not path.name.startswith(".") and path.is_file()


def of_split(files: list[Path], root: str, split: str) -> list[Path]:
    """Those of the split, where the names of all files tell one. Raises DataError where there is none of it."""
    told = _splits([path.name.casefold() for path in files])
    if not told:
        return files
    chosen = [path for path, word in zip(files, told, strict=True) if word == split.casefold()]
    if not chosen:
        there = sorted(set(told))
        what = f"dataset.split={split}: {root} is split into {', '.join(map(shown, there))}"
        raise DataError(two_lines(what, f"choose one of these, dataset.split={shown(there[0])}"))
    return chosen


def _splits(names: list[str]) -> list[str]:
    """The split that each name tells; nothing where they tell none."""
    counted = [match[1] for name in names if (match := SPLIT_COUNTED.match(name))]
    if len(counted) == len(names) and SPLITS & set(counted):
        return counted  # of which some may have names of their own: extra, unlabelled
    begins = [match[1] for name in names if (match := BEGINS.match(name)) and match[1] in SPLITS]
    if len(begins) == len(names):
        return begins
    within = [next((word for word in re.split(r"[^a-z]+", name) if word in SPLITS), "") for name in names]
    # imagenet-train-000.tar beside imagenet-val-000.tar; one such word that all share tells nothing.
    return within if all(within) and len(set(within)) > 1 else []


def expanded(pattern: str) -> Iterator[str]:
    """`a{0..2}{x,y}` as a shell expands it: `a0x`, `a0y`, `a1x`, ... Braces around neither a range nor commas stay.

    Raises:
        DataError: Braces lie within braces, a range runs down, or there are more than `MOST_FILES` names.
    """
    options: list[list[str]] = []
    end = 0
    for match in BRACES.finditer(pattern):
        between = pattern[end : match.start()]
        options += [[between], _options(match[1], pattern)]
        end = match.end()
        if "{" in between:
            raise DataError(
                two_lines(f"dataset.root={pattern} has braces within braces", "write one range: {000..009}")
            )
    options.append([pattern[end:]])
    count = 1
    for each in options:
        count *= len(each)
    if count > MOST_FILES:
        raise DataError(two_lines(f"dataset.root={pattern} names {count:,} files", f"{MOST_FILES:,} at most are read"))
    return _joined(options)


def _joined(options: list[list[str]]) -> Iterator[str]:
    if not options:
        yield ""
        return
    for first in options[0]:
        for rest in _joined(options[1:]):
            yield first + rest


def _options(inner: str, pattern: str) -> list[str]:
    match = RANGE.fullmatch(inner)
    if match is None:
        return inner.split(",") if "," in inner else [f"{{{inner}}}"]
    first, last = int(match[1]), int(match[2])
    if not first <= last < first + MOST_FILES:
        raise DataError(
            two_lines(f"dataset.root={pattern}: {{{inner}}} names no files, or too many", "as in {000..009}")
        )
    padded = any(len(end) > 1 and end.startswith("0") for end in match.groups())
    width = max(map(len, match.groups())) if padded else 0
    return [f"{number:0{width}d}" for number in range(first, last + 1)]
