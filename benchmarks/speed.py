"""Steps of `gan train` against those of a tutorial's loop with the same networks: time, arithmetic, memory.

    python benchmarks/speed.py [PAIR ...] [--device cuda] [--threads 2] >> benchmarks/results/speed.jsonl
    python benchmarks/speed.py --table              # writes the tables of docs/performance.md from that file
    python benchmarks/speed.py --tiny               # every pair with the smallest networks: does it run?

All loops of a pair live in one process and take turns: five rounds, in each a block of steps of every loop. A time is
the median of the blocks, a ratio the median over the rounds of the tutorial's time over ours, so that a busy minute
slows both down. GFLOP are counted by the formulas of `torch.utils.flop_counter`, for products of matrices and
convolutions; their share is of the rate of one large product of matrices, measured between the rounds. MiB are the
most bytes of tensors alive within a step, data included.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import speed_tables
import torch
import tutorial
from common import report
from counted import cost
from torch import Tensor
from tutorial import Recipe, Tutorial

from gan_cli import train
from gan_cli.config import build, compose, trust
from gan_cli.training.runtime import bfloat16_cost, pick_device, prepare_process, wait_for
from gan_cli.training.trainer import Trainer

ROUNDS = 5
SIDE, TINY_SIDE = 2048, 64  # of the matrices whose product tells the machine's rate


@dataclass(frozen=True)
class Pair:
    """A model on data.

    Args:
        words: As `gan train` takes them.
        tiny: More of them, for networks of almost nothing.
        recipe: What the tutorial computes.
        variants: Our other ways to train the same, by name.
    """

    words: tuple[str, ...]
    tiny: tuple[str, ...]
    recipe: Recipe
    variants: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


COLOUR = ("dataset=digits", "dataset.resolution=32", "dataset.channels=3")
GREY = ("dataset=digits", "dataset.resolution=32")
REUSED = {"reused": ("game.fakes=reused",)}
SHARE = ("penalty.gradient_penalty.share=0.25",)
FEWER = {"share=0.25": SHARE, "share=0.25, reused": (*SHARE, *REUSED["reused"])}
BFLOAT16 = {"bfloat16": ("trainer.precision=bfloat16",)}  # tried where the device is faster in it
BOTH = {**REUSED, **BFLOAT16, "bfloat16, reused": (*BFLOAT16["bfloat16"], *REUSED["reused"])}
SMALL = ("model.latent_dim=4", "model.width=2", "dataset.batch_size=4")
SMALL_MLP = ("model.generator.hidden=[8]", "model.discriminator.hidden=[8]", "dataset.batch_size=4")
STYLED = ("model.generator.style_dim=64", "model.generator.mapping_layers=2", "penalty=[r1]")
PAIRS = {
    "dcgan, 32 px": Pair(
        ("model=dcgan", "model.width=32", "dataset.batch_size=64", *COLOUR), SMALL, tutorial.DCGAN, BOTH
    ),
    "sngan, 32 px": Pair(
        ("model=sngan", "loss=hinge", "dataset.batch_size=16", *COLOUR), SMALL, tutorial.HINGE, REUSED
    ),
    "dcgan, wgan_gp": Pair(
        ("model=dcgan", "model.width=32", "loss=wgan_gp", "dataset.batch_size=64", *COLOUR),
        SMALL,
        tutorial.WGAN_GP,
        FEWER,
    ),
    "mlp, 32 px grey": Pair(("model=mlp", "dataset.batch_size=64", *GREY), SMALL_MLP, tutorial.DCGAN, BOTH),
    "mlp on ring": Pair(("model=mlp", "dataset=ring", "dataset.batch_size=256"), SMALL_MLP, tutorial.DCGAN, BOTH),
    "r3gan, small": Pair(
        ("model=r3gan", "loss=r3gan", "model.width=32", "dataset.batch_size=16", *COLOUR),
        ("model.latent_dim=4", "model.width=8", "model.blocks=1", "model.group_width=2", "dataset.batch_size=4"),
        tutorial.R3GAN,
    ),
    "stylegan2, small": Pair(
        ("model=stylegan2", "model.channel_base=1024", "model.latent_dim=64", *STYLED, "dataset.batch_size=16", *GREY),
        ("model.channel_base=32", "model.channel_max=4", "model.generator.style_dim=4", "dataset.batch_size=4"),
        tutorial.STYLEGAN2,
    ),
    "gan train, digits": Pair((), SMALL, tutorial.DCGAN, BOTH),
}
CALLED_BACK = ("mlp on ring", "gan train, digits")
CALLBACKS = ("ProgressLine", "Health", "History")
TUTORIALS = {"tutorial, fakes once": "once", "tutorial, fakes twice": "twice"}


Clock = Callable[[], float]  # seconds


def clock_of(device: torch.device, threads: int) -> Clock:
    """One thread's own time where there is one, of which other programs take nothing; else the clock on the wall, once
    the device has done what it was given."""
    if device.type == "cpu" and threads == 1:
        return time.process_time

    def wall() -> float:
        wait_for(device)
        return time.perf_counter()

    return wall


def seconds(work: Callable[[], Any], count: int, clock: Clock) -> float:
    """The mean time of `count` times."""
    begun = clock()
    for _ in range(count):
        work()
    return (clock() - begun) / count


def multiplied(device: torch.device, side: int) -> Callable[[], Tensor]:
    """A product of two large matrices of random numbers, in float32."""
    left, right = torch.randn(2, side, side, device=device)
    product = torch.empty(side, side, device=device)
    return lambda: torch.mm(left, right, out=product)


def trainer_of(words: Sequence[str]) -> tuple[Trainer, dict[str, Any]]:
    checked = build.check(compose.compose("train", list(words)).config, trust.for_runs())
    trainer = build.trainer(checked)
    trainer.place()
    return trainer, checked.config


def loops(pair: Pair, words: tuple[str, ...], device: torch.device) -> dict[str, Callable[[], Any]]:
    """A step of each: ours, ours in other ways, and the tutorial's."""
    ours, config = trainer_of(words)
    steps: dict[str, Callable[[], Any]] = {"ours": ours.step}
    slow = bfloat16_cost(device) >= 1
    for name, more in pair.variants.items():
        if not (slow and "trainer.precision=bfloat16" in more):
            steps[name] = trainer_of((*words, *more))[0].step
    for name, draws in TUTORIALS.items():
        players = copy.deepcopy(dict(ours.players))
        steps[name] = Tutorial(
            **players,
            samples=ours.data.previewed(len(ours.data)).real.cpu(),
            batch_size=ours.data.batch_size,
            latent_dim=config["model"]["latent_dim"],
            recipe=pair.recipe,
            critic_steps=config["game"]["critic_steps"],
            draws=draws,
            lr=config["optimizer"]["lr"],
            betas=tuple(config["optimizer"]["betas"]),
            device=device,
        ).step
    return steps


def measured(name: str, arguments: argparse.Namespace, device: torch.device) -> None:
    """One line: a pair's loops against each other."""
    pair = PAIRS[name]
    steps = loops(pair, words_of(pair, arguments), device)
    clock, side = clock_of(device, arguments.threads), TINY_SIDE if arguments.tiny else SIDE
    costs = {loop: cost(step) for loop, step in steps.items()}  # the first steps, which are slower
    slowest = max(seconds(step, 1, clock) for step in steps.values())
    block, product = max(1, round(arguments.seconds / slowest)), multiplied(device, side)
    times: dict[str, list[float]] = {loop: [] for loop in steps}
    products = []
    for _ in range(ROUNDS):
        products.append(seconds(product, 2, clock))
        for loop, step in steps.items():
            times[loop].append(seconds(step, block, clock))
    rate = 2 * side**3 / 1e9 / min(products)
    found: dict[str, dict[str, Any]] = {}
    for loop, (gflop, mib) in costs.items():
        spent = statistics.median(times[loop])
        found[loop] = {"seconds": spent, "gflop": gflop, "share": gflop / spent / rate, "mib": mib}
        if loop not in TUTORIALS:
            found[loop]["ratios"] = {theirs: ratio(times[theirs], times[loop]) for theirs in TUTORIALS}
    facts = {"device": name_of(device), "gemm_gflop_per_s": rate, "block": block, "loops": found}
    report("speed", pair=name, words=" ".join(pair.words), **rounded(facts))


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> float:
    """The median of the rounds."""
    return statistics.median(one / other for one, other in zip(theirs, ours, strict=True))


def name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def words_of(pair: Pair, arguments: argparse.Namespace) -> tuple[str, ...]:
    return (*pair.words, *(pair.tiny if arguments.tiny else ()), f"trainer.device={arguments.device}")


def rounded(value: Any) -> Any:
    """Five digits are enough of a number."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    return float(f"{value:.5g}") if isinstance(value, float) else value


def called_back(name: str, arguments: argparse.Namespace, device: torch.device) -> None:
    """One line: what the usual callbacks cost at their usual intervals, by `callback=profile`."""
    steps = 4 if arguments.tiny else 100  # a whole number of every interval
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(sys.stderr):
        folder = train(
            *words_of(PAIRS[name], arguments),
            *("callback=[progress,health,history,profile]", f"hydra.run.dir={scratch}/run"),
            *(f"trainer.max_steps={10 + steps}", f"callback.profile.steps={steps}", "callback.profile.traced=0"),
        ).folder
        found = json.loads((folder / "result.json").read_text())["profile"]
    shares = {callback: found[f"callback: {callback}"] / found["a step"] for callback in CALLBACKS}
    report("callbacks", pair=name, device=name_of(device), **rounded({"seconds": found["a step"], "shares": shares}))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("pairs", nargs="*", help=f"all, or some of: {'; '.join(PAIRS)}")
    parser.add_argument("--device", default="cpu", help="auto | cpu | cuda")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    parser.add_argument("--seconds", type=float, default=0.5, help="that a block takes, or one step")
    parser.add_argument("--tiny", action="store_true", help="networks of almost nothing, blocks of a step")
    parser.add_argument("--table", action="store_true", help="only write the tables of docs/performance.md")
    arguments = parser.parse_args()
    if arguments.table:
        speed_tables.write()
        return
    if unknown := {*arguments.pairs} - {*PAIRS}:
        parser.error(f"{', '.join(sorted(unknown))}: choose from {'; '.join(PAIRS)}")
    arguments.seconds = 0.0 if arguments.tiny else arguments.seconds
    prepare_process()
    torch.set_num_threads(arguments.threads)
    device = pick_device(arguments.device)
    chosen = arguments.pairs or list(PAIRS)
    for name in chosen:
        measured(name, arguments, device)
    for name in CALLED_BACK:
        if name in chosen:
            called_back(name, arguments, device)


if __name__ == "__main__":
    main()
