"""Extended features of brightness and noise: amplitudes relative to the curve's top, statistics of pulls."""

from __future__ import annotations

import numpy as np

from skyreel.features.curves import Array, Curves

LOWEST = 1e-3
"""Reduced chi2 below which logarithms stay constant."""


def level(curves: Curves) -> dict[str, Array]:
    """The brightness and the shape of the distribution of fluxes, in units of the top."""
    x, f, top = curves.order, curves.flux, curves.top
    n = f.shape[1]
    median = curves.median
    second, second_last = x[:, max(n - 2, 0)], x[:, min(1, n - 1)]
    return {
        "magnitude": 25.0 - 2.5 * np.log10(np.maximum(median, np.median(curves.error, axis=1))),
        "relative_amplitude": (x[:, -1] - x[:, 0]) / top,
        "relative_spread": curves.spread / top,
        "relative_quartiles": (curves.quantile(0.75) - curves.quantile(0.25)) / top,
        "relative_median": median / top,
        "relative_minimum": x[:, 0] / top,
        "relative_second": second / top,
        "relative_first": f[:, 0] / top,
        "relative_last": f[:, -1] / top,
        "running_fall": (np.maximum.accumulate(f, axis=1) - f).max(axis=1) / top,
        "running_rise": (f - np.minimum.accumulate(f, axis=1)).max(axis=1) / top,
        "largest_gap": (x[:, -1] - second) / (x[:, -1] - median),
        "smallest_gap": (second_last - x[:, 0]) / (median - x[:, 0]),
    }


def noise(curves: Curves) -> dict[str, Array]:
    """How far the fluxes are from zero, from their weighted mean and from white noise, in units of their errors."""
    n = curves.flux.shape[1]
    pull, significance = curves.pull, curves.flux / curves.error
    excess = curves.spread**2 * n / max(n - 1, 1) - (curves.error**2).mean(axis=1)
    centred = pull - pull.mean(axis=1, keepdims=True)
    second = (centred**2).mean(axis=1)
    square = (pull**2).mean(axis=1)
    return {
        "chi2_constant": log_chi2(curves.chi2, n - 1),
        "excess_scatter": np.sign(excess) * np.sqrt(np.abs(excess)) / curves.top,
        "peak_significance": significance.max(axis=1),
        "median_significance": np.median(significance, axis=1),
        "significant_share": (significance > 5.0).mean(axis=1),
        "largest_pull": pull.max(axis=1),
        "smallest_pull": pull.min(axis=1),
        "outlier_share": (np.abs(pull) > 3.0).mean(axis=1),
        "pull_median": np.median(pull, axis=1),
        "pull_skewness": (centred**3).mean(axis=1) / second**1.5,
        "pull_kurtosis": (centred**4).mean(axis=1) / second**2 - 3.0,
        "pull_memory": (pull[:, 1:] * pull[:, :-1]).sum(axis=1) / max(n - 1, 1) / square,
    }


def log_chi2(chi2: Array, freedom: Array | int) -> Array:
    """log10 of the reduced chi2, not below `LOWEST`; NaN without degrees of freedom."""
    reduced = np.where(np.asarray(freedom) > 0, chi2 / np.maximum(freedom, 1), np.nan)
    return np.asarray(np.log10(np.maximum(reduced, LOWEST)))


def adjusted(gain: Array, n: int, parameters: int) -> Array:
    """Share of the scatter removed by a fit, less what that many parameters remove from noise (adjusted R^2, Ezekiel 1930).

    1 - (1 - gain) (n - 1) / (n - 1 - parameters): its expectation is 0 for noise whatever the number of points, which
    the plain share gives away. At least -1; NaN where the parameters use up the points.
    """
    left = n - 1 - parameters
    return np.maximum(1.0 - (1.0 - gain) * (n - 1) / left, -1.0) if left > 0 else np.full_like(gain, np.nan)
