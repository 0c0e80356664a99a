"""What sees images for a metric: uint8 `[N, C, H, W]` in, float64 features `[N, F]` out."""

from __future__ import annotations

import hashlib
from typing import Protocol

import torch
from torch import Tensor


class Detector(Protocol):
    """A detector names itself in everything that is measured with it."""

    name: str  # suffix of the metrics' names, empty for the 2015 Inception
    convention: str  # what happens to an image before and inside the detector
    digest: str | None  # sha256 of the weights; None when there are none

    def to(self, device: torch.device) -> Detector: ...
    def __call__(self, images: Tensor) -> Tensor: ...


class Pixels:
    """The pixel values themselves, as fractions of white: F = C·H·W."""

    name = "pixels"
    convention = "pixels/255"
    digest = None

    def to(self, device: torch.device) -> Pixels:
        self.device = device
        return self

    def __call__(self, images: Tensor) -> Tensor:
        return images.flatten(1).double() / 255


def sha256(path: str) -> str:
    """Of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
