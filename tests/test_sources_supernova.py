"""Physics of the supernovae: cosmology, dust, templates, dates and cuts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf
from scipy.stats import kstest

from skyreel_sources import snia, snii
from skyreel_sources.cosmology import distance_modulus, rate_ia, rate_ii
from skyreel_sources.extinction import ccm
from skyreel_sources.supernova import EARLY, Supernova

WINDOW = (57070.0, 57095.0)
FREE = Supernova(acceptance_mag=None)


def draw(source, n, seed=0):
    return source.sample(n, np.random.default_rng(seed), window=np.tile(WINDOW, (n, 1)))


def standard_ia(redshift, stretch=1.0):
    redshift = np.atleast_1d(redshift)
    ones = np.ones(len(redshift))
    return {"redshift": redshift, "explosion_mjd": 0 * ones, "stretch": stretch * ones, "abs_mag": -19.36 * ones}


def in_band(model, params, days, band):
    mjd = np.broadcast_to(days, (len(params["redshift"]), len(days)))
    return model.magnitude(params, mjd, np.full(mjd.shape, "ugrizy".index(band), np.int8))


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


def test_ia_peak_absolute_magnitude():
    days = np.arange(0.0, 60.0, 0.25)
    peak = (in_band(snia, standard_ia(0.001), days, "g") - distance_modulus(np.array([0.001]))).min()
    assert -19.45 < peak < -19.25  # between B, -19.45 in AB for M_B = -19.36 Vega, and V, where B-V is about -0.05


@pytest.mark.parametrize("redshift", [0.05, 0.3, 0.55])
def test_ia_equals_sncosmo(redshift):
    sncosmo = pytest.importorskip("sncosmo")
    filters = pytest.importorskip("speclite.filters")
    from astropy.cosmology import FlatLambdaCDM

    model = sncosmo.Model("hsiao-subsampled")
    model.set(z=redshift, t0=0.0)
    cosmology = FlatLambdaCDM(H0=70, Om0=0.3, Tcmb0=0)
    model.set_source_peakabsmag(-19.45, "bessellb", "ab", cosmo=cosmology)
    phase = np.array([-15.0, -8.0, 0.0, 10.0, 30.0])
    days = (phase + 18.0) * (1 + redshift)
    for name in "gri":
        response = filters.load_filter(f"decam2014-{name}")
        band = sncosmo.Bandpass(response.wavelength, response.response, name=f"decam-{name}")
        reference = model.bandmag(band, "ab", phase * (1 + redshift))
        np.testing.assert_allclose(in_band(snia, standard_ia(redshift), days, name)[0], reference, rtol=0, atol=0.01)


def test_time_runs_slower_by_one_plus_redshift():
    # At z = 0.323 the r band sees the light that g sees at rest.
    def width(redshift, band):
        days = np.arange(0.0, 80.0, 0.05)
        mag = in_band(snia, standard_ia(redshift), days, band)[0]
        return np.ptp(days[mag < mag.min() + 1.0])

    assert width(0.323, "r") / width(0.002, "g") == pytest.approx(1.323 / 1.002, rel=0.03)


@settings(max_examples=30, deadline=None)
@given(redshift=st.floats(0.01, 1.0), stretch=st.floats(0.7, 1.3), day=st.floats(0.5, 60.0))
def test_stretch_scales_time(redshift, stretch, day):
    stretched = in_band(snia, standard_ia(redshift, stretch), np.array([day * stretch]), "r")
    np.testing.assert_allclose(stretched, in_band(snia, standard_ia(redshift), np.array([day]), "r"), rtol=0, atol=1e-6)


def test_brighter_ia_fade_slower():
    drawn = snia.draw(20_000, np.random.default_rng(0))
    assert np.corrcoef(drawn["stretch"], drawn["abs_mag"])[0, 1] < -0.3
    assert drawn["abs_mag"].mean() == pytest.approx(-19.36, abs=0.01)
    assert drawn["abs_mag"].std() == pytest.approx(np.sqrt(0.15**2 + 0.31**2 + 0.12**2), abs=0.01)


def test_ii_plateau():
    params = snii.draw(4000, np.random.default_rng(0), slow_fraction=0.5)
    params |= {"redshift": np.full(4000, 1e-6), "explosion_mjd": np.zeros(4000)}
    days = np.arange(0.25, 200.0, 0.25)
    mag = in_band(snii, params, days, "g") - distance_modulus(params["redshift"])[:, None]
    peak, when = mag.min(axis=1), days[mag.argmin(axis=1)]
    np.testing.assert_allclose(np.percentile(peak, [5, 50, 95]), [-18.5, -16.8, -15.1], atol=0.15)
    assert 4 < np.percentile(when, 5) < np.percentile(when, 95) < 25
    # The fall from the plateau: about 2 mag within 40 days around its end, in red light.
    red = in_band(snii, params, params["plateau_end"].mean() + np.array([-60.0, 60.0]), "i")
    assert 2.0 < np.median(red[:, 1] - red[:, 0]) < 5.0
    # It cools: g-r grows from blue to red.
    early, late = (in_band(snii, params, np.array([day]), "g") - in_band(snii, params, np.array([day]), "r") for day in (2.0, 60.0))
    assert np.median(early) < 0.0
    assert np.median(late) > np.median(early) + 0.4


@pytest.mark.parametrize("fraction_ia", [0.0, 1.0])
def test_no_light_before_the_explosion_and_light_after(fraction_ia):
    source = Supernova(fraction_ia=fraction_ia)
    params = draw(source, 300)
    mjd = params["explosion_mjd"][:, None] + np.array([-50.0, -0.01, 0.5, 10.0, 40.0, 300.0])
    mag = source.light_curve(params, mjd, np.ones(mjd.shape, np.int8)).mag
    assert np.isposinf(mag[:, :2]).all()
    assert np.isfinite(mag[:, 2:]).all()
    assert (mag[:, 5] > mag[:, 3]).all()


@pytest.mark.parametrize("model", [snia, snii])
def test_brightness_falls_with_redshift(model):
    z = np.linspace(0.01, 0.6, 60)
    drawn = snii.draw(1, np.random.default_rng(0), 0.0) if model is snii else snia.draw(1, np.random.default_rng(0))
    params = {name: np.repeat(column, 60) for name, column in drawn.items()} | {"redshift": z, "explosion_mjd": np.zeros(60)}
    peak = in_band(model, params, np.arange(0.5, 60.0, 0.5), "g").min(axis=1)
    assert (np.diff(peak) > 0).all()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31), redshift=st.floats(0.005, 1.0))
def test_bound_holds_in_every_band(seed, redshift):
    rng = np.random.default_rng(seed)
    for model, params in ((snia, snia.draw(50, rng)), (snii, snii.draw(50, rng, 0.5))):
        params |= {"redshift": np.full(50, redshift), "explosion_mjd": np.zeros(50)}
        for band in "ugrizy":
            assert (in_band(model, params, np.geomspace(0.2, 60, 40), band).min(axis=1) >= model.brightest(params) - 1e-6).all()


def test_host_dust_dims_by_its_law():
    params = draw(FREE, 200)
    clear = params | {"host_av": np.zeros(200)}
    mjd = params["explosion_mjd"][:, None] + np.array([15.0])
    band = np.full(mjd.shape, 1, np.int8)
    dimmed = FREE.light_curve(params, mjd, band).mag - FREE.light_curve(clear, mjd, band).mag
    expected = params["host_av"] * ccm(4890.0 / (1 + params["redshift"]), 3.0)
    np.testing.assert_allclose(dimmed[:, 0], expected, rtol=1e-4, atol=1e-9)


def test_params_of_a_mixture():
    params = draw(Supernova(acceptance_mag=None, fraction_ia=0.5), 20_000)
    ia = params["type"] == 0
    assert ia.mean() == pytest.approx(0.5, abs=0.015)
    assert np.isfinite(params["stretch"][ia]).all()
    assert np.isnan(params["stretch"][~ia]).all()
    assert np.isfinite(params["plateau_end"][~ia]).all()
    assert np.isnan(params["plateau_end"][ia]).all()
    assert np.median(params["host_av"]) == pytest.approx(0.1, rel=0.05)
    assert np.percentile(params["abs_mag"][ia], 50) < np.percentile(params["abs_mag"][~ia], 50) - 2.0
    start = params["explosion_mjd"]
    assert kstest(start, "uniform", args=(WINDOW[0] - EARLY * 1.6, 25.0 + EARLY * 1.6)).pvalue > 0.01


def test_peak_magnitude_is_the_brightest_of_the_light_curve():
    params = draw(FREE, 300)
    mjd = params["explosion_mjd"][:, None] + (1 + params["redshift"][:, None]) * np.arange(0.25, 60.0, 0.25)
    mag = FREE.light_curve(params, mjd, np.ones(mjd.shape, np.int8)).mag
    np.testing.assert_allclose(params["peak_mag"], mag.min(axis=1), atol=0.05)


def test_without_a_window_supernovae_explode_near_mjd_zero():
    params = FREE.sample(500, np.random.default_rng(0))
    assert np.abs(params["explosion_mjd"]).max() <= 30.0


def test_only_hopeless_objects_are_left_undrawn():
    # Of all supernovae, those that pass the acceptance cut at their best are drawn as often with the shortcut as without.
    def share(source):
        params = source.sample(40_000, np.random.default_rng(1))
        bright = params["peak_mag"] < 22.8
        return np.histogram(params["redshift"][bright & (params["type"] == 0)], 5, (0, 0.6))[0]

    with_cut, without = share(Supernova()), share(FREE)
    difference = with_cut / with_cut.sum() - without / without.sum()
    error = np.sqrt(with_cut / with_cut.sum() ** 2 + without / without.sum() ** 2)
    assert (np.abs(difference) < 4 * error + 1e-3).all()


def test_acceptance_follows_the_error_function():
    source = Supernova()
    brightest = np.repeat([21.0, 22.5, 22.8, 23.2, 24.0], 20_000)
    mag = np.stack([np.full(len(brightest), np.inf), brightest, brightest + 0.3], axis=1)
    kept = source.select({}, mag, np.random.default_rng(0)).reshape(5, -1).mean(axis=1)
    np.testing.assert_allclose(kept, 0.5 * (1 - erf(1.5 * (np.array([21.0, 22.5, 22.8, 23.2, 24.0]) - 22.8))), atol=0.015)


def test_objects_without_light_are_not_selected():
    assert not FREE.select({}, np.full((3, 4), np.inf), np.random.default_rng(0)).any()


def test_rise_cut_of_the_authors():
    source = Supernova(acceptance_mag=None, rise_min=1.0)
    mag = np.array([[22.0, 20.9, 21.5], [22.0, 21.1, 21.5], [20.0, 21.0, 22.0], [np.inf, 21.0, 22.0]])
    np.testing.assert_array_equal(source.select({}, mag, np.random.default_rng(0)), [True, False, False, True])
