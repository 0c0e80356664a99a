"""What the pictures of `gan sample` are called in a run folder: unusual requests do not replace the usual picture."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from gan_cli.config import choices

if TYPE_CHECKING:
    from gan_cli.commands.sample import SampleRequest

LONGEST = 60  # characters for the classes in a file name


def unusual(request: SampleRequest) -> list[str]:
    """Words for a file name that tell unusual settings, so that the picture does not replace the usual one."""
    words = [] if request.ema else ["raw"]
    words += [f"average{request.average!r}"] if request.average is not None else []
    words += [f"truncation{request.truncation!r}"] if request.truncation is not None else []
    words += [f"statistics{request.standing_statistics}"] if request.standing_statistics else []
    words += [word for word in (sought(request), str(request.mode.get("towards") or "")) if word]
    words += [request.direction] if request.direction != "a2b" else []
    words += [_for_a_name(Path(request.source).stem)] if request.source else []
    classes = ",".join(map(str, request.classes)) if isinstance(request.classes, list) else request.classes
    return words if classes in (None, "") else [*words, "classes" + _for_a_name(str(classes))]


def _for_a_name(classes: str) -> str:
    """Class names as part of a file name: short, and without path separators."""
    plain = re.sub(r"[^\w.,+-]", "_", classes.strip("[]").replace(", ", ","))
    return plain if len(plain) <= LONGEST else f"{plain[:LONGEST]}-{hashlib.sha256(classes.encode()).hexdigest()[:8]}"


def sought(request: SampleRequest) -> str:
    """How directions are found, in a word for a file's name; empty for the usual way."""
    usual = choices.read("along", choices.default("along"))["_target_"]
    target = str(request.along.get("_target_", usual))
    return "" if target == usual else target.rpartition(".")[2].lower()
