"""A page holds what its script needs, and nothing that a stranger's run could run in it; the browser's part is
tests/browser."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from conftest import SMALL_TRANSLATORS, TINY, Inside, words
from gan_cli import train
from gan_cli.errors import DataError, Incompatible, PackageMissing
from gan_cli.export import Exported, from_latents, page, runtime, template
from gan_cli.latent.directions import affine
from gan_cli.priors import Normal, Spherical, Truncated
from gan_cli.runs.restore import Manner, Restored, restore


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labelled") / "run"
    train(*words(f"hydra.run.dir={folder}", "conditioning=concat"))
    return folder


@pytest.fixture
def restored(labelled: Path) -> Restored:
    return restore(str(labelled), Manner(), torch.device("cpu"))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder as `npm pack` leaves it, unpacked."""
    for name, content in {runtime.SCRIPT: b"script", runtime.WASM: b"wasm", runtime.ABOUT: b'{"version": "9"}'}.items():
        path = tmp_path / "package" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path


def embedded(text: str) -> dict[str, bytes]:
    """What a page's script unpacks."""
    found = re.findall(r'<script type="text/plain" id="(\w+)">([^<]*)</script>', text)
    return {name: gzip.decompress(base64.b64decode(held)) for name, held in found}


def facts_of(text: str) -> dict[str, Any]:
    """What a page's script knows."""
    facts: dict[str, Any] = json.loads(re.search(r'id="facts">(.*?)</script>', text)[1])  # type: ignore[index]
    return facts


def test_a_page_is_one_file_that_fetches_nothing(labelled: Path, package: Path, gan_here: Inside, here: Path) -> None:
    done = gan_here("export", str(labelled), "as=html", f"as.runtime={package}", "out=x.html", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["as"], told["written"], told["opset"]) == ("html", ["x.html"], 18)
    assert 0 <= told["largest_difference"] <= 1e-4
    assert sorted(path.name for path in here.iterdir()) == ["package", "x.html"]
    text = Path("x.html").read_text()
    assert not re.search(r"""(src|href)=["'](?!#)""", text)
    assert "default-src 'none'" in text
    unpacked = embedded(text)
    assert (unpacked["runtime"], unpacked["wasm"]) == (b"script", b"wasm")
    facts = facts_of(text)
    assert (facts["classes"], facts["inputs"], facts["latent_dim"]) == (10, ["latent", "label"], 4)

    import onnxruntime

    session = onnxruntime.InferenceSession(unpacked["model"])
    latent = torch.randn(3, 4)
    label = torch.tensor([1, 2, 3])
    (images,) = session.run(None, {"latent": latent.numpy(), "label": label.numpy()})
    generator = restore(str(labelled), Manner(), torch.device("cpu")).generator
    torch.testing.assert_close(torch.from_numpy(images), generator(latent, label), rtol=1e-4, atol=1e-4)


def test_no_text_of_a_run_leaves_its_place() -> None:
    name = "</script><script>alert('x')</script><!-- \u2028 &lt;"
    text = template.in_script({"class_names": [name]})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text)["class_names"] == [name]


def test_a_hostile_folder_name_is_text(labelled: Path, package: Path, here: Path, unconverted: None) -> None:
    hostile = here / "<img src=x onerror=alert(1)>"
    labelled.parent.joinpath("run").rename(hostile)
    try:
        text = page_of(hostile, Manner(), package)
    finally:
        hostile.rename(labelled)
    assert "<img" not in text
    assert "&lt;img src=x" in text


@pytest.fixture(scope="module")
def cycle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cycle") / "run"
    train(*SMALL_TRANSLATORS["cyclegan"], *TINY, "callback=[history,checkpoints]", f"hydra.run.dir={folder}")
    return folder


def page_of(run: Path, manner: Manner, package: Path, **settings: Any) -> str:
    """The page of a run, with other bytes in place of the model."""
    made = page.Page(runtime=str(package), **settings)
    return made.exported(restore(str(run), manner, torch.device("cpu"))).files[".html"].decode()


@pytest.fixture
def unconverted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page.Model, "converted", lambda *_: Exported({".onnx": b"model"}, {}))


@pytest.mark.usefixtures("unconverted")
@pytest.mark.parametrize("back", [False, True])
def test_a_translators_page_knows_how_pictures_are_given_to_it(cycle: Path, package: Path, back: bool) -> None:
    text = page_of(cycle, Manner(back=back), package)
    assert facts_of(text) == {
        "step": 2,
        "direction": "b2a" if back else "a2b",
        "channels": 3,
        "scale": 1,
        "least": 8,
        "levels": None,
        "trained": [16, 16],
    }
    assert embedded(text) == {"model": b"model", "runtime": b"script", "wasm": b"wasm", "example": b""}
    assert not re.search(r"""(src|href)=["'](?!#)""", text)


@pytest.mark.usefixtures("unconverted")
def test_the_example_of_a_page_is_its_pixels_alone(cycle: Path, labelled: Path, package: Path, here: Path) -> None:
    picture = Image.new("RGBA", (5, 4), (200, 0, 0, 0))
    tag = Image.Exif()
    tag[0x010E] = "secret"
    picture.save("secret-name.png", exif=tag)
    text = page_of(cycle, Manner(), package, example="secret-name.png")
    held = embedded(text)["example"]
    image = Image.open(io.BytesIO(held))
    assert (image.size, image.mode, image.getextrema()) == ((5, 4), "RGB", ((255, 255),) * 3)
    assert b"secret" not in held
    assert "secret" not in text
    with pytest.raises(Incompatible, match=r"draws from latents, and is given no pictures\n  leave it out"):
        page_of(labelled, Manner(), package, example="secret-name.png")
    for path in ("nowhere.png", str(cycle)):
        with pytest.raises(DataError, match=r"cannot be read: .*\n  name another picture"):
            page.Page(runtime=str(package), example=path).check()


def test_directions_are_one_standard_deviation_long(restored: Restored) -> None:
    """Of N(0, I) along any direction that is 1; and the first of them changes the first layer most."""
    ways = from_latents.directions(restored.game.prior, restored, 3)
    assert ways.norm(dim=1).tolist() == pytest.approx([1, 1, 1], abs=0.1)
    changes = (affine(restored.generator, 4) @ (ways / ways.norm(dim=1, keepdim=True)).T).norm(dim=0)
    assert changes.tolist() == sorted(changes.tolist(), reverse=True)


def test_truncation_is_offered_where_there_are_tails_or_styles(restored: Restored) -> None:
    plain = restored.generator
    assert from_latents.slider(Normal(4), plain) == {"min": 0.05, "max": from_latents.FARTHEST}
    assert from_latents.slider(Truncated(4, 2.0), plain)["max"] == 2.0  # type: ignore[index]
    assert from_latents.slider(Spherical(4), plain) is None


def test_what_a_page_cannot_draw_is_refused(restored: Restored) -> None:
    class Own(Normal):
        pass

    restored.game.prior = Own(4)
    with pytest.raises(ValueError, match=r"and this is Own\n  use as=onnx"):
        from_latents.check(restored)


@pytest.mark.parametrize("inside", ["", "package"])
def test_the_runtime_of_a_folder(package: Path, inside: str) -> None:
    assert runtime.found(str(package / inside)) == (b"script", b"wasm", "9")


def test_the_runtime_of_a_folder_that_has_none(tmp_path: Path) -> None:
    with pytest.raises(PackageMissing, match=r"no onnxruntime-web in it.*\n  npm pack"):
        runtime.check(str(tmp_path))


def test_without_npm_the_way_is_said(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_CACHE", str(here / "cache"))
    monkeypatch.setenv("PATH", str(here))
    for ask in (runtime.check, runtime.found):
        with pytest.raises(PackageMissing, match=r"neither it nor npm is here\n  where there is npm: npm pack"):
            ask(None)


def test_packages_are_looked_for_without_a_trace_in_the_home_folder(here: Path) -> None:
    """onnxruntime keeps a number of this machine there, unless it is told not to."""
    looked = "from gan_cli.export import convert; convert.check_packages()"
    environment = {**os.environ, "HOME": str(here), "GAN_CACHE": str(here)}
    subprocess.run([sys.executable, "-c", looked], env=environment, check=True)
    assert list(here.iterdir()) == []


def test_npm_is_asked_once(package: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a stand-in for npm, which packs the folder; what it said where it fails."""
    monkeypatch.setenv("GAN_CACHE", str(here / "cache"))
    with tarfile.open(here / "packed", "w:gz") as archive:
        archive.add(package / "package", "package")
    npm = here / "npm"
    npm.write_text(f"#!/bin/sh\necho once >> {here}/asked\n/bin/cp {here}/packed onnxruntime-web.tgz\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(here))
    assert runtime.found(None) == runtime.found(None) == (b"script", b"wasm", "9")
    assert (here / "asked").read_text() == "once\n"
    (here / "cache" / "onnxruntime-web" / f"{runtime.VERSION}.tgz").write_bytes(b"damaged")
    with pytest.raises(PackageMissing, match="remove it"):
        runtime.found(None)
    (here / "cache" / "onnxruntime-web" / f"{runtime.VERSION}.tgz").unlink()
    npm.write_text("#!/bin/sh\necho no network >&2\nexit 1\n")
    with pytest.raises(PackageMissing, match="could not fetch onnxruntime-web: no network"):
        runtime.found(None)
