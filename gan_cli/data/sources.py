"""Where images come from: `(Request) -> Decoded`. torchvision reads and downloads the data sets it knows."""

from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import torch
from torch import Tensor

from gan_cli import rng
from gan_cli.data.fit import fit_stack
from gan_cli.data.folder import decode_files, decode_folder
from gan_cli.data.parquet import decode_parquet
from gan_cli.data.request import Decoded, Request
from gan_cli.data.shards import decode_shards
from gan_cli.errors import DataError, two_lines, unknown
from gan_cli.types import PositiveInt

ImageSource = Callable[[Request], Decoded]
CIFAR10_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR10_BINARY = {"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)}


def digits(request: Request) -> Decoded:
    """scikit-learn's UCI handwritten digits: 1797 grey images of 8 x 8 with 17 levels. Needs no file.

    The split `test` is every fifth image, `train` the others; `all` takes everything.
    """
    table = _digits()
    images = torch.from_numpy(np.rint(table[:, :-1].reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8))
    labels = torch.from_numpy(table[:, -1].astype(np.int64))
    held_out = torch.arange(len(images)) % 5 == 4
    keep = {"train": ~held_out, "test": held_out, "all": torch.ones_like(held_out)}[_split(request, "all")]
    return Decoded(images[keep], labels[keep], tuple("0123456789"))


@cache
def _digits() -> np.ndarray:
    """float64 `[1797, 65]`: the pixels from 0 to 16, and the label."""
    with gzip.open(installed("sklearn", "datasets", "data", "digits.csv.gz"), "rt", encoding="utf-8") as file:
        return np.loadtxt(file, delimiter=",")


def installed(library: str, *path: str) -> Path:
    """A file that came with a library, which is not imported: that takes scikit-learn a second."""
    found = importlib.util.find_spec(library)
    if found is None or found.origin is None:
        raise DataError(two_lines(f"the library {library} is not installed", "install gan again: it needs it"))
    return Path(found.origin).parent.joinpath(*path)


def _split(request: Request, *others: str) -> str:
    known = ("train", "test", *others)
    if request.split not in known:
        raise DataError(unknown(f"dataset.split={request.split}", known))
    return request.split


def _fetch(request: Request, build: Callable[[bool], Any], files: str) -> Any:
    """torchvision's data set from the files under the root, which are downloaded only if missing."""
    try:
        return build(False)
    except (RuntimeError, FileNotFoundError):
        advice = f"put {files} under {request.root} (dataset.root), or allow dataset.download=true"
        if not request.download:
            raise DataError(two_lines(f"no data under {request.root}", advice)) from None
    try:
        return build(True)
    except (URLError, OSError, RuntimeError, ImportError) as error:
        what = f"nothing under {request.root}, and the download failed ({error})"
        remedy = f"without a network, put {files} under {request.root} (dataset.root)"
        raise DataError(two_lines(what, remedy)) from error


def _arrays(images: Any, labels: Any, names: Any = ()) -> Decoded:
    """Grey [N, H, W] or colour [N, H, W, 3] arrays."""
    stack = torch.as_tensor(np.asarray(images))
    stack = stack.unsqueeze(1) if stack.ndim == 3 else stack.permute(0, 3, 1, 2).contiguous()
    return Decoded(stack, torch.as_tensor(np.asarray(labels), dtype=torch.int64), tuple(map(str, names)))


def _idx(dataset: str, folder: str) -> Callable[[Request], Decoded]:
    def source(request: Request) -> Decoded:
        from torchvision import datasets

        train = _split(request) == "train"
        kind = getattr(datasets, dataset)
        data = _fetch(
            request,
            lambda download: kind(request.root, train=train, download=download),
            f"the four idx files (train-images-idx3-ubyte, ..., as they are or as .gz) in {folder}/raw",
        )
        return _arrays(data.data, data.targets, data.classes)

    source.__name__, source.__doc__ = dataset.lower(), f"torchvision's {dataset}: 28 x 28, grey, 10 classes."
    return source


mnist = _idx("MNIST", "MNIST")
fashion_mnist = _idx("FashionMNIST", "FashionMNIST")
kmnist = _idx("KMNIST", "KMNIST")


def stacked(request: Request, of: ImageSource = mnist, n: PositiveInt = 128_000) -> Decoded:
    """Three random digits as red, green and blue: `n` images of 10³ classes, the label being 100 r + 10 g + b.

    128,000 images of MNIST, as in PacGAN (arXiv 1712.04086, section 4.2); which digits are combined never changes.
    """
    digits = of(request)
    assert digits.labels is not None
    assert isinstance(digits.images, Tensor)
    planes = fit_stack(digits.images, request.height, request.width, request.fit)[:, 0]
    chosen = torch.randint(len(planes), (n, 3), generator=rng.generator("stacked", request.split))
    return Decoded(planes[chosen], digits.labels[chosen] @ torch.tensor([100, 10, 1]))


def _cifar10_binary(folder: Path, split: str) -> Decoded:
    """Records of one label byte and 3072 bytes: the planes R, G, B of 32 x 32."""
    records = np.concatenate([np.fromfile(folder / name, np.uint8) for name in CIFAR10_BINARY[split]])
    if records.size % 3073:
        raise DataError(two_lines(f"{folder}: its .bin files are not whole records of 3073 bytes", "fetch them again"))
    records = records.reshape(-1, 3073)
    images = torch.from_numpy(records[:, 1:].reshape(-1, 3, 32, 32).copy())
    return Decoded(images, torch.from_numpy(records[:, 0].astype(np.int64)), CIFAR10_NAMES)


def cifar10(request: Request) -> Decoded:
    """CIFAR-10: 32 x 32, colour, 10 classes; in the binary distribution, or the Python one through torchvision."""
    split = _split(request)
    for folder in (request.root / "cifar-10-batches-bin", request.root):
        if all((folder / name).is_file() for name in CIFAR10_BINARY[split]):
            return _cifar10_binary(folder, split)
    from torchvision.datasets import CIFAR10

    data = _fetch(
        request,
        lambda download: CIFAR10(request.root, train=split == "train", download=download),
        "cifar-10-batches-py or cifar-10-batches-bin",
    )
    return _arrays(data.data, data.targets, data.classes)


def cifar100(request: Request) -> Decoded:
    """CIFAR-100: 32 x 32, colour, 100 classes."""
    from torchvision.datasets import CIFAR100

    train = _split(request) == "train"
    data = _fetch(request, lambda download: CIFAR100(request.root, train=train, download=download), "cifar-100-python")
    return _arrays(data.data, data.targets, data.classes)


def svhn(request: Request) -> Decoded:
    """Street view house numbers, cropped: 32 x 32, colour, 10 classes."""
    from torchvision.datasets import SVHN

    split = _split(request, "extra")
    data = _fetch(request, lambda download: SVHN(request.root, split=split, download=download), f"{split}_32x32.mat")
    images: Tensor = torch.from_numpy(data.data)
    return Decoded(images, torch.as_tensor(data.labels, dtype=torch.int64), tuple("0123456789"))


def celeba(request: Request) -> Decoded:
    """CelebA, aligned and cropped: 178 x 218, colour, unlabelled."""
    from torchvision.datasets import CelebA

    split = _split(request, "valid", "all")
    data = _fetch(
        request,
        lambda download: CelebA(request.root, split=split, download=download),
        "celeba/img_align_celeba/*.jpg, celeba/list_eval_partition.txt and CelebA's other .txt files",
    )
    folder = request.root / "celeba" / "img_align_celeba"
    return decode_files([folder / name for name in data.filename], None, (), request)


def folder(request: Request) -> Decoded:
    """Any images below `root`, nested or flat; the folders directly below `root` are classes if all images lie in them.

    A sub-folder with the split's name (`train`, `test`), if there is one, is taken as the root.
    """
    return decode_folder(request)


def webdataset(request: Request) -> Decoded:
    """Tar shards in WebDataset's layout, as `gan data pack` and others write them: those of a folder, or of a pattern
    such as `shards/{000..009}.tar`. Each sample is a picture, with a `.cls` if there are classes.
    """
    return decode_shards(request)


def parquet(request: Request, image: str = "image", label: str = "label") -> Decoded:
    """Parquet files of the Hugging Face layout: those of a folder, or of a pattern. Needs the extra `parquet`.

    Args:
        image: The column of pictures, struct{bytes, path}.
        label: The column of class numbers, if there is one.
    """
    return decode_parquet(request, image, label)
