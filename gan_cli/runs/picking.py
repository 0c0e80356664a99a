"""`trainer.runtime=auto`: steps of the run itself are timed, and what is faster on this device goes into its config."""

from __future__ import annotations

import json
import logging
import math
import statistics
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from inspect import signature
from typing import Any, NamedTuple

import torch
import torch.distributed as dist

from gan_cli.config import build
from gan_cli.config.build import Checked
from gan_cli.config.trust import Trust
from gan_cli.store.run import heard
from gan_cli.training import together
from gan_cli.training.execution import lacks
from gan_cli.training.runtime import Stopwatch, bfloat16_cost, clock_of, pick_device, process_settings_kept
from gan_cli.training.trainer import Trainer

log = logging.getLogger(__name__)

WARM, TIMED = 2, 3  # steps before those that are timed, and those
SURE, GAIN = 1.05, 1.02  # what gains the first is kept; the second, if it does so side by side; less is left as it is
ROUNDS, BLOCK = 9, 0.1  # side by side: rounds, in each so many seconds of steps of both
# What trainer.runtime=auto picks where it is null, and its value where nothing is gained.
PLAIN: Mapping[str, Any] = {"precision": "float32", "channels_last": False, "compile": False, "benchmark": False}
Change = tuple[str, str, Any]  # of a config: group, key, value


class Picked(NamedTuple):
    """A config in which everything is said, and how that was found out; empty where there was nothing to pick."""

    checked: Checked
    how: str = ""


def picked(checked: Checked, trust: Trust) -> Picked:
    """The config with every setting that `trainer.runtime=auto` leaves open picked for the device.

    One setting after another is changed, and kept where steps are faster by it; what the user has set stays. A config
    that says everything, as that of a resumed run does, stays as it is. The first of several processes picks for all.
    """
    config = checked.config
    if config["trainer"].get("runtime") != "auto":
        return Picked(checked)
    usual = {
        **{("trainer", key): value for key, value in PLAIN.items() if config["trainer"].get(key) is None},
        **({("trainer", "threads"): torch.get_num_threads()} if config["trainer"].get("threads") is None else {}),
        **({("optimizer", "fused"): False} if _fusable(checked) else {}),
    }
    if not usual:
        return Picked(checked)
    if not together.several():
        return _timed(checked, trust, usual)
    if dist.get_rank() != 0:
        return Picked(build.check(json.loads(together.told("")), trust))
    with together.apart():
        found = _timed(checked, trust, usual)
    together.told(json.dumps(found.checked.config))
    return found


def _timed(checked: Checked, trust: Trust, usual: Mapping[tuple[str, str], Any]) -> Picked:
    """The same, by timing steps of this process.

    Args:
        usual: The settings to pick, by group and key, each as it is where nothing is gained.
    """
    config = checked.config
    log.info("trainer.runtime=auto: timing steps")
    device, best = pick_device(config["trainer"]["device"], "trainer.device"), config
    for (group, key), value in usual.items():
        best = _with(best, (group, key, value))
    clock = clock_of(device, best["trainer"]["threads"])
    plain = spent = _seconds(best, trust, clock)
    changes = _changes(config, device) if math.isfinite(plain) else ()  # else whoever trains says what is wrong
    tried = []
    for change in (change for change in changes if change[:2] in usual):
        other = _with(best, change)
        seconds = _seconds(other, trust, clock)
        kept = seconds * SURE < spent
        if not kept and seconds < spent * SURE:  # too near to be told from a few steps
            kept = _gain(best, other, trust, clock, max(1, round(BLOCK / spent))) > GAIN
        tried.append(f"{change[1]}={str(change[2]).lower()} {_ms(seconds)}{', kept' if kept else ''}")
        best, spent = (other, seconds) if kept else (best, spent)
    how = f"a step takes {_ms(plain)}; {'; '.join(tried) or 'nothing else to try'}"
    log.info("trainer.runtime=auto: %s", how)
    return Picked(build.check(best, trust), how)


def _changes(config: Mapping[str, Any], device: torch.device) -> Iterator[Change]:
    """What may make steps faster on this device; what cannot is not tried."""
    if device.type == "cpu":
        for count in sorted({torch.get_num_threads() // 2, 1} - {0, torch.get_num_threads()}, reverse=True):
            yield "trainer", "threads", count
    yield "optimizer", "fused", True
    if bfloat16_cost(device) < 1:
        yield "trainer", "precision", "bfloat16"
    if config["dataset"].get("resolution"):
        yield "trainer", "channels_last", True
    # On a CPU compiling takes most of a minute and has gained nothing (docs/runtime.md).
    if device.type == "cuda" and not lacks(device):
        yield "trainer", "compile", True


def _fusable(checked: Checked) -> bool:
    """Whether the optimizer can update all weights in one pass, and the config does not say."""
    part = checked.parts["optimizer.generator"]
    return part.settings.get("fused") is None and "fused" in signature(part.target).parameters


def _with(config: Mapping[str, Any], change: Change) -> dict[str, Any]:
    group, key, value = change
    return {**config, group: {**config[group], key: value}}


def _trainer(config: Mapping[str, Any], trust: Trust) -> Trainer:
    """One process's share of the run, ready for its first step."""
    trainer = config["trainer"]
    share = config["dataset"]["batch_size"] // trainer["devices"]
    alone = {**config, "trainer": {**trainer, "devices": 1}, "dataset": {**config["dataset"], "batch_size": share}}
    made = build.trainer(build.check(alone, trust))
    made.place()
    return made


def _seconds(config: Mapping[str, Any], trust: Trust, clock: Stopwatch) -> float:
    """The time of a step, the shortest of some; infinite where it cannot be taken."""
    with _tried():
        trainer = _trainer(config, trust)
        return min([_spent(trainer, clock) for _ in range(WARM + TIMED)][WARM:])
    return math.inf


def _gain(usual: Mapping[str, Any], other: Mapping[str, Any], trust: Trust, clock: Stopwatch, steps: int) -> float:
    """The time of a step of the one over that of the other, the median of rounds in which both take turns; 1 where a
    quarter of the rounds says otherwise, or where both cannot be there at once."""
    with _tried():
        pair = _trainer(usual, trust), _trainer(other, trust)
        rounds = [[_spent(trainer, clock, steps) for trainer in pair] for _ in range(1 + ROUNDS)]
        ratios = sorted(slow / fast for slow, fast in rounds[1:])  # the first steps are slower
        return statistics.median(ratios) if ratios[ROUNDS // 4] > 1 else 1.0
    return 1.0


@contextmanager
def _tried() -> Iterator[None]:
    """Leaves the process as it was; nothing is said of steps that fail."""
    try:
        with process_settings_kept(), heard(aloud=False):
            yield
    except Exception as error:
        log.debug("not timed: %s", error, exc_info=True)


def _spent(trainer: Trainer, clock: Stopwatch, steps: int = 1) -> float:
    """Seconds for some steps."""
    trainer.runtime.prepare()  # another trainer's threads may be set
    begun = clock()
    for _ in range(steps):
        trainer.step()
    return clock() - begun


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms" if math.isfinite(seconds) else "fails"
