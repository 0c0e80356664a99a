"""The Inception network of 2015-12-05 that defines the published FID, with pytorch-fid's architecture."""

from __future__ import annotations

import os
from http.client import HTTPException
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from gan_cli.errors import ConfigError, WeightsMissing, WeightsRefused, two_lines, unknown
from gan_cli.metrics import weights as files
from gan_cli.metrics.detectors import Detector
from gan_cli.metrics.features import Seen
from gan_cli.metrics.resize import RESIZES, resize

SIDE = 299
FILE = "pt_inception-2015-12-05-6726825d.pth"
DIGEST = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"  # sha256 of that file
ENVIRONMENT = "GAN_INCEPTION"


def find_weights(weights: str | None, download: bool = True) -> Path:
    """The file given, else $GAN_INCEPTION's, else torch hub's copy, else a download if allowed; see `expected_digest`.

    Raises:
        WeightsMissing: None of these is available.
    """
    asked = weights or os.environ.get(ENVIRONMENT)
    if asked:
        path = Path(os.path.expanduser(asked))
        if not path.is_file():
            remedy = f"name the file with weights=FILE or ${ENVIRONMENT}"
            raise WeightsMissing(two_lines(f"no Inception weights at {path}", remedy))
        return path
    kept = Path(torch.hub.get_dir()) / "checkpoints" / FILE
    if kept.is_file():
        return kept
    if not download:
        what = f"there is no {FILE} (sha256 {DIGEST[:8]}...) at {kept}"
        raise WeightsMissing(two_lines(what, f"put it there, or name another with weights=FILE or ${ENVIRONMENT}"))
    from pytorch_fid.inception import FID_WEIGHTS_URL

    try:
        files.fetch(FID_WEIGHTS_URL, kept, DIGEST)
    except (OSError, HTTPException, WeightsRefused) as error:
        why = str(error).partition("\n")[0]
        raise WeightsMissing(
            f"FID needs the weights {FILE} (sha256 {DIGEST[:8]}...), and they could not be fetched ({why})\n"
            f"  put the file at {kept}, or name it with weights=FILE or ${ENVIRONMENT}; detector=pixels needs none"
        ) from error
    return kept


def expected_digest(path: Path) -> str | None:
    """The sha256 that a file of the published name must have, wherever it lies; None for any other file."""
    return DIGEST if path.name == FILE else None


def build_network(state: dict[str, Tensor]) -> nn.Module:
    """pytorch-fid's patched Inception up to the 2048 pooled features, with convolutions and batch norms fused."""
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
    try:
        found = network.load_state_dict(state, strict=False)
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise WeightsMissing(f"this is not the FID Inception: {first}\n  give pytorch-fid's file, {FILE}") from error
    lacking = [key for key in found.missing_keys if not key.startswith("fc.") and "num_batches" not in key]
    if lacking or found.unexpected_keys:
        raise WeightsMissing(
            f"this is not the FID Inception: it lacks {lacking[:3]} and has unexpected {found.unexpected_keys[:3]}\n"
            f"  give pytorch-fid's file, {FILE}"
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


class Inception(Detector):
    """The 2048 features of the last pooling, and the 1008 logits without bias if the weights have them.

    float32, TF32 off, convolutions fused with their batch norms, channels last.

    Args:
        weights: A state dict of the network, with or without the `fc` layer.
        resize: tf1 (the published FID) | torch (pytorch-fid) | clean (clean-fid).
        download: Whether to fetch the weights where they are not there.
    """

    def __init__(self, weights: str | None = None, resize: str = "tf1", download: bool = True) -> None:
        if resize not in RESIZES:
            raise ConfigError(unknown(f"detector.inception.resize={resize}", RESIZES))
        path = find_weights(weights, download)
        state, self.digest = files.read(path, expected_digest(path))
        self._set_up(state, resize)

    def _set_up(self, state: dict[str, Tensor], resize: str) -> None:
        self.resize = resize
        self.name = ""
        self.convention = f"inception-2015-12-05, {resize} resize to {SIDE}, float32"
        self.network = build_network(state)
        self.head = state.get("fc.weight")
        # TensorFlow's preprocessing, and pytorch-fid's.
        self.shift, self.scale = (127.5, 127.5) if resize == "torch" else (128.0, 128.0)

    def to(self, device: torch.device) -> Self:
        self.network.to(device)
        self.head = None if self.head is None else self.head.to(device)
        return super().to(device)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Seen:
        floats = images.to(self.device).float()
        floats = resize(floats, RESIZES[self.resize], SIDE)
        if self.resize == "clean":
            floats = floats.clamp(0, 255)  # bicubic overshoots, and Pillow clips it
        floats = ((floats - self.shift) / self.scale).expand(-1, 3, -1, -1)
        floats = floats.contiguous(memory_format=torch.channels_last)
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            features: Tensor = self.network(floats)
        return Seen(features, None if self.head is None else features @ self.head.T)
