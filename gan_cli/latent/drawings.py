"""What `gan sample` draws, and the files that it can be written to."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gan_cli import pictures
from gan_cli.errors import ConfigError
from gan_cli.progress import tracked
from gan_cli.store import outputs
from gan_cli.store.disk import made, remove_leftovers

LARGEST_GRID = 4096
ENDING = re.compile(r"\.[A-Za-z]\w*")  # of a file; what begins with a digit is part of a name
Save = Callable[[Path], list[Path]]


def _stored(samples: Tensor, points: bool) -> np.ndarray:
    """Images as uint8 `[..., H, W, C]`, as other tools read them; points as float32."""
    stored = samples.float() if points else pictures.to_uint8(samples).movedim(-3, -1)
    return stored.cpu().numpy()


def save_arrays(out: Path, arrays: Mapping[str, np.ndarray]) -> list[Path]:
    with outputs.writing(out) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    return [out]


def ending(out: Path) -> str:
    """The ending of `out` in small letters, none for a folder called lr0.1; a pipe or a device without one takes a
    picture."""
    found = out.suffix.lower() if ENDING.fullmatch(out.suffix) else ""
    return found or (".png" if outputs.is_stream(out) else "")


def save_picture(pixels: Tensor, out: Path) -> Path:
    with outputs.writing(out) as file:
        pictures.write(pixels, file, ending(out))
    return out


class Drawing(ABC):
    """Samples that are computed when they are written or requested."""

    @abstractmethod
    def samples(self) -> Tensor | list[Tensor]:
        """All samples on the CPU: one tensor, or a list where they have several sizes."""

    @abstractmethod
    def writers(self) -> Mapping[str, Save]:
        """The writer for each file ending; the empty one stands for a folder."""

    def check(self, out: Path) -> None:
        """Raises ConfigError, in two lines, when this cannot be written to `out`."""
        if ending(out) not in self.writers():
            endings = [f"x{kind}" if kind else "a folder's name" for kind in self.writers()]
            raise ConfigError(
                f"out={out}: cannot write {out.suffix if ending(out) else 'a folder'}\n  use {' or '.join(endings)}"
            )

    def write(self, out: Path) -> list[Path]:
        """Writes in the format of the ending and returns the files. Raises ConfigError as `check` does, and OSError."""
        self.check(out)
        return self.writers()[ending(out)](out)


class Stream(Drawing):
    """Any number of single samples, in pieces: `(samples [<= 64, ...], label)`.

    Args:
        folders: The folders, below the one that is written, which samples go to in turn.
    """

    def __init__(
        self, pieces: Iterable[tuple[Tensor, Tensor]], n: int, points: bool, folders: Sequence[str] = (".",)
    ) -> None:
        self.pieces: Iterable[tuple[Tensor, Tensor]] = pieces
        self.n = n
        self.points = points
        self.folders = folders

    def _tracked(self) -> Iterator[tuple[Tensor, Tensor]]:
        return tracked(self.pieces, self.n, "drawing", lambda piece: len(piece[0]))

    def samples(self) -> Tensor:
        """`[n, C, H, W]` or `[n, 2]`; they are kept, so that they can also be written."""
        self.pieces = [(samples.cpu(), label.cpu()) for samples, label in self._tracked()]
        return torch.cat([samples for samples, _ in self.pieces])

    def writers(self) -> Mapping[str, Save]:
        return {".png": self._grid, ".npz": self._arrays, "": self._folder}

    def check(self, out: Path) -> None:
        super().check(out)
        if ending(out) == ".png" and self.n > LARGEST_GRID and not self.points:
            raise ConfigError(f"a grid of {self.n} images is too large\n  use out=FOLDER or out=x.npz")
        if ending(out) == "" and self.points:
            raise ConfigError(f"out={out}: points cannot be image files\n  use out=x.png (a scatter plot) or out=x.npz")
        place = Path(os.path.realpath(out))  # of a/.. too, where a is still to be made
        if ending(out) == "" and place.is_dir():
            self._check_unmixed(out, place)

    def _check_unmixed(self, out: Path, place: Path) -> None:
        """Raises ConfigError if other files would stay in the folder: a folder is measured as a whole."""
        written, folders = set(self._names()), {Path(name) for name in self.folders}
        there = [path for below in {Path(), *folders} if (place / below).is_dir() for path in (place / below).iterdir()]
        others = sorted(
            name.as_posix()
            for path in there
            if (name := path.relative_to(place)) not in written | folders and not path.name.startswith(".")
        )
        if others:
            more = f" and {len(others) - 1} more" if len(others) > 1 else ""
            raise ConfigError(
                f"out={out} holds {others[0]}{more}, which would be mixed with these {self.n} samples\n"
                "  give another folder, or empty this one"
            )

    def _names(self) -> list[Path]:
        digits = max(5, len(str(self.n - 1)))
        return [Path(self.folders[i % len(self.folders)], f"{i:0{digits}d}.png") for i in range(self.n)]

    def _grid(self, out: Path) -> list[Path]:
        samples = self.samples()
        return [save_picture(pictures.draw(samples, torch.cat([label for _, label in self.pieces])), out)]

    def _arrays(self, out: Path) -> list[Path]:
        """`arr_0`: uint8 [n, H, W, C], or float32 points [n, 2]; `labels`: int64 [n]."""
        values, labels = [], []
        for samples, label in self._tracked():
            values.append(_stored(samples, self.points))
            labels.append(label.cpu().numpy())
        return save_arrays(out, {"arr_0": np.concatenate(values), "labels": np.concatenate(labels)})

    def _folder(self, out: Path) -> list[Path]:
        """One PNG per image, named by its index; each is whole or absent, whenever this is killed."""
        names = iter(self._names())
        with ExitStack() as folders, ThreadPoolExecutor() as pool:
            for folder in dict.fromkeys(out / name for name in self.folders):
                folders.enter_context(made(folder))
                remove_leftovers(folder)
            for samples, _ in self._tracked():
                pixels = pictures.to_uint8(samples).cpu()
                paths = [out / next(names) for _ in pixels]
                list(pool.map(pictures.save, pixels, paths))
        return [out]


@dataclass(frozen=True)
class Sheet:
    """Samples that belong side by side, `[rows, columns, C, H, W]` or `[rows, columns, 2]`, on the CPU."""

    samples: Tensor
    name: str = ""  # if there are several sheets
    kept: Mapping[str, Tensor] = field(default_factory=dict)  # extra tensors, saved to the .npz

    @property
    def points(self) -> bool:
        return self.samples.ndim == 3

    def picture(self) -> Tensor:
        """uint8 `[3, H', W']`."""
        columns = self.samples.shape[1]
        samples = self.samples.flatten(0, 1)
        return pictures.scatter(samples) if self.points else pictures.grid(pictures.to_uint8(samples), columns)

    def frames(self) -> list[Tensor]:
        """One picture per column, of all rows. Raises ConfigError for points."""
        if self.points:
            raise ConfigError("a film needs images, and these are points\n  use out=x.png or out=x.npz")
        return [pictures.grid(pictures.to_uint8(column)) for column in self.samples.unbind(1)]


class Sheets(Drawing):
    """A few sheets of samples; one file per sheet, or all in one .npz."""

    def __init__(self, sheets: Iterable[Sheet]) -> None:
        self._sheets: Iterable[Sheet] = sheets

    def sheets(self) -> Sequence[Sheet]:
        self._sheets = list(self._sheets)
        return self._sheets

    def samples(self) -> Tensor:
        """`[rows, columns, C, H, W]`, the rows of all sheets stacked."""
        return torch.cat([sheet.samples for sheet in self.sheets()])

    def writers(self) -> Mapping[str, Save]:
        return {".png": self._pictures, ".npz": self._arrays}

    def _named(self, out: Path) -> Iterator[tuple[Sheet, Path]]:
        if outputs.is_stream(out) and len(self.sheets()) > 1:
            raise ConfigError(f"out={out}: these are {len(self.sheets())} files\n  give a name, such as out=x.png")
        for sheet in self.sheets():
            named = sheet.name and not outputs.is_stream(out)
            yield sheet, out.with_stem(f"{out.stem}-{sheet.name}") if named else out

    def _kept(self) -> dict[str, np.ndarray]:
        """The extra tensors of the sheets; with several sheets, each array has one row per sheet."""
        first, *others = self.sheets()
        if not others:
            return {name: values.numpy() for name, values in first.kept.items()}
        return {name: torch.stack([sheet.kept[name] for sheet in self.sheets()]).numpy() for name in first.kept}

    def _pictures(self, out: Path) -> list[Path]:
        """One picture per sheet; their extra tensors go beside it."""
        written = [save_picture(sheet.picture(), path) for sheet, path in self._named(out)]
        if not self._kept() or outputs.is_stream(out):
            return written
        return [*written, *save_arrays(out.with_suffix(".npz"), self._kept())]

    def _arrays(self, out: Path) -> list[Path]:
        """`arr_0`: uint8 [rows, columns, H, W, C] or float32 [rows, columns, 2], and the sheets' extra tensors."""
        return save_arrays(out, {"arr_0": _stored(self.samples(), self.sheets()[0].points), **self._kept()})


class Film(Sheets):
    """Sheets whose columns follow each other in time."""

    def writers(self) -> Mapping[str, Save]:
        return {**super().writers(), ".webp": self._film, ".gif": self._film}

    def _film(self, out: Path) -> list[Path]:
        written = []
        for sheet, path in self._named(out):
            with outputs.writing(path) as file:
                pictures.write_film(sheet.frames(), file, ending(path))
            written.append(path)
        return written
