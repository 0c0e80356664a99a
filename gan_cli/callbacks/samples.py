"""Sample grids on fixed latents."""

from __future__ import annotations

from gan_cli import pictures, sampling
from gan_cli.callbacks import Callback
from gan_cli.runs import Run
from gan_cli.training.trainer import Trainer
from gan_cli.types import PositiveInt

POINTS = 2048  # enough to see a density


class Samples(Callback):
    """real.png once, then step-<n>.png from the averaged generator, always on the same latents; a row a class where
    the generator draws classes on demand.

    Args:
        every_steps: Steps between grids; the first step and the last one have one too.
        n: Images in a grid.
    """

    def __init__(self, every_steps: PositiveInt = 500, n: PositiveInt = 64) -> None:
        self.every_steps = every_steps
        self.n = n

    def on_start(self, trainer: Trainer) -> None:
        assert trainer.folder is not None
        self.folder = Run(trainer.folder).samples
        images = len(trainer.data.shape) == 3
        turn = sampling.in_turn(trainer.ema.network)
        rows = -(-self.n // len(turn))  # so that each class gets as many
        self.label = turn.repeat(rows) if images else None
        self.count = rows * len(turn) if images else POINTS
        real = trainer.data.preview(self.count)
        self.behind = None if images else real
        pictures.save(pictures.draw(real), self.folder / "real.png")
        if trainer.clock.step == 0:
            self._draw(trainer)

    def _draw(self, trainer: Trainer) -> None:
        self.drawn = trainer.clock.step
        samples = sampling.draw(trainer.game, trainer.ema.network, trainer.seed, self.count, trainer.runtime.device)
        pixels = pictures.draw(samples, self.label, self.behind)
        pictures.save(pixels, self.folder / f"step-{trainer.clock.step:09d}.png")
        trainer.publish_picture("samples", pixels)

    def on_step(self, trainer: Trainer) -> None:
        if trainer.clock.step % self.every_steps == 0:
            self._draw(trainer)

    def on_end(self, trainer: Trainer, status: str) -> None:
        if trainer.clock.step % self.every_steps:
            self._draw(trainer)
