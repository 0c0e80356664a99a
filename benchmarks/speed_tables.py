"""The tables of docs/performance.md, from the lines of results/speed.jsonl."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS, PAGE = HERE / "results" / "speed.jsonl", HERE.parent / "docs" / "performance.md"
BEGIN, END = "<!-- measured -->\n", "\n<!-- end -->"
TUTORIAL = "tutorial, fakes once"  # whose figures stand in brackets

Line = Mapping[str, Any]


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def head(*cells: str) -> list[str]:
    return [row(*cells), row(*["---"] * len(cells))]


def steps(lines: Sequence[Line]) -> list[str]:
    """A row for each of our loops."""
    rows = head("work", "ms a step", "x tutorial", "x, fakes twice", "GFLOP a step", "share of GEMM", "MiB")
    for line in lines:
        theirs = line["loops"][TUTORIAL]
        for loop, ours in line["loops"].items():
            if "ratios" in ours:
                once, twice = (f"{ratio:.2f}" for ratio in ours["ratios"].values())
                figures = [
                    f"{ours[key]:{figure}} ({theirs[key]:{figure}})"
                    for key, figure in (("gflop", ".3g"), ("share", ".0%"), ("mib", ".3g"))
                ]
                work = line["pair"] + (f", `{loop}`" if loop != "ours" else "")
                rows.append(row(work, f"{1000 * ours['seconds']:.3g}", once, twice, *figures))
    return rows


def callbacks(lines: Sequence[Line]) -> list[str]:
    """A row for each run, of shares of a step; nothing where there is no run."""
    if not lines:
        return []
    rows = [row(line["pair"], *(f"{share:.2%}" for share in line["shares"].values())) for line in lines]
    return [*head("callbacks, of a step", *lines[0]["shares"]), *rows]


def newest(lines: Sequence[Line], benchmark: str) -> dict[str, list[Line]]:
    """The last line of each pair, by the machine it was measured on."""
    found: dict[str, dict[str, Line]] = {}
    for line in lines:
        if line["benchmark"] == benchmark:
            machine = line["machine"]
            threads = f"{machine['threads']} thread{'s' if machine['threads'] != 1 else ''}"
            cpu = ", ".join([machine["cpu"], *([machine["instructions"]] if "instructions" in machine else [])])
            where = cpu if line["device"] == "cpu" else line["device"]
            found.setdefault(f"{where}, {threads}, torch {machine['torch']}", {})[line["pair"]] = line
    return {where: list(by_pair.values()) for where, by_pair in found.items()}


def page(before: str, lines: Sequence[Line]) -> str:
    """The page with what stands between its two marks replaced."""
    again = newest(lines, "callbacks")
    parts = [
        "\n".join([f"{where}:", "", *steps(of), "", *callbacks(again.get(where, []))]).rstrip()
        for where, of in newest(lines, "speed").items()
    ]
    above, _, rest = before.partition(BEGIN)
    return above + BEGIN + "\n\n".join(parts) + END + rest.partition(END)[2]


def results() -> list[Line]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()]


def write() -> None:
    PAGE.write_text(page(PAGE.read_text(), results()))
