"""Redshifts, distances, dates and parameters of a population of transients."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from skyreel.interfaces import Array

HUBBLE, OMEGA_M = 70.0, 0.3
"""km / s / Mpc and matter density of the flat universe in which distances and volumes are measured."""


def distance_modulus(redshift: Array) -> Array:
    """m - M [mag] at redshift > 0, same shape."""
    from astropy.cosmology import FlatLambdaCDM

    return np.asarray(FlatLambdaCDM(HUBBLE, OMEGA_M).distmod(redshift).value, np.float64)


def draw_redshift(n: int, rng: np.random.Generator, law: str, low: float, high: float, rate_slope: float) -> Array:
    """Redshifts (n,) between `low` and `high`, never 0.

    Parameters
    ----------
    law : str
        'volume': as a survey sees a rate per comoving volume that goes as (1+z)**rate_slope, that is
        (1+z)**(rate_slope - 1) dV/dz; 'uniform' in redshift.
    """
    uniform = 1.0 - rng.random(n)
    if law == "uniform" or low == high:
        return np.asarray(low + (high - low) * uniform, np.float64)
    cumulative, redshift = _distribution(low, high, rate_slope)
    return np.asarray(np.interp(uniform, cumulative, redshift), np.float64)


@lru_cache(maxsize=16)
def _distribution(low: float, high: float, rate_slope: float) -> tuple[Array, Array]:
    """Distribution function of 'volume', from 0 to 1, and its redshifts."""
    from astropy.cosmology import FlatLambdaCDM

    redshift = np.linspace(low, high, 2001)
    volume = FlatLambdaCDM(HUBBLE, OMEGA_M).differential_comoving_volume(redshift).value
    value = volume * (1.0 + redshift) ** (rate_slope - 1.0)
    cumulative = np.concatenate([[0.0], np.cumsum(0.5 * (value[1:] + value[:-1]))])
    return cumulative / cumulative[-1], redshift


def truncated_normal(n: int, rng: np.random.Generator, mean: float, spread: float, low: float, high: float) -> Array:
    """Normal numbers (n,) between `low` and `high`, by the inverse of the distribution function."""
    from scipy.special import ndtr, ndtri

    bottom, top = ndtr((low - mean) / spread), ndtr((high - mean) / spread)
    return np.asarray(np.clip(mean + spread * ndtri(bottom + (top - bottom) * rng.random(n)), low, high), np.float64)
