"""Writes pictures into tar shards in WebDataset's layout: as they are, in order, each with the number of its class.

The same pictures always give the same bytes. Beside the shards, `index.json` says which there are, with their bytes,
samples and sha256 (as WebDataset's wids reads it), and what the classes are called.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from gan_cli.data.class_names import Classified, classified, splits
from gan_cli.data.folder import called_below
from gan_cli.data.listing import File, Listing, shown
from gan_cli.data.shard import CLS
from gan_cli.data.shard_index import INDEX
from gan_cli.data.tar import BLOCK, END
from gan_cli.errors import DataError, two_lines
from gan_cli.progress import tracked
from gan_cli.store.disk import naming, replacing, write_json

Sample = tuple[str, str, bytes, int | None]  # key, ending, picture, class
PADDED = 20 * BLOCK  # tar files are filled up to a multiple of it


class Packed(NamedTuple):
    """What was written: a split, or "" where there is only one; its pictures, shards, bytes and classes."""

    split: str
    pictures: int
    shards: int
    bytes: int
    classes: tuple[str, ...]
    why_none: str


def pack(listing: Listing, out: Path, most: int) -> list[Packed]:
    """Writes the pictures of a place into shards in the new folder `out`, each split into a folder of its own.

    Args:
        most: Bytes of a shard; one with a single picture may be larger.

    Raises:
        DataError: A picture cannot be read. Nothing is left of the folder; so it is with any other error.
        NotWritten: A shard cannot be written.
    """
    with _new_folder(out) as folder:
        return [_pack(classified(listing, split), split, folder / split, most) for split in splits(listing) or [""]]


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A folder that gets its name when it is complete, and of which nothing stays if it never is."""
    scratch = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    with naming(out):
        made = [parent for parent in out.parents if not parent.exists()]
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch.mkdir()
    try:
        yield scratch
        with naming(out):
            os.rename(scratch, out)
    except BaseException:
        _remove(scratch)
        for parent in made:
            with suppress(OSError):
                parent.rmdir()
        raise


def _remove(scratch: Path) -> None:
    """Removes what this module writes into a folder, and the folder if that was all."""
    for folder in [*(entry for entry in scratch.iterdir() if entry.is_dir() and not entry.is_symlink()), scratch]:
        for path in (*folder.glob("*.tar"), folder / INDEX):
            with suppress(OSError):
                path.unlink()
        with suppress(OSError):
            folder.rmdir()


def _pack(found: Classified, split: str, folder: Path, most: int) -> Packed:
    with naming(folder):
        folder.mkdir(exist_ok=True)
    told = list(_shards(_samples(found), folder, most))
    index = {"__kind__": "wids-shard-index-v1", "wids_version": 1, "shardlist": told, "classes": list(found.names)}
    write_json(folder / INDEX, index)
    size = sum(int(shard["filesize"]) for shard in told)
    return Packed(split, len(found.files), len(told), size, found.names, found.why_none)


def _samples(found: Classified) -> Iterator[Sample]:
    labels: Sequence[int | None] = found.labels if found.labels is not None else [None] * len(found.files)
    files = tracked(found.files, len(found.files), "packing")
    for key, file, label in zip(_keys(found.files), files, labels, strict=True):
        try:
            content = file.read_bytes()
        except OSError as error:
            raise DataError(two_lines(f"{file} cannot be read ({error})", "mend or remove it")) from error
        yield key, PurePosixPath(file.name).suffix.lower().removeprefix("."), content, label


def _keys(files: Sequence[File]) -> Iterator[str]:
    """The files' names without ending: with no dot after the last slash, where a key ends, and each only once."""
    taken: set[str] = set()
    for name in called_below(files):
        *before, last = shown(name).split("/")
        plain = key = "/".join([*before, last.replace(".", "_")])
        count = 1
        while key in taken:
            count += 1
            key = f"{plain}-{count}"
        taken.add(key)
        yield key


def _shards(samples: Iterator[Sample], folder: Path, most: int) -> Iterator[dict[str, str | int]]:
    """Writes them, one after the other, and tells of each what the index says."""
    following = next(samples, None)
    number = 0
    while following is not None:
        path, size, count, digest = folder / f"{number:06d}.tar", 0, 0, hashlib.sha256()
        with replacing(path) as file:
            while following is not None:
                entries = _entries(*following)
                if count and _whole(size + len(entries)) > most:
                    break
                file.write(entries)
                digest.update(entries)
                size, count = size + len(entries), count + 1
                following = next(samples, None)
            end = bytes(_whole(size) - size)
            file.write(end)
            digest.update(end)
        number += 1
        yield {"url": path.name, "nsamples": count, "filesize": _whole(size), "sha256": digest.hexdigest()}


def _whole(size: int) -> int:
    """Bytes of a tar file whose entries have so many: with its end mark, and filled up."""
    return _up(size + len(END), PADDED)


def _up(size: int, step: int) -> int:
    return -(-size // step) * step


def _entries(key: str, ending: str, picture: bytes, label: int | None) -> bytes:
    """A sample's files, each with its header."""
    picture_entry = _entry(f"{key}.{ending}", picture)
    return picture_entry if label is None else picture_entry + _entry(f"{key}.{CLS}", str(label).encode())


def _entry(name: str, content: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info.tobuf(tarfile.PAX_FORMAT) + content.ljust(_up(len(content), BLOCK), b"\0")
