"""Settings that nothing would read: misspelt in a file, or added with +, they would silently change nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gan_cli.config import choices
from gan_cli.config.errors import ALL, did_you_mean, not_global
from gan_cli.errors import ConfigError, two_lines


def check(command: str, config: DictConfig, chosen: Mapping[str, str | None]) -> None:
    """Raises ConfigError for settings of a composed config (not yet resolved) that no part of the command reads.

    Settings inside a part (a node with a `_target_`) are checked by its signature. The others are read if the packaged
    files have them too, or if an interpolation names them.
    """
    offer = choices.offers()[command]
    content = OmegaConf.to_container(config, resolve=False)
    assert isinstance(content, dict)
    read = {name for _, text in strings(content) for name in re.findall(r"\$\{([\w.]+)", text)}
    known = {*offer.settings, *(group for group in offer.groups if not choices.all_global(group))}
    problems = [*_given_twice(content, chosen), *_unread_conditioning(chosen, read)]
    for key, value in ((str(name), node) for name, node in content.items()):
        if key in offer.groups and key not in known:
            problems.append(not_global(key, chosen.get(key)))
        elif key not in known and not _named(key, read):
            problems.append(two_lines(f"unknown setting '{key}'", did_you_mean(key, known) or ALL))
        elif key in offer.groups and isinstance(value, str):
            remedy = f"in a file, write it into its defaults: [override /{key}: {value}]"
            problems.append(two_lines(f"{key}: {value} is not a choice but a setting here", remedy))
        else:
            problems += _below(command, key, value, read)
    if problems:
        raise ConfigError(*problems)


def strings(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The dotted name and the text of every string in a config."""
    if isinstance(node, str):
        yield path, node
    elif isinstance(node, Mapping):
        for name, value in node.items():
            yield from strings(value, f"{path}.{name}".lstrip("."))
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from strings(value, f"{path}[{i}]")


def _given_twice(content: Mapping[Any, Any], chosen: Mapping[str, str | None]) -> list[str]:
    """A choice of `given` over data that give images of their own, with whose settings it would be mixed."""
    given, dataset = chosen.get("given"), content.get("dataset")
    node = dataset.get("given") if isinstance(dataset, dict) else None
    if given not in choices.packaged().get("given", ()) or not isinstance(node, dict):
        return []
    if "source" not in node.keys() - choices.read("given", str(given)).keys():
        return []
    what = f"given={given}: these data (dataset={chosen.get('dataset')}) give images of their own"
    return [two_lines(what, "leave given= out; given=null where an experiment says it")]


def _unread_conditioning(chosen: Mapping[str, str | None], read: set[str]) -> list[str]:
    """A choice of `conditioning` beside networks that take none, such as translators."""
    conditioning = chosen.get("conditioning") or "none"
    if conditioning == "none" or any(name.startswith("conditioning.") for name in read):
        return []
    what = f"conditioning={conditioning}: the networks of model={chosen.get('model')} take no labels"
    return [two_lines(what, "leave conditioning= out, or choose another model")]


def _below(command: str, path: str, node: Any, read: set[str]) -> list[str]:
    """Unread settings below a node that is not a part."""
    if not isinstance(node, dict) or "_target_" in node:
        return []
    problems = []
    for name, value in node.items():
        key = f"{path}.{name}"
        if _has_part(value) or _named(key, read):
            problems += _below(command, key, value, read)
        elif key not in (known := _packaged(command, path.partition(".")[0])):
            problems.append(two_lines(f"unknown setting '{key}'", did_you_mean(key, sorted(known)) or ALL))
    return problems


def _has_part(node: Any) -> bool:
    return isinstance(node, dict) and ("_target_" in node or any(_has_part(value) for value in node.values()))


def _named(key: str, read: set[str]) -> bool:
    """Whether an interpolation names it, something in it, or something around it; relative ones go by their end."""
    relative = (name.lstrip(".") for name in read if name.startswith("."))
    absolute = (name.rstrip(".") for name in read if not name.startswith("."))
    return any(f".{key}.".endswith(f".{name}.") for name in relative) or any(
        f"{name}.".startswith(f"{key}.") or f"{key}.".startswith(f"{name}.") for name in absolute
    )


def _packaged(command: str, top: str) -> set[str]:
    """The dotted names that the packaged files have below `top`."""
    names = set(choices.dotted(choices.own(command).get(top), f"{top}."))
    for choice in choices.packaged().get(top, ()):
        names |= set(choices.dotted(choices.read(top, choice), choices.prefix(top, choice)))
    return {name for name in names if name.startswith(f"{top}.")}
