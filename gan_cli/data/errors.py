"""What can be wrong with data."""

from __future__ import annotations


class DataError(ValueError):
    """The data are not there or not what the config says; the message says what to do."""


class PictureError(ValueError):
    """No picture that can be read; the message says why, without the file's name."""


class NoLevels(PictureError):
    """The picture's values have no white of their own, and no levels were given."""
