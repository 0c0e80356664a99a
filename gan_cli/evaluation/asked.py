"""What an evaluation is asked: its settings, and the detectors and metrics that suit the data where none are named."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gan_cli.config import compose, trust
from gan_cli.errors import DetectorMissing, NotMeasurable, WeightsMissing

if TYPE_CHECKING:
    from gan_cli.evaluation.samples import Source
    from gan_cli.metrics import Metric, PairMetric
    from gan_cli.metrics.detectors import Detector
    from gan_cli.metrics.measure import Reference

log = logging.getLogger(__name__)

ENOUGH = 50  # translations, to compare their features with those of real pictures
COMMON = ("fid", "fid_debiased", "kid", "prdc")


class EvalRequest(BaseModel):
    """The settings of conf/eval.yaml."""

    model_config = ConfigDict(extra="forbid")

    checkpoint: str
    reference: str | None
    root: str | None
    levels: tuple[float, float] | None = None
    n: Annotated[int, Field(ge=2)] | None
    seed: Annotated[int, Field(ge=0)]
    ema: bool
    average: float | None = None
    truncation: Annotated[float, Field(ge=0)] | None
    standing_statistics: Annotated[int, Field(ge=0)]
    direction: Literal["a2b", "b2a"] = "a2b"
    json_file: str | None = Field(alias="json")
    weights: str | None
    download: bool = True
    rows: Annotated[int, Field(ge=2)]
    most: Annotated[int, Field(ge=2)] | None = None
    lenient: bool = False
    batch_size: Annotated[int, Field(ge=1)]
    device: str
    cache: str
    detector: dict[str, Any] = {}
    metrics: dict[str, Any] = {}


def _suiting(source: Source, reference: Reference) -> str:
    """The detector that suits these data: Inception means nothing for points or for grey labelled images."""
    if source.points:
        return "points"
    labelled = reference.labelled
    grey = labelled is not None and labelled.classes > 1 and labelled.images.shape[1] == 1
    return "classifier" if grey else "inception"


# The metrics of the detectors chosen by default, unless metrics= or a preset says otherwise.
SUITING = {
    "points": ("point_modes",),
    "classifier": (*COMMON, "modes", "classifier_score"),
    "inception": (*COMMON, "inception_score"),
}


def _of_translations(source: Source) -> tuple[str, ...]:
    """What translations are asked by default; nothing for other samples."""
    if source.data is None:
        return ()
    wanted = ["fidelity"] if source.pairs is not None else []
    wanted += ["cycle_error"] if source.round_trips is not None else []
    return (*wanted, *(("fid", "kid") if source.n >= ENOUGH or not wanted else ()))


def chosen(
    request: EvalRequest,
    source: Source,
    reference: Reference,
    device: Any,
    vouched: Sequence[str],
    absent: dict[str, str],
) -> tuple[dict[str, Detector], dict[str, Metric | PairMetric]]:
    """The detectors, on their device and prepared for the reference, and the metrics: those asked for, or those that
    suit the data. Where the request is lenient, detectors that are not there are noted as absent, with the remedy."""
    from gan_cli.metrics import PairMetric

    detectors, metrics = request.detector, request.metrics
    if not (detectors and metrics):
        name = next(iter(detectors), None) or _suiting(source, reference)
        wanted = _of_translations(source) or SUITING.get(name, COMMON)
        usual = compose.compose(
            "eval",
            [
                f"checkpoint={compose.quote(request.checkpoint)}",
                f"detector={name}",
                f"metrics=[{','.join(wanted)}]",
                f"cache={compose.quote(request.cache)}",
                f"download={str(request.download).lower()}",
                *([f"weights={compose.quote(request.weights)}"] if request.weights else []),
            ],
        ).config
        detectors, metrics = detectors or usual["detector"], metrics or usual["metrics"]
    asked = _built("metrics", metrics, vouched)
    if all(isinstance(metric, PairMetric) for metric in asked.values()):
        return {}, asked  # nobody reads features
    built: dict[str, Detector] = {}
    try:
        for name, node in detectors.items():
            try:
                built |= _built("detector", {name: node}, vouched)
                built[name] = built[name].to(device).prepare(reference.labelled)
            except (DetectorMissing, WeightsMissing, NotMeasurable) as error:
                if not request.lenient:
                    raise
                built.pop(name, None)
                absent[name] = str(error)
    except (DetectorMissing, WeightsMissing) as error:
        of_pairs: dict[str, Metric | PairMetric] = {
            name: metric for name, metric in asked.items() if isinstance(metric, PairMetric)
        }
        if request.detector or request.metrics or request.weights or not of_pairs:
            raise
        log.warning("%s", error)  # the rest needs no features
        return {}, of_pairs
    return built, asked


def _built(group: str, nodes: Mapping[str, Any], vouched: Sequence[str]) -> dict[str, Any]:
    from gan_cli.config import build

    trusted = trust.for_runs(vouched)
    parts = {name: build.check_part(f"{group}.{name}", node, trusted) for name, node in nodes.items()}
    return {name: build.make(part) for name, part in parts.items()}
