"""The files of weights that detectors and metrics need: which there are, where they are looked for, what is found."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from gan_cli.metrics import clip, inception
from gan_cli.metrics.backbones import AlexNet, Vgg16, Vgg19
from gan_cli.metrics.lpips import AlexNetLpips, Vgg16Lpips
from gan_cli.metrics.pretrained import Dinov2
from gan_cli.metrics.weights import digest_in


@dataclass(frozen=True)
class Wanted:
    """A published file of weights.

    Attributes:
        file: Its published name.
        serves: What needs it, as it is typed.
        environment: The variable that may name another place.
        digest: The first digits of its sha256, where they are known.
    """

    file: str
    serves: str
    environment: str | None
    digest: str | None

    @property
    def kept(self) -> Path:
        """Where torch hub keeps it."""
        return Path(torch.hub.get_dir()) / "checkpoints" / self.file

    @property
    def path(self) -> Path:
        """Where it is looked for now."""
        named = os.environ.get(self.environment) if self.environment else None
        return Path(named).expanduser() if named else self.kept

    @property
    def found(self) -> bool:
        return self.path.is_file()

    def sound(self) -> bool:
        """Whether the file that was found has its published digest. Raises OSError where it cannot be read."""
        expected = self.digest if self.path.name == self.file else digest_in(self.path.name)
        if expected is None:
            return True
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest().startswith(expected)


WANTED = (
    Wanted(
        inception.FILE, "detector=inception: FID and others of colour images", inception.ENVIRONMENT, inception.DIGEST
    ),
    Wanted(Vgg19.file, "auxiliary=[perceptual]", Vgg19.environment, digest_in(Vgg19.file)),
    Wanted(AlexNet.file, "metrics=[lpips]", AlexNet.environment, digest_in(AlexNet.file)),
    Wanted(AlexNetLpips.file, "metrics=[lpips]", AlexNetLpips.environment, None),
    Wanted(Vgg16.file, "metrics=[lpips_vgg]", Vgg16.environment, digest_in(Vgg16.file)),
    Wanted(Vgg16Lpips.file, "metrics=[lpips_vgg]", Vgg16Lpips.environment, None),
    Wanted(Dinov2.FILE, "detector=dinov2", None, Dinov2.DIGEST),
    Wanted(clip.FILE, "detector=clip", clip.ENVIRONMENT, None),
)
