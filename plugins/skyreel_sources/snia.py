"""SN Ia: the template of Hsiao et al. 2007, stretched, scaled and reddened."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skyreel.interfaces import Array, Params
from skyreel_sources.cosmology import distance_modulus
from skyreel_sources.epochs import chunks
from skyreel_sources.tables import load

TABLE = "snia.npz"
RISE = 18.0
"""Days from explosion to B maximum at stretch 1, rest frame."""


def draw(n: int, rng: np.random.Generator) -> Params:
    """Stretch and peak offset of n SNe Ia.

    Returns
    -------
    dict
        ``stretch`` s ~ N(1, 0.1) within 0.7..1.3; ``abs_mag`` M_B = -19.36 - 1.5 (s-1) + 3.1 c + N(0, 0.12) mag
        (Vega) with c ~ N(0, 0.1): the corrections of Guy et al. 2010 (A&A 523, A7) and Conley et al. 2011 (ApJS 192, 1).
    """
    stretch = np.clip(rng.normal(1.0, 0.1, n), 0.7, 1.3)
    colour = rng.normal(0.0, 0.1, n)
    return {"stretch": stretch, "abs_mag": -19.36 - 1.5 * (stretch - 1.0) + 3.1 * colour + rng.normal(0.0, 0.12, n)}


def brightest(params: Params) -> Array:
    """A lower bound (n,) [mag] of the apparent magnitude in any band at any time, without dust."""
    table = load(TABLE)
    peak = np.interp(params["redshift"], table["redshift"], table["absmag"].min(axis=(0, 2)))
    return np.asarray(peak + params["abs_mag"] + 19.36 + distance_modulus(params["redshift"]), np.float64)


def magnitude(params: Params, mjd: Array, band: NDArray[np.int8]) -> Array:
    """Apparent AB magnitude without dust, (n, T): bilinear in (redshift, phase); +inf before the explosion.

    Parameters
    ----------
    params : Params
        Columns ``redshift``, ``explosion_mjd``, ``stretch``, ``abs_mag``.
    mjd : (n, T)
        Days.
    band : int8 (n, T)
        Index into u, g, r, i, z, y.

    Notes
    -----
    Phase in days from B maximum: (t - t0) / ((1+z) s) - 18; beyond day 85 the last slope of the table goes on.
    """
    table = load(TABLE)
    grid, phases = table["redshift"], table["phase"]
    values = table["absmag"].ravel()
    n_z, n_phase = len(grid), len(phases)
    cell = params["redshift"] / (grid[1] - grid[0])
    row = np.clip(cell.astype(np.intp), 0, n_z - 2)
    weight = (cell - row)[:, None]
    offset = (params["abs_mag"] + 19.36 + distance_modulus(params["redshift"]))[:, None]
    pace = 1.0 / ((1.0 + params["redshift"]) * params["stretch"])
    out = np.empty(mjd.shape)
    for rows in chunks(len(mjd)):
        step = (mjd[rows] - params["explosion_mjd"][rows, None]) * pace[rows, None]  # the table starts at -RISE, in days
        column = np.clip(step.astype(np.intp), 0, n_phase - 2)
        along = step - column
        first = (band[rows].astype(np.intp) * n_z + row[rows, None]) * n_phase + column
        near = values[first] * (1.0 - along) + values[first + 1] * along
        far = values[first + n_phase] * (1.0 - along) + values[first + n_phase + 1] * along
        mag = near + weight[rows] * (far - near) + offset[rows]
        out[rows] = np.where(step < 0.0, np.inf, mag)
    return out
