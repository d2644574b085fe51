"""How large and how round galaxies are: sizes of Shen et al. (2003), shapes of Padilla & Strauss (2008)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, ndtr, ndtri

Array = NDArray[np.float64]

R50_PER_SCALE = 1.6783469900166605
"""Half-light radius of an exponential disc in scale lengths: root of (1 + x) exp(-x) = 1/2."""

BULGE_PER_DISC = 0.22 / R50_PER_SCALE
"""Half-light radius of the bulge over that of the disc: 0.22 scale lengths of the disc, a typical value of Graham & Worley (2008,
MNRAS 388, 1708) [recalled; their bulges are Sersic profiles, ours de Vaucouleurs]."""

B_DEV = 7.669249442500804
"""b of the de Vaucouleurs profile exp(-b (r / r50)^(1/4)): root of gammainc(8, b) = 1/2."""

SPIRAL = (-2.33, 0.79, 0.79, 0.050)
ELLIPTICAL = (-2.2, 1.4, 0.57, 0.21)
"""Mean and scatter of ln(1 - B/A), mean and scatter of 1 - C/B of galaxies with axes A > B > C (Padilla & Strauss 2008, MNRAS 388,
1321, tables 2 and 4, all luminosities). Both laws are cut at the range 0 to 1 of their quantity."""

_MINIMUM = 0.05


def physical_r50(abs_mag: Array, early: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Median half-light radius [kpc] and scatter of its natural logarithm for absolute magnitudes in r at z = 0.1 (H0 = 70).

    Shen et al. (2003, MNRAS 343, 978), eq. 14-16 with the values of table 1 for figure 4 (Petrosian half-light radii, circular):
    late types alpha 0.21, beta 0.53, gamma -1.31, M0 -20.52, early types a 0.60, b -4.63, dispersions 0.48 and 0.25.
    """
    m0 = -20.52
    late = -0.4 * 0.21 * abs_mag + (0.53 - 0.21) * np.log10(1 + 10 ** (-0.4 * (abs_mag - m0))) - 1.31
    old = -0.4 * 0.60 * abs_mag - 4.63
    scatter = 0.25 + (0.48 - 0.25) / (1 + 10 ** (-0.8 * (abs_mag - m0)))
    return 10 ** np.where(early, old, late), scatter


@lru_cache(maxsize=1)
def _disc_table() -> tuple[Array, Array]:
    """Half-light radius of a disc with a bulge over that of the disc alone (K,), at shares of the bulge (K,)."""
    radius = np.geomspace(1e-3, 3.0, 4000)
    disc = 1.0 - (1.0 + R50_PER_SCALE * radius) * np.exp(-R50_PER_SCALE * radius)
    bulge = gammainc(8.0, B_DEV * (radius / BULGE_PER_DISC) ** 0.25)
    shares = np.linspace(0.0, 1.0, 101)
    return shares, np.array([np.interp(0.5, (1.0 - share) * disc + share * bulge, radius) for share in shares])


def component_radii(r50: Array, frac_dev: Array, early: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Half-light radii of the exponential and of the de Vaucouleurs part of galaxies with half-light radius `r50`, same unit.

    Early types are one de Vaucouleurs profile of that radius (the exponential one is given it too: positions are drawn from it);
    the others hold a bulge `BULGE_PER_DISC` times as large as their disc, and both together have r50.
    """
    shares, ratio = _disc_table()
    disc = r50 / np.where(early, 1.0, np.interp(frac_dev, shares, ratio))
    return disc, np.where(early, r50, BULGE_PER_DISC * disc)


def _truncated(mean: float, scatter: float, low: float, high: float, n: int, rng: np.random.Generator) -> Array:
    """Normal law cut to low..high, by its distribution function."""
    first, last = ndtr((np.array([low, high]) - mean) / scatter)
    return np.asarray(mean + scatter * ndtri(first + (last - first) * rng.random(n)), np.float64)


def draw_axes(law: tuple[float, float, float, float], n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Axes B/A and C/A (n,) of galaxies of the law `SPIRAL` or `ELLIPTICAL`."""
    mu, sigma, gamma, sigma_gamma = law
    middle = 1.0 - np.exp(_truncated(mu, sigma, -np.inf, 0.0, n, rng))
    return middle, middle * (1.0 - _truncated(gamma, sigma_gamma, 0.0, 1.0, n, rng))


def draw_directions(n: int, rng: np.random.Generator) -> Array:
    """Unit vectors (n, 3) towards the observer along the axes A, B, C, isotropic."""
    short = rng.uniform(-1.0, 1.0, n)
    turn = rng.uniform(0.0, 2.0 * np.pi, n)
    across = np.sqrt(1.0 - short**2)
    return np.stack([across * np.cos(turn), across * np.sin(turn), short], axis=-1)


def projected(middle: Array, short: Array, direction: Array) -> Array:
    """Apparent axis ratio (n,) of ellipsoids with axes B/A = `middle` and C/A = `short` seen along `direction` (n, 3), at least 0.05.

    The squared axes of the image are the eigenvalues of the squared axes' matrix projected on the sky: their sum is its trace less
    the part along the line of sight, their product the part of its adjugate along the line of sight.
    """
    squares = np.stack([np.ones_like(middle), middle**2, short**2], axis=-1)
    along = direction**2
    total = squares.sum(axis=1) - (squares * along).sum(axis=1)
    product = (np.stack([squares[:, 1] * squares[:, 2], squares[:, 2], squares[:, 1]], axis=-1) * along).sum(axis=1)
    root = np.sqrt(np.maximum(total**2 - 4.0 * product, 0.0))
    return np.asarray(np.maximum(np.sqrt((total - root) / (total + root)), _MINIMUM), np.float64)


@lru_cache(maxsize=1)
def _roundness() -> Array:
    """Mean and scatter of ln(axis ratio) of randomly seen spirals and ellipticals, (2, 2)."""
    rng = np.random.default_rng(0)
    n = 20_000
    rows = []
    for law in (SPIRAL, ELLIPTICAL):
        ratio = np.log(projected(*draw_axes(law, n, rng), draw_directions(n, rng)))
        rows.append((ratio.mean(), ratio.std()))
    return np.array(rows)


def major_r50(abs_mag: Array, early: NDArray[np.bool_], rng: np.random.Generator) -> Array:
    """Half-light radius along the major axis [kpc] of galaxies of any inclination.

    Drawn independently of the inclination, so that sqrt(major x minor) has the mean logarithm and the scatter of Shen et al.
    (2003), whose circular radii hold the inclinations of their galaxies.
    """
    median, scatter = physical_r50(abs_mag, early)
    mean, width = _roundness()[early.astype(np.intp)].T
    own = np.sqrt(np.maximum(scatter**2 - 0.25 * width**2, 0.0))
    return np.asarray(median * np.exp(own * rng.standard_normal(len(abs_mag)) - 0.5 * mean), np.float64)
