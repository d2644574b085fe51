"""Optimal photometry: the PSF-weighted flux of a source at a known position, for any number of stamps at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skyreel.errors import ConfigError, DataError
from skyreel.photometry.profiles import MOFFAT_BETA, psf_image

_ROUNDING = 1.0 / 12.0
"""Variance of rounding to whole ADU [ADU^2]; it also keeps weights finite without sky and read noise."""


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
    weight, flux = optimal_weights(signal, share, background[..., None], per_electron, iterations)
    with np.errstate(divide="ignore", invalid="ignore"):
        noise = (weight**2 * variance(flux, share, background[..., None], per_electron)).sum(axis=-1, dtype=np.float64)
        error = np.sqrt(noise) / (weight * share).sum(axis=-1, dtype=np.float64)
    return flux, np.where(np.isfinite(flux), error, np.inf)


def optimal_weights(
    signal: NDArray[np.float32],
    share: NDArray[np.float32],
    background: NDArray[np.float32],
    per_electron: NDArray[np.float32],
    iterations: int,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Weights P / V of flattened stamps and the flux that they give, sum(w D) / sum(w P).

    Parameters
    ----------
    signal : float32 (..., pixels)
        Counts without sky [ADU], 0 where masked.
    share : float32 (..., pixels)
        Profile P, 0 where masked.
    background : float32 (..., 1) or (..., pixels)
        Variance without the source [ADU^2].
    per_electron : float32 (...)
        1 / gain.
    iterations : int
        Passes with the source's own noise in V; 0 is weighting by P alone.

    Returns
    -------
    weight : float32 (..., pixels)
    flux : float64 (...)
        NaN where every pixel is masked.
    """
    weight, flux = share, _weighted(share, signal, share)
    for _ in range(iterations):
        weight = share / variance(flux, share, background, per_electron)
        flux = _weighted(weight, signal, share)
    return weight, flux


def variance(
    flux: NDArray[np.float64], share: NDArray[np.float32], background: NDArray[np.float32], per_electron: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Variance of each pixel [ADU^2]: `background` and the noise of a source of `flux` (negative ones have none); see `optimal_weights`."""
    source = np.asarray(np.fmax(flux, 0.0) * per_electron, np.float32)
    return source[..., None] * share + background


def _weighted(weight: NDArray[np.float32], signal: NDArray[np.float32], share: NDArray[np.float32]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((weight * signal).sum(axis=-1, dtype=np.float64) / (weight * share).sum(axis=-1, dtype=np.float64))
