"""Network input from whole movies: eq. 4, scaling, stacks, conditions."""

import pickle
from dataclasses import fields, replace

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sequence_toys import BANDS, CONF, RUNNING, movies, usable_frames

from skyreel.errors import BandError, ConfigError, DataError
from skyreel.exposures import DTYPES
from skyreel.interfaces import PixelBits
from skyreel.photometry import psf_flux, psf_image
from skyreel.preprocessing import CONDITIONS, SequenceOptions, n_conditions
from skyreel.sequences import build_sequences


def test_equation_four_in_numbers():
    stars = movies(n=3, epochs=5)
    out = build_sequences(stars, SequenceOptions(n_stacked=1))
    conditions = stars.reported
    factor = (
        10 ** ((conditions.zero_point[:, :1].astype(float) - conditions.zero_point) / 2.5) * conditions.exptime[:, :1] / conditions.exptime
    )
    expected = (stars.pixels.astype(float) - conditions.sky[:, :, None, None, None]) * factor[:, :, None, None, None]
    np.testing.assert_allclose(out.stacks[:, :, 0], expected, rtol=1e-5, atol=1e-3)
    assert out.stacks.dtype == out.dt.dtype == out.conditions.dtype == np.float32


def test_same_magnitude_gives_same_counts_whatever_zero_point_and_exposure_time():
    stars = movies(n=5, epochs=8, seed=3)
    conditions = stars.reported
    counts = 10 ** (0.4 * (conditions.zero_point.astype(float) - 20.0)) * conditions.exptime
    share = psf_image((9, 9), np.full(conditions.shape, 4.0)).astype(float)
    pixels = (counts[..., None, None] * share + conditions.sky[..., None, None])[:, :, None].astype(np.float32)
    out = build_sequences(replace(stars, pixels=pixels), SequenceOptions(n_stacked=2))
    reference = (counts[:, :1, None, None] * share)[:, 1:, None]
    # zero points are float32: 25 mag to 1e-6 is 1e-6 in flux
    np.testing.assert_allclose(out.stacks[:, :, 1], reference, rtol=2e-5, atol=2e-3)
    np.testing.assert_allclose(out.stacks[:, :, 0], reference, rtol=2e-5, atol=2e-3)


@settings(max_examples=25, deadline=None)
@given(shift=st.floats(-2, 2), stretch=st.floats(0.3, 3), scaling=st.sampled_from(["zero_point", "running_max"]))
def test_sequence_is_blind_to_transparency_of_later_frames(shift, stretch, scaling):
    """Dimming every frame but the first by the change of its zero point and exposure time changes nothing."""
    stars = movies(n=2, epochs=5, seed=8)
    later = np.arange(5) > 0
    factor = np.where(later, 10 ** (0.4 * shift) * stretch, 1.0)
    source = stars.pixels - stars.reported.sky[:, :, None, None, None]
    pixels = (source * factor[:, None, None, None] + stars.reported.sky[:, :, None, None, None]).astype(np.float32)
    reported = stars.reported.replace(
        zero_point=stars.reported.zero_point + np.where(later, shift, 0), exptime=stars.reported.exptime * np.where(later, stretch, 1)
    )
    # without the source's own noise in the weights the photometry is linear; a huge gain leaves it so
    quiet = {"gain": np.full((2, 5), 1e9), "read_noise": np.full((2, 5), 1e12)}
    options = SequenceOptions(scaling=scaling)
    before = build_sequences(replace(stars, reported=stars.reported.replace(**quiet)), options)
    after = build_sequences(replace(stars, pixels=pixels, reported=reported.replace(**quiet)), options)
    np.testing.assert_allclose(after.stacks, before.stacks, rtol=2e-4, atol=2e-4 * np.abs(before.stacks).max())


def test_reference_is_the_first_usable_exposure():
    usable = np.ones((1, 5), bool)
    usable[0, 0] = False
    stars = movies(n=1, epochs=5, frame_mask=usable)
    out = build_sequences(stars, SequenceOptions())
    sky = stars.reported.sky[0, 1]
    np.testing.assert_allclose(out.stacks[0, 0, 0], stars.pixels[0, 1] - sky, rtol=1e-6, atol=1e-4)
    assert out.frame.tolist() == [[3, 4]]
    assert out.dt[0, 0, 0] == 0


def test_flux_unit_divides():
    stars = movies()
    plain, scaled = (build_sequences(stars, SequenceOptions(flux_unit=unit)) for unit in (1.0, 250.0))
    np.testing.assert_allclose(scaled.stacks * 250, plain.stacks, rtol=1e-6)


@pytest.mark.parametrize("options", [SequenceOptions(), RUNNING])
def test_unusable_pixels_are_zero_and_do_not_matter(options):
    bits = np.zeros((2, 5, 1, 9, 9), np.uint8)
    bits[0, 1, 0, 4, 4], bits[0, 2, 0, 2, 3], bits[1, 4, 0, 5, 5] = PixelBits.BAD, PixelBits.NO_DATA, PixelBits.COSMIC_RAY
    stars = movies(n=2, epochs=5, bits=bits)
    broken = stars.pixels.copy()
    broken[0, 1, 0, 4, 4], broken[0, 2, 0, 2, 3], broken[1, 4, 0, 5, 5] = np.nan, -9999, 1e8
    clean, out = build_sequences(stars, options), build_sequences(replace(stars, pixels=broken), options)
    np.testing.assert_array_equal(clean.stacks, out.stacks)
    assert out.stacks[0, 0, 1, 0, 4, 4] == 0


def test_saturated_pixels_stay():
    bits = np.zeros((1, 3, 1, 9, 9), np.uint8)
    bits[0, 1, 0, 4, 4] = PixelBits.SATURATED
    assert build_sequences(movies(n=1, epochs=3, bits=bits), SequenceOptions()).stacks[0, 0, 1, 0, 4, 4] != 0


def test_integer_and_float_pixels_agree():
    small, wide = movies(dtype=np.uint16), movies(dtype=np.float32)
    np.testing.assert_array_equal(build_sequences(small, RUNNING).stacks, build_sequences(wide, RUNNING).stacks)


# ------------------------------------------------------------------------------------------------- running maximum


def test_running_maximum_in_numbers():
    stars = movies(n=3, epochs=6, seed=2)
    options = SequenceOptions(scaling="running_max", flux_floor=80.0, softening=15.0)
    plain = build_sequences(stars, SequenceOptions(), incomplete=True).stacks.astype(float)
    conditions = stars.reported
    flux, _ = psf_flux(stars.pixels[:, :, 0], conditions.psf_fwhm, conditions.sky, conditions.gain, conditions.read_noise)
    factor = (
        10 ** ((conditions.zero_point[:, :1].astype(float) - conditions.zero_point) / 2.5) * conditions.exptime[:, :1] / conditions.exptime
    )
    scale = np.maximum(np.maximum.accumulate(flux * factor, axis=1), 80.0)
    expected = np.arcsinh(1000 * plain / scale[:, :, None, None, None, None] / 15.0) / 3
    np.testing.assert_allclose(build_sequences(stars, options, incomplete=True).stacks, expected, rtol=2e-5, atol=1e-6)


def test_scale_comes_from_the_first_channel_and_has_a_floor():
    stars = movies(n=2, epochs=4, channels=2)
    louder = stars.pixels.copy()
    louder[:, :, 1] *= 3
    one, two = (build_sequences(replace(stars, pixels=pixels), RUNNING).stacks for pixels in (stars.pixels, louder))
    np.testing.assert_array_equal(one[:, :, :, 0], two[:, :, :, 0])
    empty = np.broadcast_to(stars.reported.sky[:, :, None, None, None] + 50, stars.pixels.shape).astype(np.float32)
    floor = SequenceOptions(scaling="running_max", flux_floor=1e9)
    factor = build_sequences(replace(stars, pixels=empty), SequenceOptions()).stacks
    np.testing.assert_allclose(
        build_sequences(replace(stars, pixels=empty), floor).stacks, np.arcsinh(factor * (1000 / 20 / 1e9)) / 3, rtol=1e-5
    )


def test_entirely_masked_image_leaves_the_scale_alone():
    bits = np.zeros((1, 4, 1, 9, 9), np.uint8)
    bits[0, 2] = PixelBits.NO_DATA
    out = build_sequences(movies(n=1, epochs=4, bits=bits), RUNNING)
    assert np.isfinite(out.stacks).all()
    np.testing.assert_array_equal(out.stacks[0, 0, 2], 0)


# ------------------------------------------------------------------------------------------------- stacks


def test_stacks_times_and_frames():
    stars = movies(n=2, epochs=6)
    out = build_sequences(stars, SequenceOptions(n_stacked=3))
    assert out.n == 2
    assert out.stacks.shape == (2, 4, 3, 1, 9, 9)
    assert out.mask.all()
    assert out.complete.all()
    assert out.frame.tolist() == [[2, 3, 4, 5]] * 2
    for step in range(1, 4):
        np.testing.assert_array_equal(out.stacks[:, step, :2], out.stacks[:, step - 1, 1:])
    days = (stars.reported.mjd - stars.reported.mjd[:, :1]).astype(np.float32)
    np.testing.assert_array_equal(out.dt[:, :, 2], days[:, 2:])
    np.testing.assert_array_equal(out.dt[:, :, 0], days[:, :4])


def test_first_image_fills_incomplete_stacks():
    out = build_sequences(movies(n=1, epochs=4), SequenceOptions(n_stacked=3), incomplete=True)
    first, second = out.stacks[0, 2, 0], out.stacks[0, 2, 1]
    for image, expected in zip(out.stacks[0, 0], (first, first, first), strict=True):
        np.testing.assert_array_equal(image, expected)
    for image, expected in zip(out.stacks[0, 1], (first, first, second), strict=True):
        np.testing.assert_array_equal(image, expected)
    assert out.complete.tolist() == [[False, False, True, True]]
    assert out.dt[0, 1, :2].tolist() == [0, 0]


def test_complete_steps_equal_the_incomplete_ones():
    stars = movies(n=3, epochs=6, seed=9)
    short, full = build_sequences(stars, RUNNING), build_sequences(stars, RUNNING, incomplete=True)
    for name in ("stacks", "dt", "conditions", "mask", "complete", "frame"):
        np.testing.assert_array_equal(getattr(short, name), getattr(full, name)[:, 2:])


def test_padding_is_zero_and_masked():
    usable = np.array([[1, 1, 0, 1, 1, 1], [1, 0, 1, 0, 0, 1], [0, 1, 0, 0, 0, 0]], bool)
    out = build_sequences(movies(n=3, epochs=6, frame_mask=usable), RUNNING)
    assert out.mask.tolist() == [[True] * 3, [True, False, False], [False] * 3]
    assert out.frame.tolist() == [[3, 4, 5], [5, -1, -1], [-1, -1, -1]]
    for array in (out.stacks, out.dt, out.conditions, out.complete):
        assert not array[~out.mask].any()


def test_stamps_need_not_be_square_or_odd():
    stars = movies(n=2, epochs=4, size=10)
    cut = replace(stars, pixels=stars.pixels[..., :8, :], pixel_mask=stars.pixel_mask[..., :8, :])
    assert build_sequences(cut, RUNNING).stacks.shape == (2, 2, 3, 1, 8, 10)


@settings(max_examples=30, deadline=None)
@given(data=st.data(), scaling=st.sampled_from(["zero_point", "running_max"]))
def test_future_frames_never_change_earlier_steps(data, scaling):
    usable = usable_frames(data.draw, 3, 7, least=2)
    cut = data.draw(st.integers(1, 6))
    stars = movies(n=3, epochs=7, frame_mask=usable)
    options = replace(RUNNING, scaling=scaling)
    other = movies(n=3, epochs=7, frame_mask=usable, seed=99)
    pixels = stars.pixels.copy()
    pixels[:, cut:] = 7 * other.pixels[:, cut:]
    late = np.arange(7) >= cut
    mixed = {name: np.where(late, getattr(other.reported, name), getattr(stars.reported, name)) for name in DTYPES if name != "mjd"}
    one = build_sequences(stars, options, incomplete=True)
    two = build_sequences(replace(stars, pixels=pixels, reported=stars.reported.replace(**mixed)), options, incomplete=True)
    # an object whose first usable frame is late has no earlier step
    early = one.mask & (one.frame < cut)
    for name in ("stacks", "dt", "conditions"):
        np.testing.assert_array_equal(getattr(one, name)[early], getattr(two, name)[early])


# ------------------------------------------------------------------------------------------------- conditions


def test_conditions_follow_the_options():
    stars = movies(n=2, epochs=4)
    options = SequenceOptions(n_stacked=2, conditions=("sky", "band", "airmass", "seeing", "psf_fwhm"))
    out = build_sequences(stars, options).conditions
    assert out.shape == (2, 3, 2, n_conditions(options, BANDS)) == (2, 3, 2, 7)
    newest = stars.reported.take(slice(None)).window(np.ones(2, int), 3)
    np.testing.assert_allclose(out[:, :, 1, 0], (np.log10(newest.sky) - CONDITIONS["sky"][0]) / CONDITIONS["sky"][1], rtol=1e-5)
    np.testing.assert_array_equal(out[:, :, 1, 1:4].argmax(axis=-1), newest.band)
    np.testing.assert_array_equal(out[:, :, 1, 1:4].sum(axis=-1), 1)
    for column, name in ((4, "airmass"), (5, "seeing"), (6, "psf_fwhm")):
        offset, unit = CONDITIONS[name]
        np.testing.assert_allclose(out[:, :, 1, column], (getattr(newest, name) - offset) / unit, atol=1e-6)


def test_no_conditions_by_default():
    assert n_conditions(SequenceOptions(), BANDS) == 0
    assert build_sequences(movies(), SequenceOptions()).conditions.shape[-1] == 0


def test_movies_that_cannot_be_sequences():
    stars = movies(n=2, epochs=4)
    none = stars.frame_mask.copy()
    none[1] = False
    with pytest.raises(DataError, match="empty sequence"):
        build_sequences(replace(stars, frame_mask=none), SequenceOptions())
    with pytest.raises(DataError, match="does not follow"):
        build_sequences(replace(stars, reported=stars.reported.replace(mjd=stars.reported.mjd[:, ::-1])), SequenceOptions())
    with pytest.raises(DataError, match="does not follow"):
        build_sequences(replace(stars, reported=stars.reported.replace(mjd=np.full((2, 4), 57070.0))), SequenceOptions())
    with pytest.raises(BandError, match="index"):
        build_sequences(replace(stars, reported=stars.reported.replace(band=np.full((2, 4), 3))), SequenceOptions())
    with pytest.raises(DataError, match="incomplete"):
        build_sequences(stars, SequenceOptions(n_stacked=5))
    for value in (np.nan, np.inf):
        pixels = stars.pixels.copy()
        pixels[1, 2, 0, 3, 3] = value
        with pytest.raises(DataError, match="NaN"):
            build_sequences(replace(stars, pixels=pixels), SequenceOptions())
        saturated = np.zeros(pixels.shape, np.uint8)
        saturated[1, 2, 0, 3, 3] = PixelBits.SATURATED
        with pytest.raises(DataError, match="NaN"):
            build_sequences(replace(stars, pixels=pixels, pixel_mask=saturated), SequenceOptions())


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"scaling": "log"}, "running_max"),
        ({"conditions": ("moon",)}, "moon"),
        ({"conditions": ("sky", "sky")}, "once"),
        ({"n_stacked": 0}, "n_stacked"),
        ({"n_stacked": 4, "max_images": 3}, "max_images"),
        ({"before_alert": -1}, "before_alert"),
        ({"before_alert": 22}, "before_alert"),
        ({"flux_unit": 0.0}, "flux_unit"),
        ({"flux_floor": -1.0}, "flux_floor"),
        ({"softening": float("nan")}, "softening"),
    ],
)
def test_bad_options(values, match):
    with pytest.raises(ConfigError, match=match) as caught:
        SequenceOptions(**values)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize("name", ["paper", "calibrated"])
def test_configs_hold_every_option(name):
    values = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    assert list(values) == [item.name for item in fields(SequenceOptions)]
    options = SequenceOptions(**values)
    assert isinstance(options.conditions, tuple)
    if name == "paper":
        assert options == SequenceOptions()
    else:
        assert (options.scaling, options.conditions) == ("running_max", ("psf_fwhm", "sky"))
