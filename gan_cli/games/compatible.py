"""Which parts can work together: decided before anything runs, from what each part declares."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from gan_cli.errors import Incompatible, two_lines
from gan_cli.games.parts import Parts
from gan_cli.networks.base import declared
from gan_cli.networks.blocks import mixing_layers, spectrally_normalised
from gan_cli.penalties import Constraint
from gan_cli.types import Need, Term

log = logging.getLogger(__name__)

# What the data must have: a run is checked against its data, a game alone is not.
OF_DATA = frozenset({Need.GIVEN, Need.PAIRS})
# What an update holds whenever it is asked for, unless a part hides it.
HELD = frozenset({Need.REAL, Need.REAL_GRAD, Need.FAKE_GRAD, Need.REAL_OUTPUT, Need.LATENT_GRAD, Need.ALONE}) | OF_DATA
# Of these, what takes real samples, or what is given with them.
OF_REAL = frozenset({Need.REAL, Need.REAL_GRAD, Need.REAL_OUTPUT}) | OF_DATA
# How to provide what a part needs.
REMEDIES: Mapping[str, str] = {
    Need.CLASS_LOGITS: "conditioning=acgan gives the discriminator a class head",
    Need.FEATURES: "use a discriminator that returns its features, such as that of model=mlp or dcgan",
    Need.IMAGES: "it changes pixels, and points have none: leave it out",
    Need.ANCHORED_LOGITS: "use a loss whose logits are positive for real samples: "
    "loss=nonsaturating, hinge, or minimax",
    Need.SEVERAL_LOGITS: "panel=jury gives several discriminators",
    Need.LATENTS: "a generator that is given images has none: leave it out, or use prior=normal",
    Need.BACK: "game=cycle has a generator for the way back",
    Need.STYLES: "use a generator with a mapping network: model=stylegan2 or stylegan",
}


def asked_of_data(parts: Parts) -> frozenset[str]:
    """What the parts need of the data."""
    readers = [part for _, part in parts.named() if not isinstance(part, Constraint)]
    return OF_DATA & parts.prior.needs.union(*(part.needs for part in readers))


def check(parts: Parts, also: frozenset[str] = frozenset()) -> None:
    """Raises Incompatible for the first two parts that cannot work together; the message names the remedy.

    Warns about a loss that means little without another part.

    Args:
        also: What the game provides.
    """
    _words_are_sets(parts)
    _needs_are_provided(parts, also)
    _single_samples_stay_single(parts)
    loss = parts.loss
    aims = [a for a in parts.auxiliaries.values() if isinstance(a, Term) and a.interval == 1 and not a.of_weights]
    if loss.needs_auxiliary and not aims:
        what = f"loss {type(loss).__name__} leaves the generator without an objective at some updates"
        raise Incompatible(two_lines(what, "add 'auxiliary=[feature_matching]', with interval=1"))
    bounded = any(penalty.lipschitz for penalty in parts.penalties.values())
    if loss.needs_lipschitz and not bounded and not spectrally_normalised(parts.discriminator):
        log.warning(
            "loss %s means nothing unless the critic's slope is bounded: add 'penalty=[gradient_penalty]', "
            "'penalty=[weight_clipping]' or model.discriminator.spectral_norm=true",
            type(loss).__name__,
        )


def _words_are_sets(parts: Parts) -> None:
    """A single word would be taken for its letters."""
    members = [(name, part) for name, part in parts.named() if not isinstance(part, Constraint)]
    declared_words = [
        *(("loss", "provides", parts.loss.provides), ("prior", "provides", parts.prior.provides)),
        *(("prior", "needs", parts.prior.needs), ("prior", "hides", parts.prior.hides)),
        *((name, "needs", part.needs) for name, part in members),
        *((f"augment.{name}", "hides", augment.hides) for name, augment in parts.augments.items()),
    ]
    for name, attribute, value in declared_words:
        if not isinstance(value, set | frozenset):
            raise Incompatible(
                f"{name}: {attribute} = {value!r} is not a set of words\n  write frozenset({{'real'}}), say"
            )


def _needs_are_provided(parts: Parts, also: frozenset[str]) -> None:
    networks = declared(parts.generator).provides | declared(parts.discriminator).provides
    provided = HELD.union(networks, parts.loss.provides, parts.prior.provides, also)
    hidden = {what: f"augment.{name}" for name, augment in parts.augments.items() for what in augment.hides}
    hidden |= dict.fromkeys(parts.prior.hides, f"prior={type(parts.prior).__name__.lower()}")
    for name, part in parts.named():
        for need in [] if isinstance(part, Constraint) else sorted(part.needs):
            if need not in tuple(Need):
                raise Incompatible(
                    two_lines(f"{name} needs '{need}', which means nothing", f"choose from {', '.join(Need)}")
                )
            if need in hidden:
                raise Incompatible(
                    two_lines(f"{name} needs {need}, which {hidden[need]} hides", "leave one of them out")
                )
            if need not in provided:
                remedy = REMEDIES.get(need, "use parts that provide it, or leave it out")
                raise Incompatible(two_lines(f"{name} needs {need}, which nothing here provides", remedy))


def one_batch_of_both(parts: Parts) -> None:
    """Raises Incompatible where D would judge a real sample otherwise with fakes in its batch."""
    for what, remedy in _mixing(parts, "leave one of them out"):
        raise Incompatible(
            f"game.judged=together shows D real samples and fakes at once, but {what} mixes the samples of a batch\n"
            f"  {remedy}; or game.judged=apart"
        )


def _mixing(parts: Parts, without: str) -> list[tuple[str, str]]:
    """What lets one sample of a batch influence how another is judged, each with its remedy.

    Args:
        without: The remedy where it is an augmentation.
    """
    remedy = "use model.discriminator.norm=layer (or instance, none) and model.discriminator.minibatch=none"
    layers = [(f"the discriminator's {layer}", remedy) for layer in mixing_layers(parts.discriminator)]
    return layers + [(f"augment.{name}", without) for name, a in parts.augments.items() if a.mixes_samples]


def _single_samples_stay_single(parts: Parts) -> None:
    mixing = _mixing(parts, "leave one of them out, or use 'penalty=[r1]'")
    for name, penalty in parts.penalties.items():
        if isinstance(penalty, Term) and penalty.per_sample and mixing:
            what, remedy = mixing[0]
            raise Incompatible(
                two_lines(f"penalty.{name} measures single samples, but {what} mixes the samples of a batch", remedy)
            )
    for name, augment in parts.augments.items():
        if augment.merges_samples and declared(parts.discriminator).reads_labels:
            what = f"augment.{name} judges several samples at once, which have no common label"
            raise Incompatible(two_lines(f"{what}, but the discriminator reads labels", "use conditioning=none"))
