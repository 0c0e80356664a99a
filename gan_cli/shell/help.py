"""gan COMMAND --help: the groups with their choices, and the settings, read from conf/ itself."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from gan_cli.config import choices
from gan_cli.shell.table import Command

END = "--cfg job shows the whole config; --config-dir DIR adds your own; trust=MODULE lets a config name your code."


def show(command: Command, words: Sequence[str]) -> None:
    """Prints the help of a command."""
    lines = _settings(command, words) if command.configured else [f"gan {command.name}: {command.says}", ""]
    for word in command.takes:
        values = f": {', '.join(word.values)}" if word.values else ""
        lines.append(f"  {word.typed:<10} {word.says}{values}")
    lines += [""] if command.takes else []
    lines += command.notes
    lines += ["", END] if command.configured else []
    print("\n".join(lines), flush=True)


def _settings(command: Command, words: Sequence[str]) -> list[str]:
    """Groups and settings of a command, as in its file."""
    first, rows = choices.described(f"{command.name}.yaml")
    groups, there = choices.offers()[command.name].groups, choices.available(words)
    shown = [group for group in groups if group in there]
    lines = [first, ""]
    if shown:
        lines.append("Choices (group=choice; several in brackets: 'penalty=[r1,gradient_penalty]'):")
    for group in shown:
        head, *more = textwrap.wrap(", ".join(there[group]), 92)
        usual = groups[group] if isinstance(groups[group], list) else [groups[group] or ""]
        more += [f"default: {', '.join(usual)}"] if any(usual) else []
        lines += [f"  {group:<12} {head}", *(f"  {'':<12} {line}" for line in more)]
    for group in command.detailed:
        told = (line for choice in choices.packaged()[group] for line in _choice(group, choice))
        lines += ["", f"{group}=, each choice with its own settings:", *told]
    lines += ["", "Settings (key=value):"]
    hidden = {*there, "recipe"}
    lines += [f"  {f'{name}={value}':<24} {says}".rstrip() for name, value, says in rows if name not in hidden]
    lines += [f"  {word:<36} {meaning}" for word, meaning in command.typed]
    return [*lines, ""] if command.notes else lines


def _choice(group: str, name: str) -> list[str]:
    """A choice's description, and its own settings."""
    first, rows = choices.described(f"{group}/{name}.yaml")
    rows = [row for row in rows if row[0] not in ("_target_", "n") and not row[1].startswith("${")]  # of another group
    own = [f"{group}.{key}={value}" for key, value, _ in rows]
    return [f"  {name:<12} {first}", *([f"  {'':<12} {' '.join(own)}"] if own else [])]
