"""Precision, recall, density, coverage of 10,000 x 10,000 x 2048 against `prdc`, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

N, D, K = 10_000, 2048, 5


def one(which: str) -> None:
    """Measures one implementation and prints what it found."""
    import torch
    from common import peak_mib

    from gan_cli.metrics.prdc import prdc

    generator = torch.Generator().manual_seed(0)
    real = torch.relu(torch.randn(N, D, generator=generator) + 0.3)
    fake = torch.relu(0.99 * torch.randn(N, D, generator=generator) + 0.31)
    if which == "theirs":
        from prdc import compute_prdc
    before, start = peak_mib(), time.perf_counter()
    found = prdc(real, fake, K) if which == "ours" else compute_prdc(real.numpy(), fake.numpy(), K)
    facts = {"seconds": time.perf_counter() - start, "mib": peak_mib() - before}
    print(json.dumps({**facts, "values": {name: float(value) for name, value in found.items()}}))


def main() -> None:
    if len(sys.argv) > 1:
        one(sys.argv[1])
        return
    from common import report

    found = {}
    for which in ("ours", "theirs"):
        done = subprocess.run([sys.executable, __file__, which], capture_output=True, text=True, check=True)
        found[which] = json.loads(done.stdout.strip().splitlines()[-1])
    ours, theirs = found["ours"], found["theirs"]
    difference = max(abs(ours["values"][name] - theirs["values"][name]) for name in ours["values"])
    report(
        "prdc",
        **{key: ours[key] for key in ("seconds", "mib")},
        seconds_prdc=theirs["seconds"],
        mib_prdc=theirs["mib"],
        time_ratio=ours["seconds"] / theirs["seconds"],
        memory_ratio=ours["mib"] / theirs["mib"],
        values=ours["values"],
        largest_difference=difference,
    )


if __name__ == "__main__":
    main()
