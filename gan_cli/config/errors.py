"""What was probably meant: the nearest known words."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from gan_cli.errors import Refused, two_lines

ALL = "--cfg job shows all settings"
ConfigError = Refused  # the name that scripts catch: every refusal used to be one


def alternatives(word: str, known: Iterable[str], most: int = 3) -> list[str]:
    """Known words near `word`: by spelling, or by the last part of a dotted key."""
    known = list(known)
    tails: dict[str, list[str]] = {}
    for key in known:
        tails.setdefault(key.rsplit(".", 1)[-1], []).append(key)
    tail = word.rsplit(".", 1)[-1]
    exact = sorted(tails.get(tail, []), key=len)
    near = difflib.get_close_matches(word, known, n=most, cutoff=0.6)
    near_tails = [key for t in difflib.get_close_matches(tail, list(tails), n=most, cutoff=0.75) for key in tails[t]]
    ranked = list(dict.fromkeys([*exact, *near, *near_tails]))[:most]
    sure = bool(ranked) and difflib.SequenceMatcher(None, word, ranked[0]).ratio() > 0.9
    return ranked[:1] if sure else ranked


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """ "did you mean a, b?", or the empty string when nothing is near."""
    near = alternatives(word, known)
    return f"did you mean {', '.join(near)}?" if near else ""


def unknown_choice(group: str, choice: str, options: Sequence[str]) -> str:
    remedy = did_you_mean(choice, options)
    shown = f"choices: {', '.join(options)}"
    return two_lines(f"no {group} named '{choice}'", f"{remedy} {shown}".strip())


def not_global(group: str, choice: str | None) -> str:
    """The message for a file that lacks `@package _global_`, in a group whose files change settings anywhere."""
    what = f"{group}={choice}" if choice else f"the {group}"
    remedy = f"make '# @package _global_' the first line of its file, {group}/{choice or '...'}.yaml"
    return two_lines(f"{what} changes nothing: its settings are put under '{group}.'", remedy)
