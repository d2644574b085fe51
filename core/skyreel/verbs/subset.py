"""Some movies of a store, as a store of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.interfaces import MovieStore
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

    def take(self, objects: Any) -> Movies:
        """The movies with these indices, in this order."""
        return self.store.take(self.rows[objects])
