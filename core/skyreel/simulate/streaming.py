"""Movies simulated while a classifier trains on them: an endless set in which none comes twice."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import numpy as np

from skyreel.errors import SimulationError
from skyreel.movies import Movies
from skyreel.seeding import BLOCK
from skyreel.simulate.executors import executor, one_thread
from skyreel.simulate.setup import as_text, cached, simulation_config


def _block(text: str, split: str, label: str, number: int) -> Movies:
    """A block without its truth, which training does not read."""
    import torch

    threads = torch.get_num_threads()
    one_thread()
    try:
        return replace(cached(text).block(split, label, number), truth=None)
    finally:
        torch.set_num_threads(threads)  # in this process a network trains beside it


class MovieFeed:
    """Endless movies, classes in turn: movie k is number k // K of class k % K, a function of (seed, config, split, k) alone.

    Used as a context manager, which opens the executor. Blocks are simulated a little ahead of what was asked for last, so the
    movies should be taken roughly in order; in any other they are the same, but simulated again.

    Parameters
    ----------
    config : mapping
        A composed run config. ``simulation.device`` says where images are rendered.
    split : str
        Name of the set; sets of different names share no object. Movie 0 is the first of `simulate_movies` of that name.
    options : mapping, optional
        Config group `executor`; in this process by default.

    Attributes
    ----------
    classes : tuple of str
        The K classes, in the project's order.
    """

    def __init__(self, config: Any, split: str, options: Mapping[str, Any] | None = None) -> None:
        self._text, self._split = as_text(simulation_config(config)), split
        self._options = dict(options or {"name": "inprocess"})
        self.classes: tuple[str, ...] = tuple(cached(self._text).sources)
        self._pool: Executor | None = None
        self._stack = ExitStack()
        self._blocks: dict[tuple[str, int], Future[Movies]] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._pool = self._stack.enter_context(executor(self._options))
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None) -> bool | None:
        self._pool, self._blocks = None, {}
        return self._stack.__exit__(kind, err, trace)

    def take(self, objects: Any) -> Movies:
        """The movies with these numbers (int (n,)), in this order, without truth.

        Raises
        ------
        SimulationError
            Outside the ``with`` block.
        """
        number = np.asarray(objects, np.intp)
        label, rank = number % len(self.classes), number // len(self.classes)
        block = rank // BLOCK
        wanted = sorted({(int(k), int(b)) for k, b in zip(label, block, strict=True)})
        futures = self._submitted([(self.classes[k], b) for k, b in wanted])
        parts, places = [], []
        for (k, b), future in zip(wanted, futures, strict=True):
            here = np.flatnonzero((label == k) & (block == b))
            parts.append(future.result().take(rank[here] - b * BLOCK))
            places.append(here)
        return Movies.concatenate(parts).take(np.argsort(np.concatenate(places)))

    def _submitted(self, wanted: list[tuple[str, int]]) -> list[Future[Movies]]:
        """The futures of the wanted blocks; those that come next are started and those long gone forgotten."""
        with self._lock:
            if self._pool is None:
                raise SimulationError("movies from a feed", "it is not open", "use it as `with MovieFeed(...) as feed:`")
            found = [self._started(key) for key in wanted]
            for label, last in dict(wanted).items():
                for number in range(last + 1, last + 1 + self._ahead()):
                    self._started((label, number))
                # the step before may still be read in another thread
                for key in [key for key in self._blocks if key[0] == label and key[1] < last - 2]:
                    self._blocks.pop(key)
            return found

    def _started(self, key: tuple[str, int]) -> Future[Movies]:
        if key not in self._blocks:
            assert self._pool is not None
            self._blocks[key] = self._pool.submit(_block, self._text, self._split, *key)
        return self._blocks[key]

    def _ahead(self) -> int:
        """Blocks per class to start before they are asked for: enough for all workers to be busy."""
        if self._options.get("name") == "inprocess":
            return 0
        workers = int(self._options.get("workers") or 0) or os.cpu_count() or 1
        return 1 + workers // len(self.classes)


__all__ = ["MovieFeed"]
