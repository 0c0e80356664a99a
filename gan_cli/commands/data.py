"""gan data: pictures packed into shards."""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from gan_cli import console
from gan_cli.config import plain
from gan_cli.config.errors import did_you_mean
from gan_cli.errors import ConfigError, WouldOverwrite, two_lines
from gan_cli.progress import display
from gan_cli.store import outputs
from gan_cli.store.places import is_address

log = logging.getLogger(__name__)

USAGE = "gan data pack FOLDER out=shards"
USUAL_SIZE = 256  # MiB


def main(words: Sequence[str]) -> None:
    """The command line: `words` after `gan data`."""
    asked = plain.answering(words, ("out", "size"))
    task, *places = asked.plain or [""]
    if task != "pack":
        what = f"gan data has no task '{task}'" if task else "what is to be done?"
        raise ConfigError(two_lines(what, f"{did_you_mean(task, ['pack'])} {USAGE}".strip()))
    if len(places) != 1:
        raise ConfigError(two_lines("which folder?" if not places else f"one folder, not {len(places)}", USAGE))
    out, size = asked.settings.get("out"), plain.count(asked, "size") or USUAL_SIZE
    if not out:
        raise ConfigError(two_lines("where to?", f"{USAGE}: a new folder"))
    _pack(places[0], Path(os.path.expanduser(out)), size * 2**20, asked.json)


@display()
def _pack(word: str, out: Path, most: int, answer: str | None) -> None:
    place = Path(os.path.expanduser(word))
    if os.path.lexists(out):
        raise WouldOverwrite(two_lines(f"out={out} is there already", "name a new folder"))
    if place.resolve() in out.resolve().parents:
        what = f"out={out} lies in {place}, whose pictures are packed"
        raise ConfigError(
            two_lines(what, "name a folder outside of it, so that it goes on holding nothing but pictures")
        )
    from gan_cli.data.listing import is_zip, listed, nothing_in
    from gan_cli.data.packing import pack

    if not (place.is_dir() or is_zip(place)):
        if is_address(word):
            raise ConfigError(two_lines(f"{word} is not on this machine", "fetch the pictures, and name their folder"))
        raise ConfigError(two_lines(f"{place} is neither a folder nor a zip", "name the one that holds your pictures"))
    listing = listed(place)
    if not listing.files:
        raise ConfigError(nothing_in(listing))
    with outputs.named(f"out={out}"):
        packed = pack(listing, out, most)
    if answer is not None:
        facts = [{**each._asdict(), "classes": list(each.classes)} for each in packed]
        outputs.answer(answer, {"out": str(out), "packed": facts})
        return
    for each in packed:
        classes = f" of {len(each.classes)} classes" if each.classes else f" without labels ({each.why_none})"
        shards = f"{each.shards} shard{'s' * (each.shards != 1)}"
        log.info(
            "%s: %d pictures%s in %s, %s", out / each.split, each.pictures, classes, shards, console.size(each.bytes)
        )
    labels = f" dataset.classes={len(packed[0].classes)}" if packed[0].classes else ""
    split = f" dataset.split={packed[0].split}" if packed[0].split not in ("", "train") else ""
    log.info("  gan train dataset=webdataset dataset.root=%s%s%s", shlex.quote(str(out)), split, labels)
