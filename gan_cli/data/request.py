"""What a source of images is asked for, and what it returns."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gan_cli.data.decoding import Levels, Part
from gan_cli.data.fit import FITS, Fit, fit_stack, recolour
from gan_cli.data.stored import ManySizes, OneSize, Stored
from gan_cli.errors import DataError, two_lines
from gan_cli.store.places import is_address


@dataclass(frozen=True)
class Request:
    """What a source is asked for."""

    root: Path
    split: str
    download: bool
    strict: bool
    channels: int
    height: int
    width: int
    fit: Fit
    cache: Path
    levels: Levels | None = None
    windows: bool = False  # pictures keep their size, where it is not smaller than `height` and `width`
    memory: int = 2**28  # bytes of decoded pictures that may be held in memory
    address: str = ""  # of files on another machine, http://...; then there is nothing at `root`
    stream: bool = False  # pictures stay in their files, and are decoded whenever they are shown
    disk: float = math.inf  # bytes of files of another machine that may be kept on this one
    part: Part | None = None  # what is taken of each picture, before it is fitted; all of it when None

    def at(self, root: str) -> Request:
        """The same of another place."""
        return replace(self, root=Path(os.path.expanduser(root)), address=root if is_address(root) else "")

    def here(self) -> Path:
        """The root, for a source that reads files of this machine alone. Raises DataError where it is an address."""
        if self.address:
            what = f"dataset.root={self.address} is not on this machine"
            raise DataError(
                two_lines(what, "fetch the files, and name their folder; dataset=webdataset takes addresses")
            )
        return self.root


class Decoded(NamedTuple):
    """What a source returns."""

    images: Tensor | Sequence[Tensor] | Stored  # uint8 [N, C, H, W] of any one size, or [C, H, W] each, of any sizes
    labels: Tensor | None = None  # int64 [N]
    class_names: tuple[str, ...] = ()
    described: Mapping[str, Any] = {}  # what was read and what was passed over, where files were listed
    names: tuple[str, ...] = ()  # of the images, without folder and ending, where they are files

    def taken(self, rows: Sequence[int]) -> Decoded:
        """Some of the images, in this order."""
        index = torch.tensor(list(rows), dtype=torch.int64)
        return self._replace(
            images=self._images(index),
            labels=None if self.labels is None else self.labels[index],
            names=tuple(self.names[i] for i in rows) if self.names else (),
        )

    def _images(self, index: Tensor) -> Tensor | Sequence[Tensor] | Stored:
        if isinstance(self.images, Stored):
            return self.images.rows(index.tolist())
        return self.images[index] if isinstance(self.images, Tensor) else [self.images[i] for i in index.tolist()]


def given_as(images: Stored) -> Tensor | Sequence[Tensor] | Stored:
    """Pictures as a source gives them: those in memory as tensors."""
    if isinstance(images, OneSize):
        return images.images
    return images.each if isinstance(images, ManySizes) else images


EXPECTED = (
    "Decoded(images, labels, ...) with images uint8 [N, 1 or 3, H, W] from 0 to 255, or a list of uint8 [C, H, W], is "
    "expected"
)
REMEDY = (
    "gan_cli.data.images.Decoded says what a source returns; floats in [0, 1] become (255 * images).to(torch.uint8)"
)


def decoded_by(source: Callable[[Request], Decoded], request: Request, part: str) -> Decoded:
    """What a source gives, if it is what is expected. Raises DataError."""
    gave = source(request)
    name = getattr(source, "func", source)
    called = getattr(name, "__name__", type(name).__name__)
    if fault := _fault(gave):
        raise DataError(two_lines(f"{part} ({called}): {EXPECTED}; {fault}", REMEDY))
    if request.stream and not isinstance(gave.images, Stored):
        what = f"dataset.stream=true: {part} ({called}) gives pictures in memory, not files"
        raise DataError(two_lines(what, "leave dataset.stream out"))
    return gave


def _fault(gave: Any) -> str:
    """What is wrong with a source's answer; empty if nothing is."""
    if not isinstance(gave, Decoded):
        return f"it gave {_shown(gave)}"
    images, labels = gave.images, gave.labels
    n = len(images) if isinstance(images, Tensor | Sequence | Stored) else 0
    stacked = isinstance(images, Tensor)
    looked_at = [images.picture(0)] if isinstance(images, Stored) and n else images
    for image in (images,) if stacked else looked_at if isinstance(looked_at, Sequence) else (images,):
        if not _is_picture(image, 4 if stacked else 3):
            return f"its images are {_shown(image)}{'' if image is images else ' each, or some of them'}"
    if labels is not None:
        whole = isinstance(labels, Tensor) and not labels.is_floating_point() and labels.dtype != torch.bool
        if not whole or labels.shape != (n,) or (n and int(labels.min()) < 0):
            lowest = f", from {labels.min()}" if isinstance(labels, Tensor) and whole and labels.numel() else ""
            return f"of {n} images its labels are {_shown(labels)}{lowest}, not int64 [{n}] from 0"
    names = gave.class_names
    if not isinstance(names, tuple | list) or not all(isinstance(name, str) for name in names):
        return f"its class_names are {_shown(names)}, not a tuple of names"
    if names and labels is not None and n and int(labels.max()) >= len(names):
        return f"it gave {len(names)} class_names for labels up to {labels.max()}"
    if gave.names and len(gave.names) != n:
        return f"it gave {len(gave.names)} names for {n} images"
    return ""


def _is_picture(image: Any, ndim: int) -> bool:
    if not isinstance(image, Tensor) or image.dtype != torch.uint8 or image.ndim != ndim:
        return False
    *_, channels, height, width = image.shape
    return channels in (1, 3) and height > 0 and width > 0


def _shown(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    return "None" if value is None else f"a {type(value).__name__}"


def to_float(images: Tensor) -> Tensor:
    """uint8 0 ... 255 to float -1 ... 1."""
    return images.float().div_(127.5).sub_(1)


def fitted(images: Tensor | Sequence[Tensor] | Stored, request: Request) -> Tensor | list[Tensor] | Stored:
    """The images as they were asked for: their channels, and their size or, as windows, no less than it. Those that are
    read while they are shown are so already."""
    if isinstance(images, Stored):
        return images
    if request.windows:
        return [covering(picture, request) for picture in images]
    if isinstance(images, Tensor):
        return recolour(fit_stack(images, request.height, request.width, request.fit), request.channels)
    frame = (request.height, request.width, request.fit)
    return torch.cat([recolour(fit_stack(each.unsqueeze(0), *frame), request.channels) for each in images])


def covering(picture: Tensor, request: Request) -> Tensor:
    """A picture `[C, H, W]`, enlarged where a window would not fit into it."""
    height, width = picture.shape[-2:]
    scale = max(request.height / height, request.width / width)
    size = (height, width) if scale <= 1 else (round(height * scale), round(width * scale))
    return recolour(fit_stack(picture.unsqueeze(0), *size, FITS["stretch"]), request.channels)[0]
