"""Any model of LightCurveLynx as a class of objects."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import BandError, ConfigError, DataError
from skyreel.interfaces import Array, HostPolicy, LightCurve, Params, Source
from skyreel_lightcurvelynx import library
from skyreel_lightcurvelynx.graph import Graph
from skyreel_lightcurvelynx.ranges import model_range
from skyreel_lightcurvelynx.recipe import Recipe, check_parameters

ZERO = 31.4
"""AB magnitude of 1 nJy: 8.9 + 22.5."""
SINE = "lightcurvelynx.models.basic_models.SinWaveModel"
SINE_PARAMETERS = {
    "brightness": {"log_uniform": [2e3, 4e4]},
    "amplitude": {"uniform": [200.0, 1500.0]},
    "frequency": {"uniform": [0.3, 3.0]},
    "t0": {"uniform": [0.0, 3.0]},
}
"""What `LightCurveLynxSource.parameters` complete for the default model [nJy, 1 / d, d]: waves between 19.8 and 23.2 mag."""


@dataclass
class LightCurveLynxSource(Source):
    """Objects whose light a LightCurveLynx model computes (github.com/lincc-frameworks/LightCurveLynx).

    Params columns: every numeric parameter of the model, ``t0`` [MJD] and ``redshift`` among them, by its name; those of the
    members of a sum of models as 'member.name'. They are drawn with skyreel's generator; the model itself must draw nothing
    (no white-noise effect). Objects are computed one by one: 0.1 ms each for a sine, 0.4 ms for a wrapped sncosmo source.

    Values of `parameters`, `nodes` and `effects` are described in `skyreel_lightcurvelynx.recipe`. A class of another label::

        +source.wave={name:lightcurvelynx,model:my_package.models.Wave,packages:[my_package],parameters:{period:{uniform:[1,5]}}}

    Parameters
    ----------
    model : str
        Dotted name of a class of models. The default is its sine wave, an example.
    parameters : dict
        Its parameters.
    nodes : dict
        Values that several parameters share; a parameter refers to them by ``{of: NAME}``.
    effects : list
        Effects on the light, each ``{class: package.module.Class, ...}``.
    packages : list of str
        Packages from which classes may be imported.
    transient : bool
        Whether it comes and goes: movies then start five images before the first alert, ``t0`` is uniform in the window of the
        exposures whatever `parameters` say, and there is no light before the model's first and after its last phase.
    days_before, days_after : float, d
        For transients, t0 lies between `days_before` the first exposure and `days_after` the last.
    filter_set : str or None
        Group of filter curves of speclite, its bands named by their lower-case letters (decam2014: u, g, r, i, z, y).
    bandpasses : dict of str to str
        Further bands and their curves, for example {g: lsst2023-g}.
    host_fraction : float
        Share with a host galaxy: at the object's redshift and drawn from its light if the model has a redshift, by chance if not.

    Raises
    ------
    PluginError
        If LightCurveLynx or speclite is not installed.
    ConfigError
        For options out of range.
    """

    model: str = SINE
    parameters: dict[str, Any] = field(default_factory=dict)
    nodes: dict[str, Any] = field(default_factory=dict)
    effects: list[Any] = field(default_factory=list)
    packages: list[str] = field(default_factory=lambda: ["lightcurvelynx"])
    transient: bool = False
    days_before: float = field(default=0.0, metadata={"unit": "d"})
    days_after: float = field(default=0.0, metadata={"unit": "d"})
    filter_set: str | None = "decam2014"
    bandpasses: dict[str, str] = field(default_factory=dict)
    host_fraction: float = 0.05

    def __post_init__(self) -> None:
        library.check_installed("source 'lightcurvelynx'")
        self._handed: Any = None
        if not 0.0 <= self.host_fraction <= 1.0:
            raise ConfigError("host_fraction", str(self.host_fraction), "choose a share from 0 to 1")
        for name in ("days_before", "days_after"):
            if not math.isfinite(getattr(self, name)):
                raise ConfigError(name, str(getattr(self, name)), "choose a number of days")
        if self.filter_set is None and not self.bandpasses:
            raise ConfigError("filter_set, bandpasses", "none", "name a group of speclite's curves, such as decam2014, or bandpasses")

    @classmethod
    def of(cls, model: Any, **options: Any) -> LightCurveLynxSource:
        """A class of a model built in Python.

        Parameters
        ----------
        model : lightcurvelynx BasePhysicalModel
        **options
            All but `model`, `parameters`, `nodes` and `effects`.

        Raises
        ------
        ConfigError
            For options out of range, and see `Graph`.
        """
        made = cls(**options)
        made._handed = model
        made.graph  # noqa: B018  # the model is checked where it is handed in
        return made

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "graph"}

    @property
    def curves(self) -> dict[str, str]:
        """Band -> name of its filter curve."""
        return {**({} if self.filter_set is None else library.group_bands(self.filter_set)), **self.bandpasses}

    @property
    def bands(self) -> tuple[str, ...]:  # type: ignore[override]  # here they are an option
        """Bands of `filter_set` in order of wavelength, then those that `bandpasses` adds."""
        return tuple(self.curves)

    @property
    def triggers(self) -> bool:  # type: ignore[override]
        """As `transient`."""
        return self.transient

    @property
    def host_policy(self) -> HostPolicy:
        """At the object's redshift if the model has one, else chance alignments."""
        if "redshift" in self.graph.columns:
            return HostPolicy(self.host_fraction, "redshift", "light")
        return HostPolicy(self.host_fraction)

    @cached_property
    def graph(self) -> Graph:
        """The model and the table of its parameters.

        Raises
        ------
        ConfigError
            For classes that may not be imported, arguments that are refused, parameters that the model does not know or that
            are not numbers.
        DatasetError
            If the model reads a file or a server, in vain.
        """
        model = self._handed if self._handed is not None else self._named_model()
        with library.refusals("source.lightcurvelynx: drawing parameters", "correct parameters and nodes"):
            return Graph(model, self.transient)

    def _named_model(self) -> Any:
        from lightcurvelynx.models.physical_model import BasePhysicalModel

        recipe = Recipe(self.nodes, self.packages)
        given = {**(SINE_PARAMETERS if self.model == SINE else {}), **self.parameters}
        model = recipe.build({"class": self.model, **given}, "source.lightcurvelynx.model")
        if not isinstance(model, BasePhysicalModel):
            raise ConfigError(f"source.lightcurvelynx.model {self.model!r}", "is no BasePhysicalModel", "name one of its models")
        check_parameters(model, given)
        for k, effect in enumerate(self.effects):
            where = f"effects[{k}]"
            with library.refusals(where, "give {class: package.module.Class, ...} of an effect"):
                model.add_effect(recipe.value(effect, where))
        return model

    def sample(self, n: int, rng: np.random.Generator, *, window: Array | None = None) -> Params:
        """Parameters of n objects.

        Raises
        ------
        ConfigError, DatasetError
            See `graph`.
        """
        date = None
        if self.transient:
            first, last = (np.full(n, -30.0), np.full(n, 30.0)) if window is None else (window[:, 0], window[:, 1])
            date = rng.uniform(first - self.days_before, last + self.days_after)
        params = self.graph.sample(n, rng, date)
        return params or {"index": np.arange(n)}  # a model without numbers still has n objects

    def light_curve(self, params: Params, mjd: Array, band: NDArray[np.int8]) -> LightCurve:
        """Magnitude (n, T); for transients +inf outside the model's phases.

        Raises
        ------
        DataError
            For wrong shapes, dates beyond the phases of a model that is no transient, bands beyond its spectrum, NaN.
        BandError
            For an index outside `bands`.
        """
        n = len(next(iter(params.values()), ()))
        who = "source lightcurvelynx: light_curve"
        if mjd.ndim != 2 or mjd.shape != band.shape or len(mjd) != n:
            raise DataError(who, f"mjd {mjd.shape}, band {band.shape}, {n} objects", "hand in mjd and band as (objects, epochs)")
        if not np.isfinite(mjd).all():
            raise DataError(who, "an MJD that is not finite", "fill masked epochs with any finite date")
        if band.size and not (band.min() >= 0 and band.max() < len(self.bands)):
            raise BandError(who, f"band index {band.min()}..{band.max()}", f"indices count into {', '.join(self.bands)}")
        names, out = np.array(self.bands)[band], np.full(mjd.shape, np.inf)
        for row, state in enumerate(self.graph.states(params)):
            lit = self._lit(row, state, mjd[row], names[row])
            if lit.any():
                out[row, lit] = self._magnitude(row, state, mjd[row, lit], names[row, lit])
        return LightCurve(out)

    @property
    def _passbands(self) -> Any:
        return library.passbands(tuple(self.curves.items()))

    def _lit(self, row: int, state: Any, mjd: Array, names: NDArray[np.str_]) -> NDArray[np.bool_]:
        """Epochs (T,) at which the model is defined."""
        span = model_range(self.graph, state, self._passbands, names, self._extrapolates("wave"), self._extrapolates("time"))
        lit = (mjd >= span.first) & (mjd <= span.last)
        if self.transient or lit.all():
            return lit
        epoch = int(np.argmin(lit))
        early = mjd[epoch] < span.first[epoch]
        edge = f"its model {'begins' if early else 'ends'} at MJD {(span.first if early else span.last)[epoch]:.3f}"
        remedy = "give parameters.time_extrapolation, or transient: true for a model that is dark outside its phases"
        raise DataError(f"source lightcurvelynx: object {row} at MJD {mjd[epoch]:.3f}", edge, remedy)

    def _extrapolates(self, word: str) -> bool:
        model = self.graph.model
        return any(getattr(model, f"_{word}_extrap_{side}", None) is not None for side in ("before", "after"))

    def _magnitude(self, row: int, state: Any, mjd: Array, names: NDArray[np.str_]) -> Array:
        """AB magnitude (T,); +inf for no flux."""
        with warnings.catch_warnings(), library.refusals(f"source lightcurvelynx: light of object {row}", "check the model's parameters"):
            warnings.simplefilter("ignore")  # of epochs and wavelengths outside the model, which `_lit` has dealt with
            flux = np.asarray(self.graph.model.evaluate_bandfluxes(self._passbands, mjd, names, state), np.float64)
        if np.isnan(flux).any():
            raise DataError(
                f"source lightcurvelynx: {type(self.graph.model).__name__}", f"gives NaN for object {row}", "check its parameters"
            )
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(flux > 0.0, ZERO - 2.5 * np.log10(flux), np.inf)
