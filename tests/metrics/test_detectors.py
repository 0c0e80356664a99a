"""Detectors: resizing, Inception's structure against pytorch-fid's, the classifier, and what is missing."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from gan_cli.data import sources
from gan_cli.data.fit import crop
from gan_cli.data.images import Request
from gan_cli.errors import DetectorMissing, WeightsMissing, WeightsRefused
from gan_cli.metrics import NotMeasurable, classifier, inception, pretrained, resize
from gan_cli.metrics.detectors import Labelled, Pixels
from gan_cli.metrics.inception import Inception, build_network


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """Random weights for pytorch-fid's network, with statistics that are not the initial ones."""
    from pytorch_fid import inception as patched
    from torchvision.models import inception_v3

    torch.manual_seed(0)
    network = inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False)
    for name, block in PATCHES(patched).items():
        setattr(network, name, block)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    return network.state_dict()


def PATCHES(patched: object) -> dict[str, torch.nn.Module]:
    p = patched
    return {
        "Mixed_5b": p.FIDInceptionA(192, pool_features=32),  # type: ignore[attr-defined]
        "Mixed_5c": p.FIDInceptionA(256, pool_features=64),  # type: ignore[attr-defined]
        "Mixed_5d": p.FIDInceptionA(288, pool_features=64),  # type: ignore[attr-defined]
        "Mixed_6b": p.FIDInceptionC(768, channels_7x7=128),  # type: ignore[attr-defined]
        "Mixed_6c": p.FIDInceptionC(768, channels_7x7=160),  # type: ignore[attr-defined]
        "Mixed_6d": p.FIDInceptionC(768, channels_7x7=160),  # type: ignore[attr-defined]
        "Mixed_6e": p.FIDInceptionC(768, channels_7x7=192),  # type: ignore[attr-defined]
        "Mixed_7b": p.FIDInceptionE_1(1280),  # type: ignore[attr-defined]
        "Mixed_7c": p.FIDInceptionE_2(2048),  # type: ignore[attr-defined]
    }


def test_features_are_pytorch_fids(
    state: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same weights in pytorch-fid's own wrapper, with its own resize: the same features to 1e-4."""
    from pytorch_fid import inception as patched

    monkeypatch.setattr(patched, "load_state_dict_from_url", lambda *_, **__: state)
    theirs = patched.InceptionV3([3]).eval()
    torch.save(state, tmp_path / "weights.pth")
    ours = Inception(str(tmp_path / "weights.pth"), resize="torch")
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = theirs(images.float() / 255)[0].flatten(1)
    found = ours(images)
    assert (found.features - wanted).norm() / wanted.norm() < 1e-4
    assert found.logits is not None
    torch.testing.assert_close(found.logits, found.features @ state["fc.weight"].T)
    grey = images[:, :1]
    torch.testing.assert_close(ours(grey).features, ours(grey.expand(-1, 3, -1, -1)).features)


def test_weights_without_fc_have_no_logits_and_foreign_ones_are_refused(
    state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    headless = {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}
    torch.save(headless, tmp_path / "nofc.pth")
    assert Inception(str(tmp_path / "nofc.pth")).head is None
    with pytest.raises(WeightsMissing, match="not the FID Inception"):
        build_network({"x": torch.zeros(1)})


def test_weights_out_of_files_are_checked(
    state: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the whole digest where the name is the published one, in torch hub's folder or where the user says; what
    another file of the user's own is, is recorded. Every refusal has two lines."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv(inception.ENVIRONMENT, raising=False)
    kept = tmp_path / "hub" / "checkpoints" / inception.FILE
    kept.parent.mkdir(parents=True)
    torch.save(state, tmp_path / "mine.pth")
    whole = (tmp_path / "mine.pth").read_bytes()
    kept.write_bytes(whole)
    for word in (None, str(kept)):
        with pytest.raises(WeightsRefused, match="is damaged: its sha256 is") as caught:
            Inception(word)
        assert len(str(caught.value).splitlines()) == 2
    digest = hashlib.sha256(whole).hexdigest()
    assert Inception(str(tmp_path / "mine.pth")).digest == digest
    monkeypatch.setattr(inception, "DIGEST", digest)
    assert Inception().digest == digest
    monkeypatch.setattr(inception, "DIGEST", digest[:-1] + ("0" if digest[-1] != "0" else "1"))  # the last bits count
    with pytest.raises(WeightsRefused):
        Inception()
    first = next(name for name, tensor in state.items() if tensor.ndim == 4)
    wrong: dict[str, Any] = {
        "nan": {**state, first: state[first] * float("nan")},
        "list": [1, 2],
        "numbers": {"x": 3},
        "shape": {**state, first: torch.zeros(1)},
        "wide": {**state, first: torch.zeros(1).expand(10**12)},
    }
    for name, content in wrong.items():
        torch.save(content, tmp_path / f"{name}.pth")
    (tmp_path / "page.pth").write_text("<!DOCTYPE html>")
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    with (
        zipfile.ZipFile(tmp_path / "mine.pth") as source,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for member in source.namelist()[:5]:
            bomb.writestr(member, source.read(member))
    for name in (*wrong, "page", "cut", "bomb"):
        with pytest.raises((WeightsRefused, WeightsMissing)) as caught:
            Inception(str(tmp_path / f"{name}.pth"))
        assert len(str(caught.value).splitlines()) == 2, caught.value


def test_tf1_has_no_half_pixel_shift() -> None:
    """Output j samples input j·size/target: the first pixel is the first pixel, rows sum to 1."""
    matrix = resize.tf1(4, 8)
    torch.testing.assert_close(matrix.sum(1), torch.ones(8))
    torch.testing.assert_close(matrix @ torch.arange(4.0), torch.tensor([0, 0.5, 1, 1.5, 2, 2.5, 3, 3]))


@pytest.mark.parametrize("shape", [(32, 32), (20, 47), (400, 310)])
def test_torch_resize_is_torchs(shape: tuple[int, int]) -> None:
    images = torch.rand(2, 3, *shape)
    wanted = F.interpolate(images, (299, 299), mode="bilinear", align_corners=False)
    torch.testing.assert_close(resize.resize(images, resize.half_pixel, 299), wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("shape", [(32, 32), (400, 310)])
def test_clean_resize_is_pillows(shape: tuple[int, int]) -> None:
    plane = torch.rand(1, 1, *shape) * 255
    pillow = Image.fromarray(plane[0, 0].numpy()).resize((299, 299), Image.Resampling.BICUBIC)
    wanted = torch.frombuffer(bytearray(pillow.tobytes()), dtype=torch.float32).view(1, 1, 299, 299)
    assert (resize.resize(plane, resize.clean, 299) - wanted).abs().max() < 0.01


def test_agrees_with_torch_fidelitys_tf1_resize() -> None:
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

    images = torch.randint(0, 256, (2, 3, 32, 20)).float()
    wanted = interpolate_bilinear_2d_like_tensorflow1x(images, size=(299, 299), align_corners=False)
    assert (resize.resize(images, resize.tf1, 299) - wanted).abs().max() < 1e-3


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Labelled:
    root = tmp_path_factory.mktemp("none")
    decoded = sources.digits(Request(root, "all", False, False, 1, 8, 8, crop, root))
    assert decoded.labels is not None
    images = decoded.images
    return Labelled(lambda: images, decoded.labels, 10, "digits")


def test_the_classifier_knows_the_digits_and_is_kept(
    digits: Labelled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier, "STEPS", 300)
    first = classifier.Classifier(str(tmp_path)).prepare(digits)
    assert classifier.accuracy(first, digits.images, digits.labels) > 0.95
    assert "right on a held-out tenth" in first.convention
    assert first(digits.images[:2]).features.shape == (2, classifier.WIDTH)
    monkeypatch.setattr(classifier, "fit", lambda *_: pytest.fail("trained again"))
    assert classifier.Classifier(str(tmp_path)).prepare(digits).digest == first.digest
    monkeypatch.undo()
    monkeypatch.setattr(classifier, "STEPS", 2)
    (kept,) = tmp_path.glob("*.safetensors")
    kept.write_bytes(b"cut short")
    assert classifier.Classifier(str(tmp_path)).prepare(digits).digest != first.digest  # other steps, another network


def test_the_classifier_is_reproducible(digits: Labelled) -> None:
    a, b = (classifier.fit(digits.images, digits.labels, 10, torch.device("cpu"), steps=3) for _ in range(2))
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def test_the_classifier_wants_labels(tmp_path: Path) -> None:
    with pytest.raises(NotMeasurable, match="labelled data"):
        classifier.Classifier(str(tmp_path)).prepare(None)


def test_stacked_digits_are_classified_by_channel(
    digits: Labelled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier, "STEPS", 300)
    index = torch.randint(len(digits.images), (900, 3), generator=torch.Generator().manual_seed(0))
    images = torch.cat([digits.images[index[:, i]] for i in range(3)], 1)
    labels = digits.labels[index] @ torch.tensor([100, 10, 1])
    stacked = classifier.StackedClassifier(str(tmp_path)).prepare(Labelled(lambda: images, labels, 1000, "stacked"))
    seen = stacked(images)
    assert seen.logits is not None
    assert (seen.logits.argmax(1) == labels).double().mean() > 0.85
    torch.testing.assert_close(seen.logits.exp().sum(1), torch.ones(900), atol=1e-4, rtol=1e-4)
    with pytest.raises(NotMeasurable, match="1000 classes"):
        classifier.StackedClassifier(str(tmp_path)).prepare(digits)


def test_efficientnet_runs_offline() -> None:
    detector = pretrained.EfficientNetLite0()
    found = detector(torch.randint(0, 256, (2, 1, 20, 20), dtype=torch.uint8))
    assert found.features.shape == (2, 1280)
    assert detector.digest is not None
    assert detector.digest.startswith("57934424")


def test_dinov2_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DetectorMissing, match=r"dinov2_vitl14_pretrain\.pth"):
        pretrained.Dinov2(weights=str(tmp_path / "none.pth"))


def test_pixels_are_the_same_for_any_reference() -> None:
    detector = Pixels()
    assert detector.prepare(None) is detector
