"""The trusted score card: whether it believes real pictures, and catches what only pleases one space."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from conftest import Inside
from gan_cli import evaluate
from gan_cli.errors import Incompatible
from gan_cli.evaluation import card
from gan_cli.evaluation.values import Evaluation, Value
from gan_cli.metrics import Context
from gan_cli.metrics.classifier import fit
from gan_cli.metrics.detectors import Labelled, Pixels
from gan_cli.metrics.features import Collector
from gan_cli.metrics.measure import full_name
from gan_cli.metrics.ratios import Ratios
from gan_cli.references.opening import open_reference

QUICK = ("preset=trust", "detector=[classifier,thumbnail]", "metrics=[ratios,copies]", "detector.classifier.steps=80")


def measured(**ratios: float) -> Evaluation:
    """An evaluation of Fréchet ratios by space."""
    found = Evaluation("a run", None, 0)
    for space, ratio in ratios.items():
        name = "fid_ratio" if space == "inception" else f"fd_ratio_{space}"
        found[name] = Value(ratio, 0.1, 100, 100, "", "real", space, None, None, None)
    return found


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ({"inception": 1.1, "pixels": 0.9}, "as close to the data as real pictures are, in 2 spaces"),
        ({"inception": 0.7, "pixels": 3.5, "classifier": 9}, "gamed in one space: .* in inception, and 3.5 times"),
        ({"inception": 0.7, "pixels": 2.5, "classifier": 9}, "at most 9 times as far .* in classifier"),
        ({"inception": 0.5, "pixels": 0.4}, ".*learnt by heart"),
        ({"inception": 0.5, "pixels": 4}, "at most 4 times"),  # one against one: neither is the odd one
    ],
)
def test_verdicts(ratios: dict[str, float], verdict: str) -> None:
    (said,) = card.verdicts(measured(**ratios))
    assert re.match(verdict, said), said


@pytest.mark.parametrize(("ratio", "said"), [(2.0, "leaking_augmentation"), (20.0, "no word on augmentation")])
def test_a_generator_that_has_hardly_begun_is_not_said_to_leak(ratio: float, said: str) -> None:
    found = measured(inception=ratio, pixels=2 * ratio)
    found["leak_cutout"] = Value(0.44, 0.01, 100, 100, "", "fake", "probe", None, None, None)
    assert card.verdicts(found)[-1].startswith(said)


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Labelled]:
    """The held-out pictures, and those of training."""
    test, train = (open_reference(f"digits:{split}", None) for split in ("test", "train"))
    assert test.labelled is not None
    assert train.labelled is not None
    return test.labelled.images, train.labelled


def test_real_pictures_that_were_held_out_score_one_in_every_space(here: Path, digits: tuple[Tensor, Labelled]) -> None:
    torch.save(digits[0], "real.pt")
    found = evaluate("real.pt", *QUICK, reference="digits:train")
    ratios = {name: value for name, value in found.items() if "ratio" in name}
    assert len(ratios) == 6
    for name, value in ratios.items():
        assert value.se is not None
        assert abs(value.value - 1) < 2 * value.se, name
    assert card.verdicts(found) == ["as close to the data as real pictures are, in 2 spaces"]


def test_pictures_that_were_made_to_please_one_space_are_caught(digits: tuple[Tensor, Labelled]) -> None:
    """Noise, changed until the classifier sees what it sees in real pictures."""
    real = digits[1].images[:120]
    network = fit(digits[1].images, digits[1].labels, 10, torch.device("cpu"), steps=60)
    wanted = network(real.float()).features
    images = torch.rand(real.shape).mul(255).requires_grad_()
    optimizer = torch.optim.Adam([images], 8.0)
    for _ in range(60):
        loss = F.mse_loss(network(images).features, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        images.data.clamp_(0, 255)
    found = Evaluation("noise", None, 0)
    for space, see in {"classifier": network, "pixels": Pixels(), "thumbnail": Pixels(side=8)}.items():
        sides = []
        for side in (images.detach().round().to(torch.uint8), real):
            collector = Collector(lambda batch, see=see: see(batch.float()), rows=120)
            collector.add(side)
            sides.append(collector.finish())
        for name, estimate in Ratios().compute(*sides, Context()).items():
            value = Value(estimate.value, estimate.se, 120, 120, "", "real", space, None, None, None)
            found[full_name(name, space)] = value
    (said,) = card.verdicts(found)
    assert said.startswith("gamed in one space"), card.lines(found)
    assert "closer than real pictures in classifier" in said


def test_what_is_not_there_is_listed_with_its_remedy_and_no_error(
    gan_here: Inside, here: Path, digits: tuple[Tensor, Labelled], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(here / "hub"))
    for variable in ("GAN_INCEPTION", "GAN_CLIP"):
        monkeypatch.delenv(variable, raising=False)
    torch.save(digits[0][:60], "some.pt")
    torch.save(digits[0][60:], "others.pt")
    done = gan_here(
        *("eval", "some.pt", "reference=others.pt", "preset=trust", "json=card.json"),
        *("detector=[inception,dinov2,clip,classifier,thumbnail]", "metrics=[ratios]"),
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(Path("card.json").read_text())
    assert {*record["absent"]} == {"inception", "dinov2", "clip", "classifier"}
    assert "pt_inception-2015-12-05" in done.stdout + done.stderr
    assert "classifier: absent: detector=classifier is trained on labelled data" in done.stdout + done.stderr


def test_points_are_refused_in_two_lines(here: Path, gan_here: Inside) -> None:
    assert (
        gan_here(
            "train", "model=mlp", "dataset=ring", "callback=[checkpoints]", "trainer.max_steps=1", "hydra.run.dir=ring"
        ).returncode
        == 0
    )
    with pytest.raises(Incompatible, match="these are points") as caught:
        evaluate("ring", "preset=trust")
    assert len(str(caught.value).splitlines()) == 2
