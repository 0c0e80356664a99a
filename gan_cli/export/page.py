"""One HTML file that draws in a browser, from a file and without a network.

The page holds the generator as an ONNX model, onnxruntime-web, and torch's random numbers in JavaScript: a seed means
there what it means to `gan sample`. What comes out of a run, such as class names, enters as JSON and leaves as text.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
import logging
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Annotated, Any

import torch
from annotated_types import Ge, Le
from torch import Tensor

from gan_cli import priors, sampling
from gan_cli.console import one_line
from gan_cli.errors import Incompatible, two_lines
from gan_cli.export import Exported, Form, convert, graph, runtime
from gan_cli.export.model import Model
from gan_cli.latent.directions import affine, sefa
from gan_cli.latent.styling import MANY, Truncatable, space
from gan_cli.priors import Prior
from gan_cli.runs.restore import Restored
from gan_cli.types import NonNegativeInt, Positive

log = logging.getLogger(__name__)

# The priors that the page's script can draw, by their names there.
DRAWN = (priors.Normal, priors.Uniform, priors.Spherical, priors.Truncated)
FARTHEST = 3.0  # the bound of truncated latents at which a slider is off
POINTS = 1000


@dataclass(frozen=True)
class Page(Form):
    """A page with controls for seed, class, truncation, interpolation and directions.

    Args:
        runtime: A folder with onnxruntime-web; npm fetches it when None.
        n: Samples shown at first; when None, 16 or a few of each class.
        directions: How many sliders for directions of largest change.
        opset, tolerance: As of the ONNX model inside.
    """

    runtime: str | None = None
    n: Annotated[int, Ge(1), Le(256)] | None = None
    directions: NonNegativeInt = 5
    opset: Annotated[int, Ge(18)] = 18
    tolerance: Positive = 1e-4

    @property
    def ending(self) -> str:
        return ".html"

    def check(self) -> None:
        convert.check_packages()
        runtime.check(self.runtime)

    def exported(self, restored: Restored) -> Exported:
        check(restored)
        facts = self.facts(restored)
        drawn = graph.of(restored, steered=True)
        facts |= {"inputs": list(drawn.inputs), "noise": [list(sides) for sides in drawn.noise]}
        inside = Model(self.opset, self.tolerance)
        model = inside.converted(restored, drawn)
        run = runtime.found(self.runtime)
        title = restored.run.folder.resolve().name if restored.run is not None else restored.path.stem
        page = _read("page.html").format(
            title=html.escape(one_line(title)),
            n=facts["n"],
            version=html.escape(one_line(run.version)),
            facts=in_script(facts),
            model=packed(model.files[inside.ending]),
            runtime=packed(run.script),
            wasm=packed(run.wasm),
            script=f"{_read('random.js')}\n{_read('page.js')}",
        )
        return Exported({self.ending: page.encode()}, model.facts)

    def facts(self, restored: Restored) -> dict[str, Any]:
        """What the page's script knows of the generator."""
        prior, generator = restored.game.prior, restored.generator
        ways = directions(prior, restored, self.directions)
        return {
            "step": restored.step,
            "points": restored.points,
            "n": self.n or (POINTS if restored.points else max(16, min(60, 6 * sampling.on_demand(generator)))),
            "latent_dim": prior.latent_dim,
            "prior": {"name": type(prior).__name__, "bound": prior.bound},
            "classes": sampling.on_demand(generator),
            "class_names": list(restored.class_names) if sampling.on_demand(generator) else [],
            "truncation": slider(prior, generator),
            "width": ways.shape[1],
            "directions": ways.tolist(),
        }


def check(restored: Restored) -> None:
    """Raises Incompatible for what no page draws."""
    if restored.translates:
        what = "as=html draws from latents, and this network translates pictures"
        raise Incompatible(two_lines(what, "use as=onnx or as=safetensors"))
    if type(restored.game.prior) not in DRAWN:
        names = ", ".join(kind.__name__.lower() for kind in DRAWN)
        what = f"as=html draws latents of prior={names}, and this is {type(restored.game.prior).__name__}"
        raise Incompatible(two_lines(what, "use as=onnx, which is given latents"))


def slider(prior: Prior, generator: torch.nn.Module) -> dict[str, float] | None:
    """The range of truncation, whose end stands for none; None where nothing can be truncated."""
    if isinstance(generator, Truncatable):
        return {"min": 0.0, "max": 1.0}
    return {"min": 0.05, "max": prior.bound or FARTHEST} if isinstance(prior, priors.Normal) else None


@torch.no_grad()
def directions(prior: Prior, restored: Restored, count: int) -> Tensor:
    """The directions of largest change `[count or fewer, W]`, each one standard deviation of the latents long."""
    latent, label = sampling.latents(prior, sampling.Draws.of(restored.generator, 0, torch.device("cpu")), MANY)
    w = space(restored.generator).encode(latent, label).flatten(0, -2)
    ways = sefa(affine(restored.generator, w.shape[-1]), count)
    return ways * (w @ ways.T).std(0).unsqueeze(1)


def packed(content: bytes) -> str:
    """Bytes as the page's script unpacks them."""
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


def in_script(value: object) -> str:
    """A value as JSON within a script element, which no text in it can leave."""
    return json.dumps(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def _read(name: str) -> str:
    return (resources.files("gan_cli.export") / "web" / name).read_text(encoding="utf-8")
