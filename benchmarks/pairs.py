"""The models on data whose steps are timed, and what of each a tutorial computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tutorial import DCGAN, HINGE, R3GAN, STYLEGAN2, WGAN_GP, Recipe


@dataclass(frozen=True)
class Pair:
    """A model on data.

    Args:
        words: As `gan train` takes them.
        tiny: More of them, for networks of almost nothing.
        recipe: What the tutorial computes.
        variants: Our other ways to train the same, by name.
    """

    words: tuple[str, ...]
    tiny: tuple[str, ...]
    recipe: Recipe
    variants: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


COLOUR = ("dataset=digits", "dataset.resolution=32", "dataset.channels=3")
GREY = ("dataset=digits", "dataset.resolution=32")
SETTINGS = {
    "reused": "game.fakes=reused",
    "together": "game.judged=together",
    "channels last": "trainer.channels_last=true",
    "bfloat16": "trainer.precision=bfloat16",  # left out where the device is not faster in it
    "share=0.25": "penalty.gradient_penalty.share=0.25",
}


def ways(*names: str) -> dict[str, tuple[str, ...]]:
    """Other ways to train the same, by what is set."""
    return {name: tuple(SETTINGS[setting] for setting in name.split(", ")) for name in names}


ONCE = ways("reused", "reused, bfloat16")
BOTH = ways("together", "reused", "reused, together", "reused, together, bfloat16")
SMALL = ("model.latent_dim=4", "model.width=2", "dataset.batch_size=4")
SMALL_MLP = ("model.generator.hidden=[8]", "model.discriminator.hidden=[8]", "dataset.batch_size=4")
STYLED = ("model.generator.style_dim=64", "model.generator.mapping_layers=2", "penalty=[r1]")
PAIRS = {
    "dcgan, 32 px": Pair(
        ("model=dcgan", "model.width=32", "dataset.batch_size=64", *COLOUR),
        SMALL,
        DCGAN,
        ways("reused", "reused, channels last", "reused, channels last, bfloat16"),
    ),
    "sngan, 32 px": Pair(
        ("model=sngan", "loss=hinge", "dataset.batch_size=16", *COLOUR),
        SMALL,
        HINGE,
        ways("reused", "reused, channels last", "reused, channels last, bfloat16"),
    ),
    "dcgan, wgan_gp": Pair(
        ("model=dcgan", "model.width=32", "loss=wgan_gp", "dataset.batch_size=64", *COLOUR),
        SMALL,
        WGAN_GP,
        ways("share=0.25", "share=0.25, reused, channels last", "share=0.25, reused, channels last, bfloat16"),
    ),
    "mlp, 32 px grey": Pair(("model=mlp", "dataset.batch_size=64", *GREY), SMALL_MLP, DCGAN, BOTH),
    "mlp on ring": Pair(("model=mlp", "dataset=ring", "dataset.batch_size=256"), SMALL_MLP, DCGAN, BOTH),
    "r3gan, small": Pair(
        ("model=r3gan", "loss=r3gan", "model.width=32", "dataset.batch_size=16", *COLOUR),
        ("model.latent_dim=4", "model.width=8", "model.blocks=1", "model.group_width=2", "dataset.batch_size=4"),
        R3GAN,
        ways("reused, channels last", "reused, channels last, bfloat16"),
    ),
    "stylegan2, small": Pair(
        ("model=stylegan2", "model.channel_base=1024", "model.latent_dim=64", *STYLED, "dataset.batch_size=16", *GREY),
        ("model.channel_base=32", "model.channel_max=4", "model.generator.style_dim=4", "dataset.batch_size=4"),
        STYLEGAN2,
        ways("reused, channels last", "reused, channels last, bfloat16"),
    ),
    "gan train, digits": Pair((), SMALL, DCGAN, ONCE),
}
