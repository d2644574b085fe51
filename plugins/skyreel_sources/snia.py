"""SN Ia: the template of Hsiao et al. 2007, stretched, scaled and reddened."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from skyreel.interfaces import Array, Params
from skyreel_sources.tables import load

TABLE = "snia.npz"
RISE = 18.0
"""Days from explosion to B maximum at stretch 1, rest frame: the table's first phase (Hsiao et al. 2007)."""
PEAK = -19.36
"""Absolute magnitude in B (Vega) at maximum of stretch 1 and colour 0, H0 = 70 km/s/Mpc."""
STRETCH, COLOUR = 0.1, 0.1
"""Standard deviations of stretch and colour."""
ALPHA, BETA = 1.5, 3.1
"""Brighter-slower and brighter-bluer slopes (Guy et al. 2010, A&A 523, A7; Conley et al. 2011, ApJS 192, 1)."""
INTRINSIC = 0.12
"""Scatter [mag] left after both corrections."""
SPREAD = float(np.sqrt((ALPHA * STRETCH) ** 2 + (BETA * COLOUR) ** 2 + INTRINSIC**2))
"""Standard deviation [mag] of the peak magnitude."""
PER_DAY = 8
"""Columns of `table` per day of phase."""
COLUMNS = ("abs_mag", "stretch", "colour")


def shape(abs_mag: Array, rng: np.random.Generator) -> Params:
    """Stretch and colour of SNe Ia of peak magnitudes M_B ~ N(PEAK, SPREAD).

    M_B = -19.36 - 1.5 (s - 1) + 3.1 c + N(0, 0.12) mag (Vega) with s ~ N(1, 0.1) and c ~ N(0, 0.1): three normal numbers
    drawn without regard to M_B are moved along the gradient of M_B until they give it, which leaves what is perpendicular.

    Parameters
    ----------
    abs_mag : (n,)
        M_B [mag].
    rng : numpy Generator

    Returns
    -------
    dict
        ``stretch`` within 0.7..1.3 (3 standard deviations), ``colour`` c = B - V at maximum minus that of a normal SN Ia.
    """
    gradient = np.array([-ALPHA * STRETCH, BETA * COLOUR, INTRINSIC])
    normal = rng.standard_normal((3, len(abs_mag)))
    normal += gradient[:, None] * (abs_mag - PEAK - gradient @ normal) / SPREAD**2
    return {"stretch": np.clip(1.0 + STRETCH * normal[0], 0.7, 1.3), "colour": COLOUR * normal[1]}


@lru_cache(maxsize=1)
def table() -> NDArray[np.float32]:
    """Absolute AB magnitude (6, Z, P) at stretch 1 and colour 0, `PER_DAY` columns per day since explosion / (s (1 + z)).

    The template holds a spectrum per day; a monotone cubic (Fritsch & Carlson 1980) between them leaves no kinks.
    """
    daily = load(TABLE)["absmag"]
    days = np.arange(daily.shape[-1])
    columns = np.linspace(0, days[-1], PER_DAY * days[-1] + 1)
    smooth = PchipInterpolator(days, daily, axis=-1)(columns)
    along = columns[-PER_DAY:] - days[-2]
    smooth[..., -PER_DAY:] = daily[..., -2:-1] * (1 - along) + daily[..., -1:] * along  # straight, as it goes on
    values = np.asarray(smooth, np.float32)
    values.setflags(write=False)
    return values


def phase(params: Params, since: Array) -> NDArray[np.float32]:
    """Column (n, T) of `table` at observer's days `since` (n, T) the explosion: PER_DAY since / ((1 + z) stretch).

    The table ends 85 d after maximum; later its last slope goes on.
    """
    pace = PER_DAY / ((1.0 + params["redshift"]) * params["stretch"])
    return np.asarray(since * pace[:, None], np.float32)
