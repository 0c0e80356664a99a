"""What a run came to, at a glance: a thousand run folders in a fraction of a second, whoever wrote them.

Nothing here follows a link, reads much of a file or fails: what cannot be read is left out.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gan_cli.store import literal
from gan_cli.store.disk import peek
from gan_cli.store.locks import holder
from gan_cli.store.rows import LAST_STEP, row

STATUSES = ("running", "stopped", "finished", "failed", "diverged")
DISK_FULL = "disk_full"  # in result.json: that a run failed for want of space alone
MARKS = frozenset({"manifest.json", "result.json", "metrics.jsonl", "checkpoints", "train.log", ".lock"})
HOME = "outputs"  # where runs are, unless told
DEEP = 4  # levels of folders below one that is searched: outputs/sweeps/<sweep>/<job>, and some more
FORMAT = 0o170000  # the bits of a file's mode that say what it is: `stat.S_ISREG` is slower
LATEST = 2**37  # seconds since the epoch: before the year 6000
ENTRIES = 100_000  # files that are counted in a run
LARGEST, TAIL, LONGEST = 2**20, 2**15, 200  # bytes of a JSON file, bytes of metrics.jsonl, characters of a word
# The values that can be watched while training, and which way they improve: as their metrics, which import torch, say.
BETTER = {
    **dict.fromkeys(("kid", "fid", "fid_debiased", "w2", "lpips", "lpips_vgg", "cycle_error", "mode_kl"), "smaller"),
    **dict.fromkeys(("precision", "recall", "density", "coverage", "modes"), "larger"),
    **dict.fromkeys(("inception_score", "classifier_score", "psnr", "ssim", "psnr_gain"), "larger"),
}


@dataclass(frozen=True)
class Score:
    """A measurement taken while training."""

    metric: str
    value: float
    step: int | None
    better: str

    @property
    def cost(self) -> float:
        return -self.value if self.better == "larger" else self.value


@dataclass(frozen=True)
class Summary:
    """One run, as a list shows it."""

    folder: str  # as it can be typed
    status: str  # one of STATUSES; a run that was killed counts as stopped
    step: int | None
    steps: int | None  # trainer.max_steps
    best: Score | None  # where there is no result yet, the best of the latest lines
    bytes: int
    begun: float  # seconds since the epoch
    chosen: Mapping[str, str]  # group or setting -> value: the choices made, and what was typed
    tags: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return os.path.basename(os.path.abspath(self.folder))


def find(folders: Iterable[str]) -> Iterator[Summary]:
    """The runs in and below these folders, each once."""
    return (_summary(folder, entries) for folder, entries in _runs(folders))


def newest(folders: Iterable[str], most: int, alive: bool = False) -> list[str]:
    """The folders of the newest runs in and below these, the newest first, by the time at which each began or was
    resumed; nothing of them is read. Where `alive`, only those that are running."""
    found = [
        (_changed(entries["config.yaml"]), folder)
        for folder, entries in _runs(folders)
        if not alive or _is_running(folder, entries)
    ]
    return [folder for _, folder in sorted(found, reverse=True)[:most]]


def _changed(entry: os.DirEntry[str]) -> float:
    try:
        return entry.stat(follow_symlinks=False).st_mtime
    except OSError:
        return 0.0


def _runs(folders: Iterable[str]) -> Iterator[tuple[str, dict[str, os.DirEntry[str]]]]:
    """The folders of runs and what is in them, each once."""
    seen: set[tuple[int, int]] = set()
    waiting = [(folder, 0) for folder in folders]
    while waiting:
        folder, depth = waiting.pop()
        try:
            about, entries = os.stat(folder), _entries(folder)
        except OSError:
            continue
        if (about.st_dev, about.st_ino) in seen:
            continue
        seen.add((about.st_dev, about.st_ino))
        if is_run(entries):
            yield folder, entries
        elif depth < DEEP:
            waiting += [(e.path, depth + 1) for e in entries.values() if _is_folder(e) and not e.name.startswith(".")]


def of(folder: str) -> Summary:
    """The summary of one run. Raises OSError for what is no folder."""
    return _summary(folder, _entries(folder))


def is_run(names: Iterable[str]) -> bool:
    """Whether a folder with these entries is a run's."""
    names = {*names}
    return "config.yaml" in names and not MARKS.isdisjoint(names)


def read(path: str) -> dict[str, Any]:
    """A JSON object of a run; empty for anything else, and for a link."""
    try:
        found = json.loads(peek(path, LARGEST))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def latest(folder: str, config: str, most: int = TAIL) -> tuple[int | None, Score | None]:
    """The last step in this many bytes at the end of metrics.jsonl, and the best measurement, if the config says that
    there are any. Few lines are parsed: the last one, and those with measurements."""
    lines = peek(os.path.join(folder, "metrics.jsonl"), most, end=True).decode(errors="replace").splitlines()
    step = next((found["step"] for line in reversed(lines) if (found := row(line)) is not None), None)
    watched, n = setting(config, "evaluation.metric") or "", setting(config, "evaluation.n") or ""
    if watched not in BETTER or not n.isdigit():
        return step, None
    short = f"f(?:i)?d{watched[3:]}" if watched.startswith("fid") else watched  # `full_name` of gan_cli.metrics.measure
    named = re.compile(rf"{short}(_.+)?_{n}")
    measured = [found for line in lines if f'_{n}":' in line and (found := row(line)) is not None]
    scores = [
        Score(name[:LONGEST], float(value), found["step"], BETTER[watched])
        for found in measured
        for name, value in found.items()
        if named.fullmatch(name)
    ]
    return step, min(scores, key=lambda score: score.cost, default=None)


def setting(config: str, key: str) -> str | None:
    """A setting as the text of a config.yaml, which `gan train` wrote, has it; found without the time of a parser."""
    found = _block(config, key)
    return None if found is None else found.strip()[:LONGEST]


def tags(config: str) -> tuple[str, ...]:
    """`tags` of a config.yaml; none for anything but a list of text."""
    written = (_block(config, "tags") or "").strip()
    if written in ("", "[]") or len(written) > TAIL:
        return ()
    import yaml  # few runs have any

    try:
        found = yaml.safe_load(written)
    except (yaml.YAMLError, ValueError, RecursionError):
        return ()
    texts = [literal.unescaped(tag) for tag in found if isinstance(tag, str)] if isinstance(found, list) else []
    return tuple(text[:LONGEST] for text in texts)


def _block(config: str, key: str) -> str | None:
    """What stands after a setting's colon in the text of a config.yaml, with the lines below it."""
    block = f"\n{config}"
    for depth, part in enumerate(key.split(".")):
        start = re.search(rf"\n {{{2 * depth}}}'?{re.escape(part)}'?:", block)
        if start is None:
            return None
        block = block[start.end() :]
        end = re.search(rf"\n {{0,{2 * depth}}}[^\s-]", block)
        block = block[: end.start()] if end else block
    return block


def size_of(entries: Iterable[os.DirEntry[str]]) -> int:
    """Bytes of these files and folders; two names of one file count once, a link for nothing."""
    total, count = 0, 0
    linked: set[tuple[int, int]] = set()
    waiting = [*entries]
    while waiting and count < ENTRIES:
        entry = waiting.pop()
        count += 1
        try:
            if entry.is_dir(follow_symlinks=False):
                with os.scandir(entry.path) as found:
                    waiting += found
                continue
            about = entry.stat(follow_symlinks=False)
        except OSError:
            continue
        if about.st_nlink > 1:  # counted under the first of its names
            key = (about.st_dev, about.st_ino)
            if key in linked:
                continue
            linked.add(key)
        if about.st_mode & FORMAT == stat.S_IFREG:
            total += about.st_size
    return total


def _entries(folder: str) -> dict[str, os.DirEntry[str]]:
    with os.scandir(folder) as found:
        return {entry.name: entry for entry in found}


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _is_running(folder: str, entries: Iterable[str]) -> bool:
    return ".lock" in entries and holder(f"{folder}/.lock") is not None


def _summary(folder: str, entries: Mapping[str, os.DirEntry[str]]) -> Summary:
    def path(name: str) -> str:
        return f"{folder}/{name}"

    result = read(path("result.json")) if "result.json" in entries else {}
    manifest = read(path("manifest.json")) if "manifest.json" in entries else {}
    config = peek(path("config.yaml"), LARGEST).decode(errors="replace")
    ended = result.get("status") if result.get("status") in STATUSES[1:] else "stopped"
    step, best = _count(result.get("step")), _score(result.get("best"))
    if step is None and "metrics.jsonl" in entries:
        step, best = latest(folder, config)
    return Summary(
        folder,
        "running" if _is_running(folder, entries) else str(ended),
        step,
        _count(setting(config, "trainer.max_steps")),
        best,
        size_of(entries.values()),
        _begun(manifest, entries.get("config.yaml")),
        _chosen(manifest),
        tags(config),
    )


def _count(value: Any) -> int | None:
    if isinstance(value, str):
        value = int(value) if value.isascii() and value.isdigit() and len(value) < 20 else None
    good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LAST_STEP
    return value if good else None


def _score(found: Any) -> Score | None:
    """`best` of a result.json."""
    if not isinstance(found, dict) or not isinstance(found.get("metric"), str):
        return None
    value = found.get("value")
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < math.inf:
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    better = "larger" if found.get("better") == "larger" else "smaller"
    return Score(found["metric"][:LONGEST], number, _count(found.get("step")), better)


def _begun(manifest: Mapping[str, Any], config: os.DirEntry[str] | None) -> float:
    try:
        told = datetime.fromisoformat(manifest["start"]).timestamp()
        if 0 <= told < LATEST:
            return told
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        pass
    try:
        return config.stat(follow_symlinks=False).st_mtime if config else 0.0
    except OSError:
        return 0.0


def choices(manifest: Mapping[str, Any]) -> dict[str, str | None]:
    """Group -> choice, of a manifest that may be anybody's; empty where it does not say."""
    found = manifest.get("choices")
    if not isinstance(found, dict) or not all(isinstance(value, str | None) for value in found.values()):
        return {}
    return found


def _chosen(manifest: Mapping[str, Any]) -> dict[str, str]:
    """What was chosen and typed, as words."""
    choices, typed = manifest.get("choices"), manifest.get("overrides")
    found = {"seed": str(manifest["seed"])[:LONGEST]} if isinstance(manifest.get("seed"), int) else {}
    for key, value in choices.items() if isinstance(choices, dict) else ():
        if isinstance(value, str):
            found[key[:LONGEST]] = value[:LONGEST]
    for word in typed if isinstance(typed, list) else ():
        key, equals, value = word.partition("=") if isinstance(word, str) else ("", "", "")
        if equals and key not in found:
            found[key.lstrip("+")[:LONGEST]] = value[:LONGEST]
    return found


def configured(folder: str, key: str) -> str | None:
    """A setting in a run's config.yaml, as it is written there; None where it has no such setting, or a part's own."""
    found = setting(peek(os.path.join(folder, "config.yaml"), LARGEST).decode(errors="replace"), key)
    return None if found is None or "\n" in found else found
