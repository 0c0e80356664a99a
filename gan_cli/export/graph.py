"""A generator as plain operations of named tensors, ready to be written for another program.

The network is copied, and the copy has nothing left of training: normalised weights are plain weights, growth stands
still, and noise is an input instead of being drawn.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from gan_cli.latent.styling import Truncatable, space, styled
from gan_cli.latent.translate import network_of
from gan_cli.networks.growth import Growth, Stage
from gan_cli.networks.styles import Noise
from gan_cli.networks.translator import Translator
from gan_cli.priors import Prior
from gan_cli.runs.restore import Restored
from gan_cli.sampling import in_turn, on_demand, seeded
from gan_cli.types import Batch

SOME = 3  # samples of an example; a batch that is traced as one of 1 would stay one
LOW = 8  # shortest side of an example picture
LEVELS = 32  # doublings of the largest picture; no tensor has as many
SEED = (0, "export")
Sides = tuple[int, int]


class Tape:
    """Noise that is read piece by piece, in the order in which layers ask for it; zeros while there is none."""

    def __init__(self) -> None:
        self.sides: list[Sides] = []  # of the pieces read since `start`
        self.noise: Tensor | None = None

    def start(self, noise: Tensor | None) -> None:
        """`noise` `[N, P]`: from now on read from its beginning."""
        self.sides, self.noise = [], noise

    @property
    def length(self) -> int:
        """P, as far as it has been read."""
        return sum(height * width for height, width in self.sides)

    def take(self, like: Tensor) -> Tensor:
        """The next piece, `[N, 1, H, W]` for maps `[N, C, H, W]`."""
        start, (height, width) = self.length, like.shape[-2:]
        self.sides.append((height, width))
        if self.noise is None:
            return torch.zeros_like(like[:, :1])
        return self.noise[:, start : self.length].unflatten(1, (1, height, width))


class GivenNoise(nn.Module):
    """`Noise` that reads a tape."""

    def __init__(self, noise: Noise, tape: Tape) -> None:
        super().__init__()
        self.strength, self.tape = noise.strength, tape

    def forward(self, values: Tensor) -> Tensor:
        return values + self.strength * self.tape.take(values)


class Standing(nn.Module):
    """`Growth` that stays where it is."""

    def __init__(self, growth: Growth) -> None:
        super().__init__()
        self.stages = [growth.stage(last) for last in range(LEVELS)]

    def stage(self, last: int) -> Stage:
        return self.stages[last]


def _replaced(network: nn.Module, kind: type[nn.Module], make: Callable[[nn.Module], nn.Module]) -> None:
    """Every module of a kind within the network gives its place to another."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, kind):
                setattr(module, name, make(child))


class OfAnySize(nn.Module):
    """A translator whose sides are symbols while it is traced: `Translator.forward` for sides of at least `least`."""

    def __init__(self, network: Translator) -> None:
        super().__init__()
        self.network = network

    def forward(self, source: Tensor, label: Tensor) -> Tensor:
        height, width = source.shape[2:]
        for dim, side in ((2, height), (3, width)):
            source = source.index_select(dim, self.mirrored(side))
        drawn = self.network.translate(source)
        return drawn[:, :, : self.network.scale * height, : self.network.scale * width]

    def mirrored(self, side: int) -> Tensor:
        """Places 0 ... side - 1, and back from there up to the next multiple: once is enough."""
        multiple = self.network.multiple
        last = side - 1
        return last - (last - torch.arange((last + multiple) // multiple * multiple)).abs()


def _unparametrized(module: nn.Module) -> None:
    """Parametrized weights become what they are read as. `remove_parametrizations` would change the class, which copies
    of the module share."""
    weights = {name: getattr(module, name).clone() for name in module.parametrizations}  # type: ignore[union-attr]
    module.__class__ = parametrize.type_before_parametrizations(module)
    del module.parametrizations
    for name, weight in weights.items():
        module.register_parameter(name, nn.Parameter(weight, requires_grad=False))


@torch.no_grad()
def plain(network: nn.Module, tape: Tape) -> nn.Module:
    """A copy on the CPU, in evaluation mode, that computes the same from its arguments and the tape alone."""
    plain = copy.deepcopy(network).cpu().eval().requires_grad_(False)
    for module in list(plain.modules()):
        if parametrize.is_parametrized(module):
            _unparametrized(module)
    _replaced(plain, Growth, lambda growth: Standing(growth))  # type: ignore[arg-type]
    _replaced(plain, Noise, lambda noise: GivenNoise(noise, tape))  # type: ignore[arg-type]
    return OfAnySize(plain) if isinstance(plain, Translator) and plain.multiple > 1 else plain


class Steered(nn.Module):
    """images = synthesis(w̄ + ψ(w - w̄) + shift), w = mapping(latent, label): what a page can move.

    ψ is `truncation` `[N, 1]`, where the generator knows its mean style w̄; `shift` is `[N, W]`.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, latent: Tensor, label: Tensor, truncation: Tensor, shift: Tensor) -> Tensor:
        network: Any = self.network
        w: Tensor = network.mapping(latent, label)
        w = network.truncated(w, truncation) if isinstance(network, Truncatable) else w
        samples: Tensor = network.synthesis(w + (shift if w.ndim == 2 else shift.unsqueeze(1)))
        return samples


class Called(nn.Module):
    """A plain network called with named inputs in their order; a label that it does not read need not be among them."""

    def __init__(self, network: nn.Module, names: Sequence[str], tape: Tape) -> None:
        super().__init__()
        self.network, self.names, self.tape = network, tuple(names), tape

    def forward(self, *inputs: Tensor) -> Tensor:
        given = dict(zip(self.names, inputs, strict=True))
        self.tape.start(given.pop("noise", None))
        output = _called(self.network, given)
        self.tape.noise = None  # nothing of a call is kept, traced ones above all
        return output


def _called(network: nn.Module, given: Mapping[str, Tensor]) -> Tensor:
    (_, first), *others = given.items()
    label = given["label"] if "label" in given else torch.zeros(first.shape[0], dtype=torch.int64)
    output: Tensor = network(first, label, *(value for name, value in others if name != "label"))
    return output


Inputs = Mapping[str, Tensor]


class Graph:
    """A network with named inputs, as it is and as plain operations.

    Args:
        network: On the CPU, in evaluation mode; called with its first input, a label, and the other inputs.
        examples: Inputs of several sizes, in the network's order; "label" is left out where it is not read. Operations
            are traced with the first of them, of which no side may be 1 that can be another.
        axes: The dimensions that may have any size, by input.

    Attributes:
        module: The plain operations, called with the tensors of `inputs` in their order.
        inputs: The first example, with noise where the network reads some.
        noise: The sides of the maps that read noise, in the order in which their numbers follow each other.
    """

    def __init__(self, network: nn.Module, examples: Sequence[Inputs], axes: Mapping[str, Sequence[int]]) -> None:
        self.network, self.examples = network, examples
        tape = Tape()
        copied = plain(network, tape)
        first = examples[0]
        with torch.no_grad():
            Called(copied, tuple(first), tape)(*first.values())
        self.noise = tuple(tape.sides)
        self.inputs = self._with_noise(first)
        self.axes = {**axes, "noise": (0,)}
        self.module = Called(copied, tuple(self.inputs), tape).eval()

    @property
    def weights(self) -> int:
        """How many numbers it holds."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    def _with_noise(self, inputs: Inputs) -> dict[str, Tensor]:
        n = len(next(iter(inputs.values())))
        with seeded(torch.device("cpu"), *SEED):
            drawn = [torch.randn(n, 1, *sides).flatten(1) for sides in self.noise]
        return {**inputs, **({"noise": torch.cat(drawn, 1)} if drawn else {})}

    @torch.no_grad()
    def answers(self) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        """All examples with noise, and what the network itself draws of them."""
        for example in self.examples:
            with seeded(torch.device("cpu"), *SEED):
                drawn = _called(self.network, example)
            yield self._with_noise(example), drawn

    @torch.no_grad()
    def rounding(self) -> float:
        """The largest difference that rounding to float32 alone makes to what the network draws of the examples."""
        exact = copy.deepcopy(self.module).double()
        far = 0.0
        for inputs, drawn in self.answers():
            wide = exact(*(value.double() if value.is_floating_point() else value for value in inputs.values()))
            far = max(far, float((wide - drawn).abs().max()))
        return far


def of(restored: Restored, steered: bool = False) -> Graph:
    """The graph of a restored generator or translator.

    Args:
        steered: With the inputs `truncation` and `shift`, where it has styles.
    """
    if restored.translates:
        return of_translator(network_of(restored.generator), restored.source_channels)
    return of_generator(restored.game.prior, restored.generator, steered)


def of_generator(prior: Prior, generator: nn.Module, steered: bool = False) -> Graph:
    """Inputs latent `[N, Z]`, label int64 `[N]` if it draws classes on demand, noise `[N, P]` if it reads any."""
    moved = steered and styled(generator) is not None
    labels = in_turn(generator)

    def example(n: int) -> dict[str, Tensor]:
        label = labels[torch.arange(n) % len(labels)]
        with seeded(torch.device("cpu"), *SEED, n), torch.no_grad():
            latent = prior.sample(Batch(label))
            inputs = {"latent": latent, "label": label}
            if moved:
                width = space(generator).encode(latent, label).shape[-1]
                inputs |= {"truncation": torch.rand(n, 1), "shift": torch.randn(n, width)}
        if not on_demand(generator):
            del inputs["label"]
        return inputs

    names = ("latent", "label", "truncation", "shift")
    network = Steered(generator) if moved else generator
    return Graph(network.eval(), [example(n) for n in (SOME, 1, SOME + 2)], dict.fromkeys(names, (0,)))


def of_translator(network: nn.Module, channels: int) -> Graph:
    """Input source `[N, C', H, W]`, with any H and W of at least the network's `least`."""
    multiple, least = (network.multiple, network.least) if isinstance(network, Translator) else (1, 1)
    low = max(least, multiple, LOW)
    sizes = [(2, low + 1, low + multiple + 2), (1, low, low), (1, 2 * low + 3, low)]
    with seeded(torch.device("cpu"), *SEED):
        examples = [{"source": 2 * torch.rand(n, channels, height, width) - 1} for n, height, width in sizes]
    return Graph(network, examples, {"source": (0, 2, 3)})
