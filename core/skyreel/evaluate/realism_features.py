"""What a trained eye could see on a stamp: position, width, shape, profile, noise, each as a number per frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skyreel.interfaces import PixelBits
from skyreel.movies import Movies
from skyreel.photometry.widths import FWHM_PER_SIGMA

Array = NDArray[np.float64]

BORDER = 9.0
"""Distance [px] from the middle beyond which a stamp shows sky alone."""
RINGS = ((1.5, 2.5), (2.5, 3.5), (3.5, 4.5), (4.5, 6.0), (6.0, 8.0))
"""Inner and outer radii [px] of the profile."""
LAGS = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0))
"""Steps (y, x) [px] at which the noise is correlated with itself."""
STEPS = 25

BACKGROUND = ("sky_ratio", "noise_ratio", "noise_skew", "noise_kurtosis", "gradient", *(f"correlation_{y}{x}" for y, x in LAGS))
"""Features of the sky beyond `BORDER`."""
SHAPE = ("width_ratio", "ellipticity_1", "ellipticity_2", "ellipticity", "residual", *(f"ring_{a:g}_{b:g}" for a, b in RINGS))
"""Features of the star's image: width over the header's, adaptive shape, misfit of a Gaussian, profile over the amplitude."""
POSITION = ("centre_x", "centre_y")
BRIGHTNESS = ("flux", "peak")
FRAME = (*POSITION, *BRIGHTNESS, *SHAPE, *BACKGROUND)
GROUPS = {
    "position": POSITION,
    "brightness": BRIGHTNESS,
    "width": ("width_ratio",),
    "ellipticity": ("ellipticity_1", "ellipticity_2", "ellipticity"),
    "profile": ("residual", *(f"ring_{a:g}_{b:g}" for a, b in RINGS)),
    "sky level": ("sky_ratio",),
    "sky gradient": ("gradient",),
    "noise": ("noise_ratio", "noise_skew", "noise_kurtosis"),
    "correlation": tuple(f"correlation_{y}{x}" for y, x in LAGS),
}
"""Features that say the same in several ways."""


def frame_features(movies: Movies, pixel_scale: float) -> tuple[Array, NDArray[np.intp]]:
    """Features of every usable frame.

    Parameters
    ----------
    movies : Movies
        Their pixels should be rounded to whole ADU where they stand beside simulated ones.
    pixel_scale : float
        arcsec / px: `width_ratio` is the width over ``seeing / pixel_scale``.

    Returns
    -------
    values : float64 (m, len(FRAME))
        Lengths in px, brightness as log10 ADU at the exposure's zero point, noise relative to photon and read noise of the
        sky. Frames whose star cannot be measured hold 0 in its features.
    rows : int (m,)
        Object of each frame.
    """
    use = movies.frame_mask & movies.reported.mask
    rows, epochs = np.nonzero(use)
    stamp = np.asarray(movies.pixels[rows, epochs, 0], np.float64)
    good = (movies.pixel_mask[rows, epochs, 0] & (PixelBits.BAD | PixelBits.NO_DATA)) == 0
    names = ("sky", "gain", "read_noise", "seeing")
    reported = {name: np.asarray(getattr(movies.reported, name)[rows, epochs], np.float64) for name in names}
    sky, background = _background(stamp, good, reported)
    star = _star(np.where(good, stamp - sky[:, None, None], 0.0), reported["seeing"] / pixel_scale)
    columns = star | background
    return np.stack([columns[name] for name in FRAME], axis=1), rows


def _distances(side: int) -> tuple[Array, Array, Array]:
    axis = np.arange(side, dtype=np.float64) - 0.5 * (side - 1)
    return axis, np.hypot(axis, axis[:, None]), np.broadcast_to(axis[:, None], (side, side))


def _background(stamp: Array, good: NDArray[np.bool_], reported: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
    side = stamp.shape[-1]
    axis, radius, down = _distances(side)
    border = (radius > min(BORDER, 0.45 * side)) & good
    level = np.nanmedian(np.where(border, stamp, np.nan), axis=(1, 2))
    noise = np.sqrt(np.maximum(level, 0.0) / reported["gain"] + (reported["read_noise"] / reported["gain"]) ** 2)
    pull = np.where(border, (stamp - level[:, None, None]) / noise[:, None, None], 0.0)
    inside = border & (np.abs(pull) < 6.0)  # neighbours and cosmic rays
    pull = np.where(inside, pull, 0.0)
    count = np.maximum(inside.sum(axis=(1, 2)), 1)
    mean = pull.sum(axis=(1, 2)) / count
    rest = np.where(inside, pull - mean[:, None, None], 0.0)
    variance = (rest**2).sum(axis=(1, 2)) / count
    std = np.sqrt(np.maximum(variance, 1e-12))
    out = {
        "sky_ratio": level / np.maximum(reported["sky"], 1e-6),
        "noise_ratio": std,
        "noise_skew": (rest**3).sum(axis=(1, 2)) / count / std**3,
        "noise_kurtosis": (rest**4).sum(axis=(1, 2)) / count / std**4,
        "gradient": np.hypot((rest * axis).sum(axis=(1, 2)), (rest * down).sum(axis=(1, 2))) / count,
    }
    for y, x in LAGS:
        first, second = (slice(0, side - y), slice(0, side - x)), (slice(y, None), slice(x, None))
        pairs = (inside[:, *first] & inside[:, *second]).sum(axis=(1, 2))
        product = (rest[:, *first] * rest[:, *second]).sum(axis=(1, 2))
        out[f"correlation_{y}{x}"] = product / np.maximum(pairs, 1) / std**2
    return level, out


def _star(image: Array, header_width: Array) -> dict[str, Array]:
    """Adaptive Gaussian moments (Bernstein & Jarvis 2002, AJ 123, 583, section 3.1) and what they leave."""
    side = image.shape[-1]
    axis, _, _ = _distances(side)
    centre = np.zeros((len(image), 2))
    covariance = np.tile(np.eye(2) * (1.8**2), (len(image), 1, 1))
    gaussian = np.zeros_like(image)
    for _ in range(STEPS):
        gaussian = _gaussian(axis, centre, covariance)
        weight = gaussian * image
        total = weight.sum(axis=(1, 2))
        total = np.where(total > 0, total, np.inf)
        x, y = axis[None, None, :] - centre[:, 0, None, None], axis[None, :, None] - centre[:, 1, None, None]
        first = np.stack([(weight * x).sum(axis=(1, 2)), (weight * y).sum(axis=(1, 2))], axis=1) / total[:, None]
        xx, yy, xy = ((weight * product).sum(axis=(1, 2)) / total for product in (x * x, y * y, x * y))
        # A Gaussian weighted with itself has half its covariance: the fixed point is reached where both are equal.
        measured = 2.0 * np.stack([np.stack([xx, xy], -1), np.stack([xy, yy], -1)], -2)
        centre = np.clip(centre + 1.5 * first, -3.0, 3.0)
        covariance = _bounded(0.5 * (covariance + measured))
    gaussian = _gaussian(axis, centre, covariance)
    peak = (gaussian * image).sum(axis=(1, 2)) / (gaussian**2).sum(axis=(1, 2))
    safe = np.maximum(peak, 1e-3)
    radius = np.hypot(axis[None, None, :] - centre[:, 0, None, None], axis[None, :, None] - centre[:, 1, None, None])
    xx, yy, xy = covariance[:, 0, 0], covariance[:, 1, 1], covariance[:, 0, 1]
    one, two = (xx - yy) / (xx + yy), 2.0 * xy / (xx + yy)
    core = radius < 5.0
    left = np.where(core, image - peak[:, None, None] * gaussian, 0.0)
    out = {
        "centre_x": centre[:, 0],
        "centre_y": centre[:, 1],
        "flux": np.log10(np.maximum((image * (radius < 6.0)).sum(axis=(1, 2)), 1.0)),
        "peak": np.log10(np.maximum(peak, 1.0)),
        "width_ratio": FWHM_PER_SIGMA * (xx * yy - xy**2) ** 0.25 / header_width,
        "ellipticity_1": one,
        "ellipticity_2": two,
        "ellipticity": np.hypot(one, two),
        "residual": np.sqrt((left**2).sum(axis=(1, 2))) / safe,
    }
    for inner, outer in RINGS:
        ring = (radius >= inner) & (radius < outer)
        out[f"ring_{inner:g}_{outer:g}"] = (image * ring).sum(axis=(1, 2)) / np.maximum(ring.sum(axis=(1, 2)), 1) / safe
    known = peak > 0
    return {name: np.where(known, np.clip(value, -1e6, 1e6), 0.0) for name, value in out.items()}


def _gaussian(axis: Array, centre: Array, covariance: Array) -> Array:
    x, y = axis[None, None, :] - centre[:, 0, None, None], axis[None, :, None] - centre[:, 1, None, None]
    inverse = np.linalg.inv(covariance)[:, :, :, None, None]
    return np.asarray(np.exp(-0.5 * (inverse[:, 0, 0] * x * x + 2.0 * inverse[:, 0, 1] * x * y + inverse[:, 1, 1] * y * y)), np.float64)


def _bounded(covariance: Array) -> Array:
    """Widths held within 0.6 and 8 px, ellipticity within 0.9: faint stars do not run away."""
    xx, yy = (np.clip(covariance[:, k, k], 0.36, 64.0) for k in (0, 1))
    limit = 0.9 * np.sqrt(xx * yy)
    xy = np.clip(covariance[:, 0, 1], -limit, limit)
    return np.stack([np.stack([xx, xy], -1), np.stack([xy, yy], -1)], -2)
