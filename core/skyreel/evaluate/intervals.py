"""How sure a score is: field-clustered bootstrap for one model, for the difference of two, and over draws or seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import ConfigError, DataError
from skyreel.evaluate.outcomes import Outcomes
from skyreel.evaluate.resampling import RESAMPLES, Resampling, percentiles, recalls, resample
from skyreel.seeding import Seeds

METRICS = ("mean_recall", "accuracy")
"""Metrics beside the recalls, which go by the name of their class."""


def interval(
    outcomes: Outcomes | Sequence[Outcomes],
    k: int | None = None,
    metric: str = "mean_recall",
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """A score with percentile intervals of the field-clustered bootstrap; over draws or seeds, their mean and spread.

    Fields are drawn with replacement and all objects of a drawn field come along (Efron & Tibshirani 1993, An
    Introduction to the Bootstrap, chapter 13; see `resampling.resample` for the rules). Several outcomes (fine-tuned on
    different draws, trained with different seeds) share the drawn fields, and each resample also draws among them with
    replacement: for D of them that part of the variance is (D - 1) / D of its unbiased estimate.

    Parameters
    ----------
    outcomes : Outcomes or sequence of Outcomes
    k : int or None
        After k images (an object with fewer counts with its last); None: after the last.
    metric : str
        'mean_recall', 'accuracy', or the name of a class for its recall.
    seed : int
    resamples : int

    Returns
    -------
    dict
        JSON-ready: ``value`` (mean over the outcomes), ``68`` and ``95`` (lower, upper), ``spread`` (standard deviation
        over the outcomes with D - 1; None for one), ``each`` (value of each), ``clusters`` ('field' or 'group') and
        ``n_clusters``.

    Raises
    ------
    ConfigError
        For an unknown metric, `k` below 1, or fewer than one resample.
    DataError
        If nothing is given, a label is not a trained class, or no resample holds every class.
    """
    parts = _parts(outcomes)
    drawn = resample(parts, seed, resamples)
    values, samples = zip(*(_sampled(part, k, metric, drawn) for part in parts), strict=True)
    return _summary(values, _over_draws(np.stack(samples), seed), drawn)


def paired_difference(
    a: Outcomes | Sequence[Outcomes],
    b: Outcomes | Sequence[Outcomes],
    k: int | None = None,
    metric: str = "mean_recall",
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Score of `a` minus score of `b` on the objects that both have, with the same resamples for both (see `interval`).

    Parameters
    ----------
    a, b : Outcomes or sequence of Outcomes
        Sequences of the same length are compared one by one (draw by draw); a single one is compared with all others.
    k, metric, seed, resamples
        As in `interval`.

    Returns
    -------
    dict
        What `interval` gives, for the difference, and ``a``, ``b`` (values on the common objects, means over draws),
        ``share_not_above`` (share of resamples in which the difference is not positive: read it like a one-sided p value
        with a resolution of 1 / resamples), ``n`` (common objects of each pair), ``only_a`` and ``only_b`` (objects of
        each pair left out because the other lacks them).

    Raises
    ------
    ConfigError
        As `interval`.
    DataError
        As `interval`; if the sequences have different lengths, an object_id occurs twice, no object is common, or the
        labels of a common object disagree.
    """
    left, right = _parts(a), _parts(b)
    if len(left) != len(right) and 1 not in (len(left), len(right)):
        raise DataError("comparing outcomes", f"{len(left)} and {len(right)} draws", "hand in as many of each, or one")
    number = max(len(left), len(right))
    left, right = left * (number // len(left)), right * (number // len(right))
    pairs = [_matched(x, y) for x, y in zip(left, right, strict=True)]
    drawn = resample([x for x, _ in pairs], seed, resamples)
    values_a, samples_a = zip(*(_sampled(x, k, metric, drawn) for x, _ in pairs), strict=True)
    values_b, samples_b = zip(*(_sampled(y, k, metric, drawn) for _, y in pairs), strict=True)
    samples = _over_draws(np.stack(samples_a) - np.stack(samples_b), seed)
    common = [len(x) for x, _ in pairs]
    return _summary(np.subtract(values_a, values_b).tolist(), samples, drawn) | {
        "a": float(np.mean(values_a)),
        "b": float(np.mean(values_b)),
        "share_not_above": float((samples <= 0).mean()),
        "n": common,
        "only_a": [len(x) - n for x, n in zip(left, common, strict=True)],
        "only_b": [len(y) - n for y, n in zip(right, common, strict=True)],
    }


def _sampled(outcomes: Outcomes, k: int | None, metric: str, drawn: Resampling) -> tuple[float, NDArray[np.float64]]:
    """The metric of the set itself and of every resample (B,)."""
    if k is not None and k < 1:
        raise ConfigError("number of images", str(k), "numbers of images start at 1")
    found = recalls(outcomes, k, drawn)
    if metric not in (*METRICS, *found.names):
        raise ConfigError("metric", repr(metric), f"use one of {', '.join((*METRICS, *found.names))}")
    out = getattr(found, metric) if metric in METRICS else found.recall[:, found.names.index(metric)]
    return float(out[0]), out[1:]


def _over_draws(samples: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Mean (B,) over draws that are themselves drawn with replacement, from samples (D, B)."""
    draws, resamples = samples.shape
    chosen = Seeds(seed, "evaluate").rng("draws").multinomial(draws, np.full(draws, 1.0 / draws), resamples)
    return np.asarray((chosen.T * samples).mean(axis=0) if draws > 1 else samples[0], np.float64)


def _summary(values: Sequence[float], samples: NDArray[np.float64], drawn: Resampling) -> dict[str, Any]:
    return {
        "value": float(np.mean(values)),
        **percentiles(samples),
        "spread": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "each": list(values),
        "clusters": drawn.kind,
        "n_clusters": len(drawn.names),
    }


def _parts(outcomes: Outcomes | Sequence[Outcomes]) -> list[Outcomes]:
    return [outcomes] if isinstance(outcomes, Outcomes) else list(outcomes)


def _matched(a: Outcomes, b: Outcomes) -> tuple[Outcomes, Outcomes]:
    """The objects that both have, in the same order."""
    for part in (a, b):
        names, number = np.unique(part.object_id, return_counts=True)
        if (number > 1).any():
            found = f"object_id {str(names[number.argmax()])!r} occurs twice"
            raise DataError("comparing outcomes", found, "every object needs its own name")
    _, rows, others = np.intersect1d(a.object_id, b.object_id, assume_unique=True, return_indices=True)
    if not rows.size:
        raise DataError("comparing outcomes", "no object_id in common", "score both on the same data")
    a, b = a.take(rows), b.take(others)
    differ = np.flatnonzero(a.label != b.label)
    if differ.size:
        name, labels = str(a.object_id[differ[0]]), (str(a.label[differ[0]]), str(b.label[differ[0]]))
        raise DataError("comparing outcomes", f"object {name!r} is labelled {labels[0]!r} and {labels[1]!r}", "score both on the same data")
    return a, b
