"""Physics of the SNe II: shock cooling, the second rise, plateau and colours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from supernova_toys import absolute, params, population

from skyreel_sources import sn_shock, snii

DAY = 86_400.0
DAYS = np.arange(0.1, 130.0, 0.1)


@settings(max_examples=30, deadline=None)
@given(radius=st.floats(100, 1500), velocity=st.floats(0.3, 2.0), day=st.floats(1.0, 10.0))
def test_shock_cooling_scales_as_its_physics_says(radius, velocity, day):
    star = replace(sn_shock.TYPICAL, radius=radius, velocity=velocity)
    at = np.array([day])
    wide, fast = replace(star, radius=2 * radius), replace(star, velocity=1.1 * velocity)
    # a larger star cools less by expansion: L ~ R, T ~ R^(1/4), at the same photosphere
    assert sn_shock.luminosity(at, wide) / sn_shock.luminosity(at, star) == pytest.approx(2.0, rel=1e-6)
    assert sn_shock.temperature(at, wide) / sn_shock.temperature(at, star) == pytest.approx(2.0**0.25, rel=1e-6)
    assert sn_shock.luminosity(at, fast) > sn_shock.luminosity(at, star)
    # close to adiabatic expansion, T ~ t^-1/2 less the photosphere's retreat
    later = sn_shock.temperature(2 * at, star) / sn_shock.temperature(at, star)
    assert later == pytest.approx(2.0**-0.446, rel=1e-6)


def test_photosphere_moves_with_the_outer_ejecta():
    # R = sqrt(L / 4 pi sigma T_ph^4) over time: some 10^9 cm/s, a few times the shock scale velocity of 2.4e8 cm/s
    days = np.array([1.0, 2.0, 4.0])
    kelvin = sn_shock.temperature(days) / 1.1
    radius = np.sqrt(sn_shock.luminosity(days) / (4 * np.pi * sn_shock.STEFAN_BOLTZMANN * kelvin**4))
    speed = radius / (days * DAY)
    assert (speed > 0.75 * 10**8.5).all()
    assert (speed < 8 * 0.75 * 10**8.5).all()
    assert (np.diff(speed) < 0).all()


@pytest.mark.parametrize("day", [1.0, 10.0])
def test_spectrum_integrates_to_the_luminosity(day):
    frequency = np.geomspace(1e12, 3e16, 3000)
    spectrum = [float(sn_shock.monochromatic(np.array(day), 2.99792458e18 / value)) for value in frequency]
    assert np.trapezoid(spectrum, frequency) == pytest.approx(float(sn_shock.luminosity(np.array(day))), rel=1e-4)


def test_red_supergiants_peak_where_sne_ii_do():
    days = np.geomspace(0.3, 40.0, 4000)
    for radius in (300.0, 500.0, 800.0):
        star = replace(sn_shock.TYPICAL, radius=radius)
        light = sn_shock.monochromatic(days, 5450.0, star)
        magnitude = -2.5 * np.log10(light.max() / (4 * np.pi * 3.0857e19**2)) - 48.6
        assert magnitude == pytest.approx(-16.74, abs=0.7)  # Anderson et al. 2014
    times = [days[sn_shock.monochromatic(days, 5450.0, replace(sn_shock.TYPICAL, radius=r)).argmax()] for r in (200.0, 800.0)]
    # V peaks when T has fallen to 9000 K: t ~ R^(0.25 / 0.446), less since L fades as the envelope turns transparent
    assert 0.35 < np.log(times[1] / times[0]) / np.log(4.0) < 0.25 / 0.446
    # the shape of the rise is the same for all: what one table for all stars takes for granted
    small, large = (
        sn_shock.monochromatic(np.linspace(0.05, 1.0, 40) * t, 5450.0, replace(sn_shock.TYPICAL, radius=r))
        for t, r in zip(times, (200.0, 800.0), strict=True)
    )
    np.testing.assert_allclose(-2.5 * np.log10(small / small[-1]), -2.5 * np.log10(large / large[-1]), atol=0.07)


def test_fast_ones_rise_within_days():
    table = population(3000, slow=0.0)
    mag = absolute(table, DAYS, "g")
    when = DAYS[mag.argmin(axis=1)]
    assert np.median(when) == pytest.approx(7.5, abs=0.4)  # Gonzalez-Gaitan et al. 2015
    below = DAYS[np.argmax(mag < mag.min(axis=1, keepdims=True) + 1.0, axis=1)]
    assert np.percentile(below, 95) < 3.0
    np.testing.assert_allclose(np.percentile(mag.min(axis=1), [5, 50, 95]), [-18.4, -16.75, -15.1], atol=0.15)


def test_slow_ones_rise_like_models_with_dense_winds():
    # Sixteen models of Moriya et al. 2018 at z = 0: within 1 mag of the g peak after 2.8 to 9.8 d, peak after 7 to 24 d,
    # 0.1 to 0.5 mag below it at 30 d, peaks -16.98 to -18.82.
    mag = absolute(population(3000, slow=1.0), DAYS, "g")
    peak = mag.min(axis=1)
    when = DAYS[mag.argmin(axis=1)]
    below = DAYS[np.argmax(mag < peak[:, None] + 1.0, axis=1)]
    fade = mag[:, np.searchsorted(DAYS, 30.0)] - peak
    assert ((when > 7) & (when < 24)).mean() > 0.9
    assert 2.8 < np.median(below) < 9.8
    assert 0.1 < np.median(fade) < 0.6
    assert np.percentile(peak, 10) > -18.82
    assert ((peak > -18.82) & (peak < -16.98)).mean() > 0.25


def test_second_rise_ends_at_its_time_in_v():
    # plateau() alone is what V adds to the shock cooling's own rise
    table = params(1, 1e-9, second_rise=2.0, second_time=20.0, rise_time=5.0)
    days = np.array([[0.0, 10.0, 20.0, 30.0]])
    np.testing.assert_allclose(snii.plateau(table, days)[0], [2.0, 0.5, 0.0, 0.265], atol=2e-3)


def test_plateau_has_the_slopes_and_the_end_that_were_drawn():
    table = population(2000, slow=0.0) | {"plateau_drop": np.zeros(2000)}
    start = table["rise_time"][:, None]
    mag = snii.plateau(table, start + np.array([5.0, 25.0, 35.0, 60.0]))
    np.testing.assert_allclose((mag[:, 1] - mag[:, 0]) / 0.2, table["decline_1"], atol=2e-3)
    np.testing.assert_allclose((mag[:, 3] - mag[:, 2]) / 0.25, table["decline_2"], atol=2e-3)
    falling = population(2000, slow=0.0) | {"decline_1": np.zeros(2000), "decline_2": np.zeros(2000)}
    end = falling["plateau_end"][:, None]
    drop = snii.plateau(falling, end + np.array([-40.0, 0.0, 40.0]))
    np.testing.assert_allclose(drop / falling["plateau_drop"][:, None], np.tile([0.0, 0.5, 1.0], (2000, 1)), atol=1e-3)


def test_population_follows_anderson_2014():
    drawn = snii.shape(50_000, np.random.default_rng(0), slow_fraction=0.3)
    # means and deviations of table 6; the slopes are cut, which moves them by the truncated tail
    assert np.mean(drawn["decline_1"]) == pytest.approx(2.65, abs=0.1)
    assert np.median(drawn["decline_1"]) == pytest.approx(2.65, abs=0.02)
    assert np.median(drawn["decline_2"]) == pytest.approx(1.27, abs=0.02)
    assert drawn["decline_1"].min() == 0.3
    assert drawn["decline_2"].min() == -0.3
    assert drawn["plateau_end"].mean() == pytest.approx(83.7, abs=0.3)
    assert drawn["plateau_end"].std() == pytest.approx(16.7, abs=0.2)
    assert (drawn["second_rise"] > 0).mean() == pytest.approx(0.3, abs=0.01)


def test_colours_of_the_plateau():
    table = population(1000, slow=0.5)
    g, r = (absolute(table, np.array([3.0, 10.0, 30.0, 50.0, 75.0]), band) for band in "gr")
    colour = np.median(g - r, axis=0)
    # hot at first; reddest at the end of the plateau; g-r 0.8 to 1.0 after 50 d (de Jaeger et al. 2018)
    assert colour[0] < -0.2
    assert colour[1] == pytest.approx(0.0, abs=0.1)
    assert 0.5 < colour[2] < 0.8
    assert 0.8 < colour[3] < 1.0
    assert (np.diff(colour) > 0).all()
    u, g = (absolute(table, np.array([50.0]), band) for band in "ug")
    assert np.median(u - g) > 1.2  # the lines


def test_falls_from_the_plateau_in_every_band():
    mag = {band: absolute(params(1, 1e-6), np.array([60.0, 110.0]), band)[0] for band in "gri"}
    for pair in mag.values():
        assert 2.0 < pair[1] - pair[0] < 4.0


def test_table_is_smooth_and_physical():
    values = snii.table().astype(float)
    assert np.isfinite(values).all()
    # at redshift 0, relative to V: black body of the shock's temperature at maximum
    peak = np.searchsorted(np.arange(0, 2.6, snii.STEP), 1.0)
    assert values[1, 0, peak] == pytest.approx(0.03, abs=0.05)
    # linear interpolation is then good to a hundredth of a magnitude: second difference / 8
    for axis in (1, 2):
        assert np.abs(np.diff(values[:, :, 40:], n=2, axis=axis)).max() / 8 < 0.01
