"""The words of a command line: which are flags, and which values are meant literally."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gan_cli.config.choices import CONFIG_DIR, TEXT, TEXTS, default, offers, packaged
from gan_cli.config.errors import did_you_mean
from gan_cli.errors import ConfigError, two_lines
from gan_cli.store import literal

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

# Hydra's flags. Misspelt or placed between settings, they would only make its own parser print its usage.
BARE = ("-m", "--multirun", "-r", "--run", "--resolve", "--hydra-help")
CONFIGS = ("job", "hydra", "all")
INFOS = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
# Flag -> the values that it may have; any, where none are listed.
VALUED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("--cfg", "-c"), CONFIGS),
    **dict.fromkeys(("--package", "-p", *CONFIG_DIR, "--config-name", "-cn", "--config-path", "-cp"), ()),
}
INFO = ("--info", "-i")  # its value may be left out
SHOWN = "-m, --cfg job, --resolve, --package NAME, --info, --config-dir DIR, --config-name NAME"
# Each of these does something else: only one at a time.
DEEDS = ({"-m", "--multirun"}, {"-r", "--run"}, {"--cfg", "-c"}, set(INFO), {"--hydra-help"})
SHOWS = frozenset({"--cfg", "-c", *INFO, "--hydra-help"})  # with these nothing is run
# A value that matches has a meaning in Hydra's grammar: it is not silently made a string.
QUOTES = ("'", '"')  # in Hydra's grammar
STRUCTURE = re.compile(r"^[\[{'\"]|\$\{|,")
PLACES = TEXT | {"source", "folder"}  # settings that name something: there is nothing without a name
EMPTY = re.compile(r"^\+{0,2}([\w./@:-]+)=\s*(?:''|\"\")?\s*$")
ONE = re.compile(r"\[\s*([^\s\[\]{}()'\",]+)\s*\]")  # a list of one name
CALL = re.compile(r"\s*(choice|shuffle|sort|tag|glob|extend_list)\((.*)\)\s*", flags=re.DOTALL)
NAMED = re.compile(r"\s*(reverse|exclude)\s*=")  # what such a call takes by name
SETTING = re.compile(r"^(\+{0,2}[\w./@:-]+)=(.*)$", flags=re.DOTALL)


def divide(words: Sequence[str], command: str = "train") -> tuple[list[str], list[str]]:
    """Settings and plain words, and separately the flags with their values, each a word of its own.

    Raises:
        ConfigError: There is no such flag, its value is missing or not allowed, or two flags exclude each other.
    """
    others: list[str] = []
    flags: list[str] = []
    rest = [*strings(words)]
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if not word.startswith("-"):
            others.append(word)
            continue
        if word not in BARE and name not in VALUED and name not in INFO:
            raise ConfigError(_unknown(word, rest, command))
        flags.append(name)
        if name in VALUED and not equals:
            value = rest.pop(0) if rest else ""
        elif name in INFO and not equals and rest and rest[0] in INFOS:
            value = rest.pop(0)
        if name not in BARE and (value or name in VALUED):
            flags.append(value)
        allowed = INFOS if name in INFO else VALUED.get(name, ())
        if (name in VALUED and not value) or (value and allowed and value not in allowed):
            remedy = f"choices: {', '.join(allowed)}" if allowed else f"write {name} VALUE"
            raise ConfigError(two_lines(f"{name} does not take '{value}'", remedy))
    _check_together(flags)
    return others, flags


def _check_together(flags: Sequence[str]) -> None:
    deeds = [next(flag for flag in flags if flag in deed) for deed in DEEDS if deed & set(flags)]
    if len(deeds) > 1:
        raise ConfigError(two_lines(f"{' and '.join(deeds)} do not go together", f"leave {deeds[-1]} out"))
    if "--resolve" in flags and not {"--cfg", "-c"} & set(flags):
        raise ConfigError(two_lines("--resolve goes with --cfg only", "write --cfg job --resolve"))
    if {"--package", "-p"} & set(flags) and not {"--cfg", "-c"} & set(flags):
        raise ConfigError(two_lines("--package goes with --cfg only", "write --cfg job --package NAME"))


def _unknown(word: str, following: Sequence[str], command: str) -> str:
    """The message for an unknown flag: --seed=1 and --out x.png are settings with dashes too many."""
    flag, equals, value = word.partition("=")
    name = flag.lstrip("-").replace("-", "_")
    offer = offers().get(command)
    setting = offer is not None and name in {*offer.settings, *offer.groups, "resume", "repeat", "trust"}
    if setting and not equals:
        value = following[0] if following and not following[0].startswith("-") else "..."
    if setting or equals:
        meant = name if setting else flag.lstrip("-")
        return two_lines(f"no flag '{flag}'", f"settings have no dashes: {meant}={value}")
    return two_lines(f"no flag '{word}'", did_you_mean(word, (*BARE, *VALUED, *INFO)) or f"flags: {SHOWN}")


def strings(words: Sequence[str]) -> Sequence[str]:
    """The words themselves. Raises ConfigError for what no command line can hold."""
    if isinstance(words, str):
        raise ConfigError(two_lines(f"{words!r} is one word where a list of words is needed", "give them one by one"))
    for word in words:
        if not isinstance(word, str):
            remedy = 'give settings one by one, each a string: "model=mlp", "dataset=ring"'
            raise ConfigError(two_lines(f"{str(word)[:60]!r} is not a word but a {type(word).__name__}", remedy))
        if "\0" in word:
            raise ConfigError(two_lines(f"{word!r} holds a NUL byte", "no name and no value may hold one"))
        _check_named(word)
    return words


def _check_named(word: str) -> None:
    """Raises ConfigError where a name is empty, as of an unset variable in a shell: `out=$OUT` is not this folder."""
    if not word.strip():
        raise ConfigError(two_lines("a word is empty", "a variable of the shell may be unset: set it, or leave it out"))
    found = EMPTY.match(word)
    if found is not None and found[1].rsplit(".", 1)[-1] in PLACES:
        remedy = f"give a value, or leave it out; a variable of the shell may be unset: {found[1]}=$NAME"
        raise ConfigError(two_lines(f"{found[1]}= is empty", remedy))


def quote(value: str) -> str:
    """A string as a value that Hydra's grammar takes literally, whatever is in it."""
    # In Hydra's quotes only a quote is escaped, and backslashes before one.
    return "'" + re.sub(r"(\\*)('|\Z)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), literal.escaped(value)) + "'"


def text(value: str) -> str:
    """A word's value read as text: without Hydra's quotes, and with the home folder for a leading ~."""
    if value[:1] in QUOTES:
        from hydra.core.override_parser.types import QuotedString

        read = _value(value)
        if isinstance(read, QuotedString):  # as OmegaConf reads it: see `quote`
            return literal.unescaped(read.text)
        return value
    return os.path.expanduser(value) if at_home(value) else value


def take(key: str, words: Sequence[str]) -> tuple[str | None, list[str]]:
    """The value of the last word `key=value`, and the other words."""
    values = [text(word.partition("=")[2]) for word in words if word.startswith(f"{key}=")]
    return (values[-1] if values else None), [word for word in words if not word.startswith(f"{key}=")]


def path(source: object, what: str) -> str:
    """A path as a string. Raises ConfigError for anything else, such as samples themselves."""
    if not isinstance(source, str | os.PathLike):
        remedy = "give a path: a run folder, a checkpoint, or images (a folder, .zip, .npz, .pt)"
        raise ConfigError(two_lines(f"the {what} is a {type(source).__name__}, not a path", remedy))
    if not os.fspath(source).strip():
        raise ConfigError(two_lines(f"the {what} is empty", "give a path; that of this folder is ."))
    return os.fspath(source)


def at_home(value: str) -> bool:
    return value == "~" or value.startswith("~/")


def readable(word: str) -> str:
    """The word rewritten for Hydra's grammar, so that it means what a person means by it.

    `out=é (1).png`, `name=2024`, `root=true`: text is taken literally. `dataset.root=~/photos`: a leading ~ is the home
    folder, as in a shell. `penalty=null`: none of them. What has a meaning in the grammar keeps it.

    Raises:
        ConfigError: The word removes a choice that a run cannot do without.
    """
    if word.startswith("~") and isinstance(default(word[1:]), list):
        return f"{word[1:]}=[]"  # Hydra deletes single choices only
    found = SETTING.match(word)
    if found is None or word.startswith("-"):
        return word
    key = found[1].lstrip("+").partition("@")[0]
    parts = [_meant(key, part) for part in _split(found[2])]
    meant = f"{found[1]}={','.join(parts)}"
    if _read(meant):
        return meant
    if len(parts) == 1 and not STRUCTURE.search(found[2]) and not CALL.fullmatch(found[2]):
        return f"{found[1]}={quote(found[2])}"
    mended = f"{found[1]}={','.join(map(_as_text, parts))}"
    return mended if _read(mended) else meant


def _as_text(part: str) -> str:
    """A value of a sweep, of a list or of a call such as `choice(é,b)`, taken literally where the grammar has no way to
    read it."""
    if called := CALL.fullmatch(part):
        given = (each if NAMED.match(each) else _as_text(each) for each in _split(called[2]))
        return f"{called[1]}({','.join(given)})"
    if part.startswith("[") and part.endswith("]"):
        return f"[{','.join(map(_as_text, _split(part[1:-1])))}]"
    return part if STRUCTURE.search(part) or _read(f"key={part}") else quote(part.strip())


def _meant(key: str, part: str) -> str:
    """One value, ready to be read: of a sweep, of a list, or the only one."""
    if at_home(part):
        return quote(os.path.expanduser(part))
    group = key in packaged()
    if group and isinstance(default(key), str) and (only := ONE.fullmatch(part)):
        return _meant(key, only[1])  # [mlp] is mlp
    if key in TEXTS and part.startswith("[") and part.endswith("]"):
        return f"[{','.join(_literal(p.strip()) for p in _split(part[1:-1]) if p.strip())}]"
    if part.startswith("[") and part.endswith("]"):
        return f"[{','.join(quote(p.strip()) if group and _bare(p) else _meant('', p) for p in _split(part[1:-1]))}]"
    if not (group or key.rsplit(".", 1)[-1] in TEXT) or not _bare(part):
        return part
    if _value(part) is not None:
        return quote(part.strip())
    return _nothing(key) if group else part


def _literal(part: str) -> str:
    """Text in quotes, whether it was typed in some or not."""
    return quote(text(part) if part[0] in "'\"" else part)


def _nothing(group: str) -> str:
    """What GROUP=null means. Raises ConfigError where something has to be chosen."""
    chosen = default(group)
    if chosen is None or isinstance(chosen, list):
        return "[]"
    raise ConfigError(two_lines(f"{group}=null: there has to be one", f"choices: {', '.join(packaged()[group])}"))


def _bare(part: str) -> bool:
    """Whether a value typed without quotes would be read as a number, a boolean or null."""
    return isinstance(_value(part, ""), bool | int | float | None)


def _split(value: str) -> list[str]:
    """Splits at the commas that are outside brackets and quotes."""
    parts, depth, quoted, backslashes = [""], 0, "", 0
    for letter in value:
        if quoted:
            # Of backslashes before a quote, two stand for one: it is part of the text after an odd number only.
            quoted = "" if letter == quoted and backslashes % 2 == 0 else quoted
        elif letter in "'\"" and not parts[-1].strip():
            quoted = letter
        backslashes = backslashes + 1 if letter == "\\" else 0
        depth += 0 if quoted else (letter in "[{(") - (letter in "]})")
        if letter == "," and depth == 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def parse(word: str) -> Override | None:
    """The word by Hydra's grammar; None where it cannot read it."""
    # Imported here: a command without settings of Hydra's does not wait for it.
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_overrides([word])[0]
    except (HydraException, ValueError, RecursionError):
        return None


def _value(part: str, otherwise: object = None) -> object:
    override = parse(f"key={part}")
    return otherwise if override is None else override._value


def listed(word: str) -> str:
    """`classes=cat,dog` in quotes: a list of names, not several jobs."""
    name, _, value = word.partition("=")
    plain = name == "classes" and "," in value and not value.startswith(("[", "'", '"'))
    return f"{name}={quote(value)}" if plain else word


def _read(word: str) -> bool:
    return parse(word) is not None


def unreadable(word: str) -> str:
    """The message for a word that Hydra's grammar cannot read, with the word quoted for a shell."""
    found = SETTING.match(word)
    if found is None:
        return two_lines(f"cannot read '{word}'", "write settings as key=value")
    remedy = f"if the value is meant literally, quote it: {in_shell(f'{found[1]}={quote(found[2])}')}"
    return two_lines(f"cannot read '{word}'", remedy)


def in_shell(word: str) -> str:
    """A word as it is typed into a shell; in double quotes where that is safe, since it has single ones inside."""
    return shlex.quote(word) if re.search(r'[$`"\\!]', word) else f'"{word}"'
