"""gan sample: samples, and what a generator has learned, from a run or a checkpoint alone."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gan_cli import console
from gan_cli.config import compose, trust
from gan_cli.config.schema import validated
from gan_cli.config.titles import sought, unusual
from gan_cli.config.words import divide, listed, path
from gan_cli.errors import ConfigError, Incompatible, Interrupted, NotWritable, two_lines
from gan_cli.progress import display
from gan_cli.runs.glance import glance
from gan_cli.store import outputs
from gan_cli.store.disk import remove_leftovers

if TYPE_CHECKING:
    from torch import Tensor

    from gan_cli.latent import Mode, Subject
    from gan_cli.latent.drawings import Drawing
    from gan_cli.latent.sources import Files
    from gan_cli.runs.restore import Restored
    from gan_cli.samples import Samples

log = logging.getLogger(__name__)

MOST_NAMES = 20  # class names in one line
SHEET = 16  # pictures of a comparison, unless told


class SampleRequest(BaseModel):
    """The settings of conf/sample.yaml."""

    model_config = ConfigDict(extra="forbid")

    checkpoint: str
    n: Annotated[int, Field(ge=1)] | None
    seed: Annotated[int, Field(ge=0)]
    ema: bool
    average: float | None = None
    out: str | None
    device: str
    root: str | None = None
    classes: str | int | float | bool | list[str | int | float | bool] | None = None
    standing_statistics: Annotated[int, Field(ge=0)] = 0
    truncation: Annotated[float, Field(ge=0)] | None = None
    source: str | None = None
    direction: Literal["a2b", "b2a"] = "a2b"
    tile: Annotated[int, Field(ge=16)] | None = None
    json_file: str | None = Field(None, alias="json")
    mode: dict[str, Any]
    along: dict[str, Any] = {}  # read by modes that move along directions


@display()
def sample(source: str | Path, *overrides: str) -> Any:
    """Samples of a run or checkpoint: `sample("outputs/train/<run>", "n=64", "seed=7")`.

    Returns:
        Images float `[n, C, H, W]` in [-1, 1], or points `[n, 2]`; `[rows, columns, ...]` in modes that lay them out; a
        list of images where pictures of several sizes are translated. They are tensors, which a notebook shows as
        pictures (`gan_cli.samples`).
        Nothing is written, unless `out=...` is given.
    """
    vouched, settings = trust.taken(overrides)
    asked = [f"checkpoint={compose.quote(path(source, 'source'))}", *map(listed, settings)]
    config = compose.compose("sample", asked).config
    request = validated(SampleRequest, config)
    if request.json_file is not None:
        raise ConfigError(two_lines("json= is for the command line", "sample() returns the samples themselves"))
    if request.out is not None:
        _spare_inputs(request, Path(request.out))
    _, _, drawing = _drawing(request, vouched)
    if request.out is None:
        return _shown(drawing.samples())
    drawing.check(Path(request.out))
    samples = drawing.samples()
    with outputs.named(f"out={request.out}"):
        drawing.write(Path(request.out))
    return _shown(samples)


def _shown(samples: Tensor | list[Tensor]) -> Samples | list[Samples]:
    from gan_cli.samples import Samples

    return (
        [each.as_subclass(Samples) for each in samples] if isinstance(samples, list) else samples.as_subclass(Samples)
    )


def main(words: Sequence[str]) -> None:
    """The command line: `words` after `gan sample`."""
    vouched, settings = trust.taken(words)
    flags = divide(settings)[1]
    settings = settings if {"-m", "--multirun"} & {*flags} else [listed(word) for word in settings]
    compose.perform("sample", settings, lambda config: _run(config, vouched))


@display()
def _run(config: Mapping[str, Any], vouched: Sequence[str]) -> None:
    console.set_up()
    request = validated(SampleRequest, config)
    console.set_up(aside=outputs.aside(request.out, request.json_file))
    if request.out is not None:
        _spare_inputs(request, Path(request.out))
    restored, mode, drawing = _drawing(request, vouched)
    draws = "-".join([f"seed{request.seed}", f"n{mode.n}", *unusual(request)]) + mode.ending
    if request.out is not None:
        out = Path(request.out)
    elif restored.run is not None:
        out = restored.run.samples / f"{mode.name}-step{restored.step:09d}-{draws}"
        _stay_inside(out)
    else:
        out = Path(f"{restored.path.stem}-{mode.name}-{draws}")
    _spare_inputs(request, out)
    with outputs.named(f"out={out}"):
        if restored.run is not None:
            remove_leftovers(restored.run.samples)
        try:
            written = drawing.write(out)
        except KeyboardInterrupt as stop:
            raise Interrupted(two_lines(f"interrupted: {_kept(out)}", _again(out))) from stop
        except OSError as error:
            if not out.is_dir():
                raise
            what = f"out={out} cannot be written: {outputs.reason(error)}; {_kept(out)}"
            raise NotWritable(two_lines(what, f"make room; {_again(out)}")) from error
    log.info("%s of step %d: %s", mode.title, restored.step, ", ".join(map(str, written)))
    if request.json_file is not None:
        outputs.answer(request.json_file, _record(request, restored, mode, written))
    _tell_classes(request, restored)
    measure = f"gan eval {shlex.quote(request.checkpoint)}{trust.asked_for(restored.checked.targets())}"
    log.info("  %s", mode.use(written[0]) or measure)


def _record(request: SampleRequest, restored: Restored, mode: Mode, written: Sequence[Path]) -> dict[str, Any]:
    """What was drawn, and where it is."""
    facts = {"source": request.checkpoint, "checkpoint": str(restored.path), "step": restored.step, "mode": mode.name}
    manner = {"n": mode.n, "seed": request.seed, "manner": str(restored.manner)}
    return {**facts, **manner, "written": [str(path) for path in written]}


def _kept(out: Path) -> str:
    """What there is of a drawing that was cut short."""
    if out.is_dir():
        return f"{out} holds {sum(1 for _ in out.rglob('*.png'))} pictures, each whole"
    return f"{out} was not written"


def _again(out: Path) -> str:
    """How to go on with one."""
    whole = "the same command draws all of them again, exactly alike"
    return whole if out.is_dir() else "the same command starts again"


def _spare_inputs(request: SampleRequest, out: Path) -> None:
    """Raises WouldOverwrite where `out`, or a file beside it, is one that the samples are drawn from."""
    from gan_cli.store.inputs import parts, refuse_overwriting

    if outputs.is_stream(out):
        return
    words = (request.checkpoint, request.source, *(value for value in request.mode.values() if isinstance(value, str)))
    beside = [out.with_suffix(".npz")] if out.name else []  # this folder, out=., has no name that could end so
    refuse_overwriting("out", [out, *beside, *(parts(out, out.suffix) if out.suffix else [])], words)
    if request.json_file is not None and not outputs.is_stream(Path(request.json_file)):
        refuse_overwriting("json", [Path(request.json_file)], words)


def _spare_sources(request: SampleRequest, found: Files) -> None:
    """Raises WouldOverwrite where a picture to write is one of those that are read."""
    from gan_cli.store.inputs import refuse_overwriting

    if request.out is not None and not outputs.is_stream(Path(request.out)):
        out = Path(request.out)
        refuse_overwriting("out", [out, *(out / f"{name}.png" for name in found.names)], found.paths)


def _stay_inside(out: Path) -> None:
    """Raises WouldOverwrite where a run's own picture, or a part of it, would be written outside the run."""
    from gan_cli.store.inputs import parts, refuse_links

    refuse_links([out, out.with_suffix(".npz"), *parts(out, out.suffix)])


def _tell_classes(request: SampleRequest, restored: Restored) -> None:
    """Logs the names of the classes that were drawn, in the order of a grid's rows."""
    from gan_cli.runs import drawable

    named = drawable.class_names(restored)
    if not named:
        return
    drawn = sorted({*drawable.classes(restored, request.classes)} or range(len(named)))
    if all(named[k] == str(k) for k in drawn):
        return  # the names of digits are their numbers
    more = f" and {len(drawn) - MOST_NAMES} more" if len(drawn) > MOST_NAMES else ""
    log.info("  classes: %s%s", ", ".join(f"{k} {named[k]}" for k in drawn[:MOST_NAMES]), more)


def _drawing(request: SampleRequest, vouched: Sequence[str]) -> tuple[Restored, Mode, Drawing]:
    glance(request.checkpoint, vouched)
    from gan_cli.runs import drawable
    from gan_cli.runs.restore import Manner, restore
    from gan_cli.training.runtime import pick_device, prepare_process

    mode = _mode(request, vouched)
    device = pick_device(request.device)
    prepare_process()
    back = request.direction == "b2a"
    manner = Manner(request.seed, request.ema, request.truncation, back, request.standing_statistics, request.average)
    restored = restore(request.checkpoint, manner, device, vouched)
    classes = drawable.classes(restored, request.classes)
    mode = _suited(mode, request, restored)
    return restored, mode, mode.draw(_subject(request, restored, classes, device))


def _suited(mode: Mode, request: SampleRequest, restored: Restored) -> Mode:
    """Translate in place of a grid, for a generator that draws from pictures.

    Raises:
        Incompatible: source= is given, but the generator draws from latents.
    """
    from gan_cli.latent.drawings import ending
    from gan_cli.latent.grid import Grid
    from gan_cli.latent.translate import Translate

    if request.source is not None and not restored.translates:
        remedy = "train model=cyclegan, pix2pix, srgan or esrgan for that, or leave source= out"
        raise Incompatible(two_lines("source=: this generator draws from latents, not from pictures", remedy))
    whole = request.source is not None or (request.out is not None and not ending(Path(request.out)))
    if restored.translates and isinstance(mode, Grid):
        return Translate(request.n or (None if whole else SHEET))
    return mode


def _mode(request: SampleRequest, vouched: Sequence[str]) -> Mode:
    """The object that conf/mode/ describes; `n` is its own unless the user says otherwise.

    Raises:
        ConfigError: A way to find directions is chosen for a mode that moves along none.
    """
    from gan_cli.config import build

    if "along" not in request.mode and sought(request):
        raise ConfigError(two_lines("along= is for modes that move samples", "add mode=directions or mode=edit"))
    node = request.mode if request.n is None else {**request.mode, "n": request.n}
    mode: Mode = build.make(build.check_part("mode", node, trust.for_runs(vouched)))
    return mode


def _subject(request: SampleRequest, restored: Restored, classes: tuple[int, ...], device: Any) -> Subject:
    from gan_cli.config import build
    from gan_cli.evaluation.samples import reference_for
    from gan_cli.latent import Subject
    from gan_cli.latent.sources import Files
    from gan_cli.runs import drawable

    def data() -> Any:
        return build.make(restored.dataset(**({} if request.root is None else {"root": request.root})))

    levels = restored.config["dataset"].get("levels")
    found = drawable.sources(restored, request.source, request.root, levels)
    if isinstance(found, Files):
        _spare_sources(request, found)
    return Subject(
        restored.game,
        restored.generator,
        request.seed,
        device,
        classes,
        restored.points,
        data,
        found,
        request.tile,
        levels,
        lambda word: reference_for(restored, word, request.root).batches,
        drawable.class_names(restored),
    )
