"""Pictures as they are kept: of one size in one tensor, or each of its own; and the windows that batches show."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from gan_cli import rng
from gan_cli.data.subset import digests_of

Result = TypeVar("Result")
CPU = torch.device("cpu")


class Hash(Protocol):
    """What hashlib makes."""

    def update(self, data: bytes | memoryview, /) -> None: ...


class Views(NamedTuple):
    """Which part of each picture of a batch is shown, and which way round."""

    corner: Tensor  # float [N, 2] in [0, 1): how far down and right the window lies, of the way there is
    mirrored: Tensor  # bool [N]

    @classmethod
    def at_random(cls, n: int, flip: bool, source: torch.Generator, rank: int = 0, world: int = 1) -> Views:
        """Rank `rank`'s `n` of them: anywhere; mirrored with probability one half where `flip` allows it."""
        corner = rng.dealt(lambda rows: torch.rand(rows, 2, generator=source), n, rank, world)
        coin = rng.dealt(lambda rows: torch.rand(rows, generator=source), n, rank, world)
        return cls(corner, (coin < 0.5) & flip)

    @classmethod
    def plain(cls, n: int) -> Views:
        """The middle of each picture."""
        return cls(torch.full((n, 2), 0.5), torch.zeros(n, dtype=torch.bool))


def mirrored(images: Tensor, rows: Tensor) -> Tensor:
    """Images `[N, C, H, W]`, those of `rows` left to right."""
    return torch.where(rows.to(images.device).view(-1, 1, 1, 1), images.flip(-1), images)


class Stored(ABC):
    """uint8 pictures `[C, H, W]`."""

    @abstractmethod
    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Tensor]:
        return self.pictures(range(len(self)))

    @abstractmethod
    def picture(self, i: int) -> Tensor:
        """One picture, whole."""

    def pictures(self, index: Iterable[int]) -> Iterator[Tensor]:
        """Some of the pictures, each whole."""
        return map(self.picture, index)

    def shape_of(self, i: int) -> torch.Size:
        """`[C, H, W]` of a picture."""
        return self.picture(i).shape

    @abstractmethod
    def rows(self, index: Sequence[int]) -> Stored:
        """Some of the pictures, in this order."""

    @abstractmethod
    def to(self, device: torch.device) -> Stored:
        """The same on the device, or where they lie if that is in files."""

    @property
    def device(self) -> torch.device:
        """Where pictures come out."""
        return CPU

    @property
    @abstractmethod
    def nbytes(self) -> int: ...

    def windows(self, index: Tensor, views: Views, size: tuple[int, int], step: int = 1) -> Tensor:
        """The windows of `size` that the views show of the pictures `index`, uint8 `[N, C, h, w]`, not mirrored.

        Args:
            step: Windows lie at multiples of it.
        """
        (height, width), cut = size, []
        for picture, (down, right) in zip(self.pictures(index.tolist()), views.corner.tolist(), strict=True):
            top = int(down * ((picture.shape[1] - height) // step + 1)) * step
            left = int(right * ((picture.shape[2] - width) // step + 1)) * step
            cut.append(picture[:, top : top + height, left : left + width])
        return torch.stack(cut)

    def reader(self, make: Callable[[int], Result]) -> Callable[[int], Result]:
        """How draws that read these pictures are best made: as they come where they lie in memory."""
        return make

    def digests(self) -> list[bytes]:
        """sha256 of each picture's values."""
        return digests_of(picture.cpu() for picture in self)

    @abstractmethod
    def sizes(self) -> Iterable[Sequence[int]]:
        """Of each picture, or one for all."""

    def enter(self, digest: Hash) -> None:
        """Adds all sizes and pixels to a digest."""
        for size in self.sizes():
            digest.update(repr(tuple(size)).encode())
        for each in self.digests():
            digest.update(each)


class OneSize(Stored):
    """One tensor `[N, C, H, W]`."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def picture(self, i: int) -> Tensor:
        return self.images[i]

    def rows(self, index: Sequence[int]) -> Stored:
        return OneSize(self.images[torch.tensor(list(index), device=self.images.device)])

    def to(self, device: torch.device) -> Stored:
        return OneSize(self.images.to(device))

    @property
    def device(self) -> torch.device:
        return self.images.device

    @property
    def nbytes(self) -> int:
        return self.images.nbytes

    def windows(self, index: Tensor, views: Views, size: tuple[int, int], step: int = 1) -> Tensor:
        whole = tuple(self.images.shape[-2:]) == size
        return self.images[index.to(self.images.device)] if whole else super().windows(index, views, size, step)

    def sizes(self) -> Iterable[Sequence[int]]:
        return [self.images.shape]


class ManySizes(Stored):
    """A tensor each."""

    def __init__(self, each: Iterable[Tensor]) -> None:
        self.each = tuple(each)

    def __len__(self) -> int:
        return len(self.each)

    def picture(self, i: int) -> Tensor:
        return self.each[i]

    def rows(self, index: Sequence[int]) -> Stored:
        return ManySizes(self.each[i] for i in index)

    def to(self, device: torch.device) -> Stored:
        return ManySizes(picture.to(device) for picture in self.each)

    @property
    def device(self) -> torch.device:
        return self.each[0].device if self.each else CPU

    @property
    def nbytes(self) -> int:
        return sum(picture.nbytes for picture in self.each)

    def sizes(self) -> Iterable[Sequence[int]]:
        return (picture.shape for picture in self.each)


def stored(images: Tensor | Sequence[Tensor] | Stored) -> Stored:
    """Keeps a tensor `[N, C, H, W]`, or pictures `[C, H, W]` of any sizes; what is kept already stays where it is."""
    if isinstance(images, Stored):
        return images
    return OneSize(images) if isinstance(images, Tensor) else ManySizes(images)
