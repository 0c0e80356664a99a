"""From a graph to an ONNX model, and how far the two are apart."""

from __future__ import annotations

import importlib
import io
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import torch

from gan_cli.errors import Incompatible, PackageMissing, two_lines
from gan_cli.export.graph import Graph

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
LARGEST = 2**31 - 2**20  # bytes of weights; one ONNX file holds less than 2 GiB
OUTPUT = "images"
ROUNDINGS = 3.0  # two programs that round differently are at most about twice as far apart as each from the exact value
COARSEST = 0.01  # a difference that can be seen is not rounding

log = logging.getLogger(__name__)

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime leaves files in the home folder when it is imported


def check_packages() -> None:
    """Raises PackageMissing, in two lines, where ONNX models cannot be written or run."""
    for name in PACKAGES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            what = f"an ONNX model needs the package {name}, which cannot be imported ({error})"
            raise PackageMissing(two_lines(what, "pip install 'gan-cli[export]'")) from None


def convert(graph: Graph, opset: int, facts: Mapping[str, str]) -> bytes:
    """The content of an ONNX file; `facts` go into its metadata.

    Raises:
        Incompatible: The network is too large for one file, or does something that ONNX has no words for.
    """
    if 4 * graph.weights > LARGEST:
        what = f"an ONNX file holds less than 2 GiB, and these are {graph.weights:,} weights"
        raise Incompatible(two_lines(what, "use as=safetensors"))
    free = torch.export.Dim.DYNAMIC
    shapes = tuple(dict.fromkeys(graph.axes[name], free) for name in graph.inputs)
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                graph.module,
                tuple(graph.inputs.values()),
                dynamo=True,
                opset_version=opset,
                input_names=list(graph.inputs),
                output_names=[OUTPUT],
                dynamic_shapes=(shapes,),
                external_data=False,
                verbose=False,
            )
    except Exception as error:  # of many kinds
        lines = str(error.__cause__ or error).strip().splitlines() or [type(error).__name__]
        what = f"the network cannot be written as ONNX: {lines[0][:200]}"
        raise Incompatible(two_lines(what, "use as=safetensors, which keeps the weights alone")) from error
    assert program is not None
    model = program.model_proto
    for key, value in facts.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    content: bytes = model.SerializeToString()
    return content


def difference(graph: Graph, model: bytes) -> float:
    """The largest absolute difference between what onnxruntime and torch draw, over all examples of the graph."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    read = {node.name for node in session.get_inputs()}
    largest = 0.0
    for inputs, drawn in graph.answers():
        (found,) = session.run(None, {name: value.numpy() for name, value in inputs.items() if name in read})
        if found.shape != drawn.shape:
            return float("inf")
        largest = max(largest, float((torch.from_numpy(found) - drawn).abs().max()))
    return largest


def checked_difference(graph: Graph, model: bytes, tolerance: float) -> float:
    """The difference, once it is known to be small enough.

    A network may amplify the last bit of its numbers so much that no two programs agree to within `tolerance`. The
    model is then as good as torch, and a warning says how much rounding alone changes.

    Raises:
        Incompatible: The model draws something else.
    """
    found = difference(graph, model)
    if found <= tolerance:
        return found
    rounding = graph.rounding()
    what = f"the ONNX model and torch differ by {found:.3g}, and {tolerance:g} is allowed"
    if not found <= min(ROUNDINGS * rounding, COARSEST):
        raise Incompatible(two_lines(what, "as.tolerance=... allows more; as=safetensors keeps the weights alone"))
    log.warning("%s; rounding to float32 alone changes what this network draws by %.2g", what, rounding)
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter prints on its way: of a failure, the error says enough."""
    loggers: list[Any] = [logging.getLogger(name) for name in ("torch", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
