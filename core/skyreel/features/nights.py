"""Extended features of scatter within and between nights: HiTS looks four or five times a night."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skyreel.features.curves import Array, Curves
from skyreel.features.level import log_chi2

GAP = 0.4
"""Shortest gap between two nights [d]: longer than a visit-to-visit gap, shorter than the day at any site below 60 degrees."""


def nights(curves: Curves) -> dict[str, Array]:
    """Reduced chi2 within and between nights, largest range, size and memory of the steps within nights."""
    gap = np.diff(curves.time, axis=1)
    same = gap < GAP
    night = np.concatenate([np.zeros((len(gap), 1), np.intp), np.cumsum(~same, axis=1)], axis=1)
    weight, weighted = (_per_night(night, column) for column in (curves.weight, curves.weight * curves.flux))
    mean = weighted / np.where(weight > 0, weight, 1.0)
    number = night[:, -1] + 1
    own = np.take_along_axis(mean, night, axis=1)
    within = ((curves.flux - own) ** 2 * curves.weight).sum(axis=1)
    between = (weight * (mean - curves.weighted_mean[:, None]) ** 2).sum(axis=1)
    # spread 0: rounding of equal fluxes is no scatter
    within, between = (np.where(curves.spread > 0, value, 0.0) for value in (within, between))
    inside, outside = log_chi2(within, curves.flux.shape[1] - number), log_chi2(between, number - 1)
    pairs = np.where(same.any(axis=1), same.sum(axis=1), np.nan)
    step = np.abs(np.diff(curves.flux, axis=1)) / np.sqrt(curves.error[:, 1:] ** 2 + curves.error[:, :-1] ** 2)
    product = curves.pull[:, 1:] * curves.pull[:, :-1]
    return {
        "night_scatter": inside,
        "nightly_scatter": outside,
        "night_ratio": outside - inside,
        "night_range": _largest_range(curves.flux, same) / curves.top,
        "night_step": np.where(same, step, 0.0).sum(axis=1) / pairs,
        "night_memory": np.where(same, product, 0.0).sum(axis=1) / pairs / (curves.pull**2).mean(axis=1),
    }


def _per_night(night: NDArray[np.intp], column: Array) -> Array:
    """Sums (m, N) over the points of each night, 0 beyond the last night."""
    rows, n = column.shape
    key = np.arange(rows)[:, None] * n + night
    sums = np.bincount(key.ravel(), weights=column.ravel(), minlength=rows * n)
    return np.asarray(sums, np.float64).reshape(rows, n)


def _largest_range(flux: Array, same: NDArray[np.bool_]) -> Array:
    """Largest difference of two fluxes of one night (m,)."""
    low = high = flux[:, 0]
    widest = np.zeros(len(flux))
    for i in range(1, flux.shape[1]):
        now, together = flux[:, i], same[:, i - 1]
        low, high = np.where(together, np.minimum(low, now), now), np.where(together, np.maximum(high, now), now)
        widest = np.maximum(widest, high - low)
    return widest
