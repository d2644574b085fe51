"""Which objects make up each step's batch: functions of (seed, step) alone, so that a training can go on at any step."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import DataError
from skyreel.seeding import Seeds

CHUNKS_TOGETHER = 64
"""Record batches that objects are drawn from at a time, all classes together: 4,096 movies of a simulated set."""


class Order(Protocol):
    """Objects of a store, step by step."""

    @property
    def batch_size(self) -> int:
        """Objects of one step."""

    def rows(self, step: int) -> NDArray[np.intp]:
        """Objects (batch_size,) of one step."""


class Sampler:
    """Objects drawn without replacement: each class, or the whole set, is walked in a random order, drawn anew after each pass.

    Parameters
    ----------
    label : int (N,)
        Class of every object.
    batch_size : int
    seeds : Seeds
    balanced : bool
        True: classes take turns, so that all are equally frequent.
    chunk : int (N,), optional
        What lies together on disk (`MovieFolder.chunk`). The walk then takes a few chunks at a time, in random order, and the
        objects of those in random order: reading stays local and a set of any size is never held.

    Raises
    ------
    DataError
        Without objects.
    """

    def __init__(
        self, label: NDArray[np.int64], batch_size: int, seeds: Seeds, balanced: bool, chunk: NDArray[np.intp] | None = None
    ) -> None:
        if not len(label):
            raise DataError("training", "an empty set of movies", "simulate or read some first")
        self.groups = [np.flatnonzero(label == k) for k in np.unique(label)] if balanced else [np.arange(len(label))]
        self._chunk, self._together = chunk, max(CHUNKS_TOGETHER // len(self.groups), 2)
        self.batch_size, self.seeds = batch_size, seeds
        self._orders: dict[tuple[int, int], NDArray[np.intp]] = {}

    def rows(self, step: int) -> NDArray[np.intp]:
        """Objects (batch_size,) of one step."""
        draw = step * self.batch_size + np.arange(self.batch_size)
        group, rank = draw % len(self.groups), draw // len(self.groups)
        return np.array([self._object(int(g), int(k)) for g, k in zip(group, rank, strict=True)], np.intp)

    def _object(self, group: int, rank: int) -> int:
        tour, place = divmod(rank, len(self.groups[group]))
        order = self._orders.get((group, tour))
        if order is None:
            order = self._walk(group, tour)
            for key in [key for key in list(self._orders) if key[0] == group and key[1] < tour - 1]:
                self._orders.pop(key, None)  # the step before may still be walking the last tour, in another thread
            self._orders[group, tour] = order
        return int(order[place])

    def _walk(self, group: int, tour: int) -> NDArray[np.intp]:
        rng, objects = self.seeds.child(f"group-{group}/tour-{tour}").rng("order"), self.groups[group]
        if self._chunk is None:
            return rng.permutation(objects)
        chunks, number = np.unique(self._chunk[objects], return_inverse=True)
        window = rng.permutation(len(chunks))[number] // self._together
        return objects[np.lexsort((rng.random(len(objects)), window))]


class InTurn:
    """Objects of an endless feed in turn: none comes twice.

    Parameters
    ----------
    batch_size : int
    """

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size

    def rows(self, step: int) -> NDArray[np.intp]:
        """Objects (batch_size,) of one step."""
        return np.arange(step * self.batch_size, (step + 1) * self.batch_size)
