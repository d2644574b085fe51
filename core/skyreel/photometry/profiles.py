"""Shapes of point sources, integrated over pixels: Moffat and Gaussian profiles for any number of stamps at once."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erf

from skyreel.errors import ConfigError, DataError

PROFILES = ("moffat", "gaussian")
MOFFAT_BETA = 4.0
"""Wings of HiTS stars: beta 3.9-4.5 in averages of many stars, 3.2-4.9 in single ones."""

_NODES = ((-0.5 * np.sqrt(0.6), 5.0 / 18.0), (0.0, 8.0 / 18.0), (0.5 * np.sqrt(0.6), 5.0 / 18.0))
"""Three-point Gauss-Legendre nodes of a pixel [px] and their weights (Abramowitz & Stegun 1964, table 25.4)."""


def psf_image(
    shape: tuple[int, int], fwhm: ArrayLike, centre: ArrayLike | None = None, profile: str = "moffat", beta: float = MOFFAT_BETA
) -> NDArray[np.float32]:
    """Pixel-integrated circular point sources with unit flux over the plane (not over the stamp).

    Gaussians are integrated exactly (error functions); Moffat profiles (Moffat 1969, A&A 3, 455) with 3 x 3
    Gauss-Legendre points per pixel, which is exact to 1e-4 of the peak pixel for widths from 2 px up.

    Parameters
    ----------
    shape : (height, width)
        Stamp size [px].
    fwhm : array (...)
        Full width at half maximum of the profile before the integration over pixels [px].
    centre : array (..., 2) or None
        Position (x, y) relative to the middle of the stamp [px]; None is the middle.
    profile : 'moffat' or 'gaussian'
    beta : float
        Exponent of the Moffat profile, above 1.

    Returns
    -------
    float32 array (..., height, width)
        Share of the total flux in each pixel.

    Raises
    ------
    ConfigError
        For an unknown profile or a beta of 1 or less.
    """
    if profile not in PROFILES:
        raise ConfigError("photometry profile", repr(profile), f"use one of {', '.join(PROFILES)}")
    if not beta > 1:
        raise ConfigError("photometry beta", str(beta), "a Moffat profile has finite flux only for beta > 1")
    width = np.asarray(fwhm, np.float32)
    x, y = _axes(shape, centre)
    if profile == "gaussian":
        return _gaussian(x, y, width)
    return _moffat(x, y, width, np.float32(beta)) if centre is not None else _centred_moffat(shape, width, np.float32(beta))


def _axes(shape: tuple[int, int], centre: ArrayLike | None) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Distance of pixel middles from the source along x (..., width) and y (..., height) [px]."""
    height, width = shape
    x, y = (np.arange(size, dtype=np.float32) - np.float32(0.5 * (size - 1)) for size in (width, height))
    if centre is None:
        return x, y
    offset = np.asarray(centre, np.float32)
    if offset.ndim < 1 or offset.shape[-1] != 2:
        raise DataError("photometry: centre", f"shape {offset.shape}", "it must be (..., 2) with x first")
    return x - offset[..., :1], y - offset[..., 1:]


def _gaussian(x: NDArray[np.float32], y: NDArray[np.float32], fwhm: NDArray[np.float32]) -> NDArray[np.float32]:
    scale = np.asarray(2.0 * np.sqrt(np.log(2.0)) / fwhm, np.float32)[..., None]
    share_x, share_y = (0.5 * (erf((axis + 0.5) * scale) - erf((axis - 0.5) * scale)) for axis in (x, y))
    return np.asarray(share_y[..., :, None] * share_x[..., None, :], np.float32)


def _moffat(x: NDArray[np.float32], y: NDArray[np.float32], fwhm: NDArray[np.float32], beta: np.float32) -> NDArray[np.float32]:
    scale = np.asarray(2.0 * np.sqrt(2.0 ** (1.0 / beta) - 1.0) / fwhm, np.float32)[..., None]
    squares_x = [(((x + np.float32(node)) * scale) ** 2)[..., None, :] for node, _ in _NODES]
    squares_y = [(((y + np.float32(node)) * scale) ** 2 + np.float32(1))[..., :, None] for node, _ in _NODES]
    centre = (beta - np.float32(1)) / np.float32(np.pi) * scale[..., None] ** 2
    total = np.zeros(np.broadcast_shapes(squares_x[0].shape, squares_y[0].shape), np.float32)
    for (_, weight_y), row in zip(_NODES, squares_y, strict=True):
        for (_, weight_x), column in zip(_NODES, squares_x, strict=True):
            total += np.float32(weight_y * weight_x) * _power(row + column, -beta)
    return np.asarray(total * centre, np.float32)


def _centred_moffat(shape: tuple[int, int], fwhm: NDArray[np.float32], beta: np.float32) -> NDArray[np.float32]:
    """`_moffat` in the middle of the stamp: each pair of distances to the axes once, which is a seventh of a 21 px stamp."""
    place, first, second = _distinct(*shape)
    flat = _moffat(first[:, None], second[:, None], fwhm[..., None], beta)[..., 0, 0]
    return np.take(flat, place, axis=-1)


@lru_cache(maxsize=16)
def _distinct(height: int, width: int) -> tuple[NDArray[np.intp], NDArray[np.float32], NDArray[np.float32]]:
    """Which pair of distances every pixel (height, width) has, and the pairs' larger and smaller distance [px]."""
    x, y = (np.abs(axis) for axis in _axes((height, width), None))
    pairs = np.stack(np.broadcast_arrays(np.maximum(x, y[:, None]), np.minimum(x, y[:, None])), axis=-1).reshape(-1, 2)
    distinct, place = np.unique(pairs, axis=0, return_inverse=True)
    return place.reshape(height, width), distinct[:, 0], distinct[:, 1]


def _power(base: NDArray[np.float32], exponent: np.float32) -> NDArray[np.float32]:
    # logarithm and exponential are vectorised by numpy on every processor, float powers only on some
    np.log(base, out=base)
    base *= exponent
    return np.exp(base, out=base)
