"""Labels through mapping networks: what they start as, who reads them, and whose styles they change."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from gan_cli.errors import Incompatible
from gan_cli.latent.classes import with_mixtures
from gan_cli.latent.styling import TruncatedStyles
from gan_cli.networks import stylegan2
from gan_cli.networks.mapping import MappedHead, MappedLatent, MappedProjection, NormalisedEmbedding

ONE, TWO = torch.full((4,), 1), torch.full((4,), 2)


def identity(layer: nn.Module) -> nn.Module:
    return layer


def generator(mixing: float = 0.0) -> stylegan2.Generator:
    way = MappedLatent(5)
    return stylegan2.Generator(6, 1, 8, style_dim=4, channel_base=32, channel_max=4, mixing=mixing, conditioning=way)


def test_an_embedding_is_the_linear_layer_of_a_one_hot_label_of_mean_square_1() -> None:
    embedding = NormalisedEmbedding(5, 7)
    nn.init.normal_(embedding.linear.bias)
    label = torch.arange(5)
    linear = embedding.linear(torch.eye(5))
    expected = linear / (linear.square().mean(1, keepdim=True) + 1e-8).sqrt()
    torch.testing.assert_close(embedding(label), expected)
    torch.testing.assert_close(embedding(label).square().mean(1), torch.ones(5))


def test_a_mixture_of_classes_is_the_linear_layer_of_its_shares() -> None:
    """Classes in another order, one of them twice, are themselves; half and half is the mean, then normalised."""
    embedding = NormalisedEmbedding(5, 7)
    nn.init.normal_(embedding.linear.bias)
    shares = torch.cat([torch.eye(5)[[3, 4, 4]], torch.tensor([[0.5, 0.0, 0.5, 0.0, 0.0]])])
    mixed = with_mixtures(nn.Sequential(embedding), shares)(torch.arange(4))
    torch.testing.assert_close(mixed[:3], embedding(torch.tensor([3, 4, 4])))
    linear = embedding.linear(torch.eye(5)[[0, 2]]).mean(0)
    torch.testing.assert_close(mixed[3], linear / linear.square().mean().sqrt(), atol=1e-5, rtol=1e-5)


def test_a_generator_draws_the_classes_that_mixtures_name() -> None:
    network = TruncatedStyles(generator(), 0.7).eval()
    latent, label = torch.randn(3, 6), torch.tensor([4, 1, 4])
    other = with_mixtures(network, torch.eye(5)[label])
    with torch.no_grad():
        torch.manual_seed(0)
        expected = network(latent, label)
        torch.manual_seed(0)
        torch.testing.assert_close(other(latent, torch.arange(3)), expected)


def test_layers_start_equalised_with_biases_of_0() -> None:
    head = MappedHead(64, identity, 5, 200, 2, 0.01)
    raw = head.layers[0].parametrizations
    assert raw.weight.original.std().item() == pytest.approx(100, rel=0.03)
    assert head.layers[0].weight.std().item() == pytest.approx(1 / math.sqrt(200), rel=0.03)
    assert head.embedding.linear.weight.std().item() == pytest.approx(1 / math.sqrt(5), rel=0.1)
    assert not any(layer.bias.any() for layer in (*head.layers, head.embedding.linear))


def test_a_logit_is_the_inner_product_of_the_features_with_what_the_label_is_mapped_to() -> None:
    head = MappedProjection(5, width=3, layers=2).head(6, identity)
    features = torch.randn(4, 6)
    assert isinstance(head, MappedHead)
    mapped = head.layers(head.embedding(ONE))
    expected = torch.einsum("nw,nw->n", head.linear(features), mapped) / math.sqrt(3)
    torch.testing.assert_close(head(features, ONE).logits, expected)
    assert MappedProjection(5).head(6, identity).linear.out_features == 6  # type: ignore[union-attr]


def test_gradients_of_both_orders_reach_every_weight_of_a_head() -> None:
    """R1 takes a gradient of a gradient."""
    head = MappedProjection(5, layers=2).head(6, identity)
    features = torch.randn(8, 6, requires_grad=True)
    logits = head(features, torch.arange(8) % 5).logits
    (slope,) = torch.autograd.grad(logits.sum(), features, create_graph=True)
    slope.square().sum().backward()
    gradients = {name: parameter.grad for name, parameter in head.named_parameters() if name != "linear.bias"}
    assert all(gradient is not None and gradient.any() for gradient in gradients.values())


def test_the_second_style_is_of_the_same_class() -> None:
    """With one latent for all, mixing styles of two samples changes nothing if the label is kept."""
    drawing = generator(mixing=1.0).train()
    latent = torch.randn(1, 6).expand(4, -1)
    label = torch.arange(4)
    w = drawing.mapping(latent, label)
    torch.testing.assert_close(drawing.mixed(w, latent, label), w.unsqueeze(1).expand(-1, drawing.synthesis.layers, -1))
    assert not torch.allclose(w[0], w[1])


def test_networks_say_that_they_read_labels() -> None:
    drawing = generator().eval()
    judging = stylegan2.Discriminator(1, 8, channel_base=32, channel_max=4, conditioning=MappedProjection(5, layers=1))
    assert (drawing.classes, judging.reads_labels) == (5, True)
    assert drawing.mapping.latent.embedding.linear.weight.shape == (6, 5)  # as wide as the latent
    images = torch.randn(4, 1, 8, 8)
    assert not torch.equal(judging(images, ONE).logits, judging(images, TWO).logits)
    assert parametrize.is_parametrized(judging.head.linear)  # the architecture's own way is kept for the features


def test_there_must_be_classes() -> None:
    for way in (MappedLatent, MappedProjection):
        with pytest.raises(Incompatible, match="conditioning=mapping needs labels"):
            way(1)
