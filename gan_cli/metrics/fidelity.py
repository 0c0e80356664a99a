"""Each sample against its own target: PSNR and SSIM, beside those of a bicubic enlargement; and the error of a round
trip. They read pixels and no features, and so carry no detector in their names."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_cli.errors import two_lines
from gan_cli.metrics import ONE_SIZE, PAIRS, SOME, Better, Context, Estimate, NotMeasurable, PairMetric
from gan_cli.types import NonNegativeInt

WHITE = 255
WINDOW, SIGMA = 11, 1.5  # of SSIM's Gaussian
Y_OF_RGB = (65.481, 128.553, 24.966)  # of 0 ... 1 each; 16 is added


def luma(images: Tensor) -> Tensor:
    """Y of BT.601 in studio range, 16 ... 235, as MATLAB's rgb2ycbcr has it, unrounded: float64 `[N, 1, H, W]` of
    `[N, 3, H, W]` in 0 ... 255."""
    weights = torch.tensor(Y_OF_RGB, dtype=torch.float64, device=images.device) / WHITE
    return 16 + (images.double() * weights.view(1, 3, 1, 1)).sum(1, keepdim=True)


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """10 log₁₀(255² / mean (a - b)²) of each image `[N, C, H, W]`, in dB; infinite for equals."""
    return 10 * torch.log10(WHITE**2 / (a.double() - b.double()).square().flatten(1).mean(1))


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity (Wang 2004, Image quality assessment, equation 13) of each image `[N, C, H, W]` in
    0 ... 255, the mean over channels and over the places where the whole window lies inside; K₁ = 0.01, K₂ = 0.03."""
    a, b = a.double(), b.double()
    way = torch.arange(WINDOW, dtype=torch.float64, device=a.device) - WINDOW // 2
    line = torch.exp(-(way**2) / (2 * SIGMA**2))
    line = (line / line.sum()).expand(a.shape[1], 1, 1, WINDOW)

    def mean(images: Tensor) -> Tensor:
        """Under the Gaussian, along the rows and then along the columns."""
        return F.conv2d(F.conv2d(images, line, groups=a.shape[1]), line.mT, groups=a.shape[1])

    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * WHITE) ** 2, (0.03 * WHITE) ** 2
    similar = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    values = similar / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return values.flatten(1).mean(1)


def enlarged(given: Tensor, target: Tensor) -> Tensor:
    """What was given, at the size of the target: the bicubic of MATLAB and Pillow (a = -1/2), uint8."""
    # Without `antialias` torch takes a = -3/4, as OpenCV does.
    larger = F.interpolate(given.float(), target.shape[2:], mode="bicubic", antialias=True, align_corners=False)
    return larger.round().clamp(0, WHITE).to(torch.uint8)


def scale_of(given: Tensor, target: Tensor) -> int:
    """The whole number of times that the target is larger, both ways; 1 where there is none."""
    (h, w), (height, width) = given.shape[2:], target.shape[2:]
    scale = height // h
    return scale if scale > 1 and (h * scale, w * scale) == (height, width) else 1


def estimate(values: Sequence[float], convention: str, weights: str | None = None) -> Estimate:
    """The mean over pictures and its standard error, of one value a picture."""
    each = torch.tensor(values, dtype=torch.float64)
    se = float(each.std() / math.sqrt(len(each))) if len(each) > 1 else None
    finite = se if se is not None and math.isfinite(se) else None
    return Estimate(float(each.mean()), finite, f"{convention}, mean over pictures", len(each), len(each), weights)


class Fidelity(PairMetric):
    """`psnr` and `ssim` of each sample and its target; where what was given is smaller by a whole factor also
    `psnr_bicubic` and `ssim_bicubic`, of its enlargement, and `psnr_gain`, the mean of the differences.

    Args:
        border: Pixels left out at each edge; None for as many as the factor, as super-resolution has it.
        luma: Colours are compared by their Y only, as super-resolution has it; else by all channels.
    """

    better = MappingProxyType(dict.fromkeys(("psnr", "ssim", "psnr_gain"), Better.LARGER))

    def __init__(self, border: NonNegativeInt | None = None, luma: bool = True) -> None:
        self.border = border
        self.luma = luma

    def compute(self, context: Context) -> Mapping[str, Estimate]:
        if context.pairs is None:
            raise NotMeasurable(
                two_lines("psnr and ssim compare each sample with its own target, and these have none", PAIRS)
            )
        found: defaultdict[str, list[float]] = defaultdict(list)
        said: set[str] = set()
        for drawn, target, given in context.pairs():
            if drawn.shape != target.shape:
                shapes = " and ".join(" x ".join(map(str, images.shape[1:])) for images in (drawn, target))
                raise NotMeasurable(
                    two_lines(f"psnr and ssim compare pictures of one size, and these are {shapes}", ONE_SIZE)
                )
            scale = scale_of(given, target)
            border = (scale if scale > 1 else 0) if self.border is None else self.border
            wanted = self._seen(target, border)
            said.add(self._convention(target, border, scale))
            self._add(found, "", self._seen(drawn, border), wanted)
            if scale > 1 and given.shape[1] == target.shape[1]:
                self._add(found, "_bicubic", self._seen(enlarged(given, target), border), wanted)
                found["psnr_gain"].append(_difference(found["psnr"][-1], found["psnr_bicubic"][-1]))
        if not found:
            raise NotMeasurable(two_lines("psnr and ssim are means over pictures, and there are none", SOME))
        convention = " or ".join(sorted(said))
        return {name: estimate(values, convention) for name, values in found.items()}

    def _seen(self, images: Tensor, border: int) -> Tensor:
        """What of a picture is compared: float64 `[N, C, h, w]`."""
        height, width = images.shape[2:]
        if 2 * border >= min(height, width):
            what = f"a border of {border} pixels leaves nothing of pictures of {height} x {width}"
            raise NotMeasurable(f"{what}\n  metrics.fidelity.border=0 keeps all of them")
        channels = luma(images) if self._by_luma(images) else images.double()
        return channels[..., border : height - border, border : width - border]

    def _by_luma(self, images: Tensor) -> bool:
        return self.luma and images.shape[1] == 3

    def _convention(self, target: Tensor, border: int, scale: int) -> str:
        channels = target.shape[1]
        what = "Y of BT.601 (16 ... 235)" if self._by_luma(target) else {1: "grey", 3: "RGB"}.get(channels, "channels")
        small = min(target.shape[2:]) - 2 * border < WINDOW
        return ", ".join(
            [
                what,
                f"border {border}",
                *([f"enlarged x{scale}"] if scale > 1 else []),
                *([f"no ssim under {WINDOW} pixels"] if small else []),
            ]
        )

    @staticmethod
    def _add(found: Mapping[str, list[float]], suffix: str, a: Tensor, b: Tensor) -> None:
        found[f"psnr{suffix}"].append(float(psnr(a, b)))
        if min(a.shape[2:]) >= WINDOW:
            found[f"ssim{suffix}"].append(float(ssim(a, b)))


def _difference(a: float, b: float) -> float:
    """a - b, and none where both are infinite."""
    return 0.0 if a == b else a - b


class CycleError(PairMetric):
    """`cycle_error`: mean |F(G(x)) - x| in units of which 255 are white (CycleGAN, arXiv 1703.10593, equation 2)."""

    better = MappingProxyType({"cycle_error": Better.SMALLER})

    def compute(self, context: Context) -> Mapping[str, Estimate]:
        if context.round_trips is None:
            raise NotMeasurable(two_lines("cycle_error needs a generator of the way back", "game=cycle trains one"))
        errors = []
        for given, back in context.round_trips():
            if given.shape != back.shape:
                shapes = " and ".join(" x ".join(map(str, images.shape[1:])) for images in (given, back))
                raise NotMeasurable(
                    two_lines(f"cycle_error compares pictures of one size, and these are {shapes}", ONE_SIZE)
                )
            errors += (back.double() - given.double()).abs().flatten(1).mean(1).tolist()
        if not errors:
            raise NotMeasurable(two_lines("cycle_error is a mean over pictures, and there are none", SOME))
        return {"cycle_error": estimate(errors, "mean |back - given| of 255")}
