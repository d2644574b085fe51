"""What the network reads from movies: batches as tensors, made ahead of time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skyreel.interfaces import MovieStore, Task
from skyreel.movies import Movies
from skyreel.preprocessing import SequenceOptions
from skyreel.seeding import Seeds
from skyreel.sequences import Sequences, build_sequences, fluxes
from skyreel.simulate.streaming import MovieFeed
from skyreel.task_inputs import class_index, training_window
from skyreel_rcnn.order import InTurn, Order, Sampler


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
    return windowed(training_window(movies, task), task)


def windowed(movies: Movies, task: Task, flux: NDArray[np.float64] | None = None) -> Batch:
    """Complete stacks of all usable frames, with labels; see `sequences.build_sequences` for `flux`."""
    return as_batch(build_sequences(movies, task.sequence, flux=flux), class_index(movies.label, task.classes))


def joined(parts: Sequence[Batch]) -> Batch:
    """Several batches as one."""
    if len(parts) == 1:
        return parts[0]
    width = max(part.mask.shape[1] for part in parts)
    masks = [torch.nn.functional.pad(part.mask, (0, width - part.mask.shape[1])) for part in parts]
    columns = {name: torch.cat([getattr(part, name) for part in parts]) for name in Batch._fields if name != "mask"}
    return Batch(mask=torch.cat(masks), **columns)


def oriented(images: NDArray[Any], element: NDArray[np.int64]) -> NDArray[Any]:
    """All images of every object turned and mirrored by its element of the square's symmetry group D4.

    Parameters
    ----------
    images : (n, ..., H, H)
    element : int (n,)
        0..3: quarter turns; 4..7: the same, mirrored.
    """
    out = np.empty_like(images)
    for k in range(8):
        rows = np.flatnonzero(element == k)
        turned = np.rot90(images[rows], k % 4, (-2, -1))
        out[rows] = turned[..., ::-1] if k >= 4 else turned
    return out


def turned(movies: Movies, element: NDArray[np.int64]) -> Movies:
    """The movies with every object's stamps `oriented` by its element (n,)."""
    return replace(movies, pixels=oriented(movies.pixels, element), pixel_mask=oriented(movies.pixel_mask, element))


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


class KeptFluxes:
    """`sequences.fluxes` of the training windows of a store, each measured once: the costly part of making a batch.

    Parameters
    ----------
    number : int
        Movies in the store; each takes 8 bytes per image.
    task : Task
    """

    def __init__(self, number: int, task: Task) -> None:
        self._known = np.zeros(number, np.bool_)
        self._flux = np.full((number, task.sequence.max_images), -np.inf)

    def of(self, rows: NDArray[np.intp], window: Movies) -> NDArray[np.float64]:
        """Fluxes (n, U) of `rows`, whose windows are `window`."""
        new = np.flatnonzero(~self._known[rows])
        if len(new):
            found = fluxes(window.take(new))
            self._flux[rows[new], : found.shape[1]] = found
            self._known[rows[new]] = True
        return self._flux[rows, : int(window.frame_mask.sum(axis=1).max(initial=1))]


@dataclass(frozen=True)
class Share:
    """A store and the objects it gives to every batch.

    Attributes
    ----------
    store : MovieStore or MovieFeed
    sampler : Order
    windows : float or None
        `share` of `random_window`; None: movies are cut as `labelled` does.
    kept : KeptFluxes or None
        Fluxes to use again; None: they are measured anew.
    """

    store: MovieStore | MovieFeed
    sampler: Order
    windows: float | None = None
    kept: KeptFluxes | None = None


def share_of(store: MovieStore | MovieFeed, task: Task, batch_size: int, seeds: Seeds, balanced: bool) -> Share:
    """What a training reads: a feed in turn, any other store by a `Sampler`, fluxes kept."""
    if isinstance(store, MovieFeed):
        return Share(store, InTurn(batch_size))
    label, chunk = class_index(store.label, task.classes), getattr(store, "chunk", None)
    return Share(store, Sampler(label, batch_size, seeds, balanced, chunk), kept=KeptFluxes(len(store), task))


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
        sizes = [share.sampler.batch_size for share in self.shares]
        seeds = Seeds(self.seeds.root, self.seeds.stream, step)
        drawn = seeds.rng("orientation").integers(0, 8, sum(sizes)) if self.augment else np.zeros(sum(sizes), np.int64)
        elements = np.split(drawn, np.cumsum(sizes)[:-1])
        return joined([self._part(share, step, seeds, element) for share, element in zip(self.shares, elements, strict=True)])

    def _part(self, share: Share, step: int, seeds: Seeds, element: NDArray[np.int64]) -> Batch:
        rows = share.sampler.rows(step)
        movies = replace(share.store.take(rows), truth=None)
        if share.windows is not None:
            movies = random_window(movies, self.task.sequence, seeds.rng("window"), share.windows)
        window = training_window(movies, self.task)
        # measured ahead of the turn: the sum's rounding must not depend on the orientation that an object is first met in
        flux = None if self.task.sequence.scaling != "running_max" else share.kept.of(rows, window) if share.kept else fluxes(window)
        return windowed(turned(window, element) if self.augment else window, self.task, flux)

    def between(self, first: int, last: int, executor: Executor, ahead: int = 1) -> Iterator[Batch]:
        """Batches of the steps first..last - 1; the next `ahead` are made in `executor` while one is in use."""
        waiting = deque(executor.submit(self.batch, step) for step in range(first, min(first + ahead, last)))
        for step in range(first, last):
            if step + ahead < last:
                waiting.append(executor.submit(self.batch, step + ahead))
            yield waiting.popleft().result()


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
