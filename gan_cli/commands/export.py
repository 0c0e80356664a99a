"""gan export: a trained generator in a form that other programs read; and `load`, the generator for Python."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gan_cli import console
from gan_cli.config import compose, trust
from gan_cli.config.schema import validated
from gan_cli.config.words import path
from gan_cli.errors import ConfigError, two_lines
from gan_cli.progress import display
from gan_cli.runs.glance import glance
from gan_cli.store import outputs
from gan_cli.store.inputs import refuse_links, refuse_overwriting

if TYPE_CHECKING:
    from gan_cli.export import Exported, Form
    from gan_cli.runs.loaded import Generator, Translator
    from gan_cli.runs.restore import Restored

log = logging.getLogger(__name__)


class ExportRequest(BaseModel):
    """The settings of conf/export.yaml."""

    model_config = ConfigDict(extra="forbid")

    checkpoint: str
    ema: bool
    average: float | None = None
    direction: Literal["a2b", "b2a"]
    out: str | None
    json_file: str | None = Field(alias="json")
    form: dict[str, Any] = Field(alias="as")


def load(
    source: str | Path,
    *,
    ema: bool = True,
    average: float | None = None,
    direction: Literal["a2b", "b2a"] = "a2b",
    truncation: float | None = None,
    device: str = "auto",
    trust: str | Sequence[str] = (),
) -> Generator | Translator:
    """The trained generator of a run, a checkpoint or an exported file, as a plain module in evaluation mode.

    `generator(*generator.latents(64, seed=0))` draws what `gan sample RUN n=64 seed=0` draws, noise apart.

    Args:
        ema: The averaged generator; else the one that was being trained.
        average: The width of another average, made from those that the run has kept (`trainer.averages`).
        direction: The way there or the way back, of a network that translates both ways.
        truncation: As in `gan sample`.
        device: auto | cpu | cuda | mps.
        trust: Modules of your own that the run's config may name.

    Returns:
        A `gan_cli.runs.loaded.Generator`, called with latents `[N, Z]` and labels `[N]`; or, of a run that draws from
        pictures, a `Translator`, called with pictures `[N, C, H, W]`.

    Raises:
        Refused: In two lines, as `gan sample` does.
    """
    vouched = (trust,) if isinstance(trust, str) else tuple(trust)
    if direction not in ("a2b", "b2a"):
        raise ConfigError(two_lines(f"direction={direction}: there is no such way", "choices: a2b, b2a"))
    restored = _restored(path(source, "source"), vouched, ema, direction, device, truncation, average)
    from gan_cli.runs import loaded

    return loaded.of(restored)


def main(words: Sequence[str]) -> None:
    """The command line: `words` after `gan export`."""
    vouched, settings = trust.taken(words)
    compose.perform("export", settings, lambda config: _run(config, vouched))


@display()
def _run(config: Mapping[str, Any], vouched: Sequence[str]) -> None:
    console.set_up()
    request = validated(ExportRequest, config)
    console.set_up(aside=outputs.aside(request.out, request.json_file))
    glance(request.checkpoint, vouched)
    form = _form(request, vouched)
    form.check()
    if request.out is not None:
        _check_out(form, request, Path(request.out))
    if request.json_file is not None and not outputs.is_stream(Path(request.json_file)):
        refuse_overwriting("json", [Path(request.json_file)], _read(request))
    restored = _restored(request.checkpoint, vouched, request.ema, request.direction, "cpu", None, request.average)
    out = Path(request.out) if request.out is not None else _usual(form, request, restored)
    _check_out(form, request, out)
    exported = form.exported(restored)
    written = _written(form, exported.files, out)
    sizes = (f"{path} ({console.size(count)})" for path, count in written.items())
    log.info("step %d: %s", restored.step, ", ".join(sizes))
    if request.json_file is not None:
        outputs.answer(request.json_file, _record(request, form, restored, exported, written))
    if not outputs.is_stream(out) and out.suffix == ".safetensors":
        log.info("  gan sample %s%s", shlex.quote(str(out)), trust.asked_for(restored.checked.targets()))


def _form(request: ExportRequest, vouched: Sequence[str]) -> Form:
    """The object that conf/as/ describes."""
    from gan_cli.config import build

    form: Form = build.make(build.check_part("as", request.form, trust.for_runs(vouched)))
    return form


def _restored(
    source: str,
    vouched: Sequence[str],
    ema: bool,
    direction: str,
    device: str,
    truncation: float | None,
    average: float | None,
) -> Restored:
    glance(source, vouched)
    from gan_cli.runs.restore import Manner, restore
    from gan_cli.training.runtime import pick_device

    manner = Manner(ema=ema, back=direction == "b2a", truncation=truncation, average=average)
    return restore(source, manner, pick_device(device), vouched)


def _record(
    request: ExportRequest, form: Form, restored: Restored, exported: Exported, written: Mapping[Path, int]
) -> dict[str, Any]:
    """What was written, and how exact it is; opset and difference are None where nothing was converted."""
    facts = {"source": request.checkpoint, "checkpoint": str(restored.path), "step": restored.step}
    exact = {"opset": None, "largest_difference": None, **exported.facts}
    return {**facts, "as": form.ending.removeprefix("."), "written": [*map(str, written)], **exact}


def _usual(form: Form, request: ExportRequest, restored: Restored) -> Path:
    """Where the main file goes unless out= says otherwise."""
    average = "" if request.average is None else f"-average{request.average:g}"
    unusual = "".join(["" if request.ema else "-raw", average, "-b2a" if request.direction == "b2a" else ""])
    if restored.run is None:
        return Path(f"{restored.path.stem}{unusual}{form.ending}")
    out = restored.run.exports / f"step-{restored.step:09d}{unusual}{form.ending}"
    refuse_links([restored.run.exports, out, *(out.with_suffix(ending) for ending in (".md",))])
    return out


def _check_out(form: Form, request: ExportRequest, out: Path) -> None:
    """Raises ConfigError where another ending is meant, and WouldOverwrite where an input would be replaced."""
    if outputs.is_stream(out):
        return
    if out.suffix != form.ending:
        what = f"out={out}: this form is a {form.ending} file"
        raise ConfigError(two_lines(what, f"out=x{form.ending}, or another form: as=safetensors, onnx or html"))
    refuse_overwriting("out", [out, out.with_suffix(".md")], _read(request))


def _read(request: ExportRequest) -> tuple[str, ...]:
    """Words that may name what is read."""
    return (request.checkpoint, *(value for value in request.form.values() if isinstance(value, str)))


def _written(form: Form, files: Mapping[str, bytes], out: Path) -> dict[Path, int]:
    """Writes each file under the name of the main one; only that goes to a pipe or a device. A file of the user's
    beside it stays. Returns how many bytes each has that was written."""
    written: dict[Path, int] = {}
    for ending, content in files.items():
        target = out if not written else out.with_suffix(ending)
        if written and target.exists() and not form.replaces(target):
            log.warning("%s is there already and stays as it is: remove it for a new one", target)
            continue
        with outputs.named(f"out={target}"), outputs.writing(target) as file:
            file.write(content)
        written[target] = len(content)
        if outputs.is_stream(out):
            break
    return written
