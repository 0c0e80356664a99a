"""Affine maps of images between two low-pass filters (Karras 2020, arXiv 2006.06676, appendix B.2).

Interpolating pixels blurs them. At twice the side, behind the filter of an orthogonal wavelet, there is less to blur;
the same filter, mirrored, leads back: h ↑2 then h̄ ↓2 is the identity, since Σ h[n]·h[n + 2k] is 1 for k = 0, else 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gan_cli.augment.warps import reflect

# The scaling filter of the wavelet sym6 (Daubechies 1992, table 6.3); its sum is √2.
SYM6 = (
    *(0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633),
    *(0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252),
    *(-0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148),
)
TAPS = len(SYM6)
DELAY = sum(n * tap for n, tap in enumerate(SYM6)) / sum(SYM6)  # of a slow signal, in taps
NEAR = 4  # pixels around an image where what its reflection gives is read directly; further ones are folded back
REACH = NEAR + TAPS // 2  # pixels by which the image is extended


def bank(side: int, like: Tensor) -> Tensor:
    """A `[2·side + 10, side]`: pixel k spreads over 2k ... 2k + 11, around 2k + DELAY. As a matrix: on a CPU,
    depthwise convolutions take four times as long."""
    taps = torch.arange(TAPS, device=like.device)
    pixel = torch.arange(side, device=like.device).unsqueeze(1)
    matrix = torch.zeros(side, 2 * side + TAPS - 2, dtype=like.dtype, device=like.device)
    return matrix.scatter(1, 2 * pixel + taps, like.new_tensor(SYM6).expand(side, -1)).T


def doubled(images: Tensor) -> Tensor:
    """`[N, C, H, W]` to `[N, C, 2H + 10, 2W + 10]`: zeros in between, then the filter."""
    height, width = (bank(side, images) for side in images.shape[2:])
    return height @ images @ width.T


def halved(images: Tensor) -> Tensor:
    """The transpose of `doubled`, and its inverse from the left."""
    height, width = (bank((side - TAPS + 2) // 2, images) for side in images.shape[2:])
    return height.T @ images @ width


def extended(images: Tensor) -> Tensor:
    """With `REACH` reflected pixels on each border."""
    rows, columns = (
        reflect(torch.arange(-REACH, side + REACH, device=images.device), side) for side in images.shape[2:]
    )
    return images[:, :, rows][:, :, :, columns]


def folded(place: Tensor, size: int) -> Tensor:
    """Positions in pixels, those beyond `NEAR` of 0 ... size - 1 reflected at its borders."""
    last = size - 1
    period = max(2 * last, 1)
    back = place.remainder(period)
    back = torch.minimum(back, period - back)
    return torch.where((place < -NEAR) | (place > last + NEAR), back, place)


def _warped(images: Tensor, inverse: Tensor) -> Tensor:
    """As `warped`, in the precision of its arguments."""
    n, channels, height, width = images.shape
    fine = doubled(extended(images))

    def places(side: int) -> Tensor:
        """Where the filter of `halved` reads, in pixels from the centre."""
        return (torch.arange(2 * side + TAPS - 2, device=images.device) - DELAY) / 2 - (side - 1) / 2

    y, x = torch.meshgrid(places(height), places(width), indexing="ij")
    grid = y.shape
    source = inverse @ torch.stack([x.flatten(), y.flatten(), torch.ones_like(x.flatten())])  # [N, 2, positions]
    x, y = (
        2 * (folded(source[:, axis] + (side - 1) / 2, side) + REACH) + DELAY for axis, side in ((0, width), (1, height))
    )
    left, top = x.floor(), y.floor()
    flat = fine.flatten(2)
    result = torch.zeros((), dtype=flat.dtype, device=flat.device)
    for dx in (0, 1):
        for dy in (0, 1):
            weight = (1 - (x - left - dx).abs()) * (1 - (y - top - dy).abs())
            index = ((top + dy) * fine.shape[3] + left + dx).long().unsqueeze(1).expand(-1, channels, -1)
            result = result + weight.unsqueeze(1).to(flat.dtype) * flat.gather(2, index)
    return halved(result.view(n, channels, *grid))


def warped(images: Tensor, inverse: Tensor) -> Tensor:
    """Images `[N, C, H, W]` under affine maps, filtered, reflected at the borders.

    Args:
        inverse: `[N, 2, 3]`, from output to input coordinates (x, y, 1) in pixels from the centre.
    """
    with torch.autocast(images.device.type, enabled=False):  # coordinates need all their digits
        return _warped(images, inverse)
