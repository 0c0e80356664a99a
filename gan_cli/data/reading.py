"""What a set of images is made of: read by its source, cut to a limit, its labels held against what is asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gan_cli.data.described import line_of
from gan_cli.data.given import Given
from gan_cli.data.listing import NAMED
from gan_cli.data.request import Decoded, Request, decoded_by
from gan_cli.data.stored import stored
from gan_cli.data.subset import fair_part
from gan_cli.errors import DataError, two_lines

log = logging.getLogger(__name__)


def read(
    source: Callable[[Request], Decoded], request: Request, given: Given | None, limit: int | None, classes: int
) -> Decoded:
    """The images, and with them their sources, of which `limit` are kept. Raises DataError."""
    decoded = decoded_by(source, request, "dataset.source")
    _tell(decoded.described, classes)
    if given is not None:
        decoded = given.read(request, decoded)
    chosen = _chosen(decoded, limit, classes)
    if chosen is None:
        return decoded
    if given is not None:
        given.keep(chosen)
    return decoded.taken(chosen)


def _tell(described: Mapping[str, Any], classes: int) -> None:
    """Logs what was read, if files were listed."""
    if not described:
        return
    count = len(described["classes"])
    unused = f"; dataset.classes={count} makes them labels" if count and not classes else ""
    log.info("%s%s", line_of(described), unused)


def _chosen(decoded: Decoded, limit: int | None, classes: int) -> list[int] | None:
    """The rows of at most `limit` of the images, a fair part of each class; None for all."""
    if limit is None or limit >= len(decoded.images):
        return None
    labels = None if decoded.labels is None else decoded.labels.tolist()
    if labels is not None and 1 < limit < classes:
        what = f"dataset.limit={limit} leaves some of dataset.classes={classes} without an image"
        raise DataError(two_lines(what, f"set dataset.limit={classes} or more"))
    log.info("%d of %d images, chosen by their content%s", limit, len(decoded.images), ", evenly" if labels else "")
    return fair_part(stored(decoded.images).digests(), labels, limit)


def checked_labels(decoded: Decoded, classes: int) -> Tensor:
    """The labels, int64 `[N]`; zeros where none are asked for. Raises DataError where they name other classes."""
    if classes == 0 or decoded.labels is None:
        if classes:
            why = decoded.described.get("no_labels_because")
            what = f"dataset.classes={classes}, but these images have no labels{f': {why}' if why else ''}"
            raise DataError(two_lines(what, "use dataset.classes=0"))
        return torch.zeros(len(decoded.images), dtype=torch.int64)
    found = int(decoded.labels.max()) + 1
    missing = sorted({*range(found)} - {*decoded.labels.tolist()})
    if found != classes:
        empty = decoded.described.get("passed_over", {}).get("empty folder")
        lacking = empty["names"] if empty else _some(missing)
        but = f" ({', '.join(lacking)} {'has' if len(lacking) == 1 else 'have'} no image)" if lacking else ""
        what = f"dataset.classes={classes}, but the labels name {found} classes{but}"
        from_zero = ", or number the classes from 0" if 0 in missing else ""
        raise DataError(two_lines(what, f"set dataset.classes={found}{from_zero}"))
    if missing:
        log.warning(
            "no image is of the class %s, of dataset.classes=%d: what is drawn of it means nothing; "
            "number the classes from 0, without gaps",
            ", ".join(_some(missing)),
            classes,
        )
    return decoded.labels.to(torch.int64)


def _some(classes: Sequence[int]) -> list[str]:
    more = [f"{len(classes) - NAMED} more"] if len(classes) > NAMED else []
    return [*map(str, classes[:NAMED]), *more]
