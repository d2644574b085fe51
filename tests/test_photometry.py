"""Optimal photometry against GalSim, against its own error bars and against the catalogue of real HiTS stars."""

import os
from pathlib import Path

import galsim
import numpy as np
import pytest
from astropy.stats import sigma_clipped_stats
from hypothesis import given, settings
from hypothesis import strategies as st

from skyreel.errors import ConfigError, DataError
from skyreel.photometry import border_sky, psf_flux, psf_image

GAIN, READ_NOISE, SKY = 4.1, 6.1, 115.0
SIZE = 21


def drawn(profile, fwhm, centre=(0.0, 0.0), size=SIZE, beta=4.0):
    """A point source of unit flux over the plane, integrated over pixels by GalSim."""
    star = galsim.Gaussian(fwhm=fwhm) if profile == "gaussian" else galsim.Moffat(beta=beta, fwhm=fwhm)
    accurate = galsim.GSParams(folding_threshold=1e-4, maxk_threshold=1e-4, maximum_fft_size=16384)
    return star.withGSParams(accurate).shift(*centre).drawImage(nx=size, ny=size, scale=1.0).array.astype(np.float64)


def exposed(scene, n, seed):
    """n noisy images [ADU] of a scene [ADU without sky]: Poisson and read noise, rounded to whole ADU."""
    rng = np.random.default_rng(seed)
    electrons = rng.poisson((scene + SKY) * GAIN, (n, *scene.shape)) + rng.normal(0, READ_NOISE, (n, *scene.shape))
    return np.round(electrons / GAIN)


@pytest.mark.parametrize("profile", ["moffat", "gaussian"])
@pytest.mark.parametrize("fwhm", [2.8, 4.0, 7.0])
@pytest.mark.parametrize("centre", [(0.0, 0.0), (0.4, -0.3)])
def test_profile_equals_galsim(profile, fwhm, centre):
    reference = drawn(profile, fwhm, centre)
    ours = psf_image((SIZE, SIZE), fwhm, centre, profile, beta=4.0)
    assert np.abs(ours - reference).max() < 5e-4 * reference.max()


def test_profile_has_unit_flux_over_the_plane_not_over_the_stamp():
    wide = psf_image((401, 401), 4.0, profile="moffat", beta=4.0)
    assert wide.sum(dtype=np.float64) == pytest.approx(1.0, abs=1e-4)
    inside = psf_image((SIZE, SIZE), 7.0, profile="moffat", beta=4.0).sum(dtype=np.float64)
    assert 0.9 < inside < 0.99


def test_axes_are_height_width_and_centre_is_x_y():
    share = psf_image((11, 21), 3.0, (4.0, -2.0))
    assert share.shape == (11, 21)
    assert np.unravel_index(share.argmax(), share.shape) == (5 - 2, 10 + 4)


@settings(max_examples=40, deadline=None)
@given(
    fwhm=st.floats(2.8, 7.5),
    flux=st.floats(10, 1e6),
    x=st.floats(-0.5, 0.5),
    y=st.floats(-0.5, 0.5),
    profile=st.sampled_from(["moffat", "gaussian"]),
    iterations=st.integers(0, 2),
    size=st.sampled_from([20, 21, 25]),
)
def test_noiseless_flux_is_the_total_of_the_source(fwhm, flux, x, y, profile, iterations, size):
    image = SKY + flux * psf_image((size, size), fwhm, (x, y), profile).astype(np.float64)
    found, error = psf_flux(image, fwhm, SKY, GAIN, READ_NOISE, (x, y), None, profile, iterations=iterations)
    # float32 pixels carry the sky, hence the absolute part
    assert found == pytest.approx(flux, rel=1e-5, abs=1e-3)
    assert error > 0


@pytest.mark.parametrize("flux", [0.0, 300.0, 3e4])
@pytest.mark.parametrize("iterations", [0, 1])
@pytest.mark.parametrize("profile", ["moffat", "gaussian"])
def test_unbiased_with_standard_normal_pulls(flux, iterations, profile):
    n, fwhm, centre = 4000, 4.0, (0.3, -0.2)
    images = exposed(flux * drawn(profile, fwhm, centre), n, seed=int(flux) + iterations)
    found, error = psf_flux(images, fwhm, SKY, GAIN, READ_NOISE, centre, None, profile, 4.0, iterations)
    pull = (found - flux) / error
    assert abs(pull.mean()) < 4.5 / np.sqrt(n)
    assert abs(pull.std() - 1) < 4.5 / np.sqrt(2 * n)
    assert abs(np.mean(np.abs(pull) < 1) - 0.6827) < 4.5 * np.sqrt(0.68 * 0.32 / n)


def test_poisson_weights_reduce_the_scatter_of_bright_stars():
    images = exposed(1e5 * drawn("moffat", 4.0), 3000, seed=1)
    plain, weighted = (psf_flux(images, 4.0, SKY, GAIN, READ_NOISE, iterations=k)[0] for k in (0, 1))
    assert weighted.std() < 0.9 * plain.std()


def test_error_of_faint_sources_is_the_sky_limit():
    share = psf_image((SIZE, SIZE), 4.0).astype(np.float64)
    variance = SKY / GAIN + (READ_NOISE / GAIN) ** 2 + 1 / 12
    _, error = psf_flux(np.full((SIZE, SIZE), SKY), 4.0, SKY, GAIN, READ_NOISE)
    assert error == pytest.approx(np.sqrt(variance / (share**2).sum()), rel=1e-5)


def test_masked_pixels_do_not_count():
    image = SKY + 5000 * psf_image((SIZE, SIZE), 4.0).astype(np.float64)
    mask = np.zeros(image.shape, np.uint8)
    mask[10, 11], mask[3, 4], mask[:, 20] = 4, 8, 2
    clean, clean_error = psf_flux(image, 4.0, SKY, GAIN, READ_NOISE)
    image[mask > 0] = [1e8, np.nan, *np.full(21, -9999)]
    found, error = psf_flux(image, 4.0, SKY, GAIN, READ_NOISE, pixel_mask=mask)
    assert found == pytest.approx(clean, rel=1e-5)
    assert error > clean_error


def test_nothing_left_is_nan_with_infinite_error():
    flux, error = psf_flux(np.ones((2, 5, 5)), 3.0, 1.0, 1.0, 0.0, pixel_mask=np.ones((2, 5, 5)))
    assert np.isnan(flux).all()
    assert np.isinf(error).all()


def test_batch_equals_single_stamps():
    rng = np.random.default_rng(3)
    pixels = rng.uniform(100, 200, (3, 4, SIZE, SIZE))
    fwhm, sky, gain = rng.uniform(3, 6, (3, 4)), rng.uniform(90, 130, (3, 4)), rng.uniform(3.5, 4.5, (3, 1))
    centre, mask = rng.uniform(-0.5, 0.5, (3, 4, 2)), rng.random(pixels.shape) < 0.05
    flux, error = psf_flux(pixels, fwhm, sky, gain, READ_NOISE, centre, mask)
    assert flux.shape == error.shape == (3, 4)
    one = psf_flux(pixels[1, 2], fwhm[1, 2], sky[1, 2], gain[1, 0], READ_NOISE, centre[1, 2], mask[1, 2])
    assert one[0] == pytest.approx(flux[1, 2], rel=1e-6)
    assert one[1] == pytest.approx(error[1, 2], rel=1e-6)


def test_bad_arguments_are_typed_errors():
    image = np.ones((2, 9, 9))
    with pytest.raises(ConfigError, match="lorentz"):
        psf_flux(image, 3.0, 1.0, 1.0, 0.0, profile="lorentz")
    with pytest.raises(ConfigError, match="beta"):
        psf_flux(image, 3.0, 1.0, 1.0, 0.0, beta=1.0)
    with pytest.raises(ConfigError, match="iterations"):
        psf_flux(image, 3.0, 1.0, 1.0, 0.0, iterations=-1)
    with pytest.raises(DataError, match="fwhm"):
        psf_flux(image, [3.0, np.nan], 1.0, 1.0, 0.0)
    with pytest.raises(DataError, match="gain"):
        psf_flux(image, 3.0, 1.0, [0.0, 1.0], 0.0)
    with pytest.raises(DataError, match="broadcast"):
        psf_flux(image, [3.0, 3.0, 3.0], 1.0, 1.0, 0.0)
    with pytest.raises(DataError, match="centre"):
        psf_flux(image, 3.0, 1.0, 1.0, 0.0, centre=np.zeros((2, 3)))
    with pytest.raises(DataError, match="pixels"):
        psf_flux(np.ones(9), 3.0, 1.0, 1.0, 0.0)
    with pytest.raises(DataError, match="border"):
        border_sky(image, width=5)


# ------------------------------------------------------------------------------------------------- border sky


def test_border_sky_equals_astropy():
    rng = np.random.default_rng(8)
    pixels = rng.normal(120, 6, (6, SIZE, SIZE))
    pixels[:3, :2, 5:9] += rng.uniform(50, 5000, (3, 2, 4))
    mask = rng.random(pixels.shape) < 0.1
    edge = np.ones((SIZE, SIZE), bool)
    edge[3:-3, 3:-3] = False
    expected = [sigma_clipped_stats(image[edge & ~bad], sigma=3, maxiters=5)[1] for image, bad in zip(pixels, mask, strict=True)]
    np.testing.assert_allclose(border_sky(pixels, mask), expected, rtol=1e-12)


def test_border_sky_ignores_source_neighbour_and_invalid_pixels():
    image = exposed(2e4 * drawn("moffat", 4.0), 1, seed=4)[0]
    image[:3, :4] += 3000
    image[20, 20], image[0, 20] = np.nan, 1e8
    standard_error = 1.25 * np.sqrt(SKY / GAIN) / np.sqrt(200)
    assert border_sky(image) == pytest.approx(SKY, abs=4 * standard_error + 0.5)


def test_border_sky_of_nothing_is_nan():
    assert np.isnan(border_sky(np.ones((3, 9, 9)), np.ones((3, 9, 9)))).all()


# -------------------------------------------------------------------------------------------------- real stars


@pytest.fixture(scope="module")
def hits():
    default = Path(__file__).parents[1] / ".." / "shared" / "data"
    folder = Path(os.environ.get("SKYREEL_TEST_DATA", default)) / "hits2015a" / "dev"
    if not folder.is_dir():
        pytest.skip("the real HiTS stamps are not here (set SKYREEL_TEST_DATA)")
    return folder


@pytest.mark.real_data
@pytest.mark.parametrize(("label", "limit"), [("non_variable", 0.025), ("rr_lyrae", 0.02)])
def test_real_stars_agree_with_the_catalogue(hits, label, limit):
    """Reported sky, pixel centre, Moffat of the reported width: what the sequences use; catalogue magnitudes are Kron's."""
    table = np.load(hits / f"{label}.npz")
    stamps, owner = table["stamps"], table["frame_obj"]
    catalogue = table["obj_mean_mag"][owner] if label == "non_variable" else table["frame_mag"]
    bad = ~np.isfinite(stamps) | (stamps <= 0) | (stamps > 3e4)
    good = ~table["frame_blank"] & (table["cond_seeing_arcsec"] < 2) & np.isfinite(table["cond_zero_point"] + catalogue)
    good &= ~bad[:, 8:13, 8:13].any(axis=(1, 2))
    fwhm = 3.16 * table["cond_seeing_arcsec"] - 0.064
    flux, error = psf_flux(stamps[good], fwhm[good], table["cond_sky"][good], GAIN, READ_NOISE, pixel_mask=bad[good])
    detected = flux > 5 * error
    assert detected.mean() > 0.97
    mag = table["cond_zero_point"][good] - 2.5 * np.log10(flux.clip(1) / table["cond_exptime"][good])
    residual, owner = (mag - catalogue[good])[detected], owner[good][detected]
    spread = [np.median(np.abs(residual[owner == i] - np.median(residual[owner == i]))) for i in np.unique(owner)]
    assert np.median(spread) < limit
    assert abs(np.median(residual)) < 0.02
