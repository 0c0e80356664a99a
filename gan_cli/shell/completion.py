"""Shell completion: what can come next on an unfinished command line, from the files of conf/ and the names of runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from gan_cli.config import choices
from gan_cli.console import printable
from gan_cli.shell.codes import DONE, WRONG
from gan_cli.shell.table import COMMANDS, Command, Word
from gan_cli.store.summary import HOME, newest

FLAGS = ("-m", "--multirun", "--cfg", "--resolve", "--package", "--info", "--config-dir", "--config-name", "--help")
OFFERED = 50  # runs
# Where the shell breaks words at = or :, as it does outside of quotes, it replaces only what follows the last of them.
BASH = """\
_gan() {
    local line=${COMP_LINE:0:$COMP_POINT} word kept candidate
    word=${line##*[[:space:]\\"\\']}
    kept=''
    [[ $COMP_WORDBREAKS == *=* && ${line%"$word"} != *[\\"\\'] ]] && kept=${word%"${word##*[=:]}"}
    COMPREPLY=()
    while IFS= read -r candidate; do
        COMPREPLY+=("${candidate#"$kept"}")
    done < <(COMP_LINE=$line gan -sc query=bash 2>/dev/null)
}
complete -o nospace -o default -F _gan gan"""
FISH = """\
function _gan
    set -l found (COMP_LINE=(commandline -cp) gan -sc query=fish 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\\n' $found
    else if not string match -qr -- '^-|=' (commandline -ct)
        __fish_complete_path (commandline -ct)
    end
end
complete -c gan -f -a '(_gan)'"""
ZSH = """\
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i }
_gan() {
    local -a found open closed
    found=("${(@f)$(COMP_LINE="${(j: :)words[1,CURRENT-1]} ${(Q)PREFIX}" gan -sc query=zsh 2>/dev/null)}")
    found=(${found:#})
    open=(${(M)found:#*[=/.]})
    closed=(${found:#*[=/.]})
    (( $#found )) || { _files; return }
    (( $#open )) && compadd -S '' -- $open
    (( $#closed )) && compadd -- $closed
}
compdef _gan gan"""
SCRIPTS = {"bash": BASH, "fish": FISH, "zsh": ZSH}


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
        if printable(candidate) == candidate and "\n" not in candidate:  # a line each, and none that a terminal obeys
            print(candidate, flush=True)
    return DONE


def candidates(line: str) -> list[str]:
    """The words that the last word of the line may become."""
    before = line.split()
    last = "" if not before or line[-1].isspace() else before.pop().lstrip("'\"")
    others: dict[str, Iterable[str]] = {"completion": SCRIPTS, "help": COMMANDS}
    if len(before) < 2:
        found = [*COMMANDS, *others] if before else []
    elif before[1] not in COMMANDS:
        found = [*others.get(before[1], ())] if len(before) == 2 else []  # then the shell offers files
    elif before[-1] in ("--cfg", "-c"):
        found = ["job", "hydra", "all"]
    else:
        command = COMMANDS[before[1]]
        led = next((word for word in command.takes if word.leads and [word.typed] == before[2:3]), None)
        if led is not None:
            return _fitting(_after(led, command, last, before), last)
        named = [*([command.name] if command.configured else []), *([command.like] if command.like else [])]
        found = [*_taken(command, last), *(word for name in named for word in _settings(name, command, last, before))]
        found += _plain(command, last, before)
    return _fitting(found, last)


def _fitting(found: Sequence[str], last: str) -> list[str]:
    return list(dict.fromkeys(word for word in found if word.startswith(last)))


def _after(led: Word, command: Command, last: str, before: Sequence[str]) -> list[str]:
    """What follows a word that comes first: its own words and runs; other words of the command once they are begun."""
    others = [word for word in command.takes if last and not word.leads]
    return [*(word for word in led.then if word not in before), *_said(others, last), *_plain(command, last, before)]


def _plain(command: Command, last: str, before: Sequence[str]) -> list[str]:
    """What a plain word may be: a choice of the command's group, or a run. And what runs are told apart by."""
    if command.setting in choices.packaged():
        return choices.available(before)[command.setting]
    told_apart = choices.offers()[command.filters].groups if command.filters and last else {}
    found = _values(last, before) if "=" in last and last.partition("=")[0] in told_apart else []
    found += [f"{group}=" for group in told_apart]
    return found + (_runs(last, command.alive) if command.runs or command.setting else [])


def _taken(command: Command, last: str) -> list[str]:
    """The words of a command besides its settings. Flags where a dash was typed, values after the equals sign."""
    return _said(command.takes, last)


def _said(words: Sequence[Word], last: str) -> list[str]:
    found = [f"{word.typed}{value}" for word in words for value in word.values or ("",)]
    found = [word for word in found if last.startswith("-") or not word.startswith("-")]
    return found if "=" in last else list(dict.fromkeys(f"{name}{equals}" for name, equals, _ in map(_parted, found)))


def _parted(word: str) -> tuple[str, str, str]:
    return word.partition("=")


def _runs(last: str, alive: bool) -> list[str]:
    """The newest runs until a path is begun, then what is on the disk; only those that are running, where one of them
    is meant."""
    if "=" in last or last.startswith("-"):
        return []
    found = newest([HOME], OFFERED, alive) if alive or not last else []
    return _paths(last) if last and not any(run.startswith(last) for run in found) else found


def _settings(name: str, command: Command, last: str, before: Sequence[str]) -> list[str]:
    """The groups and settings of a command's file, their values, and Hydra's flags."""
    if last.startswith("-"):
        return [*(FLAGS if command.configured else ("--config-dir",)), "--json"]
    return _values(last, before) if "=" in last else _names(name, command, last, before)


def _names(name: str, command: Command, last: str, before: Sequence[str]) -> list[str]:
    offer = choices.offers()[name]
    if "." in last and last.partition(".")[0] in (*offer.groups, *offer.settings):
        keys = choices.keys(name, [word.lstrip("'\"") for word in before])
        return [f"{key}=" for key in keys if not any(other.startswith(f"{key}.") for other in keys)]
    words = [word for word in (*offer.groups, *offer.settings) if word != command.setting]
    words += [key for key in (word.partition("=")[0] for word, _ in command.typed) if not {".", "-"} & {*key}]
    return [f"{word}=" for word in dict.fromkeys([*words, "trust"])]


def _values(last: str, before: Sequence[str]) -> list[str]:
    """Choices of a group, also within brackets; runs, data sets, files and folders where a setting names one."""
    key, _, value = last.partition("=")
    final = key.rpartition(".")[2]
    if final in choices.RUNS and not value:
        return [f"{key}={run}" for run in newest([HOME], OFFERED)]
    if final in choices.TEXT - {"name", "device"}:
        named = choices.references() if final == choices.REFERENCE else []
        return [f"{key}={word}" for word in (*named, *_paths(value))]
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
