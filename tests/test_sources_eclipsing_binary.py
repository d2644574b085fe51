"""Eclipsing binaries as a source: the bank, the population and what its options mean."""

from __future__ import annotations

import importlib
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skyreel.errors import BandError, ConfigError, DataError
from skyreel.evaluate.distances import distance
from skyreel_sources.eclipsing_binary import PERIOD_JITTER, EclipsingBinary
from skyreel_sources.eclipsing_binary_bank import BANDS, KINDS, bank, cumulative, populations
from skyreel_sources.tables import build_eclipsing_binary as script
from skyreel_sources.tables import load

PHASE = np.arange(256) / 256


def draw(source, n, seed=0):
    return source.sample(n, np.random.default_rng(seed))


def one_cycle(source, params, band="g"):
    """Magnitudes (n, 256) at equally spaced phases from 0 on."""
    mjd = params["epoch"][:, None] + params["period"][:, None] * PHASE
    return source.light_curve(params, mjd, np.full(mjd.shape, source.bands.index(band), np.int8)).mag


@pytest.fixture(scope="module")
def drawn():
    source = EclipsingBinary()
    params = draw(source, 4000)
    return source, params, one_cycle(source, params)


def test_the_deeper_eclipse_is_at_phase_zero(drawn):
    _, params, curve = drawn
    np.testing.assert_allclose(curve[:, 0], curve.max(axis=1), atol=0.008)
    assert (curve[:, 0] - curve[:, 64] > 0.04)[params["type"] == 0].all()


def test_circular_orbits_are_symmetric_with_a_second_eclipse_half_way(drawn):
    _, params, curve = drawn
    circular = curve[params["eccentricity"] == 0]
    np.testing.assert_allclose(circular[:, 1:], circular[:, :0:-1], rtol=0, atol=1e-6)
    contact = curve[params["type"] == 0]
    secondary = contact[:, 128] - contact[:, 64]
    assert (secondary > 0.04).all()
    assert (contact[:, 0] >= contact[:, 128] - 1e-6).all()


def test_eccentric_orbits_are_detached_and_eclipse_off_half_way(drawn):
    _, params, curve = drawn
    eccentric = params["eccentricity"] > 0
    assert (params["type"][eccentric] == 1).all()
    assert 0.1 < eccentric[params["type"] == 1].mean() < 0.5
    assert params["period"][eccentric].min() > 2.0 * np.exp(-5 * PERIOD_JITTER)
    assert params["eccentricity"].max() < 0.8
    asymmetry = np.abs(curve[eccentric][:, 1:] - curve[eccentric][:, :0:-1]).max(axis=1)
    assert np.median(asymmetry) > 0.02


def test_shares_periods_and_amplitudes_are_those_of_the_options():
    source = EclipsingBinary(detached_fraction=0.3, semi_detached_fraction=0.2, amplitude_min=0.2)
    params = draw(source, 40_000)
    shares = np.bincount(params["type"], minlength=3) / 40_000
    np.testing.assert_allclose(shares, [0.5, 0.3, 0.2], atol=0.01)
    assert params["amplitude"].min() >= 0.2
    contact = EclipsingBinary(detached_fraction=0, semi_detached_fraction=0, period_median=0.36, period_scatter=0.065, amplitude_min=0)
    period = draw(contact, 40_000)["period"]
    # Amplitudes hardly depend on the period, so the law survives the bank's cut at 0.05 mag; 1500 curves hold it to some per cent.
    assert np.median(period) == pytest.approx(0.36, rel=0.04)
    assert np.std(np.log(period)) == pytest.approx(np.hypot(0.065 * np.log(10), PERIOD_JITTER), rel=0.1)


def test_default_population_is_what_the_docstring_says(drawn):
    source, params, _ = drawn
    fitted = populations()["all"]
    assert source.population == fitted
    assert 0.10 <= fitted.detached_fraction <= 0.15
    assert EclipsingBinary(detached_fraction=0.14).population == replace(fitted, detached_fraction=0.14)
    shares = np.bincount(params["type"], minlength=3) / len(params["type"])
    np.testing.assert_allclose(shares[1:], [fitted.detached_fraction, fitted.semi_detached_fraction], atol=0.016)
    contact = params["type"] == 0
    # W UMa stars: most between a quarter and half a day; detached ones longer.
    assert np.percentile(params["period"][contact], [5, 95]) == pytest.approx([0.22, 0.42], abs=0.04)
    assert np.median(params["period"][params["type"] == 1]) > 0.8


def test_contact_binaries_lose_about_half_of_their_light_at_most_and_algols_may_lose_more(drawn):
    # Equal temperatures: the total eclipse of the smaller star costs at most 0.7526 mag, distortion adds some tenths.
    _, params, _ = drawn
    contact, algol = params["type"] == 0, params["type"] == 2
    assert 0.7 < params["amplitude"][contact].max() < 1.2
    assert params["amplitude"][algol].max() > 1.2


def test_amplitude_is_peak_to_peak_and_the_mean_is_as_drawn(drawn):
    _, params, curve = drawn
    np.testing.assert_allclose(np.ptp(curve, axis=1), params["amplitude"], atol=1e-5)
    np.testing.assert_allclose(curve.mean(axis=1), params["mean_mag"], atol=1e-5)


def test_contact_binaries_hardly_change_colour_but_unequal_stars_do(drawn):
    source, params, g = drawn
    swing = np.ptp(g - one_cycle(source, params, "i"), axis=1) / params["amplitude"]
    contact, algol = params["type"] == 0, params["type"] == 2
    assert np.median(swing[contact]) < 0.1
    assert np.median(swing[algol]) > 1.8 * np.median(swing[contact])
    assert np.percentile(swing[algol], 90) > 0.3


def test_redder_in_the_eclipse_of_the_hotter_star():
    # At phase 0 of a deep eclipse the hotter star is hidden: what remains is redder, in every pair of bands.
    source = EclipsingBinary(detached_fraction=0.0, semi_detached_fraction=1.0, amplitude_min=0.5)
    params = draw(source, 300)
    curve = [one_cycle(source, params, band) for band in BANDS]
    for blue, red in pairwise(curve):
        colour = blue - red
        assert (colour[:, 0] > colour[:, 64] + 0.002).all()


def test_mean_colour_lies_between_those_of_the_stars(drawn):
    _, params, _ = drawn
    table = bank()
    assert (params["g_i"] >= 0.09).all()
    assert (params["g_i"] <= 3.25).all()
    hot = table.period[table.kind == 0]
    assert np.corrcoef(np.log(hot), -table.colour[table.kind == 0, 3])[0, 1] < -0.6  # longer periods are hotter and bluer


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), band=st.sampled_from(BANDS))
def test_light_curve_interpolates_between_the_samples_of_the_bank(seed, band):
    source = EclipsingBinary()
    params = draw(source, 20, seed)
    curve = one_cycle(source, params, band)
    shift = np.random.default_rng(seed).random()
    mjd = params["epoch"][:, None] + params["period"][:, None] * (PHASE + shift / 256)
    between = source.light_curve(params, mjd, np.full(mjd.shape, source.bands.index(band), np.int8)).mag
    np.testing.assert_allclose(between, (1 - shift) * curve + shift * np.roll(curve, -1, axis=1), atol=1e-5)


def test_every_curve_has_its_probability():
    fitted = populations()["all"]
    probability = np.diff(cumulative(fitted), prepend=0.0)
    table = bank()
    assert probability.min() >= 0.0
    assert probability.sum() == pytest.approx(1.0)
    assert (probability[table.amplitude < fitted.amplitude_min] == 0.0).all()
    shares = [probability[table.kind == index].sum() for index in range(len(KINDS))]
    np.testing.assert_allclose(shares[1:], [fitted.detached_fraction, fitted.semi_detached_fraction], rtol=1e-9)
    # Enough different curves: the effective number of contact ones is in the hundreds.
    contact = probability[table.kind == 0]
    assert contact.sum() ** 2 / np.sum(contact**2) > 300


def test_bank_is_what_its_script_makes():
    table, decoded = load("eclipsing_binary.npz"), bank()
    first = np.searchsorted(table["kind"], [0, 1, 2])
    for index, (make, name) in enumerate(zip((script.contact, script.detached, script.semi_detached), KINDS, strict=True)):
        systems, made = script.fill(make, 3, np.random.default_rng((script.SEED, index)))
        rows = slice(first[index], first[index] + 3)
        np.testing.assert_allclose(table["system"][rows], systems, rtol=1e-5, err_msg=name)
        curve = np.stack(made, axis=1)
        curve -= curve.mean(axis=2, keepdims=True)
        np.testing.assert_allclose(decoded.curve[:, rows, :-1], curve, rtol=0, atol=2e-3)
    assert np.bincount(decoded.kind).tolist() == list(script.COUNTS.values())
    assert decoded.amplitude.min() >= script.SHALLOWEST - 2e-3
    np.testing.assert_array_equal(decoded.curve[:, :, 0], decoded.curve[:, :, -1])


def test_an_eccentric_curve_of_the_bank_is_that_of_its_orbit():
    table = load("eclipsing_binary.npz")
    row = int(np.flatnonzero(table["system"][:, 5] > 0.2)[0])
    _, q, _, _, _, e, omega, _ = table["system"][row]
    curve = bank().curve[1, row, :-1]
    depth = curve - np.median(curve)
    x = np.pi + 2 * np.arctan(e * np.cos(np.radians(omega)) / np.sqrt(1 - e**2))
    second = (x - np.sin(x)) / (2 * np.pi)
    others = np.where((PHASE > 0.05) & (PHASE < 0.95), depth, -1.0)
    at = PHASE[others.argmax()]
    assert min(abs(at - second), abs(at - (1 - second))) < 0.01  # counted from either eclipse
    assert 0.3 < q <= 1.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"detached_fraction": 2.0}, "detached_fraction: 2.0; choose a number from 0 to 1"),
        ({"semi_detached_fraction": -0.1}, "semi_detached_fraction: -0.1; choose a number from 0 to 1"),
        ({"detached_fraction": 0.7, "semi_detached_fraction": 0.6}, "0.7 .* 0.6; choose shares whose sum is at most 1"),
        ({"period_median": -0.3}, "period_median: -0.3; choose 0.2 to 0.6"),
        ({"period_median": float("nan")}, "period_median: nan"),
        ({"period_scatter": 0.5}, "period_scatter: 0.5; choose 0.01 to 0.13"),
        ({"amplitude_min": 3.0}, "amplitude_min: 3.0; choose 0 to 2"),
    ],
)
def test_options_out_of_range_are_named(options, words):
    with pytest.raises(ConfigError, match=words):
        EclipsingBinary(**options)


def test_an_amplitude_that_no_binary_reaches_is_refused():
    source = EclipsingBinary(amplitude_min=1.9)
    with pytest.raises(ConfigError, match=r"amplitude_min: 1\.9 mag; the deepest contact binary has 1\.\d+ mag"):
        draw(source, 3)


def test_light_curve_refuses_bad_periods_and_bands():
    source = EclipsingBinary()
    params = draw(source, 3)
    mjd, band = np.zeros((3, 2)), np.ones((3, 2), np.int8)
    for period in (-1.0, 0.0, np.inf):
        with pytest.raises(DataError, match="period"):
            source.light_curve(params | {"period": np.full(3, period)}, mjd, band)
    with pytest.raises(BandError, match="u, g, r, i, z, y"):
        source.light_curve(params, mjd, band + 6)


def test_folds_are_constants_that_the_source_takes():
    for name, population in populations().items():
        assert EclipsingBinary(**asdict(population)).population == population, name


@pytest.fixture
def fitting(monkeypatch):
    """The script that fits the population."""
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[1] / "benchmarks" / "sky")
    return importlib.import_module("fit_eclipsing_binary")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000), n=st.integers(1, 40), ties=st.booleans())
def test_weighted_distance_is_that_of_repeated_objects(fitting, seed, n, ties):
    rng = np.random.default_rng(seed)
    real, simulated = rng.normal(size=n), rng.normal(0.3, 1.2, size=50)
    if ties:
        real, simulated = real.round(1), simulated.round(1)
    weight = rng.integers(0, 4, 50)
    weight[0] = 1
    repeated = distance(real, np.repeat(simulated, weight)).d
    assert fitting.weighted_distance(real, simulated, weight) == pytest.approx(repeated, abs=1e-12)


def test_fitted_constants_stay_within_the_bounds_of_the_fit(fitting):
    for population in populations().values():
        for name, (low, high) in fitting.BOUNDS.items():
            assert low <= getattr(population, name) <= high, name


def test_halves_part_fields_by_rank(fitting):
    np.testing.assert_array_equal(fitting.halves(np.array([7, 3, 12, 7, 20])), [1, 0, 0, 1, 1])
