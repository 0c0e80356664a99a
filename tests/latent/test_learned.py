"""Directions that are learned: of a known attribute they are its own, whatever teaches them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conftest import Inside, words
from gan_cli import sample, train
from gan_cli.errors import ConfigError, Incompatible, Refused
from gan_cli.games.adversarial import Adversarial
from gan_cli.games.parts import Parts
from gan_cli.latent import Subject, learned
from gan_cli.latent.directions import Directions
from gan_cli.losses import NonSaturating
from gan_cli.metrics import classifier
from gan_cli.metrics.detectors import Detector
from gan_cli.metrics.features import Seen
from gan_cli.networks.base import declared
from gan_cli.priors import Normal

CPU = torch.device("cpu")
WAYS = {
    "class_means": lambda judge: learned.ClassMeans(4000, judge),
    "boundaries": lambda judge: learned.Boundaries(4000, judge),
}


class Linear(nn.Module):
    """An image of 4 x 4, a rotation of the latent."""

    def __init__(self) -> None:
        super().__init__()
        self.rotation = nn.Parameter(torch.linalg.qr(torch.randn(16, 16)).Q, requires_grad=False)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        return (latent / 5 @ self.rotation.T).view(-1, 1, 4, 4)


class Judge(Detector):
    """Two classes, by the side of a plane on which an image lies."""

    name = "judge"
    convention = "a plane"

    def __init__(self, normal: Tensor) -> None:
        self.normal = normal

    def __call__(self, images: Tensor) -> Seen:
        x = images.flatten(1).float() / 127.5 - 1
        score = 8 * x @ self.normal
        return Seen(x, torch.stack([-score, score], 1))


def subject(generator: nn.Module, width: int = 16) -> Subject:
    game = Adversarial(Parts(nn.Identity(), nn.Identity(), NonSaturating(), Normal(width)))
    return Subject(game, generator, 0, CPU, (), False, lambda: None)  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_the_direction_of_a_known_attribute_is_found(way) -> None:  # type: ignore[no-untyped-def]
    generator, attribute = Linear().eval(), F.normalize(torch.randn(16), dim=0)
    judge = Judge(generator.rotation @ attribute)  # of images; in latents it is the attribute
    found = {each.name: each.vector for each in way(judge).find(subject(generator))}
    assert found.keys() == {"0", "1"}
    assert found["1"] @ attribute > 0.99
    assert found["0"] @ attribute < -0.99
    assert all(abs(vector.norm() - 1) < 1e-5 for vector in found.values())


def test_a_boundary_does_not_depend_on_units_nor_on_where_the_origin_is() -> None:
    points, normal = torch.randn(500, 6, dtype=torch.float64), torch.randn(6, dtype=torch.float64)
    scores = points @ normal
    here = F.normalize(learned.normal_of_boundary(points, scores, 0.3, 0.01), dim=0)
    there = F.normalize(learned.normal_of_boundary(1000 * points + 77, scores, 0.3, 0.01), dim=0)
    torch.testing.assert_close(here, there, atol=1e-4, rtol=0)
    assert here @ F.normalize(normal, dim=0) > 0.99
    assert learned.told_apart(points, scores, normal) > 0.95
    assert abs(learned.told_apart(points, torch.randn(500), normal) - 0.5) < 0.1


def test_log_odds() -> None:
    p = torch.tensor([[0.5, 0.3, 0.2], [0.01, 0.01, 0.98]], dtype=torch.float64)
    torch.testing.assert_close(learned.log_odds(p.log() + 3), (p / (1 - p)).log())


class Styled(nn.Module):
    """w lies around a centre for each label."""

    classes = 3

    def __init__(self) -> None:
        super().__init__()
        self.synthesis = Linear()
        self.centres = 2 * torch.randn(3, 16)

    def mapping(self, latent: Tensor, label: Tensor) -> Tensor:
        return latent + self.centres[label]

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        return self.synthesis(self.mapping(latent, label))


def test_labels_teach_where_styles_know_them() -> None:
    generator = Styled().eval()
    assert declared(generator).classes == 3
    found = {each.name: each.vector for each in learned.ClassMeans(3000, None).find(subject(generator))}
    for k, (name, vector) in enumerate(found.items()):
        others = generator.centres[[i for i in range(3) if i != k]].mean(0)
        assert name == str(k)
        assert vector @ F.normalize(generator.centres[k] - others, dim=0) > 0.99
    with pytest.raises(Incompatible, match=r"do not know of labels\n"):
        learned.ClassMeans(100, None).find(subject(Linear()))


class Certain(Judge):
    def __call__(self, images: Tensor) -> Seen:
        return Seen(images.flatten(1).float(), torch.tensor([[5.0, 0.0]]).expand(len(images), -1))


class Silent(Judge):
    def __call__(self, images: Tensor) -> Seen:
        return Seen(images.flatten(1).float())


def test_what_teaches_nothing_is_refused() -> None:
    for judge, message in ((Certain, "all 100 samples are of one class"), (Silent, "classifies nothing")):
        with pytest.raises(Incompatible, match=f"{message}.*\n  "):
            list(learned.ClassMeans(100, judge(torch.ones(16))).find(subject(Linear().eval())))


def test_one_direction_may_be_asked_for_by_name() -> None:
    whom, along = subject(Linear().eval()), learned.ClassMeans(500, Judge(torch.eye(16)[0]))
    drawn = Directions(n=2, steps=3, towards="1", along=along).draw(whom)
    assert drawn.samples().shape == (2, 3, 1, 4, 4)
    with pytest.raises(ConfigError, match="there is no such direction\n  there are 0, 1"):
        list(Directions(towards="7", along=along).sheets(whom))


def test_a_classifier_of_the_data_names_the_directions(
    here: Path, gan_here: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier, "STEPS", 30)
    train(*words("dataset.resolution=16", "hydra.run.dir=run"))
    few = ("along.samples=200", "mode.count=2", "n=2", "mode.steps=2")
    for along in WAYS:
        assert sample("run", "mode=directions", f"along={along}", *few).shape[1:] == (2, 1, 16, 16)
    told = gan_here("sample", "run", "mode=directions", "along=class_means", *few)
    assert told.returncode == 0, told.stderr
    assert "of the samples lie on their side" in told.stdout
    assert {path.name.partition("n2-")[2] for path in Path("run/samples").glob("directions-*-classmeans-*")}
    for asked, message in (
        (("along=class_means",), "along= is for modes that move samples"),
        (("mode=directions", "along=means"), "did you mean class_means"),
        (("mode=directions", "along=boundaries", "along.share=0.7"), "along.share=0.7 is not valid"),
        (("mode=directions", "along=class_means", "along.judge=null"), "do not know of labels"),
    ):
        with pytest.raises(Refused, match=message):
            sample("run", *asked)


def test_unlabelled_data_and_points_have_no_classes_to_learn(here: Path) -> None:
    plain = train(*words("dataset.classes=0", "dataset.resolution=16")).folder
    with pytest.raises(Incompatible, match="have no labels\n  use along=sefa"):
        sample(plain, "mode=directions", "along=class_means", "along.samples=100")
    points = train(*words("dataset=ring")).folder
    with pytest.raises(Incompatible, match="these are points\n"):
        sample(points, "mode=directions", "along=class_means")
