"""Checks of a config before anything is built: every problem at once, each with its key, value and remedy.

The signatures of the parts are their schema: names, types and the ranges of `gan_cli.types`.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, TypeVar

from annotated_types import Ge
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation

from gan_cli.config.errors import ConfigError, did_you_mean, two_lines
from gan_cli.config.trust import Trust, Untrusted, remedy

ARBITRARY = ConfigDict(arbitrary_types_allowed=True)  # a part may stand where a number may
SPECIAL = frozenset({"_target_", "_partial_", "_recursive_", "_convert_", "_args_"})


class Settings(BaseModel):
    """The settings that belong to no part."""

    model_config = ConfigDict(extra="allow")

    seed: Annotated[int, Ge(0)]
    name: str | None = None
    init_from: str | None = None


def _message(error: Mapping[str, Any]) -> str:
    return str(error["msg"]).removeprefix("Value error, ").replace("Input", "it").replace("input", "it")


def _complaint(key: str, value: Any, error: ValidationError) -> str:
    return f"{key}={value!r} is not valid: {'; '.join(sorted({_message(e) for e in error.errors()}))}"


def check_settings(config: Mapping[str, Any]) -> list[str]:
    try:
        Settings.model_validate(dict(config))
    except ValidationError as error:
        return [f"{e['loc'][0]}={e['input']!r} is not valid: {_message(e)}" for e in error.errors()]
    return []


def targets(node: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every node with a `_target_`, with its dotted path, outermost first."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield path, node
        for key, value in node.items():
            yield from targets(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from targets(value, f"{path}.{i}")


def check_node(path: str, node: Mapping[str, Any], trust: Trust, given: frozenset[str]) -> list[str]:
    """What is wrong with one `_target_` node itself; `given` are arguments that the program adds."""
    target = node["_target_"]
    if not isinstance(target, str):
        return [f"{path}._target_={target!r} is no name of a class"]
    try:
        part = trust.resolve(target)
    except Untrusted:
        return [two_lines(f"{path}._target_={target} may not be used: it is no part of gan", remedy(target))]
    except LookupError as error:
        return [f"{path}._target_: {error}"]
    # Hydra passes `_args_` by position, which no config of ours needs and which hides what is set.
    if "_args_" in node:
        return [f"{path}._args_ is not supported: name the arguments"]
    parameters = inspect.signature(part).parameters
    hints = _hints(part)
    problems = []
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for key, value in node.items():
        if key in SPECIAL:
            continue
        if key not in parameters and not takes_any:
            names = [name for name in parameters if name not in given]
            hint = did_you_mean(str(key), names) or f"it takes {', '.join(names) or 'no settings'}"
            problems.append(two_lines(f"unknown setting '{path}.{key}' of {target.rsplit('.', 1)[-1]}", hint))
        elif key in hints and not any(True for _ in targets(value, "")):
            problems += _check_value(f"{path}.{key}", value, hints[key])
    if not node.get("_partial_", False):
        for name, parameter in parameters.items():
            free = parameter.default is parameter.empty and parameter.kind not in (
                parameter.VAR_POSITIONAL,
                parameter.VAR_KEYWORD,
            )
            if free and name not in node and name not in given:
                problems.append(two_lines(f"{path}.{name} is not set", f"add {path}.{name}=..."))
    return problems


def _hints(part: Callable[..., Any]) -> dict[str, Any]:
    function = part.__init__ if inspect.isclass(part) else part
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError):
        return {}


def _check_value(key: str, value: Any, hint: Any) -> list[str]:
    try:
        TypeAdapter(hint, config=ARBITRARY).validate_python(value)
    except ValidationError as error:
        return [two_lines(f"{key} is not set", f"add {key}=...") if value is None else _complaint(key, value, error)]
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation):
        return []  # the type of a part, not of a setting
    return []


def _wrong(model: type[BaseModel], error: Mapping[str, Any]) -> str:
    key = str(error["loc"][0])
    if error["type"] == "extra_forbidden":
        return two_lines(f"unknown setting '{key}'", did_you_mean(key, model.model_fields))
    if error["type"] == "missing":
        return two_lines(f"{key} is not set", f"add {key}=...")
    return f"{key}={error['input']!r} is not valid: {_message(error)}"


M = TypeVar("M", bound=BaseModel)


def validated(model: type[M], config: Mapping[str, Any]) -> M:
    """A command's settings. Raises ConfigError with all problems."""
    try:
        return model.model_validate(dict(config))
    except ValidationError as error:
        raise ConfigError(*(_wrong(model, e) for e in error.errors())) from error
