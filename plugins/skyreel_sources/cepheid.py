"""Classical Cepheids, drawn from the principal components of Yoachim et al. 2009."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import ClassVar

import numpy as np
from numpy.polynomial import polynomial
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from skyreel.errors import ConfigError
from skyreel.interfaces import Array, LightCurve, Params
from skyreel_sources.epochs import by_band, check_epochs, check_positive, fold
from skyreel_sources.fourier import Components, peak_to_peak
from skyreel_sources.magnitudes import StarLike
from skyreel_sources.tables import load

TABLE = "cepheid.json"
GROUPS = ("short", "long")
SPLIT = 10.0
"""Period [d] that parts the two sets of components."""
SHORTEST = 2.5
LONGEST = 85.0
"""Shortest and longest period [d] for which the scores are known."""
SCORES = ("score_1", "score_2", "score_3", "score_4")


@dataclass
class Cepheid(StarLike):
    """Fundamental-mode Cepheids in g, r, i.

    A star's curve is 8 harmonics per band: a mean plus four principal components (Yoachim et al. 2009, AJ 137, 4697: 526
    stars with P < 10 d and 74 longer ones in the Galaxy and the Magellanic Clouds). Its scores are their polynomials of the
    period plus the departure of one of their stars, scaled to the published scatter. Against OGLE's LMC Cepheids phi21
    in I is right to 0.1 rad, but lags by up to 0.5 between 6 and 12 d, where the polynomials are too smooth.
    Carrasco-Davis et al. 2018 (Table 2) take Gaussian-process fits of 600 Cepheids in M33 (Hartman et al. 2006)
    instead, which were not published: this class deviates from the paper in its light curves and periods.
    The mean colours follow the Galactic period-colour relations B-V = 0.366 lg P + 0.361, V-I = 0.256 lg P + 0.497
    (Tammann, Sandage & Reindl 2003, A&A 404, 423) with g-r = 1.02 (B-V) - 0.22 (Jester et al. 2005, AJ 130, 873, table 1)
    and V-I = 0.675 (g-i) + 0.364 (Jordi et al. 2006, A&A 460, 339) [relations recalled; V-I agrees with OGLE's LMC Cepheids
    within 0.2 mag, their reddening included]. Params columns: ``type`` (0 shorter, 1 longer than
    10 d), ``period`` [d], ``epoch`` of phase 0 [MJD], ``mean_mag`` (over phase, g) [mag], ``amplitude`` (g, peak to peak)
    [mag], ``score_1..4``.

    Parameters
    ----------
    period_centre : float, d
        Centre of the normal distribution of log10 P. An assumption: with the default cut the median is 7 d, longer than
        that of OGLE's LMC Cepheids (3.6 d), because a survey as deep as that of M33 misses the faint, short ones.
    period_scatter : float, dex
        Its standard deviation.
    period_min : float, d
        Shortest period; the components cover 2.5 d and longer. Periods end at 85 d.

    Raises
    ------
    ConfigError
        For a period or scatter that is not positive, or periods outside 2.5-85 d; see also `StarLike`.
    """

    bands: ClassVar[tuple[str, ...]] = ("g", "r", "i")

    period_centre: float = field(default=6.5, metadata={"unit": "d"})
    period_scatter: float = field(default=0.25, metadata={"unit": "dex"})
    period_min: float = field(default=3.0, metadata={"unit": "d"})

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("period_centre", "period_scatter", "period_min"):
            check_positive("Cepheid", name, getattr(self, name))
        if self.period_min < SHORTEST or max(self.period_min, self.period_centre) >= LONGEST:
            found = f"{self.period_min}, {self.period_centre}"
            raise ConfigError("Cepheid.period_min, period_centre", found, f"stay between {SHORTEST} and {LONGEST:.0f} d")

    def sample(self, n: int, rng: np.random.Generator, *, window: Array | None = None) -> Params:
        """Period, scores and magnitude of n stars; `window` is ignored."""
        low, high = (ndtr(np.log10(end / self.period_centre) / self.period_scatter) for end in (self.period_min, LONGEST))
        period = self.period_centre * 10.0 ** (self.period_scatter * ndtri(low + (high - low) * rng.random(n)))
        period = np.clip(period, self.period_min, LONGEST)  # rounding at the ends
        params: Params = {"type": (period >= SPLIT).astype(np.int8), "period": period}
        scores = _draw_scores(params, rng.random(n))
        params |= {name: scores[:, index] for index, name in enumerate(SCORES)}
        params["epoch"] = period * rng.random(n)
        params["mean_mag"] = self.draw_mag(n, rng)
        params["amplitude"] = peak_to_peak(*_components().coefficients(params["type"], scores, 0))
        return params

    def light_curve(self, params: Params, mjd: Array, band: NDArray[np.int8]) -> LightCurve:
        """Magnitude (n, T): mean in the band plus the star's Fourier series of the phase.

        Raises
        ------
        DataError
            See `check_epochs`.
        """
        check_epochs("Cepheid", params, mjd, band, self.bands)
        scores = np.stack([params[name] for name in SCORES], axis=1)
        mag = _components().curve(params["type"], scores, fold(mjd, params["epoch"], params["period"]), band)
        mag += by_band(params["mean_mag"][:, None] + _colours(params["period"]), band)
        return LightCurve(mag)


@cache
def _components() -> Components:
    """Of the curves in g, r, i [mag]; the table holds sines first."""
    order = np.roll(np.arange(16), 8)
    means, components = ([load(TABLE)[f"{group}_{name}"][..., order] for group in GROUPS] for name in ("mean", "components"))
    return Components.stack(means, components)


def _draw_scores(params: Params, choice: Array) -> Array:
    """Scores (n, 4) of stars with ``type`` and ``period``; `choice` (n,) in [0, 1) says whose departure each has."""
    scores = np.empty((len(choice), len(SCORES)))
    for code, group in enumerate(GROUPS):
        rows = np.flatnonzero(params["type"] == code)
        law, scatter, departure = (load(TABLE)[f"{group}_{name}"] for name in ("score_law", "score_scatter", "departure"))
        star = (choice[rows] * len(departure)).astype(np.intp)
        scores[rows] = polynomial.polyval(np.log10(params["period"][rows]), law.T).T + scatter * departure[star]
    return scores


def _colours(period: Array) -> Array:
    """Mean magnitude in g, r, i minus g, (n, 3) [mag]."""
    log_period = np.log10(period)
    gr = 1.02 * (0.366 * log_period + 0.361) - 0.22
    gi = (0.256 * log_period + 0.497 - 0.364) / 0.675
    return np.stack([np.zeros_like(gr), -gr, -gi], axis=1)
