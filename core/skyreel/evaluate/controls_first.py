"""What a single image tells (input of the control `first_frame_only`)."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.interfaces import PixelBits
from skyreel.light_curves import LightCurves
from skyreel.movies import Movies
from skyreel.photometry import background_variance, psf_image
from skyreel.preprocessing import UNUSABLE

CONDITIONS = ("sky", "psf_fwhm", "seeing", "airmass", "zero_point", "limiting_mag", "exptime")
"""Conditions that are reported with the image."""
FAINT = 30.0
"""Magnitude of an object without a positive flux: fainter than any that is detected."""

_RINGS = (0.0, 1.5, 2.5, 3.5, 5.0, 7.0, np.inf)
"""Edges of the rings [px]."""


def first_frame_inputs(movies: Movies, curves: LightCurves) -> NDArray[np.float64]:
    """What the first usable image of each movie tells.

    Parameters
    ----------
    movies : Movies
    curves : LightCurves
        Their PSF photometry.

    Returns
    -------
    float64 (n, 22)
        Magnitude (`FAINT` where the flux is not positive) and S/N; the light of each of six rings less that of a point
        source, over its error; root mean square and largest deviation of the stamp from a point source [standard
        deviations]; size over that of the PSF and two ellipticities from second moments; root mean square of the outer
        stamp [standard deviations]; share of saturated pixels; `CONDITIONS`. Ratios to errors are asinh-compressed.
    """
    rows, first = np.arange(len(movies)), np.argmax(movies.frame_mask & movies.reported.mask, axis=1)
    reported = {name: getattr(movies.reported, name)[rows, first].astype(np.float64) for name in (*CONDITIONS, "gain", "read_noise")}
    bits = movies.pixel_mask[rows, first, 0]
    good = (bits & UNUSABLE) == 0
    signal = np.where(good, movies.pixels[rows, first, 0] - reported["sky"][:, None, None], 0.0)
    known = curves.mask[rows, first]
    flux, error = (np.where(known, column[rows, first], fill) for column, fill in ((curves.flux, 0.0), (curves.error, 1.0)))
    counts = flux * 10.0 ** (0.4 * (reported["zero_point"] - 25.0)) * reported["exptime"]
    source = counts[:, None, None] * psf_image(_shape(signal), reported["psf_fwhm"])
    variance = background_variance(reported["sky"], reported["gain"], reported["read_noise"])[:, None, None]
    variance = variance + np.maximum(source, 0.0) / reported["gain"][:, None, None]
    rest = np.where(good, signal - source, 0.0)
    columns = [
        magnitude(flux),
        flux / error,
        *_rings(rest, np.where(good, variance, 0.0)),
        *_deviations(rest / np.sqrt(variance), good),
    ]
    shapes = [*_moments(signal, reported["psf_fwhm"]), ((bits & PixelBits.SATURATED) != 0).mean(axis=(1, 2))]
    return np.stack([columns[0], *map(np.arcsinh, columns[1:]), *shapes, *(reported[name] for name in CONDITIONS)], axis=1)


def magnitude(flux: NDArray[np.float64]) -> NDArray[np.float64]:
    """25 - 2.5 log10(flux) of counts / s at zero point 25 [mag]; `FAINT` where the flux is not positive."""
    return np.where(flux > 0, 25.0 - 2.5 * np.log10(np.where(flux > 0, flux, 1.0)), FAINT)


def _rings(rest: NDArray[np.float64], variance: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Counts in each ring over their error; 0 where a ring has no usable pixel."""
    radius = _radius(_shape(rest))
    out = []
    for low, high in itertools.pairwise(_RINGS):
        inside = (radius >= low) & (radius < high)
        error = np.sqrt(variance[:, inside].sum(axis=1))
        out.append(rest[:, inside].sum(axis=1) / np.where(error > 0, error, 1.0))
    return out


def _deviations(pulls: NDArray[np.float64], good: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Root mean square and largest deviation of the whole stamp, root mean square of the outer stamp."""
    outer = _radius(_shape(pulls)) >= min(_shape(pulls)) / 3.0

    def rms(values: NDArray[np.float64], used: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.asarray(np.sqrt((values**2).sum(axis=1) / np.maximum(used.sum(axis=1), 1)))

    flat, used = pulls.reshape(len(pulls), -1), good.reshape(len(pulls), -1)
    return [rms(flat, used), np.abs(flat).max(axis=1), rms(pulls[:, outer], good[:, outer])]


def _moments(signal: NDArray[np.float64], fwhm: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Size^2 over that of a point source and the two ellipticities, from second moments under a Gaussian of the PSF's width.

    Clipped to [0, 3] and [-1, 1]; 1 and 0 where the light under the Gaussian is not positive.
    """
    weight = psf_image(_shape(signal), fwhm, profile="gaussian").astype(np.float64)
    y, x = _axes(_shape(signal))
    # a Gaussian source under a Gaussian weight of the same width has half its variance
    own = (fwhm / np.sqrt(8.0 * np.log(2.0))) ** 2 / 2.0
    total = (signal * weight).sum(axis=(1, 2))
    lit = total > 0
    xx, yy, xy = ((signal * weight * term).sum(axis=(1, 2)) / np.where(lit, total, 1.0) for term in (x * x, y * y, x * y))
    size = xx + yy
    wide = lit & (size > 0)
    out = [np.where(wide, np.clip(size / (2.0 * own), 0.0, 3.0), 1.0)]
    return [*out, *(np.where(wide, np.clip(part / np.where(wide, size, 1.0), -1.0, 1.0), 0.0) for part in (xx - yy, 2.0 * xy))]


def _radius(shape: tuple[int, int]) -> NDArray[Any]:
    y, x = _axes(shape)
    return np.hypot(y, x)


def _axes(shape: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    y, x = (np.arange(size, dtype=np.float64) - 0.5 * (size - 1) for size in shape)
    return np.asarray(y[:, None], np.float64), np.asarray(x[None, :], np.float64)


def _shape(images: NDArray[Any]) -> tuple[int, int]:
    return int(images.shape[1]), int(images.shape[2])
