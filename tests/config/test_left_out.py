"""What files set of choices that the words leave out is forgotten; of anything else it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import Inside
from gan_cli.config import build, compose, trust
from gan_cli.errors import ConfigError

HERE = "dataset.root=."


@pytest.mark.parametrize(
    ("words", "group", "left"),
    [
        (["experiment=demo", "penalty=[]"], "penalty", set()),
        (["experiment=sngan_cifar10", "penalty=[dragan]"], "penalty", {"dragan"}),
        (["experiment=r3gan_cifar10", "penalty=[r1]"], "penalty", {"r1"}),
        (["experiment=r3gan_cifar10", "augment=[diffaugment]"], "augment", {"diffaugment"}),
    ],
)
def test_an_experiment_sets_nothing_of_what_the_words_leave_out(words: list[str], group: str, left: set[str]) -> None:
    config = compose.compose("train", [*words, HERE]).config
    assert config[group].keys() == left
    assert all("_target_" in node for node in config[group].values())
    build.check(config, trust.for_files())


def test_what_stays_keeps_the_settings_of_the_experiment() -> None:
    whole = compose.compose("train", ["experiment=r3gan_cifar10", HERE]).config
    less = compose.compose("train", ["experiment=r3gan_cifar10", "penalty=[r1]", HERE]).config
    assert less["penalty"] == {"r1": whole["penalty"]["r1"]}
    assert {**less, "penalty": whole["penalty"]} == whole


def experiment(folder: Path, text: str) -> list[str]:
    (folder / "experiment").mkdir(exist_ok=True)
    (folder / "experiment" / "mine.yaml").write_text(f"# @package _global_\n{text}\n")
    return [f"--config-dir={folder}", "experiment=mine"]


def test_the_same_of_choices_and_experiments_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "penalty").mkdir()
    own = "# @package penalty\nmine:\n  _target_: gan_cli.penalties.R1\n  weight: 1.0\n"
    (tmp_path / "penalty" / "mine.yaml").write_text(own)
    words = experiment(tmp_path, "defaults: [override /penalty: [mine]]\npenalty: {mine: {weight: 3.0}}")
    assert compose.compose("train", words).config["penalty"]["mine"]["weight"] == 3
    assert compose.compose("train", [*words, "penalty=[r2]"]).config["penalty"].keys() == {"r2"}


def test_a_choice_that_nobody_made_and_a_misspelt_one_are_refused(tmp_path: Path) -> None:
    words = experiment(tmp_path, "penalty: {r1: {weight: 3.0}}")
    with pytest.raises(ConfigError, match=r"no _target_\n  choose it too, penalty=\[...,r1\]"):
        build.check(compose.compose("train", words).config, trust.for_files())
    assert compose.compose("train", [*words, "penalty=[r2]"]).config["penalty"].keys() == {"r2"}
    words = experiment(tmp_path, "penalty: {r11: {weight: 3.0}}")
    with pytest.raises(ConfigError, match=r"unknown setting 'penalty\.r11'"):
        compose.compose("train", [*words, "penalty=[r2]"])


@pytest.mark.parametrize(
    ("words", "forgotten"),
    [
        (["experiment=dcgan_cifar10", "schedule=constant"], ("schedule.start=0.5",)),
        (["experiment=demo", "model=mlp"], ("model.generator.upsample=resize", "model.width=16")),
        (["experiment=cyclegan_small", "model=pix2pix"], ("model.generator.blocks=4", "model.generator.skip=True")),
        (["loss=r3gan", "optimizer=sgd"], ("optimizer.betas=[0.0, 0.9]",)),  # what the loss sets of Adam
        (
            ["experiment=stylegan2_mnist", "loss=hinge"],  # a loss that brings no penalties
            ("penalty.r1.weight=5.0", "penalty.r1.interval=4", "penalty.r2.weight=5.0", "penalty.r2.interval=4"),
        ),
    ],
)
def test_what_another_choice_has_no_use_for_is_forgotten_and_told(words: list[str], forgotten: tuple[str, ...]) -> None:
    composed = compose.compose(
        "train", [*words, *([HERE] if "experiment" in words[0] and "demo" not in words[0] else [])]
    )
    assert composed.left_out == forgotten
    build.check(composed.config, trust.for_files())


def test_what_was_typed_or_is_misspelt_or_was_not_chosen_anew_is_not_forgotten(tmp_path: Path) -> None:
    words = ["experiment=dcgan_cifar10", HERE]
    for more in (["schedule=constant", "schedule.start=0.7"], ["schedule=constant", "+schedule.final=0"]):
        with pytest.raises(ConfigError, match=r"unknown setting 'schedule\.(start|final)' of Constant"):
            build.check(compose.compose("train", [*words, *more]).config, trust.for_files())
    mine = experiment(tmp_path, "schedule: {begin: 0.5}")
    with pytest.raises(ConfigError, match=r"unknown setting 'schedule\.begin'"):
        build.check(compose.compose("train", [*mine, "schedule=linear"]).config, trust.for_files())
    mine = experiment(tmp_path, "schedule: {start: 0.5}")
    with pytest.raises(ConfigError, match=r"unknown setting 'schedule\.start' of Constant"):
        build.check(compose.compose("train", mine).config, trust.for_files())
    assert compose.compose("train", [*words, "trainer.max_steps=1"]).left_out == ()


def test_images_that_are_given_besides_are_of_their_own_group() -> None:
    config = compose.compose("train", ["dataset=digits", "given=outline", "model=pix2pix"])
    assert config.left_out == ()
    assert "channels" in config.config["dataset"]["given"]


def test_each_job_of_a_sweep_forgets_for_itself() -> None:
    from gan_cli.config.compose import compose_sweep

    for choice, left in (("[]", set()), ("[r1]", {"r1"})):
        assert compose_sweep(["experiment=demo", f"penalty={choice}"]).job["penalty"].keys() == left


def test_the_run_says_what_is_left_out(gan_here: Inside) -> None:
    told = gan_here(
        "train", "experiment=demo", "penalty=[]", "model.width=2", "trainer.max_steps=1", "callback=[history]"
    )
    assert "this run does not make: penalty.r1.weight=0.2, penalty.r1.interval=8\n" in told.stdout
