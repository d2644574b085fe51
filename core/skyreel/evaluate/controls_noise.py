"""What the background of a movie tells: everything on the stamps that is not the source (input of the control `noise_only`)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.movies import Movies
from skyreel.photometry import background_variance, psf_image

NOISE = ("variance_ratio", "correlation_01", "correlation_10", "correlation_11", "high_pass_ratio")
"""Of the difference of two consecutive images: variance over the sum of both sky / gain + (read_noise / gain)^2 + 1/12,
correlation of neighbouring pixels at lags (0, 1), (1, 0) and (1, 1) (row, column), and the variance of a pixel less the mean
of its four neighbours over 1.25 times the variance, which is 1 for white noise. Resampled stamps have ratios below, and
correlations above, those of untouched ones."""
UNKNOWN = -1.0
"""Fill where too few images tell."""

_INNER = 1.0 / 3.0
"""Radius inside which pixels count as the source's, as a share of the stamp's side (7 px of 21)."""
_OUTLIER = 5.0
"""Pixels this many standard deviations from their ring are neighbours or artefacts and are left out."""
_LEAST_SNR = 10.0
"""Only images with the source at this S/N or more have a centroid: it is then good to about 0.1 px."""
_FRAMES = 4096
"""Images worked on at once."""


def noise_inputs(movies: Movies, snr: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median and standard deviation over a movie of each of `NOISE`, and the scatter of its centroid.

    Differences of consecutive images hold no neighbour and no host; what the wings of the source leave in them is taken
    out by the mean of each ring of one pixel's width.

    Parameters
    ----------
    movies : Movies
        Windows as a protocol cut them: usable images first.
    snr : float64 (n, T)
        Signal to noise of the source in each image.

    Returns
    -------
    float64 (n, 12)
        The medians of `NOISE`, their standard deviations, and the standard deviation of the centroid in x and y [px]
        over images with S/N of 10 or more; -1 where there are not two images, or not three of that S/N.
    """
    usable = movies.frame_mask & movies.reported.mask
    noise, centre = np.full((*usable.shape, len(NOISE)), np.nan), np.full((*usable.shape, 2), np.nan)
    row, image = np.nonzero(usable[:, 1:] & usable[:, :-1])
    for start in range(0, len(row), _FRAMES):
        rows, later = row[start : start + _FRAMES], image[start : start + _FRAMES] + 1
        earlier = _stamps(movies, rows, later - 1)
        signal, good, variance = _stamps(movies, rows, later)
        noise[rows, later] = frame_noise(signal - earlier[0], good & earlier[1], variance + earlier[2])
    row, image = np.nonzero(usable & (snr >= _LEAST_SNR))
    for start in range(0, len(row), _FRAMES):
        part = row[start : start + _FRAMES], image[start : start + _FRAMES]
        signal, good, _ = _stamps(movies, *part)
        centre[part] = _centroid(np.where(good, signal, 0), movies.reported.psf_fwhm[part])
    enough = np.isfinite(centre).all(axis=2).sum(axis=1, keepdims=True) >= 3
    scatter = np.where(enough, _over_images(np.nanstd, centre), UNKNOWN)
    return np.hstack([_over_images(np.nanmedian, noise), _over_images(np.nanstd, noise), scatter])


def _stamps(
    movies: Movies, rows: NDArray[np.intp], images: NDArray[np.intp]
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32]]:
    """Counts less the reported sky (m, H, W), pixels that can be used, and the variance (m,) of a pixel without sources."""
    sky, gain, read_noise = (getattr(movies.reported, name)[rows, images] for name in ("sky", "gain", "read_noise"))
    signal = movies.pixels[rows, images, 0].astype(np.float32) - sky[:, None, None]
    return signal, movies.pixel_mask[rows, images, 0] == 0, background_variance(sky, gain, read_noise)


def frame_noise(signal: NDArray[np.float32], good: NDArray[np.bool_], variance: NDArray[np.float32]) -> NDArray[np.float64]:
    """The statistics `NOISE` of images, or of differences of images.

    Parameters
    ----------
    signal : float32 (m, H, W), ADU
        Counts; their zero does not matter.
    good : bool (m, H, W)
        Pixels that can be used.
    variance : float32 (m,), ADU^2
        Expected variance of a pixel without sources.

    Returns
    -------
    float64 (m, 5)
        NaN where no pixel of the background is left.
    """
    radius = _radius(signal.shape[1:])
    outside = radius >= _INNER * min(signal.shape[1:])
    ring = np.where(outside, np.round(radius), -1).astype(np.intp)
    scaled = np.where(good & outside, signal / np.sqrt(variance)[:, None, None], 0)
    residual, used = _less_rings(scaled, good & outside, ring)
    # neighbours and cosmic rays pull a ring's mean: once more without the pixels that stand out
    residual, used = _less_rings(scaled, used & (np.abs(residual) < _OUTLIER), ring)
    used &= np.abs(residual) < _OUTLIER
    residual = np.where(used, residual, 0)
    freedom = _sum(used) - sum((used & (ring == k)).any(axis=(1, 2)) for k in np.unique(ring[outside]))
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = _sum(residual**2) / np.where(freedom > 0, freedom, np.nan)
        lags = [_product(residual, used, *lag) / spread for lag in ((0, 1), (1, 0), (1, 1))]
        return np.stack([spread, *lags, _high_pass(residual, used) / (1.25 * spread)], axis=1)


def _less_rings(
    values: NDArray[np.float32], used: NDArray[np.bool_], ring: NDArray[np.intp]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The values less the mean of the used pixels of their ring."""
    out = values.copy()
    for k in np.unique(ring[ring >= 0]):
        place = ring == k
        members = used[:, place]
        mean = np.where(members, values[:, place], 0).sum(axis=1) / np.maximum(members.sum(axis=1), 1)
        out[:, place] -= mean[:, None].astype(np.float32)
    return out, used


def _product(values: NDArray[np.float32], used: NDArray[np.bool_], down: int, right: int) -> NDArray[np.float64]:
    """Mean product (m,) of pixels and those `down` rows and `right` columns on, over pairs of used pixels."""
    height, width = values.shape[1] - down, values.shape[2] - right
    here, there = (slice(None), slice(height), slice(width)), (slice(None), slice(down, None), slice(right, None))
    return _sum(values[here] * values[there]) / _sum(used[here] & used[there])


def _high_pass(values: NDArray[np.float32], used: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Variance (m,) of pixels less the mean of their four neighbours, where all five are used."""

    def cross(array: NDArray[Any]) -> list[NDArray[Any]]:
        return [array[:, 2:, 1:-1], array[:, :-2, 1:-1], array[:, 1:-1, 2:], array[:, 1:-1, :-2]]

    whole = used[:, 1:-1, 1:-1] & np.logical_and.reduce(cross(used))
    difference = np.where(whole, values[:, 1:-1, 1:-1] - sum(cross(values)) / np.float32(4), 0)
    return _sum(difference**2) / _sum(whole)


def _centroid(signal: NDArray[np.float32], fwhm: NDArray[np.float32]) -> NDArray[np.float64]:
    """Centroid (m, 2) as x, y from the stamp's middle [px]: mean position under a Gaussian weight of the reported width.

    Such a mean moves less than the source does; it is scaled by what it gives for a point source half a pixel off the
    middle.
    """
    shape = (int(signal.shape[1]), int(signal.shape[2]))
    weight = psf_image(shape, fwhm, profile="gaussian")
    x, y = (np.arange(size, dtype=np.float32) - np.float32(0.5 * (size - 1)) for size in (shape[1], shape[0]))

    def mean(images: NDArray[np.float32], axis: NDArray[np.float32]) -> NDArray[np.float64]:
        with np.errstate(divide="ignore", invalid="ignore"):
            return _sum(images * weight * axis) / _sum(images * weight)

    step = 0.5
    moved = psf_image(shape, fwhm, np.broadcast_to(np.array([step, 0], np.float32), (len(signal), 2)))
    centre = np.stack([mean(signal, x), mean(signal, y[:, None])], axis=1) * (step / mean(moved, x))[:, None]
    return np.where(np.abs(centre) <= 0.5 * min(shape), centre, np.nan)


def _over_images(function: Any, table: NDArray[np.float64]) -> NDArray[np.float64]:
    """A statistic over the images (n, T, K) that have a value; -1 where none has."""
    known = np.asarray(np.isfinite(table).any(axis=1))
    filled = np.where(known[:, None], table, 0.0)
    return np.where(known, function(filled, axis=1), UNKNOWN)


def _radius(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Distance (H, W) of each pixel from the stamp's middle [px]."""
    y, x = (np.arange(size) - 0.5 * (size - 1) for size in shape)
    return np.asarray(np.hypot(y[:, None], x), np.float64)


def _sum(images: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(images.reshape(len(images), -1).sum(axis=1, dtype=np.float64))
