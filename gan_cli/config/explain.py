"""What is wrong with the words of a command, in two lines each: Hydra's errors, and mistakes that Hydra accepts."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.types import ChoiceSweep, QuotedString
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gan_cli.config import choices
from gan_cli.config.errors import ALL, did_you_mean, not_global, unknown_choice
from gan_cli.config.words import QUOTES, SETTING, SHOWS, divide, in_shell, parse, quote, readable, text, unreadable
from gan_cli.console import printable
from gan_cli.errors import ConfigError, NotWritable, Refused, two_lines
from gan_cli.store.outputs import discard, full

# What other programs call the number of epochs.
EPOCHS = ("epochs", "epoch", "max_epochs", "num_epochs", "n_epochs", "nepochs")
OF_NO_RUN = ("search", "bench")  # commands that begin with no run
DEEP = 20  # brackets in a word; fewer are no trouble for its parser
NAMELESS = re.compile(r"[~+@:]*=")
RAISED = re.compile(r"^\w+ raised while resolving interpolation: ")
FOLLOWS = re.compile(r"\$\{([A-Za-z_][\w.]*)\}")
ENVIRONMENT = "set it, or give a default: '${oc.env:NAME,VALUE}'"
RAMP = "a value that follows progress is written '${linear:START,END,IMAGES}' or '${cosine:START,END,IMAGES}'"


@contextmanager
def friendly(command: str, overrides: Sequence[str]) -> Iterator[None]:
    """Turns Hydra's errors into two lines: what is wrong, what was probably meant."""
    try:
        yield
    except MissingConfigException as error:
        group, _, choice = (error.missing_cfg_file or "").rpartition("/")
        if place := _place(error.missing_cfg_file or ""):
            remedy = f"for images of your own: dataset=folder {in_shell(f'dataset.root={place}')}"
            raise ConfigError(two_lines(f"no dataset named '{place}'", remedy)) from error
        options = choices.visible(error.options or _choices(group, str(error)))
        if not options:
            raise ConfigError(two_lines(str(error).splitlines()[0], ALL)) from error
        raise ConfigError(unknown_choice(group or "config", choice, options)) from error
    except OverrideParseException as error:
        raise ConfigError(unreadable(str(error.override))) from error
    except (ConfigCompositionException, OmegaConfBaseException, HydraException) as error:
        raise ConfigError(_explain(command, error, overrides)) from error
    except RecursionError as error:
        raise ConfigError(_endless(overrides)) from error


def _place(missing: str) -> str:
    """The path that was given as a data set's name; empty where it was none."""
    name = missing.removeprefix("dataset/")
    return name if name != missing and os.path.exists(name) else ""


def _endless(words: Sequence[str]) -> str:
    """The message where Python gave up: over the brackets of a word, or over files that lead back to themselves."""
    if any(sum(map(word.count, "[{(")) > DEEP for word in words):
        return two_lines("brackets nested too deep to read", "write it in a file")
    remedy = "look for defaults that name each other, and for an alias (*name) inside of its own anchor (&name)"
    return two_lines("a config file leads back to itself, or is nested too deep to read", remedy)


@contextmanager
def composing(command: str, overrides: Sequence[str]) -> Iterator[None]:
    """`friendly`, where only Hydra is at work: whatever it raises is about the words that it was given."""
    _check_here()
    refuse(command, overrides)
    try:
        with friendly(command, overrides), _shown() if SHOWS & {*overrides} else nullcontext():
            yield
    except Refused:
        raise
    except OSError as error:
        if error.errno is None:  # OmegaConf's word for a file that holds one value
            remedy = "a file of configs has lines such as NAME: VALUE"
            raise ConfigError(two_lines(f"a config file holds no settings ({_first(error)})", remedy)) from error
        if error.filename is None:  # of what --cfg and its like print
            discard()
            raise NotWritable(full(error)) from error
        what = f"the folder {error.filename} cannot be made ({error.strerror})"
        raise ConfigError(
            two_lines(what, "hydra.run.dir=FOLDER names another, hydra.sweep.dir= that of sweeps")
        ) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"see line {mark.line + 1}" if mark else "correct it"
        named = mark.name if mark else "a file"
        raise ConfigError(two_lines(f"{named} is not YAML: {error.problem}", where)) from error
    except Exception as error:
        raise ConfigError(two_lines(_first(error), ALL)) from error


def _check_here() -> None:
    """Raises ConfigError where the folder that this was started in has been removed since: Hydra asks for its name."""
    try:
        os.getcwd()
    except OSError as error:
        what = f"the folder that this works in is not there any more ({error.strerror})"
        raise ConfigError(two_lines(what, "go to another: cd FOLDER")) from error


@contextmanager
def _shown() -> Iterator[None]:
    """Prints what Hydra prints, made safe for a terminal; its complaints become an error."""
    kept, complaint = io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(kept), redirect_stderr(complaint):
            yield
    except SystemExit as end:
        if end.code:
            raise ConfigError(two_lines(complaint.getvalue().strip(), "see --cfg job for what there is")) from end
        raise
    finally:
        print(printable(kept.getvalue()), end="", flush=True)


def _first(error: BaseException) -> str:
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return RAISED.sub("", first).strip('"') if RAISED.match(first) else first


def refuse(command: str, words: Sequence[str]) -> None:
    """Raises ConfigError for choices that Hydra would accept, or complain about, in a way that helps nobody."""
    problems = [problem for word in divide(words, command)[0] for problem in _refused(command, word)]
    if problems:
        raise ConfigError(*problems)


def _refused(command: str, word: str) -> list[str]:
    offer = choices.offers()[command]
    if NAMELESS.match(word):  # Hydra reads it as a group without a name
        return [two_lines(f"{word}: the name of the setting is missing", "write settings as key=value")]
    if word.startswith("~") and word[1:] in {*offer.settings} - {*offer.groups}:
        return [two_lines(f"{word}: a setting cannot be removed", f"leave the word out, or write {word[1:]}=...")]
    if word.startswith("~") and isinstance(offer.groups.get(word[1:]), str):
        return [two_lines(f"{word}: there has to be one", f"choices: {', '.join(choices.packaged()[word[1:]])}")]
    found = SETTING.match(word)
    key = found[1].lstrip("+").partition("@")[0] if found else ""
    if key.startswith("hydra.run.") and choices.own(command)["hydra"]["run"]["dir"] == ".":
        return [two_lines(f"{word}: gan {command} makes no folder of its own", "leave the word out")]
    if key in ("hydra.run.dir", "hydra.sweep.dir") and found and "\\${" in readable(word):  # Hydra evaluates it later
        return [two_lines(f"{word}: the name of a run's folder cannot hold ${{", "give it another name")]
    group = key.rsplit(".", 1)[-1]
    if found is None or group not in choices.packaged():
        return []
    override = parse(readable(word))
    value = None if override is None else override._value
    values = value.list if isinstance(value, ChoiceSweep) else [value]
    if key != group:
        named = next((v for v in values if v in choices.packaged()[group]), None)
        return [] if named is None else [_node(key, group, str(named))]
    if group not in offer.groups:
        return [_of_another(command, group, word)]
    return [problem for one in values for problem in _wrong_choice(group, one)]


def _wrong_choice(group: str, value: Any) -> list[str]:
    """What is wrong with the value of a group's word."""
    options = choices.packaged()[group]
    if isinstance(value, dict):
        remedy = f"choose one by its name, and set {group}.NAME=VALUE: {', '.join(options)}"
        return [two_lines(f"{group}={{...}}: a choice belongs here", remedy)]
    if isinstance(value, list) and any(isinstance(one, list | dict) for one in value):
        return [two_lines(f"{group}=[...]: choices belong here, by their names", f"choices: {', '.join(options)}")]
    several = isinstance(choices.default(group), list) or choices.all_global(group)
    least = 0 if choices.default(group) is None else 1
    if isinstance(value, list) and not least <= len(value) <= 1 and not several:
        return [two_lines(f"{group}: there can be only one", f"choices: {', '.join(options)}")]
    names = [str(v.text if isinstance(v, QuotedString) else v) for v in (value if isinstance(value, list) else [value])]
    hidden = [name for name in names if any(part.startswith(("_", "..")) for part in name.split("/"))]
    return [unknown_choice(group, name, options) for name in hidden]


def _node(key: str, group: str, choice: str) -> str:
    """`key` holds a part, and the name of a choice of another group was typed."""
    content = choices.read(group, choice)
    node = content if "_target_" in content else next(iter(content.values()))
    return two_lines(f"{key} is a part and takes no name of a {group}", f"write {key}._target_={node['_target_']}")


def _of_another(command: str, group: str, word: str) -> str:
    owner = choices.owner(group)
    if owner == "train":
        remedy = f"gan train {word.lstrip('+')} starts a run with it; an existing run keeps its own"
    else:
        run = "" if owner in OF_NO_RUN else "RUN "
        remedy = f"gan {owner} {run}{word.lstrip('+')}"
    return two_lines(f"{group}= is not a choice of gan {command}", remedy)


def _choices(group: str, message: str) -> list[str]:
    """The choices of a group in the folders that Hydra says it searched: for a list, it names no choices itself."""
    folders = re.findall(r"path=file://(.+)$", message, flags=re.MULTILINE)
    return sorted({choice for folder in folders for choice in choices.config_groups(Path(folder)).get(group, ())})


def _explain(command: str, error: Exception, overrides: Sequence[str]) -> str:
    while not str(error) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    first = _first(error)
    swept = re.match(r"(?:Ambiguous value for argument|Sweep parameters) '([^']*)'", first)
    if swept is not None:
        return _one_value(command, swept.group(1))
    within = re.match(r"In '(\w+)/([^']*)': Could not override '[^']*@\1\.", first)
    if within is not None:
        return not_global(within.group(1), within.group(2))
    lacking = re.match(r"Interpolation key '([^']*)'", first)
    if lacking is not None:
        return two_lines(first, _literal(lacking.group(1), overrides) or RAMP)
    found = re.match(r"Could not (?:override|append to config|delete from config|delete)[^']*'([^']*)'", first)
    if found is None:
        return two_lines(first, ALL)
    key = found.group(1).partition("=")[0].split("@")[0]
    known = choices.keys(command, overrides)
    if key in known:  # the key exists, the value has the wrong type
        detail = [*str(error).splitlines(), ""][1].strip()
        return two_lines(f"{key} cannot be set like that", "leave the + out" if "append" in detail else detail or ALL)
    owners = _owners(command, key)
    remedy = f"choose one that has it: {', '.join(owners)}" if owners else did_you_mean(key, known)
    return two_lines(f"unknown setting '{key}'", length(key, overrides) or remedy or ALL)


def length(key: str, words: Sequence[str]) -> str:
    """The remedy where `key` is another program's name for the length of a run."""
    if key.rsplit(".", 1)[-1] not in EPOCHS:
        return ""
    typed = [found[2] for word in words if (found := SETTING.match(word)) and found[1].lstrip("+") == key]
    number = next((value for value in typed if re.fullmatch(r"\d+(\.\d+)?", value)), "...")
    return f"trainer.max_epochs={number} ends the run after so many; or .max_steps=, .max_images=, .max_minutes="


def _literal(name: str, words: Sequence[str]) -> str:
    """The remedy for typed text that contains a ${name}."""
    typed = [SETTING.match(word) for word in words if f"${{{name}" in word]
    meant = [
        f"{m[1]}={quote(text(m[2]) if m[2][0] in QUOTES else m[2])}"
        for m in typed
        if m and m[1].rsplit(".", 1)[-1] in choices.TEXT
    ]
    return f"if it is meant literally, quote it: {in_shell(meant[0])}" if meant else ""


def _owners(command: str, key: str) -> list[str]:
    """The choices, as they are typed, whose files have the setting: add `penalty=[r1]` for penalty.r1.weight."""
    group, _, inner = key.partition(".")
    if command not in choices.offers() or group not in choices.offers()[command].groups:
        return []
    has = [c for c in choices.packaged()[group] if inner in choices.dotted(choices.read(group, c))]
    listed = isinstance(choices.default(group), list)
    return [f"{group}=[{choice}]" if listed else f"{group}={choice}" for choice in has]


def _one_value(command: str, word: str) -> str:
    key, _, value = word.partition("=")
    quoted = in_shell(f"{key}={quote(value)}")
    remedy = f"gan {command} -m {word} sweeps over them; {key}=[{value}] is a list, {quoted} a word with a comma"
    return two_lines(f"{word}: several values for one run", remedy)


def _resolvable(key: str, value: Any) -> str:
    """How a value that follows others, or the progress, can be given."""
    leading = FOLLOWS.findall(value) if isinstance(value, str) else []
    return f"it follows {' and '.join(leading)}: set that, or {key} by itself" if leading else RAMP


def broken(error: OmegaConfBaseException) -> str:
    """An interpolation that cannot be resolved, with its key."""
    first = _first(error)
    typed = None if error.parent_node is None else OmegaConf.to_container(error.parent_node, resolve=False)
    value = typed.get(error.key) if isinstance(typed, dict) else None
    key = error.full_key or ""
    free = key.rsplit(".", 1)[-1] in choices.TEXT and isinstance(value, str)
    literal = f"if it is meant literally, quote it: {in_shell(f'{key}={quote(str(value))}')}"
    raised = RAISED.match(str(error)) or "interpolation" in first.lower()
    remedy = ENVIRONMENT if "Environment variable" in first else _resolvable(key, value) if raised else ALL
    return two_lines(f"{key}: {first}", literal if free else remedy)
