"""Outcomes from a table of predicted classes, for the tests of scores and intervals."""

from typing import Any

import numpy as np

from skyreel.evaluate.outcomes import Outcomes
from skyreel.interfaces import CLASSES

NAMES = ("supernova", "rr_lyrae", "galaxy")


def outcomes(guesses: list[list[int]], label: list[str], classes: tuple[str, ...] = NAMES, sure: float = 0.8, **columns: Any) -> Outcomes:
    """Predicted class index per object and image; -1, at the end, is no image. The winner has probability `sure`.

    One image a day from MJD 57000 on; each object in its own field unless `field` says otherwise.
    """
    guess = np.array(guesses)
    n, longest = guess.shape
    probabilities = np.where(guess[..., None] == np.arange(len(classes)), sure, (1 - sure) / (len(classes) - 1)).astype(np.float32)
    probabilities[guess < 0] = np.nan
    names = np.array([f"o{k}" for k in range(n)])
    given = {
        "object_id": names,
        "group": names,
        "field": np.arange(n, dtype=np.int32),
        "alert": np.zeros(n, np.int32),
        "mag": np.full(n, 20.0),
        "snr": np.full(n, 10.0),
        "saturated": np.zeros(n, bool),
        "bright": np.ones(n, bool),
    } | {name: np.asarray(column) for name, column in columns.items()}
    mjd = np.where(guess >= 0, 57000.0 + np.arange(longest), np.nan)
    return Outcomes(classes, probabilities, mjd, (guess >= 0).sum(axis=1), label=np.array(label), **given)


def random_outcomes(seed: int, n: int, longest: int, classes: tuple[str, ...] = CLASSES, fields: int = 9) -> Outcomes:
    """Random probabilities and labels, of 1 to `longest` images in one of `fields` fields."""
    rng = np.random.default_rng(seed)
    guesses = np.where(np.arange(longest) < rng.integers(1, longest + 1, n)[:, None], 0, -1)
    label = rng.choice(classes, n)
    out = outcomes(guesses.tolist(), label.tolist(), classes, field=rng.integers(0, fields, n).astype(np.int32))
    out.probabilities[:] = np.where(guesses[..., None] >= 0, rng.dirichlet(np.ones(len(classes)), (n, longest)), np.nan)
    return out
