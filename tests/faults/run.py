"""Harm that is done to the program, and whether anything was lost: `python tests/faults/run.py [--part NAME] ...`.

Every case has its own folder and its own chance, seeded by --seed, its part and its name. A case that loses something
is shown with the command that repeats it, and its folder stays. The exit code is 1 then, and also where the name of an
exception came onto the screen.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ["OMP_NUM_THREADS"] = "1"  # several children at a time; set before torch starts its pool
import checkpoints
import disks
import kills
import runs
import signals
import small
from cases import Case, Outcome, carry_out
from child import ROOT, warm_up

from gan_cli.store.run import environment

PARTS = {"kills": kills, "disks": disks, "checkpoints": checkpoints, "small": small, "signals": signals}
_work: list[Callable[[], Outcome]] = []  # inherited by the processes that are forked for it; functions cannot be sent
RESULTS = ROOT / "benchmarks" / "results" / "faults.jsonl"


def main() -> int:
    asked = _asked()
    root = Path(tempfile.mkdtemp(prefix="gan-faults-"))
    (root / "shared").mkdir()
    parts = {name: part for name, part in PARTS.items() if asked.part in (None, name)}
    cases = [case for part in parts.values() for case in part.cases(asked.quick) if asked.case in case.name]
    warm_up()
    begin = time.monotonic()
    whole = [_reference(name) for name in dict.fromkeys(name for part in parts.values() for name in part.needs())]
    if any(outcome.lost for outcome in list(_carried_out(whole, asked, root))):
        return 1
    outcomes = list(_carried_out(cases, asked, root))
    rows = _table(outcomes, list(parts))
    print(f"{time.monotonic() - begin:.0f} seconds; lost: {sum(row['lost'] for row in rows)}", flush=True)
    bad = [outcome for outcome in outcomes if outcome.lost or outcome.shown]
    if not bad:
        shutil.rmtree(root, ignore_errors=True)
    if asked.part is None and not asked.quick and not asked.case:
        _keep(rows, time.monotonic() - begin)
    return 1 if bad else 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=PARTS, help="one part; else all")
    parser.add_argument("--case", default="", help="only cases with this in their names")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a few of each kind")
    parser.add_argument("--jobs", type=int, default=2, help="cases at a time")
    return parser.parse_args()


def _reference(name: str) -> Case:
    return Case("whole", name, lambda lab: runs.make(name, lab))


def _carried_out(cases: list[Case], asked: argparse.Namespace, root: Path) -> Iterable[Outcome]:
    """The cases' outcomes, told as they come."""
    _work[:] = [partial(carry_out, case, asked.seed, root) for case in cases]
    with multiprocessing.get_context("fork").Pool(asked.jobs) as pool:
        for outcome in pool.imap_unordered(_do, range(len(cases))):
            _tell(outcome, asked, root)
            yield outcome


def _do(number: int) -> Outcome:
    return _work[number]()


def _tell(outcome: Outcome, asked: argparse.Namespace, root: Path) -> None:
    part, name = outcome.case
    ended = "LOST" if outcome.lost else "NAME SHOWN" if outcome.shown else "survived"
    print(f"{ended:<10} {part}/{name}: {outcome.tried} tried, {outcome.seconds:.1f} s", flush=True)
    if ended != "survived":
        again = [sys.executable, *sys.argv[:1], "--part", part, "--case", name, "--seed", str(asked.seed)]
        print(f"  {shlex.join(again)}\n  {root / f'{part}-{name}'}")
        print("\n".join(f"  {line}" for text in (outcome.lost or "", *outcome.shown) for line in text.splitlines()))


def _table(outcomes: list[Outcome], parts: list[str]) -> list[dict]:
    """Prints and returns a row a part."""
    rows = []
    print(f"\n{'part':<14}{'cases':>7}{'tried':>7}{'survived':>10}{'lost':>6}{'names shown':>13}")
    for part in parts:
        mine = [outcome for outcome in outcomes if outcome.case[0] == part]
        tried, lost = sum(outcome.tried for outcome in mine), sum(outcome.lost is not None for outcome in mine)
        shown = sum(len(outcome.shown) for outcome in mine)
        rows.append({"part": part, "cases": len(mine), "tried": tried, "survived": tried - lost, "lost": lost})
        rows[-1] |= {"exception_names": shown}
        print(f"{part:<14}{len(mine):>7}{tried:>7}{tried - lost:>10}{lost:>6}{shown:>13}")
    return rows


def _keep(rows: list[dict], seconds: float) -> None:
    """The table as JSON lines, with the command and the machine."""
    found = environment()
    machine = {"cpu": found["hardware"]["cpu"], "cores": os.cpu_count(), "torch": found["versions"]["torch"]}
    command = shlex.join(["python", "tests/faults/run.py", *sys.argv[1:]])
    said = {"command": command, "seconds": round(seconds), "machine": machine, "git": found["git"]}
    RESULTS.write_text("".join(json.dumps({"benchmark": "faults", **row, **said}) + "\n" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
