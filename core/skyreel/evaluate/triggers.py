"""The trigger of the label-blind protocol: the first image on which a source is brighter than its own past foretells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skyreel.light_curves import PhotometryOptions, measure
from skyreel.movies import Movies

PHOTOMETRY = PhotometryOptions(
    profile="moffat", beta=4.0, width="fitted", sky="border", centre="middle", iterations=1, host="none", error_floor=0.0
)
"""Photometry behind the trigger, fixed with the protocol: the centre of the stamp is where the survey says the source is."""
SIGMA = 5.0
"""Standard deviations of a rise (section 4 of Carrasco-Davis et al. 2018: five times the error)."""
PAST = 3
"""Earlier points in the same band that a rise needs."""
FLOOR = 0.03
"""Relative error of every point beside photon noise: HiTS exposures share errors of 0.02 to 0.03 mag (zero point, PSF) and
single stars scatter by another 0.018 mag."""
SLOPE = 0.2
"""Prior standard deviation of the relative change of flux per pixel of PSF width: none for a star, while the PSF-weighted
flux of an evenly bright surface grows like the square of the width, 2 / width = 0.5 per pixel at 4 px."""


def first_rise(movies: Movies) -> NDArray[np.int32]:
    """Index (n,) of the first usable frame that rises above the object's past, -1 where none does (see `rises`).

    Neither the label nor `first_detection` is read; reported conditions only.

    Parameters
    ----------
    movies : Movies
    """
    curves = measure(movies, PHOTOMETRY)
    return rises(curves.flux, curves.error, curves.mask, movies.reported.psf_fwhm, movies.reported.band)


def rises(
    flux: NDArray[np.float64],
    error: NDArray[np.float64],
    mask: NDArray[np.bool_],
    width: NDArray[np.floating],
    band: NDArray[np.integer],
) -> NDArray[np.int32]:
    """First point (n,) of each light curve that lies `SIGMA` above what its own past foretells, -1 where none does.

    The past of a point are the earlier points in its band, at least `PAST` of them. They are fitted by a level and a slope
    with the PSF's width, a + b (w - w_now): the light of a host galaxy that falls under a wider PSF is no rise. Each point
    has the variance error^2 + (`FLOOR` m)^2 with m the median flux of the past; b has the prior N(0, (`SLOPE` m)^2). The
    point rises if flux - a > `SIGMA` sqrt(V c + error^2 + (`FLOOR` m)^2), with V the variance of a in that fit and c the
    past's chi^2 per degree of freedom (points - 1) where that is above 1, so that a past that varies makes the level
    uncertain.

    Parameters
    ----------
    flux, error : float (n, T)
        Calibrated flux and its photon noise, in any unit.
    mask : bool (n, T)
        Points that exist.
    width : float (n, T)
        Full width at half maximum of the PSF [px].
    band : int (n, T)

    Returns
    -------
    int32 array (n,)
    """
    out = np.full(len(flux), -1, np.int32)
    wide = np.asarray(width, np.float64)
    for now in range(PAST, flux.shape[1]):
        past = mask[:, :now] & (band[:, :now] == band[:, now, None])
        rows = np.flatnonzero((out < 0) & mask[:, now] & (past.sum(axis=1) >= PAST))
        if rows.size:
            found = _above(flux[rows, : now + 1], error[rows, : now + 1], past[rows], wide[rows, : now + 1])
            out[rows[found]] = now
    return out


def _above(flux: NDArray[np.float64], error: NDArray[np.float64], past: NDArray[np.bool_], width: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether the last column (n,) of flux, error and width (n, t + 1) rises above the points `past` (n, t)."""
    level = np.nanmedian(np.where(past, flux[:, :-1], np.nan), axis=1)[:, None]
    variance = error**2 + (FLOOR * level) ** 2
    # a flux and an error of exactly 0 carry no weight instead of an infinite one
    weight = np.divide(1.0, variance[:, :-1], out=np.zeros(past.shape), where=past & (variance[:, :-1] > 0))
    # in units of the slope's prior, so that its precision is 1
    shift = np.where(past, SLOPE * level * (width[:, :-1] - width[:, -1:]), 0.0)
    signal = np.where(past, flux[:, :-1], 0.0)
    s0, s1, s2 = (np.sum(weight * shift**power, axis=1) for power in range(3))
    y0, y1 = (np.sum(weight * signal * shift**power, axis=1) for power in range(2))
    s2 = s2 + 1.0
    known = s0 > 0
    determinant = np.where(known, s0 * s2 - s1**2, 1.0)
    start, slope = (s2 * y0 - s1 * y1) / determinant, (s0 * y1 - s1 * y0) / determinant
    residual = np.where(past, signal - start[:, None] - slope[:, None] * shift, 0.0)
    spread = np.maximum(np.sum(weight * residual**2, axis=1) / (past.sum(axis=1) - 1), 1.0)
    return np.asarray(known & (flux[:, -1] - start > SIGMA * np.sqrt(s2 / determinant * spread + variance[:, -1])))
