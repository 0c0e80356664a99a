"""The modes of `gan sample`: each does what its formula says, and each draws from the same numbered samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from conftest import CONF, Inside, words
from gan_cli import pictures, sample, sampling, train
from gan_cli.config import choices
from gan_cli.errors import ConfigError, Incompatible, Refused
from gan_cli.games.adversarial import Adversarial
from gan_cli.games.parts import Parts
from gan_cli.latent import Subject, directions, interpolate, mix, neighbours, project, styling, walk
from gan_cli.latent.classes import ways, with_mixtures
from gan_cli.losses import NonSaturating
from gan_cli.networks import mlp, stylegan
from gan_cli.priors import Normal, Prior, Spherical, Truncated, Uniform
from gan_cli.runs.restore import Manner, restore
from gan_cli.types import Batch

CPU = torch.device("cpu")
MODES = choices.config_groups(CONF)["mode"]
EVERYWHERE = ("interpolate", "walk", "directions", "neighbours")  # modes for every generator of images


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain") / "run"
    train(*words(f"hydra.run.dir={folder}", "dataset.resolution=8"))
    return folder


@pytest.fixture(scope="module")
def conditional(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("conditional") / "run"
    train(*words(f"hydra.run.dir={folder}", "dataset.resolution=8", "conditioning=concat"))
    return folder


def game(prior: Prior) -> Adversarial:
    """A game whose discriminator sees no features."""
    return Adversarial(Parts(nn.Identity(), nn.Identity(), NonSaturating(), prior))


class Rows(nn.Module):
    """Each row of a sample's image is the mean of one layer's w; the outputs of the linear layers are not used."""

    layers = 4

    def __init__(self) -> None:
        super().__init__()
        self.affines = nn.ModuleList(nn.Linear(3, width) for width in (5, 6))

    def forward(self, w: Tensor) -> Tensor:
        w = w if w.ndim == 3 else w.unsqueeze(1).expand(-1, 4, -1)
        return w.mean(2)[:, None, :, None].expand(-1, 1, -1, 4)


class Styled(nn.Module):
    """w = z + 1."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Linear(3, 3)
        self.synthesis = Rows()

    def mapping(self, latent: Tensor, label: Tensor) -> Tensor:
        return latent + 1

    def truncated(self, w: Tensor, psi: float) -> Tensor:
        return 1 + psi * (w - 1)

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        return self.synthesis(self.mapping(latent, label))


def subject(generator: nn.Module, latent_dim: int = 3) -> Subject:
    return Subject(game(Normal(latent_dim)), generator, 0, CPU, (), False, lambda: pytest.fail("needs no data"))


def test_latents_are_those_of_the_grid(conditional: Path) -> None:
    restored = restore(str(conditional), Manner(), CPU)
    draws = sampling.Draws.of(restored.generator, 5, CPU)
    latent, label = sampling.latents(restored.game.prior, draws, 130)
    drawn = sampling.in_blocks(restored.generator, latent, label)
    assert torch.equal(drawn, sampling.draw(restored.game, restored.generator, draws, 130))
    assert label[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]


def test_blocks_are_always_full_and_noise_is_the_same_in_each() -> None:
    seen: list[int] = []

    def function(x: Tensor) -> Tensor:
        seen.append(len(x))
        return x + torch.rand(64, 1)

    out = sampling.in_blocks(function, torch.zeros(130, 1))
    assert (seen, len(out)) == ([64, 64, 64], 130)
    assert torch.equal(out[:64], out[64:128])


def test_straight_lines_and_great_circles() -> None:
    start, end = torch.randn(3, 7), torch.randn(3, 7)
    t = torch.linspace(0, 1, 5)
    for spherical in (False, True):
        way = interpolate.between(start, end, t, spherical)
        assert way.shape == (3, 5, 7)
        torch.testing.assert_close(way[:, 0], start)
        torch.testing.assert_close(way[:, -1], end)
    line = interpolate.between(start, end, t, False)
    torch.testing.assert_close(line[:, 2], (start + end) / 2)
    unit = nn.functional.normalize(torch.randn(2, 2, 7), dim=2)
    way = interpolate.between(unit[0], unit[1], t, True)
    torch.testing.assert_close(way.norm(dim=2), torch.ones(2, 5))
    angles = (way[:, 1:] * way[:, :-1]).sum(2).acos()  # equal steps
    torch.testing.assert_close(angles, angles[:, :1].expand(-1, 4), rtol=1e-3, atol=1e-4)


def test_a_path_between_collinear_latents_is_straight() -> None:
    a = torch.tensor([[1.0, 2.0], [1.0, 2.0], [0.5, 0.0]])
    b = torch.tensor([[2.0, 4.0], [1.0001, 2.0], [-1.5, 0.0]])
    way = interpolate.between(a, b, torch.linspace(0, 1, 5), True)
    torch.testing.assert_close(way, interpolate.between(a, b, torch.linspace(0, 1, 5), False), atol=1e-3, rtol=0)


@pytest.mark.parametrize("spherical", [False, True])
def test_a_walk_visits_its_stops_and_closes(spherical: bool) -> None:
    stops = torch.randn(2, 3, 5)
    way = walk.loop(stops, 4, spherical)
    assert way.shape == (2, 12, 5)
    torch.testing.assert_close(way[:, ::4], stops)
    half = interpolate.between(stops[:, 2], stops[:, 0], torch.tensor([0.5]), spherical)
    torch.testing.assert_close(way[:, 10], half[:, 0])


class Planted(nn.Module):
    """A generator whose first layer stretches one direction most; a label's embedding is appended to the latent."""

    def __init__(self, direction: Tensor) -> None:
        super().__init__()
        width = len(direction)
        self.embedding = nn.Embedding(2, 4)
        self.linear = nn.Linear(width + 4, 64)
        own = 0.1 * torch.randn(64, width) + 5 * torch.outer(nn.functional.normalize(torch.randn(64), dim=0), direction)
        self.linear.weight.data = torch.cat([own, 100 * torch.randn(64, 4)], 1)
        self.other = nn.Linear(64, 64)

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        joined = torch.cat([latent, self.embedding(label)], 1)
        return self.other(self.linear(joined)).view(-1, 1, 8, 8)


def test_sefa_finds_a_planted_direction() -> None:
    planted = nn.functional.normalize(torch.randn(16), dim=0)
    found = directions.sefa(directions.affine(Planted(planted), 16), 3)
    assert (found[0] @ planted).abs() > 0.99
    torch.testing.assert_close(found @ found.T, torch.eye(3))
    assert (found.gather(1, found.abs().argmax(1, keepdim=True)) > 0).all()
    # of all unit vectors, none is stretched more
    a = torch.randn(9, 5)
    torch.testing.assert_close((a @ directions.sefa(a, 1)[0]).norm(), torch.linalg.matrix_norm(a, 2))


def test_directions_pass_through_the_sample_itself() -> None:
    generator = Planted(nn.functional.normalize(torch.randn(16), dim=0)).eval()
    whom = subject(generator, 16)
    sheets = list(directions.Directions(n=2, count=3, steps=5).sheets(whom))
    assert [tuple(s.samples.shape) for s in sheets] == [(2, 5, 1, 8, 8)] * 3
    for sheet in sheets:
        torch.testing.assert_close(sheet.samples[:, 2], whom.draw(*whom.latents(2)))
    change = [(s.samples[:, -1] - s.samples[:, 0]).norm().item() for s in sheets]
    assert change[0] > 5 * change[1]


def test_directions_of_styles_are_those_of_the_synthesis_or_of_the_layers_that_the_generator_names() -> None:
    generator = Styled()
    expected = torch.cat([layer.weight for layer in generator.synthesis.affines])
    assert torch.equal(directions.affine(generator, 3), expected)
    (sheet,) = directions.Directions(n=2, count=1, steps=3).sheets(subject(generator))
    assert sheet.samples.shape == (2, 3, 1, 4, 4)
    generator.latent_layers = [nn.Linear(3, 2)]
    assert directions.affine(generator, 3).shape == (2, 3)
    with pytest.raises(Incompatible, match="latent_layers"):
        directions.Directions().draw(subject(nn.Identity()))


def test_a_latent_that_enters_in_chunks_counts_by_its_first_chunk() -> None:
    assert torch.equal(directions.affine(nn.Linear(3, 2), 5)[:, 3:], torch.zeros(2, 2))


def test_style_mixing_takes_coarse_layers_from_the_left_and_fine_ones_from_above() -> None:
    whom = subject(Styled())
    (sheet,) = mix.Mix(n=3, coarse=0.25).sheets(whom)
    means = whom.latents(6)[0].mean(1) + 1
    left, above = means[:3], means[3:]
    assert sheet.samples.shape == (4, 4, 1, 4, 4)
    assert torch.equal(sheet.samples[0, 0], torch.ones(1, 4, 4))
    torch.testing.assert_close(sheet.samples[1:, 0, 0, :, 0], left[:, None].expand(-1, 4))
    torch.testing.assert_close(sheet.samples[0, 1:, 0, :, 0], above[:, None].expand(-1, 4))
    torch.testing.assert_close(sheet.samples[1:, 1:, 0, 0, 0], left[:, None].expand(-1, 3))
    for layer in (1, 2, 3):
        torch.testing.assert_close(sheet.samples[1:, 1:, 0, layer, 0], above[None].expand(3, -1))


def test_style_tools_use_the_layers_that_have_grown() -> None:
    """At the first side of a StyleGAN only its first two layers read styles."""
    generator = stylegan.Generator(3, 1, 16, 3, 1, 64, 4).eval()
    assert len(directions.latent_layers(generator)) == generator.synthesis.active() == 2
    assert all(layer.weight.shape[1] == 3 for layer in directions.latent_layers(generator))
    (sheet,) = mix.Mix(n=2, coarse=0.5).sheets(subject(generator))
    inside = sheet.samples[1:, 1:]
    assert (inside[:, 0] - inside[:, 1]).abs().max() > 1e-4  # the styles of the upper layers count


def test_truncation_by_bound_by_psi_and_not_at_all() -> None:
    played = game(Normal(50))
    generator = mlp.Generator(50, 1, 4, hidden=(4,))
    assert styling.truncate(played, generator, 0.7) is generator
    drawn = played.prior.sample(Batch(torch.zeros(200, dtype=torch.int64)))
    assert drawn.abs().max() <= 0.7
    # the variance of N(0, 1) between -b and b, and not b² times that of N(0, 1)
    density = math.exp(-(0.7**2) / 2) / math.sqrt(2 * math.pi)
    variance = 1 - 2 * 0.7 * density / math.erf(0.7 / math.sqrt(2))
    assert drawn.var().item() == pytest.approx(variance, rel=0.05)
    with pytest.raises(Incompatible, match=r"truncation=0\.7: Uniform latents have no tails"):
        styling.truncate(game(Uniform(3)), generator, 0.7)
    with pytest.raises(Incompatible, match="no tails"):
        styling.truncate(game(Spherical(3)), generator, 0.7)
    assert isinstance(Truncated(3, 2.0).truncated(0.5), Truncated)
    z, y = torch.randn(5, 3), torch.zeros(5, dtype=torch.int64)
    whole, half = Styled()(z, y), styling.truncate(played, Styled(), 0.5)(z, y)
    torch.testing.assert_close(half - 1, (whole - 1) / 2)
    styled = subject(styling.truncate(played, Styled(), 0.5))
    assert len(list(mix.Mix(n=2).sheets(styled))) == len(list(directions.Directions(n=1, count=1).sheets(styled))) == 1


def test_truncation_on_the_command_line(plain: Path) -> None:
    assert not torch.equal(sample(plain, "n=4", "truncation=0.5"), sample(plain, "n=4"))
    first, second = sample(plain, "n=2", "truncation=0")  # the sample at the centre of the prior
    assert torch.equal(first, second)
    with pytest.raises(ConfigError, match="truncation=-1 is not valid"):
        sample(plain, "truncation=-1")


def test_a_sample_is_projected_back_onto_its_own_latent() -> None:
    generator = mlp.Generator(3, 1, 8, hidden=(32,)).eval().requires_grad_(False)
    discriminator = mlp.Discriminator(1, 8, hidden=(16,)).eval().requires_grad_(False)
    with torch.no_grad():
        generator.output.weight *= 5
    label = torch.zeros(4, dtype=torch.int64)
    target = generator(torch.tensor([[0.5, -0.3, 0.8]]), label[:1])[0]
    starts = torch.randn(4, 3)
    for judge in (None, discriminator):
        latent, error = project.descend(generator, judge, target, starts, label, 200, 0.05, 0.1)
        begun = (generator(starts, label) - target).square().flatten(1).mean(1)
        assert (error < begun).all()
        assert error.min() < 1e-3 * begun.min()
        torch.testing.assert_close((generator(latent, label) - target).square().flatten(1).mean(1), error)
    alone, _ = project.descend(generator, None, target, starts[:1], label[:1], 20, 0.05, 0.0)
    together, _ = project.descend(generator, None, target, starts, label, 20, 0.05, 0.0)
    torch.testing.assert_close(alone, together[:1])


class Scaled(nn.Module):
    """w = scale · tanh z; the image is w / scale, so that values beyond ±1 have a w and no z."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def mapping(self, latent: Tensor, label: Tensor) -> Tensor:
        return self.scale * latent.tanh()

    def synthesis(self, w: Tensor) -> Tensor:
        return (w / self.scale).view(-1, 1, 2, 2)

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        return self.synthesis(self.mapping(latent, label))


def test_with_styles_a_projection_finds_w_whatever_its_scale(here: Path) -> None:
    Image.fromarray(np.array([[255, 0], [0, 255]], np.uint8)).save("corners.png")  # ±1, which no z reaches
    found = []
    for scale in (1.0, 1000.0):
        asked = project.Project("corners.png", n=2, steps=100, perceptual=0)
        asked.draw(subject(Scaled(scale), 4)).write(Path("pair.png"))
        found.append(np.load("pair.npz")["w"] / scale)
        np.testing.assert_allclose(found[-1], [1, -1, -1, 1], atol=0.02)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4)


def test_an_image_file_is_projected(plain: Path, here: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)).save("photo.png")
    ask = ("mode=project", "mode.image=photo.png", "mode.steps=5", "n=3")
    a, b = sample(plain, *ask, "out=pair.png"), sample(plain, *ask)
    assert torch.equal(a, b)
    assert a.shape == (1, 2, 1, 8, 8)
    assert not torch.equal(a, sample(plain, *ask, "seed=1"))
    kept = np.load("pair.npz")
    assert kept["latent"].shape == (4,)
    for name, message in (("nowhere.png", "cannot be read"), (str(CONF / "train.yaml"), "cannot be read")):
        with pytest.raises(Refused, match=message):
            sample(plain, "mode=project", f"mode.image={name}")
    with pytest.raises(ConfigError, match=r"mode\.image is not set"):
        sample(plain, "mode=project")


def test_a_discriminator_of_several_samples_at_once_has_no_say_in_a_projection(here: Path) -> None:
    Image.new("L", (8, 8)).save("photo.png")
    run = train(*words("augment=[packing]", "trainer.max_steps=1"))
    assert sample(run.folder, "mode=project", "mode.image=photo.png", "mode.steps=1", "n=1").shape[:2] == (1, 2)


def test_nearest_images_by_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "CHUNK", 7)
    real = torch.randint(0, 256, (40, 1, 4, 4), dtype=torch.uint8)
    asked = torch.cat([real[[33, 5]], torch.randint(0, 256, (3, 1, 4, 4), dtype=torch.uint8)])
    distance, index = neighbours.nearest_images(asked, real, 9)
    expected, order = torch.cdist(asked.flatten(1).double(), real.flatten(1).double()).sort(1)
    assert torch.equal(index, order[:, :9])
    torch.testing.assert_close(distance, expected[:, :9], rtol=1e-9, atol=1e-4)
    assert index[:2, 0].tolist() == [33, 5]


def test_neighbours_are_shown_beside_the_samples_of_the_grid(plain: Path, here: Path) -> None:
    sheet = sample(plain, "mode=neighbours", "n=3", "mode.k=2", "out=x.npz")
    torch.testing.assert_close(sheet[:, 0], sample(plain, "n=3"))
    assert sheet.shape == (3, 3, 1, 8, 8)
    stored = np.load("x.npz")
    assert stored["arr_0"].shape == (3, 3, 8, 8, 1)
    between = (stored["arr_0"][:, 1].astype(float) - stored["arr_0"][:, 0]).reshape(3, -1)
    np.testing.assert_allclose(np.linalg.norm(between, axis=1), stored["distance"][:, 0], atol=1e-4)


@pytest.mark.parametrize("mode", EVERYWHERE)
def test_the_first_column_or_the_middle_is_the_grid(plain: Path, mode: str) -> None:
    samples = sample(plain, f"mode={mode}", "n=2", "seed=3")
    column = 3 if mode == "directions" else 0
    torch.testing.assert_close(samples[:2, column], sample(plain, "n=2", "seed=3"), atol=1e-6, rtol=1e-5)


def test_one_latent_in_every_class(conditional: Path, plain: Path) -> None:
    samples = sample(conditional, "mode=classes", "n=11")
    assert samples.shape == (11, 10, 1, 8, 8)
    grid = sample(conditional, "n=11")  # sample i is of class i mod 10
    for i in range(11):
        torch.testing.assert_close(samples[i, i % 10], grid[i])
    assert sample(conditional, "mode=classes", "n=2", "classes=[3,7]").shape[1] == 2
    mixed = sample(conditional, "mode=classes", "n=11", "mode.between=2")
    assert mixed.shape[1] == 28
    assert torch.equal(mixed[:, ::3], samples)
    with pytest.raises(Incompatible, match=r"no classes on demand\n"):
        sample(plain, "mode=classes")


@pytest.mark.parametrize(("ending", "frames"), [("webp", 6), ("gif", 6)])
def test_films(plain: Path, here: Path, ending: str, frames: int) -> None:
    sample(plain, "mode=walk", "n=4", "mode.stops=3", "mode.steps=2", f"out=x.{ending}")
    film = Image.open(f"x.{ending}")
    assert film.n_frames == frames
    assert film.info["loop"] == 0
    samples = sample(plain, "mode=walk", "n=4", "mode.stops=3", "mode.steps=2")
    for i in (0, 5):
        film.seek(i)
        expected = pictures.grid(pictures.to_uint8(samples[:, i])).permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(np.asarray(film.convert("RGB")), expected)


def test_a_sheet_per_direction(plain: Path, here: Path) -> None:
    sample(plain, "mode=directions", "mode.count=2", "n=1", "out=d.png")
    assert sorted(p.name for p in here.iterdir()) == ["d-1.png", "d-2.png", "d.npz"]
    assert np.load("d.npz")["direction"].shape == (2, 4)


def test_points(here: Path) -> None:
    run = train(*words("dataset=ring")).folder
    assert sample(run, "mode=interpolate", "n=2", "out=x.png").shape == (2, 8, 2)
    assert Image.open("x.png").size == (500, 500)
    for setting, message in (
        (("mode=walk", "out=x.gif"), "a film needs images"),
        (("mode=neighbours",), "compares pixels"),
        (("mode=project", "mode.image=x.png"), "draws points"),
    ):
        with pytest.raises(Refused, match=message):
            sample(run, *setting)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("mode=walk", "out=folder"), r"cannot write a folder\n.*x\.png or x\.npz or x\.webp or x\.gif"),
        (("mode=neighbours", "out=x.gif"), r"cannot write \.gif"),
        (("mode=grid", "out=x.gif"), r"cannot write \.gif"),
        (("mode=interpolate", "mode.steps=1"), r"mode\.steps=1 is not valid"),
        (("mode=mix",), r"no styles to mix\n"),
        (("mode=walks",), r"no mode named 'walks'\n.*did you mean walk\?"),
        (("mode=neighbours", "mode.k=100000"), r"mode\.k=100000"),
    ],
)
def test_wrong_requests(plain: Path, here: Path, settings: Sequence[str], message: str) -> None:
    with pytest.raises(Refused, match=message):
        sample(plain, *settings)
    assert list(here.iterdir()) == []


def test_the_command_names_its_file_and_the_help_lists_the_modes(plain: Path, gan_here: Inside) -> None:
    done = gan_here("sample", str(plain), "mode=interpolate", "n=2")
    assert done.returncode == 0, done.stderr
    assert (plain / "samples" / "interpolate-step000000002-seed0-n2.png").exists()
    told = gan_here("sample", "--help").stdout
    assert all(mode in told for mode in MODES)
    assert "mode.spherical=true" in told


def test_between_the_classes_lie_mixtures_of_their_embeddings() -> None:
    class Linear(nn.Module):
        """A plane for each class: what is drawn is linear in the embedding."""

        classes = 3

        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(3, 4)

        def forward(self, latent: Tensor, label: Tensor) -> Tensor:
            return latent[:, :1] * self.embedding(label)

    generator = Linear()
    shares = ways(torch.tensor([2, 0]), 3, 3)
    assert shares.tolist() == [[0, 0, 1], [0.25, 0, 0.75], [0.5, 0, 0.5], [0.75, 0, 0.25], [1, 0, 0]]
    drawn = with_mixtures(generator, shares)(torch.ones(5, 1), torch.arange(5))
    first, last = generator(torch.ones(2, 1), torch.tensor([2, 0]))
    torch.testing.assert_close(drawn, torch.stack([first.lerp(last, t / 4) for t in range(5)]))
    assert generator.embedding.num_embeddings == 3
