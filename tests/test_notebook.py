"""The notebook runs from the top to the bottom, and shows pictures, a table, bars, and refusals in two lines."""

from __future__ import annotations

import copy
import io
import pickle
import sys
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from PIL import Image

from gan_cli import notebook, pictures
from gan_cli.errors import ConfigError, Interrupted, NotMeasurable, RunFailed
from gan_cli.evaluation.values import Evaluation, Value
from gan_cli.samples import Samples, picture

DOCS = Path(__file__).resolve().parents[1] / "docs"
sys.path.insert(0, str(DOCS))

from exploration import NOTEBOOK, outputs, run  # noqa: E402


def test_the_notebook_runs_from_the_top_to_the_bottom(here: Path) -> None:
    shown = [*outputs(run(here, steps=300))]
    data = [one.get("data", {}) for one in shown]
    assert sum("image/png" in each for each in data) == 9
    tables = [each["text/html"] for each in data if "<table>" in each.get("text/html", "")]
    assert len(tables) == 2
    assert "fd_classifier" in tables[0]
    assert "not measured" in tables[1]
    assert "" in [each.get("text/html") for each in data]  # a bar that is gone
    (refusal,) = [one["traceback"] for one in shown if one.output_type == "error"]
    assert [len(line.splitlines()) for line in refusal] == [2]
    assert refusal[0].startswith("ConfigError: no model named 'dcgn'\n  did you mean dcgan?")


def test_the_notebook_is_kept_with_small_outputs_that_name_no_place() -> None:
    text = NOTEBOOK.read_text()
    kept = nbformat.reads(text, as_version=4)
    nbformat.validate(kept)
    assert len(text) < 300_000
    assert not [word for word in ("/home/", "/root", "/tmp/", "/work/", "Traceback") if word in text]
    code = [cell for cell in kept.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [*range(1, len(code) + 1)]
    assert sum("image/png" in one.get("data", {}) for one in outputs(kept)) == 9


def opened(samples: Samples) -> np.ndarray:
    png = samples._repr_png_()
    assert png is not None
    return np.asarray(Image.open(io.BytesIO(png)))


def test_samples_are_tensors_that_show_as_pictures() -> None:
    plain = 2 * torch.rand(70, 3, 48, 48) - 1
    samples = plain.clone().as_subclass(Samples)
    expected = pictures.grid(pictures.to_uint8(plain[:64])).permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(opened(samples), expected)
    np.testing.assert_array_equal(opened(samples[:64]), expected)
    np.testing.assert_array_equal(opened(samples[0]), opened(samples[:1]))
    sheet = samples[:6].reshape(2, 3, 3, 48, 48).as_subclass(Samples)
    assert opened(sheet).shape == (2 * 50 + 2, 3 * 50 + 2, 3)
    points = torch.randn(9, 2)
    assert opened(points.as_subclass(Samples)).shape == (500, 500, 3)
    for other in (plain.mean(), plain[:0], plain.flatten(1), plain.long(), torch.zeros(5, 7, 8, 8)):
        assert picture(other) is None
        assert other.as_subclass(Samples)._repr_png_() is None


def test_what_is_computed_from_samples_or_saved_is_an_ordinary_tensor() -> None:
    samples = torch.randn(4, 1, 8, 8).as_subclass(Samples)
    for result in (
        samples + 1,
        samples.mean(),
        torch.cat([samples, samples]),
        samples.to(torch.float64),
        samples.clone(),
    ):
        assert type(result) is torch.Tensor
    file = io.BytesIO()
    torch.save({"x": samples}, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True)["x"]
    assert type(loaded) is torch.Tensor
    assert torch.equal(loaded, samples)
    assert torch.equal(pickle.loads(pickle.dumps(samples)), samples)
    copied = copy.deepcopy(samples)
    assert type(copied) is Samples
    copied[0] = 0
    assert samples[0].abs().sum() > 0
    assert repr(samples) == repr(samples.clone())


def test_a_bar_is_an_element_of_the_page_whatever_the_words() -> None:
    assert notebook.bar(0.25, "step <3>") == '<progress value="0.2500"></progress> <code>step &lt;3&gt;</code>'
    assert [notebook.bar(done, "").split('"')[1] for done in (-1, 7)] == ["0.0000", "1.0000"]
    assert not notebook.shown()  # pytest is no kernel


class Rows(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_data(self, data: str) -> None:
        if self.rows:
            self.rows[-1].append(data)


def test_evaluations_show_as_a_table_whatever_the_names() -> None:
    found = Evaluation("<b>run</b>", 3, 0)
    found["fid"] = Value(1.25, 0.5, 10, None, "a <script> & b", "data:test", "pixels", None, None, None)
    found.refused["kid"] = "too <i>few"
    reader = Rows()
    reader.feed(found._repr_html_())
    assert reader.rows[1:] == [
        ["fid", "1.25 ± 0.5", "n=10/unknown", "a <script> & b"],
        ["kid", "not measured", "too <i>few"],
    ]
    assert reader.tags == {"table", "caption", "tr", "th", "td"}


@pytest.mark.parametrize("kind", [ConfigError, NotMeasurable, RunFailed, Interrupted])
def test_a_notebook_shows_the_words_of_an_error_and_its_traceback_where_asked_for(
    kind: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    with pytest.raises(kind) as caught:
        raise kind("what is wrong\n  what to do")
    assert caught.value._render_traceback_() == [f"{kind.__name__}: what is wrong\n  what to do"]  # type: ignore[attr-defined]
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    assert "Traceback" in "".join(caught.value._render_traceback_())  # type: ignore[attr-defined]
