"""Some movies of a store, as a store of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import DataError
from skyreel.interfaces import MovieStore
from skyreel.movie_files import MovieFolder
from skyreel.movies import Movies


@dataclass(frozen=True)
class Subset:
    """The movies `rows` of `store`, in that order."""

    store: MovieStore
    rows: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def label(self) -> NDArray[np.str_]:
        """Class of every movie."""
        return self.store.label[self.rows]

    @property
    def object_id(self) -> NDArray[np.str_]:
        """Name of every movie, if the store knows them without reading the movies (else AttributeError)."""
        return np.asarray(self.store.object_id[self.rows])  # type: ignore[attr-defined]

    @property
    def chunk(self) -> NDArray[np.intp] | None:
        """Which movies lie together on disk (see `MovieFolder.chunk`); None for a store that does not say."""
        chunk = getattr(self.store, "chunk", None)
        return None if chunk is None else np.asarray(chunk[self.rows])

    def take(self, objects: Any) -> Movies:
        """The movies with these indices, in this order."""
        return self.store.take(self.rows[objects])


def without_truth(store: MovieStore) -> MovieStore:
    """The same movies for a reader that needs no truth: faster from a folder, unchanged from elsewhere."""
    if isinstance(store, Subset) and isinstance(store.store, MovieFolder):
        return Subset(store.store.without_truth(), store.rows)
    return store


def known_of(store: MovieStore, classes: Sequence[str]) -> tuple[MovieStore, dict[str, int]]:
    """The movies whose label is one of `classes`, and how many of each other label are left out.

    Raises
    ------
    DataError
        If none is left.
    """
    label = np.asarray(store.label)
    known = np.isin(label, list(classes))
    strange = {str(name): int((label == name).sum()) for name in np.unique(label[~known])}
    if not known.any():
        raise DataError("scoring", f"labels {', '.join(map(repr, strange))}", f"this model knows {', '.join(classes)}")
    return (store if known.all() else Subset(store, np.flatnonzero(known))), strange


def some_of(store: MovieStore, number: int, seed: int) -> Subset:
    """`number` movies of a store, or all, chosen at random by the seed and kept in the store's order."""
    return Subset(store, np.sort(np.random.default_rng(seed).permutation(len(store))[:number]))


def first_of_each(store: MovieStore, classes: Sequence[str], number: int) -> Subset:
    """The first `number` movies of each of `classes`, in the store's order; fewer where a class has fewer."""
    label = np.asarray(store.label)
    rows = [np.flatnonzero(label == name)[:number] for name in classes]
    return Subset(store, np.sort(np.concatenate([np.zeros(0, np.intp), *rows])))


def split_folder(folder: MovieFolder, seed: int) -> tuple[Subset, Subset, Subset]:
    """80 / 10 / 10 % of the movies of a folder for training, validation and scores, by a permutation that the seed fixes.

    Raises
    ------
    DataError
        For fewer than 10 movies.
    """
    if len(folder) < 10:
        raise DataError(f"input={folder.path}", f"{len(folder)} movies", "training asks for at least 10")
    order = np.random.default_rng(seed).permutation(len(folder))
    held = len(folder) // 10
    return Subset(folder, order[2 * held :]), Subset(folder, order[:held]), Subset(folder, order[held : 2 * held])
