"""Noise of the sky in stamps, and what it says about the detector: gain and read noise from variance against level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyreel.photometry.sky import border

_ROUNDING = 1.0 / 12.0
"""Variance of rounding to whole ADU [ADU^2], as in `photometry.background_variance`."""
_CLIP = 4.0
_CLIPPED = 1.0 - 2.0 * _CLIP * np.exp(-0.5 * _CLIP**2) / np.sqrt(2.0 * np.pi) / 0.99993666
"""Variance of a standard normal distribution that is cut at 4 standard deviations."""
BINS, FEWEST = 12, 5
"""Bins of sky level, and stamps that each needs."""
RANGE, SIGNIFICANT = 1.5, 25.0
"""Ratio of the highest to the lowest level, and significance of the slope, that a gain needs (so 4 %)."""


def border_variance(pixels: NDArray[np.float32], good: NDArray[np.bool_], width: int) -> NDArray[np.float64]:
    """Variance of a pixel of the border [ADU^2], from differences of neighbours, which the wings of a star hardly change.

    Half the mean square of the differences after clipping at 4 standard deviations, corrected for what the clipping takes.
    Images that were resampled have correlated pixels, and come out too quiet.

    Parameters
    ----------
    pixels : float32 (m, H, W), ADU
    good : bool (m, H, W)
    width : int
        Of the border [px].

    Returns
    -------
    float64 (m,)
        NaN where fewer than 20 pairs of pixels are left.
    """
    edge = border(pixels.shape[1], pixels.shape[2], width)
    use = good & edge & np.isfinite(pixels)
    pair = (use[:, :, 1:] & use[:, :, :-1]).reshape(len(pixels), -1)
    values = np.where(np.isfinite(pixels), pixels, 0)
    steps = np.diff(values, axis=2).reshape(len(pixels), -1).astype(np.float64)
    inside = (edge[:, 1:] & edge[:, :-1]).ravel()
    square, pair = steps[:, inside] ** 2, pair[:, inside]
    enough = pair.sum(axis=1) >= 20
    # the median square of a normal deviate is 0.4549 of its variance
    spread = np.nanmedian(np.where(pair | ~enough[:, None], square, np.nan), axis=1) / 0.4549
    for _ in range(3):
        kept = pair & (square <= _CLIP**2 * np.maximum(spread, 2 * _ROUNDING)[:, None])
        spread = (square * kept).sum(axis=1) / np.maximum(kept.sum(axis=1), 1) / _CLIPPED
    return np.where(enough, 0.5 * spread, np.nan)


@dataclass(frozen=True)
class DetectorNoise:
    """What variance against level gives.

    Attributes
    ----------
    gain : float or None
        electron / ADU; None where the stamps do not allow it.
    read_noise : float
        electron; 0 where the intercept is not positive.
    why : str
        How well it is known, or why it is not.
    """

    gain: float | None
    read_noise: float
    why: str


def detector_noise(level: NDArray[np.float64], variance: NDArray[np.float64], pairs: int) -> DetectorNoise:
    """Gain and read noise from a line through the variance of stamps against their sky level.

    variance = level / gain + (read_noise / gain)^2 + 1/12 (photon transfer; Janesick 2001, Scientific CCDs, ch. 2), fitted to medians in
    bins of level, which crowded stamps do not move.

    Parameters
    ----------
    level : float64 (m,), ADU / px
        With the bias and nothing else removed.
    variance : float64 (m,), ADU^2
    pairs : int
        Pairs of pixels that each variance rests on.
    """
    known = np.isfinite(level) & np.isfinite(variance) & (variance > 0)
    level, variance = level[known], variance[known]
    bins = min(BINS, len(level) // FEWEST)
    if bins < 3:
        return DetectorNoise(None, 0.0, f"{len(level)} stamps with a sky are too few")
    order = np.array_split(np.lexsort((variance, level)), bins)
    x = np.array([np.median(level[rows]) for rows in order])
    y = np.array([np.median(variance[rows]) for rows in order])
    if not (x[0] > 0 and x[-1] > RANGE * x[0]):
        return DetectorNoise(None, 0.0, f"sky levels from {x[0]:.4g} to {x[-1]:.4g} adu lie too close together or are not positive")
    error = 1.25 * y * np.sqrt(3.0 / pairs / np.array([len(rows) for rows in order]))
    design = np.stack([x, np.ones_like(x)], axis=1) / error[:, None]
    covariance = np.linalg.inv(design.T @ design)
    slope, intercept = covariance @ design.T @ (y / error)
    significance = slope / np.sqrt(covariance[0, 0])
    if significance < SIGNIFICANT:
        return DetectorNoise(
            None, 0.0, f"the slope of variance against level is known to {significance:.1f} sigma only, not {SIGNIFICANT:g}"
        )
    gain = float(1.0 / slope)
    return DetectorNoise(gain, gain * float(np.sqrt(max(intercept - _ROUNDING, 0.0))), f"{100 / significance:.1f} % error of the slope")
