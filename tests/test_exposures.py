"""Exposures and the seed contract."""

import numpy as np
import pytest
from builders import exposures
from hypothesis import given
from hypothesis import strategies as st

from skyreel.errors import BandError, DataError
from skyreel.exposures import Exposures
from skyreel.seeding import Seeds


@given(st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=3, max_size=3))
def test_compact_keeps_the_chosen_frames_in_time_order(keep: list[list[bool]]) -> None:
    full = exposures()
    chosen = np.array(keep)
    short = full.compact(chosen)
    for row in range(3):
        np.testing.assert_array_equal(short.mjd[row, short.mask[row]], full.mjd[row, chosen[row]])
        assert short.mask[row, : chosen[row].sum()].all()


def test_window_past_the_end_is_masked() -> None:
    full = exposures()
    cut = full.window(np.array([0, 4, 2]), 4)
    np.testing.assert_array_equal(cut.mask.sum(axis=1), [4, 2, 4])
    np.testing.assert_array_equal(cut.mjd[1, :2], full.mjd[1, 4:])


def test_concatenate_pads_with_masked_frames_and_refuses_other_bands() -> None:
    both = Exposures.concatenate([exposures(epochs=6), exposures(epochs=4)])
    assert both.shape == (6, 6)
    assert not both.mask[3:, 4:].any()
    with pytest.raises(BandError, match="one survey"):
        Exposures.concatenate([exposures(), exposures(bands=("r",))])


def test_light_is_collected_in_the_middle_of_the_exposure() -> None:
    e = exposures().replace(exptime=np.full((3, 6), 86.4))
    np.testing.assert_allclose(e.mid_mjd - e.mjd, 0.0005, atol=1e-9)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"mjd": lambda e: e.mjd[:, ::-1]}, DataError, "sort the frames by MJD and drop duplicates"),
        ({"mjd": lambda e: np.repeat(e.mjd[:, :1], 6, axis=1)}, DataError, "does not follow"),
        ({"sky": lambda e: np.full(e.shape, np.nan)}, DataError, "exposures.sky: NaN"),
        ({"gain": lambda e: np.zeros(e.shape)}, DataError, "exposures.gain: values that are not positive"),
        ({"mask": lambda e: np.zeros(e.shape, bool)}, DataError, "an empty sequence"),
        ({"band": lambda e: np.full(e.shape, 2)}, BandError, "bands are g"),
    ],
)
def test_unusable_exposures_are_named(change: dict, error: type[Exception], text: str) -> None:
    e = exposures()
    bad = e.replace(**{name: make(e) for name, make in change.items()})
    with pytest.raises(error, match=text):
        bad.check("unit test")


def test_masked_frames_may_hold_anything() -> None:
    e = exposures()
    sky = e.sky.copy()
    sky[:, 3] = np.nan
    mask = e.mask.copy()
    mask[:, 3] = False
    e.replace(sky=sky, mask=mask).check("unit test")


def test_columns_of_another_shape_are_refused() -> None:
    with pytest.raises(DataError, match=r"exposures.sky: shape \(2, 2\)"):
        exposures().replace(sky=np.zeros((2, 2)))


def test_draws_depend_on_seed_stream_block_and_purpose() -> None:
    base = Seeds(0, "train/supernova", 3)
    first = base.rng("params").random(4)
    np.testing.assert_array_equal(first, Seeds(0, "train/supernova", 3).rng("params").random(4))
    others = [Seeds(1, base.stream, 3), Seeds(0, "valid/supernova", 3), Seeds(0, base.stream, 4)]
    assert all(not np.array_equal(first, other.rng("params").random(4)) for other in others)
    assert not np.array_equal(first, base.rng("host").random(4))


def test_exposure_draws_follow_the_exposure_not_the_block() -> None:
    ids = np.arange(200_000)
    a = Seeds(0, "train/supernova", 0).exposure_normal(ids, "zero_point")
    b = Seeds(0, "train/asteroid", 9).exposure_normal(ids[::-1], "zero_point")[::-1]
    np.testing.assert_array_equal(a, b)
    # Standard errors of mean and standard deviation of 2e5 normals are 0.0022 and 0.0016.
    assert abs(a.mean()) < 0.009
    assert abs(a.std() - 1) < 0.0065
    c = Seeds(0).exposure_normal(ids, "psf_width")
    assert abs(np.corrcoef(a, c)[0, 1]) < 0.009
    assert abs(np.corrcoef(a[1:], a[:-1])[0, 1]) < 0.009
