"""RR Lyrae stars of types ab and c, drawn from the population of Sesar et al. 2010."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from skyreel.interfaces import Array, LightCurve, Params
from skyreel_sources.epochs import by_band, check_epochs, check_fraction, fold
from skyreel_sources.fourier import fourier_sum
from skyreel_sources.magnitudes import StarLike
from skyreel_sources.tables import load

TABLE = "rr_lyrae.json"
TYPES = ("ab", "c")
COLOURS = ("u_g", "r_g", "i_g", "z_g")
"""Columns of the mean magnitude in a band minus that in g."""
SHAPES = ("shape_1", "shape_2", "shape_3", "shape_4")
"""Columns of the scores on the principal components of the unit-amplitude curve."""


@dataclass
class RRLyrae(StarLike):
    """RR Lyrae of types ab (79 %) and c (Sesar et al. 2010, ApJ 708, 717: 379 ab and 104 c in Stripe 82).

    Periods follow the sample's quantiles; the g amplitude given the period, and the shape (principal components of ten
    Fourier harmonics) given period and amplitude, its regressions with their scatter. Other bands have the shape of g,
    the type's median ratio of amplitudes and colours from the sample's covariance; y is set equal to z.
    Params columns: ``type`` (0 ab, 1 c), ``period`` [d], ``epoch`` of maximum [MJD], ``mean_mag`` (over phase, g)
    [mag], ``amplitude`` (g, peak to peak) and ``scale`` (g, factor of the curve) [mag], ``shape_1..4``, ``u_g``, ``r_g``, ``i_g``,
    ``z_g`` [mag].

    Parameters
    ----------
    mag_cut : float, mag
        As in `StarLike`; 21.5, brighter than for the other classes because distant RR Lyrae are rare.
    fraction_ab : float
        Share of type ab.

    Raises
    ------
    ConfigError
        For a fraction outside 0..1; see also `StarLike`.
    """

    mag_cut: float = field(default=21.5, metadata={"unit": "mag"})
    fraction_ab: float = 0.785

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fraction("RRLyrae", "fraction_ab", self.fraction_ab)

    def sample(self, n: int, rng: np.random.Generator, *, window: Array | None = None) -> Params:
        """Period, amplitude, shape, colours and magnitude of n stars; `window` is ignored."""
        kind = (rng.random(n) >= self.fraction_ab).astype(np.int8)
        params: Params = {"type": kind} | {name: np.zeros(n) for name in ("period", "amplitude", "scale", *SHAPES, *COLOURS)}
        for code in range(len(TYPES)):
            rows = np.flatnonzero(kind == code)
            for name, column in _draw(TYPES[code], len(rows), rng).items():
                params[name][rows] = column
        params["epoch"] = params["period"] * rng.random(n)
        params["mean_mag"] = self.draw_mag(n, rng)
        cycle = fourier_sum(np.broadcast_to(np.arange(128) / 128, (n, 128)), *_unit_curve(params))
        params["scale"] = params["amplitude"] / np.ptp(cycle, axis=1)
        return params

    def light_curve(self, params: Params, mjd: Array, band: NDArray[np.int8]) -> LightCurve:
        """Magnitude (n, T): mean in the band + amplitude in the band x unit curve of the phase.

        Raises
        ------
        DataError
            See `check_epochs`.
        """
        check_epochs("RRLyrae", params, mjd, band, self.bands)
        curve = fourier_sum(fold(mjd, params["epoch"], params["period"]), *_unit_curve(params))
        ratios = np.stack([load(TABLE)[f"{kind}_amplitude_ratio"][[0, 1, 2, 3, 4, 4]] for kind in TYPES])
        ratio = ratios[params["type"].astype(np.intp)]
        zero = np.zeros(len(mjd))
        colour = np.stack([params["u_g"], zero, params["r_g"], params["i_g"], params["z_g"], params["z_g"]], axis=1)
        curve *= by_band(params["scale"][:, None] * ratio, band)
        curve += by_band(params["mean_mag"][:, None] + colour, band)
        return LightCurve(curve)


def _unit_curve(params: Params) -> tuple[Array, Array]:
    """Cosine and sine coefficients (n, 10) of curves with an amplitude near 1 and phase 0 at maximum."""
    shape = np.stack([params[name] for name in SHAPES], axis=1)
    table = load(TABLE)
    unit = np.empty((len(shape), len(table["ab_mean"])))
    for code, kind in enumerate(TYPES):
        rows = params["type"] == code
        components = table[f"{kind}_components"]
        unit[rows] = table[f"{kind}_mean"] + shape[rows, : len(components)] @ components
    cosine, sine = np.split(unit, 2, axis=1)
    return cosine, sine


def _draw(kind: str, n: int, rng: np.random.Generator) -> Params:
    """Period, amplitude, shape and colours of n stars of one type."""
    table = {name.removeprefix(f"{kind}_"): value for name, value in load(TABLE).items() if name.startswith(f"{kind}_")}
    quantiles = table["period_quantiles"]
    period = np.interp(rng.random(n), np.linspace(0.0, 1.0, len(quantiles)), quantiles)
    log_period = np.log10(period)
    amplitude = np.polynomial.polynomial.polyval(log_period, table["amplitude_law"])
    amplitude = np.clip(amplitude + rng.normal(0.0, float(table["amplitude_scatter"]), n), *table["amplitude_range"])
    design = np.stack([np.ones(n), log_period, amplitude, amplitude**2], axis=1)
    scores = design @ table["regression"] + rng.multivariate_normal(np.zeros(len(table["covariance"])), table["covariance"], n)
    drawn: Params = {"period": period, "amplitude": np.asarray(amplitude)}
    drawn |= {SHAPES[index]: scores[:, index] for index in range(scores.shape[1])}
    spread = table["colour_covariance"][np.ix_([0, 2, 3, 4], [0, 2, 3, 4])]
    colours = table["colour"][[0, 2, 3, 4]] + rng.multivariate_normal(np.zeros(4), spread, n)
    return drawn | {COLOURS[index]: colours[:, index] for index in range(4)}
