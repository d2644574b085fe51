"""How soon a classifier is right: at the alert and after it, and the time until its answer is right and stays right."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.evaluate.outcomes import Outcomes
from skyreel.evaluate.resampling import wilson

AFTER_ALERT = (0, 1, 2, 3, 5, 10)
"""Images after the one of the alert at which recalls are given; 0 is the alert's own."""
_QUARTILES = {"q25": 0.25, "median": 0.5, "q75": 0.75}


def answers(outcomes: Outcomes) -> NDArray[np.bool_]:
    """Whether the most probable class (n, K) after each image is the true one; False beyond the last image."""
    exists = np.arange(outcomes.mjd.shape[1]) < outcomes.n_images[:, None]
    guess = np.where(exists[..., None], outcomes.probabilities, 0).argmax(axis=2)
    return np.asarray(exists & (guess == outcomes.truth[:, None]))


def settled(outcomes: Outcomes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Images (n,) and days (n,) since the first image after which the answer is right at every later image too.

    Infinite for objects whose last answer is wrong. An object that is right at its last image alone counts with that one:
    nobody knows whether it would have stayed so.
    """
    exists = np.arange(outcomes.mjd.shape[1]) < outcomes.n_images[:, None]
    wrong = exists & ~answers(outcomes)
    # rank of the last wrong image, 0 without one; the answer is stable from the next on
    last_wrong = np.where(wrong, np.arange(1, wrong.shape[1] + 1), 0).max(axis=1)
    never = last_wrong >= outcomes.n_images
    place = np.minimum(last_wrong, outcomes.n_images - 1)
    days = outcomes.mjd[np.arange(len(outcomes)), place] - outcomes.mjd[:, 0]
    return np.where(never, np.inf, last_wrong + 1.0), np.where(never, np.inf, days)


def stable_answer(outcomes: Outcomes) -> dict[str, dict[str, Any]]:
    """Quartiles of the time to a stable right answer, of all objects and of each class.

    Returns
    -------
    dict
        'all' and class -> ``n``, ``never`` (share of objects whose last answer is wrong), ``images`` and ``days``: each with
        ``q25``, ``median``, ``q75`` over all objects, those that never settle counting as infinitely late (None where the
        quartile falls on them; the smallest value that at least that share of objects does not exceed).
    """
    images, days = settled(outcomes)
    chosen = {"all": np.ones(len(outcomes), np.bool_)} | {name: outcomes.label == name for name in outcomes.classes}
    return {name: _times(images[rows], days[rows]) for name, rows in chosen.items() if rows.any()}


def at_alert(outcomes: Outcomes) -> dict[str, dict[str, Any]]:
    """Recall at the alert and some images after it, for the classes in which some object has an alert.

    Returns
    -------
    dict
        class -> ``n`` (objects with an alert), ``without`` (objects of the class without one, not counted here) and
        ``after``: images after the alert ('0' is the image of the alert itself) -> ``recall``, its 95 % Wilson ``interval``
        and ``reached``, the objects that have as many images; the others count with their last one.
    """
    alerted = outcomes.alert > 0
    right = answers(outcomes)
    out = {}
    for name in outcomes.classes:
        members = outcomes.label == name
        rows = np.flatnonzero(members & alerted)
        if rows.size:
            last = outcomes.n_images[rows]
            hits = {k: right[rows, np.minimum(outcomes.alert[rows] + k, last) - 1] for k in AFTER_ALERT}
            reached = {k: int((outcomes.alert[rows] + k <= last).sum()) for k in AFTER_ALERT}
            after = {str(k): _recall(hit) | {"reached": reached[k]} for k, hit in hits.items()}
            out[name] = {"n": int(rows.size), "without": int(members.sum() - rows.size), "after": after}
    return out


def _recall(right: NDArray[np.bool_]) -> dict[str, Any]:
    lower, upper = wilson(right.mean(), right.size)
    return {"recall": float(right.mean()), "interval": [float(lower), float(upper)]}


def _times(images: NDArray[np.float64], days: NDArray[np.float64]) -> dict[str, Any]:
    return {
        "n": len(images),
        "never": float(np.isinf(images).mean()),
        "images": {name: _quantile(images, share) for name, share in _QUARTILES.items()},
        "days": {name: _quantile(days, share) for name, share in _QUARTILES.items()},
    }


def _quantile(values: NDArray[np.float64], share: float) -> float | None:
    found = float(np.quantile(values, share, method="inverted_cdf"))
    return found if np.isfinite(found) else None
