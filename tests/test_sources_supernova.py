"""What supernovae are drawn, dated, dimmed and kept: cosmology, dust, mixture, the cuts, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf
from scipy.stats import ks_2samp, kstest
from supernova_toys import magnitudes, params

from skyreel.errors import ConfigError, DataError, SimulationError
from skyreel.evaluate.distances import distance
from skyreel_sources import snia, snii
from skyreel_sources.cosmology import distance_modulus, rate_ia, rate_ii
from skyreel_sources.extinction import ccm
from skyreel_sources.sn_draw import Acceptance
from skyreel_sources.sn_tables import wavelengths
from skyreel_sources.supernova import EARLY, PEAK_SLACK, POPULATIONS, Supernova
from skyreel_sources.tables import fit_supernova as fit

WINDOW = (57070.0, 57095.0)
FREE = Supernova(acceptance_mag=None)


def draw(source, n, seed=0):
    return source.sample(n, np.random.default_rng(seed), window=np.tile(WINDOW, (n, 1)))


def seen(source, n, seed=0):
    """Params and g magnitudes of n objects at 28 epochs of 25 days."""
    params, rng = draw(source, n, seed), np.random.default_rng(seed + 1)
    mjd = np.sort(rng.uniform(*WINDOW, (n, 28)), axis=1)
    return params, source.light_curve(params, mjd, np.ones(mjd.shape, np.int8)).mag


def test_distance_modulus_equals_astropy():
    from astropy.cosmology import FlatLambdaCDM

    z = np.array([0.003, 0.01, 0.1, 0.5, 1.0])
    reference = FlatLambdaCDM(H0=70, Om0=0.3, Tcmb0=0).distmod(z).value
    np.testing.assert_allclose(distance_modulus(z), reference, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("kind", "rate"), [(1.0, rate_ia), (0.0, rate_ii)])
def test_redshifts_follow_rate_and_volume(kind, rate):
    from astropy.cosmology import FlatLambdaCDM

    z = draw(Supernova(acceptance_mag=None, fraction_ia=kind), 20_000)["redshift"]
    grid = np.linspace(0, 0.6, 601)
    volume = FlatLambdaCDM(H0=70, Om0=0.3, Tcmb0=0).differential_comoving_volume(grid).value
    cumulative = np.cumsum(rate(grid) * volume / (1 + grid))
    assert kstest(z, lambda x: np.interp(x, grid, cumulative / cumulative[-1])).pvalue > 0.01
    assert z.min() > 0


def test_extinction_equals_the_published_table():
    # Cardelli, Clayton & Mathis 1989, table 3: A(lambda)/A(V) for R_V = 3.1 at x = 2.78, 1.82, 1.43, 1.11, 0.80 / um.
    law = ccm(1e4 / np.array([2.78, 1.82, 1.43, 1.11, 0.80]), 3.1)
    np.testing.assert_allclose(law, [1.569, 1.000, 0.751, 0.479, 0.282], atol=0.002)


@pytest.mark.parametrize("r_v", [2.5, 3.0, 5.0])
def test_extinction_between_b_and_v_is_one_colour_excess(r_v):
    assert ccm(np.array(1e4 / 2.27), r_v) - ccm(np.array(1e4 / 1.82), r_v) == pytest.approx(1 / r_v, abs=0.001)


def test_extinction_is_continuous():
    x = np.array([1.1, 3.3, 5.9])
    np.testing.assert_allclose(ccm(1e4 / (x - 1e-6), 3.0), ccm(1e4 / (x + 1e-6), 3.0), rtol=0.01)


@pytest.mark.parametrize("fraction_ia", [0.0, 1.0])
def test_no_light_before_the_explosion_and_light_after(fraction_ia):
    source = Supernova(fraction_ia=fraction_ia)
    table = draw(source, 300)
    mjd = table["explosion_mjd"][:, None] + np.array([-50.0, -0.01, 0.5, 10.0, 40.0, 300.0])
    mag = source.light_curve(table, mjd, np.ones(mjd.shape, np.int8)).mag
    assert np.isposinf(mag[:, :2]).all()
    assert np.isfinite(mag[:, 2:]).all()
    assert (mag[:, 5] > mag[:, 3]).all()


@pytest.mark.parametrize("kind", [0, 1])
def test_brightness_falls_with_redshift(kind):
    peak = magnitudes(params(kind, np.linspace(0.01, 1.0, 100)), np.arange(0.5, 60.0, 0.5), "g").min(axis=1)
    assert (np.diff(peak) > 0).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), limit=st.floats(20.0, 25.0))
def test_no_epoch_in_g_is_brighter_than_the_peak(seed, limit):
    source = Supernova(fraction_ia=0.5, slow_rise_fraction=0.5, acceptance_mag=limit, redshift_max=1.0)
    table = source.sample(50, np.random.default_rng(seed))
    mjd = table["explosion_mjd"][:, None] + (1 + table["redshift"][:, None]) * np.arange(0.25, 60.0, 0.25)
    mag = source.light_curve(table, mjd, np.ones(mjd.shape, np.int8)).mag
    assert (mag.min(axis=1) > table["peak_mag"] - PEAK_SLACK).all()
    np.testing.assert_allclose(table["peak_mag"], mag.min(axis=1), atol=0.05)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), redshift=st.floats(0.005, 1.0))
def test_bound_before_colour_and_dust_holds(seed, redshift):
    rng = np.random.default_rng(seed)
    colour = np.clip(rng.normal(0, 0.1, 40), -0.35, 0.35)
    for code, columns in ((0, {"stretch": rng.uniform(0.7, 1.3, 40), "colour": colour}), (1, snii.shape(40, rng, 0.5))):
        table = params(code, np.full(40, redshift)) | {name: np.asarray(column) for name, column in columns.items()}
        bound = POPULATIONS[code].brightest(table["redshift"], 1) + table["abs_mag"]
        assert (magnitudes(table, np.geomspace(0.2, 90, 60), "g").min(axis=1) > bound - 1e-3).all()


@pytest.mark.parametrize("fraction_ia", [0.0, 1.0])
def test_what_is_kept_is_what_plain_rejection_keeps(fraction_ia):
    # All supernovae up to redshift 0.6, each kept with the acceptance of its brightest epoch, against the quick draw.
    limit = 21.5
    rng = np.random.default_rng(7)
    plain, mag = seen(Supernova(fraction_ia=fraction_ia, acceptance_mag=None), 400_000 if fraction_ia == 0 else 60_000, seed=3)
    kept = rng.random(len(mag)) < 0.5 * (1 - erf(1.5 * (mag.min(axis=1) - limit)))
    quick = Supernova(fraction_ia=fraction_ia, acceptance_mag=limit)
    fast, fast_mag = seen(quick, 8000, seed=4)
    selected = quick.select(fast, fast_mag, rng)
    assert kept.sum() > 600
    assert selected.mean() > 0.5
    for name in ("redshift", "abs_mag", "peak_mag", "host_av", "explosion_mjd"):
        assert ks_2samp(plain[name][kept], fast[name][selected]).pvalue > 0.005, name
    assert ks_2samp(mag[kept].min(axis=1), fast_mag[selected].min(axis=1)).pvalue > 0.005
    for name in ("stretch", "colour") if fraction_ia else ("rise_time", "second_rise", "decline_1"):
        assert ks_2samp(plain[name][kept], fast[name][selected]).pvalue > 0.005, name


def test_without_a_cut_luminosities_are_those_of_the_population():
    table = draw(Supernova(acceptance_mag=None, fraction_ia=0.5), 40_000)
    for code, population in enumerate(POPULATIONS):
        mag = table["abs_mag"][table["type"] == code]
        assert kstest((mag - population.mean) / population.spread, "norm").pvalue > 0.01


def test_host_dust_dims_by_its_law():
    table = draw(FREE, 200)
    clear = table | {"host_av": np.zeros(200)}
    mjd = table["explosion_mjd"][:, None] + np.full(4, 15.0)
    band = np.tile(np.array([0, 1, 2, 5], np.int8), (200, 1))
    dimmed = FREE.light_curve(table, mjd, band).mag - FREE.light_curve(clear, mjd, band).mag
    expected = table["host_av"][:, None] * ccm(wavelengths(table["redshift"]), 3.0)[:, [0, 1, 2, 5]]
    np.testing.assert_allclose(dimmed, expected, rtol=1e-3, atol=1e-5)


def test_bands_may_be_mixed():
    table = draw(FREE, 100)
    mjd = table["explosion_mjd"][:, None] + np.linspace(1.0, 60.0, 6)
    mixed = FREE.light_curve(table, mjd, np.tile(np.arange(6, dtype=np.int8), (100, 1))).mag
    for index in range(6):
        single = FREE.light_curve(table, mjd, np.full(mjd.shape, index, np.int8)).mag
        np.testing.assert_allclose(mixed[:, index], single[:, index], rtol=0, atol=1e-5)


def test_params_of_a_mixture():
    table = draw(Supernova(acceptance_mag=None, fraction_ia=0.5), 20_000)
    ia = table["type"] == 0
    assert ia.mean() == pytest.approx(0.5, abs=0.015)
    for columns, own in ((snia.COLUMNS[1:], ia), (snii.COLUMNS[1:], ~ia)):
        for name in columns:
            assert np.isfinite(table[name][own]).all()
            assert np.isnan(table[name][~own]).all()
    assert np.median(table["host_av"]) == pytest.approx(0.1, rel=0.05)
    start = table["explosion_mjd"]
    assert kstest(start, "uniform", args=(WINDOW[0] - EARLY * 1.6, 25.0 + EARLY * 1.6)).pvalue > 0.01


def test_kept_shares_follow_the_drawn_ones():
    table, mag = seen(Supernova(), 20_000)
    kept = Supernova().select(table, mag, np.random.default_rng(99))
    assert (table["type"][kept] == 0).mean() == pytest.approx(0.5, abs=0.03)


def test_without_a_window_supernovae_explode_near_mjd_zero():
    table = FREE.sample(500, np.random.default_rng(0))
    assert np.abs(table["explosion_mjd"]).max() <= 30.0


def test_acceptance_is_the_error_function():
    mag = np.array([21.0, 22.5, 22.8, 23.2, 24.0])
    np.testing.assert_allclose(Acceptance(22.8, 1.5)(mag), 0.5 * (1 - erf(1.5 * (mag - 22.8))), rtol=1e-9)
    limit = Acceptance(22.8, 1.5).limit
    assert Acceptance(22.8, 1.5)(np.array(limit)) == pytest.approx(1e-3, rel=0.02)
    assert Acceptance(None, 1.5).limit == np.inf
    assert (Acceptance(None, 1.5)(mag) == 1).all()


@pytest.mark.parametrize("peak", [-np.inf, 20.0, 22.0])
def test_draw_and_select_together_accept_by_the_brightest_epoch(peak):
    source = Supernova()
    brightest = np.repeat([22.5, 22.8, 23.2, 24.0], 20_000)
    mag = np.stack([np.full(len(brightest), np.inf), brightest, brightest + 0.3], axis=1)
    kept = source.select({"peak_mag": np.full(len(mag), peak)}, mag, np.random.default_rng(0)).reshape(4, -1).mean(axis=1)
    accept = Acceptance(22.8, 1.5)
    drawn = accept(np.array(peak - PEAK_SLACK))
    np.testing.assert_allclose(kept * drawn, accept(brightest[::20_000]), atol=0.012)


def test_epochs_in_other_bands_do_not_pass_for_the_search_in_g():
    mag = np.full((1000, 2), 20.0)  # red light, brighter than the maximum in g
    assert Supernova().select({"peak_mag": np.full(1000, 24.0)}, mag, np.random.default_rng(0)).all()


def test_objects_without_light_are_not_selected():
    assert not FREE.select({}, np.full((3, 4), np.inf), np.random.default_rng(0)).any()


def test_rise_cut_of_the_authors():
    source = Supernova(acceptance_mag=None, rise_min=1.0)
    mag = np.array([[22.0, 20.9, 21.5], [22.0, 21.1, 21.5], [20.0, 21.0, 22.0], [np.inf, 21.0, 22.0]])
    np.testing.assert_array_equal(source.select({}, mag, np.random.default_rng(0)), [True, False, False, True])


@pytest.mark.parametrize(("redshift", "found"), [(1.2, "1.2 to 1.2"), (-0.1, "-0.1 to -0.1"), (0.0, "0 to 0"), (np.nan, "NaN")])
@pytest.mark.parametrize("kind", [0, 1])
def test_redshifts_outside_the_spectra_raise(kind, redshift, found):
    with pytest.raises(DataError, match=rf"Supernova.light_curve.*redshifts {found}.*above 0, up to 1"):
        magnitudes(params(kind, redshift), np.array([10.0]), "g")


@pytest.mark.parametrize(("kind", "name"), [(0, "stretch"), (1, "rise_time"), (1, "second_time")])
@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_times_that_are_not_positive_raise(kind, name, value):
    with pytest.raises(DataError, match=rf"{name} .*above 0"):
        magnitudes(params(kind, 0.1, **{name: value}), np.array([10.0]), "g")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"redshift_max": 1.01}, "tabulated up to redshift 1"),
        ({"redshift_max": 0.0}, "positive"),
        ({"acceptance_slope": 0.0}, "positive"),
        ({"fraction_ia": 1.2}, "from 0 to 1"),
        ({"slow_rise_fraction": -0.1}, "from 0 to 1"),
        ({"rise_min": -1.0}, "no cut"),
        ({"rise_min": np.nan}, "no cut"),
    ],
)
def test_options_out_of_range_raise(options, message):
    with pytest.raises(ConfigError, match=message):
        Supernova(**options)


def test_a_hopeless_limit_raises():
    with pytest.raises(SimulationError, match="raise acceptance_mag"):
        Supernova(acceptance_mag=5.0).sample(10, np.random.default_rng(0))


def test_weighted_distance_equals_the_plain_one():
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=30).round(1), rng.normal(0.3, 1, 200).round(1)
    assert fit.weighted_distance(one, two, np.ones(200)) == pytest.approx(distance(one, two).d, abs=1e-12)
    weight = rng.integers(0, 4, 200)
    assert fit.weighted_distance(one, two, weight) == pytest.approx(distance(one, np.repeat(two, weight)).d, abs=1e-12)


def test_pool_weights_are_shares_of_one():
    peak = np.array([20.0, 22.0, 23.0])
    pool = fit.Pool(values=np.zeros((3, 4)), count=np.ones(3, np.intp), peak_mag=peak, brightest=peak, maxima=peak)
    weights = pool.weights(Acceptance(22.0, 1.5))
    assert weights.sum() <= 1.0
    assert (np.diff(weights) < 0).all()


def test_rates_alone_give_the_share_of_ia_told_in_the_docstring():
    from astropy.cosmology import FlatLambdaCDM

    z, deviation = np.linspace(1e-4, 0.6, 1200), np.linspace(-5, 5, 301)
    volume = FlatLambdaCDM(H0=70, Om0=0.3, Tcmb0=0).differential_comoving_volume(z).value
    number = []
    for code, (rate, population) in enumerate(zip((rate_ia, rate_ii), POPULATIONS, strict=True)):
        table = params(code, z, abs_mag=0.0)
        peak = magnitudes(table, np.arange(1.0, 40.0, 0.5), "g").min(axis=1)
        seen = Acceptance(22.8, 1.5)(population.mean + population.spread * deviation[:, None] + peak)
        weight = np.exp(-0.5 * deviation**2) @ seen * (deviation[1] - deviation[0]) / np.sqrt(2 * np.pi)
        number.append(np.trapezoid(weight * rate(z) * volume / (1 + z), z))
    assert number[0] / sum(number) == pytest.approx(0.56, abs=0.01)
