"""A scored set that costs nothing: toy movies, a classifier that guesses from names, and its exhibits made by hand."""

import hashlib
from dataclasses import replace

import numpy as np

from skyreel.evaluate.exhibits_parts import FEATURES, Cost, Curves, Exhibits, Shown, Twins
from skyreel.interfaces import CLASSES, Predictions
from skyreel.movies import Movies
from skyreel.preprocessing import SequenceOptions
from skyreel.testing.toys import toy_movies, toy_task

REAL = ("supernova", "rr_lyrae", "eclipsing_binary", "non_variable")


class Guess:
    """Probabilities that are a function of the object's name and the number of images alone."""

    def __init__(self, movies: Movies) -> None:
        self.task = toy_task(movies, CLASSES, SequenceOptions())
        self.classes = CLASSES

    def predict(self, movies: Movies) -> Predictions:
        epochs = movies.frame_mask.shape[1]
        seeds = [int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little") for name in movies.object_id.tolist()]
        chances = np.stack([np.random.default_rng(seed).dirichlet(np.ones(len(CLASSES)), epochs) for seed in seeds]).astype(np.float32)
        chances[~movies.frame_mask] = np.nan
        return Predictions(CLASSES, chances, movies.frame_mask, movies.frame_mask)


def scored_movies(n: int = 48, epochs: int = 9) -> Movies:
    """Four classes in turn, some frames and pixels that cannot be used, alerts of the supernovae at frame 6."""
    movies = toy_movies(n, epochs, REAL, size=11)
    mask = movies.frame_mask.copy()
    mask[::3, 2] = False
    bits = movies.pixel_mask.copy()
    bits[:, 5, 0, 0, 0] = 2
    first = np.where(movies.label == "supernova", 6, -1).astype(np.int32)
    return replace(movies, frame_mask=mask, pixel_mask=bits, first_detection=first)


def exhibits(n_images: int = 13, size: int = 11) -> Exhibits:
    """A supernova, two failures and a typical star, one twin, 60 light curves, all with known numbers."""
    rng = np.random.default_rng(4)
    m, epochs = 4, n_images + 2
    there = np.arange(epochs) < n_images

    def only(array: np.ndarray) -> np.ndarray:
        wide = there.reshape(1, -1, *[1] * (array.ndim - 2))
        return np.where(wide, array, np.nan).astype(np.float32)

    days = np.where(there, 57070 + np.arange(epochs) // 4 + 0.05 * (np.arange(epochs) % 4), np.nan)
    stamps = only(rng.normal(0, 4, (m, epochs, size, size)) + 40.0 * (np.indices((size, size)) == size // 2).all(axis=0))
    stamps[0, 0, 0, 0] = np.nan
    shown = Shown(
        why=np.array(["supernova", "failure", "failure", "typical"]),
        object_id=np.array(["SN 1", "EB 2", "RRL 3", "NV 4"]),
        label=np.array(["supernova", "eclipsing_binary", "rr_lyrae", "non_variable"]),
        alert=np.array([6, 0, 0, 0], np.int32),
        mjd=np.tile(days, (m, 1)),
        stamps=stamps,
        flux=only(rng.normal(300, 10, (m, epochs))),
        error=only(np.full((m, epochs), 10.0)),
        probabilities=only(rng.dirichlet(np.ones(7), (m, epochs))),
    )
    twins = Twins(np.array(["NV 4"]), np.array([18.5]), days[None], stamps[3:4], np.asarray(stamps[3:4] + 1, np.float32))
    label = np.array(CLASSES)[np.arange(60) % 7]
    real = np.arange(60) < 20
    curves = Curves(rng.lognormal(0, 2, (60, len(FEATURES))), label, real, real & (np.arange(60) % 2 == 0))
    return Exhibits("RCNN", "the sky", "paper", CLASSES, shown, twins, curves, Cost(10, 200, 0.5, 0.1))
