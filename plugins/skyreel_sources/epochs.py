"""What every light curve does first: check its epochs, fold them with a period, pick one value per band."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import BandError, ConfigError, DataError
from skyreel.interfaces import Array, Params

ROWS = 2048
"""Objects evaluated at once: their temporaries stay in the processor's cache."""


def check_epochs(who: str, params: Params, mjd: Array, band: NDArray[np.int8], bands: tuple[str, ...]) -> None:
    """Raises unless `mjd` and `band` are (n, T) for the n rows of `params`, and their periods, if any, are positive.

    Raises
    ------
    DataError
        Wrong shapes, an MJD that is not finite, or a ``period`` [d] that is not positive and finite.
    BandError
        A band index outside `bands`.
    """
    asked = f"{who}.light_curve"
    n = len(next(iter(params.values()), ()))
    if mjd.ndim != 2 or mjd.shape != band.shape or len(mjd) != n:
        raise DataError(asked, f"mjd {mjd.shape}, band {band.shape}, {n} objects", "hand in mjd and band as (objects, epochs)")
    if not np.isfinite(mjd).all():
        row, epoch = np.argwhere(~np.isfinite(mjd))[0]
        found = f"MJD {mjd[row, epoch]} of object {row} at epoch {epoch} is not finite"
        raise DataError(asked, found, "fill masked epochs with any finite date")
    if band.size and not (band.min() >= 0 and band.max() < len(bands)):
        raise BandError(asked, f"band index {band.min()}..{band.max()}", f"indices count into {', '.join(bands)}")
    if "period" in params and not (good := (params["period"] > 0.0) & (params["period"] < np.inf)).all():
        row = int(np.argmin(good))
        found = f"period {params['period'][row]:g} d of object {row} is not positive and finite"
        raise DataError(asked, found, "hand in periods in days")


def chunks(n: int) -> Iterator[slice]:
    """Slices of at most `ROWS` objects that cover 0..n-1."""
    return (slice(start, min(start + ROWS, n)) for start in range(0, n, ROWS))


def fold(mjd: Array, epoch: Array, period: Array) -> Array:
    """Phase in [0, 1): (n, T) from mjd (n, T) [d], epoch of phase 0 (n,) [MJD] and period (n,) [d]."""
    cycles = (mjd - epoch[:, None]) / period[:, None]
    cycles -= np.floor(cycles)
    return cycles


def by_band(values: Array, band: NDArray[np.int8]) -> Array:
    """Values (n, B) or (B,) looked up at band (n, T): an (n, T) array."""
    if values.ndim == 1:
        return values[band]
    return np.take_along_axis(values, band.astype(np.intp), axis=1)


def even_interp(x: Array, first: float, last: float, values: Array) -> Array:
    """Linear interpolation in values (K,) on an even grid from `first` to `last`, held beyond; faster than a search in the grid."""
    cells = len(values) - 1
    position = np.clip((np.asarray(x, np.float64) - first) * (cells / (last - first)), 0.0, float(cells))
    cell = np.minimum(position.astype(np.intp), cells - 1)
    below = values.take(cell)
    return np.asarray(below + (position - cell) * (values.take(cell + 1) - below), np.float64)


def check_fraction(who: str, name: str, value: float) -> None:
    """Raises ConfigError unless 0 <= value <= 1."""
    if not 0.0 <= value <= 1.0:
        raise ConfigError(f"{who}.{name}", str(value), "choose a number from 0 to 1")


def check_positive(who: str, name: str, value: float) -> None:
    """Raises ConfigError unless value > 0."""
    if not value > 0.0:
        raise ConfigError(f"{who}.{name}", str(value), "choose a positive number")
