"""Eclipsing binaries, drawn from a bank of computed light curves."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import ConfigError
from skyreel.interfaces import Array, LightCurve, Params
from skyreel_sources.eclipsing_binary_bank import SAMPLES, Population, bank, cumulative, populations
from skyreel_sources.epochs import by_band, check_epochs, check_fraction, chunks, fold
from skyreel_sources.magnitudes import StarLike

PERIOD_JITTER = 0.02
"""Relative scatter of a binary's period about that of its curve; so small that the curve's shape need not follow."""
MEDIANS = (0.2, 0.6)
"""Median periods [d] that the bank can give: it holds few contact binaries beyond."""
SCATTERS = (0.01, 0.13)
"""Scatters of the periods [dex] that it can give: no wider than its own."""


@dataclass
class EclipsingBinary(StarLike):
    """Contact, detached (some on eccentric orbits) and semi-detached eclipsing binaries.

    A draw takes one of 1500 computed light curves, with a period within some 2 % of its own: Roche surfaces with limb and gravity darkening
    and irradiation (`tables.roche_curve`; `tables.build_eclipsing_binary` states the laws of masses, radii and
    temperatures). Five constants of the population, the options below, were fitted to real binaries of
    the development fields of HiTS by benchmarks/sky/fit_eclipsing_binary.py. Spots, third light and changing periods are left out.
    Carrasco-Davis et al. 2018 (Table 2) take 375 templates of LSST's CatSim instead, which are not public: this class
    deviates from the paper in its light curves and periods.
    Each band has its own curve, so that contact binaries, whose stars are nearly equally hot, hardly change colour while
    unequal ones do; the mean colour is that of two dwarfs of the stars' temperatures.
    Params columns: ``type`` (0 contact, 1 detached, 2 semi-detached), ``curve`` (row of the bank), ``period`` [d], ``epoch`` of the
    deeper eclipse [MJD], ``mean_mag`` (over phase, g) [mag], ``amplitude`` (g, peak to peak) [mag], ``eccentricity``, ``g_i`` [mag].

    Parameters
    ----------
    detached_fraction : float or None
        Share of detached systems; None takes the fitted one.
    semi_detached_fraction : float or None
        Share of semi-detached systems; None takes the fitted one. The rest are contact binaries.
    period_median : float or None, d
        Median period of contact binaries before the cut in amplitude, 0.2 to 0.6 d; None takes the fitted one.
    period_scatter : float or None, dex
        Standard deviation of the logarithm of their periods, 0.01 to 0.13; None takes the fitted one.
    amplitude_min : float or None, mag
        Smallest peak-to-peak amplitude in g; the bank begins at 0.05 mag. None takes the fitted one.

    Raises
    ------
    ConfigError
        For an option out of range, or shares whose sum exceeds 1; see also `StarLike`.
    """

    detached_fraction: float | None = None
    semi_detached_fraction: float | None = None
    period_median: float | None = field(default=None, metadata={"unit": "d"})
    period_scatter: float | None = field(default=None, metadata={"unit": "dex"})
    amplitude_min: float | None = field(default=None, metadata={"unit": "mag"})

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("detached_fraction", "semi_detached_fraction"):
            check_fraction("EclipsingBinary", name, getattr(self.population, name))
        for name, low, high in (("period_median", *MEDIANS), ("period_scatter", *SCATTERS), ("amplitude_min", 0.0, 2.0)):
            value = getattr(self.population, name)
            if not low <= value <= high:
                raise ConfigError(f"EclipsingBinary.{name}", str(value), f"choose {low:g} to {high:g}")
        if self.population.detached_fraction + self.population.semi_detached_fraction > 1.0:
            found = f"{self.population.detached_fraction} + {self.population.semi_detached_fraction}"
            raise ConfigError("EclipsingBinary.detached_fraction, semi_detached_fraction", found, "choose shares whose sum is at most 1")

    @property
    def population(self) -> Population:
        """The options, with the fitted constants where they are None."""
        fitted = populations()["all"]
        chosen = {each.name: getattr(self, each.name) for each in fields(Population)}
        return Population(**{name: getattr(fitted, name) if value is None else value for name, value in chosen.items()})

    def sample(self, n: int, rng: np.random.Generator, *, window: Array | None = None) -> Params:
        """System, epoch and magnitude of n binaries; `window` is ignored.

        Raises
        ------
        ConfigError
            For an `amplitude_min` that no binary of a wanted kind reaches.
        """
        table = bank()
        curve = np.minimum(np.searchsorted(cumulative(self.population), rng.random(n), side="right"), len(table.kind) - 1)
        period = table.period[curve] * np.exp(PERIOD_JITTER * rng.standard_normal(n))
        return {
            "type": table.kind[curve],
            "curve": curve,
            "period": period,
            "epoch": period * rng.random(n),
            "mean_mag": self.draw_mag(n, rng),
            "amplitude": table.amplitude[curve],
            "eccentricity": table.eccentricity[curve],
            "g_i": -table.colour[curve, 3],
        }

    def light_curve(self, params: Params, mjd: Array, band: NDArray[np.int8]) -> LightCurve:
        """Magnitude (n, T): mean in the band plus the curve at the phase, linear between 256 points a cycle.

        Raises
        ------
        DataError
            See `check_epochs`.
        """
        check_epochs("EclipsingBinary", params, mjd, band, self.bands)
        table = bank()
        curve = params["curve"].astype(np.intp)
        mag = by_band(params["mean_mag"][:, None] + table.colour[curve], band)
        values = table.curve.ravel()
        for rows in chunks(len(mjd)):
            position = fold(mjd[rows], params["epoch"][rows], params["period"][rows])
            position *= SAMPLES
            column = np.minimum(position.astype(np.intp), SAMPLES - 1)
            position -= column
            column += (band[rows] * np.intp(len(table.kind)) + curve[rows, None]) * (SAMPLES + 1)
            here = np.take(values, column)
            mag[rows] += here + position * (np.take(values, column + 1) - here)
        return LightCurve(mag)
