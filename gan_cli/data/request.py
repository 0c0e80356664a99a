"""What a source of images is asked for, and what it returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gan_cli.data.decoding import Levels
from gan_cli.data.fit import FITS, Fit, fit_stack, recolour


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


class Decoded(NamedTuple):
    """What a source returns."""

    images: Tensor | Sequence[Tensor]  # uint8 [N, C, H, W] of any one size, or [C, H, W] each, of any sizes
    labels: Tensor | None = None  # int64 [N]
    class_names: tuple[str, ...] = ()
    described: Mapping[str, Any] = {}  # what was read and what was passed over, where files were listed
    names: tuple[str, ...] = ()  # of the images, without folder and ending, where they are files

    def taken(self, rows: Sequence[int]) -> Decoded:
        """Some of the images, in this order."""
        index = torch.tensor(list(rows), dtype=torch.int64)
        return self._replace(
            images=self.images[index] if isinstance(self.images, Tensor) else [self.images[i] for i in rows],
            labels=None if self.labels is None else self.labels[index],
            names=tuple(self.names[i] for i in rows) if self.names else (),
        )


def to_float(images: Tensor) -> Tensor:
    """uint8 0 ... 255 to float -1 ... 1."""
    return images.float().div_(127.5).sub_(1)


def fitted(images: Tensor | Sequence[Tensor], request: Request) -> Tensor | list[Tensor]:
    """The images as they were asked for: their channels, and their size or, as windows, no less than it."""
    if request.windows:
        return [_covering(picture.unsqueeze(0), request)[0] for picture in images]
    if isinstance(images, Tensor):
        return recolour(fit_stack(images, request.height, request.width, request.fit), request.channels)
    frame = (request.height, request.width, request.fit)
    return torch.cat([recolour(fit_stack(each.unsqueeze(0), *frame), request.channels) for each in images])


def _covering(image: Tensor, request: Request) -> Tensor:
    """A picture `[1, C, H, W]`, enlarged where a window would not fit into it."""
    height, width = image.shape[-2:]
    scale = max(request.height / height, request.width / width)
    size = (height, width) if scale <= 1 else (round(height * scale), round(width * scale))
    return recolour(fit_stack(image, *size, FITS["stretch"]), request.channels)
