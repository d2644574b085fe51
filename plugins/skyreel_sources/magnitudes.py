"""How bright the star-like classes are: three laws for the mean g magnitude, and the options that choose one.

'paper'
    The published density (Carrasco-Davis et al. 2018, section 2.2 and Figure 1): an exponential fitted to the stars of HiTS
    times a completeness. For comparing with the paper's text and figures; the default. The slope was not published: ours is
    that of the authors' own fit, see `SLOPE`.
'authors'
    What their public simulator draws: a power law of the magnitude instead of the exponential, with the same
    completeness. For reproducing their training set; it differs from 'paper' by at most 0.3 mag at any percentile
    from 5 to 95.
'wide'
    Flat between 15 and 23 times the same completeness. For training: real HiTS variables are brighter than the paper's (median
    g of 67 RR Lyrae 17.9, not 20.5; of 46 eclipsing binaries 16.3, not 21.8), and a classifier should have seen such stars.

The completeness is (1 - erf(m - mag_cut)) / 2, one half at `mag_cut`: 22.8, RR Lyrae 21.5 (after Medina et al. 2018). The paper
prints it as 1 - erf(m - mag_cut)/2, which stays above one half; its text, figure and code mean this one.

The faint end is 24.5 mag in all fields. The authors' is mean + 0.7 std of the 5 sigma limits of each field in g, 23.65 to
24.45 over 32 HiTS fields. Since the completeness has fallen to 2 % by then, that would remove 1 % of the stars at a cut of
22.8 and 0.01 % at 21.5, and move the 5th to 95th percentiles by at most 0.1 mag (benchmarks/sky/magnitudes.py);
set `mag_max` for another.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from scipy.special import erf

from skyreel.errors import ConfigError
from skyreel.interfaces import Array, HostPolicy, Source
from skyreel_sources.epochs import check_fraction

POWER = 12.1104
"""Exponent of the density m**POWER of HiTS catalogue medians in g, fitted over 19 < g < 22 (authors' distr_coef.pkl)."""

SLOPE = POWER * np.log10(22.0 / 19.0) / 3.0
"""Slope a of the exponential 10**(a m): the mean logarithmic slope of that power law over 19 < g < 22, 0.257 / mag."""

LIMITS = {"paper": (14.5, 24.5), "authors": (14.5, 24.5), "wide": (15.0, 23.0)}
"""Default range [mag] of each law."""

STEP = 0.002
"""Spacing of the tabulated distribution function [mag]."""


def density(law: str, mag: Array, mag_cut: float) -> Array:
    """Unnormalised density of the mean g magnitude.

    Parameters
    ----------
    law : 'paper', 'authors' or 'wide'
        'paper': exponential 10**(SLOPE m). 'authors': m**POWER. 'wide': flat.
    mag : ndarray
        g [mag].
    mag_cut : float
        Where the completeness (1 - erf(m - mag_cut)) / 2 has fallen to one half [mag].
    """
    shape = {"paper": 10.0 ** (SLOPE * (mag - 20.0)), "authors": (mag / 20.0) ** POWER, "wide": np.ones_like(mag)}[law]
    return np.asarray(shape * 0.5 * (1.0 - erf(mag - mag_cut)), np.float64)


@lru_cache(maxsize=64)
def _distribution(law: str, low: float, high: float, cut: float) -> tuple[Array, Array]:
    grid = np.linspace(low, high, max(int((high - low) / STEP), 2) + 1)
    value = density(law, grid, cut)
    cumulative = np.concatenate([[0.0], np.cumsum(0.5 * (value[1:] + value[:-1]))])
    return cumulative / cumulative[-1], grid


@dataclass
class StarLike(Source):
    """Base of the classes that are a point of light with a mean magnitude drawn from a common law.

    Parameters
    ----------
    magnitudes : str
        Law of the mean g magnitude: 'paper' (published density), 'authors' (their simulator's) or 'wide' (flat, for
        training on stars as bright as the real variables); see `magnitudes`.
    mag_min : float or None, mag
        Bright end; None takes the law's own (14.5, 'wide' 15).
    mag_max : float or None, mag
        Faint end; None takes the law's own (24.5, 'wide' 23).
    mag_cut : float, mag
        Magnitude at which half of the objects are missing from the catalogue (erf cut).
    host_fraction : float
        Share of objects with a galaxy in the stamp by chance.

    Raises
    ------
    ConfigError
        For an unknown law, an empty magnitude range or a fraction outside 0..1.
    """

    magnitudes: str = "paper"
    mag_min: float | None = field(default=None, metadata={"unit": "mag"})
    mag_max: float | None = field(default=None, metadata={"unit": "mag"})
    mag_cut: float = field(default=22.8, metadata={"unit": "mag"})
    host_fraction: float = 0.05

    def __post_init__(self) -> None:
        who = type(self).__name__
        if self.magnitudes not in LIMITS:
            raise ConfigError(f"{who}.magnitudes", repr(self.magnitudes), f"choose one of {', '.join(LIMITS)}")
        low, high = self.mag_range
        if not 0.0 < low < high:
            raise ConfigError(f"{who}.mag_min, mag_max", f"{low}, {high}", "choose 0 < mag_min < mag_max")
        if not density(self.magnitudes, np.array([low]), self.mag_cut)[0] > 0.0:
            raise ConfigError(f"{who}.mag_cut", str(self.mag_cut), f"choose a cut that leaves stars fainter than mag_min = {low}")
        check_fraction(who, "host_fraction", self.host_fraction)

    @property
    def mag_range(self) -> tuple[float, float]:
        """Bright and faint end of the mean g magnitude [mag]."""
        low, high = LIMITS[self.magnitudes]
        return (low if self.mag_min is None else self.mag_min, high if self.mag_max is None else self.mag_max)

    @property
    def host_policy(self) -> HostPolicy:
        """Galaxies of any redshift, anywhere in the stamp (section 2.3 of the paper: 5 %)."""
        return HostPolicy(fraction=self.host_fraction, offset="chance")

    def draw_mag(self, n: int, rng: np.random.Generator) -> Array:
        """Mean g magnitudes of n objects, (n,) [mag]."""
        cumulative, grid = _distribution(self.magnitudes, *self.mag_range, self.mag_cut)
        return np.interp(rng.random(n), cumulative, grid)
