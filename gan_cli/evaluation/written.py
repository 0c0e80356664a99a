"""An evaluation as files: the numbers, and the pictures that metrics drew."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from gan_cli import pictures
from gan_cli.errors import DataError
from gan_cli.evaluation import comparison
from gan_cli.evaluation.values import Evaluation, as_record
from gan_cli.store import outputs
from gan_cli.store.disk import write_json


def write(evaluation: Evaluation, target: Path) -> None:
    """Writes it where the user says; to a pipe or a device only the numbers go. Raises NotWritable."""
    with outputs.named(str(target)), outputs.writing(target) as file:
        file.write(json.dumps(as_record(evaluation), indent=2, default=str).encode() + b"\n")
    for path, pixels in _beside(target, evaluation) if not outputs.is_stream(target) else ():
        with outputs.named(str(path)), outputs.writing(path) as file:
            pictures.write(pixels, file, path.suffix)


def keep(evaluation: Evaluation, target: Path) -> None:
    """Writes it into a run's folder. Raises NotWritable."""
    with outputs.named(str(target)):
        write_json(target, as_record(evaluation))
        for path, pixels in _beside(target, evaluation):
            pictures.save(pixels, path)


def is_written(path: Path) -> bool:
    """Whether a file is an earlier evaluation, or the picture beside one."""
    stem, dash, _ = path.stem.rpartition("-")
    try:
        comparison.read(path.with_name(f"{stem}.json") if dash and path.suffix == ".png" else path)
    except DataError:
        return False
    return True


def _beside(target: Path, evaluation: Evaluation) -> Iterator[tuple[Path, Tensor]]:
    """The pictures, in two rows, and their names."""
    for name, images in evaluation.pictures.items():
        half = len(images) // 2
        rows = images.view(2, half, *images.shape[1:]).flatten(0, 1)
        yield target.with_name(f"{target.stem}-{name}.png"), pictures.grid(rows, columns=half)
