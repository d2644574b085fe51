"""What the forest reads from the images beside the flux: numbers with known values on noiseless sources."""

from dataclasses import replace

import numpy as np
import pytest
from forest_toys import movies
from hypothesis import given, settings
from hypothesis import strategies as st

from skyreel.exposures import Exposures
from skyreel.light_curves import PhotometryOptions
from skyreel.photometry import psf_image
from skyreel_forest.images import COLUMNS, IMAGE_FEATURES, RINGS, image_features
from skyreel_forest.inputs import single_frames
from skyreel_forest.rows import feature_names, feature_rows
from skyreel_forest.track import measured

NAMES = list(IMAGE_FEATURES)
EPOCHS = 6


def source(fwhm: float = 4.0, extra=None, flux: float = 2e4, centre=(0.0, 0.0), profile: str = "moffat", reported=None):
    """One noiseless movie of a constant source on a flat sky; `extra` is added to every frame."""
    toys = movies(1, EPOCHS)
    width = np.full((1, EPOCHS), fwhm)
    given = np.full((1, EPOCHS), reported or fwhm)
    exposures = toys.reported.replace(psf_fwhm=given, sky=np.full((1, EPOCHS), 400.0), zero_point=np.full((1, EPOCHS), 25.5))
    star = flux * psf_image((21, 21), width, np.broadcast_to(np.array(centre), (1, EPOCHS, 2)), profile)
    pixels = (400.0 + star + (0 if extra is None else extra))[:, :, None].astype(np.float32)
    return replace(toys, pixels=pixels, frame_mask=np.ones((1, EPOCHS), np.bool_), reported=exposures)


def features(some, profile: str = "moffat", **options) -> dict[str, float]:
    track = measured(some, PhotometryOptions(**{"profile": profile, "width": "profile", "centre": "frame", **options}), True)
    values = image_features(track.image, track.flux, track.good)[0]
    return dict(zip(NAMES, values, strict=True))


@pytest.mark.parametrize("width", ["profile", "fitted"])
def test_a_point_source_has_no_light_beside_its_own(width):
    """The reported width is the profile's own, or that of a Gaussian fitted to the star: 4.3 px for a Moffat of 4 px."""
    found = features(source(reported=4.0 if width == "profile" else 4.29), width=width)
    for k in range(len(RINGS)):
        assert abs(found[f"ring_{k}_share"]) < 2e-3
    assert found["ellipticity"] < 0.01
    assert found["width_correlation"] == 0


def test_the_size_of_a_gaussian_star_is_that_of_its_definition():
    """Weight and star are Gaussians of variances 2 s^2 and s^2: their product has 2/3 s^2 in each axis, s = FWHM / 2.355."""
    found = features(source(fwhm=5.0, profile="gaussian"), profile="gaussian")
    s2 = 5.0**2 / (8 * np.log(2))
    star = s2 + 1 / 12  # the pixel
    assert found["size"] == pytest.approx(2 * star * 2 * s2 / (star + 2 * s2) / 5.0**2, rel=0.005)
    assert found["size"] == pytest.approx(0.24, abs=0.01)


def test_extended_light_is_measured_where_it_is():
    """A ring of known light between 1.0 and 1.6 FWHM, put on top of the star."""
    y, x = np.mgrid[:21, :21] - 10
    radius = np.hypot(x, y) / 4.0
    ring = (radius >= 1.0) & (radius < 1.6)
    found = features(source(extra=ring * 40.0), centre="middle")
    plain = features(source(), centre="middle")
    gained = {k: found[f"ring_{k}_share"] - plain[f"ring_{k}_share"] for k in range(4)}
    assert gained[2] == pytest.approx(ring.sum() * 40.0 / 2e4, rel=0.15)
    assert abs(gained[3]) < 0.1 * gained[2]
    assert found["ring_2_significance"] > 50
    assert found["faint_ring_2_significance"] > 30


def test_an_elongated_source_has_its_ellipticity():
    """Two equal Gaussians side by side: xx grows by their offset squared, seen through the weight."""
    left, right = (source(flux=1e4, centre=(offset, 0.0), profile="gaussian").pixels[:, :, 0] - 400.0 for offset in (-1.5, 1.5))
    some = source(flux=0.0)
    some = replace(some, pixels=(some.pixels[:, :, 0] + left + right)[:, :, None])
    found = features(some, profile="gaussian", centre="middle")
    s2 = 4.0**2 / (8 * np.log(2))
    star, weight = s2 + 1 / 12, 2 * s2  # a pixel widens the star by 1/12 px^2
    product = star * weight / (star + weight)
    yy, xx = product, product + (1.5 * product / star) ** 2
    assert found["ellipticity"] == pytest.approx((xx - yy) / (xx + yy), rel=0.01)


def test_extended_light_follows_the_seeing():
    """PSF flux of a uniform disc grows with the width of the PSF it is measured with: 1 in the correlation."""
    y, x = np.mgrid[:21, :21] - 10
    disc = 50.0 * (np.hypot(x, y) < 6)
    some = source(flux=0.0, extra=disc)
    some = replace(some, reported=some.reported.replace(psf_fwhm=np.linspace(3, 6, EPOCHS)[None]))
    found = features(some, centre="middle")
    assert found["width_correlation"] > 0.95
    assert found["width_slope"] > 0.1


@settings(max_examples=15)
@given(zero_point=st.floats(23, 27), exptime=st.floats(10, 300))
def test_units_of_the_counts_do_not_matter(zero_point, exptime):
    """Shares, sizes and shapes are the same on images of another zero point or exposure time."""
    y, x = np.mgrid[:21, :21] - 10
    some = source(extra=30.0 * np.exp(-np.hypot(x, y) / 4))
    changed = {name: np.full((1, EPOCHS), value) for name, value in (("zero_point", zero_point), ("exptime", exptime))}
    other = features(replace(some, reported=some.reported.replace(**changed)))
    for name, value in features(some).items():
        assert other[name] == pytest.approx(value, rel=1e-6, abs=1e-9)


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), scale=st.sampled_from([0.0, 1e-30, 1.0, 1e30]))
def test_whatever_was_measured_gives_finite_numbers(seed, scale):
    rng = np.random.default_rng(seed)
    columns, flux = rng.normal(0, 1, (4, 5, len(COLUMNS))) * scale, rng.normal(0, 1, (4, 5)) * scale
    columns[..., 4:8] = np.abs(columns[..., 4:8])  # variances
    mask = rng.random((4, 5)) < 0.5
    mask[0] = False
    found = image_features(columns, flux, mask)
    assert found.shape == (4, len(NAMES))
    assert np.isfinite(found).all()
    assert (found[0] == 0).all()


def test_masked_points_and_padding_are_not_read():
    track = measured(movies(6), PhotometryOptions(), True)
    wide = np.pad(track.image, ((0, 0), (0, 3), (0, 0)), constant_values=7.0)
    flux, mask = np.pad(track.flux, ((0, 0), (0, 3)), constant_values=9.0), np.pad(track.good, ((0, 0), (0, 3)))
    np.testing.assert_allclose(image_features(wide, flux, mask), image_features(track.image, track.flux, track.good), rtol=1e-12)


def test_every_frame_is_measured_by_itself_in_time_order():
    some = movies(5)
    frames = single_frames(some)
    assert len(frames) == some.frame_mask.sum()
    track = measured(some, PhotometryOptions(), True)
    for k in range(5):
        kept = np.flatnonzero(some.frame_mask[k])
        np.testing.assert_array_equal(track.mjd[k, : track.count[k]], some.reported.mjd[k, kept])
        assert (track.flux[k, track.count[k] :] == 0).all()


def test_bands_stand_side_by_side():
    """The features of a band are those of its points alone; the first of two bands knows nothing of the second."""
    some = movies(4, bands=("g", "r"))
    track = measured(some, PhotometryOptions(), False)
    names = feature_names("fats", False, ("g", "r"))
    both = feature_rows(track, np.arange(4), track.count, "fats", False, ("g", "r"))
    columns = {name: getattr(some.reported, name) for name in vars(some.reported) if name not in ("bands", "band")}
    only = replace(some, frame_mask=some.frame_mask & (some.reported.band == 0))
    single = measured(replace(only, reported=Exposures(("g",), band=np.zeros((4, 9)), **columns)), PhotometryOptions(), False)
    alone = feature_rows(single, np.arange(4), single.count, "fats", False, ("g",))
    assert [name for name in names if name.startswith("g.")] == list(feature_names("fats", False, ("g",)))
    np.testing.assert_array_equal(both[:, : alone.shape[1]], alone)
    assert not np.array_equal(both[:, alone.shape[1] :], alone)
