"""Brightness of stellar surfaces: blackbodies in the survey's bands, limb and gravity darkening, irradiation.

Blackbodies follow the colours of real dwarfs to 0.1 mag in g-i, but are too bright in u below 6000 K, where metal lines blanket the stars.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skyreel.errors import BandError, DataError
from skyreel_sources.tables.roche import Surface

Array = NDArray[np.float64]
WAVELENGTH = {"u": 0.3965, "g": 0.4890, "r": 0.6470, "i": 0.7848, "z": 0.9196, "y": 0.9893}
"""Effective wavelengths [micron] of DECam's filters (speclite's decam2014, in air mass 1 for an AB-flat source; y is DECam's Y)."""
SECOND = 14387.769
"""Second radiation constant h c / k [micron K] (CODATA 2018)."""
SUN = 5772.0
"""Effective temperature of the Sun [K] (IAU 2015 resolution B3)."""
TEMPERATURES = (2500.0, 50000.0)
"""Effective temperatures [K] that the surfaces are made for."""
CONVECTIVE = 6700.0
"""Below this effective temperature [K] envelopes are convective: gravity exponent 0.08 and albedo 0.5 instead of 0.25 and 1."""

HOPF = (
    np.array([0.0, 0.01, 0.03, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 6.0]),
    np.array(
        [
            0.577351,
            0.588236,
            0.601242,
            0.610758,
            0.627919,
            0.649550,
            0.663366,
            0.673088,
            0.680288,
            0.685801,
            0.693535,
            0.698540,
            0.705131,
            0.707917,
            0.709807,
            0.710446,
        ]
    ),
)
"""Optical depth and Hopf's function (Mihalas 1978, Stellar atmospheres, table 3-2 [recalled; the emergent intensity agrees
with the exact solution, solved in the tests, to 0.3 %])."""


def check_temperature(temperature: float) -> None:
    """Raises DataError unless `temperature` [K] lies within `TEMPERATURES`."""
    if not TEMPERATURES[0] <= temperature <= TEMPERATURES[1]:
        raise DataError("stellar surface", f"temperature {temperature} K", "choose {:.0f} to {:.0f} K".format(*TEMPERATURES))


def wavelengths(bands: tuple[str, ...]) -> Array:
    """Effective wavelengths (B,) [micron]; BandError for a name outside u, g, r, i, z, y."""
    unknown = [band for band in bands if band not in WAVELENGTH]
    if unknown:
        raise BandError("stellar surface", f"bands {', '.join(unknown)}", f"choose from {', '.join(WAVELENGTH)}")
    return np.array([WAVELENGTH[band] for band in bands])


def blackbody(wavelength: ArrayLike, temperature: ArrayLike) -> Array:
    """Planck's law, in units that depend on the wavelength [micron] alone; temperature in K."""
    return np.asarray(1.0 / np.expm1(SECOND / (np.asarray(wavelength) * np.asarray(temperature))), np.float64)


def grey_intensity(wavelength: float, temperature: float, mu: Array) -> Array:
    """Intensity (M,) of a grey atmosphere at cosines `mu` (M,) to the vertical, in the units of `blackbody`.

    The integral of B(T(tau)) exp(-tau/mu) dtau/mu with T^4 = 3/4 T_eff^4 (tau + q(tau)), q being `HOPF` (Mihalas 1978, Stellar
    atmospheres, section 3-3).
    """
    node, weight = np.polynomial.laguerre.laggauss(60)
    tau = node[:, None] * mu
    depth = 0.75 * (tau + np.interp(tau, *HOPF))
    return np.asarray(weight @ blackbody(wavelength, temperature * depth**0.25), np.float64)


def linear_coefficient(mean_over_centre: ArrayLike) -> Array:
    """Coefficient u of I = 1 - u (1 - mu) that gives the disc this ratio of mean to central intensity, 1 - u/3."""
    return np.asarray(3.0 * (1.0 - np.asarray(mean_over_centre)), np.float64)


@lru_cache(maxsize=4096)
def limb_darkening(wavelength: float, temperature: float) -> float:
    """Linear limb darkening coefficient at `wavelength` [micron] for an effective temperature [K].

    That of the grey atmosphere, scaled at each wavelength to the Sun's as observed, I = mu^alpha with
    alpha = -0.023 + 0.292 micron / wavelength (Hestroffer & Magnan 1998, A&A 333, 338; 0.416 to 1.099 micron, used
    for u too). The grey coefficient alone is 9 to 15 % too large for the Sun. At most 0.95, reached below 4000 K in g.
    """
    node, weight = np.polynomial.legendre.leggauss(32)
    mu, weight = np.append(0.5 * (1.0 + node), 1.0), np.append(0.5 * weight, 0.0)

    def grey(kelvin: float) -> float:
        intensity = grey_intensity(wavelength, kelvin, mu)
        return float(linear_coefficient(2.0 * np.sum(weight * mu * intensity) / intensity[-1]))

    alpha = -0.023 + 0.292 / wavelength
    solar = float(linear_coefficient(2.0 / (2.0 + alpha)))
    return min(solar * grey(temperature) / grey(SUN), 0.95)


@dataclass
class Lights:
    """Light of a star's elements: normal intensity times area (S, B, K), linear limb darkening (B,) and temperature (S, K) [K]."""

    amount: Array
    darkening: Array
    temperature: Array


def gravity_exponent(temperature: float) -> float:
    """Exponent beta of T ~ g^beta: 0.08 below 6700 K (Lucy 1967, ZA 65, 89), 0.25 above (von Zeipel 1924, MNRAS 84, 665)."""
    return 0.08 if temperature < CONVECTIVE else 0.25


def albedo(temperature: float) -> float:
    """Share of the light received that is given back: 0.5 below 6700 K (Rucinski 1969, AcA 19, 245), 1 above."""
    return 0.5 if temperature < CONVECTIVE else 1.0


def shine(star: Surface, temperature: float, other: Surface, other_temperature: float, bands: tuple[str, ...]) -> Lights:
    """Light of `star` of effective temperature `temperature` [K], heated by `other`.

    T ~ g^beta with sigma T_eff^4 the mean flux over the surface; heating by the other star as a sphere of its volume seen from the
    distance of its centre, reflected once, added to the flux. Limb darkening is that of the effective temperature.
    """
    flux = star.gravity ** (4.0 * gravity_exponent(temperature))
    flux *= star.area.sum(axis=1, keepdims=True) / np.sum(star.area * flux, axis=1, keepdims=True)
    to_other = np.array([other.centre, 0.0, 0.0]) - star.position
    distance = np.linalg.norm(to_other, axis=-1)
    facing = np.clip(np.einsum("ski,ski->sk", star.normal, to_other) / distance, 0.0, 1.0)
    received = (other_temperature / temperature) ** 4 * (other.volume_radius[:, None] / distance) ** 2 * facing
    local = temperature * (flux + albedo(temperature) * received) ** 0.25
    micron = wavelengths(bands)
    amount = blackbody(micron[:, None], local[:, None, :]) * star.area[:, None, :]
    return Lights(amount, np.array([limb_darkening(value, round(temperature, -1)) for value in micron]), local)
