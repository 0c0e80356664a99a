"""One value and the type of its setting: what a word or a file says, converted as the type would have it."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from functools import cache
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation

ARBITRARY = ConfigDict(arbitrary_types_allowed=True)  # a part may take the place of a number
NUMBER = Annotated[int | float, Field(union_mode="left_to_right")]  # whole where it can be


def converted(value: Any, hint: Any) -> Any:
    """A value converted to the type of its setting: `no` is false for a bool, "1e2" and 100.0 are 100 for an int.

    Raises:
        ValidationError: It cannot be converted.
    """
    adapter = _adapter(hint)
    if adapter is None:
        return value
    if isinstance(value, bool) and not _is_valid(adapter, value):
        value = str(value).lower()  # true is not 1
    try:
        return adapter.validate_python(value)
    except ValidationError:
        number = _number(value)
        if number is None:
            raise
        return adapter.validate_python(number)


def _is_valid(adapter: TypeAdapter, value: Any) -> bool:
    try:
        adapter.validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def _number(value: Any) -> float | None:
    try:
        return float(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _adapter(hint: Any) -> TypeAdapter | None:
    """What validates values of a type; None for the type of a part."""
    try:
        return _kept_adapter(hint, str(hint))
    except TypeError:  # a type with something in it that cannot be looked up
        return _made_adapter(hint)


@cache
def _kept_adapter(hint: Any, text: str) -> TypeAdapter | None:
    """Making one takes longer than using it. The text tells apart what is equal: `int | float` and `float | int`."""
    return _made_adapter(hint)


def _made_adapter(hint: Any) -> TypeAdapter | None:
    try:
        return TypeAdapter(hint, config=ARBITRARY)
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation, TypeError):
        return None


@cache
def hints_of(part: Callable[..., Any]) -> Mapping[str, Any]:
    """The types of a part's settings, with their ranges; an unannotated one has the type of its default."""
    # The fields of a dataclass may come from classes in other modules, where their types have other names.
    function = part.__init__ if inspect.isclass(part) and not is_dataclass(part) else part
    try:
        found = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError):
        found = {}
    parameters = inspect.signature(part).parameters.items()
    return {name: found.get(name, _of_default(parameter.default)) for name, parameter in parameters}


def _of_default(default: Any) -> Any:
    if type(default) is int:  # 1 may stand for 1.0
        return NUMBER
    return type(default) if type(default) in (bool, float) else Any


def admits(hint: Any, kind: Callable[..., Any]) -> bool:
    """Whether a setting of this type may be an object of that class."""
    if typing.get_origin(hint) is Annotated:
        return admits(typing.get_args(hint)[0], kind)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(admits(one, kind) for one in typing.get_args(hint))
    return hint is Any or (inspect.isclass(hint) and inspect.isclass(kind) and issubclass(kind, hint))
