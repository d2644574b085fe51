"""The FATS features that the `light-curve` package (Malanchev et al. 2021, MNRAS 502, 5147) has, rescaled to FATS's definitions."""

from __future__ import annotations

from functools import cache
from typing import Any

import light_curve
import numpy as np
import pyarrow as pa

from skyreel.features.curves import Array, Curves

_FIELDS = ("t", "m", "sigma")


@cache
def _extractor() -> Any:
    """One extractor for all; its columns are named in `moments`."""
    return light_curve.Extractor(
        light_curve.Mean(),
        light_curve.Median(),
        light_curve.StandardDeviation(),
        light_curve.Skew(),
        light_curve.Kurtosis(),
        light_curve.MedianAbsoluteDeviation(),
        light_curve.MedianBufferRangePercentage(0.2),  # its argument is a share of half the range, FATS's of the range
        light_curve.MaximumSlope(),
        light_curve.LinearTrend(),
        light_curve.StetsonK(),
        light_curve.Cusum(),
        light_curve.EtaE(),
        light_curve.AndersonDarlingNormal(),
        light_curve.PercentAmplitude(),
    )


def moments(curves: Curves) -> dict[str, Array]:
    """The 14 features that equal FATS's up to a function of N and of each other.

    `light-curve` divides variances by N - 1, FATS by N; the ratios below follow from that, from the definitions of
    skewness and kurtosis in its documentation, and from the factor 1 + 4/N - 25/N^2 of its Anderson-Darling statistic.
    Steps between points at one time are left out of MaxSlope.
    """
    n = curves.flux.shape[1]
    fields = dict(zip(_FIELDS, _FIELDS, strict=True))
    columns = _extractor().many(_arrow(curves), fill_value=np.nan, sorted=True, check=False, n_jobs=1, arrow_fields=fields)
    mean, median, std, skew, kurtosis, mad, brp, slope, trend, _, _, stetson, cusum, eta, anderson, percent = columns.T
    instant = curves.time[:, -1] == 0
    slope, trend, eta = (np.where(instant, np.nan, column) for column in (slope, trend, eta))
    less = max(n - 1, 1)
    small = 3.0 * (n - 1) ** 2 / max((n - 2) * (n - 3), 1)
    std = np.where(curves.spread > 0, std, 0.0) * np.sqrt(less / n)
    statistic = anderson / (1.0 + 4.0 / n - 25.0 / n**2)
    return {
        "Mean": mean,
        "Std": std,
        "Meanvariance": std / mean,
        "Skew": skew * max(n - 2, 1) / np.sqrt(n * less),
        "SmallKurtosis": (kurtosis + small) * (n / less) ** 2 - small,
        "MedianAbsDev": mad,
        "MedianBRP": brp,
        "MaxSlope": slope,
        "LinearTrend": trend,
        "StetsonK": stetson,
        "Rcs": cusum * np.sqrt(n / less),
        "Eta_e": eta * less / n,
        "AndersonDarling": 1.0 / (1.0 + np.exp(-10.0 * (statistic - 0.3))),
        "PercentAmplitude": percent / median,
    }


def _arrow(curves: Curves) -> pa.Array:
    """The curves as Arrow lists of (t, m, sigma), which are read without copies and without a Python object per curve."""
    rows, n = curves.flux.shape
    # the slopes of curves without duration panic; what they are here is not read
    time = np.where(curves.time[:, -1:] > 0, curves.time, np.arange(n))
    columns = (time, curves.flux, curves.error)
    points = pa.StructArray.from_arrays([pa.array(column.ravel()) for column in columns], list(_FIELDS))
    return pa.ListArray.from_arrays(pa.array(np.arange(rows + 1, dtype=np.int32) * np.int32(n)), points)
