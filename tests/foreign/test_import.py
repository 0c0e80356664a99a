"""gan import: what the authors' code saved draws and judges here what it did there; nothing is left over."""

from __future__ import annotations

import copy
import errno
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import authors
import definitions
import pytest
import torch
from torch import nn

from conftest import checked
from gan_cli import rng, train
from gan_cli.cli import main
from gan_cli.config import build
from gan_cli.errors import WeightsRefused
from gan_cli.foreign.players import players_in
from gan_cli.foreign.tables import FILTER, Row, translated
from gan_cli.runs.restore import Manner, Restored, restore
from gan_cli.store.run import Run

SMALL = ("dataset=folder", "dataset.root=pictures", "dataset.channels=3")
STYLED = ("model=stylegan2", "dataset.resolution=16", "model.latent_dim=6", "model.generator.style_dim=5")
PYRAMID = ("model.generator.mapping_layers=2", "model.channel_base=64", "model.channel_max=8")
R3 = ("model=r3gan", "dataset.resolution=16", "model.latent_dim=5", "model.width=8", "model.blocks=1")
BIG = ("model=biggan", "dataset.resolution=32", "model.latent_dim=12", "model.width=4", "model.generator.embedding=6")
LABELS = ("dataset.classes=5", "conditioning=projection")
SN = ("dataset.resolution=32", "model.latent_dim=6", "model.width=2", "model.discriminator.width=4")
MIMICRY = ("model.generator.upsample=bilinear", "model.discriminator.rectified=true", "model.discriminator.wide=false")
MODELS = {
    "stylegan2": (*STYLED, *PYRAMID),
    "stylegan2_orig": (*STYLED, *PYRAMID, "model.discriminator.residual=false"),
    "stylegan2_labels": (
        *STYLED,
        *PYRAMID,
        *("model.discriminator.residual=false", "dataset.classes=4", "conditioning=mapping"),
        "conditioning.generator.width=5",
    ),
    "r3gan": (*R3, "model.group_width=8"),
    "r3gan_labels": (
        *R3,
        *("model.group_width=8", "dataset.classes=4", "conditioning=bilinear", "conditioning.generator.width=6"),
    ),
    "r3gan_widths": (
        *("model=r3gan", "dataset.resolution=32", "model.latent_dim=5", "model.width=[16,16,8,4]"),
        *("model.blocks=[1,2,1,1]", "model.group_width=[8,8,4,8]"),
    ),
    "biggan": (*BIG, *LABELS, "model.discriminator.width=8", "model.discriminator.attention=[]"),
    "biggan_64": (
        *(*BIG, *LABELS, "dataset.resolution=64", "model.latent_dim=15", "model.width=[16,16,8,4,2]"),
        *("model.generator.attention=[16]", "model.discriminator.width=2", "model.discriminator.attention=[8]"),
    ),
    "studiogan": (*BIG, *LABELS, "model.discriminator.rectified=true"),
    "studiogan_256": (
        *(*BIG, *LABELS, "dataset.resolution=256", "model.latent_dim=21", "model.width=[16,16,8,8,4,2,1]"),
        *("model.generator.attention=[8]", "model.discriminator.attention=[8]", "model.discriminator.rectified=true"),
    ),
    "mimicry_sngan": ("model=sngan", *SN, *MIMICRY),
    "mimicry_sagan": ("model=sagan", *SN, *LABELS, *MIMICRY, "model.discriminator.attention=[8]"),
    "dcgan": ("model=dcgan", "dataset.resolution=64", "model.latent_dim=6", "model.width=2"),
}


class Theirs:
    """The networks of a game of ours, with random numbers, and the files in which the authors' code would keep them."""

    def __init__(self, name: str) -> None:
        self.name = name
        rng.reseed(0, "weights")
        game = build.game(checked((*SMALL, *MODELS[name])))
        self.latent_dim = game.prior.latent_dim
        self.generator, self.discriminator = (
            game.players()[player].eval() for player in ("generator", "discriminator")
        )
        first, second = authors.CODES[name]
        self.drawn, self.judged = first or authors.CODES["stylegan2"][0], second
        authors.shaken(self.generator, self.drawn)
        authors.shaken(self.discriminator, self.judged)
        self.average = copy.deepcopy(self.generator)
        authors.shaken(self.average, self.drawn, 1)

    def states(self) -> tuple[authors.Tensors, authors.Tensors, authors.Tensors]:
        return (
            authors.saved(self.generator, self.drawn),
            authors.saved(self.average, self.drawn),
            authors.saved(self.discriminator, self.judged),
        )

    def write(self, facts: dict[str, Any] | None = None, said: Sequence[str] = ("G", "G_ema", "D")) -> list[str]:
        """Writes them into the working folder, with facts that the `said` ones say; returns the files' names."""
        raw, average, judge = self.states()
        if self.name.startswith(("stylegan2", "r3gan")):
            trees = {"G": raw, "G_ema": average, "D": judge}
            content: dict[str, Any] = {
                key: authors.Tree(tensors, (facts or {}) if key in said else {}) for key, tensors in trees.items()
            }
            pickled = authors.persistent_pickle if "style" in self.name else authors.plain_pickle
            pickled({**content, "training_set_kwargs": {"path": "x"}, "cur_nimg": 4000}, Path("snapshot.pkl"))
            return ["snapshot.pkl"]
        if self.name.startswith("biggan"):  # torch's older stream
            for name, state in zip(("G.pth", "G_ema.pth", "D.pth"), (raw, average, judge), strict=True):
                torch.save(state, name, _use_new_zipfile_serialization=False)
            return ["G.pth", "G_ema.pth", "D.pth"]
        if self.name.startswith("studiogan"):
            optimizer = torch.optim.Adam(self.generator.parameters()).state_dict()
            torch.save({"state_dict": raw, "optimizer": optimizer}, "model=G-best-weights-step=7.pth")
            torch.save({"state_dict": average}, "model=G_ema-best-weights-step=7.pth")
            torch.save({"state_dict": judge, "step": 7, "run_name": "x", "best_fid": 1.5}, "model=D.pth")
            return [
                "model=G-best-weights-step=7.pth",
                "model=G_ema-best-weights-step=7.pth",
                "model=D.pth",
            ]
        wrap = (lambda state: {"model_state_dict": state, "global_step": 9}) if "mimicry" in self.name else dict
        torch.save(wrap(average), "netG.pth")
        torch.save(wrap(judge), "netD.pth")
        return ["netG.pth", "netD.pth"]


def restored(run: str, **manner: Any) -> Restored:
    return restore(run, Manner(**manner), torch.device("cpu"))


def drawn(generator: nn.Module, latent_dim: int) -> torch.Tensor:
    latent = torch.randn(5, latent_dim, generator=torch.Generator().manual_seed(2))
    torch.manual_seed(3)  # for the noise of styles
    with torch.no_grad():
        images: torch.Tensor = generator(latent, torch.arange(5) % max(1, generator.classes))
    return images


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", MODELS)
def test_imported_networks_draw_and_judge_as_the_authors(name: str, there: Path) -> None:
    theirs = Theirs(name)
    assert main(["import", *theirs.write(), "out=run"]) == 0
    ours = restored("run")
    latent_dim = ours.game.prior.latent_dim
    images = drawn(theirs.average, latent_dim)
    torch.testing.assert_close(drawn(ours.generator, latent_dim), images, atol=1e-5, rtol=1e-5)
    if not name.startswith(("mimicry", "dcgan")):  # whose files have no average
        raw = restored("run", ema=False).generator
        torch.testing.assert_close(drawn(raw, latent_dim), drawn(theirs.generator, latent_dim), atol=1e-5, rtol=1e-5)
    judge, label = ours.game.players()["discriminator"].eval(), torch.arange(5) % max(1, ours.generator.classes)
    with torch.no_grad():
        torch.testing.assert_close(
            judge(images, label).logits, theirs.discriminator(images, label).logits, atol=1e-4, rtol=1e-5
        )


DEFINED = {
    "r3gan": (definitions.r3gan_drawn, definitions.r3gan_judged),
    "r3gan_widths": (definitions.r3gan_drawn, definitions.r3gan_judged),
    "biggan_64": (definitions.brock_drawn, definitions.brock_judged),
}


@pytest.mark.parametrize("name", DEFINED)
def test_ours_are_what_the_authors_define(name: str) -> None:
    theirs, (draw, judge) = Theirs(name), DEFINED[name]
    raw, _, seen = theirs.states()
    latent = torch.randn(3, theirs.latent_dim, generator=torch.Generator().manual_seed(2))
    label = torch.arange(3) % max(1, theirs.generator.classes)
    with torch.no_grad():
        images, wanted = theirs.generator(latent, label), draw(raw, latent, label)
        torch.testing.assert_close(images, wanted, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(
            theirs.discriminator(images, label).logits, judge(seen, images, label), atol=1e-4, rtol=1e-5
        )


def test_a_run_says_where_it_is_from(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = Theirs("studiogan").write()
    assert main(["import", *files, "out=run", "name=mine", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["folder"], told["step"], told["family"]) == ("run", 7, "BigGAN (PyTorch-StudioGAN)")
    manifest, result = (json.loads(Path("run", name).read_text()) for name in ("manifest.json", "result.json"))
    assert [file["name"] for file in manifest["origin"]["files"]] == files
    assert all(len(file["sha256"]) == 64 for file in manifest["origin"]["files"])
    assert manifest["origin"]["discriminator"] == "imported"
    assert (result["step"], result["status"]) == (7, "finished")
    assert told["parameters"] == manifest["parameters"]
    assert main(["import", "run/checkpoints/last.pt"]) == 2  # of ours already


def test_a_root_is_kept_as_a_whole_path(there: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Theirs("dcgan").write()
    assert "is not there" in refused(["netG.pth", "root=nowhere"], capsys)
    assert main(["import", "netG.pth", "out=run", "root=pictures"]) == 0
    assert restored("run").config["dataset"]["root"] == str(pictures)


def test_an_imported_run_is_listed_shown_and_trained_on_but_not_resumed(
    there: Path, capsys: pytest.CaptureFixture[str], pictures: Path
) -> None:
    Theirs("dcgan").write()
    assert main(["import", "netG.pth", "netD.pth", "out=run"]) == 0
    assert main(["runs", "."]) == 0
    assert main(["show", "run"]) == 0
    assert "DCGAN (pytorch/examples), discriminator imported" in capsys.readouterr().out
    assert main(["train", "resume=run"]) == 2
    assert "repeat=run init_from=run" in capsys.readouterr().err
    more = ("trainer.max_steps=1", "dataset.batch_size=2", "hydra.run.dir=more")
    train("repeat=run", "init_from=run", f"dataset.root={pictures}", *more)
    assert "discriminator: 25 of 25 tensors taken" in Path("more/train.log").read_text()


@pytest.mark.parametrize("moment", ["begin", "end"])
@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), 130), (OSError(errno.ENOSPC, "No space left on device"), 2)]
)
def test_an_import_that_does_not_come_to_its_end_leaves_nothing(
    moment: str, error: BaseException, code: int, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = getattr(Run, moment)

    def cut_short(*arguments: Any) -> None:
        usual(*arguments)
        raise error

    Theirs("dcgan").write()
    before = {*Path().iterdir()}
    monkeypatch.setattr(Run, moment, cut_short)
    assert main(["import", "netG.pth", "out=run"]) == code
    assert {*Path().iterdir()} == before
    monkeypatch.undo()
    assert main(["import", str(there / "netG.pth"), f"out={there / 'run'}"]) == 0


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    from PIL import Image

    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(4):
        Image.new("RGB", (64, 64), (60 * i, 9, 200 - i)).save(folder / f"{i}.png")
    return folder


def test_a_generator_alone_gets_a_new_discriminator(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Theirs("mimicry_sngan").write()
    assert main(["import", "netG.pth", "out=run"]) == 0
    assert "this run has a new one" in capsys.readouterr().out
    assert json.loads(Path("run/manifest.json").read_text())["origin"]["discriminator"] == "new"


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What an import says that is refused, in two lines, having written nothing."""
    before = {*Path().iterdir()}
    assert main(["import", *words, "out=run"]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 2, said
    assert {*Path().iterdir()} == before
    return said


@pytest.mark.parametrize(
    "name", ["stylegan2", "stylegan2_labels", "r3gan_labels", "biggan", "studiogan", "mimicry_sagan", "dcgan"]
)
def test_each_tensor_of_each_player_is_needed_in_its_shape(name: str, there: Path) -> None:
    theirs = Theirs(name)
    players = players_in([Path(file) for file in theirs.write()])
    for weights, network, table in (
        (players.average, theirs.average, players.family.generator),
        (players.discriminator, theirs.discriminator, players.family.discriminator),
    ):
        assert weights is not None
        lines = list(table(weights))
        translated(lines, weights, network)
        for one in {source for line in lines if isinstance(line, Row) for source in line.sources}:
            view = weights.views.pop(one)
            with pytest.raises(WeightsRefused, match=re.escape(one)):
                translated(lines, weights, network)
            weights.views[one] = view
        weights.views["a.weight"] = view
        with pytest.raises(WeightsRefused, match=r"without a place here: a\.weight"):
            translated(lines, weights, network)
        del weights.views["a.weight"]
        network.register_buffer("more", torch.zeros(1))
        with pytest.raises(WeightsRefused, match="nothing for more"):
            translated(lines, weights, network)


def test_a_tensor_too_many_or_too_few_or_of_another_shape_is_a_reason_to_refuse(
    there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Theirs("dcgan").write()
    state = torch.load("netG.pth")
    torch.save({key: value for key, value in state.items() if key != "main.4.bias"}, "less.pth")
    assert "main.4.bias" in refused(["less.pth", "netD.pth"], capsys)
    torch.save({**state, "main.1.more": torch.zeros(2)}, "more.pth")
    assert "main.1.more" in refused(["more.pth"], capsys)
    torch.save({**state, "main.4.bias": torch.zeros(1)}, "other.pth")
    assert "main.4.bias has the shape [1]" in refused(["other.pth"], capsys)
    torch.save({**state, "main.1.bias": torch.full_like(state["main.1.bias"], torch.nan)}, "nan.pth")
    assert "not a number" in refused(["nan.pth"], capsys)
    torch.save({**state, "main.4.running_var": torch.full_like(state["main.4.running_var"], -0.5)}, "below.pth")
    assert "main.4.running_var holds the variance -0.5" in refused(["below.pth"], capsys)


@pytest.mark.parametrize(
    ("name", "of_judge", "tensor"),
    [
        ("r3gan_widths", False, "Model.MainLayers.1.Layers.1.LinearLayer2.Layer.weight"),
        ("r3gan_labels", False, "Model.EmbeddingLayer.weight"),
        ("biggan_64", False, "shared.weight"),
        ("biggan_64", False, "blocks.2.0.bn1.gain.weight"),
        ("studiogan", True, "blocks.0.0.conv2d0.weight_u"),
        ("mimicry_sagan", False, "block4.b1.embed.weight"),
        ("stylegan2", False, "mapping.fc0.weight"),
        ("stylegan2_labels", False, "mapping.embed.weight"),
        ("stylegan2", False, "synthesis.b4.torgb.weight"),
        ("stylegan2", False, "synthesis.b8.conv1.weight"),
        ("stylegan2", True, "b8.conv0.weight"),
        ("stylegan2", True, "b4.fc.weight"),
        ("stylegan2", True, "b4.conv.weight"),
    ],
)
def test_tensors_with_too_few_or_too_many_axes_are_refused(
    name: str, of_judge: bool, tensor: str, there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn, _, judged = Theirs(name).states()
    state = judged if of_judge else drawn
    whole = state[tensor]
    for changed in (whole.flatten()[0], whole[None], whole.flatten()[:3]):
        state[tensor] = changed.clone()
        torch.save(drawn, "G.pt")
        torch.save(judged, "D.pt")
        assert tensor in refused(["G.pt", "D.pt"], capsys)


def test_what_cannot_be_equal_is_refused(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, _, judge = Theirs("stylegan2").states()
    torch.save(raw, "drawn.pt")
    torch.save(Theirs("stylegan2_labels").states()[2], "labelled.pt")
    assert "labelled.pt reads labels, and drawn.pt does not" in refused(["drawn.pt", "labelled.pt"], capsys)
    torch.save({**raw, "synthesis.b4.resample_filter": FILTER.flip(0) + FILTER}, "filter.pt")
    assert "resample_filter" in refused(["filter.pt"], capsys)
    drawn, _, seen = Theirs("biggan").states()
    for part in ("weight", "bias", "u0"):
        name = f"blocks.3.0.conv2.{part}"
        seen[name] = seen[name][:, :4] if part == "u0" else seen[name][:4]
    torch.save(drawn, "G.pt")
    torch.save(seen, "D.pt")
    assert "four blocks with [16,16,16,4] channels" in refused(["G.pt", "D.pt"], capsys)
    torch.save(judge, "judge.pt")
    assert "only a discriminator" in refused(["judge.pt"], capsys)
    torch.save({"layer.weight": torch.zeros(3)}, "unknown.pt")
    assert "no code that is known here" in refused(["unknown.pt"], capsys)
    torch.save(raw, "one.pt")
    torch.save(raw, "two.pt")
    assert "2 generators" in refused(["one.pt", "two.pt"], capsys)
    Theirs("dcgan").write()
    assert "one game at a time" in refused(["one.pt", "netG.pth"], capsys)


@pytest.mark.parametrize(
    "facts",
    [{"mapping.fc0.activation": "relu"}, {"mapping.fc1.bias_gain": 0.1}, {"b8.conv0.use_noise": False}],
)
def test_a_pickled_module_that_says_it_differs_is_refused(
    facts: dict[str, Any], there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Theirs("stylegan2").write(facts)
    assert "differs" in refused(["snapshot.pkl"], capsys)


def test_the_size_of_groups_comes_from_the_pickled_module(there: Path) -> None:
    for size, wanted in ((2, 2), (None, 2**20)):
        Theirs("stylegan2").write({"b4.mbstd.group_size": size, "mapping.fc0.bias_gain": 0.01})
        assert main(["import", "snapshot.pkl", f"out=run{size}"]) == 0
        assert restored(f"run{size}").config["model"]["discriminator"]["minibatch_group"] == wanted
