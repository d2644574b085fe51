"""Figures of single objects and of single light curves."""

import io
from dataclasses import replace

import numpy as np
import pytest
from exhibit_toys import exhibits
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib.colors import to_rgba

from skyreel.errors import DataError
from skyreel.evaluate.exhibits_parts import Curves, Exhibits
from skyreel.evaluate.figures_embedding import LIMIT, embedding, embedding_figure, standardised
from skyreel.evaluate.figures_objects import failure_gallery, object_figure, twin_figure
from skyreel.evaluate.figures_stamps import less_rim, stretch
from skyreel.evaluate.figures_style import class_style
from skyreel.interfaces import CLASSES


@pytest.fixture(scope="module")
def shown() -> Exhibits:
    return exhibits()


@pytest.fixture(scope="module")
def curves(shown) -> Curves:
    return shown.curves


def test_a_supernova_shows_light_curve_probabilities_stamps_and_first_detection(shown) -> None:
    drawing = object_figure(shown, 0)
    upper, middle, lower = drawing.figure.axes[:3]
    points = upper.containers[0].lines[0]
    assert points.get_xdata() == pytest.approx(np.arange(1, 14))
    assert points.get_ydata() == pytest.approx(shown.shown.flux[0, :13])
    (bars,) = upper.containers[0].lines[2]
    assert np.array([segment[1, 1] - segment[0, 1] for segment in bars.get_segments()]) == pytest.approx(20)
    lines = [line for line in middle.lines if len(line.get_xdata()) == 13]
    np.testing.assert_allclose(np.array([line.get_ydata() for line in lines]).T, shown.shown.probabilities[0, :13])
    assert [line.get_color() for line in lines] == [class_style(name, CLASSES)["color"] for name in CLASSES]
    for axes in (upper, middle):
        assert [6.0, 6.0] in [list(line.get_xdata()) for line in axes.lines]
    assert len(lower.images) == 13
    assert upper.get_xlim() == middle.get_xlim() == lower.get_xlim() == (0.5, 13.5)  # stamps stand under their points
    assert drawing.caption.startswith("SN 1, supernova (the sky, protocol paper")
    assert "first detection at image 6 (dotted)" in drawing.caption


def test_nights_are_shaded_in_turn_and_their_days_told(shown) -> None:
    upper = object_figure(shown, 0).figure.axes[0]
    spans = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in upper.patches]
    assert spans == [pytest.approx((4.5, 8.5)), pytest.approx((12.5, 13.5))]  # images 5-8 and 13 of four a night
    (top,) = upper.child_axes
    assert [tick.get_text() for tick in top.get_xticklabels()] == ["0.0", "1.0", "2.0", "3.0"]


def test_an_object_without_alert_has_no_line_and_the_label_blind_protocol_a_trigger(shown) -> None:
    plain = object_figure(shown, 3)
    assert "dotted" not in plain.caption
    assert not [line for line in plain.figure.axes[1].lines if line.get_linestyle() == ":"]
    assert "trigger at image 6 (dotted)" in object_figure(replace(shown, protocol="label_blind"), 0).caption


def test_the_verdict_is_that_of_the_last_image(shown) -> None:
    last = shown.shown.probabilities[0, 12]
    best = CLASSES[int(last.argmax())].replace("_", " ")
    right = "Right" if best == "supernova" else "Wrong"
    assert f"{right} at the end: {best} with {last.max():.0%}" in object_figure(shown, 0).caption


def test_the_gallery_shows_every_failure_with_what_it_was_taken_for(shown) -> None:
    drawing = failure_gallery(shown)
    panels = np.array(drawing.figure.axes).reshape(2, 3)
    for (stamps, curve, chances), row in zip(panels, (1, 2), strict=True):
        assert len(stamps.images) == 13
        assert curve.containers[0].lines[0].get_ydata() == pytest.approx(shown.shown.flux[row, :13])
        lines = [line for line in chances.lines if len(line.get_xdata()) == 13]
        np.testing.assert_allclose(np.array([line.get_ydata() for line in lines]).T, shown.shown.probabilities[row, :13])
        assert str(shown.shown.object_id[row]) in stamps.get_title(loc="left")
        assert "taken for" in stamps.get_title(loc="left")
    assert drawing.caption.startswith("The 2 most confidently wrong objects")
    rest = replace(shown.shown, why=np.where(shown.shown.why == "failure", "typical", shown.shown.why))
    with pytest.raises(DataError, match="no object is classified wrongly"):
        failure_gallery(replace(shown, shown=rest))


def test_a_twin_stands_under_its_star_on_the_same_stretch(shown) -> None:
    drawing = twin_figure(shown.twins, 0)
    real, twin, more_real, more_twin, chart = drawing.figure.axes
    assert [len(axes.images) for axes in (real, twin, more_real, more_twin)] == [11, 11, 2, 2]
    norms = {(image.norm.vmin, image.norm.vmax) for axes in drawing.figure.axes[:4] for image in axes.images}
    assert len(norms) == 1
    stamp = shown.twins.real[0, 1]
    rim = np.concatenate([stamp[0], stamp[-1], stamp[1:-1, 0], stamp[1:-1, -1]])
    assert np.asarray(real.images[1].get_array()) == pytest.approx(stamp - np.median(rim), abs=1e-5)
    # the twin is the star plus a constant, which the rim takes away: both histograms agree
    outlines = [patch.get_xy()[:, 1] for patch in chart.patches]
    assert outlines[0] == pytest.approx(outlines[1], abs=2e-3)
    assert "18.50 mag" in drawing.caption


def test_stamps_lose_the_level_of_their_rim_and_keep_holes() -> None:
    stamps = np.full((2, 5, 5), 7.0)
    stamps[:, 2, 2] = 107.0
    stamps[1, 0, 0] = np.nan
    flat = less_rim(stamps)
    assert flat[:, 2, 2] == pytest.approx([100, 100])
    assert np.isnan(flat[1, 0, 0])
    assert flat[0, 0, 0] == 0
    empty = np.full((1, 5, 5), np.nan)
    assert np.isnan(less_rim(empty)).all()
    assert stretch(empty[0]).vmax > stretch(empty[0]).vmin


columns = hnp.arrays(np.float64, (30, 3), elements=st.floats(-1e6, 1e6))


@given(values=columns, factor=st.floats(1e-3, 1e3), shift=st.floats(-1e3, 1e3))
@settings(max_examples=50)
def test_standardised_features_know_no_unit(values: np.ndarray, factor: float, shift: float) -> None:
    found = standardised(values)
    assert np.isfinite(found).all()
    assert np.abs(found).max() <= LIMIT
    values = np.round(values)  # differences that a change of unit does not lose to rounding
    assert standardised(values * factor + shift) == pytest.approx(standardised(values), abs=1e-4)


def test_standardised_features_keep_order_and_drop_constants() -> None:
    rng = np.random.default_rng(0)
    values = np.stack([rng.lognormal(0, 3, 500), np.full(500, 7.0)], axis=1)
    found = standardised(values)
    assert (np.diff(found[np.argsort(values[:, 0]), 0]) >= 0).all()
    assert not found[:, 1].any()
    assert abs(found[:, 0].mean()) < 0.05
    assert found[:, 0].std() == pytest.approx(1, abs=0.05)


def test_the_embedding_is_a_function_of_the_seed_and_keeps_groups_together(curves) -> None:
    rng = np.random.default_rng(1)
    side = np.arange(60) % 2
    two = replace(curves, values=rng.normal(0, 0.3, curves.values.shape) + 6.0 * side[:, None])
    places = embedding(two, seed=2)
    assert places.shape == (60, 2)
    assert np.array_equal(places, embedding(two, seed=2))
    distance = np.linalg.norm(places[:, None] - places[None], axis=2) + np.diag(np.full(60, np.inf))
    assert (side[distance.argmin(axis=1)] == side).all()


def test_the_embedding_refuses_what_it_cannot_place(curves) -> None:
    few = Curves(curves.values[:40], curves.label[:40], curves.real[:40], curves.labelled[:40])
    with pytest.raises(DataError, match="40 light curves; a perplexity of 40 asks for more"):
        embedding(few)
    holes = replace(curves, values=np.where(np.arange(60)[:, None] == 3, np.nan, curves.values))
    with pytest.raises(DataError, match="not finite.*skyreel.features.compute"):
        embedding(holes)


def test_figure_14_shows_every_curve_where_it_belongs(curves) -> None:
    places = np.random.default_rng(3).normal(size=(60, 2))
    drawing = embedding_figure(curves, "the sky", places=places)
    panels = drawing.figure.axes
    assert [axes.get_title(loc="left") for axes in panels] == ["simulated (40)", "the sky (20)", "augmented: simulated + 10 of the sky"]
    for axes, plain, marked in zip(panels, (~curves.real, curves.real, ~curves.real), (0, 0, 10), strict=True):
        small = [item for item in axes.collections if len(item.get_offsets()) and item.get_sizes()[0] < 20]
        large = [item for item in axes.collections if len(item.get_offsets()) and item.get_sizes()[0] > 60]
        assert sum(len(item.get_offsets()) for item in small) == plain.sum()
        assert sum(len(item.get_offsets()) for item in large) == marked
        drawn = np.concatenate([item.get_offsets() for item in small])
        assert sorted(map(tuple, drawn)) == sorted(map(tuple, places[plain]))
        colours = {tuple(item.get_facecolor()[0][:3]) for item in small}
        assert colours == {to_rgba(class_style(name, CLASSES)["color"])[:3] for name in curves.label[plain]}
    assert "40 simulated and 20 real light curves (the sky)" in drawing.caption
    assert "perplexity 40, 1000 iterations" in drawing.caption


def test_every_figure_of_objects_becomes_a_png(shown) -> None:
    places = np.random.default_rng(3).normal(size=(60, 2))
    drawings = [object_figure(shown, 0), failure_gallery(shown), twin_figure(shown.twins, 0), embedding_figure(shown.curves, places=places)]
    for drawing in drawings:
        buffer = io.BytesIO()
        drawing.figure.savefig(buffer, format="png", dpi=40)
        assert buffer.getvalue().startswith(b"\x89PNG")
        assert drawing.caption.endswith(".")
