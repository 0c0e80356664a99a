"""Data of two sides, A and B: folders of each, with or without partners, or pictures that show both side by side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image

from gan_cli.data.decoding import decode
from gan_cli.data.flaws import PictureError
from gan_cli.data.folder import decode_folder
from gan_cli.data.listing import is_zip
from gan_cli.data.request import Decoded, Request
from gan_cli.data.sources import installed
from gan_cli.errors import DataError, two_lines, unknown

SIDES = ("A", "B")


def _places(split: str, side: str) -> tuple[str, ...]:
    return (f"{split}{side}", f"{split}_{side}", f"{side}/{split}", f"{split}/{side}", side)


def found(root: Path, split: str, side: str) -> Path | None:
    """The folder of a side below `root`, however it is laid out; None where there is none."""
    for place in _places(split, side):
        folder = root
        for part in place.split("/"):
            inside = {entry.name.casefold(): entry for entry in folder.iterdir()} if folder.is_dir() else {}
            folder = inside.get(part.casefold(), folder / part)
        if folder.is_dir():
            return folder
    return None


def one_side(request: Request, side: str) -> Decoded:
    """Pictures of one side: of `root/trainA`, `root/A/train`, `root/train/A` or `root/A`, as of the split `train`.

    Raises:
        DataError: There is no such folder.
    """
    folder = found(request.root, request.split, side)
    if folder is None:
        wanted = ", ".join(_places(request.split, side))
        raise DataError(
            two_lines(
                f"dataset.root={request.root} holds none of {wanted}",
                "put each side into such a folder; for two folders anywhere, dataset=two_folders",
            )
        )
    return decode_folder(replace(request, root=folder))


def one_of_pair(request: Request, side: str) -> Decoded:
    """One side of pairs: of two folders whose pictures have equal names, or one half of pictures that show both.

    The folders lie as `one_side` has them; where there are none, each picture of `root` (or of its split) is cut in the
    middle, A being its left half.
    """
    if is_zip(request.root) or all(found(request.root, request.split, each) is None for each in SIDES):
        return half(request, side)
    return one_side(request, side)


def half(request: Request, side: str) -> Decoded:
    """The left half (A) or the right half (B) of each picture, fitted by itself as a picture of its own would be."""
    return decode_folder(replace(request, part=left if side == SIDES[0] else right))


def left(picture: Image.Image) -> Image.Image:
    return picture.crop((0, 0, _middle(picture), picture.height))


def right(picture: Image.Image) -> Image.Image:
    return picture.crop((picture.width - _middle(picture), 0, *picture.size))


def _middle(picture: Image.Image) -> int:
    """The width of a half. Raises PictureError where there is none."""
    if picture.width < 2:
        raise PictureError("it is one pixel wide, and cannot be cut into two halves")
    return picture.width // 2


def photos(request: Request, only: str | None = None) -> Decoded:
    """Photographs that are installed with the libraries: two of scikit-learn's to train on (CC BY 2.0), and as split
    `test` matplotlib's of Grace Hopper (public domain); as `more`, four of scikit-image's, if it is installed.

    Args:
        only: The one to take, `china` or `flower`, of any split.
    """
    import matplotlib.cbook

    places = {
        "train": [installed("sklearn", "datasets", "images", name) for name in ("china.jpg", "flower.jpg")],
        "test": [Path(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))],
    }
    if request.split == "more":
        places["more"] = _of_scikit_image()
    if request.split not in places:
        raise DataError(unknown(f"dataset.split={request.split}", (*places, "more")))
    known = {path.stem: path for path in places["train"]}
    if only is not None and only not in known:
        raise DataError(unknown(f"the photograph only={only}", known))
    chosen = places[request.split] if only is None else [known[only]]
    images = [torch.from_numpy(decode(str(p), p.read_bytes(), request.channels).copy()) for p in chosen]
    return Decoded(images, names=tuple(path.stem for path in chosen))


def _of_scikit_image() -> list[Path]:
    try:
        import skimage.data
    except ImportError:
        remedy = "pip install '.[photos]' in the checkout, or dataset.split=train or test"
        raise DataError(two_lines("dataset.split=more: scikit-image is not installed", remedy)) from None
    folder = Path(skimage.data.__file__).parent
    return [folder / name for name in ("astronaut.png", "coffee.png", "rocket.jpg", "chelsea.png")]
