"""The Fréchet distance against closed forms, and its statistics against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from gan_cli.errors import WeightsMissing
from gan_cli.metrics import Context, NotMeasurable
from gan_cli.metrics.detectors import Pixels
from gan_cli.metrics.features import Features
from gan_cli.metrics.frechet import DebiasedFrechet, Frechet, frechet_distance, jackknife
from gan_cli.metrics.inception import find_weights
from gan_cli.metrics.moments import Gaussian, Moments, combined, leaving_out, without


def moments(features: Tensor, *sizes: int) -> Gaussian:
    statistics = Moments()
    for piece in features.split(list(sizes) or [len(features)]):
        statistics.add(piece)
    return statistics.finish()


def test_commuting_covariances() -> None:
    """d² = ‖μ₁ - μ₂‖² + Σ (√λ₁ - √λ₂)² when both covariances are diagonal."""
    a, b = torch.rand(6, dtype=torch.float64), torch.rand(6, dtype=torch.float64)
    mean = torch.randn(6, dtype=torch.float64)
    first = Gaussian(10, mean, covariance=a.diag())
    second = Gaussian(10, torch.zeros(6, dtype=torch.float64), covariance=b.diag())
    expected = mean.square().sum() + (a.sqrt() - b.sqrt()).square().sum()
    assert frechet_distance(first, second) == pytest.approx(expected.item(), rel=1e-9)


def test_rank_one_has_a_closed_form() -> None:
    """tr (uuᵀ vvᵀ)^½ = |u·v|."""
    u, v = torch.randn(5, 1, dtype=torch.float64), torch.randn(5, 1, dtype=torch.float64)
    zero = torch.zeros(5, dtype=torch.float64)
    expected = u.square().sum() + v.square().sum() - 2 * (u * v).sum().abs()
    found = frechet_distance(Gaussian(2, zero, factor=u), Gaussian(2, zero, factor=v))
    assert found == pytest.approx(expected.item(), rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(500, 400), (500, 20), (15, 500), (15, 20)])
def test_thin_and_full_forms_agree(n: int, m: int) -> None:
    """Fewer samples than features or more: the same number as from the full covariances."""
    a, b = torch.randn(n, 32, dtype=torch.float64), 0.5 + 2 * torch.randn(m, 32, dtype=torch.float64)
    full = [Gaussian(len(x), x.mean(0), covariance=x.T.cov()) for x in (a, b)]
    assert frechet_distance(moments(a), moments(b)) == pytest.approx(frechet_distance(*full), rel=1e-6)


@pytest.mark.parametrize("n", [10, 500])
def test_identical_sets_are_at_distance_zero(n: int) -> None:
    features = torch.randn(n, 32, dtype=torch.float64)
    assert abs(frechet_distance(moments(features), moments(features))) < 1e-6


@pytest.mark.parametrize("offset", [0.0, 1e3])
@pytest.mark.parametrize("n", [8, 300])
def test_moments_are_numpys_however_they_come(n: int, offset: float) -> None:
    features = torch.randn(n, 16, dtype=torch.float64) + offset
    whole, parted = moments(features), moments(features, 3, n - 5, 2)
    for found in (whole, parted):
        np.testing.assert_allclose(found.mean.numpy(), features.mean(0).numpy(), rtol=1e-12)
        np.testing.assert_allclose(found.covariance.numpy(), np.cov(features.numpy(), rowvar=False), atol=1e-9)


def test_one_sample_has_no_covariance() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        moments(torch.zeros(1, 3))


def test_pixels() -> None:
    images = torch.tensor([[[[0, 255]]], [[[51, 102]]]], dtype=torch.uint8)
    assert torch.equal(Pixels()(images).features, torch.tensor([[0, 1], [0.2, 0.4]]))


def test_missing_weights_name_file_digest_and_place(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("GAN_INCEPTION", raising=False)
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    with pytest.raises(WeightsMissing) as caught:
        find_weights(None)
    for part in ("pt_inception-2015-12-05-6726825d.pth", "sha256 6726825d", str(tmp_path), "detector=pixels"):
        assert part in str(caught.value)
    with pytest.raises(WeightsMissing, match="nowhere"):
        find_weights("nowhere")


@pytest.mark.parametrize("n", [100, 1000, 3000])
def test_agreement_with_scipys_matrix_root(n: int) -> None:
    """tr (Σ₁Σ₂)^½ by the textbook's route, where it is well conditioned; by singular values where it is not."""
    from scipy import linalg

    d = 64
    mixing = torch.randn(d, d, dtype=torch.float64)
    a, b = torch.randn(3000, d, dtype=torch.float64) @ mixing, torch.randn(n, d, dtype=torch.float64) + 0.3
    ours = frechet_distance(moments(b), moments(a))
    covariances = [np.cov(x.numpy(), rowvar=False) for x in (a, b)]
    root = linalg.sqrtm(covariances[0] @ covariances[1]).real
    difference = (a.mean(0) - b.mean(0)).square().sum().item()
    textbook = difference + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * np.trace(root)
    assert ours == pytest.approx(textbook, rel=1e-6)


def test_parts_of_a_set_combine_and_come_apart() -> None:
    features = torch.randn(300, 8, dtype=torch.float64) + 5
    parts = [moments(piece) for piece in features.split(100)]
    for found, rows in ((combined(parts), features), (without(moments(features), parts[2]), features[:200])):
        assert found.n == len(rows)
        torch.testing.assert_close(found.mean, rows.mean(0))
        torch.testing.assert_close(found.covariance, rows.T.cov())


def test_jackknife_removes_the_bias_of_small_samples() -> None:
    """Samples of the reference's own Gaussian are at distance 0, which the plain estimate misses by far more."""
    d, trials = 16, 12
    real = Features(
        10**9, Gaussian(10**9, torch.zeros(d, dtype=torch.float64), covariance=torch.eye(d, dtype=torch.float64))
    )
    plain, corrected, errors = [], [], []
    for trial in range(trials):
        x = torch.randn(800, d, dtype=torch.float64, generator=torch.Generator().manual_seed(trial))
        groups = tuple(moments(piece) for piece in x.split(80))
        found = jackknife(Features(800, moments(x), groups), real)
        plain.append(frechet_distance(moments(x), real.moments))
        corrected.append(found.value)
        errors.append(found.se)
    assert abs(np.mean(corrected)) < 0.1 * np.mean(plain)
    assert 0.3 < np.mean(errors) / np.std(corrected) < 3


@pytest.mark.parametrize(("width", "n"), [(256, 60), (64, 60)])
def test_the_error_bar_of_few_samples_is_the_spread_of_the_distance(width: int, n: int) -> None:
    """Of such sets against one reference; the distance itself is the same with it as without it."""
    source = torch.Generator().manual_seed(1)
    scale = torch.arange(1, width + 1, dtype=torch.float64) ** -0.5
    real = moments(torch.randn(n, width, dtype=torch.float64, generator=source) * scale)
    found = []
    for _ in range(40):
        x = moments(torch.randn(n, width, dtype=torch.float64, generator=source) * scale * 1.2)
        (estimate,) = Frechet().compute(Features(n, x), Features(n, real), Context()).values()
        assert estimate.value == frechet_distance(x, real)
        found.append((estimate.value, estimate.se))
    values, errors = np.array(found).T
    assert 0.7 < errors.mean() / values.std(ddof=1) < 1.4


def test_what_is_left_of_few_samples_are_their_other_rows() -> None:
    rows = torch.randn(23, 40, dtype=torch.float64) + 3
    whole = moments(rows)
    left = list(leaving_out(whole, 10))
    assert [part.n for part in left] == [20] * 3 + [21] * 7
    torch.testing.assert_close(sum(part.n * part.mean for part in left), 9 * whole.n * whole.mean)
    scatter = (left[0].n - 1) * left[0].covariance
    assert int(torch.linalg.matrix_rank(scatter)) == left[0].n - 1


def test_many_samples_have_no_error_bar() -> None:
    many = moments(torch.randn(80, 64, dtype=torch.float64))
    assert Frechet().compute(Features(80, many), Features(80, many), Context())["fid"].se is None


def test_debiasing_is_refused_below_five_samples_a_feature() -> None:
    x = torch.randn(70, 16, dtype=torch.float64)
    few = Features(70, moments(x), tuple(moments(piece) for piece in x.split(7)))
    with pytest.raises(NotMeasurable, match="at least n=80"):
        DebiasedFrechet().compute(few, few, Context())


@pytest.mark.parametrize("n", [3, 64, 500])
def test_a_set_is_at_distance_zero_from_itself_and_never_below(n: int) -> None:
    features = torch.rand(n, 192, dtype=torch.float64)
    moments = Moments()
    moments.add(features)
    assert 0 <= frechet_distance(moments.finish(), moments.finish()) < 1e-6
