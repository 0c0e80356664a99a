"""What the discriminator has learned beside what it should have: D*(x) = p(x) / (p(x) + q(x)) (Goodfellow 2014, arXiv
1406.2661, proposition 1), where the densities of the data, p, and of the generator, q, are known."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import torch
from annotated_types import Interval
from torch import Tensor

from gan_cli import pictures
from gan_cli.callbacks import Callback, Session
from gan_cli.data.points import Points
from gan_cli.errors import Incompatible, two_lines
from gan_cli.games.adversarial import Adversarial
from gan_cli.networks.base import declared
from gan_cli.priors import Normal
from gan_cli.types import Dense, DiscriminatorOutput, PositiveInt

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOOKED_AT = 2048  # samples, real and drawn, that the grid is put around
MARGIN = 0.1  # of their range, on either side
AMISS = 0.02  # of a density, which a grid may miss


class Axes(NamedTuple):
    """A regular grid: its places along each coordinate, and the volume of a cell."""

    places: tuple[Tensor, ...]
    cell: float

    @classmethod
    def around(cls, samples: Tensor, cells: int) -> Axes:
        """`cells` along each coordinate of samples `[N, D]`."""
        low, high = samples.double().amin(0), samples.double().amax(0)
        margin = MARGIN * (high - low)
        ends = zip((low - margin).tolist(), (high + margin).tolist(), strict=True)
        places = [torch.linspace(first, last, cells, dtype=torch.float64) for first, last in ends]
        return cls(tuple(places), math.prod(float(place[1] - place[0]) for place in places))

    def points(self) -> Tensor:
        """`[cells ** D, D]`."""
        return torch.cartesian_prod(*self.places).view(-1, len(self.places))


class Judged(NamedTuple):
    """Both densities and both discriminators at the points of a grid, each `[cells ** D]`."""

    axes: Axes
    p: Tensor
    q: Tensor
    learned: Tensor
    optimal: Tensor

    def held(self) -> float:
        """How much of the density that it holds less of lies on the grid; more than 1 where cells are too coarse."""
        return float(torch.stack([self.p.sum(), self.q.sum()]).min()) * self.axes.cell

    def difference(self) -> float:
        """E |D(x) - D*(x)| over x ~ (p + q) / 2."""
        weight = self.p + self.q
        return float(((self.learned - self.optimal).abs() * weight).sum() / weight.sum())

    def divergence(self, judgement: Tensor) -> float:
        """½ E_p log 2D + ½ E_q log 2(1 - D), in nats: the Jensen-Shannon divergence of p and q for D*, and less for any
        other D (equation 4 of the paper, halved)."""
        sure = judgement.clamp(1e-12, 1 - 1e-12)
        of_p = (self.p * (2 * sure).log()).sum() / self.p.sum()
        of_q = (self.q * (2 * (1 - sure)).log()).sum() / self.q.sum()
        return float(of_p + of_q) / 2

    def numbers(self) -> dict[str, float]:
        return {
            "optimal_difference": self.difference(),
            "js": self.divergence(self.optimal),
            "js_learned": self.divergence(self.learned),
        }


@pictures.freed
def plot(judged: Judged, title: str, path: Path) -> None:
    """Curves over a line; maps over the plane, with contours of p and q."""
    on_line = len(judged.axes.places) == 1
    figure = pictures.new_figure(8 if on_line else 12, 6 if on_line else 4.4, dpi=100)
    figure.suptitle(title)
    _curves(judged, figure) if on_line else _maps(judged, figure)
    pictures.save_figure(figure, path)


def _curves(judged: Judged, figure: Figure) -> None:
    (x,) = (places.numpy() for places in judged.axes.places)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[2, 3])
    above.fill_between(x, judged.p.numpy(), color="tab:blue", alpha=0.4, label="p, the data")
    above.fill_between(x, judged.q.numpy(), color="tab:orange", alpha=0.4, label="q, the generator")
    below.plot(x, judged.optimal.numpy(), color="0.4", linewidth=3, label="D* = p / (p + q)")
    below.plot(x, judged.learned.numpy(), color="tab:red", linewidth=1.2, label="D, learned")
    below.set(ylim=(-0.05, 1.05), xlabel="x")
    for axes in (above, below):
        axes.legend(fontsize="small")


def _maps(judged: Judged, figure: Figure) -> None:
    across = [places.numpy() for places in judged.axes.places]

    def laid(values: Tensor) -> Any:
        return values.view([len(places) for places in across]).T.numpy()

    maps = (
        ("D, learned", judged.learned, "RdBu_r", 1.0),
        ("D* = p / (p + q)", judged.optimal, "RdBu_r", 1.0),
        ("|D - D*|", (judged.learned - judged.optimal).abs(), "Greys", 0.5),
    )
    for axes, (name, values, colours, most) in zip(figure.subplots(1, 3, sharey=True), maps, strict=True):
        drawn = axes.pcolormesh(*across, laid(values), cmap=colours, vmin=0, vmax=most)
        for density, style in ((judged.p, "solid"), (judged.q, "dashed")):
            levels = [share * float(density.max()) for share in (0.1, 0.5)]
            axes.contour(*across, laid(density), levels, colors="k", linestyles=style, linewidths=0.8)
        axes.set(title=name, aspect="equal")
        figure.colorbar(drawn, ax=axes, shrink=0.75)
    figure.supxlabel("contours: p, the data, solid; q, the generator, dashed", fontsize="small")


class Known(NamedTuple):
    """The parts of a game whose densities are known."""

    data: Dense
    generator: Dense
    game: Adversarial
    targets: tuple[float, float]

    @classmethod
    def of(cls, session: Session) -> Known:
        """Raises Incompatible where there is no p / (p + q) to compare with."""
        game, data = session.trainer.game, session.trainer.data
        if not isinstance(data, Points) or not isinstance(data.density, Dense):
            raise _unknown("the density of these data is not known", "dataset=line, ring or grid")
        if not isinstance(game, Adversarial) or type(game.prior) is not Normal or not isinstance(game.generator, Dense):
            raise _unknown("the density of this generator is not known", "model=affine prior=normal")
        if game.loss.targets is None or game.loss.targets[0] == game.loss.targets[1]:
            raise _unknown("the scores of this loss are no probabilities", "loss=nonsaturating")
        if declared(game.discriminator).reads_labels or any(a.merges_samples for _, a in game.augmentations()):
            raise _unknown("this D judges more than a point", "conditioning=none and no augment=[packing]")
        return cls(data.density, game.generator, game, game.loss.targets)

    def judgement(self, points: Tensor) -> Tensor:
        """What D says of points `[N, D]`, as it judges when it does not train, before augmentations: `[N]`, float64.
        1 stands for its target of real samples, 0 for that of fakes."""
        judge, loss = copy.deepcopy(self.game.discriminator).eval(), self.game.loss
        scores = []
        for piece in points.split(LOOKED_AT):
            label = torch.zeros(len(piece), dtype=torch.int64, device=piece.device)
            logits = DiscriminatorOutput.of(judge(piece, label)).logits
            scores.append(loss.score(logits).reshape(len(piece), -1).mean(1))  # of a jury's members
        high, low = self.targets
        return (torch.cat(scores).cpu().double() - low) / (high - low)


def _unknown(what: str, remedy: str) -> Incompatible:
    return Incompatible(two_lines(f"callback=density draws p / (p + q), and {what}", f"use {remedy}, or leave it out"))


class Density(Callback):
    """plots/density.png and three numbers: `optimal_difference`, the mean of |D - D*| over p and q; `js`, the
    Jensen-Shannon divergence of p and q in nats; `js_learned`, what it is by D, its lower bound.

    Args:
        every_steps: Steps between two looks; the last step also has one.
        cells: Of the grid along each coordinate; sums over it take the place of integrals.
    """

    def __init__(self, every_steps: PositiveInt = 100, cells: Annotated[int, Interval(ge=10, le=1000)] = 200) -> None:
        self.every_steps = every_steps
        self.cells = cells
        self.looked: int | None = None  # the step of the last look of this session

    def foresee(self, session: Session) -> Sequence[str]:
        held = self.judged(session).held()
        if abs(held - 1) > AMISS:
            return [f"a grid of callback.density.cells={self.cells} holds {held:.0%} of a density: use more cells"]
        return ()

    @torch.no_grad()
    def judged(self, session: Session) -> Judged:
        """Both discriminators on a grid around real and drawn samples. Raises Incompatible."""
        known = Known.of(session)
        drawn = torch.cat([piece.cpu() for piece in session.samples(LOOKED_AT)])
        axes = Axes.around(torch.cat([session.trainer.data.previewed(LOOKED_AT).real, drawn]), self.cells)
        points = axes.points()
        log_p = known.data.log_density(points)
        shown = points.to(session.trainer.runtime.device, torch.float32)
        log_q = known.generator.log_density(shown).cpu().double()
        return Judged(axes, log_p.exp(), log_q.exp(), known.judgement(shown), (log_p - log_q).sigmoid())

    def on_step(self, session: Session) -> None:
        if session.clock.step % self.every_steps == 0:
            self._look(session)

    def on_end(self, session: Session, status: str) -> None:
        if self.looked != session.clock.step:
            self._look(session)

    def _look(self, session: Session) -> None:
        self.looked = session.clock.step
        judged = self.judged(session)
        numbers = judged.numbers()
        session.publish(numbers)
        title = "step {}: |D - D*| = {optimal_difference:.3f}, JS = {js:.3f}, by D {js_learned:.3f} nats"
        plot(judged, title.format(session.clock.step, **numbers), session.run.plots / "density.png")
