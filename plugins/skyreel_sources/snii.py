"""SN II: a rise, two slopes, the end of the plateau, and the colours of a cooling blackbody."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skyreel.interfaces import Array, Params
from skyreel_sources.cosmology import distance_modulus
from skyreel_sources.epochs import chunks
from skyreel_sources.tables import load

V_BAND = 5450.0
"""Effective wavelength of V [angstrom]."""
HC_K = 1.4387769e8
"""Second radiation constant h c / k [angstrom K]."""
FAST, SLOW = 7.5, 18.0
"""Median rise times [d, rest frame]: g' of SNe II (Gonzalez-Gaitan et al. 2015, MNRAS 451, 2212), and the slow rise that
models with a dense wind keep until day 15-20 (Moriya et al. 2018, MNRAS 476, 2840)."""
COLUMNS = ("abs_mag", "rise_time", "rise_power", "decline_1", "decline_2", "plateau_end", "plateau_drop", "heat", "cooling_time")


def draw(n: int, rng: np.random.Generator, slow_fraction: float) -> Params:
    """Light-curve parameters of n SNe II, rest frame.

    Parameters
    ----------
    n : int
    rng : numpy Generator
    slow_fraction : float
        Share with the slow rise.

    Returns
    -------
    dict
        ``abs_mag`` V at peak ~ N(-16.74, 1.01) mag, ``decline_1`` ~ N(2.65, 1.50) > 0.3 and ``decline_2`` ~
        N(1.27, 0.93) > -0.3 mag / 100 d, ``plateau_end`` ~ N(83.7, 16.7) d (Anderson et al. 2014, ApJ 786, 67);
        ``rise_time`` 7.5 or 18 d times lognormal(0.35); ``rise_power`` ~ U(2, 4); ``plateau_drop`` ~ N(2, 0.4) mag;
        ``heat`` ~ N(11500, 1500) K above 5500 K at explosion, fading over ``cooling_time`` ~ N(18, 3) > 10 d.
    """
    rise = np.where(rng.random(n) < slow_fraction, SLOW, FAST)
    return {
        "abs_mag": rng.normal(-16.74, 1.01, n),
        "rise_time": rise * np.exp(rng.normal(0.0, 0.35, n)),
        "rise_power": rng.uniform(2.0, 4.0, n),
        "decline_1": np.maximum(rng.normal(2.65, 1.50, n), 0.3),
        "decline_2": np.maximum(rng.normal(1.27, 0.93, n), -0.3),
        "plateau_end": rng.normal(83.7, 16.7, n),
        "plateau_drop": rng.normal(2.0, 0.4, n),
        "heat": rng.normal(11_500.0, 1500.0, n),
        "cooling_time": np.maximum(rng.normal(18.0, 3.0, n), 10.0),
    }


def brightest(params: Params) -> Array:
    """A lower bound (n,) [mag] of the apparent magnitude in any band at any time, without dust.

    A blackbody of the hottest temperature drawn is at most 1 mag brighter (AB) in a rest-frame band above 2000 angstrom
    than in V, and the flux per frequency gains a factor 1+z.
    """
    z = params["redshift"]
    return np.asarray(params["abs_mag"] - 1.0 - 2.5 * np.log10(1.0 + z) + distance_modulus(z), np.float64)


def magnitude(params: Params, mjd: Array, band: NDArray[np.int8]) -> Array:
    """Apparent AB magnitude without dust, (n, T); +inf before the explosion.

    With t in rest-frame days since explosion and T = 5500 K + heat exp(-t / cooling_time), at rest wavelength L:
    M_L = M_V(t) + [B_nu(L, T) / B_nu(V, T) in mag] + clip((8000 - T) / 2500, 0, 1) clip((4700 - L) / 1000, 0, 2)
    - 2.5 log10(1+z). The third term stands for metal lines that blanket the blue once the photosphere has cooled.
    M_V(t) = abs_mag - 2.5 log10(1 - (1 - min(t/rise_time, 1))**rise_power) + decline_1/100 over the first 30 d after the
    rise, decline_2/100 later, plus plateau_drop / (1 + exp(-(t - plateau_end)/5)).

    Parameters
    ----------
    params : Params
        Columns ``redshift``, ``explosion_mjd`` and `COLUMNS`.
    mjd : (n, T)
        Days.
    band : int8 (n, T)
        Index into u, g, r, i, z, y.
    """
    columns = {name: np.asarray(params[name], np.float64)[:, None] for name in COLUMNS}
    stretch = 1.0 + params["redshift"]
    rest = load("snia.npz")["wavelength"] / stretch[:, None]
    hotness = HC_K / rest
    blue = np.clip((4700.0 - rest) / 1000.0, 0.0, 2.0)
    constant = (distance_modulus(params["redshift"]) - 2.5 * np.log10(stretch))[:, None] - 7.5 * np.log10(V_BAND / rest)
    out = np.empty(mjd.shape)
    for rows in chunks(len(mjd)):
        here = {name: column[rows] for name, column in columns.items()}
        which = band[rows].astype(np.intp)
        per_band = (np.take_along_axis(value[rows], which, axis=1) for value in (hotness, blue, constant))
        time = (mjd[rows] - params["explosion_mjd"][rows, None]) / stretch[rows, None]
        out[rows] = _apparent(here, time, *per_band)
    return out


def _apparent(p: Params, time: Array, hotness: Array, blue: Array, constant: Array) -> Array:
    since = np.maximum(time, 0.0)
    temperature = 5500.0 + p["heat"] * np.exp(-since / p["cooling_time"])
    rise = 1.0 - (1.0 - np.minimum(since / p["rise_time"], 1.0)) ** p["rise_power"]
    planck = np.expm1(HC_K / V_BAND / temperature) / np.expm1(hotness / temperature)
    with np.errstate(divide="ignore"):
        mag = -2.5 * np.log10(rise * planck)
    after = np.maximum(since - p["rise_time"], 0.0)
    mag += 0.01 * (p["decline_1"] * np.minimum(after, 30.0) + p["decline_2"] * np.maximum(after - 30.0, 0.0))
    mag += p["plateau_drop"] / (1.0 + np.exp(np.clip((p["plateau_end"] - since) / 5.0, -50.0, 50.0)))
    mag += np.clip((8000.0 - temperature) / 2500.0, 0.0, 1.0) * blue
    mag += p["abs_mag"] + constant
    return np.where(time < 0.0, np.inf, mag)
