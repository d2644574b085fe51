"""Physics of the variable stars and the colours."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import skew

from skyreel_sources.cepheid import Cepheid
from skyreel_sources.colours import GI_RANGE, colour_of_temperature, draw_field_star, stellar_locus
from skyreel_sources.constant import NonVariable
from skyreel_sources.eclipsing_binary import EclipsingBinary
from skyreel_sources.fourier import Components, fourier_sum, peak_to_peak
from skyreel_sources.rr_lyrae import RRLyrae

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


def phi21(curve):
    """R21 and phi21 (n,) of the cosine series of magnitudes (n, 256), as OGLE defines them; phi21 in 2.5 .. 2.5 + 2 pi."""
    first, second = np.fft.rfft(curve, axis=1)[:, 1:3].T
    return np.abs(second) / np.abs(first), (np.angle(second) - 2 * np.angle(first) - 2.5) % (2 * np.pi) + 2.5


def test_fourier_sum_equals_the_plain_series():
    rng = np.random.default_rng(0)
    phase, cosine, sine = rng.random((7, 5)), rng.normal(size=(7, 9)), rng.normal(size=(7, 9))
    angle = 2 * np.pi * phase[:, :, None] * np.arange(1, 10)
    plain = (cosine[:, None] * np.cos(angle) + sine[:, None] * np.sin(angle)).sum(axis=-1)
    np.testing.assert_allclose(fourier_sum(phase, cosine, sine), plain, rtol=0, atol=1e-12)


def test_peak_to_peak_equals_that_of_the_sum():
    rng = np.random.default_rng(0)
    cosine, sine = rng.normal(size=(2, 5, 9))
    curve = fourier_sum(np.tile(np.arange(64) / 64, (5, 1)), cosine, sine)
    np.testing.assert_allclose(peak_to_peak(cosine, sine, 64), np.ptp(curve, axis=1), rtol=0, atol=1e-12)


def test_components_mix_types_and_bands():
    rng = np.random.default_rng(0)
    means, changes = rng.normal(size=(2, 3, 8)), [rng.normal(size=(2, 3, 8)), rng.normal(size=(1, 3, 8))]
    kind, scores = np.array([0, 1, 1], np.int8), rng.normal(size=(3, 2))
    phase, band = rng.random((3, 6)), rng.integers(0, 3, (3, 6)).astype(np.int8)
    curve = Components.stack(means, changes).curve(kind, scores, phase, band)
    for (row, epoch), value in np.ndenumerate(curve):
        change = changes[kind[row]]
        series = means[kind[row], band[row, epoch]] + scores[row, : len(change)] @ change[:, band[row, epoch]]
        angle = 2 * np.pi * phase[row, epoch] * np.arange(1, 5)
        assert value == pytest.approx(series[:4] @ np.cos(angle) + series[4:] @ np.sin(angle), abs=1e-12)


def test_rr_lyrae_population():
    params = draw(RRLyrae(), 20_000)
    ab = params["type"] == 0
    assert abs(ab.mean() - 379 / 483) < 0.01
    np.testing.assert_allclose(np.percentile(params["period"][ab], [5, 50, 95]), [0.474, 0.583, 0.692], atol=0.006)  # the kernel widens
    np.testing.assert_allclose(np.percentile(params["period"][~ab], [5, 50, 95]), [0.275, 0.340, 0.415], atol=0.006)
    assert np.median(params["amplitude"][~ab]) < 0.6 < np.median(params["amplitude"][ab])


def test_rrab_fall_on_the_period_amplitude_relation_of_oosterhoff_i_clusters():
    source = RRLyrae(fraction_ab=1.0)
    params = draw(source, 4000)
    g, r = (one_cycle(source, params, band) for band in "gr")
    amplitude = np.ptp(g - 0.59 * (g - r), axis=1)  # V = g - 0.59 (g-r) - 0.01, Jester et al. 2005, table 1
    log_period = np.log10(params["period"])
    # M3: Cacciari, Corwin & Carney 2005, AJ 129, 267 [recalled]. The field is a mix with longer periods and Blazhko stars.
    cluster = -2.627 - 22.046 * log_period - 30.876 * log_period**2
    for low, high in ((0.48, 0.52), (0.52, 0.56), (0.56, 0.60)):
        chosen = (params["period"] > low) & (params["period"] < high)
        assert np.median((amplitude - cluster)[chosen]) == pytest.approx(0.0, abs=0.2)
    assert np.corrcoef(log_period, amplitude)[0, 1] < -0.5


def test_rrab_rise_fast_and_rrc_are_nearly_symmetric():
    source = RRLyrae()
    params = draw(source, 2000)
    curve = one_cycle(source, params)
    rise = (curve.argmin(axis=1) - curve.argmax(axis=1)) / PHASE.size % 1.0  # from minimum to maximum light
    ab = params["type"] == 0
    assert 0.13 < np.median(rise[ab]) < 0.22
    assert np.percentile(rise[ab], 95) < 0.3
    assert 0.35 < np.median(rise[~ab]) < 0.45
    # A star that is faint for most of its cycle has negative skew in magnitudes.
    assert np.median(skew(curve[ab], axis=1)) < -0.3 < np.median(skew(curve[~ab], axis=1)) < 0.1
    assert params["period"][~ab].max() < np.median(params["period"][ab])


def test_rr_lyrae_is_brightest_at_phase_zero_and_moves_most_in_g():
    source = RRLyrae()
    params = draw(source, 1000)
    brightest = one_cycle(source, params).argmin(axis=1) / PHASE.size
    assert np.percentile(np.minimum(brightest, 1 - brightest), 95) < 0.03
    ptp = {band: np.ptp(one_cycle(source, params, band), axis=1) for band in "ugriz"}
    for more, less in ("gr", "ri", "iz"):
        assert (ptp[more] > ptp[less]).all()
    # Balmer jump: u moves less than g, by 5 % (ab) in Sesar et al. 2010.
    np.testing.assert_allclose(np.median((ptp["u"] / ptp["g"])[params["type"] == 0]), 0.95, atol=0.03)
    np.testing.assert_allclose(np.median(ptp["r"] / ptp["g"]), 0.72, atol=0.02)
    np.testing.assert_allclose(np.median(ptp["i"] / ptp["g"]), 0.57, atol=0.02)


def test_bluer_rr_lyrae_move_more():
    # Hotter stars of the instability strip have larger amplitudes (Sesar et al. 2010: colours at given amplitude are narrower).
    params = draw(RRLyrae(fraction_ab=1.0), 5000)
    assert np.corrcoef(params["amplitude"], params["r_g"])[0, 1] > 0.4


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


def test_cepheids_move_more_in_bluer_bands():
    source = Cepheid()
    params = draw(source, 2000)
    g, r, i = (np.ptp(one_cycle(source, params, band), axis=1) for band in "gri")
    assert np.mean((g > r) & (r > i)) > 0.999


def test_hertzsprung_progression():
    # Simon & Lee 1981, ApJ 248, 291: phi21 rises with the period up to the resonance of the second overtone at 10 d, where R21
    # dips, jumps back and rises again. I values: medians of OGLE-III fundamental-mode Cepheids.
    source = Cepheid(period_min=2.5, period_scatter=0.35)
    params = draw(source, 20_000)
    ratio, phase = phi21(one_cycle(source, params, "i"))
    edges = [2.5, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 17, 22, 35]
    bins = [(params["period"] >= low) & (params["period"] < high) for low, high in pairwise(edges)]
    ratio, phase = (np.array([np.median(values[rows]) for rows in bins]) for values in (ratio, phase))
    assert (np.diff(phase[:8]) > 0.05).all()
    assert phase[7] - phase[0] > 1.0
    assert phase[7] - phase[9] > 0.5
    assert phase[-1] > phase[9]
    assert edges[np.argmin(ratio)] in (9, 10, 12)
    assert ratio[[7, 8, 9]].min() < 0.15 < 0.3 < min(ratio[0], ratio[-1])
    np.testing.assert_allclose(phase[:4], [4.46, 4.57, 4.72, 4.88], atol=0.1)
    np.testing.assert_allclose(ratio[:6], [0.46, 0.44, 0.43, 0.41, 0.36, 0.32], atol=0.06)


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


def test_non_variable_is_constant_per_band():
    source = NonVariable()
    params = draw(source, 200)
    band = np.tile(np.repeat(np.arange(6, dtype=np.int8), 3), (200, 1))
    mag = source.light_curve(params, np.sort(np.random.default_rng(0).uniform(0, 30, band.shape)), band).mag
    np.testing.assert_allclose(mag.reshape(200, 6, 3).std(axis=2), 0.0, atol=1e-12)
    np.testing.assert_allclose(mag[:, 3], params["mean_mag"], rtol=0, atol=1e-12)


def test_stellar_locus_equals_the_published_polynomials():
    # Fifth-order fits of u-g, g-r, r-i, i-z against g-i by Covey et al. 2007; they deviate from their own table by 0.01-0.03 mag.
    fits = [
        [1.0636113, -1.6267818, 4.9389572, -3.2809081, 0.8725109, -0.0828035],
        [0.4290263, -0.8852323, 2.0740616, -1.1091553, 0.2397461, -0.0183195],
        [-0.4113500, 1.8229991, -1.9989772, 1.0662075, -0.2284455, 0.0172212],
        [-0.2270331, 0.7794558, -0.7350749, 0.3727802, -0.0735412, 0.0049808],
    ]
    colour = np.linspace(0.6, 3.0, 60)
    u, g, r, i, z, _ = stellar_locus(colour).T
    for ours, fit in zip((u - g, g - r, r - i, i - z), fits, strict=True):
        np.testing.assert_allclose(ours, np.polynomial.polynomial.polyval(colour, fit), rtol=0, atol=0.05)


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
