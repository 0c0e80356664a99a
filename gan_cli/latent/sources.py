"""Pictures to draw from: files that the user names, or the data of the run."""

from __future__ import annotations

import glob
import itertools
import logging
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch

from gan_cli.data.decoding import Levels, decode, header, opacity
from gan_cli.data.flaws import PictureError
from gan_cli.data.listing import File, is_zip, listed, natural, nothing_in, shown
from gan_cli.data.request import to_float
from gan_cli.errors import DataError, two_lines
from gan_cli.latent import Example
from gan_cli.types import Data, Need

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Files:
    """Pictures in files, which are read one at a time."""

    files: tuple[File, ...]
    names: tuple[str, ...]
    channels: int
    levels: Levels | None
    single: bool  # one file was named, not a folder or a pattern

    @property
    def paths(self) -> list[str]:
        """Where they lie; of those in a zip nothing that is a file."""
        return [f"{file.place}/{file.name}" for file in self.files]

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Example]:
        for file, name in zip(self.files, self.names, strict=True):
            try:
                yield self._read(file, name)
            except DataError as error:
                if self.single:
                    raise
                log.warning("%s; it is left out", str(error).partition("\n")[0])

    def _read(self, file: File, name: str) -> Example:
        """Raises DataError for a file that is not a picture."""
        try:
            data = file.read_bytes()
            pixels = decode(str(file), data, self.channels, self.levels)
            kind, opaque = header(str(file), data), opacity(str(file), data)
        except (PictureError, OSError) as error:
            reason = str(error) or "it cannot be opened"
            raise DataError(two_lines(f"{file} cannot be read: {reason}", "name another picture")) from error
        alpha = None if opaque is None else torch.from_numpy(opaque).float().div(255)[None, None]
        return Example(name, to_float(torch.from_numpy(pixels.copy()).unsqueeze(0)), None, alpha, kind.grey)


def files(word: str, channels: int, levels: Levels | None) -> Files:
    """The pictures of a file, a folder (nested ones too), a zip, or a pattern such as `photos/*.jpg`.

    Raises:
        DataError: There is none.
    """
    path = Path(word).expanduser()
    if path.is_dir() or is_zip(path):
        listing = listed(path)
        if not listing.files:
            raise DataError(f"source={nothing_in(listing)}")
        found = listing.files
    elif path.is_file():
        found = [_file(path, path.parent)]
    else:
        matched = [each for name in glob.glob(str(path), recursive=True) if (each := Path(name)).is_file()]
        top = Path(os.path.commonpath([each.parent for each in matched])) if matched else path
        found = [_file(each, top) for each in sorted(matched, key=lambda p: natural(str(p)))]
        if not found:
            what = f"source={word}: there is no such file or folder"
            raise DataError(two_lines(what, "name a picture, a folder, a zip or a pattern such as 'photos/*.jpg'"))
    whole = [_inside(file.name) for file in found]
    stems = [str(PurePosixPath(name).with_suffix("")) for name in whole]
    return Files(tuple(found), tuple(_apart(stems, whole)), channels, levels, path.is_file() and not is_zip(path))


def _file(path: Path, top: Path) -> File:
    """A file by its name below `top`."""
    return File(str(path.relative_to(top)), str(top), path.read_bytes)


def _inside(name: str) -> str:
    """A file's name as a path that leads nowhere else."""
    return "/".join(shown(part) for part in PurePosixPath(name).parts if part not in ("/", "..", "."))


def _apart(stems: list[str], whole: list[str]) -> list[str]:
    """Names without endings; with them where two would be alike, and numbered where they still are."""
    often, names = Counter(stems), []
    taken = {stem for stem, times in often.items() if times == 1}
    for stem, full in zip(stems, whole, strict=True):
        ways = itertools.chain([full], (f"{full}-{k}" for k in itertools.count(2)))
        names.append(stem if often[stem] == 1 else next(way for way in ways if way not in taken))
        taken.add(names[-1])
    return names


@dataclass(frozen=True)
class OfData:
    """The sources of a data set, whole, with their targets if they are paired.

    Attributes:
        n: Only this many of them, evenly spaced; all when None.
    """

    data: Data
    n: int | None = None
    single = False

    def __len__(self) -> int:
        there = self.data.pictures()
        return there if self.n is None else min(self.n, there)

    def __iter__(self) -> Iterator[Example]:
        return map(self.example, range(len(self)))

    def example(self, k: int) -> Example:
        """The `k`-th of them."""
        last = self.data.pictures() - 1
        i = int(torch.linspace(0, last, len(self), dtype=torch.float64)[k].round())
        batch = self.data.example(i)
        return Example(self.data.called(i), batch.source, batch.real if Need.PAIRS in self.data.provides else None)
