"""Distances and volumes in flat Lambda-CDM with H0 = 70 km / s / Mpc and Omega_m = 0.3."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

HUBBLE = 70.0
"""km / s / Mpc."""
OMEGA_M = 0.3
LIGHT_SPEED = 299_792.458
"""km / s."""
MAX_REDSHIFT = 2.0
"""End of the tables of distance and colour."""

ARCSEC = np.pi / 180.0 / 3600.0
"""rad."""

_GRID = np.linspace(0.0, MAX_REDSHIFT, 4001)


def hubble(redshift: Array) -> Array:
    """Expansion rate [km / s / Mpc]."""
    return np.asarray(HUBBLE * np.sqrt(OMEGA_M * (1.0 + redshift) ** 3 + 1.0 - OMEGA_M), np.float64)


@lru_cache(maxsize=1)
def _comoving() -> Array:
    inverse = LIGHT_SPEED / hubble(_GRID)
    return np.concatenate([[0.0], np.cumsum(0.5 * (inverse[1:] + inverse[:-1]) * np.diff(_GRID))])


def comoving_distance(redshift: Array) -> Array:
    """Comoving distance [Mpc] up to `MAX_REDSHIFT`."""
    return np.asarray(np.interp(redshift, _GRID, _comoving()), np.float64)


def distance_modulus(redshift: Array) -> Array:
    """m - M [mag] of the luminosity distance; redshift > 0."""
    return np.asarray(5.0 * np.log10((1.0 + redshift) * comoving_distance(redshift)) + 25.0, np.float64)


def kpc_per_arcsec(redshift: Array) -> Array:
    """Proper length [kpc] seen under one arcsec."""
    return np.asarray(comoving_distance(redshift) / (1.0 + redshift) * 1e3 * ARCSEC, np.float64)


def volume_per_square_degree(redshift: Array) -> Array:
    """Comoving volume per unit redshift and square degree [Mpc3 / deg2]."""
    return np.asarray(LIGHT_SPEED / hubble(redshift) * comoving_distance(redshift) ** 2 * (np.pi / 180.0) ** 2, np.float64)
