"""Stamps in a row, on one stretch."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import AsinhNorm
from numpy.typing import NDArray

from skyreel.evaluate.figures_style import PALETTE
from skyreel.interfaces import PixelBits
from skyreel.movies import Movies


def counts_of(movies: Movies, row: int, frames: NDArray[np.intp]) -> NDArray[np.float64]:
    """Channel 0 of one object's frames (K, H, W) [ADU]; NaN for bad pixels (a saturated one still shows the star)."""
    bad = (movies.pixel_mask[row, frames, 0] & ~np.uint8(PixelBits.SATURATED)) != 0
    return np.where(bad, np.nan, movies.pixels[row, frames, 0].astype(np.float64))


def less_rim(stamps: NDArray[np.floating]) -> NDArray[np.float64]:
    """Stamps (K, H, W) less the median of each one's outermost pixels."""
    rim = np.concatenate([stamps[:, 0], stamps[:, -1], stamps[:, 1:-1, 0], stamps[:, 1:-1, -1]], axis=1).astype(np.float64)
    known = np.isfinite(rim).any(axis=1)
    level = np.zeros(len(stamps))
    level[known] = np.nanmedian(rim[known], axis=1)
    return np.asarray(stamps - level[:, None, None], np.float64)


def stretch(stamps: NDArray[np.float64]) -> AsinhNorm:
    """One asinh scale for all of them: from 3 sigma of the noise below the sky to the 99.9th percentile."""
    seen = stamps[np.isfinite(stamps)]
    if not seen.size:
        return AsinhNorm(linear_width=1.0, vmin=-1.0, vmax=1.0)
    noise = float(1.4826 * np.median(np.abs(seen - np.median(seen))))
    top = max(float(np.percentile(seen, 99.9)), 5 * noise, 1.0)
    return AsinhNorm(linear_width=max(3 * noise, 1e-3 * top), vmin=-3 * noise, vmax=top)


def draw_strip(axes: Axes, stamps: NDArray[np.floating], columns: int | None = None, norm: AsinhNorm | None = None) -> None:
    """Stamps at x = 1, 2, ..., in rows of `columns` (None: one row) from the top; pixels without a value are red.

    Parameters
    ----------
    axes : Axes
        Loses its frame.
    stamps : (K, H, W)
        Shown less the median of their rims.
    columns : int or None
    norm : AsinhNorm or None
        None: `stretch` of these stamps.
    """
    flat = less_rim(stamps)
    norm = stretch(flat) if norm is None else norm
    columns = columns or len(flat)
    rows = -(-len(flat) // columns)
    grey = colormaps["gray"].with_extremes(bad=PALETTE[1])
    for number, stamp in enumerate(flat):
        x, y = number % columns + 1, rows - 1 - number // columns
        axes.imshow(stamp, cmap=grey, norm=norm, origin="lower", extent=(x - 0.47, x + 0.47, y, y + 0.94))
    axes.set_xlim(0.5, columns + 0.5)
    axes.set_ylim(0, rows - 0.06)
    axes.set_aspect("equal")
    axes.axis("off")
