"""Features of light curves: the published FATS set and a stronger one of our own, for thousands of curves at once.

`compute` reads light curves alone: time, flux, error. FATS was written for magnitudes or fluxes as handed in;
the paper's forest hands in flux. `FEATURES` says of every name what it is, how many points it needs and its fill.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skyreel.errors import ConfigError
from skyreel.features.curves import Curves, dense, read
from skyreel.features.table import EXTENDED, FATS, FEATURES, PAPER_SIX, Feature

__all__ = ["EXTENDED", "FATS", "FEATURES", "LARGEST", "PAPER_SIX", "Feature", "compute", "prefixes"]

LARGEST = 1e30
"""Values are clipped to this size: forests read single precision."""

_ROWS = 512
"""Curves computed at once: more cost no less time per curve."""

_POINTS = 12_800
"""Points computed at once, which bounds the memory of long curves."""


def compute(mjd: ArrayLike, flux: ArrayLike, error: ArrayLike, mask: ArrayLike, names: Sequence[str] = FATS) -> NDArray[np.float64]:
    """Features of n light curves of up to T points.

    A row's result depends on that row alone and on neither the order of its points nor the origin of time. Points
    with an error of 0 count with the smallest positive error of their curve (1 if there is none).

    Parameters
    ----------
    mjd : array (n, T), d
    flux, error : array (n, T)
        Any common linear unit. `magnitude` (of `EXTENDED`) takes it for counts/s at zero point 25.
    mask : bool array (n, T)
        True where there is a point; whatever stands elsewhere is not read.
    names : sequence of str
        Names of `FEATURES`, for example `FATS` or `FATS + EXTENDED`.

    Returns
    -------
    float64 array (n, len(names))
        Never NaN or infinite: fewer points than `FEATURES[name].minimum`, a division by zero (constant curves) and
        an overflow give `FEATURES[name].fill`, sizes above `LARGEST` are clipped.

    Raises
    ------
    ConfigError
        For a name that is no feature.
    DataError
        For shapes that differ, NaN or infinite values where the mask is True, negative errors.
    """
    _check(names)
    curves, count = read(mjd, flux, error, mask)
    return _filled(curves, count, names)


def prefixes(
    mjd: ArrayLike,
    flux: ArrayLike,
    error: ArrayLike,
    mask: ArrayLike,
    names: Sequence[str] = FATS,
    counts: Sequence[int] | None = None,
) -> NDArray[np.float64]:
    """Features recomputed for every new point, as `compute` gives them for the curve that ends there.

    Parameters
    ----------
    mjd, flux, error, mask : arrays (n, T)
        As for `compute`.
    names : sequence of str
    counts : sequence of K int, optional
        Numbers of points; by default 1 to T. The k-th point is the k-th in time among those with mask True.

    Returns
    -------
    float64 array (n, K, len(names))
        After counts[k] points, or after the last where a curve has fewer.

    Raises
    ------
    ConfigError
        For a name that is no feature or a count below 1.
    DataError
        As `compute`.
    """
    _check(names)
    curves, count = read(mjd, flux, error, mask)
    wanted = list(range(1, curves.flux.shape[1] + 1)) if counts is None else [int(number) for number in counts]
    if min(wanted, default=1) < 1:
        raise ConfigError("features: counts", str(min(wanted)), "use numbers of points from 1 on")
    out = np.empty((len(count), len(wanted), len(names)))
    final = _filled(curves, count, names) if (np.asarray(wanted)[:, None] >= count).any() else None
    for k, number in enumerate(wanted):
        longer = count > number
        if final is not None:
            out[~longer, k] = final[~longer]
        if longer.any():
            out[longer, k] = _filled(curves.take(longer), np.full(int(longer.sum()), number), names)
    return out


def _check(names: Sequence[str]) -> None:
    unknown = [name for name in names if name not in FEATURES]
    if unknown:
        raise ConfigError("features", ", ".join(map(repr, unknown)), f"use names of skyreel.features.FEATURES: {', '.join(FEATURES)}")


def _filled(curves: Curves, count: NDArray[np.intp], names: Sequence[str]) -> NDArray[np.float64]:
    """Features (n, F) of the first `count` points of each curve."""
    from skyreel.features.groups import GROUPS

    out = np.tile(np.array([FEATURES[name].fill for name in names], np.float64), (len(count), 1))
    for number in np.unique(count[count > 0]).tolist():
        able = [name for name in names if FEATURES[name].minimum <= number]
        if not able:
            continue
        columns = [names.index(name) for name in able]
        rows = np.flatnonzero(count == number)
        size = max(1, min(_ROWS, _POINTS // number))
        for start in range(0, len(rows), size):
            block = rows[start : start + size]
            part = dense(curves, block, number)
            values: dict[str, NDArray[Any]] = {}
            with np.errstate(all="ignore"):
                for group in dict.fromkeys(FEATURES[name].group for name in able):
                    values |= GROUPS[group](part)
            out[block[:, None], columns] = _finite(np.stack([values[name] for name in able], axis=1), able)
    return out


def _finite(values: NDArray[Any], names: Sequence[str]) -> NDArray[np.float64]:
    fill = np.array([FEATURES[name].fill for name in names])
    return np.asarray(np.clip(np.where(np.isfinite(values), values, fill), -LARGEST, LARGEST), np.float64)
