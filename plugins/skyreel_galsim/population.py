"""Which galaxies there are: luminosities, redshifts and types of field galaxies and of the hosts of supernovae."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from skyreel_galsim.colours import REFERENCE_REDSHIFT, g_magnitude
from skyreel_galsim.cosmology import HUBBLE, MAX_REDSHIFT, distance_modulus, volume_per_square_degree

Array = NDArray[np.float64]

LITTLE_H = HUBBLE / 100.0
M_STAR = -20.44 + 5.0 * np.log10(LITTLE_H)
ALPHA = -1.05
PHI_STAR = 1.49e-2 * LITTLE_H**3
"""Schechter function of SDSS galaxies in r at z = 0.1: M* - 5 log10 h = -20.44, alpha = -1.05 and phi* = 1.49e-2 h3 / Mpc3
(Blanton et al. 2003, ApJ 592, 819, abstract)."""

EVOLVES_TO = 0.5
"""Redshift beyond which M* stays as it is. Measured evolution ends at z = 0.3; carried on to z = 2 it would make a quarter of the
galaxies at g < 23 more distant than z = 1."""

TYPES = np.array([[0.00281, -20.90, -0.72], [0.00359, -20.46, -1.14], [0.00020, -21.14, -1.57]])
TYPES_M_STAR = -20.85
"""phi* [1 / Mpc3], M* [mag] and alpha of early, spiral and irregular galaxies in B at 0.1 < z < 0.35, and M* of all of them
(Zucca et al. 2009, A&A 508, 1217, morphological types)."""

MOST_LUMINOUS = -2.25
"""M - M* [mag] at which the share of early types is largest."""

BULGES = np.array([[0.25, 0.12], [0.14, 0.09], [0.11, 0.08], [0.11, 0.13], [0.07, 0.06]])
"""Mean and scatter of the bulge's share of the light in types Sa, Sb, Sbc, Sc, Sd (Laurikainen et al. 2010, MNRAS 405, 1089,
table 2, H and K bands; Sd: mean of T = 6 and 7 with a scatter of ours). The types are drawn equally often."""

ABS_MAG = (-25.0, -13.0)
"""Range of field galaxies in r at z = 0.1 [mag]; fainter ones than the end contribute less than 1 % at g < 23."""

_NEAREST = 0.002


def schechter(abs_mag: Array, m_star: Array | float, alpha: float, phi_star: float) -> Array:
    """Galaxies per Mpc3 and mag (Schechter 1976, ApJ 203, 297)."""
    x = 10 ** (-0.4 * (abs_mag - m_star))
    return np.asarray(0.4 * np.log(10.0) * phi_star * x ** (alpha + 1.0) * np.exp(-x), np.float64)


def m_star(redshift: Array, evolution: float) -> Array:
    """Characteristic magnitude M* at a redshift: `evolution` mag per unit of redshift brighter than at z = 0.1, up to `EVOLVES_TO`."""
    return np.asarray(M_STAR - evolution * (np.minimum(redshift, EVOLVES_TO) - REFERENCE_REDSHIFT), np.float64)


def early_fraction(luminosity: Array) -> Array:
    """Share of early types (E, S0) among galaxies of magnitude M - M* = `luminosity`, by the ratio of the functions `TYPES`.

    Measured in B and used in r: both are taken relative to M* of all galaxies of the band. Held constant where the most luminous
    irregulars, of which there were hardly any to measure, would take over.
    """
    bounded = np.maximum(luminosity, MOST_LUMINOUS) + TYPES_M_STAR
    early, spiral, irregular = (schechter(bounded, m, alpha, phi) for phi, m, alpha in TYPES)
    return np.asarray(early / (early + spiral + irregular), np.float64)


def bulge_fraction(early: NDArray[np.bool_], rng: np.random.Generator) -> Array:
    """Share of old stars in the light (r at z = 0.1): 1 in early types, else the normal law of a random row of `BULGES`, at least 0."""
    mean, scatter = BULGES[rng.integers(0, len(BULGES), len(early))].T
    return np.where(early, 1.0, np.clip(mean + scatter * rng.standard_normal(len(early)), 0.0, 1.0))


@dataclass(frozen=True)
class Cells:
    """Field galaxies in cells of ln(redshift) and absolute magnitude.

    Attributes
    ----------
    log_z, abs_mag : (K,)
        Lower corners of the cells.
    step : (float, float)
        Their size.
    cumulative : (K,), 1 / deg2
        Running sum of the galaxies in the cells.
    """

    log_z: Array
    abs_mag: Array
    step: tuple[float, float]
    cumulative: Array

    def draw(self, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Redshift and absolute magnitude of n galaxies."""
        cell = np.searchsorted(self.cumulative, rng.random(n) * self.cumulative[-1], side="right")
        cell = np.minimum(cell, len(self.cumulative) - 1)
        return np.exp(self.log_z[cell] + self.step[0] * rng.random(n)), self.abs_mag[cell] + self.step[1] * rng.random(n)


@lru_cache(maxsize=8)
def cells(mag_min: float, mag_max: float, evolution: float) -> Cells:
    """Every cell in which some spectrum gives a galaxy a g magnitude within mag_min..mag_max, with its galaxies per deg2.

    Luminosity function of Blanton et al. (2003) times the comoving volume, out to `MAX_REDSHIFT`.
    """
    edges = np.linspace(np.log(_NEAREST), np.log(MAX_REDSHIFT), 501)
    faint = np.linspace(*ABS_MAG, 241)
    step = (edges[1] - edges[0], faint[1] - faint[0])
    log_z, abs_mag = (grid.ravel() for grid in np.meshgrid(edges[:-1], faint[:-1], indexing="ij"))
    z = np.exp(log_z + 0.5 * step[0])
    middle = abs_mag + 0.5 * step[1]
    # Corners of a cell may be brighter or fainter in g than its middle by the change of the modulus and half a step in M.
    margin = 0.1 + step[1]
    disc, old = (g_magnitude(distance_modulus(z), middle, z, np.full(len(z), share))[0] for share in (0.0, 1.0))
    inside = (np.minimum(disc, old) < mag_max + margin) & (np.maximum(disc, old) > mag_min - margin)
    density = schechter(middle, m_star(z, evolution), ALPHA, PHI_STAR) * volume_per_square_degree(z) * z
    weight = density[inside] * step[0] * step[1]
    return Cells(log_z[inside], abs_mag[inside], step, np.cumsum(weight))


def draw_field(
    n: int, mag_min: float, mag_max: float, evolution: float, rng: np.random.Generator
) -> tuple[Array, Array, NDArray[np.bool_], Array, Array]:
    """n galaxies of a field with g within mag_min..mag_max.

    Returns
    -------
    redshift, abs_mag, early, mag_g, frac_dev : (n,)
        Absolute magnitude in r at z = 0.1; frac_dev is the share of old stars in the g light.
    """
    table = cells(mag_min, mag_max, evolution)
    found: list[tuple[NDArray[np.generic], ...]] = []
    missing = n
    while True:
        count = 2 * missing + 64
        z, abs_mag = table.draw(count, rng)
        early, bulge = draw_types(abs_mag - m_star(z, evolution), rng)
        mag_g, frac_dev = g_magnitude(distance_modulus(z), abs_mag, z, bulge)
        inside = np.flatnonzero((mag_g > mag_min) & (mag_g < mag_max))[:missing]
        found.append(tuple(column[inside] for column in (z, abs_mag, early, mag_g, frac_dev)))
        missing -= len(inside)
        if missing == 0:
            redshift, magnitude, kind, apparent, dev = (np.concatenate(parts) for parts in zip(*found, strict=True))
            return redshift, magnitude, kind, apparent, dev


def draw_hosts(
    redshift: Array, evolution: float, luminosity_weight: float, rng: np.random.Generator
) -> tuple[Array, NDArray[np.bool_], Array, Array]:
    """Galaxies at given redshifts, each drawn as often as its luminosity to the power `luminosity_weight`.

    Weighting the Schechter function so makes L / L* a gamma variate of shape alpha + 1 + luminosity_weight.

    Returns
    -------
    abs_mag, early, mag_g, frac_dev : (n,)
    """
    relative = -2.5 * np.log10(rng.gamma(ALPHA + 1.0 + luminosity_weight, size=len(redshift)) + 1e-12)
    abs_mag = m_star(redshift, evolution) + relative
    early, bulge = draw_types(relative, rng)
    mag_g, frac_dev = g_magnitude(distance_modulus(redshift), abs_mag, redshift, bulge)
    return abs_mag, early, mag_g, frac_dev


def draw_types(relative: Array, rng: np.random.Generator) -> tuple[NDArray[np.bool_], Array]:
    """Early types or not, and the share of old stars in the light, of galaxies of magnitude M - M* = `relative`."""
    early = rng.random(len(relative)) < early_fraction(relative)
    return early, bulge_fraction(early, rng)
