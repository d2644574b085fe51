"""A one-zone kilonova: r-process heating diffuses out of expanding ejecta and leaves as a blackbody."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import ConfigError
from skyreel.interfaces import Array, HostPolicy, LightCurve, Params, Source

SUN, LIGHT, DAY = 1.98841e33, 2.99792458e10, 86400.0  # g, cm/s, s
PLANCK, BOLTZMANN, STEFAN = 6.62607015e-27, 1.380649e-16, 5.670374e-5  # cgs
MEGAPARSEC = 3.0856776e24  # cm
HUBBLE, DECELERATION = 70.0, -0.55
WAVELENGTH = np.array([367.0, 482.5, 622.2, 754.5, 869.1, 971.2]) * 1e-7
"""Effective wavelengths of ugrizy [cm] (SMTN-002)."""
GRID = np.geomspace(1e-3, 30.0, 240)
"""Days since the merger, rest frame, between which light curves are interpolated; later there is no light."""


def heating(mass: Array, day: Array) -> Array:
    """Thermalised r-process heating [erg / s] of `mass` [solar masses] at `day`.

    Korobkin et al. 2012 as in Villar et al. 2017, eq. 1, times the efficiency of Barnes et al. 2016, eq. 34, with
    a = 0.56, b = 0.17, d = 0.74 (0.01 solar masses at 0.1 c).
    """
    rate = 4e18 * (0.5 - np.arctan((day * DAY - 1.3) / 0.11) / np.pi) ** 1.3
    tail = 2 * 0.17 * day**0.74
    return np.asarray(mass * SUN * rate * 0.36 * (np.exp(-0.56 * day) + np.log1p(tail) / tail), np.float64)


def luminosity(mass: Array, velocity: Array, opacity: Array) -> Array:
    """Bolometric luminosity [erg / s] on `GRID`, (n, len(GRID)) (Arnett 1982; Villar et al. 2017, eqs. 2 to 4).

    Parameters
    ----------
    mass : (n,), solar masses
    velocity : (n,), units of c
    opacity : (n,), cm^2 / g
    """
    diffusion = np.sqrt(2 * opacity * mass * SUN / (13.4 * velocity * LIGHT**2)) / DAY
    middle = np.sqrt(GRID[1:] * GRID[:-1])
    source = heating(mass[:, None], middle)
    decay = np.exp(-np.diff(GRID**2) / diffusion[:, None] ** 2)
    out = np.zeros((len(mass), len(GRID)))
    for k in range(len(middle)):  # dL/dt = (2 t / diffusion^2) (heating - L), exact for heating constant over a step
        out[:, k + 1] = out[:, k] * decay[:, k] + source[:, k] * (1 - decay[:, k])
    return out


def luminosity_distance(redshift: Array) -> Array:
    """cm, to second order in redshift (Weinberg 1972, eq. 14.6.8): 0.3 % at 0.1."""
    return np.asarray(LIGHT / 1e5 / HUBBLE * redshift * (1 + 0.5 * (1 - DECELERATION) * redshift) * MEGAPARSEC, np.float64)


@dataclass
class Kilonova(Source):
    """Kilonovae with ejecta like those of GW170817 (Villar et al. 2017), uniform in volume and time.

    Parameters
    ----------
    redshift_max : float
        Largest redshift; at most 0.1.
    mass_min, mass_max : float, solar masses
        Ejecta, uniform in the logarithm.
    velocity_min, velocity_max : float, units of c
        Of the ejecta, uniform.
    opacity_min, opacity_max : float, cm^2 / g
        Grey, uniform in the logarithm: 0.5 without lanthanides, 10 rich in them.
    temperature_floor : float, K
        Below it the photosphere recedes at constant temperature.
    host_fraction : float
        Share on a host galaxy.

    Raises
    ------
    ConfigError
        For options out of range.
    """

    triggers: ClassVar[bool] = True

    redshift_max: float = 0.05
    mass_min: float = field(default=0.01, metadata={"unit": "solMass"})
    mass_max: float = field(default=0.06, metadata={"unit": "solMass"})
    velocity_min: float = field(default=0.1, metadata={"unit": "c"})
    velocity_max: float = field(default=0.3, metadata={"unit": "c"})
    opacity_min: float = field(default=0.5, metadata={"unit": "cm2 / g"})
    opacity_max: float = field(default=5.0, metadata={"unit": "cm2 / g"})
    temperature_floor: float = field(default=2500.0, metadata={"unit": "K"})
    host_fraction: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.redshift_max <= 0.1:
            raise ConfigError("source.kilonova.redshift_max", str(self.redshift_max), "it must lie in (0, 0.1]")
        for name in ("mass", "velocity", "opacity"):
            low, high = getattr(self, f"{name}_min"), getattr(self, f"{name}_max")
            if not 0 < low <= high:
                raise ConfigError(f"source.kilonova.{name}_min, {name}_max", f"{low}, {high}", "both positive, in this order")
        if not 0 <= self.host_fraction <= 1:
            raise ConfigError("source.kilonova.host_fraction", str(self.host_fraction), "it must lie in [0, 1]")

    @property
    def host_policy(self) -> HostPolicy:
        """A galaxy at the kilonova's redshift, drawn from its light."""
        return HostPolicy(self.host_fraction, "redshift", "light")

    def sample(self, n: int, rng: np.random.Generator, *, window: Array | None = None) -> Params:
        """Columns redshift, merger_mjd [d], mass [solar masses], velocity [c], opacity [cm^2 / g]."""
        first, last = (-30.0, 30.0) if window is None else (window[:, 0] - 2.0, window[:, 1])
        return {
            "redshift": self.redshift_max * rng.random(n) ** (1 / 3),
            "merger_mjd": rng.uniform(first, last, n),
            "mass": np.exp(rng.uniform(np.log(self.mass_min), np.log(self.mass_max), n)),
            "velocity": rng.uniform(self.velocity_min, self.velocity_max, n),
            "opacity": np.exp(rng.uniform(np.log(self.opacity_min), np.log(self.opacity_max), n)),
        }

    def light_curve(self, params: Params, mjd: Array, band: NDArray[np.int8]) -> LightCurve:
        """Blackbody of the photosphere at each epoch (see `Source.light_curve`)."""
        redshift = params["redshift"][:, None]
        day = (mjd - params["merger_mjd"][:, None]) / (1 + redshift)
        lit = (day > GRID[1]) & (day < GRID[-1])
        power = luminosity(params["mass"], params["velocity"], params["opacity"])
        place = np.interp(np.log(np.clip(day, GRID[0], GRID[-1])), np.log(GRID), np.arange(len(GRID)))
        left = np.minimum(place.astype(np.intp), len(GRID) - 2)
        below, above = (np.take_along_axis(power, left + k, axis=1) for k in (0, 1))
        light = np.maximum(below + (place - left) * (above - below), 1e-300)

        radius = params["velocity"][:, None] * LIGHT * np.clip(day, GRID[0], GRID[-1]) * DAY
        temperature = np.maximum((light / (4 * np.pi * STEFAN * radius**2)) ** 0.25, self.temperature_floor)
        radius = np.sqrt(light / (4 * np.pi * STEFAN * temperature**4))
        frequency = LIGHT / WAVELENGTH[band] * (1 + redshift)
        planck = 2 * PLANCK * frequency**3 / LIGHT**2 / np.expm1(np.minimum(PLANCK * frequency / (BOLTZMANN * temperature), 600.0))
        flux = (1 + redshift) * np.pi * planck * (radius / luminosity_distance(redshift)) ** 2
        mag = -2.5 * np.log10(np.maximum(flux, 1e-60)) - 48.6
        return LightCurve(np.where(lit, mag, np.inf))
