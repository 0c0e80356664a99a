"""Super-resolution x4 of photographs that come with matplotlib and scikit-image, beside a bicubic enlargement.

    gan train experiment=srresnet_small
    python benchmarks/translation/superres.py RUN [PICTURE.png]

PSNR on Y with a border of 4; the sharpness is the mean absolute slope of Y, of the original's. PICTURE shows each
photograph's middle: bicubic, result, original.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib.cbook
import numpy as np
import skimage.data
import torch
from PIL import Image
from torch import Tensor

from gan_cli import pictures, sample
from gan_cli.data.given import Smaller
from gan_cli.metrics.fidelity import enlarged, luma, psnr

SCALE, WINDOW = 4, 160


def photographs() -> dict[str, Tensor]:
    """uint8 [1, 3, H, W], sides multiples of the scale."""
    hopper = Image.open(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB")
    arrays = {"grace_hopper": np.asarray(hopper)}
    arrays |= {name: getattr(skimage.data, name)() for name in ("astronaut", "coffee", "rocket", "chelsea")}
    tensors = {name: torch.from_numpy(array.copy()).permute(2, 0, 1).unsqueeze(0) for name, array in arrays.items()}
    return {name: t[..., : t.shape[2] // SCALE * SCALE, : t.shape[3] // SCALE * SCALE] for name, t in tensors.items()}


def bright(picture: Tensor) -> Tensor:
    return luma(picture)[..., SCALE:-SCALE, SCALE:-SCALE]


def slope(picture: Tensor) -> float:
    y = bright(picture)
    return float((y.diff(dim=-1).abs().mean() + y.diff(dim=-2).abs().mean()) / 2)


def main(run: str, out: str | None = None) -> None:
    folder = Path(out).parent if out else Path()
    smaller, gains, shown = Smaller(3, SCALE), [], []
    for name, original in photographs().items():
        small = smaller.make(original.float().div(127.5).sub(1), torch.Generator())
        path = folder / f"{name}-small.png"
        pictures.save(pictures.to_uint8(small)[0], path)
        drawn = pictures.to_uint8(sample(run, f"source={path}"))
        path.unlink()
        bicubic = enlarged(pictures.to_uint8(small), original)
        before, after = (float(psnr(bright(p), bright(original))) for p in (bicubic, drawn))
        gains.append(after - before)
        sharp = [slope(p) / slope(original) for p in (bicubic, drawn)]
        facts = {"picture": name, "bicubic": before, "drawn": after, "gain": after - before, "sharpness": sharp}
        print(json.dumps(facts))
        top, left = (original.shape[2] - WINDOW) // 2, (original.shape[3] - WINDOW) // 2
        shown += [p[..., top : top + WINDOW, left : left + WINDOW] for p in (bicubic, drawn, original)]
    print(json.dumps({"gain of the first": gains[0], "of the next three": sum(gains[1:4]) / 3}))
    if out:
        pictures.save(pictures.grid(torch.cat(shown), 6), Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:3])
