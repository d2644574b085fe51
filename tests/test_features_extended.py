"""The extended set against plain implementations, and what features recover from simulated stars."""

import math

import numpy as np
import pytest
from astropy.timeseries import LombScargle
from scipy import stats

from skyreel.features import EXTENDED, compute
from skyreel.features.car import car
from skyreel.features.curves import Curves
from skyreel.features.periodic import period
from skyreel.features.shape import _FALL, _RISE, _STARTS
from skyreel.features.table import BANDS
from skyreel_sources.rr_lyrae import RRLyrae

HITS = np.array([
    0, 0.085, 0.154, 0.929, 0.997, 1.064, 1.133, 1.203, 1.925, 1.993, 2.062, 2.131, 2.2, 2.923, 3.921, 4.186,
    4.918, 4.986, 5.053, 5.122, 5.19, 6.97, 7.031, 9.962, 10.03, 24.96, 25.03,
])  # fmt: skip
"""Times of the g exposures of a HiTS 2015 field [d]."""


def curves(n=6, points=25):
    """Curves at HiTS's times with noise, an outburst in every third and a sinusoid in every other."""
    rng = np.random.default_rng(11)
    t = np.tile(HITS[:points], (n, 1)) + 0.001 * rng.random((n, points))
    e = rng.uniform(2, 9, (n, points))
    m = rng.normal(100, 6, (n, points))
    m[::3] += 150 * np.exp(-np.clip(t[::3] - 5.0, -0.2, None) / 4)
    m[1::2] += 30 * np.sin(2 * np.pi * t[1::2] / 0.63)
    return t, m, e


T, M, E = curves()


@pytest.fixture(scope="module")
def values():
    return dict(zip(EXTENDED, compute(57070 + T, M, E, np.ones(T.shape, bool), EXTENDED).T, strict=True))


def constancy(m, e):
    mean = np.average(m, weights=1 / e**2)
    return mean, float((((m - mean) / e) ** 2).sum())


def gain(columns, m, e):
    """Share of the chi2 of constancy that a linear fit removes, and its coefficients."""
    design = np.stack(columns, axis=1) / e[:, None]
    fit = np.linalg.lstsq(design, m / e, rcond=None)[0]
    return 1 - float(((m / e - design @ fit) ** 2).sum()) / constancy(m, e)[1], fit


def adjusted(share, n, parameters):
    return max(1 - (1 - share) * (n - 1) / (n - 1 - parameters), -1)


def expected_noise(t, m, e):
    mean, chi2 = constancy(m, e)
    pull, top = (m - mean) / e, max(m)
    excess = np.var(m, ddof=1) - np.mean(e**2)
    return {
        "magnitude": 25 - 2.5 * math.log10(np.median(m)),
        "relative_amplitude": np.ptp(m) / top,
        "relative_second": sorted(m)[-2] / top,
        "relative_quartiles": stats.iqr(m) / top,
        "running_fall": max(max(m[:k]) - m[k] for k in range(1, len(m))) / top,
        "running_rise": max(m[k] - min(m[:k]) for k in range(1, len(m))) / top,
        "largest_gap": (top - sorted(m)[-2]) / (top - np.median(m)),
        "smallest_gap": (sorted(m)[1] - min(m)) / (np.median(m) - min(m)),
        "chi2_constant": math.log10(chi2 / (len(m) - 1)),
        "excess_scatter": math.copysign(math.sqrt(abs(excess)), excess) / top,
        "peak_significance": max(m / e),
        "largest_pull": max(pull),
        "outlier_share": np.mean(np.abs(pull) > 3),
        "pull_skewness": stats.skew(pull),
        "pull_kurtosis": stats.kurtosis(pull),
        "pull_memory": np.mean(pull[1:] * pull[:-1]) / np.mean(pull**2),
    }


def expected_trend(t, m, e):
    k = int(np.argmax(m))
    late = [j for j in range(k, len(m)) if m[j] > 3 * e[j]]
    slope = [(m[j + 1] - m[j]) / math.hypot(e[j], e[j + 1]) / max(t[j + 1] - t[j], 0.02) for j in range(len(m) - 1)]
    return {
        "kendall": stats.kendalltau(t, m).statistic,
        "kendall_before": stats.kendalltau(t[: k + 1], m[: k + 1]).statistic if k else 0.0,
        "kendall_after": stats.kendalltau(t[k:], m[k:]).statistic,
        "rise_days": t[k] - next(t[j] for j in range(len(m)) if m[j] > 5 * e[j]),
        "asymmetry": (np.mean(m[k + 1 :]) - np.mean(m[:k])) / m[k] if k else 0.0,
        "steepest_rise": max(slope),
        "steepest_fall": min(slope),
        "decline_rate": np.polyfit(t[late], np.log10(m[late]), 1, w=m[late] / e[late])[0],
    }


def expected_fits(t, m, e):
    flat = np.ones_like(t)
    line, slope = gain([flat, t], m, e)
    parabola, bend = gain([flat, t, t**2], m, e)
    steps = [gain([t >= t[k], t < t[k]], m, e) for k in range(1, len(t))]
    best, levels = max(steps, key=lambda step: step[0])
    return {
        "line_gain": adjusted(line, len(m), 1),
        "line_slope": slope[1] / max(m),
        "parabola_gain": adjusted(parabola, len(m), 2) - adjusted(line, len(m), 1),
        "parabola_curvature": 2 * bend[2] / max(m),
        "step_gain": adjusted(best, len(m), 3),
        "step_height": (levels[0] - levels[1]) / max(m),
    }


def expected_nights(t, m, e):
    night = np.cumsum(np.diff(t, prepend=t[0]) > 0.4)
    mean, _ = constancy(m, e)
    within, between, freedom, spans, steps, products = 0.0, 0.0, 0, [], [], []
    for each in range(night[-1] + 1):
        f, s = m[night == each], e[night == each]
        own, chi2 = constancy(f, s)
        within, freedom = within + chi2, freedom + len(f) - 1
        between += (own - mean) ** 2 * (1 / s**2).sum()
        spans.append(np.ptp(f))
        steps += list(np.abs(np.diff(f)) / np.hypot(s[1:], s[:-1]))
        products += list((f[1:] - mean) * (f[:-1] - mean) / s[1:] / s[:-1])
    inside, outside = math.log10(within / freedom), math.log10(between / night[-1])
    return {
        "night_scatter": inside,
        "nightly_scatter": outside,
        "night_ratio": outside - inside,
        "night_range": max(spans) / max(m),
        "night_step": np.mean(steps),
        "night_memory": np.mean(products) / np.mean(((m - mean) / e) ** 2),
    }


def expected_transient(t, m, e):
    n, found = len(t), []
    for start in t[np.unique(np.linspace(0, n - 1, _STARTS).astype(int))]:
        for rise in _RISE:
            for fall in _FALL:
                shape = np.exp(-(t - start) / fall) / (1 + np.exp(-(t - start) / rise))
                share, fit = gain([shape, np.ones_like(t)], m, e)
                if fit[0] > 0:
                    found.append((share, fit[1] / (fit[0] + fit[1]), rise, fall))
    share, base, rise, fall = max(found)
    chi2 = constancy(m, e)[1] * (1 - share) / (n - 2)
    return {
        "transient_gain": adjusted(share, n, 1),
        "transient_base": base,
        "transient_rise": rise,
        "transient_fall": fall,
        "transient_chi2": math.log10(chi2),
    }


def beyond_chance(share, n, number):
    noise = 1 - (1 - 0.5 ** (1 / number)) ** (2 / (n - 3))
    return max((share - noise) / (1 - noise), -1)


def expected_spectrum(t, m, e):
    step = 1 / (5 * 2 ** (math.ceil(2 * math.log2(t[-1] - t[0])) / 2))
    grid = step * np.arange(1, math.floor(10 / step + 1e-9) + 1)
    inside = grid * (t[-1] - t[0]) >= 1
    power = LombScargle(t, m, e).power(grid, method="slow")
    best = np.argmax(np.where(inside, power, 0))
    angle = np.pi * grid[best] * (t - t[0])
    mean = constancy(m, e)[0]
    waves = [np.ones_like(t), np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)]
    out = {
        "best_period": 1 / grid[best],
        "best_gain": beyond_chance(power[best], len(m), 10 * (t[-1] - t[0]) - 1),
        "two_harmonics_gain": adjusted(gain(waves, m, e)[0], len(m), 4) - adjusted(power[best], len(m), 2),
    }
    for low, high in BANDS:
        name = next(name for name in EXTENDED if name.startswith(f"gain_{low:.2f}-"))
        highest = max(p for f, p in zip(grid[inside], power[inside], strict=True) if low < 1 / f < high)
        out[name] = beyond_chance(highest, len(m), (t[-1] - t[0]) * (1 / low - 1 / high))
    for name, turns in (("folded_eta", 1), ("folded_eta_double", 2)):
        f = m[np.argsort(((t - t[0]) * grid[best] / turns) % 1, kind="stable")]
        out[name] = sum((f[j] - f[j - 1]) ** 2 for j in range(len(f))) / (2 * ((f - mean) ** 2).sum())
    return out


@pytest.mark.parametrize(
    "reference", [expected_noise, expected_trend, expected_fits, expected_nights, expected_transient, expected_spectrum]
)
@pytest.mark.parametrize("k", range(len(T)))
def test_equals_a_plain_implementation(values, reference, k):
    expected = reference(T[k], M[k], E[k])
    assert {name: values[name][k] for name in expected} == pytest.approx(expected, rel=1e-6, abs=1e-9)


def dated(flux, error):
    n, points = flux.shape
    return Curves(np.tile(HITS[:points], (n, 1)), flux, np.broadcast_to(error, flux.shape).copy())


def extended(flux, error):
    """The extended set of fluxes (n, points) at HiTS's times with one error."""
    curves = dated(flux, error)
    got = compute(57070 + curves.time, curves.flux, curves.error, np.ones(flux.shape, bool), EXTENDED)
    return dict(zip(EXTENDED, got.T, strict=True))


def test_period_of_rr_lyrae_at_the_dates_of_hits():
    source = RRLyrae()
    rng = np.random.default_rng(2)
    n = 300
    params = source.sample(n, rng)
    mjd = 57070 + np.tile(HITS, (n, 1))
    flux = 10 ** (0.4 * (25 - source.light_curve(params, mjd, np.ones(mjd.shape, np.int8)).mag))
    flux *= 1000 / flux.mean(axis=1, keepdims=True)
    noisy = flux + rng.normal(0, 1000 / 40, flux.shape)
    got = period(dated(noisy, 25.0))["PeriodLS"]
    true = 1 / params["period"]
    alias = np.array([0, 1, -1, 2, -2])  # cycles a day that HiTS's nights cannot tell from the true frequency
    near = np.abs(np.abs(true[:, None] + alias) * got[:, None] - 1) < 0.01
    assert near[:, 0].mean() > 0.9
    assert near.any(axis=1).mean() > 0.95


def walks(n, times, tau, sigma, rng):
    """Exact samples of the damped random walk with relaxation time tau and driving noise sigma."""
    x = np.empty((n, len(times)))
    deviation = sigma * math.sqrt(tau / 2)
    x[:, 0] = rng.normal(0, deviation, n)
    for k, gap in enumerate(np.diff(times), start=1):
        keep = math.exp(-gap / tau)
        x[:, k] = keep * x[:, k - 1] + rng.normal(0, deviation * math.sqrt(1 - keep**2), n)
    return x


@pytest.mark.parametrize("tau", [0.3, 1.0, 3.0])
def test_damped_random_walk(tau):
    rng = np.random.default_rng(7)
    times = np.cumsum(rng.uniform(0.1, 1.0, 200))
    flux = 500 + walks(60, times, tau, 20.0, rng)
    noisy = flux + rng.normal(0, 1.0, flux.shape)
    got = car(Curves(np.tile(times - times[0], (60, 1)), noisy, np.ones_like(noisy)))
    # about span / tau independent stretches of the walk fix ln tau to sqrt(2 tau / span) or so
    wide = math.sqrt(2 * tau / (times[-1] - times[0])) + 0.15
    assert np.median(np.log(got["CAR_tau"] / tau)) == pytest.approx(0.0, abs=wide)
    assert np.log(got["CAR_tau"] / tau).std() < 2.5 * wide
    assert np.median(got["CAR_sigma"]) == pytest.approx(20.0, rel=0.1)
    np.testing.assert_allclose(got["CAR_mean"], noisy.mean(axis=1) / got["CAR_tau"])


def test_an_asteroid_passing_in_one_exposure_is_one_point():
    rng = np.random.default_rng(3)
    flux = rng.normal(0, 5, (50, 25))
    flux[:, 9] += 2000
    got = extended(flux, 5.0)
    assert (got["largest_gap"] > 0.95).all()
    assert (got["relative_second"] < 0.02).all()
    assert (got["significant_share"] == 1 / 25).mean() > 0.95
    assert (got["step_gain"] < 0.2).all()


def test_a_supernova_rises_once_and_declines_slowly():
    rng = np.random.default_rng(3)
    flux = 1000 * np.exp(-np.abs(HITS - 6) / np.where(HITS < 6, 1.0, 20.0)) + rng.normal(0, 10, (50, 27))
    got = extended(flux, 10.0)
    assert got["decline_rate"] == pytest.approx(np.full(50, -math.log10(math.e) / 20), rel=0.1)
    # the earliest points are noise: their order is free
    assert got["kendall_before"].mean() > 0.7
    assert (got["kendall_after"] < -0.5).all()
    assert (got["transient_gain"] > 0.9).all()
    assert (got["transient_base"] < 0.15).all()
    assert (got["nightly_scatter"] > got["night_scatter"]).all()


def test_noise_does_not_tell_how_long_it_was_watched():
    # a share of pairs ordered alike of 0.5 is no information, 1 a label; ranges and extremes grow with the points
    rng = np.random.default_rng(0)
    few, many = (extended(1000 + rng.normal(0, 30, (400, points)), 30.0) for points in (12, 24))
    order = {name: np.mean(np.sign(many[name][:, None] - few[name][None])) / 2 for name in EXTENDED}
    assert {name: share for name, share in order.items() if abs(share) > 0.3} == {}
