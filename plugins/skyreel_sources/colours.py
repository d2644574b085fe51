"""Typical colours of the star-like classes, as magnitudes in u, g, r, i, z, y relative to g."""

from __future__ import annotations

import numpy as np

from skyreel.interfaces import Array

# Covey et al. 2007 (AJ 134, 2398), median locus of SDSS + 2MASS stars: g-i, number of stars per 0.02 mag (mean of
# neighbouring rows), u-g, g-r, r-i, i-z. The colours agree with the fifth-order fits of the same paper; the numbers of stars
# and the two bluest rows are [recalled].
LOCUS = np.array(
    [
        [0.10, 10, 1.05, 0.09, 0.02, -0.03],
        [0.30, 80, 1.07, 0.24, 0.06, 0.00],
        [0.40, 360, 1.07, 0.30, 0.10, 0.01],
        [0.60, 3130, 1.25, 0.44, 0.16, 0.04],
        [0.80, 2980, 1.56, 0.58, 0.21, 0.08],
        [1.00, 2570, 1.90, 0.73, 0.27, 0.12],
        [1.30, 1760, 2.28, 0.94, 0.35, 0.18],
        [1.60, 1850, 2.53, 1.15, 0.45, 0.24],
        [2.00, 2380, 2.61, 1.35, 0.65, 0.35],
        [2.40, 3020, 2.59, 1.41, 0.98, 0.52],
        [2.80, 2080, 2.62, 1.43, 1.36, 0.72],
        [3.00, 940, 2.61, 1.47, 1.52, 0.81],
        [3.20, 390, 2.64, 1.52, 1.68, 0.90],
    ]
)
GI_RANGE = (float(LOCUS[0, 0]), float(LOCUS[-1, 0]))
"""Colours g-i [mag] that the locus covers."""


def relative_to_g(ug: Array, gr: Array, ri: Array, iz: Array) -> Array:
    """Magnitudes in u, g, r, i, z, y minus g, (..., 6); y is set equal to z."""
    red = -(gr + ri + iz)
    return np.stack([ug, np.zeros_like(ug), -gr, -(gr + ri), red, red], axis=-1)


def stellar_locus(gi: Array) -> Array:
    """Colours of a main-sequence star (Covey et al. 2007, table of the median locus).

    Parameters
    ----------
    gi : (n,)
        Colour g-i [mag]; clipped to the range of the table.

    Returns
    -------
    (n, 6)
        Magnitude in u, g, r, i, z, y minus g, in the system of SDSS; g-i of the result equals the rounded sum of the
        table within 0.01 mag. For 0.6 < g-i < 3.0 the colours lie within 0.05 mag of the paper's fifth-order fits.
    """
    ug, gr, ri, iz = (np.interp(gi, LOCUS[:, 0], LOCUS[:, column]) for column in (2, 3, 4, 5))
    return relative_to_g(ug, gr, ri, iz)


def draw_field_star(n: int, rng: np.random.Generator) -> Array:
    """Colours g-i (n,) [mag] of high-latitude field stars: the star counts along the locus (Covey et al. 2007)."""
    grid = np.linspace(*GI_RANGE, 621)
    counts = np.interp(grid, LOCUS[:, 0], LOCUS[:, 1])
    cumulative = np.cumsum(counts)
    return np.asarray(np.interp(rng.random(n), cumulative / cumulative[-1], grid), np.float64)


def colour_of_temperature(temperature: Array) -> Array:
    """Colour g-i [mag] of a dwarf of this effective temperature [K], clipped to the locus.

    B-V by inverting T = 4600 K (1/(0.92 (B-V) + 1.7) + 1/(0.92 (B-V) + 0.62)) (Ballesteros 2012, EPL 97, 34008),
    g-r = 1.02 (B-V) - 0.22 (Jester et al. 2005, AJ 130, 873, table 1), then g-i along the locus of Covey et al. 2007.
    """
    bv = np.linspace(-0.3, 1.6, 200)
    kelvin = 4600.0 * (1.0 / (0.92 * bv + 1.7) + 1.0 / (0.92 * bv + 0.62))
    gr = 1.02 * np.interp(temperature, kelvin[::-1], bv[::-1]) - 0.22
    return np.asarray(np.interp(gr, LOCUS[:, 3], LOCUS[:, 0]), np.float64)
