"""Real objects beside the gallery's: magnitudes, light curves, conditions, stars with simulated twins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyreel.datasets import Dataset
from skyreel.evaluate.exhibits_parts import Twins
from skyreel.evaluate.figures_stamps import counts_of
from skyreel.exposures import Exposures
from skyreel.interfaces import Array, class_order
from skyreel.light_curves import LightCurves, measure
from skyreel.movies import Movies
from skyreel.simulate.chain import Simulation
from skyreel.simulate.twins import twin

STAR = "non_variable"
"""Class of the twins."""
FEWEST = 5
"""Points that an object needs for a median magnitude."""


@dataclass(frozen=True)
class Real:
    """n measured real objects.

    Attributes
    ----------
    name : str
        Of the data set.
    movies : Movies
    curves : LightCurves
    mag : (n,), mag
        Median PSF magnitude in the band of most frames; NaN below five points.
    band : int
        That band, an index into ``movies.reported.bands``.
    """

    name: str
    movies: Movies
    curves: LightCurves
    mag: Array
    band: int

    @property
    def exposures(self) -> Exposures:
        """Reported conditions of the usable frames (n, T)."""
        return self.movies.reported.replace(mask=self.movies.reported.mask & self.movies.frame_mask)

    @property
    def labels(self) -> tuple[str, ...]:
        """Classes that occur, in the project's order."""
        return class_order(sorted({str(name) for name in self.movies.label if name}))

    def typical(self, label: str) -> int:
        """The object of a class with as many frames as half of them and the median of their magnitudes."""
        frames = self.exposures.mask.sum(axis=1)
        rows = np.flatnonzero((self.movies.label == label) & np.isfinite(self.mag))
        if not len(rows):
            return int(np.flatnonzero(self.movies.label == label)[0])
        rows = rows[frames[rows] >= np.median(frames[rows])]
        return int(rows[np.argsort(self.mag[rows], kind="stable")[len(rows) // 2]])


def measured(found: Dataset) -> Real:
    """Measures a data set."""
    movies = found.movies
    curves = measure(movies)
    mask = movies.frame_mask & movies.reported.mask
    band = int(np.bincount(movies.reported.band[mask], minlength=len(found.bands)).argmax())
    mags = np.where(curves.mask & (curves.band == band), curves.magnitudes()[0], np.nan)
    enough = np.isfinite(mags).sum(axis=1) >= FEWEST
    mag = np.full(len(movies), np.nan)
    mag[enough] = np.nanmedian(mags[enough], axis=1)
    return Real(found.name, movies, curves, mag, band)


def star_twins(real: Real, simulation: Simulation, number: int) -> Twins | None:
    """Stars at the middle of as many equal parts of their magnitudes, and a simulated star like each (appendix A of the paper).

    None where the data hold no star, the simulation no class `non_variable`, or where bands or stamps differ.
    """
    stars = np.flatnonzero((real.movies.label == STAR) & np.isfinite(real.mag))
    same = real.movies.reported.bands == tuple(simulation.survey.bands) and real.movies.stamp_size == simulation.stamp_size
    if not len(stars) or STAR not in simulation.sources or not same:
        return None
    order = stars[np.argsort(real.mag[stars], kind="stable")]
    rows = order[((np.arange(number) + 0.5) / number * len(order)).astype(np.intp)]
    conditions = real.exposures
    made = [twin(simulation, conditions.take([row]), STAR, float(real.mag[row]), name=str(real.movies.object_id[row])) for row in rows]
    return _paired(real.movies.take(rows), made, real.mag[rows])


def _paired(stars: Movies, made: list[Movies], mag: Array) -> Twins:
    """Their usable frames beside each other, moved to the front."""
    frames = [np.flatnonzero(stars.frame_mask[k] & stars.reported.mask[k]) for k in range(len(stars))]
    width, size = max(map(len, frames)), stars.stamp_size
    mjd = np.full((len(stars), width), np.nan)
    stamps = np.full((2, len(stars), width, size, size), np.nan, np.float32)
    for k, (kept, other) in enumerate(zip(frames, made, strict=True)):
        mjd[k, : len(kept)] = stars.reported.mid_mjd[k, kept]
        stamps[0, k, : len(kept)] = _less_sky(stars, k, kept)
        stamps[1, k, : len(kept)] = _less_sky(other, 0, np.arange(len(kept)))
    return Twins(stars.object_id, mag, mjd, stamps[0], stamps[1])


def _less_sky(movies: Movies, row: int, frames: NDArray[np.intp]) -> NDArray[np.float64]:
    return np.asarray(counts_of(movies, row, frames) - movies.reported.sky[row, frames, None, None])
