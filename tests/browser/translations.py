"""The exported page of a translator in a browser: it draws of a picture what `gan sample source=` draws of it."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from chromium import Page, chromium
from pages import ENOUGH, SHOTS, Compared, compared, exported
from PIL import Image

from conftest import SMALL_TRANSLATORS
from gan_cli import sample, train

CASES = ("rgb", "grey", "small", "clear", "turned")


RUNS = {
    **SMALL_TRANSLATORS,
    "srgan": (*SMALL_TRANSLATORS["srgan"], "dataset.channels=3"),
    "esrgan": (*SMALL_TRANSLATORS["esrgan"], "dataset.channels=3"),
}


def made(name: str, words: Sequence[str], steps: int = 100) -> Path:
    """A run of seconds, with weights that draw something."""
    settings = ("dataset.batch_size=8", f"trainer.max_steps={steps}", "trainer.device=cpu", "optimizer.lr=0.005")
    return train(*words, *settings, "callback=[history,checkpoints]", f"hydra.run.dir={name}").folder


def photo(height: int, width: int) -> np.ndarray:
    """A picture with smooth parts and edges in all its colours, uint8 `[H, W, 3]`."""
    y, x = np.mgrid[0:height, 0:width] / 8
    waves = np.stack([np.sin(x), np.cos(y + x / 2), np.sin(x * y / 9)], -1)
    waves[height // 3 : height // 2, width // 4 : width // 2] = (1, -1, 0.3)
    return np.rint(127.5 * (1 + waves)).astype(np.uint8)


def drawn_from(folder: Path) -> dict[str, Path]:
    """Pictures of every kind that is treated otherwise, by the names of CASES."""
    colours = Image.fromarray(photo(75, 101))
    clear = Image.fromarray(np.concatenate([photo(37, 53), photo(37, 53)[..., :1]], -1))
    tag = Image.Exif()
    tag[0x0112] = 6
    files = {name: folder / f"{name}.png" for name in CASES} | {"turned": folder / "turned.jpg"}
    colours.save(files["rgb"])
    colours.convert("L").save(files["grey"])
    Image.fromarray(photo(5, 3)).save(files["small"])
    clear.save(files["clear"])
    colours.convert("L").save(files["turned"], exif=tag, quality=95)
    return files


def choose(page: Page, file: Path) -> np.ndarray:
    """The user chooses a file; what the page would save of it: uint8 `[H, W, 3]`, laid on white."""
    page.until("document.body.dataset.ready || document.body.dataset.failed")
    page.says("delete document.body.dataset.drawn")
    node = page.send("Runtime.evaluate", expression="document.getElementById('file')")["result"]["objectId"]
    page.send("DOM.setFileInputFiles", files=[str(file.resolve())], objectId=node)
    page.until("document.body.dataset.drawn || document.body.dataset.failed")
    assert not page.says("document.body.dataset.failed"), told(page)
    return saved(page)


def told(page: Page) -> str:
    return str(page.says("document.getElementById('told').textContent"))


def saved(page: Page) -> np.ndarray:
    script = """fetch(document.getElementById('save').href).then((answer) => answer.blob()).then((blob) =>
        new Promise((resolve) => {
            const reader = Object.assign(new FileReader(), { onload: () => resolve(reader.result) });
            reader.readAsDataURL(blob);
        }))"""
    data = page.says(script).partition(",")[2]
    return on_white(Image.open(io.BytesIO(base64.b64decode(data))))


def on_white(image: Image.Image) -> np.ndarray:
    white = Image.new("RGBA", image.size, "white")
    return np.asarray(Image.alpha_composite(white, image.convert("RGBA")).convert("RGB"))


def against_sample(page: Page, run: Path, picture: Path, *settings: str) -> Compared:
    """The page, which is open, against `gan sample` of the same picture."""
    sample(run, f"source={picture}", "device=cpu", "out=expected.png", *settings)
    Image.fromarray(on_white(Image.open("expected.png"))).save("laid.png")
    return compared(choose(page, picture), Path("laid.png"))


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with chromium(tmp_path / "profile") as opened:
        yield opened


@pytest.mark.parametrize("name", RUNS)
def test_a_page_translates_as_gan_sample_does(page: Page, here: Path, name: str) -> None:
    run, files = made(name, RUNS[name]), drawn_from(here)
    file = exported(run)
    page.open(file)
    for picture in CASES:
        found = against_sample(page, run, files[picture])
        assert found.contrast > 3
        assert found.psnr > ENOUGH, (picture, found)
    assert page.complaints == []
    assert {url for url in page.asked_for if url.startswith(("http", "file"))} == {file.resolve().as_uri()}
    for dark in (False, True):
        for width, window in ((1280, "desktop"), (390, "phone")):
            for layout in ("beside", "over"):
                page.open(file, width, dark=dark, at=f"layout={layout}")
                choose(page, files["rgb"])
                shade = "dark" if dark else "light"
                page.picture(SHOTS / f"translate-{name}-{layout}-{window}-{shade}.png", whole=True)


def test_a_large_picture_is_made_smaller_and_the_newest_wish_counts(page: Page, here: Path) -> None:
    Image.fromarray(photo(801, 1200)).save("large.png")
    files = drawn_from(here)
    page.open(exported(made("srgan", RUNS["srgan"])))
    assert choose(page, Path("large.png")).shape == (4 * 342, 4 * 512, 3)
    assert "made smaller from 1200 x 801" in told(page)
    page.says(
        "{ const size = document.getElementById('longest'); size.value = '0'; delete document.body.dataset.drawn;"
        "size.dispatchEvent(new Event('input', {bubbles: true})) }"
    )
    assert choose(page, files["rgb"]).shape == (4 * 75, 4 * 101, 3)
    Path("broken.png").write_bytes(b"\x89PNG")
    node = page.send("Runtime.evaluate", expression="document.getElementById('file')")["result"]["objectId"]
    page.send("DOM.setFileInputFiles", files=[str(Path("broken.png").resolve())], objectId=node)
    page.until("document.getElementById('told').textContent.includes('not a picture')")
    assert page.complaints == []
