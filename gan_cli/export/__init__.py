"""What leaves the program: each module is one form in which a trained generator can be taken elsewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from gan_cli.runs.restore import Restored


class Exported(NamedTuple):
    """What a form makes of a generator."""

    files: Mapping[str, bytes]  # the content of each, by its ending, the main file's first
    facts: Mapping[str, Any]  # what programs are told: `opset` and `largest_difference`, where there are such


class Form(ABC):
    """A form of export: an object that conf/as/ describes."""

    @property
    @abstractmethod
    def ending(self) -> str:
        """Of the main file."""

    @abstractmethod
    def check(self) -> None:
        """Raises PackageMissing or ConfigError, before anything is read, where something is missing on this machine."""

    def replaces(self, path: Path) -> bool:
        """Whether a file that is already beside the main one may be replaced."""
        return True

    @abstractmethod
    def exported(self, restored: Restored) -> Exported:
        """The generator in this form. Raises Incompatible."""
