"""gan sample: samples, and what a generator has learned, from a run or a checkpoint alone."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from omegaconf import DictConfig
from pydantic import BaseModel, ConfigDict, Field, field_validator

from gan_cli import console, outputs
from gan_cli.config import compose
from gan_cli.config.errors import ConfigError, two_lines
from gan_cli.config.schema import validated
from gan_cli.files import cause

if TYPE_CHECKING:
    from torch import Tensor

    from gan_cli.drawings import Drawing
    from gan_cli.latent import Mode, Subject
    from gan_cli.restore import Restored

log = logging.getLogger(__name__)

HOW = "write a class, a range such as 0..9, or several with commas"


class Request(BaseModel):
    """The settings of conf/sample.yaml."""

    model_config = ConfigDict(extra="forbid")

    checkpoint: str
    n: Annotated[int, Field(ge=1)] | None
    seed: Annotated[int, Field(ge=0)]
    ema: bool
    out: str | None
    device: str
    classes: str | int | list[int] | None = None
    standing_statistics: Annotated[int, Field(ge=0)] = 0
    truncation: Annotated[float, Field(ge=0)] | None = None
    mode: dict[str, Any]

    @field_validator("classes")
    @classmethod
    def _readable(cls, classes: Any) -> Any:
        chosen_classes(classes)
        return classes


def chosen_classes(classes: str | int | list[int] | None) -> list[int]:
    """`7`, `0..9`, "1,3,5" or a list as a list. Raises ValueError for anything else."""
    if isinstance(classes, list):
        if any(k < 0 for k in classes):
            raise ValueError(HOW)
        return classes
    chosen: list[int] = []
    for word in str(classes).split(",") if classes is not None else []:
        first, dots, last = word.strip(" []").partition("..")
        if not first.isdigit() or (dots and not last.isdigit()):
            raise ValueError(HOW)
        if dots and int(last) < int(first):
            raise ValueError(f"{first}..{last} is no range\n  write {last}..{first}")
        chosen += range(int(first), int(last or first) + 1)
    return chosen


def sample(source: str | Path, *overrides: str) -> Tensor:
    """Samples of a run or checkpoint: `sample("outputs/train/<run>", "n=64", "seed=7")`.

    Returns:
        Images float `[n, C, H, W]` in [-1, 1], or points `[n, 2]`; `[rows, columns, ...]` of a mode that lays them out.
        Nothing is written, unless `out=...` is given.
    """
    config = compose.compose("sample", [f"checkpoint={compose.quote(str(source))}", *overrides]).config
    request = validated(Request, config)
    if request.out is not None:
        _spare_inputs(request, Path(request.out))
    _, _, drawing = _drawing(request)
    with _friendly(request.out):
        if request.out is None:
            return drawing.samples()
        drawing.check(Path(request.out))
        samples = drawing.samples()
        drawing.write(Path(request.out))
        return samples


def main(words: Sequence[str]) -> None:
    """The command line: `words` after `gan sample`."""
    with compose.friendly("sample", words):
        compose.hydra_main("sample", _job)


def _job(config: DictConfig) -> None:
    console.set_up()
    request = validated(Request, compose.plain(config))
    console.set_up(aside=request.out is not None and outputs.is_standard(Path(request.out)))
    if request.out is not None:
        _spare_inputs(request, Path(request.out))
    restored, mode, drawing = _drawing(request)
    draws = "-".join([f"seed{request.seed}", f"n{mode.n}", *_unusual(request)]) + ".png"
    if request.out is not None:
        out = Path(request.out)
    elif restored.run is not None:
        out = restored.run.samples / f"{mode.name}-step{restored.step:09d}-{draws}"
        _stay_inside(restored.run.folder, out)
    else:
        out = Path(f"{restored.path.stem}-{mode.name}-{draws}")
    _spare_inputs(request, out)
    with _friendly(str(out)):
        written = drawing.write(out)
    log.info("%s of step %d: %s", mode.title, restored.step, ", ".join(map(str, written)))
    log.info("  gan eval %s", shlex.quote(request.checkpoint))


def _spare_inputs(request: Request, out: Path) -> None:
    """Raises ConfigError where `out`, or a file beside it, is what the samples are drawn from."""
    from gan_cli.inputs import WouldOverwrite, parts, refuse_overwriting

    if outputs.is_stream(out):
        return
    words = (request.checkpoint, *(value for value in request.mode.values() if isinstance(value, str)))
    try:
        refuse_overwriting(
            "out", [out, out.with_suffix(".npz"), *(parts(out, out.suffix) if out.suffix else [])], words
        )
    except WouldOverwrite as error:
        raise ConfigError(str(error)) from error


def _stay_inside(folder: Path, out: Path) -> None:
    """Raises ConfigError where a run's own picture, or a part of it, would be written somewhere else."""
    from gan_cli.inputs import WouldOverwrite, parts, refuse_links

    try:
        refuse_links(folder, [out, out.with_suffix(".npz"), *parts(out, out.suffix)])
    except WouldOverwrite as error:
        raise ConfigError(str(error)) from error


def _unusual(request: Request) -> list[str]:
    """Words for a picture's name of what is not as usual, so that it does not take the place of the usual one."""
    words = [] if request.ema else ["raw"]
    words += [f"truncation{request.truncation!r}"] if request.truncation is not None else []
    words += [f"statistics{request.standing_statistics}"] if request.standing_statistics else []
    classes = ",".join(map(str, request.classes)) if isinstance(request.classes, list) else request.classes
    return words if classes in (None, "") else [*words, "classes" + str(classes).replace(" ", "").strip("[]")]


def _drawing(request: Request) -> tuple[Restored, Mode, Drawing]:
    from gan_cli.restore import Manner, restore
    from gan_cli.training.runtime import pick_device, prepare_process

    mode = _mode(request)
    try:
        device = pick_device(request.device)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    prepare_process()
    manner = Manner(request.seed, request.ema, request.truncation, request.standing_statistics)
    restored = restore(request.checkpoint, manner, device)
    classes = _known_classes(request, restored)
    with _friendly():
        return restored, mode, mode.draw(_subject(request, restored, classes, device))


def _mode(request: Request) -> Mode:
    """The object that conf/mode/ describes; `n` is its own unless the user says otherwise."""
    from gan_cli.config import build, trust

    node = request.mode if request.n is None else {**request.mode, "n": request.n}
    problems = build.check_part("mode", node, trust.for_runs())
    if problems:
        raise ConfigError(*problems)
    mode: Mode = build.make("mode", node)
    return mode


def _known_classes(request: Request, restored: Restored) -> tuple[int, ...]:
    from gan_cli import sampling

    classes, known = chosen_classes(request.classes), sampling.on_demand(restored.generator)
    if classes and not known:
        remedy = "train with conditioning=concat, projection or acgan on labelled data"
        raise ConfigError(two_lines("classes=: this generator draws no classes on demand", remedy))
    if classes and max(classes) >= known:
        raise ConfigError(two_lines(f"classes={request.classes}: there is no such class", f"it knows 0..{known - 1}"))
    return tuple(classes)


def _subject(request: Request, restored: Restored, classes: tuple[int, ...], device: Any) -> Subject:
    from gan_cli.config import build, trust
    from gan_cli.latent import Subject

    dataset = restored.config["dataset"]

    def data() -> Any:
        problems = build.check_part("dataset", dataset, trust.for_checkpoints())
        if problems:
            raise ConfigError(*problems)
        return build.data(restored.config)

    return Subject(restored.game, restored.generator, request.seed, device, classes, not dataset["resolution"], data)


@contextmanager
def _friendly(out: str | None = None) -> Iterator[None]:
    """Errors of a mode, of the data and of the disk as problems of the request."""
    try:
        yield
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(str(error)) from error
    except OSError as error:
        reason = cause(error.__cause__) if isinstance(error.__cause__, OSError) else cause(error)
        raise ConfigError(two_lines(f"out={out} cannot be written", reason)) from error
