"""The page of gan report in a browser: it draws, zooms and slides, light, dark and on a phone, and fetches nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Page, chromium

from conftest import TINY, Inside
from gan_cli import evaluate, train
from strangers import NASTY, run_folder

SHOTS = Path(__file__).resolve().parents[2] / "build" / "browser"
DRAWN = "'drawn' in document.documentElement.dataset"
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
PLACE = """(i => {
  const r = document.querySelector(`#chart-${i}`).getBoundingClientRect();
  return [r.x, r.y, r.width, r.height];
})"""
SHOWN = "[...document.querySelectorAll('[data-film] img')].filter(i => !i.hidden).map(i => i.dataset.step).join()"


@pytest.fixture
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    profile = tmp_path_factory.mktemp("profile")
    with chromium(profile) as opened:
        yield opened
    shutil.rmtree(profile, ignore_errors=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with grids, measurements while training, and two evaluations."""
    run = tmp_path_factory.mktemp("trained") / "digits"
    watched = ("evaluation.every_steps=20", "evaluation.n=200", "evaluation.metric=kid")
    pixels = "evaluation.detector._target_=gan_cli.metrics.detectors.Pixels"
    model = ("model=dcgan", "model.width=8", "callback.samples.every_steps=20", "callback.health.every_steps=10")
    train(*model, *watched, pixels, *TINY, "trainer.max_steps=100", f"hydra.run.dir={run}")
    for checkpoint, step in (("last.pt", 100), ("last.pt", 40)):
        found = evaluate(run / "checkpoints" / checkpoint, "detector=pixels", "n=300", "metrics=[kid]", f"seed={step}")
        value = {name: {"value": v.value * 100 / step, "se": v.se} for name, v in found.items()}
        (run / "evals").mkdir(exist_ok=True)
        (run / "evals" / f"{step}.json").write_text(json.dumps({"step": step, "metrics": value}))
    return run


def check(page: Page, file: Path) -> None:
    """Nothing went wrong, nothing was forbidden, and nothing but the file itself was asked for."""
    assert page.complaints == []
    assert {*page.asked_for} == {file.resolve().as_uri()}


def test_a_run(page: Page, trained: Path, gan_here: Inside, here: Path) -> None:
    assert gan_here("report", str(trained), "out=r.html").returncode == 0
    page.open(here / "r.html")
    page.until(DRAWN)
    page.picture(SHOTS / "report-light.png", whole=True)
    assert page.says(OVERFLOW) == 0

    first = page.says(SHOWN)
    page.says("document.querySelector('[data-by=\"-1\"]').click()")
    second = page.says(SHOWN)
    page.says("{ const s = document.getElementById('step'); s.value = 0; s.dispatchEvent(new Event('input')) }")
    assert (first, second, page.says(SHOWN)) == ("100", "80", "0")
    page.says("document.getElementById('samples').scrollIntoView()")
    page.picture(SHOTS / "report-slider.png")

    page.says("document.querySelector('#curves').scrollIntoView()")
    x, y, width, height = page.says(f"{PLACE}(2)")
    page.drag((x + 0.4 * width, y + 0.3 * height), (x + 0.7 * width, y + 0.7 * height))
    page.until("Bokeh.documents[0].roots()[2].x_range.end < 90")
    ends = page.says("Bokeh.documents[0].roots().slice(1).map(f => f.x_range.end)")
    assert len({*ends}) == 1  # they zoom together
    page.picture(SHOTS / "report-zoom.png")

    page.says("document.querySelector('[data-line]').click()")
    seen = "Bokeh.documents[0].roots().flatMap(f => f.renderers).filter(r => !r.visible).length"
    assert page.says(seen) > 0
    check(page, here / "r.html")


def test_a_run_in_the_dark(page: Page, trained: Path, gan_here: Inside, here: Path) -> None:
    gan_here("report", str(trained), "out=r.html")
    page.open(here / "r.html", dark=True)
    page.until(DRAWN)
    page.picture(SHOTS / "report-dark.png", whole=True)
    axis = "Bokeh.documents[0].roots()[0].below[0].major_label_text_color"
    dark = page.says(axis)
    paper = page.says("getComputedStyle(document.body).backgroundColor")
    page.says("document.getElementById('theme').click()")
    assert page.says("getComputedStyle(document.body).backgroundColor") != paper
    assert page.says(axis) != dark
    page.picture(SHOTS / "report-switched.png")
    check(page, here / "r.html")


def test_a_run_on_a_phone(page: Page, trained: Path, gan_here: Inside, here: Path) -> None:
    gan_here("report", str(trained), "out=r.html")
    page.open(here / "r.html", width=390, height=844)
    page.until(DRAWN)
    page.picture(SHOTS / "report-phone.png", whole=True)
    assert page.says(OVERFLOW) == 0
    assert page.says("Bokeh.documents[0].roots().every(f => f.toolbar.gestures.pan.active === null)")
    check(page, here / "r.html")


def test_several_runs(page: Page, trained: Path, gan_here: Inside, here: Path) -> None:
    train(*TINY, "model=mlp", "trainer.max_steps=30", "evaluation.n=200", f"hydra.run.dir={here / 'other'}")
    gan_here("report", str(trained), "other", "out=r.html")
    page.open(here / "r.html")
    page.until(DRAWN)
    page.picture(SHOTS / "report-two.png", whole=True)
    assert page.says(OVERFLOW) == 0
    page.says("document.querySelector('[data-line=\"run 1\"]').click()")
    assert page.says("Bokeh.documents[0].roots().some(f => f.renderers.some(r => !r.visible))")
    check(page, here / "r.html")


@pytest.mark.parametrize("words", [("run",), ("run", "other")], ids=" ".join)
def test_nothing_of_a_stranger_s_runs(page: Page, words: tuple[str, ...], gan_here: Inside, here: Path) -> None:
    for name in ("run", "other"):
        run_folder(here / name, NASTY)
    gan_here("report", *words, "out=r.html")
    page.open(here / "r.html")
    page.until(DRAWN)
    page.says("document.querySelector('#curves').scrollIntoView()")
    charts = page.says("document.querySelectorAll('.plot').length")
    inside = "[...document.querySelectorAll('.plot *')].flatMap(e => [...(e.shadowRoot?.querySelectorAll('*') ?? [])])"
    for i in range(charts):  # every point is pointed at
        x, y, width, height = page.says(f"document.querySelector('#chart-{i}').scrollIntoView(), {PLACE}({i})")
        for across in range(0, 100, 4):
            page.move(x + width * across / 100, y + height * (1 - across / 100))
    page.picture(SHOTS / f"report-stranger-{len(words)}.png", whole=True)
    assert page.says("document.querySelectorAll('script').length") == 5
    assert page.says("[...document.images].every(i => i.src.startsWith('data:image/'))")
    assert page.says(f"{inside}.length") > 0
    assert page.says(f"{inside}.filter(e => ['IMG', 'SCRIPT'].includes(e.tagName)).length") == 0
    check(page, here / "r.html")
