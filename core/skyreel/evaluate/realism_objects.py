"""What only a whole movie shows: how the features of its frames lie, scatter and remember."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skyreel.evaluate.realism_features import FRAME

Array = NDArray[np.float64]

OBJECT = (*(f"{what} {name}" for what in ("mean", "scatter", "memory") for name in FRAME), "coherence")
"""Mean, standard deviation and lag-1 autocorrelation of every feature over an object's frames, and how far its ellipse keeps
its direction: |mean ellipticity vector| / mean |ellipticity vector|."""


def object_features(values: Array, first: NDArray[np.intp]) -> Array:
    """Features of objects, (n, len(OBJECT)).

    Parameters
    ----------
    values : (m, len(FRAME))
        Of all frames, object after object, in time order.
    first : int (n,)
        Each object's first row.
    """
    count = np.diff(first, append=len(values))
    owner = np.repeat(np.arange(len(first)), count)
    number = count[:, None].astype(np.float64)
    mean = np.add.reduceat(values, first, axis=0) / number
    rest = values - mean[owner]
    square = np.add.reduceat(rest**2, first, axis=0)
    product = np.zeros_like(rest)
    product[:-1] = rest[:-1] * rest[1:] * (owner[:-1] == owner[1:])[:, None]
    memory = np.add.reduceat(product, first, axis=0) / np.maximum(square, 1e-12)
    turn = values[:, FRAME.index("ellipticity_1")] + 1j * values[:, FRAME.index("ellipticity_2")]
    length = np.add.reduceat(np.abs(turn), first)
    coherence = np.abs(np.add.reduceat(turn, first)) / np.maximum(length, 1e-12)
    return np.concatenate([mean, np.sqrt(square / number), memory, coherence[:, None]], axis=1)
