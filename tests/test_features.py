"""What `compute` and `prefixes` promise whatever the curve: finite values, documented fills, rows that do not know each other."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyreel.errors import ConfigError, DataError
from skyreel.features import EXTENDED, FATS, FEATURES, LARGEST, PAPER_SIX, compute, prefixes

ALL = FATS + EXTENDED


def sample(n=24, width=26, seed=5):
    """Ragged curves with 0 to `width` points in nights, spans from minutes to weeks; NaN where the mask is False."""
    rng = np.random.default_rng(seed)
    night = np.sort(rng.integers(0, 25, (n, width)), axis=1)
    mjd = 57070 + night + 0.6 + 0.07 * rng.integers(0, 5, (n, width)) + 0.002 * rng.random((n, width))
    mjd[: n // 4] = 57070 + rng.random((n // 4, width)) * np.geomspace(0.03, 3, n // 4)[:, None]
    flux = rng.normal(50, 30, (n, width)) + 300 * np.sin(mjd / rng.uniform(0.1, 3, (n, 1))) * (rng.random((n, 1)) < 0.5)
    error = rng.uniform(5, 30, (n, width))
    mask = rng.random((n, width)) < np.linspace(0, 1.1, n)[:, None]
    for array in (mjd, flux, error):
        array[~mask] = np.nan
    return mjd, flux, error, mask


def one(*columns):
    """A single curve from equally long lists of mjd, flux and error."""
    arrays = [np.array([column], float) for column in columns]
    return *arrays, np.ones(arrays[0].shape, bool)


def test_names():
    assert len(FATS) == 60
    assert tuple(FEATURES) == ALL
    assert not set(FATS) & set(EXTENDED)
    assert set(PAPER_SIX) <= set(FATS)
    assert not {"Color", "Eta_color", "Q31_color", "StetsonJ", "StetsonL"} & set(ALL)


def test_a_row_is_the_same_bits_alone_in_a_batch_and_in_wider_padding():
    arrays = sample()
    together = compute(*arrays, ALL)
    alone = np.concatenate([compute(*(array[k : k + 1] for array in arrays), ALL) for k in range(len(together))])
    np.testing.assert_array_equal(alone, together)
    wider = [np.pad(array, ((0, 0), (3, 9))) for array in arrays]
    np.testing.assert_array_equal(compute(*wider, ALL), together)


def test_the_order_of_rows_points_and_names_does_not_matter():
    arrays = sample()
    expected = compute(*arrays, ALL)
    rng = np.random.default_rng(0)
    rows, points, names = rng.permutation(len(expected)), rng.permutation(arrays[0].shape[1]), rng.permutation(len(ALL))
    shuffled = compute(*(array[rows][:, points] for array in arrays), [ALL[k] for k in names])
    np.testing.assert_array_equal(shuffled, expected[rows][:, names])


@pytest.mark.parametrize("days", [-1070, 512, 8000])
def test_a_shift_of_all_dates_changes_nothing(days):
    # whole days within a power of two are exact in double precision: equality is not a matter of rounding
    mjd, flux, error, mask = sample()
    assert np.array_equal((mjd + days) - days, mjd, equal_nan=True)
    np.testing.assert_array_equal(compute(mjd + days, flux, error, mask, ALL), compute(mjd, flux, error, mask, ALL))


def test_the_extended_set_knows_no_unit_but_for_the_magnitude():
    mjd, flux, error, mask = sample()
    # a power of two only changes exponents; differences of spans and logarithms round
    before, after = (compute(mjd, factor * flux, factor * error, mask, EXTENDED) for factor in (1.0, 64.0))
    column = EXTENDED.index("magnitude")
    some = mask.any(axis=1)
    np.testing.assert_allclose(after[some, column], before[some, column] - 2.5 * np.log10(64.0), atol=1e-9)
    others = np.arange(len(EXTENDED)) != column
    np.testing.assert_allclose(after[:, others], before[:, others], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("count", range(8))
def test_fewer_points_than_needed_give_the_documented_fill(count):
    rng = np.random.default_rng(count)
    mjd, flux = 57000 + np.arange(8.0)[None], rng.normal(10, 3, (1, 8))
    got = compute(mjd, flux, np.full((1, 8), 0.1), np.arange(8)[None] < count, ALL)[0]
    short = [name for name in ALL if FEATURES[name].minimum > count]
    assert {name: got[ALL.index(name)] for name in short} == {name: FEATURES[name].fill for name in short}
    assert np.isfinite(got).all()


def test_every_feature_takes_part():
    # a mixture of noise, sinusoids and outbursts over up to 20 d: none of the features is stuck at one value
    rng = np.random.default_rng(3)
    mjd = 57000 + np.cumsum(rng.uniform(0.05, 1.5, (200, 20)), axis=1)
    flux = rng.normal(10, 1, (200, 20)) + 60 * np.exp(-np.clip(mjd - mjd[:, 8:9], -0.5, None)) * (rng.random((200, 1)) < 0.5)
    flux[::3] += 30 * np.sin(7 * mjd[::3])
    flux[5::9, 3:6] += 500
    got = compute(mjd, flux, np.ones((200, 20)), np.ones((200, 20), bool), ALL)
    assert [name for name, column in zip(ALL, got.T, strict=True) if len(np.unique(column)) < 2] == []
    assert max(FEATURES[name].minimum for name in ALL) <= 7


@pytest.mark.parametrize("level", [0.0, -3.25, 0.1, 1e4 / 3])
def test_constant_curves_have_no_scatter_no_slope_and_no_period(level):
    mjd = np.cumsum(np.random.default_rng(0).uniform(0.05, 0.9, (1, 23)), axis=1)
    got = compute(57000 + mjd, np.full((1, 23), level), np.ones((1, 23)), np.ones((1, 23), bool), ALL)[0]
    expected = {name: FEATURES[name].fill for name in ALL} | constant(level)
    assert dict(zip(ALL, got.tolist(), strict=True)) == pytest.approx(expected, abs=1e-12)


def constant(level):
    """What is not the fill in a constant curve with unit errors."""
    top = max(level, 1.0)
    return {
        "Mean": level,
        "MedianBRP": 0.0,
        "PairSlopeTrend": -22 / 30,
        "magnitude": 25 - 2.5 * np.log10(top),
        **dict.fromkeys(("relative_median", "relative_minimum", "relative_second", "relative_first", "relative_last"), level / top),
        "chi2_constant": -3.0,
        "excess_scatter": -1 / top,
        "peak_significance": level,
        "median_significance": level,
        "significant_share": float(level > 5),
        "transient_chi2": -3.0,
        "night_scatter": -3.0,
        "nightly_scatter": -3.0,
    }


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.integers(0, 30).map(float), st.floats(0, 4000)),
            st.one_of(st.sampled_from([0.0, 1.0, -1.0, 1e-300, 1e300, -1e300, 1e20]), st.floats(-1e6, 1e6)),
            st.one_of(st.sampled_from([0.0, 1e-300, 1e300, 1.0]), st.floats(0, 1e5)),
        ),
        max_size=9,
    )
)
def test_any_curve_gives_finite_features(points):
    mjd, flux, error = (np.array([[point[k] for point in points]], float).reshape(1, -1) for k in range(3))
    got = compute(mjd, flux, error, np.ones(mjd.shape, bool), ALL)
    assert np.isfinite(got).all()
    assert (np.abs(got) <= LARGEST).all()
    assert np.isfinite(got.astype(np.float32)).all()


@pytest.mark.parametrize("count", [2, 5, 25])
def test_repeated_times_are_no_error(count):
    rng = np.random.default_rng(0)
    times = np.repeat(57000 + np.arange(count), 2)[:count]
    assert np.isfinite(compute(*one(times, rng.normal(5, 2, count), np.ones(count)), ALL)).all()
    assert np.isfinite(compute(*one(np.zeros(count), rng.normal(5, 2, count), np.ones(count)), ALL)).all()


def test_an_error_of_0_counts_as_the_smallest_of_its_curve():
    mjd, flux, mask = 57000 + np.arange(6.0)[None], np.array([[3.0, 5, 2, 8, 1, 4]]), np.ones((1, 6), bool)
    got, expected = (compute(mjd, flux, np.array([error]), mask, ALL) for error in ([2.0, 0, 1, 0.5, 0, 3], [2.0, 0.5, 1, 0.5, 0.5, 3]))
    np.testing.assert_array_equal(got, expected)
    got, expected = (compute(mjd, flux, np.full((1, 6), error), mask, ALL) for error in (0.0, 1.0))
    np.testing.assert_array_equal(got, expected)


def test_negative_fluxes_are_data():
    got = compute(
        *one(57000 + np.arange(5.0), [-10, -12, -8, -11, -9], np.full(5, 2.0)), ["Mean", "Std", "relative_amplitude", "magnitude"]
    )
    # all below zero: the top is the error of the brightest point, the magnitude that of the median error
    np.testing.assert_allclose(got[0], [-10, np.sqrt(2), 4 / 2.0, 25 - 2.5 * np.log10(2.0)])


def test_prefixes_are_features_of_truncated_curves():
    mjd, flux, error, mask = sample(10)
    got = prefixes(mjd, flux, error, mask, ALL)
    assert got.shape == (10, 26, len(ALL))
    rank = np.argsort(np.argsort(np.where(mask, mjd, np.inf), axis=1), axis=1)
    for k in (1, 2, 3, 5, 8, 26):
        np.testing.assert_array_equal(got[:, k - 1], compute(mjd, flux, error, mask & (rank < k), ALL))


def test_prefixes_of_chosen_counts():
    arrays = sample(10)
    every = prefixes(*arrays, ALL)
    np.testing.assert_array_equal(prefixes(*arrays, ALL, counts=[5, 1, 99]), every[:, [4, 0, 25]])
    assert prefixes(*arrays, ALL, counts=[]).shape == (10, 0, len(ALL))


def test_no_curves_no_points_no_names():
    assert compute(*(np.empty((0, 4)) for _ in range(3)), np.empty((0, 4), bool), ALL).shape == (0, len(ALL))
    none = compute(*(np.empty((2, 0)) for _ in range(3)), np.empty((2, 0), bool), ALL)
    np.testing.assert_array_equal(none, [[FEATURES[name].fill for name in ALL]] * 2)
    assert compute(*sample(), names=()).shape == (24, 0)
    assert prefixes(*(np.empty((2, 0)) for _ in range(3)), np.empty((2, 0), bool), ALL).shape == (2, 0, len(ALL))


def test_unknown_names_are_named():
    with pytest.raises(ConfigError, match=r"features: 'Colour', 'Gskw'; .*names of skyreel.features.FEATURES: Amplitude, "):
        compute(*sample(), names=("Mean", "Colour", "Gskw"))
    with pytest.raises(ConfigError, match=r"features: 'Colour'"):
        prefixes(*sample(), names=("Colour",))
    with pytest.raises(ConfigError, match=r"features: counts: 0; use numbers of points from 1 on"):
        prefixes(*sample(), counts=[3, 0])


def test_unusable_arrays_are_named():
    mjd, flux, error, mask = one(range(4), [1, 2, 3, 4], [1, 1, 1, 1])
    with pytest.raises(DataError, match=r"features: flux: shape \(1, 3\), mask \(1, 4\); all four must be \(n, T\)"):
        compute(mjd, flux[:, :3], error, mask)
    with pytest.raises(DataError, match=r"features: mjd: shape \(4,\), mask \(4,\)"):
        compute(mjd[0], flux[0], error[0], mask[0])
    with pytest.raises(DataError, match="features: flux: 1 NaN or infinite values where the mask is True; mask those points"):
        compute(mjd, np.array([[1, np.nan, 2, 3]]), error, mask)
    with pytest.raises(DataError, match="features: error: 2 NaN or infinite values"):
        compute(mjd, flux, np.array([[1, np.inf, np.nan, 3]]), mask)
    with pytest.raises(DataError, match="features: error: 1 negative values; errors are standard deviations"):
        compute(mjd, flux, np.array([[1, -2, 1, 3]]), mask)


def test_the_page_lists_every_feature_as_it_is():
    rows = re.findall(r"^\| `(\S+)` \| (\d+) \| (\S+) \| (.*) \|$", (Path(__file__).parents[1] / "docs" / "features.md").read_text(), re.M)
    assert [(name, int(least), float(fill), text.replace("\\|", "|")) for name, least, fill, text in rows] == [
        (name, feature.minimum, feature.fill, feature.meaning) for name, feature in FEATURES.items()
    ]
