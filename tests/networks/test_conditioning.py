"""Labels in networks: what reads them, what ignores them, and layers that look at a whole batch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gan_cli.errors import Incompatible
from gan_cli.networks import conditioning as c
from gan_cli.networks import dcgan, mlp
from gan_cli.networks.attention import SelfAttention
from gan_cli.networks.blocks import identity, mixing_layers, spectrally_normalised
from gan_cli.networks.minibatch import Discrimination, StandardDeviation
from gan_cli.networks.panel import Jury, Slices

GENERATORS = {"none": c.GeneratorConditioning(), "concat": c.ConcatLatent(5, 3), "projection": c.ConditionalNorm(5)}
DISCRIMINATORS = {
    "none": c.DiscriminatorConditioning(),
    "concat": c.ConcatSample(5, 3),
    "projection": c.Projection(5),
    "acgan": c.AuxiliaryClassifier(5),
}
ONE, TWO = torch.full((4,), 1), torch.full((4,), 2)


def generators(way: c.GeneratorConditioning) -> list[nn.Module]:
    return [
        mlp.Generator(6, 2, (), (8,), conditioning=way),
        mlp.Generator(6, 1, 4, (8,), norm="batch", conditioning=way),
        dcgan.Generator(6, 3, 16, width=2, conditioning=way),
        dcgan.Generator(6, 1, 16, width=2, norm="none", attention=(8,), conditioning=way),
    ]


def discriminators(way: c.DiscriminatorConditioning, spectral: bool = False) -> list[tuple[nn.Module, torch.Tensor]]:
    return [
        (mlp.Discriminator(2, (), (8,), spectral_norm=spectral, conditioning=way), torch.randn(4, 2)),
        (mlp.Discriminator(1, 4, (8,), spectral_norm=spectral, conditioning=way), torch.randn(4, 1, 4, 4)),
        (
            dcgan.Discriminator(3, 16, width=2, norm="layer", spectral_norm=spectral, attention=(4,), conditioning=way),
            torch.randn(4, 3, 16, 16),
        ),
    ]


@pytest.mark.parametrize("name", GENERATORS)
def test_a_generator_draws_what_the_label_says_if_it_reads_it(name: str) -> None:
    latent = torch.randn(4, 6)
    for generator in generators(GENERATORS[name]):
        with torch.no_grad():  # at first, conditional gains and biases are those of no condition
            for module in generator.modules():
                if isinstance(module, nn.Embedding):
                    module.weight.add_(torch.randn_like(module.weight))
        generator.eval()
        differs = not torch.equal(generator(latent, ONE), generator(latent, TWO))
        assert differs == (name != "none")
        assert generator.classes == (5 if differs else 0)


@pytest.mark.parametrize("name", DISCRIMINATORS)
@pytest.mark.parametrize("spectral", [False, True])
def test_a_discriminator_judges_the_label_if_it_reads_it(name: str, spectral: bool) -> None:
    for discriminator, samples in discriminators(DISCRIMINATORS[name], spectral):
        discriminator.eval()
        one, two = discriminator(samples, ONE), discriminator(samples, TWO)
        assert one.logits.shape == (4,)
        assert (not torch.equal(one.logits, two.logits)) == discriminator.reads_labels
        assert (one.class_logits is not None) == ("class_logits" in discriminator.provides) == (name == "acgan")
        assert ("images" in discriminator.provides) == (samples.ndim == 4)
        if one.class_logits is not None:
            assert one.class_logits.shape == (4, 5)
            assert torch.equal(one.class_logits, two.class_logits)
        if spectral:
            assert spectrally_normalised(discriminator)


@pytest.mark.parametrize(
    "kind", [c.DiscriminatorConditioning(), c.Projection(5), c.Bilinear(5), c.AuxiliaryClassifier(5)]
)
def test_logits_keep_their_digits_in_bfloat16(kind: c.DiscriminatorConditioning) -> None:
    head = kind.head(3, identity)
    features, label = torch.randn(4, 3).bfloat16(), torch.tensor([0, 1, 2, 4])
    expected = head(features.float(), label).logits
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(head(features, label).logits, expected)


def test_projection_adds_the_inner_product_of_features_and_embedding() -> None:
    head = c.ProjectionHead(3, identity, 5)
    features, label = torch.randn(4, 3), torch.tensor([0, 1, 2, 4])
    plain = c.LinearHead(3, identity)
    plain.linear.load_state_dict(head.linear.state_dict())
    added = head(features, label).logits - plain(features, label).logits
    torch.testing.assert_close(added, (features * head.embedding.weight[label]).sum(1))


def test_conditional_normalisation_without_a_say_is_plain_normalisation() -> None:
    x = torch.randn(6, 4, 3, 3)
    layer = c.ConditionalNormalisation(nn.BatchNorm2d(4, affine=False), 5, 4)
    torch.testing.assert_close(layer(x, torch.arange(5).repeat(2)[:6]), nn.BatchNorm2d(4)(x))
    with torch.no_grad():
        layer.gain.weight[1], layer.bias.weight[1] = 3.0, -1.0
    torch.testing.assert_close(layer(x, torch.ones(6, dtype=torch.int64)), 3 * nn.BatchNorm2d(4)(x) - 1)


@pytest.mark.parametrize("classes", [0, 1])
@pytest.mark.parametrize(
    "way", [c.ConcatLatent, c.ConditionalNorm, c.ConcatSample, c.Projection, c.AuxiliaryClassifier]
)
def test_unlabelled_data_are_refused(way: type, classes: int) -> None:
    with pytest.raises(Incompatible, match=rf"dataset\.classes={classes}\n  .*conditioning=none"):
        way(classes)


def test_attention_is_the_identity_at_first_and_mixes_all_places() -> None:
    layer, x = SelfAttention(16, identity), torch.randn(2, 16, 6, 6)
    assert torch.equal(layer(x), x)
    with torch.no_grad():
        layer.gamma.fill_(1)
    moved = x.clone()
    moved[:, :, 0, 0] += 5
    assert ((layer(moved) - layer(x))[:, :, 5, 5].abs() > 0).any()


def test_attention_is_a_mean_of_the_values_by_the_softmax_of_the_products() -> None:
    """Keys and values are pooled after their convolutions, which is not the same as before them."""
    layer, x = SelfAttention(8, identity).double(), torch.randn(2, 8, 4, 6).double()
    with torch.no_grad():
        layer.gamma.fill_(0.5)
    query = layer.query(x).flatten(2)
    key, value = (F.max_pool2d(part(x), 2).flatten(2) for part in (layer.key, layer.value))
    shares = torch.einsum("ncp,ncs->nps", query, key).softmax(2)
    mixed = torch.einsum("nps,ncs->ncp", shares, value).unflatten(2, (4, 6))
    torch.testing.assert_close(layer(x), x + 0.5 * layer.output(mixed))


def test_standard_deviation_of_equal_and_of_known_samples() -> None:
    layer = StandardDeviation(2, group=4)
    assert layer(torch.ones(8, 2))[:, 2].abs().max().item() < 2e-4
    x = torch.tensor([[0.0, 0.0], [2.0, 4.0]]).repeat(2, 1)  # standard deviations 1 and 2
    torch.testing.assert_close(layer(x)[:, 2], torch.full((4,), 1.5), atol=1e-4, rtol=0)
    assert layer(torch.randn(6, 2)).shape == (6, 3)


def test_minibatch_discrimination_measures_closeness_to_the_others() -> None:
    layer = Discrimination(3, kernels=2, dimensions=4)
    torch.testing.assert_close(layer(torch.ones(5, 3))[:, 3:], torch.full((5, 2), 4.0))
    with torch.no_grad():
        layer.projection.weight.fill_(1.0)
    alone = layer(torch.arange(5.0).unsqueeze(1).expand(5, 3) * 100)
    assert alone[:, 3:].abs().max().item() < 1e-6


@pytest.mark.parametrize("minibatch", ["stddev", "discrimination"])
def test_layers_that_mix_samples_say_so(minibatch: str) -> None:
    for network in (mlp.Discriminator(2, (), (8,), minibatch=minibatch), dcgan.Discriminator(1, 16, 2, "none")):
        mixes = bool(mixing_layers(network))
        assert mixes == isinstance(network, mlp.Discriminator)
    with pytest.raises(ValueError, match=r"minibatch=std is unknown"):
        mlp.Discriminator(2, (), minibatch="std")


def test_dropout_and_attention_where_they_are_asked_for() -> None:
    discriminator = dcgan.Discriminator(1, 16, width=2, norm="none", dropout=0.5)
    x = torch.randn(4, 1, 16, 16)
    assert not torch.equal(discriminator(x, ONE).logits, discriminator(x, ONE).logits)
    discriminator.eval()
    assert torch.equal(discriminator(x, ONE).logits, discriminator(x, ONE).logits)
    with pytest.raises(ValueError, match=r"generator\.attention=\[32\].*\n  .* 4, 8"):
        dcgan.Generator(4, 1, 16, attention=(32,))


def test_a_panel_judges_with_several_and_starts_each_differently() -> None:
    jury = Jury(lambda: mlp.Discriminator(2, (), (8,)), 3)
    x = torch.randn(6, 2)
    output = jury(x, torch.zeros(6, dtype=torch.int64))
    assert output.logits.shape == (6, 3)
    assert len({round(v, 6) for v in output.logits[0].tolist()}) == 3
    assert "several_logits" in jury.provides
    assert len(output.features) == 3
    slices = Slices(lambda: mlp.Discriminator(2, (), (8,)), 2)
    judged = slices(x, torch.zeros(6, dtype=torch.int64)).logits
    first, second = (member(x, torch.zeros(6, dtype=torch.int64)).logits for member in slices.members)
    torch.testing.assert_close(judged, torch.cat([first[:3], second[3:]]))


def test_a_traced_norm_takes_batches_of_any_size() -> None:
    norm = c.ConditionalNormalisation(nn.Identity(), 5, 2)
    free = {0: torch.export.Dim.DYNAMIC}
    values, label = torch.randn(7, 2, 2, 2), torch.arange(7) % 5
    traced = torch.export.export(norm, (values[:3], label[:3]), dynamic_shapes=(free, free), strict=False).module()
    assert torch.equal(traced(values, label), norm(values, label))
