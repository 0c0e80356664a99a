"""Folders of images: decoded in parallel, cached by the content of the files as one memory-mapped uint8 array."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps

from gan_cli.data.fit import fit_image
from gan_cli.data.images import DataError, Decoded, Request

log = logging.getLogger(__name__)

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
SCHEMA = 1  # of the cache; raise it when decoding changes
WARNED = 5  # unreadable files named one by one; the others are counted


class Unreadable(NamedTuple):
    name: str
    reason: str


def image_files(root: Path) -> list[Path]:
    """All image files below `root`, hidden ones apart, in a fixed order."""
    if not root.is_dir():
        raise DataError(f"dataset.root={root} is no folder: give the folder that holds your images")
    files = (p for p in root.rglob("*") if p.suffix.lower() in EXTENSIONS and p.is_file())
    found = sorted(p for p in files if not any(part.startswith(".") for part in p.relative_to(root).parts))
    if not found:
        kinds = ", ".join(sorted(e[1:] for e in EXTENSIONS))
        raise DataError(f"dataset.root={root} has no images: put files there ({kinds}), flat or in one folder a class")
    return found


def classes_of(files: Sequence[Path], root: Path) -> tuple[tuple[str, ...], list[int] | None]:
    """The class names and each file's class, when every image lies in a folder below `root`; else none."""
    tops = [p.relative_to(root).parts[0] if len(p.relative_to(root).parts) > 1 else None for p in files]
    if None in tops or len(set(tops)) < 2:
        return (), None
    names = tuple(sorted({top for top in tops if top is not None}))
    return names, [names.index(top) for top in tops if top is not None]


def load_image(path: Path, channels: int) -> Image.Image:
    """The first frame, upright, grey or colour; 16-bit values are scaled to 8 bits, not cut off."""
    with Image.open(path) as opened:
        opened.load()
        image = ImageOps.exif_transpose(opened)
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image, dtype=np.float64)
        image = Image.fromarray(
            np.rint(values * (255 / 65535 if values.max() > 255 else 1)).clip(0, 255).astype(np.uint8)
        )
    if "transparency" in image.info or image.mode in ("LA", "PA", "RGBA"):
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image.convert("L" if channels == 1 else "RGB")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _decode(path: Path, request: Request) -> np.ndarray | Unreadable:
    try:
        image = fit_image(load_image(path, request.channels), request.height, request.width, request.fit)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return Unreadable(str(path), str(error) or type(error).__name__)
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _tracked(items: Iterable, total: int, title: str) -> Iterable:
    """The items, with a progress bar on a terminal."""
    if not sys.stderr.isatty():
        return items
    from rich.console import Console
    from rich.progress import track

    return track(items, title, total, console=Console(stderr=True), transient=True)


def _report(unreadable: Sequence[Unreadable], strict: bool) -> None:
    if not unreadable:
        return
    if strict:
        first = unreadable[0]
        raise DataError(
            f"{len(unreadable)} images cannot be read, the first {first.name} ({first.reason}): remove them, or use "
            "dataset.strict=false to leave them out"
        )
    for bad in unreadable[:WARNED]:
        log.warning("left out %s: it cannot be read (%s)", bad.name, bad.reason)
    if len(unreadable) > WARNED:
        log.warning("left out %d more images that cannot be read", len(unreadable) - WARNED)


def decode_files(files: Sequence[Path], labels: list[int] | None, names: tuple[str, ...], request: Request) -> Decoded:
    """The files as one array, from the cache when their content, order, labels and the frame are the same.

    Raises:
        DataError: A file cannot be read and `strict` is set, or none can be read.
    """
    workers = min(32, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:
        digests = list(_tracked(pool.map(_digest, files), len(files), "Reading"))
        frame = (SCHEMA, request.channels, request.height, request.width, request.fit.__name__)
        key = hashlib.sha256(json.dumps([frame, digests, labels]).encode()).hexdigest()
        array, index = request.cache / f"{key}.npy", request.cache / f"{key}.json"
        if not (array.is_file() and index.is_file()):
            request.cache.mkdir(parents=True, exist_ok=True)
            decoded = _tracked(pool.map(lambda p: _decode(p, request), files), len(files), "Decoding")
            _write(array, index, decoded, len(files), request)
    try:
        facts = json.loads(index.read_text())
        images = np.load(array, mmap_mode="c")
        if len(images) != len(facts["kept"]):
            raise ValueError("lengths differ")
    except (ValueError, KeyError, OSError) as error:
        array.unlink(missing_ok=True)
        raise DataError(f"the cache {array} is damaged ({error}) and was removed: start again") from error
    _report([Unreadable(str(files[i]), reason) for i, reason in facts["unreadable"]], request.strict)
    if not facts["kept"]:
        raise DataError(f"dataset.root={request.root}: none of its {len(files)} images can be read")
    kept = None if labels is None else torch.tensor([labels[i] for i in facts["kept"]], dtype=torch.int64)
    return Decoded(torch.from_numpy(images), kept, names)


def _write(array: Path, index: Path, decoded: Iterable, count: int, request: Request) -> None:
    """Both files under temporary names first: a cache that is there is whole."""
    shape = (count, request.channels, request.height, request.width)
    scratch = array.with_suffix(f".{os.getpid()}.tmp")
    kept: list[int] = []
    unreadable: list[tuple[int, str]] = []
    try:
        memory = np.lib.format.open_memmap(scratch, mode="w+", dtype=np.uint8, shape=shape)
        for i, item in enumerate(decoded):
            if isinstance(item, Unreadable):
                unreadable.append((i, item.reason))
            else:
                memory[len(kept)] = item
                kept.append(i)
        if unreadable:  # the array is as long as what could be read
            shorter = memory[: len(kept)].copy()
            del memory
            with scratch.open("wb") as file:
                np.save(file, shorter)
        else:
            memory.flush()
            del memory
        notes = index.with_suffix(f".{os.getpid()}.tmp.json")
        notes.write_text(json.dumps({"kept": kept, "unreadable": unreadable}))
        os.replace(scratch, array)
        os.replace(notes, index)
    finally:
        scratch.unlink(missing_ok=True)


def decode_folder(request: Request) -> Decoded:
    """See `gan_cli.data.sources.folder`."""
    root = request.root / request.split if (request.root / request.split).is_dir() else request.root
    files = image_files(root)
    names, labels = classes_of(files, root)
    return decode_files(files, labels, names, request)
