"""Movies as a classifier's task wants them: checked, bands in its order, cut to what is trained on, labels as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import BandError, DataError
from skyreel.exposures import DTYPES, Exposures
from skyreel.interfaces import Task
from skyreel.movies import Movies
from skyreel.sequences import alert_window


def in_task_bands(exposures: Exposures, task: Task) -> Exposures:
    """The same exposures with `band` indexing the task's bands.

    Raises
    ------
    BandError
        For a band in use that the task does not hold.
    """
    if exposures.bands == task.bands:
        return exposures
    place = np.array([task.bands.index(band) if band in task.bands else -1 for band in exposures.bands])
    band = place[np.clip(exposures.band, 0, len(place) - 1)]
    strange = exposures.mask & (band < 0)
    if strange.any():
        names = sorted({exposures.bands[k] for k in np.unique(exposures.band[strange])})
        raise BandError("classifying", f"images in {', '.join(names)}", f"this model knows {', '.join(task.bands)}: mask those frames")
    columns = {name: getattr(exposures, name) for name in DTYPES}
    return Exposures(task.bands, **columns | {"band": np.where(exposures.mask, band, 0)})


def fitted(movies: Movies, task: Task) -> Movies:
    """The movies as the task wants them: frames that cannot be used masked, bands in the task's order, no truth.

    Raises
    ------
    DataError
        For stamps of another size or number of channels, empty sequences, unsorted MJD, values that are not finite in
        usable frames and pixels.
    BandError
        For a band in use that the task does not hold, or a band index outside the movies' bands.
    """
    wanted = (len(task.channels), task.stamp_size, task.stamp_size)
    if movies.pixels.shape[2:] != wanted:
        found = f"movies with (channels, height, width) {movies.pixels.shape[2:]}"
        raise DataError("classifying", found, f"this model asks for {wanted}: cut the stamps to {task.stamp_size} px")
    usable = movies.frame_mask & movies.reported.mask
    masked = replace(movies, frame_mask=usable, reported=movies.reported.replace(mask=usable), truth=None)
    masked.check("classifying")
    return replace(masked, reported=in_task_bands(masked.reported, task))


def training_window(movies: Movies, task: Task) -> Movies:
    """The frames that a classifier is trained on.

    Movies of at most ``max_images`` usable images are used whole (the simulation has chosen their dates), longer ones
    are cut to their alert window.
    """
    movies = fitted(movies, task)
    whole = movies.frame_mask.sum(axis=1) <= task.sequence.max_images
    first = np.where(whole, -1, movies.first_detection).astype(np.int32)
    return alert_window(replace(movies, first_detection=first), task.sequence)


def class_index(label: NDArray[np.str_], classes: Sequence[str]) -> NDArray[np.int64]:
    """Place of every label in `classes`.

    Raises
    ------
    DataError
        For a label that is none of them.
    """
    index = np.full(len(label), -1, np.int64)
    for k, name in enumerate(classes):
        index[label == name] = k
    if (index < 0).any():
        names = sorted(set(map(str, label[index < 0])))
        raise DataError("training", f"objects labelled {names}", f"the classes are {', '.join(classes)}: leave the others out")
    return index
