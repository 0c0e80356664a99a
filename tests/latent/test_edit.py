"""A projected image moved along a direction: by nothing it stays, there and back it returns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import SMALL_PROGRESSIVE, words
from gan_cli import sample, train
from gan_cli.errors import ConfigError, DataError, Refused

QUICK = ("mode.steps=20", "n=2")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    small = ("dataset.resolution=8",)
    train(*words(*small, f"hydra.run.dir={folder}/plain"))
    train(*words(*small, "conditioning=concat", f"hydra.run.dir={folder}/conditional"))
    train(*words(*small, f"hydra.run.dir={folder}/styled", model=SMALL_PROGRESSIVE["stylegan2"]))
    return {name: folder / name for name in ("plain", "conditional", "styled")}


@pytest.fixture
def photo(here: Path) -> str:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 9), np.uint8)).save("photo.png")
    return "photo.png"


@pytest.mark.parametrize(("run", "space"), [("plain", "latent"), ("conditional", "latent"), ("styled", "w")])
def test_moved_by_nothing_and_there_and_back(runs: Mapping[str, Path], photo: str, run: str, space: str) -> None:
    folder = runs[run]
    image = f"mode.image={photo}"
    projected = sample(folder, "mode=project", image, *QUICK, "out=p.png")
    edited = sample(folder, "mode=edit", image, *QUICK, "mode.amounts=[-2,0,2]", "mode.count=2", "out=e.npz")
    assert edited.shape[:2] == (2, 3)
    torch.testing.assert_close(edited[:, 1], projected[0, 1].expand(2, -1, -1, -1))
    assert not torch.allclose(edited[0, 0], edited[0, 2])
    again = sample(folder, "mode=edit", "mode.latent=p.npz", "mode.amounts=[-2,0,2]", "mode.count=2")
    assert torch.equal(again, edited)
    start = np.load("p.npz")
    for amount, source, out in ((1.5, "p.npz", "there.png"), (-1.5, "there.npz", "back.png")):
        move = ("mode.towards=2", f"mode.amounts=[{amount}]", f"mode.latent={source}", f"out={out}")
        moved = sample(folder, "mode=edit", *move)
    np.testing.assert_allclose(np.load("back.npz")[space].reshape(start[space].shape), start[space], atol=1e-5)
    torch.testing.assert_close(moved[0, 0], projected[0, 1], atol=1e-5, rtol=0)
    there = np.load("there.npz")
    step = there[space].reshape(start[space].shape) - start[space]
    direction = there["directions"][0]
    np.testing.assert_allclose(step / np.linalg.norm(step), np.broadcast_to(direction, step.shape), atol=1e-3)


def test_the_label_of_a_projection_is_kept(runs: Mapping[str, Path], here: Path) -> None:
    latent = np.zeros(4, np.float32)
    for label in (0, 7):
        np.savez(f"{label}.npz", latent=latent, label=np.int64(label))
    zero, seven = (
        sample(runs["conditional"], "mode=edit", f"mode.latent={label}.npz", "mode.amounts=[0]", "mode.count=1")
        for label in (0, 7)
    )
    assert not torch.equal(zero, seven)


STRANGE = {
    "several": ({"latent": np.zeros((2, 4), np.float32)}, "latent is 2 x 4, and this generator takes one of 4"),
    "other": ({"latent": np.zeros(5, np.float32)}, "latent is 5, and this generator takes one of 4"),
    "number": ({"latent": np.zeros((), np.float32)}, "latent is one number"),
    "nan": ({"latent": np.full(4, np.nan, np.float32)}, "that are no places of this generator"),
    "far": ({"latent": np.full(4, 1e30, np.float32)}, "that are no places of this generator"),
    "whole": ({"latent": np.zeros(4, np.int64)}, "holds int64"),
    "objects": ({"latent": np.array([{}] * 4, dtype=object)}, "holds object"),
    "label": ({"latent": np.zeros(4, np.float32), "label": np.int64(3)}, "its label is none of"),
    "labels": ({"latent": np.zeros(4, np.float32), "label": np.zeros(3, np.int64)}, "its label is none of"),
    "w": ({"w": np.zeros(4, np.float32)}, "holds w"),
}


@pytest.mark.parametrize(("content", "message"), STRANGE.values(), ids=STRANGE)
def test_strange_files_are_refused_in_two_lines(
    runs: Mapping[str, Path], here: Path, content: Mapping[str, np.ndarray], message: str
) -> None:
    np.savez("x.npz", **content)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=rf"^mode\.latent=x\.npz.*{message}") as refused:
        sample(runs["plain"], "mode=edit", "mode.latent=x.npz")
    assert len(str(refused.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ((), r"none is named\n  give mode\.image=FILE"),
        (("mode.image=photo.png", "mode.latent=x.npz"), "two are named"),
        (("mode.image=photo.png", "mode.amounts=[]"), "moves nothing"),
        (("mode.image=photo.png", "mode.amounts=[a]"), "mode.amounts"),
        (("mode.image=nowhere.png",), "cannot be read"),
        (("mode.latent=nowhere.npz",), "mode.latent=nowhere.npz cannot be read"),
        (("mode.latent=photo.png",), "mode.latent=photo.png cannot be read"),
        (("mode.image=photo.png", "mode.towards=99", *QUICK), "mode.towards=99: there is no such direction"),
        (("mode.image=photo.png", "out=photo.png"), "photo.png"),
        (("mode.image=photo.png", "out=folder"), "cannot write a folder"),
    ],
)
def test_what_cannot_be_edited(runs: Mapping[str, Path], photo: str, asked: tuple[str, ...], message: str) -> None:
    before = Path(photo).read_bytes()
    with pytest.raises(Refused, match=message):
        sample(runs["plain"], "mode=edit", *asked)
    assert [path.name for path in Path().iterdir()] == ["photo.png"]
    assert Path(photo).read_bytes() == before


def test_points_are_not_edited(here: Path) -> None:
    run = train(*words("dataset=ring", "hydra.run.dir=run")).folder
    with pytest.raises(Refused, match="draws points"):
        sample(run, "mode=edit", "mode.image=x.png")
    with pytest.raises(ConfigError, match="none is named"):
        sample(run, "mode=edit")
