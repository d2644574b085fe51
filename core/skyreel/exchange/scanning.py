"""First pass over cutouts: what their pixels say about sky, noise and stars."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from skyreel.exchange.border_noise import border_variance
from skyreel.exchange.settle import Scan
from skyreel.exchange.stamps import Stamps
from skyreel.exchange.star_widths import StarFits, fit_stars
from skyreel.exchange.values import Values
from skyreel.photometry import MOFFAT_BETA, border_sky, psf_flux, psf_image
from skyreel.photometry.sky import BORDER
from skyreel.photometry.widths import profile_width

ROUNDS = 2
"""Times the border is measured again without the wings of the star."""


def scan_cutouts(
    read: Callable[[NDArray[np.intp]], Stamps], values: Values, step: int, *, stars: bool, tick: Callable[[int], None]
) -> Scan:
    """Measures all cutouts, `step` at a time, on their first channel.

    Parameters
    ----------
    read : callable
        Rows -> their stamps; fills in `values` what else the rows say.
    values : Values
        Where a saturation is known, such pixels are left out; where a width is, none is fitted.
    step : int
        Stamps in memory at once.
    stars : bool
        Whether positions of stars are needed even where widths are known.
    tick : callable
        Called with the number of cutouts measured since the last call.
    """
    n = values.n
    level, sky, variance, fwhm = (np.full(n, np.nan) for _ in range(4))
    centre = np.full((n, 2), np.nan)
    blank, cut = np.zeros(n, bool), np.zeros(n, bool)
    largest, whole, side = 0.0, True, 0
    for start in range(0, n, step):
        rows = np.arange(start, min(start + step, n))
        stamps = read(rows)
        pixels, good = stamps.pixels[:, 0], stamps.bits[:, 0] == 0
        usable = stamps.bits == 0
        high, low = (np.where(usable, stamps.pixels, fill) for fill in (-np.inf, np.inf))
        top, bottom = high.max(axis=(1, 2, 3)), low.min(axis=(1, 2, 3))
        blank[rows], cut[rows] = ~(top > bottom), stamps.cut
        largest = max(largest, float(top.max(initial=-np.inf)))
        whole = whole and _whole(stamps.pixels)
        full = pixels >= np.where(values.known("saturation")[rows], values["saturation"][rows], np.inf)[:, None, None]
        good &= ~full
        level[rows] = border_sky(np.where(good, pixels, np.nan), None)
        variance[rows] = border_variance(pixels, good, BORDER)
        stated = values.known("psf_fwhm")[rows] & values.known("sky")[rows] & values.known("gain")[rows] & values.known("read_noise")[rows]
        wanted = np.ones(len(rows), bool) if stars else ~stated
        sky[rows] = level[rows]
        if wanted.any():
            chosen = rows[wanted]
            fits = fit_stars(pixels[wanted], good[wanted], level[chosen], np.sqrt(variance[chosen]))
            fwhm[chosen], centre[chosen] = fits.fwhm, fits.centre
            sky[chosen] = without_wings(pixels[wanted], good[wanted], level[chosen], fits)
        side = pixels.shape[-1]
        tick(len(rows))
    return Scan(
        level, sky, variance, fwhm, centre, blank, cut, largest, whole, 2 * BORDER * (side - 1) + (2 * BORDER - 2) * (side - 2 * BORDER)
    )


def without_wings(pixels: NDArray[np.float32], good: NDArray[np.bool_], level: NDArray[np.float64], stars: StarFits) -> NDArray[np.float64]:
    """Sky level of stamps (m,) [ADU / px] without the light of the stars fitted to them, whose wings reach the border.

    Parameters
    ----------
    pixels : float32 (m, H, W), ADU
    good : bool (m, H, W)
    level : float64 (m,), ADU / px
        Of the border as it is.
    stars : StarFits, (m,)
    """
    sky, rows = level.copy(), np.flatnonzero(np.isfinite(stars.fwhm))
    if not len(rows):
        return sky
    width, middle = profile_width(stars.fwhm[rows], "moffat", MOFFAT_BETA), stars.centre[rows]
    share = psf_image((pixels.shape[1], pixels.shape[2]), width, middle)
    for _ in range(ROUNDS):
        flux, _ = psf_flux(pixels[rows], width, sky[rows], 1.0, 0.0, middle, ~good[rows], iterations=0)
        sky[rows] = border_sky(pixels[rows] - flux[:, None, None].astype(np.float32) * share, ~good[rows])
    return sky


def _whole(pixels: NDArray[np.float32]) -> bool:
    """Whether 16-bit whole numbers hold all pixels; those that are not finite have no such number."""
    if not np.isfinite(pixels).all() or pixels.min(initial=0) < 0 or pixels.max(initial=0) > 65535:
        return False
    return bool(np.array_equal(pixels, np.rint(pixels)))
