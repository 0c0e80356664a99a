"""The space of a search: words of a sweep, as Hydra reads them, become Optuna's distributions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import ChoiceSweep, Glob, IntervalSweep, Override, RangeSweep, Sweep, Transformer

from gan_cli.config import compose
from gan_cli.config.choices import available
from gan_cli.config.errors import did_you_mean
from gan_cli.config.words import parse, readable, unreadable
from gan_cli.errors import ConfigError, two_lines

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

LOG = "log"  # the tag of a logarithmic scale
EXAMPLES = "'optimizer.lr=tag(log,interval(1e-5,1e-3))', 'model.width=choice(16,32)', 'game.critic_steps=range(1,6)'"


def part(words: list[str]) -> list[str]:
    """A choice of conf/search: words, of which those of a sweep are searched over, and the others go with them."""
    return words


@dataclass(frozen=True)
class Space:
    """What trials have in common, and what differs.

    Attributes:
        fixed: Words of every trial.
        ranges: The left side of a word, as it was typed -> the values to try.
    """

    fixed: tuple[str, ...]
    ranges: Mapping[str, BaseDistribution]

    def words(self, values: Mapping[str, Any]) -> list[str]:
        """The words of the trial with these values, which are those of `ranges`."""
        return [*self.fixed, *(f"{key}={values[key]}" for key in self.ranges)]

    def corners(self) -> Iterator[list[str]]:
        """The words of the lowest values and first choices; then those with one other choice, or one highest value."""
        first = {key: _ends(distribution)[0] for key, distribution in self.ranges.items()}
        yield self.words(first)
        for key, distribution in self.ranges.items():
            yield from (self.words({**first, key: value}) for value in _ends(distribution)[1:])


def merged(*layers: Sequence[str]) -> list[str]:
    """The words of all layers; where several set one thing, the last."""
    return list({word.partition("=")[0].lstrip("+"): word for layer in layers for word in layer}.values())


def read(words: Sequence[str], flags: Sequence[str] = ()) -> Space:
    """The space that these words span.

    Raises:
        ConfigError: A word cannot be read, or none of them is of a sweep.
    """
    fixed, ranges = [], {}
    with compose.friendly("train", words):
        for word in words:
            override = parse(readable(word))
            if override is None:
                raise ConfigError(unreadable(word))
            if override.is_sweep_override():
                ranges[word.partition("=")[0]] = _distribution(word, override, flags)
            else:
                fixed.append(word)
    if not ranges:
        raise ConfigError(two_lines("nothing to search over: no word has several values", f"such as {EXAMPLES}"))
    return Space(tuple(fixed), ranges)


def _distribution(word: str, override: Override, flags: Sequence[str]) -> BaseDistribution:
    sweep = override.value()
    if isinstance(sweep, Glob):
        names = sweep.filter(available(flags).get(override.key_or_group, []))
        return _choice(word, names)
    assert isinstance(sweep, Sweep)
    tags = set(sweep.tags)
    if tags - {LOG}:
        unknown = sorted(tags - {LOG})[0]
        remedy = did_you_mean(unknown, [LOG]) or f"the only tag is {LOG}: tag({LOG}, interval(1e-5, 1e-3))"
        raise ConfigError(two_lines(f"{word}: there is no tag '{unknown}'", remedy))
    if isinstance(sweep, IntervalSweep):
        return _numbers(word, sweep.start, sweep.end, None, LOG in tags)
    if isinstance(sweep, RangeSweep):
        return _range(word, sweep, LOG in tags)
    assert isinstance(sweep, ChoiceSweep)
    if tags:
        raise ConfigError(
            two_lines(f"{word}: choices have no scale", f"leave tag({LOG}, ...) out, or use interval(...)")
        )
    return _choice(word, [str(value) for value in override.sweep_iterator(Transformer.encode)])


def _choice(word: str, values: Sequence[str]) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution

    if not values:
        raise ConfigError(two_lines(f"{word} has no values", "name some: choice(a,b)"))
    return CategoricalDistribution(list(dict.fromkeys(values)))


def _range(word: str, sweep: RangeSweep, log: bool) -> BaseDistribution:
    """start, start + step, ... before stop: the values of a sweep."""
    start, stop, step = (Decimal(str(number)) for number in (sweep.start, sweep.stop, sweep.step))
    count = math.ceil((stop - start) / step) if step else 0
    if count < 1:
        raise ConfigError(two_lines(f"{word} has no values", "write range(START,STOP,STEP); STOP is not among them"))
    kind = int if all(isinstance(number, int) for number in (sweep.start, sweep.stop, sweep.step)) else float
    ends = sorted((start, start + (count - 1) * step))
    return _numbers(word, kind(ends[0]), kind(ends[1]), kind(abs(step)), log)


def _numbers(word: str, low: Any, high: Any, step: Any, log: bool) -> BaseDistribution:
    from optuna.distributions import FloatDistribution, IntDistribution

    whole = isinstance(low, int) and isinstance(high, int)
    if not all(math.isfinite(end) for end in (low, high)) or low > high:
        raise ConfigError(two_lines(f"{word}: from {low} to {high} is no interval", "write interval(LOW,HIGH)"))
    if log and low <= 0:
        remedy = "a logarithmic scale begins above 0, such as at 1e-5"
        raise ConfigError(two_lines(f"{word}: {low} has no logarithm", remedy))
    if log and step not in (None, 1):
        raise ConfigError(two_lines(f"{word}: a logarithmic scale has no steps", "use interval(LOW,HIGH)"))
    if whole:
        return IntDistribution(low, high, log=log, step=step or 1)
    return FloatDistribution(low, high, log=log, step=None if log else step)


def _ends(distribution: BaseDistribution) -> list[Any]:
    """All choices, or the lowest and the highest number."""
    from optuna.distributions import CategoricalDistribution

    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    return list(dict.fromkeys((distribution.low, distribution.high)))
