"""Light curves of movies: calibration, flags, centres, bad input; every star here is drawn by GalSim or by the profile itself."""

import numpy as np
import pytest
from builders import exposures
from hypothesis import given, settings
from hypothesis import strategies as st

from skyreel.errors import ConfigError, DataError
from skyreel.interfaces import PixelBits
from skyreel.light_curves import Flag, LightCurves, PhotometryOptions, measure
from skyreel.movies import Movies
from skyreel.photometry import CENTRES, HOSTS, SKIES, psf_image
from skyreel.photometry.widths import gaussian_fit_fwhm, profile_width

N, EPOCHS, SIZE = 4, 7, 21
KNOWN = {"width": "profile", "error_floor": 0.0}


def conditions(n=N, epochs=EPOCHS, seed=1):
    rng = np.random.default_rng(seed)
    shape = (n, epochs)
    return exposures(n, epochs).replace(
        exptime=rng.uniform(60, 110, shape),
        zero_point=rng.uniform(24.5, 25.5, shape),
        psf_fwhm=rng.uniform(3, 6, shape),
        sky=rng.uniform(90, 400, shape),
        gain=np.full(shape, 4.0),
        read_noise=np.full(shape, 6.0),
        saturation=np.full(shape, 4e4),
    )


def stars(e, flux, centre=(0.0, 0.0), size=(SIZE, SIZE), extra=0.0, seed=None):
    """Movies of stars of calibrated `flux` (n, T) at zero point 25, noiseless where no seed is given."""
    counts = flux * e.exptime.astype(float) * 10.0 ** (0.4 * (e.zero_point - 25.0))
    scene = counts[..., None, None] * psf_image(size, e.psf_fwhm, np.broadcast_to(centre, (*e.shape, 2))).astype(float)
    scene = scene + e.sky[..., None, None] + extra
    if seed is not None:
        rng = np.random.default_rng(seed)
        gain = e.gain[..., None, None]
        scene = np.round((rng.poisson(scene * gain) + rng.normal(0, e.read_noise[..., None, None], scene.shape)) / gain)
    pixels = scene[:, :, None].astype(np.float32)
    names = np.array([f"star-{i}" for i in range(len(e))])
    return Movies(pixels, np.zeros(pixels.shape, np.uint8), e.mask.copy(), e, np.full(len(e), ""), names, np.full(len(e), -1, np.int32))


def masked(movies, **changes):
    return Movies(**{**{name: getattr(movies, name) for name in Movies.__dataclass_fields__}, **changes})


# ---------------------------------------------------------------------------------------------- values and units


@pytest.mark.parametrize("sky", SKIES)
@pytest.mark.parametrize("centre", CENTRES)
def test_noiseless_flux_is_on_the_scale_of_zero_point_25(sky, centre):
    e = conditions()
    flux = np.random.default_rng(2).uniform(5, 3000, e.shape)
    got = measure(stars(e, flux), PhotometryOptions(sky=sky, centre=centre, **KNOWN))
    # the median border still holds some 1e-4 of the star after two rounds of correction
    np.testing.assert_allclose(got.flux, flux, rtol=1e-5 if sky == "reported" else 1e-3, atol=1e-3 if sky == "reported" else 0.02)
    np.testing.assert_allclose(got.magnitudes()[0], 25 - 2.5 * np.log10(got.flux), rtol=1e-12)
    np.testing.assert_array_equal(got.mjd, e.mid_mjd)
    assert got.mask.all()
    assert not got.flags.any() or set(np.unique(got.flags)) <= {int(Flag.CENTRE_FALLBACK)}


def test_other_zero_points_move_magnitudes_not_at_all():
    movies = stars(conditions(), np.full((N, EPOCHS), 500.0), seed=3)
    a, b = (measure(movies, PhotometryOptions(zero_point=zp)) for zp in (25.0, 27.5))
    np.testing.assert_allclose(b.flux, 10 * a.flux, rtol=1e-12)
    np.testing.assert_allclose(b.magnitudes()[0], a.magnitudes()[0], atol=1e-10)
    np.testing.assert_allclose(b.snr, a.snr, rtol=1e-10)


@settings(max_examples=6)
@given(exptime=st.floats(0.1, 30), step=st.floats(-4, 4), seed=st.integers(0, 1000))
@pytest.mark.parametrize(("centre", "host"), [("middle", "none"), ("frame", "none"), ("middle", "subtract"), ("object", "weights")])
def test_exposure_time_and_zero_point_cancel(centre, host, exptime, step, seed):
    movies = stars(conditions(2, 5, seed), np.full((2, 5), 300.0), seed=seed)
    e = movies.reported
    options = PhotometryOptions(centre=centre, host=host)
    expected = measure(movies, options)
    # longer and less sensitive: the same counts mean the same flux
    other = e.replace(exptime=e.exptime * np.float32(exptime), zero_point=e.zero_point - np.float32(2.5 * np.log10(exptime)))
    np.testing.assert_allclose(measure(masked(movies, reported=other), options).flux, expected.flux, rtol=2e-5, atol=1e-3)
    shifted = measure(masked(movies, reported=e.replace(zero_point=e.zero_point + np.float32(step))), options)
    np.testing.assert_allclose(shifted.flux * 10 ** (0.4 * step), expected.flux, rtol=2e-5, atol=1e-3)


@settings(max_examples=25)
@given(factor=st.sampled_from([0.25, 0.5, 2.0, 4.0, 8.0]), seed=st.integers(0, 1000))
def test_counts_and_gain_cancel(factor, seed):
    """Counting in other units (ADU times a factor, gain divided by it) changes neither flux nor error."""
    movies = stars(conditions(2, 5, seed), np.full((2, 5), 300.0), seed=seed)
    e = movies.reported
    step = 2.5 * np.log10(factor)
    other = e.replace(gain=e.gain / factor, sky=e.sky * factor, zero_point=e.zero_point + np.float32(step))
    scaled = masked(movies, reported=other, pixels=movies.pixels * np.float32(factor))
    a, b = measure(movies), measure(scaled)
    # rounding adds 1/12 ADU^2 of either unit to the variance
    np.testing.assert_allclose(b.flux, a.flux, rtol=3e-3, atol=0.05)
    np.testing.assert_allclose(b.error, a.error, rtol=0.1 / factor if factor < 1 else 0.02)


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), pixels=st.integers(1, 60))
def test_masked_pixels_do_not_bias_a_noiseless_star(seed, pixels):
    e = conditions(2, 3)
    options = PhotometryOptions(sky="reported", **KNOWN)
    movies = stars(e, np.full((2, 3), 1000.0))
    clean = measure(movies, options)
    at = np.random.default_rng(seed).choice(SIZE * SIZE, pixels, replace=False)
    bad, bits = movies.pixels.copy(), movies.pixel_mask.copy()
    bad.reshape(2, 3, -1)[..., at] = [-9999, np.nan, 1e8, 0][seed % 4]
    bits.reshape(2, 3, -1)[..., at] = [PixelBits.BAD, PixelBits.NO_DATA, PixelBits.COSMIC_RAY, PixelBits.SATURATED][seed % 4]
    got = measure(masked(movies, pixels=bad, pixel_mask=bits), options)
    np.testing.assert_allclose(got.flux[got.mask], 1000.0, rtol=2e-5)
    assert (got.error >= clean.error * (1 - 1e-6))[got.mask].all()
    assert got.mask.any()


@settings(max_examples=5)
@given(seed=st.integers(0, 1000))
@pytest.mark.parametrize(("centre", "host"), [("middle", "none"), ("object", "none"), ("frame", "none"), ("frame", "subtract")])
def test_batching_does_not_change_a_bit(centre, host, seed):
    rng = np.random.default_rng(seed)
    e = conditions(5, 6, seed)
    e = e.replace(mask=np.arange(6) < rng.integers(1, 7, 5)[:, None])
    movies = stars(e, rng.uniform(0, 500, e.shape), seed=seed)
    options = PhotometryOptions(centre=centre, host=host)
    together = measure(movies, options)
    order = rng.permutation(5)
    again = measure(movies.take(order).pad(9), options)
    for k, row in enumerate(order):
        alone = measure(movies.take([row]), options)
        for name in ("flux", "error", "sky", "centre", "flags", "mask"):
            assert np.array_equal(getattr(alone, name)[0], getattr(together, name)[row])
            assert np.array_equal(getattr(again, name)[k, :6], getattr(together, name)[row])


def test_chunks_of_frames_do_not_change_a_bit(monkeypatch):
    movies = stars(conditions(9, 6), np.full((9, 6), 200.0), seed=5)
    whole = measure(movies, PhotometryOptions(centre="frame"))
    monkeypatch.setattr("skyreel.light_curves.CHUNK", 13)
    parts = measure(movies, PhotometryOptions(centre="frame"))
    assert np.array_equal(whole.flux, parts.flux)
    assert np.array_equal(whole.centre, parts.centre)


# ------------------------------------------------------------------------------------------ widths, sky, centres


@pytest.mark.parametrize(("profile", "beta"), [("moffat", 4.0), ("moffat", 3.5), ("gaussian", 4.0)])
def test_width_of_the_profile_from_that_of_a_fitted_gaussian(profile, beta):
    """The simulation's own definition of the width, on finer samples of profiles that are integrated over native pixels."""
    widths = np.array([2.5, 3.0, 4.0, 5.5, 8.0])
    fine = []
    for width in widths:
        shifts = (np.arange(3) - 1) / 3
        grid = [[psf_image((31, 31), width, (-dx, -dy), profile, beta) for dx in shifts] for dy in shifts]
        fine.append(np.transpose(np.array(grid), (2, 0, 3, 1)).reshape(93, 93))
    fitted = gaussian_fit_fwhm(np.array(fine, np.float64), 3)
    assert (fitted[:4] > widths[:4]).all()
    np.testing.assert_allclose(profile_width(fitted, profile, beta), widths, rtol=0.004)


def test_wings_in_the_border_are_not_taken_for_sky():
    e = conditions().replace(psf_fwhm=np.full((N, EPOCHS), 6.0))
    movies = stars(e, np.full(e.shape, 3000.0))
    got = measure(movies, PhotometryOptions(**KNOWN))
    np.testing.assert_allclose(got.flux, 3000.0, rtol=1e-3)
    np.testing.assert_allclose(got.sky, e.sky, atol=0.5)


def test_local_sky_follows_the_image_and_the_reported_one_does_not():
    e = conditions()
    movies = stars(e, np.full(e.shape, 100.0), extra=30.0)
    assert np.abs(measure(movies, PhotometryOptions(**KNOWN)).flux - 100).max() < 0.1
    assert measure(movies, PhotometryOptions(sky="reported", **KNOWN)).flux.min() > 110


@pytest.mark.parametrize("place", [(0.4, -0.3), (-0.2, 0.45)])
def test_one_centre_per_object_is_found(place):
    e = conditions(6, 12)
    movies = stars(e, np.full(e.shape, 300.0), place, seed=8)
    got = measure(movies, PhotometryOptions(centre="object", **KNOWN))
    np.testing.assert_allclose(got.centre, np.broadcast_to(place, got.centre.shape), atol=0.05)
    assert (np.ptp(got.centre, axis=1) == 0).all()


def test_a_centre_per_frame_follows_stamps_cut_at_the_nearest_pixel():
    e = conditions(10, 12)
    place = np.random.default_rng(4).uniform(-0.5, 0.5, (10, 12, 2))
    movies = stars(e, np.full(e.shape, 300.0), place, seed=9)
    free = measure(movies, PhotometryOptions(centre="frame", **KNOWN))
    fixed = measure(movies, PhotometryOptions(centre="middle", **KNOWN))
    assert np.sqrt(np.mean((free.centre - place) ** 2)) < 0.05
    assert not (free.flags & Flag.CENTRE_FALLBACK.value).any()
    assert abs(np.median(free.flux) / 300 - 1) < 0.003
    # the price of the middle: exp(-d^2 / 4 sigma^2) of a Gaussian of the same width
    assert np.median(fixed.flux) < np.median(free.flux)


def test_empty_frames_do_not_chase_noise():
    e = conditions(40, 10)
    flux = np.zeros(e.shape)
    flux[:, 3] = 400.0
    place = (0.3, 0.2)
    movies = stars(e, flux, place, seed=10)
    got = measure(movies, PhotometryOptions(centre="frame", **KNOWN))
    empty = np.arange(10) != 3
    fallback = (got.flags & Flag.CENTRE_FALLBACK.value) > 0
    assert fallback[:, empty].mean() > 0.98
    assert not fallback[:, 3].any()
    np.testing.assert_allclose(got.centre[fallback], np.broadcast_to(place, (int(fallback.sum()), 2)), atol=0.15)
    pull = got.flux[:, empty] / got.error[:, empty]
    # a centre fitted to noise would make the mean positive
    assert abs(pull.mean()) < 4 / np.sqrt(pull.size)
    nothing = measure(stars(e, 0 * flux, seed=11), PhotometryOptions(centre="frame"))
    lost = (nothing.flags & Flag.CENTRE_FALLBACK.value) > 0
    assert not nothing.centre[lost].any()


def test_a_centre_beyond_the_limit_is_flagged():
    e = conditions()
    got = measure(stars(e, np.full(e.shape, 2000.0), (2.5, 0.0)), PhotometryOptions(centre="frame", **KNOWN))
    assert (got.flags & Flag.CENTRE_LIMIT.value).all()
    assert np.abs(got.centre).max() == 1.0


# ---------------------------------------------------------------------------------------------- errors and flags


def test_error_floor_adds_in_quadrature():
    movies = stars(conditions(), np.full((N, EPOCHS), 5000.0), seed=1)
    bare, floor = (measure(movies, PhotometryOptions(error_floor=value)) for value in (0.0, 0.03))
    np.testing.assert_allclose(floor.error, np.hypot(bare.error, 0.03 * bare.flux), rtol=1e-12)
    np.testing.assert_array_equal(floor.flux, bare.flux)


@pytest.mark.parametrize("sky", SKIES)
def test_pulls_of_stars_whose_width_is_known(sky):
    e = conditions(150, 20)
    got = measure(stars(e, np.full(e.shape, 60.0), seed=12), PhotometryOptions(sky=sky, **KNOWN))
    pull = (got.flux - 60) / got.error
    assert (got.snr.min()) > 2
    assert abs(pull.mean()) < 4.5 / np.sqrt(pull.size)
    assert abs(pull.std() - 1) < 4.5 / np.sqrt(2 * pull.size)


def test_flags_name_what_is_wrong():
    e = conditions(1, 6)
    movies = stars(e, np.full(e.shape, 500.0))
    bits, frames = movies.pixel_mask, movies.frame_mask
    bits[0, 0, 0, 10, 10] = PixelBits.SATURATED
    bits[0, 1, 0, 8:13, 8:13] = PixelBits.BAD
    bits[0, 2] = PixelBits.NO_DATA
    bits[0, 3, 0, :, :3] = bits[0, 3, 0, :3] = bits[0, 3, 0, -3:] = bits[0, 3, 0, :, -3:] = PixelBits.BAD
    frames[0, 5] = False
    got = measure(movies, PhotometryOptions(**KNOWN))
    assert got.flags[0, 0] & Flag.SATURATED
    assert got.flags[0, 1] == Flag.BAD_PIXELS
    assert got.flags[0, 2] & Flag.EMPTY
    assert got.flags[0, 3] & Flag.SKY
    assert got.sky[0, 3] == e.sky[0, 3]
    assert got.flags[0, 4] == 0
    assert got.flags[0, 5] == Flag.EMPTY
    assert got.mask[0].tolist() == [True, True, False, True, True, False]
    assert not got.flux[0, [2, 5]].any()
    assert not got.error[0, [2, 5]].any()
    np.testing.assert_allclose(got.flux[0, [0, 1, 3, 4]], 500.0, rtol=1e-3)


def test_a_saturated_neighbour_is_not_the_star():
    movies = stars(conditions(1, 2), np.full((1, 2), 500.0))
    movies.pixel_mask[:, :, 0, 0, 0] = PixelBits.SATURATED
    assert not (measure(movies).flags & Flag.SATURATED.value).any()


def test_negative_flux_is_kept_flagged_and_has_no_magnitude():
    e = conditions()
    movies = stars(e, np.full(e.shape, 500.0))
    hole = masked(movies, pixels=2 * e.sky[:, :, None, None, None] - movies.pixels)
    got = measure(hole, PhotometryOptions(**KNOWN))
    np.testing.assert_allclose(got.flux, -500, rtol=0.02)
    assert (got.flags == Flag.NEGATIVE).all()
    assert got.mask.all()
    assert np.isnan(got.magnitudes()[0]).all()
    assert (got.snr < 0).all()


def test_constant_images_have_no_flux():
    movies = masked(stars(conditions(), np.zeros((N, EPOCHS))), pixels=np.full((N, EPOCHS, 1, SIZE, SIZE), 77, np.uint16))
    for host in HOSTS:
        got = measure(movies, PhotometryOptions(host=host))
        np.testing.assert_allclose(got.flux, 0, atol=1e-9)
        assert (got.error > 0).all()
        assert (got.sky == 77).all()


# --------------------------------------------------------------------------------------------------- odd shapes


@pytest.mark.parametrize("size", [(15, 25), (32, 20), (9, 9)])
def test_stamps_need_not_be_square(size):
    e = conditions().replace(psf_fwhm=np.full((N, EPOCHS), 3.0))
    for centre in CENTRES:
        got = measure(stars(e, np.full(e.shape, 300.0), size=size), PhotometryOptions(centre=centre, sky="reported", **KNOWN))
        np.testing.assert_allclose(got.flux, 300.0, rtol=1e-4)


def test_the_first_channel_is_measured():
    movies = stars(conditions(), np.full((N, EPOCHS), 300.0), seed=2)
    three = masked(
        movies,
        pixels=np.concatenate([movies.pixels, 0 * movies.pixels, movies.pixels * 2], axis=2),
        pixel_mask=movies.pixel_mask.repeat(3, 2),
    )
    assert np.array_equal(measure(three).flux, measure(movies).flux)


def test_an_object_without_a_usable_frame_is_masked():
    movies = stars(conditions(), np.full((N, EPOCHS), 300.0), seed=2)
    movies.frame_mask[1] = False
    for centre, host in (("middle", "none"), ("frame", "subtract")):
        got = measure(movies, PhotometryOptions(centre=centre, host=host))
        assert not got.mask[1].any()
        assert got.mask[[0, 2, 3]].all()
        assert np.isfinite(got.flux).all()
    movies.frame_mask[:] = False
    for centre, host in (("middle", "none"), ("frame", "subtract")):
        assert not measure(movies, PhotometryOptions(centre=centre, host=host)).mask.any()


def test_small_stamps_have_no_border():
    movies = stars(conditions(), np.full((N, EPOCHS), 300.0), size=(6, 21))
    with pytest.raises(DataError, match="stamps of 6 x 21 px; use sky='reported'"):
        measure(movies)
    assert measure(movies, PhotometryOptions(sky="reported")).mask.all()


@pytest.mark.parametrize("name", ["psf_fwhm", "gain", "exptime", "zero_point", "sky", "read_noise"])
def test_conditions_that_are_not_numbers_are_named(name):
    movies = stars(conditions(), np.full((N, EPOCHS), 300.0))
    column = getattr(movies.reported, name).copy()
    column[2, 4] = np.nan
    broken = masked(movies, reported=movies.reported.replace(**{name: column}))
    with pytest.raises(DataError, match=rf"exposures.{name}: nan in object 'star-2', frame 4; mask that frame"):
        measure(broken)
    broken.frame_mask[2, 4] = False
    assert np.isfinite(measure(broken).flux).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sky": "annulus"}, "photometry.sky: 'annulus'; use one of border, reported"),
        ({"centre": "peak"}, "use one of middle, object, frame"),
        ({"host": "mask"}, "use one of none, weights, subtract"),
        ({"width": "sigma"}, "use one of fitted, profile"),
        ({"profile": "airy"}, "use one of moffat, gaussian"),
        ({"beta": 1.0}, "only for beta > 1"),
        ({"iterations": -1}, "use 0"),
        ({"error_floor": -0.1}, r"\[0, 1\)"),
    ],
)
def test_unknown_options_are_named(change, words):
    with pytest.raises(ConfigError, match=words):
        PhotometryOptions(**change)


def test_taking_objects_and_wrong_shapes():
    got = measure(stars(conditions(), np.full((N, EPOCHS), 300.0), seed=2))
    part = got.take([2, 0])
    assert len(part) == 2
    assert part.object_id.tolist() == ["star-2", "star-0"]
    assert np.array_equal(part.flux, got.flux[[2, 0]])
    columns = {name: getattr(got, name) for name in LightCurves.__dataclass_fields__}
    with pytest.raises(DataError, match=r"light curves: error: shape \(4, 6\); flux \(4, 7\) asks for \(4, 7\)"):
        LightCurves(**{**columns, "error": got.error[:, 1:]})
