"""A whole config as an experiment file that people can edit: its choices, and every setting with its comment.

Interpolations of conf/ stay where they give the value that is wanted, so that one edit still reaches everything that
follows from it. The text is composed before it is handed out: it gives the config that it was made from.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from gan_cli.config import choices
from gan_cli.config.compose import compose_unresolved
from gan_cli.errors import ConfigError, two_lines
from gan_cli.store.literal import escaped, in_all, is_evaluated

TRIAL = "gan_trial"  # the name of the file while it is tried
HEAD = "# @package _global_"
ROUNDS = 10  # an interpolation that is replaced may be what another follows from
OWN_KEYS = ("_target_", "_partial_")
WIDTH = 10**6  # no line is broken

View = Callable[[dict[str, Any]], dict[str, Any]]


class Experiment:
    """An experiment that gives `config`.

    Args:
        config: What it must give; plain values.
        chosen: Group -> choice, of the groups that allow one.
        flags: `--config-dir FOLDER` for choices of the user's own.
        view: What is done to a composed config before it is compared with `config`.

    Raises:
        ConfigError: No experiment gives it.
    """

    def __init__(
        self, config: Mapping[str, Any], chosen: Mapping[str, str | None], flags: Sequence[str] = (), view: View = dict
    ) -> None:
        self.flags = flags
        self.chosen = _all_chosen(config, chosen, choices.available(flags))
        bare, usual = self._tried({})
        self.settings = _over(bare, view(usual), config)
        for _ in range(ROUNDS):
            found = view(self._tried(self.settings)[1])
            followed = _following(self.settings, found, config)
            if followed == self.settings:
                break
            self.settings = followed
        if other := next(_differing(found, config), None):
            remedy = "gan train repeat=FILE reads a run's config.yaml as it is"
            raise ConfigError(two_lines(f"no experiment gives {other} the value that it has", remedy))

    def _tried(self, settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """What it gives with these settings: unresolved, and resolved."""
        with tempfile.TemporaryDirectory(prefix="gan-config-") as folder:
            file = Path(folder) / "experiment" / f"{TRIAL}.yaml"
            file.parent.mkdir()
            file.write_text("\n".join([HEAD, *self._defaults(), *_lines(settings, {})]), encoding="utf-8")
            words = [*self.flags, "--config-dir", folder, f"experiment={TRIAL}"]
            written, composed = compose_unresolved("train", words)
        return written, composed.config

    def _defaults(self) -> Iterator[str]:
        yield "defaults:"
        for group, choice in self.chosen.items():
            yield f"  - override /{group}: {_value(choice)}"

    def text(self, says: Sequence[str]) -> str:
        """The file, with these lines as its first comment."""
        beside: dict[str, str] = choices.comments("", "train")
        for group, named in self.chosen.items():
            for choice in named if isinstance(named, list) else [named]:
                if choice in choices.packaged()[group]:
                    beside |= _told(group, choice)
        head = [HEAD, *(f"# {line}" for line in says), *self._defaults(), ""]
        return "\n".join([*head, *_lines(self.settings, beside), ""])


def _told(group: str, choice: str) -> dict[str, str]:
    """The comments of a choice, and its description beside its own key."""
    says, _ = choices.described(f"{group}/{choice}.yaml")
    content, place = choices.read(group, choice), choices.prefix(group, choice).rstrip(".")
    own = f"{place}.{next(iter(content))}" if isinstance(choices.default(group), list) and content else place
    named = says if own.endswith(f".{choice}") else f"{choice}: {says}"
    return {**({own: named} if own else {}), **choices.comments(group, choice)}


def _all_chosen(
    config: Mapping[str, Any], chosen: Mapping[str, str | None], there: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """The choices of all groups but experiments, in the order in which they are composed. Raises ConfigError for one
    that is not there."""
    found: dict[str, Any] = {}
    for group, usual in choices.offers()["train"].groups.items():
        if isinstance(usual, list):
            parts = config.get(group) or {}
            found[group] = [name for key, node in parts.items() if (name := _named(group, key, node)) is not None]
        elif group in chosen and not choices.all_global(group):
            found[group] = chosen.get(group)
            if found[group] is not None and found[group] not in there.get(group, ()):
                remedy = "--config-dir FOLDER names the folder of your own choices"
                raise ConfigError(two_lines(f"there is no {group} named '{found[group]}'", remedy))
    return found


def _named(group: str, key: str, node: Any) -> str | None:
    """The packaged choice that a part was chosen by; None for a part of the user's own."""
    for choice in sorted(choices.packaged()[group], key=lambda name: name != key):
        there = choices.read(group, choice).get(key)
        if isinstance(there, dict) and isinstance(node, dict) and _targets(there) == _targets(node):
            return choice
    return None


def _targets(node: Any) -> Any:
    """The targets in a node, at any depth; a number that follows progress is still a number."""
    if not isinstance(node, dict):
        return None
    inner = {key: _targets(value) for key, value in node.items() if isinstance(value, dict) and key != "weight"}
    return {"_target_": node.get("_target_"), **{key: value for key, value in inner.items() if value}}


def _over(bare: Mapping[str, Any], usual: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What a file must say for these settings, over what its choices say.

    Args:
        bare: The choices' settings, with interpolations.
        usual: The same, resolved.
        wanted: Resolved.
    """
    found: dict[str, Any] = {}
    for key, value in wanted.items():
        if key not in bare:
            if key not in usual or usual[key] != value:
                found[key] = in_all(escaped, value)
            continue
        there = bare[key]
        if key in OWN_KEYS and there == value:
            continue
        if isinstance(there, dict) and isinstance(value, dict):
            inner = _over(there, usual[key] if isinstance(usual[key], dict) else {}, value)
            found |= {key: inner} if inner else {}
        else:
            found[key] = there if _follows(there) else in_all(escaped, value)
    return found


def _follows(value: Any) -> bool:
    """Whether it follows from other settings."""
    return isinstance(value, str) and is_evaluated(value)


def _following(settings: Mapping[str, Any], found: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, with values in place of those interpolations that give others than are wanted."""
    kept = {}
    for key, value in settings.items():
        if isinstance(value, dict) and isinstance(wanted[key], Mapping):
            kept[key] = _following(value, found.get(key) or {}, wanted[key])
        else:
            replaced = _follows(value) and found.get(key) != wanted[key]
            kept[key] = in_all(escaped, wanted[key]) if replaced else value
    return kept


def _differing(found: Any, wanted: Any, path: str = "") -> Iterator[str]:
    """Settings that are not as wanted; what is not mentioned may be anything."""
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        for key, value in wanted.items():
            yield from _differing(found[key], value, f"{path}.{key}".lstrip(".")) if key in found else [f"{path}.{key}"]
    elif found != wanted:
        yield path


def _value(value: Any) -> str:
    """A value on one line of YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, width=WIDTH, allow_unicode=True, sort_keys=False)
    return text.removesuffix("\n...\n").strip()


def _lines(settings: Mapping[str, Any], beside: Mapping[str, str], path: str = "", depth: int = 0) -> Iterator[str]:
    """The settings as YAML, each with the comment beside it."""
    for key, value in settings.items():
        name = f"{path}.{key}".lstrip(".")
        comment = f"  # {beside[name]}" if name in beside else ""
        start = f"{'  ' * depth}{_value(key)}:"
        if isinstance(value, dict) and value:
            yield f"{start}{comment}"
            yield from _lines(value, beside, name, depth + 1)
        else:
            yield f"{start} {_value(value)}{comment}"
