"""Shell completion from the files of conf/ alone: what can come next on an unfinished command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from gan_cli.config import choices
from gan_cli.shell.codes import DONE, WRONG
from gan_cli.shell.table import COMMANDS, Command

FLAGS = ("-m", "--multirun", "--cfg", "--resolve", "--package", "--info", "--config-dir", "--config-name", "--help")
OFFERED = 50  # runs
# Where the shell breaks words at = or :, it replaces only what follows the last of them.
BASH = """\
_gan() {
    local line=${COMP_LINE:0:$COMP_POINT} word kept candidate
    word=${line##*[[:space:]\\"\\']}
    kept=''
    [[ $COMP_WORDBREAKS == *=* ]] && kept=${word%"${word##*[=:]}"}
    COMPREPLY=()
    while IFS= read -r candidate; do
        COMPREPLY+=("${candidate#"$kept"}")
    done < <(COMP_LINE=$line gan -sc query=bash 2>/dev/null)
}
complete -o nospace -o default -F _gan gan"""
FISH = """\
function _gan
    COMP_LINE=(commandline -cp) gan -sc query=fish 2>/dev/null
end
complete -c gan -a '(_gan)'"""
SCRIPTS = {"bash": BASH, "fish": FISH}


def complete(words: Sequence[str]) -> int:
    """`gan completion SHELL` prints what to evaluate in the shell; `gan -sc query=SHELL` is what that calls."""
    asked = words[0] if words else ""
    if asked in SCRIPTS:
        print(SCRIPTS[asked], flush=True)
        return DONE
    if not asked.startswith("query="):
        print(f"gan completion: name a shell\n  choices: {', '.join(SCRIPTS)}", file=sys.stderr)
        return WRONG
    for candidate in candidates(os.environ.get("COMP_LINE", "")):
        print(candidate, flush=True)
    return DONE


def candidates(line: str) -> list[str]:
    """The words that the last word of the line may become."""
    before = line.split()
    last = "" if not before or line[-1].isspace() else before.pop().lstrip("'\"")
    if len(before) < 2:
        found = list(COMMANDS) if before else []
    elif before[1] not in COMMANDS:
        return []  # the shell offers files
    elif not COMMANDS[before[1]].configured:
        found = _taken(COMMANDS[before[1]], last)
    elif before[-1] in ("--cfg", "-c"):
        found = ["job", "hydra", "all"]
    elif last.startswith("-"):
        found = list(FLAGS)
    elif "=" in last:
        found = _values(last, before)
    else:
        found = _names(COMMANDS[before[1]], last, before)
    return [word for word in found if word.startswith(last)]


def _taken(command: Command, last: str) -> list[str]:
    """The words of a command without a file of settings; runs, where it wants some: the newest until a path is begun,
    then what is on the disk. Nothing else, so that the shell offers files."""
    found = [f"{word.typed}{value}" for word in command.takes for value in word.values or ("",)]
    found = found if "=" in last else list(dict.fromkeys(f"{name}{equals}" for name, equals, _ in map(_parted, found)))
    if not command.runs:
        return found
    from gan_cli.store.summary import find

    runs = sorted(find(["outputs"]), key=lambda run: -run.begun)[:OFFERED]
    return [*found, *(_paths(last) if last else (run.folder for run in runs))]


def _parted(word: str) -> tuple[str, str, str]:
    return word.partition("=")


def _names(command: Command, last: str, before: Sequence[str]) -> list[str]:
    offer = choices.offers()[command.name]
    if "." in last and last.partition(".")[0] in (*offer.groups, *offer.settings):
        keys = choices.keys(command.name, [word.lstrip("'\"") for word in before])
        return [f"{key}=" for key in keys if not any(other.startswith(f"{key}.") for other in keys)]
    words = [name for name in (*offer.groups, *offer.settings) if name != command.setting]
    words += [name for name in (word.partition("=")[0] for word, _ in command.typed) if "." not in name]
    found = [f"{word}=" for word in dict.fromkeys([*words, "trust"])]
    return [*found, *_paths(last)] if command.setting and last else found


def _values(last: str, before: Sequence[str]) -> list[str]:
    """Choices of a group, also within brackets; files and folders where a setting names one."""
    key, _, value = last.partition("=")
    if key in choices.TEXT - {"name", "device"} or key.rpartition(".")[2] in choices.TEXT - {"name", "device"}:
        return [f"{key}={path}" for path in _paths(value)]
    options = choices.available(before).get(key, ())
    start = value[: max(value.rfind(","), value.rfind("[")) + 1]
    taken = start.strip("[").split(",")
    return [f"{key}={start}{option}" for option in options if option not in taken]


def _paths(start: str) -> list[str]:
    """Paths on the disk that begin like this; folders with a slash, so that one can go on."""
    folder, _, name = start.rpartition("/")
    shown = f"{folder}/" if "/" in start else ""
    try:
        entries = sorted(os.listdir(os.path.expanduser(shown) or "."))
    except OSError:
        return []
    found = [entry for entry in entries if entry.startswith(name) and (name or not entry.startswith("."))]
    return [f"{shown}{e}/" if (Path(os.path.expanduser(shown)) / e).is_dir() else f"{shown}{e}" for e in found]
