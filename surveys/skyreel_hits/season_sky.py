"""What the sky does to HiTS exposures by physics alone: airmass, the Sun, twilight and the depth that noise allows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skyreel.interfaces import Array
from skyreel_hits.camera import KNOWN

LATITUDE, LONGITUDE = -30.16966, -70.80653
"""Blanco telescope at Cerro Tololo [deg, east positive]."""
LOCAL_NOON = 0.697
"""Fraction of the MJD at mean solar noon on Cerro Tololo: 0.5 - LONGITUDE / 360. Nights are counted from noon to noon."""
NAUTICAL = -12.0
"""Altitude of the Sun [deg] at the end of nautical twilight."""


def night_of(mjd: Array) -> NDArray[np.int64]:
    """Number of the night, counted from local noon to local noon."""
    return np.floor(mjd - LOCAL_NOON).astype(np.int64)


def sin_altitude(mjd: Array, right_ascension: Array | float, declination: Array | float) -> Array:
    """Sine of the geometric altitude at Cerro Tololo; sidereal time of Meeus 1998, Astronomical Algorithms, eq. 12.4.

    Parameters
    ----------
    mjd : array, d
    right_ascension, declination : float or array, deg
    """
    sidereal = 280.46061837 + 360.98564736629 * (mjd - 51544.5) + LONGITUDE
    angle = np.radians(sidereal - right_ascension)
    latitude, dec = np.radians(LATITUDE), np.radians(declination)
    return np.asarray(np.sin(latitude) * np.sin(dec) + np.cos(latitude) * np.cos(dec) * np.cos(angle), np.float64)


def sec_z(mjd: Array, right_ascension: Array | float, declination: Array | float) -> Array:
    """Airmass sec z at Cerro Tololo (see `sin_altitude`)."""
    return np.asarray(1 / sin_altitude(mjd, right_ascension, declination), np.float64)


def sun_altitude(mjd: Array) -> Array:
    """Geometric altitude of the Sun [deg] at Cerro Tololo.

    Position from the low-precision formulae of the Astronomical Almanac, section C (0.01 deg between 1950 and 2050).
    """
    day = np.asarray(mjd, np.float64) - 51544.5
    anomaly = np.radians(357.528 + 0.9856003 * day)
    longitude = np.radians(280.460 + 0.9856474 * day + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    obliquity = np.radians(23.439 - 4e-7 * day)
    right_ascension = np.arctan2(np.cos(obliquity) * np.sin(longitude), np.cos(longitude))
    declination = np.arcsin(np.sin(obliquity) * np.sin(longitude))
    return np.asarray(np.degrees(np.arcsin(sin_altitude(mjd, np.degrees(right_ascension), np.degrees(declination)))), np.float64)


def twilight(altitude: Array, amplitude: Array | float, slope: float) -> Array:
    """Twilight's part of the sky [ADU / px]: `amplitude` with the Sun at `NAUTICAL`, falling by `slope` dex per degree below."""
    return np.asarray(amplitude * 10 ** (slope * (np.minimum(altitude, 0.0) - NAUTICAL)), np.float64)


def noise_depth(fwhm: Array, sky: Array, zero_point: Array, exptime: Array) -> Array:
    """5-sigma limiting magnitude of a PSF-weighted measurement on a mean CCD.

    Effective number of pixels 2.266 FWHM**2 (Ivezic, Jones & Yoachim, LSST note SMTN-002); the source's own photons count.

    Parameters
    ----------
    fwhm : array, px
    sky : array, ADU / px
    zero_point : array, mag giving 1 ADU / s
    exptime : array, s
    """
    gain, read_noise = KNOWN[:, 1:3].mean(axis=0)
    variance = 2.266 * fwhm**2 * (sky * gain + read_noise**2)
    electrons = 12.5 + np.sqrt(12.5**2 + 25 * variance)
    return np.asarray(zero_point + 2.5 * np.log10(gain * exptime / electrons), np.float64)
