"""Shock cooling: the light of an exploded red supergiant until its hydrogen recombines (Sapir & Waxman 2017)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyreel.interfaces import Array

EV = 11_604.518
"""Kelvin per electron volt."""
HC_K = 1.4387769e8
"""Second radiation constant h c / k [angstrom K]."""
SOLAR_RADIUS = 6.957e10
"""Nominal solar radius [cm] (IAU 2015, resolution B3)."""
STEFAN_BOLTZMANN = 5.670374e-5
"""erg / s / cm2 / K4."""


@dataclass(frozen=True)
class Progenitor:
    """A star with a convective envelope (polytrope n = 3/2).

    Attributes
    ----------
    radius : float
        Solar radii.
    velocity : float
        Shock velocity scale v_s* [10^8.5 cm/s]: about 1.05 f_rho^-0.19 sqrt(E / M).
    mass : float
        Ejected mass [solar masses]; the envelope's mass is taken to be the same.
    f_rho : float
        Structure factor of the envelope, of order 1.
    opacity : float
        In units of 0.34 cm2/g (electron scattering of solar composition).
    """

    radius: float = 500.0
    velocity: float = 0.75
    mass: float = 10.0
    f_rho: float = 1.0
    opacity: float = 1.0


TYPICAL = Progenitor()
"""500 solar radii, 10 solar masses, 1e51 erg: velocity 1.05 sqrt(1e51 erg / 2e34 g) = 2.35e8 cm/s."""


def luminosity(days: Array, star: Progenitor = TYPICAL) -> Array:
    """Bolometric luminosity [erg / s] at `days` > 0 after the explosion, rest frame.

    Sapir & Waxman 2017 (ApJ 838, 130), eqs. 18 and 19 for n = 3/2: L = 2.0e42 (v t^2 / (f_rho M kappa))^-0.086 v^2 R13 / kappa x
    0.94 exp(-(1.67 t / t_tr)^0.8), t_tr = 19.5 sqrt(kappa M_env / v) d. The constants are the ones that three public
    implementations of these equations agree on.
    """
    days = np.asarray(days, np.float64)
    radius = star.radius * SOLAR_RADIUS / 1e13
    early = (
        2.0e42 * (star.velocity * days**2 / (star.f_rho * star.mass * star.opacity)) ** -0.086 * star.velocity**2 * radius / star.opacity
    )
    transparent = 19.5 * np.sqrt(star.opacity * star.mass / star.velocity)
    return np.asarray(early * 0.94 * np.exp(-((1.67 * days / transparent) ** 0.8)), np.float64)


def temperature(days: Array, star: Progenitor = TYPICAL) -> Array:
    """Colour temperature [K], 1.1 times that of the photosphere, at `days` > 0 after the explosion.

    Sapir & Waxman 2017, eq. 23 for n = 3/2: T_ph = 1.61 (v^2 t^2 / (f_rho M kappa))^0.027 (R13 / kappa)^(1/4) t^-1/2 eV.
    """
    days = np.asarray(days, np.float64)
    radius = star.radius * SOLAR_RADIUS / 1e13
    slow = (star.velocity**2 * days**2 / (star.f_rho * star.mass * star.opacity)) ** 0.027
    return np.asarray(1.1 * 1.61 * EV * slow * (radius / star.opacity) ** 0.25 / np.sqrt(days), np.float64)


def planck(wavelength: Array | float, kelvin: Array) -> Array:
    """Black body's flux per frequency in units of 2 h nu^3 / c^2 at 1 angstrom: wavelength^-3 / (exp(h c / (wavelength k T)) - 1).

    Parameters
    ----------
    wavelength : float or array
        angstrom.
    kelvin : array
        Temperature.
    """
    return np.asarray(np.asarray(wavelength, np.float64) ** -3.0 / np.expm1(HC_K / np.asarray(wavelength) / kelvin), np.float64)


def monochromatic(days: Array, wavelength: float, star: Progenitor = TYPICAL) -> Array:
    """Luminosity per frequency [erg / s / Hz] of a black body with `luminosity` and `temperature`, at one wavelength [angstrom]."""
    kelvin = temperature(days, star)
    spectrum = 2.0 * np.pi * 6.62607e-27 * 2.99792458e18 * planck(wavelength, kelvin) * 1e16  # pi B_nu [erg / s / cm2 / Hz]
    return np.asarray(luminosity(days, star) / (STEFAN_BOLTZMANN * kelvin**4) * spectrum, np.float64)
