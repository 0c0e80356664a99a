"""Sample grids on fixed latents."""

from __future__ import annotations

import torch

from gan_cli import pictures, sampling
from gan_cli.callbacks import Callback, Session
from gan_cli.types import Positive, PositiveInt

POINTS = 2048  # enough to see a density


class Samples(Callback):
    """real.png once, then step-<n>.png from the averaged generator, always on the same latents; one row per class if
    the generator draws classes on demand.

    Args:
        every_steps: Steps between grids; the first and the last step also draw one.
        n: Images in a grid.
        every_epochs: Epochs between grids; where set, it replaces `every_steps`.
    """

    def __init__(
        self, every_steps: PositiveInt = 500, n: PositiveInt = 64, every_epochs: Positive | None = None
    ) -> None:
        self.every_steps = every_steps
        self.every_epochs = every_epochs
        self.n = n
        self.drawn: int | None = None  # the step of the last grid of this session

    def on_start(self, session: Session) -> None:
        self.folder = session.run.samples
        images = len(session.trainer.data.shape) == 3
        turn = sampling.in_turn(session.trainer.ema.network)
        rows = -(-session.few(self.n) // len(turn))  # so that each class gets as many
        self.label = turn.repeat(rows) if images else None
        self.count = rows * len(turn) if images else POINTS
        seen = session.trainer.data.previewed(self.count)
        self.given, self.beside = seen.given, seen.real
        real = pictures.draw(seen.real)
        pictures.save(real, self.folder / "real.png")
        if session.clock.step == 0:
            session.publish_picture("real", real)
            self._draw(session)

    def _draw(self, session: Session) -> None:
        self.drawn = session.clock.step
        samples = torch.cat([piece.cpu() for piece in session.samples(self.count)])
        pixels = self._picture(samples)
        pictures.save(pixels, self.folder / f"step-{session.clock.step:09d}.png")
        session.publish_picture("samples", pixels)

    def _picture(self, samples: torch.Tensor) -> torch.Tensor:
        """A translator's samples between what they were drawn from and real images; others by themselves."""
        if self.given is None:
            return pictures.draw(samples, self.label, self.beside if self.label is None else None)
        return pictures.side_by_side([self.given, samples, self.beside])

    def on_step(self, session: Session) -> None:
        if session.due(self.every_steps, self.every_epochs):
            self._draw(session)

    def on_end(self, session: Session, status: str) -> None:
        if self.drawn != session.clock.step:
            self._draw(session)
