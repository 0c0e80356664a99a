"""What sees images for a metric: uint8 (or float 0 ... 255) `[N, C, H, W]` in, float features `[N, F]` out."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_cli.metrics.features import Seen
from gan_cli.types import PositiveInt


@dataclass(frozen=True)
class Labelled:
    """The real images that a detector may be fitted to, which are read when it is."""

    read: Callable[[], Tensor]  # uint8 [N, C, H, W]
    labels: Tensor  # int64 [N]
    classes: int  # 0 when unlabelled
    fingerprint: str

    @cached_property
    def images(self) -> Tensor:
        return self.read()


class Detector(ABC):
    """A detector; its name appears in everything measured with it."""

    name: str  # suffix of the metrics' names, empty for the 2015 Inception
    convention: str  # what happens to an image before and inside the detector
    digest: str | None = None  # sha256 of the weights; None when there are none
    device = torch.device("cpu")

    def to(self, device: torch.device) -> Self:
        """Sets the device that it computes on."""
        self.device = device
        return self

    def prepare(self, data: Labelled | None) -> Detector:
        """The detector for this reference; most detectors are the same for any."""
        return self

    @abstractmethod
    def __call__(self, images: Tensor) -> Seen:
        """Features of uint8 (or float 0 ... 255) images `[N, C, H, W]`."""


def averaged(images: Tensor, side: int) -> Tensor:
    """Images `[N, C, H, W]`, averaged down so that no side is longer than `side`."""
    return F.adaptive_avg_pool2d(images, (min(side, images.shape[2]), min(side, images.shape[3])))


class Pixels(Detector):
    """The pixel values themselves, as fractions of white: F = C·H·W.

    Args:
        side: Larger images are averaged down to this side, so that F stays bounded; as they are when null.
    """

    name = "pixels"

    def __init__(self, side: PositiveInt | None = None) -> None:
        self.side = side
        self.convention = "pixels/255" if side is None else f"pixels/255 averaged down to {side} x {side}"

    def __call__(self, images: Tensor) -> Seen:
        floats = images.to(self.device).float() / 255
        if self.side is not None and images.ndim == 4:
            floats = averaged(floats, self.side)
        return Seen(floats.flatten(1))


class Coordinates(Detector):
    """Points as their own features: F = D."""

    name = "points"
    convention = "coordinates"

    def __call__(self, images: Tensor) -> Seen:
        return Seen(images.to(self.device).float())


def sha256(path: str) -> str:
    """The digest of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
