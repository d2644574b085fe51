"""Optimal photometry: the PSF-weighted flux of a source at a known position, for any number of stamps at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erf

from skyreel.errors import ConfigError, DataError

PROFILES = ("moffat", "gaussian")
MOFFAT_BETA = 4.0
"""Wings of HiTS stars: beta 3.9-4.5 in averages of many stars, 3.2-4.9 in single ones."""

_NODES = ((-0.5 * np.sqrt(0.6), 5.0 / 18.0), (0.0, 8.0 / 18.0), (0.5 * np.sqrt(0.6), 5.0 / 18.0))
"""Three-point Gauss-Legendre nodes of a pixel [px] and their weights (Abramowitz & Stegun 1964, table 25.4)."""

_ROUNDING = 1.0 / 12.0
"""Variance of rounding to whole ADU [ADU^2]; it also keeps weights finite without sky and read noise."""


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
    return _gaussian(x, y, width) if profile == "gaussian" else _moffat(x, y, width, np.float32(beta))


def psf_flux(
    pixels: ArrayLike,
    fwhm: ArrayLike,
    sky: ArrayLike,
    gain: ArrayLike,
    read_noise: ArrayLike,
    centre: ArrayLike | None = None,
    pixel_mask: NDArray[Any] | None = None,
    profile: str = "moffat",
    beta: float = MOFFAT_BETA,
    iterations: int = 1,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Total flux of a point source at a fixed centre by optimal weighting (Naylor 1998, MNRAS 296, 339).

    With the profile P (unit flux over the plane) and the variance V of each pixel, F = sum(P D / V) / sum(P^2 / V)
    for sky-subtracted counts D (Horne 1986, PASP 98, 609, eq. 8). The first pass is sky-limited,
    V = sky / gain + (read_noise / gain)^2 + 1/12; each iteration adds the source's own noise, max(F, 0) P / gain.
    Masked pixels are left out of the sums. All leading axes broadcast.

    Parameters
    ----------
    pixels : array (..., H, W)
        Counts with sky [ADU].
    fwhm : array (...)
        Full width at half maximum of the profile before the integration over pixels [px]. On real HiTS stars a
        Moffat of beta 4 with the width of a fitted Gaussian (`Exposures.psf_fwhm`) meets the catalogue's magnitudes
        to 0.01 mag in the median; a Gaussian of that width misses the wings and 0.10-0.13 mag.
    sky : array (...)
        Sky level that is subtracted and whose noise is assumed [ADU / px].
    gain : array (...)
        electron / ADU.
    read_noise : array (...)
        electron.
    centre : array (..., 2) or None
        Position (x, y) of the source relative to the middle of the stamp [px].
    pixel_mask : array (..., H, W) or None
        Pixels that are not 0 are left out.
    profile : 'moffat' or 'gaussian'
    beta : float
        Exponent of the Moffat profile.
    iterations : int
        Passes with the source's own noise in the weights; 0 is sky-limited weighting.

    Returns
    -------
    flux, error : float64 arrays (...)
        Total counts of the source and their standard deviation [ADU]; NaN and infinity where every pixel is masked.

    Raises
    ------
    ConfigError
        For an unknown profile, beta or number of iterations.
    DataError
        For shapes that do not fit together, or widths and gains that are not positive.
    """
    if iterations < 0:
        raise ConfigError("photometry iterations", str(iterations), "use 0 (sky-limited weights) or more")
    counts = np.asarray(pixels)
    if counts.ndim < 2:
        raise DataError("photometry: pixels", f"shape {counts.shape}", "they must be (..., height, width)")
    for name, column in (("fwhm", fwhm), ("gain", gain)):
        if not (np.asarray(column) > 0).all():
            raise DataError(f"photometry: {name}", "values that are not positive", "leave those stamps out or correct them")
    shape = (int(counts.shape[-2]), int(counts.shape[-1]))
    share = psf_image(shape, fwhm, centre, profile, beta)
    try:
        signal, share = np.broadcast_arrays(counts - _per_pixel(sky), share)
        if pixel_mask is not None:
            bad = np.broadcast_to(pixel_mask != 0, signal.shape)
            signal, share = np.where(bad, 0, signal), np.where(bad, 0, share)
        background = np.broadcast_to(background_variance(sky, gain, read_noise), signal.shape[:-2])
        per_electron = np.broadcast_to(1.0 / np.asarray(gain, np.float32), signal.shape[:-2])
    except ValueError as error:
        raise DataError("photometry", f"shapes that do not broadcast ({error})", "conditions must match pixels.shape[:-2]") from error
    return _optimal(_flat(signal), _flat(share), background, per_electron, iterations)


def background_variance(sky: ArrayLike, gain: ArrayLike, read_noise: ArrayLike) -> NDArray[np.float32]:
    """Variance of a pixel without sources, sky / gain + (read_noise / gain)^2 + 1/12 [ADU^2].

    Parameters
    ----------
    sky : array [ADU / px]
        Negative levels count as 0.
    gain : array [electron / ADU]
    read_noise : array [electron]
    """
    level, per_adu, read = (np.asarray(column, np.float32) for column in (sky, gain, read_noise))
    return np.asarray(np.maximum(level, 0) / per_adu + (read / per_adu) ** 2 + np.float32(_ROUNDING), np.float32)


def border_sky(pixels: ArrayLike, mask: NDArray[Any] | None = None, width: int = 3, rounds: int = 5) -> NDArray[np.float64]:
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
    edge = np.ones((height, side), np.bool_)
    edge[width:-width, width:-width] = False
    values = counts[..., edge].astype(np.float64)
    good = np.isfinite(values)
    if mask is not None:
        good &= np.broadcast_to(mask, counts.shape)[..., edge] == 0
    values = np.sort(np.where(good, values, np.inf), axis=-1)
    return _clipped_median(values, good.sum(axis=-1), rounds)


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


def _power(base: NDArray[np.float32], exponent: np.float32) -> NDArray[np.float32]:
    # logarithm and exponential are vectorised by numpy on every processor, float powers only on some
    np.log(base, out=base)
    base *= exponent
    return np.exp(base, out=base)


def _per_pixel(column: ArrayLike) -> NDArray[np.float32]:
    return np.asarray(column, np.float32)[..., None, None]


def _flat(stamps: NDArray[Any]) -> NDArray[np.float32]:
    return np.ascontiguousarray(stamps, np.float32).reshape(*stamps.shape[:-2], -1)


def _optimal(
    signal: NDArray[np.float32],
    share: NDArray[np.float32],
    background: NDArray[np.float32],
    per_electron: NDArray[np.float32],
    iterations: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weighted flux and its error from flattened stamps (..., pixels); sums run in double precision."""
    weight, flux = share, _weighted(share, signal, share)
    for _ in range(iterations):
        weight = share / _variance(flux, share, background, per_electron)
        flux = _weighted(weight, signal, share)
    with np.errstate(divide="ignore", invalid="ignore"):
        noise = (weight**2 * _variance(flux, share, background, per_electron)).sum(axis=-1, dtype=np.float64)
        error = np.sqrt(noise) / (weight * share).sum(axis=-1, dtype=np.float64)
    return flux, np.where(np.isfinite(flux), error, np.inf)


def _variance(
    flux: NDArray[np.float64], share: NDArray[np.float32], background: NDArray[np.float32], per_electron: NDArray[np.float32]
) -> NDArray[np.float32]:
    source = np.asarray(np.fmax(flux, 0.0) * per_electron, np.float32)
    return source[..., None] * share + background[..., None]


def _weighted(weight: NDArray[np.float32], signal: NDArray[np.float32], share: NDArray[np.float32]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((weight * signal).sum(axis=-1, dtype=np.float64) / (weight * share).sum(axis=-1, dtype=np.float64))
