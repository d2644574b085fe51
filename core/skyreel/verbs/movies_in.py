"""Where a verb's movies come from: a folder of shards (`input`), a named data set (`dataset`) or the simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.datasets import Dataset, load_dataset
from skyreel.errors import ConfigError
from skyreel.interfaces import MovieStore
from skyreel.movie_files import MovieFolder
from skyreel.verbs.subset import known_of


def movies_in(config: Any) -> Dataset | MovieFolder:
    """The movies that `input` or `dataset` names.

    Raises
    ------
    ConfigError
        If neither or both are given.
    """
    name = config.dataset.name if config.get("dataset") else None
    named = name not in (None, "none")
    if named == bool(config.input):
        found = "both input and dataset" if named else "neither input nor dataset"
        raise ConfigError("movies to read", found, "give input=FOLDER or dataset=hits2015a")
    if config.input:
        return MovieFolder(Path(str(config.input)))
    return load_dataset(**{str(key): value for key, value in config.dataset.items()})


@dataclass(frozen=True)
class ScoredMovies:
    """Movies whose labels a model knows.

    Attributes
    ----------
    store : MovieStore
        n movies.
    name : str
        The data set's, or the folder.
    group : str (n,), or None
        Physical object of each movie; None: every movie is one.
    bright : bool (n,), or None
        The data set's subset of bright objects; None: it has none.
    counts : dict
        A data set's tally of objects kept and left out; empty for a folder.
    strange : dict of str -> int
        Labels that the model does not know -> movies, which are left out.
    """

    store: MovieStore
    name: str
    group: NDArray[np.str_] | None
    bright: NDArray[np.bool_] | None
    counts: dict[str, Any]
    strange: dict[str, int]


def scored_movies(found: Dataset | MovieFolder, classes: Sequence[str]) -> ScoredMovies:
    """The movies that a model with these classes can be scored on.

    Raises
    ------
    DataError
        If the model knows no label.
    """
    store: MovieStore = found if isinstance(found, MovieFolder) else found.movies
    kept, strange = known_of(store, classes)
    if isinstance(found, MovieFolder):
        return ScoredMovies(kept, str(found.path), None, None, {}, strange)
    rows = np.isin(store.label, list(classes))
    bright = found.columns.get("bright")
    return ScoredMovies(kept, found.name, found.group[rows], None if bright is None else bright[rows], found.counts, strange)
