"""gan sample: a grid, a folder of images, or an array, from a run or a checkpoint alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from omegaconf import DictConfig
from pydantic import BaseModel, ConfigDict, Field, field_validator

from gan_cli import console
from gan_cli.config import compose
from gan_cli.config.errors import ConfigError, two_lines
from gan_cli.config.schema import validated

if TYPE_CHECKING:
    from torch import Tensor

Pieces = Iterable[tuple["Tensor", "Tensor"]]  # samples and their labels

log = logging.getLogger(__name__)

LARGEST_GRID = 4096


class Request(BaseModel):
    """The settings of conf/sample.yaml."""

    model_config = ConfigDict(extra="forbid")

    checkpoint: str
    n: Annotated[int, Field(ge=1)]
    seed: Annotated[int, Field(ge=0)]
    ema: bool
    out: str | None
    device: str
    classes: str | int | list[int] | None = None
    standing_statistics: Annotated[int, Field(ge=0)] = 0

    @field_validator("classes")
    @classmethod
    def _readable(cls, classes: Any) -> Any:
        chosen_classes(classes)
        return classes


def chosen_classes(classes: str | int | list[int] | None) -> list[int]:
    """`7`, `0..9`, `1,3,5` or a list as a list. Raises ValueError for anything else."""
    if isinstance(classes, list):
        return classes
    chosen: list[int] = []
    for word in str(classes).split(",") if classes is not None else []:
        first, dots, last = word.strip(" []").partition("..")
        if not first.isdigit() or (dots and not last.isdigit()):
            raise ValueError("write a class, a range such as 0..9, or several with commas")
        chosen += range(int(first), int(last or first) + 1)
    return chosen


def sample(source: str | Path, *overrides: str) -> Tensor:
    """Samples of a run or checkpoint: `sample("outputs/train/<run>", "n=64", "seed=7")`.

    Returns:
        Images float `[n, C, H, W]` in [-1, 1], or points `[n, 2]`. Nothing is written, unless `out=...` is given.
    """
    import torch

    config = compose.compose("sample", [f"checkpoint={compose.quote(str(source))}", *overrides]).config
    request = validated(Request, config)
    _, pieces = _blocks(request)
    pairs = [(samples.cpu(), label.cpu()) for samples, label in pieces]
    samples = torch.cat([samples for samples, _ in pairs])
    if request.out:
        _write(pairs, request.n, Path(request.out), points=samples.ndim == 2)
    return samples


def main(words: Sequence[str]) -> None:
    """The command line: `words` after `gan sample`."""
    with compose.friendly("sample", words):
        compose.hydra_main("sample", _job)


def _job(config: DictConfig) -> None:
    console.set_up()
    request = validated(Request, compose.plain(config))
    restored, pieces = _blocks(request)
    points = not restored.config["dataset"]["resolution"]
    if request.out is not None:
        out = Path(request.out)
    elif restored.run is not None:
        out = restored.run.samples / f"sample-step{restored.step:09d}-seed{request.seed}-n{request.n}.png"
    else:
        out = Path(f"{restored.path.stem}-seed{request.seed}-n{request.n}.png")
    _write(pieces, request.n, out, points)
    log.info("%d samples of step %d are in %s", request.n, restored.step, out)
    log.info("  gan eval %s", request.checkpoint)


def _blocks(request: Request) -> tuple[Any, Pieces]:
    from gan_cli import sampling
    from gan_cli.restore import restore
    from gan_cli.training.runtime import fix_algorithms, pick_device

    try:
        device = pick_device(request.device)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    fix_algorithms()
    restored = restore(request.checkpoint, request.ema, device)
    classes, known = chosen_classes(request.classes), sampling.on_demand(restored.generator)
    if classes and not known:
        remedy = "train with conditioning=concat, projection or acgan on labelled data"
        raise ConfigError(two_lines("classes=: this generator draws no classes on demand", remedy))
    if classes and max(classes) >= known:
        raise ConfigError(two_lines(f"classes={request.classes}: there is no such class", f"it knows 0..{known - 1}"))
    if request.standing_statistics:
        passes = request.standing_statistics
        try:
            sampling.standing_statistics(restored.game, restored.generator, request.seed, passes, device)
        except ValueError as error:
            raise ConfigError(two_lines(f"standing_statistics={passes}", str(error))) from error
    return restored, sampling.blocks(restored.game, restored.generator, request.seed, request.n, device, classes)


def _write(pieces: Any, n: int, out: Path, points: bool) -> None:
    writers: Mapping[str, Callable[..., None]] = {".png": _write_grid, ".npz": _write_arrays, "": _write_folder}
    if out.suffix not in writers:
        raise ConfigError(two_lines(f"out={out}: cannot write {out.suffix}", "use x.png, x.npz, or a folder's name"))
    if out.suffix == ".png" and n > LARGEST_GRID and not points:
        raise ConfigError(two_lines(f"a grid of {n} images is too large", "use out=FOLDER or out=x.npz"))
    if out.suffix == "" and points:
        raise ConfigError(
            two_lines(f"out={out}: points are no image files", "use out=x.png (a scatter plot) or out=x.npz")
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        writers[out.suffix](pieces, n, out, points)
    except OSError as error:
        raise ConfigError(two_lines(f"out={out} cannot be written", str(error))) from error


def _write_grid(pieces: Pieces, n: int, out: Path, points: bool) -> None:
    import torch

    from gan_cli import pictures

    samples, labels = zip(*((samples.cpu(), label.cpu()) for samples, label in pieces), strict=True)
    pictures.save(pictures.draw(torch.cat(samples), torch.cat(labels)), out)


def _write_arrays(pieces: Pieces, n: int, out: Path, points: bool) -> None:
    """`arr_0`: uint8 [n, H, W, C] as other tools read it, or float32 points [n, 2]; `labels`: int64 [n]."""
    import numpy as np

    from gan_cli import pictures

    values, labels = [], []
    for samples, label in pieces:
        values.append((samples.float() if points else pictures.to_uint8(samples).permute(0, 2, 3, 1)).cpu().numpy())
        labels.append(label.cpu().numpy())
    scratch = out.with_name(f".{out.name}.tmp.npz")
    np.savez(scratch, arr_0=np.concatenate(values), labels=np.concatenate(labels))
    scratch.replace(out)


def _write_folder(pieces: Pieces, n: int, out: Path, points: bool) -> None:
    """One PNG an image, named by its index."""
    from gan_cli import pictures

    out.mkdir(parents=True, exist_ok=True)
    digits = max(5, len(str(n - 1)))
    start = 0
    with ThreadPoolExecutor() as pool:
        for samples, _ in pieces:
            pixels = pictures.to_uint8(samples).cpu()
            paths = [out / f"{start + i:0{digits}d}.png" for i in range(len(pixels))]
            list(pool.map(pictures.save, pixels, paths))
            start += len(pixels)
