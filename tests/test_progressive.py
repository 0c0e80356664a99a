"""Runs of pggan, stylegan and stylegan2: with the companions from their papers, and with everything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import SMALL, checked, words
from gan_cli import train
from gan_cli.config import build, compose, nodes
from gan_cli.errors import Refused


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
        with pytest.raises(Refused, match=remedy):
            build.game(checked([*SMALL[model], word]))


def test_styles_on_cifar10_as_the_authors_preset_has_them() -> None:
    """No shortcuts in D, no mirroring; G's Adam is corrected for steps that this preset leaves out."""
    config = compose.compose("train", ["experiment=stylegan2_cifar10"]).config
    c = 4 / 5
    generator = nodes.optimizer_node(config["optimizer"], "generator")
    assert generator["lr"] == pytest.approx(2.5e-3 * c, rel=1e-6)
    assert generator["betas"] == pytest.approx([0, 0.99**c], rel=1e-6)
    discriminator = nodes.optimizer_node(config["optimizer"], "discriminator")
    assert (discriminator["lr"], discriminator["betas"]) == (2.5e-3, [0, 0.99])
    assert config["dataset"]["flip"] is config["model"]["discriminator"]["residual"] is False
