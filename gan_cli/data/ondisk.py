"""Pictures of one size in a file, one after the other, of which only those of a batch are read.

They are read, not mapped: the memory of the process is that of a batch, whatever the size of the file, and a file that
is cut while a run shows it is an error of the run and not the end of its process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gan_cli.data.ahead import Ahead
from gan_cli.data.memo import Stamp, stamp_of
from gan_cli.data.stored import OneSize, Result, Stored, Views
from gan_cli.errors import DataError, two_lines


class Opened:
    """A file that stays open, read at any place by any thread: who removes its name takes nothing away.

    Args:
        again: What to do if its content changes, for the second line of the error.
    """

    def __init__(self, path: Path, again: str) -> None:
        self.path, self.again = path, again
        self.file = path.open("rb", buffering=0)
        self.stamp: Stamp = stamp_of(os.fstat(self.file.fileno()))

    def check(self) -> None:
        """Raises DataError if the content has changed since it was opened."""
        size, _, modified, _ = stamp_of(os.fstat(self.file.fileno()))
        if (size, modified) != (self.stamp[0], self.stamp[2]):
            raise DataError(two_lines(f"{self.path} was changed while it was read", self.again))

    def into(self, memory: np.ndarray, begin: int) -> None:
        """Fills contiguous memory. Raises DataError if the bytes are not there."""
        view, done = memory.reshape(-1).view(np.uint8).data, 0
        try:
            while done < len(view):
                count = os.preadv(self.file.fileno(), [view[done:]], begin + done)
                if count == 0:
                    raise DataError(two_lines(f"{self.path} was cut while it was read", self.again))
                done += count
        except OSError as error:
            what = f"{self.path} cannot be read any more ({error.strerror or error})"
            raise DataError(two_lines(what, self.again)) from error


class OnDisk(Stored):
    """Pictures `[C, H, W]` in a file.

    Args:
        file: Holds them one after the other.
        begin: Where the first one lies.
        digests: sha256 of each picture's values.
        chosen: Which of them these are, int64 `[N]`; all when None.
    """

    def __init__(
        self, file: Opened, begin: int, shape: Sequence[int], digests: Sequence[bytes], chosen: np.ndarray | None = None
    ) -> None:
        self.file, self.begin, self.shape, self.kept = file, begin, tuple(shape), digests
        self.chosen = np.arange(len(digests)) if chosen is None else chosen
        self.each = int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.chosen)

    def _read(self, index: Sequence[int]) -> Tensor:
        self.file.check()
        pixels = np.empty((len(index), *self.shape), np.uint8)
        for picture, i in zip(pixels, self.chosen[list(index)].tolist(), strict=True):
            self.file.into(picture, self.begin + i * self.each)
        return torch.from_numpy(pixels)

    def picture(self, i: int) -> Tensor:
        return self._read([i])[0]

    def rows(self, index: Sequence[int]) -> Stored:
        return OnDisk(self.file, self.begin, self.shape, self.kept, self.chosen[list(index)])

    def to(self, device: torch.device) -> Stored:
        if device.type == "cpu":
            return self
        home = torch.empty((len(self), *self.shape), dtype=torch.uint8, device=device)
        for rows in torch.arange(len(self)).split(4096):
            home[rows[0] : rows[-1] + 1] = self._read(rows.tolist()).to(device)
        return OneSize(home)

    @property
    def nbytes(self) -> int:
        return len(self) * self.each

    def windows(self, index: Tensor, views: Views, size: tuple[int, int], step: int = 1) -> Tensor:
        return self._read(index.tolist()) if self.shape[1:] == size else super().windows(index, views, size, step)

    def reader(self, make: Callable[[int], Result]) -> Callable[[int], Result]:
        return Ahead(make)

    def digests(self) -> list[bytes]:
        return [self.kept[i] for i in self.chosen.tolist()]

    def sizes(self) -> Iterable[Sequence[int]]:
        return [torch.Size((len(self), *self.shape))]
