"""How an image of any size is fitted to the data set's size: one image (Pillow) or a stack of them (torch).

`crop` scales until the frame is covered and cuts out the middle; `pad` scales until the image fits inside and fills the
rest with black; `stretch` scales each side on its own. An image that only has to be framed keeps its exact pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor


class Placement(NamedTuple):
    """The size to scale to, and where the scaled image's corner lies in the frame (negative: cut off)."""

    height: int
    width: int
    top: int
    left: int


Fit = Callable[[int, int, int, int], Placement]  # (height, width, frame height, frame width)


def _centred(height: int, width: int, frame_h: int, frame_w: int) -> Placement:
    return Placement(height, width, (frame_h - height) // 2, (frame_w - width) // 2)


def crop(height: int, width: int, frame_h: int, frame_w: int) -> Placement:
    scale = max(frame_h / height, frame_w / width)
    return _centred(max(frame_h, round(height * scale)), max(frame_w, round(width * scale)), frame_h, frame_w)


def pad(height: int, width: int, frame_h: int, frame_w: int) -> Placement:
    # An image that already fits inside keeps its pixels (28 x 28 digits in a 32 x 32 frame).
    scale = min(frame_h / height, frame_w / width)
    if 1 < scale < 2:
        scale = 1.0
    inside_h, inside_w = (max(1, round(side * scale)) for side in (height, width))  # at least one pixel wide
    return _centred(min(frame_h, inside_h), min(frame_w, inside_w), frame_h, frame_w)


def stretch(height: int, width: int, frame_h: int, frame_w: int) -> Placement:
    return Placement(frame_h, frame_w, 0, 0)


GREY = (0.299, 0.587, 0.114)  # luma of red, green and blue (ITU-R BT.601)
FITS: Mapping[str, Fit] = {"crop": crop, "pad": pad, "stretch": stretch}


def fit_image(image: Image.Image, frame_h: int, frame_w: int, fit: Fit) -> Image.Image:
    """One image, resampled with an antialiasing filter if its size changes."""
    place = fit(image.height, image.width, frame_h, frame_w)
    if (image.height, image.width) != (place.height, place.width):
        image = image.resize((place.width, place.height), Image.Resampling.LANCZOS)
    if (image.height, image.width) == (frame_h, frame_w):
        return image
    canvas = Image.new(image.mode, (frame_w, frame_h))
    canvas.paste(image, (place.left, place.top))
    return canvas


def fit_stack(images: Tensor, frame_h: int, frame_w: int, fit: Fit, chunk: int = 4096) -> Tensor:
    """A stack of images of one size, uint8 `[N, C, H, W]`, antialiased if the size changes, rounded to uint8."""
    if images.shape[-2:] == (frame_h, frame_w):
        return images
    place = fit(images.shape[-2], images.shape[-1], frame_h, frame_w)
    top, left = max(place.top, 0), max(place.left, 0)
    cut_top, cut_left = max(-place.top, 0), max(-place.left, 0)
    inside_h, inside_w = min(place.height, frame_h), min(place.width, frame_w)
    out = images.new_zeros(len(images), images.shape[1], frame_h, frame_w)
    for start in range(0, len(images), chunk):
        scaled = images[start : start + chunk]
        if scaled.shape[-2:] != (place.height, place.width):
            size = (place.height, place.width)
            floats = F.interpolate(scaled.float(), size, mode="bicubic", antialias=True, align_corners=False)
            scaled = floats.round().clamp(0, 255).to(torch.uint8)
        window = scaled[..., cut_top : cut_top + inside_h, cut_left : cut_left + inside_w]
        out[start : start + chunk, :, top : top + inside_h, left : left + inside_w] = window
    return out


def recolour(images: Tensor, channels: int) -> Tensor:
    """uint8 `[N, C, H, W]` with 1 or 3 channels: grey is repeated, colour becomes luma (ITU-R BT.601), rounded."""
    if images.shape[1] == channels:
        return images
    if channels == 3:
        return images.expand(-1, 3, -1, -1).contiguous()
    weights = torch.tensor(GREY).view(1, 3, 1, 1)
    return (images.float() * weights).sum(1, keepdim=True).round().to(torch.uint8)
