"""Parquet files as Hugging Face's datasets writes them: a column of pictures, struct{bytes, path}, and one of classes.

A row is a picture, and its bytes are a file like any other. A row group is read whole, and the last two are held: rows
that are read in order cost one reading.
"""

from __future__ import annotations

import importlib
import json
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from gan_cli.data import memo
from gan_cli.data.class_names import MOST_CLASSES, by_numbers, checked_names
from gan_cli.data.decoding import MOST_BYTES
from gan_cli.data.flaws import shown
from gan_cli.data.folder import decode_listed
from gan_cli.data.listing import File, Listing, Unopened
from gan_cli.data.patterns import found
from gan_cli.data.request import Decoded, Request
from gan_cli.errors import DataError, PackageMissing, two_lines

LARGEST_GROUP = 2**31  # bytes of the pictures of a row group
MOST_ROWS = 20_000_000
LARGEST_NOTE = 2**24  # bytes of what datasets notes about the columns
HELD = 2  # row groups
SHOWN_COLUMNS = 12
NAMES_NUMBERS = "dataset.source.label= names a column of class numbers 0, 1, 2, ..."
FETCH = "fetch it again, or write it with pictures as bytes"
AGAIN = "start again, or resume the run, when the files stay as they are"


class RowGroup(NamedTuple):
    """A row group of a file that must stay as it was when it was stamped."""

    path: Path
    stamp: memo.Stamp
    number: int
    column: str


class Table(NamedTuple):
    """What is in a file.

    Attributes:
        groups: Its row groups with their rows.
        labels: The class of each row.
        why_none: Why no row has one, worded to follow "have no labels: "; empty where some may.
        names: What the classes are called.
    """

    groups: list[tuple[RowGroup, int]]
    labels: list[int | None]
    why_none: str
    names: list[str]


def decode_parquet(request: Request, image: str, label: str) -> Decoded:
    """See `gan_cli.data.sources.parquet`."""
    if request.stream:
        what = "dataset.stream=true: a picture in a Parquet file cannot be read without those of its row group"
        raise DataError(two_lines(what, "leave dataset.stream out: the decoded pictures are kept on the disk"))
    paths, taken = found(request.here(), ".parquet", request.split)
    listing, held = Listing(str(request.root), kind="parquet"), Held()
    labels: list[int | None] = []
    names: list[str] = []
    why_none = ""
    for path in paths:
        table = _table(path, image, label)
        for part, rows in table.groups:
            for row in range(rows):
                name = f"{path.name}/{len(listing.files)}"
                listing.files.append(File(name, str(path.parent), held.reader(part, row), path))
        labels += table.labels
        names = names or table.names
        why_none = why_none or table.why_none
        if len(listing.files) > MOST_ROWS:
            raise DataError(two_lines(f"{request.root} has over {MOST_ROWS:,} rows", "name fewer files"))
    classes = by_numbers(listing.files, labels, names, f"class number in the column {shown(label)}", taken)
    if why_none and all(k is None for k in labels):
        classes = replace(classes, why_none=why_none)
    called = tuple(f"{i:07d}" for i in range(len(listing.files)))
    return decode_listed(listing, classes, request, called)


class Held:
    """Reads pictures out of row groups, of which the last ones are kept; by any thread."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.groups: OrderedDict[RowGroup, Any] = OrderedDict()

    def reader(self, part: RowGroup, row: int) -> Callable[[], bytes]:
        """Reads the picture of a row. Raises DataError where the file was changed or is damaged."""

        def read() -> bytes:
            held = self._group(part)[row].as_py()
            if held is None:
                raise Unopened("the row has no picture")
            content = held["bytes"]
            if content is None:
                raise Unopened("the file holds its path alone, and not its bytes")
            if len(content) > MOST_BYTES:
                raise Unopened(f"it has {len(content) / 2**30:.1f} GiB, and a picture {MOST_BYTES / 2**30:g} at most")
            return bytes(content)

        return read

    def _group(self, part: RowGroup) -> Any:
        with self.lock:
            if part not in self.groups:
                while len(self.groups) >= HELD:
                    self.groups.popitem(last=False)
                self.groups[part] = _pictures(part)
            return self.groups[part]


def _pyarrow() -> Any:
    try:
        return importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        what = f"Parquet files need the package pyarrow, which cannot be imported ({error})"
        raise PackageMissing(two_lines(what, "pip install 'gan-cli[parquet]'")) from None


@contextmanager
def _opened(path: Path, repeated: tuple[str, ...] = ()) -> Iterator[Any]:
    """The file.

    Args:
        repeated: Columns of which a value that many rows repeat is held once, so that what is read is no larger than
            what the file states.

    Raises:
        DataError: It cannot be read, then or while it is used.
    """
    library = _pyarrow()
    try:
        with library.ParquetFile(path, read_dictionary=repeated) as file:
            yield file
    except (OSError, ValueError, TypeError, KeyError, MemoryError, NotImplementedError) as error:
        if isinstance(error, DataError):
            raise
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(two_lines(f"{path} cannot be read ({shown(first)[:200]})", FETCH)) from error


def _pictures(part: RowGroup) -> Any:
    """The column of a row group, and that the file is the same before and after."""
    try:
        same = memo.stamped(part.path) == part.stamp
        leaf = f"{part.column}.bytes"
        with _opened(part.path, (leaf,)) as file:
            column = file.read_row_group(part.number, columns=[leaf], use_threads=False).column(0)
        same = same and memo.stamped(part.path) == part.stamp
    except OSError as error:
        what = f"{part.path} cannot be read any more ({error.strerror or error})"
        raise DataError(two_lines(what, AGAIN)) from error
    if not same:
        raise DataError(two_lines(f"{part.path} was changed while it was read", AGAIN))
    return column


def _table(path: Path, image: str, label: str) -> Table:
    """What the end of the file says, and its classes. Raises DataError for what is no such file."""
    stamp = memo.stamped(path)
    with _opened(path) as file:
        facts = file.metadata
        columns = {facts.schema.column(i).path: i for i in range(facts.num_columns)}
        place = columns.get(f"{image}.bytes")
        if place is None:
            there = ", ".join(dict.fromkeys(shown(name).split(".")[0] for name in columns))
            what = f"{path} has no column {shown(image)} of struct{{bytes, path}}: its columns are {there}"
            raise DataError(two_lines(what, "dataset.source.image= names the one with the pictures"))
        if facts.num_rows > MOST_ROWS:
            raise DataError(two_lines(f"{path} states {facts.num_rows:,} rows", f"{MOST_ROWS:,} at most are read"))
        groups = []
        for number in range(facts.num_row_groups):
            group = facts.row_group(number)
            size = group.column(place).total_uncompressed_size
            if not 0 <= size <= LARGEST_GROUP:
                what = f"{path} has a row group with {size / 2**30:.1f} GiB of pictures"
                raise DataError(two_lines(what, f"write it with less than {LARGEST_GROUP / 2**30:g} in a group"))
            groups.append((RowGroup(path, stamp, number, image), group.num_rows))
        rows = sum(rows for _, rows in groups)
        return Table(groups, *_labels(file, label, rows), _names(facts.metadata or {}, label))


def _labels(file: Any, label: str, rows: int) -> tuple[list[int | None], str]:
    """The class of each row; None for all where there is no such column of integers, and why."""
    schema = file.schema_arrow
    none: list[int | None] = [None] * rows
    if label not in schema.names:
        columns = ", ".join(shown(name) for name in schema.names[:SHOWN_COLUMNS])
        return none, f"there is no column {shown(label)} among {columns}; {NAMES_NUMBERS}"
    kind = shown(str(schema.field(label).type))[:60]
    if not kind.lstrip("u").startswith("int"):
        return none, f"the column {shown(label)} holds {kind} and no whole numbers; {NAMES_NUMBERS}"
    found: list[int | None] = file.read(columns=[label], use_threads=False).column(0).to_pylist()
    return [k if k is not None and 0 <= k < MOST_CLASSES else -1 for k in found], ""


def _names(notes: dict[bytes, bytes], label: str) -> list[str]:
    """What datasets says the classes are called; nothing where it says nothing that can be used."""
    note = notes.get(b"huggingface", b"")
    try:
        names = json.loads(note)["info"]["features"][label]["names"] if len(note) <= LARGEST_NOTE else []
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    return checked_names(names)
