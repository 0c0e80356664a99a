"""Samples depend on the seed and their index alone; the files hold what was drawn."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import SMALL, SMALL_DCGAN, Inside, Shell, checked, files_of_at_most, words
from gan_cli import pictures, sample, sampling, train
from gan_cli.config import build
from gan_cli.config.labels import chosen_classes
from gan_cli.errors import ConfigError, Incompatible, Refused
from gan_cli.games.adversarial import Adversarial
from gan_cli.games.parts import Parts
from gan_cli.latent import Subject
from gan_cli.losses import Hinge
from gan_cli.priors import Prior
from gan_cli.runs.restore import Manner, restore
from gan_cli.types import Batch

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def convolutional(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dcgan") / "run"
    train(*words(f"hydra.run.dir={folder}", model=SMALL_DCGAN))
    return folder


@pytest.mark.parametrize("n", [1, 63, 64, 65, 130])
def test_the_first_samples_do_not_depend_on_how_many_follow(convolutional: Path, n: int) -> None:
    assert torch.equal(sample(convolutional, f"n={n}"), sample(convolutional, "n=200")[:n])


def test_seeds_differ_and_repeat(convolutional: Path) -> None:
    a, b, c = (sample(convolutional, "n=4", f"seed={s}") for s in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert len({tuple(x.flatten().tolist()) for x in sample(convolutional, "n=128")}) == 128


def test_global_randomness_is_left_alone(convolutional: Path) -> None:
    restored = restore(str(convolutional), Manner(), CPU)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    sampling.draw(restored.game, restored.generator, sampling.Draws.of(restored.generator, 0, CPU), 5)
    assert torch.equal(torch.rand(1), expected)


def test_a_full_disk_is_told_with_what_the_folder_holds(convolutional: Path, here: Path, gan_here: Inside) -> None:
    typed = ("sample", str(convolutional), "n=40")
    assert gan_here(*typed, "out=whole").returncode == 0
    sizes = [path.stat().st_size for path in (here / "whole").iterdir()]
    with files_of_at_most(max(sizes) - 1):
        told = gan_here(*typed, "out=part")
    held = f"part holds {len([*(here / 'part').iterdir()])} pictures, each whole"
    again = "make room; the same command draws all of them again, exactly alike"
    assert (told.returncode, told.stderr) == (
        2,
        f"gan sample: out=part cannot be written: file too large; {held}\n  {again}\n",
    )
    with files_of_at_most(10):
        assert gan_here(*typed, "out=none/at/all").returncode == 2
    assert sorted(path.name for path in here.iterdir()) == ["part", "whole"]


def test_averaged_or_raw_generator(convolutional: Path) -> None:
    assert not torch.equal(sample(convolutional, "n=4"), sample(convolutional, "n=4", "ema=false"))


def test_every_output_holds_the_same_images(convolutional: Path, here: Path) -> None:
    images = pictures.to_uint8(sample(convolutional, "n=70", "out=x.npz")).permute(0, 2, 3, 1).numpy()
    stored = np.load(here / "x.npz")["arr_0"]
    assert (stored.dtype, stored.shape) == (np.uint8, (70, 16, 16, 1))
    assert np.array_equal(stored, images)
    sample(convolutional, "n=70", "out=folder")
    files = sorted((here / "folder").iterdir())
    assert [files[0].name, files[-1].name, len(files)] == ["00000.png", "00069.png", 70]
    for file, image in zip(files, images, strict=True):
        assert np.array_equal(np.asarray(Image.open(file)), image[..., 0])
    sample(convolutional, "n=9", "out=grid.png")
    grid = np.asarray(Image.open(here / "grid.png"))
    assert grid.shape == (3 * 50 + 2, 3 * 50 + 2, 3)
    assert np.array_equal(grid[2:50:3, 2:50:3, 0], images[0, ..., 0])


def test_a_folder_never_mixes_two_draws(convolutional: Path, here: Path, gan_here: Inside) -> None:
    sample(convolutional, "n=4", "out=folder")
    kept = (here / "folder" / "00000.png").read_bytes()
    done = gan_here("sample", str(convolutional), "n=2", "seed=5", "out=folder")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 2)
    assert "folder holds 00002.png and 1 more" in done.stderr
    assert (here / "folder" / "00000.png").read_bytes() == kept
    sample(convolutional, "n=4", "seed=5", "out=folder")
    assert (here / "folder" / "00000.png").read_bytes() != kept


def test_samples_of_classes_can_be_trained_on(here: Path) -> None:
    """A folder a class, which is read back as a labelled data set: the same images with the same labels."""
    for k, name in enumerate(CLASSES):
        Image.fromarray(np.full((16, 16, 3), 20 * k, np.uint8)).save(_made(here / "d" / name) / "0.png")
        Image.fromarray(np.full((16, 16, 3), 20 * k + 9, np.uint8)).save(here / "d" / name / "1.png")
    data = ("dataset=folder", "dataset.resolution=16", "dataset.channels=3", "dataset.classes=12")
    run = train(*words(*data, "dataset.root=d", "conditioning=concat")).folder
    drawn = pictures.to_uint8(sample(run, "n=48", "classes=0..11", "out=synth"))
    assert sorted(path.name for path in (here / "synth").iterdir()) == sorted(CLASSES)
    again = build.data(checked(words(*data, "dataset.root=synth")))
    assert again.class_names == tuple(CLASSES)
    ordered = [int(name.rpartition("/")[2]) for name in again.names]
    assert sorted(ordered) == [*range(48)]
    assert torch.equal(again.images, drawn[ordered])
    assert again.labels.tolist() == [i % 12 for i in ordered]
    train(*words(*data, "dataset.root=synth", "conditioning=concat", "hydra.run.dir=on_samples"))
    sample(run, "n=4", "classes=3", "out=one")
    assert sorted(path.name for path in (here / "one").iterdir()) == [f"{i:05}.png" for i in range(4)]
    for asked in (("n=48", "classes=0..10"), ("n=4",), ("n=2", "classes=1")):
        with pytest.raises(ConfigError, match="would be mixed"):
            sample(run, *asked, "out=synth")
    sample(run, "n=48", "seed=1", "out=synth")  # the same files
    assert not torch.equal(build.data(checked(words(*data, "dataset.root=synth"))).images, drawn[ordered])


CLASSES = [*map(str, range(11)), "big cat"]  # 2 comes before 10


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def test_a_checkpoint_alone_is_enough(convolutional: Path, here: Path, gan: Shell) -> None:
    """Somewhere else, without the run folder, without the data set."""
    (here / "model.pt").write_bytes((convolutional / "checkpoints" / "last.pt").read_bytes())
    done = gan("sample", "model.pt", "n=16", "seed=3")
    assert done.returncode == 0, done.stderr
    assert (here / "model-sample-seed3-n16.png").exists()
    assert torch.equal(sample(here / "model.pt", "n=5"), sample(convolutional, "n=5"))


def test_a_folder_name_with_odd_characters(convolutional: Path, here: Path, gan_here: Inside) -> None:
    odd = here / "it's loss=a,b [1] ${x}\\"
    odd.symlink_to(convolutional)
    assert gan_here("sample", odd.name, "n=2", "out=a.png").returncode == 0


def test_points_are_drawn_and_stored(here: Path) -> None:
    run = train(*words("dataset=ring", "callback=[history,checkpoints,samples]")).folder
    points = sample(run, "n=100", "out=x.npz")
    assert np.array_equal(np.load("x.npz")["arr_0"], points.numpy())
    sample(run, "n=100", "out=x.png")
    assert Image.open("x.png").size == (500, 500)
    assert Image.open(run / "samples" / "real.png").size == (500, 500)
    with pytest.raises(Refused, match=r"points cannot be image files.*\n.*out=x\.npz"):
        sample(run, "n=100", "out=folder")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("out=x.jpeg2", "cannot write"),
        ("n=0", "n=0 is not valid"),
        ("n=5000", "too large"),
        ("emma=true", "did you mean ema"),
    ],
)
def test_wrong_requests(convolutional: Path, here: Path, setting: str, message: str) -> None:
    with pytest.raises(Refused, match=message):
        sample(convolutional, "n=5", "out=x.png", setting)
    assert list(here.iterdir()) == []


def test_a_folder_s_name_may_hold_a_number_and_an_ending_large_letters(convolutional: Path, here: Path) -> None:
    for name in ("lr0.1", "v1.0", "step.2-raw"):
        sample(convolutional, "n=3", f"out={name}")
        assert len(list((here / name).rglob("*.png"))) == 3
    sample(convolutional, "n=3", "out=x.png")
    sample(convolutional, "n=3", "out=X.PNG")
    assert (here / "x.png").read_bytes() == (here / "X.PNG").read_bytes()
    sample(convolutional, "n=3", "out=X.Npz")
    assert np.load("X.Npz")["arr_0"].shape[0] == 3


def test_every_way_to_draw_has_its_own_picture(here: Path, gan_here: Inside) -> None:
    train(*words("conditioning=concat", "hydra.run.dir=run", model=SMALL_DCGAN))
    ways = {
        "": [],
        "-raw": ["ema=false"],
        "-truncation0.7": ["truncation=0.7"],
        "-statistics2": ["standing_statistics=2"],
        "-classes7": ["classes=7"],
        "-classes0..3": ["classes=0..3"],
        "-classes1,5": ["classes=[1,5]"],
        "-raw-classes7": ["ema=false", "classes=7"],
    }
    for more in ways.values():
        assert gan_here("sample", "run", "n=2", *more).returncode == 0
    stem = "sample-step000000002-seed0-n2"
    assert {p.name for p in (here / "run" / "samples").glob("sample-*")} == {f"{stem}{way}.png" for way in ways}


@pytest.mark.parametrize(
    ("words", "names", "numbers"),
    [
        ("7", (), [7]),
        (7, (), [7]),
        ("0..3,9", (), [0, 1, 2, 3, 9]),
        ([1, 5], (), [1, 5]),
        (None, ("a",), []),
        ("cat,dog", ("bird", "cat", "dog"), [1, 2]),
        (["dog", 0], ("bird", "cat", "dog"), [2, 0]),
        ("big cat", ("big cat", "dog"), [0]),
        ("a,b", ("a", "a,b"), [1]),  # a comma may be part of a name
        (10, ("2", "10", "11"), [1]),  # where all names are numbers, a number is a name
        ("2..10", ("2", "10", "11"), [0, 1]),
        (1, ("01", "02"), [0]),  # the command line read it as a number
        (1e5, ("1e5", "x"), [0]),
        (True, ("false", "true"), [1]),
        (1, ("cat", "dog", "7"), [1]),
        (7, ("cat", "dog", "7"), [2]),
        ("caf\u00e9", ("cafe", "cafe\u0301"), [1]),  # as typed, and as a Mac names its folders
        (["cafe\u0301"], ("cafe", "caf\u00e9"), [1]),
        ("caf\u00e9", ("cafe\u0301", "caf\u00e9"), [1]),
    ],
)
def test_classes_by_name_and_by_number(words: object, names: tuple[str, ...], numbers: list[int]) -> None:
    assert chosen_classes(words, names) == numbers  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "names", "message"),
    [
        ("3..1", (), "3..1 is not a range"),
        ("4,3..1", (), "write 1..3"),
        ([-1], (), "write a class"),
        ("x", (), "write a class"),
        ("catt", ("cat", "dog"), "did you mean cat"),
        (0, ("1990", "1991"), "the classes are 1990, 1991"),
        ("1990..1995", ("1990", "1991"), "no such class"),
    ],
)
def test_words_that_are_not_classes(words: object, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(Refused, match=re.escape(message)) as caught:
        chosen_classes(words, names)  # type: ignore[arg-type]
    assert len(str(caught.value).splitlines()) == 2


def test_class_names_live_in_the_run_and_in_its_checkpoints(here: Path, gan_here: Inside) -> None:
    for name in ("big cat", "dog"):
        (here / "d" / name).mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (16, 16), (40 * i, 0, 0)).save(here / "d" / name / f"{i}.png")
    data = ("dataset=folder", "dataset.root=d", "dataset.resolution=16", "dataset.classes=2")
    train(*words(*data, "conditioning=concat", "hydra.run.dir=run"))
    manifest = json.loads((here / "run" / "manifest.json").read_text())
    assert manifest["data"]["class_names"] == ["big cat", "dog"]
    assert manifest["data"]["read"]["classes"] == {"big cat": 3, "dog": 3}
    assert "/d: 6 pictures in 2 classes (big cat 3, dog 3)" in (here / "run" / "train.log").read_text()
    shutil.copy("run/checkpoints/last.pt", "alone.pt")
    by_number = sample("alone.pt", "n=4", "classes=1")
    assert torch.equal(sample("alone.pt", "n=4", "classes=dog"), by_number)
    assert torch.equal(sample("run", "n=4", "classes=[dog]"), by_number)
    both = gan_here("sample", "alone.pt", "n=4", "classes=dog,big cat", "out=x.npz")
    assert both.returncode == 0, both.stderr
    assert "classes: 0 big cat, 1 dog" in both.stdout
    assert np.load("x.npz")["labels"].tolist() == [1, 0, 1, 0]
    wrong = gan_here("sample", "alone.pt", "classes=bigcat")
    assert wrong.returncode == 2
    assert "did you mean big cat" in wrong.stderr
    state = torch.load("alone.pt", weights_only=True)
    del state["class_names"]  # as in checkpoints of earlier versions
    torch.save(state, "old.pt")
    assert torch.equal(sample("old.pt", "n=4", "classes=1"), by_number)


def test_the_newest_whole_checkpoint_is_used(convolutional: Path, here: Path) -> None:
    run = train(*words("callback.checkpoints.every_steps=1")).folder
    (run / "checkpoints" / "last.pt").unlink()
    (run / "checkpoints" / "last.pt").write_bytes(b"cut short")
    assert json.loads((run / "result.json").read_text())["step"] == restore(str(run), Manner(), CPU).step


@pytest.mark.parametrize("model", ["dcgan", "biggan"])
def test_standing_statistics_are_those_of_the_samples(here: Path, model: str) -> None:
    """They are the mean over passes of each layer's mean and unbiased variance, whatever was there before."""
    folder = train(*words("conditioning=projection", model=SMALL[model])).folder
    restored = restore(str(folder), Manner(), CPU)
    game, generator = restored.game, restored.generator
    norm = next(m for m in generator.modules() if isinstance(m, torch.nn.BatchNorm2d))
    seen: list[torch.Tensor] = []
    handle = norm.register_forward_hook(lambda _, x, y: seen.append(x[0]))
    other = {k: v.clone() for k, v in generator.state_dict().items() if ".running_" not in k and "num_b" not in k}
    draws = sampling.Draws.of(generator, 0, CPU)
    sampling.standing_statistics(game, generator, draws, 3)
    handle.remove()
    torch.testing.assert_close(norm.running_mean, torch.stack([x.mean((0, 2, 3)) for x in seen]).mean(0))
    torch.testing.assert_close(norm.running_var, torch.stack([x.var((0, 2, 3)) for x in seen]).mean(0))
    assert len(seen) == 3
    assert all(torch.equal(generator.state_dict()[name], value) for name, value in other.items())
    assert (generator.training, norm.training, norm.momentum) == (False, False, 0.1)
    state = norm.running_mean.clone()
    norm.running_mean.fill_(7)
    sampling.standing_statistics(game, generator, draws, 3)
    assert torch.equal(norm.running_mean, state)


def test_standing_statistics_on_the_command_line(convolutional: Path, finished: Path) -> None:
    plain, standing = sample(convolutional, "n=4"), sample(convolutional, "n=4", "standing_statistics=2")
    assert not torch.equal(plain, standing)
    assert torch.equal(standing, sample(convolutional, "n=4", "standing_statistics=2"))
    with pytest.raises(Incompatible, match="no batch norm"):
        sample(finished, "n=4", "standing_statistics=2")


class Echo(torch.nn.Module):
    """Draws what it is given."""

    def forward(self, latent: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return latent


class Source(Prior):
    """The generator's input takes the place of latents."""

    provides = frozenset()

    def forward(self, batch: Batch) -> torch.Tensor:
        assert batch.given is not None
        return batch.given


def test_sample_i_is_drawn_from_the_picture_i() -> None:
    game = Adversarial(Parts(Echo(), torch.nn.Identity(), Hinge(), Source(1)))
    given = torch.randn(5, 3, 4, 4)
    draws = sampling.Draws(0, torch.tensor([0]), CPU, given)
    torch.testing.assert_close(sampling.draw(game, game.generator, draws, 70), given.repeat(14, 1, 1, 1))
    subject = Subject(game, game.generator, 0, CPU, (), False, lambda: pytest.fail("needs no data"))
    with pytest.raises(Incompatible, match="not fed with latents"):
        subject.latents(3)
