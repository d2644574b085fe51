"""Whether a classifier is right as often as it says: reliability curve and expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import DataError
from skyreel.evaluate.outcomes import Outcomes
from skyreel.evaluate.resampling import Resampling, percentiles, wilson

BINS = 15
"""Bins of confidence at most (Guo et al. 2017, ICML 34, 1321, section 3)."""
PER_BIN = 25
"""Objects per bin at least: small sets get fewer bins."""


@dataclass(frozen=True)
class Reliability:
    """Top-label confidence against the share of right answers, in bins of as many objects each.

    Attributes
    ----------
    edges : float (M + 1,)
        Bounds of the bins: quantiles of the confidence. Equal confidences share a bin.
    count : int (M,)
    confidence : float (M,)
        Mean probability of the predicted class.
    accuracy : float (M,)
        Share of right answers.
    lower, upper : float (M,)
        95 % Wilson intervals of the accuracy (binomial: objects count as independent).
    """

    edges: NDArray[np.float64]
    count: NDArray[np.intp]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]


def reliability(outcomes: Outcomes, k: int | None = None, bins: int = BINS) -> Reliability:
    """Reliability curve after `k` images (None: after the last).

    Parameters
    ----------
    outcomes : Outcomes
    k : int or None
    bins : int
        Bins at most; there are at least `PER_BIN` objects for each.

    Raises
    ------
    DataError
        If there is no object, or a label is not a trained class.
    """
    confidence, right = top_label(outcomes, k)
    edges, place = equal_mass(confidence, bins)
    count = np.bincount(place, minlength=len(edges) - 1)
    accuracy = np.bincount(place, right, len(edges) - 1) / count
    lower, upper = wilson(accuracy, count)
    return Reliability(edges, count, np.bincount(place, confidence, len(edges) - 1) / count, accuracy, lower, upper)


def calibration_error(outcomes: Outcomes, k: int | None, drawn: Resampling, bins: int = BINS) -> dict[str, Any]:
    """Expected calibration error of the predicted class, with the interval of the bootstrap.

    ECE = sum over bins of (objects in the bin / objects) x |share of right answers - mean confidence| (Naeini et al. 2015,
    AAAI 29, 2901) in bins of equal mass (Nguyen & O'Connor 2015, EMNLP, 1587). The absolute value makes it too large: a
    perfectly calibrated classifier gets ``ece_chance`` on average, sum over bins of sqrt(2 / pi sum p (1 - p)) / objects
    (normal approximation within a bin), about 0.8 sqrt(bins x mean of p (1 - p) / objects): compare the two first. The
    resamples carry the noise of the set and their own, and lie higher still; the interval is theirs less that bias (mean of
    the resamples - ECE; Efron & Tibshirani 1993, section 10.2), cut at 0.

    Parameters
    ----------
    outcomes : Outcomes
    k : int or None
    drawn : Resampling
        Of these outcomes. The bins stay those of the whole set.
    bins : int

    Returns
    -------
    dict
        ``ece``, ``ece_interval`` (``68`` and ``95``), ``ece_chance``.
    """
    confidence, right = top_label(outcomes, k)
    edges, place = equal_mass(confidence, bins)
    member = place[:, None] == np.arange(len(edges) - 1)
    gap = member * (right - confidence)[:, None]
    samples = np.abs(drawn.sums(outcomes, gap)).sum(axis=1) / drawn.sums(outcomes, np.ones((len(outcomes), 1)))[:, 0]
    ece = float(np.abs(gap.sum(axis=0)).sum() / len(outcomes))
    variance = (member * (confidence * (1 - confidence))[:, None]).sum(axis=0)
    return {
        "ece": ece,
        "ece_interval": percentiles(np.maximum(samples - (samples.mean() - ece), 0.0)),
        "ece_chance": float(np.sqrt(2 / np.pi * variance).sum() / len(outcomes)),
    }


def top_label(outcomes: Outcomes, k: int | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Probability (n,) of the predicted class after `k` images, and 1 where it is the true one."""
    if not len(outcomes):
        raise DataError("calibration", "a set without objects", "hand in outcomes of at least one object")
    probabilities = outcomes.last() if k is None else outcomes.after(k)
    right = probabilities.argmax(axis=1) == outcomes.truth
    return np.minimum(probabilities.max(axis=1).astype(np.float64), 1.0), right.astype(np.float64)


def equal_mass(confidence: NDArray[np.float64], bins: int = BINS) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Bounds (M + 1,) of bins with as many objects each, none of them empty, and the bin (n,) of every object."""
    number = int(np.clip(len(confidence) // PER_BIN, 1, bins))
    inner = np.unique(np.quantile(confidence, np.arange(1, number) / number))
    used, place = np.unique(np.searchsorted(inner, confidence, side="right"), return_inverse=True)
    # a bound between two used bins lies before the later one
    bounds = [confidence.min(), *inner[used[1:] - 1], confidence.max()]
    return np.asarray(bounds, np.float64), np.asarray(place, np.intp)
