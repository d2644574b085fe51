"""Zero points, sky and depth of LSST visits (SMTN-002, syseng throughputs v1.9; www.smtn-002.lsst.io, CC-BY 4.0)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BANDS = ("u", "g", "r", "i", "z", "y")
ZERO_POINT = np.array([26.524, 28.508, 28.361, 28.171, 27.782, 26.818])
"""AB magnitude that gives 1 electron / s at airmass 1."""
EXTINCTION = np.array([0.47, 0.21, 0.13, 0.10, 0.07, 0.17])
"""mag / airmass."""
DARK_SKY = np.array([23.05, 22.25, 21.2, 20.46, 19.61, 18.6])
"""mag / arcsec^2 at the zenith without moon."""
SEEING = np.array([0.92, 0.87, 0.83, 0.80, 0.78, 0.76])
"""Fiducial effective width at the zenith [arcsec]."""
PIXEL_SCALE = 0.2
"""arcsec / px."""


def electron_zero_point(band: NDArray[np.integer], airmass: Array) -> Array:
    """Magnitude that gives 1 electron / s; `band` indexes `BANDS`."""
    return np.asarray(ZERO_POINT[band] - EXTINCTION[band] * (airmass - 1), np.float64)


def sky_electrons(band: NDArray[np.integer], brightness: Array, exptime: Array) -> Array:
    """Sky [electron / px] for its brightness [mag / arcsec^2] above the site and the exposure time [s].

    Sky light is not dimmed by the extinction, so the throughput of the hardware alone, ZERO_POINT + EXTINCTION, counts.
    """
    return np.asarray(exptime * 10 ** (-0.4 * (brightness - ZERO_POINT[band] - EXTINCTION[band])) * PIXEL_SCALE**2, np.float64)


def depth(zero_point: Array, sky: Array, seeing: Array, exptime: Array, read_noise: Array | float, dark: float) -> Array:
    """5-sigma point-source depth [mag] (LSE-40; SMTN-002, section "Calculating m5").

    Parameters
    ----------
    zero_point : mag that gives 1 electron / s
    sky : electron / px
    seeing : effective width [arcsec]
    exptime : s
    read_noise : electron
    dark : electron / s / px
    """
    pixels = 2.266 * (seeing / PIXEL_SCALE) ** 2
    variance = pixels * (sky + read_noise**2 + dark * exptime)
    counts = 12.5 + np.sqrt(12.5**2 + 25 * variance)
    return np.asarray(zero_point + 2.5 * np.log10(exptime / counts), np.float64)


def stellar_width(seeing: Array) -> Array:
    """Full width at half maximum on the image [px] for the effective width [arcsec]: FWHMgeom = 0.822 FWHMeff + 0.052."""
    return np.asarray((0.822 * seeing + 0.052) / PIXEL_SCALE, np.float64)
