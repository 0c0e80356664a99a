"""Which code the files are of, and which network in them plays which part."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gan_cli.errors import WeightsRefused, two_lines
from gan_cli.foreign import biggan, dcgan, mimicry, r3gan, studiogan, stylegan2
from gan_cli.foreign.families import Family
from gan_cli.foreign.files import read
from gan_cli.foreign.networks import Found, Weights, listed, networks_in
from gan_cli.foreign.pickles import Thing
from gan_cli.store.archives import config_in

FAMILIES = tuple(module.FAMILY for module in (stylegan2, r3gan, biggan, studiogan, mimicry, dcgan))
STEPS, IMAGES = ("global_step", "step"), ("cur_nimg",)  # what the codes call how far they have come
FAR = 2**53
TENSORFLOW = "dnnlib.tflib.network"


@dataclass(frozen=True)
class Players:
    """The networks of one game.

    Attributes:
        average: The averaged generator; the same as the other where there is only one.
        discriminator: None where the files have none.
        step, images: How far training had come, as far as the files say.
        told: What is to be said of the files.
    """

    family: Family
    generator: Weights
    average: Weights
    discriminator: Weights | None
    step: int
    images: int
    told: tuple[str, ...]

    def words(self) -> list[str]:
        """The words of `gan train` that make our networks of these sizes; of two for one setting, the later."""
        family, judge = self.family, self.discriminator
        words = [*family.choices, *family.generator_settings(self.generator)]
        words += [] if judge is None else family.discriminator_settings(judge, self.generator)
        return list({word.partition("=")[0]: word for word in words}.values())


def players_in(paths: Sequence[Path]) -> Players:
    """The networks of one game, in one file or in several.

    Raises:
        CheckpointError, WeightsRefused: A file cannot be read, is of no code that is known here, or has networks that
            play no part.
    """
    found = [_opened(path) for path in paths]
    networks = [network for file in found for network in file.networks]
    known = [family for family in FAMILIES if any(family.draws(network) for network in networks)]
    if not known:
        raise WeightsRefused(two_lines(*_unknown(paths, networks)))
    (family, *others) = known
    if others:
        names = " and ".join(one.name for one in known)
        raise WeightsRefused(two_lines(f"there are generators of {names}", "import one game at a time"))
    generators = [network for network in networks if family.draws(network)]
    judges = [network for network in networks if family.judges(network)]
    rest = [n for n in networks if n not in generators and n not in judges and not _aside(n, family)]
    if rest:
        names = "; ".join(f"{network.where} ({listed(list(network))})" for network in rest[:2])
        raise WeightsRefused(two_lines(f"tensors that play no part: {names}", "import the networks without them"))
    if len(judges) > 1:
        raise WeightsRefused(two_lines(f"two discriminators: {judges[0].where}, {judges[1].where}", "name one of them"))
    generator, average = _parted(generators)
    judge = judges[0] if judges else None
    told = [*family.notes, *_told(found, networks, family, average is generator, judge)]
    return Players(family, generator, average, judge, _count(found, STEPS), _count(found, IMAGES), tuple(told))


def _opened(path: Path) -> Found:
    value = read(path)
    first = value[0] if isinstance(value, tuple) and value else None
    if isinstance(first, Thing) and first.name.module == TENSORFLOW:
        remedy = "the authors' legacy.py (stylegan2-ada-pytorch) converts it to PyTorch"
        raise WeightsRefused(two_lines(f"{path} holds networks of TensorFlow", remedy))
    return networks_in(value, path)


def _unknown(paths: Sequence[Path], networks: Sequence[Weights]) -> tuple[str, str]:
    """What is wrong, and what to do."""
    names = ", ".join(map(str, paths))
    if any(config_in(path) is not None for path in paths):
        return f"{names}: a checkpoint of gan, which needs no import", f"gan sample {shlex.quote(str(paths[0]))}"
    if any(family.judges(network) for family in FAMILIES for network in networks):
        return f"{names}: only a discriminator, and no generator", "name the file of the generator too"
    what = f"its tensors are {listed(list(networks[0]))}" if networks else "it has no tensors"
    known = f"known are {'; '.join(family.name for family in FAMILIES)}"
    return f"{names}: weights of no code that is known here; {what}", known


def _aside(network: Weights, family: Family) -> bool:
    return network.where.rpartition(":")[2] in family.aside


def _averaged(network: Weights) -> bool:
    """Whether its place, or its file's name, says that it is an average."""
    return "ema" in network.where.rpartition("/")[2].lower()


def _parted(generators: Sequence[Weights]) -> tuple[Weights, Weights]:
    """The trained generator and its average. Raises WeightsRefused where it cannot be told."""
    if len(generators) == 1:
        return generators[0], generators[0]
    averages = [network for network in generators if _averaged(network)]
    if len(generators) > 2 or len(averages) != 1:
        names = ", ".join(network.where for network in generators[:3])
        raise WeightsRefused(
            two_lines(
                f"{len(generators)} generators: {names}", "name one, or one and its average, with ema in its name"
            )
        )
    (generator,) = (network for network in generators if network is not averages[0])
    return generator, averages[0]


def _told(
    found: Sequence[Found], networks: Sequence[Weights], family: Family, alone: bool, judge: Weights | None
) -> list[str]:
    """What was not taken, and what there was not."""
    optimizers = [where for file in found for where in file.optimizers]
    aside = [network.where for network in networks if _aside(network, family)]
    return [
        *(["one generator, which stands for its average too"] if alone else []),
        *(["no discriminator: this run has a new one"] if judge is None else []),
        *([f"not taken, optimizers: {listed(optimizers)}"] if optimizers else []),
        *([f"not taken, no players: {listed(aside)}"] if aside else []),
    ]


def _count(found: Sequence[Found], names: Sequence[str]) -> int:
    """The largest of these numbers in the files; 0 where there is none."""
    counts = (file.counts.get(name, 0) for file in found for name in names)
    return max((count for count in counts if 0 <= count <= FAR), default=0)
