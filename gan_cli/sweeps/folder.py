"""A sweep's folder: its jobs, what was typed, which jobs failed, and who is at it. It may be a stranger's."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gan_cli.config import own
from gan_cli.errors import NotARun, two_lines
from gan_cli.store.disk import naming, peek, remove_leftovers, write_json, write_text
from gan_cli.store.locks import alone_in
from gan_cli.store.run import Run

FORMAT = 1
NUMBER = re.compile(r"\d{1,9}(?=-|$)")  # how the name of a job's folder begins
LARGEST, MOST_FAILURES, LONGEST = 2**24, 10_000, 2000  # bytes of failures.jsonl, lines of it, characters of an error


@dataclass(frozen=True)
class Failure:
    """A job that was refused or failed."""

    job: int
    words: tuple[str, ...]
    error: str
    code: int  # 2 where it was refused, else 1

    @property
    def reason(self) -> str:
        return (self.error.splitlines() or ["it does not say why"])[0]

    @property
    def remedy(self) -> str:
        """What to do about it; empty where it does not say."""
        return self.error.partition("\n")[2].strip()


class Sweep:
    """The folder of a sweep."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.record = self.folder / "sweep.json"
        self.table = self.folder / "sweep.csv"
        self.failures = self.folder / "failures.jsonl"
        self.unwritten: list[Failure] = []  # those that the disk had no room for

    @classmethod
    def open(cls, word: str) -> Sweep:
        """A sweep that is there. Raises NotARun for any other folder."""
        if not os.path.isdir(word):  # False too for a name that no file can have
            raise NotARun(two_lines(f"{word} is not a folder", "give a sweep: outputs/sweeps/<sweep>"))
        if (Path(word) / "config.yaml").is_file():
            raise NotARun(two_lines(f"{word} is a run, not a sweep", f"gan train resume={word} continues a run"))
        sweep = cls(word)
        if not sweep.is_one():
            raise NotARun(two_lines(f"{word} is not a sweep", "give a sweep: outputs/sweeps/<sweep>"))
        return sweep

    def is_one(self) -> bool:
        """Whether there is a sweep in the folder."""
        if not self.folder.is_dir() or (self.folder / "config.yaml").is_file():
            return False
        return self.record.is_file() or self.failures.is_file() or bool(self.runs())

    def runs(self) -> list[Run]:
        """The runs of its jobs, in the order of their numbers; links are not followed."""
        found = (entry for entry in self.folder.iterdir() if not entry.is_symlink())
        jobs = [entry for entry in found if (entry / "config.yaml").is_file()]
        return [Run(job) for job in sorted(jobs, key=lambda job: (number_of(job), job.name))]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps other processes from running jobs here. A folder that it made and that stayed empty is removed.

        Raises:
            NotARun: Another process is at it.
            NotWritten: Nothing can be written here.
        """
        with alone_in(self.folder, "swept"):
            remove_leftovers(self.folder)
            yield

    def begin(self, words: Sequence[str], jobs: Sequence[Sequence[str]] | None) -> None:
        """Notes what was typed and what it comes to. Raises NotWritten."""
        plan = {"words": list(words), "where": os.getcwd()}
        write_json(self.record, {"format": FORMAT, **plan, "jobs": jobs})
        own.remember(_evidence(plan))

    def conclude(self, answer: dict[str, Any]) -> None:
        """Adds what it came to. Raises NotWritten."""
        there = self._read()
        kept = {key: there[key] for key in ("format", "words", "where", "jobs") if key in there}
        write_json(self.record, {**kept, **answer})

    def _read(self) -> dict[str, Any]:
        """sweep.json; empty where there is none."""
        try:
            found = json.loads(peek(self.record, LARGEST))
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def typed(self) -> list[str] | None:
        """The words that it began with; None where it does not say."""
        words = self._read().get("words")
        good = isinstance(words, list) and all(isinstance(word, str) and "\0" not in word for word in words)
        return words if good else None

    def jobs(self) -> list[list[str]] | None:
        """The words of each job; None where it does not say."""
        jobs = self._read().get("jobs")
        if not isinstance(jobs, list) or not all(isinstance(words, list) for words in jobs):
            return None
        return [[str(word) for word in words] for words in jobs]

    def where(self) -> str | None:
        """The folder in which it was typed."""
        where = self._read().get("where")
        return where if isinstance(where, str) else None

    def is_own(self) -> bool:
        """Whether these words were typed here."""
        return own.is_own(_evidence({"words": self.typed(), "where": self.where()}))

    def failed(self) -> list[Failure]:
        """The jobs that were refused or failed, each once, in the order of their numbers."""
        rows: dict[int, Failure] = {}
        for line in peek(self.failures, LARGEST).decode(errors="replace").splitlines()[:MOST_FAILURES]:
            found = _failure(line)
            if found is not None:
                rows[found.job] = found
        rows |= {failure.job: failure for failure in self.unwritten}
        return [rows[job] for job in sorted(rows)]

    def note(self, failure: Failure) -> None:
        """One line at the end of the file, whole even where several jobs write at once. Raises NotWritten."""
        cut = peek(self.failures, 1, end=True) not in (b"", b"\n")  # a full disk took only the start of the last one
        with naming(self.failures):
            self.folder.mkdir(parents=True, exist_ok=True)
            with self.failures.open("a", encoding="utf-8") as file:
                file.write("\n" * cut + json.dumps(asdict(failure)) + "\n")

    def forget(self, jobs: Collection[int]) -> None:
        """Takes jobs that are run again from the list of those that failed. Raises NotWritten."""
        failed = self.failed()
        kept = [failure for failure in failed if failure.job not in jobs]
        if len(kept) < len(failed):
            write_text(self.failures, "".join(json.dumps(asdict(failure)) + "\n" for failure in kept))


def number_of(folder: Path) -> float:
    """The number of the job in a folder; infinite where its name does not begin with one."""
    found = NUMBER.match(folder.name)
    return int(found[0]) if found else float("inf")


def _evidence(plan: dict[str, Any]) -> str:
    return f"sweep {json.dumps(plan, sort_keys=True)}"


def _failure(line: str) -> Failure | None:
    try:
        row = json.loads(line)
        if not isinstance(row, dict):
            return None
        words = row.get("words")
        listed = tuple(str(word)[:LONGEST] for word in words) if isinstance(words, list) else ()
        return Failure(int(row["job"]), listed, str(row.get("error", ""))[:LONGEST], int(row.get("code", 1)))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
