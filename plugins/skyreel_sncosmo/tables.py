"""Light curves of many objects at once: band fluxes tabulated in phase, redshift, dust and colour.

sncosmo integrates one spectrum of one object after the other. Where the spectra of a class differ only by an amplitude, or by
the x1 and c of SALT2 and SALT3 (flux = x0 (M0 + x1 M1) 10**(-0.4 c CL), Guy et al. 2007, A&A 466, 11, eq. 1), the band
flux of the rest-frame phase is tabulated once and interpolated by cubic polynomials.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import DataError
from skyreel.interfaces import Array
from skyreel_sncosmo import library

SPACING = 5.0
"""Largest step of the integration over a filter [angstrom], as in sncosmo."""
STEPS = {"redshift": 0.008, "dust": 0.1, "colour": 0.1}
"""Steps of the tables: ln(1 + z), E(B-V) [mag] and c."""
PHASES = (400, 4000)
"""Least and largest number of phases; between them every quarter of a day."""
ROWS = 256
"""Objects interpolated at once: their curves stay in the processor's cache."""


@dataclass(frozen=True)
class Recipe:
    """What fixes the spectra of a class, apart from the parameters of each object.

    Attributes
    ----------
    model, version : str, str or None
        See `library.source`.
    fixed : tuple of (str, float)
        Parameters of the source that are equal for all objects.
    dust_law : str
        Key of `library.DUST`.
    host_r_v : float
        A(V) / E(B-V) in the host galaxy.
    mw_ebv : float, mag
        E(B-V) of the Milky Way in front of all objects; its R_V is 3.1.
    """

    model: str
    version: str | None = None
    fixed: tuple[tuple[str, float], ...] = ()
    dust_law: str = "ccm89"
    host_r_v: float = 3.1
    mw_ebv: float = 0.0

    def source(self) -> Any:
        """A new source of sncosmo with the fixed parameters and amplitude 1."""
        made = library.source(self.model, self.version)
        made.set(**{made.param_names[0]: 1.0, **dict(self.fixed)})
        return made


@dataclass(frozen=True)
class Axis:
    """Evenly spaced nodes; `step` 0 for a single one."""

    start: float
    step: float
    count: int

    @staticmethod
    def over(low: float, high: float, step: float) -> Axis:
        """Nodes from `low` to `high`, at least four and no farther apart than `step`; one node if the two are equal."""
        if high == low:
            return Axis(low, 0.0, 1)
        count = max(4, int(np.ceil((high - low) / step)) + 1)
        return Axis(low, (high - low) / (count - 1), count)

    @property
    def nodes(self) -> Array:
        """(count,)."""
        return np.asarray(self.start + self.step * np.arange(self.count), np.float64)

    def weights(self, value: Array) -> tuple[NDArray[np.intp], Array]:
        """First node (...) and weights (..., 4) of the cubic polynomial through four nodes; (..., 1) on a single node."""
        if self.count == 1:
            return np.zeros(value.shape, np.intp), np.ones((*value.shape, 1))
        place = (value - self.start) / self.step
        first = np.clip(place.astype(np.intp) - 1, 0, self.count - 4)
        x = place - first
        a, b, c, d = x, x - 1.0, x - 2.0, x - 3.0
        return first, np.stack([-b * c * d / 6.0, a * c * d / 2.0, -a * b * d / 2.0, a * b * c / 6.0], axis=-1)


@dataclass(frozen=True)
class Ranges:
    """Between which values a table is asked for; equal ones give a single node.

    Attributes
    ----------
    redshift, dust, colour : (float, float)
        Redshift, E(B-V) in the host galaxy [mag] and the c of SALT2.
    """

    redshift: tuple[float, float]
    dust: tuple[float, float] = (0.0, 0.0)
    colour: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Table:
    """Band flux of a class for amplitude 1 at distance modulus 0, as a fraction of that of 0 mag (AB).

    Attributes
    ----------
    phase, redshift, dust, colour : Axis
        `redshift` in ln(1 + z), `phase` in rest-frame days.
    values : (K, dust, colour, redshift, phase)
        K = 1, or 2 with the factor of x1 second.
    """

    phase: Axis
    redshift: Axis
    dust: Axis
    colour: Axis
    values: Array

    def curves(self, redshift: Array, dust: Array, colour: Array, x1: Array | None) -> Array:
        """Flux at the nodes of `phase` for n objects, (n, phase); all arguments (n,)."""
        axes = ((self.dust, dust), (self.colour, colour), (self.redshift, np.log1p(redshift)))
        starts, weights = zip(*(axis.weights(value) for axis, value in axes), strict=True)
        shape = self.values.shape[1:4]
        flat = self.values.reshape(len(self.values), -1, self.phase.count)
        out = np.zeros((len(redshift), self.phase.count))
        for corner in np.ndindex(*(weight.shape[-1] for weight in weights)):
            row = np.ravel_multi_index(tuple(start + k for start, k in zip(starts, corner, strict=True)), shape)
            weight = np.prod([w[:, k] for w, k in zip(weights, corner, strict=True)], axis=0)
            out += weight[:, None] * flat[0, row]
            if x1 is not None:
                out += (weight * x1)[:, None] * flat[1, row]
        return out

    def flux(self, phase: Array, redshift: Array, dust: Array, colour: Array, x1: Array | None) -> Array:
        """Flux at rest-frame phases (n, T) within the table; the other arguments (n,)."""
        out = np.empty(phase.shape)
        for start in range(0, len(phase), ROWS):
            here = slice(start, start + ROWS)
            curves = self.curves(redshift[here], dust[here], colour[here], None if x1 is None else x1[here])
            first, weight = self.phase.weights(phase[here])
            parts = [np.take_along_axis(curves, first + k, axis=1) * weight[..., k] for k in range(weight.shape[-1])]
            out[here] = np.sum(parts, axis=0)
        return out


@lru_cache(maxsize=128)
def table(recipe: Recipe, filter_name: str, ranges: Ranges) -> Table:
    """The table of a class in one filter.

    Parameters
    ----------
    recipe : Recipe
    filter_name : str
        See `library.curve`.
    ranges : Ranges

    Raises
    ------
    DataError
        If the filter leaves the spectrum somewhere in the redshifts asked for.
    """
    source, band = recipe.source(), library.curve(filter_name)
    check_overlap(recipe, source, filter_name, np.array(ranges.redshift))
    low, high = float(source.minphase()), float(source.maxphase())
    phase = Axis.over(low, high, max((high - low) / PHASES[1], min(0.25, (high - low) / PHASES[0])))
    redshift = Axis.over(float(np.log1p(ranges.redshift[0])), float(np.log1p(ranges.redshift[1])), STEPS["redshift"])
    dust = Axis.over(*ranges.dust, STEPS["dust"])
    colour = Axis.over(*ranges.colour, STEPS["colour"])
    wave, weight = photons(band, recipe)
    parts = _components(source)
    values = np.empty((len(parts), dust.count, colour.count, redshift.count, phase.count))
    extinction = library.dust(recipe.dust_law, recipe.host_r_v)
    for index, stretch in enumerate(np.exp(redshift.nodes)):
        rest = wave / stretch
        dimming = np.zeros((dust.count, colour.count, len(rest)))
        if dust.nodes.any():
            dimming += dust.nodes[:, None, None] * extinction(rest)
        if colour.nodes.any():
            dimming += colour.nodes[:, None] * source.colorlaw(rest)
        through = weight / stretch * 10.0 ** (-0.4 * dimming)
        for k, part in enumerate(parts):
            values[k, :, :, index] = through @ _spectra(source, part, phase.nodes, rest).T
    return Table(phase, redshift, dust, colour, values)


def photons(band: Any, recipe: Recipe) -> tuple[Array, Array]:
    """Wavelengths [angstrom] and the weights whose sum with f_lambda [erg / s / cm^2 / angstrom] is the flux over that of 0 mag.

    The midpoint rule of sncosmo, with the dust of the Milky Way.
    """
    import sncosmo
    from sncosmo.constants import HC_ERG_AA

    count = int(np.ceil((band.maxwave() - band.minwave()) / SPACING))
    step = (band.maxwave() - band.minwave()) / count
    wave = band.minwave() + step * (np.arange(count) + 0.5)
    weight = wave * band(wave) * step / HC_ERG_AA / sncosmo.get_magsystem("ab").zpbandflux(band)
    if recipe.mw_ebv > 0.0:
        weight = weight * 10.0 ** (-0.4 * recipe.mw_ebv * library.dust(recipe.dust_law, 3.1)(wave))
    return wave, weight


def is_salt(source: Any) -> bool:
    """Whether a source of sncosmo is SALT2 or SALT3, whose flux is linear in x1 and log-linear in c."""
    import sncosmo

    return isinstance(source, sncosmo.SALT2Source)


def _components(source: Any) -> list[dict[str, float]]:
    """Parameters of the spectra whose sum, the second times x1, is that of an object."""
    if not is_salt(source):
        return [{}]
    return [{"x1": 0.0, "c": 0.0}, {"x1": 1.0, "c": 0.0}]


def _spectra(source: Any, part: dict[str, float], phase: Array, rest: Array) -> Array:
    """Flux density (phase, rest); of the second component what x1 = 1 adds."""
    source.set(**part)
    flux = source.flux(phase, rest)
    if part.get("x1"):
        source.set(x1=0.0)
        flux = flux - source.flux(phase, rest)
    return np.asarray(flux, np.float64)


def check_overlap(recipe: Recipe, source: Any, filter_name: str, redshift: Array) -> None:
    """Raises DataError unless a filter lies within the spectrum (and the law of dust) at all these redshifts."""
    band = library.curve(filter_name)
    effect = library.dust_effect(recipe.dust_law, recipe.host_r_v)
    first, last = max(source.minwave(), effect.minwave()), min(source.maxwave(), effect.maxwave())
    lowest, highest = max(band.maxwave() / last - 1.0, 0.0), band.minwave() / first - 1.0
    bad = (redshift < lowest) | (redshift > highest)
    if not bad.any():
        return
    spectrum = f"the spectrum of {recipe.model} ends at {first:.0f} and {last:.0f} angstrom"
    allowed = f"it covers {filter_name} for redshifts from {lowest:.3f} to {highest:.3f}"
    remedy = allowed if highest > lowest else f"no redshift brings {filter_name} into it"
    raise DataError(f"source sncosmo: {filter_name} at redshift {redshift[bad][0]:g}", spectrum, remedy)
