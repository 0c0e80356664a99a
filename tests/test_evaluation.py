"""gan eval: sources, references, conventions, the table; measuring while training; comparing."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import Inside, checked, same, weights, words
from gan_cli import evaluate, sample, train
from gan_cli.errors import ConfigError, DataError, Incompatible, NotComparable, Refused
from gan_cli.evaluation.values import as_record
from gan_cli.metrics import classifier
from gan_cli.metrics.resize import RESIZES, resize
from gan_cli.references import files
from gan_cli.store.rows import read_rows

PIXELS = ("detector=pixels", "metrics=[fid]")


@pytest.fixture
def stored(here: Path) -> dict[str, str]:
    """The same 30 images in every form, and 40 others as a reference."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (30, 6, 6, 3)).astype(np.uint8)
    np.savez("a.npz", arr_0=images)
    torch.save(torch.from_numpy(images).permute(0, 3, 1, 2), "a.pt")
    (here / "folder" / "sub").mkdir(parents=True)
    with zipfile.ZipFile("a.zip", "w") as archive:
        for i, image in enumerate(images):
            path = here / "folder" / ("sub" if i % 2 else ".") / f"{i:03d}.PNG"
            Image.fromarray(image).save(path, format="PNG")
            archive.write(path, f"x/{i:03d}.png")
    other = rng.integers(0, 200, (40, 6, 6, 3)).astype(np.uint8)
    np.savez("b.npz", arr_0=other)
    flat = other.transpose(0, 3, 1, 2).reshape(40, -1) / 255.0
    np.savez("stats.npz", mu=flat.mean(0), sigma=np.cov(flat, rowvar=False))
    return {"folder": "folder", "zip": "a.zip", "npz": "a.npz", "pt": "a.pt"}


def test_every_form_of_the_same_images_gives_the_same_number(stored: dict[str, str]) -> None:
    found = {form: evaluate(path, *PIXELS, reference="b.npz").fd_pixels.value for form, path in stored.items()}
    assert len(set(found.values())) == 1
    statistics = evaluate("a.npz", *PIXELS, reference="stats.npz").fd_pixels.value
    assert statistics == pytest.approx(found["npz"], rel=1e-5)
    assert abs(evaluate("a.npz", *PIXELS, reference="a.zip").fd_pixels.value) < 1e-6


def test_exactly_n(stored: dict[str, str]) -> None:
    value = evaluate("a.npz", *PIXELS, reference="b.npz", n=20).fd_pixels
    assert (value.n_fake, value.n_real) == (20, 40)
    with pytest.raises(DataError, match=r"a\.npz holds 30 images, and n=31"):
        evaluate("a.npz", *PIXELS, reference="b.npz", n=31)


@pytest.mark.parametrize("size", [1, 7, 30])
def test_batch_size_does_not_matter(stored: dict[str, str], size: int) -> None:
    words = ("detector=pixels", "metrics=[fid,kid,prdc]", "rows=25")
    a = evaluate("a.npz", *words, f"batch_size={size}", reference="b.npz")
    b = evaluate("a.npz", *words, reference="b.npz")
    assert {k: v.value for k, v in a.items()} == {k: v.value for k, v in b.items()}


def test_refusals_are_two_lines(stored: dict[str, str], here: Path) -> None:
    (here / "empty").mkdir()
    (here / "mixed").mkdir()
    Image.new("RGB", (5, 5)).save("mixed/a.png")
    Image.new("RGB", (6, 5)).save("mixed/b.png")
    (here / "deep").mkdir()
    for name in ("a", "b"):
        Image.fromarray(np.full((5, 5), 0.5, np.float32)).save(f"deep/{name}.tif")
    (here / "broken").mkdir()
    (here / "broken" / "a.png").write_bytes(b"no image")
    (here / "broken" / "b.png").write_bytes(b"no image")
    (here / "one").mkdir()
    Image.new("RGB", (5, 5)).save("one/a.png")
    np.savez("floats.npz", arr_0=np.zeros((4, 5, 5, 3)))
    np.savez("other.npz", x=np.zeros(3))
    for source, message in {
        "empty": "holds no images",
        "mixed": "mixes sizes: 5 x 5 and 6 x 5",
        "deep": "holds values from 0.5 to 0.5",
        "broken": "cannot be read",
        "one": "holds 1 images",
        "floats.npz": "uint8",
        "other.npz": "arr_0",
    }.items():
        with pytest.raises(Refused, match=message) as caught:
            evaluate(source, *PIXELS, reference="b.npz")
        assert len(str(caught.value).splitlines()) <= 2
    with pytest.raises(ConfigError, match="against what"):
        evaluate("a.npz", *PIXELS)
    with pytest.raises(ConfigError, match="nothing to compare with"):
        evaluate("a.npz", *PIXELS, reference="nowhere")
    with pytest.raises(ConfigError, match="did you mean cifar10"):
        evaluate("a.npz", *PIXELS, reference="cifar:train")
    np.savez("grey.npz", arr_0=np.zeros((4, 5, 5, 1), np.uint8))
    with pytest.raises(NotComparable, match=r"108 features and grey\.npz has 25"):
        evaluate("a.npz", *PIXELS, reference="grey.npz")


@pytest.fixture
def quickly_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """A classifier that has hardly learned: enough where its answers do not matter."""
    monkeypatch.setattr(classifier, "STEPS", 30)


@pytest.mark.usefixtures("quickly_trained")
def test_a_run_is_measured_against_its_own_data_with_the_classifier(here: Path) -> None:
    found = evaluate(train(*words("dataset.resolution=16")).folder, n=300)
    assert {"fd_classifier", "kid_classifier", "precision_classifier", "modes_classifier"} <= found.keys()
    value = found.fd_classifier
    assert (value.n, value.n_real, value.reference, value.detector) == (300, 1797, "digits:all", "classifier")
    assert value.weights_sha256 is not None
    assert len(value.weights_sha256) == 64
    assert "fid_debiased" in found.refused
    with pytest.raises(AttributeError, match="fid was not measured"):
        _ = found.fid


@pytest.mark.usefixtures("quickly_trained")
def test_a_conditional_run_is_measured_class_by_class(here: Path) -> None:
    run = train(*words("conditioning=concat", "dataset.resolution=16", "hydra.run.dir=run")).folder
    wanted = ["kid_per_class", "cas", "on_demand"]
    found = evaluate(run, "detector=classifier", "metrics.cas.steps=20", metrics=wanted, n=300)
    assert {f"kid_class_{k}_classifier" for k in range(10)} <= found.keys()
    assert 0 <= found.cas_classifier.value <= 1
    # every class is asked for equally often, and after two steps a generator cannot be much better than chance
    assert found.on_demand_classifier.value < 0.5
    assert found.on_demand_classifier.n == 300


def test_another_split_is_another_reference(finished: Path, here: Path) -> None:
    value = evaluate(finished, *PIXELS, reference="digits:test", n=100).fd_pixels
    assert (value.reference, value.n_real) == ("digits:test", 359)


def test_statistics_only_serve_what_needs_no_images(stored: dict[str, str]) -> None:
    found = evaluate("a.npz", "detector=pixels", "metrics=[fid,kid]", reference="stats.npz")
    assert set(found) == {"fd_pixels"}
    assert found.fd_pixels.n_real is None  # the file does not say
    assert "statistics only" in found.refused["kid"]


def test_how_samples_are_drawn_is_part_of_the_number(finished: Path) -> None:
    manners = ((), ("truncation=0.2",), ("ema=false",), ("truncation=0.2", "ema=false"))
    found = [evaluate(finished, *PIXELS, *more, n=50).fd_pixels for more in manners]
    assert found[-1].drawn == "raw generator, truncation 0.2"
    assert len({value.value for value in found}) == len({value.drawn for value in found}) == 4
    with pytest.raises(Incompatible, match="no batch norm"):
        evaluate(finished, *PIXELS, "standing_statistics=2", n=50)


def test_the_file_says_everything(finished: Path, here: Path, gan_here: Inside) -> None:
    before = set((finished / "evals").glob("*.json"))  # of other tests
    done = gan_here("eval", str(finished), "metrics=[fid,kid]", "detector=pixels", "n=100", "json=scores.json")
    assert done.returncode == 0, done.stderr
    record = json.loads((here / "scores.json").read_text())
    assert {"source", "seed", "metrics"} <= record.keys()
    assert record["metrics"]["kid_pixels"]["drawn"] == "averaged generator"
    assert record["metrics"]["kid_pixels"].keys() == {
        "value", "se", "n_fake", "n_real", "convention", "reference", "detector", "weights_sha256", "drawn",
        "reference_content",
    }  # fmt: skip
    assert "fd_pixels" in done.stdout
    assert "n=100/1797" in done.stdout
    (inside,) = set((finished / "evals").glob("*.json")) - before
    assert json.loads(inside.read_text())["metrics"] == record["metrics"]
    assert "references in" in gan_here("eval", "cache").stdout


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nothing can be written there in the block; what modes forbid, root may do, and a mount has to forbid it."""
    if os.getuid() != 0:
        folder.chmod(0o555)
        yield
        folder.chmod(0o755)
        return
    for how in (["--bind", folder], ["-o", "remount,bind,ro"]):
        if subprocess.run(["mount", *how, folder], capture_output=True).returncode:
            pytest.skip("nothing can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_run_that_is_read_only_is_measured_into_a_file(finished: Path, here: Path, gan_here: Inside) -> None:
    shutil.copytree(finished, here / "run", symlinks=True)
    asked = ("eval", "run", "n=20", "detector=pixels", "metrics=[kid]")
    with read_only(here / "run"):
        refused = gan_here(*asked)
        told = gan_here(*asked, "json=x.json")
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert refused.stderr.splitlines() == [
        "gan eval: run is read-only, and no measurement can be kept in it",
        "  json=FILE keeps it elsewhere",
    ]
    assert told.returncode == 0, told.stderr
    assert "read-only" in told.stderr or "permission denied" in told.stderr
    assert "kid" in (here / "x.json").read_text()


def test_points_have_their_own_metrics(here: Path) -> None:
    run = train(*words("dataset=ring")).folder
    found = evaluate(run, n=500)
    assert {"modes_points", "high_quality_points", "mode_kl_points", "w2_points"} <= found.keys()
    with pytest.raises(NotComparable, match="one holds points"):
        evaluate(run, reference="digits:all")


def test_what_cannot_be_measured_is_refused(finished: Path, here: Path, gan_here: Inside) -> None:
    for more, message in (
        ([f"reference={finished}"], "is a run, whose pictures"),
        (["detector=points"], "these are images"),
        (["detector=pixels", "metrics=[modes]"], "modes was not measured"),
    ):
        done = gan_here("eval", str(finished), "n=20", *more)
        assert done.returncode == 2, done
        assert message in done.stderr


def test_points_have_no_picture_of_copies_and_infinity_is_valid_json(here: Path, gan_here: Inside) -> None:
    train(*words("dataset=ring", "hydra.run.dir=run"))
    found = evaluate("run", "metrics=[authentic,point_modes]", "json=x.json", n=20)
    assert 0 <= found.authentic_points.value <= 1
    value = replace(found.mode_kl_points, value=math.inf)
    found["mode_kl_points"] = value
    text = json.dumps(as_record(found), allow_nan=False)
    Path("y.json").write_text(text)
    done = gan_here("compare", "y.json", "y.json")
    assert done.returncode == 0, done.stderr
    assert "inf" in done.stdout


def test_memorisation_leaves_a_picture(finished: Path, here: Path) -> None:
    found = evaluate(finished, "detector=pixels", "metrics=[authentic]", "json=x.json", n=64)
    assert 0 <= found.authentic_pixels.value <= 1
    assert (here / "x-nearest.png").exists()


def test_path_length_of_a_run(finished: Path, here: Path) -> None:
    found = evaluate(finished, "detector=pixels", "metrics=[ppl]", "metrics.ppl.samples=100", n=10)
    assert found.ppl_pixels.value > 0
    assert math.isfinite(found.ppl_pixels.value)


@pytest.mark.parametrize("preset", ["default", "full"])
def test_presets_with_an_available_detector(finished: Path, here: Path, preset: str) -> None:
    found = evaluate(finished, "detector=pixels", f"preset={preset}", n=400)
    assert "fd_pixels" in found


@pytest.mark.parametrize("preset", ["pytorch-fid", "nvidia", "adm", "clean", "stacked-mnist"])
def test_other_presets_say_what_they_lack(
    finished: Path, here: Path, monkeypatch: pytest.MonkeyPatch, preset: str
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(here))
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    with pytest.raises(Refused, match=r"pt_inception-2015-12-05|1000 classes"):
        evaluate(finished, f"preset={preset}", n=20)


MEASURED = ("evaluation.every_steps=2", "evaluation.n=100", "trainer.log_every=1")


def test_measuring_while_training_disturbs_nothing(here: Path) -> None:
    watched = train(*words(*MEASURED, steps=6))
    alone = train(*words(steps=6))
    a, b = weights(watched.folder), weights(alone.folder)
    game = [k for k in a if "/meter/" not in k]
    assert same({k: a[k] for k in game}, {k: b[k] for k in game})
    rows = [r for r in read_rows(watched.folder / "metrics.jsonl") if "kid_pixels_100" in r]
    assert [r["step"] for r in rows] == [2, 4, 6]
    best = json.loads((watched.folder / "result.json").read_text())["best"]
    lowest = min(rows, key=lambda r: r["kid_pixels_100"])
    assert (best["value"], best["step"], best["metric"]) == (lowest["kid_pixels_100"], lowest["step"], "kid_pixels_100")
    assert watched.score == best["value"]
    kept = torch.load(watched.folder / "checkpoints" / "best.pt", weights_only=True)
    assert kept["clock"]["step"] == best["step"]


@pytest.mark.parametrize("metric", ["kid", "fid"])
def test_measurements_resume(here: Path, metric: str) -> None:
    """Bit for bit, with the reference computed in one session and read from a cache in the next, or never cached."""
    Path("file").write_text("")
    measure = (*MEASURED, f"evaluation.metric={metric}")
    whole = train(*words(*measure, f"evaluation.cache={here}/file", steps=6)).folder
    half = train(*words(*measure, f"evaluation.cache={here}/kept", steps=3)).folder
    train(f"resume={half}", "trainer.max_steps=6")

    def measured(folder: Path) -> list[dict[str, float]]:
        rows = read_rows(folder / "metrics.jsonl")
        return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]

    assert measured(whole) == measured(half)
    assert sum(any("_pixels_" in name for name in row) for row in measured(whole)) == 3
    results = [json.loads((f / "result.json").read_text())["best"] for f in (whole, half)]
    assert results[0] == results[1]


def test_patience_ends_a_run_that_gets_no_better(here: Path) -> None:
    result = train(*words("optimizer.lr=0", *MEASURED, "evaluation.patience=2", "trainer.ema_half_life=0", steps=100))
    assert result.step <= 10
    assert result.status == "finished"


def test_fid_while_training_and_its_plot(here: Path) -> None:
    run = train(*words(*MEASURED, "evaluation.metric=fid", "callback=[history,checkpoints,plots]", steps=4)).folder
    assert "fd_pixels_100" in (run / "metrics.jsonl").read_text()
    assert (run / "plots" / "metrics.png").exists()


def test_a_sweep_minimises_the_measurement(gan_here: Inside, here: Path) -> None:
    done = gan_here("train", "-m", *words(*MEASURED, steps=4), "seed=0,1")
    assert done.returncode == 0, done.stderr
    assert len(list(here.glob("outputs/sweeps/*/*/checkpoints/best.pt"))) == 2


def test_samples_saved_as_arrays_measure_like_the_run(finished: Path, here: Path) -> None:
    sample(finished, "n=200", "out=x.npz")
    a = evaluate(finished, *PIXELS, reference="digits:all", n=200).fd_pixels.value
    b = evaluate("x.npz", *PIXELS, "n=200", reference=_stored_digits(here)).fd_pixels.value
    assert a == pytest.approx(b, rel=1e-6)


def test_a_folder_of_grey_samples_measures_like_the_run(finished: Path, here: Path) -> None:
    """One channel where all images are grey, three where one is not."""
    sample(finished, "n=200", "out=grey")
    a = evaluate(finished, *PIXELS, reference="digits:all", n=200).fd_pixels.value
    assert evaluate("grey", *PIXELS, reference="digits:all").fd_pixels.value == pytest.approx(a, rel=1e-6)
    first = next(files.pictures(here / "grey").part(range(200))(200))[0]
    Image.open("grey/00000.png").convert("RGB").save("grey/00000.png")
    assert torch.equal(next(files.pictures(here / "grey").part(range(200))(200))[0], first.expand(-1, 3, -1, -1))


def test_inception_sees_one_grey_channel_as_three_equal_ones() -> None:
    grey = torch.randint(256, (4, 1, 28, 28)).float()
    for matrix in RESIZES.values():
        three = resize(grey.expand(-1, 3, -1, -1), matrix, 299)
        torch.testing.assert_close(resize(grey, matrix, 299).expand(-1, 3, -1, -1), three, rtol=0, atol=1e-4)


def _stored_digits(here: Path) -> str:
    from gan_cli.config import build

    data = build.data(checked(words()))
    np.savez(here / "digits.npz", arr_0=data.quantised(1797).permute(0, 2, 3, 1).numpy())
    return "digits.npz"


def scores(path: str, value: float, se: float | None = 0.1, **facts: object) -> str:
    """An evaluation file with one metric."""
    record = {
        "value": value,
        "se": se,
        "n_fake": 100,
        "n_real": 50,
        "convention": "c",
        "reference": "r",
        "detector": "d",
    }
    Path(path).write_text(json.dumps({"metrics": {"kid": {**record, "weights_sha256": None, **facts}}}))
    return path


def test_compare_calls_a_difference_beyond_two_standard_errors(gan_here: Inside, here: Path) -> None:
    a, near, far = scores("a.json", 1.0), scores("near.json", 1.28), scores("far.json", 1.29)
    bare = scores("bare.json", 5.0, None)
    lines = gan_here("compare", a, near, far, bare).stdout.splitlines()
    row = next(line for line in lines if line.startswith("kid"))
    assert row.index("1.28") < row.index("no difference shown") < row.index("1.29") < row.index("differs")
    assert row.endswith("no error bar")


@pytest.mark.parametrize("fact", ["n_fake", "n_real", "convention", "reference", "detector", "weights_sha256", "drawn"])
def test_compare_refuses_what_was_measured_differently(gan_here: Inside, here: Path, fact: str) -> None:
    done = gan_here("compare", scores("a.json", 1.0), scores("b.json", 1.0, **{fact: "other"}))
    assert done.returncode == 2
    assert "cannot be compared" in done.stderr
    assert fact in done.stderr


def test_compare_knows_other_data_of_the_same_name(gan_here: Inside, here: Path) -> None:
    """One word, `folder:train`, for two folders and for two sizes of one folder."""
    rng = np.random.default_rng(0)
    for root in ("one", "two"):
        Path(root).mkdir()
        for i in range(9):
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(f"{root}/{i}.png")
    seen = {"a": ("one", 8), "b": ("two", 8), "c": ("one", 4), "d": ("one", 8)}
    for name, (root, side) in seen.items():
        train(*words("dataset=folder", f"dataset.root={root}", f"dataset.resolution={side}", f"hydra.run.dir={name}"))
        evaluate(name, *PIXELS, f"json={name}.json", n=20)
    for other in ("b", "c"):
        done = gan_here("compare", "a.json", f"{other}.json")
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 2)
        assert f"fd_pixels of a and {other} cannot be compared: folder:train had other images" in done.stderr
    assert gan_here("compare", "a.json", "d.json").returncode == 0


def test_compare_takes_older_files_at_their_word(gan_here: Inside, here: Path) -> None:
    old, one, two = scores("old.json", 1.0), scores("1.json", 1.0, reference_content="x"), "2.json"
    assert gan_here("compare", old, one).returncode == 0
    assert gan_here("compare", old, one, scores(two, 1.0, reference_content="y")).returncode == 2


def test_compare_takes_the_last_measurement_by_its_own_time(gan_here: Inside, here: Path) -> None:
    """File names hold local time, perhaps of another time zone; records without a time are older."""
    for run in ("a", "b"):
        (here / run / "evals").mkdir(parents=True)
        (here / run / "config.yaml").write_text("seed: 0")

    def said() -> str:
        done = gan_here("compare", "a", "b")
        assert done.returncode == 0, done.stderr
        return next(line for line in done.stdout.splitlines() if line.startswith("kid"))

    scores("b/evals/x.json", 9.0)
    scores("a/evals/2026-03-01_23-00-00.json", 1.0)
    scores("a/evals/2026-03-01_09-00-00.json", 2.0)  # measured later, further west
    os.utime("a/evals/2026-03-01_23-00-00.json", (1000, 1000))
    assert said().startswith("kid  2 ")
    os.utime("a/evals/2026-03-01_09-00-00.json", (10, 10))
    assert said().startswith("kid  1 ")
    for name, value, time in (("c", 3.0, "2020-05-01T10:00:00+02:00"), ("b", 4.0, "2020-05-01T09:00:00+00:00")):
        path = Path(scores(f"a/evals/{name}.json", value))
        path.write_text(json.dumps({**json.loads(path.read_text()), "time": time}))
    assert said().startswith("kid  4 ")  # 9 o'clock in UTC is after 10 in Berlin's summer


STRANGE = (
    b"", b"5", b"[]", b"null", b"\xff\xfe\x00", b"[" * 100_000, b'{"metrics": [1]}', b'{"metrics": {"kid": 1}}',
    b'{"metrics": {"kid": {"value": []}}}', b'{"metrics": {"kid": {"value": "x"}}}',
    b'{"metrics": {"kid": {"value": 1, "se": {}}}}', b'{"metrics": {"kid": {"value": true}}}',
    b'{"metrics": {"kid": {"value": ' + b"9" * 5000 + b"}}}", b'{"metrics": {"kid": {"value": 1' + b"0" * 400 + b"}}}",
    b" " * (2**24 + 1), b'{"metrics": {}}', b'{"metrics": {"kid": {"value": 1}}, "time": 3}',
)  # fmt: skip


def test_compare_says_of_any_bytes_what_they_are(gan_here: Inside, here: Path) -> None:
    for strange in STRANGE:
        Path("x.json").write_bytes(strange)
        done = gan_here("compare", scores("a.json", 1.0), "x.json")
        assert done.returncode == 2, strange[:50]
        assert len(done.stderr.strip().splitlines()) == 2, done.stderr
        assert "Error" not in done.stderr


def test_an_evaluation_records_its_time_in_utc(stored: dict[str, str]) -> None:
    before = datetime.now(UTC)
    record = as_record(evaluate("a.npz", *PIXELS, reference="b.npz"))
    assert before <= datetime.fromisoformat(record["time"]) <= datetime.now(UTC)


def test_compare_gathers_the_seeds_of_a_sweep(gan_here: Inside, here: Path) -> None:
    train_words = words("loss=hinge,lsgan", "seed=0,1,2")
    assert gan_here("train", "-m", *train_words).returncode == 0
    (sweep,) = here.glob("outputs/sweeps/*")
    assert "was not measured yet" in gan_here("compare", str(sweep)).stderr
    values = {"hinge": [1.0, 2.0, 3.0], "lsgan": [5.0, 5.0, 5.0]}
    for job in (p for p in sweep.iterdir() if p.is_dir()):
        overrides = json.loads((job / "manifest.json").read_text())["overrides"]
        loss = next(w for w in overrides if w.startswith("loss=")).split("=")[1]
        seed = int(next(w for w in overrides if w.startswith("seed=")).split("=")[1])
        (job / "evals").mkdir()
        scores(str(job / "evals" / "x.json"), values[loss][seed])
    done = gan_here("compare", str(sweep))
    assert done.returncode == 0, done.stderr
    assert "loss=hinge" in done.stdout
    assert "2 ± 0.58 (3 seeds)" in done.stdout
    assert "5 ± 0 (3 seeds)  differs" in done.stdout


def test_compare_wants_two(gan_here: Inside, here: Path) -> None:
    for arguments in ((), (scores("a.json", 1.0),), ("nowhere", "nowhere"), (scores("x.json", 1), "pyproject.toml")):
        done = gan_here("compare", *arguments)
        assert done.returncode == 2
        assert len(done.stderr.strip().splitlines()) == 2
