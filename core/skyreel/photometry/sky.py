"""Sky level of stamps from their border."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skyreel.errors import DataError

BORDER = 3
"""Width of the border that is measured [px]."""


def border_sky(pixels: ArrayLike, mask: NDArray[Any] | None = None, width: int = BORDER, rounds: int = 5) -> NDArray[np.float64]:
    """Sky level of stamps: median of the border after clipping at 3 standard deviations around the median.

    Parameters
    ----------
    pixels : array (..., H, W)
        Counts [ADU].
    mask : array (..., H, W) or None
        Pixels that are not 0 are left out; so are NaN and infinite ones.
    width : int
        Width of the border [px].
    rounds : int
        Clipping passes.

    Returns
    -------
    float64 array (...)
        Sky [ADU / px]; NaN where no border pixel is left.

    Raises
    ------
    DataError
        If the border is wider than half the stamp.
    """
    counts = np.asarray(pixels)
    height, side = counts.shape[-2:]
    if not 0 < 2 * width <= min(height, side):
        raise DataError("border sky", f"a border of {width} px around a stamp of {height} x {side}", "choose a narrower border")
    edge = border(height, side, width)
    values = counts[..., edge].astype(np.float64)
    good = np.isfinite(values)
    if mask is not None:
        good &= np.broadcast_to(mask, counts.shape)[..., edge] == 0
    values = np.sort(np.where(good, values, np.inf), axis=-1)
    return _clipped_median(values, good.sum(axis=-1), rounds)


def border(height: int, side: int, width: int = BORDER) -> NDArray[np.bool_]:
    """True (height, side) in the border of a stamp."""
    edge = np.ones((height, side), np.bool_)
    edge[width:-width, width:-width] = False
    return edge


def _clipped_median(values: NDArray[np.float64], count: NDArray[Any], rounds: int) -> NDArray[np.float64]:
    # in sorted values (invalid ones last) the survivors of clipping are a run of `count` from `start` on
    keep = np.arange(values.shape[-1]) < count[..., None]
    values = np.where(keep, values, np.nan)
    middle = _run_median(values, keep)
    for _ in range(rounds):
        number = np.maximum(keep.sum(axis=-1), 1)
        mean = np.where(keep, values, 0.0).sum(axis=-1) / number
        variance = np.where(keep, values - mean[..., None], 0.0)
        spread = np.sqrt((variance**2).sum(axis=-1) / number)
        keep &= np.abs(values - middle[..., None]) <= 3.0 * spread[..., None]
        middle = _run_median(values, keep)
    return middle


def _run_median(values: NDArray[np.float64], keep: NDArray[np.bool_]) -> NDArray[np.float64]:
    last = np.maximum(keep.sum(axis=-1) - 1, 0)
    ends = np.argmax(keep, axis=-1)[..., None] + np.stack([last // 2, (last + 1) // 2], axis=-1)
    return np.asarray(np.take_along_axis(values, ends, axis=-1).mean(axis=-1))
