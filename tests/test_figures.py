"""Figures of many objects: what is drawn equals scores worked out by hand or by another route."""

import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.collections import FillBetweenPolyCollection
from scored_toys import outcomes, random_outcomes

from skyreel.errors import DataError
from skyreel.evaluate.calibration import reliability
from skyreel.evaluate.exhibits_parts import Cost
from skyreel.evaluate.figures_calibration import precision_at, purity_figure, rates, reliability_figure
from skyreel.evaluate.figures_confusion import confusion, confusion_matrices
from skyreel.evaluate.figures_cost import cost_figure, cost_ratio
from skyreel.evaluate.figures_magnitude import accuracy_map, magnitude_and_recall
from skyreel.evaluate.figures_series import accuracy, class_recall, longest, mean_recall
from skyreel.evaluate.figures_style import class_style, model_style
from skyreel.evaluate.figures_time import accuracy_over_samples, recall_over_samples
from skyreel.evaluate.intervals import interval
from skyreel.interfaces import CLASSES

LABEL = ["supernova", "supernova", "supernova", "supernova", "rr_lyrae", "galaxy"]
FIRST = [[0, 0], [0, -1], [1, 0], [2, 2], [1, 1], [0, 2]]
SECOND = [[0, 0], [1, -1], [1, 0], [2, 0], [2, 1], [2, 2]]


@pytest.fixture(scope="module")
def one():
    return outcomes(FIRST, LABEL, alert=np.array([2, 1, 2, 0, 0, 0], np.int32))


@pytest.fixture(scope="module")
def two():
    return outcomes(SECOND, LABEL)


def curves(axes) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {line.get_label(): line.get_data() for line in axes.lines}


def limits(axes, number: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper edge of a band at each number of images."""
    band = [item for item in axes.collections if isinstance(item, FillBetweenPolyCollection)][number]
    points = band.get_paths()[0].vertices
    steps = np.unique(points[:, 0])
    return tuple(np.array([edge(points[points[:, 0] == x, 1]) for x in steps]) for edge in (np.min, np.max))


def test_scores_after_each_image_are_those_counted_by_hand(one, two) -> None:
    # image 1: supernovae 2 of 4, RR Lyrae right, galaxy wrong; image 2: supernovae 3 of 4 (the second keeps its only answer)
    assert accuracy([one]).value == pytest.approx([3 / 6, 5 / 6])
    assert class_recall([one], "supernova").value == pytest.approx([2 / 4, 3 / 4])
    assert mean_recall([one]).value == pytest.approx([(0.5 + 1 + 0) / 3, (0.75 + 1 + 1) / 3])
    # the other run: 1 of 4, wrong, right; then 3 of 4, right, right
    both = mean_recall([one, two])
    each = np.array([[0.5, 2.75 / 3], [(0.25 + 0 + 1) / 3, 2.75 / 3]])
    assert both.value == pytest.approx(each.mean(axis=0))
    spread = np.abs(each[0] - each[1]) / np.sqrt(2)  # of two values, with n - 1
    assert both.high - both.value == pytest.approx(spread)
    assert both.value - both.low == pytest.approx(spread)


def test_the_band_of_a_single_run_is_the_bootstrap_over_fields() -> None:
    part = random_outcomes(1, 120, 4)
    band = mean_recall([part])
    for k in (1, 4):
        low, high = interval(part, k, "mean_recall", resamples=400)["68"]
        assert (band.low[k - 1], band.high[k - 1]) == pytest.approx((low, high))
    assert (band.high > band.low).all()


@given(seed=st.integers(0, 10_000))
@settings(max_examples=40)
def test_scores_do_not_depend_on_the_order_of_the_objects(seed: int) -> None:
    parts = [random_outcomes(seed, 40, 5), random_outcomes(seed + 1, 40, 5)]
    mixed = [part.take(np.random.default_rng(seed).permutation(40)) for part in parts]
    assert mean_recall(parts).value == pytest.approx(mean_recall(mixed).value)
    assert np.array_equal(confusion(parts).share, confusion(mixed).share)
    assert accuracy(parts).value[-1] == pytest.approx(np.mean([(part.last().argmax(axis=1) == part.truth).mean() for part in parts]))


def test_nothing_to_draw_is_said() -> None:
    with pytest.raises(DataError, match="no outcomes to draw.*hand in at least one run"):
        longest([])
    with pytest.raises(DataError, match="no outcomes to draw"):
        accuracy([outcomes(FIRST, LABEL).take(np.zeros(6, bool))])


def test_figure_5_draws_train_and_test_of_every_model(one, two) -> None:
    drawing = accuracy_over_samples({"network": [two]}, {"network": [one], "forest": [one, two]})
    (axes,) = drawing.figure.axes
    drawn = curves(axes)
    assert [name.split(":")[0] for name in drawn] == ["network, test", "forest, test", "network, training"]
    values = list(drawn.values())
    assert values[0][0] == pytest.approx([1, 2])
    assert values[0][1] == pytest.approx(accuracy([one]).value)
    assert values[1][1] == pytest.approx(accuracy([one, two]).value)
    assert values[2][1] == pytest.approx(accuracy([two]).value)
    band = accuracy([one, two])
    assert limits(axes, 1) == (pytest.approx(band.low), pytest.approx(band.high))
    network, forest, training = axes.lines
    assert network.get_color() == training.get_color() != forest.get_color()
    assert (network.get_linestyle(), training.get_linestyle()) == ("-", "--")
    assert axes.get_xlabel() == "number of images"
    assert axes.get_ylim()[0] <= min(band.low)
    assert "network 6 objects, forest 6 objects × 2 runs" in drawing.caption
    assert "bootstrap over sky fields (one run) or ± the standard deviation over 2 seeds" in drawing.caption


def test_figure_6_draws_mean_recall_with_and_without_labels(one, two) -> None:
    drawing = recall_over_samples({"network": [one]}, {"network": [one, two]}, "the sky")
    (axes,) = drawing.figure.axes
    without, labelled, alert = axes.lines
    assert without.get_ydata() == pytest.approx(mean_recall([one]).value)
    assert labelled.get_ydata() == pytest.approx(mean_recall([one, two]).value)
    assert without.get_color() == labelled.get_color()
    assert alert.get_xdata() == pytest.approx([2, 2])  # median of images 2, 1, 2; 0 is no alert
    assert "91.7%" in without.get_label()
    assert "Mean recall on the sky (classes supernova, RR Lyrae, galaxy weigh the same)" in drawing.caption
    assert "± the standard deviation over 2 draws with labels" in drawing.caption


def test_confusion_counts_and_shares_are_those_counted_by_hand(one, two) -> None:
    first = confusion([one], after=1)
    assert first.true == first.predicted == ("supernova", "rr_lyrae", "galaxy")
    assert np.array_equal(first.counts, [[2, 1, 1], [0, 1, 0], [1, 0, 0]])
    assert first.share[0] == pytest.approx([0.5, 0.25, 0.25])
    assert not first.spread.any()
    both = confusion([one, two], after=1)
    assert both.counts[0] == pytest.approx([1.5, 1.5, 1])
    assert both.share[0] == pytest.approx([0.375, 0.375, 0.25])
    assert both.spread[0] == pytest.approx([0.25 / np.sqrt(2), 0.25 / np.sqrt(2), 0])
    assert both.share.sum(axis=1) == pytest.approx(1)


def test_figures_8_to_13_put_models_side_by_side(one, two) -> None:
    drawing = confusion_matrices({"network": [one], "forest": [one, two]}, "the sky", after=1, of="draws")
    left, right = drawing.figure.axes
    assert (left.get_title(loc="left"), right.get_title(loc="left")) == ("network", "forest")
    assert np.array_equal(left.images[0].get_array(), confusion([one], after=1).share)
    written = {text.get_position(): text.get_text() for text in left.texts}
    assert written == {(0, 0): "50 %\n2", (1, 0): "25 %\n1", (2, 0): "25 %\n1", (1, 1): "100 %\n1", (0, 2): "100 %\n1"}
    assert {text.get_position(): text.get_text() for text in right.texts}[0, 0] == "38 ± 18\n1.5"
    assert [tick.get_text() for tick in left.get_xticklabels()] == ["SN", "RRL", "Gal"]
    assert "on the sky after 1 image:" in drawing.caption
    assert "forest 6 (mean of 2 draws)" in drawing.caption


def test_a_class_that_never_occurs_has_a_column_but_no_row() -> None:
    real = outcomes([[1], [2]], ["rr_lyrae", "galaxy"])
    found = confusion([real])
    assert found.true == ("rr_lyrae", "galaxy")
    assert found.predicted == ("supernova", "rr_lyrae", "galaxy")
    assert np.array_equal(found.counts, [[0, 1, 0], [0, 0, 1]])


def test_accuracy_map_counts_objects_that_have_so_many_images() -> None:
    # 6 at 18.5 mag, 3 of them right after image 1, 2 right of the 5 that have image 2; 5 without a magnitude, never right
    guesses = [[0, 0], [0, 0], [0, -1], [1, 1], [1, 1], [1, 1], *[[1, 1]] * 5]
    part = outcomes(guesses, ["supernova"] * 11, mag=np.array([18.5] * 6 + [np.nan] * 5))
    found = accuracy_map([part], (1, 2))
    assert found.rows == ("< 18", "18–19", "≥ 19")
    assert np.array_equal(found.number, [[0, 0], [6, 5], [5, 5]])
    assert found.share[1] == pytest.approx([3 / 6, 2 / 5])
    assert found.share[2] == pytest.approx([0, 0])
    assert np.isnan(found.share[0]).all()
    fewer = accuracy_map([part.take(slice(0, 4))], (1, 2))
    assert np.isnan(fewer.share).all()
    assert fewer.number.sum() == 4 + 3


@given(seed=st.integers(0, 10_000), scale=st.floats(0.1, 6))
def test_accuracy_map_holds_every_object_once(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    part = random_outcomes(seed, 80, 6)
    part = replace(part, mag=np.where(rng.random(80) < 0.1, np.nan, rng.normal(20, scale, 80)))
    found = accuracy_map([part], (1, 3, 6))
    assert found.number.sum(axis=0).tolist() == [(part.n_images >= k).sum() for k in (1, 3, 6)]
    assert len(found.rows) == len(found.number)
    shown = np.isfinite(found.share)
    assert np.array_equal(shown, found.number >= 5)
    # right answers among the shown cells, from the answers themselves
    right = (part.after(1).argmax(axis=1) == part.truth).sum()
    hidden = found.number[:, 0][~shown[:, 0]].sum()
    assert right - hidden <= np.nansum(found.share[:, 0] * found.number[:, 0]) + 1e-9 <= right + 1e-6


def test_figure_7_has_a_row_per_model_and_says_what_is_missing(one, two) -> None:
    drawing = magnitude_and_recall({"network": [one]}, {"network": [one, two], "forest": [two]}, "the sky")
    panels = [axes for axes in drawing.figure.axes if axes.get_label() != "<colorbar>"]
    assert [axes.get_title(loc="left") for axes in panels] == [
        "network: simulated test set",
        "network: the sky",
        "forest: simulated test set",
        "forest: the sky",
    ]
    drawn = curves(panels[1])
    assert drawn["supernova (4): 75.0%"][1] == pytest.approx(class_recall([one, two], "supernova").value)
    assert [text.get_text() for text in panels[2].texts] == ["not scored"]
    assert "± the standard deviation over 2 draws or the 68 % interval" in drawing.caption


def test_reliability_diagram_draws_the_reliability_curve() -> None:
    parts = {"network": random_outcomes(3, 200, 4), "forest": random_outcomes(4, 150, 4)}
    drawing = reliability_figure(parts, "the sky", after=2)
    upper, lower = drawing.figure.axes
    for number, part in enumerate(parts.values()):
        curve = reliability(part, 2)
        line, _, (bars,) = upper.containers[number]
        assert line.get_xdata() == pytest.approx(curve.confidence)
        assert line.get_ydata() == pytest.approx(curve.accuracy)
        ends = np.array([segment[:, 1] for segment in bars.get_segments()])
        assert ends == pytest.approx(np.stack([curve.lower, curve.upper], axis=1))
    assert lower.patches[0].get_xy()[:, 1].max() <= 1
    assert upper.get_ylim()[0] <= min(reliability(part, 2).lower.min() for part in parts.values())
    assert "95 % Wilson intervals" in drawing.caption


@given(supernovae=st.integers(1, 40), others=st.integers(1, 40), hits=st.floats(0, 1), false=st.floats(0, 1))
def test_precision_is_that_of_a_set_with_this_prevalence(supernovae: int, others: int, hits: float, false: float) -> None:
    taken, wrong = round(hits * supernovae), round(false * others)
    found = precision_at(supernovae / (supernovae + others), taken / supernovae, wrong / others)
    if taken + wrong:
        assert float(found) == pytest.approx(taken / (taken + wrong))
    else:
        assert np.isnan(found)


def test_rates_ask_for_the_argmax_and_the_threshold(one) -> None:
    recall, false = rates(one, "supernova", [0.0, 0.79, 0.81], after=1)
    assert recall == pytest.approx([0.5, 0.5, 0])  # winners have 0.8
    assert false == pytest.approx([0.5, 0.5, 0])  # the galaxy is taken for one, the RR Lyrae is not
    with pytest.raises(DataError, match="purity of class 'asteroid'.*objects of galaxy, rr_lyrae, supernova.*with it and others"):
        rates(one, "asteroid", [0.0])


def test_purity_figure_draws_bayes_theorem(one) -> None:
    drawing = purity_figure({"network": one}, "the sky", after=1)
    left, right = drawing.figure.axes
    prevalence, precision = left.lines[0].get_data()
    assert precision == pytest.approx(prevalence * 0.5 / (prevalence * 0.5 + (1 - prevalence) * 0.5))
    threshold, recall = right.lines[1].get_data()
    assert recall == pytest.approx(np.where(threshold <= np.float32(0.8), 0.5, 0))
    assert "network 4 of the class and 2 others" in drawing.caption


def test_cost_is_told_per_object_per_image_and_relative_to_the_yardstick() -> None:
    costs = {"network": Cost(50, 1000, 2.0, 0.1), "forest": Cost(50, 1000, 0.5, 0.05)}
    drawing = cost_figure(costs)
    widths = [[bar.get_width() for bar in axes.patches] for axes in drawing.figure.axes]
    assert widths == [pytest.approx([20, 10]), pytest.approx([40, 10]), pytest.approx([2, 0.5])]
    assert "relative to forest: network 2, forest 1" in drawing.caption
    with pytest.raises(DataError, match="nothing was timed"):
        cost_ratio(Cost(0, 0, 0.0, 0.0))


def test_every_class_and_model_looks_different_and_always_the_same() -> None:
    looks = [tuple(class_style(name, (*CLASSES, "kilonova")).values()) for name in (*CLASSES, "kilonova")]
    assert len(set(looks)) == 8
    assert class_style("supernova", ["supernova"]) == class_style("supernova", CLASSES)
    models = [f"model {k}" for k in range(6)]
    assert len({tuple(model_style(name, models).values()) for name in models}) == 6


def test_every_figure_becomes_a_png_on_white(one, two) -> None:
    part = random_outcomes(5, 120, 22)
    drawings = [
        accuracy_over_samples({"network": [one]}, {"network": [one, two]}),
        recall_over_samples({"network": [one]}, {"forest": [one, two]}),
        magnitude_and_recall({"network": [part]}, {"network": [part]}),
        confusion_matrices({"network": [part]}, "a set"),
        reliability_figure({"network": part}, "a set"),
        purity_figure({"network": part}, "a set"),
        cost_figure({"network": Cost(5, 10, 1.0, 2.0)}),
    ]
    for drawing in drawings:
        buffer = io.BytesIO()
        drawing.figure.savefig(buffer, format="png", dpi=40)
        assert buffer.getvalue().startswith(b"\x89PNG")
        assert drawing.figure.get_facecolor() == (1, 1, 1, 1)
        assert drawing.caption.endswith(".")
        assert all(axes.get_xlabel() or axes.get_ylabel() for axes in drawing.figure.axes)
