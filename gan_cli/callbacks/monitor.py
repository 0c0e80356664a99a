"""From the rows of a run to findings: which alarms rang, and when.

The same rows give the same findings, so that a resumed run reports as if it had never stopped.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from gan_cli.callbacks import readings
from gan_cli.callbacks.alarms import Alarm, Series

READINGS = 3  # a change counts after at least this many readings


@dataclass(frozen=True)
class Finding:
    """An alarm that rang."""

    step: int
    name: str
    message: str
    remedy: str
    cleared: int | None = None  # the step at which the condition was found to be gone


@dataclass
class Watch:
    """One alarm over a run. It rings once its condition has held for `patience` steps, and clears once the condition
    has been absent for as long."""

    alarm: Alarm
    patience: int
    findings: list[Finding] = field(default_factory=list)
    held: bool = False
    since: int = 0  # the reading at which the condition last changed
    readings: int = 0  # since then

    @property
    def rings(self) -> bool:
        return bool(self.findings) and self.findings[-1].cleared is None

    def observe(self, step: int, series: Sequence[Series]) -> Finding | None:
        """What the newest numbers change: an alarm that rings, one that clears, or nothing."""
        holds = self.alarm.holds(*series)
        if holds != self.held or not self.readings:
            self.held, self.since, self.readings = holds, step, 0
        self.readings += 1
        sure = holds and self.alarm.at_once
        believed = sure or (self.readings >= READINGS and step - self.since >= self.patience)
        if holds == self.rings or not believed:
            return None
        if holds:
            message = self.alarm.message.format(*(values[-1] for values in series))
            self.findings.append(Finding(step, self.alarm.name, message, ", or ".join(self.alarm.remedies)))
        else:
            self.findings[-1] = replace(self.findings[-1], cleared=step)
        return self.findings[-1]


class Monitor:
    """Judges a run's numbers row by row.

    Args:
        alarms: What to watch for.
        patience: Steps a condition must hold before its alarm rings, and be absent before it clears.
    """

    def __init__(self, alarms: Sequence[Alarm], patience: int) -> None:
        self.watches = [Watch(alarm, patience) for alarm in alarms]
        self.series: defaultdict[str, list[float]] = defaultdict(list)
        self.steps: defaultdict[str, list[int]] = defaultdict(list)

    def observe(self, row: Mapping[str, float]) -> list[Finding]:
        """The changes; see `Watch.observe`."""
        step = int(row["step"])
        for name in row.keys() & readings.ALL:
            self.series[name].append(row[name])
            self.steps[name].append(step)
        known = [watch for watch in self.watches if all(self.series[name] for name in watch.alarm.reads)]
        concerned = [watch for watch in known if watch.alarm.reads[-1] in row]
        changes = (watch.observe(step, [self.series[name] for name in watch.alarm.reads]) for watch in concerned)
        return [change for change in changes if change is not None]

    def rings(self, name: str) -> bool:
        """Whether an alarm rings now."""
        return any(watch.rings for watch in self.watches if watch.alarm.name == name)

    @property
    def findings(self) -> list[Finding]:
        """All alarms that rang, in order."""
        return sorted((f for watch in self.watches for f in watch.findings), key=lambda f: f.step)
