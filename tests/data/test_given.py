"""What is given beside images: made of them by known rules, or pictures that stay beside their partners."""

from __future__ import annotations

import math
import shutil
import threading
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from conftest import coded, save
from gan_cli.data.given import Degraded, Given, Grey, Made, Mask, Outline, Smaller, blurred, quantised
from gan_cli.data.images import Decoded, Images, Request
from gan_cli.data.others import Others
from gan_cli.data.sides import one_of_pair, one_side
from gan_cli.data.sources import folder
from gan_cli.errors import DataError

CPU = torch.device("cpu")


def image(n: int = 2, channels: int = 3, height: int = 16, width: int = 24) -> Tensor:
    return quantised(torch.rand(n, channels, height, width) * 2 - 1)


def made(given: Made, images: Tensor, draw: int = 0, rank: int = 0) -> Tensor:
    given.place(seed=3, batch=len(images), flip=False)
    return given.batch((0, 0), *(None, None), draw, rank, 1)(images)  # type: ignore[arg-type]


# ---- made of the image ----


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_smaller_keeps_what_is_flat_and_the_mean_of_what_is_not(scale: int) -> None:
    flat = torch.full((1, 3, 16, 24), quantised(torch.tensor(0.3)).item())
    small = made(Smaller(3, scale), flat)
    assert small.shape == (1, 3, 16 // scale, 24 // scale)
    torch.testing.assert_close(small, flat[..., :1, :1].expand_as(small))
    ramp = torch.linspace(-0.9, 0.9, 64).expand(1, 1, 64, 64)
    torch.testing.assert_close(
        made(Smaller(1, scale), ramp).mean(), ramp.mean(), atol=1 / 255, rtol=0
    )  # of a file's values


def test_what_is_made_smaller_has_the_values_of_a_file() -> None:
    values = made(Smaller(3, 2), image()).add(1).mul(127.5)
    torch.testing.assert_close(values, values.round(), atol=1e-3, rtol=0)


def test_grey_is_luma() -> None:
    colours = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]).view(4, 3, 1, 1)
    torch.testing.assert_close(
        made(Grey(), colours).flatten(), torch.tensor([0.299, 0.587, 0.114, 1]), atol=1e-3, rtol=0
    )
    torch.testing.assert_close(made(Grey(), image(channels=1)).shape, torch.Size((2, 1, 16, 24)))


@pytest.mark.parametrize(("step", "lines"), [(0.1, 0), (0.14, 0), (0.16, 2), (1.0, 2)])
def test_an_outline_is_where_a_step_is_beyond_the_threshold(step: float, lines: int) -> None:
    """A step of the full range has the gradient 1, on either side of it."""
    edge = torch.full((1, 1, 6, 8), -1.0)
    edge[..., 4:] += 2 * step
    for picture in (edge, edge.transpose(2, 3)):
        drawn = made(Outline(threshold=0.15), picture)
        assert {*drawn.unique().tolist()} <= {-1.0, 1.0}
        assert drawn.gt(0).sum().item() == lines * 6


def test_an_outline_of_the_mirrored_image_is_mirrored() -> None:
    picture = image()
    assert torch.equal(made(Outline(), picture.flip(-1)), made(Outline(), picture).flip(-1))


def test_a_blur_keeps_flat_parts_and_spreads_a_point_by_its_variance() -> None:
    flat = torch.full((1, 3, 12, 12), 0.25)
    torch.testing.assert_close(blurred(flat, 2.0), flat)
    point = torch.zeros(1, 1, 41, 41)
    point[..., 20, 20] = 1
    spread = blurred(point, 2.0)
    torch.testing.assert_close(spread.sum().item(), 1.0)
    place = torch.arange(41.0) - 20
    variance = (spread.sum(2).flatten() * place**2).sum().item()
    assert math.isclose(variance, 4.0, rel_tol=0.05)


def test_degraded_without_degradations_is_the_image_and_noise_has_its_size() -> None:
    picture = image()
    torch.testing.assert_close(made(Degraded(3, 0, 0, 0), picture), picture)
    flat = torch.zeros(4, 3, 64, 64)
    noise = made(Degraded(3, 0, 0.05, 0), flat)
    assert math.isclose(noise.std().item(), 2 * 0.05, rel_tol=0.03)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_better_jpeg_is_nearer(channels: int) -> None:
    picture = blurred(image(2, channels, 32, 32), 1.5)
    errors = [(made(Degraded(channels, 0, 0, q), picture) - picture).abs().mean().item() for q in (10, 50, 95)]
    assert errors[0] > errors[1] > errors[2] > 0


def test_a_mask_covers_its_part_and_nothing_else() -> None:
    picture = torch.full((50, 3, 20, 12), 0.5)
    masked = made(Mask(3, 0.5), picture)
    hidden = masked == 0
    assert hidden.flatten(1).sum(1).tolist() == [3 * 10 * 6] * 50
    assert torch.equal(masked[~hidden], picture[~hidden])
    corners = {tuple(h[0].nonzero()[0].tolist()) for h in hidden}
    assert {down for down, _ in corners} >= {0, 10}  # everywhere, to the edges
    assert {right for _, right in corners} >= {0, 6}
    assert (made(Mask(3, 1.0), picture) == 0).all()


@pytest.mark.parametrize("given", [Degraded(3), Mask(3)], ids=lambda given: type(given).__name__)
def test_chance_follows_the_draw_and_the_process_alone(given: Made) -> None:
    picture = image()
    once = made(given, picture, draw=5)
    torch.rand(3)
    assert torch.equal(once, made(given, picture, draw=5))
    assert not torch.equal(once, made(given, picture, draw=6))
    assert not torch.equal(once, made(given, picture, draw=5, rank=1))
    assert torch.equal(given.preview(picture, *(None, None)), given.preview(picture, *(None, None)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Degraded(3, jpeg=101), "1 to 100, or 0"),
        (lambda: Mask(3, 1.5), "at most 1"),
        (lambda: Grey(3), "leave it as it is"),
        (lambda: Outline(3), "leave it as it is"),
    ],
)
def test_settings_that_mean_nothing_are_refused(make: type[Given], match: str) -> None:
    with pytest.raises(DataError, match=match):
        make()


def few(request: Request) -> Decoded:
    return Decoded(torch.zeros(4, 3, 12, 18, dtype=torch.uint8))


def test_a_scale_that_does_not_divide_the_resolution_is_refused() -> None:
    with pytest.raises(DataError, match=r"dataset\.resolution=\(12, 18\) is not a multiple of dataset\.given\.scale=4"):
        Images(few, root="", resolution=(12, 18), given=Smaller(3, 4))


def test_whole_examples_are_cut_to_the_scale() -> None:
    def odd(request: Request) -> Decoded:
        return Decoded([torch.randint(0, 256, (3, 19 + i, 30), dtype=torch.uint8) for i in range(3)])

    data = Images(odd, root="", resolution=8, windows=True, given=Smaller(3, 4))
    assert data.pictures() == 3
    for i in range(3):
        whole = data.example(i)
        assert whole.real.shape == (1, 3, (19 + i) // 4 * 4, 28)
        assert torch.equal(whole.source, Smaller(3, 4).make(whole.real, torch.Generator()))


# ---- partners ----


def folders(root: Path, n: int = 7, size: tuple[int, int] = (20, 28), scale: int = 1) -> Path:
    """Pairs whose A is the negative of B, `scale` times smaller; no two pictures and no two places are alike."""
    for split, first in (("train", 0), ("test", 100)):
        for k in range(first, first + n):
            picture = coded(k % 90, size[0] // scale, size[1] // scale)
            save(root / f"{split}B" / f"p{k}.png", picture.repeat(scale, 0).repeat(scale, 1))
            save(root / f"{split}A" / f"p{k}.bmp", 255 - picture)
    return root


def pairs(root: Path, scale: int = 1, **settings: object) -> Images:
    usual = {"resolution": (20, 28), "batch_size": 5, "flip": True, "cache": str(root / "cache")}
    given = Others(lambda request: one_of_pair(request, "A"), paired=True, scale=scale)
    return Images(lambda request: one_of_pair(request, "B"), str(root), given=given, **{**usual, **settings})  # type: ignore[arg-type]


def assert_aligned(data: Images, scale: int = 1, draws: int = 12) -> list[Tensor]:
    """Everywhere, A is the negative of B; returns all images seen."""
    data.place(CPU, seed=1)
    batches = [data.batch(draw) for draw in range(draws)] + [data.previewed(6)]
    for batch in [*batches, *(data.example(i) for i in range(data.pictures()))]:
        torch.testing.assert_close(batch.source, -batch.real[..., ::scale, ::scale], atol=1e-5, rtol=0)
    return [picture for batch in batches[:-1] for picture in batch.real]


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize(
    "settings",
    [{}, {"resolution": (12, 16), "load": (20, 28)}, {"resolution": (12, 16), "windows": True}],
    ids=["whole", "load", "windows"],
)
def test_pairs_stay_together(tmp_path: Path, settings: dict[str, object], scale: int) -> None:
    """Through flips, crops, the cache, limits and splits: a wrong row, corner or mirror changes a value."""
    folders(tmp_path, scale=scale)
    seen = assert_aligned(pairs(tmp_path, scale, **settings), scale)
    across = {bool(picture[0, 0, 0] < picture[0, 0, -1]) for picture in seen}
    assert across == {True, False}  # both ways round
    if settings:
        assert len({picture[1, 0, 0].item() for picture in seen}) > 3  # cut at several heights
    again = pairs(tmp_path, scale, **settings)
    assert again.fingerprint() == pairs(tmp_path, scale, **{**settings, "cache": str(tmp_path / "none")}).fingerprint()
    assert_aligned(again, scale)
    limited = pairs(tmp_path, scale, limit=3, **settings)
    assert (len(limited), limited.pictures()) == (3, 3)
    assert_aligned(limited, scale)
    held_out = pairs(tmp_path, scale, split="test", **settings)
    assert set(held_out.names) == {f"p{k}" for k in range(100, 107)}
    assert_aligned(held_out, scale)


def test_each_process_has_the_partners_of_its_images(tmp_path: Path) -> None:
    data = pairs(folders(tmp_path), batch_size=4, resolution=(12, 16), load=(20, 28))
    for rank in range(2):
        data.place(CPU, seed=2, rank=rank, world=2)
        for draw in range(6):
            batch = data.batch(draw)
            assert len(batch.real) == 2
            torch.testing.assert_close(batch.source, -batch.real, atol=1e-5, rtol=0)


def test_the_digest_follows_what_is_given(tmp_path: Path) -> None:
    before = pairs(folders(tmp_path)).fingerprint()
    save(tmp_path / "trainA" / "p3.bmp", coded(80, 20, 28))
    assert pairs(tmp_path).fingerprint() != before


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            lambda root: (root / "trainA/p3.bmp").unlink(),
            r"p3 has no partner: 7 images in .*trainB, 6 in .*trainA\n  give both",
        ),
        (lambda root: (root / "trainB/p3.png").unlink(), r"p3 has no partner: 6 images in"),
        (
            lambda root: (root / "trainA/p3.bmp").rename(root / "trainA/q.bmp"),
            r"p3 and 1 more have no partner: .*trainB, 7 in .*trainA",
        ),
        (lambda root: (root / "trainA/p3.bmp").write_text("no picture"), r"p3 has no partner"),
        (
            lambda root: shutil.copy(root / "trainA/p3.bmp", root / "trainA/p3.png"),
            r"no names of their own|each name once",
        ),
    ],
    ids=["A lacks one", "B lacks one", "another name", "unreadable", "a name twice"],
)
def test_what_has_no_partner_is_named(tmp_path: Path, change: type[Path], match: str) -> None:
    change(folders(tmp_path))  # type: ignore[arg-type]
    with pytest.raises(DataError, match=match) as caught:
        pairs(tmp_path)
    assert len(str(caught.value).splitlines()) == 2


def test_images_that_share_a_partner_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pairs(folders(tmp_path))
    assert "each has the one partner" not in caplog.text
    shutil.copy(tmp_path / "trainB/p3.png", tmp_path / "trainB/p3.bmp")
    assert len(pairs(tmp_path)) == 8
    assert "are called p3: each has the one partner of that name" in caplog.text


def test_windows_of_a_pair_of_unequal_sizes_are_refused(tmp_path: Path) -> None:
    """They would show different places."""
    save(folders(tmp_path) / "trainA" / "p3.bmp", coded(3, 24, 28))
    with pytest.raises(DataError, match=r"the pair p3 has 20 x 28 and 24 x 28 pixels\n") as caught:
        pairs(tmp_path, windows=True, resolution=(12, 16))
    assert len(str(caught.value).splitlines()) == 2
    pairs(tmp_path, resolution=(12, 16), load=(20, 28))  # which scales both


def test_any_two_folders_make_pairs_by_name(tmp_path: Path) -> None:
    for k in range(4):
        save(tmp_path / "photos" / "x" / f"{k}.png", coded(k, 8, 8))
        save(tmp_path / "drawings" / f"{k}.png", 255 - coded(k, 8, 8))
    given = Others(folder, paired=True, root=str(tmp_path / "drawings"))
    data = Images(folder, str(tmp_path / "photos"), 8, batch_size=2, given=given, cache=str(tmp_path / "cache"))
    assert_aligned(data)


def test_names_of_a_pair_may_write_their_accents_in_two_ways(tmp_path: Path) -> None:
    """As one character here, and as two on a Mac."""
    for k, name in enumerate(("été", "zoë", "naïve")):
        save(tmp_path / "A" / f"{unicodedata.normalize('NFD', name)}.png", 255 - coded(k, 8, 8))
        save(tmp_path / "B" / f"{unicodedata.normalize('NFC', name)}.png", coded(k, 8, 8))
    given = Others(lambda request: one_side(request, "A"), paired=True)
    cache = str(tmp_path / "cache")
    assert_aligned(
        Images(lambda request: one_side(request, "B"), str(tmp_path), 8, batch_size=2, given=given, cache=cache)
    )


# ---- another domain ----


def domains(root: Path, a: int = 3, b: int = 5, **settings: object) -> Images:
    for side, n in (("A", a), ("B", b)):
        for k in range(n):
            save(root / f"train{side}" / f"{k}.png", np.full((8, 10, 3), 10 * k + (5 if side == "A" else 0), np.uint8))
    usual = {"resolution": (8, 10), "batch_size": 2, "cache": str(root / "cache")}
    given = Others(lambda request: one_side(request, "A"), channels=int(str(settings.pop("given_channels", 3))))
    return Images(lambda request: one_side(request, "B"), str(root), given=given, **{**usual, **settings})  # type: ignore[arg-type]


def levels(images: Tensor) -> list[int]:
    return images[:, 0, 0, 0].add(1).mul(127.5).round().int().tolist()


@pytest.mark.parametrize(("a", "b"), [(3, 5), (5, 3), (1, 4)])
def test_unequal_domains_are_each_shown_whole_and_equally_often(tmp_path: Path, a: int, b: int) -> None:
    data = domains(tmp_path, a, b)
    assert (len(data), data.pictures()) == (b, a)
    batches = [data.batch(draw) for draw in range(a * b)]
    of_a = [value for batch in batches for value in levels(batch.source)]
    of_b = [value for batch in batches for value in levels(batch.real)]
    assert {value: of_a.count(value) for value in of_a} == {10 * k + 5: 2 * b for k in range(a)}
    assert {value: of_b.count(value) for value in of_b} == {10 * k: 2 * a for k in range(b)}
    drawn = {(x, y) for batch in batches for x, y in zip(levels(batch.source), levels(batch.real), strict=True)}
    assert len(drawn) > max(a, b) or a == 1  # they do not go together


def test_a_batch_is_a_function_of_its_draw_and_processes_share_it(tmp_path: Path) -> None:
    data = domains(tmp_path, batch_size=4, flip=True)
    data.place(CPU, seed=4)
    whole = data.batch(9)
    assert torch.equal(whole.source, data.batch(9).source)
    shares = []
    for rank in range(2):
        data.place(CPU, seed=4, rank=rank, world=2)
        shares += levels(data.batch(9).source)
    assert sorted(shares) == sorted(levels(whole.source))


@pytest.mark.parametrize(("a", "b", "memory"), [(3, 5, 0), (5, 3, 0), (3, 5, 1000), (5, 3, 1000)])
def test_sources_are_read_ahead_of_their_step_wherever_one_side_lies_in_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, a: int, b: int, memory: int
) -> None:
    """A picture has 240 bytes: with room for 1000, one side is held and the other is not."""
    held, data = domains(tmp_path, a, b, flip=True), domains(tmp_path, a, b, flip=True, memory=memory / 2**20)
    readers: set[threading.Thread] = set()
    usual = Others._windows

    def noted(self: Others, *which: Any) -> Tensor:
        readers.add(threading.current_thread())
        return usual(self, *which)

    for each in (held, data):
        each.place(CPU, seed=4)
    expected = [held.batch(draw) for draw in range(4)]
    monkeypatch.setattr(Others, "_windows", noted)
    for draw, other in enumerate(expected):
        batch = data.batch(draw)
        assert torch.equal(batch.source, other.source)
        assert torch.equal(batch.real, other.real)
    assert readers
    assert threading.main_thread() not in readers


def test_sides_may_have_other_channels_and_swap(tmp_path: Path) -> None:
    batch = domains(tmp_path, given_channels=1).batch(0)
    assert (batch.source.shape, batch.real.shape) == ((2, 1, 8, 10), (2, 3, 8, 10))
    back = batch.swapped()
    assert torch.equal(back.source, batch.real)
    assert torch.equal(back.real, batch.source)


def test_every_field_of_a_batch_is_split(tmp_path: Path) -> None:
    batch = domains(tmp_path, batch_size=4).batch(0)
    parts = batch.split(2)
    assert torch.equal(torch.cat([part.source for part in parts]), batch.source)
    assert torch.equal(torch.cat([part.real for part in parts]), batch.real)
