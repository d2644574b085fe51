"""Widths and positions of stars in the middle of stamps: a Gaussian fit to all of them at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RADIUS = 8.0
"""Pixels within this distance of the middle take part [px], as in the fits that `photometry.widths` relates to a profile's
own width."""
FAINTEST = 20.0
"""Signal to noise that a width needs: its own relative error is about 1 / S/N."""
FARTHEST = 2.0
"""Largest distance of a star from the middle [px]."""
NARROWEST, WIDEST = 1.0, 14.0
"""Widths that are believed [px]."""
CHI2 = 3.0
"""Largest mean square of the residuals in units of the noise, photon noise and 5 % of the model included: two stars or a galaxy are
no star."""
_ROUNDS = 30
_SIGMA_PER_FWHM = 1.0 / (2.0 * np.sqrt(2.0 * np.log(2.0)))


@dataclass(frozen=True)
class StarFits:
    """What was fitted to m stamps.

    Attributes
    ----------
    fwhm : float64 (m,), px
        Of the circular Gaussian; NaN where no star fits.
    centre : float64 (m, 2), px
        (x, y) relative to the middle of the stamp; NaN where no star fits.
    """

    fwhm: NDArray[np.float64]
    centre: NDArray[np.float64]


def fit_stars(pixels: NDArray[np.float32], good: NDArray[np.bool_], sky: NDArray[np.float64], noise: NDArray[np.float64]) -> StarFits:
    """Fits a circular Gaussian and a constant, equal weights within 8 px, by Levenberg-Marquardt for all stamps together.

    The width is that of the star on the stamp, pixels and wings included, as `Exposures.psf_fwhm` defines it;
    `photometry.widths.profile_width` turns it into a profile's own.

    Parameters
    ----------
    pixels : float32 (m, H, W), ADU
    good : bool (m, H, W)
        Pixels that count.
    sky : float64 (m,), ADU / px
    noise : float64 (m,), ADU
        Standard deviation of a pixel without sources.

    Returns
    -------
    StarFits, (m,)
        NaN for stamps without a star within 2 px of the middle at S/N above 20, narrower than 1 or wider than 14 px, with
        residuals beyond noise (chi2 above 3), or with more than 2 % of the pixels left out.
    """
    height, width = pixels.shape[1:]
    y, x = np.mgrid[:height, :width].astype(np.float64)
    x, y = x - 0.5 * (width - 1), y - 0.5 * (height - 1)
    inside = x**2 + y**2 < RADIUS**2
    x, y = x[inside], y[inside]
    weight = (good[:, inside] & np.isfinite(pixels[:, inside])).astype(np.float64)
    data = np.where(weight > 0, pixels[:, inside] - np.nan_to_num(sky)[:, None], 0.0)
    usable = np.isfinite(sky) & np.isfinite(noise) & (noise > 0) & (weight.mean(axis=1) > 0.98)
    # a first test with a Gaussian of fixed width saves the fit where nothing is there
    shape = np.exp(-0.5 * (x**2 + y**2) / 2.0**2)
    usable &= (weight * data) @ shape > 0.25 * FAINTEST * np.where(usable, noise, 1.0) * np.sqrt((shape**2).sum())
    fwhm, centre = np.full(len(pixels), np.nan), np.full((len(pixels), 2), np.nan)
    if not usable.any():
        return StarFits(fwhm, centre)
    found = _levenberg_marquardt(data[usable], weight[usable], x, y)
    level, chi2 = _quality(found, data[usable], weight[usable], noise[usable], x, y)
    distance = np.hypot(found[:, 1], found[:, 2])
    own = found[:, 3] / _SIGMA_PER_FWHM
    star = (level > FAINTEST) & (chi2 < CHI2) & (distance < FARTHEST) & (own > NARROWEST) & (own < WIDEST)
    rows = np.flatnonzero(usable)[star]
    fwhm[rows], centre[rows] = own[star], found[star, 1:3]
    return StarFits(fwhm, centre)


def _levenberg_marquardt(
    data: NDArray[np.float64], weight: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Amplitude, x, y, sigma and constant (m, 5)."""
    m = len(data)
    near = np.hypot(x, y) < 2.5
    parameters = np.zeros((m, 5))
    parameters[:, 0] = np.maximum((data * weight)[:, near].max(axis=1), 1e-3)
    parameters[:, 3] = 1.8
    damping = np.full(m, 1e-2)
    model, slopes = _model(parameters, x, y)
    misfit = (weight * (data - model) ** 2).sum(axis=1)
    for _ in range(_ROUNDS):
        weighted = slopes * weight[:, None, :]
        normal = weighted @ slopes.transpose(0, 2, 1)
        gradient = np.einsum("mkp,mp->mk", weighted, data - model)
        diagonal = np.einsum("mkk->mk", normal)
        scale = np.maximum(diagonal, 1e-12 * diagonal.max(axis=1, keepdims=True) + 1e-30)
        damped = normal + np.eye(5) * (damping[:, None] * scale + 1e-12 * scale)[:, None, :]
        trial = parameters + np.linalg.solve(damped, gradient[..., None])[..., 0]
        trial[:, 1:3] = np.clip(trial[:, 1:3], -0.5 * RADIUS, 0.5 * RADIUS)
        trial[:, 3] = np.clip(trial[:, 3], 0.3, 2.0 * RADIUS)
        new_model, new_slopes = _model(trial, x, y)
        new_misfit = (weight * (data - new_model) ** 2).sum(axis=1)
        better = new_misfit < misfit
        settled = np.abs(new_misfit - misfit) <= 1e-9 * misfit
        parameters[better], model[better], slopes[better] = trial[better], new_model[better], new_slopes[better]
        misfit = np.where(better, new_misfit, misfit)
        damping = np.clip(np.where(better, 0.2 * damping, 5.0 * damping), 1e-9, 1e6)
        if settled.all():
            break
    return parameters


def _model(
    parameters: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gaussians (m, P) and their derivatives (m, 5, P)."""
    amplitude, centre_x, centre_y, sigma, constant = (column[:, None] for column in parameters.T)
    dx, dy = x - centre_x, y - centre_y
    square = dx**2 + dy**2
    shape = np.exp(-0.5 * square / sigma**2)
    bright = amplitude * shape / sigma**2
    return amplitude * shape + constant, np.stack([shape, bright * dx, bright * dy, bright * square / sigma, np.ones_like(shape)], axis=1)


def _quality(
    found: NDArray[np.float64],
    data: NDArray[np.float64],
    weight: NDArray[np.float64],
    noise: NDArray[np.float64],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Signal to noise against the sky alone, and mean squared residual over noise, both (m,)."""
    model, _ = _model(found, x, y)
    # 1 ADU of light has about the variance that 1 ADU of sky has; a true PSF is no Gaussian, by some per cent of the peak
    star = np.maximum(model - found[:, 4:], 0.0)
    variance = noise[:, None] ** 2 + star + (0.05 * found[:, :1]) ** 2
    chi2 = (weight * (data - model) ** 2 / variance).sum(axis=1) / weight.sum(axis=1)
    return found[:, 0] * found[:, 3] * np.sqrt(np.pi) / noise, chi2
