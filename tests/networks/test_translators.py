"""Residual and U-Net translators: the published sizes, any side in and out, and what a drawn pixel depends on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_cli.errors import ConfigError, Incompatible
from gan_cli.networks.base import declared
from gan_cli.networks.enhancer import RRDB, SRResNet
from gan_cli.networks.translator import Residual, Translator, UNet

LABEL = torch.zeros(2, dtype=torch.int64)


@pytest.mark.parametrize(
    ("count", "make"),
    [
        (11_378_179, lambda: Residual(3, 3)),
        (7_837_699, lambda: Residual(3, 3, blocks=6)),
        (11_383_427, lambda: Residual(3, 3, norm="batch")),
        (54_413_955, lambda: UNet(3, 3)),
        (41_828_995, lambda: UNet(3, 3, depth=7)),
    ],
)
def test_the_sizes_of_the_authors_code(count: int, make: Callable[[], nn.Module]) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in make().parameters()) == count


SMALL: dict[str, Callable[[], Translator]] = {
    "residual": lambda: Residual(1, 3, width=2, blocks=2),
    "residual, batch": lambda: Residual(1, 3, width=2, blocks=1, norm="batch", upsample="resize", dropout=0.5),
    "residual, none": lambda: Residual(2, 2, width=2, blocks=0, norm="none"),
    "unet": lambda: UNet(3, 1, width=2, depth=6),
    "unet, instance": lambda: UNet(1, 2, width=2, depth=4, norm="instance", upsample="resize"),
    "unet, none": lambda: UNet(1, 1, width=2, depth=1, norm="none"),
    "srresnet x1": lambda: SRResNet(1, 3, scale=1, width=4, blocks=1),
    "srresnet x2": lambda: SRResNet(3, 3, scale=2, width=4, blocks=1),
    "srresnet x3": lambda: SRResNet(3, 3, scale=3, width=4, blocks=0),
    "srresnet x4": lambda: SRResNet(3, 1, width=4, blocks=1),
    "srresnet x8": lambda: SRResNet(1, 1, scale=8, width=4, blocks=1),
    "rrdb x1": lambda: RRDB(1, 3, scale=1, width=4, growth=2, blocks=1),
    "rrdb x2": lambda: RRDB(3, 3, scale=2, width=4, growth=2, blocks=1),
    "rrdb x4": lambda: RRDB(3, 3, width=4, growth=2, blocks=0),
}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("training", [True, False])
def test_any_size_in_gives_its_multiple_out(name: str, training: bool) -> None:
    network = SMALL[name]().train(training)
    for height, width in ((1, 1), (3, 5), (17, 23), (100, 100)):
        source = torch.rand(2, network.source_channels, height, width) * 2 - 1
        drawn = network(source, LABEL)
        assert drawn.shape == (2, network.channels, network.scale * height, network.scale * width)
        drawn.mean().backward()  # nothing that a gradient needs was written over
    assert declared(network).classes == 0
    if isinstance(network, Residual | UNet):
        assert drawn.abs().max() <= 1


@pytest.mark.parametrize("name", SMALL)
def test_what_fits_is_not_continued_and_what_does_not_is_mirrored(name: str) -> None:
    network = SMALL[name]().eval()
    side = 2 * max(network.multiple, network.least)
    source = torch.randn(2, network.source_channels, side, side + network.multiple)
    drawn = network(source, LABEL)
    assert torch.equal(drawn, network.translate(source))
    if network.multiple > 1:
        cut = source[:, :, :-1]
        mirrored = network.translate(F.pad(cut, (0, 0, 0, 1), mode="reflect"))
        assert torch.equal(network(cut, LABEL), mirrored[:, :, : -network.scale])


def spans(network: Translator, side: int, rows: range) -> list[tuple[int, int, int]]:
    """(place, first, last) of the source pixels that reach each drawn row, in the middle column."""
    network = network.double().eval()
    for name, value in network.named_parameters():  # weights of one sign reach all that they can
        value.data.abs_().mul_(0.5) if name.endswith("weight") else value.data.zero_()
    source = torch.rand(1, network.source_channels, side, side, dtype=torch.float64, requires_grad=True)
    drawn = network(source, LABEL)[0, 0, :, network.scale * side // 2]
    found = []
    for row in rows:
        (gradient,) = torch.autograd.grad(drawn[row], source, retain_graph=True)
        seen = gradient[0, 0].abs().sum(1).nonzero().flatten()
        found.append((row // network.scale, int(seen.min()), int(seen.max())))
    return found


@pytest.mark.parametrize(
    ("make", "side"),
    [
        (lambda: Residual(1, 1, width=2, blocks=1, norm="none"), 96),
        (lambda: Residual(1, 1, width=2, blocks=1, norm="batch", upsample="resize"), 96),
        (lambda: UNet(1, 1, width=2, depth=3, norm="none"), 64),
        (lambda: UNet(1, 1, width=2, depth=3, norm="batch", upsample="resize"), 96),
        (lambda: SRResNet(1, 1, scale=1, width=2, blocks=2), 32),
        (lambda: SRResNet(1, 1, scale=3, width=2, blocks=2), 32),
        (lambda: SRResNet(1, 1, scale=4, width=2, blocks=2), 32),
        (lambda: SRResNet(1, 1, scale=8, width=2, blocks=0), 32),
        (lambda: RRDB(1, 1, scale=4, width=2, growth=1, blocks=1), 64),
        (lambda: RRDB(1, 1, scale=2, width=2, growth=1, blocks=0), 32),
        (lambda: RRDB(1, 1, scale=1, width=2, growth=1, blocks=0), 64),
    ],
)
def test_the_radius_is_what_a_pixel_depends_on(make: Callable[[], Translator], side: int) -> None:
    network = make()
    assert network.radius is not None
    assert network.radius < side // 2 - network.multiple  # the borders are farther away
    middle = network.scale * (side // 2 // network.multiple) * network.multiple
    found = spans(network, side, range(middle, middle + network.scale * network.multiple))
    assert max(max(place - low, high - place) for place, low, high in found) == network.radius


def test_a_tile_is_drawn_as_in_the_whole_picture() -> None:
    """Where the tile begins at a multiple and its outermost `radius` pixels do not count."""
    network = RRDB(1, 1, scale=2, width=4, growth=2, blocks=0).double()
    source = torch.randn(1, 1, 64, 64, dtype=torch.float64)
    r, s, whole = network.radius, network.scale, network(source, LABEL)
    assert r is not None
    tile = network(source[..., 10:50, 20:60], LABEL)
    inside = slice(s * r, s * (40 - r))
    torch.testing.assert_close(
        tile[..., inside, inside], whole[..., s * 10 : s * 50, s * 20 : s * 60][..., inside, inside]
    )
    with pytest.raises(AssertionError):
        torch.testing.assert_close(tile, whole[..., s * 10 : s * 50, s * 20 : s * 60])


def test_instance_norm_has_no_radius() -> None:
    """Every pixel of the source moves every drawn one."""
    for network in (Residual(1, 1, width=2, blocks=0), UNet(1, 1, width=2, depth=3, norm="instance")):
        assert network.radius is None
        source = torch.randn(1, 1, 64, 64, dtype=torch.float64, requires_grad=True)
        network.double().eval()(source, LABEL)[0, 0, 0, 0].backward()
        assert source.grad[0, 0, -8:, -8:].abs().sum() > 0


def test_residual_is_the_authors_layer_by_layer() -> None:
    """The same weights in plain torch layers, with torch's own padding."""
    ours = Residual(3, 2, width=2, blocks=1).eval()
    size = [m.weight for m in ours.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert [tuple(w.shape) for w in size] == [
        *((2, 3, 7, 7), (4, 2, 3, 3), (8, 4, 3, 3), (8, 8, 3, 3), (8, 8, 3, 3)),
        *((8, 4, 3, 3), (4, 2, 3, 3), (2, 2, 7, 7)),
    ]
    c = [m for m in ours.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]

    def padded(x: Tensor, width: int) -> Tensor:
        return F.pad(x, 4 * [width], mode="reflect")

    source = torch.randn(2, 3, 16, 12)
    x = F.instance_norm(F.conv2d(padded(source, 3), c[0].weight, c[0].bias)).relu()
    for layer in c[1:3]:
        x = F.instance_norm(F.conv2d(x, layer.weight, layer.bias, stride=2, padding=1)).relu()
    inner = F.instance_norm(F.conv2d(padded(x, 1), c[3].weight, c[3].bias)).relu()
    x = x + F.instance_norm(F.conv2d(padded(inner, 1), c[4].weight, c[4].bias))
    for layer in c[5:7]:
        x = F.conv_transpose2d(x, layer.weight, layer.bias, stride=2, padding=1, output_padding=1)
        x = F.instance_norm(x).relu()
    torch.testing.assert_close(ours(source, LABEL), F.conv2d(padded(x, 3), c[7].weight, c[7].bias).tanh())


def test_first_weights() -> None:
    torch.manual_seed(0)
    for network in (Residual(3, 3, width=16, blocks=1), UNet(3, 3, width=16, depth=3)):
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                assert layer.weight.std().item() == pytest.approx(0.02, rel=0.15)
                assert layer.bias is None or not layer.bias.any()
            if isinstance(layer, nn.BatchNorm2d):
                assert layer.weight.mean().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(("depth", "dropped"), [(8, 3), (7, 2), (6, 1), (5, 0), (2, 0)])
def test_where_the_unet_drops(depth: int, dropped: int) -> None:
    """Behind the doublings of the widest maps but the innermost; in training only."""
    with torch.device("meta"):
        network = UNet(3, 3, width=1, depth=depth)
        assert not any(isinstance(m, nn.Dropout) for m in UNet(3, 3, width=1, depth=depth, dropout=0.0).modules())
    where = [i for i, up in enumerate(network.ups) if isinstance(up[-1], nn.Dropout)]
    assert where == list(range(4, 4 + dropped))


@pytest.mark.parametrize("make", [lambda: UNet(1, 1, width=2, depth=6), lambda: Residual(1, 1, width=2, dropout=0.5)])
def test_dropout_ends_with_training(make: Callable[[], Translator]) -> None:
    network, source = make(), torch.randn(2, 1, 128, 128)
    assert not torch.equal(network(source, LABEL), network(source, LABEL))
    network.eval()
    assert torch.equal(network(source, LABEL), network(source, LABEL))


@pytest.mark.parametrize(("given", "drawn"), [(3, 3), (1, 3), (3, 1)])
def test_with_a_skip_layers_that_draw_nothing_leave_the_source(given: int, drawn: int) -> None:
    network = Residual(given, drawn, width=2, blocks=1, skip=True)
    source = torch.rand(2, given, 13, 18) * 2 - 1
    label = torch.zeros(2, dtype=torch.long)
    last = network.layers[-2]
    assert isinstance(last, nn.Conv2d)
    assert last.bias is not None
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.zeros_(last.bias)
    kept = source if given == drawn else source.mean(1, keepdim=True).expand(-1, drawn, -1, -1)
    torch.testing.assert_close(network(source, label), kept, atol=0, rtol=0)
    torch.nn.init.constant_(last.bias, 9.0)  # tanh(9) = 1: white everywhere, and no whiter
    assert (network(source, label) == (kept + torch.tensor(9.0).tanh()).clamp(-1, 1)).all()
    assert network(source, label).max() == 1


def test_the_unets_skips_carry_what_its_middle_cannot() -> None:
    """Without what comes up from below, the outermost maps still tell two pictures apart; without them nothing does."""
    network = UNet(1, 1, width=4, depth=4, norm="none", dropout=0.0).double()
    pictures = torch.randn(2, 1, 16, 16, dtype=torch.float64)

    def differ() -> bool:
        drawn = network(pictures, LABEL)
        return not torch.equal(drawn[0], drawn[1])

    nn.init.zeros_(network.downs[-1][1].weight)
    assert differ()
    for up in network.ups[:-1]:
        with torch.no_grad():
            up[1].weight[: up[1].in_channels // 2] = 0
    assert not differ()


def test_the_unet_is_the_papers_level_by_level() -> None:
    """The same weights, written as a recursion, with skips that no activation has touched."""
    network = UNet(3, 2, width=2, depth=4, norm="instance").eval()
    downs, ups = (
        [next(m for m in side.modules() if isinstance(m, kind)) for side in sides]
        for sides, kind in ((network.downs, nn.Conv2d), (network.ups, nn.ConvTranspose2d))
    )

    def level(x: Tensor, i: int) -> Tensor:
        x = F.leaky_relu(x, 0.2) if i > 0 else x
        inner = F.conv2d(x, downs[i].weight, downs[i].bias, stride=2, padding=1)
        if i < 3:
            inner = F.instance_norm(inner) if i > 0 else inner
            inner = torch.cat([inner, level(inner, i + 1)], 1)
        outer = F.conv_transpose2d(inner.relu(), ups[i].weight, ups[i].bias, stride=2, padding=1)
        return F.instance_norm(outer) if i > 0 else outer.tanh()

    source = torch.randn(2, 3, 32, 16)
    torch.testing.assert_close(network(source, LABEL), level(source, 0))


def test_labels_are_not_read() -> None:
    network, source = Residual(1, 1, width=2, blocks=0), torch.randn(2, 1, 8, 8)
    assert torch.equal(network(source, LABEL), network(source, LABEL + 3))


@pytest.mark.parametrize("make", [Residual, UNet, SRResNet, RRDB])
def test_refusals_are_two_lines(make: Callable[..., Translator]) -> None:
    with pytest.raises(Incompatible, match=r"dataset\.given\.channels=0.*\n  use dataset=unpaired_folder"):
        make(0, 3)
    with torch.device("meta"):
        network = make(3, 3, width=2)
        for wrong in (torch.zeros(2, 1, 8, 8), torch.zeros(2, 128)):
            with pytest.raises(Incompatible, match=rf"model\.generator \({make.__name__}\)") as refused:
                network(wrong, LABEL)
            assert str(refused.value).count("\n  ") == str(refused.value).count("\n") == 1


def test_unknown_words_are_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"model\.generator\.norm=layer is unknown\n  choose one of instance, batch, none"
    ):
        Residual(3, 3, norm="layer")
    with pytest.raises(ConfigError, match=r"model\.generator\.upsample=bilinear is unknown"):
        UNet(3, 3, upsample="bilinear")
