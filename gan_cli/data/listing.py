"""Lists the pictures in a folder or a zip, and what is passed over there.

Hidden files and those that systems add by themselves are passed over, links are followed (each folder is entered once),
and a zip is read like the folder that it was packed from.
"""

from __future__ import annotations

import os
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from gan_cli.data.decoding import MOST_BYTES, endings, kinds
from gan_cli.data.flaws import shown as shown
from gan_cli.errors import DataError

SPLITS = frozenset({"train", "test", "val", "valid", "validation", "eval"})
LABELS = "dataset.json"  # StyleGAN's: {"labels": [["00000/img.png", 3], ...]}
# Folders that systems add beside what people put there: copies, thumbnails, and what was thrown away.
ADDED = frozenset(
    (
        "__macosx",
        "@eadir",
        "@__thumb",
        "#recycle",
        "@recycle",
        "$recycle.bin",
        "lost+found",
        "system volume information",
    )
)
MARKED_UTF8 = 0x800  # of a zip's members
PACKED = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
BOMB_BYTES, BOMB_RATIO = 2**28, 200  # a zip that unpacks to more bytes than this, and to more times its size, is a bomb
MOST_LINKS = 10_000  # folders behind links
NAMED = 5  # files named per kind


class Unopened(OSError):
    """One of the files cannot be read."""


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts digits by their number: 2 before 10."""
    parts = re.split(r"([0-9]+)", name)
    return (*((1, 0, part) if i % 2 == 0 else (0, int(part[:4000]), part) for i, part in enumerate(parts) if part),)


def is_hidden(part: str) -> bool:
    """Whether a file or folder of this name is not meant to be seen."""
    return part.startswith(".") or part.casefold() in ADDED


@dataclass(frozen=True)
class File:
    """A file at the place: its name relative to it, and its bytes. Whether they are the same is told by the state of
    the file on the disk that holds them, or, where another machine does, by their sha256."""

    name: str
    place: str
    read_bytes: Callable[[], bytes] = field(repr=False, compare=False)
    path: Path | None = field(default=None, repr=False, compare=False)
    digest: str = field(default="", repr=False, compare=False)

    def __str__(self) -> str:
        return shown(f"{self.place}/{self.name}")

    @property
    def parts(self) -> tuple[str, ...]:
        return PurePosixPath(self.name).parts


@dataclass
class Passed:
    """Files of one kind that are not readable pictures: how many, and the first names."""

    count: int = 0
    names: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        self.count += 1
        if len(self.names) < NAMED:
            self.names.append(shown(name))

    def take(self, other: Passed) -> None:
        """Adds what was passed over elsewhere."""
        self.count += other.count
        self.names += other.names[: NAMED - len(self.names)]


@dataclass
class Listing:
    """The files at a place.

    Attributes:
        place: The folder or zip as the user named it.
        files: The pictures, in the order of their names, part by part.
        passed: What was passed over, by kind.
        empty: Folders directly below it that hold no picture.
        labels: The files called `dataset.json`.
        packed: Whether it is a zip.
        kind: What the place is, in a word.
    """

    place: str
    files: list[File] = field(default_factory=list)
    passed: dict[str, Passed] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)
    labels: list[File] = field(default_factory=list)
    packed: bool = False
    kind: str = "folder"

    def pass_over(self, kind: str, name: str) -> None:
        self.passed.setdefault(kind, Passed()).add(name)

    def sort_in(self, file: File) -> None:
        """Sorts a file in by its name: a picture, labels, or passed over."""
        hidden = any(map(is_hidden, file.parts))
        ending = PurePosixPath(file.name).suffix.lower()
        if hidden:
            self.pass_over("hidden", file.name)
        elif file.parts[-1] == LABELS:
            self.labels.append(file)
        elif ending in endings():
            self.files.append(file)
        else:
            self.pass_over(shown(ending) or "without ending", file.name)

    def ordered(self) -> Listing:
        self.files.sort(key=lambda file: file.parts)
        tops = {file.parts[0] for file in self.files if len(file.parts) > 1}
        self.empty = sorted((name for name in self.empty if name not in tops), key=natural)
        return self


def listed(place: Path) -> Listing:
    """The pictures of a folder or a zip; there may be none. Raises DataError for a zip that is damaged or harmful."""
    return _folder(place) if place.is_dir() else _zip(place)


def is_zip(place: Path) -> bool:
    return place.is_file() and place.suffix.lower() == ".zip"


def nothing_in(listing: Listing) -> str:
    """The error when there is no picture."""
    found = [f"{passed.count} {kind}" for kind, passed in listing.passed.items()]
    there = f": there are {', '.join(found)} files" if found else ""
    return f"{listing.place} has no images{there}\n  put files there ({kinds()}), flat or in one folder per class"


def _from_disk(path: Path) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size > MOST_BYTES:
                    raise Unopened(f"it has {size / 2**30:.1f} GiB, and a picture {MOST_BYTES / 2**30:g} at most")
                return file.read(MOST_BYTES)
        except OSError as error:
            raise error if isinstance(error, Unopened) else Unopened(error.strerror or "it cannot be opened") from None

    return read


def _folder(root: Path) -> Listing:
    listing = Listing(str(root))
    seen: set[tuple[int, int]] = set()
    links: list[tuple[Path, str]] = []
    todo: list[tuple[Path, str]] = [(root, "")]
    while todo or links:
        # Real folders come before links, so that of a folder and a link to it, the link is the one not followed.
        folder, below = todo.pop() if todo else links.pop(0)
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                listing.pass_over("link to a folder that was met before", below)
                continue
            seen.add((status.st_dev, status.st_ino))
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            listing.pass_over("folder that cannot be read", below or str(root))
            continue
        for entry in entries:
            name = f"{below}{entry.name}"
            kind = _kind(entry)
            if kind == "folder" and not is_hidden(entry.name):
                listing.empty += [entry.name] if not below else []
                inside = (Path(entry.path), f"{name}/")
                if not entry.is_symlink():
                    todo.append(inside)
                elif len(links) < MOST_LINKS:
                    links.append(inside)
            elif kind in ("file", "folder"):
                path = Path(entry.path)
                listing.sort_in(File(name, str(root), _from_disk(path), path))
            else:
                listing.pass_over(kind, name)
    return listing.ordered()


def _kind(entry: os.DirEntry[str]) -> str:
    try:
        mode = entry.stat().st_mode
    except OSError:
        return "broken link"
    if stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) else "device or pipe"


def _zip(path: Path) -> Listing:
    try:
        archive = zipfile.ZipFile(path)
        members = archive.infolist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path} is not a readable zip ({_reason(error)})\n  pack or fetch it again") from error
    listing = Listing(str(path), packed=True, kind="zip")
    for name, info in checked_members(path, members, MOST_BYTES):
        listing.sort_in(File(name, str(path), _from_archive(archive, info)))
    return listing.ordered()


def checked_members(path: Path, members: Sequence[zipfile.ZipInfo], most: int) -> Iterator[tuple[str, zipfile.ZipInfo]]:
    """The files of a zip by name, each at most `most` bytes. Raises DataError for what no honest archive holds."""

    def refuse(what: str, remedy: str) -> DataError:
        return DataError(f"{path} {what}\n  {remedy}")

    taken: set[str] = set()
    unpacked, packed = sum(info.file_size for info in members), path.stat().st_size
    if unpacked > max(BOMB_BYTES, BOMB_RATIO * packed):
        times = f"{unpacked / 2**30:.1f} GiB, {unpacked // max(packed, 1)} times its size"
        raise refuse(f"unpacks to {times}", "it holds nothing of use: remove it")
    for info in members:
        if info.is_dir():
            continue
        name = _named(info).replace("\\", "/")
        parts = PurePosixPath(name).parts
        if not parts or ".." in parts or name.startswith("/"):
            raise refuse(f"holds the name {shown(info.filename)}, which leads out of it", "pack it again")
        name = "/".join(parts)
        if name in taken:
            raise refuse(f"holds {shown(name)} more than once", "pack it again")
        taken.add(name)
        if info.flag_bits & 1:
            raise refuse("is encrypted", "pack it again without a password")
        if info.compress_type not in PACKED:
            raise refuse(f"is packed by method {info.compress_type}", "pack it again, deflated or stored")
        if info.file_size > most:
            size = f"{info.file_size / 2**30:.1f} GiB"
            raise refuse(f"holds {shown(name)} of {size}", f"no more than {most / 2**30:g} GiB are read")
        yield name, info


def _named(info: zipfile.ZipInfo) -> str:
    """The name of a member. Macs write it as UTF-8 without the mark that says so, and it is taken for code page 437."""
    if info.flag_bits & MARKED_UTF8:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _from_archive(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            return archive.read(info)  # no more than the checked size
        except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise Unopened(f"the zip is damaged: {_reason(error)}") from None

    return read


def _reason(error: Exception) -> str:
    lines = str(error).splitlines()
    return shown(lines[0]) if lines else "damaged"
