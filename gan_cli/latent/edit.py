"""A real image, or a latent that was kept, moved along directions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from gan_cli import sampling
from gan_cli.data import arrays
from gan_cli.errors import ConfigError, DataError, Incompatible, two_lines
from gan_cli.latent import Subject
from gan_cli.latent.directions import Along, Direction, SeFa, chosen, moved
from gan_cli.latent.drawings import Drawing, Sheet, Sheets
from gan_cli.latent.project import Point, Search
from gan_cli.latent.styling import MANY, space
from gan_cli.sampling import one_by_one
from gan_cli.types import PositiveInt

log = logging.getLogger(__name__)

GIVE = "give the .npz that mode=project has written beside its picture, or mode=edit with one amount of one direction"
FARTHEST = 1e6  # of a coordinate in a file


def kept(path: str, name: str, like: Tensor, classes: int) -> Point:
    """The latent (or w) in an `.npz`, as `mode=project` and `mode=edit` write it.

    Args:
        name: What it is called there: `latent` or `w`.
        like: One of this generator's own, `[...]`.
        classes: Of the generator; 0 if it draws none on demand.

    Raises:
        DataError: It holds something else, or several.
    """
    word = f"mode.latent={path}"
    try:
        found = arrays.read(Path(path).expanduser(), (name, "label"), lambda names: name in names, GIVE)
    except DataError as error:
        raise DataError(f"mode.latent={error!s}") from error
    values, label = found[name], found.get("label", np.zeros((), np.int64))
    if values.dtype.kind != "f" or not np.isfinite(values).all() or not (abs(values) < FARTHEST).all():
        raise DataError(two_lines(f"{word}: {name} holds {values.dtype} that are no places of this generator", GIVE))
    size = like.numel()
    if values.shape[values.ndim - like.ndim :] != tuple(like.shape) or values.size != size:
        shown = " x ".join(map(str, values.shape)) or "one number"
        wanted = " x ".join(map(str, like.shape))
        raise DataError(two_lines(f"{word}: {name} is {shown}, and this generator takes one of {wanted}", GIVE))
    if label.size != 1 or label.dtype.kind not in "iu" or not 0 <= int(label.item()) < max(classes, 1):
        raise DataError(two_lines(f"{word}: its label is none of this generator's {max(classes, 1)}", GIVE))
    w = torch.from_numpy(values.reshape(like.shape).astype(np.float32))
    return Point(w.to(like.device), torch.tensor(int(label.item()), device=like.device), torch.zeros(()))


@dataclass(frozen=True)
class Edit(Search):
    """One sheet: row i is the image's sample, moved along direction i by each of the amounts.

    Args:
        image: A file, whose latent (or w) is looked for as `mode=project` does; or else
        latent: The `.npz` that `mode=project` or this mode has written.
        amounts: How far, in standard deviations of the latents (or w) along the direction; 0 for the sample itself.
        count: The most directions.
        towards: Only the direction of this name.
        along: How directions are found.
    """

    image: str | None = None
    latent: str | None = None
    amounts: Sequence[float] = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
    count: PositiveInt = 5
    towards: str | None = None
    along: Along = field(default_factory=SeFa)
    name: ClassVar[str] = "edit"

    def draw(self, subject: Subject) -> Drawing:
        if (self.image is None) == (self.latent is None):
            what = "mode=edit moves a picture: " + ("none is named" if self.image is None else "two are named")
            raise ConfigError(two_lines(what, "give mode.image=FILE, or mode.latent=FILE.npz of mode=project"))
        if not self.amounts:
            raise ConfigError(two_lines("mode.amounts=[] moves nothing", "give some: mode.amounts=[-2,0,2]"))
        if subject.points:
            raise Incompatible("mode=edit moves pictures, and this generator draws points\n  use mode=directions")
        directions = self.along.find(subject)
        start = self._start(subject)
        return Sheets(self.sheets(subject, start, directions))

    def _start(self, subject: Subject) -> Callable[[], Point]:
        """What finds the place to start from; it is checked at once."""
        if self.image is not None:
            target = self.target(subject, self.image)
            return lambda: self.closest(subject, target)
        assert self.latent is not None
        name, encode, _ = space(subject.generator)
        with torch.no_grad():
            like = encode(*subject.latents(1))[0]
        point = kept(self.latent, name, like, sampling.on_demand(subject.generator))
        return lambda: point

    def sheets(self, subject: Subject, start: Callable[[], Point], directions: Iterator[Direction]) -> Iterator[Sheet]:
        name, encode, decode = space(subject.generator)
        with torch.no_grad():
            points = encode(*subject.latents(MANY))
        found = list(chosen(directions, self.count, self.towards))
        w, label, _ = start()
        amounts = torch.tensor(list(self.amounts), device=w.device, dtype=w.dtype)
        there = torch.cat([moved(w[None], each.vector, amounts * (points @ each.vector).std()) for each in found])
        log.info("%s", ", ".join(f"row {i + 1}: {each.name}" for i, each in enumerate(found)))
        samples = one_by_one(decode, there.flatten(0, 1), label.expand(there.shape[0] * there.shape[1]))
        vectors = torch.stack([each.vector for each in found])
        extra = {name: there.cpu(), "label": label.cpu(), "directions": vectors.cpu(), "amounts": amounts.cpu()}
        yield Sheet(samples.unflatten(0, there.shape[:2]), kept=extra)
