"""A JSON schema of experiment files, with which editors check and complete them as they are typed.

It says what `conf/` and the signatures of the parts say: choices, the names of settings with their types, ranges and
comments. Which settings a section may have depends on its choice, which a schema cannot follow: those of all choices of
a group are allowed together, and `gan train` has the last word.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any

from pydantic import TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError, PydanticUndefinedAnnotation

from gan_cli.config import choices, schema
from gan_cli.config.compose import compose
from gan_cli.config.conversion import hints_of
from gan_cli.config.listed import RAMPS, several, slot_of
from gan_cli.config.nodes import PLAYERS, of_run
from gan_cli.config.trust import for_files

DRAFT = "http://json-schema.org/draft-07/schema#"  # the newest that all editors read
REFERENCE = {"type": "string", "pattern": r"\$\{"}  # ${dataset.resolution}
RAMP = {
    "type": "object",
    "description": "a number that follows progress",
    "properties": {"_target_": {"enum": sorted(RAMPS)}},
    "required": ["_target_"],
}
OWN = ("_target_", "_partial_")
UNIONS = (typing.Union, types.UnionType)


@dataclass
class Place:
    """A place in a config: what its value may be, over all choices."""

    values: list[dict[str, Any]] = field(default_factory=list)
    inner: dict[str, Place] = field(default_factory=dict)
    targets: set[str] = field(default_factory=set)
    open: bool = False  # whether parts of the user's own may be added by name

    def at(self, path: str) -> Place:
        place = self
        for name in path.split(".") if path else ():
            place = place.inner.setdefault(name, Place())
        return place

    def may_be(self, value: dict[str, Any]) -> None:
        if value not in self.values:
            self.values.append(value)


def experiments(flags: Sequence[str] = ()) -> dict[str, Any]:
    """The schema of a file in `experiment/`.

    Args:
        flags: `--config-dir FOLDER`, for choices of the user's own.
    """
    offer, there = choices.offers()["train"], choices.available(flags)
    root, says = Place(), dict(choices.comments("", "train"))
    _add(root, "", {key: value for key, value in choices.own("train").items() if key not in ("defaults", "hydra")})
    for group in (group for group in offer.groups if not choices.all_global(group)):
        for choice in choices.packaged()[group]:
            _add(root, choices.prefix(group, choice).rstrip("."), choices.read(group, choice))
            says |= choices.comments(group, choice)
        root.at(group).open = group in several()
    for player in PLAYERS:  # each has the settings of both
        for name, place in list(root.at("optimizer").inner.items()):
            if name not in (*PLAYERS, *OWN):
                root.at(f"optimizer.{player}").inner.setdefault(name, Place([*place.values, {"type": "null"}]))
    properties = _object(root, says, "")["properties"]
    return {
        "$schema": DRAFT,
        "title": "an experiment of gan",
        "description": "gan train --config-dir FOLDER experiment=NAME reads FOLDER/experiment/NAME.yaml",
        "type": "object",
        "properties": {"defaults": _defaults(offer.groups, there), **properties, "hydra": {"type": "object"}},
        "additionalProperties": False,
    }


def _defaults(groups: Mapping[str, Any], there: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The list of choices at the head of a file."""
    override = {}
    for group, usual in groups.items():
        one: dict[str, Any] = {"enum": [*there[group], None]}
        many = {"type": "array", "items": {"enum": [*there[group]]}, "uniqueItems": True}
        override[f"override /{group}"] = {"anyOf": [one, many]} if isinstance(usual, list) else one
    chosen = {"type": "object", "properties": override, "additionalProperties": False, "minProperties": 1}
    return {
        "type": "array",
        "description": "choices of groups, and experiments that this one builds on",
        "items": {"anyOf": [{"enum": ["_self_", *there["experiment"]]}, chosen]},
    }


def _add(root: Place, path: str, node: Any) -> None:
    """What a node of conf/ allows at its place."""
    place = root.at(path)
    if not isinstance(node, Mapping):
        place.may_be(_of_value(node))
        return
    target = node.get("_target_")
    hints: Mapping[str, Any] = {}
    if isinstance(target, str):
        place.targets.add(target)
        called = for_files().resolve(slot_of(path), target)
        hidden = _given().get(slot_of(path), frozenset())
        hints = {k: hint for k, hint in hints_of(called).items() if k in _named(called) - hidden}
    for name, hint in hints.items():
        if not schema.holds_parts(node.get(name)):
            place.at(name).may_be(_of_hint(hint))
            if name in node and node[name] is None:
                place.at(name).may_be({"type": "null"})
    for name, value in node.items():
        if name not in OWN and (name not in hints or schema.holds_parts(value)):
            _add(root, f"{path}.{name}".lstrip("."), value)


@cache
def _given() -> Mapping[str, frozenset[str]]:
    """Slot -> arguments that the program adds to what a config says."""
    return {node.slot or slot_of(node.path): node.given for node in of_run(compose("train", []).config)}


def _named(called: Callable[..., Any]) -> set[str]:
    """The parameters that have names."""
    free = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {name for name, parameter in inspect.signature(called).parameters.items() if parameter.kind not in free}


def _of_value(value: Any) -> dict[str, Any]:
    """What may stand in place of a value of conf/ whose type nothing declares."""
    if value is None or (isinstance(value, str) and value.startswith("${")):
        return {}  # anything: it may be null, or follows from another setting
    kinds = {bool: "boolean", int: "number", float: "number", str: "string", list: "array"}
    return {"type": kinds.get(type(value), "string")}


def _of_hint(hint: Any) -> dict[str, Any]:
    """The values of a type; a part where the type is a class."""
    if hint is Any or hint is inspect.Parameter.empty:
        return {}
    if typing.get_origin(hint) in UNIONS:
        return _any_of([_of_hint(one) for one in typing.get_args(hint)])
    if typing.get_origin(hint) is Annotated and typing.get_origin(typing.get_args(hint)[0]) in UNIONS:
        return _of_hint(typing.get_args(hint)[0])
    try:
        found = TypeAdapter(hint).json_schema()
    except (PydanticInvalidForJsonSchema, PydanticSchemaGenerationError, PydanticUndefinedAnnotation, TypeError):
        return {"type": "object", "required": ["_target_"]} if inspect.isclass(hint) else {}
    return {} if "$defs" in found else found


def _any_of(values: Sequence[dict[str, Any]]) -> dict[str, Any]:
    different = [value for i, value in enumerate(values) if value not in values[:i]]
    if not different or {} in different:
        return {}
    return different[0] if len(different) == 1 else {"anyOf": different}


def _object(place: Place, says: Mapping[str, str], path: str) -> dict[str, Any]:
    """A mapping with these keys only; one that names a part of the user's own may have any."""
    properties: dict[str, Any] = {
        name: _schema(inner, says, f"{path}.{name}".lstrip(".")) for name, inner in place.inner.items()
    }
    foreign: Any = {"type": "object", "required": ["_target_"]} if place.open else False
    if not place.targets:
        return {"type": "object", "properties": properties, "additionalProperties": foreign}
    properties |= {"_target_": {"type": "string"}, "_partial_": {"type": "boolean"}}
    closed = {"type": "object", "properties": properties, "additionalProperties": False}
    known = {"properties": {"_target_": {"enum": sorted(place.targets)}}}  # also where it names none
    return {"if": known, "then": closed, "else": {"type": "object"}}


def _schema(place: Place, says: Mapping[str, str], path: str) -> dict[str, Any]:
    """What may stand at a place, with the comment that conf/ has beside it."""
    described = {"description": says[path]} if path in says else {}
    if place.inner or place.targets or place.open:
        alternatives = [_object(place, says, path), *place.values]
        if place.targets or path.count(".") > 0:
            alternatives += [REFERENCE, {"type": "null"}]
        return {**_any_of(alternatives), **described}
    value = _any_of(place.values)
    return {**(_any_of([value, *_followers(value)]) if value else {}), **described}


def _followers(value: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What may stand in place of a plain value: a reference, and for a number one that follows progress."""
    yield REFERENCE
    kinds = {value.get("type"), *(one.get("type") for one in value.get("anyOf", ()))}
    if kinds & {"number", "integer"}:
        yield RAMP
