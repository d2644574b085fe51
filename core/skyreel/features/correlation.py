"""FATS features of the memory of a curve: autocorrelation, slotted autocorrelation, structure functions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skyreel.features.curves import Array, Curves

_LEVEL = np.exp(-1.0)
_SLOTS = 100
"""Slots that FATS looks at first; StetsonK_AC reads these."""
_POINTS = 100
"""Interpolated points of the structure functions."""


def autocorrelation(curves: Curves) -> dict[str, Array]:
    """Autocor_length: autocorrelation with N in the denominator at every lag (Kim et al. 2011, ApJ 735, 68).

    These autocorrelations sum to -1/2 over all lags, so that one is below 1/e in every curve that varies.
    """
    rows, n = curves.flux.shape
    x = curves.flux - curves.flux.mean(axis=1, keepdims=True)
    zero = (x**2).sum(axis=1)
    length = np.full(rows, np.nan)
    for lag in range(1, n):
        below = (x[:, lag:] * x[:, :-lag]).sum(axis=1) < _LEVEL * zero
        length = np.where(np.isnan(length) & below, lag, length)
        if not np.isnan(length).any():
            break
    return {"Autocor_length": np.where(curves.spread > 0, length, np.nan)}


def slotted(curves: Curves) -> dict[str, Array]:
    """SlottedA_length and StetsonK_AC (Protopapas et al. 2015, ApJS 216, 25; Huijse et al. 2012, IEEE TSP 60, 5135).

    Products of all pairs of points are averaged in slots of the lag, one slot width apart; the width is the gap of
    rank floor(.05 N) + 1 among the sorted gaps, as in FATS. FATS gives up where 100 slots do not reach the level and
    twice as many exceed the span; the search goes on here. Width 0 (repeated times) has no value.
    """
    n = curves.flux.shape[1]
    gaps = np.sort(np.diff(curves.time, axis=1), axis=1)
    width = gaps[:, min(int(0.05 * n) + 1, n - 2)]
    x = curves.flux - curves.flux.mean(axis=1, keepdims=True)
    early, late = np.triu_indices(n, 1)
    usable = (width > 0) & (curves.spread > 0)
    lag = (curves.time[:, late] - curves.time[:, early]) / np.where(usable, width, 1.0)[:, None]
    slot = np.floor(np.minimum(lag, 1e15) + 0.5).astype(np.int64)
    product = x[:, early] * x[:, late]
    first, occupied = _slot_means(slot, product, x)
    below = occupied & (first < _LEVEL)
    length = np.where(below.any(axis=1), below.argmax(axis=1), np.nan)
    for row in np.flatnonzero(usable & np.isnan(length)):
        length[row] = _search(slot[row], product[row], float((x[row] ** 2).sum()), n)
    return {
        "SlottedA_length": np.where(usable, length * width, np.nan),
        "StetsonK_AC": np.where(usable, _stetson(first, occupied), np.nan),
    }


def _slot_means(slot: NDArray[np.int64], product: Array, x: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Autocorrelation in the first slots (m, 100), 1 in slot 0, and which of them hold a pair (slot 0 always does)."""
    rows, n = x.shape
    key = np.arange(rows)[:, None] * (_SLOTS + 1) + np.minimum(slot, _SLOTS)
    number = np.bincount(key.ravel(), minlength=rows * (_SLOTS + 1)).reshape(rows, -1)[:, :_SLOTS]
    total = np.bincount(key.ravel(), weights=product.ravel(), minlength=rows * (_SLOTS + 1)).reshape(rows, -1)[:, :_SLOTS]
    # slot 0 also holds every point with itself
    total[:, 0] += (x**2).sum(axis=1)
    number[:, 0] += n
    mean = total / np.maximum(number, 1)
    return mean / mean[:, :1], number > 0


def _search(slot: NDArray[np.int64], product: Array, own: float, n: int) -> float:
    """First slot of any number whose autocorrelation is below the level; NaN without one."""
    where, inverse, number = np.unique(slot, return_inverse=True, return_counts=True)
    mean = np.bincount(inverse, weights=product) / number
    zero = (own + product[slot == 0].sum()) / ((slot == 0).sum() + n)
    below = (where > 0) & (mean < _LEVEL * zero)
    return float(where[below.argmax()]) if below.any() else np.nan


def _stetson(values: Array, there: NDArray[np.bool_]) -> Array:
    number = there.sum(axis=1)
    mean = np.where(there, values, 0.0).sum(axis=1) / number
    difference = np.where(there, values - mean[:, None], 0.0)
    size = np.abs(difference).sum(axis=1) / np.sqrt(number * (difference**2).sum(axis=1))
    return np.asarray(np.where(number > 1, size, np.nan))


def structure(curves: Curves) -> dict[str, Array]:
    """StructureFunction_index_21, _31 and _32 (Simonetti et al. 1984, ApJ 284, 126; Nun et al. 2015).

    Slopes of straight lines through log10 S_p(lag) of different orders p at the lags 1 to 99 of 100 evenly spaced,
    linearly interpolated points; lags with S_p = 0 are left out (FATS does so at the ends of the range).
    """
    x = (curves.flux - curves.flux.mean(axis=1, keepdims=True)) / curves.spread[:, None]
    # curves along the last axis; a single one is doubled, since numpy sums a lone column in another order
    level = np.repeat(_interpolated(curves.time, x).T, 2 if len(x) == 1 else 1, axis=1)
    size = np.empty((_POINTS - 1, 3, level.shape[1]))
    buffers = np.empty((2, *level.shape))
    for lag in range(1, _POINTS):
        step, power = buffers[:, : _POINTS - lag]
        np.abs(np.subtract(level[lag:], level[:-lag], out=step), out=step)
        size[lag - 1, 0] = step.mean(axis=0)
        size[lag - 1, 1] = np.multiply(step, step, out=power).mean(axis=0)
        size[lag - 1, 2] = np.multiply(power, step, out=power).mean(axis=0)
    size = np.ascontiguousarray(size.transpose(2, 1, 0)[: len(x)])
    there = np.asarray((size > 0).all(axis=1))
    log = np.log10(np.where(there[:, None], size, 1.0))
    return {f"StructureFunction_index_{a}{b}": _slope(log[:, b - 1], log[:, a - 1], there) for a, b in ((2, 1), (3, 1), (3, 2))}


def _slope(x: Array, y: Array, there: NDArray[np.bool_]) -> Array:
    number = there.sum(axis=1, keepdims=True)
    x = np.where(there, x - x.sum(axis=1, keepdims=True) / number, 0.0)
    y = np.where(there, y - y.sum(axis=1, keepdims=True) / number, 0.0)
    return np.asarray((x * y).sum(axis=1) / (x**2).sum(axis=1))


def _interpolated(time: Array, x: Array) -> Array:
    """Values at 100 even times from the first point to the last (m, 100)."""
    span = time[:, -1:]
    even = np.linspace(0.0, 1.0, _POINTS) * span
    # interval of each even time: the number of points that come before it, counted by the even time that follows each point
    follows = np.ceil(np.where(span > 0, time / np.where(span > 0, span, 1.0), 0.0) * (_POINTS - 1)).astype(np.intp)
    key = np.arange(len(time))[:, None] * _POINTS + np.minimum(follows, _POINTS - 1)
    number = np.bincount(key.ravel(), minlength=even.size).reshape(even.shape)
    left = np.clip(np.cumsum(number, axis=1) - 1, 0, time.shape[1] - 2)
    t0, t1 = (np.take_along_axis(time, left + k, axis=1) for k in (0, 1))
    x0, x1 = (np.take_along_axis(x, left + k, axis=1) for k in (0, 1))
    return x0 + (x1 - x0) * ((even - t0) / (t1 - t0))
