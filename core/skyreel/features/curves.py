"""Light curves of one length as dense arrays: what every calculation of this package reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skyreel.errors import DataError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Curves:
    """m light curves with N points each, in time order.

    Attributes
    ----------
    time : float64 (m, N), d
        Since the curve's first point.
    flux, error : float64 (m, N)
        Errors are positive.
    shared : dict
        What calculations on the same curves share, by name.
    """

    time: Array
    flux: Array
    error: Array
    shared: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def take(self, rows: Any) -> Curves:
        """The chosen curves (indices or boolean mask)."""
        return Curves(self.time[rows], self.flux[rows], self.error[rows])

    @cached_property
    def order(self) -> Array:
        """Sorted fluxes (m, N)."""
        return np.sort(self.flux, axis=1)

    def quantile(self, share: float) -> Array:
        """Flux (m,) below which that share lies, linear between ranks (numpy's default)."""
        place = share * (self.flux.shape[1] - 1)
        low = int(place)
        part = place - low
        if part == 0:
            return np.asarray(self.order[:, low])
        return np.asarray(self.order[:, low] + part * (self.order[:, low + 1] - self.order[:, low]))

    @cached_property
    def median(self) -> Array:
        """Median flux (m,)."""
        return self.quantile(0.5)

    @cached_property
    def spread(self) -> Array:
        """Standard deviation with N in the denominator (m,); 0 where all fluxes are equal, whatever rounding says."""
        equal = self.order[:, 0] == self.order[:, -1]
        return np.asarray(np.where(equal, 0.0, self.flux.std(axis=1)))

    @cached_property
    def top(self) -> Array:
        """Largest flux, or its error where that is larger (m,): what relative statistics are divided by."""
        brightest = self.brightest[:, None]
        value, noise = (np.take_along_axis(column, brightest, axis=1)[:, 0] for column in (self.flux, self.error))
        return np.maximum(value, noise)

    @cached_property
    def brightest(self) -> NDArray[np.intp]:
        """Index of the (first) largest flux (m,)."""
        return np.asarray(self.flux.argmax(axis=1), np.intp)

    @cached_property
    def weight(self) -> Array:
        """1 / error^2 (m, N)."""
        return 1.0 / self.error**2

    @cached_property
    def weighted_mean(self) -> Array:
        """Mean flux with these weights (m,)."""
        return np.asarray((self.weight * self.flux).sum(axis=1) / self.weight.sum(axis=1))

    @cached_property
    def excess(self) -> Array:
        """Flux above the weighted mean (m, N); 0 where all fluxes are equal, whatever rounding says."""
        return np.where(self.spread[:, None] > 0, self.flux - self.weighted_mean[:, None], 0.0)

    @cached_property
    def pull(self) -> Array:
        """The same in units of the errors (m, N)."""
        return self.excess / self.error

    @cached_property
    def chi2(self) -> Array:
        """Sum of squared pulls (m,)."""
        return np.asarray((self.pull**2).sum(axis=1))


def read(mjd: ArrayLike, flux: ArrayLike, error: ArrayLike, mask: ArrayLike) -> tuple[Curves, NDArray[np.intp]]:
    """Moves the points of each curve to the front, in time order, and checks them.

    Returns
    -------
    curves : Curves (n, T)
        0 behind each curve's last point; times are since the first point; errors of 0 are still there.
    count : int (n,)
        Points of each curve.

    Raises
    ------
    DataError
        For shapes that differ, NaN or infinite values where the mask is True, negative errors.
    """
    there = np.asarray(mask, np.bool_)
    columns = {"mjd": mjd, "flux": flux, "error": error}
    arrays = {name: np.asarray(column, np.float64) for name, column in columns.items()}
    for name, array in arrays.items():
        if array.ndim != 2 or array.shape != there.shape:
            raise DataError(f"features: {name}", f"shape {array.shape}, mask {there.shape}", "all four must be (n, T)")
        bad = there & ~np.isfinite(array)
        if bad.any():
            raise DataError(f"features: {name}", f"{bad.sum()} NaN or infinite values where the mask is True", "mask those points")
    negative = there & (arrays["error"] < 0)
    if negative.any():
        raise DataError("features: error", f"{negative.sum()} negative values", "errors are standard deviations; mask those points")
    place = np.argsort(np.where(there, arrays["mjd"], np.inf), axis=1, kind="stable")
    count = there.sum(axis=1)
    valid = np.arange(there.shape[1]) < count[:, None]
    time, level, noise = (np.where(valid, np.take_along_axis(array, place, axis=1), 0.0) for array in arrays.values())
    time = np.where(valid, time - time[:, :1], 0.0)
    return Curves(time, level, noise), count


def dense(curves: Curves, rows: NDArray[np.intp], number: int) -> Curves:
    """The first `number` points of the chosen curves, contiguous, with errors of 0 replaced.

    Equal shapes and memory order make a curve's sums the same bits whatever was computed beside it.
    """
    time, flux, error = (np.ascontiguousarray(column[rows, :number]) for column in (curves.time, curves.flux, curves.error))
    smallest = np.where(error > 0, error, np.inf).min(axis=1, keepdims=True)
    return Curves(time, flux, np.where(error > 0, error, np.where(np.isfinite(smallest), smallest, 1.0)))
