"""One session of a run: the loop around the trainer's steps, and the callbacks."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from gan_cli.sampling import Draws, blocks
from gan_cli.store import checkpoint
from gan_cli.store.run import Run
from gan_cli.training import together
from gan_cli.training.limits import due
from gan_cli.training.runtime import StopRequest
from gan_cli.training.together import Word
from gan_cli.training.trainer import Trainer
from gan_cli.types import Batch, Clock

log = logging.getLogger(__name__)


class Callback:
    """The events at which a callback is called. Callbacks are called in the order in which they are listed, but the
    order does not matter: they look and write, and change no weight and no random state that a step reads."""

    def foresee(self, session: Session) -> Sequence[str]:
        """Before anything is written: warn about the consequences of this run's settings. Raises ValueError for what
        cannot work."""
        return ()

    def on_start(self, session: Session) -> None:
        """Before the first step of this session; `session.clock` says whether the run is resumed. What is published
        here reaches all callbacks once all have started."""

    def on_step(self, session: Session) -> None:
        """After each step. What the time of the next steps is spent on, `session.trainer.watch` tells."""

    def on_record(self, session: Session, record: Mapping[str, float]) -> None:
        """When numbers were read: losses and scores, or a measurement. `record["step"]` is the current step."""

    def on_picture(self, session: Session, name: str, pixels: Tensor) -> None:
        """When a picture was drawn: uint8 `[3, H, W]`."""

    def on_text(self, session: Session, name: str, text: str) -> None:
        """When there was a message in words."""

    def on_end(self, session: Session, status: str) -> None:
        """After the last step: "finished" or "stopped". Not called if the run failed before."""

    def contribute(self, session: Session, part: int) -> None:
        """Of `evaluation`, in the other processes of a run, which hear of no event: does its part of a measurement that
        the first one leads (`gan_cli.training.together.measured`)."""

    def close(self) -> None:
        """Last of all, however the run ended, if `on_start` was called: release terminals and files."""

    def findings(self) -> Mapping[str, Any]:
        """Findings to write into result.json, however the run ended; plain values."""
        return {}


def flat(node: Any, name: str = "") -> dict[str, Any]:
    """A config's values by dotted names; lists, and mappings without entries, are values."""
    if not isinstance(node, Mapping) or not node:
        return {name: node} if name else {}
    return {
        key: value for inner, below in node.items() for key, value in flat(below, f"{name}.{inner}".lstrip(".")).items()
    }


LOOKED_AT, TRANSLATED = 64, 16  # images in previews; a translator draws them one at a time
News = Callable[[Callback], None]  # calls one method of a callback


class Session:
    """Trains until a limit is reached, a stop is requested, or a callback ends the run.

    Args:
        trainer: Takes the steps.
        run: The folder that callbacks write into.
        callbacks: Called at the events of `Callback`.
        config: The run's config as text; every checkpoint holds it.
        measures: Does another rank's part of a measurement, which it is told by number.
    """

    def __init__(
        self,
        trainer: Trainer,
        run: Run,
        callbacks: Sequence[Callback] = (),
        config: str = "",
        measures: Callable[[Session, int], None] | None = None,
    ) -> None:
        self.trainer = trainer
        self.run = run
        self.callbacks = callbacks
        self.config = config
        self.measures = measures
        self.best: dict[str, float | str] | None = None  # the best measurement so far, if any
        self.before = trainer.clock  # of the step that was taken last
        self.diverged = False  # losses or weights are beyond recovery
        self._enough = False
        self._started: list[Callback] = []  # to be closed
        self._held_back: list[News] | None = None  # what was published before all had started

    @property
    def clock(self) -> Clock:
        """The progress of the run."""
        return self.trainer.clock

    def settings(self) -> dict[str, Any]:
        """The config's settings by dotted names: `optimizer.lr`."""
        return flat(yaml.safe_load(self.config) or {})

    def due(self, every_steps: int | None, every_epochs: float | None = None) -> bool:
        """Whether what is done every so often is due after this step; `every_epochs`, where given, replaces steps."""
        return due(self.before, self.clock, len(self.trainer.data), every_steps, every_epochs)

    @cached_property
    def looked_at(self) -> Batch:
        """Real images, and what is given with them, that are looked at in training: the same every time."""
        return self.trainer.data.previewed(LOOKED_AT if self.trainer.data.pictures() == 0 else TRANSLATED)

    @property
    def draws(self) -> Draws:
        """The draws for the samples shown during training."""
        trainer, given = self.trainer, self.looked_at.given
        return Draws.of(trainer.ema.network, trainer.seed, trainer.runtime.device, given=given)

    def few(self, n: int) -> int:
        """How many of `n` samples to look at: of a translator no more than there are images to draw from, which are
        computed one by one."""
        return n if self.looked_at.given is None else min(n, len(self.looked_at))

    def samples(self, n: int) -> Iterator[Tensor]:
        """Samples 0 ... n - 1 of the averaged generator in pieces, on its device, from the same latents every time."""
        trainer = self.trainer
        drawn = blocks(trainer.game, trainer.ema.network, self.draws, n, together.drawn)
        yield from (samples for samples, _ in drawn)

    def _draw(self, count: int) -> None:
        """Draws this process's part of `count` blocks that rank 0 needs for `samples`."""
        trainer, draws = self.trainer, self.draws
        for _ in blocks(trainer.game, trainer.ema.network, draws, count * draws.rows, together.contributed):
            pass

    def _measure(self, part: int) -> None:
        """Does this process's part of what rank 0 measures."""
        assert self.measures is not None
        self.measures(self, part)

    def _agreed(self, mine: Word) -> Word:
        """What all processes do next."""
        return together.agreed(mine, self._draw, self._measure)

    def fit(self, stop: StopRequest) -> str:
        """Trains until a limit is reached ("finished") or a stop is requested ("stopped").

        Raises:
            NonFinite: A term or a weight is not finite; nothing of that state was saved.
        """
        trainer = self.trainer
        self._start()
        started, before = time.perf_counter(), trainer.clock.seconds
        while (word := self._agreed(self._next(stop))) is Word.STEP:
            self.before = trainer.clock
            trainer.step()
            trainer.spent(before + time.perf_counter() - started)
            if trainer.clock.step % trainer.log_every == 0:
                with trainer.span("reading"):
                    read = trainer.read()
                self.publish(read)
            for callback in self.callbacks:
                self._call(callback, lambda callback: callback.on_step(self))
        trainer.check_finite()
        status = "finished" if word is Word.FINISH else "stopped"
        try:
            self._end(status)
        finally:
            self._agreed(word)  # the others draw with rank 0 until the last grid is there
        return status

    def _next(self, stop: StopRequest) -> Word:
        if self._enough or self.trainer.limits.reached(self.trainer.clock):
            return Word.FINISH
        return Word.STOP if stop.asked else Word.STEP

    def _start(self) -> None:
        """Starts all, and only then passes on what some published while starting: their order does not matter."""
        waiting: list[News] = []
        self._held_back = waiting
        for callback in self.callbacks:
            self._started.append(callback)
            callback.on_start(self)
        self._held_back = None
        for news in waiting:
            self._tell(news)

    def _end(self, status: str) -> None:
        """Ends all, even if one fails: the one that saves the weights may come after it."""
        errors = []
        for callback in self.callbacks:
            try:
                callback.on_end(self, status)
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def close(self) -> None:
        """Closes every callback that was started, once; their errors do not change how the run ended."""
        while self._started:
            callback = self._started.pop(0)
            try:
                callback.close()
            except Exception as error:
                log.debug("%s did not close", type(callback).__name__, exc_info=True)
                log.warning("%s did not close: %s", type(callback).__name__, error)

    def findings(self) -> dict[str, Any]:
        """The callbacks' findings."""
        found: dict[str, Any] = {}
        for callback in self.callbacks:
            try:
                found |= callback.findings()
            except Exception as error:
                log.warning("%s found nothing: %s", type(callback).__name__, error)
        return found

    def _tell(self, news: News) -> None:
        if self._held_back is not None:
            self._held_back.append(news)
            return
        for callback in self.callbacks:
            self._call(callback, news)

    def _call(self, callback: Callback, news: News) -> None:
        with self.trainer.span(f"callback: {type(callback).__name__}"):
            news(callback)

    def publish(self, values: Mapping[str, float]) -> None:
        """Passes numbers of the current step to every callback."""
        record = {**self.clock.saved(), "epoch": self.trainer.epoch, **values}
        self._tell(lambda callback: callback.on_record(self, record))

    def publish_picture(self, name: str, pixels: Tensor) -> None:
        """Passes a picture, uint8 `[3, H, W]`, to every callback."""
        self._tell(lambda callback: callback.on_picture(self, name, pixels))

    def publish_text(self, name: str, text: str) -> None:
        """Passes a line of text to every callback."""
        self._tell(lambda callback: callback.on_text(self, name, text))

    def save(self, path: Path) -> None:
        """Writes a checkpoint. Raises NotWritten, and NonFinite if its weights are not finite."""
        checkpoint.save(self.state(), path)

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds; the next step changes it. Raises NonFinite if its weights are not finite."""
        self.trainer.check_finite()
        return {"config": self.config, **self.trainer.state_dict()}

    def note_best(self, best: dict[str, float | str] | None) -> None:
        """Records the best measurement so far."""
        self.best = best

    def end_early(self) -> None:
        """Ends the run after this step."""
        self._enough = True

    def note_diverged(self, diverged: bool) -> None:
        """Records whether losses or weights are beyond recovery."""
        self.diverged = diverged
