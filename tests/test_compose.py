"""Every choice composes, instantiates and trains two steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import CONF, QUIET, SMALL, SMALL_DCGAN, SMALL_MLP, words
from gan_cli import train
from gan_cli.config import build, compose, trust
from gan_cli.config.errors import ConfigError
from gan_cli.files import read_json_lines

GROUPS = compose.config_groups(CONF)
MEASURING = ("detector", "metrics", "preset")  # tests/test_evaluation.py
EMBEDDED = ("digits", "ring", "grid", "swiss_roll")
SEVERAL = ("penalty", "auxiliary", "augment")  # groups of which several may be chosen
LOSSES = GROUPS["loss"]
# Experiments that are made for other machines, on data that are here.
SHRUNK = {"stylegan2_cifar10": ("dataset=digits", *SMALL["stylegan2"], "dataset.batch_size=4")}


@pytest.mark.parametrize(
    ("group", "choice"),
    [(g, c) for g, cs in GROUPS.items() for c in cs if g not in ("experiment", "dataset", "callback", *MEASURING)],
)
def test_every_file_trains_two_steps(here: Path, group: str, choice: str) -> None:
    word = f"{group}=[{choice}]" if group in SEVERAL else f"{group}={choice}"
    # what some choices cannot do without
    more = {"classification": ("conditioning=acgan",), "vote": ("panel=jury",)}.get(choice, ())
    model = SMALL[choice] if group == "model" else {"style_path_length": SMALL["stylegan2"]}.get(choice, SMALL_MLP)
    wanted = () if group == "model" else (word,)
    assert train(*words(*wanted, *more, model=model)).step == 2


@pytest.mark.parametrize("choice", GROUPS["dataset"])
def test_every_dataset_composes_and_the_embedded_ones_train(here: Path, choice: str) -> None:
    root = ("dataset.root=somewhere",) if choice == "folder" else ()
    config = compose.compose("train", [f"dataset={choice}", *root, *SMALL_MLP, *QUIET]).config
    build.check(config, trust.for_runs())
    if choice in EMBEDDED:
        assert train(*words(f"dataset={choice}")).step == 2


@pytest.mark.parametrize("choice", GROUPS["callback"])
def test_every_callback_runs_alone(here: Path, choice: str) -> None:
    train(*words(), f"callback=[{choice}]")


@pytest.mark.parametrize("choice", GROUPS.get("experiment", []))
def test_every_experiment_trains_two_steps(here: Path, choice: str) -> None:
    build.check(compose.compose("train", [f"experiment={choice}"]).config, trust.for_runs())
    ends = ("trainer.max_steps=2", "trainer.max_minutes=null")
    assert train(f"experiment={choice}", *SHRUNK.get(choice, ()), *ends, *QUIET).step == 2


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("model", [SMALL_MLP, SMALL_DCGAN], ids=["mlp", "dcgan"])
def test_every_loss_with_every_model_on_images(here: Path, loss: str, model: tuple[str, ...]) -> None:
    result = train(*words(f"loss={loss}", model=model))
    (row,) = read_json_lines(result.folder / "metrics.jsonl")
    assert row["step"] == 2


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_on_points(here: Path, loss: str) -> None:
    assert train(*words(f"loss={loss}", "dataset=ring")).step == 2
    with pytest.raises(ConfigError, match="model=mlp"):
        train(*words(f"loss={loss}", "dataset=ring", model=SMALL_DCGAN))
    assert len(list(here.glob("outputs/train/*"))) == 1


def test_a_loss_brings_its_papers_companions_and_the_user_wins() -> None:
    config = compose.compose("train", ["loss=wgan_gp"]).config
    assert list(config["penalty"]) == ["gradient_penalty"]
    assert config["game"]["critic_steps"] == 5
    assert config["optimizer"]["betas"] == [0.0, 0.9]
    assert config["model"]["discriminator"]["norm"] == "layer"
    config = compose.compose("train", ["loss=wgan"]).config
    assert config["optimizer"]["_target_"] == "torch.optim.RMSprop"
    assert (config["optimizer"]["lr"], config["penalty"]["weight_clipping"]["bound"]) == (5e-5, 0.01)
    mine = ["loss=wgan_gp", "optimizer=sgd", "game.critic_steps=2", "penalty=[r1]", "model.discriminator.norm=none"]
    config = compose.compose("train", mine).config
    assert config["optimizer"]["_target_"] == "torch.optim.SGD"
    assert (config["game"]["critic_steps"], list(config["penalty"])) == (2, ["r1"])
    assert config["model"]["discriminator"]["norm"] == "none"


def test_colour_and_odd_sides_need_no_preset(here: Path) -> None:
    train(*words("dataset.channels=3", "dataset.resolution=[20,12]", "dataset.fit=pad"))
    train(*words("dataset.resolution=[32,16]", model=SMALL_DCGAN))


def test_two_learning_rates(here: Path) -> None:
    config = compose.compose("train", words("optimizer.discriminator.lr=1e-3")).config
    trainer = build.trainer(config)
    assert {n: o.param_groups[0]["lr"] for n, o in trainer.optimizers.items()} == {
        "generator": 2e-4,
        "discriminator": 1e-3,
    }


@pytest.mark.parametrize(
    ("model", "more"),
    [
        (
            "stylegan2",
            ("penalty=[r1]", "penalty.r1.interval=2", "auxiliary=[path_length,style_path_length]", "augment=[ada]"),
        ),
        ("stylegan2", ("conditioning=concat", "loss=r3gan")),
        ("stylegan2", ("conditioning=projection", "loss=hinge", "trainer.precision=bfloat16")),
        ("stylegan2", ("conditioning=acgan", "loss=wgan_gp", "dataset.channels=3", "dataset.resolution=[16,32]")),
        ("stylegan2", ("augment=[packing]", "game=unrolled", "game.unroll_steps=1")),
        ("stylegan", ("conditioning=concat", "loss=feature_matching", "auxiliary=[feature_matching]")),
        ("stylegan", ("conditioning=projection", "loss=dragan", "model.growth.start=16")),
        ("stylegan", ("conditioning=acgan", "loss=ragan", "optimizer=adamw")),
        ("pggan", ("conditioning=concat", "loss=wgan", "model.growth.start=16")),
        ("pggan", ("conditioning=projection", "loss=wgan_gp", "penalty=[gradient_penalty,drift]")),
        ("pggan", ("conditioning=acgan", "panel=jury", "model.growth.stable_images=8", "model.growth.fade_images=16")),
    ],
    ids=lambda value: value if isinstance(value, str) else ",".join(value),
)
def test_progressive_networks_train_with_their_companions(here: Path, model: str, more: tuple[str, ...]) -> None:
    assert train(*words(*more, model=SMALL[model])).step == 2


def test_progressive_networks_refuse_points_and_what_reads_single_samples() -> None:
    for model, word, remedy in (
        ("stylegan2", "dataset=ring", "model=mlp"),
        ("pggan", "auxiliary=[style_path_length]", "model=stylegan2"),
        ("pggan", "penalty=[gradient_penalty]", r"model\.discriminator\.minibatch=none"),
    ):
        with pytest.raises(ConfigError, match=remedy):
            build.game(compose.compose("train", [*SMALL[model], word]).config)


def test_lazy_regularisation_corrects_the_discriminators_adam() -> None:
    config = compose.compose("train", ["experiment=stylegan2_cifar10"]).config
    c = 16 / 17
    node = build.optimizer_node(config["optimizer"], "discriminator")
    assert node["lr"] == pytest.approx(2.5e-3 * c, rel=1e-6)
    assert node["betas"] == pytest.approx([0, 0.99**c], rel=1e-6)
    assert build.optimizer_node(config["optimizer"], "generator")["betas"] == [0, 0.99]
