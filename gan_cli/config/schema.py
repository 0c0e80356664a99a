"""Reads a config's nodes as parts: a target and its arguments, each value converted by the target's signature.

The signatures of the parts are their schema: names, types and the ranges of `gan_cli.types`. Problems are collected,
each with its key, value and remedy, and nothing is built before everything has been read.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from annotated_types import Ge
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from gan_cli.config import choices
from gan_cli.config.choices import TEXT
from gan_cli.config.conversion import admits, converted, hints_of
from gan_cli.config.errors import ALL, did_you_mean
from gan_cli.config.listed import RAMP, is_ramp, partials, several, slot_of, slots
from gan_cli.config.renamed import current
from gan_cli.config.trust import Trust, Untrusted, refusal
from gan_cli.config.words import in_shell
from gan_cli.errors import ConfigError, two_lines

OF_HYDRA = ("_args_", "_recursive_", "_convert_")  # of no use here, and they hide what is set
LEAVE = "leave it out"
LONGEST_NAME = 200  # bytes; with the stamp in front, it fits into a file system's 255


@dataclass(frozen=True)
class Part:
    """One node of a config: what to call, and with what."""

    path: str
    name: str  # its `_target_`
    target: Callable[..., Any]
    settings: Mapping[str, Any]  # converted; may contain parts, also inside lists and mappings
    partial: bool  # passed on, to be called later
    usual: Mapping[str, Any]  # defaults of the settings that were not given

    def plain(self) -> dict[str, Any]:
        """The node as it is written down: complete, with the converted values."""
        own = {"_target_": self.name, **({"_partial_": True} if self.partial else {})}
        return {**own, **{key: _plain(value) for key, value in {**self.settings, **self.usual}.items()}}


def _plain(value: Any) -> Any:
    if isinstance(value, Part):
        return value.plain()
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


class Settings(BaseModel):
    """The settings that belong to no part."""

    model_config = ConfigDict(extra="allow")

    seed: Annotated[int, Ge(0)]
    name: str | None = None
    tags: list[str] = []
    init_from: str | None = None

    @field_validator("name")
    @classmethod
    def _one_component(cls, name: str | None) -> str | None:
        return None if name is None else checked_name(name)


def checked_name(name: str) -> str:
    """The label at the end of a run folder's name. Raises ValueError where it cannot be part of a file name."""
    if not name.isprintable() or any(sign in name for sign in "/\\") or name in ("", ".", ".."):
        raise ValueError("a run folder's name has no slash, no control character and is not . or ..")
    if len(name.encode(errors="surrogateescape")) > LONGEST_NAME:
        raise ValueError(f"a run folder's name has at most {LONGEST_NAME} bytes")
    return name


def _message(error: Mapping[str, Any]) -> str:
    if error["type"] in ("sequence_str", "list_type"):
        return "it should be a list: [a,b]"
    if error["type"] == "int_parsing_size":
        return "it should be a whole number of fewer digits"
    return str(error["msg"]).removeprefix("Value error, ").replace("Input", "it").replace("input", "it")


def invalid(key: str, value: Any, remedy: str) -> str:
    return two_lines(f"{key}={_short(value)} is not valid", remedy)


def _complaint(key: str, value: Any, error: ValidationError) -> str:
    found = error.errors()
    # A word is no object of a class: that a number may also be a tensor helps nobody who types one.
    typed = [e for e in found if e["type"] != "is_instance_of"] or found
    return invalid(key, value, "; ".join(sorted({_message(e) for e in typed})))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 100 else f"{text[:80]} ..."


def _remedy(path: str) -> str:
    """For a node that is no part: most often, a file sets something of a choice that nobody made."""
    group, _, name = path.partition(".")
    if group in several() and name in choices.packaged().get(group, ()):
        return f"choose it too, {group}=[...,{name}], or leave {path} out"
    return f"add {path}._target_=module.Class"


def part_of(
    path: str,
    node: Any,
    trust: Trust,
    problems: list[str],
    given: frozenset[str] = frozenset(),
    follows_progress: bool = False,
    slot: str = "",
) -> Part | None:
    """The part that a node describes; what is wrong with it is added to `problems`.

    Args:
        path: Its place in the config.
        given: Arguments that the program adds.
        follows_progress: Whether its numbers may be ramps, whatever its signature says.
        slot: The place's name in conf/, where the path is another.
    """
    slot = slot or slot_of(path)
    if not isinstance(node, Mapping) or "_target_" not in node:
        problems.append(two_lines(f"{path} says nothing about what to build: it has no _target_", _remedy(path)))
        return None
    before = len(problems)
    target = _resolved(path, slot, node, trust, problems)
    partial = node.get("_partial_", False)
    if partial is not False and (partial is not True or slot not in partials()):
        problems.append(
            two_lines(f"{path}._partial_={_short(partial)}: this part is not one to be called later", LEAVE)
        )
    problems += [two_lines(f"{path}.{key} is not supported", LEAVE) for key in OF_HYDRA if key in node]
    if target is None or len(problems) > before:
        _look_inside(path, node, trust, problems)
        return None
    parameters, hints = inspect.signature(target).parameters, hints_of(target)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    settings = {}
    for key, value in node.items():
        if key in ("_target_", "_partial_"):
            continue
        if key not in parameters and not takes_any:
            if _left_alone(slot, node["_target_"], key, value, trust):
                continue
            names = [name for name in parameters if name not in given]
            hint = did_you_mean(str(key), names) or f"it takes {', '.join(names) or 'no settings'}"
            problems.append(two_lines(f"unknown setting '{path}.{key}' of {target.__name__}", hint))
        settings[key] = _value(f"{path}.{key}", value, hints.get(key, Any), trust, problems, follows_progress)
    free = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    for name, parameter in parameters.items() if not partial else ():
        needed = parameter.default is parameter.empty and parameter.kind not in free
        if needed and name not in node and name not in given:
            problems.append(two_lines(f"{path}.{name} is not set", f"add {path}.{name}=..."))
    usual = {
        name: parameter.default
        for name, parameter in parameters.items()
        if name not in node and name not in given and isinstance(parameter.default, bool | int | float | str | None)
    }
    return Part(path, current(node["_target_"]), target, settings, bool(partial), {} if partial else usual)


def _left_alone(slot: str, target: str, key: Any, value: Any, trust: Trust) -> bool:
    """Whether a class of one's own, put into a packaged file, may do without a setting of that file: at this value it
    changes nothing in the packaged classes of the slot that take it."""
    packaged = slots().get(slot, frozenset())
    if current(target) in packaged:
        return False
    signatures = [inspect.signature(trust.resolve(slot, name)).parameters for name in packaged]
    usual = [parameters[key].default for parameters in signatures if key in parameters]
    return bool(usual) and all(type(default) is type(value) and default == value for default in usual)


def _resolved(path: str, slot: str, node: Any, trust: Trust, problems: list[str]) -> Callable[..., Any] | None:
    target = node["_target_"]
    if not isinstance(target, str):
        problems.append(
            two_lines(
                f"{path}._target_={_short(target)} is not the name of a class",
                f"name one: {path}._target_=module.Class",
            )
        )
        return None
    try:
        return trust.resolve(slot, target)
    except Untrusted:
        problems.append(refusal(path, target))
    except LookupError as error:
        problems.append(
            two_lines(f"{path}._target_: {error}", f"name a class or a function: {path}._target_=module.Class")
        )
    return None


def _look_inside(path: str, node: Any, trust: Trust, problems: list[str]) -> None:
    """Adds the problems of the parts inside a node that is itself refused."""
    pairs = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list | tuple) else ()
    for key, inner in pairs:
        if isinstance(inner, Mapping) and "_target_" in inner:
            part_of(f"{path}.{key}", inner, trust, problems)
        else:
            _look_inside(f"{path}.{key}", inner, trust, problems)


def holds_parts(value: Any) -> bool:
    """Whether a value contains a part, at any depth."""
    if isinstance(value, Mapping):
        return "_target_" in value or any(holds_parts(inner) for inner in value.values())
    return isinstance(value, list | tuple | set | frozenset) and any(holds_parts(inner) for inner in value)


def _value(path: str, value: Any, hint: Any, trust: Trust, problems: list[str], follows_progress: bool) -> Any:
    """The converted value of a setting, or the parts that it is made of."""

    def inner(key: Any, value: Any) -> Any:
        return _value(f"{path}.{key}", value, Any, trust, problems, follows_progress)

    if not holds_parts(value):
        return _converted(path, value, hint, problems)
    if isinstance(value, Mapping) and "_target_" in value:
        ramp = is_ramp(value["_target_"])
        part = part_of(path, value, trust, problems, slot=RAMP if ramp else "")
        if ramp and part is not None and not follows_progress and not admits(hint, part.target):
            problems.append(two_lines(f"{path} cannot follow progress", f"give one value: {path}=..."))
        return part
    if isinstance(value, Mapping):
        return {key: inner(key, held) for key, held in value.items()}
    return [inner(i, held) for i, held in enumerate(value)]


def _converted(path: str, value: Any, hint: Any, problems: list[str]) -> Any:
    try:
        return converted(value, hint)
    except ValidationError as error:
        problems.append(_missing(path) if value is None else _complaint(path, value, error))
    return value


def _missing(path: str) -> str:
    quoted = in_shell(f"{path}='null'")
    named = f"; if it is called null, quote it: {quoted}" if path.rpartition(".")[2] in TEXT else ""
    return two_lines(f"{path} is not set", f"add {path}=...{named}")


def parts_in(value: Any) -> Iterator[Part]:
    """A part and all parts in its settings, itself first."""
    if isinstance(value, Part):
        yield value
        value = value.settings
    if isinstance(value, Mapping):
        value = list(value.values())
    for inner in value if isinstance(value, list | tuple) else ():
        yield from parts_in(inner)


def _wrong(model: type[BaseModel], error: Mapping[str, Any]) -> str:
    key = str(error["loc"][0])
    if error["type"] == "extra_forbidden":
        return two_lines(f"unknown setting '{key}'", did_you_mean(key, model.model_fields) or ALL)
    if error["type"] == "missing":
        return two_lines(f"{key} is not set", f"add {key}=...")
    return invalid(key, error["input"], _message(error))


M = TypeVar("M", bound=BaseModel)


def validated(model: type[M], config: Mapping[str, Any]) -> M:
    """Settings of a command, or those that belong to no part, converted. Raises ConfigError with all problems."""
    values = dict(config)
    problems: list[str] = []
    for name, field in model.model_fields.items():
        key = field.alias or name
        if key in values and not holds_parts(values[key]):
            hint = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
            values[key] = _converted(key, values[key], hint, problems)
    if not problems:
        try:
            return model.model_validate(values)
        except ValidationError as error:
            problems = [_wrong(model, e) for e in error.errors()]
    raise ConfigError(*problems)
