"""What was read from a place and what was passed over: as plain values for the manifest, and in one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from gan_cli.data.class_names import FLAT, Classified
from gan_cli.data.listing import NAMED, Listing, Passed, shown

SHOWN_CLASSES = 12  # named in the line; all of them are in the manifest


def describe(
    listing: Listing, found: Classified, labels: Sequence[str] | None, pictures: int, why_none: str
) -> dict[str, Any]:
    """What was read, for the manifest; `line_of` puts it in one line."""
    counts = Counter(labels or ())
    everything = len(listing.files) + sum(p.count for kind, p in listing.passed.items() if kind != "unreadable")
    return {
        "place": shown(listing.place),
        "kind": listing.kind,
        "split": found.taken,
        "files": everything,
        "pictures": pictures,
        "classes": {name: counts[name] for name in found.names if name in counts},
        "no_labels_because": why_none,
        "passed_over": {kind: {"count": p.count, "names": p.names} for kind, p in _passed(listing, found).items()},
    }


def _passed(listing: Listing, found: Classified) -> dict[str, Passed]:
    passed = dict(listing.passed)
    taken = {file.name for file in found.files}
    others = [file for file in listing.files if file.name not in taken]
    if others:
        passed["of other splits"] = Passed(len(others), [shown(file.name) for file in others[:NAMED]])
    if listing.empty:
        passed["empty folder"] = Passed(len(listing.empty), [shown(name) for name in listing.empty[:NAMED]])
    return passed


def line_of(described: Mapping[str, Any]) -> str:
    """`folder d: 24 pictures in 3 classes (bus 8, car 8, train 8); 3 files passed over (2 unreadable, 1 .txt)`."""
    taken = f", its folder {described['split']}" if described["split"] else ""
    classes = [f"{name} {count}" for name, count in described["classes"].items()]
    more = [f"and {len(classes) - SHOWN_CLASSES} more"] if len(classes) > SHOWN_CLASSES else []
    named = ", ".join([*classes[:SHOWN_CLASSES], *more])
    why = described["no_labels_because"]
    without = "" if why == FLAT else f" without labels ({why})"  # a flat folder is not expected to have labels
    labels = f" in {len(classes)} classes ({named})" if classes else without
    passed = described["passed_over"]
    kinds = ", ".join(_kind(kind, facts) for kind, facts in passed.items())
    total = sum(facts["count"] for facts in passed.values())
    rest = f"; {total} passed over ({kinds})" if total else ""
    return f"{described['kind']} {described['place']}{taken}: {described['pictures']} pictures{labels}{rest}"


def _kind(kind: str, facts: Mapping[str, Any]) -> str:
    named = f": {', '.join(facts['names'])}" if kind == "empty folder" else ""
    return f"{facts['count']} {kind}{named}"
