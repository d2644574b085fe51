"""Batches for Lightning: movies in memory, on disk or simulated as they are needed, made ahead in threads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytorch_lightning as pl

from skyreel_rcnn.inputs import Batch, TrainingStream

MOST_THREADS = 4
"""Threads that make batches; more would wait for Python's lock."""


class MoviesDataModule(pl.LightningDataModule):
    """Training batches by step, as one epoch, and validation batches, for any Lightning module that takes `inputs.Batch`.

    Shards are read in random order (`order.Sampler`), a few record batches at a time: memory does not grow with the set.

    Parameters
    ----------
    stream : TrainingStream
    last : int
        Steps of the whole training.
    first : int
        Step to begin with; a training that goes on gets the batches it would have had.
    valid : iterable of Batch, optional
        For example a `inputs.ValidationSet`; None: Lightning validates nothing.
    threads : int
        Batches made at the same time, ahead of the one in use; 0: one per core, at most four. Batches do not depend on it.
    """

    def __init__(
        self, stream: TrainingStream, last: int, *, first: int = 0, valid: Iterable[Batch] | None = None, threads: int = 0
    ) -> None:
        super().__init__()
        self.stream, self.first, self.last, self.valid = stream, first, last, valid
        self.threads = threads or min(os.cpu_count() or 1, MOST_THREADS)

    def train_dataloader(self) -> _Steps:
        """The remaining steps."""
        return _Steps(self)

    def val_dataloader(self) -> Iterable[Batch]:
        """The validation batches."""
        return self.valid if self.valid is not None else []


class _Steps:
    """The remaining batches, as Lightning's one epoch."""

    def __init__(self, data: MoviesDataModule) -> None:
        self._data = data

    def __len__(self) -> int:
        return self._data.last - self._data.first

    def __iter__(self) -> Iterator[Batch]:
        data = self._data
        pool = ThreadPoolExecutor(data.threads)
        try:
            yield from data.stream.between(data.first, data.last, pool, data.threads)
        finally:
            pool.shutdown(cancel_futures=True)  # a training that stops early does not wait for batches that nobody wants
