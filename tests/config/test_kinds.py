"""Parts of the user's own are of their kind, and can be called as it is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from conftest import QUIET, SMALL_MLP, Inside
from gan_cli.callbacks import Callback
from gan_cli.config import kinds
from gan_cli.data.request import Decoded, decoded_by
from gan_cli.errors import ConfigError, DataError
from gan_cli.losses import Hinge
from gan_cli.types import Ramp


class Misspelt(Callback):
    def on_recrod(self, session: object, record: object) -> None: ...


class Fewer(Callback):
    def on_record(self, record: object) -> None: ...  # type: ignore[override]


class More(Hinge):
    def generator(self, fake, real, epoch):  # type: ignore[no-untyped-def, override]
        return fake


class Usual(Callback):
    def on_step(self, session: object, *rest: object) -> None: ...

    def helper(self) -> None: ...


@pytest.mark.parametrize(
    ("path", "part", "told"),
    [
        ("callback.own", Misspelt(), "on_recrod is no event.*\n.*on_record"),
        ("callback.own", Fewer(), r"on_record\(session, record\) is expected; on_record\(record"),
        ("callback.own", object(), r"callback\.own is object, and gan_cli.*Callback is expected"),
        ("loss", More(), r"loss \(More\): generator\(fake, real\) is expected; .*'epoch'"),
        ("loss", Usual(), r"loss is Usual, and gan_cli\.losses\.Loss is expected"),
        ("dataset", Hinge(), r"dataset \(Hinge\): __len__\(\) is expected"),
    ],
)
def test_what_is_not_of_its_kind_is_refused(path: str, part: object, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as refused:
        kinds.check(path, part)
    assert len(str(refused.value).splitlines()) == 2


def test_more_than_is_asked_for_is_fine() -> None:
    kinds.check("callback.own", Usual())
    kinds.check("loss", Hinge())
    kinds.check("penalty.r1.weight", type("Half", (Ramp,), {"at": lambda self, images, done=0.0: 0.5})())


PICTURES = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("gave", "told"),
    [
        (PICTURES, r"it gave uint8 \[4, 1, 8, 8\]"),
        (Decoded(PICTURES / 255), r"its images are float32 \[4, 1, 8, 8\]"),
        (Decoded(PICTURES.permute(0, 2, 3, 1)), r"its images are uint8 \[4, 8, 8, 1\]"),
        (Decoded([PICTURES[0], PICTURES[0, 0]]), r"its images are uint8 \[8, 8\] each, or some"),
        (Decoded(PICTURES, torch.zeros(3, dtype=torch.int64)), r"of 4 images its labels are int64 \[3\]"),
        (Decoded(PICTURES, torch.arange(4) - 1), "labels .*from -1"),
        (Decoded(PICTURES, torch.zeros(4)), r"its labels are float32 \[4\]"),
        (Decoded(PICTURES, torch.arange(4), ("a", "b")), "2 class_names for labels up to 3"),
        (Decoded(PICTURES, names=("a",)), "1 names for 4 images"),
    ],
)
def test_a_source_is_told_what_it_should_give(gave: object, told: str) -> None:
    def mine(request: object) -> object:
        return gave

    with pytest.raises(DataError, match=rf"dataset\.source \(mine\): Decoded.*{told}"):
        decoded_by(mine, None, "dataset.source")  # type: ignore[arg-type]


@pytest.fixture
def own_module(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """my_part is imported from the test's folder, and forgotten after it."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    sys.modules.pop("my_part", None)
    yield
    sys.modules.pop("my_part", None)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("def on_epoch(self, session): pass", "on_epoch is no event"),
        ("def foresee(self, session): return session.missing", "my_part.py:3: def foresee"),
        ("def foresee(self, session): pass", "foresee(session) -> a list of warnings is expected; it gave None"),
    ],
)
def test_a_refused_run_leaves_nothing_behind(
    gan_here: Inside, here: Path, body: str, told: str, own_module: None
) -> None:
    (here / "my_part.py").write_text(f"from gan_cli.callbacks import Callback\nclass Own(Callback):\n    {body}\n")
    own = ("+callback.own._target_=my_part.Own", "trust=my_part")
    done = gan_here("train", *SMALL_MLP, *QUIET, "trainer.max_steps=2", *own)
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 2
    assert not (here / "outputs").exists()


def test_a_printed_command_names_what_its_config_needs(gan_here: Inside, here: Path, own_module: None) -> None:
    """Each hint after a run with a part of one's own can be typed as it stands."""
    (here / "my_part.py").write_text("from gan_cli.callbacks import Callback\nclass Own(Callback): pass\n")
    folder = here / "a run"
    own = "+callback.own._target_=my_part.Own", f"hydra.run.dir='{folder}'"
    words = (*SMALL_MLP, *QUIET, "trainer.max_steps=2", *own)
    done = gan_here("train", *words, "trust=my_part")
    assert done.returncode == 0, done.stderr
    hints = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("  gan ")]
    shown = gan_here("show", str(folder))
    hints += [line.strip() for line in shown.stdout.splitlines() if line.strip().startswith("gan train")]
    again = gan_here("train", *words, "trust=my_part")
    assert again.returncode == 2
    hints.append(again.stderr.splitlines()[1])
    assert len(hints) >= 5
    assert all(f"'{folder}' " in hint and " trust=my_part" in hint for hint in hints), hints
