"""Movies as one row per frame: the columns that all export formats share, under the names that the importer knows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import DataError
from skyreel.exposures import DTYPES, UNITS
from skyreel.interfaces import MovieStore
from skyreel.movie_files import MovieFolder
from skyreel.movies import Movies

BATCH = 256
"""Movies in memory at once."""
FRAME_UNITS = {**UNITS, "true_flux": "adu", "true_x": "pix", "true_y": "pix"}


def kept_frames(movies: Movies) -> NDArray[np.bool_]:
    """True (n, T) up to the last exposure of each object that exists, as movies are stored."""
    mask = movies.reported.mask
    lengths = np.where(mask.any(axis=1), mask.shape[1] - np.argmax(mask[:, ::-1], axis=1), 0)
    return np.asarray(np.arange(mask.shape[1]) < lengths[:, None])


def frame_rows(movies: Movies, keep: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    """Columns of m rows, one per frame of `keep` (n, T), in the units of `FRAME_UNITS`.

    ``object_id, label, first_detection`` and parameters of simulated objects (``param_...``) are those of the frame's movie; ``frame``
    is its place (0-based); ``exists`` and ``usable`` are `Exposures.mask` and `Movies.frame_mask`. Simulated movies also
    have ``true_flux``, ``true_x`` and ``true_y``.
    """
    owner, epoch = np.nonzero(keep)
    exists = movies.reported.mask[keep]
    columns: dict[str, NDArray[Any]] = {
        "object_id": movies.object_id[owner],
        "label": movies.label[owner],
        "first_detection": movies.first_detection[owner],
        "frame": epoch.astype(np.int32),
        "exists": exists,
        "usable": movies.frame_mask[keep],
    }
    columns |= {name: getattr(movies.reported, name)[keep] for name in DTYPES if name != "mask"}
    bands = np.array([*movies.reported.bands, ""])
    columns["band"] = bands[np.where(exists, columns["band"], len(bands) - 1)]
    if movies.truth is not None:
        columns["true_flux"] = movies.truth.flux[keep]
        columns |= {f"true_{axis}": movies.truth.centre[..., k][keep] for k, axis in enumerate("xy")}
        columns |= {f"param_{name}": np.asarray(column, np.float64)[owner] for name, column in sorted(movies.truth.params.items())}
    return columns


def batches(store: MovieStore) -> Iterator[Movies]:
    """All movies, some at a time, with one type of pixels.

    Raises
    ------
    DataError
        If two movies have the same name: their frames could not be told apart.
    """
    names = getattr(store, "object_id", None)
    if names is not None:
        unique, count = np.unique(names, return_counts=True)
        if (count > 1).any():
            raise DataError(
                "export", f"{int((count > 1).sum())} names of objects occur twice, first {unique[count > 1][0]!s}", "rename them"
            )
    kind = pixel_type(store)
    for start in range(0, len(store), BATCH):
        movies = store.take(np.arange(start, min(start + BATCH, len(store))))
        if movies.pixels.dtype != kind:
            movies = Movies(
                movies.pixels.astype(kind),
                movies.pixel_mask,
                movies.frame_mask,
                movies.reported,
                movies.label,
                movies.object_id,
                movies.first_detection,
                movies.truth,
            )
        yield movies


def pixel_type(store: MovieStore) -> np.dtype[Any]:
    """A type that holds the pixels of all movies."""
    parts = [file.take(np.array([0])) for file in store.files if len(file)] if isinstance(store, MovieFolder) else [store.take(slice(0, 1))]
    return np.result_type(*[part.pixels.dtype for part in parts])
