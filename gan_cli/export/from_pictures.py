"""The page of a network that translates pictures: it is given those of whoever opens it, which stay there."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from gan_cli import pictures
from gan_cli.data.decoding import checked_levels, decode, header
from gan_cli.data.flaws import PictureError
from gan_cli.errors import DataError, two_lines
from gan_cli.export import graph
from gan_cli.export.template import Inside
from gan_cli.latent.translate import network_of
from gan_cli.networks.panel import Both
from gan_cli.networks.translator import Translator
from gan_cli.runs.restore import Restored


def inside(restored: Restored, example: str | None) -> Inside:
    """The page's own parts; `example` is a picture to begin with."""
    picture = b"" if example is None else embeddable(example)
    return Inside(
        graph.of(restored),
        facts(restored),
        main="pictures.html",
        style=("pictures.css",),
        scripts=("reading.js", "pictures.js"),
        embedded={"example": picture},
    )


def facts(restored: Restored) -> dict[str, Any]:
    """What the page's script knows of the network."""
    network, dataset = network_of(restored.generator), restored.config["dataset"]
    scale, least = (network.scale, network.wanted(1)) if isinstance(network, Translator) else (1, 1)
    levels = checked_levels(dataset.get("levels"), "dataset.levels")
    sides = dataset["resolution"]
    return {
        "step": restored.step,
        "direction": ("b2a" if restored.manner.back else "a2b") if isinstance(restored.generator, Both) else "",
        "channels": restored.source_channels,
        "scale": scale,
        "least": least,
        "levels": None if levels is None else list(levels),
        "trained": [side // scale for side in (sides if isinstance(sides, list) else [sides] * 2)],
    }


def embeddable(path: str) -> bytes:
    """A picture as a PNG of its pixels alone: no place, date or name of the file goes along.

    Raises:
        DataError: It cannot be read.
    """
    try:
        data = Path(path).expanduser().read_bytes()
        pixels = decode(path, data, 1 if header(path, data).grey else 3)
    except (PictureError, OSError) as error:
        reason = str(error) or "it cannot be opened"
        raise DataError(two_lines(f"as.example={path} cannot be read: {reason}", "name another picture")) from error
    written = io.BytesIO()
    pictures.write(torch.from_numpy(pixels.copy()), written, ".png")
    return written.getvalue()
