"""Positions of sources within their stamps: least squares on a Gaussian profile, for all frames at once."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

PRIOR = 1.0 / np.sqrt(12.0)
"""Standard deviation of a position that is uniform within the central pixel [px]: HiTS stamps are cut at the nearest pixel
(rms 0.29 px on real constants)."""
LIMIT = 1.0
"""Largest distance of a position from the middle along either axis [px]."""
DETECTION = 5.0
"""Signal to noise that a frame needs for a position."""
ROUNDS = 4
SIGMA_PER_FWHM = 1.0 / (2.0 * np.sqrt(2.0 * np.log(2.0)))


@dataclass(frozen=True)
class Stamps:
    """What positions are fitted to.

    Attributes
    ----------
    signal : float32 (m, H, W)
        Counts without sky [ADU], 0 where masked.
    good : bool (m, H, W)
    fwhm : float (m,), px
    background : float32 (m,), ADU^2
        Variance of a pixel without the source.
    per_electron : float32 (m,)
        1 / gain.
    """

    signal: NDArray[np.float32]
    good: NDArray[np.bool_]
    fwhm: NDArray[np.float32]
    background: NDArray[np.float32]
    per_electron: NDArray[np.float32]

    def take(self, frames: NDArray[np.bool_]) -> Stamps:
        """The chosen frames."""
        return Stamps(*(getattr(self, item.name)[frames] for item in fields(self)))


def object_centres(stamps: Stamps, owner: NDArray[np.intp], n: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """One position per object from all frames where it is detected at the middle.

    The maximum a posteriori position under a Gaussian prior of width `PRIOR` around the middle.

    Parameters
    ----------
    stamps : Stamps
    owner : int (m,)
        Object of each frame.
    n : int
        Number of objects.

    Returns
    -------
    centre : float64 (n, 2), px
        (x, y) relative to the middle; 0 where no frame detects the object.
    found : bool (n,)
    """
    centre = np.zeros((n, 2))
    flux, error, _, _ = _normal_equations(stamps, centre[owner])
    detected = flux > DETECTION * error
    bright, owner = stamps.take(detected), owner[detected]
    for _ in range(ROUNDS):
        _, _, information, gradient = _normal_equations(bright, centre[owner])
        centre = _step(centre, _per_object(information, owner, n), _per_object(gradient, owner, n), np.zeros_like(centre))
    return centre, np.bincount(owner, minlength=n) > 0


def frame_centres(stamps: Stamps, start: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """A position per frame, with a Gaussian prior of width `PRIOR` around `start`; `start` where nothing is detected.

    Parameters
    ----------
    stamps : Stamps
    start : float (m, 2), px

    Returns
    -------
    centre : float64 (m, 2), px
    found : bool (m,)
        False where the signal to noise at `start` is too low.
    """
    flux, error, _, _ = _normal_equations(stamps, start)
    found = flux > DETECTION * error
    bright, centre = stamps.take(found), start.copy()
    for _ in range(ROUNDS):
        _, _, information, gradient = _normal_equations(bright, centre[found])
        centre[found] = _step(centre[found], information, gradient, start[found])
    return centre, found


def _normal_equations(
    stamps: Stamps, centre: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Flux and its error (m,), information (m, 3) = (xx, xy, yy) and gradient (m, 2) of the position at `centre`.

    The model is flux times a Gaussian. A circular profile of any shape gives the same position, because its
    residuals are symmetric; only masked pixels break that, slightly.
    """
    height, width = stamps.signal.shape[1:]
    x, y = (np.asarray(np.arange(size) - 0.5 * (size - 1) - centre[:, k, None], np.float32) for k, size in enumerate((width, height)))
    scale = np.asarray(stamps.fwhm * SIGMA_PER_FWHM, np.float32)[:, None]
    gauss_x, gauss_y = (np.exp(-0.5 * (axis / scale) ** 2) / (np.float32(np.sqrt(2 * np.pi)) * scale) for axis in (x, y))
    share = gauss_y[:, :, None] * gauss_x[:, None, :]
    flux = _ratio(_sum(share, stamps.signal), _sum(share, share * stamps.good))
    source = np.asarray(np.fmax(flux, 0.0) * stamps.per_electron, np.float32)
    weighted = share * stamps.good / (source[:, None, None] * share + stamps.background[:, None, None])
    norm = _sum(weighted, share)
    flux = _ratio(_sum(weighted, stamps.signal), norm)
    residual = weighted * (stamps.signal - np.asarray(flux, np.float32)[:, None, None] * share)
    weighted *= share
    slopes = (x / scale**2, y / scale**2)
    gradient = flux[:, None] * np.stack([_moment(residual, slopes[0], None), _moment(residual, None, slopes[1])], axis=-1)
    products = ((slopes[0] ** 2, None), slopes, (None, slopes[1] ** 2))
    information = (flux**2)[:, None] * np.stack([_moment(weighted, *pair) for pair in products], axis=-1)
    return flux, np.sqrt(_ratio(np.ones_like(norm), norm)), information, gradient


def _step(
    centre: NDArray[np.float64], information: NDArray[np.float64], gradient: NDArray[np.float64], prior: NDArray[np.float64]
) -> NDArray[np.float64]:
    """One Gauss-Newton step of the posterior, kept within `LIMIT` of the middle."""
    stiffness = 1.0 / PRIOR**2
    xx, xy, yy = information[:, 0] + stiffness, information[:, 1], information[:, 2] + stiffness
    gx, gy = (gradient - stiffness * (centre - prior)).T
    determinant = xx * yy - xy**2
    step = np.stack([(yy * gx - xy * gy) / determinant, (xx * gy - xy * gx) / determinant], axis=-1)
    return np.asarray(np.clip(centre + np.clip(step, -0.5 * LIMIT, 0.5 * LIMIT), -LIMIT, LIMIT))


def _per_object(values: NDArray[np.float64], owner: NDArray[np.intp], n: int) -> NDArray[np.float64]:
    return np.stack([np.bincount(owner, column, n) for column in values.T], axis=-1)


def _sum(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray((a * b).reshape(len(a), a.shape[1] * a.shape[2]).sum(axis=1, dtype=np.float64))


def _moment(image: NDArray[np.float32], along_x: NDArray[np.float32] | None, along_y: NDArray[np.float32] | None) -> NDArray[np.float64]:
    rows = image.sum(axis=2) if along_x is None else (image * along_x[:, None, :]).sum(axis=2)
    rows = rows if along_y is None else rows * along_y
    return np.asarray(rows.sum(axis=1, dtype=np.float64))


def _ratio(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)
