"""`trainer.runtime=auto`: steps of the run itself are timed, and what is faster on this device goes into its config."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Mapping
from inspect import signature
from typing import Any, NamedTuple

import torch

from gan_cli.config import build
from gan_cli.config.build import Checked
from gan_cli.config.trust import Trust
from gan_cli.store.run import heard
from gan_cli.training.execution import lacks
from gan_cli.training.runtime import bfloat16_cost, pick_device, process_settings_kept, wait_for

log = logging.getLogger(__name__)

WARM, TIMED = 2, 3  # steps before those that are timed, and those
GAIN = 1.05  # what makes no more difference than this is left as it is
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
    that says everything, as that of a resumed run does, stays as it is.
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
    log.info("trainer.runtime=auto: timing steps")
    device, best = pick_device(config["trainer"]["device"]), config
    for (group, key), value in usual.items():
        best = _with(best, (group, key, value))
    plain = spent = _seconds(best, trust, device)
    changes = _changes(config, device) if math.isfinite(plain) else ()  # else whoever trains says what is wrong
    tried = []
    for change in (change for change in changes if change[:2] in usual):
        other = _with(best, change)
        seconds = _seconds(other, trust, device)
        kept = seconds * GAIN < spent
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


def _seconds(config: Mapping[str, Any], trust: Trust, device: torch.device) -> float:
    """The time of a step, the shortest of some; infinite where it cannot be taken."""
    trainer = config["trainer"]
    share = config["dataset"]["batch_size"] // trainer["devices"]
    alone = {**config, "trainer": {**trainer, "devices": 1}, "dataset": {**config["dataset"], "batch_size": share}}
    try:
        with process_settings_kept(), heard(aloud=False):
            return _timed(build.trainer(build.check(alone, trust)), device)
    except Exception as error:
        log.debug("not timed: %s", error, exc_info=True)
        return math.inf


def _timed(trainer: Any, device: torch.device) -> float:
    trainer.place()
    spent = []
    for _ in range(WARM + TIMED):
        wait_for(device)
        begun = time.perf_counter()
        trainer.step()
        wait_for(device)
        spent.append(time.perf_counter() - begun)
    return min(spent[WARM:])


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms" if math.isfinite(seconds) else "fails"
