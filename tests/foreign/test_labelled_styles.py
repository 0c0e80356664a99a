"""StyleGAN2 with labels: what is imported maps and judges them as the authors' definition says, written down here.

Of a label y, e = normalised(embed(one-hot y)), where normalised(x) = x / √(mean x² + 1e-8). In G, w is the mapping
network of (normalised(z), e); in D, the logit is <out(φ), the mapping network of e> / √(its width).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from authors import Tensors
from test_import import Theirs, restored
from torch import Tensor

from gan_cli.cli import main

LABEL = torch.tensor([0, 3, 1, 2, 3])


def normalised(x: Tensor) -> Tensor:
    return x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()


def embedded(state: Tensors, label: Tensor) -> Tensor:
    weight, bias = state["mapping.embed.weight"], state["mapping.embed.bias"]
    one_hot = torch.eye(weight.shape[1])[label]
    return normalised(one_hot @ weight.T / weight.shape[1] ** 0.5 + bias)


def mapped(state: Tensors, x: Tensor, layers: int, rate: float = 0.01) -> Tensor:
    for i in range(layers):
        weight, bias = state[f"mapping.fc{i}.weight"], state[f"mapping.fc{i}.bias"]
        x = 2**0.5 * F.leaky_relu(rate * (x @ weight.T / weight.shape[1] ** 0.5 + bias), 0.2)
    return x


class Labelled(Theirs):
    """Biases of a mapping network count a hundredth: here they are large enough to be seen."""

    def __init__(self) -> None:
        super().__init__("stylegan2_labels")
        draws = torch.Generator().manual_seed(7)
        for network in (self.generator, self.average, self.discriminator):
            for name, value in network.state_dict().items():
                if "bias" in name:
                    value.add_(torch.randn(value.shape, generator=draws) * (30 if "layers" in name else 1))


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kept", ["pickle", "states"])
def test_labels_enter_as_the_authors_define_it(kept: str, there: Path) -> None:
    theirs = Labelled()
    raw, average, judge = theirs.states()
    files = theirs.write() if kept == "pickle" else ["G.pt", "G_ema.pt", "D.pt"]
    if kept == "states":
        for state, name in zip((raw, average, judge), files, strict=True):
            torch.save(state, name)
    assert main(["import", *files, "out=run"]) == 0
    z = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))
    for state, ema in ((raw, False), (average, True)):
        run = restored("run", ema=ema)
        network: Any = run.generator
        w, w_mean = mapped(state, torch.cat([normalised(z), embedded(state, LABEL)], 1), 2), state["mapping.w_avg"]
        torch.testing.assert_close(network.mapping(z, LABEL), w, atol=1e-5, rtol=1e-5)
        styles = network.truncated(network.mapping(z, LABEL), 0.6)
        torch.testing.assert_close(styles, w_mean + 0.6 * (w - w_mean), atol=1e-5, rtol=1e-5)
    discriminator: Any = run.game.players()["discriminator"].eval()
    images = torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    features = discriminator.summary(discriminator.features(images)[-1])
    out = features @ judge["b4.out.weight"].T / features.shape[1] ** 0.5 + judge["b4.out.bias"]
    logits = (out * mapped(judge, embedded(judge, LABEL), 8)).sum(1) / out.shape[1] ** 0.5
    torch.testing.assert_close(discriminator(images, LABEL).logits, logits, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(logits, discriminator(images, LABEL.flip(0)).logits, atol=1e-2)


def test_a_converted_discriminator_maps_labels_at_another_rate_or_not_at_all(there: Path) -> None:
    """`legacy.py` of the authors makes such ones out of networks of TensorFlow."""
    theirs = Labelled()
    _, average, judge = theirs.states()
    plain = {name: tensor for name, tensor in judge.items() if not name.startswith("mapping.fc")}
    torch.save(average, "G.pt")
    torch.save(plain, "D.pt")
    assert main(["import", "G.pt", "D.pt", "out=run"]) == 0
    discriminator: Any = restored("run").game.players()["discriminator"].eval()
    features = torch.randn(5, 8)
    out = features @ plain["b4.out.weight"].T / 8**0.5 + plain["b4.out.bias"]
    logits = (out * embedded(plain, LABEL)).sum(1) / 8**0.5
    torch.testing.assert_close(discriminator.head(features, LABEL).logits, logits, atol=1e-5, rtol=1e-5)


def test_the_rate_of_a_pickled_mapping_network_is_kept(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = Labelled()
    facts = {f"mapping.fc{i}.bias_gain": 0.1 for i in range(8)}
    theirs.write(facts, said=["D"])
    assert main(["import", "snapshot.pkl", "out=run"]) == 0
    run = restored("run")
    assert run.config["conditioning"]["discriminator"]["rate"] == 0.1
    judge = theirs.states()[2]
    head: Any = run.game.players()["discriminator"].eval().head
    wanted = mapped(judge, embedded(judge, LABEL), 8, rate=0.1)
    torch.testing.assert_close(head.layers(head.embedding(LABEL)), wanted, atol=1e-5, rtol=1e-5)
    theirs.write({**facts, "mapping.fc3.bias_gain": 0.01}, said=["D"])
    assert main(["import", "snapshot.pkl", "out=other"]) == 2
    assert "mapping.fc3.bias_gain=0.01 differs" in capsys.readouterr().err


def test_an_imported_run_is_exported_with_its_labels(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", *Labelled().write(), "out=run"]) == 0
    assert main(["export", "run", "as=onnx", "out=model.onnx"]) == 0  # which compares what both draw
    assert "label [N]" in capsys.readouterr().out
    assert main(["export", "run", "out=model.safetensors"]) == 0
    for source in ("run", "model.safetensors"):
        assert main(["sample", source, "n=3", "classes=2", f"out={source}.npz"]) == 0
    assert (np.load("run.npz")["arr_0"] == np.load("model.safetensors.npz")["arr_0"]).all()
