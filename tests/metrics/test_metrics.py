"""Metrics against closed forms and against other libraries on the same features."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from gan_cli.data.subset import digests_of, fair_part, told_apart
from gan_cli.metrics import Context, NotMeasurable, kernel
from gan_cli.metrics.features import Collector, Features, Seen, fair
from gan_cli.metrics.measure import full_name
from gan_cli.metrics.memory import Memorisation
from gan_cli.metrics.modes import PointModes, wasserstein2
from gan_cli.metrics.moments import Gaussian
from gan_cli.metrics.path_length import PerceptualPathLength
from gan_cli.metrics.prdc import PRDC, prdc
from gan_cli.metrics.scores import (
    ClassificationAccuracy,
    ClassifierScore,
    InceptionScore,
    Modes,
    OnDemand,
    inception_score,
    kl_from_counts,
)


def known(rows: Tensor | None = None, logits: Tensor | None = None, n: int | None = None, **more: Tensor) -> Features:
    """Features with nothing but what a test needs."""
    size = n or len(rows if rows is not None else logits)  # type: ignore[arg-type]
    return Features(size, Gaussian(size, torch.zeros(1)), (), rows, logits, **more)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_prdc_is_the_reference_implementations(k: int) -> None:
    from prdc import compute_prdc

    real, fake = torch.randn(1300, 12) + 40, 0.8 * torch.randn(1100, 12) + 40.5
    wanted = compute_prdc(real_features=real.numpy(), fake_features=fake.numpy(), nearest_k=k)
    found = prdc(real, fake, k)
    assert found == pytest.approx({name: float(value) for name, value in wanted.items()}, abs=1e-9)


def test_prdc_of_a_set_with_itself_and_with_one_far_away() -> None:
    x = torch.randn(200, 4)
    same = prdc(x, x + 1e-4, 5)
    assert (same["precision"], same["recall"], same["coverage"]) == (1, 1, 1)
    assert 1 <= same["density"] <= 6 / 5  # each sample lies in its own ball and in five others on average
    assert set(prdc(x, x + 1000, 5).values()) == {0.0}
    with pytest.raises(NotMeasurable, match="k=5"):
        PRDC().compute(known(x[:5]), known(x), Context())


def test_mmd_is_torch_fidelitys() -> None:
    from torch_fidelity.metric_kid import kernel_mmd

    x, y = torch.randn(300, 20), torch.randn(300, 20) + 0.2
    settings = {
        "kid_kernel": "poly",
        "kid_kernel_poly_degree": 3,
        "kid_kernel_poly_gamma": None,
        "kid_kernel_poly_coef0": 1,
    }
    theirs = kernel_mmd(x.numpy(), y.numpy(), **settings)
    assert kernel.mmd2(x.double(), y.double()) == pytest.approx(float(theirs), rel=1e-4)
    # float32 products change nothing that an error bar of 1e-5 would show
    assert kernel.mmd2(x, y) == pytest.approx(kernel.mmd2(x.double(), y.double()), abs=1e-7)


def test_mmd_by_hand() -> None:
    """Two points a side in one dimension: k(a, b) = (ab + 1)³."""
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [3.0]])
    within_x, within_y = 1.0, 7.0**3
    across = (1 + 1 + 3.0**3 + 4.0**3) / 4
    assert kernel.mmd2(x, y) == pytest.approx(within_x + within_y - 2 * across)


def test_kid_is_unbiased_and_its_error_bar_covers() -> None:
    """Of two samples of one distribution it is 0 within its standard error, as often as it should be."""
    inside = 0
    for trial in range(30):
        generator = torch.Generator().manual_seed(trial)
        found = kernel.block_estimate(
            torch.randn(600, 8, generator=generator), torch.randn(600, 8, generator=generator)
        )
        assert found.se is not None
        inside += abs(found.value) < 2 * found.se
    assert inside >= 24


def test_frechet_is_torch_fidelitys() -> None:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    from gan_cli.metrics.frechet import frechet_distance
    from gan_cli.metrics.moments import Moments

    x, y = torch.randn(400, 30, dtype=torch.float64), 1.3 * torch.randn(500, 30, dtype=torch.float64) + 0.1
    theirs = fid_statistics_to_metric(fid_features_to_statistics(x), fid_features_to_statistics(y), verbose=False)
    ours = []
    for rows in (x, y):
        moments = Moments()
        moments.add(rows)
        ours.append(moments.finish())
    assert frechet_distance(*ours) == pytest.approx(next(iter(theirs.values())), rel=1e-6)


def test_inception_score_of_known_predictions() -> None:
    """Certain and evenly spread over K classes: K. The same everywhere: 1."""
    certain = 100 * torch.eye(5).repeat(40, 1)
    assert inception_score(certain, 1)[0] == pytest.approx(5)
    assert inception_score(torch.randn(1, 5).expand(50, 5), 10)[0] == pytest.approx(1)
    found = ClassifierScore(2).compute(known(logits=certain), known(logits=certain), Context())
    assert found["classifier_score"].convention == "2 splits, 5 logits"
    extreme = torch.tensor([[1e4, -1e4], [-1e4, 1e4]])
    assert math.isfinite(inception_score(extreme, 1)[0])


def test_the_inception_score_is_inception_s_alone() -> None:
    """Of 1008 classes, as even as 1008; another network's score has another name, and Inception's has not that one."""
    even, few = known(logits=100 * torch.eye(1008)), known(logits=torch.eye(10))
    found = InceptionScore(1).compute(even, even, Context())
    assert (found["inception_score"].value, found["inception_score"].convention) == (
        pytest.approx(1008),
        "1 splits, 1008 logits",
    )
    for metric, seen, message in (
        (InceptionScore(), known(torch.zeros(20, 2)), r"gives none\n  .*layer fc.*nofc.*classifier_score"),
        (InceptionScore(), few, "this detector has 10\n  use classifier_score"),
        (ClassifierScore(), even, "needs a detector that classifies the data"),
        (ClassifierScore(), known(torch.zeros(20, 2)), "needs a detector that classifies the data"),
    ):
        with pytest.raises(NotMeasurable, match=message):
            metric.compute(seen, seen, Context())
        with pytest.raises(NotMeasurable, match=message):
            metric.least(Seen(torch.zeros(1, 2), seen.logits))
    names = [
        full_name(metric, name) for name in ("", "classifier", "stacked") for metric in ("fid", "classifier_score")
    ]
    assert names == [
        *("fid", "classifier_score", "fd_classifier", "classifier_score"),
        *("fd_stacked", "classifier_score_stacked"),
    ]


def test_the_error_bar_of_the_inception_score() -> None:
    """Of two splits with scores a and b it is that of their mean, |a - b| / 2: here of K even classes, and of one."""
    spread, alike = 100 * torch.eye(5).repeat(20, 1), torch.zeros(100, 5)
    both = torch.cat([spread, alike])
    found = ClassifierScore(2).compute(known(logits=both), known(logits=both), Context())["classifier_score"]
    assert (found.value, found.se) == pytest.approx(((5 + 1) / 2, (5 - 1) / 2))
    assert ClassifierScore(1).compute(known(logits=both), known(logits=both), Context())["classifier_score"].se is None


def test_only_the_value_that_is_read_is_computed() -> None:
    x, y = torch.randn(1000, 2), torch.randn(1000, 2)
    one = kernel.Kernel().compute(known(x), known(y), Context(only="kid"))
    all_of_them = kernel.Kernel().compute(known(x), known(y), Context())
    assert (one.keys(), all_of_them.keys()) == ({"kid"}, {"kid", "kid_100x1000"})
    assert one["kid"] == all_of_them["kid"]


def test_inception_score_is_torch_fidelitys() -> None:
    from torch_fidelity.metric_isc import isc_features_to_metric

    logits = 3 * torch.randn(200, 7)
    theirs = isc_features_to_metric(logits, splits=10, shuffle=False)
    mean, spread = inception_score(logits, 10)
    assert mean == pytest.approx(theirs["inception_score_mean"], rel=1e-6)
    assert spread == pytest.approx(theirs["inception_score_std"], rel=1e-5)


def test_modes() -> None:
    logits = torch.eye(4)[torch.tensor([0, 0, 1, 2])]
    found = Modes().compute(known(logits=logits), known(logits=logits), Context())
    assert found["modes"].value == 3
    p = np.array([0.5, 0.25, 0.25])
    assert found["mode_kl"].value == pytest.approx((p * np.log(4 * p)).sum())
    assert kl_from_counts(torch.tensor([3, 3]), torch.tensor([1, 1])) == 0


def test_points_on_a_ring() -> None:
    centres = torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 2.0], [0.0, -2.0]])
    rows = torch.cat([centres[:3] + 0.01, torch.tensor([[9.0, 9.0]])])
    context = Context(mixture=(centres, 0.02))
    found = PointModes().compute(known(rows), known(centres), context)
    assert found["modes"].value == 3
    assert found["high_quality"].value == 0.75
    assert found["mode_kl"].value == pytest.approx(math.log(4 / 3))
    without = PointModes().compute(known(rows), known(centres), Context())
    assert set(without) == {"w2"}


def test_exact_wasserstein_distance_of_a_shift() -> None:
    x = torch.randn(50, 2)
    assert wasserstein2(x, x[torch.randperm(50)] + torch.tensor([3.0, 4.0])) == pytest.approx(5, rel=1e-4)


def test_copies_are_not_authentic() -> None:
    real = torch.randn(100, 6)
    images = torch.zeros(100, 1, 2, 2, dtype=torch.uint8)
    everything = {"row_images": images}
    far = torch.randn(100, 6) + 100
    context = Context()
    assert (
        Memorisation().compute(known(real + 1e-3, **everything), known(real, **everything), context)["authentic"].value
        == 0
    )
    assert Memorisation().compute(known(far, **everything), known(real, **everything), context)["authentic"].value == 1
    assert context.scratch["nearest"].shape == (32, 1, 2, 2)


def test_what_needs_labels_is_refused_without() -> None:
    rows = torch.randn(40, 3)
    plain = known(rows, row_labels=torch.zeros(40, dtype=torch.int64))
    for metric in (kernel.PerClassKernel(), ClassificationAccuracy()):
        with pytest.raises(NotMeasurable, match="classes on demand"):
            metric.compute(plain, plain, Context(classes=10))


def test_per_class_kid() -> None:
    labels = torch.arange(400) % 2
    rows = torch.randn(400, 3)
    shifted = rows + 3 * labels.unsqueeze(1)
    found = kernel.PerClassKernel().compute(
        known(shifted, row_labels=labels), known(torch.randn(400, 3), row_labels=labels), Context(classes=2)
    )
    assert found["kid_class_1"].value > 10 * abs(found["kid_class_0"].value)


def bright(labels: Tensor) -> Tensor:
    """Images whose brightness tells their class of two, uint8 `[N, 1, 8, 8]`."""
    noise = torch.randint(0, 20, (len(labels), 1, 8, 8), dtype=torch.uint8)
    return noise + (200 * labels).to(torch.uint8).view(-1, 1, 1, 1)


def test_classification_accuracy_of_good_and_of_misleading_samples() -> None:
    """Right labels teach, exchanged ones teach the opposite, and neither changes what real images teach."""
    labels = torch.arange(200) % 2
    real, images = known(torch.zeros(200, 1), row_labels=labels, row_images=bright(labels)), bright(labels)
    found = {}
    for name, said in (("right", labels), ("wrong", 1 - labels)):
        fake = known(torch.zeros(200, 1), row_labels=said, row_images=images)
        found[name] = ClassificationAccuracy(steps=40, held_out=0.25).compute(fake, real, Context(classes=2))
    right, wrong = found.values()
    assert right["cas"].value > 0.95
    assert wrong["cas"].value < 0.05
    assert right["cas_real"] == wrong["cas_real"]
    assert min(right["cas_real"].value, right["cas_both"].value) > 0.95
    assert wrong["cas_both"].value < right["cas_both"].value
    sizes = {name: (value.n_fake, value.n_real) for name, value in right.items()}
    assert sizes == {"cas": (200, 50), "cas_real": (0, 200), "cas_both": (200, 200)}
    assert "trained on 200 samples and 150 real images" in right["cas_both"].convention


def test_classification_accuracy_is_of_images_that_were_not_learned() -> None:
    """Labels that nothing tells can be learned by heart, but not foretold."""
    images, labels = torch.randint(0, 256, (300, 1, 8, 8), dtype=torch.uint8), torch.randint(0, 2, (300,))
    real = known(torch.zeros(300, 1), row_labels=labels, row_images=images)
    metric = ClassificationAccuracy(steps=100, held_out=1 / 3)
    assert abs(metric.compute(real, real, Context(classes=2))["cas_real"].value - 0.5) < 4 * 0.05
    with pytest.raises(NotMeasurable, match="too few"):
        ClassificationAccuracy(held_out=0).compute(real, real, Context(classes=2))


def test_path_length_of_a_linear_map() -> None:
    """Pairs that differ by ε·c in feature space have length |c|²."""
    c = torch.tensor([3.0, 4.0])

    def paths(n: int, epsilon: float):  # type: ignore[no-untyped-def]
        a = torch.randn(n, 2, dtype=torch.float64)
        yield a, a + epsilon * c

    context = Context(see=Seen, paths=paths)
    rows = known(torch.zeros(3, 2))
    found = PerceptualPathLength(50, 1e-2).compute(rows, rows, context)["ppl"]
    assert found.value == pytest.approx(25, rel=1e-6)
    with pytest.raises(NotMeasurable, match="latent space"):
        PerceptualPathLength().compute(rows, rows, Context())


def test_nothing_depends_on_batches_or_order() -> None:
    images = torch.randint(0, 256, (301, 1, 4, 4), dtype=torch.uint8)
    labels = torch.arange(301)

    def collect(order: Tensor, size: int) -> Features:
        collector = Collector(lambda x: Seen(x.flatten(1).float(), x.flatten(1).float()), 100, True, True, True)
        for index in order.split(size):
            collector.add(images[index], labels[index])
        return collector.finish()

    a, b = collect(torch.arange(301), 7), collect(torch.randperm(301), 64)
    for name in ("rows", "logits", "row_labels", "row_images"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name
    assert a.rows is not None
    assert len(a.rows) == 100
    assert len(a.groups) == 10
    torch.testing.assert_close(a.moments.covariance, b.moments.covariance, rtol=1e-10, atol=1e-10)
    full = images.flatten(1).double()
    torch.testing.assert_close(a.moments.covariance, full.T.cov(), rtol=1e-9, atol=1e-9)
    assert a.row_images is not None
    assert a.row_labels is not None
    assert torch.equal(images[a.row_labels], a.row_images)


FEW = torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1).expand(-1, 1, 2, 2).mul(25)


def drawn_of_few(n: int, seed: int) -> Tensor:
    """Samples of a generator that has collapsed to ten pictures."""
    return FEW[torch.randint(10, (n,), generator=torch.Generator().manual_seed(seed))]


def seen_of_few(images: Tensor, piece: int = 300) -> Features:
    """Features are one-hot, and a classifier that knows each picture for sure."""
    collector = Collector(lambda x: Seen(torch.eye(10)[x[:, 0, 0, 0].long() // 25]), 10_000, True, True)
    for images_of_piece in images.split(piece):
        found = collector.see(images_of_piece)
        collector.take(images_of_piece, found._replace(logits=100 * found.features))
    return collector.finish()


def test_a_few_pictures_again_and_again_are_spread_over_blocks_splits_and_groups() -> None:
    """Ten equally likely pictures, all different: the score is 10, and the kernel distance of two samples is 0. Against
    one single picture it is k(e, e) + E k(x, x') - 2 E k(e, x') with k = (x.y / 10 + 1)³, whatever the blocks."""
    a, b = seen_of_few(drawn_of_few(5000, 0)), seen_of_few(drawn_of_few(5000, 1))
    assert a.rows is not None
    assert b.rows is not None
    score = InceptionScore.compute(ClassifierScore(), a, b, Context())["classifier_score"].value
    assert score == pytest.approx(10, abs=0.2)
    found = kernel.block_estimate(a.rows, b.rows, a.row_hashes, b.row_hashes)
    assert found.value == pytest.approx(0, abs=1e-3)
    one = torch.eye(10)[:1].expand(5000, -1)
    alike, mean = 1.1**3, 0.1 * 1.1**3 + 0.9
    assert kernel.block_estimate(a.rows, one).value == pytest.approx(alike + mean - 2 * mean, rel=0.02)
    assert len(a.groups) == 10
    assert all(400 < group.n < 600 for group in a.groups)


def test_a_set_with_copies_has_no_distance_to_itself_in_any_order() -> None:
    images = drawn_of_few(2000, 2)
    a, b = seen_of_few(images), seen_of_few(images[torch.randperm(2000)], 17)
    assert a.rows is not None
    assert b.rows is not None
    assert torch.equal(a.rows, b.rows)
    found = kernel.block_estimate(a.rows, b.rows, a.row_hashes, b.row_hashes)
    assert (found.value, found.se) == (0, 0)


def test_a_part_of_a_set_with_copies_is_a_fair_one() -> None:
    """A hundred of five thousand hold each of ten pictures about ten times."""
    images = drawn_of_few(5000, 3)
    by_digest = images[fair_part(told_apart(digests_of(images)), None, 100)]
    for part in (fair([(piece, None) for piece in images.split(700)], 100)[0], by_digest):
        counts = part[:, 0, 0, 0].long().div(25).long().bincount(minlength=10)
        assert counts.sum() == 100
        assert 1 <= counts.min() <= counts.max() <= 25


def test_a_pass_that_is_taken_up_again_knows_the_pictures_before() -> None:
    images = drawn_of_few(1000, 4)
    begun = Collector(lambda x: Seen(x.flatten(1).float()), 1000)
    begun.add(images[:600])
    rest = Collector(lambda x: Seen(x.flatten(1).float()), 1000)
    rest.load(begun.state())
    for collector in (begun, rest):
        collector.add(images[600:])
    assert rest.finish().row_hashes is not None
    assert torch.equal(rest.finish().row_hashes, begun.finish().row_hashes)


def test_on_demand_is_the_share_that_the_classifier_takes_for_what_was_asked() -> None:
    labels = torch.arange(10) % 2
    logits = torch.eye(2)[labels]
    logits[0] = logits[0].flip(0)
    found = OnDemand().compute(known(logits=logits, logit_labels=labels), known(labels), Context(classes=2))[
        "on_demand"
    ]
    assert found.value == pytest.approx(0.9)
    assert found.se == pytest.approx(math.sqrt(0.9 * 0.1 / 10))
    for fake, message in (
        (known(labels, logit_labels=labels), "detector=classifier"),
        (known(logits=logits, logit_labels=torch.zeros(10, dtype=torch.int64)), "classes on demand"),
    ):
        with pytest.raises(NotMeasurable, match=message):
            OnDemand().compute(fake, known(labels), Context(classes=2))


def test_labels_stay_with_their_logits_whatever_the_order() -> None:
    images = torch.randint(0, 256, (30, 1, 4, 4), dtype=torch.uint8)
    labels = torch.arange(30)
    for order in (torch.arange(30), torch.randperm(30)):
        collector = Collector(lambda x: Seen(x.flatten(1).float(), x.flatten(1).float()), logits=True)
        for piece in order.split(7):
            collector.add(images[piece], labels[piece])
        found = collector.finish()
        assert found.logits is not None
        assert torch.equal(images[found.logit_labels].flatten(1).float(), found.logits)
