"""Networks as courses on GANs teach them: each is written here in plain PyTorch, and a command line makes the same one.

The same layers in the same order, the same number of parameters, and with the same weights the same outputs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from torch import Tensor, nn

from conftest import checked
from gan_cli.config import build
from gan_cli.errors import Refused
from gan_cli.networks import conditioning as conditionings
from gan_cli.networks import dcgan, mlp
from gan_cli.networks.blocks import spectrally_normalised
from gan_cli.networks.minibatch import Alone
from gan_cli.types import DiscriminatorOutput

SHAPED = (nn.Identity, nn.Flatten, nn.Unflatten, Alone)  # they only pass values on
LABEL = torch.tensor([0, 3, 1, 2])


def lrelu() -> nn.Module:
    return nn.LeakyReLU(0.2)


def perceptron(
    widths: Sequence[int], activation: Callable[[], nn.Module], *last: nn.Module, dropout: Sequence[float] = ()
) -> nn.Sequential:
    """Linear layers with an activation and, where asked for, dropout between them."""
    layers: list[nn.Module] = [nn.Flatten()]
    for i, (wide_in, wide_out) in enumerate(itertools.pairwise(widths)):
        layers.append(nn.Linear(wide_in, wide_out))
        if i < len(widths) - 2:
            layers += [activation(), *([nn.Dropout(dropout[i])] if dropout and dropout[i] else [])]
    return nn.Sequential(*layers, *last)


def normed_behind(widths: Sequence[int], momentum: float = 0.1) -> nn.Sequential:
    """Linear, batch norm, LeakyReLU, without batch norm in the first layer: PyTorch-GAN's generator."""
    layers: list[nn.Module] = []
    for i, (wide_in, wide_out) in enumerate(itertools.pairwise(widths[:-1])):
        norm = [nn.BatchNorm1d(wide_out, momentum=momentum)] if i > 0 else []
        layers += [nn.Linear(wide_in, wide_out), *norm, lrelu()]
    return nn.Sequential(*layers, nn.Linear(*widths[-2:]), nn.Tanh())


def normed_after_activation(widths: Sequence[int]) -> nn.Sequential:
    """Linear, LeakyReLU, batch norm, in every layer but the last."""
    pairs = itertools.pairwise(widths[:-1])
    layers = [layer for a, b in pairs for layer in (nn.Linear(a, b), lrelu(), nn.BatchNorm1d(b))]
    return nn.Sequential(*layers, nn.Linear(*widths[-2:]), nn.Tanh())


def doubling(wide_in: int, wide_out: int) -> list[nn.Module]:
    return [
        nn.ConvTranspose2d(wide_in, wide_out, 4, 2, 1, bias=False),
        nn.BatchNorm2d(wide_out),
        nn.ReLU(),
    ]


def convolutional_generator(channels: int) -> nn.Sequential:
    """The 64 px generator of pytorch/examples, 64 features."""
    return nn.Sequential(
        nn.Unflatten(1, (100, 1, 1)),
        nn.ConvTranspose2d(100, 512, 4, 1, 0, bias=False),
        nn.BatchNorm2d(512),
        nn.ReLU(),
        *doubling(512, 256),
        *doubling(256, 128),
        *doubling(128, 64),
        nn.ConvTranspose2d(64, channels, 4, 2, 1, bias=False),
        nn.Tanh(),
    )


def convolutional_discriminator(*widths: int) -> nn.Sequential:
    """Halvings down to a 4 x 4 map, and a convolution of the whole map: pytorch/examples, 64 features for 64 px."""
    layers: list[nn.Module] = []
    for i, (wide_in, wide_out) in enumerate(itertools.pairwise(widths)):
        norm = [nn.BatchNorm2d(wide_out)] if i > 0 else []
        layers += [nn.Conv2d(wide_in, wide_out, 4, 2, 1, bias=False), *norm, lrelu()]
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 0, bias=False))


def projected_generator() -> nn.Sequential:
    """A linear layer with a batch norm of vectors, transposed convolutions to full size, a 3 x 3 convolution."""
    return nn.Sequential(
        nn.Linear(100, 8192),
        nn.BatchNorm1d(8192),
        nn.ReLU(),
        nn.Unflatten(1, (512, 4, 4)),
        *doubling(512, 256),
        *doubling(256, 128),
        *doubling(128, 64),
        nn.Conv2d(64, 1, 3, padding=1, bias=False),
        nn.Tanh(),
    )


class JoinedDigit(nn.Module):
    """A generator whose latent is joined to an embedding of the digit."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 10)
        self.layers = normed_behind((110, 128, 256, 784))

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        images: Tensor = self.layers(torch.cat([latent, self.embedding(label)], 1))
        return images


MNIST = "dataset=mnist dataset.resolution=28 model=mlp"
EXAMPLES = "dataset.resolution=64 model=dcgan model.width=32 model.generator.bias=false model.discriminator.bias=false"
G, D = "generator", "discriminator"
# Words of the command line, player, what is taught, its number of parameters.
TAUGHT: Sequence[tuple[str, str, Callable[[], nn.Module], int]] = (
    (
        f"{MNIST} model.generator.activation_first=true model.generator.norm=[batch,batch,batch]",
        G,
        lambda: normed_after_activation((100, 256, 512, 1024, 784)),
        1_489_936,
    ),
    (
        f"{MNIST} model.discriminator.hidden=[512,256] model.discriminator.dropout=0.3",
        D,
        lambda: perceptron((784, 512, 256, 1), lrelu, dropout=(0.3, 0.3)),
        533_505,
    ),
    (
        f"{MNIST} model.generator.hidden=[128,256,512] model.generator.norm=batch",
        G,
        lambda: normed_behind((100, 128, 256, 512, 784)),
        581_264,
    ),
    (
        f"dataset=cifar10 {EXAMPLES} model.generator.first=convolution",
        G,
        lambda: convolutional_generator(3),
        3_576_704,
    ),
    (f"dataset=cifar10 {EXAMPLES}", D, lambda: convolutional_discriminator(3, 64, 128, 256, 512), 2_765_568),
    (
        f"{MNIST} conditioning=concat conditioning.generator.width=10 model.generator.hidden=[128,256] "
        "model.generator.norm=batch",
        G,
        JoinedDigit,
        249_332,
    ),
    (
        f"{MNIST} model.generator.activation=relu",
        G,
        lambda: perceptron((100, 256, 512, 1024, 784), nn.ReLU, nn.Tanh()),
        1_486_352,
    ),
    (
        f"{MNIST} model.discriminator.dropout=[0.3,0.3,0]",
        D,
        lambda: perceptron((784, 1024, 512, 256, 1), lrelu, dropout=(0.3, 0.3, 0)),
        1_460_225,
    ),
    (MNIST, G, lambda: perceptron((100, 256, 512, 1024, 784), lrelu, nn.Tanh()), 1_486_352),
    (
        f"dataset=mnist {EXAMPLES} model.generator.first=convolution",
        G,
        lambda: convolutional_generator(1),
        3_574_656,
    ),
    (f"dataset=mnist {EXAMPLES}", D, lambda: convolutional_discriminator(1, 64, 128, 256, 512), 2_763_520),
    (
        "dataset=ring model=mlp model.generator.activation=relu",
        G,
        lambda: perceptron((100, 256, 256, 256, 2), nn.ReLU),
        157_954,
    ),
    ("dataset=ring model=mlp", D, lambda: perceptron((2, 256, 256, 256, 1), lrelu), 132_609),
    (
        "dataset=mnist model=dcgan model.generator.first=projected model.generator.last_convolution=true "
        "model.generator.bias=false",
        G,
        projected_generator,
        3_597_760,
    ),
    (
        "dataset=mnist model=dcgan model.discriminator.width=32 model.discriminator.bias=false",
        D,
        lambda: convolutional_discriminator(1, 64, 128, 256),
        661_248,
    ),
    (
        f"{MNIST} model.generator.hidden=[128,256,512,1024] model.generator.norm=batch model.generator.momentum=0.8",
        G,
        lambda: normed_behind((100, 128, 256, 512, 1024, 784), momentum=0.8),
        1_510_032,
    ),
    (f"{MNIST} model.discriminator.hidden=[512,256]", D, lambda: perceptron((784, 512, 256, 1), lrelu), 533_505),
)


def built(words: Sequence[str], player: str) -> tuple[nn.Module, tuple[int, ...]]:
    """A player as a run would build it, and the shape of its inputs."""
    config = checked(words)
    network = build.make(config.parts[f"model.{player}"])
    if player == G:
        return network, (config.config["model"]["latent_dim"],)
    return network, tuple(network.shape)


def layers(network: nn.Module, call: Callable[[], object]) -> list[nn.Module]:
    """The layers in the order in which they compute, without those that only pass values on."""
    seen: list[nn.Module] = []
    leaves = [module for module in network.modules() if not list(module.children()) and not isinstance(module, SHAPED)]
    hooks = [leaf.register_forward_hook(lambda layer, *_: seen.append(layer)) for leaf in leaves]
    call()
    for hook in hooks:
        hook.remove()
    return seen


def described(found: Sequence[nn.Module]) -> Iterator[str]:
    """Type and settings of each layer; of a convolution over the whole of a 4 x 4 map, those of the linear layer that
    it is. Whether an activation works in place says nothing of what it computes."""
    for layer in found:
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (4, 4) and layer.stride == (1, 1):
            layer = nn.Linear(layer.in_channels * 16, layer.out_channels, bias=layer.bias is not None)
        yield repr(layer).replace(", inplace=True", "").replace("inplace=True", "")


@pytest.mark.parametrize(("words", "player", "taught", "parameters"), TAUGHT, ids=[f"{t[3]}-{t[0]}" for t in TAUGHT])
def test_a_taught_network_is_made_by_its_words(
    words: str, player: str, taught: Callable[[], nn.Module], parameters: int
) -> None:
    mine, shape = built(words.split(), player)
    theirs = taught()
    assert sum(p.numel() for p in mine.parameters()) == sum(p.numel() for p in theirs.parameters()) == parameters
    x = torch.rand(4, *shape) * 2 - 1
    labelled = (LABEL,) if isinstance(theirs, JoinedDigit) else ()
    ours = layers(mine, lambda: mine(x, LABEL))
    whose = layers(theirs, lambda: theirs(x, *labelled))
    assert list(described(ours)) == list(described(whose))
    with torch.no_grad():
        for a, b in zip(ours, whose, strict=True):
            for name, weight in b.named_parameters():
                weight.copy_(a.get_parameter(name).view_as(weight))
    torch.manual_seed(1)  # of dropout
    answer = mine(x, LABEL)
    torch.manual_seed(1)
    wanted = theirs(x, *labelled)
    if isinstance(answer, DiscriminatorOutput):
        answer, wanted = answer.logits, wanted.flatten()
    torch.testing.assert_close(answer, wanted.view_as(answer), rtol=1e-4, atol=1e-5)


def test_momentum_is_how_much_of_a_batch_enters_the_running_statistics() -> None:
    network = mlp.Generator(3, 1, 4, hidden=(5, 5), norm="batch", momentum=0.8)
    means = []
    network.hidden[1].linear.register_forward_hook(lambda _, __, values: means.append(values.mean(0)))
    network(torch.randn(8, 3), torch.zeros(8, dtype=torch.int64))
    torch.testing.assert_close(network.hidden[1].norm.module.running_mean, 0.8 * means[0])


@pytest.mark.parametrize(
    "conditioning",
    [conditionings.GeneratorConditioning(), conditionings.ConcatLatent(4), conditionings.ConditionalNorm(4)],
)
@pytest.mark.parametrize("first", ["projected", "convolution"])
@pytest.mark.parametrize("resolution", [16, (16, 32)])
def test_what_is_taught_goes_with_labels_and_attention(
    conditioning: conditionings.GeneratorConditioning, first: str, resolution: int | tuple[int, int]
) -> None:
    generator = dcgan.Generator(
        *(3, 2, resolution),
        width=2,
        norm=["batch", "layer", "batch"],
        first=first,
        last_convolution=True,
        upsample="resize",
        activation="leaky_relu",
        slope=0.1,
        activation_first=True,
        momentum=0.5,
        bias=False,
        attention=[4, 16],
        conditioning=conditioning,
    )
    images = generator(torch.randn(4, 3), LABEL)
    assert images.shape == (4, 2, *((resolution, resolution) if isinstance(resolution, int) else resolution))
    images.square().sum().backward()
    assert all(p.grad is not None for p in generator.parameters())


@pytest.mark.parametrize(
    "conditioning",
    [conditionings.DiscriminatorConditioning(), conditionings.ConcatSample(4), conditionings.Projection(4)],
)
@pytest.mark.parametrize("minibatch", ["stddev", "discrimination"])
def test_what_is_taught_goes_with_spectral_norm_and_minibatch_layers(
    conditioning: conditionings.DiscriminatorConditioning, minibatch: str
) -> None:
    settings = {"dropout": (0.1, 0.0), "norm": ("layer", "none"), "minibatch": minibatch, "activation_first": True}
    networks = (
        mlp.Discriminator(1, 16, (6, 5), spectral_norm=True, activation="relu", conditioning=conditioning, **settings),
        dcgan.Discriminator(1, 16, 2, spectral_norm=True, bias=False, conditioning=conditioning, **settings),
    )
    for network in networks:
        network(torch.randn(4, 1, 16, 16), LABEL).logits.sum().backward()
        assert all(p.grad is not None for p in network.parameters())
    normalised = dcgan.Discriminator(1, 16, 2, "none", spectral_norm=True, bias=False, conditioning=conditioning)
    assert spectrally_normalised(normalised)
    assert not [name for name, _ in normalised.named_parameters() if name.endswith("bias")]


def test_a_class_head_goes_with_layers_without_biases() -> None:
    network = dcgan.Discriminator(1, 16, 2, bias=False, conditioning=conditionings.AuxiliaryClassifier(4))
    assert network(torch.randn(4, 1, 16, 16), LABEL).class_logits.shape == (4, 4)
    assert not [m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d) and m.bias is not None]


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("model=mlp model.discriminator.dropout=[0.3,0.3]", "3 hidden layers\n  give one for each of them"),
        ("model=mlp model.discriminator.dropout=[0.3,0.3,2]", "less than or equal to 1"),
        ("model=mlp model.generator.norm=[batch]", "give one for each of them"),
        ("model=mlp model.generator.norm=[batch,bath,batch]", "choose one of batch, layer, none"),
        ("model=mlp model.generator.activation=rleu", "choose one of relu, leaky_relu"),
        ("model=mlp model.generator.activation=relu model.generator.slope=0.1", "activation=leaky_relu, or leave"),
        ("model=mlp model.generator.momentum=0.8", "use model.generator.norm=batch, or leave"),
        ("model=mlp model.generator.momentum=0 model.generator.norm=batch", "greater than 0"),
        ("model=dcgan model.discriminator.momentum=0.8 loss=wgan_gp", "use model.discriminator.norm=batch"),
        ("model=dcgan model.generator.first=projected model.generator.norm=instance", "choose one of batch, layer"),
        ("model=dcgan model.generator.first=conv", "choose one of linear, projected, convolution"),
        ("model=dcgan loss=wgan_gp model.discriminator.norm=[none,batch]", "norm=layer"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_remedy(words: str, remedy: str) -> None:
    with pytest.raises(Refused) as caught:
        build.game(checked(words.split()))
    assert remedy in str(caught.value)
