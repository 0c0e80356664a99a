"""Pictures as they are kept, and windows of them."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest
import torch
from torch import Tensor

from gan_cli.data.stored import ManySizes, OneSize, Stored, Views, mirrored, stored

SIZES = ((12, 20), (9, 9), (30, 11))


def picture(i: int, height: int, width: int) -> Tensor:
    """Each place says which picture, row and column it is."""
    down, right = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([torch.full_like(down, i), down, right]).to(torch.uint8)


def pictures(*sizes: tuple[int, int]) -> list[Tensor]:
    return [picture(i, *size) for i, size in enumerate(sizes)]


def digest(kept: Stored) -> str:
    found = hashlib.sha256()
    kept.enter(found)
    return found.hexdigest()


def corners(windows: Tensor) -> list[tuple[int, int, int]]:
    """Which picture, and where its window begins; what is not one piece of it fails."""
    n, _, height, width = windows.shape
    for i in range(n):
        number, top, left = windows[i, :, 0, 0].tolist()
        assert torch.equal(windows[i], picture(number, 99, 99)[:, top : top + height, left : left + width])
    return [tuple(window[:, 0, 0].tolist()) for window in windows]


@pytest.mark.parametrize("step", [1, 3])
def test_windows_lie_everywhere_within_the_picture_and_nowhere_else(step: int) -> None:
    kept = stored(pictures(*SIZES))
    assert isinstance(kept, ManySizes)
    index = torch.arange(3).repeat(600)
    found = corners(
        kept.windows(index, Views.at_random(len(index), False, torch.Generator().manual_seed(0)), (9, 9), step)
    )
    assert [number for number, _, _ in found] == index.tolist()
    for i, (height, width) in enumerate(SIZES):
        downs = Counter(top for number, top, _ in found if number == i)
        rights = Counter(left for number, _, left in found if number == i)
        assert downs.keys() == {*range(0, height - 9 + 1, step)}
        assert rights.keys() == {*range(0, width - 9 + 1, step)}
        for counts in (downs, rights):  # equally often: within 5 standard deviations
            assert all(abs(count - 600 / len(counts)) < 5 * (600 / len(counts)) ** 0.5 + 1 for count in counts.values())


def test_the_plain_view_is_the_middle() -> None:
    kept = stored(pictures((10, 20)))
    assert corners(kept.windows(torch.tensor([0]), Views.plain(1), (4, 4))) == [(0, 3, 8)]


def test_one_tensor_and_many_are_the_same_pictures() -> None:
    same = pictures((6, 8), (6, 8), (6, 8))
    one, many = stored(torch.stack(same)), stored(same)
    assert isinstance(one, OneSize)
    index, views = torch.tensor([2, 0, 2]), Views.at_random(3, True, torch.Generator().manual_seed(1))
    for size in ((6, 8), (3, 4)):
        assert torch.equal(one.windows(index, views, size), many.windows(index, views, size))
    assert len(one) == len(many) == 3
    assert one.nbytes == many.nbytes
    for part in (one.rows([2, 0]), many.rows([2, 0]).to(torch.device("cpu"))):
        assert [int(part.picture(i)[0, 0, 0]) for i in range(len(part))] == [2, 0]


def test_half_are_mirrored_where_they_may_be() -> None:
    source = torch.Generator().manual_seed(0)
    assert not Views.at_random(1000, False, source).mirrored.any()
    assert abs(int(Views.at_random(4000, True, source).mirrored.sum()) - 2000) < 4 * 32
    images = torch.rand(3, 1, 2, 5)
    turned = mirrored(images, torch.tensor([True, False, True]))
    assert torch.equal(turned[1], images[1])
    assert torch.equal(turned[0].flip(-1), images[0])
    assert torch.equal(mirrored(turned, torch.tensor([True, False, True])), images)


def test_a_digest_sees_sizes_order_and_pixels() -> None:
    """Also where the bytes are the same in the same order."""
    flat = torch.zeros(2, 1, 2, 6, dtype=torch.uint8)
    other = flat.clone()
    other[1, 0, 1, 5] = 1
    kinds = [stored(flat), stored(flat.view(2, 1, 3, 4)), stored(other), stored(other.flip(0))]
    kinds += [stored(list(flat)), stored([flat[0], flat[1].view(1, 3, 4)]), stored(list(other))]
    assert len({digest(kept) for kept in kinds}) == len(kinds)
    assert digest(stored(flat)) == digest(stored(flat.clone()))
