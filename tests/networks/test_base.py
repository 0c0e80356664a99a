"""What networks declare, and the skeletons that architectures fill in."""

from __future__ import annotations

from importlib import import_module
from inspect import get_annotations
from pkgutil import walk_packages

import torch
from torch import Tensor, nn

import gan_cli
from gan_cli.networks.base import BaseGenerator, Declared, StagedDiscriminator, declared
from gan_cli.networks.conditioning import AuxiliaryClassifier, ConcatLatent, ConcatSample
from gan_cli.networks.panel import Jury, Slices


class Doubling(StagedDiscriminator):
    """Two stages that double what they are given."""

    def __init__(self, **conditioning: AuxiliaryClassifier | ConcatSample) -> None:
        super().__init__(2, (), conditioning.get("conditioning"))
        self.stages = nn.ModuleList([nn.Upsample(scale_factor=2), nn.Upsample(scale_factor=2)])
        self.head = self.conditioning.head(4 * self.entering, lambda layer: layer)

    def seen(self, samples: Tensor) -> Tensor:
        return samples.unsqueeze(1)

    def summary(self, features: Tensor) -> Tensor:
        return features.flatten(1)


def test_a_plain_module_declares_nothing() -> None:
    assert declared(nn.Linear(1, 1)) == Declared(frozenset(), 0, False, ())


def test_what_a_module_declares_is_read_whatever_its_class() -> None:
    own = nn.Linear(1, 1)
    own.provides, own.classes, own.reads_labels = {"features"}, 3, True  # type: ignore[assignment]
    own.latent_layers = nn.ModuleList([nn.Linear(2, 2)])
    assert declared(own) == Declared(frozenset({"features"}), 3, True, (own.latent_layers[0],))


def test_protocols_that_are_asked_of_modules_by_isinstance_have_methods_alone() -> None:
    """It does not see modules within modules since Python 3.12; `has` does."""
    modules = [import_module(found.name) for found in walk_packages(gan_cli.__path__, "gan_cli.")]
    asked = {
        each
        for module in modules
        for each in vars(module).values()
        if isinstance(each, type)
        and each.__module__.startswith("gan_cli.")
        and getattr(each, "_is_runtime_protocol", False)
    }
    assert {each.__name__ for each in asked if get_annotations(each)} == {"Named"}  # of data
    assert len(asked) > 5


def test_a_generator_draws_the_classes_of_its_conditioning() -> None:
    assert declared(BaseGenerator(None)) == Declared()
    assert declared(BaseGenerator(ConcatLatent(7))).classes == 7


def test_a_discriminator_gives_the_outputs_of_its_stages_and_judges_the_summary_of_the_last() -> None:
    discriminator, samples, label = Doubling(), torch.randn(3, 2), torch.zeros(3, dtype=torch.int64)
    output = discriminator(samples, label)
    once, twice = samples.repeat_interleave(2, 1), samples.repeat_interleave(4, 1)
    assert [torch.equal(a[:, 0], b) for a, b in zip(output.features, (once, twice), strict=True)] == [True, True]
    assert torch.equal(output.logits, discriminator.head(twice, label).logits)
    assert output.class_logits is None


def test_a_discriminator_declares_what_its_conditioning_adds() -> None:
    assert declared(Doubling()) == Declared(frozenset({"features"}))  # points are no images
    classifying = Doubling(conditioning=AuxiliaryClassifier(3))
    assert declared(classifying) == Declared(frozenset({"features", "class_logits"}))
    assert classifying(torch.randn(2, 2), torch.tensor([0, 2])).class_logits.shape == (2, 3)
    joined = Doubling(conditioning=ConcatSample(3, width=5))
    assert declared(joined).reads_labels
    assert joined.entering == 7


def test_a_panel_declares_what_a_member_does_and_changes_no_member() -> None:
    member = {"features"}

    class Own(nn.Module):
        provides = member

    assert declared(Slices(Own, 2)) == Declared(frozenset({"features"}))
    assert declared(Jury(Own, 2)) == Declared(frozenset({"features", "several_logits"}))
    assert member == {"features"}
    assert declared(Jury(nn.Identity, 2)) == Declared(frozenset({"several_logits"}))
