"""From the width of a star as it is reported to the width of the profile before the integration over pixels."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

from skyreel.photometry.profiles import psf_image

_RADIUS = 8.0
"""Pixels within this distance [px] take part in the fit, as in the measurements behind `Exposures.psf_fwhm` of HiTS."""
_SIDE = 25
_SIGMA_PER_FWHM = 1.0 / (2.0 * np.sqrt(2.0 * np.log(2.0)))
_WIDTHS = np.geomspace(1.2, 20.0, 60)


def profile_width(fitted: ArrayLike, profile: str, beta: float) -> NDArray[np.float32]:
    """Full width at half maximum of the profile [px] of stars on which a fitted Gaussian has the width `fitted` [px].

    The fit (a circular Gaussian and a constant, equal weights within 8 px) widens every profile by the pixel, and a Moffat
    by its wings: one of beta 4 and 4.0 px comes out as 4.3 px. Widths beyond those of 1.2 and 20 px are scaled
    like these.
    """
    known, widths = _table(profile, beta)
    given = np.asarray(fitted, np.float64)
    ratio = np.interp(given, known, widths / known)
    return np.asarray(given * ratio, np.float32)


@lru_cache(maxsize=8)
def _table(profile: str, beta: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Widths (W,) of fitted Gaussians, ascending, and the profiles' own."""
    axis = np.arange(_SIDE) - 0.5 * (_SIDE - 1)
    square = axis**2 + axis[:, None] ** 2
    inside = square < _RADIUS**2
    images = psf_image((_SIDE, _SIDE), _WIDTHS, None, profile, beta)[:, inside].astype(np.float64)
    known = np.array([_fitted(image, square[inside]) for image in images])
    rising = np.append(True, np.diff(np.maximum.accumulate(known)) > 0)
    return known[rising], _WIDTHS[rising]


def _fitted(image: NDArray[np.float64], square: NDArray[np.float64]) -> float:
    """Width of the Gaussian that, with a constant, leaves the smallest sum of squares."""

    def misfit(log_sigma: float) -> float:
        shape = np.exp(-0.5 * square / np.exp(2.0 * log_sigma))
        shape -= shape.mean()
        return float(-((shape @ image) ** 2) / (shape @ shape))

    best = minimize_scalar(misfit, bounds=(np.log(0.3), np.log(4.0 * _RADIUS)), args=(), method="bounded", options={"xatol": 1e-8})
    return float(np.exp(best.x) / _SIGMA_PER_FWHM)
