"""What leaves the program: each module is one form in which a trained generator can be taken elsewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gan_cli.runs.restore import Restored


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
    def files(self, restored: Restored) -> Mapping[str, bytes]:
        """The content of each file, by its ending, the main file's first. Raises Incompatible."""
