"""Extended features of the course of a curve: order in time, slopes, lines, parabolas, steps and transients."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skyreel.features.curves import Array, Curves
from skyreel.features.level import adjusted, log_chi2

_SHORTEST_GAP = 0.02
"""Gap below which a slope is noise [d]: 30 minutes."""
_RISE = np.array([0.3, 1.0, 3.0])
_FALL = np.array([4.0, 10.0, 30.0])
"""Rise and fall times of the Bazin shapes [d]."""
_STARTS = 8
"""Starts per shape, spread evenly over the ranks of the points."""


def trend(curves: Curves) -> dict[str, Array]:
    """Order in time before and after the brightest point, steepest steps, rate of decline."""
    n, top, peak = curves.flux.shape[1], curves.top, curves.brightest
    gap = np.maximum(np.diff(curves.time, axis=1), _SHORTEST_GAP)
    step = np.diff(curves.flux, axis=1)
    slope = step / np.sqrt(curves.error[:, 1:] ** 2 + curves.error[:, :-1] ** 2) / gap
    relative = step / gap / top[:, None]
    early, late = np.triu_indices(n, 1)
    sign = np.sign(curves.flux[:, late] - curves.flux[:, early])
    place = np.arange(n)
    before, after = place < peak[:, None], place > peak[:, None]
    both = [np.where(side, curves.flux, 0.0).sum(axis=1) / side.sum(axis=1) for side in (before, after)]
    nothing = np.full(len(step), np.nan)
    return {
        "kendall": sign.sum(axis=1) / max(len(early), 1),
        "kendall_before": _mean_sign(sign, late <= peak[:, None]),
        "kendall_after": _mean_sign(sign, early >= peak[:, None]),
        "rise_days": _rise(curves),
        "asymmetry": (both[1] - both[0]) / top,
        "steepest_rise": slope.max(axis=1) if n > 1 else nothing,
        "steepest_fall": slope.min(axis=1) if n > 1 else nothing,
        "relative_rise": relative.max(axis=1) if n > 1 else nothing,
        "relative_fall": relative.min(axis=1) if n > 1 else nothing,
        "decline_rate": _decline(curves, ~before),
    }


def _mean_sign(sign: Array, there: NDArray[np.bool_]) -> Array:
    return np.asarray(np.where(there, sign, 0.0).sum(axis=1) / there.sum(axis=1))


def _rise(curves: Curves) -> Array:
    rows = np.arange(len(curves.flux))
    significant = curves.flux > 5.0 * curves.error
    first = significant.argmax(axis=1)
    wait = curves.time[rows, curves.brightest] - curves.time[rows, first]
    return np.where(significant.any(axis=1), np.maximum(wait, 0.0), 0.0)


def _decline(curves: Curves, late: NDArray[np.bool_]) -> Array:
    """Weighted slope of log10 flux; the variance of ln flux is (error / flux)^2."""
    there = late & (curves.flux > 3.0 * curves.error)
    weight = np.where(there, (curves.flux / curves.error) ** 2, 0.0)
    value = np.log10(np.where(there, curves.flux, 1.0))
    total = weight.sum(axis=1, keepdims=True)
    time = curves.time - (weight * curves.time).sum(axis=1, keepdims=True) / total
    slope = (weight * time * value).sum(axis=1) / (weight * time**2).sum(axis=1)
    return np.where(there.sum(axis=1) >= 3, slope, np.nan)


def fits(curves: Curves) -> dict[str, Array]:
    """Weighted least-squares line, parabola and step, by the adjusted share of the chi2 of constancy that they remove.

    A step counts as three parameters, because its place is free (Hinkley 1970, Biometrika 57, 1).
    """
    n = curves.flux.shape[1]
    span = curves.time[:, -1]
    time = curves.time / span[:, None] - 0.5
    line, first = _projected(curves, time, [np.ones_like(time)])
    parabola, second = _projected(curves, time**2, [np.ones_like(time), time])
    gain, height = _step(curves)
    straight, bent, stepped = (part / curves.chi2 for part in (line, line + parabola, gain))
    return {
        "line_gain": adjusted(straight, n, 1),
        "line_slope": first / span / curves.top,
        "parabola_gain": adjusted(bent, n, 2) - adjusted(straight, n, 1),
        "parabola_curvature": 2.0 * second / span**2 / curves.top,
        "step_gain": adjusted(stepped, n, 3),
        "step_height": height / curves.top,
    }


def _projected(curves: Curves, column: Array, others: list[Array]) -> tuple[Array, Array]:
    """chi2 that a regressor removes beyond others, and its coefficient (Frisch-Waugh: all made orthogonal first)."""
    basis: list[Array] = []
    for regressor in [*others, column]:
        for known in basis:
            share = (curves.weight * known * regressor).sum(axis=1) / (curves.weight * known**2).sum(axis=1)
            regressor = regressor - share[:, None] * known
        basis.append(regressor)
    norm = (curves.weight * basis[-1] ** 2).sum(axis=1)
    overlap = (curves.weight * basis[-1] * curves.excess).sum(axis=1)
    return overlap**2 / norm, overlap / norm


def _step(curves: Curves) -> tuple[Array, Array]:
    """chi2 removed by the best step between two levels, and its height."""
    weight = np.cumsum(curves.weight, axis=1)
    excess = np.cumsum(curves.weight * curves.excess, axis=1)[:, :-1]
    before, after = weight[:, :-1], weight[:, -1:] - weight[:, :-1]
    gain = excess**2 * (1.0 / before + 1.0 / after)
    best = gain.argmax(axis=1)[:, None]
    height = -excess * (1.0 / before + 1.0 / after)
    return tuple(np.take_along_axis(column, best, axis=1)[:, 0] for column in (gain, height))  # type: ignore[return-value]


def transient(curves: Curves) -> dict[str, Array]:
    """The best of a bank of Bazin shapes (Bazin et al. 2011, A&A 534, A43, eq. 1) with free amplitude and base.

    Amplitude and base follow from weighted least squares; shapes with a negative amplitude are left out, which
    makes up for the choice among shapes: counted as one parameter, the gain of noise is 0 in the median at any length.
    """
    rows, n = curves.flux.shape
    start = curves.time[:, np.unique(np.linspace(0, n - 1, _STARTS).astype(np.intp))]
    shape = _bazin(curves.time[:, None, :] - start[:, :, None]).reshape(rows, -1, n)
    weight = curves.weight / curves.weight.sum(axis=1, keepdims=True)
    x = curves.excess
    mean = (shape @ weight[:, :, None])[..., 0]
    norm = (shape**2 @ weight[:, :, None])[..., 0] - mean**2
    overlap = (shape @ (weight * x)[:, :, None])[..., 0]
    # shapes without contrast over these points fit rounding errors
    useful = (overlap > 0) & (norm > 1e-8 * mean**2)
    gain = np.where(useful, overlap**2 / np.where(useful, norm, 1.0), 0.0)
    best, at = gain.argmax(axis=1), np.arange(rows)
    found = gain[at, best] > 0
    amplitude = overlap[at, best] / norm[at, best]
    base = np.maximum(curves.weighted_mean - amplitude * mean[at, best], 0.0)
    removed = gain[at, best] * curves.weight.sum(axis=1)
    rise, fall = np.divmod(best % (len(_RISE) * len(_FALL)), len(_FALL))
    return {
        "transient_gain": adjusted(removed / curves.chi2, n, 1),
        "transient_chi2": log_chi2(np.maximum(curves.chi2 - removed, 0.0), n - 2),
        "transient_base": np.where(found, base / (base + amplitude), np.nan),
        "transient_rise": np.where(found, _RISE[rise], np.nan),
        "transient_fall": np.where(found, _FALL[fall], np.nan),
    }


def _bazin(time: Array) -> Array:
    """exp(-t / fall) / (1 + exp(-t / rise)) at times (m, S, N), for all pairs of rise and fall: (m, S, 3, 3, N)."""
    late, size = time >= 0, np.abs(time)
    sigmoid = 1.0 / (1.0 + np.exp(-size[:, :, None, :] / _RISE[:, None]))
    # before the start both exponentials are one, exp(-|t| (1 / rise - 1 / fall)) / (1 + exp(-|t| / rise)): no overflow
    rate = np.where(late[:, :, None, None, :], 1.0 / _FALL[:, None], 1.0 / _RISE[:, None, None] - 1.0 / _FALL[:, None])
    rate *= -size[:, :, None, None, :]
    return np.asarray(np.exp(rate, out=rate) * sigmoid[:, :, :, None, :])
