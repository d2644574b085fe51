"""SN II: shock cooling, a slower second rise for some, a plateau of two slopes and its end, in the colours of a cooling black body.

In V, with t in rest-frame days since explosion and u = t / rise_time:
M_V(t) = abs_mag + S(u) + second_rise (1 - min(t / second_time, 1))^2 + decline_1 / 100 over the first 30 d after the maximum,
decline_2 / 100 later, + plateau_drop / (1 + exp(-(t - plateau_end) / 5)). S is the rise of a shock-cooling envelope in V (Sapir & Waxman
2017), 0 from its maximum at u = 1 on; times grow with the star's radius, about as its 0.4th power, while the shape hardly
changes, so that one function of u serves all.

The colour comes from the temperature T^4 = T_shock(u)^4 + RECOMBINED^4: shock cooling until hydrogen recombines, then nearly
constant (Faran et al. 2018, MNRAS 473, 513). At rest wavelength L: M_L = M_V + [B_nu(V, T) / B_nu(L, T) in mag] + LINES x
clip((7500 K - T) / 2000 K, 0, 1) x clip((5400 - L) / 1000, 0, 3): metal lines blanket the blue once it has cooled. This gives g - r = 0.9
50 d after explosion, as observed (de Jaeger et al. 2018, MNRAS 476, 4592) [value recalled].
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from skyreel.interfaces import Array, Params
from skyreel_sources import sn_shock
from skyreel_sources.sn_tables import redshifts, wavelengths

V_BAND = 5450.0
"""Effective wavelength of V [angstrom]."""
PEAK, SPREAD = -16.74, 1.01
"""Mean and standard deviation of V at maximum [mag] (Anderson et al. 2014, ApJ 786, 67, table 6) [recalled]."""
RISE = 8.9
"""Median time of V maximum [d, rest frame]: g then peaks after 7.5 d, the median of 223 SNe II (Gonzalez-Gaitan et al. 2015, MNRAS
451, 2212). A progenitor of about 400 solar radii does that in `sn_shock`."""
RISE_SCATTER = 0.35
"""Of ln(rise time) (Gonzalez-Gaitan et al. 2015) [recalled]: stars of 170 to 940 solar radii."""
SECOND = 18.0
"""Median end of the second rise [d]: models with a dense, accelerating wind peak in g after 7 to 24 d (Moriya et al. 2018, MNRAS 476,
2840)."""
SECOND_DEPTH = (0.5, 3.0)
"""Range of `second_rise` [mag]: those models come within 1 mag of their g peak after 2.8 to 9.8 d."""
RECOMBINED = 4960.0
"""K."""
LINES = 0.75
"""Blanketing [mag] at 4400 angstrom of a photosphere of 5500 K and cooler."""
STEP = 0.01
"""Step of the table in u**(1/4)."""
COLUMNS = (
    "abs_mag",
    "rise_time",
    "second_rise",
    "second_time",
    "decline_1",
    "decline_2",
    "plateau_end",
    "plateau_drop",
)


def shape(n: int, rng: np.random.Generator, slow_fraction: float) -> Params:
    """Light-curve parameters of n SNe II beside their peak magnitude, rest frame.

    Parameters
    ----------
    n : int
    rng : numpy Generator
    slow_fraction : float
        Share with a second rise.

    Returns
    -------
    dict
        ``rise_time`` 8.9 d x lognormal(0.35); ``second_rise`` ~ U(0.5, 3) mag below the maximum until ``second_time`` = 18 d x
        lognormal(0.25), or 0; ``decline_1`` ~ N(2.65, 1.50) > 0.3 and ``decline_2`` ~ N(1.27, 0.93) > -0.3 mag / 100 d,
        ``plateau_end`` ~ N(83.7, 16.7) > 45 d (Anderson et al. 2014, ApJ 786, 67, table 6) [recalled]; ``plateau_drop`` ~ N(2, 0.4) mag.
    """
    slow = rng.random(n) < slow_fraction
    rise, second, one, two, end, drop = rng.standard_normal((6, n))
    return {
        "rise_time": RISE * np.exp(RISE_SCATTER * rise),
        "second_rise": np.where(slow, rng.uniform(*SECOND_DEPTH, n), 0.0),
        "second_time": SECOND * np.exp(0.25 * second),
        "decline_1": np.maximum(2.65 + 1.50 * one, 0.3),
        "decline_2": np.maximum(1.27 + 0.93 * two, -0.3),
        "plateau_end": np.maximum(83.7 + 16.7 * end, 45.0),
        "plateau_drop": 2.0 + 0.4 * drop,
    }


@lru_cache(maxsize=1)
def table() -> NDArray[np.float32]:
    """M_L - abs_mag (6, Z, P) of the shock cooling and its colours, over u**(1/4) / STEP with u = days since explosion / ((1 + z)
    rise_time); the last column holds for all later times.
    """
    root = np.arange(0.0, 2.6, STEP)  # u up to 45
    root[0] = 0.1 * STEP  # the explosion itself: no light, but a finite magnitude
    since = root**4
    days = np.geomspace(1.0, 100.0, 20_001)
    light = sn_shock.monochromatic(days, V_BAND)
    peak = days[light.argmax()]
    rise = -2.5 * np.log10(sn_shock.monochromatic(np.minimum(since, 1.0) * peak, V_BAND) / light.max())
    kelvin = (sn_shock.temperature(since * peak) ** 4 + RECOMBINED**4) ** 0.25
    rest = wavelengths(redshifts()).T[:, :, None]
    colour = 2.5 * np.log10(sn_shock.planck(V_BAND, kelvin) / sn_shock.planck(rest, kelvin))
    lines = LINES * np.clip((7500.0 - kelvin) / 2000.0, 0.0, 1.0) * np.clip((5400.0 - rest) / 1000.0, 0.0, 3.0)
    shift = -2.5 * np.log10(1.0 + redshifts())[:, None]
    values: NDArray[np.float32] = np.asarray(rise + colour + lines + shift, np.float32)
    values.setflags(write=False)
    return values


def column(params: Params, since: Array) -> NDArray[np.float32]:
    """Column (n, T) of `table` at observer's days `since` >= 0 (n, T) the explosion."""
    pace = 1.0 / ((1.0 + params["redshift"]) * params["rise_time"])
    root = np.sqrt(np.sqrt(np.asarray(since * pace[:, None], np.float32)))
    return np.asarray(np.minimum(root * np.float32(1.0 / STEP), np.float32(table().shape[2] - 1)), np.float32)


def plateau(params: Params, since: Array) -> NDArray[np.float32]:
    """What the second rise, the two slopes and the end of the plateau add [mag] to `table`, (n, T), at observer's days `since` >= 0."""
    p = {name: np.asarray(params[name], np.float32)[:, None] for name in COLUMNS}
    time = np.asarray(since / (1.0 + params["redshift"])[:, None], np.float32)
    slow = p["second_rise"] > 0.0
    maximum = np.where(slow, np.maximum(p["rise_time"], p["second_time"]), p["rise_time"])
    after = np.maximum(time - maximum, 0.0)
    first = np.minimum(after, np.float32(30.0))
    mag = first * (np.float32(0.01) * (p["decline_1"] - p["decline_2"]))
    mag += after * (np.float32(0.01) * p["decline_2"])
    ahead = np.maximum(np.float32(1.0) - time / p["second_time"], 0.0)
    mag += p["second_rise"] * ahead * ahead
    mag += p["plateau_drop"] / (1.0 + np.exp(np.clip((p["plateau_end"] - time) * np.float32(0.2), -50.0, 50.0)))
    return np.asarray(mag, np.float32)
