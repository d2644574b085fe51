"""Distances, volumes and the redshifts of supernovae, in flat Lambda-CDM."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from skyreel.interfaces import Array
from skyreel_sources.epochs import even_interp

HUBBLE = 70.0
"""km / s / Mpc."""
OMEGA_M = 0.3
LIGHT_SPEED = 299_792.458
"""km / s."""

GRID = np.linspace(0.0, 1.5, 3001)
"""Redshifts of the tabulated distance."""


@lru_cache(maxsize=1)
def comoving_distance() -> Array:
    """Comoving distance [Mpc] at `GRID`: trapezoidal integral of c / H(z)."""
    inverse = LIGHT_SPEED / HUBBLE / np.sqrt(OMEGA_M * (1.0 + GRID) ** 3 + 1.0 - OMEGA_M)
    return np.concatenate([[0.0], np.cumsum(0.5 * (inverse[1:] + inverse[:-1]) * np.diff(GRID))])


def distance_modulus(redshift: Array) -> Array:
    """m - M [mag] = 5 log10(D_L / 10 pc) at redshift > 0, same shape."""
    luminosity = (1.0 + redshift) * even_interp(redshift, GRID[0], GRID[-1], comoving_distance())
    return np.asarray(5.0 * np.log10(luminosity) + 25.0, np.float64)


def rate_ia(redshift: Array) -> Array:
    """SN Ia rate [1 / yr / Mpc3]: 0.17e-4 (1+z)**2.11 (Perrett et al. 2012, AJ 144, 59)."""
    return np.asarray(0.17e-4 * (1.0 + redshift) ** 2.11, np.float64)


def rate_ii(redshift: Array) -> Array:
    """SN II rate [1 / yr / Mpc3]: star formation of Madau & Dickinson 2014 (ARA&A 52, 415, eq. 15) x 0.0091 / Msun x 0.54.

    The two factors are those of the authors' simulator (core collapse per solar mass, share of type II).
    """
    history = 0.015 * (1.0 + redshift) ** 2.7 / (1.0 + ((1.0 + redshift) / 2.9) ** 5.6)
    return np.asarray(0.0091 * 0.54 * history, np.float64)


@lru_cache(maxsize=16)
def redshift_distribution(rate: Callable[[Array], Array], redshift_max: float) -> tuple[Array, Array]:
    """Distribution function of the redshifts seen by an observer, rate(z) dV/dz / (1+z), up to `redshift_max`.

    Returns
    -------
    cumulative, redshift : (K,)
        Rises from 0 to 1; draw with ``numpy.interp(uniform, cumulative, redshift)``.
    """
    z = np.linspace(0.0, redshift_max, 2001)
    distance = np.interp(z, GRID, comoving_distance())
    volume = distance**2 / np.sqrt(OMEGA_M * (1.0 + z) ** 3 + 1.0 - OMEGA_M)
    value = rate(z) * volume / (1.0 + z)
    cumulative = np.concatenate([[0.0], np.cumsum(0.5 * (value[1:] + value[:-1]))])
    return cumulative / cumulative[-1], z
