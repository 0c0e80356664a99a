"""gan eval: how far a generator's samples are from the data."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from omegaconf import DictConfig
from pydantic import BaseModel, ConfigDict, Field

from gan_cli import console
from gan_cli.config import compose
from gan_cli.config.errors import ConfigError
from gan_cli.config.schema import validated

if TYPE_CHECKING:
    from torch import Tensor

    from gan_cli.metrics.detectors import Detector
    from gan_cli.metrics.moments import Gaussian

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Value:
    """A measured number and everything that it means."""

    value: float
    se: float | None  # standard error, where one is known
    n_fake: int
    n_real: int
    convention: str
    reference: str
    detector: str
    weights_sha256: str | None


@dataclass(frozen=True)
class Evaluation:
    """What was measured of which source."""

    source: str
    step: int
    seed: int
    ema: bool
    metrics: dict[str, Value]


class Request(BaseModel):
    """The settings of conf/eval.yaml."""

    model_config = ConfigDict(extra="forbid")

    checkpoint: str
    n: Annotated[int, Field(ge=2)]
    seed: Annotated[int, Field(ge=0)]
    ema: bool
    weights: str | None
    batch_size: Annotated[int, Field(ge=1)]
    device: str
    detector: dict[str, Any]


def evaluate(source: str | Path, *overrides: str) -> Evaluation:
    """Measures as `gan eval` does: `evaluate("outputs/train/<run>", "detector=pixels")`; writes nothing."""
    config = compose.compose("eval", [f"checkpoint={compose.quote(str(source))}", *overrides]).config
    return _measure(validated(Request, config))[0]


def main(words: Sequence[str]) -> None:
    """The command line: `words` after `gan eval`."""
    with compose.friendly("eval", words):
        compose.hydra_main("eval", _job)()


def _job(config: DictConfig) -> None:
    from gan_cli.files import write_json

    console.set_up()
    request = validated(Request, compose.plain(config))
    evaluation, run = _measure(request)
    for name, value in evaluation.metrics.items():
        sizes = f"{value.n_fake} samples against {value.n_real} of {value.reference}"
        log.info("%s = %.4f  (%s; %s)", name, value.value, sizes, value.convention)
    if run is not None:
        import os

        path = run.evals / f"{os.environ[compose.STAMP]}.json"
        write_json(path, asdict(evaluation))
        log.info("written to %s", path)
    else:
        log.info("%s", json.dumps(asdict(evaluation)))


def _measure(request: Request) -> tuple[Evaluation, Any]:
    from gan_cli import pictures, sampling
    from gan_cli.config import build, trust
    from gan_cli.metrics.frechet import frechet_distance
    from gan_cli.restore import restore
    from gan_cli.training.runtime import fix_algorithms, pick_device

    problems = build.check_part("detector", request.detector, trust.for_runs())
    if problems:
        raise ConfigError(*problems)
    try:
        device = pick_device(request.device)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    fix_algorithms()
    restored = restore(request.checkpoint, request.ema, device)
    if not restored.config["dataset"]["resolution"]:
        raise ConfigError("gan eval compares images, and this run makes points")
    problems = build.check_part("dataset", restored.config["dataset"], trust.for_checkpoints())
    if problems:
        raise ConfigError(*problems)
    detector: Detector = build.make("detector", request.detector).to(device)
    data = build.data(restored.config)
    real = _statistics(detector, data.images.split(request.batch_size))  # type: ignore[attr-defined]
    blocks = sampling.blocks(restored.game, restored.generator, request.seed, request.n, device)
    fake = _statistics(detector, _rebatched((pictures.to_uint8(b) for b in blocks), request.batch_size))
    name = f"fd_{detector.name}" if detector.name else "fid"
    dataset = restored.config["dataset"]
    target = dataset["source"]["_target_"].rsplit(".", 1)[-1]
    value = Value(
        frechet_distance(fake, real),
        None,
        fake.n,
        real.n,
        detector.convention,
        f"{target}:{dataset['split']}",
        detector.name or "inception",
        detector.digest,
    )
    source = str(restored.path)
    return Evaluation(source, restored.step, request.seed, request.ema, {name: value}), restored.run


def _rebatched(blocks: Iterable[Tensor], size: int) -> Iterator[Tensor]:
    for block in blocks:
        yield from block.split(size)


def _statistics(detector: Detector, batches: Iterable[Tensor]) -> Gaussian:
    from gan_cli.metrics.moments import Moments

    moments = Moments()
    for batch in batches:
        moments.add(detector(batch).cpu())
    return moments.finish()
