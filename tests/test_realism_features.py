"""Numbers that a judge sees: position, width, shape, noise of made-up stamps; means, scatter and memory of objects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from realism_parts import constant_stars

from skyreel.evaluate.realism_features import FRAME, frame_features
from skyreel.evaluate.realism_objects import OBJECT, object_features
from skyreel.interfaces import PixelBits


def columns(movies, *names):
    values, _ = frame_features(movies, 0.27)
    return [values[:, FRAME.index(name)] for name in names]


def test_features_measure_what_they_are_called():
    stars = constant_stars(60)
    width, one, two, sky, noise = columns(stars, "width_ratio", "ellipticity_1", "ellipticity_2", "sky_ratio", "noise_ratio")
    assert np.median(width) == pytest.approx(4.0 / (1.3 / 0.27), rel=0.02)
    assert abs(np.mean(one)) < 0.01
    assert abs(np.mean(two)) < 0.01
    assert np.median(sky) == pytest.approx(1.0, abs=0.01)
    assert np.mean(noise) == pytest.approx(1.0, abs=0.03)
    for lag in ("correlation_01", "correlation_10", "correlation_11"):
        assert abs(np.mean(columns(stars, lag)[0])) < 0.03  # white


def test_position_is_the_truths():
    stars = constant_stars(40)
    x, y = columns(stars, "centre_x", "centre_y")
    truth = stars.truth.centre[stars.frame_mask]
    np.testing.assert_allclose(np.stack([x, y], 1), truth, atol=0.06)


def test_an_elongated_star_is_seen_and_its_direction_kept():
    stars = constant_stars(30)
    stretched = np.asarray(stars.pixels, np.float32).copy()
    stretched += np.roll(stretched, 2, axis=-1) - 120.0  # two images two pixels apart in x
    one = columns(replace(stars, pixels=stretched), "ellipticity_1")[0]
    assert np.median(one) == pytest.approx(1.0 / (2 * (4.0 / 2.355) ** 2 + 1.0), abs=0.03)  # the second moment grows by 1 px^2
    values, rows = frame_features(replace(stars, pixels=stretched), 0.27)
    assert np.median(object_features(values, np.flatnonzero(np.diff(rows, prepend=-1)))[:, -1]) > 0.9  # coherent


def test_smoothed_noise_is_correlated():
    stars = constant_stars(30)
    pixels = np.asarray(stars.pixels, np.float32)
    smooth = 0.5 * (pixels + np.roll(pixels, 1, axis=-1))
    before, after = columns(stars, "correlation_01")[0], columns(replace(stars, pixels=smooth), "correlation_01")[0]
    assert after.mean() - before.mean() == pytest.approx(0.5, abs=0.06)
    assert columns(replace(stars, pixels=smooth), "noise_ratio")[0].mean() == pytest.approx(np.sqrt(0.5), abs=0.03)


def test_flagged_pixels_do_not_count():
    stars = constant_stars(10)
    pixels, bits = np.asarray(stars.pixels, np.float32).copy(), stars.pixel_mask.copy()
    bits[..., 0, 3] = PixelBits.BAD
    clean = replace(stars, pixel_mask=bits)
    pixels[..., 0, 3] = 60_000.0
    np.testing.assert_array_equal(*(frame_features(movies, 0.27)[0] for movies in (replace(clean, pixels=pixels), clean)))


def test_objects_are_what_numpy_says_of_their_frames():
    rng = np.random.default_rng(0)
    values, first, last = rng.normal(size=(17, len(FRAME))), np.array([0, 3, 12]), np.array([3, 12, 17])
    found = object_features(values, first)
    assert found.shape == (3, len(OBJECT))
    k = FRAME.index("flux")
    for row, (start, stop) in enumerate(zip(first, last, strict=True)):
        series = values[start:stop, k]
        rest = series - series.mean()
        expected = {"mean": series.mean(), "scatter": series.std(), "memory": (rest[1:] * rest[:-1]).sum() / (rest**2).sum()}
        for what, value in expected.items():
            assert found[row, OBJECT.index(f"{what} flux")] == pytest.approx(value)


def test_an_object_of_one_frame_has_no_scatter():
    found = object_features(np.ones((1, len(FRAME))), np.array([0]))
    assert np.isfinite(found).all()
    assert found[0, OBJECT.index("scatter flux")] == 0
