"""Writes docs/choices.md: every choice, with the first comment of its file in conf/. Run by `make docs`."""

from __future__ import annotations

from pathlib import Path

from gan_cli.config import choices

HEAD = """\
# Every choice

Written by `make docs` from the files of [conf/](../conf): the text of a choice is the first comment of its file, which
also has its settings. `group=choice` on the command line takes it; in a group marked "several", any number can be
chosen: `'penalty=[r1,lecam]'`. `gan train --help`, and that of `gan search`, `sample`, `eval` and
`export`, list the same.

"""


def comment(path: Path) -> str:
    """The first comment of a config file."""
    lines = [line[1:].strip() for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    return next(line for line in lines if not line.startswith("@package"))


def section(group: str) -> str:
    """A heading, the default, and a table."""
    usual = choices.default(group)
    several = isinstance(usual, list)
    said = ", ".join(usual) if several else usual
    folder = Path(choices.conf_dir()) / group
    facts = [f"`gan {choices.owner(group)}`", *(["several"] if several else []), f"default: {said or 'none'}"]
    texts = {name: comment(folder / f"{name}.yaml").replace("|", r"\|") for name in choices.packaged()[group]}
    rows = [f"| `{name}` | {text} |" for name, text in texts.items()]
    return "\n".join([f"## {group}", "", "; ".join(facts), "", "| choice | |", "|---|---|", *rows, ""])


def page() -> str:
    """The whole page; groups in the order in which the commands have them."""
    groups = [
        group
        for offer in ("train", "search", "sample", "eval", "export", "bench")
        for group in choices.offers()[offer].groups
    ]
    rest = [group for group in choices.packaged() if group not in groups]
    contents = " · ".join(f"[{group}](#{group})" for group in [*groups, *rest])
    return HEAD + contents + "\n\n" + "\n".join(section(group) for group in [*groups, *rest])


if __name__ == "__main__":
    Path(__file__).with_name("choices.md").write_text(page(), encoding="utf-8")
