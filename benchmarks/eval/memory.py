"""Peak memory of an evaluation at 25,000 and at 50,000 images with a detector of 2048 features: it must not grow."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def one(n: int) -> None:
    import torch
    from common import peak_mib

    from gan_cli.metrics.features import Collector, Seen
    from gan_cli.metrics.frechet import frechet_distance

    mixing = torch.randn(3 * 32 * 32, 2048, generator=torch.Generator().manual_seed(0)) / 50
    collector = Collector(lambda x: Seen((x.flatten(1).float() / 255) @ mixing), groups=True)
    before, start = peak_mib(), time.perf_counter()
    generator = torch.Generator().manual_seed(1)
    for _ in range(n // 250):
        collector.add(torch.randint(0, 256, (250, 3, 32, 32), dtype=torch.uint8, generator=generator))
    features = collector.finish()
    distance = frechet_distance(features.moments, features.moments)
    print(json.dumps({"mib": peak_mib() - before, "seconds": time.perf_counter() - start, "distance": distance}))


def main() -> None:
    if len(sys.argv) > 1:
        one(int(sys.argv[1]))
        return
    from common import report

    found = {}
    for n in (25_000, 50_000):
        done = subprocess.run([sys.executable, __file__, str(n)], capture_output=True, text=True, check=True)
        found[n] = json.loads(done.stdout)
    report(
        "memory", mib_25000=found[25_000]["mib"], mib_50000=found[50_000]["mib"], seconds_50000=found[50_000]["seconds"]
    )


if __name__ == "__main__":
    main()
