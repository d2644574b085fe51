"""Supernovae: a mixture of types Ia and II."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import ConfigError
from skyreel.interfaces import Array, HostPolicy, LightCurve, Params, Source
from skyreel_sources import snia, snii
from skyreel_sources.cosmology import distance_modulus, rate_ia, rate_ii
from skyreel_sources.epochs import by_band, check_epochs, check_fraction, check_positive, chunks
from skyreel_sources.sn_draw import Acceptance, Population, draw
from skyreel_sources.sn_tables import bilinear, check_above_zero, check_range, dust, fine, reddening, used_bands

EARLY = 23.0
"""Rest-frame days before the window in which an explosion still shows within it (authors' simulator)."""
G = 1
IA, II = 0, 1
"""Codes of the types."""
POPULATIONS = (
    Population(rate_ia, snia.PEAK, snia.SPREAD, snia.table, zero=snia.PEAK, bluest=3.5 * snia.COLOUR),
    Population(rate_ii, snii.PEAK, snii.SPREAD, snii.table),
)
PEAK_STEPS = np.linspace(0.24, 1.0, 18) ** 2
"""Fractions of the time of V maximum at which the g maximum of a SN II with a second rise is looked for."""
SHOCK_STEPS = np.array([0.08, 0.17, 0.32, 0.6])
"""Fractions of `rise_time` at which it is looked for as well."""
PEAK_SLACK = 0.05
"""Magnitudes by which the maximum may be missed that way."""


@dataclass
class Supernova(Source):
    """SNe Ia (Hsiao et al. 2007) and SNe II (shock cooling and plateau) in a flat universe with H0 = 70, Omega_m = 0.3.

    Params columns: ``type`` (0 Ia, 1 II), ``redshift``, ``explosion_mjd`` [d], ``peak_mag`` (brightest g, with dust)
    [mag], ``host_av`` [mag], ``abs_mag`` (Ia: B Vega; II: V) [mag], and the shape of the light curve: ``stretch``, ``colour`` (Ia),
    the other columns of `snii.COLUMNS` (II); NaN where a column belongs to the other type.

    Redshifts follow rate(z) dV/dz / (1+z); dust is drawn as ln A_V ~ N(ln 0.1, 1) within 1e-4..10 mag with R_V = 3, as
    in the authors' simulator. Explosions are uniform from 23 (1 + redshift_max) d before the window to its end.

    Parameters
    ----------
    fraction_ia : float
        Share of type Ia among the objects drawn, and about the same among those that `select` keeps (the paper: half; the
        volumetric rates alone give 0.56; HiTS light curves agree with 0.3 to 0.7).
    redshift_max : float
        Largest redshift, at most 1.
    host_fraction : float
        Share of supernovae with a host galaxy at their redshift: with 0.7, as many show light at their place before they explode
        as real ones do (`benchmarks/sky/hosts.py`); the paper has 0.5.
    acceptance_mag : float or None, mag
        Objects enter the catalogue with probability (1 - erf(acceptance_slope (m - acceptance_mag))) / 2, m being the brightest
        magnitude at the sampled epochs, but not brighter than the maximum in g: the search was made in g. `sample` draws objects with
        the probability of their maximum, `select` applies the rest; never drawn are objects that would enter less often than
        1 in 1,000. None: no cut.
    acceptance_slope : float, 1 / mag
        How sharp that limit is.
    rise_min : float, mag
        Objects enter only if the first magnitude minus the brightest exceeds this (the authors: 1); 0: no cut.
    slow_rise_fraction : float
        Share of SNe II with a second, slower rise: 24 of 26 SNe II of HiTS show the delay by a dense wind (Foerster et al. 2018 [recalled],
        Nature Astronomy 2, 808); light curves alone choose 0.75 to 1 (`tables.fit_supernova`).

    Raises
    ------
    ConfigError
        For a fraction outside 0..1, a redshift outside 0..1, a slope that is not positive or a negative `rise_min`.
    """

    triggers: ClassVar[bool] = True

    fraction_ia: float = 0.5
    redshift_max: float = 0.6
    host_fraction: float = 0.7
    acceptance_mag: float | None = field(default=22.8, metadata={"unit": "mag"})
    acceptance_slope: float = field(default=1.5, metadata={"unit": "1 / mag"})
    rise_min: float = field(default=0.0, metadata={"unit": "mag"})
    slow_rise_fraction: float = 0.9

    def __post_init__(self) -> None:
        for name in ("fraction_ia", "host_fraction", "slow_rise_fraction"):
            check_fraction("Supernova", name, getattr(self, name))
        for name in ("redshift_max", "acceptance_slope"):
            check_positive("Supernova", name, getattr(self, name))
        if self.redshift_max > 1.0:
            raise ConfigError("Supernova.redshift_max", str(self.redshift_max), "the spectra are tabulated up to redshift 1")
        if not self.rise_min >= 0.0:
            raise ConfigError("Supernova.rise_min", str(self.rise_min), "choose 0 (no cut) or a positive number of mag")

    @property
    def host_policy(self) -> HostPolicy:
        """Hosts at the supernova's redshift, the supernova drawn from their light."""
        return HostPolicy(fraction=self.host_fraction, redshift="redshift", offset="light")

    @property
    def _acceptance(self) -> Acceptance:
        return Acceptance(self.acceptance_mag, self.acceptance_slope)

    def sample(self, n: int, rng: np.random.Generator, *, window: Array | None = None) -> Params:
        """Types, redshifts, dates and shapes of n supernovae.

        Raises
        ------
        SimulationError
            If (almost) no supernova can come near `acceptance_mag`.
        """
        kind = (rng.random(n) >= self.fraction_ia).astype(np.int8)
        names = ("redshift", "peak_mag", "host_av", *snia.COLUMNS, *snii.COLUMNS[1:])
        params: Params = {"type": kind} | {name: np.full(n, np.nan) for name in names}
        for code in (IA, II):
            rows = np.flatnonzero(kind == code)
            for name, column in self._propose(code, len(rows), rng).items():
                params[name][rows] = column
        first, last = (-30.0, 30.0) if window is None else (window[:, 0], window[:, 1])
        earliest = np.asarray(first) - (EARLY * (1.0 + self.redshift_max) if window is not None else 0.0)
        params["explosion_mjd"] = earliest + (np.asarray(last) - earliest) * rng.random(n)
        return params

    def _propose(self, code: int, n: int, rng: np.random.Generator) -> Params:
        """All but the dates of n supernovae of one type, drawn with the acceptance of their maximum in g."""
        acceptance = self._acceptance
        found: list[Params] = []
        missing = n
        while missing > 0:
            count = missing if acceptance.middle is None else missing + missing // 2 + 16
            redshift, abs_mag, bare = draw(count, rng, POPULATIONS[code], self.redshift_max, acceptance, G)
            part: Params = {"redshift": redshift, "abs_mag": abs_mag}
            part |= snii.shape(count, rng, self.slow_rise_fraction) if code else snia.shape(abs_mag, rng)
            part["host_av"] = np.clip(0.1 * np.exp(rng.standard_normal(count)), 1e-4, 10.0)
            part["peak_mag"] = _peak(code, part, bare)
            # drawn with the acceptance of a bound: what is left is the ratio
            rows = np.flatnonzero(rng.random(count) * acceptance(bare) < acceptance(part["peak_mag"] - PEAK_SLACK))[:missing]
            found.append({name: column[rows] for name, column in part.items()})
            missing -= len(rows)
        return {name: np.concatenate([part[name] for part in found]) for name in found[0]} if found else {}

    def light_curve(self, params: Params, mjd: Array, band: NDArray[np.int8]) -> LightCurve:
        """Apparent AB magnitude with the host's dust, (n, T); +inf before the explosion.

        Raises
        ------
        DataError
            For a redshift outside the tables, or a stretch or a rise time that is not positive (see also `check_epochs`).
        """
        check_epochs("Supernova", params, mjd, band, self.bands)
        check_range("Supernova", params)
        mag = np.empty(mjd.shape)
        for code, positive in ((IA, ("stretch",)), (II, ("rise_time", "second_time"))):
            rows = np.flatnonzero(params["type"] == code)
            check_above_zero("Supernova", params, positive, rows)
            columns = ("redshift", "explosion_mjd", "host_av", *(snii if code else snia).COLUMNS)
            for part in chunks(len(rows)):
                here = rows[part]
                mag[here] = _magnitude(code, {name: params[name][here] for name in columns}, mjd[here], band[here])
        return LightCurve(mag)

    def select(self, params: Params, mag: Array, rng: np.random.Generator) -> NDArray[np.bool_]:
        """The two cuts told in the options, on magnitudes (n, T) of which unused epochs are +inf."""
        brightest = mag.min(axis=1)
        keep = np.isfinite(brightest)
        if self.acceptance_mag is not None:
            maximum = params["peak_mag"] - PEAK_SLACK
            keep &= rng.random(len(mag)) * self._acceptance(maximum) < self._acceptance(np.maximum(brightest, maximum))
        if self.rise_min > 0.0:
            keep &= mag[:, 0] > brightest + self.rise_min
        return np.asarray(keep, np.bool_)


def _magnitude(code: int, params: Params, mjd: Array, band: NDArray[np.int8]) -> Array:
    """Apparent magnitude (n, T) of supernovae of one type; +inf before the explosion."""
    since = mjd - params["explosion_mjd"][:, None]
    dark = since < 0.0
    since = np.maximum(since, 0.0)
    if code == IA:
        mag = bilinear(snia.table(), params["redshift"], snia.phase(params, since), band)
    else:
        mag = bilinear(snii.table(), params["redshift"], snii.column(params, since), band)
        mag += snii.plateau(params, since)
    mag += _offset(code, params, band)
    mag[dark] = np.inf
    return np.asarray(mag, np.float64)


def _offset(code: int, params: Params, band: NDArray[np.int8]) -> Array:
    """What distance, luminosity, dust and colour add to a table's magnitudes, (n, T) or (n, 1)."""
    redshift = params["redshift"]
    common = params["abs_mag"] - POPULATIONS[code].zero + distance_modulus(redshift)
    used = used_bands(band)
    values = np.zeros((len(redshift), 6))
    for index in used:
        values[:, index] = common + params["host_av"] * fine(dust(), redshift, index)
        if code == IA:
            values[:, index] += params["colour"] * fine(reddening(), redshift, index)
    return values[:, used] if len(used) == 1 else by_band(values, band)


def _peak(code: int, params: Params, bare: Array) -> Array:
    """Brightest g magnitude (n,), with dust, of supernovae with `Population.brightest` plus luminosity `bare`."""
    redshift = params["redshift"]
    peak = bare + params["host_av"] * fine(dust(), redshift, G)
    if code == IA:
        law = fine(reddening(), redshift, G)
        return np.asarray(peak + POPULATIONS[IA].bluest * np.abs(law) + params["colour"] * law, np.float64)
    rows = np.flatnonzero(params["second_rise"] > 0.0)  # without a second rise the table's own maximum is the maximum
    slow = {name: column[rows] for name, column in params.items()}
    slow["explosion_mjd"] = np.zeros(len(rows))
    later = PEAK_STEPS * np.maximum(slow["rise_time"], slow["second_time"])[:, None]
    earlier = SHOCK_STEPS * slow["rise_time"][:, None]  # a strong second rise leaves the shock's own maximum in the far blue
    mjd = (1.0 + slow["redshift"])[:, None] * np.concatenate([earlier, later], axis=1)
    peak[rows] = _magnitude(code, slow, mjd, np.full(mjd.shape, G, np.int8)).min(axis=1) if len(rows) else 0.0
    return np.asarray(peak, np.float64)
