"""Shell completion: Hydra's, behind the sub-commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from gan_cli.cli import COMMANDS, DONE, WORDS, WRONG, run


def complete(words: Sequence[str]) -> int:
    """`gan completion SHELL` prints what to evaluate in the shell; `gan -sc query=SHELL` is what that calls."""
    shells = ("bash", "fish")
    asked = words[0] if words else ""
    if asked in shells:
        sys.argv = [sys.argv[0]]
        return run("train", ["-sc", f"install={asked}"])
    if not asked.startswith("query="):
        print(f"gan completion: name a shell\n  choices: {', '.join(shells)}", file=sys.stderr)
        return WRONG
    line = os.environ.get("COMP_LINE", "")
    typed = line.split()
    if len(typed) < 2 or (len(typed) == 2 and not line.endswith(" ")):
        start = typed[1] if len(typed) == 2 else ""
        print(" ".join(name for name in COMMANDS if name.startswith(start)))
        return DONE
    if typed[1] not in COMMANDS or typed[1] in WORDS:
        return DONE
    rest = f"{typed[0]} {line.split(typed[1], 1)[1].lstrip()}"
    os.environ.update(COMP_LINE=rest, COMP_POINT=str(len(rest)))
    return run(typed[1], ["-sc", asked])
