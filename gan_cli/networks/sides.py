"""Which image sizes a network that halves down to 4 can draw."""

from __future__ import annotations

from collections.abc import Sequence

from gan_cli.errors import Incompatible, two_lines
from gan_cli.types import sample_shape


def halvings(
    model: str, resolution: int | Sequence[int], least: int = 2, otherwise: str = "mlp"
) -> tuple[int, tuple[int, int]]:
    """How often the sides halve until the shorter one is 4, and the map that is left.

    Args:
        model: Name of the model, for the message.
        resolution: Side, or [height, width].
        least: Fewest halvings the network can have.
        otherwise: The model that takes other sides.

    Raises:
        Incompatible: The data are not images, or a side does not halve evenly down to 4.
    """
    shape = sample_shape(1, resolution)
    if len(shape) != 3:
        raise Incompatible(two_lines(f"model={model} draws images, and this data set has points", "use model=mlp"))
    height, width = shape[1:]
    count = (min(height, width) // 4).bit_length() - 1
    if count < least or min(height, width) != 4 << count or max(height, width) % (1 << count):
        what = f"model={model} halves images down to a side of 4, and {height} x {width} does not"
        remedy = f"use dataset.resolution=16, 32, 64, ... (the images are fitted to it), or model={otherwise}"
        raise Incompatible(two_lines(what, remedy))
    return count, (height >> count, width >> count)
