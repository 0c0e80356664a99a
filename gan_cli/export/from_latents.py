"""The page of a generator from latents: sliders for all that a latent can do.

It holds torch's random numbers in JavaScript, so that a seed means there what it means to `gan sample`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gan_cli import priors, sampling
from gan_cli.errors import Incompatible, two_lines
from gan_cli.export import graph
from gan_cli.export.template import Inside
from gan_cli.latent.directions import affine, sefa
from gan_cli.latent.styling import MANY, Truncatable, space
from gan_cli.priors import Prior
from gan_cli.runs.restore import Restored

# The priors that the page's script can draw, by their names there.
DRAWN = (priors.Normal, priors.Uniform, priors.Spherical, priors.Truncated)
FARTHEST = 3.0  # the bound of truncated latents at which a slider is off
POINTS = 1000


def inside(restored: Restored, n: int | None, count: int) -> Inside:
    """The page's own parts, with `n` samples at first (None: a usual number) and at most `count` directions.

    Raises:
        Incompatible: Its latents are of a prior that the page cannot draw.
    """
    check(restored)
    drawn = graph.of(restored, steered=True)
    known = facts(restored, n, count)
    known |= {"inputs": list(drawn.inputs), "noise": [list(sides) for sides in drawn.noise]}
    return Inside(drawn, known, main="latents.html", scripts=("random.js", "latents.js"))


def facts(restored: Restored, n: int | None, count: int) -> dict[str, Any]:
    """What the page's script knows of the generator."""
    prior, generator = restored.game.prior, restored.generator
    classes, ways = sampling.on_demand(generator), directions(prior, restored, count)
    return {
        "points": restored.points,
        "n": n or (POINTS if restored.points else max(16, min(60, 6 * classes))),
        "latent_dim": prior.latent_dim,
        "prior": {"name": type(prior).__name__, "bound": prior.bound},
        "classes": classes,
        "class_names": list(restored.class_names) if classes else [],
        "truncation": slider(prior, generator),
        "width": ways.shape[1],
        "directions": ways.tolist(),
    }


def check(restored: Restored) -> None:
    """Raises Incompatible for latents that the page cannot draw."""
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
