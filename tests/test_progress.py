"""What is said of long work, by a clock that the test sets."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from conftest import Inside
from gan_cli import progress, sampling
from gan_cli.errors import WeightsRefused
from gan_cli.evaluation import values
from gan_cli.metrics import classifier, weights
from gan_cli.progress import about, display, tracked


class Watch:
    """A clock that only the work moves."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def spend(self, each: float, times: int) -> Iterator[int]:
        for i in range(times):
            self.seconds += each
            yield i


class Terminal:
    """A terminal of 80 columns that keeps what is written to it."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None: ...

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        *((0, "1 second"), (1.2, "1 second"), (45, "45 seconds"), (89, "89 seconds"), (91, "2 minutes")),
        *((28 * 60, "28 minutes"), (89.4 * 60, "89 minutes"), (2.6 * 3600, "3 hours"), (48 * 3600, "2 days")),
        *((399 * 86400, "399 days"), (400 * 86400, "over a year"), (float("inf"), "over a year")),
    ],
)
def test_durations_in_words(seconds: float, said: str) -> None:
    assert about(seconds).removeprefix("about ") == said


def test_lines_come_once_a_minute_with_the_time_left(capsys: pytest.CaptureFixture) -> None:
    watch = Watch()
    with display(watch):
        items = list(tracked(watch.spend(25.0, 10), 100, "measuring", size=lambda item: 10))
    assert items == list(range(10))
    # Each takes 25 s: a line after 75, 150 and 225 s; at equal pace, what is left takes 70/30, 40/60 and 10/90 of that.
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "measuring: 30 of 100, about 3 minutes left",
        "measuring: 60 of 100, about 2 minutes left",
        "measuring: 90 of 100, about 25 seconds left",
    ]


def test_nothing_is_said_of_short_work_nor_where_no_display_is_open(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch()
    with display(watch):
        list(tracked(watch.spend(5.0, 10), 10, "short in a pipe"))
    list(tracked(watch.spend(500.0, 10), 10, "in the middle of training"))
    assert capsys.readouterr() == ("", "")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with display(watch):
        list(tracked(watch.spend(0.25, 10), 10, "short on a terminal"))
    assert terminal.text == ""


def test_only_the_outermost_loop_is_shown_and_displays_do_not_pile_up(capsys: pytest.CaptureFixture) -> None:
    watch = Watch()
    with display(watch), display():
        for _ in tracked(range(3), 3, "outer"):
            list(tracked(watch.spend(50.0, 3), 3, "inner"))
        list(tracked(watch.spend(70.0, 2), 2, "next"))
    assert [line.split(":")[0] for line in capsys.readouterr().err.splitlines()] == ["outer", "outer", "next"]


@pytest.mark.parametrize("stopped", [False, True])
def test_on_a_terminal_a_bar_comes_and_goes_also_when_the_work_is_stopped(
    monkeypatch: pytest.MonkeyPatch, stopped: bool, capsys: pytest.CaptureFixture
) -> None:
    terminal, watch = Terminal(), Watch()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    held: list[object] = []
    with pytest.raises(KeyboardInterrupt) if stopped else display(watch), display(watch):
        work = tracked(watch.spend(2.0, 10), 10, "drawing \x1b[31m[b]")
        held.append(work)  # as the traceback of an interrupt does
        for i in work:
            if stopped and i == 5:
                raise KeyboardInterrupt
    assert "drawing \\x1b[31m[b]" in terminal.text
    assert "/10" in terminal.text
    assert "left" in terminal.text
    shown, hidden = terminal.text.rfind("\x1b[?25h"), terminal.text.rfind("\x1b[?25l")
    assert shown > hidden >= 0  # the cursor is back
    assert capsys.readouterr().out == ""


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_an_interrupted_evaluation_says_what_is_left_of_it(
    gan_here: Inside, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(finished.rglob("*"))
    monkeypatch.setattr(values, "measure", interrupted)
    told = gan_here("eval", str(finished), "detector=pixels", "metrics=[fid]", "n=20")
    assert told.returncode == 130
    assert told.stdout == ""
    assert told.stderr.strip().splitlines() == [
        "gan eval: interrupted: no number is known yet, and nothing was written",
        "  the same command starts again; features that are in the cache are not computed again",
    ]
    assert sorted(finished.rglob("*")) == before


def test_interrupted_samples_say_what_is_left_of_them_and_the_same_command_completes_them(
    gan_here: Inside, here: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("sample", str(finished), "n=130")
    assert gan_here(*words, "out=whole").returncode == 0
    taken = sampling.blocks

    def two_blocks(*arguments: Any) -> Iterator[Any]:
        yield from islice(taken(*arguments), 2)
        raise KeyboardInterrupt

    monkeypatch.setattr(sampling, "blocks", two_blocks)
    for out, said in (
        ("parts", ["interrupted: parts holds 128 pictures, each whole", "the same command draws all of them again"]),
        ("x.png", ["interrupted: x.png was not written", "the same command starts again"]),
    ):
        told = gan_here(*words, f"out={out}")
        assert told.returncode == 130
        first, second = told.stderr.strip().splitlines()
        assert first == f"gan sample: {said[0]}"
        assert second.startswith(f"  {said[1]}")
    assert not Path("x.png").exists()
    monkeypatch.setattr(sampling, "blocks", taken)
    assert gan_here(*words, "out=parts").returncode == 0
    assert [p.read_bytes() for p in sorted(Path("parts").iterdir())] == [
        p.read_bytes() for p in sorted(Path("whole").iterdir())
    ]


def test_commands_show_how_far_they_have_come_on_standard_error_only(
    gan_here: Inside, here: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no pause between two lines, every loop that is followed shows."""
    monkeypatch.setattr(progress, "MINUTE", 0.0)
    monkeypatch.setattr(classifier, "STEPS", 5)
    picture = str(next((finished / "samples").glob("step-*.png")))
    for words, title in (
        (("eval", str(finished), "detector=pixels", "metrics=[fid]", "n=300"), "measuring last.pt: "),
        (
            ("eval", str(finished), "detector=classifier", "metrics=[kid]", "n=100"),
            "training a classifier on the data: ",
        ),
        (("sample", str(finished), "n=200", "out=x.npz"), "drawing: 64 of 200, about "),
        (
            ("sample", str(finished), "mode=project", f"mode.image={picture}", "mode.steps=3", "mode.n=1", "out=p.png"),
            "looking for",
        ),
    ):
        told = gan_here(*words)
        assert told.returncode == 0, told.stderr
        assert any(line.startswith(title) for line in told.stderr.splitlines()), told.stderr
        assert " left" not in told.stdout


def test_a_download_is_there_whole_or_not_at_all(
    here: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytes(range(256)) * 2000
    (here / "source").write_bytes(content)
    url, target = (here / "source").as_uri(), here / "kept" / "weights.pth"
    with pytest.raises(WeightsRefused, match="has the sha256"):
        weights.fetch(url, target, "0" * 64)
    with pytest.raises(OSError, match="nothing"):
        weights.fetch((here / "nothing").as_uri(), target, "0" * 64)
    assert [*(here / "kept").iterdir()] == []
    monkeypatch.setattr(progress, "MINUTE", 0.0)
    with display():
        weights.fetch(url, target, hashlib.sha256(content).hexdigest())
    assert target.read_bytes() == content
    assert capsys.readouterr().err.startswith("downloading weights.pth: 131072 of 512000, about ")
