"""The targets that packaged conf/ names, slot by slot: all that a config may name unless the user vouches for more.

A slot is a dotted path in a config, `model.generator.conditioning`; the entries of a group that allows several choices
share one, `penalty.*`. The list is read from the files themselves, so a new choice needs nothing but its file.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from gan_cli.config import choices
from gan_cli.config.renamed import current

REFERENCE = re.compile(r"\$\{([a-z_.]+)\}")
# Slots that also take the targets of another slot.
RAMP = "any number that may follow progress"
KIN = {
    "dataset.source.of": "dataset.source",
    "evaluation.detector": "detector.*",
    "schedule": RAMP,
    "space.*": "search.*",
}
RAMPS = ("gan_cli.ramps.Linear", "gan_cli.ramps.Cosine", "gan_cli.ramps.Steps")


@cache
def several() -> frozenset[str]:
    """The groups of which several choices may be made at once."""
    pairs = [pair for offer in choices.offers().values() for pair in offer.groups.items()]
    return frozenset(group for group, choice in pairs if isinstance(choice, list))


def slot_of(path: str) -> str:
    """`penalty.r1.weight` -> `penalty.*.weight`."""
    first, _, rest = path.partition(".")
    return ".".join([first, "*", *rest.split(".")[1:]]) if rest and first in several() else path


@cache
def slots() -> Mapping[str, frozenset[str]]:
    """Slot -> the targets that conf/ names there."""
    named: defaultdict[str, set[str]] = defaultdict(set, {RAMP: set(RAMPS)})
    references: dict[str, set[str]] = defaultdict(set)
    for path, value in _leaves_of_conf():
        place, _, last = path.rpartition(".")
        if last == "_target_":
            named[slot_of(place)].add(value)
        elif found := REFERENCE.fullmatch(value):
            references[slot_of(path)].add(slot_of(found[1]))
    for slot, other in KIN.items():
        references[slot].add(other)
    for slot, others in references.items():
        for other in others:
            for inner in [name for name in named if name == other or name.startswith(f"{other}.")]:
                named[slot + inner.removeprefix(other)] |= named[inner]
    return {slot: frozenset(targets) for slot, targets in named.items()}


def is_ramp(target: object) -> bool:
    """Whether it names a number that follows progress."""
    return isinstance(target, str) and current(target) in slots()[RAMP]


@cache
def partials() -> frozenset[str]:
    """The slots whose parts conf/ hands over to be called later."""
    found = {slot_of(path.removesuffix("._partial_")) for path, _ in _leaves_of_conf("_partial_")}
    return frozenset(found | {slot for slot, other in KIN.items() if other in found})


def _leaves_of_conf(key: str = "") -> Iterator[tuple[str, str]]:
    """Dotted path and value of every string in conf/; with `key`, of everything under that name."""
    folder = Path(choices.conf_dir())
    for file in sorted(folder.rglob("*.yaml")):
        yield from _leaves(yaml.load(file.read_text(encoding="utf-8"), Loader=LOADER), choices.package(file), key)


def _leaves(node: Any, path: str, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, Mapping):
        for name, value in node.items():
            if name != "defaults":
                yield from _leaves(value, f"{path}.{name}".lstrip("."), key)
    elif isinstance(node, str) if not key else path.endswith(f".{key}"):
        yield path, node


LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # without its C half PyYAML takes ten times as long
