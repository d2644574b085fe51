"""The table a forest is trained on, its score on held-out movies, and the grid over trees and depth."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from skyreel.errors import DataError, Interrupted
from skyreel.interfaces import MovieStore
from skyreel.task_inputs import class_index
from skyreel_forest.growing import Growth, grow
from skyreel_forest.track import Track
from skyreel_forest.trees import Trees

BATCH = 256
"""Movies read at once."""
SMALLEST = 1e-3
"""Probabilities below it count as it in the log loss: trees give exact zeros."""


@dataclass(frozen=True)
class Table:
    """Rows of features with labels.

    Attributes
    ----------
    rows : float32 (m, F)
    label : int64 (m,)
    last : bool (m,)
        Whether the row was computed from all images of its movie.
    """

    rows: NDArray[np.float32]
    label: NDArray[np.int64]
    last: NDArray[np.bool_]

    def repeated(self, copies: int) -> Table:
        """Every row `copies` times."""
        return Table(np.repeat(self.rows, copies, axis=0), np.repeat(self.label, copies), np.repeat(self.last, copies))

    @staticmethod
    def joined(parts: Sequence[Table]) -> Table:
        """Several tables as one."""
        return Table(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("rows", "label", "last")))


def table(
    store: MovieStore,
    classes: Sequence[str],
    read: Callable[[Any], tuple[NDArray[np.str_], Track]],
    features: Callable[[Track, NDArray[np.intp], NDArray[np.intp]], NDArray[np.float32]],
    *,
    lengths: int,
    threads: int,
    tick: Callable[[int], None],
) -> Table:
    """Features of the movies of a store after all of their images and after fewer.

    Rows are in the order of the objects' names, and lengths depend on the name alone: neither a seed nor the order of
    the store changes anything.

    Parameters
    ----------
    store : MovieStore
    classes : sequence of str
    read : callable
        Indices -> names (n,) and track of the movies' training windows.
    features : callable
        Track, rows and numbers of images -> feature rows.
    lengths : int
        Shorter lengths drawn for every movie, uniform from 1 to all of its images.
    threads : int
    tick : callable
        Called with the number of movies finished since the last call.

    Raises
    ------
    DataError
        For a label that is no class, and without movies.
    """
    if not len(store):
        raise DataError("training", "an empty set of movies", "simulate or read some first")
    label = class_index(np.asarray(store.label), classes)

    def part(start: int) -> tuple[NDArray[np.str_], Table]:
        index = np.arange(start, min(start + BATCH, len(store)))
        names, track = read(index)
        number = np.column_stack([track.count, _lengths(names, track.count, lengths)])
        row = np.repeat(np.arange(len(index)), lengths + 1)
        rows = features(track, row.astype(np.intp), number.ravel().astype(np.intp))
        last = np.tile(np.arange(lengths + 1) == 0, len(index))
        tick(len(index))
        return names, Table(rows, label[index][row], last)

    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(part, range(0, len(store), BATCH)))
    names = np.concatenate([name for name, _ in parts])
    order = np.argsort(names, kind="stable")[:, None] * (lengths + 1) + np.arange(lengths + 1)
    whole = Table.joined([item for _, item in parts])
    return Table(whole.rows[order.ravel()], whole.label[order.ravel()], whole.last[order.ravel()])


def _lengths(names: NDArray[np.str_], count: NDArray[np.int64], lengths: int) -> NDArray[np.int64]:
    """Numbers of images (n, lengths), uniform from 1 to `count`: a hash of the name, so that no seed enters the table."""
    digests = [hashlib.sha256(f"{k}/{name}".encode()).digest()[:6] for name in names.tolist() for k in range(lengths)]
    share = np.array([int.from_bytes(digest, "little") for digest in digests], np.float64).reshape(len(names), lengths) / 2**48
    return np.asarray(1 + (share * count[:, None]).astype(np.int64))


def remembered(store: MovieStore, key: str, make: Callable[[], Table]) -> Table:
    """``make()``, or what it gave for the same store and key the last time: every draw of a fine-tuning replays the same movies."""
    for known, text, made in _REMEMBERED:
        if known() is store and text == key:
            return made
    made = make()
    _REMEMBERED[:] = [(weakref.ref(store), key, made)]
    return made


_REMEMBERED: list[tuple[weakref.ref[Any], str, Table]] = []


def loss_and_accuracy(trees: Trees, valid: Table) -> dict[str, float]:
    """Log loss over all rows, and loss and accuracy after all images."""
    probabilities = trees.probabilities(valid.rows)
    right = probabilities[np.arange(len(valid.label)), valid.label]
    loss = -np.log(np.maximum(right, SMALLEST))
    correct = probabilities.argmax(axis=1) == valid.label
    return {
        "valid_loss": float(loss[valid.last].mean()),
        "valid_accuracy": float(correct[valid.last].mean()),
        "valid_loss_all_lengths": float(loss.mean()),
    }


@dataclass(frozen=True)
class Grown:
    """Trees, what they were grown with, what each feature contributed, and how they did on held-out movies."""

    trees: Trees
    growth: Growth
    importance: NDArray[np.float64]
    scores: dict[str, float]


def best_of_grid(
    train: Table, valid: Table, n_classes: int, growth: Growth, numbers: Sequence[int], depths: Sequence[int], seed: int
) -> tuple[Grown, list[dict[str, Any]]]:
    """The best of all combinations of numbers of trees and depths: lowest log loss on held-out movies, over all lengths.

    The first trees of a larger forest are those of a smaller one, so each depth is grown once.

    Returns
    -------
    best : Grown
    tried : list of dict
        n_estimators, max_depth and scores of every combination.
    """
    found: list[Grown] = []
    for depth in depths:
        largest = replace(growth, max_depth=depth, n_estimators=max(numbers))
        trees, importance = grow(train.rows, train.label, n_classes, largest, seed)
        per_round = len(trees.root) // largest.n_estimators
        for number in numbers:
            chosen = trees.first(number * per_round)
            found.append(Grown(chosen, replace(largest, n_estimators=number), importance, loss_and_accuracy(chosen, valid)))
    best = min(found, key=lambda item: item.scores["valid_loss_all_lengths"])
    tried = [{"n_estimators": item.growth.n_estimators, "max_depth": item.growth.max_depth, **item.scores} for item in found]
    return best, tried


@contextmanager
def progress(text: str, total: int, shown: bool) -> Iterator[Callable[[int], None]]:
    """A progress bar over `total` movies; yields the function that advances it. Elsewhere than in a terminal, one line."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns)
    bar.disable = not (shown and bar.console.is_terminal)
    if shown and not bar.console.is_terminal:
        bar.console.print(f"{text}: {total} movies")
    with bar:
        task = bar.add_task(text, total=total)
        yield lambda n: bar.advance(task, n)


@contextmanager
def interruptible(what: str) -> Iterator[None]:
    """Turns Ctrl-C into `Interrupted`. Nothing is kept: a forest takes minutes, and the same seed gives the same one."""
    try:
        yield
    except KeyboardInterrupt as err:
        raise Interrupted(what, "stopped before the trees were grown", "start it again: it begins anew") from err


def figures(grown: Grown, rows: int, seconds: float) -> Mapping[str, Any]:
    """What a training reports."""
    return {
        "step": grown.growth.n_estimators,
        "seconds": round(seconds, 2),
        **grown.scores,
        "trees": len(grown.trees.root),
        "nodes": grown.trees.n_nodes,
        "max_depth": grown.growth.max_depth,
        "features": len(grown.importance),
        "rows": rows,
    }
