"""What a named data set hands over, and where it is looked for."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import DatasetError
from skyreel.movies import Movies

DATA_VARIABLE = "SKYREEL_TEST_DATA"
"""Environment variable that names the folder which holds the data sets' folders."""


@dataclass(frozen=True)
class Dataset:
    """Real movies and the tally of what was left out.

    Attributes
    ----------
    movies : Movies
        The n usable objects.
    group : str (n,)
        Name of the physical object: movies of the same object under two names share it, so that they can be kept
        on one side of a split.
    left_out : dict of str -> str
        Object name -> the first rule that it broke.
    counts : dict
        JSON-ready tally: ``objects`` and ``kept`` (class -> number), ``left_out`` and ``masked_frames`` (class ->
        reason -> number; frames of all objects that were read), ``flagged_pixels`` (kind -> number).
    name : str
        Name of the data set.
    path : Path
        Folder it was read from.
    columns : dict of str -> (n,) array
        What else is known about each object. HiTS: `bright` (bool; False for the supernovae that the paper's authors left
        out as faint, True for all other objects), `peak_snr` (largest difference flux over its error of a supernova,
        NaN for others), `mean_mag` (the authors' mean magnitude of a star, NaN for supernovae and where it is not
        known), `ccd_x`, `ccd_y` (position on the chip [px], NaN where it is not known).
    """

    movies: Movies
    group: NDArray[np.str_]
    left_out: dict[str, str]
    counts: dict[str, Any]
    name: str
    path: Path
    columns: dict[str, NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.movies)

    @property
    def bands(self) -> tuple[str, ...]:
        """Filters that `movies.reported.band` indexes."""
        return self.movies.reported.bands

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels that occur, in the order of the tally."""
        return tuple(name for name, count in self.counts["kept"].items() if count)


def locate(name: str, path: str | Path | None = None) -> Path:
    """The folder of a data set.

    Parameters
    ----------
    name : str
        Name of the data set, also the name of its folder.
    path : str, Path or None
        The folder; None looks in ``$SKYREEL_TEST_DATA/NAME``, then in ``../shared/data/NAME`` beside the current folder
        and beside the checkout.

    Raises
    ------
    DatasetError
        If there is no such folder; the message lists the places.
    """
    places = [Path(path).expanduser()] if path is not None else _default_places(name)
    for place in places:
        if place.is_dir():
            return place
    raise DatasetError(
        f"data set {name!r}",
        f"no folder {' or '.join(str(place) for place in places)}",
        f"hand in path=FOLDER (dataset.path=FOLDER on the command line) or set {DATA_VARIABLE} to the folder above it",
    )


def _default_places(name: str) -> list[Path]:
    places = [Path(os.environ[DATA_VARIABLE]).expanduser() / name] if os.environ.get(DATA_VARIABLE) else []
    checkout = Path(__file__).resolve().parents[3]
    for start in (Path.cwd(), checkout):
        place = start.parent / "shared" / "data" / name
        if place not in places:
            places.append(place)
    return places
