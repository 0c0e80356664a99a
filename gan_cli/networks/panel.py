"""Several networks as one player: one for each way, or a panel of discriminators (GMAN, arXiv 1611.01673)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from gan_cli.networks.base import declared
from gan_cli.types import DiscriminatorOutput, Need, PositiveInt

Make = Callable[[], nn.Module]
Settings = Mapping[str, Any]


def single(make: Make) -> nn.Module:
    """One network."""
    return make()


def none(make: Make) -> nn.Module:
    """No network: for a game without a discriminator."""
    return nn.Identity()


class Both(nn.ModuleList):
    """A network for the way there and one for the way back (CycleGAN, arXiv 1703.10593).

    Args:
        back: The settings in which the way back differs, by player.
    """

    def __init__(
        self, make: Callable[[Mapping[str, Settings]], nn.Module], back: Mapping[str, Settings] = MappingProxyType({})
    ) -> None:
        super().__init__([make({}), make(back)])

    def turned(self) -> Both:
        """The same two networks, the way back first."""
        there, back = self
        networks = iter((back, there))
        return Both(lambda settings: next(networks))


class Panel(nn.Module):
    """`count` discriminators of one kind, each with its own initialisation; they provide what each one provides."""

    def __init__(self, make: Make, count: PositiveInt = 3) -> None:
        super().__init__()
        self.members = nn.ModuleList(make() for _ in range(count))
        member = declared(self.members[0])
        self.provides, self.reads_labels = member.provides, member.reads_labels


class Jury(Panel):
    """Every member judges every sample: logits `[N, count]`.

    Each member trains on its own column; the generator faces their mean, or the severest with `auxiliary=[vote]`.
    Class logits are averaged; features are those of all members.
    """

    def __init__(self, make: Make, count: PositiveInt = 3) -> None:
        super().__init__(make, count)
        self.provides |= {Need.SEVERAL_LOGITS}

    def forward(self, samples: Tensor, label: Tensor) -> DiscriminatorOutput:
        outputs = [DiscriminatorOutput.of(member(samples, label)) for member in self.members]
        logits = torch.stack(
            [output.logits.flatten(1).mean(1) if output.logits.ndim > 1 else output.logits for output in outputs], 1
        )
        classes = [output.class_logits for output in outputs if output.class_logits is not None]
        features = tuple(feature for output in outputs for feature in output.features)
        return DiscriminatorOutput(logits, torch.stack(classes).mean(0) if classes else None, features)


class Slices(Panel):
    """Each member judges its own slice of the batch: logits `[N]`, as from a single discriminator."""

    def forward(self, samples: Tensor, label: Tensor) -> DiscriminatorOutput:
        count = len(self.members)
        outputs = [
            DiscriminatorOutput.of(member(x, y))
            for member, x, y in zip(self.members, samples.tensor_split(count), label.tensor_split(count), strict=True)
            if len(x)
        ]
        classes = [output.class_logits for output in outputs if output.class_logits is not None]
        features = tuple(torch.cat(layer) for layer in zip(*(output.features for output in outputs), strict=True))
        return DiscriminatorOutput(
            torch.cat([output.logits for output in outputs]), torch.cat(classes) if classes else None, features
        )
