"""What can be wrong with one picture, and names from files made safe to display."""

from __future__ import annotations


def shown(text: str) -> str:
    """Text from an untrusted archive or disk, without terminal control characters and anything that is not text."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class PictureError(ValueError):
    """The picture cannot be read; the message says why, without the file's name."""


class NoLevels(PictureError):
    """The picture's values have no white of their own, and no levels were given."""
