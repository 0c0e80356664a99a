"""Files of weights in three wrappings: torch's zip, torch's older stream, and a bare pickle with tensors inside it."""

from __future__ import annotations

import io
import math
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from gan_cli.errors import CheckpointError, WeightsRefused, two_lines
from gan_cli.foreign.pickles import Bounded, Machine, Make, Name, NotData, Thing
from gan_cli.store.archives import check_archive
from gan_cli.store.tensors import flaw

MAGIC = 0x1950A86A20F9469CFC6C  # what torch's older stream begins with, as a pickle of its own
SIDES = 8  # dimensions of a tensor
TWICE = 2  # a file's tensors together may declare so many times what it holds: some share their numbers
KINDS: Mapping[str, torch.dtype] = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "UntypedStorage": torch.uint8,
}
# The packages whose classes such files name. None is imported: their names are only let stand.
PACKAGES = frozenset({"torch", "numpy", "collections", "dnnlib", "torch_utils", "training", "R3GAN"})
BUILTINS = frozenset({"set", "frozenset", "dict", "list", "tuple", "slice", "complex", "bytearray", "object", "type"})
OTHERS = frozenset({("_codecs", "encode"), ("argparse", "Namespace"), ("copyreg", "_reconstructor")})


@dataclass(eq=False)
class Storage:
    """Numbers in a row, from a file."""

    kind: torch.dtype
    count: int
    content: bytes | bytearray | None = None  # in torch's older stream they come at the end

    @property
    def size(self) -> int:
        return self.count * self.kind.itemsize

    @cached_property
    def numbers(self) -> Tensor:
        if self.content is None or len(self.content) != self.size:
            raise NotData("it declares numbers that it does not hold")
        return torch.frombuffer(bytearray(self.content), dtype=self.kind) if self.count else torch.empty(0)


@dataclass(eq=False)
class View:
    """A tensor as a file declares it."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape) * self.storage.kind.itemsize

    def tensor(self) -> Tensor:
        """The numbers, a copy of their own. Raises NotData where they are not all there, or not finite."""
        reach = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True)) + 1
        if 0 in self.shape:
            return torch.empty(self.shape, dtype=self.storage.kind)
        if reach > self.storage.count or self.size > self.storage.size:
            raise NotData("a tensor declares more numbers than it holds")
        found = self.storage.numbers.as_strided(self.shape, self.strides, self.offset).clone()
        problem = flaw(found)
        if problem is not None:
            raise NotData(f"a tensor {problem}")
        return found


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**48


def _view(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> View:
    good = isinstance(storage, Storage) and _whole(offset) and isinstance(shape, tuple) and isinstance(strides, tuple)
    if not good or len(shape) != len(strides) or len(shape) > SIDES or not all(map(_whole, (*shape, *strides))):
        raise NotData("a tensor is declared in another form")
    return View(storage, offset, shape, strides)


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _storage(wanted: Any, content: Callable[[str, int], bytes | None], seen: dict[str, Storage]) -> Storage:
    """The storage that a persistent id names: ("storage", class, key, place, count, ...)."""
    good = isinstance(wanted, tuple) and len(wanted) >= 5 and wanted[0] == "storage"
    if not good or not isinstance(wanted[1], Name) or not isinstance(wanted[2], str) or not _whole(wanted[4]):
        raise NotData("numbers are declared in another form")
    _, kind, key, _, count, *view = wanted
    if kind.name not in KINDS or any(part is not None for part in view):
        raise NotData(f"numbers are of another kind, {kind}")
    if key not in seen:
        size = count * KINDS[kind.name].itemsize
        seen[key] = Storage(KINDS[kind.name], count, content(key, size))
    return seen[key]


def _scalar(kind: Any, content: Any) -> Any:
    """A number of numpy's, such as the gain of a layer."""
    codes = {"f8": "<d", "f4": "<f", "i8": "<q", "i4": "<i"}
    code = kind.args[0] if isinstance(kind, Thing) and kind.args else None
    if not isinstance(content, bytes) or code not in codes:
        return None
    return struct.unpack(codes[code], content)[0]


def _text(content: Any, coding: Any) -> bytes:
    """Bytes as old protocols write them."""
    if not isinstance(content, str) or coding not in ("latin1", "latin-1"):
        raise NotData("it has text in an unknown coding")
    return content.encode("latin1")


def _persistent_module(meta: Any, *_: Any) -> Thing:
    """A module of NVIDIA's persistence: its source code stands beside its state, and is left alone."""
    if not isinstance(meta, dict | Thing):
        raise NotData("a module is declared in another form")
    items = meta.items if isinstance(meta, Thing) else meta
    return Thing(Name("", str(items.get("class_name"))[:100]), state=items.get("state"))


def _ordered(*args: Any) -> dict[Any, Any]:
    if args not in ((), ([],)):
        raise NotData("a dict is declared in another form")
    return {}


KNOWN: Mapping[Name, Make] = {
    Name("collections", "OrderedDict"): _ordered,
    Name("torch._utils", "_rebuild_tensor_v2"): _view,
    Name("torch._utils", "_rebuild_tensor"): _view,
    Name("torch._utils", "_rebuild_parameter"): _parameter,
    Name("_codecs", "encode"): _text,
    Name("numpy.core.multiarray", "scalar"): _scalar,
    Name("numpy._core.multiarray", "scalar"): _scalar,
    Name("torch_utils.persistence", "_reconstruct_persistent_obj"): _persistent_module,
    **{Name(home, "set"): lambda entries=(): list(entries) for home in ("builtins", "__builtin__")},
}


def admitted(name: Name) -> bool:
    """Whether a file of weights may name this; nothing is imported either way."""
    if name.module in ("builtins", "__builtin__"):
        return name.name in BUILTINS
    return name.module.partition(".")[0] in PACKAGES or tuple(name) in OTHERS


def read(path: Path) -> Any:
    """The content of a file of weights: dicts, lists, words, numbers, `Thing`s, and a `View` for each tensor.

    Raises:
        CheckpointError: It cannot be read, or is not such a file.
        WeightsRefused: It names what no network is made of.
    """
    try:
        with path.open("rb") as file:
            value = _zipped(file) if _is_zip(file) else _streamed(Bounded(file))
        _check_size(value, path.stat().st_size)
        return value
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read ({(error.strerror or str(error)).lower()})", "make it readable, or name another"
        ) from None
    except NotData as error:
        if "no network is made of" in str(error):
            raise WeightsRefused(two_lines(f"{path} was refused: {error}", "nothing of it was executed")) from None
        raise CheckpointError(f"{path} is not a whole file of weights: {error}", "copy or fetch it again") from None
    except (ValueError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError, struct.error) as error:
        raise CheckpointError(
            f"{path} is not a whole file of weights: {str(error) or 'cut short'}", "copy or fetch it again"
        ) from None


def _is_zip(file: BinaryIO) -> bool:
    start = file.read(4)
    file.seek(0)
    return start[:2] == b"PK"


def _zipped(file: BinaryIO) -> Any:
    archive = check_archive(file)
    names = {*archive.namelist()}
    listing = next((name for name in names if name.endswith("/data.pkl")), None)
    if listing is None:
        raise NotData("it has no list of tensors")
    root = listing.removesuffix("data.pkl")
    if f"{root}byteorder" in names and archive.read(f"{root}byteorder") != b"little":
        raise NotData("its numbers are of another byte order")

    def content(key: str, size: int) -> bytes:
        where = f"{root}data/{key}"
        if where not in names or archive.getinfo(where).file_size != size:
            raise NotData("it declares numbers that it does not hold")
        return archive.read(where)

    stored = partial(_storage, content=content, seen={})
    return Machine(KNOWN, admitted, stored).load(Bounded(io.BytesIO(archive.read(listing))))


def _streamed(file: Bounded) -> Any:
    """torch's older stream, or a bare pickle; the first pickle tells which."""
    within = {**KNOWN, Name("torch.storage", "_load_from_bytes"): _from_bytes}
    value = Machine(within, admitted).load(file)
    return _older(file) if value == MAGIC else value


def _from_bytes(content: Any) -> Storage:
    """A storage inside a bare pickle: torch's older stream, as bytes."""
    if not isinstance(content, bytes | bytearray):
        raise NotData("numbers are declared in another form")
    file = Bounded(io.BytesIO(content))
    found = _older(file) if Machine({}, admitted).load(file) == MAGIC else None
    if not isinstance(found, Storage):
        raise NotData("numbers are declared in another form")
    return found


def _older(file: Bounded) -> Any:
    """What follows the magic number: version, machine, the value, the keys of the storages, and their numbers."""
    seen: dict[str, Storage] = {}
    for _ in range(2):
        Machine({}, admitted).load(file)
    value = Machine(KNOWN, admitted, partial(_storage, content=lambda key, size: None, seen=seen)).load(file)
    keys = Machine({}, admitted).load(file)
    if not isinstance(keys, list) or {*map(str, keys)} != {*seen}:
        raise NotData("it lists other numbers than it uses")
    for key in keys:
        storage = seen[str(key)]
        (count,) = struct.unpack("<q", file.read(8))
        if count != storage.count:
            raise NotData("it declares numbers that it does not hold")
        storage.content = file.read(storage.size)
    return value


def _check_size(value: Any, size: int) -> None:
    declared = sum(view.size for view in values_in(value) if isinstance(view, View))
    if declared > TWICE * size:
        raise NotData("its tensors together declare more than it holds")


def values_in(value: Any) -> Iterator[Any]:
    """Everything inside a value, each object once, however deep."""
    waiting, seen = [value], set()
    while waiting:
        node = waiting.pop()
        if id(node) not in seen:
            seen.add(id(node))
            yield node
            waiting += parts(node)


def parts(node: Any) -> list[Any]:
    """What a container holds directly."""
    if isinstance(node, Thing):
        return [*node.args, node.state, *node.items.values(), *node.entries]
    return [*node.values()] if isinstance(node, dict) else [*node] if isinstance(node, list | tuple) else []
