"""What `index.json` beside shards says of them, as WebDataset's wids reads it: their names and bytes; with `sha256`,
which wids passes over, also whether their content is what was packed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gan_cli.data import memo
from gan_cli.data.flaws import shown
from gan_cli.errors import DataError, two_lines
from gan_cli.progress import tracked
from gan_cli.store.disk import LARGEST_JSON, cause

INDEX = "index.json"
SHA256 = re.compile(r"[0-9a-f]{64}")
REMEDY = f"pack or fetch it again, or remove {INDEX} to use what is there"


class Told(NamedTuple):
    """What an index says about a shard."""

    size: int  # bytes
    sha256: str | None  # None in an index that does not tell it


def index_in(folder: Path) -> dict[str, Any]:
    """The index in a folder; empty where there is none. Raises DataError for one that is damaged."""
    path = folder / INDEX
    try:
        with path.open("rb") as file:
            index = json.loads(file.read(LARGEST_JSON))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        reason = cause(error) if isinstance(error, OSError) else "it is no JSON"
        raise DataError(two_lines(f"{path} cannot be read: {reason}", REMEDY)) from error
    index = index if isinstance(index, dict) else {}
    if fault := _fault(index.get("shardlist", [])):
        raise DataError(two_lines(f"{path} is damaged: {fault}", REMEDY))
    return index


def _fault(listed: Any) -> str:
    """What is wrong with what an index says of shards; empty if nothing is. A size and a sha256 may be left out."""
    if not isinstance(listed, list):
        return "its shardlist is no list"
    for each in listed:
        size, digest = (each.get("filesize"), each.get("sha256")) if isinstance(each, dict) else (None, None)
        if not isinstance(each, dict) or not isinstance(each.get("url"), str):
            return "an entry names no shard"
        if not (size is None or type(size) is int) or not (digest is None or isinstance(digest, str)):
            return f"what it says of {shown(each['url'])} is no size or no sha256"
    return ""


def told(index: Mapping[str, Any]) -> dict[str, Told]:
    """The shards that an index names, in its own folder and with their sizes."""
    listed = index.get("shardlist")
    found: dict[str, Told] = {}
    for each in listed if isinstance(listed, list) else []:
        name, size, digest = map(each.get, ("url", "filesize", "sha256")) if isinstance(each, dict) else (None,) * 3
        if isinstance(name, str) and type(size) is int and "/" not in name:
            found[name] = Told(size, digest if isinstance(digest, str) and SHA256.fullmatch(digest) else None)
    return found


def digest_of(path: Path, cache: Path) -> str:
    """The sha256 of a shard, remembered for as long as the file stays as it is. Raises OSError."""

    def find() -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    return str(memo.remembered(cache, ["sha256", str(path)], [memo.stamped(path)], find))


def check(folder: Path, index: Mapping[str, Any], paths: Sequence[Path], whole: bool, cache: Path) -> None:
    """That shards are as the index beside them says. Raises DataError for one that is missing, cut or changed.

    Args:
        whole: Whether all that the index names are wanted, and not only `paths`.
        cache: Where digests are remembered.
    """
    wanted = {path.name for path in paths if path.parent == folder}
    facts = {name: each for name, each in told(index).items() if whole or name in wanted}
    missing = [name for name in facts if name not in wanted]
    if missing:
        what = f"{folder}: {len(missing)} of {len(facts)} shards are missing, the first {shown(missing[0])}"
        raise DataError(two_lines(what, REMEDY))
    for name, (size, _) in facts.items():
        there = (folder / name).stat().st_size
        if there != size:
            what = f"{folder / name} has {there:,} bytes, and {INDEX} says {size:,}: it was cut or changed"
            raise DataError(two_lines(what, REMEDY))
    digests = {folder / name: digest for name, (_, digest) in facts.items() if digest is not None}
    for path, digest in tracked(digests.items(), len(digests), "verifying"):
        try:
            found = digest_of(path, cache)
        except OSError as error:
            raise DataError(two_lines(f"{path} cannot be read ({error.strerror or error})", REMEDY)) from error
        if found != digest:
            what = f"{path} has the sha256 {found[:16]}..., and {INDEX} says {digest[:16]}...: it was changed"
            raise DataError(two_lines(what, REMEDY))
