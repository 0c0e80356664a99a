"""Which packages are installed, and which of those that this program needs are not."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from typing import NamedTuple

from packaging.requirements import InvalidRequirement, Requirement

OWN = "gan-cli"


class Package(NamedTuple):
    """A requirement of this program."""

    requirement: Requirement
    version: str | None  # what is installed

    @property
    def met(self) -> bool:
        return self.version is not None and self.requirement.specifier.contains(self.version, prereleases=True)


def version(package: str) -> str | None:
    """What is installed; None where nothing is."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def needs() -> list[Package]:
    """What every command may need; empty where the program was not installed as a package."""
    return [Package(found, version(found.name)) for found in _requirements() if _wanted(found, "")]


def extras() -> dict[str, list[Package]]:
    """What each extra needs, without those of the developers."""
    try:
        names = metadata.metadata(OWN).get_all("Provides-Extra") or []
    except metadata.PackageNotFoundError:
        return {}
    wanted = list(_requirements())
    return {
        name: [
            Package(found, version(found.name)) for found in wanted if _wanted(found, name) and not _wanted(found, "")
        ]
        for name in names
        if name != "dev"
    }


def _requirements() -> Iterator[Requirement]:
    try:
        lines = metadata.requires(OWN) or []
    except metadata.PackageNotFoundError:
        return
    for line in lines:
        try:
            yield Requirement(line)
        except InvalidRequirement:
            continue


def _wanted(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})
