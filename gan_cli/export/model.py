"""An ONNX model."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from gan_cli.export import Exported, Form, convert, facts, graph
from gan_cli.runs.restore import Restored
from gan_cli.types import Positive

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Model(Form):
    """One file: `images` of `latent` and, where they are read, `label` and `noise`; or of `source`.

    Args:
        opset: Version of the operations.
        tolerance: The largest difference from torch that is allowed.
    """

    opset: Annotated[int, Ge(18)] = 18
    tolerance: Positive = 1e-4

    @property
    def ending(self) -> str:
        return ".onnx"

    def check(self) -> None:
        convert.check_packages()

    def exported(self, restored: Restored) -> Exported:
        return self.converted(restored, graph.of(restored))

    def converted(self, restored: Restored, drawn: graph.Graph) -> Exported:
        """The model. Raises Incompatible where onnxruntime draws something else with it."""
        log.info("converting %s weights to ONNX", f"{drawn.weights:,}")
        noise = json.dumps([list(sides) for sides in drawn.noise])
        model = convert.convert(drawn, self.opset, {**facts.of(restored), "noise": noise})
        found = convert.checked_difference(drawn, model, self.tolerance)
        inputs = ", ".join(f"{name} {_shape(value.shape, drawn.axes[name])}" for name, value in drawn.inputs.items())
        log.info("opset %d; onnxruntime and torch differ by %.1g at most; inputs: %s", self.opset, found, inputs)
        return Exported({self.ending: model}, {"opset": self.opset, "largest_difference": found})


def _shape(shape: tuple[int, ...], free: Sequence[int]) -> str:
    letters = "NCHW"
    return "[" + ", ".join(letters[i] if i in free else str(side) for i, side in enumerate(shape)) + "]"
