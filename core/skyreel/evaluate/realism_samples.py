"""The real objects that simulated ones are held against, and the stars of other fields that their PSF may be measured on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from skyreel.datasets import Dataset
from skyreel.errors import DataError
from skyreel.evaluate.realism import whole_adu
from skyreel.exposures import Exposures
from skyreel.movies import Movies

CONSTANT = "non_variable"
"""Class of the stars that a PSF is measured on."""
LEAST_FRAMES = 3
FEW = 20
"""Fields with fewer constant stars are one fold: leaving out a star or two changes no library."""


@dataclass(frozen=True)
class RealObjects:
    """Real movies of one class.

    Attributes
    ----------
    movies : Movies
        Pixels in whole ADU; frames beyond the survey's seeing cut are masked.
    mag : float64 (n,)
        Mean magnitude; NaN where it is not known.
    conditions : Exposures
        What was reported about every usable exposure, those before the compared frames included.
    """

    movies: Movies
    mag: NDArray[np.float64]
    conditions: Exposures

    def __len__(self) -> int:
        return len(self.movies)


def real_objects(
    found: Dataset, label: str, max_seeing: float | None, *, objects: int = 0, with_mag: bool = True, before_alert: int | None = None
) -> RealObjects:
    """The objects of a class with three usable frames or more.

    Parameters
    ----------
    found : Dataset
    label : str
        Class.
    max_seeing : float or None, arcsec
        Frames with a larger reported seeing are not used.
    objects : int
        How many are kept, spread evenly over the data set; 0: all.
    with_mag : bool
        Leave out objects without a known magnitude.
    before_alert : int or None
        Frames before the one that lies so many frames before the first detection are not used, and objects without a
        detection are left out; None uses all.

    Raises
    ------
    DataError
        If there is none; the message counts what the data set holds.
    """
    mag = np.asarray(found.columns.get("mean_mag", np.full(len(found), np.nan)), np.float64)
    movies = found.movies
    usable = movies.frame_mask & movies.reported.mask
    if max_seeing is not None:
        usable &= movies.reported.seeing < max_seeing
    conditions = movies.reported.replace(mask=usable)
    chosen = movies.label == label
    if with_mag:
        chosen &= np.isfinite(mag)
    if before_alert is not None:
        chosen &= movies.first_detection >= 0
        usable = usable & (np.arange(usable.shape[1]) >= movies.first_detection[:, None] - before_alert)
    rows = np.flatnonzero(chosen & (usable.sum(axis=1) >= LEAST_FRAMES))
    if not len(rows):
        names, counts = np.unique(movies.label, return_counts=True)
        have = ", ".join(f"{count} {name}" for name, count in zip(names.tolist(), counts.tolist(), strict=True))
        wanted = " with a known magnitude" if with_mag else ""
        raise DataError(
            f"real movies of class {label!r}{wanted} and {LEAST_FRAMES} usable frames",
            f"none; {found.name} holds {have or 'no object'}",
            "choose realism.label among the classes it holds, or another dataset",
        )
    if 0 < objects < len(rows):
        rows = rows[np.linspace(0, len(rows) - 1, objects).round().astype(np.intp)]
    masked = replace(movies, frame_mask=usable, reported=movies.reported.replace(mask=usable), truth=None)
    return RealObjects(whole_adu(masked.take(rows)), mag[rows], conditions.take(rows))


def constant_stars(found: Dataset, max_seeing: float | None) -> Movies:
    """All constant stars of a data set, to measure a PSF on; none where it holds none."""
    try:
        return real_objects(found, CONSTANT, max_seeing, with_mag=False).movies
    except DataError:
        return found.movies.take(slice(0, 0))


def fields(movies: Movies) -> NDArray[np.int32]:
    """Field (n,) of each object: that of its first usable frame."""
    first = np.argmax(movies.frame_mask, axis=1)
    return np.asarray(movies.reported.field[np.arange(len(movies)), first], np.int32)


@dataclass(frozen=True)
class Fold:
    """Objects that are scored together, and the stars that their PSF may be measured on.

    Attributes
    ----------
    name : str
        The field that is left out, or 'small fields'.
    scored : int (k,)
        Rows of the real objects.
    library : int (m,)
        Rows of the constant stars, all of other fields.
    """

    name: str
    scored: NDArray[np.intp]
    library: NDArray[np.intp]


def field_folds(scored: Movies, stars: Movies, few: int = FEW) -> Iterator[Fold]:
    """Cross-fitting by field: every object with the stars of the fields that it does not lie in.

    Fields with fewer than `few` stars, those without any included, are left out together.

    Parameters
    ----------
    scored, stars : Movies
        Objects to simulate twins of, and constant stars.
    few : int
    """
    names, counts = np.unique(fields(stars), return_counts=True)
    large = names[counts >= few]
    fold_of_scored, fold_of_star = (np.where(np.isin(field, large), field, -1) for field in (fields(scored), fields(stars)))
    for fold in np.unique(fold_of_scored):
        library = np.flatnonzero(fold_of_star != fold)
        rows = np.flatnonzero(fold_of_scored == fold)
        both = np.intersect1d(scored.object_id[rows], stars.object_id[library])
        if len(both):  # one object under two fields
            library = library[~np.isin(stars.object_id[library], both)]
        yield Fold(f"field {fold}" if fold >= 0 else "small fields", rows, library)
