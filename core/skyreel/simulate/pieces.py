"""Cutting a set of movies into pieces of work that any worker can do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from skyreel.errors import ConfigError
from skyreel.movies import Movies
from skyreel.seeding import BLOCK
from skyreel.simulate.chain import Simulation


@dataclass(frozen=True)
class Piece:
    """A run of blocks of one class: the unit handed to a worker."""

    split: str
    label: str
    first_block: int
    n_objects: int

    @property
    def name(self) -> str:
        """File name of the shard."""
        return f"{self.split}-{self.label}-{self.first_block:05d}.arrow"


def pieces(split: str, labels: Sequence[str], n_objects: int, blocks: int) -> list[Piece]:
    """Cuts `n_objects` per class into runs of `blocks` blocks."""
    if n_objects < 1:
        raise ConfigError("n_objects", str(n_objects), "ask for at least one object per class")
    step = blocks * BLOCK
    return [Piece(split, label, start // BLOCK, min(step, n_objects - start)) for label in labels for start in range(0, n_objects, step)]


def movies_of(piece: Piece, simulation: Simulation) -> Iterator[Movies]:
    """The movies of a piece, block by block."""
    for k, start in enumerate(range(0, piece.n_objects, BLOCK)):
        movies = simulation.block(piece.split, piece.label, piece.first_block + k)
        yield movies.take(slice(0, min(BLOCK, piece.n_objects - start)))
