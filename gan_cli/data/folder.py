"""Folders and zips of images: listed, decoded in parallel, cached by the content of the files, and described."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np
import PIL
import torch

from gan_cli.data import ahead, cache, memo
from gan_cli.data.cache import Unreadable
from gan_cli.data.class_names import Classified, classified
from gan_cli.data.decoding import Extent, by_ending, decode
from gan_cli.data.described import describe
from gan_cli.data.flaws import PictureError
from gan_cli.data.listing import NAMED, File, Listing, is_zip, listed, nothing_in, shown
from gan_cli.data.request import Decoded, Request, covering, given_as
from gan_cli.data.stored import ManySizes
from gan_cli.data.streamed import looked_through
from gan_cli.errors import DataError, two_lines
from gan_cli.progress import tracked

log = logging.getLogger(__name__)


class Readable(Protocol):
    """A file, such as a Path; its `str` is its name."""

    def read_bytes(self) -> bytes: ...


def _digest(file: Readable) -> str:
    """The sha256 of its bytes; the reason if it cannot be read."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        return f"unreadable: {error}"


def _digests(files: Sequence[Readable], request: Request) -> list[str]:
    """The sha256 of each file."""
    known = [file.digest if isinstance(file, File) else "" for file in files]
    here = iter(_digests_here([file for file, digest in zip(files, known, strict=True) if not digest], request))
    return [digest or next(here) for digest in known]


def _digests_here(files: Sequence[Readable], request: Request) -> list[str]:
    """The same of files on this machine; those of many are remembered for as long as the files stay as they are."""

    def read() -> list[str]:
        return list(tracked(ahead.in_order(_digest, files), len(files), "reading"))

    paths = dict.fromkeys(file.path if isinstance(file, File) else file for file in files)
    on_disk = [path for path in paths if isinstance(path, Path)]
    try:
        stamps = [memo.stamped(path) for path in on_disk]
    except OSError:
        return read()
    if len(on_disk) < len(paths) or sum(stamp[0] for stamp in stamps) <= request.memory:
        return read()
    about = ["files", [str(path) for path in on_disk], [str(file) for file in files]]
    found: list[str] = memo.remembered(request.cache, about, stamps, read)
    return found


def _content(files: Sequence[Readable], request: Request) -> list[Any]:
    """What decoding follows from: the bytes of the files, the formats that their endings alone tell, if any do, and
    the part that is taken of each picture, if it is not all of it."""
    told = [[i, kind] for i, file in enumerate(files) if (kind := by_ending(str(file)))]
    part = [] if request.part is None else [request.part.__name__]
    return [_digests(files, request), *([told] if told else []), *part]


def _decode(file: Readable, request: Request, extent: Extent | None = None) -> np.ndarray | Unreadable:
    """uint8 `[C, H, W]` in the frame that is asked for, or of its own size."""
    frame = None if request.windows else (request.height, request.width, request.fit)
    try:
        content = file.read_bytes()
        return decode(str(file), content, request.channels, request.levels, frame, extent, request.part)
    except (PictureError, OSError) as error:
        return Unreadable(shown(str(file)), str(error) or "it cannot be opened")


def _shown(file: Readable, request: Request, extent: Extent | None = None) -> np.ndarray | Unreadable:
    """The same as it is shown: no smaller than a window."""
    pixels = _decode(file, request, extent)
    if isinstance(pixels, Unreadable) or not request.windows:
        return pixels
    return covering(torch.from_numpy(np.ascontiguousarray(pixels)), request).numpy()


def _report(unreadable: Sequence[Unreadable], strict: bool) -> None:
    if not unreadable:
        return
    if strict:
        first = unreadable[0]
        what = f"{len(unreadable)} images cannot be read, the first {first.name} ({first.reason})"
        raise DataError(two_lines(what, "remove them, or use dataset.strict=false to leave them out"))
    for bad in unreadable[:NAMED]:
        log.warning("left out %s: it cannot be read (%s)", bad.name, bad.reason)
    if len(unreadable) > NAMED:
        log.warning("left out %d more images that cannot be read", len(unreadable) - NAMED)


def read_files(files: Sequence[Readable], request: Request, place: str) -> cache.DecodedFiles:
    """The files as one array, from the cache when their content, their order and the frame are the same.

    Raises:
        DataError: A file cannot be read and `strict` is set, its values need `levels`, or no file can be read.
    """
    extent = Extent()
    afar = any(isinstance(file, File) and file.digest for file in files)
    effort = ahead.AFAR if afar else ahead.HERE

    def items() -> Iterable[np.ndarray | Unreadable]:
        decoded = ahead.in_order(lambda file: _shown(file, request, extent), files, effort.threads)
        yield from tracked(decoded, len(files), "decoding")
        refusal = extent.refusal(place, "dataset.levels")
        if refusal is not None:
            raise DataError(refusal)

    frame = (request.channels, request.height, request.width, request.fit.__name__, request.levels)
    if request.stream:
        key = cache.key_of(frame, request.windows, PIL.__version__, *_content(files, request))
        again, one_size = partial(_shown, request=request), not request.windows
        entry = looked_through(request.cache, key, files, again, items, lambda: extent.ranges, one_size, effort)
    elif request.windows:
        entry = _whole(items(), extent)
    else:
        shape = (len(files), request.channels, request.height, request.width)
        key = cache.key_of(frame, *_content(files, request))
        entry = cache.kept_or_made(request.cache, key, shape, items, lambda: extent.ranges, request.memory)
    unreadable = [Unreadable(shown(str(files[i])), reason) for i, reason in entry.unreadable]
    if not entry.kept:
        what = f"dataset.root={place}: none of its {len(files)} images can be read"
        first = f", the first {unreadable[0].name} ({unreadable[0].reason})" if unreadable else ""
        raise DataError(two_lines(what + first, "fetch or convert them again, or name another place"))
    _report(unreadable, request.strict)
    if request.levels is None:
        extent.ranges = entry.ranges
        told = extent.warning(place, "dataset.levels")
        if told is not None:
            log.warning("%s", told)
    return entry


def _whole(items: Iterable[np.ndarray | Unreadable], extent: Extent) -> cache.DecodedFiles:
    """Pictures of their own sizes, which are kept in memory only."""
    pictures: list[torch.Tensor] = []
    keep = lambda pixels: pictures.append(torch.from_numpy(np.ascontiguousarray(pixels)))  # noqa: E731
    kept, unreadable = cache.sorted_out(items, keep)
    return cache.DecodedFiles(ManySizes(pictures), kept, unreadable, extent.ranges)


def called_below(files: Sequence[File]) -> tuple[str, ...]:
    """What the files are called below the folder that all lie in, without their endings."""
    paths = [PurePosixPath(file.name).with_suffix("") for file in files]
    base = PurePosixPath(os.path.commonpath([path.parent for path in paths]) or ".")
    return tuple(str(path.relative_to(base)) for path in paths)


def decode_files(files: Sequence[Path], labels: list[int] | None, names: tuple[str, ...], request: Request) -> Decoded:
    """Files with known labels. Raises DataError as `read_files` does."""
    entry = read_files(files, request, str(request.root))
    kept = None if labels is None else torch.tensor([labels[i] for i in entry.kept], dtype=torch.int64)
    return Decoded(given_as(entry.images), kept, names)


def decode_folder(request: Request) -> Decoded:
    """See `gan_cli.data.sources.folder`."""
    root = request.here()
    if not (root.is_dir() or is_zip(root)):
        raise DataError(
            two_lines(f"dataset.root={root} is neither a folder nor a zip", "give the one that holds your images")
        )
    listing = listed(root)
    return decode_listed(listing, classified(listing, request.split), request)


def decode_listed(
    listing: Listing, found: Classified, request: Request, called: tuple[str, ...] | None = None
) -> Decoded:
    """Pictures that were found at a place, decoded.

    Args:
        called: Their names, where these are not those of the files below the folder that all lie in.

    Raises:
        DataError: There is none, or as `read_files`.
    """
    if not listing.files:
        raise DataError(f"dataset.root={nothing_in(listing)}")
    entry = read_files(found.files, request, listing.place)
    for i, reason in entry.unreadable:
        listing.pass_over("unreadable", f"{found.files[i].name} ({reason})")
    names, labels = _classes_left(found, entry.kept)
    why = _why_none(found, names)
    described = describe(listing, found, [names[k] for k in labels] if names else None, len(entry.kept), why)
    called = called_below(found.files) if called is None else called
    kept = tuple(called[i] for i in entry.kept)
    return Decoded(given_as(entry.images), torch.tensor(labels) if names else None, names, described, kept)


def _classes_left(found: Classified, kept: Sequence[int]) -> tuple[tuple[str, ...], list[int]]:
    """The names of the classes with readable pictures, and those pictures' classes among them."""
    if found.labels is None:
        return (), []
    labels = [found.labels[i] for i in kept]
    if found.numbered:
        return found.names, labels
    there = sorted(set(labels))
    for k, name in enumerate(found.names):
        if k not in there:
            log.warning("no image of the class %s can be read: the class is left out", name)
    index = {old: new for new, old in enumerate(there)}
    return (tuple(found.names[k] for k in there), [index[k] for k in labels]) if len(there) > 1 else ((), [])


def _why_none(found: Classified, names: Sequence[str]) -> str:
    if names:
        return ""
    return found.why_none or "only images of one class can be read"
