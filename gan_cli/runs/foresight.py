"""What can be known of a run before its first step."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import torch

from gan_cli.callbacks import Callback
from gan_cli.config.build import Checked
from gan_cli.errors import ConfigError, DataError, Refused, TooFew, raised_at, two_lines
from gan_cli.games.contract import FAULTS, first_line, named, shown, wrong
from gan_cli.games.rehearsal import rows
from gan_cli.training.execution import Compiled
from gan_cli.training.runtime import Runtime, bfloat16_cost, out_of_memory
from gan_cli.training.session import Session
from gan_cli.training.trainer import Trainer
from gan_cli.types import Batch, Data, Growing, Ramp, Term

Said = tuple[int, str]  # a log level, and a line
SEEN = 16  # real samples that the parts are tried on, at most
ROUNDING = 1e-3


def consider(session: Session, checked: Checked) -> list[Said]:
    """Tries out what can be known before the first step; returns the lines to log about it.

    Raises:
        Refused: The run could not go on for long.
    """
    trainer, settings = session.trainer, checked.config["trainer"]
    part = trainer.data.batch_size // (settings["devices"] * settings["micro_batches"])
    try:
        real = trainer.data.previewed(min(part, SEEN))
        check_batch(trainer.data, real)
        terms = [term for term in trainer.game.modules() if isinstance(term, Term)]
        for term in terms:
            term.suits(real)
        prepared = [term.prepare() for term in terms]
        check_schedule(trainer.schedule)
        trainer.game.rehearse(real, part)
        prepared += compiled(trainer, real, part)
        warnings = [warning for callback in session.callbacks for warning in foreseen(callback, session)]
    except TooFew as error:
        raise TooFew(
            two_lines(
                f"{first_line(error)}, of dataset.batch_size={trainer.data.batch_size} in "
                f"trainer.devices={settings['devices']} x trainer.micro_batches={settings['micro_batches']} parts",
                "raise dataset.batch_size, lower trainer.micro_batches, or use another norm than batch",
            )
        ) from error
    except Refused:
        raise
    except FAULTS as error:  # from a part of the user's own, which is in the traceback
        if out_of_memory(error):
            raise
        raise ConfigError(two_lines(*explained(error))) from error
    told = [(logging.INFO, line) for line in dict.fromkeys(prepared) if line]
    return [*told, *_foresee(trainer), *slow(trainer.runtime), *((logging.WARNING, warning) for warning in warnings)]


def _foresee(trainer: Trainer) -> list[Said]:
    """A warning where the run will end before a growing generator is fully grown."""
    generator = trainer.players["generator"]
    if not isinstance(generator, Growing) or not trainer.limits.foreseeable:
        return []
    shown = trainer.data.batch_size * sum(phase.runs for phase in trainer.game.phases() if phase.shown)
    end, complete = min(trainer.limits.max_images, shown * trainer.limits.max_steps), generator.complete()
    if end >= complete:
        return []
    remedy = (
        f"trainer.max_steps={-(-complete // shown)} or lower model.growth.stable_images and model.growth.fade_images"
    )
    return [
        (logging.WARNING, f"the run ends after {end:.0f} images, the model is fully grown after {complete}: {remedy}")
    ]


def compiled(trainer: Trainer, real: Batch, part: int) -> list[str]:
    """Compiles what the run computes with compiled networks, on `part` samples at once. Raises Incompatible."""
    execution, runtime = trainer.execution, trainer.runtime
    if not isinstance(execution, Compiled):
        return []
    return [execution.rehearse(runtime, trainer.game, rows(real, part, runtime.device))]


def slow(runtime: Runtime) -> list[Said]:
    """Warnings of settings that this machine does not take well."""
    said = []
    if runtime.precision == torch.bfloat16 and (cost := bfloat16_cost(runtime.device)) > 1:
        remedy = "trainer.precision=float32 is faster"
        said.append(f"bfloat16 takes {cost:.1f} times as long as float32 here (two matrices of 512 x 512): {remedy}")
    if runtime.benchmark and runtime.device.type == "cuda":
        said.append("trainer.benchmark=true: a resumed run may choose other convolutions, and differ in the last bits")
    return [(logging.WARNING, line) for line in said]


def explained(error: Exception) -> tuple[str, str]:
    """An error of somebody's code before the first step: what, and where."""
    if isinstance(error, ValueError):
        what, _, remedy = str(error).partition("\n  ")
        return what, remedy or raised_at(error)
    return f"this run cannot begin: {type(error).__name__}: {first_line(error)}", raised_at(error)


def foreseen(callback: Callback, session: Session) -> Sequence[str]:
    """A callback's warnings. Raises ConfigError where they are none."""
    warnings = callback.foresee(session)
    several = isinstance(warnings, Sequence) and not isinstance(warnings, str)
    if not several or not all(isinstance(warning, str) for warning in warnings):
        what = f"callback ({type(callback).__name__}): foresee(session) -> a list of warnings is expected"
        raise ConfigError(
            two_lines(f"{what}; it gave {repr(warnings)[:60]}", "return () where there is nothing to say")
        )
    return warnings


def check_schedule(schedule: Ramp) -> None:
    """Raises ConfigError unless it gives numbers at the beginning and at the end."""
    for done in (0.0, 1.0):
        factor = schedule.at(0, done)
        if not isinstance(factor, int | float) or not math.isfinite(factor):
            what = f"schedule ({type(schedule).__name__}): at(images, done) -> a number is expected; it gave {factor!r}"
            raise ConfigError(two_lines(what, "it is the factor of the learning rates"))


def check_batch(data: Data, batch: Batch) -> None:
    """Raises DataError unless a batch is as games expect it of these data."""
    name, n = f"dataset ({type(data).__name__})", len(batch.label)
    images = len(data.shape) == 3
    expected = f"{name}: {named(data.shape)}, float32, and labels int64 [N] below {max(1, data.classes)} are expected"
    remedy = "images are in [-1, 1], and labels are 0 where there are no classes"

    def refuse(how: str) -> DataError:
        return DataError(two_lines(f"{expected}; {how}", remedy))

    real, label = batch.images, batch.label
    if fault := wrong(real, lambda got: got.shape == (n, *data.shape), follows=False):
        raise refuse(fault)
    assert real is not None
    if images and real.abs().max() > 1 + ROUNDING:
        raise refuse(f"it gave values from {real.min():.3g} to {real.max():.3g}")
    if label.dtype != torch.int64 or label.ndim != 1 or label.min() < 0 or label.max() >= max(1, data.classes):
        raise refuse(f"the labels are {shown(label)}, from {label.min()} to {label.max()}")
