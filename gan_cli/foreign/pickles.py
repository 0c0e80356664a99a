"""Pickles read as data: a small machine of our own builds plain values and executes nothing.

The standard unpickler looks up names, calls what it finds and grows its memory as the file says. Here a name stays a
name, a call stays a note of what would have been called, and whatever the file declares is bounded by what it holds.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, BinaryIO, NamedTuple, cast

STEPS = 1_000_000  # opcodes of a pickle; StyleGAN2 of 256 px, with discriminator and average, has 32,000
LINE = 2**16  # bytes of a line of text
LARGEST_KEY = 2**60  # integers beyond it could be chosen so that all collide in a dict


class NotData(ValueError):
    """The stream is not a pickle of plain values; the message says why."""


class Name(NamedTuple):
    """A class or function that the file names; it is never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return ascii(f"{self.module}.{self.name}")[1:-1][:120]


@dataclass(eq=False)
class Thing:
    """What would have been an object: who would have made it, from what, and what was put into it."""

    name: Name
    args: tuple[Any, ...] = ()
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)
    entries: list[Any] = field(default_factory=list)


class Bounded:
    """A file that is not asked for more than it holds, nor for endless lines."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        here = file.tell()
        self.size = file.seek(0, 2)
        file.seek(here)

    def tell(self) -> int:
        return self.file.tell()

    def read(self, count: int) -> bytes:
        """Raises NotData before a buffer for what is not there would be made."""
        if not 0 <= count <= self.size - self.file.tell():
            raise NotData("it declares more than it holds")
        return self.file.read(count)

    def readline(self) -> bytes:
        line = self.file.readline(LINE)
        if len(line) == LINE:
            raise NotData("it has an endless line")
        return line


Make = Callable[..., Any]  # a value instead of a Thing, from the arguments; only plain functions of ours
MARK = object()


class Machine:
    """Builds the value of one pickle.

    Args:
        known: What to make of calls of certain names; all others become a `Thing`.
        admits: Whether a name may stand in the file at all.
        stored: What a persistent id stands for.
    """

    def __init__(
        self, known: Mapping[Name, Make], admits: Callable[[Name], bool], stored: Callable[[Any], Any] | None = None
    ) -> None:
        self.known, self.admits, self.stored = known, admits, stored
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def load(self, file: Bounded) -> Any:
        """The value of the pickle that begins here; the file is left behind its end.

        Raises:
            NotData: It is damaged, too long, or holds what is not data.
        """
        self.stack, self.memo = [], {}
        try:
            for step, (opcode, arg, _) in enumerate(pickletools.genops(cast(IO[bytes], file))):
                if step > STEPS:
                    raise NotData("it has too many steps")
                if opcode.name == "STOP":
                    return self.pop()
                self._step(opcode.name, arg)
        except NotData:
            raise
        except (ValueError, IndexError, KeyError, TypeError, OverflowError, UnicodeError) as error:
            raise NotData(f"it is damaged ({type(error).__name__})") from None
        raise NotData("it has no end")

    def _step(self, opcode: str, arg: Any) -> None:
        if opcode in IGNORED:
            return
        if opcode in PUSHED:
            self.stack.append(PUSHED[opcode]() if callable(PUSHED[opcode]) else PUSHED[opcode])
        elif opcode in LITERALS:
            self.stack.append(arg)
        elif opcode in STEPS_OF:
            STEPS_OF[opcode](self, arg)
        else:
            raise NotData(f"it uses {opcode}, which no file of weights needs")

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is MARK:
            raise NotData("it is damaged (a mark where a value belongs)")
        return value

    def since_mark(self) -> list[Any]:
        place = len(self.stack) - 1
        while self.stack[place] is not MARK:
            place -= 1
            if place < 0:
                raise NotData("it is damaged (no mark)")
        values = self.stack[place + 1 :]
        del self.stack[place:]
        return values

    def remember(self, index: int | None) -> None:
        self.memo[len(self.memo) if index is None else int(index)] = self.stack[-1]

    def recall(self, index: int) -> None:
        self.stack.append(self.memo[int(index)])

    def name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise NotData("it names something by what is not a word")
        found = Name(module, name)
        if not self.admits(found):
            raise NotData(f"it names {found}, which no network is made of")
        self.stack.append(found)

    def call(self, maker: Any, args: Any) -> None:
        """What stands for `maker(*args)`; nothing of the file is called."""
        if not isinstance(maker, Name) or not isinstance(args, tuple):
            raise NotData("it calls what is not a name")
        make = self.known.get(maker)
        self.stack.append(Thing(maker, args) if make is None else make(*args))

    def call_of_two(self, _: Any) -> None:
        args, maker = self.pop(), self.pop()
        self.call(maker, args)

    def call_of_three(self, _: Any) -> None:
        settings, args, maker = self.pop(), self.pop(), self.pop()
        if settings != {}:
            raise NotData("it calls something with settings")
        self.call(maker, args)

    def call_since_mark(self, _: Any) -> None:
        maker, *args = self.since_mark()
        self.call(maker, tuple(args))

    def call_named(self, arg: str) -> None:
        args = self.since_mark()
        self.name(*arg.split(" ", 1))
        self.call(self.pop(), tuple(args))

    def build(self, _: Any) -> None:
        state, value = self.pop(), self.stack[-1]
        if isinstance(value, Thing):
            value.state = state
        elif not isinstance(value, dict):  # an OrderedDict's own state is about its making
            raise NotData("it puts a state into what has none")

    def put(self, pairs: list[Any]) -> None:
        target = self.stack[-1]
        items = target.items if isinstance(target, Thing) else target
        if not isinstance(items, dict) or len(pairs) % 2:
            raise NotData("it puts items into what holds none")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if not isinstance(key, str) and not (isinstance(key, int) and abs(key) < LARGEST_KEY):
                raise NotData("it has a key that is neither a word nor a number")
            items[key] = value

    def append(self, values: list[Any]) -> None:
        target = self.stack[-1]
        entries = target.entries if isinstance(target, Thing) else target
        if not isinstance(entries, list):
            raise NotData("it appends to what is not a list")
        entries += values

    def tuple_of(self, count: int) -> None:
        values = [self.pop() for _ in range(count)]
        self.stack.append(tuple(reversed(values)))

    def dict_since_mark(self, _: Any) -> None:
        pairs = self.since_mark()
        self.stack.append({})
        self.put(pairs)

    def pair(self, _: Any) -> None:
        value, key = self.pop(), self.pop()
        self.put([key, value])

    def persistent(self, wanted: Any) -> None:
        if self.stored is None:
            raise NotData("it refers to what is not in it")
        self.stack.append(self.stored(wanted))

    def global_of_two(self, _: Any) -> None:
        name, module = self.pop(), self.pop()
        self.name(module, name)


def _drop(machine: Machine, _: Any) -> None:
    machine.stack.pop()


def _drop_since_mark(machine: Machine, _: Any) -> None:
    machine.since_mark()


IGNORED = frozenset({"PROTO", "FRAME"})
PUSHED: Mapping[str, Any] = {
    "NONE": None,
    "NEWTRUE": True,
    "NEWFALSE": False,
    "MARK": MARK,
    "EMPTY_TUPLE": (),
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": list,  # a set here is a list: its order tells nothing
}
LITERALS = frozenset(
    {
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    }
)
STEPS_OF: Mapping[str, Callable[[Machine, Any], None]] = {
    "POP": _drop,
    "POP_MARK": _drop_since_mark,
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), Machine.remember),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), Machine.recall),
    "GLOBAL": lambda machine, arg: machine.name(*arg.split(" ", 1)),
    "STACK_GLOBAL": Machine.global_of_two,
    "REDUCE": Machine.call_of_two,
    "NEWOBJ": Machine.call_of_two,
    "NEWOBJ_EX": Machine.call_of_three,
    "OBJ": Machine.call_since_mark,
    "INST": Machine.call_named,
    "BUILD": Machine.build,
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "LIST": lambda machine, _: machine.stack.append(machine.since_mark()),
    "FROZENSET": lambda machine, _: machine.stack.append(machine.since_mark()),
    "APPEND": lambda machine, _: machine.append([machine.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.since_mark()),
    "ADDITEMS": lambda machine, _: machine.append(machine.since_mark()),
    "DICT": Machine.dict_since_mark,
    "SETITEM": Machine.pair,
    "SETITEMS": lambda machine, _: machine.put(machine.since_mark()),
    "PERSID": Machine.persistent,
    "BINPERSID": lambda machine, _: machine.persistent(machine.pop()),
}
