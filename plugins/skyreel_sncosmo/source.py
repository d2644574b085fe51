"""Any source of sncosmo as a class of transients."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import BandError, ConfigError, DataError
from skyreel.interfaces import Array, HostPolicy, LightCurve, Params, Source
from skyreel_sncosmo import direct, library
from skyreel_sncosmo.population import distance_modulus, draw_redshift, truncated_normal
from skyreel_sncosmo.tables import Ranges, Recipe, check_overlap, is_salt, table

LAWS = ("volume", "uniform")
REACH = 3.0
"""Standard deviations at which normal parameters end when no limits are given."""
REDDEST = 6.0
"""Means at which the exponential distribution of E(B-V) is cut; 0.25 % lie beyond."""
TAIL = 0.1
"""Last part of a model's phases whose mean decline [mag / d] goes on after its end."""


@dataclass
class SncosmoSource(Source):
    """Transients with the spectra of any source of sncosmo (Barbary et al., zenodo.org/records/14714968).

    Params columns: ``redshift``, ``t0`` [MJD] (phase 0 of the model), ``absolute_mag`` [mag], ``host_ebv`` [mag], and
    each entry of `parameters` with a spread. Light is +inf before the model's first phase; after its last one it goes on
    fading at the mean rate of the last tenth of the phases. Universe: flat, H0 = 70, Omega_m = 0.3.

    The label of the class is the key under ``source``: ``+source=sncosmo`` adds one named sncosmo, and
    ``+source.sn91bg={name:sncosmo,model:nugent-sn91bg,absolute_mag:-17.7}`` one of another name beside it.

    Parameters
    ----------
    model : str
        Name of a built-in or registered source of sncosmo. Most are downloaded by sncosmo at first use; the default is not.
    version : str or None
        Its version; None: the latest.
    filter_set : str or None
        Group of filter curves of speclite, named by their lower-case letters (decam2014: u, g, r, i, z, y; no download).
    bandpasses : dict of str to str
        Further bands and their curves: a name of sncosmo (``ztfg``) or of speclite (``lsst2023-g``).
    redshift_law : str
        'volume': constant rate per comoving volume and rest-frame time, times (1+z)**rate_slope; or 'uniform'.
    redshift_min, redshift_max : float
    rate_slope : float
    absolute_mag, absolute_mag_scatter : float, mag
        Mean and standard deviation of the peak in `absolute_band` (AB, rest frame, without dust). The default is that of
        SNe Ia in `source.supernova`, M_B = -19.36 (Vega), with an assumed scatter.
    absolute_band : str
        Curve in which the peak is meant, as in `bandpasses`.
    parameters : dict of str to list of float
        Parameters of the source but its amplitude: [mean, standard deviation], cut at 3 of them, or [mean, standard
        deviation, lowest, highest]; a standard deviation of 0 fixes one. Those not named keep sncosmo's value.
    mag_slopes : dict of str to float
        What a parameter adds to `absolute_mag`, per unit: {x1: -0.14, c: 3.1} has the form of Tripp 1998 with values near
        those of Betoule et al. 2014 [recalled].
    host_ebv : float, mag
        Mean of the exponential distribution of E(B-V) in the host galaxy; 0: no dust.
    host_r_v : float
    mw_ebv : float, mag
        E(B-V) of the Milky Way, R_V = 3.1.
    dust_law : str
        'ccm89', 'od94' or 'f99'.
    days_before, days_after : float, d
        t0 is uniform from `days_before` the first exposure to `days_after` the last.
    host_fraction : float
        Share with a host galaxy at the redshift of the transient.

    Raises
    ------
    PluginError
        If sncosmo or speclite is not installed.
    ConfigError
        For options out of range.
    """

    triggers: ClassVar[bool] = True

    model: str = "hsiao-subsampled"
    version: str | None = None
    filter_set: str | None = "decam2014"
    bandpasses: dict[str, str] = field(default_factory=dict)
    redshift_law: str = "volume"
    redshift_min: float = 0.0
    redshift_max: float = 0.3
    rate_slope: float = 0.0
    absolute_mag: float = field(default=-19.45, metadata={"unit": "mag"})
    absolute_mag_scatter: float = field(default=0.3, metadata={"unit": "mag"})
    absolute_band: str = "bessellb"
    parameters: dict[str, list[Any]] = field(default_factory=dict)  # of floats, but OmegaConf refuses whole numbers among those
    mag_slopes: dict[str, float] = field(default_factory=dict)
    host_ebv: float = field(default=0.0, metadata={"unit": "mag"})
    host_r_v: float = 3.1
    mw_ebv: float = field(default=0.0, metadata={"unit": "mag"})
    dust_law: str = "ccm89"
    days_before: float = field(default=0.0, metadata={"unit": "d"})
    days_after: float = field(default=0.0, metadata={"unit": "d"})
    host_fraction: float = 0.7

    def __post_init__(self) -> None:
        library.check_installed()
        if self.redshift_law not in LAWS:
            raise ConfigError("redshift_law", repr(self.redshift_law), f"choose one of {', '.join(LAWS)}")
        if self.dust_law not in library.DUST:
            raise ConfigError("dust_law", repr(self.dust_law), f"choose one of {', '.join(library.DUST)}")
        if not (0.0 <= self.redshift_min <= self.redshift_max and self.redshift_max > 0.0):
            raise ConfigError(
                "redshift_min, redshift_max", f"{self.redshift_min}, {self.redshift_max}", "0 <= redshift_min <= redshift_max"
            )
        for name in ("absolute_mag_scatter", "host_ebv", "mw_ebv"):
            if not getattr(self, name) >= 0.0:
                raise ConfigError(name, str(getattr(self, name)), "choose 0 or a positive number of mag")
        if not self.host_r_v > 0.0:
            raise ConfigError("host_r_v", str(self.host_r_v), "choose a positive number")
        if not 0.0 <= self.host_fraction <= 1.0:
            raise ConfigError("host_fraction", str(self.host_fraction), "choose a share from 0 to 1")
        self.parameters = {name: _spec(name, values) for name, values in self.parameters.items()}
        if self.filter_set is None and not self.bandpasses:
            raise ConfigError("filter_set, bandpasses", "none", "name a group of speclite's curves, such as decam2014, or bandpasses")

    @cached_property
    def curves(self) -> dict[str, str]:
        """Band -> name of its filter curve."""
        return {**({} if self.filter_set is None else library.group_bands(self.filter_set)), **self.bandpasses}

    @property
    def bands(self) -> tuple[str, ...]:  # type: ignore[override]  # here they are an option
        """Bands of `filter_set` in order of wavelength, then those that `bandpasses` adds."""
        return tuple(self.curves)

    @property
    def host_policy(self) -> HostPolicy:
        """Hosts at the transient's redshift, the transient drawn from their light."""
        return HostPolicy(self.host_fraction, "redshift", "light")

    @property
    def varying(self) -> tuple[str, ...]:
        """Parameters of the source that differ from object to object."""
        return tuple(name for name, spec in self.parameters.items() if spec[1] > 0.0)

    @cached_property
    def recipe(self) -> Recipe:
        """The spectra, checked against sncosmo.

        Raises
        ------
        ConfigError
            For parameters that the source does not have.
        ConfigError, DatasetError
            See `library.source`.
        """
        known = library.source(self.model, self.version).param_names
        for option in ("parameters", "mag_slopes"):
            for name in getattr(self, option):
                if name not in known[1:]:
                    why = "is set by absolute_mag" if name == known[0] else f"is no parameter of {self.model}"
                    raise ConfigError(
                        f"source.sncosmo.{option}.{name}", why, f"it has {', '.join(known[1:]) or 'none besides the amplitude'}"
                    )
        for name in self.mag_slopes:
            if name not in self.parameters:
                raise ConfigError(f"source.sncosmo.mag_slopes.{name}", f"{name} is not in parameters", "name it there too")
        fixed = tuple((name, spec[0]) for name, spec in self.parameters.items() if spec[1] == 0.0)
        return Recipe(self.model, self.version, fixed, self.dust_law, self.host_r_v, self.mw_ebv)

    def sample(self, n: int, rng: np.random.Generator, *, window: Array | None = None) -> Params:
        """Redshifts, dates, luminosities, dust and the parameters of n transients.

        Raises
        ------
        ConfigError, DatasetError
            See `recipe`.
        """
        slopes = {name: self.mag_slopes.get(name, 0.0) for name in self.parameters}
        offset = sum(slopes[name] * value for name, value in self.recipe.fixed)
        first, last = (np.full(n, -30.0), np.full(n, 30.0)) if window is None else (window[:, 0], window[:, 1])
        params: Params = {
            "redshift": draw_redshift(n, rng, self.redshift_law, self.redshift_min, self.redshift_max, self.rate_slope),
            "t0": rng.uniform(first - self.days_before, last + self.days_after),
            "absolute_mag": self.absolute_mag + offset + self.absolute_mag_scatter * rng.standard_normal(n),
            "host_ebv": self.host_ebv * np.minimum(rng.standard_exponential(n), REDDEST),
        }
        for name in self.varying:
            mean, spread = self.parameters[name][:2]
            params[name] = truncated_normal(n, rng, mean, spread, *self._limits(name))
            params["absolute_mag"] = params["absolute_mag"] + slopes[name] * params[name]
        return params

    def _limits(self, name: str) -> tuple[float, float]:
        mean, spread, *limits = self.parameters[name]
        return (limits[0], limits[1]) if limits else (mean - REACH * spread, mean + REACH * spread)

    def light_curve(self, params: Params, mjd: Array, band: NDArray[np.int8]) -> LightCurve:
        """Apparent AB magnitude (n, T); see the class for epochs outside the model.

        Cost per object of 28 epochs in one band: about 10 microseconds where the shape does not vary, 15 with host dust, 30 to
        100 for SALT2 and SALT3, and 1 ms for other sources whose parameters vary; the first call tabulates the model.

        Raises
        ------
        DataError
            For wrong shapes, redshifts or parameters beyond the options, and a filter that leaves the spectrum.
        BandError
            For an index outside `bands`.
        """
        self._check(params, mjd, band)
        out = np.full(mjd.shape, np.inf)
        if not out.size:
            return LightCurve(out)
        low, high = self._phase_range(params)
        phase = (mjd - params["t0"][:, None]) / (1.0 + params["redshift"][:, None])
        shift = params["absolute_mag"] + distance_modulus(params["redshift"]) - self._peak(params)
        length = TAIL * (high - low)
        # two more columns give the decline at the model's end
        asked = np.concatenate([np.clip(phase, low, high), high - length, high], axis=1)
        for index in np.unique(band):
            rows = np.flatnonzero((band == index).any(axis=1))
            part = {name: column[rows] for name, column in params.items()}
            light = self._flux(self.curves[self.bands[index]], part, asked[rows])
            mag = -2.5 * np.log10(np.where(light > 0.0, light, np.nan))
            decline = np.maximum(mag[:, -1:] - mag[:, -2:-1], 0.0) / length[rows]
            later = np.maximum(phase[rows] - high[rows], 0.0)
            mag = mag[:, :-2] + np.where(later > 0.0, decline * later, 0.0) + shift[rows, None]
            here = (band[rows] == index) & (phase[rows] >= low[rows]) & np.isfinite(mag)
            out[rows] = np.where(here, mag, out[rows])
        return LightCurve(out)

    def _check(self, params: Params, mjd: Array, band: NDArray[np.int8]) -> None:
        missing = sorted({"redshift", "t0", "absolute_mag", "host_ebv", *self.varying} - set(params))
        if missing:
            raise DataError("source sncosmo: params", f"no column {', '.join(missing)}", "hand in what `sample` returned")
        n = len(params["redshift"])
        if mjd.ndim != 2 or mjd.shape != band.shape or len(mjd) != n:
            found = f"mjd {mjd.shape}, band {band.shape}, {n} objects"
            raise DataError("source sncosmo: light_curve", found, "hand in mjd and band as (objects, epochs)")
        if not np.isfinite(mjd).all():
            raise DataError("source sncosmo: light_curve", "an MJD that is not finite", "fill masked epochs with any finite date")
        if band.size and not (band.min() >= 0 and band.max() < len(self.bands)):
            raise BandError(
                "source sncosmo: light_curve", f"band index {band.min()}..{band.max()}", f"indices count into {', '.join(self.bands)}"
            )
        if not (params["redshift"] > 0.0).all():
            row = int(np.argmin(params["redshift"] > 0.0))
            raise DataError(
                f"source sncosmo: redshift of object {row}", f"{params['redshift'][row]:g}", "a distance needs a positive redshift"
            )
        limits = {name: self._limits(name) for name in self.varying}
        limits |= dict.fromkeys(("t0", "absolute_mag"), (-np.inf, np.inf))  # which NaN is not in
        limits |= {"redshift": (self.redshift_min, self.redshift_max), "host_ebv": (0.0, REDDEST * self.host_ebv)}
        for name, (low, high) in limits.items():
            outside = ~((params[name] >= low) & (params[name] <= high))
            if outside.any():
                row = int(np.argmax(outside))
                remedy = f"the options of the class allow {low:g} to {high:g}"
                raise DataError(f"source sncosmo: {name} of object {row}", f"{params[name][row]:g}", remedy)

    @cached_property
    def _spectra(self) -> Any:
        """The source of sncosmo, to be read only."""
        return self.recipe.source()

    @property
    def _tabulated(self) -> bool:
        allowed = ("x1", "c") if is_salt(self._spectra) else ()
        return set(self.varying) <= set(allowed)

    def _flux(self, filter_name: str, params: Params, phase: Array) -> Array:
        """Flux (n, T) for amplitude 1 at distance modulus 0, as a fraction of that of 0 mag, at phases within the model."""
        if self._tabulated:
            ranges = Ranges((self.redshift_min, self.redshift_max), (0.0, REDDEST * self.host_ebv), self._colours())
            return table(self.recipe, filter_name, ranges).flux(phase, params["redshift"], params["host_ebv"], *self._shape(params))
        check_overlap(self.recipe, self._spectra, filter_name, params["redshift"])
        return direct.flux(self.recipe, filter_name, self.varying, params, phase)

    def _phase_range(self, params: Params) -> tuple[Array, Array]:
        """First and last rest-frame phase (n, 1) [d]."""
        if self._tabulated:
            like = np.ones((len(params["redshift"]), 1))
            return self._spectra.minphase() * like, self._spectra.maxphase() * like
        low, high = direct.phase_range(self.recipe, self.varying, params)
        return low[:, None], high[:, None]

    def _peak(self, params: Params) -> Array:
        """Brightest magnitude (n,) in `absolute_band` for amplitude 1, at redshift 0, without dust."""
        if self._tabulated:
            bare = Recipe(self.recipe.model, self.recipe.version, self.recipe.fixed)
            rest = table(bare, self.absolute_band, Ranges((0.0, 0.0), colour=self._colours()))
            nothing = np.zeros(len(params["redshift"]))
            best = np.maximum(rest.curves(nothing, nothing, *self._shape(params)).max(axis=1), 0.0)
            with np.errstate(divide="ignore"):
                mag = -2.5 * np.log10(best)
        else:
            check_overlap(self.recipe, self._spectra, self.absolute_band, np.zeros(1))
            mag = direct.peak_mag(self.recipe, self.absolute_band, self.varying, params)
        if not np.isfinite(mag).all():
            raise DataError(
                f"source sncosmo: {self.model}", f"no light in {self.absolute_band} at redshift 0", "choose another absolute_band"
            )
        return np.asarray(mag, np.float64)

    def _colours(self) -> tuple[float, float]:
        """Lowest and highest c of SALT2; 0 for other sources."""
        if "c" in self.varying:
            return self._limits("c")
        value = self._fixed("c")
        return value, value

    def _shape(self, params: Params) -> tuple[Array, Array | None]:
        """Columns c and x1 of SALT2 (n,); zeros and None for other sources."""
        like = params["redshift"]
        colour = params["c"] if "c" in self.varying else np.full_like(like, self._fixed("c"))
        if not is_salt(self._spectra):
            return np.zeros_like(like), None
        return colour, params["x1"] if "x1" in self.varying else np.full_like(like, self._fixed("x1"))

    def _fixed(self, name: str) -> float:
        return float(self._spectra.get(name)) if is_salt(self._spectra) else 0.0


def _spec(name: str, values: list[Any]) -> list[float]:
    """Mean, standard deviation and perhaps the limits of a parameter; ConfigError unless they are such."""
    good = all(isinstance(value, (int, float)) and np.isfinite(value) for value in values) and len(values) in (2, 4)
    if not good or values[1] < 0.0 or (len(values) == 4 and not values[2] <= values[0] <= values[3]):
        remedy = "give [mean, standard deviation] or [mean, standard deviation, lowest, highest], the mean between the limits"
        raise ConfigError(f"parameters.{name}", str(values), remedy)
    return [float(value) for value in values]
