"""gan config: a whole config as a file to edit, from choices or from a run; and the schema of such files."""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gan_cli import console
from gan_cli.config import compose, trust
from gan_cli.config.editable import Experiment
from gan_cli.config.words import divide, text
from gan_cli.errors import ConfigError, NotARun, NotWritable, two_lines
from gan_cli.store import outputs, summary
from gan_cli.store.run import Run

log = logging.getLogger(__name__)

HOME = "experiment"  # the folder that such files have to be in
OWN = ("out", "json")


def main(words: Sequence[str]) -> None:
    """The command line: `words` after `gan config`."""
    words = ["json=-" if word == "--json" else word for word in words]
    own = {word.partition("=")[0]: text(word.partition("=")[2]) for word in words}  # the last of each counts
    out, answer = own.get("out"), own.get("json")
    _check_apart(out, answer)
    console.set_up(aside=True if out is None else _standard(out) or _standard(answer))
    vouched, rest = trust.taken([word for word in words if word.partition("=")[0] not in OWN])
    others, flags = divide(rest)
    if compose.shown_by_hydra(flags):
        raise ConfigError(two_lines(f"{flags[0]} is for gan train", "gan config takes --config-dir FOLDER only"))
    if "schema" in others and not os.path.exists("schema"):
        if len(others) > 1:
            raise ConfigError(two_lines("the schema is that of all experiments", "gan config schema out=FILE"))
        _schema(out, answer, flags)
        return
    _check_place(out)
    sources = [word for word in others if "=" not in word or os.path.exists(word)]
    if len(sources) > 1:
        raise ConfigError(two_lines(f"cannot read '{sources[1]}'", "one run, and settings as key=value"))
    settings = [word for word in others if word not in sources]
    if sources:
        experiment, config, more = _of_run(sources[0], settings, flags, vouched)
    else:
        composed = compose.compose("train", [*settings, *flags])
        experiment, config = Experiment(composed.config, composed.choices, flags), composed.config
        more = f" trust={','.join(vouched)}" if vouched else ""
    if answer is not None:
        outputs.answer(answer, config)
    if out is not None or answer is None:
        _write(experiment, ["gan", "config", *words], out or "-", flags, more)


def _standard(target: str | None) -> bool:
    return target is not None and outputs.is_standard(Path(target))


def _check_apart(out: str | None, answer: str | None) -> None:
    if _standard(out) and _standard(answer):
        raise ConfigError(two_lines("out= and json= both go to standard output", "give one of them a file"))


def _check_place(out: str | None) -> None:
    """Raises ConfigError and NotWritable for a place from which no run could take the file, or that is taken."""
    if out is None or outputs.is_stream(Path(out)):
        return
    path = Path(out)
    name = f"{path.stem.strip('.') or 'mine'}.yaml"  # . and .. have no name
    if path.absolute().parent.name != HOME:
        what = f"out={out} is not in a folder called experiment, where gan train looks"
        raise ConfigError(two_lines(what, f"out={path.parent / HOME / name}"))
    if path.suffix != ".yaml":
        what = f"out={out} does not end in .yaml, which gan train looks for"
        raise ConfigError(two_lines(what, f"out={path.parent / name}"))
    if os.path.lexists(path):
        raise NotWritable(two_lines(f"out={out} is there already", "give it another name, or remove it first"))


def _of_run(
    word: str, settings: Sequence[str], flags: Sequence[str], vouched: Sequence[str]
) -> tuple[Experiment, dict[str, Any], str]:
    """The experiment of a run's config.yaml, that config, and the words that it needs beside it."""
    from gan_cli.config import build, nodes, own, saved

    try:
        run = Run.open(word)
    except NotARun as error:
        raise NotARun(two_lines(str(error).partition("\n")[0], "gan runs lists the runs")) from error
    manifest = summary.read(str(run.manifest))
    chosen = summary.choices(manifest)
    if not chosen:
        remedy = f"gan train repeat={shlex.quote(word)}{own.vouched(run)} key=value repeats it with changes"
        raise ConfigError(two_lines(f"{word} does not say what was chosen", remedy))
    content = saved.content_of(run.config)
    there, trusted = saved.read(content, run.config), trust.for_files(vouched)
    nodes.check_names(there, nodes.of_run, trusted)
    config = build.check(saved.change(saved.at_home(there, content), settings), trusted).config
    experiment = Experiment(config, chosen, flags, view=lambda found: build.check(found, trusted).config)
    return experiment, config, own.vouched(run)


def _write(experiment: Experiment, typed: Sequence[str], out: str, flags: Sequence[str], more: str) -> None:
    """Writes the file, and says how it is used."""
    path = Path(out)
    home = "FOLDER" if outputs.is_stream(path) else shlex.quote(str(path.parent.parent))
    name = "NAME" if outputs.is_stream(path) else shlex.quote(path.stem)
    folders = "".join(f" {shlex.quote(flag)}" for flag in flags)
    use = f"gan train{folders} --config-dir {home} experiment={name}{more}"
    says = [
        console.one_line(shlex.join(typed)),
        f"Used by: {console.one_line(use)}",
        "A line that you delete has its default again; with another choice of a group, delete those of the old one.",
    ]
    with outputs.named(f"out={out}"), outputs.writing(path) as file:
        file.write(experiment.text(says).encode())
    if not outputs.is_stream(path):
        log.info("written to %s", out)
        log.info("  %s", use)


def _schema(out: str | None, answer: str | None, flags: Sequence[str]) -> None:
    """`gan config schema`: what editors check experiments with; an older file is replaced."""
    from gan_cli.config import editors

    outputs.answer(out or answer or "-", editors.experiments(flags))
    if out is not None and not outputs.is_stream(Path(out)):
        log.info("written to %s; in VS Code, settings.json with the YAML extension:", out)
        log.info('  "yaml.schemas": {"%s": "**/experiment/*.yaml"}', Path(out).absolute())
