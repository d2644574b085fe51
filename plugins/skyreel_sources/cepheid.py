"""Classical Cepheids, drawn from the principal components of Yoachim et al. 2009."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.polynomial import polynomial
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from skyreel.errors import ConfigError
from skyreel.interfaces import Array, LightCurve, Params
from skyreel_sources.epochs import by_band, check_epochs, check_positive, fold
from skyreel_sources.fourier import fourier_sum
from skyreel_sources.magnitudes import StarLike
from skyreel_sources.tables import load

TABLE = "cepheid.json"
GROUPS = ("short", "long")
SPLIT = 10.0
"""Period [d] that parts the two sets of components."""
LONGEST = 85.0
"""Longest period [d] for which the scores are known."""
SCORES = ("score_1", "score_2", "score_3", "score_4")


@dataclass
class Cepheid(StarLike):
    """Fundamental-mode Cepheids in g, r, i.

    A star's curve is 8 harmonics per band: a mean plus four principal components whose scores are polynomials of the
    period with the published scatter (Yoachim et al. 2009, AJ 137, 4697). The mean colours follow the Galactic
    period-colour relations B-V = 0.366 lg P + 0.361, V-I = 0.256 lg P + 0.497 (Tammann, Sandage & Reindl 2003, A&A 404,
    423) with g-r = 1.02 (B-V) - 0.22 (Jester et al. 2005, AJ 130, 873, table 1) and V-I = 0.675 (g-i) + 0.364 (Jordi et
    al. 2006, A&A 460, 339). Params columns: ``type`` (0 shorter, 1 longer than 10 d), ``period`` [d], ``epoch`` of phase 0
    [MJD], ``mean_mag`` (over phase, g) [mag], ``amplitude`` (g, peak to peak) [mag], ``score_1..4``.

    Parameters
    ----------
    period_centre : float, d
        Centre of the normal distribution of log10 P; with the default cut the median is 7 d, as in an M33-depth
        sample (OGLE's LMC Cepheids: 3.6 d).
    period_scatter : float, dex
        Its standard deviation.
    period_min : float, d
        Shortest period; the components cover 2.5 d and longer. Periods end at 85 d.

    Raises
    ------
    ConfigError
        For a period or scatter that is not positive or beyond 85 d; see also `StarLike`.
    """

    bands: ClassVar[tuple[str, ...]] = ("g", "r", "i")

    period_centre: float = field(default=6.5, metadata={"unit": "d"})
    period_scatter: float = field(default=0.25, metadata={"unit": "dex"})
    period_min: float = field(default=3.0, metadata={"unit": "d"})

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("period_centre", "period_scatter", "period_min"):
            check_positive("Cepheid", name, getattr(self, name))
        if self.period_min < 2.5 or max(self.period_min, self.period_centre) >= LONGEST:
            raise ConfigError("Cepheid.period_min, period_centre", f"{self.period_min}, {self.period_centre}", "stay between 2.5 and 85 d")

    def sample(self, n: int, rng: np.random.Generator, *, window: Array | None = None) -> Params:
        """Period, scores and magnitude of n stars; `window` is ignored."""
        low, high = (ndtr(np.log10(end / self.period_centre) / self.period_scatter) for end in (self.period_min, LONGEST))
        period = self.period_centre * 10.0 ** (self.period_scatter * ndtri(low + (high - low) * rng.random(n)))
        params: Params = {"type": (period >= SPLIT).astype(np.int8), "period": period}
        params |= {name: np.zeros(n) for name in SCORES}
        noise = rng.standard_normal((n, len(SCORES)))
        for code, group in enumerate(GROUPS):
            rows = params["type"] == code
            law, scatter = load(TABLE)[f"{group}_score_law"], load(TABLE)[f"{group}_score_scatter"]
            for index, name in enumerate(SCORES):
                params[name][rows] = polynomial.polyval(np.log10(period[rows]), law[index]) + scatter[index] * noise[rows, index]
        params["epoch"] = period * rng.random(n)
        params["mean_mag"] = self.draw_mag(n, rng)
        phase = np.broadcast_to(np.arange(64) / 64, (n, 64))
        params["amplitude"] = np.ptp(_curve(params, phase, 0), axis=1) if n else np.zeros(0)
        return params

    def light_curve(self, params: Params, mjd: Array, band: NDArray[np.int8]) -> LightCurve:
        """Magnitude (n, T): mean in the band plus the star's Fourier series of the phase.

        Raises
        ------
        DataError
            See `check_epochs`.
        """
        check_epochs("Cepheid", params, mjd, band, self.bands)
        phase = fold(mjd, params["epoch"], params["period"])
        mag = by_band(params["mean_mag"][:, None] + _colours(params["period"]), band)
        for index in np.unique(band):
            mag += np.where(band == index, _curve(params, phase, int(index)), 0.0)
        return LightCurve(mag)


def _colours(period: Array) -> Array:
    """Mean magnitude in g, r, i minus g, (n, 3) [mag]."""
    log_period = np.log10(period)
    gr = 1.02 * (0.366 * log_period + 0.361) - 0.22
    gi = (0.256 * log_period + 0.497 - 0.364) / 0.675
    return np.stack([np.zeros_like(gr), -gr, -gi], axis=1)


def _curve(params: Params, phase: Array, band: int) -> Array:
    """Zero-mean variation (n, T) [mag] in one band at phase (n, T)."""
    scores = np.stack([params[name] for name in SCORES], axis=1)
    coefficients = np.empty((len(phase), 16))
    for code, group in enumerate(GROUPS):
        rows = params["type"] == code
        coefficients[rows] = load(TABLE)[f"{group}_mean"][band] + scores[rows] @ load(TABLE)[f"{group}_components"][:, band]
    sine, cosine = np.split(coefficients, 2, axis=1)
    return fourier_sum(phase, cosine, sine)
