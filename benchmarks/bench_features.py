"""Features of light curves with 25 points beside named baselines, in one run: pytest benchmarks/bench_features.py -s

Ours run on a whole batch, the baselines as one finds them in scripts: one `light_curve` extractor call per curve, one astropy
`LombScargle` per curve on the same frequencies. The last test prints times and ratios; one thread.
"""

import os
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import light_curve
import numpy as np
import pytest
from astropy.timeseries import LombScargle

from skyreel.features import EXTENDED, FATS, FEATURES, compute, prefixes

CURVES, POINTS, SPAN = 2048, 25, 25.0
PERIODIC = ("harmonics", "period", "spectrum")
SETS = {
    "FATS without periods": tuple(name for name in FATS if FEATURES[name].group not in PERIODIC),
    "extended without periods": tuple(name for name in EXTENDED if FEATURES[name].group not in PERIODIC),
    "FATS": FATS,
    "extended": EXTENDED,
    "all": FATS + EXTENDED,
}


def sample(curves=CURVES):
    rng = np.random.default_rng(0)
    mjd = 57070 + np.sort(rng.uniform(0, SPAN, (curves, POINTS)), axis=1)
    return mjd, rng.normal(100, 10, mjd.shape), rng.uniform(5, 10, mjd.shape), np.ones(mjd.shape, bool)


def extractor_calls(curves):
    """A call per curve for 14 of FATS's features."""
    mjd, flux, error, _ = sample(curves)
    features = light_curve.Extractor(
        light_curve.Mean(),
        light_curve.Median(),
        light_curve.StandardDeviation(),
        light_curve.Skew(),
        light_curve.Kurtosis(),
        light_curve.MedianAbsoluteDeviation(),
        light_curve.MedianBufferRangePercentage(0.2),
        light_curve.MaximumSlope(),
        light_curve.LinearTrend(),
        light_curve.StetsonK(),
        light_curve.Cusum(),
        light_curve.EtaE(),
        light_curve.AndersonDarlingNormal(),
        light_curve.PercentAmplitude(),
    )
    for row in zip(mjd, flux, error, strict=True):
        features(*row)


def astropy_calls(curves):
    """One periodogram per curve, by the fastest of astropy's methods at 25 points, on as many frequencies as ours."""
    mjd, flux, error, _ = sample(curves)
    frequency = np.arange(1, 1601) / 160.0
    for t, m, e in zip(mjd, flux, error, strict=True):
        LombScargle(t, m, e).power(frequency, method="cython", assume_regular_frequency=True)


@pytest.mark.parametrize("names", SETS.values(), ids=SETS)
def test_batch(benchmark, names):
    arrays = sample()
    benchmark.extra_info["curves"] = CURVES
    benchmark(compute, *arrays, names)


def test_after_every_point(benchmark):
    arrays = sample(128)
    benchmark.extra_info["curves"] = 128 * POINTS
    benchmark(prefixes, *arrays, FATS)


def test_one_curve(benchmark):
    arrays = sample(1)
    benchmark(compute, *arrays, FATS)


def test_extractor_calls(benchmark):
    benchmark.extra_info["curves"] = 256
    benchmark(extractor_calls, 256)


def test_astropy_calls(benchmark):
    benchmark.extra_info["curves"] = 32
    benchmark(astropy_calls, 32)


def cost(call, curves):
    """Process time per curve [us], the smallest of three."""
    taken = []
    for _ in range(3):
        begin = time.process_time()
        call()
        taken.append(time.process_time() - begin)
    return 1e6 * min(taken) / curves


def test_ratios():
    """Prints; times are nobody's promise."""
    extractor = cost(lambda: extractor_calls(256), 256)
    astropy = cost(lambda: astropy_calls(32), 32)
    arrays = sample()
    print(f"\none extractor call {extractor:.1f} us a curve, one astropy periodogram {astropy:.1f} us a curve", file=sys.stderr)
    for label, names in SETS.items():
        ours = cost(lambda names=names: compute(*arrays, names), CURVES)
        print(
            f"{label:26s} {ours:7.1f} us a curve, {ours / extractor:5.2f} extractor calls, {ours / astropy:5.2f} periodograms",
            file=sys.stderr,
        )
    single = cost(lambda: compute(*sample(1), FATS), 1)
    print(f"FATS of a single curve     {single:7.0f} us", file=sys.stderr)
