"""A static extended light under a source, measured on all frames of the object together with the source's fluxes.

The model of frame t is sky + F_t P_t + c_t sum_k h_k H_tk: a point source P with its own flux in every frame, and two smooth
circular components H_k around one position, widened by each frame's PSF, whose fluxes h_k >= 0 stay constant once
scaled by zero point and exposure time (c_t). All of it is linear but the position, which is searched for on the
object's mean image.

What it cannot do: tell a cusp narrower than the PSF (the nucleus of a de Vaucouleurs profile) from the point source, follow
ellipticity or spiral arms, or subtract a second neighbour. The part of the host that stays is constant in time but for
the seeing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyreel.photometry.centring import SIGMA_PER_FWHM

WIDTHS = (3.0, 8.0)
"""Full widths at half maximum of the components before the PSF [px]: galaxies of half-light radius 0.4 and 1.1 arcsec at
0.27 arcsec / px."""
SIGNIFICANCE = 25.0
"""Smallest fall of chi^2 for which a host is accepted."""
SHARE = 0.35
"""Smallest part of the light in the profile that a host must have. Simulated HiTS stars without a host reach 0.3 (PSF 3 % wider
than reported), of supernovae on hosts nine in ten exceed it."""
PSF_ERROR = 0.2
"""Error of the profile relative to itself, the same in all frames of an object, that must not look like a host: off-centre by
0.3 px, 5 % too wide or elliptical by 0.1."""
COARSE, FINE = np.arange(-6.0, 6.1, 2.0), np.arange(-1.0, 1.1, 0.5)
"""Positions tried along either axis [px], first around the middle, then around the best."""
_SUBSETS = ((0,), (1,), (0, 1))


@dataclass(frozen=True)
class Hosts:
    """Hosts of n objects.

    Attributes
    ----------
    flux : float64 (n, K)
        Total calibrated flux of each component; 0 for objects without a significant host.
    covariance : float64 (n, K, K)
        0 likewise.
    """

    flux: NDArray[np.float64]
    covariance: NDArray[np.float64]


def fit_hosts(
    signal: NDArray[np.float32],
    share: NDArray[np.float32],
    components: NDArray[np.float32],
    variance: NDArray[np.float32],
    owner: NDArray[np.intp],
    n: int,
) -> Hosts:
    """Non-negative fluxes of the components by weighted least squares, the flux of the point source free in every frame.

    Parameters
    ----------
    signal : float32 (m, pixels)
        Counts without sky [ADU], 0 where masked.
    share : float32 (m, pixels)
        Profile of the point source, 0 where masked.
    components : float32 (m, K, pixels)
        Counts [ADU] of each component for a calibrated flux of 1, 0 where masked.
    variance : float32 (m, pixels), ADU^2
        That of the errors of the profile included, see `PSF_ERROR`.
    owner : int (m,)
        Object of each frame.
    n : int
        Number of objects.
    """
    weighted = share / variance
    norm = (weighted * share).sum(axis=1, dtype=np.float64)
    safe = np.where(norm > 0, norm, 1.0)
    point = (weighted * signal).sum(axis=1, dtype=np.float64)
    columns = np.moveaxis(components, 1, 0)
    overlap = [(weighted * column).sum(axis=1, dtype=np.float64) for column in columns]
    matrix, vector = np.zeros((n, len(columns), len(columns))), np.zeros((n, len(columns)))
    for i, a in enumerate(columns):
        scaled = a / variance
        projected = (scaled * signal).sum(axis=1, dtype=np.float64) - overlap[i] * point / safe
        vector[:, i] = np.bincount(owner, projected, n)
        for j in range(i, len(columns)):
            product = (scaled * columns[j]).sum(axis=1, dtype=np.float64) - overlap[i] * overlap[j] / safe
            matrix[:, i, j] = matrix[:, j, i] = np.bincount(owner, product, n)
    flux, covariance, gain = _non_negative(matrix, vector)
    light = sum((b / safe * flux[owner, k] for k, b in enumerate(overlap)), np.zeros(len(owner)))
    much = np.bincount(owner, light, n) > SHARE * np.bincount(owner, np.abs(point / safe), n)
    accepted = (gain > SIGNIFICANCE) & much
    return Hosts(np.where(accepted[:, None], flux, 0.0), np.where(accepted[:, None, None], covariance, 0.0))


def host_centres(
    signal: NDArray[np.float32],
    good: NDArray[np.bool_],
    fwhm: NDArray[np.float32],
    background: NDArray[np.float32],
    counts: NDArray[np.float64],
    owner: NDArray[np.intp],
    n: int,
) -> NDArray[np.float64]:
    """Position (n, 2) of an extended light [px from the middle] in each object's mean image.

    Of all positions on a grid, the one where the components, added to a point source in the middle, lower the sum of
    squares most. Profiles are Gaussian here.

    Parameters
    ----------
    signal : float32 (m, H, W), ADU
        Without sky, 0 where masked.
    good : bool (m, H, W)
    fwhm : float32 (m,), px
    background : float32 (m,), ADU^2
        Variance of a pixel without sources.
    counts : float64 (m,)
        Counts [ADU] of a calibrated flux of 1.
    owner : int (m,)
        Object of each frame, ascending.
    n : int
        Number of objects.
    """
    weight = np.asarray(counts**2 / background, np.float32)
    present, starts = np.unique(owner, return_index=True)
    total = np.add.reduceat((good * weight[:, None, None]).astype(np.float64), starts)
    image = np.add.reduceat((signal * (weight / counts.astype(np.float32))[:, None, None]).astype(np.float64), starts)
    width = np.add.reduceat(weight * np.asarray(fwhm, np.float64), starts) / np.add.reduceat(weight.astype(np.float64), starts)
    image = np.divide(image, total, out=np.zeros_like(image), where=total > 0)
    weight = total / np.maximum(total.max(axis=(1, 2), keepdims=True), np.finfo(np.float64).tiny)
    best = np.zeros((len(present), 2))
    for steps in (COARSE, FINE):
        best = best + _best_step(image, weight, width, best, steps)
    centre = np.zeros((n, 2))
    centre[present] = best
    return centre


def _best_step(
    image: NDArray[np.float64],
    weight: NDArray[np.float64],
    fwhm: NDArray[np.float64],
    start: NDArray[np.float64],
    steps: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The displacement (n, 2) from `start` among all pairs of `steps` with the largest fall of the sum of squares."""
    point = _gaussians(image.shape[1:], fwhm, np.zeros_like(start))
    norm = (weight * point**2).sum(axis=(1, 2))
    flux = (weight * point * image).sum(axis=(1, 2)) / norm
    best, found = np.full(len(image), -np.inf), np.zeros_like(start)
    for dy in steps:
        for dx in steps:
            components = [_gaussians(image.shape[1:], np.hypot(fwhm, width), start + np.array([dx, dy])) for width in WIDTHS]
            overlap = [(weight * point * component).sum(axis=(1, 2)) for component in components]
            vector = [(weight * c * image).sum(axis=(1, 2)) - b * flux for c, b in zip(components, overlap, strict=True)]
            matrix = np.empty((len(image), len(WIDTHS), len(WIDTHS)))
            for i, a in enumerate(components):
                for j, b in enumerate(components):
                    matrix[:, i, j] = (weight * a * b).sum(axis=(1, 2)) - overlap[i] * overlap[j] / norm
            gain = _non_negative(matrix, np.stack(vector, axis=-1))[2]
            better = gain > best
            best, found = np.where(better, gain, best), np.where(better[:, None], np.array([dx, dy]), found)
    return found


def _gaussians(shape: tuple[int, ...], fwhm: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    scale = (fwhm * SIGMA_PER_FWHM)[:, None]
    x, y = (np.exp(-0.5 * ((np.arange(size) - 0.5 * (size - 1) - centre[:, k, None]) / scale) ** 2) for k, size in enumerate(shape[::-1]))
    return np.asarray(y[:, :, None] * x[:, None, :] / (2 * np.pi * scale[:, :, None] ** 2))


def _non_negative(
    matrix: NDArray[np.float64], vector: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Minimum of h.M.h / 2 - v.h over h >= 0 for two unknowns, by trying which of them are 0.

    Returns
    -------
    h : (n, 2)
    covariance : (n, 2, 2)
        Inverse of M over the unknowns that are not 0.
    gain : (n,)
        Fall of chi^2, v.h.
    """
    n = len(vector)
    best = (np.zeros((n, 2)), np.zeros((n, 2, 2)), np.zeros(n))
    for subset in _SUBSETS:
        index = np.array(subset)
        rows = (slice(None), index[:, None], index)
        inner = matrix[rows]
        solvable = np.linalg.det(inner) > 1e-9 * np.prod(np.einsum("nii->ni", inner), axis=1)
        inverse = np.zeros((n, 2, 2))
        inverse[rows] = np.where(solvable[:, None, None], np.linalg.inv(np.where(solvable[:, None, None], inner, np.eye(len(subset)))), 0)
        flux = np.einsum("nij,nj->ni", inverse, vector)
        gain = np.einsum("ni,ni->n", flux, vector)
        better = solvable & (flux >= 0).all(axis=1) & (gain > best[2])
        trial = (flux, inverse, gain)
        best = tuple(np.where(better.reshape(-1, *[1] * (old.ndim - 1)), new, old) for new, old in zip(trial, best, strict=True))  # type: ignore[assignment]
    return best
