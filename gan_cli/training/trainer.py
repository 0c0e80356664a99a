"""The trainer: one step of a game, and the state that a step reads. Nothing else changes weights."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Annotated, Any

import torch
from annotated_types import MaxLen
from torch import Tensor, nn
from torch.optim import Optimizer

from gan_cli import rng
from gan_cli.errors import ConfigError, Incompatible, NonFinite, two_lines, unknown
from gan_cli.games.base import Game
from gan_cli.ramps import follows_run, settled
from gan_cli.store import contents
from gan_cli.training import together, warm_start
from gan_cli.training.as_one import as_one
from gan_cli.training.ema import Ema, PowerAverage
from gan_cli.training.execution import Execution, execution_of
from gan_cli.training.limits import Limits
from gan_cli.training.meter import Meter
from gan_cli.training.runtime import Runtime, pick_device, precision_of
from gan_cli.training.spans import Span, unwatched, watched
from gan_cli.types import (
    MOST_AVERAGES,
    Amount,
    Batch,
    Clock,
    Data,
    Forced,
    Named,
    Phase,
    Positive,
    PositiveInt,
    Ramp,
    Scheduled,
    Width,
)

RUNTIMES = ("plain", "auto")


def divided(batch_size: int, devices: int, micro_batches: int) -> int:
    """The samples of a part of a batch. Raises ConfigError where there are no equal parts."""
    parts = devices * micro_batches
    if batch_size % parts:
        less, more = batch_size // parts * parts, -(-batch_size // parts) * parts
        raise ConfigError(
            two_lines(
                f"dataset.batch_size={batch_size} does not divide into trainer.devices={devices} x "
                f"trainer.micro_batches={micro_batches} equal parts",
                f"use dataset.batch_size={f'{less} or {more}' if less else more}, or another number of parts",
            )
        )
    return batch_size // parts


class Trainer:
    """Plays a game on data, step by step; `Session` makes a run of it.

    A step reseeds the global generators from (seed, rank, step), runs every phase, then updates the averaged
    generator and the clock: it is a pure function of the state, the config and the seed.

    Args:
        game: The rules, with the players.
        data: Real samples.
        optimizers: One per player.
        seed: For everything random in the run.
        schedule: Factor of the learning rates over the run.
        max_steps, max_images, max_minutes, max_epochs: Limits; whichever comes first. An epoch is as many real images
            shown to the discriminator as there are, however often one of them was.
        device: auto | cpu | cuda | mps.
        devices: Processes that share each batch, one per device.
        sync_batchnorm: Batch norm uses the mean and variance of all processes' samples, not of its own share.
        runtime: plain | auto. With auto, what is None of the five below is picked for the device before there is a
            trainer, and written into the run's config (`gan_cli.runs.picking`); with plain, None is what it always was.
        precision: float32 | bfloat16 (autocast); float32 where None.
        channels_last: The channels of a pixel lie side by side in memory; not where None.
        compile: Networks are compiled, in updates that differentiate once; not where None.
        threads: Of this process on the CPU; torch's own number where None.
        benchmark: cuDNN chooses its convolutions by timing them, and a resumed run may choose others; not where None.
        micro_batches: Parts in which a batch is computed, to save memory (gradient accumulation).
        ema_half_life: Images after which an old weight counts half in the averaged generator, or a ramp; 0 for
            no averaging.
        ema_rampup: The half-life is at most this fraction of the images so far; 0 for no ramp.
        averages: Widths of averages of the generator that are kept as well, each a standard deviation as a fraction of
            the images so far: averages of other lengths are made from them when training is over.
        log_every: Steps between readings of losses and scores.
        ramps: Settings of a player's optimizer that are, or contain, ramps.
        execution: How an objective and its gradients are computed; where None, as `compile` says.
    """

    def __init__(
        self,
        game: Game,
        data: Data,
        optimizers: Mapping[str, Optimizer],
        seed: int,
        schedule: Ramp,
        max_steps: PositiveInt | None = None,
        max_images: PositiveInt | None = None,
        max_minutes: Positive | None = None,
        max_epochs: Positive | None = None,
        device: str = "auto",
        devices: PositiveInt = 1,
        sync_batchnorm: bool = False,
        runtime: str = "plain",
        precision: str | None = None,
        channels_last: bool | None = None,
        compile: bool | None = None,
        threads: PositiveInt | None = None,
        benchmark: bool | None = None,
        micro_batches: PositiveInt = 1,
        ema_half_life: Amount | Ramp = 10_000,
        ema_rampup: Amount = 0.05,
        averages: Annotated[Sequence[Width], MaxLen(MOST_AVERAGES)] = (),
        log_every: PositiveInt = 50,
        ramps: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
        rank: int = 0,
        execution: Execution | None = None,
    ) -> None:
        if runtime not in RUNTIMES:
            raise ConfigError(unknown(f"trainer.runtime={runtime}", RUNTIMES))
        self.rows = divided(data.batch_size, devices, micro_batches)  # computed at once
        self.runtime = Runtime(
            pick_device(device, "trainer.device"),
            precision_of(precision or "float32"),
            rank,
            devices,
            bool(channels_last),
            bool(compile),
            threads,
            bool(benchmark),
        )
        self.runtime.prepare()
        self.limits = Limits(max_steps, max_images, max_minutes, max_epochs, len(data))
        self.moving = (*game.modules(), ema_half_life, *(v for r in ramps.values() for v in r.values()))
        self._check_foreseeable(schedule, self.moving)
        self.seed = seed
        self.schedule = schedule
        self.micro_batches = micro_batches
        self.sync_batchnorm = sync_batchnorm
        self.log_every = log_every
        self.data = data
        self.game = game
        self.players: Mapping[str, nn.Module] = game.players()
        self.weights = {name: tuple(player.parameters()) for name, player in self.players.items()}
        self.optimizers = optimizers
        self.ramps = ramps
        self.rates = {name: [group["lr"] for group in o.param_groups] for name, o in optimizers.items()}
        self.scheduled = [m for m in (*game.modules(), data) if isinstance(m, Scheduled)]
        self.forced = {name: [m for m in p.modules() if isinstance(m, Forced)] for name, p in self.players.items()}
        self.ema = Ema(self.players["generator"], ema_half_life, ema_rampup)
        self.averages = {width: PowerAverage(self.players["generator"], width) for width in averages}
        self.execution = execution or execution_of(self.runtime, self.players)
        self.unwatch()
        self.meter = Meter()
        self.clock = Clock()
        self.updates = dict.fromkeys(self.players, 0)
        self.draws = 0  # batches of real samples so far

    def _check_foreseeable(self, schedule: Ramp, settings: Iterable[Any]) -> None:
        """Raises ValueError if a ramp follows the fraction of a run that only a time limit ends."""
        if self.limits.foreseeable:
            return
        end = f"follows steps or images, and only trainer.max_minutes={self.limits.max_seconds / 60:g} ends this run"
        remedy = "set trainer.max_steps, trainer.max_epochs or trainer.max_images as well, or"
        if follows_run(schedule):
            raise ValueError(f"schedule={type(schedule).__name__.lower()} {end}\n  {remedy} use schedule=constant")
        if any(follows_run(setting) for setting in settings):
            raise ValueError(f"a ramp over a fraction of the run {end}\n  {remedy} give it images= instead")

    def jumps(self, former: Limits) -> str:
        """What jumps at this step because the run had other limits so far; empty where nothing does."""
        was, now = former.progress(self.clock), self.limits.progress(self.clock)
        if was == now or not any(follows_run(setting) for setting in (self.schedule, *self.moving)):
            return ""
        rates = [self.schedule.at(self.clock.images, done) for done in (was, now)]
        of_rates = f": learning rates go from {rates[0]:.3g} to {rates[1]:.3g} of their first value"
        told = (
            f"the run has other limits: {was:.0%} of it were done, now {now:.0%}, and what follows that fraction jumps"
        )
        return told + (of_rates if rates[0] != rates[1] else "")

    def place(self) -> None:
        """Moves everything to the device; all ranks start from rank 0's weights."""
        averages = [average.network for average in (self.ema, *self.averages.values())]
        for network in (self.game, *averages):
            self.runtime.place(network)
            together.share((*network.parameters(), *network.buffers()))
        self.data.place(self.runtime.device, self.seed, self.runtime.rank, self.runtime.world)

    def watch(self, span: Span) -> None:
        """From now on `span` is told what the time of a step is spent on: data, passes, optimizers; callbacks too."""
        self.span: Span = span
        self.execute = watched(partial(self.execution, self.runtime, self.micro_batches), span)

    def unwatch(self) -> None:
        """Nobody is told any more."""
        self.span = unwatched
        self.execute = partial(self.execution, self.runtime, self.micro_batches)

    def step(self) -> None:
        """One step of the game: every phase in order."""
        rng.reseed(self.seed, self.runtime.stream, self.clock.step)
        self.clock = replace(self.clock, done=self.limits.progress(self.clock))
        for module in self.scheduled:
            module.advance(self.clock)
        images, done = self.clock.images, self.clock.done
        factor = self.schedule.at(images, done)
        for name, optimizer in self.optimizers.items():
            moved = {key: settled(value, images, done) for key, value in self.ramps.get(name, {}).items()}
            for group, rate in zip(optimizer.param_groups, self.rates[name], strict=True):
                group.update({"lr": rate, **moved})
                group["lr"] *= factor
        shown = 0
        with as_one(self.seed, self.clock.step, self.rows, self.sync_batchnorm):
            for phase in self.game.phases():
                for _ in range(phase.runs):
                    self._update(phase, self._draw(phase))
                    shown += self.data.batch_size * phase.shown
        together.settle(self.game.parted())
        clock = replace(self.clock, step=self.clock.step + 1, images=images + shown)
        self.clock = replace(clock, done=self.limits.progress(clock))
        self.ema.update(self.clock.images, shown, self.clock.done)
        for average in self.averages.values():
            average.update(self.clock.images, shown)

    @property
    def epoch(self) -> float:
        """How often every real image was shown to the discriminator so far, on average."""
        return self.clock.images / len(self.data)

    def _draw(self, phase: Phase) -> Batch:
        """The next real batch for a phase that reads it; for other phases, the labels to draw samples for."""
        with self.span("data"):
            if not phase.uses_real:
                return self.data.sampling(sum(self.updates.values()))
            self.draws += 1
            return self.data.batch(self.draws - 1)

    def _update(self, phase: Phase, batch: Batch) -> None:
        optimizer = self.optimizers[phase.player]
        for weight in self.weights[phase.player]:
            weight.grad = None  # as optimizer.zero_grad does, in a tenth of the time
        self._freeze_all_but(phase.builds | {phase.player})
        parts = [batch] if self.micro_batches == 1 else batch.split(self.micro_batches)
        read: list[tuple[tuple[str, ...], Tensor]] = []
        for part in parts:
            outcome = self.execute(phase, part, self.updates[phase.player])
            terms = {f"{phase.player}/{name}": value for name, value in outcome.terms.items()}
            values = {**terms, **outcome.readings}
            read.append((tuple(values), torch.stack([value.detach().float() for value in values.values()])))
        # Readings travel with the gradients, so that they too are those of the whole batch.
        gradients = [weight.grad for weight in self.weights[phase.player] if weight.grad is not None]
        together.average((*gradients, *(values for _, values in read)))
        for names, values_read in read:
            self.meter.add(names, values_read, self.clock.step + 1)
        with self.span(f"{phase.player}: optimizer"):
            optimizer.step()
            for network in self.forced[phase.player]:
                network.force()
            phase.project()
        self.updates[phase.player] += 1

    def _freeze_all_but(self, names: Collection[str]) -> None:
        """The weights of other players get no gradient, and no graph is built for them."""
        for name, weights in self.weights.items():
            learns = name in names
            for weight in weights:
                weight.requires_grad = learns

    def spent(self, seconds: float) -> None:
        """Sets the time that the run has taken so far, over all sessions."""
        self.clock = replace(self.clock, seconds=seconds)

    def read(self) -> dict[str, float]:
        """Means of the losses and scores since the last reading. Raises NonFinite."""
        means = dict(self.meter.means())
        self.check_finite()
        self.meter.reset()
        return {**means, "learning_rate": max(g["lr"] for o in self.optimizers.values() for g in o.param_groups)}

    def check_finite(self) -> None:
        """Raises NonFinite if a term since the last reading, a weight or a running statistic is not finite."""
        self.meter.means()
        for name, tensor in self.game.state_dict().items():
            if tensor.is_floating_point() and not tensor.isfinite().all():
                raise NonFinite(f"the weight {name} is infinite or not a number after step {self.clock.step}")

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed step reads and that does not follow from the config."""
        return {
            "game": self.game.state_dict(),
            "ema": self.ema.network.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "updates": dict(self.updates),
            "draws": self.draws,
            "clock": self.clock.saved(),
            "meter": self.meter.state_dict(),
            **self._averages(),
            **self._class_names(),
        }

    def _averages(self) -> dict[str, dict[float, Any]]:
        """The averages by width; empty where none are kept."""
        kept = {width: average.network.state_dict() for width, average in self.averages.items()}
        return {"averages": kept} if kept else {}

    def _class_names(self) -> dict[str, list[str]]:
        """The names of the classes, so that a checkpoint alone has them; empty where they have no names."""
        names = self.data.class_names if isinstance(self.data, Named) else ()
        return {"class_names": list(names)} if names and self.data.classes else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues from where `state_dict` was made; learning rates and the like remain those of the config.

        Raises:
            RuntimeError, Unsound: The state belongs to other networks, or is not as training writes it.
            Incompatible: It has averages of other widths.
        """
        contents.check_players(state, self.optimizers)
        self.load_weights(state)
        self._load_averages(state.get("averages", {}))
        for name, optimizer in self.optimizers.items():
            settings = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
            optimizer.load_state_dict(state["optimizers"][name])
            for group, chosen in zip(optimizer.param_groups, settings, strict=True):
                group.update(chosen)
        self.updates = dict(state["updates"])
        self.draws = state.get("draws", sum(self.updates.values()))  # older checkpoints: each update drew a batch
        self.clock = Clock(**state["clock"])
        self.meter.load_state_dict(state["meter"])

    def take_weights(self, state: Mapping[str, Any], source: str) -> list[str]:
        """What fits of another run's weights, by player and name; returns what is to be said of it. Raises Incompatible
        where nothing does, Unsound where a type differs."""
        contents.check_types(state["game"], self.game, "game")
        contents.check_types(state["ema"], self.ema.network, "ema")
        return warm_start.start(self.game, self.ema.network, state, source)

    def load_weights(self, state: Mapping[str, Any]) -> None:
        """The players' weights and the averaged generator only. Raises RuntimeError when the shapes differ, Unsound
        when the types do."""
        contents.check_types(state["game"], self.game, "game")
        contents.check_types(state["ema"], self.ema.network, "ema")
        self.game.load_state_dict(state["game"])
        self.ema.network.load_state_dict(state["ema"])

    def _load_averages(self, saved: Mapping[float, Any]) -> None:
        """Raises as `load_state_dict` does."""
        if saved.keys() != self.averages.keys():
            what = f"trainer.averages={[*self.averages]}: this run has kept {[*saved] or 'none'} so far"
            remedy = f"trainer.averages={[*saved]} goes on with it; init_from=<run> starts a new run with its weights"
            raise Incompatible(two_lines(what, remedy))
        for width, average in self.averages.items():
            contents.check_types(saved[width], average.network, f"averages.{width:g}")
            average.network.load_state_dict(saved[width])
