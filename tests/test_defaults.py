"""Where conf/ repeats a constructor's default, the value is the same, or differs for a reason."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from typing import Any

from gan_cli.config import choices

# Experiments set what one run needs; optimizers are torch's, whose defaults are not for GANs.
OTHERS = ("experiment", "optimizer")
# Where a choice is meant to differ from what its class does by itself, and why. A pattern may stand for several.
DIFFERENT = {
    "augment/instance_noise instance_noise.sigma.images": "a ramp counts images or a fraction: neither is usual",
    "conditioning/bilinear generator.width": "R3GAN's embedding of labels; other papers' are narrower",
    "detector/thumbnail thumbnail.side": "thumbnails are small; pixels by themselves are as large as the pictures",
    "dataset/* classes": "a fact of the data",
    "dataset/* channels": "a fact of the data: digits are grey",
    "dataset/digits split": "1797 images are too few to be parted",
    "dataset/* fit": "digits of 28 px are padded to 32, which cuts nothing off",
    "dataset/* flip": "mirrored photographs are photographs",
    "dataset/china2flower *source.only": "one photograph is one domain",
    "dataset/paired_folder given.paired": "a fact of the data",
    "dataset/* windows": "of photographs of several hundred pixels",
    "model/pix2pix model.discriminator.norm": "the patches are CycleGAN's by themselves; pix2pix has batch norm",
    "model/biggan discriminator.attention": "the residual networks are SNGAN's by themselves; BigGAN attends",
    "model/biggan discriminator.init": "BigGAN's weights are orthogonal",
    "model/biggan discriminator.wide": "BigGAN's blocks, as SAGAN's, are wide between their convolutions",
    "model/sagan model.*.attention": "the residual networks are SNGAN's by themselves; SAGAN attends",
    "model/sagan model.discriminator.wide": "SAGAN's blocks are wide between their convolutions",
    "model/sagan model.generator.spectral_norm": "SAGAN normalises the generator too",
    "model/sagan model.generator.upsample": "as in the authors' code of SAGAN",
    "model/stylegan discriminator.downsample": "the discriminator is Progressive GAN's by itself; StyleGAN filters",
    "model/stylegan growth.start": "StyleGAN starts at 8 px, Progressive GAN at 4",
    "model/wgan_gp_resnet discriminator.pool": "WGAN-GP takes the mean over all places, SNGAN the sum",
    "model/wgan_gp_resnet discriminator.spectral_norm": "WGAN-GP bounds the slope by a penalty",
    "model/wgan_gp_resnet generator.upsample": "WGAN-GP repeats pixels",
    "augment/* *.filtered": "a run saved before the setting warps as it did",
    "augment/diffaugment diffaugment.half_up": "a run saved before the setting rounds as it did",
    "model/sngan generator.upsample": "the class doubles as mimicry's did; SNGAN repeats pixels",
    "model/stylegan generator.epsilon": "a run saved before the setting adds what it did",
    "panel/slices count": "a member sees only its slice of a batch: fewer members than a jury's three",
}


def parts(node: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every node that names a class or a function, with its place."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    if isinstance(node, dict) and "_target_" in node:
        yield path, node
    for key, below in pairs:
        yield from parts(below, f"{path}.{key}".lstrip("."))


def plain(value: Any, like: Any) -> Any:
    """A value of YAML as the code writes it: lists as tuples, and 1e-4, which YAML takes for text, as a number."""
    if isinstance(value, list):
        return tuple(value)
    return float(value) if isinstance(value, str) and isinstance(like, float) else value


def repeated() -> Iterator[tuple[str, Any, Any]]:
    """(place, value in YAML, default in code) of every setting that both have."""
    for group in sorted(choices.packaged().keys() - {*OTHERS}):
        for choice in choices.packaged()[group]:
            for path, node in parts(choices.read(group, choice)):
                module, _, name = node["_target_"].rpartition(".")
                signature = inspect.signature(getattr(importlib.import_module(module), name)).parameters
                for key, value in node.items():
                    interpolated = isinstance(value, dict) or "${" in str(value)
                    if key in signature and signature[key].default is not inspect.Parameter.empty and not interpolated:
                        default = signature[key].default
                        yield f"{group}/{choice} {path}.{key}".replace(" .", " "), plain(value, default), default


def test_defaults_that_yaml_repeats_agree_or_differ_on_purpose() -> None:
    found = list(repeated())
    assert len(found) > 250  # else nothing is compared
    differing = [(place, value, default) for place, value, default in found if value != default]
    unexplained = [entry for entry in differing if not any(fnmatch(entry[0], pattern) for pattern in DIFFERENT)]
    assert not unexplained, "make them agree, or say in DIFFERENT why they do not"
    idle = [pattern for pattern in DIFFERENT if not any(fnmatch(place, pattern) for place, _, _ in differing)]
    assert not idle, "these agree: take them off the list"
