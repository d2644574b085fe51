"""A table of visits as a survey: every object has a random position and all visits that cover it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import ConfigError, SimulationError
from skyreel.exposures import Exposures
from skyreel.interfaces import Array, Camera, Survey
from skyreel.seeding import Seeds
from skyreel_lightcurvelynx import library, tables
from skyreel_lightcurvelynx.instruments import INSTRUMENTS, Instrument
from skyreel_lightcurvelynx.positions import Coverage, degrees

ROUNDS = 50
"""Times that positions are proposed until enough have `min_visits`."""


@dataclass
class LightCurveLynxSurvey(Survey):
    """Visits of a file that LightCurveLynx reads (github.com/lincc-frameworks/LightCurveLynx).

    Positions are uniform over the area that the visits cover. Objects covered by one visit share its exposure.

    Parameters
    ----------
    table : str
        'opsim' (Rubin's simulated visits), 'ccdvisit', 'sv_visits', 'nightly' (its real ones), 'ztf'; or the dotted name of another
        ObsTable, for which gain, read noise, saturation and pixel scale must be given.
    file : str or None
        The table: SQLite, Parquet or CSV.
    query : str or None
        SQL for SQLite; None: the whole table.
    packages : list of str
        Packages from which a dotted name may be imported.
    filters : list of str
        Bands used, named as in the table; visits in others are left out.
    mjd_min, mjd_max : float or None, d
        Between which visits count: one season of ten years, for example.
    radius : float or None, deg
        Radius of the field of a visit; None: LightCurveLynx's.
    min_visits : int
        Positions with fewer are not used.
    max_seeing : float or None, arcsec
        Exposures with a larger seeing are not used.
    gain : float or None, electron / ADU
    read_noise : float or None, electron
    saturation : float or None, ADU
    pixel_scale : float or None, arcsec / px
        Of the camera; None: that of the named table.
    latitude, longitude : float or None, deg
        Of the site, east positive, for tables without an airmass; None: that of the named table.

    Raises
    ------
    PluginError
        If LightCurveLynx is not installed.
    ConfigError
        For options out of range, or missing with a dotted name.
    """

    table: str = "opsim"
    file: str | None = None
    query: str | None = None
    packages: list[str] = field(default_factory=lambda: ["lightcurvelynx"])
    filters: list[str] = field(default_factory=lambda: ["g", "r", "i"])
    mjd_min: float | None = field(default=None, metadata={"unit": "d"})
    mjd_max: float | None = field(default=None, metadata={"unit": "d"})
    radius: float | None = field(default=None, metadata={"unit": "deg"})
    min_visits: int = 1
    max_seeing: float | None = field(default=None, metadata={"unit": "arcsec"})
    gain: float | None = field(default=None, metadata={"unit": "electron / adu"})
    read_noise: float | None = field(default=None, metadata={"unit": "electron"})
    saturation: float | None = field(default=None, metadata={"unit": "adu"})
    pixel_scale: float | None = field(default=None, metadata={"unit": "arcsec / pix"})
    latitude: float | None = field(default=None, metadata={"unit": "deg"})
    longitude: float | None = field(default=None, metadata={"unit": "deg"})

    def __post_init__(self) -> None:
        library.check_installed("survey 'lightcurvelynx'")
        if not self.filters or len(set(self.filters)) != len(self.filters):
            raise ConfigError("filters", str(self.filters), "name one or more bands, each once")
        if self.min_visits < 1:
            raise ConfigError("min_visits", str(self.min_visits), "choose 1 or more")
        if self.mjd_min is not None and self.mjd_max is not None and not self.mjd_min < self.mjd_max:
            raise ConfigError("mjd_min, mjd_max", f"{self.mjd_min}, {self.mjd_max}", "the first must be smaller")
        for name in ("radius", "max_seeing", "gain", "read_noise", "saturation", "pixel_scale"):
            value = getattr(self, name)
            if value is not None and not value > 0.0:
                raise ConfigError(name, str(value), "choose a positive number")
        camera = self.instrument
        self.camera = Camera(
            pixel_scale=camera.pixel_scale,
            bands=tuple(self.filters),
            ccd=np.ones(1, np.int16),
            gain=np.array([camera.gain], np.float32),
            read_noise=np.array([camera.read_noise], np.float32),
            saturation=np.array([camera.saturation], np.float32),
        )

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name in self.__dataclass_fields__ or name == "camera"}

    @cached_property
    def instrument(self) -> Instrument:
        """Camera and table, with the options that are given.

        Raises
        ------
        ConfigError
            For an unknown table, and for a dotted name without a camera.
        """
        options = {name: getattr(self, name) for name in ("gain", "read_noise", "saturation", "pixel_scale", "latitude", "longitude")}
        given = {name: value for name, value in options.items() if value is not None}
        if self.table in INSTRUMENTS:
            return replace(INSTRUMENTS[self.table], **given)
        if "." not in self.table:
            raise ConfigError("table", repr(self.table), f"choose one of {', '.join(INSTRUMENTS)}, or the dotted name of an ObsTable")
        missing = [name for name in ("gain", "read_noise", "saturation", "pixel_scale") if name not in given]
        if missing:
            raise ConfigError(f"table {self.table!r}", f"its camera is unknown: no {', '.join(missing)}", "give them as options")
        return Instrument(self.table, **given)

    @cached_property
    def visits(self) -> tables.Visits:
        """The table.

        Raises
        ------
        ConfigError, DataError
            If no file is named, and as `tables.read`.
        """
        if self.file is None:
            raise ConfigError("survey 'lightcurvelynx': file", "null", "name a table of visits: survey.file=PATH")
        return tables.read(self.table, self.file, self.query, tuple(self.packages), self.instrument)

    @cached_property
    def _used(self) -> NDArray[np.bool_]:
        """Rows that count, (rows,)."""
        visits = self.visits
        columns = visits.columns
        used = visits.usable & np.isin(columns["band"], self.filters)
        used &= (columns["mjd"] >= (-np.inf if self.mjd_min is None else self.mjd_min)) & (
            columns["mjd"] <= (np.inf if self.mjd_max is None else self.mjd_max)
        )
        if self.max_seeing is not None:
            used &= columns["seeing"] <= self.max_seeing
        if not used.any():
            have = ", ".join(sorted({str(band) for band in columns["band"]}))
            mjd = columns["mjd"][visits.usable]
            found = f"no visit in {', '.join(self.filters)} between the dates and below the seeing asked for"
            raise ConfigError(f"survey.file {self.file!r}", found, f"it has {have}, MJD {mjd.min():.1f} to {mjd.max():.1f}")
        return np.asarray(used, np.bool_)

    def sample(self, n: int, seeds: Seeds) -> Exposures:
        """Exposures of n positions (see `Survey.sample`).

        Raises
        ------
        ConfigError, DataError
            See `visits`; also if no visit fits the options.
        SimulationError
            If positions with `min_visits` are too rare.
        """
        rng, used, coverage = seeds.rng("lightcurvelynx"), self._used, self._coverage
        found: list[tuple[int, NDArray[np.intp]]] = []
        tried = 0
        for _ in range(ROUNDS):
            place = coverage.propose(max(4 * n, 256), rng)
            tried += len(place)
            field = coverage.nearest(place)
            rows = self._covering(*degrees(place), used)
            found += [(int(cell), here) for cell, here in zip(field, rows, strict=True) if len(here) >= self.min_visits]
            if len(found) >= n:
                return self._exposures(found[:n])
        said = f"{len(found)} of {tried} positions have {self.min_visits} visits"
        raise SimulationError(f"survey 'lightcurvelynx': {n} positions", said, "lower survey.min_visits or widen the dates and filters")

    @cached_property
    def _coverage(self) -> Coverage:
        """The area that the visits cover."""
        visits, radius = self.visits, self.radius if self.radius is not None else self.visits.table.radius
        if radius is None:
            raise ConfigError("survey.radius", "null", "this table knows no field of view: give its radius in degrees")
        return Coverage(visits.columns["ra"][self._used], visits.columns["dec"][self._used], float(radius))

    def _covering(self, ra: Array, dec: Array, used: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
        """Rows of the visits that cover each position, in order of time; of visits at one time the first."""
        mjd = self.visits.columns["mjd"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # LightCurveLynx warns of radii smaller than its own
            covering = self.visits.table.range_search(ra, dec, radius=self.radius)
        out = []
        for found in covering:
            rows = np.sort(np.asarray(found, np.intp))
            rows = rows[used[rows]]
            out.append(rows[np.unique(mjd[rows], return_index=True)[1]])
        return out

    def _exposures(self, found: list[tuple[int, NDArray[np.intp]]]) -> Exposures:
        length = np.array([len(rows) for _, rows in found])
        mask = np.arange(length.max()) < length[:, None]
        index = np.stack([np.pad(rows, (0, length.max() - len(rows)), mode="edge") for _, rows in found])
        columns = {name: column[index] for name, column in self.visits.columns.items() if name not in ("band", "ra", "dec")}
        names = self.visits.columns["band"][index]
        band = np.argmax(names[..., None] == np.array(self.filters), axis=-1)
        return Exposures(
            bands=self.bands,
            mask=mask,
            band=band,
            exposure_id=index,
            field=np.broadcast_to(np.array([[row] for row, _ in found]), mask.shape),
            ccd=np.ones(mask.shape, np.int16),
            gain=np.full(mask.shape, self.instrument.gain),
            read_noise=np.full(mask.shape, self.instrument.read_noise),
            saturation=np.full(mask.shape, self.instrument.saturation),
            **columns,
        )
