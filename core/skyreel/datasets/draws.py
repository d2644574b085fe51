"""Random draws of a few labelled objects per class, with every movie of the same physical object on one side."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import ConfigError, DataError
from skyreel.movies import UNLABELLED


class Draw(NamedTuple):
    """One draw.

    Attributes
    ----------
    chosen : bool (n,)
        One movie of each chosen object.
    rest : bool (n,)
        Movies of all objects that were not chosen. Further movies of a chosen object are in neither.
    """

    chosen: NDArray[np.bool_]
    rest: NDArray[np.bool_]


def draw(
    label: NDArray[np.str_],
    group: NDArray[np.str_],
    per_class: int,
    seed: int,
    classes: Sequence[str] | None = None,
    *,
    object_id: NDArray[np.str_] | None = None,
    index: int = 0,
) -> Draw:
    """Picks `per_class` different objects of each class at random.

    The groups of a class are ranked by a hash of (seed, index, class, group) and the first ones are taken. A draw
    therefore depends on neither the order of the movies nor the other classes, a smaller draw of the same seed is
    part of a larger one, and an object that another cut leaves out exchanges itself alone.

    Parameters
    ----------
    label : str (n,)
        Class of each movie.
    group : str (n,)
        Physical object of each movie, as `Dataset.group`.
    per_class : int
        Objects of each class, at least 1.
    seed : int
    classes : sequence of str or None
        Classes to draw from; None means every label that occurs. Movies of other labels belong to `rest`.
    object_id : str (n,) or None
        Which movie of a chosen group is used: that with the first name in alphabetical order, the group's first in
        the order given without names.
    index : int
        Number of the draw: draws of different numbers are independent.

    Returns
    -------
    Draw
        ``(chosen, rest)``.

    Raises
    ------
    ConfigError
        If `per_class` is smaller than 1.
    DataError
        If a class has fewer than `per_class` objects, a group has two labels, or lengths differ.
    """
    if per_class < 1:
        raise ConfigError("per_class", str(per_class), "draw at least 1 object of each class")
    names = np.arange(len(label)) if object_id is None else np.asarray(object_id)
    if not len(label) == len(group) == len(names):
        raise DataError("drawing objects", f"{len(label)} labels, {len(group)} groups, {len(names)} names", "give one of each per movie")
    order = np.argsort(names, kind="stable")
    groups, first, member = np.unique(np.asarray(group)[order], return_index=True, return_inverse=True)
    movie = order[first]  # one movie of each group
    _check_one_label(label[order], label[movie], member, groups)
    wanted = sorted(set(label.tolist()) - {UNLABELLED}) if classes is None else classes
    taken = np.zeros(len(groups), np.bool_)
    for name in wanted:
        candidates = np.flatnonzero(label[movie] == name)
        if len(candidates) < per_class:
            raise DataError(
                f"drawing {per_class} objects of class {name!r}",
                f"there are {len(candidates)}",
                "ask for fewer per class, leave the class out or bring more labelled objects",
            )
        rank = np.argsort([_key(seed, index, name, str(groups[k])) for k in candidates])
        taken[candidates[rank[:per_class]]] = True
    chosen, rest = np.zeros((2, len(label)), np.bool_)
    chosen[movie[taken]] = True
    rest[order] = ~taken[member]
    return Draw(chosen, rest)


def draws(
    label: NDArray[np.str_],
    group: NDArray[np.str_],
    per_class: int,
    n_draws: int,
    seed: int,
    classes: Sequence[str] | None = None,
    *,
    object_id: NDArray[np.str_] | None = None,
) -> list[Draw]:
    """Independent draws number 0 to ``n_draws - 1``, each as `draw` makes it.

    Raises
    ------
    ConfigError
        If `n_draws` is smaller than 1; and as `draw`.
    DataError
        As `draw`.
    """
    if n_draws < 1:
        raise ConfigError("draws", str(n_draws), "ask for at least 1")
    return [draw(label, group, per_class, seed, classes, object_id=object_id, index=k) for k in range(n_draws)]


def _key(*parts: object) -> bytes:
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()


def _check_one_label(label: NDArray[np.str_], of_group: NDArray[np.str_], member: NDArray[np.intp], groups: NDArray[np.str_]) -> None:
    other = label != of_group[member]
    if other.any():
        place = int(np.argmax(other))
        name = str(groups[member[place]])
        found = f"labels {str(of_group[member[place]])!r} and {str(label[place])!r}"
        raise DataError(f"drawing objects: group {name!r}", found, "give the movies of one object one label")
