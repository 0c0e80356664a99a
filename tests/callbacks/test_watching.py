"""Measuring while training: the numbers of `gan eval`, any value that improves in one direction, and what is best."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from conftest import CONF, Inside, checked, same, save, weights, words
from gan_cli import evaluate, train
from gan_cli.config import build, compose, saved
from gan_cli.errors import ConfigError
from gan_cli.metrics import Better, classifier
from gan_cli.metrics.detectors import Pixels
from gan_cli.metrics.frechet import Frechet
from gan_cli.metrics.kernel import Kernel
from gan_cli.metrics.measure import Plan, SampleSet, reference_features
from gan_cli.store.rows import read_rows

EACH = ("evaluation.every_steps=1", "evaluation.n=100", "trainer.log_every=1")
EVAL = frozenset({"rows", "logits", "groups"})  # of `gan eval`'s usual metrics
RESTLESS = ("trainer.ema_half_life=0", "optimizer.lr=0.05")
CLASSIFIER = "gan_cli.metrics.classifier.Classifier"
LEARNED = (f"evaluation.detector._target_={CLASSIFIER}",)
POINTS = ("dataset=ring", "evaluation.detector._target_=gan_cli.metrics.detectors.Coordinates")


def measured(folder: Path, name: str) -> dict[float, float]:
    """Step -> value."""
    return {row["step"]: row[name] for row in read_rows(folder / "metrics.jsonl") if name in row}


@pytest.mark.parametrize(("metric", "name"), [("kid", "kid_pixels"), ("fid", "fd_pixels"), ("recall", "recall_pixels")])
def test_what_is_watched_is_what_gan_eval_measures(here: Path, metric: str, name: str) -> None:
    """Of all real images and as many samples, the same bits."""
    run = train(*words("evaluation.every_steps=2", "evaluation.n=2000", f"evaluation.metric={metric}")).folder
    family = "prdc" if metric == "recall" else metric
    found = evaluate(run, "detector=pixels", f"metrics=[{family}]", "n=2000")
    assert measured(run, f"{name}_2000") == {2: found[name].value}


HELD_OUT = ("dataset.split=train", "evaluation.reference=digits:test")


def test_measurements_may_be_of_held_out_data(here: Path) -> None:
    """The bits of `gan eval reference=digits:test`; the best is the best there; weights are those of a run without."""
    asked = (*HELD_OUT, "evaluation.every_steps=2", "evaluation.n=400", "trainer.log_every=1", *RESTLESS)
    run = train(*words(*asked, steps=8)).folder
    values = measured(run, "kid_pixels_digits_test_400")
    assert [*values] == [2, 4, 6, 8]
    found = evaluate(run, "detector=pixels", "metrics=[kid]", "n=400", reference="digits:test").kid_pixels
    assert (values[8], found.n_real) == (found.value, 350)
    best = json.loads((run / "result.json").read_text())["best"]
    step = min(values, key=lambda at: (values[at], at))
    assert (best["reference"], best["step"], best["value"]) == ("digits:test", step, values[step])
    assert torch.load(run / "checkpoints" / "best.pt", weights_only=True)["clock"]["step"] == step
    assert same(weights(run), weights(train(*words(*asked, "evaluation.every_steps=null", steps=8)).folder))


def test_the_reference_may_be_files(here: Path) -> None:
    """A folder, fitted as the data were; arrays; statistics: each gives what `gan eval` gives."""
    data = build.data(checked(words("dataset.split=test", "dataset.resolution=8")))
    images = data.quantised(100)
    for i, image in enumerate(images):
        save(here / "photos" / f"{i:03}.png", image[0].numpy())
    large = images.repeat_interleave(2, -1).repeat_interleave(2, -2)
    np.savez("a.npz", arr_0=large.permute(0, 2, 3, 1).numpy())
    flat = large.flatten(1).double().numpy() / 255
    np.savez("s.npz", mu=flat.mean(0), sigma=np.cov(flat, rowvar=False), n=100)
    for word, name in (("photos", "photos"), ("./a.npz", "a.npz"), ("s.npz", "s.npz")):
        asked = (*EACH, "dataset.resolution=16", "evaluation.metric=fid", f"evaluation.reference={word}")
        run = train(*words(*asked)).folder
        found = evaluate(run, "detector=pixels", "metrics=[fid]", "n=100", reference=word).fd_pixels
        assert measured(run, f"fd_pixels_{name}_100")[2] == pytest.approx(found.value, rel=1e-9)


@pytest.mark.parametrize(("word", "kept"), [("digits:test", "digits:test"), ("/home/a/photos", None), ("s.npz", None)])
def test_files_that_a_stranger_s_config_compares_with_are_not_read(word: str, kept: str | None) -> None:
    """A split of a data set is the same everywhere; a path is of this machine only if the config is."""
    config = compose.compose("train", words(f"evaluation.reference={word}")).config
    assert saved.at_home(config, b"of another machine")["evaluation"]["reference"] == kept


def test_a_run_that_goes_on_compares_with_the_same_files_from_any_folder(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez("a.npz", arr_0=np.random.default_rng(0).integers(0, 255, (30, 16, 16, 1), np.uint8))
    run = train(*words(*EACH, "dataset.resolution=16", "evaluation.reference=a.npz", "hydra.run.dir=run")).folder
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    train(f"resume={here / run}", "trainer.max_steps=4")
    assert [*measured(here / run, "kid_pixels_a.npz_100")] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("evaluation.reference=nowhere",), "evaluation.reference=nowhere is nothing to compare with"),
        (("evaluation.reference=digits",), "evaluation.reference=digits is nothing to compare with"),
        (("evaluation.reference=digits:tset",), "evaluation.reference=digits:tset: dataset.split=tset is unknown"),
        (("evaluation.reference=digit:test",), "evaluation.reference=digit:test: "),
        (("evaluation.reference=folder:test",), "evaluation.reference=folder:test does not say where its pictures are"),
        (
            ("evaluation.reference=cifar10:test", "dataset.root=no", "dataset.download=false"),
            "reference=cifar10:test: no",
        ),
        (("evaluation.reference=.",), "holds no images: there are 2 .npz files"),
        (("evaluation.reference=a.npz",), "a.npz holds images of 1 x 4 x 4, and the data 1 x 16 x 16"),
        (("evaluation.reference=s.npz",), "holds statistics only, and kid needs images"),
        (("evaluation.reference=s.npz", "evaluation.metric=fid"), "has 4 features, and evaluation.detector gives 256"),
        (("evaluation.reference=a.npz", "evaluation.metric=precision"), "a.npz has 5"),
        ((*POINTS, "evaluation.reference=digits:test"), "cannot be compared: one holds points"),
        (("evaluation.metric=psnr",), "psnr cannot be watched: it is of pictures drawn from"),
    ],
)
def test_references_that_cannot_be_are_refused_in_two_lines(
    gan_here: Inside, monkeypatch: pytest.MonkeyPatch, asked: tuple[str, ...], message: str
) -> None:
    monkeypatch.setenv("GAN_DATA", "none")
    side = 16 if "evaluation.metric=precision" in asked else 4
    np.savez("a.npz", arr_0=np.zeros((5, side, side, 1), np.uint8))
    np.savez("s.npz", mu=np.zeros(4), sigma=np.eye(4))
    told = gan_here("train", *words(*EACH, *asked))
    assert told.returncode == 2
    assert message in told.stderr
    assert len(told.stderr.splitlines()) == 2
    assert not Path("outputs").exists()


TRANSLATOR = ("given=outline", "dataset=digits", "dataset.resolution=32", "model=pix2pix", "model.width=2")


@pytest.mark.parametrize("reference", [(), HELD_OUT])
def test_pairs_are_watched_as_gan_eval_measures_them(here: Path, reference: tuple[str, ...]) -> None:
    asked = ("model.discriminator.layers=1", "evaluation.every_steps=1", "evaluation.n=12", "evaluation.metric=ssim")
    split = "dataset.split=test"  # what `gan eval` draws from
    run = train(*words(*TRANSLATOR, *asked, *(reference or (split,)), "trainer.log_every=1", model=())).folder
    found = evaluate(run, "metrics=[fidelity]", "n=12").ssim.value
    values = measured(run, "ssim_digits_test_12" if reference else "ssim_12")
    assert [*values] == [1, 2]
    assert values[2] == found
    best = json.loads((run / "result.json").read_text())["best"]
    assert (best["value"], best["better"]) == (max(values.values()), "larger")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("metric=psnr_gain",), "these pictures give psnr, ssim"),
        (("metric=cycle_error",), "cycle_error needs a generator of the way back"),
        (("metric=lpips",), "lpips has nothing to see with"),
        (("metric=psnr", "reference=a.npz"), "it is of pictures drawn from pictures"),
    ],
)
def test_values_of_pairs_that_cannot_be_are_refused_before_the_first_step(
    gan_here: Inside, monkeypatch: pytest.MonkeyPatch, asked: tuple[str, ...], message: str
) -> None:
    monkeypatch.setenv("TORCH_HOME", "none")
    np.savez("a.npz", arr_0=np.zeros((5, 32, 32, 1), np.uint8))
    small = ("model.discriminator.layers=1", "evaluation.every_steps=1", "evaluation.n=4")
    told = gan_here("train", *words(*TRANSLATOR, *small, *(f"evaluation.{word}" for word in asked), model=()))
    assert (told.returncode, len(told.stderr.splitlines())) == (2, 2), told.stderr
    assert message in told.stderr
    assert not Path("outputs").exists()


def test_the_classifier_of_the_data_can_be_watched(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `gan eval` has it, which does not call it an Inception Score."""
    monkeypatch.setattr(classifier, "STEPS", 30)
    run = train(*words(*LEARNED, "evaluation.every_steps=2", "evaluation.n=100", "evaluation.metric=classifier_score"))
    found = evaluate(run.folder, "detector=classifier", "metrics=[classifier_score]", "n=100")
    value = measured(run.folder, "classifier_score_100")[2]
    assert value == pytest.approx(found.classifier_score.value, rel=1e-6)
    assert 1 <= value <= 10
    assert run.score == -value


@pytest.mark.parametrize(
    ("metric", "name", "sign"),
    [("fid", "fd_points_100", 1), ("w2", "w2_points_100", 1), ("coverage", "coverage_points_100", -1)],
)
def test_the_best_is_the_first_that_is_best_in_its_direction(here: Path, metric: str, name: str, sign: int) -> None:
    run = train(*words(*EACH, *POINTS, *RESTLESS, f"evaluation.metric={metric}", steps=16))
    values = measured(run.folder, name)
    step = min(values, key=lambda at: (sign * values[at], at))
    assert step not in (max(values), min(values, key=lambda at: (-sign * values[at], at)))
    best = json.loads((run.folder / "result.json").read_text())["best"]
    assert (best["metric"], best["step"], best["value"]) == (name, step, values[step])
    assert run.score == sign * values[step]
    kept = torch.load(run.folder / "checkpoints" / "best.pt", weights_only=True)
    assert kept["clock"]["step"] == step


def test_patience_waits_for_more_of_what_should_grow(here: Path) -> None:
    asked = (*EACH, *POINTS, *RESTLESS, "evaluation.metric=coverage", "evaluation.patience=7")
    run = train(*words(*asked, steps=30))
    values = measured(run.folder, "coverage_points_100")
    best = max(values, key=lambda at: (values[at], -at))
    assert values[best] > values[1]
    assert run.step == best + 7 < 30


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("evaluation.metric=ppl",), "evaluation.metric=ppl cannot be watched while training"),
        (("evaluation.metric=cas",), "evaluation.metric=cas cannot be watched while training"),
        (("evaluation.metric=fie",), "evaluation.metric=fie cannot be watched while training"),
        (("evaluation.metric=inception_score",), "cannot be watched: inception_score needs Inception's 1008 logits"),
        (("evaluation.metric=inception_score",), "; or evaluation.metric=fid, fid_debiased, kid, precision, recall, "),
        ((*LEARNED, "evaluation.metric=inception_score"), "and this detector has 10\n  use classifier_score; or "),
        (("evaluation.metric=modes",), "modes needs a detector that classifies the data"),
        (("evaluation.metric=w2",), "measures points in the plane"),
        (("evaluation.metric=fid_debiased",), "evaluation.n=100 is too few for fid_debiased, which needs 1280 samples"),
        (("evaluation.metric=precision", "evaluation.n=5"), "evaluation.n=5 is too few for precision, which needs 6"),
        ((*LEARNED, "dataset.classes=0"), "labelled data set"),
    ],
)
def test_what_cannot_be_watched_is_refused_in_two_lines(
    gan_here: Inside, monkeypatch: pytest.MonkeyPatch, asked: tuple[str, ...], message: str
) -> None:
    monkeypatch.setattr(classifier, "STEPS", 30)
    told = gan_here("train", *words(*EACH, *asked))
    assert told.returncode == 2
    assert message in told.stderr
    assert len(told.stderr.splitlines()) == 2
    assert not [*Path("outputs").rglob("*.*")]


def test_the_list_of_what_can_be_watched_is_whole_and_true(here: Path) -> None:
    """The refusal, the comment in conf/ and the metrics agree; every name is of what its metric gives."""
    names = list(build.watchable())
    with pytest.raises(ConfigError) as refused:
        train(*words(*EACH, "evaluation.metric=ppl"))
    assert str(refused.value).splitlines()[1] == f"  choose one of {', '.join(names)}"
    comment = re.search(r"^metric: kid  # (.*)$", (CONF / "evaluation" / "default.yaml").read_text(), re.MULTILINE)
    assert comment is not None
    assert comment[1].split(" | ") == names
    assert {"kid", "fid", "inception_score", "precision", "recall", "density", "coverage"} <= set(names)


def test_a_cost_is_lower_where_the_value_is_better() -> None:
    assert Better.SMALLER.cost(1.0) < Better.SMALLER.cost(2.0)
    assert Better.LARGER.cost(2.0) < Better.LARGER.cost(1.0)


@pytest.mark.parametrize(
    ("needs", "indices", "plan", "key"),
    [
        (Kernel().needs, "spread:100", (100, 250), "64e395b1bc9cd3db407da56abd2cbfb6ecae09ca1e9e3501a134ea75f4a023a8"),
        (Frechet().needs, "spread:100", (100, 250), "f61ce74e65979bc7b68500b4eb87b2923eaf3327ba7575118ddd474dcfa63380"),
        (EVAL, "all", (10_000, 32), "1c54449a4843e73acb420022f105f412507ade76ffb678bcda77c5a1413f6aa5"),
    ],
)
def test_kept_references_are_found_for_ever(
    tmp_path: Path, needs: frozenset[str], indices: str, plan: tuple[int, int], key: str
) -> None:
    """The names of files that earlier versions have left in people's caches."""
    images = torch.zeros(60, 1, 2, 2, dtype=torch.uint8)

    def batches(size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        return ((piece, None) for piece in images.split(size))

    data = SampleSet("data", len(images), batches, "print", indices=indices)
    reference_features(data, Pixels(), needs, Plan(*plan, tmp_path))
    assert [path.stem for path in tmp_path.glob("*.json")] == [key]


def test_the_reference_is_kept_for_the_next_run(here: Path) -> None:
    """With the facts that make the first of the keys above, but for the data."""
    for seed in (0, 1):
        train(*words(*EACH, f"seed={seed}", f"evaluation.cache={here}/kept", f"hydra.run.dir=run{seed}"))
    (notes,) = (here / "kept").glob("*.json")
    facts = json.loads(notes.read_text())["facts"]
    assert {name: facts[name] for name in ("n", "indices", "rows", "passes", "collected")} == {
        "n": 100,
        "indices": "spread:100",
        "rows": 100,
        "passes": "250 images on cpu",
        "collected": ["rows"],
    }
