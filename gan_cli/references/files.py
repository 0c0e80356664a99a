"""Images from folders, zips, .npz and .pt files: read as training reads them, or clearly refused."""

from __future__ import annotations

import hashlib
import logging
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gan_cli.data.class_names import classified
from gan_cli.data.decoding import Extent, Header, Levels, decode, header
from gan_cli.data.described import describe, line_of
from gan_cli.data.fit import FITS
from gan_cli.data.flaws import NoLevels, PictureError
from gan_cli.data.listing import File, listed, nothing_in, shown
from gan_cli.data.subset import digests_of
from gan_cli.errors import DataError, two_lines
from gan_cli.metrics.measure import Batches
from gan_cli.metrics.moments import Gaussian
from gan_cli.references import arrays

log = logging.getLogger(__name__)


class Frame(NamedTuple):
    """What pictures of any size are fitted to: the samples' size, in the way of the run's data or by a plain crop."""

    height: int
    width: int
    channels: int | None = None  # None: 1 if all pictures are grey, else 3
    fit: str = "crop"
    levels: Levels | None = None

    def __str__(self) -> str:
        return f"fitted to {self.height} x {self.width} by {self.fit}"


@dataclass(frozen=True)
class Filed:
    """Images in files, or only their statistics."""

    n: int
    part: Callable[[Sequence[int]], Batches]  # the images with these indices
    fingerprint: str
    digests: Callable[[], list[bytes]] = list  # of each image's content
    labels: Sequence[int] | None = None
    statistics: Gaussian | None = None
    shape: tuple[int, int, int] | None = None  # [C, H, W], if all images share it
    fitted: Callable[[Frame], Filed] | None = None  # the same images fitted to a frame, if they are pictures


def _refused(name: str, error: Exception) -> DataError:
    if isinstance(error, NoLevels):
        return DataError(two_lines(f"{shown(name)}: {error}", "set levels=[low,high]"))
    return DataError(two_lines(f"{shown(name)} cannot be read ({error})", "remove it, or fetch it again"))


def _is_grey(data: bytes, name: str = "") -> bool:
    """Whether an image is stored without colour, by its header; one that cannot be read is reported later."""
    try:
        return header(name, data).grey
    except PictureError:
        return False


def _decode(
    name: str,
    data: bytes,
    mode: str,
    levels: Levels | None = None,
    frame: Frame | None = None,
    extent: Extent | None = None,
) -> np.ndarray:
    """uint8 [C, H, W] in mode L or RGB. Raises DataError for an image that cannot be read."""
    place = None if frame is None else (frame.height, frame.width, FITS[frame.fit])
    try:
        return decode(name, data, 1 if mode == "L" else 3, levels, place, extent)
    except PictureError as error:
        raise _refused(name, error) from error


def _bytes_of(file: File) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise _refused(str(file), error) from error


def _header(file: File, data: bytes) -> Header:
    try:
        return header(str(file), data)
    except PictureError as error:
        raise _refused(str(file), error) from error


def pictures(place: Path, levels: Levels | None = None) -> Filed:
    """All images of a folder or zip, in the order of their names: one channel if all are grey, else three."""
    listing = listed(place)
    found = classified(listing)
    if not listing.files:
        what, remedy = nothing_in(listing).split("\n  ")
        raise DataError(two_lines(what.replace("has no images", "holds no images"), remedy))
    labels = dict(zip((file.name for file in found.files), found.labels, strict=True)) if found.labels else {}
    files = sorted(listing.files, key=lambda file: file.name)
    named = [found.names[labels[file.name]] for file in found.files] if labels else None
    log.info("%s", line_of(describe(listing, found, named, len(files), found.why_none)))
    return _stored(str(place), files, [labels[file.name] for file in files] if labels else None, levels)


def _stored(place: str, files: Sequence[File], labels: Sequence[int] | None, levels: Levels | None) -> Filed:
    digests, headers, grey = [], [], True
    for file in files:
        data = _bytes_of(file)
        digests.append(hashlib.sha256(data).digest())
        headers.append(_header(file, data))
        grey = grey and _is_grey(data, file.name)
    sizes = {(h.height, h.width) for h in headers}
    marks = [b"one channel"] if grey else []  # features cached from three equal channels are not those of one
    # Those that are not plain used to be read differently: the number counts how often.
    marks += [] if all(h.plain for h in headers) else [b"decoded as for training, 2"]
    marks += [f"levels {levels}".encode()] if levels is not None else []
    fingerprint = hashlib.sha256(b"".join([*digests, *marks]))

    def within(frame: Frame | None, levels: Levels | None, name: str) -> Filed:
        grey_here = grey if frame is None or frame.channels is None else frame.channels == 1
        size = (frame.height, frame.width) if frame is not None else next(iter(sizes)) if len(sizes) == 1 else None
        read = partial(_read, place, files, "L" if grey_here else "RGB", levels, frame)
        shape = None if size is None else (1 if grey_here else 3, *size)
        return Filed(len(files), read, name, lambda: digests, labels, shape=shape)

    def fitted(frame: Frame) -> Filed:
        framed = fingerprint.copy()
        framed.update(repr(frame).encode())
        return within(frame, levels if levels is not None else frame.levels, framed.hexdigest())

    whole = within(None, levels, fingerprint.hexdigest())
    return Filed(whole.n, whole.part, whole.fingerprint, whole.digests, labels, shape=whole.shape, fitted=fitted)


def _read(
    place: str, files: Sequence[File], mode: str, levels: Levels | None, frame: Frame | None, chosen: Sequence[int]
) -> Batches:
    """The pictures with these indices, decoded as they are asked for."""

    def batches(size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        shape, extent = None, Extent()
        for start in range(0, len(chosen), size):
            pixels = []
            for file in (files[i] for i in chosen[start : start + size]):
                image = _decode(str(file), _bytes_of(file), mode, levels, frame, extent)
                shape = shape or image.shape
                if image.shape[1:] != shape[1:]:
                    sizes = f"{shape[2]} x {shape[1]} and {image.shape[2]} x {image.shape[1]}"
                    raise DataError(two_lines(f"{place} mixes sizes: {sizes} ({file})", "bring them to one size first"))
                pixels.append(image)
            yield torch.from_numpy(np.stack(pixels)), None
        told = None if levels is not None else extent.warning(place, "levels")
        if told is not None:
            log.warning("%s", told)

    return batches


def tensors(images: Tensor, place: str, labels: Sequence[int] | None = None) -> Filed:
    """uint8 `[N, C, H, W]`, C 1 or 3."""
    found = f"{images.dtype} {list(images.shape)}".replace("torch.", "")
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3) or not all(images.shape):
        raise DataError(two_lines(f"{place} holds {found}", "give images as uint8 [N, C, H, W] with 1 or 3 channels"))
    if images.layout is not torch.strided or images.is_meta or images.untyped_storage().nbytes() < images.numel():
        raise DataError(two_lines(f"{place} holds {found} of which most are missing", "save it contiguously"))
    digest = hashlib.sha256(repr(tuple(images.shape)).encode())
    for image in images:
        digest.update(image.contiguous().numpy().data)

    def part(chosen: Sequence[int]) -> Batches:
        def batches(size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
            for index in torch.tensor(chosen, dtype=torch.int64).split(size):
                yield images[index], None

        return batches

    _, *shape = images.shape
    size = (shape[0], shape[1], shape[2])
    return Filed(len(images), part, digest.hexdigest(), lambda: digests_of(images), labels, shape=size)


def npz(path: Path) -> Filed:
    """`.npz`: images as `arr_0` uint8 NHWC, or statistics as `mu` and `sigma`."""
    found = arrays.read(path)
    if "mu" in found and "sigma" in found:
        statistics = arrays.statistics(found, path)
        mean, covariance = statistics.mean.numpy().tobytes(), statistics.covariance.numpy().tobytes()
        digest = hashlib.sha256(mean + covariance).hexdigest()
        return Filed(statistics.n, lambda chosen: lambda size: iter(()), digest, statistics=statistics)
    images = arrays.images(found, path)
    return tensors(torch.from_numpy(images).permute(0, 3, 1, 2), str(path), arrays.labels(found, len(images), path))


def tensor_file(path: Path) -> Filed | None:
    """The tensor in a .pt file; None for anything else, such as a checkpoint."""
    arrays.check_zip(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, TypeError):
        return None
    return tensors(found, str(path)) if isinstance(found, Tensor) else None
