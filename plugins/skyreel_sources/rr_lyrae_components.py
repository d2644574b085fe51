"""RR Lyrae stars that never existed: draws from the population of Sesar et al. 2010 (ApJ 708, 717)."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from skyreel.interfaces import Array, Params
from skyreel_sources.epochs import by_band, fold
from skyreel_sources.fourier import Components, peak_to_peak
from skyreel_sources.tables import load

TABLE = "rr_lyrae.json"
TYPES = ("ab", "c")
G, Z = 1, 4
KERNEL = 0.2
"""Smoothing of what the stars have, lg P, lg A and the residuals of shape and colours, in standard deviations: widens them by 2 %."""
COLOURS = ("u_g", "r_g", "i_g", "z_g")
"""Columns of the mean magnitude over phase in a band minus that in g."""
SHAPES = ("shape_1", "shape_2", "shape_3", "shape_4")
"""Columns of the scores on the principal components of the unit-amplitude curve."""


def draw(kind: NDArray[np.int8], rng: np.random.Generator) -> Params:
    """Stars of types `kind` (n,), 0 ab and 1 c.

    Returns
    -------
    dict of (n,) arrays
        ``period`` [d], ``amplitude`` (g, peak to peak) and ``scale`` (g, factor of the curve) [mag], `SHAPES`, `COLOURS` [mag].
    """
    stars: Params = {name: np.zeros(len(kind)) for name in ("period", "amplitude", *SHAPES, *COLOURS)}
    for code, name in enumerate(TYPES):
        rows = np.flatnonzero(kind == code)
        for column, values in _draw_type(name, len(rows), rng).items():
            stars[column][rows] = values
    stars["scale"] = stars["amplitude"] / peak_to_peak(*_components().coefficients(kind, _scores(stars), G))
    return stars


def light_curve(params: Params, mjd: Array, band: NDArray[np.int8]) -> Array:
    """Magnitude (n, T): mean in the band + scale x curve of the phase in the band."""
    phase = fold(mjd, params["epoch"], params["period"])
    mag = _components().curve(params["type"], _scores(params), phase, band)
    mag *= params["scale"][:, None]
    u, r, i, z = (params[name] for name in COLOURS)
    mag += by_band(params["mean_mag"][:, None] + np.stack([u, np.zeros_like(u), r, i, z, z], axis=1), band)
    return mag


@cache
def _components() -> Components:
    """Of the curves in units of the g amplitude, in u, g, r, i, z, y with y equal to z."""
    table, bands = load(TABLE), [0, 1, 2, 3, Z, Z]
    means, components = ([table[f"{kind}_{name}"] for kind in TYPES] for name in ("mean", "components"))
    return Components.stack([mean[bands] for mean in means], [component[:, bands] for component in components])


def _scores(params: Params) -> Array:
    """Scores (n, 4)."""
    return np.stack([params[name] for name in SHAPES], axis=1)


def _draw_type(kind: str, n: int, rng: np.random.Generator) -> Params:
    """Period, amplitude, shape and colours of n stars of one type."""
    table = {name.removeprefix(f"{kind}_"): value for name, value in load(TABLE).items() if name.startswith(f"{kind}_")}
    star = (rng.random(n) * len(table["period"])).astype(np.intp)
    log_period, log_amplitude = (_smoothed(np.log10(table[name]), star, rng) for name in ("period", "amplitude"))
    amplitude = 10.0**log_amplitude
    design = np.stack([np.ones(n), log_period, amplitude, amplitude**2], axis=1)
    drawn = design @ table["regression"] + _smoothed(table["residual"], star, rng)
    columns = (*SHAPES[: drawn.shape[1] - len(COLOURS)], *COLOURS)
    return {"period": 10.0**log_period, "amplitude": amplitude} | {name: drawn[:, index] for index, name in enumerate(columns)}


def _smoothed(sample: Array, star: NDArray[np.intp], rng: np.random.Generator) -> Array:
    """Rows `star` (n,) of a sample (stars, ...), each displaced by a normal kernel."""
    return np.asarray(sample[star] + KERNEL * sample.std(axis=0) * rng.standard_normal((len(star), *sample.shape[1:])))
