"""Sample grids in a page: pictures only, few enough, and small enough."""

from __future__ import annotations

import base64
import io
import itertools
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import save
from gan_cli.report.grids import encoded, evenly, film


@pytest.mark.parametrize(("n", "most"), [(1, 2), (5, 5), (6, 5), (100, 7), (1000, 40)])
def test_few_of_many_are_spread_evenly(n: int, most: int) -> None:
    chosen = evenly(n, most)
    assert (chosen[0], chosen[-1], len(chosen)) == (0, n - 1, min(n, most))
    gaps = [b - a for a, b in itertools.pairwise(chosen)]
    assert max(gaps, default=1) - min(gaps, default=1) <= 1
    assert evenly(0, most) == []


def pixels(uri: str) -> np.ndarray:
    kind, _, content = uri.partition(",")
    assert kind == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def test_grids_are_the_run_s_in_order(tmp_path: Path) -> None:
    for step in (30, 0, 200):
        save(tmp_path / f"step-{step:09d}.png", np.full((40, 60, 3), step, np.uint8))
    save(tmp_path / "real.png", np.full((8, 8), 77, np.uint8))
    save(tmp_path / "sample-step000000200.png", np.zeros((8, 8), np.uint8))
    found = film(tmp_path, 10, 100_000)
    assert [(grid.step, grid.width, grid.height) for grid in found.grids] == [(0, 60, 40), (30, 60, 40), (200, 60, 40)]
    assert [int(pixels(grid.uri)[0, 0, 0]) for grid in found.grids] == [0, 30, 200]  # lossless where there is room
    assert found.real is not None
    assert (found.there, found.unreadable, pixels(found.real.uri)[0, 0].tolist()) == (3, 0, [77, 77, 77])


def bomb(side: int) -> bytes:
    """A PNG whose header promises a large picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    head = side.to_bytes(4) + side.to_bytes(4) + bytes([8, 2, 0, 0, 0])
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def test_what_is_no_png_is_left_out(tmp_path: Path) -> None:
    good = save(tmp_path / "step-000000000.png", np.zeros((8, 8, 3), np.uint8))
    jpeg = io.BytesIO()
    Image.new("RGB", (8, 8)).save(jpeg, "JPEG")
    files = (b"", good.read_bytes()[:-30], jpeg.getvalue(), b"<svg onload='alert(1)'/>", bomb(60_000), bomb(9_000))
    for i, content in enumerate(files):
        (tmp_path / f"step-{i + 1:09d}.png").write_bytes(content)
    (tmp_path / "step-000000100.png").symlink_to(good)
    (tmp_path / "step-000000101.png").mkdir()
    found = film(tmp_path, 20, 10**6)
    assert [grid.step for grid in found.grids] == [0]
    assert (found.there, found.unreadable, found.real) == (9, 8, None)
    assert film(tmp_path / "absent", 20, 10**6).grids == ()


def test_a_picture_takes_no_more_than_its_share() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3)).astype(np.uint8))
    for most in (200_000, 30_000, 5_000):
        assert len(encoded(noise, most)) <= most
