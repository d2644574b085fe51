"""Can a judge tell simulated movies from real ones? Classifiers as two-sample tests (Lopez-Paz & Oquab 2017, arXiv:1610.06545)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import DataError
from skyreel.evaluate.resampling import percentiles
from skyreel.movies import Movies
from skyreel.seeding import Seeds

Array = NDArray[np.float64]
Rows = NDArray[np.intp]
Judge = Callable[[Rows, Rows], Array]
"""Takes the rows it may learn from and the rows it must answer for; returns their probabilities of being real."""

FOLDS = 5
RESAMPLES = 500
LARGEST = 65_535
"""Real stamps are clipped to what a simulated one can hold [ADU]."""

LEVELS = {
    "frame": "all features of one frame",
    "background": "the sky beyond 9 px of one frame",
    "object": "mean, scatter and memory of all features over an object's frames",
}
"""Level -> what the judge sees."""


@dataclass(frozen=True)
class Verdict:
    """How well a judge tells simulated from real.

    Attributes
    ----------
    level : str
        One of `LEVELS`.
    judge : 'forest' or 'cnn'
    folds : 'object' or 'field'
        What the judge had not seen of those it answered for: the object and its twin, or the whole field (then it cannot have
        learnt the field's exposures by heart from other stars).
    auc : float
        Area under the ROC curve among held-out frames or objects; 0.5 cannot tell, 1 always can.
    interval : (float, float)
        95 % percentile interval when the judged objects are drawn with replacement (a twin goes with its object). The judges
        stay as they are; that others, taught by other objects, would answer otherwise is not in it: between equal samples of 40
        objects it misses 0.5 in a sixth of all cases.
    n_real, n_simulated : int
        Frames or objects judged.
    """

    level: str
    judge: str
    folds: str
    auc: float
    interval: tuple[float, float]
    n_real: int
    n_simulated: int


def whole_adu(movies: Movies) -> Movies:
    """The movies with pixels rounded to whole ADU within 0..65535, as simulated ones are; others give themselves away at once."""
    pixels = np.clip(np.round(np.nan_to_num(np.asarray(movies.pixels, np.float32))), 0, LARGEST)
    return replace(movies, pixels=pixels.astype(np.float32))


def balanced_folds(real: NDArray[np.bool_], group: NDArray[Any], folds: int = FOLDS, unit: str = "objects") -> Rows:
    """Fold of every row (n,): a group lies in one fold, and every fold has its share of real and of simulated groups.

    Parameters
    ----------
    real : bool (n,)
    group : (n,)
        Object or field; a twin has that of its real object.
    folds : int
    unit : str
        What a group is, for the message.

    Raises
    ------
    DataError
        With fewer groups than folds among the real or the simulated rows.
    """
    names, member = np.unique(group, return_inverse=True)
    size = np.bincount(member, minlength=len(names))
    is_real = np.bincount(member, real, len(names)) > 0
    is_simulated = np.bincount(member, ~real, len(names)) > 0
    fewest = int(min(is_real.sum(), is_simulated.sum()))
    if fewest < folds:
        raise DataError("realism", f"{fewest} {unit}", f"hand in at least {folds}")
    fold = np.zeros(len(names), np.intp)
    for kind in (is_real & is_simulated, is_real & ~is_simulated, ~is_real & is_simulated):
        load = np.zeros(folds)
        for k in np.flatnonzero(kind)[np.argsort(-size[kind], kind="stable")]:  # largest first, to the emptiest fold
            fold[k] = np.argmin(load)
            load[fold[k]] += size[k]
    return fold[member]


def cross_validated(judge: Judge, fold: Rows) -> Array:
    """Probability of being real (n,), each from a judge that has seen nothing of the row's fold.

    Parameters
    ----------
    judge : callable
        See `Judge`.
    fold : int (n,)
        As `balanced_folds` returns it.
    """
    out = np.zeros(len(fold))
    for k in np.unique(fold):
        asked = fold == k
        out[asked] = judge(np.flatnonzero(~asked), np.flatnonzero(asked))
    return out


def weighted_auc(probability: Array, real: NDArray[np.bool_], fold: Rows, weights: Array) -> Array:
    """Area under the ROC curve (B,) for B weightings (B, n) of the rows: the share of right orders among pairs of one fold.

    Rows of different folds were judged by different judges, so their probabilities are not compared (pooling them biases the
    area downwards: Airola et al. 2011, Computational Statistics & Data Analysis 55, 1828). Ties count a half.
    """
    right, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    for k in np.unique(fold):
        here = np.flatnonzero(fold == k)
        here = here[np.argsort(probability[here], kind="stable")]
        start = np.flatnonzero(np.diff(probability[here], prepend=-np.inf) > 0)  # rows of one probability follow one another
        positive = np.add.reduceat(weights[:, here] * real[here], start, axis=1)
        negative = np.add.reduceat(weights[:, here] * ~real[here], start, axis=1)
        right += (positive * (np.cumsum(negative, axis=1) - 0.5 * negative)).sum(axis=1)
        pairs += positive.sum(axis=1) * negative.sum(axis=1)
    return np.asarray(np.divide(right, pairs, out=np.full(len(weights), 0.5), where=pairs > 0))


def verdict(
    level: str,
    judge: str,
    probability: Array,
    real: NDArray[np.bool_],
    group: NDArray[Any],
    fold: Rows,
    folds: str = "object",
    seed: int = 0,
) -> Verdict:
    """The area under the ROC curve with its interval over objects.

    Parameters
    ----------
    level, judge, folds : str
        See `Verdict`.
    probability, real, fold : (n,)
        What the judge said of every row, the truth, and the fold it was held out in.
    group : (n,)
        Object of every row; objects are drawn with replacement.
    seed : int
    """
    rng = Seeds(seed, f"realism/{level}/{judge}/{folds}").rng("objects")
    names, member = np.unique(group, return_inverse=True)
    draws = rng.multinomial(len(names), np.full(len(names), 1.0 / len(names)), RESAMPLES)
    weights = np.concatenate([np.ones((1, len(names))), draws])[:, member]
    auc, *samples = weighted_auc(probability, real, fold, weights).tolist()
    low, high = percentiles(np.array(samples))["95"]
    n_real = int(real.sum())
    return Verdict(level, judge, folds, auc, (low, high), n_real, len(real) - n_real)
