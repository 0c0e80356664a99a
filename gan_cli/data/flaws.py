"""What can be wrong with one picture, and names out of files as they may be told."""

from __future__ import annotations


def shown(text: str) -> str:
    """Words out of a stranger's archive or disk, without what a terminal would obey and what is no text."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class PictureError(ValueError):
    """No picture that can be read; the message says why, without the file's name."""


class NoLevels(PictureError):
    """The picture's values have no white of their own, and no levels were given."""
