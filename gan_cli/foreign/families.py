"""What a family of checkpoints is: how its networks are recognised, which model they become, and the table of names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gan_cli.foreign.networks import Weights
from gan_cli.foreign.tables import Line

Settings = Callable[[Weights], Sequence[str]]
Lines = Callable[[Weights], Iterable[Line]]


@dataclass(frozen=True)
class Family:
    """Networks of one code.

    Attributes:
        name: The code, as it is known.
        choices: The words of `gan train` that its recipe is here, whatever the sizes.
        draws, judges: Whether tensors are those of its generator, of its discriminator; by their names and shapes.
        generator_settings: Words of `gan train` that follow from its tensors; they win over `choices`.
        discriminator_settings: The same for a discriminator beside a generator.
        generator, discriminator: The tables of names.
        aside: Parts of a file that are no players, by the last word of the place where they stand.
        notes: What is to be said of every import.
    """

    name: str
    choices: Sequence[str]
    draws: Callable[[Weights], bool]
    judges: Callable[[Weights], bool]
    generator_settings: Settings
    discriminator_settings: Callable[[Weights, Weights], Sequence[str]]
    generator: Lines
    discriminator: Lines
    aside: Sequence[str] = ()
    notes: Sequence[str] = ()
