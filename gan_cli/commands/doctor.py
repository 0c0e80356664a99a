"""gan doctor: what this machine has, what is missing, and where it would have to be."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gan_cli import __version__, console
from gan_cli.config import plain
from gan_cli.errors import ConfigError, RunFailed, two_lines
from gan_cli.progress import about
from gan_cli.store import caches, machine, outputs, packages

log = logging.getLogger(__name__)

LITTLE = 10**9  # bytes on a disk that a run may soon need
SHOWN = ("torch", "torchvision", "hydra-core", "omegaconf", "numpy")


@dataclass
class Finding:
    """What was found out about one thing."""

    lines: list[str]
    facts: Any  # the same, for programs
    problems: list[str] = field(default_factory=list)  # that keep commands from working


def main(words: Sequence[str]) -> None:
    """The command line: `words` after `gan doctor`."""
    asked = plain.answering(words)
    if asked.plain:
        raise ConfigError(two_lines(f"cannot read '{asked.plain[0]}'", "gan doctor looks at this machine, not at runs"))
    found: dict[str, Finding] = {}
    for title, look in SECTIONS.items():
        found[title] = _looked(title, look)
        if asked.json is None:
            for i, line in enumerate(found[title].lines):
                log.info("%-10s %s", "" if i else title, console.one_line(line))
    problems = [problem for finding in found.values() for problem in finding.problems]
    if asked.json is not None:
        outputs.answer(asked.json, {**{title: f.facts for title, f in found.items()}, "problems": problems})
    if problems:
        raise RunFailed(two_lines(f"something is broken: {problems[0]}", "; ".join(problems[1:])))
    if asked.json is None:
        log.info("nothing that gan needs is broken")


def _looked(title: str, look: Callable[[], Finding]) -> Finding:
    """Whatever fails while it is looked at is a finding, too: the other things are still worth knowing."""
    try:
        return look()
    except Exception as error:
        log.debug("%s cannot be looked at", title, exc_info=True)
        what = f"{title} cannot be found out: {type(error).__name__}: {error}".splitlines()[0]
        return Finding([what], None, [what])


def _versions() -> Finding:
    versions = {"gan-cli": __version__, "python": platform.python_version()}
    versions |= {name: packages.version(name) or "not installed" for name in SHOWN}
    problems = [
        f"{need.requirement.name} is {need.version or 'not installed'}, and gan needs {need.requirement.specifier}"
        for need in packages.needs()
        if not need.met
    ]
    line = "  ".join(f"{name} {version}" for name, version in versions.items())
    return Finding([line, *problems], versions, problems)


def _machine() -> Finding:
    import torch

    name, count, threads, memory = machine.processor(), machine.cores(), torch.get_num_threads(), machine.memory()
    facts: dict[str, Any] = {"processor": name, "cores": count, "threads": threads, "memory": None}
    line = f"{name}, {count} core{'s' if count > 1 else ''}, {threads} thread{'s' if threads > 1 else ''}"
    line += " (OMP_NUM_THREADS=N sets how many)" if threads != count else ""
    if memory is not None:
        facts["memory"] = memory._asdict()
        free = "" if memory.free is None else f", {console.size(memory.free)} free"
        line += f"; memory {console.size(memory.total)}{free}"
    return Finding([line], facts)


def _devices() -> Finding:
    import torch

    from gan_cli.training.runtime import pick_device

    native = machine.multiplies_bfloat16()
    known: list[dict[str, Any]] = [{"device": "cpu", "name": machine.processor(), "bfloat16": native}]
    for i in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(i)
        native = torch.cuda.get_device_capability(i) >= (8, 0)
        name = torch.cuda.get_device_name(i)
        known.append({"device": f"cuda:{i}", "name": name, "bfloat16": native, "memory": total, "free": free})
    if torch.backends.mps.is_available():
        known.append({"device": "mps", "name": "Apple", "bfloat16": None})
    chosen = str(pick_device("auto"))
    hints = {
        True: "computes in bfloat16: trainer.precision=bfloat16 may be faster",
        False: "has no bfloat16 of its own: keep trainer.precision=float32",
        None: "does not say whether it computes in bfloat16",
    }
    lines = [f"device=auto is {chosen}"]
    for row in known:
        room = f", {console.size(row['memory'])}, {console.size(row['free'])} free" if "memory" in row else ""
        lines.append(f"{row['device']}: {row['name']}{room}; {hints[row['bfloat16']]}")
    return Finding(lines, {"auto": chosen, "devices": known})


def _weights() -> Finding:
    from gan_cli.metrics.shelf import WANTED

    lines, facts, problems = [], [], []
    for wanted in WANTED:
        sound = wanted.sound() if wanted.found else None
        facts.append({"file": wanted.file, "serves": wanted.serves, "path": str(wanted.path), "found": wanted.found})
        facts[-1]["sound"] = sound
        named = f", or name it with ${wanted.environment}" if wanted.environment else ""
        if sound is None:
            lines.append(f"{wanted.serves}: no {wanted.file}; put it into {wanted.kept.parent}{named}")
        elif sound:
            lines.append(f"{wanted.serves}: {wanted.path}")
        else:
            problems.append(f"{wanted.path} is damaged: its sha256 is not that of {wanted.file}; fetch it again")
    return Finding([*lines, *problems], facts, problems)


def _caches() -> Finding:
    lines, facts = [], {}
    for name, cache in caches.CACHES.items():
        found = caches.content(cache)
        facts[name] = {"folder": str(found.folder), "entries": found.entries, "bytes": found.bytes}
        lines.append(f"{name}: {console.size(found.bytes)} in {found.folder}")
    lines.append("gan cache clear removes them")
    return Finding(lines, facts)


def _disk() -> Finding:
    """Room where runs, caches and downloads go."""
    places = {"outputs": Path("outputs"), "cache": caches.home(), "data": caches.data_home()}
    lines, facts, problems = [], {}, []
    for name, folder in places.items():
        room = machine.room(folder)
        facts[name] = {"folder": str(folder.absolute()), "free": room.free, "writable": room.writable}
        lines.append(f"{name}: {console.size(room.free)} free at {folder.absolute()}")
        if not room.writable:
            problems.append(f"{room.place} cannot be written to, and {name} would be there")
        elif room.free < LITTLE:
            problems.append(f"only {console.size(room.free)} are free at {room.place}, where {name} would be")
    return Finding([*lines, *problems], facts, problems)


def _extras() -> Finding:
    lines, facts = [], {}
    for name, needs in packages.extras().items():
        lacking = [need.requirement.name for need in needs if not need.met]
        facts[name] = {"installed": not lacking, "lacking": lacking}
        how = f"pip install '{packages.OWN}[{name}]' (lacks {', '.join(lacking)})" if lacking else "installed"
        lines.append(f"{name}: {how}")
    return Finding(lines or ["not installed as a package: extras cannot be told"], facts)


def _speed() -> Finding:
    from gan_cli.runs import probe
    from gan_cli.training.runtime import pick_device, prepare_process

    prepare_process()
    device = pick_device("auto")
    flops, rate = probe.matmul(device), probe.steps(device)
    usual = 5000
    line = f"{flops / 1e9:,.0f} GFLOP/s in float32 on {device}; gan train as it stands takes {rate:.3g} steps/s, "
    line += f"{about(usual / rate)} for {usual} steps"
    return Finding([line], {"device": str(device), "flops": flops, "steps_per_second": rate})


SECTIONS: Mapping[str, Callable[[], Finding]] = {
    "versions": _versions,
    "machine": _machine,
    "devices": _devices,
    "weights": _weights,
    "caches": _caches,
    "disk": _disk,
    "extras": _extras,
    "speed": _speed,
}
