"""gan data pack: what it says and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from conftest import Inside, save


@pytest.fixture
def photos(here: Path) -> Path:
    for i in range(6):
        save(here / "photos" / "ab"[i % 2] / f"{i}.png", np.full((8, 8, 3), i, np.uint8))
    return here / "photos"


def test_it_says_what_to_type_next(photos: Path, gan_here: Inside) -> None:
    done = gan_here("data", "pack", "photos", "out=my shards")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "  gan train dataset=webdataset dataset.root='my shards' dataset.classes=2"
    done = gan_here("data", "pack", "photos", "out=other", "--json")
    assert json.loads(done.stdout)["packed"][0]["classes"] == ["a", "b"]


@pytest.mark.parametrize(
    ("words", "says"),
    [((), "what is to be done"), (("pakc",), "did you mean"), (("pack",), "which folder"),
     (("pack", "photos"), "where to"), (("pack", "photos", "out=photos"), "is there already"),
     (("pack", "photos", "out=photos/a/b"), "lies in photos"), (("pack", "photos", "out=empty/../photos/x"), "lies in"),
     (("pack", "none", "out=x"), "neither a folder nor a zip"), (("pack", "empty", "out=x"), "has no images"),
     (("pack", "photos", "out=x", "size=0"), "size=0 is not valid"),
     (("pack", "photos", "empty", "out=x"), "one folder"), (("pack", "photos", "out=/dev/full/x"), "cannot be written"),
     (("pack", "photos", "ot=x"), "cannot read 'ot=x'")],
)  # fmt: skip
def test_what_cannot_be_packed_is_refused_in_two_lines(
    photos: Path, gan_here: Inside, words: tuple[str, ...], says: str
) -> None:
    Path("empty").mkdir()
    done = gan_here("data", *words)
    assert done.returncode == 2
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 2
    assert says in done.stderr
    assert sorted(path.name for path in Path().iterdir()) == ["empty", "photos"]
