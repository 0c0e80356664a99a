"""What can go wrong in a two-player game: conditions on a run's numbers, what they mean, and what may help."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from gan_cli.callbacks import readings

# Beyond recovery. Critics have no scale of their own, but healthy ones drift by thousands at most.
HUGE_LOSS = 1e6
HUGE_LOSS_OF_PROBABILITIES = 1e3  # -log p; a float32 sigmoid is 0 from a tenth of this on
# Weights start at 0.02 to 1, or at 100 where the learning rate is a hundredth (StyleGAN's mapping).
HUGE_WEIGHTS = 1e3

SURE = 0.99  # of D's way from one target to the other: beyond it, D leaves the generator little to learn from
FAILING = 0.48  # half, less the noise that there is once the samples are as good as the data
FOOLED = 0.9
SAME = 0.03  # D(real) - D(fake) of a D that tells nothing apart,
MIDDLE = 0.15  # both within this of one half,
APART = 0.35  # at a distance at which it should; samples as good as the data have 0.2 where 64 are compared
COLLAPSED = 0.2  # of the data's diversity; generators that are merely slow to start have more
CONSTANT = 0.001
INVERTED = -0.1  # a correlation
COPIED = 0.01  # two or three of 255
LEAKED = 0.1  # of the samples
VANISHED = 0.02  # of the median of the first EARLY gradient norms
EARLY = 10
SWING = 12  # readings in which oscillation is looked for,
CROSSINGS = 4  # in which the gap between the scores crosses its mean at least this often,
AMPLITUDE = 0.15  # with this standard deviation where scores are probabilities, elsewhere with
AMPLITUDE_OF_CRITICS = 1.0  # this one and
FRACTION_OF_GAP = 0.5  # this fraction of the usual gap

Series = Sequence[float]


@dataclass(frozen=True)
class Alarm:
    """A condition on the numbers of a run, what it means, and what may help."""

    name: str
    reads: tuple[str, ...]  # judged whenever the last of them is read
    holds: Callable[..., bool]  # takes the series of each number that it reads, oldest first
    message: str  # with {0}, {1} for the latest of these numbers
    remedies: tuple[str, ...]  # words of the command line
    at_once: bool = False  # rings at the first reading, as there is nothing to wait for


def undecided(real: Series, fake: Series, distance: Series) -> bool:
    """D gives one half to everything, and is wrong to: it would be right only for a perfect generator."""
    nothing_told = real[-1] - fake[-1] < SAME and max(abs(real[-1] - 0.5), abs(fake[-1] - 0.5)) < MIDDLE
    return nothing_told and distance[-1] > APART


def beyond_use(bound: float) -> Callable[..., bool]:
    """Losses or weights beyond their bounds: finite, but useless."""

    def holds(d_loss: Series, g_loss: Series, d_weights: Series, g_weights: Series) -> bool:
        return max(abs(d_loss[-1]), abs(g_loss[-1])) > bound or max(d_weights[-1], g_weights[-1]) > HUGE_WEIGHTS

    return holds


def vanished(norms: Series) -> bool:
    return norms[-1] <= VANISHED * statistics.median(norms[:EARLY])


def swings(values: Series) -> float:
    """The standard deviation of the last values if they swing around their mean, else 0."""
    last = values[-SWING:]
    mean = statistics.fmean(last)
    crossings = sum((a > mean) != (b > mean) for a, b in pairwise(last))
    return statistics.pstdev(last) if len(last) == SWING and crossings >= CROSSINGS else 0.0


def gaps(real: Series, fake: Series) -> list[float]:
    return [r - f for r, f in zip(real, fake, strict=True)]


def swings_of_critics(real: Series, fake: Series) -> bool:
    """Scores without a scale of their own swing widely, compared with their usual gap."""
    gap = gaps(real[-20 * SWING :], fake[-20 * SWING :])
    usual = statistics.median(map(abs, gap))
    return swings(gap) > max(FRACTION_OF_GAP * usual, AMPLITUDE_OF_CRITICS)


# Remedies that depend on the run; `alarms` replaces them by a word of the command line where there is one.
SLOWER_D, FASTER_D, SLOWER_G = "a slower discriminator", "a faster discriminator", "a slower generator"
HARDER = "augment=[instance_noise]"  # D's task, for any kind of data
CALMER = (SLOWER_D, SLOWER_G, "model.discriminator.spectral_norm=true", "penalty=[r1]")
SWINGING = "the players chase each other: D(real) - D(fake) swings widely"

# Alarms that do not need scores that are probabilities.
ALWAYS = (
    Alarm(
        "collapsed_generator",
        (readings.DIVERSITY,),
        lambda diversity: CONSTANT < diversity[-1] < COLLAPSED,
        "the generator has collapsed, or never opened: its samples differ {0:.2g} times as much as the data's",
        (
            *("loss=wgan_gp", "loss=r3gan", "auxiliary=[mode_seeking]", "augment=[packing]"),
            "model.discriminator.minibatch=stddev",
        ),
    ),
    Alarm(
        "constant_generator",
        (readings.DIVERSITY,),
        lambda diversity: diversity[-1] <= CONSTANT,
        "the generator draws the same sample for every latent",
        ("model.generator.norm=batch", SLOWER_G, "auxiliary=[mode_seeking]"),
    ),
    Alarm(
        "vanishing_generator_gradient",
        (readings.GENERATOR_GRADIENT,),
        vanished,
        "the generator's gradient has all but vanished (norm {0:.2g}): it no longer learns",
        ("loss=nonsaturating", "loss=wgan_gp", SLOWER_D, HARDER),
    ),
)
# Of a generator that draws from pictures.
ABOUT_TRANSLATORS = (
    Alarm(
        "inverted_colours",
        (readings.LIKENESS,),
        lambda likeness: likeness[-1] < INVERTED,
        "the generator draws negatives: where a source is bright its result is dark (correlation {0:.2f})",
        ("'auxiliary=[cycle,identity]'", "seed=1"),
    ),
    Alarm(
        "copied_source",
        (readings.CHANGE,),
        lambda change: change[-1] < COPIED,
        "the generator copies what it is given: results differ from their sources by {0:.2g} of the range",
        ("loss.weight=2", "auxiliary.identity.weight=0.5", FASTER_D),
    ),
)


def leaks(share: Series) -> bool:
    """More samples look augmented than a probe's mistakes explain."""
    return share[-1] > LEAKED


LEAKING = Alarm(
    "leaking_augmentation",
    (readings.LEAK,),
    leaks,
    "the generator draws augmented pictures: {0:.0%} of its samples look as if a change had been done to them",
    ("augment=[ada]", "augment=[geometry_and_color] augment.geometry_and_color.p=0.2", "augment=[]"),
)
DIVERGED = Alarm(
    "diverged",
    (readings.DISCRIMINATOR_LOSS, readings.GENERATOR_LOSS, readings.DISCRIMINATOR_WEIGHTS, readings.GENERATOR_WEIGHTS),
    beyond_use(HUGE_LOSS),
    "the run has diverged: D's loss is {0:.2g}, G's {1:.2g}; weights of D have a mean size of {2:.2g}, of G {3:.2g}",
    CALMER,
    at_once=True,
)
ABOUT_CRITICS = (Alarm("oscillation", (readings.REAL, readings.FAKE), swings_of_critics, SWINGING, CALMER),)
# Scores are scaled so that D's target for fakes is 0 and that for real samples is 1.
ABOUT_PROBABILITIES = (
    Alarm(
        "saturated_discriminator",
        (readings.REAL, readings.FAKE),
        lambda real, fake: real[-1] > SURE or fake[-1] < 1 - SURE,
        "the discriminator is too sure of itself (D(real) {0:.3f}, D(fake) {1:.3f}): the generator learns little",
        ("penalty=[r1]", HARDER, SLOWER_D, "loss.real_label=0.9"),
    ),
    Alarm(
        "discriminator_fails_on_real",
        (readings.REAL, readings.FAKE),
        lambda real, fake: real[-1] < FAILING,
        "the discriminator takes real samples for fake (D(real) {0:.3f}, D(fake) {1:.3f})",
        (SLOWER_G, "game.critic_steps=2", SLOWER_D),
    ),
    Alarm(
        "weak_discriminator",
        (readings.REAL, readings.FAKE, readings.DISTANCE),
        undecided,
        "the discriminator is too weak: samples are far from the data, yet D(real) is {0:.3f} and D(fake) {1:.3f}",
        (FASTER_D, "game.critic_steps=2", SLOWER_G),
    ),
    Alarm(
        "fooled_discriminator",
        (readings.REAL, readings.FAKE),
        lambda real, fake: fake[-1] > FOOLED,
        "the discriminator takes fakes for real (D(real) {0:.3f}, D(fake) {1:.3f})",
        ("game.critic_steps=2", FASTER_D, SLOWER_G),
    ),
    Alarm(
        "oscillation",
        (readings.REAL, readings.FAKE),
        lambda real, fake: swings(gaps(real, fake)) > AMPLITUDE,
        SWINGING,
        CALMER,
    ),
)


def of_probabilities(alarm: Alarm, high: float, low: float) -> Alarm:
    """The alarm for scores whose targets are `high` for real and `low` for fake samples."""

    def scaled(scores: Series) -> list[float]:
        return [(score - low) / (high - low) for score in scores[-SWING:]]

    return replace(alarm, holds=lambda real, fake, *more: alarm.holds(scaled(real), scaled(fake), *more))


def alarms(targets: tuple[float, float] | None, images: bool, rates: Mapping[str, float]) -> tuple[Alarm, ...]:
    """The alarms to watch a run for.

    Args:
        targets: The targets of D's scores for real and fake samples, if they are probabilities.
        images: Whether samples have pixels, which some remedies change.
        rates: The learning rate of each player.
    """
    words = {HARDER: "augment=[diffaugment]"} if images else {}
    for player, rate in rates.items():
        words[f"a slower {player}"] = f"optimizer.{player}.lr={rate / 4:.2g}"
        words[f"a faster {player}"] = f"optimizer.{player}.lr={rate * 4:.2g}"
    about_scores: tuple[Alarm, ...] = ABOUT_CRITICS
    diverged = DIVERGED if targets is None else replace(DIVERGED, holds=beyond_use(HUGE_LOSS_OF_PROBABILITIES))
    if targets is not None and targets[0] != targets[1]:
        about_scores = tuple(of_probabilities(alarm, *targets) for alarm in ABOUT_PROBABILITIES)
    return tuple(
        replace(alarm, remedies=tuple(words.get(remedy, remedy) for remedy in alarm.remedies))
        for alarm in (*ALWAYS, *ABOUT_TRANSLATORS, *about_scores, LEAKING, diverged)
    )
