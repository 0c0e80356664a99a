"""Images out of folders, zips, .npz and .pt files: all of one size, 8 bits, at least two, or a clear refusal."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gan_cli.config.errors import ConfigError, two_lines
from gan_cli.data.folder import EXTENSIONS
from gan_cli.metrics.moments import Gaussian

GREY = frozenset({"1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "I;16N", "F"})  # Pillow's modes without colour
Batches = Callable[[int], Iterator[tuple[Tensor, Tensor | None]]]  # size -> images uint8 [n, C, H, W], labels [n]


class Stored(NamedTuple):
    """Images that lie in files, or only their statistics."""

    n: int
    batches: Batches
    fingerprint: str
    statistics: Gaussian | None = None


def _is_grey(data: bytes) -> bool:
    """Whether an image is stored without colour; its header says so, and what cannot be read is found out later."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.mode in GREY
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False


def _decode(name: str, data: bytes, mode: str) -> np.ndarray:
    """uint8 [C, H, W] in the mode L or RGB. Raises ConfigError for what is no 8-bit image."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            if image.mode.startswith(("I", "F")):
                raise ConfigError(
                    two_lines(f"{name} has more than 8 bits a value", "convert it: rounding it here would be a guess")
                )
            pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(two_lines(f"{name} cannot be read ({error})", "remove it, or fetch it again")) from error
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _from_images(place: str, names: Sequence[str], read: Callable[[str], bytes]) -> Stored:
    """Named image files, in the order of their names: with one channel where all of them are grey, else with three."""
    if not names:
        kinds = ", ".join(sorted(e[1:] for e in EXTENSIONS))
        raise ConfigError(two_lines(f"{place} holds no images", f"give one with {kinds} files, nested or flat"))
    names = sorted(names)
    digest = hashlib.sha256()
    grey = True
    for name in names:
        data = read(name)
        digest.update(hashlib.sha256(data).digest())
        grey = grey and _is_grey(data)
    mode = "L" if grey else "RGB"
    if grey:  # features that were kept of three equal channels are not those of one
        digest.update(b"one channel")

    def batches(size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        shape = None
        for start in range(0, len(names), size):
            pixels = []
            for name in names[start : start + size]:
                image = _decode(name, read(name), mode)
                shape = shape or image.shape
                if image.shape[1:] != shape[1:]:
                    sizes = f"{shape[2]} x {shape[1]} and {image.shape[2]} x {image.shape[1]}"
                    raise ConfigError(
                        two_lines(f"{place} mixes sizes: {sizes} ({name})", "bring them to one size first")
                    )
                pixels.append(image)
            stack = torch.from_numpy(np.stack(pixels))
            yield stack, None

    return Stored(len(names), batches, digest.hexdigest())


def folder(path: Path) -> Stored:
    """All images below a folder, recursively, whatever the case of their endings."""
    names = [str(p) for p in path.rglob("*") if p.suffix.lower() in EXTENSIONS and p.is_file()]
    return _from_images(str(path), names, lambda name: Path(name).read_bytes())


def zipped(path: Path) -> Stored:
    """All images in a zip."""
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise ConfigError(two_lines(f"{path} is no zip ({error})", "fetch it again")) from error
    names = [name for name in archive.namelist() if Path(name).suffix.lower() in EXTENSIONS]
    return _from_images(str(path), names, archive.read)


def tensors(images: Tensor, place: str) -> Stored:
    """uint8 `[N, C, H, W]`, C 1 or 3."""
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        found = f"{images.dtype} {list(images.shape)}".replace("torch.", "")
        raise ConfigError(two_lines(f"{place} holds {found}", "give images as uint8 [N, C, H, W] with 1 or 3 channels"))
    digest = hashlib.sha256(repr(tuple(images.shape)).encode() + images.contiguous().numpy().tobytes())

    def batches(size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        for piece in images.split(size):
            yield piece, None

    return Stored(len(images), batches, digest.hexdigest())


def arrays(path: Path) -> Stored:
    """`.npz`: images as `arr_0` uint8 NHWC, or statistics as `mu` and `sigma`."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ConfigError(
            two_lines(f"{path} cannot be read ({error})", "give an .npz with arr_0, or with mu and sigma")
        ) from error
    if {"mu", "sigma"} <= found.keys():
        mean = torch.from_numpy(found["mu"].astype(np.float64))
        covariance = torch.from_numpy(found["sigma"].astype(np.float64))
        if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
            raise ConfigError(f"{path}: mu {list(mean.shape)} and sigma {list(covariance.shape)} do not fit together")
        n = int(found["n"]) if "n" in found else 0  # nothing says of how many
        digest = hashlib.sha256(mean.numpy().tobytes() + covariance.numpy().tobytes()).hexdigest()
        return Stored(n, lambda size: iter(()), digest, Gaussian(n, mean, covariance=covariance))
    if "arr_0" not in found:
        names = ", ".join(found) or "nothing"
        raise ConfigError(
            two_lines(f"{path} holds {names}", "give an .npz with arr_0 (uint8 NHWC), or with mu and sigma")
        )
    images = found["arr_0"]
    if images.ndim != 4:
        raise ConfigError(two_lines(f"{path}: arr_0 is {images.dtype} {list(images.shape)}", "give uint8 [N, H, W, C]"))
    return tensors(torch.from_numpy(images).permute(0, 3, 1, 2), str(path))
