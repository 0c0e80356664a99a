"""Callbacks look and write; they change no weight and no random state that a step reads."""

from gan_cli.training.session import Callback, Session

__all__ = ["Callback", "Session"]
