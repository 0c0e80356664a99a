"""Settings of choices that were not made: with `experiment=demo penalty=[]`, its weight of R1 is of no use.

An experiment adjusts what it chooses. Where the words choose something else, such settings are left out, and the run
says so. Only those that packaged files know are left out; any other stays, and is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from gan_cli.config import choices
from gan_cli.config.listed import several


def forget(command: str, config: DictConfig, hydra: Any, chosen: Mapping[str, str | None]) -> tuple[str, ...]:
    """Removes them from a composed config, in which nothing is resolved yet, and returns them: `schedule.start=0.5`.

    Args:
        hydra: Hydra's own part of the config.
        chosen: Group -> choice.
    """
    content, words = _plain(config), _plain(hydra.overrides.task)
    offered = choices.offers()[command].groups
    typed = {str(word).partition("=")[0].lstrip("+~") for word in words}
    anew = {group for group in typed & offered.keys() if not choices.all_global(group)}
    found = [*_of_several(content, hydra), *_of_one(command, content, anew, chosen)] if anew else []
    gone = [name for name in found if not any(f"{key}.".startswith(f"{name}.") for key in typed)]
    return tuple(setting for name in gone for setting in _removed(config, name))


def _plain(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=False)


def _of_several(content: Mapping[str, Any], hydra: Any) -> Iterator[str]:
    """Entries of groups that allow several choices, where something is set but nothing says what to build."""
    for group in sorted(several()):
        entries = content.get(group)
        unmade = [name for name, part in entries.items() if _is_unmade(part)] if isinstance(entries, dict) else []
        known = _choices(group, hydra) if unmade else set()
        yield from (f"{group}.{name}" for name in unmade if name in known)


def _is_unmade(part: Any) -> bool:
    return isinstance(part, dict) and "_target_" not in part


def _choices(group: str, hydra: Any) -> set[str]:
    """The choices of a group, in all folders of configs."""
    folders = [Path(source.path) for source in hydra.runtime.config_sources if source.schema == "file"]
    return {name for folder in folders for name in choices.config_groups(folder).get(group, ())}


def _of_one(
    command: str, content: Mapping[str, Any], anew: set[str], chosen: Mapping[str, str | None]
) -> Iterator[str]:
    """Settings in the groups chosen `anew` that no choice in use has, but some other choice of the group does. None
    where a choice is the user's own, whose file is not read here."""
    made = [(group, choice) for group, choice in chosen.items() if choice is not None and not _sets_anything(group)]
    if any(choice not in choices.packaged().get(group, ()) for group, choice in made):
        return
    known = _of_command(command).union(*(_names(*one) for one in made))
    for group, choice in (one for one in made if one[0] in anew - several()):
        others = _of_any(group)
        place = choices.prefix(group, choice).rstrip(".") or group
        yield from (name for name in _unknown(content, place, known) if name in others)


def _sets_anything(group: str) -> bool:
    return group in choices.packaged() and choices.all_global(group)


@cache
def _of_command(command: str) -> frozenset[str]:
    return frozenset(choices.dotted(choices.own(command)))


@cache
def _of_any(group: str) -> frozenset[str]:
    return frozenset().union(*(_names(group, choice) for choice in choices.packaged()[group]))


@cache
def _names(group: str, choice: str) -> frozenset[str]:
    """The dotted names of a packaged choice's settings; of one that sets something anywhere, those of its own group:
    a loss may set Adam's betas, and SGD has none."""
    names = choices.dotted(choices.read(group, choice), choices.prefix(group, choice))
    anywhere = choices.is_global(group, choice)
    return frozenset(name for name in names if not anywhere or name.startswith(f"{group}."))


def _unknown(content: Mapping[str, Any], place: str, known: Set[str]) -> Iterator[str]:
    """The settings below a place that are not known, the outermost of them."""
    node: Any = content
    for name in place.split("."):
        node = node.get(name) if isinstance(node, dict) else None
    for key in node if isinstance(node, dict) else ():
        name = f"{place}.{key}"
        if key.startswith("_"):
            continue
        if any(other.startswith(f"{name}.") for other in known):
            yield from _unknown(content, name, known)
        elif name not in known:
            yield name


def _removed(config: DictConfig, name: str) -> Iterator[str]:
    """Removes a node, and returns what was set in it."""
    *above, last = name.split(".")
    node: Any = config
    for part in above:
        node = node._get_node(part)
    content = _plain(node)
    with open_dict(node):
        del node[last]
    yield from _settings(name, content[last])


def _settings(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict) and "_target_" not in value:
        for key, below in value.items():
            yield from _settings(f"{name}.{key}", below)
    else:
        yield f"{name}={'...' if isinstance(value, dict) else value}"
