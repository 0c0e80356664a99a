"""Exported pages in a browser: each draws what `gan sample` draws, and its controls move."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from chromium import Page, chromium
from PIL import Image

from conftest import SMALL
from gan_cli import sample, train
from gan_cli.cli import main as gan

SHOTS = Path(__file__).resolve().parents[2] / "build" / "browser"
ENOUGH = 40.0  # dB
LARGEST = 200.0  # dB, for equal pictures
RUNS = {
    "dcgan": (*SMALL["dcgan"], "conditioning=concat"),
    "stylegan2": (*SMALL["stylegan2"], "conditioning=concat"),
    "stylegan": SMALL["stylegan"],
    "uniform": (*SMALL["mlp"], "prior=uniform"),
    "spherical": (*SMALL["mlp"], "prior=spherical"),
    "truncated": (*SMALL["mlp"], "prior=truncated"),
}
# The page's controls, as in its address, and the words of `gan sample` for the same.
CASES: dict[str, Sequence[tuple[str, tuple[str, ...]]]] = {
    "dcgan": [
        ("n=16", ("n=16",)),
        ("seed=7&n=70&class=3&truncation=0.7", ("n=70", "seed=7", "classes=3", "truncation=0.7")),
        ("seed=9007199254740991&n=3", ("n=3", "seed=9007199254740991")),
    ],
    "stylegan2": [("n=16", ("n=16",)), ("seed=1&n=66&truncation=0.5", ("n=66", "seed=1", "truncation=0.5"))],
    "stylegan": [("n=16", ("n=16",))],
    "uniform": [("seed=2&n=16", ("n=16", "seed=2"))],
    "spherical": [("seed=3&n=16", ("n=16", "seed=3"))],
    "truncated": [("seed=4&n=16", ("n=16", "seed=4")), ("n=16&truncation=0.5", ("n=16", "truncation=0.5"))],
}


class Compared(NamedTuple):
    """Two pictures."""

    psnr: float  # in dB
    contrast: float  # standard deviation of the expected picture's values, of 255: a grey one would prove little


def made(name: str, words: Sequence[str], steps: int = 60) -> Path:
    """A run of seconds on digits, with weights that draw something."""
    settings = ("dataset.batch_size=16", f"trainer.max_steps={steps}", "trainer.device=cpu", "optimizer.lr=0.002")
    return train(*words, *settings, "callback=[history,checkpoints]", f"hydra.run.dir={name}").folder


def exported(run: Path) -> Path:
    """The run's page."""
    page = Path(f"{run.name}.html")
    assert gan(["export", str(run), "as=html", f"out={page}"]) == 0
    return page


def picture(page: Page, file: Path, controls: str, width: int = 1280) -> np.ndarray:
    """What the page shows: uint8 `[H, W, 3]`."""
    page.open(file, width=width, at=controls)
    page.until("document.body.dataset.drawn || document.body.dataset.failed")
    assert page.complaints == []
    assert not page.says("document.body.dataset.failed"), page.says("document.getElementById('told').textContent")
    return shown(page)


def shown(page: Page) -> np.ndarray:
    data = page.says("document.getElementById('save').href").partition(",")[2]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def compared(found: np.ndarray, expected: Path) -> Compared:
    wanted = np.asarray(Image.open(expected).convert("RGB")).astype(float)
    if found.shape != wanted.shape:
        return Compared(-math.inf, float(wanted.std()))
    error = float(((found - wanted) ** 2).mean())
    return Compared(min(LARGEST, 10 * math.log10(255**2 / error)) if error else LARGEST, float(wanted.std()))


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with chromium(tmp_path / "profile") as opened:
        yield opened


@pytest.mark.parametrize("name", RUNS)
def test_a_page_draws_what_gan_sample_draws(page: Page, here: Path, name: str) -> None:
    run = made(name, RUNS[name])
    file = exported(run)
    for controls, settings in CASES[name]:
        sample(run, *settings, "device=cpu", "out=expected.png")
        found = compared(picture(page, file, controls), Path("expected.png"))
        assert found.contrast > 10
        assert found.psnr > ENOUGH, (controls, found)
    controls_move(page, file)
    assert {url.partition("#")[0] for url in page.asked_for} == {file.resolve().as_uri()}
    for width, window in ((1280, "desktop"), (390, "phone")):
        picture(page, file, "seed=1", width)
        page.picture(SHOTS / f"page-{name}-{window}.png", whole=True)


def move(page: Page, name: str, value: float) -> None:
    """Moves a control, upon which the page draws again."""
    page.says(
        f"{{ const input = document.getElementById('{name}'); delete document.body.dataset.drawn;"
        f"input.value = {value}; input.dispatchEvent(new Event('input', {{bubbles: true}})) }}"
    )


def controls_move(page: Page, file: Path) -> None:
    """Each slider changes the picture, and reset brings it back."""
    before = picture(page, file, "")
    for name, value in (("between", 0.5), ("direction0", 2), ("seed", 5)):
        move(page, name, value)
        page.until("document.body.dataset.drawn")
        assert not np.array_equal(shown(page), before), name
    page.says("delete document.body.dataset.drawn; document.getElementById('reset').click()")
    page.until("document.body.dataset.drawn")
    assert np.array_equal(shown(page), before)


def test_a_page_draws_again_after_an_error(page: Page, here: Path) -> None:
    before = picture(page, exported(made("uniform", RUNS["uniform"])), "")
    page.says("document.getElementById('picture').toDataURL = () => { throw new Error('no memory') }; true")
    move(page, "seed", 5)
    page.until("document.body.dataset.failed")
    assert page.says("document.getElementById('told').textContent") == "it cannot be drawn: no memory"
    page.says("delete document.getElementById('picture').toDataURL")
    move(page, "seed", 6)
    page.until("document.body.dataset.drawn")
    assert not page.says("document.body.dataset.failed")
    assert not np.array_equal(shown(page), before)
