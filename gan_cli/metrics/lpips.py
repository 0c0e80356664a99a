"""LPIPS: the distance between two pictures as a network sees it, weighed as people judge."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_cli.errors import WeightsMissing, WeightsRefused, two_lines
from gan_cli.metrics import ONE_SIZE, PAIRS, SOME, Better, Context, Estimate, NotMeasurable, PairMetric
from gan_cli.metrics import weights as files
from gan_cli.metrics.backbones import COLOURS, AlexNet, Backbone, TorchvisionBackbone, Vgg16
from gan_cli.metrics.fidelity import estimate

EPSILON = 1e-10  # beside the length of a place's features


def distance(a: Sequence[Tensor], b: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """Σ over layers of the mean over places of w · (â - b̂)², â and b̂ of unit length at each place (Zhang 2018, arXiv
    1801.03924, equation 1, with the weights w unsquared as they are published): `[N]`."""

    def unit(features: Tensor) -> Tensor:
        return features / (torch.linalg.vector_norm(features, dim=1, keepdim=True) + EPSILON)

    layers = zip(a, b, weights, strict=True)
    return torch.stack([F.conv2d((unit(x) - unit(y)).square(), w).mean((1, 2, 3)) for x, y, w in layers]).sum(0)


class Lpips(PairMetric):
    """LPIPS, version 0.1, of each sample and its target.

    Args:
        weights: The file of the network's weights; else the environment's, else torch hub's copy.
        linear: The file of the layers' weights, with the names of the authors' own; likewise.
    """

    value: str  # what it is called
    file: str  # of the layers' weights
    environment: str  # the variable that may name that file

    def __init__(self, weights: str | None = None, linear: str | None = None) -> None:
        self.weights, self.linear = weights, linear

    @abstractmethod
    def backbone(self) -> TorchvisionBackbone:
        """What sees the pictures."""

    def compute(self, context: Context) -> Mapping[str, Estimate]:
        if context.pairs is None:
            raise NotMeasurable(
                two_lines(f"{self.value} compares each sample with its own target, and these have none", PAIRS)
            )
        backbone = self.backbone()
        try:
            backbone.load()
            layers, digest = self._layers(len(backbone.layers))
        except (WeightsMissing, WeightsRefused) as error:
            raise NotMeasurable(f"{self.value} has nothing to see with: {error}") from error
        found: list[Tensor] = []
        for drawn, target, _ in context.pairs():
            self._check(backbone, drawn, target)
            found.append(self._distance(backbone, layers, drawn, target))
        if not found:
            raise NotMeasurable(two_lines(f"{self.value} is a mean over pictures, and there are none", SOME))
        convention = f"LPIPS 0.1, {backbone.model}, whole pictures, linear layers {digest[:8]}, float32"
        return {self.value: estimate(torch.cat(found).tolist(), convention, backbone.digest)}

    def _layers(self, count: int) -> tuple[list[Tensor], str]:
        """The weights of the layers' features, `[1, C, 1, 1]` each, and their file's sha256."""
        path = files.find(self.file, self.linear, self.environment)
        state, digest = files.read(path, files.digest_in(path.name))
        names = [f"lin{i}.model.1.weight" for i in range(count)]
        if not all(name in state and state[name].ndim == 4 for name in names):
            remedy = f"give the authors' file, weights/v0.1/{self.file}"
            raise WeightsRefused(two_lines(f"{path} holds no weights of LPIPS", remedy))
        return [state[name].float() for name in names], digest

    @torch.no_grad()
    def _distance(self, backbone: Backbone, layers: Sequence[Tensor], drawn: Tensor, target: Tensor) -> Tensor:
        seen = [backbone.features(images.float() / 127.5 - 1) for images in (drawn, target)]
        return distance(seen[0], seen[1], [weights.to(drawn.device) for weights in layers]).double().cpu()

    def _check(self, backbone: Backbone, drawn: Tensor, target: Tensor) -> None:
        shape = " x ".join(map(str, target.shape[1:]))
        if drawn.shape != target.shape:
            drawn_as = " x ".join(map(str, drawn.shape[1:]))
            raise NotMeasurable(
                two_lines(f"{self.value} compares pictures of one size, and these are {drawn_as} and {shape}", ONE_SIZE)
            )
        if min(target.shape[2:]) < backbone.least:
            raise NotMeasurable(
                two_lines(
                    f"{self.value} sees pictures of {backbone.least} pixels or more, and these are {shape}",
                    "give larger ones",
                )
            )
        if target.shape[1] not in COLOURS:
            raise NotMeasurable(
                two_lines(f"{self.value} sees grey and colour pictures, and these are {shape}", "give 1 or 3 channels")
            )


class AlexNetLpips(Lpips):
    """`lpips`: by AlexNet, as the authors measure."""

    detector = AlexNet.model
    value, file, environment = "lpips", "alex.pth", "GAN_LPIPS_ALEX"
    better = MappingProxyType({"lpips": Better.SMALLER})

    def backbone(self) -> TorchvisionBackbone:
        return AlexNet(self.weights, {f"relu{i}": 1.0 for i in range(1, 6)})


class Vgg16Lpips(Lpips):
    """`lpips_vgg`: by VGG16."""

    detector = Vgg16.model
    value, file, environment = "lpips_vgg", "vgg.pth", "GAN_LPIPS_VGG"
    better = MappingProxyType({"lpips_vgg": Better.SMALLER})

    def backbone(self) -> TorchvisionBackbone:
        last = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
        return Vgg16(self.weights, dict.fromkeys(last, 1.0))
