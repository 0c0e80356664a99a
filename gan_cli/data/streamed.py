"""Pictures that stay in their files, and are decoded whenever they are shown: nothing decoded is kept on the disk.

Before the first step every picture is decoded once, to know which can be read, of what size they are, and the sha256 of
their values. This is remembered under the content of the files, so that later starts decode nothing. The set is thereby
the same as one whose decoded pictures are kept, to the last bit of its fingerprint, and a file that is changed under a
run is found out when it is shown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from gan_cli.data import memo
from gan_cli.data.ahead import Ahead, Effort, in_order
from gan_cli.data.cache import DecodedFiles, Unreadable, by_one, sorted_out
from gan_cli.data.stored import Result, Stored
from gan_cli.errors import DataError, two_lines

AGAIN = "start again when the files stay as they are, or resume the run if it has saved"
FileOf = TypeVar("FileOf")


class Streamed(Stored, Generic[FileOf]):
    """Pictures `[C, H, W]` in files.

    Args:
        files: One for each picture; their `str` names them.
        decode: Decodes one, in any thread.
        shapes: `[C, H, W]` of each, int64 `[N, 3]`.
        kept: sha256 of each picture's values.
        one_size: Whether all are of one size because they were fitted to it.
        effort: How they are read ahead.
    """

    def __init__(
        self,
        files: Sequence[FileOf],
        decode: Callable[[FileOf], np.ndarray | Unreadable],
        shapes: np.ndarray,
        kept: Sequence[bytes],
        one_size: bool,
        effort: Effort,
    ) -> None:
        self.files, self.decode, self.shapes, self.kept = files, decode, shapes, kept
        self.one_size, self.effort = one_size, effort

    def __len__(self) -> int:
        return len(self.files)

    def picture(self, i: int) -> Tensor:
        """Raises DataError where the file is not what it was."""
        pixels = self.decode(self.files[i])
        if isinstance(pixels, Unreadable):
            raise DataError(two_lines(f"{pixels.name} cannot be read any more ({pixels.reason})", AGAIN))
        content = pixels.tobytes()
        if hashlib.sha256(content).digest() != self.kept[i]:
            raise DataError(two_lines(f"{self.files[i]} was changed while it was used", AGAIN))
        return torch.frombuffer(bytearray(content), dtype=torch.uint8).view(pixels.shape)

    def pictures(self, index: Iterable[int]) -> Iterator[Tensor]:
        return in_order(self.picture, index, self.effort.threads)

    def shape_of(self, i: int) -> torch.Size:
        return torch.Size(self.shapes[i].tolist())

    def rows(self, index: Sequence[int]) -> Stored:
        rows = list(index)
        files, kept = [self.files[i] for i in rows], [self.kept[i] for i in rows]
        return Streamed(files, self.decode, self.shapes[rows], kept, self.one_size, self.effort)

    def to(self, device: torch.device) -> Stored:
        return self

    @property
    def nbytes(self) -> int:
        return int(self.shapes.prod(1).sum())

    def reader(self, make: Callable[[int], Result]) -> Callable[[int], Result]:
        return Ahead(make, self.effort.batches)

    def digests(self) -> list[bytes]:
        return list(self.kept)

    def sizes(self) -> Iterable[Sequence[int]]:
        if self.one_size:
            return [torch.Size((len(self), *self.shape_of(0)))]
        return map(self.shape_of, range(len(self)))


def looked_through(
    folder: Path,
    key: str,
    files: Sequence[FileOf],
    decode: Callable[[FileOf], np.ndarray | Unreadable],
    items: Callable[[], Iterable[np.ndarray | Unreadable]],
    ranges: Callable[[], dict[int, tuple[float, float]]],
    one_size: bool,
    effort: Effort,
) -> DecodedFiles:
    """The files that can be read, as pictures that are decoded when they are shown.

    Args:
        folder: Folder of the cache, where what was found is remembered.
        key: The content of the files, their order, and how they are decoded.
        items: Decodes all files, in their order.
        ranges: Gives the range of values met, after decoding.
        one_size: Whether all are fitted to one size.
        effort: How those that are shown are read ahead.
    """

    def look() -> list[Any]:
        shapes: list[tuple[int, ...]] = []
        digests: list[str] = []

        def note(pixels: np.ndarray) -> None:
            shapes.append(pixels.shape)
            digests.append(hashlib.sha256(pixels.tobytes()).hexdigest())

        kept, unreadable = sorted_out(items(), note)
        return [shapes, digests, kept, unreadable, sorted(ranges().items())]

    with by_one(folder / memo.key_of("streamed", key)):
        shapes, digests, kept, unreadable, met = memo.remembered(folder, ["streamed", key], [], look)
    images = Streamed(
        [files[i] for i in kept],
        decode,
        np.array(shapes, dtype=np.int64).reshape(-1, 3),
        [bytes.fromhex(each) for each in digests],
        one_size,
        effort,
    )
    found = {int(white): (float(low), float(high)) for white, (low, high) in met}
    return DecodedFiles(images, kept, [(i, reason) for i, reason in unreadable], found)
