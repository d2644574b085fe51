"""What the network reads from movies: batches as tensors, the order of training objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skyreel.errors import DataError
from skyreel.interfaces import MovieStore, Task
from skyreel.movies import Movies
from skyreel.preprocessing import SequenceOptions
from skyreel.seeding import Seeds
from skyreel.sequences import Sequences, build_sequences
from skyreel.task_inputs import class_index, training_window


class Batch(NamedTuple):
    """Sequences of n objects as tensors: V valid steps of all objects together, S steps at most.

    Attributes
    ----------
    stacks : float32 (V, n_w, C, H, W)
    dt : float32 (V, n_w), d
    conditions : float32 (V, n_w, K)
    mask : bool (n, S)
        True for the valid steps, which lead every row.
    label : int64 (n,)
        Index of the class.
    """

    stacks: Tensor
    dt: Tensor
    conditions: Tensor
    mask: Tensor
    label: Tensor


def as_batch(sequences: Sequences, label: NDArray[np.int64]) -> Batch:
    """Valid steps of `sequences` as tensors."""
    kept = sequences.mask
    arrays = (sequences.stacks[kept], sequences.dt[kept], sequences.conditions[kept], kept, label)
    return Batch(*(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays))


def labelled(movies: Movies, task: Task) -> Batch:
    """Complete stacks of `training_window`, with labels: what the loss is computed on."""
    sequences = build_sequences(training_window(movies, task), task.sequence)
    return as_batch(sequences, class_index(movies.label, task.classes))


def joined(parts: Sequence[Batch]) -> Batch:
    """Several batches as one."""
    if len(parts) == 1:
        return parts[0]
    width = max(part.mask.shape[1] for part in parts)
    masks = [torch.nn.functional.pad(part.mask, (0, width - part.mask.shape[1])) for part in parts]
    columns = {name: torch.cat([getattr(part, name) for part in parts]) for name in Batch._fields if name != "mask"}
    return Batch(mask=torch.cat(masks), **columns)


def oriented(stacks: Tensor, element: Tensor) -> Tensor:
    """Every stack turned and mirrored by its element of the square's symmetry group D4.

    Parameters
    ----------
    stacks : (V, ..., H, H)
    element : int64 (V,)
        0..3: quarter turns; 4..7: the same, mirrored.
    """
    out = torch.empty_like(stacks)
    for k in range(8):
        rows = element == k
        turned = torch.rot90(stacks[rows], k % 4, (-2, -1))
        out[rows] = turned.flip(-1) if k >= 4 else turned
    return out


class Sampler:
    """Which objects make up each step's batch: a function of (seed, step) alone.

    Objects are drawn without replacement: each class (or, unless `balanced`, the whole set) is walked in a random
    order that is drawn anew after every pass.

    Parameters
    ----------
    label : int (N,)
        Class of every object.
    batch_size : int
    seeds : Seeds
    balanced : bool
        True: classes take turns, so that all are equally frequent.

    Raises
    ------
    DataError
        Without objects.
    """

    def __init__(self, label: NDArray[np.int64], batch_size: int, seeds: Seeds, balanced: bool) -> None:
        if not len(label):
            raise DataError("training", "an empty set of movies", "simulate or read some first")
        self.groups = [np.flatnonzero(label == k) for k in np.unique(label)] if balanced else [np.arange(len(label))]
        self.batch_size, self.seeds = batch_size, seeds
        self._orders: dict[int, tuple[int, NDArray[np.intp]]] = {}

    def rows(self, step: int) -> NDArray[np.intp]:
        """Objects (batch_size,) of one step."""
        draw = step * self.batch_size + np.arange(self.batch_size)
        group, rank = draw % len(self.groups), draw // len(self.groups)
        return np.array([self._object(int(g), int(k)) for g, k in zip(group, rank, strict=True)], np.intp)

    def _object(self, group: int, rank: int) -> int:
        tour, place = divmod(rank, len(self.groups[group]))
        if self._orders.get(group, (-1, None))[0] != tour:
            rng = self.seeds.child(f"group-{group}/tour-{tour}").rng("order")
            self._orders[group] = tour, rng.permutation(self.groups[group])
        return int(self._orders[group][1][place])


def random_window(movies: Movies, options: SequenceOptions, rng: np.random.Generator, share: float) -> Movies:
    """Real movies cut for training: some to a random window, the others to their alert window.

    Which image a movie starts with, and how many there are, follows from its label in the alert window (section 3.1 of the
    paper): a network that is fine-tuned on nothing else can learn to tell the label from that.

    Parameters
    ----------
    movies : Movies
    options : SequenceOptions
    rng : Generator
    share : float
        Part of the movies that gets a random window: a length from ``before_alert`` (at least ``n_stacked``) to
        ``max_images`` or all usable images, every start equally likely; movies with an alert keep its image inside.

    Returns
    -------
    Movies
        `first_detection` is -1: no further cut applies.
    """
    usable = movies.frame_mask & movies.reported.mask
    rank, count = np.cumsum(usable, axis=1) - 1, usable.sum(axis=1)
    first = movies.first_detection
    alert = (usable & (np.arange(usable.shape[1]) < first[:, None])).sum(axis=1)
    alerted = (first >= 0) & (alert < count)
    shortest = max(options.before_alert, options.n_stacked)
    length = np.minimum(rng.integers(shortest, max(options.max_images, shortest) + 1, len(count)), count)
    latest = count - length
    lowest = np.where(alerted, np.clip(alert - length + 1, 0, latest), 0)
    highest = np.where(alerted, np.minimum(alert, latest), latest)
    start = lowest + (rng.random(len(count)) * (highest - lowest + 1)).astype(np.intp)
    own = rng.random(len(count)) >= share
    start = np.where(own, np.where(alerted, np.maximum(alert - options.before_alert, 0), 0), start)
    length = np.where(own, options.max_images, length)
    inside = usable & (rank >= start[:, None]) & (rank < (start + length)[:, None])
    return replace(movies, frame_mask=inside, first_detection=np.full(len(count), -1, np.int32))


@dataclass(frozen=True)
class Share:
    """A store and the objects it gives to every batch.

    Attributes
    ----------
    store : MovieStore
    sampler : Sampler
    windows : float or None
        `share` of `random_window`; None: movies are cut as `labelled` does.
    """

    store: MovieStore
    sampler: Sampler
    windows: float | None = None


@dataclass(frozen=True)
class TrainingStream:
    """Batches by step.

    Parameters
    ----------
    shares : sequence of Share
        Stores that every batch is mixed from.
    task : Task
    seeds : Seeds
    augment : bool
        Give every object a random orientation at every step.
    """

    shares: Sequence[Share]
    task: Task
    seeds: Seeds
    augment: bool

    def batch(self, step: int) -> Batch:
        """The batch of one step: a function of (seed, step) alone."""
        batch = joined([labelled(self._movies(share, step), self.task) for share in self.shares])
        if not self.augment:
            return batch
        drawn = Seeds(self.seeds.root, self.seeds.stream, step).rng("orientation").integers(0, 8, len(batch.mask))
        element = torch.from_numpy(drawn)[:, None].expand(batch.mask.shape)[batch.mask]
        return batch._replace(stacks=oriented(batch.stacks, element))

    def _movies(self, share: Share, step: int) -> Movies:
        movies = share.store.take(share.sampler.rows(step))
        if share.windows is None:
            return movies
        rng = Seeds(self.seeds.root, self.seeds.stream, step).rng("window")
        return random_window(movies, self.task.sequence, rng, share.windows)

    def between(self, first: int, last: int, executor: Executor) -> Iterator[Batch]:
        """Batches of the steps first..last - 1, each made in `executor` while the one before is in use."""
        if first >= last:
            return
        ahead = executor.submit(self.batch, first)
        for step in range(first, last):
            batch = ahead.result()
            if step + 1 < last:
                ahead = executor.submit(self.batch, step + 1)
            yield batch


@dataclass(frozen=True)
class ValidationSet:
    """At most `largest` objects of a store (the same at every pass), in batches.

    Parameters
    ----------
    store : MovieStore
    task : Task
    seeds : Seeds
    largest : int
    batch_size : int
    """

    store: MovieStore
    task: Task
    seeds: Seeds
    largest: int
    batch_size: int

    def __iter__(self) -> Iterator[Batch]:
        order = self.seeds.rng("validation").permutation(len(self.store))[: self.largest]
        for start in range(0, len(order), self.batch_size):
            yield labelled(self.store.take(np.sort(order[start : start + self.batch_size])), self.task)
