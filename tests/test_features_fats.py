"""Every FATS feature against plain Python written from its published definition, one curve at a time."""

import itertools
import math

import numpy as np
import pytest
from astropy.timeseries import LombScargle
from scipy import stats
from scipy.optimize import minimize

from skyreel.features import FATS, FEATURES, compute
from skyreel.features.car import TAU, VARIANCE, likelihood
from skyreel.features.periodogram import OVERSAMPLING, SHORTEST

LEVEL = math.exp(-1)


def curves():
    """Light curves of 3 to 60 points: noise, sinusoids, bumps, negative fluxes, one with a few equal fluxes."""
    rng = np.random.default_rng(42)
    made = []
    for k, n in enumerate((3, 4, 5, 7, 10, 19, 20, 21, 22, 25, 33, 60)):
        t = np.sort(57070.0 + rng.choice(np.arange(0, 20, 0.067), n, replace=False) + 0.01 * rng.random(n))
        e = rng.uniform(3, 20, n)
        m = 10 * k + rng.normal(0, 20, n) + 100 * np.sin(2 * np.pi * t / 0.61) * (k % 2) + 200 * np.exp(-((t - 57078) ** 2)) * (k % 3)
        made.append((t, np.round(m, -1) if k == 9 else m, e))
    return made


CURVES = curves()


@pytest.fixture(scope="module")
def values():
    """All features of all curves, computed together: dict of name -> (curves,)."""
    width = max(len(t) for t, _, _ in CURVES)
    arrays = [np.stack([np.pad(curve[part], (0, width - len(curve[part]))) for curve in CURVES]) for part in range(3)]
    mask = np.arange(width) < np.array([len(t) for t, _, _ in CURVES])[:, None]
    return dict(zip(FATS, compute(*arrays, mask).T, strict=True))


def std(m):
    mean = sum(m) / len(m)
    return math.sqrt(sum((x - mean) ** 2 for x in m) / len(m))


def median(m):
    x = sorted(m)
    return (x[(len(x) - 1) // 2] + x[len(x) // 2]) / 2


def quantile(m, share):
    x, place = sorted(m), share * (len(m) - 1)
    low = math.floor(place)
    return x[low] + (place - low) * (x[min(low + 1, len(x) - 1)] - x[low])


def weighted_mean(m, e):
    return sum(x / s**2 for x, s in zip(m, e, strict=True)) / sum(1 / s**2 for s in e)


def ranked(m, share, rounding=math.ceil):
    return sorted(m)[min(rounding(share * len(m)), len(m) - 1)]


def mid(t, m, e, share):
    top = ranked(m, 0.95, math.floor if share == 0.8 else math.ceil)
    return (ranked(m, round(0.5 + share / 2, 3)) - ranked(m, round(0.5 - share / 2, 3))) / (top - ranked(m, 0.05))


def amplitude(t, m, e):
    tail = math.ceil(0.05 * len(m))
    x = sorted(m)
    return (median(x[-tail:]) - median(x[:tail])) / 2


def anderson_darling(t, m, e):
    n, mean = len(m), sum(m) / len(m)
    sample = std(m) * math.sqrt(n / (n - 1))
    below = [stats.norm.cdf((x - mean) / sample) for x in sorted(m)]
    total = sum((2 * i + 1) * (math.log(below[i]) + math.log(1 - below[n - 1 - i])) for i in range(n))
    return 1 / (1 + math.exp(-10 * (-n - total / n - 0.3)))


def beyond(t, m, e):
    mean = weighted_mean(m, e)
    wide = math.sqrt(sum((x - mean) ** 2 for x in m) / (len(m) - 1))
    return sum(x > mean + wide or x < mean - wide for x in m) / len(m)


def con(t, m, e):
    mean, wide = sum(m) / len(m), 2 * std(m)
    out = [abs(x - mean) > wide for x in m]
    return sum(all(out[i : i + 3]) for i in range(len(m) - 2)) / (len(m) - 2)


def eta_e(t, m, e):
    n = len(m)
    w = [1 / (t[i + 1] - t[i]) ** 2 for i in range(n - 1)]
    s1 = sum(w[i] * (m[i + 1] - m[i]) ** 2 for i in range(n - 1))
    return sum(w) / len(w) * (t[-1] - t[0]) ** 2 * s1 / (std(m) ** 2 * sum(w) * n**2)


def gskew(t, m, e):
    low, high = quantile(m, 0.03), quantile(m, 0.97)
    return median([x for x in m if x <= low]) + median([x for x in m if x >= high]) - 2 * median(m)


def pair_slope(t, m, e):
    steps = np.diff(m[-30:])
    return ((steps > 0).sum() - (steps <= 0).sum()) / 30


def rcs_of(m):
    s = np.cumsum([x - sum(m) / len(m) for x in m])
    return (max(s) - min(s)) / (len(m) * std(m))


def kurtosis(t, m, e):
    n, mean, wide = len(m), sum(m) / len(m), std(m)
    total = sum(((x - mean) / wide) ** 4 for x in m)
    return n * (n + 1) / ((n - 1) * (n - 2) * (n - 3)) * total - 3 * (n - 1) ** 2 / ((n - 2) * (n - 3))


def stetson_of(x, mean, e):
    pulls = [(value - mean) / s for value, s in zip(x, e, strict=True)]
    return sum(abs(p) for p in pulls) / math.sqrt(len(x) * sum(p * p for p in pulls))


def autocor_length(t, m, e):
    x = [value - sum(m) / len(m) for value in m]
    zero = sum(value**2 for value in x)
    return next(k for k in range(1, len(x)) if sum(x[i] * x[i + k] for i in range(len(x) - k)) / zero < LEVEL)


def slots(t, m):
    """Slot width, slots that hold pairs, autocorrelation in them."""
    n = len(t)
    width = sorted(t[i + 1] - t[i] for i in range(n - 1))[min(int(0.05 * n) + 1, n - 2)]
    x = [value - sum(m) / n for value in m]
    products = {0: [value**2 for value in x]}
    for i in range(n):
        for j in range(i + 1, n):
            products.setdefault(math.floor((t[j] - t[i]) / width + 0.5), []).append(x[i] * x[j])
    mean = {slot: sum(each) / len(each) for slot, each in sorted(products.items())}
    return width, list(mean), [value / mean[0] for value in mean.values()]


def slotted_length(t, m, e):
    width, slot, value = slots(t, m)
    return width * next(k for k, v in zip(slot, value, strict=True) if v < LEVEL)


def stetson_ac(t, m, e):
    _, slot, value = slots(t, m)
    first = [v for k, v in zip(slot, value, strict=True) if k < 100]
    return stetson_of(first, sum(first) / len(first), [1.0] * len(first))


def structure(t, m, e, a, b):
    even = np.interp(np.linspace(t[0], t[-1], 100), t, m)
    size = {p: [np.mean(np.abs(even[lag:] - even[:-lag]) ** p) for lag in range(1, 100)] for p in (a, b)}
    return np.polyfit(np.log10(size[b]), np.log10(size[a]), 1)[0]


def frequencies(t):
    span = t[-1] - t[0]
    rung = math.ceil(2 * math.log2(max(span, 1.0)))
    step = 1 / (OVERSAMPLING * 2 ** (rung / 2))
    grid = step * np.arange(1, math.floor(1 / (SHORTEST * step) + 1e-9) + 1)
    return grid[grid * span >= 1]


def lomb_scargle(t, m):
    """Highest peak: frequency and height in units of half the sample variance, by astropy."""
    grid = frequencies(t)
    power = LombScargle(t - t[0], m - np.mean(m), fit_mean=False, center_data=False).power(grid, method="slow")
    return grid[np.argmax(power)], np.max(power) * (len(m) - 1) / 2


def false_alarm(t, m, e):
    _, height = lomb_scargle(t, m)
    grid = frequencies(t)
    tries = 2 * grid[-1] * (t[-1] - t[0])
    chance = tries * math.exp(-height)
    return chance if chance <= 0.01 else 1 - (1 - math.exp(-height)) ** tries


def folded(t, m):
    double = 2 / lomb_scargle(t, m)[0]
    return [m[i] for i in sorted(range(len(m)), key=lambda i: ((t[i] - t[0]) % double) / double)]


def psi_eta(t, m, e):
    f = folded(t, m)
    return sum((b - a) ** 2 for a, b in itertools.pairwise(f)) / ((len(f) - 1) * std(f) ** 2)


def harmonics(t, m, peak):
    """Amplitudes and phases of the four harmonics of the given peak (from 1)."""
    m = np.array(m)
    for _ in range(peak):
        f = lomb_scargle(t, m)[0]
        fits = []
        for k in range(1, 5):
            angle = 2 * np.pi * k * f * (t - t[0])
            columns = np.stack([np.sin(angle), np.cos(angle), np.ones_like(angle)], axis=1)
            fits.append((columns, np.linalg.lstsq(columns, m, rcond=None)[0]))
        m = m - sum(columns @ fit for columns, fit in fits)
    return [(math.hypot(fit[0], fit[1]), math.atan(fit[1] / fit[0])) for _, fit in fits]


EXACT = {
    "Amplitude": amplitude,
    "AndersonDarling": anderson_darling,
    "Autocor_length": autocor_length,
    "Beyond1Std": beyond,
    "Con": con,
    "Eta_e": eta_e,
    **{f"FluxPercentileRatioMid{share}": lambda t, m, e, share=share: mid(t, m, e, share / 100) for share in (20, 35, 50, 65, 80)},
    "Gskew": gskew,
    "LinearTrend": lambda t, m, e: stats.linregress(t - t[0], m).slope,
    "MaxSlope": lambda t, m, e: max(abs(m[i + 1] - m[i]) / (t[i + 1] - t[i]) for i in range(len(m) - 1)),
    "Mean": lambda t, m, e: sum(m) / len(m),
    "Meanvariance": lambda t, m, e: std(m) / (sum(m) / len(m)),
    "MedianAbsDev": lambda t, m, e: median([abs(x - median(m)) for x in m]),
    "MedianBRP": lambda t, m, e: sum(abs(x - median(m)) < (max(m) - min(m)) / 10 for x in m) / len(m),
    "PairSlopeTrend": pair_slope,
    "PercentAmplitude": lambda t, m, e: max(abs(x - median(m)) for x in m) / median(m),
    "PercentDifferenceFluxPercentile": lambda t, m, e: (ranked(m, 0.95) - ranked(m, 0.05)) / median(m),
    "PeriodLS": lambda t, m, e: 1 / lomb_scargle(t, m)[0],
    "Period_fit": false_alarm,
    "Psi_CS": lambda t, m, e: rcs_of(folded(t, m)),
    "Psi_eta": psi_eta,
    "Q31": lambda t, m, e: quantile(m, 0.75) - quantile(m, 0.25),
    "Rcs": lambda t, m, e: rcs_of(m),
    "Skew": lambda t, m, e: sum((x - sum(m) / len(m)) ** 3 for x in m) / len(m) / std(m) ** 3,
    "SlottedA_length": slotted_length,
    "SmallKurtosis": kurtosis,
    "Std": lambda t, m, e: std(m),
    "StetsonK": lambda t, m, e: stetson_of(m, weighted_mean(m, e), e),
    "StetsonK_AC": stetson_ac,
    **{f"StructureFunction_index_{a}{b}": lambda t, m, e, a=a, b=b: structure(t, m, e, a, b) for a, b in ((2, 1), (3, 1), (3, 2))},
}
HARMONICS = [name for name in FATS if name.startswith("Freq")]


def test_every_feature_is_tested():
    assert set(EXACT) | set(HARMONICS) | {"CAR_mean", "CAR_sigma", "CAR_tau"} == set(FATS)


@pytest.mark.parametrize("name", EXACT)
def test_equals_the_definition(values, name):
    able = [k for k, curve in enumerate(CURVES) if len(curve[0]) >= FEATURES[name].minimum]
    expected = [EXACT[name](*CURVES[k]) for k in able]
    np.testing.assert_allclose(values[name][able], expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("k", [6, 8, 9])
def test_harmonics_equal_successive_fits(values, k):
    t, m, _ = CURVES[k]
    for peak in (1, 2, 3):
        fits = harmonics(t, m, peak)
        for j, (size, phase) in enumerate(fits):
            assert values[f"Freq{peak}_harmonics_amplitude_{j}"][k] == pytest.approx(size, rel=1e-6)
            if j:
                assert values[f"Freq{peak}_harmonics_rel_phase_{j}"][k] == pytest.approx(phase - fits[0][1], abs=1e-6)


def car_by_covariance(t, x, e, tau, variance):
    """Log density of all points but the first given the first, from the joint covariance of the process and its noise."""
    covariance = variance * np.exp(-np.abs(t[:, None] - t[None]) / tau) + np.diag(e**2)
    joint = stats.multivariate_normal(np.zeros(len(t)), covariance).logpdf(x)
    return joint - stats.norm(0, math.sqrt(covariance[0, 0])).logpdf(x[0])


@pytest.mark.parametrize("k", [0, 5, 9, 11])
def test_car_likelihood_is_that_of_the_joint_normal_distribution(k):
    t, m, e = CURVES[k]
    tau, variance = np.array([0.05, 3.0]), np.array([10.0, 4e4, 1e6])
    got = likelihood(np.diff(t)[:, None], (m - m.mean())[:, None], e[:, None] ** 2, tau[:, None], variance[:, None])
    expected = [[car_by_covariance(t, m - m.mean(), e, a, b) for b in variance] for a in tau]
    np.testing.assert_allclose(got[..., 0], expected, rtol=1e-9)


@pytest.mark.parametrize("k", [2, 4, 7, 9, 10])
def test_car_is_as_likely_as_an_optimiser_from_many_starts_finds(values, k):
    t, m, e = CURVES[k]
    wide = std(m)

    def loss(p):
        return -car_by_covariance(t, (m - m.mean()) / wide, e / wide, *np.exp(p))

    bounds = [np.log(TAU), np.log(VARIANCE)]
    starts = [(a, b) for a in np.log([0.03, 0.5, 10]) for b in np.log([0.1, 5])]
    best = min(minimize(loss, start, method="L-BFGS-B", bounds=bounds).fun for start in starts)
    tau = values["CAR_tau"][k]
    variance = values["CAR_sigma"][k] ** 2 * tau / 2 / wide**2
    assert loss(np.log([tau, variance])) < best + 0.05
    assert values["CAR_mean"][k] == pytest.approx(m.mean() / tau, rel=1e-12)
