"""Callbacks look and write; they change no weight and no random state that a step reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from gan_cli.training.trainer import Trainer


class Callback:
    """The moments at which a callback is called. They are called in the order in which they are listed, and that order
    changes nothing."""

    def foresee(self, trainer: Trainer) -> Sequence[str]:
        """Before anything is written: warnings of what will come of this run's settings. Raises ValueError for what
        cannot work."""
        return ()

    def on_start(self, trainer: Trainer) -> None:
        """Before the first step of this session; `trainer.clock` says whether it is a resumed one. What is published
        here reaches all callbacks once all have started."""

    def on_step(self, trainer: Trainer) -> None:
        """After each step."""

    def on_record(self, trainer: Trainer, record: Mapping[str, float]) -> None:
        """When numbers were read: losses and scores, or a measurement. `record["step"]` is the present step."""

    def on_picture(self, trainer: Trainer, name: str, pixels: Tensor) -> None:
        """When a picture was drawn: uint8 `[3, H, W]`."""

    def on_text(self, trainer: Trainer, name: str, text: str) -> None:
        """When there was something to say that numbers do not."""

    def on_end(self, trainer: Trainer, status: str) -> None:
        """After the last step: "finished" or "stopped". Not called when the run failed before."""

    def close(self) -> None:
        """Last of all, however the run ended and if `on_start` was called: give back terminals and files."""

    def findings(self) -> Mapping[str, Any]:
        """What result.json is to say of what was found, however the run ended; plain values."""
        return {}
