"""What the importer estimates from pixels, against images of known width, noise and gain."""

from pathlib import Path

import cutout_folder
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyreel.exchange.border_noise import border_variance, detector_noise
from skyreel.exchange.scanning import without_wings
from skyreel.exchange.star_widths import fit_stars
from skyreel.photometry import border_sky, psf_image
from skyreel.photometry.sky import border
from skyreel.photometry.widths import profile_width


def stars(rng, fwhm, centre, flux, sky=200.0, gain=4.0, profile="moffat", side=21):
    expected = flux * psf_image((side, side), fwhm, centre, profile) + sky
    return (rng.poisson(expected * gain) / gain).astype(np.float32)


def fitted(pixels, sky=200.0, noise=50**0.5):
    m = len(pixels)
    return fit_stars(pixels, np.ones(pixels.shape, bool), np.full(m, sky), np.full(m, noise))


@pytest.mark.parametrize("profile", ["moffat", "gaussian"])
def test_width_and_position_without_noise_are_those_of_the_profile(profile):
    width = np.linspace(2.2, 8.0, 40)
    rng = np.random.default_rng(1)
    centre = rng.uniform(-0.5, 0.5, (40, 2))
    pixels = (1e5 * psf_image((21, 21), width, centre, profile) + 200).astype(np.float32)
    found = fitted(pixels)
    own = profile_width(found.fwhm, profile, 4.0)
    np.testing.assert_allclose(own, width, rtol=0.01)
    np.testing.assert_allclose(found.centre, centre, atol=0.01)


@pytest.mark.parametrize("width", [3.0, 4.5, 6.5])
def test_width_is_unbiased_with_noise(width):
    rng = np.random.default_rng(2)
    flux = rng.uniform(4000, 40000, 300)
    centre = rng.uniform(-0.5, 0.5, (300, 2))
    found = fitted(stars(rng, np.full(300, width), centre, flux[:, None, None]))
    own = profile_width(found.fwhm, "moffat", 4.0)
    assert np.isfinite(own).mean() > 0.95
    assert np.nanmedian(own) == pytest.approx(width, rel=0.02)
    bright = flux > 20000
    assert np.nanstd(own[bright]) < 0.04 * width
    assert np.nanstd((found.centre - centre)[bright], axis=0).max() < 0.05


def test_no_width_without_a_single_star_in_the_middle():
    rng = np.random.default_rng(3)
    empty = rng.poisson(200 * 4.0, (50, 21, 21)) / 4
    pair = (
        stars(rng, np.full(50, 4.0), np.tile([-3.0, 0], (50, 1)), 3e4) + stars(rng, np.full(50, 4.0), np.tile([3.5, 1], (50, 1)), 3e4) - 200
    )
    aside = stars(rng, np.full(50, 4.0), np.tile([5.0, 4.0], (50, 1)), 3e4)
    for pixels in (empty.astype(np.float32), pair.astype(np.float32), aside):
        assert np.isfinite(fitted(pixels).fwhm).mean() < 0.05
    masked = stars(rng, np.full(5, 4.0), np.zeros((5, 2)), 3e4)
    good = np.ones(masked.shape, bool)
    good[:, 8:13, 8:13] = False
    assert np.isnan(fit_stars(masked, good, np.full(5, 200.0), np.full(5, 7.0)).fwhm).all()


@given(st.floats(0.6, 8.0), st.floats(20, 3000), st.floats(0, 12))
def test_border_variance_is_that_of_the_counts(gain, sky, read_noise):
    rng = np.random.default_rng(4)
    electrons = rng.poisson(sky * gain, (200, 21, 21)) + rng.normal(0, read_noise, (200, 21, 21))
    pixels = np.rint(electrons / gain).astype(np.float32)
    found = border_variance(pixels, np.ones(pixels.shape, bool), 3)
    assert np.median(found) == pytest.approx(pixels.var(dtype=float), rel=0.05)
    assert np.mean(found) == pytest.approx(pixels.var(dtype=float), rel=0.03)


def test_border_variance_is_not_moved_by_the_wings_of_a_star():
    rng = np.random.default_rng(5)
    pixels = stars(rng, np.full(200, 5.0), np.zeros((200, 2)), 5e4)
    found = border_variance(pixels, np.ones(pixels.shape, bool), 3)
    edge = border(21, 21, 3)
    plain = np.median(pixels[:, edge].var(axis=1))
    photons = (pixels[:, edge].mean() - 200) / 4  # the wings bring noise of their own
    assert plain > 1.2 * 50
    assert abs(np.median(found) - 50 - photons) < 0.4 * (plain - 50 - photons)
    assert np.isnan(border_variance(pixels, np.zeros(pixels.shape, bool), 3)).all()


@settings(max_examples=20)
@given(st.floats(0.8, 6.0), st.floats(0, 15))
def test_gain_and_read_noise_from_variance_against_level(gain, read_noise):
    rng = np.random.default_rng(6)
    sky = rng.uniform(100, 1000, 1500)
    electrons = rng.poisson(sky[:, None, None] * gain, (1500, 21, 21)) + rng.normal(0, read_noise, (1500, 21, 21))
    pixels = np.rint(electrons / gain).astype(np.float32)
    found = detector_noise(np.median(pixels, axis=(1, 2)).astype(float), border_variance(pixels, np.ones(pixels.shape, bool), 3), 200)
    assert found.gain == pytest.approx(gain, rel=0.05)
    assert found.read_noise**2 == pytest.approx(read_noise**2, abs=30 * gain)


def test_gain_is_unbiased_beside_bright_stars():
    gains, skies = [], []
    for seed in range(8):
        folder = cutout_folder.stars(Path("nowhere"), 60, 8, seed)
        pixels, good = folder.pixels.astype(np.float32), np.ones(folder.pixels.shape, bool)
        level, variance = border_sky(pixels), border_variance(pixels, good, 3)
        sky = without_wings(pixels, good, level, fit_stars(pixels, good, level, np.sqrt(variance)))
        skies.append(np.median(sky / np.tile(folder.sky, 60)))
        quiet = level - sky <= np.median(level - sky)
        gains.append(detector_noise(level[quiet], variance[quiet], 198).gain or np.nan)
    np.testing.assert_allclose(skies, 1, atol=0.001)
    assert np.nanmean(gains) == pytest.approx(cutout_folder.GAIN, rel=0.03)
    assert np.nanstd(gains) < 0.05 * cutout_folder.GAIN


def test_no_gain_from_stamps_that_do_not_allow_it():
    rng = np.random.default_rng(7)
    level = rng.uniform(190, 210, 300)
    assert detector_noise(level, level / 4, 200).gain is None
    assert "too close together" in detector_noise(level, level / 4, 200).why
    assert "too few" in detector_noise(level[:10], level[:10] / 4, 200).why
    wide = rng.uniform(100, 900, 300)
    assert "sigma only" in detector_noise(wide, rng.uniform(10, 2000, 300), 200).why
    assert detector_noise(level - 200, level / 4, 200).gain is None
