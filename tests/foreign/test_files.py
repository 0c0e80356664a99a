"""Strangers' files of weights execute nothing, and cannot ask for more memory than they hold."""

from __future__ import annotations

import io
import os
import pickle
import resource
import struct
import subprocess
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gan_cli.cli import main
from gan_cli.errors import CheckpointError, Refused, WeightsRefused
from gan_cli.foreign.files import MAGIC, View, read, values_in
from gan_cli.foreign.networks import networks_in
from gan_cli.foreign.pickles import Bounded, Machine, Name, NotData, Thing


def machine(content: bytes) -> Any:
    return Machine({}, lambda name: True).load(Bounded(io.BytesIO(content)))


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "value",
    [
        *(
            None,
            True,
            False,
            0,
            -5,
            2**40,
            -(2**70),
            1.5,
            "ä\n",
            b"\0\xff",
            "x" * 300,
        ),
        *((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], [1, [2]], {}, {"a": {"b": [1, (2, 3)]}, 3: "c"}),
    ],
    ids=lambda value: str(value)[:20],
)
def test_plain_values_come_out_as_they_went_in(value: Any, protocol: int) -> None:
    if isinstance(value, bytes) and protocol < 3:
        return  # by the name of a function, in these: see below
    assert machine(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", range(6))
def test_shared_values_stay_shared_and_objects_are_only_noted(protocol: int) -> None:
    shared = [1]
    found = machine(pickle.dumps([shared, shared], protocol))
    assert found[0] is found[1]
    thing = machine(pickle.dumps(Refused("x"), protocol))
    assert isinstance(thing, Thing)
    assert str(thing.name).endswith(("Refused", "_reconstructor"))


TENSORS = {
    "matrix": torch.arange(12.0).reshape(3, 4),
    "part": torch.arange(20.0)[5:9],
    "turned": torch.arange(6).reshape(2, 3).T,
    "half": torch.tensor([1.5, -2.0], dtype=torch.float16),
    "brain": torch.tensor([1.5], dtype=torch.bfloat16),
    "double": torch.tensor(3.25, dtype=torch.float64),
    "flags": torch.tensor([True, False]),
    "none": torch.zeros(0, 3),
}


def plainly(content: Any, file: Any) -> None:
    pickle.dump(content, file)


def older(content: Any, file: Any) -> None:
    torch.save(content, file, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("write", [torch.save, older, plainly])
def test_tensors_come_out_as_they_went_in(write: Callable[[Any, Any], None], tmp_path: Path) -> None:
    with (tmp_path / "x").open("wb") as file:
        content = {"state": OrderedDict(TENSORS), "lr": np.float64(0.5), "again": TENSORS["matrix"], "step": 3}
        write(content, file)
    found = read(tmp_path / "x")
    for name, tensor in TENSORS.items():
        torch.testing.assert_close(found["state"][name].tensor(), tensor, rtol=0, atol=0)
    torch.testing.assert_close(found["again"].tensor(), TENSORS["matrix"])
    assert (found["step"], found["lr"]) == (3, 0.5)


class Evil:
    """Asks the unpickler to call something."""

    def __init__(self, call: Any, *args: Any) -> None:
        self.call, self.args = call, args

    def __reduce__(self) -> Any:
        return self.call, self.args


CALLS = [
    (os.system, "touch ran"),
    (eval, "open('ran', 'w')"),
    (exec, "open('ran', 'w')"),
    (subprocess.Popen, ["touch", "ran"]),
    (torch.load, "x.pt"),
    (torch.hub.load, "somebody/something", "model"),
    (getattr, "x", "upper"),
    (torch.serialization.load, "x.pt"),
    (np.load, "x.npy"),
    (open, "ran", "w"),
]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: getattr(call[0], "__qualname__", str(call[0])))
@pytest.mark.parametrize("write", [torch.save, older, plainly])
def test_a_malicious_pickle_executes_nothing(
    write: Callable[[Any, Any], None],
    call: tuple[Any, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch, "load", lambda *args, **settings: Path("ran").touch())
    with Path("x.pkl").open("wb") as file:
        write({"main.0.weight": torch.zeros(1), "evil": Evil(*call)}, file)
    assert main(["import", "x.pkl", "out=run"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"x.pkl"}


def test_names_outside_of_networks_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(pickle.dumps({"a": Evil(os.system, "true")}))
    with pytest.raises(WeightsRefused, match=r"names (posix|nt)\.system, which no network is made of"):
        read(tmp_path / "x")


def test_nothing_of_the_file_reaches_our_own_functions(tmp_path: Path) -> None:
    """BUILD sets attributes, and a name of ours could be what they are set on."""
    content = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x0c\x00\x00\x00__defaults__)sb."
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(CheckpointError, match="puts a state into what has none"):
        read(tmp_path / "x")


def le(code: str, value: int) -> bytes:
    return struct.pack(f"<{code}", value)


BOMBS = {
    "bytes": b"\x80\x04\x8e" + le("Q", 2**50),
    "bytearray": b"\x80\x05\x96" + le("Q", 2**50),
    "text": b"\x80\x04\x8d" + le("Q", 2**50),
    "old text": b"\x80\x02T" + le("i", 2**31 - 1),
    "negative": b"\x80\x02T" + le("i", -1),
    "number": b"\x80\x02\x8b" + le("i", 2**31 - 1),
    "frame": b"\x80\x04\x95" + le("Q", 2**60),
    "memo": b"\x80\x02Nr" + le("I", 2**32 - 1) + b"0h\x00.",
    "line": b"c" + b"a" * 2**17,
    "digits": b"L" + b"9" * 60000 + b"L\n.",
    "deep list": b"\x80\x02" + b"]" * 100000 + b"a" * 99999 + b".",
    "deep tuple": b"\x80\x02N" + b"\x85" * 100000 + b".",
    "deep objects": b"\x80\x02N" + b"ctorch\nA\n)\x81" * 50000 + b"b" * 49999 + b".",
    "doubling": b"\x80\x02]q\x00" + b"".join(b"](h%ch%ceq%c" % (i, i, i + 1) for i in range(200)) + b".",
    "itself": b"\x80\x02]q\x00h\x00a.",
    "no end": b"\x80\x02]",
    "no mark": b"\x80\x02]e.",
    "empty": b"",
    "nothing": b".",
    "extension": b"\x80\x02\x82\x01.",
    "unhashable": b"\x80\x02}]Ns.",
    "foreign id": b"\x80\x02K\x01Q.",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_at_once(name: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(BOMBS[name])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Refused):
        networks_or_refuse(tmp_path / "x")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # KiB


def networks_or_refuse(path: Path) -> None:
    found = networks_in(read(path), path)
    if not found.networks:
        raise WeightsRefused("no networks")


def zipped(pickled: bytes, path: Path, numbers: bytes = bytes(16), compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/data/0", numbers)


def declared(count: int, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> bytes:
    """A pickle that declares one tensor of float32."""

    def number(value: int) -> bytes:
        content = value.to_bytes(9, "little", signed=True)
        return b"\x8a\x09" + content

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(map(number, values)) + b"t"

    storage = (
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu" + number(count) + b"tQ"
    )
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(offset) + numbers(shape) + numbers(strides)
    return b"\x80\x02}X\x01\x00\x00\x00w" + tensor + b"\x89}tRs."


def test_the_declaration_of_a_tensor_is_read(tmp_path: Path) -> None:
    zipped(declared(4, (2, 2), (2, 1)), tmp_path / "x", np.arange(4, dtype=np.float32).tobytes())
    assert read(tmp_path / "x")["w"].tensor().tolist() == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    ("count", "shape", "strides", "offset"),
    [
        (2**40, (2**40,), (1,), 0),  # numbers that are not there
        (4, (2**40,), (0,), 0),  # one number, again and again
        (4, (5,), (1,), 0),
        (4, (2, 2), (3, 1), 0),
        (4, (4,), (1,), 1),
        (4, (4,), (-1,), 3),
        (4, (-4,), (1,), 0),
        (4, (2, 2), (1,), 0),
        (-1, (1,), (1,), 0),
        (4, (1,) * 9, (1,) * 9, 0),
    ],
)
def test_a_tensor_declares_no_more_than_there_is(
    count: int, shape: tuple[int, ...], strides: tuple[int, ...], offset: int, tmp_path: Path
) -> None:
    zipped(declared(count, shape, strides, offset), tmp_path / "x")
    with pytest.raises((CheckpointError, NotData)):
        read(tmp_path / "x")["w"].tensor()


def test_a_zip_bomb_is_refused(tmp_path: Path) -> None:
    zipped(declared(2**26, (2**26,), (1,)), tmp_path / "x", bytes(2**28), zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="compressed"):
        read(tmp_path / "x")


def test_many_tensors_of_the_same_numbers_declare_too_much(tmp_path: Path) -> None:
    shared = torch.zeros(1000)
    torch.save({f"w{i}": shared.view(10, 100) for i in range(100)}, tmp_path / "x")
    with pytest.raises(CheckpointError, match="together declare more"):
        read(tmp_path / "x")


@pytest.mark.parametrize("write", [torch.save, older, plainly])
def test_damaged_files_are_refused_or_read_never_worse(write: Callable[[Any, Any], None], tmp_path: Path) -> None:
    """Cut short anywhere, or with a wrong byte anywhere."""
    file = io.BytesIO()
    write({"w": torch.arange(4.0), "b": {"c": torch.ones(2)}}, file)
    whole, path = file.getvalue(), tmp_path / "x"
    draws = np.random.default_rng(0)
    for _ in range(150):
        place, value = int(draws.integers(len(whole))), int(draws.integers(256))
        for content in (whole[:place], whole[:place] + bytes([value]) + whole[place + 1 :]):
            path.write_bytes(content)
            try:
                for view in values_in(read(path)):
                    if isinstance(view, View):
                        view.tensor()
            except (Refused, NotData):
                pass


def test_the_source_of_a_persistent_module_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import authors

    monkeypatch.chdir(tmp_path)
    tree = authors.Tree({"a.weight": torch.ones(2)}, {"a.activation": "lrelu"})
    authors.persistent_pickle({"G": tree}, tmp_path / "x.pkl", "open('ran', 'w')")
    found = networks_in(read(tmp_path / "x.pkl"), tmp_path / "x.pkl")
    assert [[*network] for network in found.networks] == [["a.weight"]]
    assert found.networks[0].facts["a.activation"] == "lrelu"
    assert not (tmp_path / "ran").exists()


def test_the_magic_number_is_torchs_own() -> None:
    file = io.BytesIO()
    older({}, file)
    assert pickle.loads(file.getvalue()) == MAGIC


def test_names_are_shown_without_what_would_disturb_a_terminal() -> None:
    assert str(Name("a\x1b[2J", "b\n")) == "a\\x1b[2J.b\\n"
