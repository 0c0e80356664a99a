"""What arrays from `.npz` files mean: images with labels, or statistics of features."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gan_cli.data import arrays
from gan_cli.data.arrays import Arrays
from gan_cli.data.arrays import check_zip as check_zip
from gan_cli.data.listing import shown
from gan_cli.errors import DataError, two_lines
from gan_cli.metrics.moments import Gaussian

log = logging.getLogger(__name__)

WANTED = ("arr_0", "arr_1", "labels", "mu", "sigma", "n")
GIVE = "give an .npz with arr_0 (uint8 NHWC), or with mu and sigma"


def read(path: Path) -> Arrays:
    """The arrays whose names are known. Raises DataError."""
    return arrays.read(path, WANTED, lambda names: {"mu", "sigma"} <= {*names} or "arr_0" in names, GIVE)


def images(found: Arrays, path: Path) -> np.ndarray:
    """`arr_0` uint8 `[N, H, W, C]`."""
    values = found["arr_0"]
    what = f"{path}: arr_0 is {values.dtype} {list(values.shape)}"
    if values.ndim == 4 and values.shape[-1] not in (1, 3) and values.shape[1] in (1, 3):
        remedy = f"give uint8 [N, H, W, C], channels last: arr_0.transpose(0, 2, 3, 1){_scaling(values)}"
        raise DataError(two_lines(f"{what}, with the channels second", remedy))
    if values.ndim != 4 or values.dtype != np.uint8 or values.shape[-1] not in (1, 3):
        raise DataError(two_lines(what, "give uint8 [N, H, W, C] with 1 or 3 channels, 0 to 255"))
    return values


def _scaling(values: np.ndarray) -> str:
    return "" if values.dtype == np.uint8 else ", in values from 0 to 255"


def labels(found: Arrays, count: int, path: Path) -> list[int] | None:
    """`labels`, an integer per image; None where there are none, or others, of which is warned.

    `np.savez(file, images, labels)`, as ADM's sampling writes its batches, calls them `arr_1`.
    """
    given = found.get("labels")
    if given is None:
        second = found.get("arr_1")
        return None if second is None or not _one_each(second, count) else [int(label) for label in second]
    if not _one_each(given, count):
        there = f"{given.dtype} {list(given.shape)}"
        log.warning(
            "%s: its labels are left out: they are %s, not an integer for each of %d images", path, there, count
        )
        return None
    return [int(label) for label in given]


def _one_each(given: np.ndarray, count: int) -> bool:
    return given.shape == (count,) and given.dtype.kind in "iu"


def statistics(found: Arrays, path: Path) -> Gaussian:
    """`mu` and `sigma`, with `n` if present. Raises DataError for anything but a mean and a covariance."""

    def refuse(what: str) -> DataError:
        return DataError(two_lines(f"{path}: {what}", "give a mean mu [F] and a covariance sigma [F, F], or images"))

    for name in ("mu", "sigma"):
        if found[name].dtype.kind not in "fiu":
            raise refuse(f"{name} holds {found[name].dtype}, which are not real numbers")
        if not np.isfinite(found[name]).all():
            raise refuse(f"{name} holds values that are infinite or not numbers")
    mean, sigma = (found[name].astype(np.float64) for name in ("mu", "sigma"))
    if mean.ndim != 1 or not len(mean) or sigma.shape != (len(mean), len(mean)):
        raise refuse(f"mu {list(mean.shape)} and sigma {list(sigma.shape)} do not fit together")
    variances = np.diag(sigma)
    scale = float(np.abs(sigma).max(initial=0))
    slack = 1e-3 * scale  # of float32 sums
    if np.abs(sigma - sigma.T).max() > slack:
        raise refuse("sigma is not symmetric")
    spread = np.sqrt(variances.clip(0))
    if variances.min() < -1e-6 * scale or (np.abs(sigma) > np.outer(spread, spread) + slack).any():
        raise refuse("sigma is not a covariance: a variance is negative, or smaller than what it shares with others")
    return Gaussian(_count(found, path), torch.from_numpy(mean), covariance=torch.from_numpy(sigma))


def _count(found: Arrays, path: Path) -> int:
    """`n`; 0 where the file does not say how many images the statistics are of."""
    given: Any = found.get("n")
    if given is None:
        return 0
    if given.size != 1 or given.dtype.kind not in "fiu" or not 2 <= float(given.item()) < 2**53 or given.item() % 1:
        told = shown(str(given.tolist())[:40])
        raise DataError(
            two_lines(
                f"{path}: n={told} is not a number of images", "give a whole number of 2 or more, or leave it out"
            )
        )
    return int(given.item())
