"""A detector for data on which Inception is meaningless: a small network trained on the labelled data itself."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_cli import rng
from gan_cli.errors import two_lines
from gan_cli.metrics import NotMeasurable
from gan_cli.metrics.detectors import Detector, Labelled
from gan_cli.metrics.features import Seen
from gan_cli.metrics.store import Bookmark, Store
from gan_cli.progress import tracked
from gan_cli.types import PositiveInt

log = logging.getLogger(__name__)

SCHEMA = 1
WIDTH = 128  # features
STEPS = 1000
BATCH = 128


class ClassifierNetwork(nn.Module):
    """Three convolutions, global pooling over 4 x 4, a layer of features, logits."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(),
            nn.Linear(64 * 16, WIDTH), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(WIDTH, classes)

    def forward(self, images: Tensor) -> Seen:
        features = self.body(images / 127.5 - 1)
        return Seen(features, self.head(features))


def descend(network: nn.Module, steps: int, loss: Callable[[], Tensor], title: str) -> None:
    """`steps` updates by Adam with a one-cycle rate (arXiv 1708.07120), each of a `loss` of a new batch."""
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, steps)
    for _ in tracked(range(steps), steps, title):
        value = loss()
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
        schedule.step()


def fit(
    images: Tensor,
    labels: Tensor,
    classes: int,
    device: torch.device,
    steps: int,
    on: str = "the data",
) -> ClassifierNetwork:
    """Trains on uint8 `[N, C, H, W]`: Adam, one-cycle rate, small shifts; the same result for the same data."""
    with rng.kept(device), torch.enable_grad():
        torch.manual_seed(rng.mix("classifier", SCHEMA))
        network = ClassifierNetwork(images.shape[1], classes).to(device)
        generator = rng.generator("classifier", "batches")
        reach = max(1, images.shape[-1] // 16)

        def loss() -> Tensor:
            index = torch.randint(len(images), (BATCH,), generator=generator)
            shift = torch.randint(-reach, reach + 1, (2,), generator=generator).tolist()
            batch = images[index].to(device).float().roll(shift, (-2, -1))
            return F.cross_entropy(network(batch).logits, labels[index].to(device), label_smoothing=0.05)

        descend(network, steps, loss, f"training a classifier on {on}")
    return network.eval().requires_grad_(False)


@torch.inference_mode()
def accuracy(see: Callable[[Tensor], Seen], images: Tensor, labels: Tensor) -> float:
    """The fraction of images whose largest logit is their label's."""
    right = 0
    for piece, wanted in zip(images.split(512), labels.split(512), strict=True):
        logits = see(piece).logits
        assert logits is not None
        right += int((logits.argmax(1).cpu() == wanted).sum())
    return right / len(images)


class Classifier(Detector):
    """The network's 128 features and its logits, trained once per data set and kept under the data's fingerprint.

    Args:
        cache: Where trained networks are kept; `classifiers` in $GAN_CACHE, or in ~/.cache/gan, when null.
        steps: Updates of its training; 1000 when null. Numbers of differently trained ones cannot be compared.
    """

    name = "classifier"

    def __init__(self, cache: str | None = None, steps: PositiveInt | None = None) -> None:
        self.steps = STEPS if steps is None else steps
        usual = Path(os.environ.get("GAN_CACHE") or "~/.cache/gan", "classifiers")
        self.store = Store(usual if cache is None else Path(cache))
        self.network: ClassifierNetwork | None = None

    def prepare(self, data: Labelled | None) -> Detector:
        """Trains on nine tenths of the images, or loads a trained network; the held-out tenth measures its accuracy.

        Raises:
            NotMeasurable: The data have no labels.
        """
        if data is None or data.classes < 2:
            what = "detector=classifier is trained on labelled data, and these have no labels"
            raise NotMeasurable(two_lines(what, "give a labelled data set: reference=NAME:SPLIT"))
        held_out = torch.arange(len(data.images)) % 10 == 9
        network = self._trained(data, ~held_out)
        state = network.state_dict()
        self.digest = hashlib.sha256(b"".join(state[name].numpy().tobytes() for name in sorted(state))).hexdigest()
        right = accuracy(lambda x: network(x.float()), data.images[held_out], data.labels[held_out])
        self.convention = f"classifier trained on the data, {100 * right:.1f}% right on a held-out tenth"
        self.network = network.to(self.device)
        return self

    def _trained(self, data: Labelled, chosen: Tensor) -> ClassifierNetwork:
        facts = {
            "classifier": SCHEMA,
            "steps": self.steps,
            "batch": BATCH,
            "width": WIDTH,
            "data": data.fingerprint,
            "classes": data.classes,
            "channels": data.images.shape[1],
        }

        def train(_: Bookmark) -> dict[str, Tensor]:
            log.info("training a classifier on the data (once; kept in %s)", self.store.folder)
            return fit(data.images[chosen], data.labels[chosen], data.classes, self.device, self.steps).state_dict()

        network = ClassifierNetwork(data.images.shape[1], data.classes)
        network.load_state_dict(self.store.get(facts, train))
        return network.eval().requires_grad_(False)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Seen:
        assert self.network is not None  # prepared
        seen: Seen = self.network(images.to(self.device).float())
        return seen


class StackedClassifier(Classifier):
    """For three digits stacked as red, green and blue, labelled 100 r + 10 g + b: each channel is classified alone.

    The joint logits of the 1000 modes are the sums of the channels' log-probabilities.
    """

    name = "stacked"

    def prepare(self, data: Labelled | None) -> Detector:
        if data is None or data.classes != 1000 or data.images.shape[1] != 3:
            what = "detector=stacked is for three stacked digits, colour images with 1000 classes, which these are not"
            raise NotMeasurable(two_lines(what, "use it with dataset=stacked_mnist"))
        digits = [data.labels // 100, data.labels // 10 % 10, data.labels % 10]
        single = Labelled(
            lambda: torch.cat([data.images[:, i : i + 1] for i in range(3)]),
            torch.cat(digits),
            10,
            f"{data.fingerprint}:channels",
        )
        return super().prepare(single)

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Seen:
        seen = [super(StackedClassifier, self).__call__(images[:, i : i + 1]) for i in range(3)]
        red, green, blue = (s.logits.log_softmax(1) for s in seen if s.logits is not None)
        joint = red[:, :, None, None] + green[:, None, :, None] + blue[:, None, None, :]
        return Seen(torch.cat([s.features for s in seen], 1), joint.flatten(1))
