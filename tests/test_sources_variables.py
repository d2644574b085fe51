"""Physics of the variable stars, the asteroids and the colours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyreel_sources.asteroid import Asteroid
from skyreel_sources.cepheid import Cepheid
from skyreel_sources.colours import GI_RANGE, colour_of_temperature, draw_field_star, stellar_locus
from skyreel_sources.constant import Galaxy, NonVariable
from skyreel_sources.eclipsing_binary import EclipsingBinary
from skyreel_sources.fourier import fourier_sum
from skyreel_sources.rr_lyrae import RRLyrae
from skyreel_sources.tables import build_eclipsing_binary as script
from skyreel_sources.tables import load, roche

PERIODIC = (RRLyrae, Cepheid, EclipsingBinary)
PHASE = np.arange(256) / 256


def draw(source, n, seed=0):
    return source.sample(n, np.random.default_rng(seed))


def one_cycle(source, params, band="g"):
    """Magnitudes (n, 256) at equally spaced phases from 0 on."""
    mjd = params["epoch"][:, None] + params["period"][:, None] * PHASE
    return source.light_curve(params, mjd, np.full(mjd.shape, source.bands.index(band), np.int8)).mag


@pytest.mark.parametrize("cls", PERIODIC)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), cycles=st.integers(1, 2000))
def test_periodic(cls, seed, cycles):
    source = cls()
    params = draw(source, 30, seed)
    rng = np.random.default_rng(seed)
    mjd = rng.uniform(57070, 57095, (30, 10))
    band = rng.integers(0, len(source.bands), mjd.shape).astype(np.int8)
    later = source.light_curve(params, mjd + cycles * params["period"][:, None], band).mag
    np.testing.assert_allclose(later, source.light_curve(params, mjd, band).mag, rtol=0, atol=1e-5)


@pytest.mark.parametrize("cls", PERIODIC)
def test_mean_over_phase_is_the_drawn_magnitude(cls):
    source = cls()
    params = draw(source, 500)
    np.testing.assert_allclose(one_cycle(source, params).mean(axis=1), params["mean_mag"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("cls", PERIODIC)
def test_amplitude_column_is_peak_to_peak(cls):
    source = cls()
    params = draw(source, 500)
    measured = np.ptp(one_cycle(source, params), axis=1)
    np.testing.assert_allclose(measured / params["amplitude"], 1.0, atol=0.02)


@pytest.mark.parametrize("cls", PERIODIC)
def test_colours_are_finite_and_stellar(cls):
    source = cls()
    params = draw(source, 500)
    means = {band: one_cycle(source, params, band).mean(axis=1) for band in source.bands}
    assert all(np.isfinite(mean).all() for mean in means.values())
    colour = means["g"] - means["r"]
    assert (colour > -0.5).all()
    assert (colour < 1.7).all()


def test_fourier_sum_equals_the_plain_series():
    rng = np.random.default_rng(0)
    phase, cosine, sine = rng.random((7, 5)), rng.normal(size=(7, 9)), rng.normal(size=(7, 9))
    angle = 2 * np.pi * phase[:, :, None] * np.arange(1, 10)
    plain = (cosine[:, None] * np.cos(angle) + sine[:, None] * np.sin(angle)).sum(axis=-1)
    np.testing.assert_allclose(fourier_sum(phase, cosine, sine), plain, rtol=0, atol=1e-12)


def test_rr_lyrae_population():
    params = draw(RRLyrae(), 20_000)
    ab = params["type"] == 0
    assert abs(ab.mean() - 379 / 483) < 0.01
    np.testing.assert_allclose(np.percentile(params["period"][ab], [5, 50, 95]), [0.474, 0.583, 0.692], atol=0.004)
    np.testing.assert_allclose(np.percentile(params["period"][~ab], [5, 50, 95]), [0.275, 0.340, 0.415], atol=0.004)
    # Bailey diagram: amplitude against period, with the scatter of the sample.
    residual = params["amplitude"][ab] - (0.07 - 3.77 * np.log10(params["period"][ab]))
    middle = (params["period"][ab] > 0.5) & (params["period"][ab] < 0.7)  # few amplitudes are clipped to the sample's range here
    assert abs(np.median(residual[middle])) < 0.01
    assert abs(residual[middle].std() - 0.23) < 0.01
    assert np.median(params["amplitude"][~ab]) < 0.6 < np.median(params["amplitude"][ab])


def test_rrab_rises_fast_and_rrc_is_nearly_symmetric():
    source = RRLyrae()
    params = draw(source, 2000)
    curve = one_cycle(source, params)
    rise = (curve.argmin(axis=1) - curve.argmax(axis=1)) / PHASE.size % 1.0  # from minimum to maximum light
    ab = params["type"] == 0
    assert np.percentile(rise[ab], 95) < 0.3
    assert 0.3 < np.median(rise[~ab]) < 0.5


def test_rr_lyrae_is_brightest_at_phase_zero_and_bluer_bands_move_more():
    source = RRLyrae()
    params = draw(source, 1000)
    brightest = one_cycle(source, params).argmin(axis=1) / PHASE.size
    assert np.percentile(np.minimum(brightest, 1 - brightest), 95) < 0.03
    ptp = {band: np.ptp(one_cycle(source, params, band), axis=1) for band in "griz"}
    assert (ptp["g"] > ptp["r"]).all()
    assert (ptp["r"] > ptp["i"]).all()
    assert (ptp["i"] > ptp["z"]).all()


def test_cepheids_have_long_periods_and_large_amplitudes():
    source = Cepheid()
    params = draw(source, 5000)
    assert params["period"].min() >= 3.0
    assert params["period"].max() <= 85.0
    assert 6.0 < np.median(params["period"]) < 8.0
    low, middle, high = np.percentile(params["amplitude"], [5, 50, 95])
    assert 0.35 < low < 0.6
    assert 0.8 < middle < 1.0
    assert 1.2 < high < 1.6
    red = np.ptp(one_cycle(source, params, "i"), axis=1)
    np.testing.assert_allclose(np.median(red / params["amplitude"]), 0.45, atol=0.1)


def test_cepheids_rise_faster_than_they_fade():
    source = Cepheid(period_centre=5.0, period_scatter=0.02)
    params = draw(source, 500)
    curve = one_cycle(source, params)
    rise = (curve.argmin(axis=1) - curve.argmax(axis=1)) / PHASE.size % 1.0
    assert np.percentile(rise, 90) < 0.45


def test_longer_cepheids_are_redder():
    source = Cepheid()
    params = draw(source, 2000)
    colour = one_cycle(source, params, "g").mean(axis=1) - one_cycle(source, params, "r").mean(axis=1)
    assert np.corrcoef(np.log10(params["period"]), colour)[0, 1] > 0.99


def test_binaries_have_two_eclipses_the_deeper_at_phase_zero():
    source = EclipsingBinary()
    params = draw(source, 3000)
    curve = one_cycle(source, params)
    np.testing.assert_allclose(curve[:, 0], curve.max(axis=1), atol=0.012)
    quadrature = curve[:, 64]
    primary, secondary = curve[:, 0] - quadrature, curve[:, 128] - quadrature
    assert (primary > 0.04).all()
    assert (primary >= secondary - 1e-9).all()
    contact = params["type"] == 0
    assert (secondary[contact] > 0.04).all()
    # Symmetric about the eclipse: circular synchronous orbits.
    np.testing.assert_allclose(curve[:, 1:], curve[:, :0:-1], rtol=0, atol=1e-6)


def test_binary_depths_stay_within_geometry():
    params = draw(EclipsingBinary(), 20_000)
    contact = params["type"] == 0
    assert params["amplitude"].min() > 0.099
    assert np.percentile(params["amplitude"][contact], 99) < 1.15
    assert params["amplitude"].max() < 1.6
    assert abs((~contact).mean() - 0.12) < 0.01
    assert np.median(params["period"][contact]) == pytest.approx(0.305, abs=0.02)
    assert np.median(params["period"][~contact]) > 0.8


def test_bank_is_what_its_script_makes():
    rng = np.random.default_rng(script.SEED)
    made = []
    while len(made) < 5:
        system, curve = script.contact(rng)
        if np.ptp(curve) > script.SHALLOWEST:
            made.append((system, curve if curve[0] >= curve[-1] else curve[::-1]))
    table = load("eclipsing_binary.npz")
    for row, (system, curve) in enumerate(made):
        np.testing.assert_allclose(table["system"][row], system, rtol=1e-6)
        np.testing.assert_allclose(table["curve"][row], 1e3 * curve, rtol=0, atol=1.0)


def test_distant_spheres_eclipse_as_discs_do():
    # Far apart, edge-on, equal temperatures, radii 0.05 and 0.03: a total eclipse and a central transit of
    # limb-darkened discs, I = 1 - u (1 - mu).
    levels = roche.potential(1.0, np.array([0.0, 1.0]), np.zeros(2), np.array([0.05, 0.03]))
    depth = roche.light_curve(1.0, (levels[0], levels[1]), (5800.0, 5800.0), 90.0, np.array([0.0, 0.25, 0.5]))
    k, u = 0.03 / 0.05, 0.80 - 0.08 * 1.3
    covered = ((1 - u) * k**2 + u * 2 / 3 * (1 - (1 - k**2) ** 1.5)) / (1 - u + u * 2 / 3)
    total = 2.5 * np.log10(1 + k**2)
    transit = -2.5 * np.log10(1 - covered / (1 + k**2))
    np.testing.assert_allclose(depth, [transit, 0.0, total], atol=0.01)


def test_lagrange_points_of_equal_masses():
    # L1 lies midway, where the potential is 2 + 2 - 1/2 + 1/4; L2 and L3 lie at equal distances outside.
    l1, l2, l3 = roche.lagrange(1.0)
    assert l1 == pytest.approx(0.5, abs=1e-9)
    assert l2 - 1.0 == pytest.approx(-l3, abs=1e-9)
    assert l2 == pytest.approx(1.69841, abs=1e-4)
    assert roche.on_axis(1.0, l1) == pytest.approx(3.75, abs=1e-6)


def test_non_variable_is_constant_per_band():
    source = NonVariable()
    params = draw(source, 200)
    band = np.tile(np.repeat(np.arange(6, dtype=np.int8), 3), (200, 1))
    mag = source.light_curve(params, np.sort(np.random.default_rng(0).uniform(0, 30, band.shape)), band).mag
    np.testing.assert_allclose(mag.reshape(200, 6, 3).std(axis=2), 0.0, atol=1e-12)
    np.testing.assert_allclose(mag[:, 3], params["mean_mag"], rtol=0, atol=1e-12)


def test_galaxy_gives_no_point_source_light():
    source = Galaxy()
    mjd = np.zeros((5, 4))
    assert np.isposinf(source.light_curve(draw(source, 5), mjd, np.zeros(mjd.shape, np.int8)).mag).all()


def test_stellar_locus_reproduces_its_colour():
    colour = np.linspace(*GI_RANGE, 200)
    locus = stellar_locus(colour)
    np.testing.assert_allclose(-locus[:, 3], colour, atol=0.011)
    assert np.isfinite(locus).all()
    np.testing.assert_array_equal(locus[:, 4], locus[:, 5])


def test_the_sun_has_solar_colours():
    # g-r = 0.44, r-i = 0.11 for the Sun (SDSS DR7 transformation pages).
    locus = stellar_locus(colour_of_temperature(np.array([5772.0])))[0]
    assert -locus[2] == pytest.approx(0.44, abs=0.05)
    assert locus[2] - locus[3] == pytest.approx(0.11, abs=0.06)


def test_field_stars_are_bimodal():
    colour = draw_field_star(20_000, np.random.default_rng(0))
    counts, _ = np.histogram(colour, np.arange(0.2, 3.2, 0.2))
    blue, valley, red = counts[2], counts[5:8].min(), counts[10:12].max()
    assert valley < 0.8 * min(blue, red)


@pytest.mark.parametrize("epoch", ["nearest", "uniform"])
def test_asteroid_shines_once_at_its_magnitude(epoch):
    source = Asteroid(epoch=epoch)
    rng = np.random.default_rng(0)
    mjd = np.sort(rng.uniform(57070, 57095, (2000, 20)), axis=1)
    params = source.sample(2000, rng, window=mjd[:, [0, -1]])
    light = source.light_curve(params, mjd, np.full(mjd.shape, 1, np.int8))
    lit = np.isfinite(light.mag)
    np.testing.assert_array_equal(lit.sum(axis=1), 1)
    np.testing.assert_allclose(light.mag[lit], params["mean_mag"], rtol=0, atol=1e-12)
    assert light.offset is None
    assert light.trail is None
    shuffled = rng.permutation(20)
    again = source.light_curve(params, mjd[:, shuffled], np.full(mjd.shape, 1, np.int8)).mag
    np.testing.assert_array_equal(again, light.mag[:, shuffled])


def test_asteroid_shines_at_the_epoch_nearest_to_its_date():
    source = Asteroid(epoch="nearest")
    rng = np.random.default_rng(0)
    mjd = np.sort(rng.uniform(57070, 57095, (500, 20)), axis=1)
    params = source.sample(500, rng, window=mjd[:, [0, -1]])
    lit = np.isfinite(source.light_curve(params, mjd, np.zeros(mjd.shape, np.int8)).mag)
    gap = np.abs(mjd - params["date"][:, None])
    np.testing.assert_array_equal(gap[lit], gap.min(axis=1))


def test_uniform_asteroids_do_not_prefer_epochs_beside_gaps():
    mjd = np.tile([0.0, 0.01, 0.02, 10.0, 10.01, 10.02], (12_000, 1))
    params = Asteroid(epoch="uniform").sample(12_000, np.random.default_rng(0), window=mjd[:, [0, -1]])
    band = np.zeros(mjd.shape, np.int8)
    share = {e: np.isfinite(Asteroid(epoch=e).light_curve(params, mjd, band).mag).mean(axis=0) for e in ("uniform", "nearest")}
    np.testing.assert_allclose(share["uniform"], 1 / 6, atol=0.015)
    assert share["nearest"][1] < 0.01


def test_asteroid_trail_and_motion():
    source = Asteroid(trail_rate=35.0, exptime=86.0)
    rng = np.random.default_rng(0)
    mjd = np.tile([0.0, 1 / 24, 2 / 24], (50, 1))
    params = source.sample(50, rng, window=mjd[:, [0, -1]])
    light = source.light_curve(params, mjd, np.ones(mjd.shape, np.int8))
    np.testing.assert_allclose(light.trail, 35.0 * 86.0 / 3600.0)  # 0.84 arcsec
    lit = np.isfinite(light.mag)
    np.testing.assert_array_equal(light.offset[lit], 0.0)
    step = np.linalg.norm(np.diff(light.offset, axis=1), axis=-1)
    np.testing.assert_allclose(step, 35.0)
    heading = np.arctan2(*(light.offset[:, 2] - light.offset[:, 0]).T[::-1]) % (2 * np.pi)
    np.testing.assert_allclose(heading, params["direction"], atol=1e-9)
