"""Movies and small forests for the forest's tests."""

from functools import cache

import numpy as np

from skyreel.interfaces import TrainerOptions
from skyreel.movies import Movies
from skyreel.preprocessing import SequenceOptions
from skyreel.testing import toy_movies, toy_task
from skyreel_forest.classifier import Forest

CLASSES = ("supernova", "rr_lyrae", "non_variable")
TRAINER = TrainerOptions(max_steps=1, valid_max=60, progress=False)


class Store:
    """Movies as a MovieStore."""

    def __init__(self, movies: Movies) -> None:
        self.movies = movies

    def __len__(self) -> int:
        return len(self.movies)

    @property
    def label(self):
        return self.movies.label

    def take(self, objects) -> Movies:
        return self.movies.take(objects)


def movies(n: int = 24, epochs: int = 9, seed: int = 0, bands: tuple[str, ...] = ("g",)) -> Movies:
    """Toy movies of class 0 (constant), 1 (one dip) and 2 (two dips); some frames cannot be used."""
    from dataclasses import replace

    toys = toy_movies(n, epochs, CLASSES, bands=bands, seed=seed)
    usable = np.random.default_rng(seed).random((n, epochs)) > 0.15
    usable[:, :3] = True
    names = np.array([f"object-{seed}-{k}" for k in range(n)])
    return replace(toys, frame_mask=usable, object_id=names)


def task(bands: tuple[str, ...] = ("g",), max_images: int = 9):
    return toy_task(movies(3, bands=bands), CLASSES, SequenceOptions(max_images=max_images, before_alert=2))


def forest(**options) -> Forest:
    return Forest(**{"n_estimators": 8, "max_depth": 6, **options})


def train(run_dir, forest: Forest, n: int = 60, bands: tuple[str, ...] = ("g",), seed: int = 0, store=None) -> dict:
    """Trains in place; returns the figures."""
    store = Store(movies(n, bands=bands)) if store is None else store
    return dict(forest.fit(store, Store(movies(30, seed=1, bands=bands)), run_dir, task=task(bands), trainer=TRAINER, seed=seed))


@cache
def strong() -> Forest:
    """A trained forest that reads everything in two bands; made once."""
    from pathlib import Path
    from tempfile import TemporaryDirectory

    out = forest(features="extended", image_features=True)
    with TemporaryDirectory() as folder:
        train(Path(folder), out, bands=("g", "r"))
    return out
