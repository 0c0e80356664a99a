"""StyleGAN2 as in stylegan2-ada-pytorch and stylegan3 (`training/networks.py`, `networks_stylegan2.py`)."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from gan_cli.errors import WeightsRefused, two_lines
from gan_cli.foreign.families import Family
from gan_cli.foreign.networks import Weights
from gan_cli.foreign.tables import FILTER, OTHER, SCALED, Fixed, Line, Row, Unread, sided

WEIGHT, BIAS = SCALED.format("weight"), SCALED.format("bias")
WHOLE = 2**20  # larger than any batch, which is then one group
LABEL = "mapping.embed.weight"
RATE = 0.01  # of a mapping network, where nothing says another
NOISE = "a fixed noise; ours is drawn anew, as theirs with noise_mode=random"


def mirrored(kernel: Tensor) -> Tensor:
    """Their up-convolution convolves where ours correlates (`flip_weight` in `conv2d_resample`)."""
    return kernel.flip(2, 3)


def mapped(tensor: Tensor) -> Tensor:
    """A bias `[C]` as ours keeps it, `[C, 1, 1]`."""
    return tensor[:, None, None]


def single(tensor: Tensor) -> Tensor:
    """The strength of a noise, a number, as `[1, 1, 1]`."""
    return tensor.reshape(1, 1, 1)


def sides(weights: Weights, start: str) -> list[int]:
    """The sides of the maps: 4, 8, 16, ... Raises WeightsRefused where one is missing."""
    found = weights.numbered(start)
    if len(found) < 2 or found != [4 << i for i in range(len(found))]:
        raise WeightsRefused(two_lines(f"{weights.where} has maps of sides {found}, not 4, 8, 16, ...", OTHER))
    sided(found[-1])
    return found


def widths(weights: Weights, found: dict[int, int]) -> list[str]:
    """The two settings from which the channels of every side follow. Raises WeightsRefused where they do not."""
    most, base = max(found.values()), max(side * width for side, width in found.items())
    if any(width != min(most, base // side) for side, width in found.items()):
        raise WeightsRefused(
            two_lines(f"{weights.where}: its channels by side, {found}, follow no rule of ours", OTHER)
        )
    return [f"channel_base={base}", f"channel_max={most}"]


def check(weights: Weights, rate: float = RATE) -> None:
    """Raises WeightsRefused for what the tensors cannot show, where a pickled module says that it differs from ours."""
    expected = {"activation": ("lrelu", "linear"), "use_noise": (True,), "architecture": ("skip", "resnet", "orig")}
    for name, value in weights.facts.items():
        home, _, last = name.rpartition(".")
        good = value in expected.get(last, (value,))
        if last == "bias_gain" and home.startswith("mapping.fc"):
            good = isinstance(value, float) and abs(value - rate) < 1e-9
        if (home, last) == ("mapping.embed", "bias_gain"):
            good = value == 1
        if not good:
            raise WeightsRefused(two_lines(f"{weights.where}: {ascii(name)[1:-1][:80]}={value!s:.40} differs", OTHER))


def generator_settings(weights: Weights) -> list[str]:
    check(weights)
    found = {side: weights.shape(f"synthesis.b{side}.conv1.weight", 4)[0] for side in sides(weights, "synthesis.b")}
    style, latent = weights.shape("mapping.fc0.weight", 2)
    labels = []
    if LABEL in weights:
        embedded, classes = weights.shape(LABEL, 2)
        latent -= embedded
        labels = [f"dataset.classes={classes}", "conditioning=mapping", f"conditioning.generator.width={embedded}"]
    return [
        f"dataset.resolution={max(found)}",
        f"dataset.channels={weights.shape('synthesis.b4.torgb.weight', 4)[0]}",
        f"model.latent_dim={latent}",
        f"model.generator.style_dim={style}",
        f"model.generator.mapping_layers={len(weights.numbered('mapping.fc'))}",
        *(f"model.{setting}" for setting in widths(weights, found)),
        *labels,
    ]


def discriminator_settings(weights: Weights, drawing: Weights) -> list[str]:
    labels = _label_settings(weights, drawing)
    found = sides(weights, "b")
    wide = {side: weights.shape(f"b{side}.conv0.weight", 4)[0] for side in found[1:]} | {
        4: weights.shape("b4.fc.weight", 2)[0]
    }
    group = weights.facts.get("b4.mbstd.group_size", 4)
    return [
        *(f"model.discriminator.{setting}" for setting in widths(weights, wide)),
        f"model.discriminator.residual={'b8.skip.weight' in weights}".lower(),
        f"model.discriminator.minibatch_group={WHOLE if group is None else int(group)}",
        f"model.discriminator.minibatch={'stddev' if _deviates(weights) else 'none'}",
        *labels,
    ]


def _label_settings(weights: Weights, drawing: Weights) -> list[str]:
    """What a discriminator has of labels. Its mapping network may have no layers, and learn at any rate: both are so in
    those that `legacy.py` converted. Raises WeightsRefused where only one of the players reads labels."""
    if (LABEL in weights) != (LABEL in drawing):
        first, second = (weights, drawing) if LABEL in weights else (drawing, weights)
        what = f"{first.where} reads labels, and {second.where} does not"
        raise WeightsRefused(two_lines(what, "name two networks of one training"))
    told = weights.facts.get("mapping.fc0.bias_gain")
    rate = told if isinstance(told, float) and told > 0 else RATE
    check(weights, rate)
    if LABEL not in weights:
        return []
    width, layers = weights.shape(LABEL, 2)[0], len(weights.numbered("mapping.fc"))
    settings = (f"width={width}", f"layers={layers}", f"rate={rate:g}")
    return [f"conditioning.discriminator.{setting}" for setting in settings]


def _deviates(weights: Weights) -> bool:
    outputs, inputs, *_ = weights.shape("b4.conv.weight", 4)
    return inputs == outputs + 1


def mapping(weights: Weights, embedding: str, layers: str) -> Iterator[Line]:
    """A mapping network, and the embedding of the label where there is one."""
    if LABEL in weights:
        yield Row(f"{embedding}.{WEIGHT}", LABEL)
        yield Row(f"{embedding}.bias", "mapping.embed.bias")
    for i in weights.numbered("mapping.fc"):
        yield Row(f"{layers}.{i}.{WEIGHT}", f"mapping.fc{i}.weight")
        yield Row(f"{layers}.{i}.{BIAS}", f"mapping.fc{i}.bias")


def modulated(ours: str, theirs: str, up: bool = False) -> Iterator[Line]:
    yield Row(f"{ours}.convolution.style.{WEIGHT}", f"{theirs}.affine.weight")
    yield Row(f"{ours}.convolution.style.bias", f"{theirs}.affine.bias")
    yield Row(f"{ours}.convolution.kernel.{WEIGHT}", f"{theirs}.weight", *([mirrored] if up else []))
    yield Row(f"{ours}.bias", f"{theirs}.bias", mapped)


def noisy(ours: str, theirs: str, up: bool = False) -> Iterator[Line]:
    yield from modulated(ours, theirs, up)
    yield Row(f"{ours}.noise.strength", f"{theirs}.noise_strength", single)
    yield Unread(f"{theirs}.noise_const", NOISE)
    yield Fixed(f"{theirs}.resample_filter", FILTER)


def generator(weights: Weights) -> Iterator[Line]:
    yield Row("w_mean", "mapping.w_avg")
    yield from mapping(weights, "mapping.latent.embedding.linear", "mapping.layers")
    yield Row("synthesis.constant", "synthesis.b4.const")
    for i, side in enumerate(sides(weights, "synthesis.b")):
        theirs = f"synthesis.b{side}"
        if i:
            yield from noisy(f"synthesis.doubling.{i - 1}", f"{theirs}.conv0", up=True)
        yield from noisy(f"synthesis.following.{i - 1}" if i else "synthesis.first", f"{theirs}.conv1")
        yield from modulated(f"synthesis.to_image.{i}", f"{theirs}.torgb")
        yield Fixed(f"{theirs}.resample_filter", FILTER)


def equalised(ours: str, theirs: str, bias: bool = True) -> Iterator[Line]:
    yield Row(f"{ours}.{WEIGHT}", f"{theirs}.weight")
    if bias:
        yield Row(f"{ours}.bias", f"{theirs}.bias")
    yield Fixed(f"{theirs}.resample_filter", FILTER)


def discriminator(weights: Weights) -> Iterator[Line]:
    largest, *others = reversed(sides(weights, "b")[1:])
    yield from equalised("from_image.layers.0", f"b{largest}.fromrgb")
    for i, side in enumerate((largest, *others)):
        residual = f"b{side}.skip.weight" in weights
        inner = f"stages.{i}.residual" if residual else f"stages.{i}"
        yield from equalised(f"{inner}.0.layers.0", f"b{side}.conv0")
        yield from equalised(f"{inner}.1.layers.1", f"b{side}.conv1")
        if residual:
            yield from equalised(f"stages.{i}.shortcut.1", f"b{side}.skip", bias=False)
        yield Fixed(f"b{side}.resample_filter", FILTER)
    yield from equalised("last.0.layers.0", "b4.conv")
    yield from equalised("last.2.layers.0", "b4.fc")
    yield from equalised("head.linear", "b4.out")
    yield from mapping(weights, "head.embedding.linear", "head.layers")


FAMILY = Family(
    name="StyleGAN2 (stylegan2-ada-pytorch, stylegan3)",
    choices=(
        "model=stylegan2",
        "loss=nonsaturating",
        "penalty=[r1]",
        "penalty.r1.interval=16",
        "optimizer.lr=0.0025",
        "optimizer.betas=[0.0,0.99]",
    ),
    draws=lambda weights: "synthesis.b4.const" in weights and "mapping.fc0.weight" in weights,
    judges=lambda weights: "b4.out.weight" in weights and "b4.conv.weight" in weights,
    generator_settings=generator_settings,
    discriminator_settings=discriminator_settings,
    generator=generator,
    discriminator=discriminator,
    aside=("augment_pipe",),
    notes=("noise is drawn anew for each image, and activations are not clamped (theirs at 256, seldom reached)",),
)
