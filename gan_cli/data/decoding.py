"""Decodes picture files: bytes in, 8-bit grey or colour out, for every still picture that Pillow reads.

A picture is its first frame, upright, laid on white where it is transparent. How its values become 0 ... 255 follows
its mode alone: 8-bit values stay as they are, 16-bit values are divided by 257, and 32-bit integers and floats, which
have no white of their own, need `levels`. (Of colour with 16 bits per channel, Pillow returns the upper 8.)
"""

from __future__ import annotations

import io
import math
import re
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, SAMPLEFORMAT, TiffImageFile

from gan_cli.data.fit import Fit, fit_image
from gan_cli.data.flaws import NoLevels, PictureError, shown
from gan_cli.errors import ConfigError, two_lines

# Formats that are pictures and are read within this process. Left out: EPS (starts Ghostscript), PDF, MPEG and FLI
# (films), WMF, BUFR, GRIB, HDF5 and IPTC (no decoder, or not on every system), FITS (unpacks without a bound).
SAFE = (
    *("PNG", "JPEG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000", "QOI", "ICO", "CUR", "ICNS"),
    *("PSD", "DDS", "PCX", "DCX", "SGI", "SUN", "MSP", "XBM", "XPM", "GBR", "BLP", "FTEX", "PIXAR"),
)
# These have no signature at their start: they are tried only for files with their extension.
BY_ENDING = ("TGA", "IM", "PCD")
MPO = ".mpo"  # JPEG files with several pictures, which Pillow registers for writing only
LARGEST_SIDE, MOST_PIXELS = 2**16, 2**27  # beyond, a picture counts as unreadable
MOST_BYTES = 2**29  # of a picture's file
GREY = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F"})  # modes without colour
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # by the EXIF orientation
WHITE_IS_ZERO = 0  # of a TIFF's photometric interpretation
SMALL_PART = 8  # a set that uses less than 1/SMALL_PART of its range gets a warning

Levels = tuple[float, float]  # the values of a file that become 0 and 255
Part = Callable[[Image.Image], Image.Image]  # what is taken of a picture

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # the limits above are ours


@cache
def endings() -> Mapping[str, str]:
    """Every extension of a readable picture, with its dot, and its format, according to the installed Pillow."""
    known = Image.registered_extensions()
    taken = {ending: name for ending, name in known.items() if name in (*SAFE, *BY_ENDING) and name in Image.OPEN}
    return {**taken, MPO: "JPEG"}


def kinds() -> str:
    """The endings in words."""
    common = ("jpg", "png", "webp", "bmp", "gif", "tif", "avif", "jp2", "tga", "ppm")
    return ", ".join(kind for kind in common if f".{kind}" in endings()) + " and others"


def checked_levels(levels: Sequence[float] | None, key: str) -> Levels | None:
    """`[low, high]` as a pair. Raises ConfigError, naming `key`, for anything else."""
    if levels is None:
        return None
    if len(levels) != 2 or not all(math.isfinite(value) for value in levels) or levels[0] >= levels[1]:
        raise ConfigError(
            two_lines(
                f"{key}={list(levels)} cannot be used as levels",
                "give two numbers, [low,high], which become black and white",
            )
        )
    return float(levels[0]), float(levels[1])


class Extent:
    """The smallest and largest values of a set of pictures, in the files' own numbers; threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.ranges: dict[int, Levels] = {}  # by the value of white: 255 or 65535
        self.unscaled: list[tuple[str, float, float]] = []  # pictures that need levels: name, low, high

    def note(self, white: int, low: float, high: float) -> None:
        with self._lock:
            before = self.ranges.get(white, (low, high))
            self.ranges[white] = (float(min(before[0], low)), float(max(before[1], high)))

    def note_unscaled(self, name: str, low: float, high: float) -> None:
        with self._lock:
            self.unscaled.append((name, low, high))

    def refusal(self, place: str, key: str) -> str | None:
        """The error when pictures need levels: two lines with the range that was found."""
        if not self.unscaled:
            return None
        low, high = min(u[1] for u in self.unscaled), max(u[2] for u in self.unscaled)
        first = min(self.unscaled)[0]
        return (
            f"{place}: {len(self.unscaled)} pictures hold values from {low:.6g} to {high:.6g}, the first "
            f"{first}, and nothing says which are black and white\n  set {key}=[{low:.6g},{high:.6g}]"
        )

    def warning(self, place: str, key: str) -> str | None:
        """The warning when a whole set uses only a small part of its range."""
        for white, (low, high) in self.ranges.items():
            if 0 < high - low < white / SMALL_PART:
                levels = f"{key}=[{low:g},{high:g}] makes these black and white"
                remedy = levels if len(self.ranges) == 1 else "convert all of them to the same bit depth"
                return (
                    f"the values of {place} lie between {low:g} and {high:g} of {white}, so its pictures are almost "
                    f"uniform in brightness: {remedy}"
                )
        return None


class Header(NamedTuple):
    """What a picture's file says about it before it is decoded."""

    height: int  # upright
    width: int
    grey: bool
    plain: bool  # 8 bits, upright as it is stored, without transparency


def _formats(name: str) -> list[str]:
    """The formats to try for a file of this name; no other Pillow plugin sees its bytes."""
    ending = by_ending(name)
    return [f for f in (*SAFE, *((ending,) if ending else ())) if f in Image.OPEN]


def by_ending(name: str) -> str:
    """The format that a file of this name is tried as for its ending alone; empty where its content tells."""
    ending = endings().get(re.sub(r".*(?=\.)", "", name, flags=re.DOTALL).lower(), "")
    return ending if ending in BY_ENDING else ""


def _open(name: str, data: bytes) -> Image.Image:
    """The picture, not decoded yet."""
    if not data:
        raise PictureError("it is empty")
    try:
        image = Image.open(io.BytesIO(data), formats=_formats(name))
    except UnidentifiedImageError:
        raise PictureError("it is not a picture, or its start is damaged") from None
    if max(image.size) > LARGEST_SIDE or image.width * image.height > MOST_PIXELS:
        raise PictureError(f"it says that it has {image.width} x {image.height} pixels, which is too large")
    if image.format == "PNG":
        _mend_key(image, data)
    return image


def _mend_key(image: Image.Image, data: bytes) -> None:
    """Puts a PNG's transparent value on the scale of the pixels that Pillow returns.

    The file states it at its own bit depth. Pillow widens 2 and 4 bits to 8 and keeps the upper 8 of colour with 16,
    but leaves that value as it was, so that it would fit no pixel, or the wrong one.
    """
    key, depth = image.info.get("transparency"), data[24]  # of IHDR, which comes first
    if isinstance(key, int) and image.mode == "L":
        image.info["transparency"] = (key & (2**depth - 1)) * 255 // (2**depth - 1)
    elif isinstance(key, tuple):
        image.info["transparency"] = tuple(k >> 8 if depth == 16 else k & 255 for k in key)


def _turn(image: Image.Image) -> int:
    """Its EXIF orientation; a file whose metadata is damaged is left as it is."""
    try:
        # The base class's method, since PNG's own decodes the whole picture to look for metadata at its end.
        return int(Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1))
    except Exception:
        return 1


def _in_words(error: Exception) -> PictureError:
    """Pillow's reason, without the names of Python objects."""
    if isinstance(error, PictureError):
        return error
    if isinstance(error, Image.DecompressionBombError):
        return PictureError("it says that it has more pixels than any picture")
    lines = re.sub(r"\s*<[^>]*>", "", str(error)).strip().splitlines()
    return PictureError(shown(lines[0]) if lines else "it is damaged")


def header(name: str, data: bytes) -> Header:
    """Size and kind of a picture. Raises PictureError."""
    try:
        with _open(name, data) as image:
            if image.format == "PNG" and b"eXIf" in data:
                image.load()  # it may say at its end how it lies
            stored = turn = _turn(image)
            if image.format == "TIFF" and turn != 1:
                image.load()  # which turns it
                turn = _turn(image)
            height, width = (image.width, image.height) if turn >= 5 else (image.height, image.width)
            deep = image.mode.startswith(("I", "F")) or _signed(image)
            plain = stored == turn == 1 and not deep and not image.has_transparency_data
            return Header(height, width, image.mode in GREY, plain)
    except Exception as error:  # Pillow's plugins raise whatever their parsing runs into
        raise _in_words(error) from error


def opacity(name: str, data: bytes) -> np.ndarray | None:
    """How opaque the picture is, uint8 `[H, W]`; None where all of it is, or it does not say. Raises PictureError."""
    try:
        with _open(name, data) as opened:
            if not opened.has_transparency_data:
                return None
            opened.load()
            turn = TURNS.get(_turn(opened))
            image = opened if turn is None else opened.transpose(turn)
            key = image.info.get("transparency")
            if image.mode.startswith("I"):  # whose transparent value Pillow drops
                values = np.where(np.asarray(image) == key, 0, 255).astype(np.uint8)
            else:
                values = np.array(image.convert("RGBA"))[..., 3]
    except Exception as error:  # Pillow's plugins raise whatever their parsing runs into
        raise _in_words(error) from error
    return None if (values == 255).all() else values


def decode(
    name: str,
    data: bytes,
    channels: int,
    levels: Levels | None = None,
    frame: tuple[int, int, Fit] | None = None,
    extent: Extent | None = None,
    part: Part | None = None,
) -> np.ndarray:
    """One picture as uint8 `[C, H, W]`.

    Args:
        name: The file's name, for its extension and for messages.
        data: The file's bytes.
        channels: 1 or 3.
        levels: The file's values that become black and white; others scale in proportion, and those beyond are clipped.
        frame: The height and width to fit it to, and how; unchanged when None.
        extent: Records the smallest and the largest value.
        part: Taken before it is fitted; all of it when None.

    Raises:
        PictureError: It cannot be read; NoLevels if only `levels` are missing.
    """
    try:
        with _open(name, data) as opened:
            opened.load()
            turn = TURNS.get(_turn(opened))
            image = opened if turn is None else opened.transpose(turn)
            mode = "L" if channels == 1 else "RGB"
            image = _eight_bits(name, image, opened, mode, levels, extent or Extent())
        image = image.convert(mode)
        if part is not None:
            image = part(image)
        if frame is not None:
            image = fit_image(image, *frame)
    except Exception as error:  # Pillow's plugins raise whatever their parsing runs into
        raise _in_words(error) from error
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _eight_bits(
    name: str, image: Image.Image, opened: Image.Image, mode: str, levels: Levels | None, extent: Extent
) -> Image.Image:
    """The picture in mode L, or in `mode` if it has colour; values mapped by `levels`.

    Args:
        name: The file's name.
        image: The picture, upright.
        opened: The picture as the file has it, which knows its format and tags.
        mode: L or RGB.
        levels: The values that become black and white.
        extent: Records the smallest and the largest value.
    """
    if image.mode.startswith(("I", "F")) or _signed(opened):
        return Image.fromarray(_flattened(name, image, opened, levels, extent))
    if image.mode in GREY:
        mode = "L"
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    if image.mode == "LAB":  # which Pillow makes grey by way of RGB alone
        image = image.convert("RGB")
    image = image.convert(mode)
    found: Any = image.getextrema()
    bands = [found] if mode == "L" else list(found)
    extent.note(255, min(low for low, _ in bands), max(high for _, high in bands))
    if levels is None:
        return image
    return image.point(_scaled(np.arange(256), levels).tolist() * len(bands))


def _signed(opened: Image.Image) -> bool:
    """Whether it is a grey TIFF of signed bytes, which Pillow takes for unsigned ones."""
    return isinstance(opened, TiffImageFile) and opened.mode == "L" and opened.tag_v2.get(SAMPLEFORMAT) == (2,)


def _numbers(image: Image.Image, opened: Image.Image) -> np.ndarray:
    """The values as the file means them, which in a TIFF its tags say and Pillow heeds for unsigned bytes only."""
    values = np.asarray(image)
    if not isinstance(opened, TiffImageFile):
        return values
    if _signed(opened):
        return values.view(np.int8)
    if image.mode.startswith("I;16") and opened.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == WHITE_IS_ZERO:
        return 65535 - values
    unsigned = image.mode == "I" and opened.tag_v2.get(BITSPERSAMPLE) == (32,)
    return values.view(np.uint32) if unsigned and opened.tag_v2.get(SAMPLEFORMAT, (1,)) == (1,) else values


def _flattened(name: str, image: Image.Image, opened: Image.Image, levels: Levels | None, extent: Extent) -> np.ndarray:
    """The 8-bit values of a grey picture with a higher bit depth."""
    values = _numbers(image, opened)
    if not np.isfinite(values).all():
        raise PictureError("it holds values that are not numbers")
    low, high = float(values.min()), float(values.max())
    # Pillow reads 16-bit PNG and PPM into a wider type, depending on its version.
    if image.mode.startswith("I;16") or (image.mode == "I" and opened.format in ("PNG", "PPM")):
        extent.note(65535, low, high)
        pixels = _scaled(values, levels or (0, 65535))
    elif levels is not None:
        pixels = _scaled(values, levels)
    else:
        extent.note_unscaled(name, low, high)
        raise NoLevels(f"it holds values from {low:.6g} to {high:.6g}, and nothing says which are black and white")
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        pixels[values == transparent] = 255
    return pixels


def _scaled(values: np.ndarray, levels: Levels) -> np.ndarray:
    low, high = levels
    return np.rint((values.astype(np.float64) - low) * 255 / (high - low)).clip(0, 255).astype(np.uint8)
