"""Random positions on the area that a table of visits covers, uniform in area."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.interfaces import Array

STEP = 0.5
"""Spacing of the cells in units of the field's radius."""


@dataclass(frozen=True)
class Coverage:
    """Discs on the sky, merged to cells so that a field visited a thousand times counts once.

    Parameters
    ----------
    ra, dec : (R,) deg
        Pointings.
    radius : float, deg
        Of the field of view.
    """

    ra: Array
    dec: Array
    radius: float

    @cached_property
    def cells(self) -> Array:
        """Unit vectors of the cells that hold a pointing, (C, 3)."""
        step = STEP * self.radius
        row = np.round(self.dec / step).astype(np.int64)
        columns = np.maximum(1, np.round(360.0 * np.cos(np.radians(np.clip(row * step, -90.0, 90.0))) / step)).astype(np.int64)
        column = np.round((self.ra % 360.0) / 360.0 * columns).astype(np.int64) % columns
        (unique_row, unique_column), first = np.unique(np.stack([row, column]), axis=1, return_index=True)
        return unit(360.0 * unique_column / columns[first], np.clip(unique_row * step, -90.0, 90.0))

    @cached_property
    def reach(self) -> float:
        """Radius [deg] within which a cell holds every place that one of its pointings sees."""
        return self.radius * (1.0 + 0.75 * STEP)

    @cached_property
    def tree(self) -> Any:
        """Tree of the cells."""
        from scipy.spatial import KDTree

        return KDTree(self.cells)

    def propose(self, n: int, rng: np.random.Generator) -> Array:
        """At most n unit vectors (m, 3), uniform over the union of the cells' discs."""
        centre = self.cells[rng.integers(0, len(self.cells), n)]
        cosine = 1.0 - rng.random(n) * (1.0 - np.cos(np.radians(self.reach)))
        angle = 2.0 * np.pi * rng.random(n)
        helper = np.where(np.abs(centre[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
        east = np.cross(helper, centre)
        east /= np.linalg.norm(east, axis=1, keepdims=True)
        north = np.cross(centre, east)
        aside = np.cos(angle)[:, None] * east + np.sin(angle)[:, None] * north
        place = cosine[:, None] * centre + np.sqrt(1.0 - cosine**2)[:, None] * aside
        chord = 2.0 * np.sin(np.radians(self.reach) / 2.0)
        covers = self.tree.query_ball_point(place, chord * (1.0 + 1e-12), return_length=True)
        return np.asarray(place[rng.random(n) * covers < 1.0])  # a place under k discs is proposed k times as often

    def nearest(self, place: Array) -> NDArray[np.int64]:
        """Number of the cell nearest to each unit vector (n, 3)."""
        return np.asarray(self.tree.query(place)[1], np.int64)


def unit(ra: Array, dec: Array) -> Array:
    """Unit vectors (n, 3) of positions [deg]."""
    a, d = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)


def degrees(place: Array) -> tuple[Array, Array]:
    """Right ascension and declination [deg] of unit vectors (n, 3)."""
    return np.degrees(np.arctan2(place[:, 1], place[:, 0])) % 360.0, np.degrees(np.arcsin(np.clip(place[:, 2], -1.0, 1.0)))
