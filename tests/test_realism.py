"""Can a judge tell? Known answers: the same sample, a sample that differs in one known way, shapes and noise of made-up stamps."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from verb_runs import refused, skyreel

from skyreel.errors import DataError
from skyreel.evaluate.realism import (
    cross_validated,
    forest_judge,
    object_features,
    separations,
    verdict,
    whole_adu,
)
from skyreel.evaluate.realism_features import FRAME, frame_features
from skyreel.hydra_glue import compose
from skyreel.interfaces import PixelBits
from skyreel.seeding import Seeds
from skyreel.simulate.run import build, simulation_config
from skyreel.simulate.twins import twin

EMPTY = ["detector=ccd", "simulation=paper", "psf=gaussian"]


def constant_stars(n, mag=18.0, epochs=8, sky_jitter=0.0, **columns):
    """Stars on a flat sky under known conditions."""
    config = compose("simulate", ["output=x", "source=[non_variable]", f"simulation.sky_jitter={sky_jitter}", *EMPTY])
    simulation = build(simulation_config(config))
    conditions = simulation.survey.sample(1, Seeds(0, "test")).window(np.zeros(1, np.intp), epochs)
    values = {"sky": 120.0, "seeing": 1.3, "psf_fwhm": 4.0, "zero_point": 25.0, "gain": 4.0, "read_noise": 6.0, **columns}
    conditions = conditions.replace(**{name: np.full(conditions.shape, value, np.float32) for name, value in values.items()})
    return twin(simulation, conditions, "non_variable", mag, name="a", n=n)


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
    assert np.median(object_features(values, rows)[:, -1]) > 0.9  # coherent


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


def test_equal_samples_cannot_be_told_and_different_ones_can():
    rng = np.random.default_rng(0)
    group = np.tile(np.repeat(np.arange(60), 4), 2)
    real = np.repeat([True, False], 240)
    values = rng.normal(size=(480, 3))
    same = verdict("frame", "forest", cross_validated(forest_judge(values, real, 0), real, group), real, group)
    assert same.interval[0] < 0.5 < same.interval[1]
    values[real, 1] += 2.0
    other = verdict("frame", "forest", cross_validated(forest_judge(values, real, 0), real, group), real, group)
    assert other.auc == pytest.approx(0.921, abs=0.05)  # Phi(2 / sqrt 2): two normal samples two sigma apart
    assert next(iter(separations(values, real, ("a", "b", "c")))) == "b"


def test_what_only_an_object_knows_does_not_help():
    """Frames of an object share a number: judges that had seen the object would know it."""
    rng = np.random.default_rng(1)
    group = np.tile(np.repeat(np.arange(50), 6), 2)
    real = np.repeat([True, False], 300)
    values = np.where(real, 1.0, -1.0)[:, None] * rng.normal(size=(50, 1))[group] + 0.01 * rng.normal(size=(600, 1))
    found = verdict("frame", "forest", cross_validated(forest_judge(values, real, 0), real, group), real, group)
    assert found.auc < 0.75  # judged by objects it has seen, it would be 1


def test_real_stamps_are_rounded():
    stars = constant_stars(3)
    broken = replace(stars, pixels=np.asarray(stars.pixels, np.float32) + np.float32(0.3))
    pixels = whole_adu(broken).pixels
    np.testing.assert_array_equal(pixels, np.round(pixels))


def test_too_few_objects_are_named():
    with pytest.raises(DataError, match="3 objects.*at least 5"):
        cross_validated(forest_judge(np.zeros((6, 1)), np.ones(6, bool), 0), np.ones(6, bool), np.repeat(np.arange(3), 2))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ("dataset", "name real movies")),
        (["dataset=hits2015a", "source=[supernova]"], ("no non_variable", "+source=non_variable")),
        (["dataset=hits2015a", "realism.judges=[owl]"], ("realism.judges", "forest, cnn")),
        (["dataset=hits2015a", "realism.objects=-1"], ("realism.objects", "-1")),
    ],
)
def test_verb_refuses(arguments, words, tmp_path):
    refused(skyreel("realism", *arguments, cwd=tmp_path), *words)


@pytest.mark.real_data
def test_verb_judges_the_real_sky(data_dir, tmp_path):
    real = ("dataset=hits2015a", f"dataset.path={data_dir / 'hits2015a'}")
    done = skyreel("realism", *real, "realism.objects=15", "realism.judges=[forest]", "hydra.run.dir=run", cwd=tmp_path)
    assert done.code == 0, done.err
    metrics = json.loads((tmp_path / "run" / "realism.json").read_text())
    scores = {item["level"]: item["auc"] for item in metrics["verdicts"]}
    assert set(scores) == {"frame", "background", "object"}
    assert scores["background"] < scores["frame"]
    assert (tmp_path / "run" / "realism.png").stat().st_size > 10_000
