"""Numbers that several figures draw: right and wrong after each number of images, recalls, their spread over runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import DataError
from skyreel.evaluate.intervals import interval
from skyreel.evaluate.outcomes import Outcomes
from skyreel.interfaces import class_order

RESAMPLES = 400
"""Of the bootstrap behind the bands of single runs: the ends of a 68 % interval are then known to a few per cent of its width."""


@dataclass(frozen=True)
class Band:
    """A score after 1..K images with its error.

    Attributes
    ----------
    images : int (K,)
    value : float (K,)
        Mean over runs.
    low, high : float (K,)
        Mean minus and plus the standard deviation over runs (n - 1 in the denominator); of a single run the 68 % interval
        of `skyreel.evaluate.intervals.interval`.
    """

    images: NDArray[np.intp]
    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def longest(runs: Sequence[Outcomes]) -> int:
    """Most images of any object.

    Raises
    ------
    DataError
        If there is no run, or one without objects.
    """
    if not runs or not all(map(len, runs)):
        raise DataError("a figure", "no outcomes to draw", "hand in at least one run with objects")
    return max(int(part.probabilities.shape[1]) for part in runs)


def correct(outcomes: Outcomes, images: int) -> NDArray[np.bool_]:
    """Whether the argmax over all classes is right after 1..images images, (n, images); shorter objects keep their last answer."""
    place = np.minimum(np.arange(images)[None, :], outcomes.n_images[:, None] - 1)
    answer = np.take_along_axis(outcomes.probabilities.argmax(axis=2), place, axis=1)
    return np.asarray(answer == outcomes.truth[:, None])


def labels(runs: Sequence[Outcomes]) -> tuple[str, ...]:
    """Classes that occur in any of the runs, in the project's order."""
    return class_order(sorted({str(name) for part in runs for name in part.label}))


def accuracy(runs: Sequence[Outcomes]) -> Band:
    """Share of all objects that are right."""
    return _band(runs, "accuracy", lambda part, images: correct(part, images).mean(axis=0))


def class_recall(runs: Sequence[Outcomes], name: str) -> Band:
    """Recall of one class, over the runs in which it occurs."""
    return _band([part for part in runs if (part.label == name).any()], name, lambda part, images: _recall(part, name, images))


def mean_recall(runs: Sequence[Outcomes]) -> Band:
    """Mean of the recalls of the classes that occur: each weighs the same."""

    def mean(part: Outcomes, images: int) -> NDArray[np.float64]:
        return np.asarray(np.mean([_recall(part, name, images) for name in labels([part])], axis=0))

    return _band(runs, "mean_recall", mean)


def error_text(runs: Sequence[Outcomes], of: str = "runs") -> str:
    """What the limits of a `Band` are, for a caption."""
    if len(runs) > 1:
        return f"± the standard deviation over {len(runs)} {of}"
    return "the 68 % interval of a bootstrap over sky fields (one run)"


def _recall(outcomes: Outcomes, name: str, images: int) -> NDArray[np.float64]:
    return np.asarray(correct(outcomes.take(outcomes.label == name), images).mean(axis=0))


def _band(runs: Sequence[Outcomes], metric: str, values: Callable[[Outcomes, int], NDArray[np.float64]]) -> Band:
    images = longest(runs)
    steps = np.arange(1, images + 1)
    each = np.stack([values(part, images) for part in runs])
    value = each.mean(axis=0)
    if len(runs) > 1:
        spread = each.std(axis=0, ddof=1)
        return Band(steps, value, value - spread, value + spread)
    found = [interval(runs[0], int(k), metric, resamples=RESAMPLES)["68"] for k in steps]
    low, high = np.array(found, np.float64).T
    return Band(steps, value, low, high)
