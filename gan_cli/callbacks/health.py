"""Health: measures what losses do not show, and says in plain words what is wrong and what may help."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor, nn

from gan_cli import pictures
from gan_cli.callbacks import Callback, Session, readings
from gan_cli.callbacks.alarms import COLLAPSED, alarms
from gan_cli.callbacks.monitor import Finding, Monitor
from gan_cli.callbacks.plots import line
from gan_cli.data.given import grey
from gan_cli.store.rows import DRAWN, read_rows
from gan_cli.store.run import Run
from gan_cli.types import Need, PositiveInt

log = logging.getLogger(__name__)


def moments(samples: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and √tr Cov of samples `[N, ...]`; the root mean square distance of two samples is √2 times the latter."""
    variance, mean = torch.var_mean(samples.flatten(1).float(), 0)
    return mean, variance.sum().sqrt()


def compare(samples: Tensor, real: Tensor) -> dict[str, float]:
    """Samples compared with real ones, both `[N, ...]`, as isotropic Gaussians with their mean μ and variance
    σ² = tr Cov: the diversity σ/σ' and the Fréchet distance √(‖μ - μ'‖² + (σ - σ')²) / σ'."""
    (mean, spread), (real_mean, real_spread) = moments(samples), moments(real)
    unit = real_spread.clamp_min(1e-12)
    distance = torch.hypot((mean - real_mean).norm(), spread - real_spread)
    diversity, distance = torch.stack([spread / unit, distance / unit]).tolist()
    return {readings.DIVERSITY: diversity, readings.DISTANCE: distance}


def beside_sources(samples: Tensor, sources: Tensor, real: Tensor | None) -> dict[str, float]:
    """Results `[N, C, H, W]` against what they were drawn from, in [-1, 1].

    The likeness is the mean correlation of brightness; where each source has its own real image, it counts as they are
    alike or opposed. The change is the mean distance, where both have one shape.
    """

    def bright(images: Tensor) -> Tensor:
        values = F.interpolate(grey(images.float()), samples.shape[-2:], mode="nearest").flatten(1)
        values = values - values.mean(1, keepdim=True)
        return values / values.norm(dim=1, keepdim=True).clamp_min(1e-6)

    likeness = (bright(samples) * bright(sources)).sum(1).mean()
    if real is not None:
        likeness = likeness * (bright(real) * bright(sources)).sum(1).mean().sign()
    found = {readings.LIKENESS: float(likeness)}
    if samples.shape == sources.shape:
        found[readings.CHANGE] = float((samples - sources).abs().mean() / 2)
    return found


def gradient_norms(players: Mapping[str, nn.Module]) -> dict[str, float]:
    """The norm of each player's gradient in its last update, which the trainer keeps until the next one."""
    left = {name: [p.grad for p in player.parameters() if p.grad is not None] for name, player in players.items()}
    norms = {name: torch.stack(torch._foreach_norm(grads)).norm() for name, grads in left.items() if grads}
    return dict(zip(norms, torch.stack(list(norms.values())).tolist(), strict=True)) if norms else {}


def weight_sizes(players: Mapping[str, nn.Module]) -> dict[str, float]:
    """The root mean square of each player's weights."""
    weights = {name: [p.detach().float() for p in player.parameters()] for name, player in players.items()}
    sizes = [
        torch.stack(torch._foreach_norm(tensors)).norm() / sum(t.numel() for t in tensors) ** 0.5
        for tensors in weights.values()
    ]
    return {f"health/{name}_weights": size for name, size in zip(weights, torch.stack(sizes).tolist(), strict=True)}


@pictures.freed
def plot(monitor: Monitor, path: Path) -> None:
    """Scores, gradient norms and diversity over steps; below them, when each alarm rang."""
    panels = {
        "D(x)": (readings.REAL, readings.FAKE),
        "gradient norm": (readings.GENERATOR_GRADIENT, readings.DISCRIMINATOR_GRADIENT),
        "samples against data": (readings.DIVERSITY, readings.DISTANCE),
    }
    figure = pictures.new_figure(8, 9)
    *above, below = figure.subplots(4, 1, sharex=True, height_ratios=[3, 3, 3, 2])
    for axes, (title, names) in zip(above, panels.items(), strict=True):
        for name in names:
            line(axes, name, monitor.steps[name], monitor.series[name])
        axes.set_ylabel(title)
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small", loc="best")
    if all(0 <= score <= 1 for name in (readings.REAL, readings.FAKE) for score in monitor.series[name]):
        above[0].set_ylim(-0.02, 1.02)
    if any(0 < norm <= DRAWN for name in panels["gradient norm"] for norm in monitor.series[name]):
        above[1].set_yscale("log", nonpositive="clip")
    above[2].axhline(COLLAPSED, color="tab:red", linewidth=0.8, linestyle="--")
    above[2].set_ylim(bottom=0)
    _plot_alarms(below, above, monitor)
    pictures.save_figure(figure, path)


def _plot_alarms(axes: Any, above: Iterable[Any], monitor: Monitor) -> None:
    """A bar for the time that an alarm rang, shaded in the panels above."""
    end = max(steps[-1] for steps in monitor.steps.values() if steps)
    found = monitor.findings
    names = list(dict.fromkeys(finding.name for finding in found))
    for finding in found:
        until = end if finding.cleared is None else finding.cleared
        axes.barh(names.index(finding.name), until - finding.step, left=finding.step, height=0.6, color="tab:red")
        for panel in above:
            panel.axvspan(finding.step, until, color="tab:red", alpha=0.06, linewidth=0)
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes.set_ylim(max(len(names), 3) - 0.5, -0.5)
    axes.set(xlabel="step", title="alarms" if names else "no alarm rang")
    axes.grid(alpha=0.3, axis="x")


class Health(Callback):
    """Alarms about the game: train.log, TensorBoard, result.json and plots/health.png say what rang, when and why.

    Every record adds the gradient norms of both players and, every `every_steps`, the diversity of samples on the fixed
    latents, as a fraction of the data's. Nothing is measured between records.

    Args:
        every_steps: Steps between measurements of the generator's diversity.
        n: Samples to measure, and real ones to compare them with.
        patience: Steps a condition must hold before its alarm rings, and be absent before it clears.
    """

    def __init__(
        self, every_steps: PositiveInt = 100, n: Annotated[int, Ge(2)] = 64, patience: PositiveInt = 300
    ) -> None:
        self.every_steps = every_steps
        self.n = n
        self.patience = patience
        self.monitor = Monitor((), patience)
        self.changes: list[Finding] = []
        self.run: Run | None = None

    def on_start(self, session: Session) -> None:
        self.run, trainer = session.run, session.trainer
        rates = {name: rates[0] for name, rates in trainer.rates.items()}
        self.monitor = Monitor(alarms(trainer.game.targets(), len(trainer.data.shape) == 3, rates), self.patience)
        seen = trainer.data.previewed(session.few(self.n))
        device = trainer.runtime.device
        self.real, self.given = seen.real.to(device), None if seen.given is None else seen.given.to(device)
        self.paired = Need.PAIRS in trainer.data.provides
        for row in read_rows(self.run.metrics):  # seen, and reported, by an earlier session
            if row["step"] <= session.clock.step:
                self.monitor.observe(row)

    def on_record(self, session: Session, record: Mapping[str, float]) -> None:
        self.changes += self.monitor.observe(record)

    def on_step(self, session: Session) -> None:
        step, players = session.clock.step, session.trainer.players
        measured: dict[str, float] = {}
        if step % session.trainer.log_every == 0:
            measured |= {f"health/{name}_gradient": norm for name, norm in gradient_norms(players).items()}
            measured |= weight_sizes(players)
        if step % self.every_steps == 0:
            samples = torch.cat(list(session.samples(session.few(self.n))))
            measured |= compare(samples, self.real)
            if self.given is not None:
                measured |= beside_sources(samples, self.given[: len(samples)], self.real if self.paired else None)
        if measured:
            session.publish(measured)
        changes, self.changes = self.changes, []
        self._announce(session, changes)

    def on_end(self, session: Session, status: str) -> None:
        """Also judges the last steps, if the run ends between two readings; they add no row, since a continued run
        has none there."""
        left = session.trainer.meter.means()
        if left:
            row = {**left, **weight_sizes(session.trainer.players), "step": float(session.clock.step)}
            for change in self.monitor.observe(row):
                self._say(change)
        session.note_diverged(self.monitor.rings("diverged"))

    def _announce(self, session: Session, changes: Iterable[Finding]) -> None:
        for change in changes:
            text = self._say(change)
            session.publish({f"alarm/{change.name}": float(change.cleared is None)})
            session.publish_text("alarms", text)

    def _say(self, change: Finding) -> str:
        name = change.name.replace("_", " ")
        if change.cleared is None:
            text = f"step {change.step}: {change.message}; try {change.remedy}"
            log.warning("%s", text)
        else:
            text = f"step {change.cleared}: no longer so: {name} (since step {change.step})"
            log.info("%s", text)
        return text

    def findings(self) -> Mapping[str, Any]:
        return {"alarms": [asdict(finding) for finding in self.monitor.findings]}

    def close(self) -> None:
        if self.run is not None and self.monitor.steps:
            plot(self.monitor, self.run.plots / "health.png")
