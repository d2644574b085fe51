"""FATS features read from sorted fluxes and from the order of the points."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from skyreel.features.curves import Array, Curves


def order(curves: Curves) -> dict[str, Array]:
    """Amplitude, Beyond1Std, Con, the percentile ratios, Gskew, PairSlopeTrend and Q31 (Nun et al. 2015, section 5)."""
    x, n = curves.order, curves.flux.shape[1]
    tail = math.ceil(0.05 * n)
    wide = _ranked(x, 0.95) - _ranked(x, 0.05)
    rising = np.diff(curves.flux[:, -30:], axis=1) > 0
    ratios = {
        f"FluxPercentileRatioMid{share}": (_ranked(x, 0.5 + share / 200) - _ranked(x, 0.5 - share / 200)) / wide
        for share in (20, 35, 50, 65)
    }
    # the published code rounds down here, and here alone
    highest = x[:, min(math.floor(0.95 * n), n - 1)]
    ratios["FluxPercentileRatioMid80"] = (_ranked(x, 0.90) - _ranked(x, 0.10)) / (highest - _ranked(x, 0.05))
    return ratios | {
        "Amplitude": (_middle(x[:, n - tail :]) - _middle(x[:, :tail])) / 2.0,
        "Beyond1Std": _beyond(curves),
        "Con": _consecutive(curves),
        "Gskew": _tail_medians(curves) - 2.0 * curves.median,
        "PairSlopeTrend": (2.0 * rising.sum(axis=1) - rising.shape[1]) / 30.0,
        "PercentDifferenceFluxPercentile": wide / curves.median,
        "Q31": curves.quantile(0.75) - curves.quantile(0.25),
    }


def _ranked(x: Array, share: float) -> Array:
    # as written, FATS needs 20 points for the 95 % rank; the last point takes its place below
    n = x.shape[1]
    return x[:, min(math.ceil(round(share, 4) * n), n - 1)]


def _beyond(curves: Curves) -> Array:
    """Share of points beyond one standard deviation, both about the weighted mean."""
    n = curves.flux.shape[1]
    difference = curves.flux - curves.weighted_mean[:, None]
    deviation = np.sqrt((difference**2).sum(axis=1) / (n - 1))
    share = (np.abs(difference) > deviation[:, None]).mean(axis=1)
    return np.where(curves.spread > 0, share, np.nan)


def _consecutive(curves: Curves) -> Array:
    """Share of runs of three points beyond two standard deviations (Wozniak 2000, Acta Astron. 50, 421)."""
    if curves.flux.shape[1] < 3:
        return np.full(len(curves.flux), np.nan)
    out = np.abs(curves.flux - curves.flux.mean(axis=1, keepdims=True)) > 2.0 * curves.spread[:, None]
    share = (out[:, :-2] & out[:, 1:-1] & out[:, 2:]).mean(axis=1)
    return np.where(curves.spread > 0, share, np.nan)


def _tail_medians(curves: Curves) -> Array:
    """Median of the fluxes up to the 3 % quantile plus median of those from the 97 % quantile."""
    below, above = curves.order <= curves.quantile(0.03)[:, None], curves.order >= curves.quantile(0.97)[:, None]
    return _median_of(curves.order, below) + _median_of(curves.order, above)


def _middle(x: Array) -> Array:
    """Median of sorted values along the last axis."""
    n = x.shape[1]
    return 0.5 * (x[:, (n - 1) // 2] + x[:, n // 2])


def _median_of(x: Array, chosen: NDArray[np.bool_]) -> Array:
    """Median of a run of sorted values."""
    first, number = chosen.argmax(axis=1), chosen.sum(axis=1)
    ends = first[:, None] + np.stack([(number - 1) // 2, number // 2], axis=1)
    return np.asarray(np.take_along_axis(x, ends, axis=1).mean(axis=1))
