"""Generators that draw from pictures, through the whole life of a run; and what is refused before its first step."""

from __future__ import annotations

import logging
import math
import re
import shutil
import zipfile
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from conftest import CONF, SMALL_TRANSLATORS, Inside, checked, coded, files_of_at_most, same, save, weights, words
from gan_cli import evaluate, load, sample, train
from gan_cli.callbacks import readings
from gan_cli.callbacks.alarms import alarms
from gan_cli.callbacks.health import beside_sources
from gan_cli.callbacks.monitor import Monitor
from gan_cli.config import build, choices
from gan_cli.errors import Refused
from gan_cli.evaluation.samples import open_source
from gan_cli.latent.sources import files
from gan_cli.latent.tiles import tiled
from gan_cli.networks.enhancer import RRDB, SRResNet
from gan_cli.networks.translator import Residual, Translator, UNet
from gan_cli.runs.restore import Manner, Restored, restore
from gan_cli.store.rows import read_rows

CYCLEGAN, PIX2PIX, SRGAN, ESRGAN = (SMALL_TRANSLATORS[model] for model in ("cyclegan", "pix2pix", "srgan", "esrgan"))
CPU = torch.device("cpu")
FEW = "dataset.batch_size=2"


# ---- training ----

LIVES = {
    "cyclegan": (*CYCLEGAN, "augment=[ada]", "penalty=[lecam]"),
    "pix2pix": (*PIX2PIX, "dataset.resolution=64", "model.generator.depth=6"),  # with dropout and batch norm
    "srgan": SRGAN,
    "esrgan": ESRGAN,
    "regression": (*SRGAN, "game=regression"),
}


@pytest.mark.parametrize("life", LIVES)
def test_three_steps_and_three_are_six(here: Path, life: str) -> None:
    """Bit for bit, with past fakes, adaptive augmentation, moving averages, dropout and batch norm."""
    whole = train(*words(FEW, model=LIVES[life], steps=6)).folder
    halves = train(*words(FEW, model=LIVES[life], steps=3)).folder
    assert not same(weights(whole), weights(halves))
    train(f"resume={halves}", "trainer.max_steps=6")
    assert same(weights(whole), weights(halves))
    if life == "cyclegan":
        state = torch.load(whole / "checkpoints" / "last.pt", weights_only=True)["game"]
        assert state["there.past.fakes"].any()
        assert int(state["there.past.count"]) == int(state["back.past.count"]) == 12
    if life == "pix2pix":
        assert any(isinstance(m, nn.Dropout) for m in build.game(checked(words(model=LIVES[life]))).modules())


@pytest.mark.parametrize("life", LIVES)
def test_bfloat16_makes_a_step(here: Path, life: str) -> None:
    (row,) = read_rows(
        train(*words(FEW, "trainer.precision=bfloat16", "trainer.log_every=1", model=LIVES[life], steps=1)).folder
        / "metrics.jsonl"
    )
    assert all(math.isfinite(value) for value in row.values())


@pytest.mark.parametrize("game", ["cycle", "pair", "source"])
@pytest.mark.parametrize("loss", choices.config_groups(CONF)["loss"])
def test_every_loss_plays_or_is_refused_with_the_remedy(loss: str, game: str) -> None:
    model = {"cycle": CYCLEGAN, "pair": PIX2PIX, "source": SRGAN}[game]
    more = (f"prior={game}",) if game == "pair" else ()
    norms = {"pair": ("model.discriminator.norm=instance",), "source": ("model.discriminator.norm=layer",)}.get(
        game, ()
    )
    for settings in ((), norms):
        try:
            trainer = build.trainer(checked(words(FEW, f"loss={loss}", *more, *settings, model=model)))
        except Refused as error:
            if settings or not any(word in str(error) for word in ("use ", "leave ", "add ")):
                raise
            continue
        trainer.place()
        trainer.game.rehearse(trainer.data.previewed(1), 2)
        for _ in range(2):
            trainer.step()
        assert all(math.isfinite(value) for value in trainer.meter.means().values())
        return
    pytest.fail(f"{loss} on {game} was never played")


# ---- what cannot work ----


def flat(root: Path, side: str, n: int, size: tuple[int, int], grey: bool = False) -> None:
    for k in range(n):
        picture = coded(k, *size)
        save(root / side / f"{k}.png", picture[..., 1] if grey else picture)


@pytest.fixture
def domains(here: Path) -> Path:
    """A: 3 pictures; B: 2."""
    flat(here / "data", "trainA", 3, (20, 24))
    flat(here / "data", "trainB", 2, (22, 18))
    return here / "data"


UNPAIRED = ("dataset=unpaired_folder", "dataset.root=data", *CYCLEGAN[1:])
PAIRED = (
    "dataset=paired_folder",
    "dataset.root=data",
    "dataset.resolution=16",
    *PIX2PIX[2:],
    "model.generator.depth=2",
)


@pytest.mark.parametrize(
    ("model", "match"),
    [
        (
            (*UNPAIRED, "given=grey"),
            r"given=grey: these data \(dataset=unpaired_folder\) give images of their own\n  leave",
        ),
        (("dataset=china2flower", "given=smaller", *SRGAN[1:]), r"give images of their own\n  leave given= out"),
        (("experiment=pix2pix_small", "dataset=china2flower"), r"give images of their own\n.*given=null"),
        (
            ("experiment=pix2pix_small", "conditioning=concat"),
            r"conditioning=concat: the networks of model=pix2pix take",
        ),
        (("dataset=ring", "model=mlp", "given=grey"), r"dataset\.given"),
        ((*SRGAN, "game=regression", "dataset.resolution=30"), r"is not a multiple of dataset\.given\.scale=4"),
        (
            (*SRGAN, "game=regression", "dataset.given.scale=5", "dataset.resolution=40"),
            r"cannot enlarge 5 times\n  choose",
        ),
        ((*UNPAIRED, "prior=pair"), r"use prior=source"),
        (
            (*PIX2PIX[2:], "dataset=china2flower", "dataset.resolution=32"),
            r"needs pairs, .*\n  use dataset=paired_folder",
        ),
        ((*PIX2PIX[2:], "dataset.resolution=32"), r"these data give it none .*\n  use dataset="),
        (CYCLEGAN[2:], r"these data give it none .*\n  use dataset="),
        (
            (*SRGAN[2:], "dataset=china2flower", "dataset.resolution=32"),
            r"needs pairs, .*\n  use dataset=paired_folder",
        ),
        (
            (*PIX2PIX, "auxiliary=[l1,mode_seeking]"),
            r"auxiliary\.mode_seeking needs latents, which nothing .*\n  .* leave it out",
        ),
        ((*PIX2PIX, "auxiliary=[path_length]"), r"auxiliary\.path_length needs latent"),
        ((*PIX2PIX, "penalty=[consistency]"), r"penalty\.consistency needs alone, which prior=pair hides\n  leave one"),
        ((*PIX2PIX, "auxiliary=[cycle]"), r"auxiliary\.cycle needs back, .*\n  game=cycle"),
        ((*UNPAIRED, "auxiliary=[l1]"), r"needs pairs, "),
        (
            (*PIX2PIX, "+game.past={_target_: gan_cli.games.pool.Pool, size: 2, channels: 1, resolution: 32}"),
            r"game\.past",
        ),
        ((*SRGAN, "panel=none"), r"the discriminator has no weights to train\n  leave panel=none out"),
        ((*SRGAN, "game=regression", "auxiliary=[]"), r"has no objective\n  add"),
        ((*SRGAN, "game=regression", "penalty=[r1]"), r"penalty\.r1 is for a discriminator"),
        ((*UNPAIRED, "dataset.given.channels=2"), r"1 channel|channels=2"),
        (
            (*UNPAIRED, "dataset.given.channels=1"),
            r"auxiliary=\[identity\] gives .*\n  leave identity out: 'auxiliary=\[cycle\]'",
        ),
        ((*UNPAIRED, "dataset.root=nowhere"), r"nowhere"),
        (PAIRED, r"has no partner: .*\n  give both"),
        ((*SRGAN, "model.generator.source_channels=3"), r"of 3 channels, and was given|source_channels"),
        ((*UNPAIRED, "dataset.load=8"), r"dataset\.load=8 is smaller than dataset\.resolution"),
    ],
    ids=lambda value: None if isinstance(value, str) else " ".join(value)[:90],
)
def test_what_cannot_work_is_told_before_the_first_step(
    domains: Path, gan_here: Inside, model: tuple[str, ...], match: str
) -> None:
    told = gan_here("train", *words(FEW, model=model))
    assert told.returncode == 2, told.stderr
    lines = told.stderr.strip().splitlines()
    assert re.search(match, told.stderr), told.stderr
    assert len([line for line in lines if "left out" not in line]) <= 2, told.stderr
    assert "Error" not in told.stderr
    assert not (domains.parent / "outputs").exists()


def test_given_null_gives_an_experiment_to_other_data(here: Path) -> None:
    config = checked(("experiment=pix2pix_small", "dataset=china2flower", "given=null")).config
    assert config["dataset"]["given"]["_target_"] == "gan_cli.data.others.Others"


# ---- drawing from pictures ----


@pytest.fixture(scope="module")
def both_ways(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run from grey pictures to colour ones and back, of a folder of one's own; do not write to it."""
    folder = tmp_path_factory.mktemp("both")
    for split, a, b in (("train", 5, 3), ("test", 3, 2)):
        flat(folder / "data", f"{split}A", a, (20, 24), grey=True)
        flat(folder / "data", f"{split}B", b, (26, 18))
    (folder / "data" / "trainA" / "bad.png").write_text("no picture")
    own = ("dataset=unpaired_folder", f"dataset.root={folder / 'data'}", "dataset.given.channels=1", *CYCLEGAN[1:])
    callbacks = "callback=[history,checkpoints,samples,plots,health,tensorboard]"
    train(*words(FEW, callbacks, f"hydra.run.dir={folder / 'run'}", "auxiliary=[cycle]", model=own, steps=2))
    return folder / "run"


@pytest.mark.parametrize("direction", ["a2b", "b2a"])
def test_each_way_says_how_many_channels_it_draws(
    both_ways: Path, here: Path, direction: Literal["a2b", "b2a"]
) -> None:
    """And reads a reference as it draws, of whatever size and colour its files are."""
    network = load(both_ways, direction=direction)
    drawn = network(torch.zeros(1, network.source_channels, 16, 16))
    assert drawn.shape[1] == network.channels == {"a2b": 3, "b2a": 1}[direction]
    flat(here, "real", 3, (30, 20))
    found = evaluate(both_ways, "detector=pixels", f"direction={direction}", metrics=["fid"], reference="real")
    assert math.isfinite(found.fd_pixels.value)


@pytest.fixture(scope="module")
def enlarging(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that enlarges colour pictures four times."""
    folder = tmp_path_factory.mktemp("enlarging") / "run"
    train(*words(FEW, f"hydra.run.dir={folder}", "dataset=photos", "game=regression", model=SRGAN))
    return folder


def album(root: Path) -> Path:
    """Pictures of any kind and size, with what is none."""
    save(root / "wide.png", coded(1, 17, 33))
    save(root / "deep" / "er" / "grey.png", coded(2, 31, 9)[..., 1])
    cut = np.dstack([coded(3, 12, 20), np.zeros((12, 20), np.uint8)])
    cut[:, 10:, 3] = 255
    save(root / "cut.png", cut)
    save(root / "same.png", coded(4, 8, 8))
    save(root / "same.bmp", coded(5, 8, 8))
    Image.fromarray(coded(6, 10, 12)).save(root / "photo.jpg")
    (root / "notes.txt").write_text("x")
    (root / "broken.jpg").write_text("no picture")
    return root


SIZES = {
    "wide": (17, 33),
    "deep/er/grey": (31, 9),
    "cut": (12, 20),
    "same.png": (8, 8),
    "same.bmp": (8, 8),
    "photo": (10, 12),
}


def sizes(out: Path) -> dict[str, tuple[int, int]]:
    paths = [path for path in out.rglob("*") if path.is_file()]
    assert {path.suffix for path in paths} == {".png"}
    return {str(path.relative_to(out))[: -len(".png")]: Image.open(path).size[::-1] for path in paths}


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_all_pictures_keep_their_names_sizes_alpha_and_grey(
    enlarging: Path, here: Path, gan_here: Inside, packed: bool
) -> None:
    source = album(here / "album")
    if packed:
        shutil.make_archive("album", "zip", source)
        source = here / "album.zip"
    told = gan_here("sample", str(enlarging), f"source={source}", "out=out")
    assert told.returncode == 0, told.stderr
    assert "left out" in told.stderr
    assert "broken.jpg" in told.stderr
    assert sizes(here / "out") == {name: (4 * h, 4 * w) for name, (h, w) in SIZES.items()}
    cut = np.asarray(Image.open("out/cut.png"))
    assert cut.shape == (48, 80, 4)
    assert (cut[:, :36, 3] == 0).all()
    assert (cut[:, 44:, 3] == 255).all()
    modes = {name: Image.open(f"out/{name}.png").mode for name in SIZES}
    assert modes == {**dict.fromkeys(SIZES, "RGB"), "cut": "RGBA", "deep/er/grey": "L"}


def test_a_full_disk_leaves_no_empty_folder(enlarging: Path, here: Path, gan_here: Inside) -> None:
    save(here / "album" / "a.png", coded(1, 8, 8))
    save(here / "album" / "b" / "large.png", coded(2, 80, 80))
    typed = ("sample", str(enlarging), "source=album")
    assert gan_here(*typed, "out=whole").returncode == 0
    with files_of_at_most((here / "whole" / "b" / "large.png").stat().st_size - 1):
        told = gan_here(*typed, "out=out")
    assert told.returncode == 2
    assert "file too large; out holds 1 pictures, each whole" in told.stderr
    assert [path.name for path in (here / "out").rglob("*")] == ["a.png"]


def test_one_picture_in_one_picture_out(enlarging: Path, here: Path, gan_here: Inside) -> None:
    album(here / "album")
    for source, out, size in (
        ("cut.png", "x.png", (48, 80)),
        ("wide.png", "y.webp", (68, 132)),
        ("photo.jpg", "z.jpg", (40, 48)),
    ):
        told = gan_here("sample", str(enlarging), f"source=album/{source}", f"out={out}")
        assert told.returncode == 0, told.stderr
        assert Image.open(out).size[::-1] == size
    told = gan_here("sample", str(enlarging), "source=album/cut.png", "out=x.jpg")
    assert (told.returncode, "keeps no transparency" in told.stderr) == (2, True)
    told = gan_here("sample", str(enlarging), "source=album/broken.jpg", "out=b.png")
    assert (told.returncode, len(told.stderr.strip().splitlines())) == (2, 2)
    assert "broken.jpg cannot be read" in told.stderr
    images = sample(enlarging, "source=album/wide.png")
    assert images.shape == (1, 3, 68, 132)


def test_a_pattern_names_pictures_of_several_folders(enlarging: Path, here: Path, gan_here: Inside) -> None:
    """Pictures of one name do not take each other's place."""
    for k in range(3):
        save(here / "in" / f"day{k}" / "x.png", coded(k, 8, 8 + k))
    told = gan_here("sample", str(enlarging), "source=in/*/x.png", "out=out")
    assert told.returncode == 0, told.stderr
    assert sizes(here / "out") == {f"day{k}/x": (32, 4 * (8 + k)) for k in range(3)}
    told = gan_here("sample", str(enlarging), "source=in/*/y.png", "out=none")
    assert (told.returncode, len(told.stderr.strip().splitlines())) == (2, 2)
    assert not (here / "none").exists()


def test_nothing_is_written_outside(enlarging: Path, here: Path, gan_here: Inside) -> None:
    """Whatever files in an archive are called."""
    album(here / "album")
    with zipfile.ZipFile("evil.zip", "w") as file:
        for name in ("../../evil.png", "/evil2.png", "a/../../../evil3.png", "x/evil.png", "evil.png"):
            file.write("album/same.png", name)
    before = set(here.rglob("*"))
    told = gan_here("sample", str(enlarging), "source=evil.zip", "out=deep/out")
    assert told.returncode in (0, 2), told.stderr
    new = {path.relative_to(here) for path in here.rglob("*") if path not in before}
    assert all(path.parts[0] == "deep" for path in new)
    assert all(path.parts[:2] == ("deep", "out") for path in new if len(path.parts) > 1)
    if told.returncode == 0:
        assert len(list((here / "deep").rglob("*.png"))) == 5


def test_sources_are_not_overwritten(enlarging: Path, here: Path, gan_here: Inside) -> None:
    album(here / "album")
    before = {path: path.read_bytes() for path in (here / "album").rglob("*") if path.is_file()}
    for source, out in (
        ("album", "album"),
        ("album/*.png", "album"),
        ("album/wide.png", "album/wide.png"),
        ("album/w*", "album/wide.png"),
    ):
        told = gan_here("sample", str(enlarging), f"source={source}", f"out={out}")
        assert told.returncode == 2, (source, out)
        assert "would overwrite" in told.stderr
    assert before == {path: path.read_bytes() for path in (here / "album").rglob("*") if path.is_file()}


def turned(run: Path, back: bool) -> Restored:
    return restore(str(run), Manner(back=back), CPU)


def test_a_direction_exchanges_networks_and_data(both_ways: Path, here: Path, gan_here: Inside) -> None:
    """Grey becomes colour, and the other way round; by the network of that way, of the other side's test pictures."""
    there, back = turned(both_ways, False), turned(both_ways, True)
    assert (there.source_channels, back.source_channels) == (1, 3)
    networks = there.generator
    save(here / "x.png", coded(1, 12, 16))
    (grey,), (colour,) = files("x.png", 1, None), files("x.png", 3, None)
    label = torch.zeros(1, dtype=torch.int64)
    with torch.no_grad():
        expected = networks[0](grey.source, label), networks[1](colour.source, label)  # type: ignore[index]
    torch.testing.assert_close(sample(both_ways, "source=x.png"), expected[0])
    torch.testing.assert_close(sample(both_ways, "source=x.png", "direction=b2a"), expected[1])
    assert (expected[0].shape[1], expected[1].shape[1]) == (3, 1)
    a, b = there.unseen().data, back.unseen().data
    assert (a.pictures(), len(a), b.pictures(), len(b)) == (3, 2, 2, 3)  # of the split test
    assert (a.example(0).source.shape, b.example(0).source.shape) == ((1, 1, 16, 16), (1, 3, 16, 16))  # as in training
    told = gan_here("sample", str(both_ways), "direction=b2a", "out=back")
    assert told.returncode == 0, told.stderr
    assert sizes(here / "back") == {str(i): (16, 16) for i in range(2)}  # as the files are called
    told = gan_here("sample", str(both_ways))
    assert told.returncode == 0, told.stderr


def test_the_run_shows_what_it_draws(both_ways: Path) -> None:
    assert {path.name for path in (both_ways / "samples").glob("*.png")} >= {"real.png", "step-000000002.png"}
    told = {name for row in read_rows(both_ways / "metrics.jsonl") for name in row}
    assert {"generator/cycle", "generator/back/cycle", "D(real)", "back/D(real)"} <= told
    assert "left out" in (both_ways / "train.log").read_text()


@pytest.mark.parametrize(
    ("run", "more", "match"),
    [
        ("finished", ("source=x.png",), r"draws from latents, not from pictures\n  train model="),
        ("finished", ("direction=b2a",), r"this model has no way back\n  leave it out"),
        ("enlarging", ("direction=b2a", "source=x.png"), r"this model has no way back"),
        ("both_ways", ("mode=interpolate",), r"not fed with latents"),
        ("both_ways", ("mode=translate", "source=nowhere"), r"source=nowhere: there is no such file or folder\n  name"),
        ("both_ways", ("source=empty",), r"has no images"),
        ("both_ways", ("source=x.png", "tile=8"), r"tile"),
        ("both_ways", ("source=x.png", "truncation=0.5"), r"truncation"),
        ("finished", ("mode=translate",), r"is given no pictures"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    run: str, more: tuple[str, ...], match: str, here: Path, gan_here: Inside, request: pytest.FixtureRequest
) -> None:
    save(here / "x.png", coded(1, 12, 16))
    (here / "empty").mkdir()
    told = gan_here("sample", str(request.getfixturevalue(run)), *more)
    assert told.returncode == 2, told.stderr
    assert re.search(match, told.stderr), told.stderr
    assert len(told.stderr.strip().splitlines()) <= 2
    assert {path.name for path in here.iterdir()} == {"x.png", "empty"}


def test_a_run_whose_data_are_gone_still_draws_from_other_pictures(
    both_ways: Path, here: Path, gan_here: Inside
) -> None:
    shutil.copytree(both_ways, "run")
    state = torch.load("run/checkpoints/last.pt", weights_only=True)
    state["config"] = state["config"].replace(str(both_ways.parent / "data"), str(here / "gone"))
    for path in Path("run/checkpoints").glob("*.pt"):
        path.unlink()
    torch.save(state, "run/checkpoints/last.pt")
    save(here / "x.png", coded(1, 12, 16))
    assert gan_here("sample", "run", "source=x.png", "out=y.png").returncode == 0
    told = gan_here("sample", "run", "out=z.png")
    assert told.returncode == 2
    assert "source=FOLDER names other pictures" in told.stderr.splitlines()[-1]


# ---- tiles ----


def loud(network: Translator) -> Translator:
    """Weights of a size at which every layer is heard at the far end."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim > 1:
                nn.init.orthogonal_(parameter, 1.5)
            elif name.endswith("bias"):
                parameter.uniform_(-0.1, 0.1)
    return network.eval()


LOCAL = {
    "SRResNet x4": lambda: SRResNet(3, 3, 4, width=4, blocks=1),
    "SRResNet x1": lambda: SRResNet(1, 3, 1, width=4, blocks=2),
    "RRDB x2": lambda: RRDB(3, 3, 2, width=4, growth=2, blocks=1),
    "Residual": lambda: Residual(3, 3, width=2, blocks=1, norm="none"),
    "Residual, batch norm, resize": lambda: Residual(3, 3, width=2, blocks=1, norm="batch", upsample="resize"),
    "UNet": lambda: UNet(3, 3, width=2, depth=2, norm="batch"),
}


def drawing(network: Translator, seen: list[tuple[int, int]] | None = None):  # type: ignore[no-untyped-def]
    def draw(source: Tensor) -> Tensor:
        if seen is not None:
            seen.append((source.shape[-2], source.shape[-1]))
        with torch.no_grad():
            return network(source, torch.zeros(len(source), dtype=torch.int64))

    return draw


@pytest.mark.parametrize("size", [(48, 64), (53, 61), (17, 90), (33, 32)])
@pytest.mark.parametrize("kind", LOCAL)
def test_tiles_are_the_whole_where_a_network_sees_no_further(kind: str, size: tuple[int, int]) -> None:
    network = loud(LOCAL[kind]())
    source = torch.rand(1, network.source_channels, *size) * 2 - 1
    seen: list[tuple[int, int]] = []
    whole = drawing(network)(source)
    joined = tiled(drawing(network, seen), source, 16, network.multiple, network.radius)
    assert len(seen) == math.ceil(size[0] / 16) * math.ceil(size[1] / 16)
    torch.testing.assert_close(joined, whole, rtol=1e-4, atol=1e-4 * float(whole.abs().max()))
    assert network.radius is not None
    less = tiled(drawing(network), source, 16, network.multiple, 0)
    assert (less - whole).abs().max() > 1e-2 * whole.abs().max()  # so that the test can fail


def test_tiles_of_a_network_that_sees_all_differ_and_fade_into_each_other() -> None:
    network = loud(Residual(3, 3, width=2, blocks=1, norm="instance"))
    assert network.radius is None
    source = torch.rand(1, 3, 48, 64)
    source[..., 32:] *= 0.1
    whole, joined = drawing(network)(source), tiled(drawing(network), source, 16, network.multiple, None)
    assert joined.shape == whole.shape
    assert (joined - whole).abs().max() > 1e-3

    def brightness(piece: Tensor) -> Tensor:  # of the whole piece: as far from local as can be
        return piece.mean().expand(1, 1, *piece.shape[-2:])

    ramp = torch.linspace(0, 1, 64).expand(1, 1, 64, 64)
    faded = tiled(brightness, ramp, 32, 1, None)[0, 0]
    hard = tiled(brightness, ramp, 32, 1, 0)[0, 0]
    steps = [picture.diff(dim=1).abs().max().item() for picture in (faded, hard)]
    assert steps[0] < steps[1] / 6
    torch.testing.assert_close(tiled(lambda piece: piece, ramp, 32, 1, None), ramp)  # weights add up to one


def test_tiles_of_a_run_are_its_whole(enlarging: Path, both_ways: Path, here: Path) -> None:
    save(here / "x.png", coded(1, 37, 51))
    whole, tiles = (sample(enlarging, "source=x.png", *more) for more in ((), ("tile=16",)))
    torch.testing.assert_close(tiles, whole, rtol=0, atol=1e-5)
    whole, tiles = (sample(both_ways, "source=x.png", *more) for more in ((), ("tile=16",)))
    assert whole.shape == tiles.shape == (1, 3, 37, 51)
    assert not torch.equal(whole, tiles)


# ---- alarms ----


def rung(**numbers: float) -> set[str]:
    names = {"likeness": readings.LIKENESS, "change": readings.CHANGE}
    monitor = Monitor(alarms(None, True, {"generator": 1e-4, "discriminator": 1e-4}), patience=500)
    for step in range(50, 1500, 50):
        monitor.observe({"step": float(step), **{names[name]: value for name, value in numbers.items()}})
    return {finding.name for finding in monitor.findings}


def test_negatives_and_copies_ring() -> None:
    sources = torch.rand(6, 3, 16, 16) * 2 - 1
    negatives, copies = beside_sources(-sources, sources, None), beside_sources(sources, sources, None)
    assert negatives[readings.LIKENESS] == pytest.approx(-1, abs=1e-4)
    assert copies[readings.LIKENESS] == pytest.approx(1, abs=1e-4)
    assert copies[readings.CHANGE] == 0
    assert negatives[readings.CHANGE] == pytest.approx(float(sources.abs().mean()), rel=1e-4)
    assert rung(likeness=negatives[readings.LIKENESS], change=negatives[readings.CHANGE]) == {"inverted_colours"}
    assert rung(likeness=copies[readings.LIKENESS], change=copies[readings.CHANGE]) == {"copied_source"}
    assert rung(likeness=0.6, change=0.2) == set()


def test_what_should_be_a_negative_is_none() -> None:
    """Where each source has its own target, it says what is alike."""
    sources = torch.rand(4, 1, 8, 8)
    assert beside_sources(-sources, sources, -sources)[readings.LIKENESS] == pytest.approx(1, abs=1e-4)
    assert beside_sources(sources, sources, -sources)[readings.LIKENESS] == pytest.approx(-1, abs=1e-4)
    larger = beside_sources(sources.repeat_interleave(2, 2).repeat_interleave(2, 3), sources, None)
    assert larger.keys() == {readings.LIKENESS}  # of another size, nothing is copied
    assert larger[readings.LIKENESS] == pytest.approx(1, abs=1e-4)


def test_tiles_that_differ_from_the_whole_are_told(both_ways: Path, gan_here: Inside) -> None:
    save(Path("x.png"), coded(1, 40, 40))
    told = gan_here("sample", str(both_ways), "source=x.png", "out=y.png", "tile=16")
    assert told.returncode == 0, told.stderr
    assert "tiles differ from it" in told.stderr + told.stdout
    told = gan_here("sample", str(both_ways), "source=x.png", "out=y.png")
    assert "tiles" not in told.stderr + told.stdout


def test_all_sources_are_measured_however_few_targets_there_are(both_ways: Path) -> None:
    """The split test has three pictures of side A and two of side B."""
    device = torch.device("cpu")
    there = open_source(str(both_ways), None, Manner(), device)
    back = open_source(str(both_ways), None, Manner(back=True), device)
    assert (there.n, back.n) == (3, 2)
    assert [len(images) for images, _ in there.batches(8)] == [1, 1, 1]
    assert there.round_trips is not None
    assert len(list(there.round_trips())) == 3
    assert open_source(str(both_ways), 2, Manner(), device).n == 2


def test_it_is_said_where_the_pictures_are_those_that_it_was_trained_on(
    here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Folders without splits give them as the split test, too; others in their place are not those."""
    for place, first in (("data", 0), ("same", 0), ("others", 5)):
        for side, n in (("A", 3), ("B", 2)):
            for k in range(n):
                save(here / place / side / f"{k}.png", coded(first + k, 20, 24))
    run = train(*words(FEW, model=(*UNPAIRED, "dataset.load=18"), steps=1)).folder
    shutil.copy(run / "checkpoints" / "last.pt", here / "alone.pt")
    logging.getLogger("gan_cli").propagate = True
    for what, root, back, learnt in (
        *((run, None, False, True), (run, None, True, True), (here / "alone.pt", None, False, True)),
        *((run, "same", False, True), (run, "others", False, False), (run, "others", True, False)),
    ):
        caplog.clear()
        source = open_source(str(what), None, Manner(back=back), CPU, root=root)
        assert source.data_name == f"one_side:{'train' if learnt else 'test'}{'A' if back else 'B'}"
        assert ("that it was trained on" in str(source.drawn)) == learnt
        assert ("that the run was trained on" in caplog.text) == learnt


def test_a_split_test_is_no_split_train(both_ways: Path) -> None:
    for back in (False, True):
        source = open_source(str(both_ways), None, Manner(back=back), CPU)
        assert source.data_name == f"one_side:test{'A' if back else 'B'}"
        assert "trained on" not in str(source.drawn)


def test_pairs_are_measured_where_the_weights_of_the_detector_are_missing(
    here: Path, gan_here: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default; what was asked for by name is refused."""

    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.setenv("TORCH_HOME", str(here / "hub"))
    monkeypatch.delenv("GAN_INCEPTION", raising=False)
    flat(here, "pictures", 50, (16, 16))
    data = ("dataset=folder", f"dataset.root={here / 'pictures'}", "dataset.resolution=32", "given=grey")
    run = train(*words(FEW, *data, model=PIX2PIX, steps=1)).folder
    told = gan_here("eval", str(run))
    assert told.returncode == 0, told.stderr
    assert "pt_inception" in told.stderr
    measured = [line.split()[0] for line in told.stdout.splitlines() if " n=" in line]
    assert measured == ["psnr", "ssim"]
    for asked in ("detector=inception", "metrics=[fid]", "weights=nowhere.pth"):
        assert gan_here("eval", str(run), asked).returncode == 2


def test_one_folder_on_both_sides_is_refused(here: Path, gan_here: Inside) -> None:
    flat(here, "pictures", 4, (16, 16))
    model = [word for word in CYCLEGAN if not word.startswith("dataset=")]
    told = gan_here("train", *words("dataset=two_folders", "dataset.root=pictures", model=tuple(model)))
    assert (told.returncode, len(told.stderr.splitlines())) == (2, 2)
    assert "is used for both sides" in told.stderr
