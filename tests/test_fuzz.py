"""Random command lines: each is done, or refused in two lines that name no exception, and then leaves nothing behind.

A few in the suite; `make fuzz` tries 2,000. A line is found again by its number: it depends on nothing else.
"""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import SMALL, Inside, words
from gan_cli import train
from gan_cli.config import choices
from gan_cli.shell.table import COMMANDS

LINES = int(os.environ.get("GAN_FUZZ", "60"))
AT_ONCE = 20
OFTEN = {"train": 12, "sample": 3, "eval": 4}  # the weights of commands; 1 for the others
EXCEPTION = re.compile(r"Traceback|HYDRA_FULL_ERROR|\b[A-Z][A-Za-z]*(?:Error|Exception|Warning)\b|object at 0x")
REFUSAL = re.compile(r"(gan[^\n]*: [^\n]+\n  \S[^\n]*(\n|$))+")  # a problem and below it its remedy
# Values as people and programs write them, right for some settings and wrong for others.
VALUES = (
    *(
        "no",
        "off",
        "yes",
        "true",
        "False",
        "1e2",
        "64.0",
        "'16'",
        '"16"',
        "-1",
        "0",
        "1",
        "3",
        "0.5",
        "1e-3",
        "null",
        "None",
    ),
    *(
        "inf",
        "nan",
        "-inf",
        "1_0",
        "0x10",
        "[]",
        "{}",
        "[1,null]",
        "[8]",
        "{a: 1}",
        "[[[1]]]",
        "{a: {_target_: os.system}}",
    ),
    *("${linear:1,4,100}", "${linear:1}", "${oc.env:HOME}", "${oc.env:NOWHERE}", "${seed}", "${nothing}", "${", "???"),
    *(
        "é ü",
        "中文",
        "\u202eabc",
        "\x1b[31m",
        "a\nb",
        "\udce9",
        "'",
        '"',
        "''",
        "it's",
        "\\",
        "a\\${b}",
        "a,b",
        "1,2",
        "=",
        "a=b",
    ),
    *(
        "~",
        "~/x",
        "~x",
        ".",
        "..",
        "nowhere",
        "afile",
        "afile/x",
        "afolder",
        "/proc/x",
        "x" * 300,
        "x" * 5000,
        "[" * 60,
    ),
    *(
        "choice(1,2)",
        "range(1,3)",
        "glob(*)",
        "tag(a, 1)",
        "sort(3,1)",
        "int(3)",
        "str(3)",
        "()",
        "a b",
        " 3 ",
        "none",
        "auto",
        "",
    ),
)
# What would take long, hold much memory, reach for a network or start processes: odd values go elsewhere.
LEFT_ALONE = re.compile(
    r"trainer\.(max_\w+|devices|device)$|evaluation\.(every_steps|n)$|hydra|detector$|download$|^weights$|"
    r"unroll_steps$|critic_steps$|\.(width|style_dim|mapping_layers|channel_base|channel_max|blocks|n|steps)$"
)
HEAVY = re.compile("inception|dinov2|efficientnet|classifier|stacked|mnist|cifar")
EMBEDDED = ("digits", "ring", "grid", "swiss_roll")
FLAGS = (
    *(
        "-m",
        "--multirun",
        "--cfg job",
        "--cfg=job",
        "--cfg jobs",
        "--cfg",
        "-c all",
        "--resolve",
        "--cfg job --resolve",
    ),
    *(
        "--info",
        "--info plugins",
        "-i=x",
        "--package model --cfg job",
        "--package x",
        "--config-dir afolder",
        "-sc",
        "-n 5",
    ),
    *(
        "--config-dir nowhere",
        "--config-name nothing",
        "--run",
        "--seed=1",
        "--out x.png",
        "--help",
        "-h",
        "--hydra-help",
        "--",
    ),
)


def typo(draw: random.Random, text: str) -> str:
    i = draw.randrange(len(text) + 1)
    letter = draw.choice("aeo_.-=s'")
    return draw.choice(
        (text[:i] + text[i + 1 :], text[:i] + letter + text[i:], text[:i] + text[i : i + 2][::-1] + text[i + 2 :])
    )


def setting(draw: random.Random, command: str, chosen: list[str]) -> str:
    """`group=choice` or `key=value`, right or wrong."""
    offer = choices.offers()[command]
    group = draw.choice([*offer.groups])
    options = [c for c in choices.packaged()[group] if not HEAVY.search(c) and (group != "dataset" or c in EMBEDDED)]
    keys = [key for key in choices.keys(command, chosen) if not LEFT_ALONE.search(key) and key not in offer.groups]
    word = draw.choice(
        (
            lambda: f"{group}={draw.choice(options)}",
            lambda: f"{group}=[{draw.choice(options)}]",
            lambda: f"{group}=[{draw.choice(options)},{draw.choice([*options, '_images', 'null', '1'])}]",
            lambda: f"{draw.choice([*choices.packaged()])}={draw.choice([*VALUES, '_images', '../loss/hinge'])}",
            *[lambda: f"{draw.choice(keys)}={draw.choice(VALUES)}"] * 6,
            lambda: f"{draw.choice(keys)}={draw.choice(VALUES)},{draw.choice(VALUES)}",
            lambda: f"{draw.choice(keys)}.x={draw.choice(VALUES)}",
            lambda: f"hydra.run.dir={draw.choice(VALUES)}",
            lambda: draw.choice(
                ("epochs=3", "resume=afolder", "repeat=~/x", "trust=nothing", "foo=3", "hydra/launcher=null", "lr=1")
            ),
        )
    )()
    prefix = draw.choice(("", "", "", "", "", "", "", "+", "++", "~", "+~"))
    word = f"{prefix}{word.partition('=')[0] if prefix == '~' and draw.random() < 0.7 else word}"
    return typo(draw, word) if draw.random() < 0.08 else word


def line(number: int, run: str = "run") -> list[str]:
    """The words of one command line. If it would train, its last words make the run tiny."""
    draw = random.Random(number)
    commands = [*COMMANDS, "other"]
    command = draw.choices(commands, weights=[OFTEN.get(name, 1) for name in commands])[0]
    if command == "other":
        word = typo(draw, draw.choice([*COMMANDS, "help", "--version"]))
        return [word, *draw.choices(VALUES, k=draw.randrange(3)), *(["--help"] if word in COMMANDS else [])]
    if not COMMANDS[command].configured:
        own = [
            word.typed + draw.choice((*word.values, *VALUES)) * ("=" in word.typed) for word in COMMANDS[command].takes
        ]
        own += ["model=mlp", "modle=mlp", *([run] * 6)] if own else []
        return [
            command,
            *draw.choices(
                [run, "afile", "afolder", f"{run}/checkpoints/last.pt", *own, *VALUES], k=draw.randrange(1, 4)
            ),
        ]
    model = draw.choice([*SMALL, "mlp", "mlp", "mlp", "dcgan", "dcgan"])
    last = {
        "train": [*words("trainer.devices=1", model=SMALL[model], steps=1)],
        "search": [*words("trials=1", "evaluation.every_steps=1", "evaluation.n=8", model=SMALL[model], steps=1)],
        "sample": ["n=2", "device=cpu", "standing_statistics=0"],
        "eval": ["n=24", "rows=50", "device=cpu", "weights=nowhere.pth"],
        "export": [],
        "bench": ["steps=1", "only=[ring8]", "seeds=[0]"],
    }[command]
    first = (
        []
        if not COMMANDS[command].setting
        else draw.choices([[run], [f"{run}/checkpoints/last.pt"], [draw.choice(VALUES)], []], [8, 3, 1, 1])[0]
    )
    first = [*first, "detector=pixels"] if command == "eval" and draw.random() < 0.8 else first
    some = [setting(draw, command, [f"model={model}"]) for _ in range(draw.choice((1, 1, 2, 2, 3)))]
    flags = draw.choice(FLAGS).split() if draw.random() < 0.12 else []
    # the odd words win over those of the same name that make a run tiny, except for the number of steps
    names = {word.lstrip("+~").partition("=")[0] for word in some}
    kept = [
        word
        for word in last
        if word.partition("=")[0] not in names or word.startswith(("trainer.max_steps", "n=", "model=", "trials="))
    ]
    return (
        [command, *first, *kept, *some, "trainer.max_steps=1", *flags]
        if command == "train"
        else [command, *first, *some, *kept, *flags]
    )


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that takes little time to copy."""
    folder = tmp_path_factory.mktemp("small") / "run"
    train(*words(f"hydra.run.dir={folder}", steps=1))
    return folder


def complaint(arguments: list[str], gan_here: Inside, left: Callable[[], list[str]]) -> str:
    """What is wrong with how a command line ended; the empty string when nothing is."""
    before = left()
    done = gan_here(*arguments)
    said = [text for text in done.stderr.splitlines() if not text.startswith("warning: ")]
    problems = [text for text in said if text.startswith("gan")]
    # a run whose numbers are no longer finite is the only work that may fail here
    allowed = done.returncode in (0, 2, 130) or (done.returncode == 1 and "infinite or not a number" in done.stderr)
    sweep = bool({"-m", "--multirun"} & {*arguments}) or "hydra.mode" in " ".join(arguments)
    keeps = "cache=" in " ".join(arguments)
    wrong = {
        f"exit code {done.returncode}": not allowed,
        "an exception's name": EXCEPTION.search(
            re.sub(r"\n  +(did you mean|choices|it takes).*", "", done.stdout + done.stderr)
        ),
        "too many lines": not sweep and done.returncode and len(said) > 2 * len(problems),
        "no remedy": not sweep and done.returncode == 2 and REFUSAL.fullmatch("\n".join(said)) is None,
        "nothing said": done.returncode and not said,
        "control characters": {*"\x1b\u202e\udce9"} & {*done.stdout, *done.stderr},
        # the cached features of a reference stay, even if another part of the request is refused
        "something is left": done.returncode == 2 and not sweep and not keeps and left() != before,
    }
    found = [name for name, true in wrong.items() if true]
    shown = [argument[:60] for argument in arguments]
    return f"{', '.join(found)}: {shown}\n{done.stderr[:600]}" if found else ""


@pytest.mark.parametrize("first", range(0, LINES, AT_ONCE))
def test_every_command_line_ends_well(
    gan_here: Inside,
    here: Path,
    small: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    first: int,
) -> None:
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr("gan_cli.export.runtime.shutil.which", lambda name: None)  # nothing is fetched
    shutil.copytree(small, here / "run")
    (here / "afile").write_text("no run")
    (here / "afolder").mkdir()

    def left() -> list[str]:
        return sorted(str(path) for folder in (here, home) for path in folder.rglob("*"))

    found = [complaint(line(number), gan_here, left) for number in range(first, min(first + AT_ONCE, LINES))]
    assert not any(found), "\n\n".join(filter(None, found))
