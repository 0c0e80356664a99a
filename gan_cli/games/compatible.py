"""Which parts can work together, decided from what each part declares, before anything runs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

from torch import nn

from gan_cli.losses import Loss
from gan_cli.networks.base import declared
from gan_cli.networks.blocks import mixing_layers, spectrally_normalised
from gan_cli.types import Augment, Incompatible, Prior, Projection, Term, Weighting

log = logging.getLogger(__name__)

# What a round always holds, when it is asked for.
HELD = frozenset({"real", "real_grad", "fake_grad", "real_output", "latents"})
# Of these, what takes real samples.
OF_REAL = frozenset({"real", "real_grad", "real_output"})
# Where to get what a part declares to need.
REMEDIES: Mapping[str, str] = {
    "class_logits": "conditioning=acgan gives the discriminator a class head",
    "features": "use a discriminator that returns its features, such as that of model=mlp or dcgan",
    "images": "it changes pixels, and points have none: leave it out",
    "anchored_logits": "use a loss whose logits are positive for real samples: loss=nonsaturating, hinge, or minimax",
    "several_logits": "panel=jury gives several discriminators",
    "styles": "use a generator with a mapping network: model=stylegan2 or stylegan",
}

Part = Term | Projection | Weighting | Augment


def check(
    generator: nn.Module,
    discriminator: nn.Module,
    loss: Loss,
    prior: Prior,
    penalties: Mapping[str, Term | Projection],
    auxiliaries: Mapping[str, Term | Weighting],
    augments: Mapping[str, Augment],
) -> None:
    """Raises Incompatible for the first two parts that cannot work together; the message names the remedy.

    A loss that means little without another part is warned about.
    """
    provided = HELD.union(declared(generator).provides, declared(discriminator).provides, loss.provides, prior.provides)
    _needs_are_provided(provided, penalties, auxiliaries, augments)
    _single_samples_stay_single(discriminator, penalties, augments)
    aims = [a for a in auxiliaries.values() if isinstance(a, Term) and a.interval == 1 and not a.of_weights]
    if loss.needs_auxiliary and not aims:
        raise Incompatible(
            f"loss {type(loss).__name__} leaves the generator without an objective at some updates: "
            "add 'auxiliary=[feature_matching]', with interval=1"
        )
    bounded = any(p.lipschitz for p in penalties.values()) or spectrally_normalised(discriminator)
    if loss.needs_lipschitz and not bounded:
        log.warning(
            "loss %s means nothing unless the critic's slope is bounded: add 'penalty=[gradient_penalty]', "
            "'penalty=[weight_clipping]' or model.discriminator.spectral_norm=true",
            type(loss).__name__,
        )


def _named(
    penalties: Mapping[str, Term | Projection],
    auxiliaries: Mapping[str, Term | Weighting],
    augments: Mapping[str, Augment],
) -> Iterator[tuple[str, Part]]:
    for group, parts in (("penalty", penalties), ("auxiliary", auxiliaries), ("augment", augments)):
        for name, part in parts.items():
            yield f"{group}.{name}", part


def _needs_are_provided(
    provided: frozenset[str],
    penalties: Mapping[str, Term | Projection],
    auxiliaries: Mapping[str, Term | Weighting],
    augments: Mapping[str, Augment],
) -> None:
    hidden = {what: name for name, augment in augments.items() for what in augment.hides}
    for name, part in _named(penalties, auxiliaries, augments):
        for need in sorted(getattr(part, "needs", frozenset())):
            if need in hidden:
                raise Incompatible(f"{name} needs {need}, which augment.{hidden[need]} hides: leave one of them out")
            if need not in provided:
                remedy = REMEDIES.get(need, "use parts that provide it, or leave it out")
                raise Incompatible(f"{name} needs {need}, which nothing here provides: {remedy}")


def _single_samples_stay_single(
    discriminator: nn.Module, penalties: Mapping[str, Term | Projection], augments: Mapping[str, Augment]
) -> None:
    layers = [f"the discriminator's {layer}" for layer in mixing_layers(discriminator)]
    remedies = "use model.discriminator.norm=layer (or instance, none) and model.discriminator.minibatch=none"
    mixing = [(layer, remedies) for layer in layers]
    mixing += [
        (f"augment.{name}", "leave one of them out, or use 'penalty=[r1]'")
        for name, augment in augments.items()
        if augment.mixes_samples
    ]
    for name, penalty in penalties.items():
        if getattr(penalty, "per_sample", False) and mixing:
            what, remedy = mixing[0]
            raise Incompatible(
                f"penalty.{name} measures single samples, but {what} mixes the samples of a batch: {remedy}"
            )
    for name, augment in augments.items():
        if augment.merges_samples and declared(discriminator).reads_labels:
            raise Incompatible(
                f"augment.{name} judges several samples at once, which have no common label, but the discriminator "
                "reads labels: use conditioning=none"
            )
