"""make demo: train on real handwritten digits, measure, and show what came out."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import torch
from torch import Tensor

from gan_cli import evaluate, pictures, sample, train


def as_text(images: Tensor, columns: int) -> str:
    """Grey images uint8 `[N, 1, H, W]` as lines of half blocks, two pixels a character."""
    rows = [torch.cat(list(row), dim=-1)[0] for row in images.split(columns)]
    lines = []
    for top, bottom in torch.cat(rows).view(-1, 2, rows[0].shape[1]):
        pairs = zip(top.tolist(), bottom.tolist(), strict=True)
        lines.append("".join(" ▄▀█"[2 * (upper > 110) + (lower > 110)] for upper, lower in pairs))
    return "\n".join(lines)


def main() -> None:
    run = train("experiment=demo")
    distance = evaluate(run.folder, "detector=pixels", "metrics=[fid]", n=1797).fd_pixels
    grid = run.folder / "samples" / "demo.png"
    digits = pictures.to_uint8(sample(run.folder, "n=100", f"out={grid}"))
    encoding = sys.stdout.encoding or ""
    if encoding.lower().startswith("utf"):
        columns = max(2, min(8, shutil.get_terminal_size().columns // digits.shape[-1]))
        print("\n" + as_text(digits[: 3 * columns], columns))
    print(f"\nfd_pixels = {distance.value:.2f} ({distance.n_fake} samples against {distance.n_real} digits)")
    print(f"100 digits that nobody wrote: {grid}")
    print(f"the run folder:               {run.folder}")
    executable = Path(sys.executable).parent / "gan"
    try:
        gan = executable.relative_to(Path.cwd())
    except ValueError:
        gan = executable
    print("\nTry next:")
    print(f"  {gan} sample {run.folder} n=64 seed=7")
    print(f"  {gan} train resume={run.folder} trainer.max_steps={2 * run.step} trainer.max_minutes=10")
    print(f"  {gan} train -m model=mlp dataset=ring loss=nonsaturating,wgan_gp trainer.max_steps=2000")


if __name__ == "__main__":
    main()
