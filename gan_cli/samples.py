"""Samples as they are returned: a tensor that a notebook shows as a picture."""

from __future__ import annotations

import io
from typing import Any

import torch
from torch import Tensor

from gan_cli import pictures

MOST = 64  # samples in a picture


class Samples(Tensor):
    """A tensor, with which everything can be done that can be done with tensors.

    In a notebook it and its parts (`samples[:8]`, `samples[0]`) show as pictures: at most 64 samples of images
    `[n, C, H, W]` or points `[n, 2]`, and sheets `[rows, columns, ...]` of either. What is computed from it is an
    ordinary tensor, and so is what `torch.save` writes of it.
    """

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    def __getitem__(self, index: Any) -> Samples:
        return super().__getitem__(index).as_subclass(Samples)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.as_subclass(Tensor).__reduce_ex__(protocol)

    def __deepcopy__(self, memo: dict[int, Any]) -> Samples:
        return self.as_subclass(Tensor).clone().as_subclass(Samples)

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return repr(self.as_subclass(Tensor))

    def _repr_png_(self) -> bytes | None:
        pixels = picture(self.as_subclass(Tensor))
        if pixels is None:
            return None
        file = io.BytesIO()
        pictures.write(pixels, file, ".png")
        return file.getvalue()


def picture(samples: Tensor) -> Tensor | None:
    """Samples or sheets of them as a picture uint8 `[3, H, W]`; None for what is neither."""
    if not samples.is_floating_point() or samples.numel() == 0:
        return None
    samples = samples.detach().cpu()
    if samples.ndim in (2, 3) and samples.shape[-1] == 2:  # points, or a sheet of them
        return pictures.scatter(samples.reshape(-1, 2))
    columns = samples.shape[1] if samples.ndim == 5 else None
    images = samples.flatten(0, 1) if samples.ndim == 5 else samples.unsqueeze(0) if samples.ndim == 3 else samples
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        return None
    most = MOST if columns is None else max(1, MOST // columns) * columns
    return pictures.grid(pictures.to_uint8(images[:most]), columns)
