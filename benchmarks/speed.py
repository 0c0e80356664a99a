"""Steps of `gan train` against those of a tutorial's loop with the same networks: time, arithmetic, memory.

    python benchmarks/speed.py [PAIR ...] [--device cuda] [--threads 2] >> benchmarks/results/speed.jsonl
    python benchmarks/speed.py --table              # writes the tables of docs/performance.md from that file
    python benchmarks/speed.py --tiny               # every pair with the smallest networks: does it run?

All loops of a pair live in one process and take turns: 5 to 25 rounds, in each a tenth of a second or a step of every
loop, and each time another loop begins. A time is the median of the rounds, a ratio the median over the rounds of the
tutorial's time over ours, so that a busy minute slows both down. GFLOP are counted by the formulas of
`torch.utils.flop_counter`, for products of matrices and convolutions; their share is of the rate of one large product
of matrices, measured between the rounds. MiB are the most bytes of tensors alive within a step, data included.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import speed_tables
import torch
from common import report
from counted import cost
from pairs import PAIRS, Pair
from torch import Tensor
from tutorial import Tutorial

from gan_cli import train
from gan_cli.config import build, compose, trust
from gan_cli.training.runtime import Stopwatch, bfloat16_cost, clock_of, pick_device, prepare_process
from gan_cli.training.trainer import Trainer

LEAST, MOST = 5, 25  # rounds
SIDE, TINY_SIDE = 2048, 64  # of the matrices whose product tells the machine's rate
CALLED_BACK = ("mlp on ring", "gan train, digits")
CALLBACKS = ("ProgressLine", "Health", "History")
TUTORIALS = {"tutorial, fakes once": "once", "tutorial, fakes twice": "twice"}


def seconds(work: Callable[[], Any], count: int, clock: Stopwatch) -> float:
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


def tutorial_of(pair: Pair, ours: Trainer, config: Mapping[str, Any], draws: str, device: torch.device) -> Tutorial:
    """The tutorial's loop with copies of our networks, and our settings."""
    players = copy.deepcopy(dict(ours.players))
    return Tutorial(
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
    )


def loops(pair: Pair, words: tuple[str, ...], device: torch.device) -> dict[str, Callable[[], Any]]:
    """A step of each: ours, ours in other ways, and the tutorial's."""
    ours, config = trainer_of(words)
    steps: dict[str, Callable[[], Any]] = {"ours": ours.step}
    slow = bfloat16_cost(device) >= 1
    for name, more in pair.variants.items():
        if not (slow and "trainer.precision=bfloat16" in more):
            steps[name] = trainer_of((*words, *more))[0].step
    return steps | {name: tutorial_of(pair, ours, config, draws, device).step for name, draws in TUTORIALS.items()}


def measured(name: str, arguments: argparse.Namespace, device: torch.device) -> None:
    """One line: a pair's loops against each other."""
    pair = PAIRS[name]
    steps = loops(pair, words_of(pair, arguments), device)
    clock, side = clock_of(device, arguments.threads), TINY_SIDE if arguments.tiny else SIDE
    begun = clock()
    costs = {loop: cost(step) for loop, step in steps.items()}  # the first steps, which are slower
    first = (clock() - begun) / len(steps)
    typical = first if first > 1 else max(seconds(step, 1, clock) for step in steps.values())
    block = max(1, round(arguments.seconds / MOST / typical))
    times: dict[str, list[float]] = {loop: [] for loop in steps}
    products, product = [], multiplied(device, side)
    for turn in range(max(LEAST, round(arguments.seconds / typical / block))):
        products.append(seconds(product, 1, clock))
        for loop in rotated(list(steps), turn):
            times[loop].append(seconds(steps[loop], block, clock))
    rate = 2 * side**3 / 1e9 / min(products)
    found: dict[str, dict[str, Any]] = {}
    for loop, (gflop, mib) in costs.items():
        spent = statistics.median(times[loop])
        found[loop] = {"seconds": spent, "gflop": gflop, "share": gflop / spent / rate, "mib": mib}
        if loop not in TUTORIALS:
            found[loop]["ratios"] = {theirs: ratio(times[theirs], times[loop]) for theirs in TUTORIALS}
    facts = {
        "device": name_of(device),
        "gemm_gflop_per_s": rate,
        "rounds": len(products),
        "block": block,
        "loops": found,
    }
    report("speed", pair=name, words=" ".join(pair.words), **rounded(facts))


def rotated(loops: Sequence[str], turn: int) -> list[str]:
    """Another one begins at each turn."""
    first = turn % len(loops)
    return [*loops[first:], *loops[:first]]


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
    parser.add_argument("--seconds", type=float, default=2.5, help="for each loop, or five steps")
    parser.add_argument("--part", metavar="K/N", default="1/1", help="only every N-th pair, from the K-th on")
    parser.add_argument("--tiny", action="store_true", help="networks of almost nothing, five rounds")
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
    first, every = (int(number) for number in arguments.part.split("/"))
    chosen = (arguments.pairs or list(PAIRS))[first - 1 :: every]
    for name in chosen:
        measured(name, arguments, device)
    for name in CALLED_BACK:
        if name in chosen:
            called_back(name, arguments, device)


if __name__ == "__main__":
    main()
