"""Completion in the shells themselves, each command's own words, and how little it may do."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gan_cli.config import choices
from gan_cli.shell.completion import SCRIPTS, candidates
from gan_cli.shell.table import COMMANDS
from gan_cli.store.caches import CACHES

LIGHT = """
import os, sys
from gan_cli.cli import main
os.environ["COMP_LINE"] = {!r}
assert main(["-sc", "query=bash"]) == 0
assert not {{"torch", "hydra", "omegaconf", "pydantic", "numpy"}} & set(sys.modules), sys.modules
"""
WAIT = 30.0  # seconds; it ends as soon as the words are there
TYPED = (  # a line, and what is there once the tab key was hit
    ("gan train mod", "gan train model="),
    ("gan train resume=outputs/train/", "gan train resume=outputs/train/20260101-only/"),
    ("gan train 'penalty=[r1,lec", "gan train penalty=[r1,lecam"),
    ("gan cache cle", "gan cache clear"),
)


@pytest.fixture
def runs(here: Path) -> list[str]:
    """Three runs, the newest first."""
    folders = [here / "outputs" / "train" / name for name in ("c", "b", "a")]
    for age, folder in enumerate(folders):
        folder.mkdir(parents=True)
        (folder / "train.log").touch()
        (folder / "config.yaml").touch()
        os.utime(folder / "config.yaml", (1e9 - age, 1e9 - age))
    return [str(folder.relative_to(here)) for folder in folders]


def test_runs_are_offered_wherever_one_belongs(runs: list[str]) -> None:
    for setting in ("resume", "repeat", "init_from"):
        assert candidates(f"gan train {setting}=") == [f"{setting}={run}" for run in runs]
    for command in ("show", "logs", "compare", "sample", "eval", "config"):
        assert [word for word in candidates(f"gan {command} ") if "/" in word] == runs
    assert {"mode=", "n=", "classes="} <= {*candidates("gan sample ")}
    assert "outputs/train/c" not in candidates("gan doctor ")
    assert candidates("gan runs rm ") == candidates("gan runs prune ") == runs
    assert {*choices.packaged()["suite"]} <= {*candidates("gan bench ")}
    assert not [word for word in candidates("gan bench ") if "/" in word]


def test_each_command_has_its_own_words(here: Path) -> None:
    assert candidates("gan config lo") == ["loss="]
    assert candidates("gan config loss=wg") == ["loss=wgan", "loss=wgan_gp"]
    assert candidates("gan config optimizer.l") == ["optimizer.lr="]
    assert {"schema", "out=", "model="} <= {*candidates("gan config ")}
    assert candidates("gan cache ") == ["clear", "yes="]
    assert candidates("gan cache clear ") == [*CACHES]
    assert candidates("gan cache clear decoded ") == [name for name in CACHES if name != "decoded"]
    assert candidates("gan cache clear y") == ["yes="]
    assert candidates("gan cache clear yes=") == ["yes=true"]
    assert candidates("gan runs model=dcg") == ["model=dcgan"]
    assert candidates("gan runs mod") == ["model="]
    assert not {"rm", "tag=", "status="} - {*candidates("gan runs ")}
    assert candidates("gan completion ") == ["bash", "fish", "zsh"]
    assert candidates("gan help ") == [*COMMANDS]
    assert candidates("gan help train ") == []
    assert candidates("gan ") == [*COMMANDS, "completion", "help"]
    assert candidates("gan doctor -") == ["--json"]
    assert candidates("gan runs status=d") == ["status=diverged"]
    assert "mode=classes" in candidates("gan sample x mode=")
    assert candidates("gan eval x reference=digits:") == [f"reference=digits:{s}" for s in ("train", "test", "all")]
    assert {"--json", "--config-dir", "-m"} <= {*candidates("gan train -")}


@pytest.mark.parametrize("line", ["gan train ", "gan train model.", "gan sample ", "gan config resume="])
def test_it_waits_for_nothing_heavy(line: str, here: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT.format(line)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_name_that_is_no_line_is_not_offered(here: Path) -> None:
    for name in ("Q\nb", "\x1b[2J"):
        (here / name).mkdir()
    environment = {**os.environ, "COMP_LINE": "gan sample Q"}
    for line in ("gan sample Q", "gan sample \x1b"):
        words = [sys.executable, "-m", "gan_cli", "-sc", "query=bash"]
        done = subprocess.run(words, env={**environment, "COMP_LINE": line}, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, "")


class Terminal:
    """A shell at a terminal, with `gan` on its path."""

    def __init__(self, shell: str, folder: Path) -> None:
        program = folder / "bin" / "gan"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gan_cli "$@"\n')
        program.chmod(0o755)
        path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
        home = {"HOME": str(folder), "PATH": path, "PS1": "$ ", "TERM": "dumb", "ZDOTDIR": str(folder)}
        quiet = {"bash": ("--norc", "-i"), "zsh": ("-f", "-i")}[shell]
        self.child, self.screen = pty.fork()
        if not self.child:
            os.execvpe(shell, [shell, *quiet], {**os.environ, **home})

    def type(self, keys: str, until: str) -> str:
        """Types, and reads until the words are on the screen."""
        os.write(self.screen, keys.encode())
        seen, end = "", time.monotonic() + WAIT
        while until not in seen and time.monotonic() < end:
            if select.select([self.screen], [], [], 0.1)[0]:
                seen += os.read(self.screen, 4096).decode(errors="replace")
        return seen

    def close(self) -> None:
        os.write(self.screen, b"\x15exit\n")
        os.close(self.screen)
        os.waitpid(self.child, 0)


@pytest.fixture(params=[shell for shell in ("bash", "zsh") if shutil.which(shell)])
def terminal(request: pytest.FixtureRequest, here: Path) -> Iterator[Terminal]:
    (here / "outputs" / "train" / "20260101-only").mkdir(parents=True)
    opened = Terminal(request.param, here)
    opened.type(f'eval "$(gan completion {request.param})"; echo rea""dy\n', "ready")
    yield opened
    opened.close()


def test_the_tab_key(terminal: Terminal) -> None:
    """In a real shell at a real terminal."""
    for line, completed in TYPED:
        shown = terminal.type(f"{line}\t\x01echo said: \n", f"\nsaid: {completed}")  # Ctrl-A: to the start
        assert f"\nsaid: {completed}" in shown, line


@pytest.mark.parametrize("shell", [shell for shell in ("fish",) if shutil.which(shell)])
def test_fish_is_answered(shell: str, here: Path) -> None:
    script = here / "gan.fish"
    program = f"function gan; {sys.executable} -m gan_cli $argv; end\n"
    (here / "clearly").touch()
    lines = (
        "gan train mod",
        "gan cache cl",
        "gan sample clea",
        "gan sample out=clea",
        "gan doctor clea",
        "gan doctor --c",
    )
    asked = "".join(f"echo '{line}:'\ncomplete -C '{line}'\n" for line in lines)
    script.write_text(f"{program}{SCRIPTS['fish']}\n{asked}")
    done = subprocess.run([shell, "--no-config", str(script)], capture_output=True, text=True)
    found = re.split("^(gan .*):\n", done.stdout, flags=re.MULTILINE)[1:]
    told = {line: words.split() for line, words in zip(found[::2], found[1::2], strict=True)}
    assert told == {
        "gan train mod": ["model="],
        "gan cache cl": ["clear"],  # and no file
        "gan sample clea": ["clearly"],
        "gan sample out=clea": ["out=clearly"],
        "gan doctor clea": ["clearly"],  # where nothing is known, paths
        "gan doctor --c": [],
    }, done.stderr
