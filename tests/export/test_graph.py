"""A graph of plain operations draws what its network draws, for every architecture; nothing of training is left."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from conftest import SMALL, SMALL_TRANSLATORS, checked
from gan_cli.config import build
from gan_cli.export import convert, graph
from gan_cli.games.base import Game
from gan_cli.latent.styling import space, truncate
from gan_cli.latent.translate import network_of
from gan_cli.priors import Normal

SMALLEST = "dataset.resolution=8"
LABELLED = ("conditioning=projection",)


def made(words: tuple[str, ...]) -> Game:
    """A small game whose weights are all at work: none is zero, as strengths of noise are at first."""
    torch.manual_seed(0)
    game = build.game(checked(words))
    with torch.no_grad():
        for parameter in game.players()["generator"].parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    game.players()["generator"].eval()
    return game


def graph_of(game: Game, steered: bool = False) -> graph.Graph:
    network = network_of(game.players()["generator"])
    if game.prior.latent_dim == 0:
        return graph.of_translator(network, int(network.source_channels))
    return graph.of_generator(game.prior, network, steered)


@pytest.mark.parametrize("name", [*SMALL, *SMALL_TRANSLATORS])
def test_it_draws_what_the_network_draws(name: str) -> None:
    words = {**SMALL, **SMALL_TRANSLATORS}[name]
    game = made(words if name in SMALL_TRANSLATORS else (*words, *LABELLED))
    drawn = graph_of(game)
    assert ("label" in drawn.inputs) == (name in SMALL)
    assert ("noise" in drawn.inputs) == name.startswith(("stylegan", "r3gan2"))
    assert not any(parametrize.is_parametrized(module) for module in drawn.module.modules())
    for inputs, expected in drawn.answers():
        assert expected.std() > 1e-3  # something is drawn
        torch.testing.assert_close(drawn.module(*inputs.values()), expected, rtol=1e-4, atol=1e-4)


def test_the_network_itself_is_left_as_it_is() -> None:
    game = made((*SMALL["sagan"], *LABELLED))
    generator = game.players()["generator"]
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    graph_of(game)
    after = generator.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert any(parametrize.is_parametrized(module) for module in generator.modules())


def test_noise_is_read_in_the_order_in_which_it_is_drawn() -> None:
    game = made(SMALL["stylegan2"])
    drawn = graph_of(game)
    assert drawn.noise == ((4, 4), *[(8, 8)] * 2, *[(16, 16)] * 2)
    inputs = dict(drawn.inputs)
    assert inputs["noise"].shape == (graph.SOME, 16 + 2 * 64 + 2 * 256)
    without = drawn.module(inputs["latent"], torch.zeros_like(inputs["noise"]))
    assert (without - drawn.module(*inputs.values())).abs().max() > 1e-3


def test_a_steered_graph_truncates_and_shifts_styles() -> None:
    """At psi it draws what `gan sample truncation=psi` draws; a shift of w along d is d added to w."""
    game = made(SMALL["stylegan2"])
    generator = game.players()["generator"]
    generator.w_mean.normal_()
    drawn = graph_of(game, steered=True)
    latent = torch.randn(2, 4)
    label, still = torch.zeros(2, dtype=torch.int64), torch.zeros(2, drawn.inputs["noise"].shape[1])
    half, none = torch.full((2, 1), 0.5), torch.zeros(2, 4)
    for parameter in (p for name, p in generator.named_parameters() if name.endswith("strength")):
        nn.init.zeros_(parameter)
    expected = truncate(game, generator, 0.5)(latent, label)
    torch.testing.assert_close(drawn.module(latent, half, none, still), expected, rtol=1e-4, atol=1e-5)
    shift = torch.randn(2, 4)
    _, encode, decode = space(generator)
    expected = decode(encode(latent, label) + shift, label)
    torch.testing.assert_close(drawn.module(latent, 2 * half, shift, still), expected, rtol=1e-4, atol=1e-5)


def test_growth_stands_still() -> None:
    game = made(SMALL["pggan"])
    growth = next(m for m in game.players()["generator"].modules() if type(m).__name__ == "Growth")
    growth.images.fill_(growth.stable_images + growth.fade_images // 3)  # in the middle of fading in
    drawn = graph_of(game)
    inputs, expected = next(drawn.answers())
    growth.images.fill_(10**9)
    torch.testing.assert_close(drawn.module(*inputs.values()), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "words"),
    [("stylegan", (*LABELLED, SMALLEST)), ("pix2pix", (SMALLEST, "model.generator.depth=1"))],
    ids=lambda v: v if v else "-",
)
def test_onnxruntime_draws_the_same(name: str, words: tuple[str, ...]) -> None:
    """Batches and, of a translator, pictures of several sizes; benchmarks/export.py has all architectures."""
    drawn = graph_of(made({**SMALL, **SMALL_TRANSLATORS}[name] + words), steered=True)
    model = convert.convert(drawn, 18, {"step": "7"})
    assert convert.checked_difference(drawn, model, 1e-4) <= 1e-4

    import onnx

    read = onnx.load_from_string(model)
    assert [entry.version for entry in read.opset_import if not entry.domain] == [18]
    assert {entry.key: entry.value for entry in read.metadata_props}["step"] == "7"
    sides = [len(drawn.axes[value.name]) for value in read.graph.input]
    free = [sum(bool(d.dim_param) for d in value.type.tensor_type.shape.dim) for value in read.graph.input]
    assert free == sides


class Cancelling(nn.Module):
    """x, with a rounding error of about 1000 times float32's."""

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        return (latent + 1000) - 1000


def test_what_rounding_changes_is_measured() -> None:
    """Half a place of float32 at 1000, which is 2**-15."""
    assert 2**-17 < graph.of_generator(Normal(4), Cancelling()).rounding() <= 2**-15


def test_a_difference_no_larger_than_rounding_is_allowed_and_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    drawn = graph.of_generator(Normal(4), Cancelling())
    for found, allowed in ((2**-15, True), (2**-10, False)):
        monkeypatch.setattr(convert, "difference", lambda *_, found=found: found)
        if allowed:
            assert convert.checked_difference(drawn, b"", 1e-6) == found
            assert "rounding to float32 alone changes" in caplog.text
        else:
            with pytest.raises(ValueError, match=r"differ by 0\.000977"):
                convert.checked_difference(drawn, b"", 1e-6)


class Random(nn.Module):
    """A network that draws random numbers of its own: no two programs draw the same."""

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        return latent + torch.randn_like(latent)


def test_another_picture_is_refused_with_the_difference() -> None:
    drawn = graph.of_generator(Normal(4), Random())
    model = convert.convert(drawn, 18, {})
    with pytest.raises(ValueError, match=r"differ by \S+, and 0.0001 is allowed\n  as.tolerance") as refused:
        convert.checked_difference(drawn, model, 1e-4)
    # ONNX Runtime draws from a seed of its own, so the number is another at each run
    assert 0.1 < float(str(refused.value).split()[7].rstrip(",")) < 20


class Unwritable(nn.Module):
    """A network whose way depends on the numbers in a latent."""

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        return latent if float(latent.sum()) > 0 else -latent


def test_what_onnx_has_no_words_for_is_refused(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(ValueError, match=r"cannot be written as ONNX.*\n  use as=safetensors"):
        convert.convert(graph.of_generator(Normal(4), Unwritable()), 18, {})
    assert capsys.readouterr() == ("", "")
