"""gan show: one run on a page of text."""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gan_cli import console
from gan_cli.commands import runs
from gan_cli.config import own, plain
from gan_cli.store import outputs, summary
from gan_cli.store.run import Run, newest_first
from gan_cli.store.summary import Score, Summary

log = logging.getLogger(__name__)

LONG, MANY = 2**24, 12  # bytes of metrics.jsonl that are read; entries of a list that are shown
CLOCK = ("step", "images", "seconds")


def main(words: Sequence[str]) -> None:
    """The command line: `words` after `gan show`."""
    asked = plain.answering(words)
    run = Run.open(plain.one_run(asked.plain, "show"))
    if asked.json is not None:
        outputs.answer(asked.json, record(run))
        return
    for title, lines in page(run):
        for i, line in enumerate(lines):
            log.info("%-12s %s", "" if i else title, console.one_line(line))


def record(run: Run) -> dict[str, Any]:
    """The same for programs: what the files of the run say, which may be anybody's."""
    about = summary.of(str(run.folder))
    manifest, result = summary.read(str(run.manifest)), summary.read(str(run.result))
    best = about.best or summary.latest(about.folder, run.config.read_text(errors="replace"), LONG)[1]
    return {
        **runs.record(replace(about, best=best)),
        **{key: manifest.get(key) for key in ("command", "resumed", "overrides", "data", "parameters", "versions")},
        **{key: result.get(key) for key in ("images", "seconds", "images_per_second", "last", "alarms", "error")},
        "next": _next(run, about, manifest),
    }


def page(run: Run) -> Iterator[tuple[str, list[str]]]:
    """Titles, and the lines beside each."""
    about = summary.of(str(run.folder))
    manifest, result = summary.read(str(run.manifest)), summary.read(str(run.result))
    yield "run", [str(run.folder)]
    yield "status", [f"imported, at step {about.step or 0}"] if run.imported() else _status(about, result)
    yield "tags", _few([*about.tags])
    yield "command", [_word(manifest.get("command"), "not recorded")]
    yield "resumed", [_word(session.get("command")) for session in _dicts(manifest.get("resumed"))]
    yield "began", [_word(manifest.get("start"), "not recorded")]
    yield "settings", _few([_word(word) for word in _list(manifest.get("overrides"))]) or ["the defaults"]
    yield "origin", _origin(manifest)
    yield "data", [_data(manifest, about)]
    yield "parameters", _few([f"{_word(k)} {v:,}" for k, v in _dict(manifest.get("parameters")).items() if _whole(v)])
    yield "best", [_best(about.best or summary.latest(about.folder, run.config.read_text(errors="replace"), LONG)[1])]
    yield "last", _last(run, result)
    yield "alarms", _alarms(result)
    yield "files", _files(run)
    yield "next", _next(run, about, manifest)


def _status(about: Summary, result: Mapping[str, Any]) -> list[str]:
    """How far it is, and why it failed."""
    lines = [f"{about.status} at step {about.step or 0} of {about.steps or '?'}"]
    if about.status == "stopped" and not result:
        lines[0] += "; it was killed, and left no result"
    if isinstance(speed := result.get("images_per_second"), float):
        lines[0] += f", {speed:,.1f} images/s"
    if about.status == "failed":
        lines += [line.strip()[:300] for line in _word(result.get("error")).splitlines()[:2]]
    return lines


def _origin(manifest: Mapping[str, Any]) -> list[str]:
    """Whose weights these are, where they were imported."""
    origin = _dict(manifest.get("origin"))
    files = [f"{_word(f.get('name'))} (sha256 {_word(f.get('sha256'))[:12]})" for f in _dicts(origin.get("files"))]
    return (
        [f"{_word(origin.get('family'))}, discriminator {_word(origin.get('discriminator'))}", *files] if files else []
    )


def _data(manifest: Mapping[str, Any], about: Summary) -> str:
    data = _dict(manifest.get("data"))
    shape = " x ".join(str(n) for n in _list(data.get("shape"))[:4] if _whole(n))
    parts = [about.chosen.get("dataset", ""), f"{data['samples']} samples" if _whole(data.get("samples")) else ""]
    parts += [shape, f"sha256 {_word(data.get('sha256'))[:12]}" if data.get("sha256") else ""]
    names = [_word(name) for name in _list(data.get("class_names"))]
    parts += [f"classes {', '.join(names[:MANY])}{' ...' if len(names) > MANY else ''}"] if names else []
    return ", ".join(part for part in parts if part) or "not recorded"


def _best(best: Score | None) -> str:
    if best is None:
        return "nothing was measured; evaluation.every_steps=500 measures while training"
    return f"{best.metric} {best.value:.5g} at step {'?' if best.step is None else best.step}"


def _last(run: Run, result: Mapping[str, Any]) -> list[str]:
    """The latest numbers."""
    last = _dict(result.get("last"))
    found = [f"{_word(k)} {v:.4g}" for k, v in last.items() if k not in CLOCK and _number(v)]
    return _few(found) or [f"none yet; gan logs {_typed(run)}"]


def _alarms(result: Mapping[str, Any]) -> list[str]:
    found = []
    for alarm in _dicts(result.get("alarms")):
        until = f"-{alarm['cleared']}" if _whole(alarm.get("cleared")) else ""
        found.append(
            f"step {alarm.get('step')}{until}: {_word(alarm.get('message'))}; try {_word(alarm.get('remedy'))}"
        )
    return found[:MANY] or ["none rang" if result else "see train.log"]


def _files(run: Run) -> list[str]:
    """What is in the folder, with its size."""
    with os.scandir(run.folder) as entries:
        found = sorted((e.name, summary.size_of([e]), e.is_dir(follow_symlinks=False)) for e in entries)
    return [f"{name}{'/' * folder} {console.size(count)}" for name, count, folder in found if not name.startswith(".")]


def _next(run: Run, about: Summary, manifest: Mapping[str, Any]) -> list[str]:
    """Commands to type."""
    typed, vouched = _typed(run), own.vouched(run)
    if about.status == "running":
        return [f"gan logs -f {typed}", f"gan stop {typed}"]
    again = [f"gan train repeat={typed} seed=1{vouched}"]
    if run.imported():
        again = [f"gan train repeat={typed} init_from={typed} dataset.root=FOLDER"]
        return [f"gan sample {typed} n=64", f"gan eval {typed} reference=FOLDER", *again]
    if not newest_first(run.checkpoints):
        return again
    given = summary.setting(run.config.read_text(errors="replace"), "dataset.given")
    wanted = "n=64" if given in (None, "null") else "source=FOLDER out=FOLDER"
    more = f" trainer.max_steps={2 * (about.step or 1)}" if about.status in ("finished", "diverged") else ""
    uses = [f"gan sample {typed} {wanted}{vouched}", f"gan eval {typed}{vouched}"]
    return [*uses, f"gan train resume={typed}{more}{vouched}", *again]


def _typed(run: Run) -> str:
    return shlex.quote(str(run.folder))


def _few(words: Sequence[str]) -> list[str]:
    """Several to a line."""
    lines: list[str] = []
    for word in words[: 4 * MANY]:
        if lines and len(lines[-1]) + len(word) < 100:
            lines[-1] += f"  {word}"
        else:
            lines.append(word)
    return lines


def _word(value: Any, otherwise: str = "") -> str:
    return value[:1000] if isinstance(value, str) else otherwise


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _number(value: Any) -> bool:
    return _whole(value) or isinstance(value, float)


def _list(value: Any) -> list[Any]:
    return value[:1000] if isinstance(value, list) else []


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in _list(value) if isinstance(entry, dict)]
