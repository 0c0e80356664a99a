"""The Inception network of 2015-12-05 that the published FID is defined by, with pytorch-fid's architecture."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from gan_cli.metrics.detectors import sha256

SIDE = 299
FILE = "pt_inception-2015-12-05-6726825d.pth"
DIGEST_PREFIX = "6726825d"
ENVIRONMENT = "GAN_INCEPTION"


class WeightsMissing(ValueError):
    """The weights are nowhere; the message names file, digest and place."""


def find_weights(weights: str | None) -> Path:
    """The file given, else $GAN_INCEPTION's, else torch hub's copy, else a download that is checked by its digest.

    Raises:
        WeightsMissing: None of these.
    """
    asked = weights or os.environ.get(ENVIRONMENT)
    if asked:
        path = Path(os.path.expanduser(asked))
        if not path.is_file():
            raise WeightsMissing(f"no Inception weights at {path}: give the file with weights=... or ${ENVIRONMENT}")
        return path
    kept = Path(torch.hub.get_dir()) / "checkpoints" / FILE
    if kept.is_file():
        return kept
    from pytorch_fid.inception import FID_WEIGHTS_URL

    kept.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(FID_WEIGHTS_URL, str(kept), hash_prefix=DIGEST_PREFIX, progress=False)
    except (URLError, OSError, RuntimeError) as error:
        raise WeightsMissing(
            f"FID needs the weights {FILE} (sha256 {DIGEST_PREFIX}...), and they could not be fetched ({error})\n"
            f"  put the file at {kept}, or name it with weights=FILE or ${ENVIRONMENT}; detector=pixels needs none"
        ) from error
    return kept


def build_network(state: dict[str, Tensor]) -> nn.Module:
    """pytorch-fid's patched Inception up to the 2048 pooled features, convolutions and batch norms fused."""
    from pytorch_fid import inception as patched
    from torchvision.models import inception_v3

    network = inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False)
    network.Mixed_5b = patched.FIDInceptionA(192, pool_features=32)
    network.Mixed_5c = patched.FIDInceptionA(256, pool_features=64)
    network.Mixed_5d = patched.FIDInceptionA(288, pool_features=64)
    network.Mixed_6b = patched.FIDInceptionC(768, channels_7x7=128)
    network.Mixed_6c = patched.FIDInceptionC(768, channels_7x7=160)
    network.Mixed_6d = patched.FIDInceptionC(768, channels_7x7=160)
    network.Mixed_6e = patched.FIDInceptionC(768, channels_7x7=192)
    network.Mixed_7b = patched.FIDInceptionE_1(1280)
    network.Mixed_7c = patched.FIDInceptionE_2(2048)
    found = network.load_state_dict(state, strict=False)
    lacking = [key for key in found.missing_keys if not key.startswith("fc.") and "num_batches" not in key]
    if lacking or found.unexpected_keys:
        raise WeightsMissing(
            f"this is no FID Inception: it lacks {lacking[:3]}, has {found.unexpected_keys[:3]} besides"
        )
    network.eval()
    for module in network.modules():
        if hasattr(module, "conv") and hasattr(module, "bn"):
            module.conv, module.bn = fuse_conv_bn_eval(module.conv, module.bn), nn.Identity()
    stages = [
        network.Conv2d_1a_3x3, network.Conv2d_2a_3x3, network.Conv2d_2b_3x3, nn.MaxPool2d(3, stride=2),
        network.Conv2d_3b_1x1, network.Conv2d_4a_3x3, nn.MaxPool2d(3, stride=2),
        network.Mixed_5b, network.Mixed_5c, network.Mixed_5d, network.Mixed_6a, network.Mixed_6b, network.Mixed_6c,
        network.Mixed_6d, network.Mixed_6e, network.Mixed_7a, network.Mixed_7b, network.Mixed_7c,
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    ]  # fmt: skip
    return nn.Sequential(*stages).requires_grad_(False).to(memory_format=torch.channels_last)


@cache
def tf1_bilinear(size: int, target: int = SIDE) -> Tensor:
    """`[target, size]`: row j mixes the neighbours of j·size/target, as TensorFlow 1 resized (no half-pixel shift)."""
    position = torch.arange(target, dtype=torch.float64) * (size / target)
    low = position.floor().long().clamp(max=size - 1)
    high = (low + 1).clamp(max=size - 1)
    fraction = position - low
    rows = torch.arange(target)
    matrix = torch.zeros(target, size, dtype=torch.float64)
    matrix[rows, low] += 1 - fraction
    matrix[rows, high] += fraction
    return matrix.float()


class Inception:
    """2048 features of the last pooling; float32, TF32 off.

    Args:
        weights: A state dict of the network; with or without the `fc` layer.
    """

    name = ""
    convention = "inception-2015-12-05, tf1 bilinear 299, float32"

    def __init__(self, weights: str | None = None) -> None:
        path = find_weights(weights)
        self.digest: str | None = sha256(str(path))
        if path.name == FILE and not self.digest.startswith(DIGEST_PREFIX):
            raise WeightsMissing(f"{path} is damaged: its sha256 is {self.digest[:8]}..., not {DIGEST_PREFIX}...")
        self.network = build_network(torch.load(path, map_location="cpu", weights_only=True))
        self.device = torch.device("cpu")

    def to(self, device: torch.device) -> Inception:
        self.network.to(device)
        self.device = device
        return self

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        images = images.to(self.device)
        images = images.expand(-1, 3, -1, -1)
        down = tf1_bilinear(images.shape[-2]).to(self.device)
        across = tf1_bilinear(images.shape[-1]).to(self.device)
        floats = down @ images.float() @ across.T
        floats = ((floats - 128) / 128).contiguous(memory_format=torch.channels_last)
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            features: Tensor = self.network(floats)
        return features.double()
