"""The trainer: executes a game's phases. Nothing else changes weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gan_cli import rng
from gan_cli.errors import ConfigError
from gan_cli.ramps import settled
from gan_cli.training import contents
from gan_cli.training.ema import Ema
from gan_cli.training.meter import Meter, NonFinite
from gan_cli.training.runtime import PRECISIONS, Runtime, StopRequest, pick_device, prepare_process
from gan_cli.training.schedules import Schedule
from gan_cli.types import Batch, Clock, Data, Named, NonNegative, Phase, Positive, PositiveInt, Ramp, Scheduled

if TYPE_CHECKING:
    from gan_cli.callbacks import Callback

News = Callable[["Callback"], None]  # what one callback is told


class Limits:
    """When a run is done: whichever of these comes first."""

    def __init__(self, max_steps: int | None, max_images: int | None, max_minutes: float | None) -> None:
        if max_steps is None and max_images is None and max_minutes is None:
            raise ConfigError("a run needs an end: set trainer.max_steps, trainer.max_images or trainer.max_minutes")
        self.max_steps = max_steps or float("inf")
        self.max_images = max_images or float("inf")
        self.max_seconds = (max_minutes or float("inf")) * 60

    @property
    def foreseeable(self) -> bool:
        """Whether steps or images end the run, so that there is progress."""
        return min(self.max_steps, self.max_images) < float("inf")

    def progress(self, clock: Clock) -> float:
        """The fraction of the run that is done, by steps or images; time does not count, for it cannot be repeated."""
        return min(1.0, max(clock.step / self.max_steps, clock.images / self.max_images))

    def reached(self, clock: Clock) -> bool:
        steps_left, images_left = clock.step < self.max_steps, clock.images < self.max_images
        return not (steps_left and images_left and clock.seconds < self.max_seconds)


class Trainer:
    """Plays a game on data until a limit is reached.

    A step reseeds the global generators from (seed, rank, step), runs every phase, then updates the averaged
    generator and the clock: it is a pure function of the state, the config and the seed.

    Args:
        game: Who plays what.
        data: Real samples.
        optimizers: One a player.
        seed: Of everything random in the run.
        schedule: Factor of the learning rates over the run.
        max_steps, max_images, max_minutes: Limits; whichever comes first.
        device: auto | cpu | cuda | mps.
        devices: Processes that share each batch, one a device.
        precision: float32 | bfloat16 (autocast).
        micro_batches: Parts that a batch is computed in, to save memory; gradients add up.
        ema_half_life: Images after which an old weight counts half in the averaged generator, or a ramp; 0 for
            no averaging.
        ema_rampup: The half-life is at most this fraction of the images so far; 0 for no ramp.
        log_every: Steps between readings of losses and scores.
        ramps: Settings of a player's optimizer that are ramps, or hold ramps.
    """

    def __init__(
        self,
        game: Any,
        data: Data,
        optimizers: Mapping[str, Optimizer],
        seed: int,
        schedule: Schedule,
        max_steps: PositiveInt | None = None,
        max_images: PositiveInt | None = None,
        max_minutes: Positive | None = None,
        device: str = "auto",
        devices: PositiveInt = 1,
        precision: str = "float32",
        micro_batches: PositiveInt = 1,
        ema_half_life: NonNegative | Ramp = 10_000,
        ema_rampup: NonNegative = 0.05,
        log_every: PositiveInt = 50,
        ramps: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
        rank: int = 0,
    ) -> None:
        if precision not in PRECISIONS:
            raise ConfigError(f"trainer.precision={precision} is unknown: choose one of {', '.join(PRECISIONS)}")
        if data.batch_size % (devices * micro_batches):
            raise ConfigError(
                f"dataset.batch_size={data.batch_size} does not divide into trainer.devices={devices} x "
                f"trainer.micro_batches={micro_batches} equal parts"
            )
        prepare_process()
        self.runtime = Runtime(pick_device(device), PRECISIONS[precision], rank, devices)
        self.limits = Limits(max_steps, max_images, max_minutes)
        if not self.limits.foreseeable and schedule(0.0) != schedule(1.0):
            raise ConfigError(
                f"schedule={type(schedule).__name__.lower()} follows steps or images, and only trainer.max_minutes="
                f"{max_minutes} ends this run\n  set trainer.max_steps or trainer.max_images too, or use "
                "schedule=constant"
            )
        self.seed = seed
        self.schedule = schedule
        self.micro_batches = micro_batches
        self.log_every = log_every
        self.data = data
        self.game = game
        self.players: Mapping[str, nn.Module] = game.players()
        self.optimizers = optimizers
        self.ramps = ramps
        self.rates = {name: [group["lr"] for group in o.param_groups] for name, o in optimizers.items()}
        self.scheduled = [m for m in (*game.modules(), data) if isinstance(m, Scheduled)]
        self.ema = Ema(self.players["generator"], ema_half_life, ema_rampup)
        self.meter = Meter(self.runtime.device)
        self.clock = Clock()
        self.updates = dict.fromkeys(self.players, 0)
        self.draws = 0  # batches of real samples so far
        self.folder: Path | None = None
        self.config = ""
        self.callbacks: Sequence[Callback] = ()
        self.started: list[Callback] = []  # those whose `on_start` was called, and which are to be closed
        self.held_back: list[News] | None = None  # what was published before all had started
        self.best: dict[str, float | str] | None = None  # the best measurement so far, where something measures
        self.diverged = False  # set by what sees that losses or weights are beyond any use
        self.enough = False  # set by what decides that going on is no use

    def place(self) -> None:
        """Moves everything to the device; all ranks start from rank 0's weights."""
        device = self.runtime.device
        self.game.to(device)
        self.ema.network.to(device)
        self.data.place(device, self.seed, self.runtime.rank, self.runtime.world)
        self.runtime.share(t for t in (*self.game.parameters(), *self.game.buffers()))

    def fit(self, stop: StopRequest) -> str:
        """Trains until a limit is reached ("finished") or somebody asks for a stop ("stopped").

        Raises:
            NonFinite: A term or a weight is not finite; nothing of that state was saved.
        """
        self._start_callbacks()
        started, before = time.perf_counter(), self.clock.seconds
        while not (finished := self.runtime.agree(self.enough or self.limits.reached(self.clock))):
            if self.runtime.agree(stop.asked):
                break
            self.step()
            self.clock = replace(self.clock, seconds=before + time.perf_counter() - started)
            if self.clock.step % self.log_every == 0:
                self._log()
            for callback in self.callbacks:
                callback.on_step(self)
        self.check_finite()
        status = "finished" if finished else "stopped"
        self._end_callbacks(status)
        return status

    def _start_callbacks(self) -> None:
        """Starts all, and only then hands on what some of them published as they started: their order is free."""
        waiting: list[News] = []
        self.held_back = waiting
        for callback in self.callbacks:
            self.started.append(callback)
            callback.on_start(self)
        self.held_back = None
        for news in waiting:
            self._tell(news)

    def _end_callbacks(self, status: str) -> None:
        """All have their end, also where one fails: who saves the weights may come after it."""
        errors = []
        for callback in self.callbacks:
            try:
                callback.on_end(self, status)
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def _tell(self, news: News) -> None:
        if self.held_back is not None:
            self.held_back.append(news)
            return
        for callback in self.callbacks:
            news(callback)

    def step(self) -> None:
        """One step of the game: every phase in order."""
        rng.reseed(self.seed, self.runtime.rank, self.clock.step)
        for module in self.scheduled:
            module.advance(self.clock)
        factor = self.schedule(self.limits.progress(self.clock))
        for name, optimizer in self.optimizers.items():
            moved = {key: settled(value, self.clock.images) for key, value in self.ramps.get(name, {}).items()}
            for group, rate in zip(optimizer.param_groups, self.rates[name], strict=True):
                group.update({"lr": rate, **moved})
                group["lr"] *= factor
        shown = 0
        for phase in self.game.phases():
            for _ in range(phase.runs):
                self._update(phase, self._draw(phase))
                shown += self.data.batch_size * phase.shown
        self.runtime.share(self.game.buffers())
        images = self.clock.images + shown
        self.ema.update(self.players["generator"], images, shown)
        self.clock = replace(self.clock, step=self.clock.step + 1, images=images)

    def _draw(self, phase: Phase) -> Batch:
        """The next real batch for a phase that looks at it; for others the labels to draw samples for."""
        if not phase.uses_real:
            return self.data.sampling(sum(self.updates.values()))
        self.draws += 1
        return self.data.batch(self.draws - 1)

    def _update(self, phase: Phase, batch: Batch) -> None:
        player, optimizer = self.players[phase.player], self.optimizers[phase.player]
        optimizer.zero_grad(set_to_none=True)
        with self._only(phase.player):
            for part in batch.split(self.micro_batches):
                with self.runtime.autocast():
                    outcome = phase.objective(part, self.updates[phase.player])
                torch.stack([t.float() for t in outcome.terms.values()]).sum().div(self.micro_batches).backward()
                terms = {f"{phase.player}/{name}": value for name, value in outcome.terms.items()}
                self.meter.add({**terms, **outcome.readings}, self.clock.step + 1)
        self.runtime.average_gradients(player.parameters())
        optimizer.step()
        phase.project()
        self.updates[phase.player] += 1

    @contextmanager
    def _only(self, name: str) -> Iterator[None]:
        """Freezes every other player: its weights get no gradient, its graph is not built."""
        for other, player in self.players.items():
            player.requires_grad_(other == name)
        yield

    def _log(self) -> None:
        record: dict[str, float] = dict(self.meter.means())
        self.check_finite()
        self.meter.reset()
        record["learning_rate"] = max(g["lr"] for o in self.optimizers.values() for g in o.param_groups)
        self.publish(record)

    def publish(self, values: Mapping[str, float]) -> None:
        """Hands numbers of the present step to every callback."""
        record = {**asdict(self.clock), **values}
        self._tell(lambda callback: callback.on_record(self, record))

    def publish_picture(self, name: str, pixels: Tensor) -> None:
        """Hands a picture, uint8 `[3, H, W]`, to every callback."""
        self._tell(lambda callback: callback.on_picture(self, name, pixels))

    def publish_text(self, name: str, text: str) -> None:
        """Hands a line of words to every callback."""
        self._tell(lambda callback: callback.on_text(self, name, text))

    def check_finite(self) -> None:
        """Raises NonFinite when a term of the open window, a weight or a running statistic is not finite."""
        self.meter.means()
        for name, tensor in self.game.state_dict().items():
            if tensor.is_floating_point() and not tensor.isfinite().all():
                raise NonFinite(f"the weight {name} is infinite or not a number after step {self.clock.step}")

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed step reads and that is not a function of the config."""
        return {
            "config": self.config,
            "game": self.game.state_dict(),
            "ema": self.ema.network.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "updates": dict(self.updates),
            "draws": self.draws,
            "clock": asdict(self.clock),
            "meter": self.meter.state_dict(),
            **self._class_names(),
        }

    def _class_names(self) -> dict[str, list[str]]:
        """What the labels are called, so that a checkpoint alone knows it; nothing where they have no names."""
        names = self.data.class_names if isinstance(self.data, Named) else ()
        return {"class_names": list(names)} if names and self.data.classes else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up where `state_dict` was made; learning rates and the like stay those of the config.

        Raises:
            RuntimeError, Unsound: The state is of other networks, or not as training writes it.
        """
        contents.check_players(state, self.optimizers)
        self.load_weights(state)
        for name, optimizer in self.optimizers.items():
            settings = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
            optimizer.load_state_dict(state["optimizers"][name])
            for group, chosen in zip(optimizer.param_groups, settings, strict=True):
                group.update(chosen)
        self.updates = dict(state["updates"])
        self.draws = state.get("draws", sum(self.updates.values()))  # older checkpoints: each update drew a batch
        self.clock = Clock(**state["clock"])
        self.meter.load_state_dict(state["meter"])

    def load_weights(self, state: Mapping[str, Any]) -> None:
        """The players' weights and the averaged generator only. Raises RuntimeError when the shapes differ, Unsound
        when the types do."""
        contents.check_types(state["game"], self.game, "game")
        contents.check_types(state["ema"], self.ema.network, "ema")
        self.game.load_state_dict(state["game"])
        self.ema.network.load_state_dict(state["ema"])
