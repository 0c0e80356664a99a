"""Files of one's own that Hydra cannot read, or not hold: told by their names, before it tries."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conftest import Inside, words
from gan_cli.config import compose
from gan_cli.errors import ConfigError

LOSS = "_target_: gan_cli.losses.Hinge\n"
BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(10 * [f'*{before}'])}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
DOUBLED = "".join(f"x{i}: '${{.x{i + 1}}}${{.x{i + 1}}}'\n" for i in range(60)) + "x60: y\n"
NESTED = "".join(f"x{i}: ['${{loss.x{i + 1}}}', '${{loss.x{i + 1}}}']\n" for i in range(60)) + "x60: y\n"
CHAIN = "".join(f"x{i}: '${{loss.x{i + 1}}}'\n" for i in range(5000)) + "x5000: y\n"


@pytest.fixture
def mine(here: Path) -> Path:
    """A file of one's own."""
    (here / "conf" / "loss").mkdir(parents=True)
    return here / "conf" / "loss" / "mine.yaml"


@pytest.mark.parametrize(
    ("content", "what", "remedy"),
    [
        ((LOSS + "# é").encode("latin-1"), "is not UTF-8 (line 2)", "iconv -f LATIN1 -t UTF-8 conf/loss/mine.yaml"),
        (LOSS.encode("utf-16"), "is UTF-16, not UTF-8", "iconv -f UTF-16 -t UTF-8 conf/loss/mine.yaml"),
        (LOSS.encode() + b"x: a\0b\n", "holds the character 0 (line 2)", "remove it"),
        (LOSS.encode() + b"x: \x07\n", "holds the character 7 (line 2)", "remove it"),
        (LOSS.encode() + b"#" * 2**20, "has more than 1,048,576 bytes", "divide it"),
        ((LOSS + BOMB).encode(), "its aliases (*name) repeat more than 100,000 values", "write out"),
    ],
    ids=["latin-1", "utf-16", "nul", "bell", "large", "aliases"],
)
@pytest.mark.parametrize(
    "how", [("--config-dir", "conf"), ("hydra.searchpath=[conf]",), ("-m", "seed=1,2", "--config-dir=conf")]
)
def test_a_file_that_cannot_be_read_is_named(
    mine: Path, gan_here: Inside, content: bytes, what: str, remedy: str, how: tuple[str, ...]
) -> None:
    mine.write_bytes(content)
    done = gan_here("train", *words("loss=mine"), *how)
    assert done.returncode == 2
    first, second = done.stderr.splitlines()
    assert first.startswith("gan train: conf/loss/mine.yaml")
    assert what in first
    assert remedy in second
    assert [path.name for path in mine.parents[2].iterdir()] == ["conf"]


@pytest.mark.parametrize(
    "lines",
    [
        "- /loss@a: x{0}\n- /loss@b: x{0}\n",
        "- x{0}@a\n- x{0}@b\n",
        "- /loss/x{0}@a\n- /loss/x{0}@b\n",
        "- optional /loss@a: x{0}\n- override /loss@b: [x{0}]\n",
    ],
)
def test_files_that_include_each_other_too_often_are_refused(mine: Path, gan_here: Inside, lines: str) -> None:
    """Each includes the next twice: the last is read 2^40 times."""
    mine.write_text("defaults:\n" + lines.format(1))
    for i in range(1, 40):
        (mine.parent / f"x{i}.yaml").write_text("defaults:\n" + lines.format(i + 1))
    (mine.parent / "x40.yaml").write_text(LOSS)
    done = gan_here("train", *words("loss=mine"), "--config-dir", "conf")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "gan train: conf/loss/mine.yaml: its defaults list includes more than 1,000 files, by way of others",
        "  let it include each of them once",
    ]


def test_files_that_include_a_few_others_are_read(mine: Path) -> None:
    for i in range(40):
        (mine.parent / f"x{i}.yaml").write_text(f"defaults: [x{i + 1}, _self_]\ny{i}: 1\n")
    (mine.parent / "x40.yaml").write_text(LOSS)
    mine.write_text("defaults: [x0, _self_]\n")
    config = compose.compose("train", [*words("loss=mine"), "--config-dir", "conf"]).config
    assert config["loss"] == {"_target_": "gan_cli.losses.Hinge", **{f"y{i}": 1 for i in range(40)}}


@pytest.mark.parametrize("text", [DOUBLED, NESTED, CHAIN], ids=["doubled", "nested", "chain"])
@pytest.mark.parametrize(
    "how",
    [(), ("--run",), ("-m", "seed=1,2"), ("--cfg", "job", "--resolve")],
    ids=["", "--run", "-m", "--cfg"],
)
def test_settings_that_refer_to_too_much_are_refused(
    mine: Path, gan_here: Inside, text: str, how: tuple[str, ...]
) -> None:
    mine.write_text(LOSS + text)
    done = gan_here("train", *words("loss=mine", "name=${loss.x0}"), "--config-dir", "conf", *how)
    assert done.returncode == 2
    first, second = done.stderr.splitlines()
    assert re.search(r"x\d+: what its \$\{\.\.\.} refer to comes to more|endlessly|nested too deep", first), first
    assert second.startswith("  ")
    assert [path.name for path in mine.parents[2].iterdir()] == ["conf"]


def test_files_with_few_aliases_and_references_are_read(mine: Path) -> None:
    """Also one with a mark of UTF-8 at its beginning; what is beside the groups is nobody's concern."""
    text = "\N{BYTE ORDER MARK}# é\n_target_: gan_cli.losses.Hinge\n"
    mine.write_text(text, encoding="utf-8")
    (mine.parents[1] / "dataset").mkdir()
    aliases = "root: &r x\n_target_: gan_cli.data.ring\nmore: [*r, *r, '${.root}']\n"
    (mine.parents[1] / "dataset" / "own.yaml").write_text(aliases)
    (mine.parents[1] / "notes.yaml").write_bytes(b"\xff\xfe")
    (mine.parents[1] / "elsewhere").mkdir()
    (mine.parents[1] / "elsewhere" / "notes.yaml").write_bytes(b"\xff\xfe")
    config = compose.compose("train", words("loss=mine", "--config-dir", "conf")).config
    assert config["loss"] == {"_target_": "gan_cli.losses.Hinge"}


def test_what_is_typed_may_not_refer_to_too_much_either(here: Path) -> None:
    tags = ",".join([*(2 * f"${{tags[{i + 1}]}}" for i in range(50)), "x"])
    with pytest.raises(ConfigError, match=r"tags\[\d+\]: what its .* comes to more than"):
        compose.compose("train", words(f"tags=[{tags}]"))
