"""Which supernovae can be seen at all: redshift and luminosity drawn jointly, so that hopeless ones are never made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc

from skyreel.errors import SimulationError
from skyreel.interfaces import Array
from skyreel_sources.cosmology import distance_modulus, redshift_distribution
from skyreel_sources.epochs import even_interp
from skyreel_sources.sn_tables import fine, reddening, redshifts

NEGLIGIBLE = 1e-3
"""Objects that are accepted less often than this at their best are not drawn."""
WIDTH = 6.0
"""Standard deviations of the peak magnitude on either side of the mean that are tabulated."""


@dataclass(frozen=True)
class Acceptance:
    """Probability to enter the catalogue at magnitude m: (1 - erf(slope (m - middle))) / 2.

    Attributes
    ----------
    middle : float or None, mag
        None: every object enters.
    slope : float, 1 / mag
    """

    middle: float | None
    slope: float

    def __call__(self, mag: Array) -> Array:
        """The probability, same shape as `mag`."""
        if self.middle is None:
            return np.ones(np.shape(mag))
        return np.asarray(0.5 * erfc(self.slope * (mag - self.middle)), np.float64)

    @property
    def limit(self) -> float:
        """Magnitude [mag] at which `NEGLIGIBLE` of the objects enter; infinite without a cut."""
        if self.middle is None:
            return np.inf
        grid = np.linspace(0.0, 4.0, 4001)
        return float(self.middle + grid[np.argmax(0.5 * erfc(grid) < NEGLIGIBLE)] / self.slope)


@dataclass(frozen=True)
class Population:
    """One type of supernova.

    Attributes
    ----------
    rate : function
        Redshift to rate per volume [1 / yr / Mpc3].
    mean, spread : float, mag
        Of the normal distribution of peak absolute magnitudes.
    table : function
        Returns magnitudes (6, Z, P) relative to the peak's absolute magnitude plus `zero`.
    zero : float, mag
        What `table` holds beyond: its own peak's absolute magnitude.
    bluest : float, mag
        Colour, of either sign, that can make an object brighter than `table` by `sn_tables.reddening`.
    """

    rate: Callable[[Array], Array]
    mean: float
    spread: float
    table: Callable[[], NDArray[np.float32]]
    zero: float = 0.0
    bluest: float = 0.0

    def brightest(self, redshift: Array, band: int) -> Array:
        """Lower bound of the apparent magnitude in one band, for absolute magnitude 0 and without dust; -inf at redshift 0."""
        peak = self.table()[band].min(axis=1).astype(np.float64) - self.zero
        blue = self.bluest * np.abs(fine(reddening(), redshift, band))
        with np.errstate(divide="ignore"):
            return np.asarray(np.interp(redshift, redshifts(), peak) + distance_modulus(redshift) - blue, np.float64)


@lru_cache(maxsize=32)
def _tabulated(population: Population, redshift_max: float, limit: float, band: int) -> tuple[Array, ...]:
    """Distribution function of the magnitudes that can reach `limit`; the magnitudes; the share of redshifts within reach of each;
    distribution function of the redshifts; the redshifts; `Population.brightest` at those.
    """
    cumulative, grid = redshift_distribution(population.rate, redshift_max)
    apparent = population.brightest(grid, band)
    deviation = np.linspace(-WIDTH, WIDTH, 2401)
    mag = population.mean + population.spread * deviation
    within = np.interp(limit - mag, apparent, cumulative)
    apparent[0] = apparent[1]  # so near that every object enters anyway; -inf would not interpolate
    density = np.exp(-0.5 * deviation**2) * within
    function = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]))])
    if not function[-1] > 1e-6 * np.exp(-0.5 * deviation**2).sum():
        raise SimulationError(
            "Supernova.sample", f"fewer than 1 in 1,000,000 can come near {limit:.1f} mag", "raise acceptance_mag or lower redshift_max"
        )
    return function / function[-1], mag, within, cumulative, grid, apparent


def draw(
    n: int, rng: np.random.Generator, population: Population, redshift_max: float, acceptance: Acceptance, band: int
) -> tuple[Array, Array, Array]:
    """Redshifts and peak absolute magnitudes of n supernovae, kept with the probability of `Population.brightest`.

    Parameters
    ----------
    n : int
    rng : numpy Generator
    population : Population
    redshift_max : float
    acceptance : Acceptance
    band : int
        Index into u, g, r, i, z, y.

    Returns
    -------
    redshift, abs_mag, brightest : (n,)
        Redshifts above 0; absolute magnitudes at maximum [mag]; bounds of the apparent ones in `band` [mag].

    Raises
    ------
    SimulationError
        If hardly any supernova can come near the limit.
    """
    function, mag, within, cumulative, grid, apparent = _tabulated(population, redshift_max, acceptance.limit, band)
    found: list[Array] = []
    missing = n
    while missing > 0:
        # about a third survives below a limit, all without one
        count = missing if acceptance.middle is None else 4 * missing + 32
        first, second, third = rng.random((3, count))
        absolute = np.interp(first, function, mag)
        # 1 - random() lies in (0, 1]: redshift 0 has no distance modulus
        redshift = np.interp((1.0 - second) * even_interp(absolute, mag[0], mag[-1], within), cumulative, grid)
        bright = absolute + even_interp(redshift, grid[0], grid[-1], apparent)
        rows = np.flatnonzero(third < acceptance(bright))[:missing]
        found.append(np.stack([redshift, absolute, bright])[:, rows])
        missing -= len(rows)
    columns = np.concatenate(found, axis=1) if found else np.empty((3, 0))
    return columns[0], columns[1], columns[2]
