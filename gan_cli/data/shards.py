"""Sets of tar shards in WebDataset's layout (see `gan_cli.data.shard`).

The layout is that of the webdataset library, whose reader is not used: it is a stream, whose order depends on workers
and on what is in a buffer, and here a batch is a function of (seed, draw). A tar file is read by its headers
(gan_cli.data.tar), and from there on a picture in it is a file like any other: one decoder, one cache or none,
one order. The tests hold both readers against each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gan_cli.data import remote
from gan_cli.data.class_names import by_numbers, checked_names
from gan_cli.data.folder import decode_listed
from gan_cli.data.listing import Listing, Passed
from gan_cli.data.patterns import found
from gan_cli.data.request import Decoded, Request
from gan_cli.data.shard import Afar, Here
from gan_cli.data.shard_index import check, index_in

Indices = Mapping[str, Mapping[str, Any]]  # by folder: what the index there says


def decode_shards(request: Request) -> Decoded:
    """See `gan_cli.data.sources.webdataset`."""
    places, index, taken = _elsewhere(request) if request.address else _here(request)
    listing = Listing(request.address or str(request.root), kind="shards")
    labels: list[int | None] = []
    keys: list[str] = []
    for place in places:
        shard = place.look(request.cache)
        for kind, passed in shard.passed.items():
            listing.passed.setdefault(kind, Passed()).take(passed)
        listing.files += shard.files
        labels += shard.labels
        keys += shard.keys
    names = (
        [name for facts in index.values() for name in checked_names(facts.get("classes"))] if len(index) == 1 else []
    )
    classes = by_numbers(listing.files, labels, names, "class number in a .cls", taken)
    return decode_listed(listing, classes, request, tuple(keys) if len(set(keys)) == len(keys) else None)


def _here(request: Request) -> tuple[list[Here], Indices, str]:
    """The shards that the root names on this machine, and the split whose folder was taken. Raises DataError."""
    paths, taken = found(request.root, ".tar", request.split)
    index = {folder: index_in(folder) for folder in {path.parent for path in paths}}
    for folder, facts in index.items():
        check(folder, facts, paths, request.root.is_dir(), request.cache)
    places = [Here(path, str(path.parent), path.name) for path in paths]
    return places, {str(folder): facts for folder, facts in index.items()}, taken


def _elsewhere(request: Request) -> tuple[list[Here | Afar], Indices, str]:
    """The same of an address: fetched into the cache, or left there. Raises DataError."""
    shards, index = remote.fetched(request.address, request.split, request.download, request.cache, request.disk)
    places = [
        Afar(shard) if isinstance(shard, remote.Left) else Here(shard.path, shard.folder, shard.name)
        for shard in shards
    ]
    return places, index, ""
