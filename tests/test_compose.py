"""Every choice composes, instantiates and trains two steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import remembered
from conftest import (
    CONF,
    QUIET,
    SMALL,
    SMALL_DCGAN,
    SMALL_MLP,
    SMALL_R3GAN,
    SMALL_RESIDUAL,
    SMALL_TRANSLATORS,
    checked,
    words,
)
from gan_cli import sample, train
from gan_cli.config import build, choices, compose, nodes, trust
from gan_cli.errors import ConfigError, Incompatible
from gan_cli.runs.glance import glance
from gan_cli.store.rows import read_rows
from gan_cli.store.run import Run
from gan_cli.training.runtime import StopRequest
from gan_cli.training.session import Session

GROUPS = choices.config_groups(CONF)
# below; tests/test_architectures.py, tests/test_evaluation.py, tests/test_latent.py
OTHERS = ("loss", "conditioning", "model", "detector", "metrics", "preset", "mode", "as", "along")
OTHERS += ("suite", "search", "sampler", "pruner")  # tests/commands/test_bench.py, test_search.py, tests/search
EMBEDDED = ("digits", "ring", "grid", "swiss_roll", "line", "photos", "china2flower")
SEVERAL = ("penalty", "auxiliary", "augment")  # groups that allow several choices
# Terms of what a generator is given, which digits from noise have not.
OF_GIVEN = ("cycle", "identity", "l1", "perceptual", "perceptual_efficientnet", "perceptual_random")
# The small model that a choice goes with; an mlp on digits where nothing is said.
PIX2PIX, SRGAN, CYCLEGAN = (SMALL_TRANSLATORS[model] for model in ("pix2pix", "srgan", "cyclegan"))
MODELS = {
    ("auxiliary", "style_path_length"): SMALL["stylegan2"],
    **{("auxiliary", choice): PIX2PIX for choice in OF_GIVEN},
    **{("auxiliary", choice): CYCLEGAN for choice in ("cycle", "identity")},
    **{("given", choice): PIX2PIX for choice in GROUPS["given"]},
    ("callback", "density"): ("dataset=line", "model=affine"),
    ("given", "smaller"): SRGAN,
    ("game", "cycle"): CYCLEGAN,
    ("game", "regression"): SRGAN,
    ("panel", "none"): (*SRGAN, "game=regression"),
    ("prior", "pair"): PIX2PIX,
    ("prior", "source"): SRGAN,
}
# What some choices cannot do without.
MORE = {
    "classification": ("conditioning=acgan",),
    "vote": ("panel=jury",),
    "perceptual_efficientnet": ("dataset.channels=3",),
}
WITHOUT_WEIGHTS = ("perceptual",)  # VGG19's are not here: tests/test_image_auxiliaries.py
LOSSES = GROUPS["loss"]
# Experiments that are made for other data and machines, on data that are here.
SHRUNK = {
    **dict.fromkeys(("dcgan_cifar10", "dcgan_mnist", "mnist_on_demand"), ("dataset=digits", "model.width=2")),
    "mlp_mnist": ("dataset=digits", "model.generator.hidden=[8,8]", "model.discriminator.hidden=[8]"),
    **dict.fromkeys(("sngan_cifar10", "sngan_mnist"), ("dataset=digits", "model.width=1")),
    **dict.fromkeys(("stylegan2_cifar10_small", "stylegan2_mnist"), ("dataset=digits", *SMALL["stylegan2"])),
    "stylegan2_cifar10": ("dataset=digits", *SMALL["stylegan2"], "dataset.batch_size=4"),
    "r3gan_stacked_mnist": (
        *("dataset.source.of._target_=gan_cli.data.sources.digits", "dataset.source.n=20000", "dataset.resolution=16"),
        *(*SMALL_R3GAN[1:], "dataset.batch_size=4", "trainer.precision=float32"),
    ),
    "modes_stacked_mnist": (
        *("dataset.source.of._target_=gan_cli.data.sources.digits", "dataset.source.n=200", "dataset.download=false"),
        *("model.width=2", "dataset.batch_size=4"),
    ),
    "cyclegan": CYCLEGAN,
    "cyclegan_small": CYCLEGAN[1:],
    "pix2pix": ("dataset=digits", *PIX2PIX, "model.discriminator.norm=batch"),
    "pix2pix_small": ("dataset.resolution=32", "model.width=2", "model.generator.depth=2"),
    **dict.fromkeys(("srresnet", "srresnet_small", "srgan_small"), SRGAN[1:]),
    "srgan": (*SRGAN[1:], "auxiliary=[l1]"),
    "esrgan": (*SMALL_TRANSLATORS["esrgan"][1:], "auxiliary=[l1,perceptual_random]"),
    "esrgan_small": SMALL_TRANSLATORS["esrgan"][1:],
    **dict.fromkeys(("r3gan2_digits", "r3gan2_cifar10"), ("dataset=digits", *SMALL["r3gan2"], "dataset.batch_size=4")),
    "r3gan_cifar10": ("dataset=digits", *SMALL_R3GAN, "dataset.batch_size=4", "trainer.precision=float32"),
}


@pytest.mark.parametrize(
    ("group", "choice"),
    [
        (group, choice)
        for group, offered in GROUPS.items()
        for choice in offered
        if group not in ("experiment", "dataset", "callback", *OTHERS) and choice not in WITHOUT_WEIGHTS
    ],
)
def test_every_file_trains_two_steps(here: Path, group: str, choice: str) -> None:
    word = f"{group}=[{choice}]" if group in SEVERAL else f"{group}={choice}"
    model = MODELS.get((group, choice), SMALL_MLP)
    run = train(*words(*MORE.get(choice, ()), "dataset.batch_size=2", word, model=model))
    assert run.step == 2
    glance(str(run.folder), ())  # what conf names is admitted in a stranger's file too


@pytest.mark.parametrize("choice", OF_GIVEN)
def test_terms_of_what_is_given_are_refused_where_nothing_is(choice: str) -> None:
    with pytest.raises(
        Incompatible, match=r"needs back, which nothing here provides|these data give .*\n.*use "
    ) as caught:
        build.trainer(checked(words(f"auxiliary=[{choice}]")))
    assert len(str(caught.value).splitlines()) <= 2


@pytest.mark.parametrize("choice", GROUPS["dataset"])
def test_every_dataset_composes_and_the_embedded_ones_train(here: Path, choice: str) -> None:
    there = choice.endswith(("folder", "folders")) or choice in ("parquet", "webdataset")
    root = ("dataset.root=somewhere",) if there else ()
    config = compose.compose("train", [f"dataset={choice}", *root, *SMALL_MLP, *QUIET]).config
    build.check(config, trust.for_runs())
    nodes.check_names(config, nodes.of_run, trust.for_files())
    if choice in EMBEDDED:
        assert train(*words(f"dataset={choice}")).step == 2


TRACKERS = ("wandb", "mlflow", "trackio")  # which need their libraries: tests/callbacks/test_trackers.py
# What a callback leaves in a run's folder, beside what every run leaves there.
RUNS_OWN = {"config.yaml", "manifest.json", "result.json", "train.log"}
LEFT = {
    "checkpoints": {"checkpoints"},
    "density": {"plots"},
    "health": {"plots"},
    "history": {"metrics.jsonl"},
    "leak": set(),  # a number for the others
    "plots": set(),  # they are drawn from history's file
    "profile": set(),  # a trace of later steps
    "progress": set(),  # lines of the log
    "samples": {"samples"},
    "tensorboard": {"tensorboard"},
}


TRACKERS = {"wandb", "mlflow", "trackio"}  # tests/callbacks/test_trackers.py and tests/extras have them, offline


@pytest.mark.parametrize("choice", [choice for choice in GROUPS["callback"] if choice not in TRACKERS])
def test_every_callback_runs_alone(here: Path, choice: str) -> None:
    """Without the others it does its own work, and nothing else is done."""
    soon = {"progress": ("callback.progress.every_steps=2",), "leak": ("callback.leak.steps=10",)}.get(choice, ())
    run = train(*words(f"callback=[{choice}]", *soon, model=MODELS.get(("callback", choice), SMALL_MLP)))
    assert run.step == 2
    found = {path.relative_to(run.folder).parts[0] for path in run.folder.rglob("*") if path.is_file()}
    assert found == RUNS_OWN | LEFT[choice]
    assert (" step 2 " in (run.folder / "train.log").read_text()) == (choice == "progress")


@pytest.mark.parametrize("choice", GROUPS.get("experiment", []))
def test_every_experiment_trains_two_steps(here: Path, choice: str) -> None:
    root = ("dataset.root=somewhere",) if choice in ("cyclegan", "pix2pix") else ()
    config = compose.compose("train", [f"experiment={choice}", *root]).config
    build.check(config, trust.for_runs())
    nodes.check_names(config, nodes.of_run, trust.for_files())
    ends = ("trainer.max_steps=2", "trainer.max_minutes=null")
    assert train(f"experiment={choice}", *SHRUNK.get(choice, ()), *ends, *QUIET).step == 2


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_on_images(here: Path, loss: str) -> None:
    result = train(*words(f"loss={loss}", model=SMALL_DCGAN))
    (row,) = read_rows(result.folder / "metrics.jsonl")
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


# none and projection: tests/test_architectures.py
@pytest.mark.parametrize("conditioning", sorted({*GROUPS["conditioning"]} - {"none", "projection"}))
def test_every_conditioning_with_every_model(here: Path, conditioning: str) -> None:
    for model in SMALL.values():
        chosen = checked(words(f"conditioning={conditioning}", model=model))
        build.check(chosen.config, trust.for_files(()))
        trainer = build.trainer(chosen)
        trainer.place()
        assert Session(trainer, Run(here)).fit(StopRequest()) == "finished"


def test_colour_and_odd_sides_need_no_preset(here: Path) -> None:
    """The trained models draw colour pictures of 20 x 12 pixels, and grey ones of 32 x 16."""
    colour = train(*words("dataset.channels=3", "dataset.resolution=[20,12]", "dataset.fit=pad"))
    grey = train(*words("dataset.resolution=[32,16]", model=SMALL_DCGAN))
    for run, shape in ((colour, (2, 20, 12, 3)), (grey, (2, 32, 16, 1))):
        sample(run.folder, "n=2", "out=samples.npz")
        assert np.load("samples.npz")["arr_0"].shape == shape


def test_two_learning_rates(here: Path) -> None:
    config = compose.compose("train", words("optimizer.discriminator.lr=1e-3")).config
    trainer = build.trainer(build.check(config, trust.for_runs()))
    assert {n: o.param_groups[0]["lr"] for n, o in trainer.optimizers.items()} == {
        "generator": 2e-4,
        "discriminator": 1e-3,
    }


@pytest.mark.parametrize(
    ("model", "more"),
    [
        ("sngan", ("loss=wgan", "augment=[packing]")),
        ("sagan", ("loss=r3gan", "conditioning=concat")),
        ("biggan", ("loss=hinge", "conditioning=projection", "penalty=[orthogonal]")),
        ("biggan", ("loss=ragan", "conditioning=acgan", "game=unrolled", "game.unroll_steps=1")),
        ("wgan_gp_resnet", ("loss=wgan_gp", "conditioning=acgan", "trainer.precision=bfloat16")),
        ("wgan_gp_resnet", ("loss=wgan_gp", "auxiliary=[path_length]")),
    ],
    ids=lambda value: value if isinstance(value, str) else ",".join(value),
)
def test_residual_networks_train_with_their_companions(here: Path, model: str, more: tuple[str, ...]) -> None:
    assert train(*words(*more, model=SMALL[model])).step == 2


def test_residual_networks_refuse_points() -> None:
    for model in SMALL_RESIDUAL.values():
        with pytest.raises(ConfigError, match="model=mlp"):
            build.game(checked([*model, "dataset=ring"]))


def test_sagan_learns_four_times_as_fast_in_d() -> None:
    def rates(*more: str) -> tuple[float, float]:
        optimizer = compose.compose("train", ["model=sagan", *more]).config["optimizer"]
        both = [nodes.optimizer_node(optimizer, player) for player in ("generator", "discriminator")]
        return both[0]["lr"], both[1]["lr"]

    assert rates() == (1e-4, 4e-4)
    assert rates("optimizer.lr=1e-3") == (1e-3, 4e-3)
    assert rates("optimizer.discriminator.lr=5e-4") == (1e-4, 5e-4)
    assert rates("optimizer.discriminator.lr=null") == (1e-4, 1e-4)
    assert rates("loss=wgan") == (5e-5, 2e-4)


@pytest.mark.parametrize(
    ("words", "steps"),
    [
        ((), 5000),
        (("trainer.max_images=1000000",), None),
        (("trainer.max_minutes=5",), None),
        (("trainer.max_epochs=2.5",), None),
        (("trainer.max_epochs=2", "trainer.max_steps=300"), 300),
        (("trainer.max_minutes=5", "trainer.max_steps=300"), 300),
    ],
)
def test_the_default_limit_gives_way_to_a_given_one(words: tuple[str, ...], steps: int | None) -> None:
    assert compose.compose("train", list(words)).config["trainer"]["max_steps"] == steps


@pytest.mark.parametrize("model", GROUPS["model"])
def test_what_a_model_includes_counts_as_its_own(model: str) -> None:
    known = choices.keys("train", [f"model={model}"])
    included = {"model.latent_dim", "model.generator.resolution", "model.discriminator.conditioning"}
    of_translators = {"model.generator.source_channels", "model.discriminator.channels"}
    assert (of_translators if model in SMALL_TRANSLATORS else included) <= {*known}
    own = len([key for key in known if key.startswith("model.discriminator.")])
    assert own > (1 if model in SMALL_TRANSLATORS else 4)  # its own settings too


@pytest.mark.parametrize(
    ("words", "label"),
    [
        (["model=mlp"], "mlp-nonsaturating-digits"),
        (["experiment=broken_no_norm"], "broken_no_norm"),
        (["experiment=ring_packing"], "ring_packing"),  # not the name of the experiment that it builds on
        (["experiment=demo", "name=mine"], "mine"),
        (["experiment=null"], "dcgan-nonsaturating-digits"),
    ],
)
def test_a_run_is_named_after_its_name_its_experiment_or_its_parts(words: list[str], label: str) -> None:
    assert compose.compose("train", words).folder.name.split("-", 3)[3] == label


REMEMBERED = (
    ("model=mlp", "hydra/job_logging=disabled"),
    ("model=dcgan",),  # of as many files as
    ("model=sngan",),
    ("experiment=cyclegan", "dataset.resolution=[32,64]", "callback=[history,health]"),
    ("experiment=r3gan_cifar10", "penalty.r1.weight=${linear:1,2,300}"),
    ("model=dcgan", "loss=wgan_gp", "penalty=[r1,r2]", "conditioning=projection", "~optimizer.fused", "seed=3"),
)


def test_what_the_tests_remember_is_what_hydra_composes() -> None:
    def composed() -> list[compose.Composed]:
        return [compose.compose("train", (*words, "hydra.run.dir=here")) for words in REMEMBERED]

    with remembered.forgotten():
        plain = composed()
    assert composed() == plain
    assert composed() == plain
