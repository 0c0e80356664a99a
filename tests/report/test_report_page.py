"""gan report: one file that shows what runs left, runs nothing of theirs, fetches nothing, and stays small."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from conftest import Inside, save
from gan_cli.report.charts import Chart, Line, Stroke, document
from gan_cli.report.curves import Curve
from gan_cli.store.removal import own_folder
from gan_cli.store.run import Run
from strangers import NASTY, run_folder

ENCODED = {"float64": np.float64, "int64": np.int64, "int32": np.int32}


class Parsed(HTMLParser):
    """The elements of a page, with their attributes and the text in each."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.open: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), []))
        if tag not in ("meta", "img", "input", "br"):
            self.open.append(self.elements[-1])

    def handle_endtag(self, tag: str) -> None:
        while self.open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        for _, _, text in self.open[-1:]:
            text.append(data)

    def texts(self, tag: str, **attributes: str) -> list[str]:
        return [
            "".join(text)
            for name, found, text in self.elements
            if name == tag and attributes.items() <= {**found}.items()
        ]


def check(page: bytes) -> Parsed:
    """Only scripts of ours run, whatever the page shows; nothing is fetched."""
    parsed = Parsed(page)
    (policy,) = [
        a["content"] or "" for tag, a, _ in parsed.elements if a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    allowed = policy.partition("script-src ")[2].partition(";")[0]
    assert "unsafe-inline" not in allowed
    running = ["".join(text) for tag, a, text in parsed.elements if tag == "script" and "type" not in a]
    for script in running:
        assert f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in allowed
    assert len(running) == len(allowed.split())
    for tag, attributes, _ in parsed.elements:
        assert tag in ALL_TAGS
        assert not [name for name in attributes if name.startswith("on")]
        assert (attributes.get("src") or "data:image/").startswith("data:image/")
        assert (attributes.get("href") or "#").startswith("#")
    return parsed


ALL_TAGS = {
    *("html", "head", "meta", "title", "style", "script", "body", "header", "main", "nav", "section", "h1", "h2", "h3"),
    *("a", "p", "pre", "br", "strong", "span", "div", "ul", "li", "dl", "dt", "dd", "table", "tr", "th", "td"),
    *("label", "input", "button", "output", "figure", "img", "figcaption", "details", "summary"),
}


def arrays(node: object) -> list[np.ndarray]:
    """The arrays in Bokeh's JSON."""
    if isinstance(node, dict) and node.get("type") == "ndarray":
        packed = base64.b64decode(node["array"]["data"])
        return [np.frombuffer(gzip.decompress(packed), ENCODED[node["dtype"]])]
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [found for each in inner for found in arrays(each)]


def test_numbers_arrive_as_they_are_in_the_file(finished: Path, gan_here: Inside, here: Path) -> None:
    done = gan_here("report", str(finished), "out=r.html")
    page = (here / "r.html").read_bytes()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"report: r.html ({len(page) / 1e6:.3g} MB)\n"
    parsed = check(page)
    (drawn,) = parsed.texts("script", id="charts")
    inside = {tuple(array) for array in arrays(json.loads(drawn)["document"])}
    rows = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    for name in ("D(real)", "generator/loss"):
        assert tuple(row[name] for row in rows if name in row) in inside
        assert name in " ".join(parsed.texts("label"))
    steps = json.loads(*parsed.texts("script", id="steps"))
    grids = [a for tag, a, _ in parsed.elements if tag == "img"]
    assert steps == [0, 4]
    assert [a.get("data-step") for a in grids] == ["0", "4", None]
    assert f"gan train repeat={finished}" in parsed.texts("pre")


@pytest.mark.parametrize("words", [("run",), ("run", "other"), ("sweep",)], ids=" ".join)
def test_nothing_of_a_stranger_s_becomes_a_script(words: tuple[str, ...], gan_here: Inside, here: Path) -> None:
    run_folder(here / "run", NASTY)
    run_folder(here / "other", NASTY + "2")
    run_folder(here / "sweep" / "0", NASTY)
    failure = {"job": NASTY, "words": [NASTY, 3], "error": NASTY, "code": 1}
    (here / "sweep" / "failures.jsonl").write_text(json.dumps(failure) + "\n[]\nx\n")
    done = gan_here("report", *words, "out=r.html")
    assert done.returncode == 0, done.stderr
    parsed = check((here / "r.html").read_bytes())
    text = " ".join("".join(text) for tag, _, text in parsed.elements if tag not in ("script", "style"))
    assert text.count("</script><script>alert(1)") > 8  # shown as what it is
    assert "{{7*7}}" in text
    assert not {*"\x1b\u202e"} & {*text}


def test_a_run_by_itself_shows_its_evaluations_alarms_and_settings(gan_here: Inside, here: Path) -> None:
    run = run_folder(here / "run")
    assert gan_here("report", "run").stdout.startswith("report: run/report.html (1.")
    parsed = check((run / "report.html").read_bytes())
    cells = parsed.texts("td")
    assert "0.125 ± 0.5" in cells
    assert "nan" in cells
    assert "b.json cannot be read" in " ".join(parsed.texts("p", **{"class": "bad"}))
    assert any("step 2" in text for text in parsed.texts("strong"))
    assert '"max_steps": 9' in "".join(parsed.texts("pre"))
    assert gan_here("report", "run").returncode == 0  # again, over the earlier one
    assert own_folder(str(run)) == Path(str(run))  # still a run that can be removed


def test_runs_side_by_side(gan_here: Inside, here: Path) -> None:
    for name, value in (("a", 1.0), ("b", 1.2), ("c", 5.0)):
        folder = run_folder(here / name, rows=4)
        record = {"metrics": {"fid": {"value": value, "se": 0.2, "n_fake": 10}}}
        (folder / "evals" / "a.json").write_text(json.dumps(record))
        (folder / "config.yaml").write_text(json.dumps({"seed": 0, "lr": value, "name": "x"}))
        manifest = {"command": "gan train", "versions": {}, "overrides": [f"lr={value}", "x=1"]}
        (folder / "manifest.json").write_text(json.dumps(manifest))
    gan_here("report", "a", "b", "c")
    parsed = check((here / "report.html").read_bytes())
    cells = parsed.texts("td")
    assert {"1 ± 0.2", "1.2 ± 0.2", "5 ± 0.2"} <= {cell.strip() for cell in cells}
    verdicts = [text for text in parsed.texts("span", **{"class": "quiet"}) if "differ" in text]
    assert verdicts == ["no difference shown", "differs"]
    headings = [text.strip() for text in parsed.texts("th")]
    assert {"A: #1 lr=1.0", "B: #2 lr=1.2", "C: #3 lr=5.0", "lr"} <= {*headings}
    assert "seed" not in headings  # the same in all of them
    lines = {a["data-line"] for tag, a, _ in parsed.elements if tag == "input" and "data-line" in a}
    assert lines == {"run 0", "run 1", "run 2"}


def test_repetitions_of_a_sweep_s_job_form_one_column(gan_here: Inside, here: Path) -> None:
    for job, (loss, seed, value) in enumerate((("hinge", 0, 1.0), ("hinge", 1, 2.0), ("lsgan", 0, 4.0))):
        folder = run_folder(here / "sweep" / str(job))
        (folder / "evals" / "a.json").write_text(json.dumps({"metrics": {"fid": {"value": value}}}))
        words = [f"loss={loss}", f"seed={seed}"]
        (folder / "manifest.json").write_text(json.dumps({"command": "", "versions": {}, "overrides": words}))
    shutil.rmtree(here / "sweep" / "2" / "evals")
    gan_here("report", "sweep")
    parsed = check((here / "sweep" / "report.html").read_bytes())
    assert "A: #1 #2 loss=hinge" in parsed.texts("th")
    assert "1.5 ± 0.5 (2 seeds)" in [cell.strip() for cell in parsed.texts("td")]


def test_little_is_needed(gan_here: Inside, here: Path) -> None:
    (here / "run").mkdir()
    (here / "run" / "config.yaml").write_text("seed: 0\n")
    assert gan_here("report", "run").returncode == 0
    text = (here / "run" / "report.html").read_text()
    check(text.encode())
    assert len(text) < 30_000  # without curves, no library to draw them
    (here / "run" / "metrics.jsonl").write_text('{"step": 1, "D(real)": null}\n{"step": 2, "alarm/x_y": 1}\n{"step"')
    assert gan_here("report", "run").returncode == 0
    assert "x y" in "".join(check((here / "run" / "report.html").read_bytes()).texts("li"))


def test_a_long_run_makes_a_small_page(gan_here: Inside, here: Path) -> None:
    run = run_folder(here / "run", rows=1)
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(4000, 70))
    lines = [json.dumps({"step": i, **{f"player/{k}": x for k, x in enumerate(row)}}) for i, row in enumerate(rows)]
    (run / "metrics.jsonl").write_text("\n".join(lines))
    noise = draw.integers(0, 256, (160, 160, 3)).astype(np.uint8)
    for i in range(200):
        save(run / "samples" / f"step-{i:09d}.png", noise)
    assert gan_here("report", "run").returncode == 0
    page = (run / "report.html").read_bytes()
    assert len(page) < 8_000_000
    parsed = check(page)
    assert "48 of 200 grids" in "".join(parsed.texts("figcaption"))
    (drawn,) = parsed.texts("script", id="charts")
    assert max(len(array) for array in arrays(json.loads(drawn)["document"])) <= 2000


def test_a_curve_and_its_error_bars_are_encoded_whole() -> None:
    x, y, error = np.array([0.0, 1, 5]), np.array([1.0, np.nan, -1e300]), np.array([0.5, 1, np.nan])
    chart = Chart("fid", (Line("k", "fid", Curve(x, y), Stroke.of(0), error),))
    told = json.loads(json.dumps(document([chart]), allow_nan=False))
    assert [*told["places"].values()] == ["chart-0"]
    inside = arrays(told["document"])
    for expected in (x, y, y - error, y + error):
        assert any(np.array_equal(expected, found, equal_nan=True) for found in inside)


def test_endless_names_do_not_make_an_endless_page(gan_here: Inside, here: Path) -> None:
    run_folder(here / "run", "x" * 200_000)
    assert gan_here("report", "run").returncode == 0
    assert len((here / "run" / "report.html").read_bytes()) < 1_700_000
    assert gan_here("report", "run", "run/../run", "out=r.html").returncode == 0
    assert len((here / "r.html").read_bytes()) < 1_700_000


def test_lines_can_be_told_apart() -> None:
    assert len({Stroke.of(i) for i in range(24)}) == 24


def test_what_cannot_be_reported_is_refused(
    gan_here: Inside, here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run_folder(here / "run")
    (here / "empty").mkdir()
    other = tmp_path_factory.mktemp("other") / "mine"
    other.write_text("mine")
    (here / "run" / "report.html").symlink_to(other)
    cases = {
        (): "which run?",
        ("nowhere",): "nowhere is not a folder",
        ("empty",): "empty holds no run",
        ("run",): "leads out of the run's folder",
        ("x" * 5000,): "is not a folder",
        ("run", "ouf=x"): "did you mean out=?",
    }
    for words, expected in cases.items():
        done = gan_here("report", *words)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 2), done.stderr
        assert expected in done.stderr
    (here / "run" / "report.html").unlink()
    (here / "run" / "report.html").write_text("mine")
    assert "is not a report of gan's" in gan_here("report", "run").stderr
    assert "which is an input" in gan_here("report", "run", "out=run/config.yaml").stderr
    assert gan_here("report", "run", "out=/dev/full").stderr.splitlines()[1] == "  no space left on device"
    monkeypatch.setitem(sys.modules, "bokeh.resources", None)
    done = gan_here("report", "run", "out=x.html")
    assert done.stderr.splitlines()[1] == "  pip install 'gan-cli[report]'"
    assert other.read_text() == (here / "run" / "report.html").read_text() == "mine"
    assert sorted(path.name for path in here.iterdir()) == ["empty", "run"]


def test_it_reads_files_only(finished: Path, here: Path) -> None:
    """Neither torch nor Hydra is imported, and a run that is being read is not changed."""
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    code = (
        "import sys; from gan_cli.cli import main; code = main(sys.argv[1:]); "
        "sys.exit(code or bool({'torch', 'hydra', 'matplotlib'} & {*sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "report", str(finished), "out=-"], capture_output=True, cwd=here, timeout=60
    )
    assert done.returncode == 0, done.stderr
    check(done.stdout)
    assert done.stderr.startswith(b"report: - (")
    assert before == {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    assert Run(finished).report.exists() is False
