"""Simulates whole sets: from a composed config to movies in memory or to shards on disk, with any number of workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from skyreel.movies import Movies
from skyreel.simulate.executors import one_thread, run_pieces
from skyreel.simulate.pieces import Piece, movies_of, pieces
from skyreel.simulate.setup import as_text, build, cached, simulation_config, whole_number
from skyreel.simulate.to_disk import simulate_to

BLOCKS_PER_PIECE = 4
"""Blocks that a worker makes at once where the movies stay in memory."""


def _in_memory(text: str, piece: Piece) -> Movies:
    one_thread()
    return Movies.concatenate(list(movies_of(piece, cached(text))))


def simulate_movies(
    config: Any, split: str, n_objects: int, *, options: Mapping[str, Any] | None = None, tick: Callable[[int], None] | None = None
) -> Movies:
    """Simulates `n_objects` per class into memory.

    Parameters
    ----------
    config : mapping
        A composed run config (or the part `simulation_config` returns).
    split : str
        Name of the set; sets of different names share no object.
    n_objects : int
        Per class.
    options : mapping, optional
        Config group `executor` (see `ExecutorOptions`); in this process by default.
    tick : callable, optional
        Called with the number of objects finished since the last call.

    Returns
    -------
    Movies
        Class after class, in the project's order. The same bytes for any executor.
    """
    text = as_text(simulation_config(config))
    work = pieces(split, list(cached(text).sources), n_objects, BLOCKS_PER_PIECE)
    return Movies.concatenate(run_pieces(partial(_in_memory, text), work, options or {"name": "inprocess"}, tick))


__all__ = [
    "Piece",
    "build",
    "pieces",
    "simulate_movies",
    "simulate_to",
    "simulation_config",
    "whole_number",
]
