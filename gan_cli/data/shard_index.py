"""What `index.json` beside shards says of them, as WebDataset's wids reads it: their names and bytes; with `sha256`,
which wids passes over, also whether their content is what was packed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gan_cli.data import memo
from gan_cli.data.flaws import shown
from gan_cli.errors import DataError, two_lines
from gan_cli.progress import tracked

INDEX = "index.json"
SHA256 = re.compile(r"[0-9a-f]{64}")
REMEDY = f"pack or fetch it again, or remove {INDEX} to use what is there"


class Told(NamedTuple):
    """What an index says about a shard."""

    size: int  # bytes
    sha256: str | None  # None in an index that does not tell it


def told(index: Mapping[str, Any]) -> dict[str, Told]:
    """The shards that an index names."""
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
