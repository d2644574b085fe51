"""Supernovae: a mixture of types Ia and II."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from skyreel.errors import ConfigError, SimulationError
from skyreel.interfaces import Array, HostPolicy, LightCurve, Params, Source
from skyreel_sources import snia, snii
from skyreel_sources.cosmology import rate_ia, rate_ii, redshift_distribution
from skyreel_sources.epochs import by_band, check_epochs, check_fraction, check_positive
from skyreel_sources.extinction import ccm
from skyreel_sources.tables import load

R_V = 3.0
"""A(V) / E(B-V) of the hosts (authors' simulator)."""
EARLY = 23.0
"""Rest-frame days before the window in which an explosion still shows within it (authors' simulator)."""
HOPELESS = 1.2
"""Magnitudes fainter than `acceptance_mag` at which less than 0.6 % are accepted."""
G = 1
PEAK_DAYS = np.geomspace(0.5, 45.0, 24)
"""Rest-frame days after explosion at which the brightest g magnitude is looked for."""


@dataclass
class Supernova(Source):
    """SNe Ia (Hsiao et al. 2007) and SNe II (parametric plateau) in a flat universe with H0 = 70, Omega_m = 0.3.

    Params columns: ``type`` (0 Ia, 1 II), ``redshift``, ``explosion_mjd`` [d], ``peak_mag`` (brightest g, with dust)
    [mag], ``host_av`` [mag], ``abs_mag`` (Ia: B Vega; II: V) [mag], and the shape of the light curve: ``stretch`` (Ia),
    the columns of `snii.draw` (II); NaN where a column belongs to the other type.

    Redshifts follow rate(z) dV/dz / (1+z); dust is drawn as ln A_V ~ N(ln 0.1, 1) within 1e-4..10 mag with R_V = 3, as
    in the authors' simulator. Explosions are uniform from 23 (1 + redshift_max) d before the window to its end.

    Parameters
    ----------
    fraction_ia : float
        Share of type Ia among the objects drawn (before `select` and any alert). With the default cuts, 25 days of g
        epochs keep 28 % of the Ia and 8 % of the II: 0.22 gives equal shares after the cut.
    redshift_max : float
        Largest redshift, at most 1.
    host_fraction : float
        Share of supernovae with a host galaxy at their redshift (the paper: 0.5).
    acceptance_mag : float or None, mag
        Objects enter the catalogue with probability (1 - erf(1.5 (m - acceptance_mag))) / 2, m being the brightest
        magnitude at the sampled epochs; objects that can never come within 1.2 mag of it are not drawn. None: no cut.
    rise_min : float, mag
        Objects enter only if the first magnitude minus the brightest exceeds this (the authors: 1); 0: no cut.
    slow_rise_fraction : float
        Share of SNe II that rise over 18 d instead of 7.5 d.

    Raises
    ------
    ConfigError
        For a fraction outside 0..1, a redshift outside 0..1 or a negative `rise_min`.
    """

    triggers: ClassVar[bool] = True

    fraction_ia: float = 0.22
    redshift_max: float = 0.6
    host_fraction: float = 0.5
    acceptance_mag: float | None = field(default=22.8, metadata={"unit": "mag"})
    rise_min: float = field(default=0.0, metadata={"unit": "mag"})
    slow_rise_fraction: float = 0.5

    def __post_init__(self) -> None:
        for name in ("fraction_ia", "host_fraction", "slow_rise_fraction"):
            check_fraction("Supernova", name, getattr(self, name))
        check_positive("Supernova", "redshift_max", self.redshift_max)
        if self.redshift_max > 1.0:
            raise ConfigError("Supernova.redshift_max", str(self.redshift_max), "the SN Ia table ends at redshift 1")
        if not self.rise_min >= 0.0:
            raise ConfigError("Supernova.rise_min", str(self.rise_min), "choose 0 (no cut) or a positive number of mag")

    @property
    def host_policy(self) -> HostPolicy:
        """Hosts at the supernova's redshift, the supernova drawn from their light."""
        return HostPolicy(fraction=self.host_fraction, redshift="redshift", offset="light")

    def sample(self, n: int, rng: np.random.Generator, *, window: Array | None = None) -> Params:
        """Types, redshifts, dates and shapes of n supernovae.

        Raises
        ------
        SimulationError
            If (almost) no supernova can come near `acceptance_mag`.
        """
        kind = (rng.random(n) >= self.fraction_ia).astype(np.int8)
        n_ii = int(kind.sum())
        columns = ("redshift", "abs_mag", "stretch", *snii.COLUMNS[1:])
        params: Params = {"type": kind} | {name: np.full(n, np.nan) for name in columns}
        for code, count in ((0, n - n_ii), (1, n_ii)):
            for name, column in self._propose(code, count, rng).items():
                params[name][kind == code] = column
        params["host_av"] = np.clip(np.exp(rng.normal(np.log(0.1), 1.0, n)), 1e-4, 10.0)
        first, last = (-30.0, 30.0) if window is None else (window[:, 0], window[:, 1])
        earliest = np.asarray(first) - (EARLY * (1.0 + self.redshift_max) if window is not None else 0.0)
        params["explosion_mjd"] = earliest + (np.asarray(last) - earliest) * rng.random(n)
        days = params["explosion_mjd"][:, None] + (1.0 + params["redshift"][:, None]) * PEAK_DAYS
        params["peak_mag"] = self.light_curve(params, days, np.full(days.shape, G, np.int8)).mag.min(axis=1)
        return params

    def _propose(self, kind: int, n: int, rng: np.random.Generator) -> Params:
        """Redshift and shape of n supernovae of one type that can come near `acceptance_mag`."""
        limit = np.inf if self.acceptance_mag is None else self.acceptance_mag + HOPELESS
        cumulative, grid = redshift_distribution(rate_ii if kind else rate_ia, self.redshift_max)
        found: list[Params] = []
        missing, tried = n, 0
        while missing > 0:
            count = max(4 * missing, 64)
            proposal = snii.draw(count, rng, self.slow_rise_fraction) if kind else snia.draw(count, rng)
            # 1 - random() lies in (0, 1]: redshift 0 has no distance modulus.
            proposal["redshift"] = np.interp(1.0 - rng.random(count), cumulative, grid)
            bright = np.flatnonzero((snii if kind else snia).brightest(proposal) < limit)[:missing]
            found.append({name: column[bright] for name, column in proposal.items()})
            missing -= len(bright)
            tried += count
            if missing > 0 and tried > 10_000 * n:
                raise SimulationError(
                    "Supernova.sample",
                    f"fewer than 1 in 10,000 can come near {limit:.1f} mag",
                    "raise acceptance_mag or lower redshift_max",
                )
        return {name: np.concatenate([part[name] for part in found]) for name in found[0]} if found else {}

    def light_curve(self, params: Params, mjd: Array, band: NDArray[np.int8]) -> LightCurve:
        """Apparent AB magnitude with the host's dust, (n, T); +inf before the explosion."""
        check_epochs("Supernova", params, mjd, band, self.bands)
        mag = np.empty(mjd.shape)
        for code, model in ((0, snia), (1, snii)):
            rows = np.flatnonzero(params["type"] == code)
            mag[rows] = model.magnitude({name: column[rows] for name, column in params.items()}, mjd[rows], band[rows])
        wavelength = load(snia.TABLE)["wavelength"] / (1.0 + params["redshift"])[:, None]
        mag += by_band(params["host_av"][:, None] * ccm(wavelength, R_V), band)
        return LightCurve(mag)

    def select(self, params: Params, mag: Array, rng: np.random.Generator) -> NDArray[np.bool_]:
        """The two cuts told in the options, on magnitudes (n, T) of which unused epochs are +inf."""
        brightest = mag.min(axis=1)
        keep = np.isfinite(brightest)
        if self.acceptance_mag is not None:
            keep &= rng.random(len(mag)) < 0.5 * (1.0 - erf(1.5 * (brightest - self.acceptance_mag)))
        if self.rise_min > 0.0:
            keep &= mag[:, 0] > brightest + self.rise_min
        return np.asarray(keep, np.bool_)
