"""Scores of a classifier after every number of images (section 4 of Carrasco-Davis et al. 2018, figures 5 to 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from skyreel.errors import ConfigError, DataError
from skyreel.evaluate.calibration import calibration_error
from skyreel.evaluate.outcomes import Outcomes
from skyreel.evaluate.resampling import RESAMPLES, Resampling, percentiles, recalls, resample
from skyreel.evaluate.strata import strata
from skyreel.evaluate.timing import at_alert, stable_answer

N_IMAGES = (3, 5, 10, 22)
"""Numbers of images that tables and confusion matrices show; 22 is the paper's N_d."""
LONGEST = 22
"""Scores are given after every number of images up to the paper's N_d (section 3.1)."""


def score(
    outcomes: Outcomes,
    n_images: Sequence[int] = N_IMAGES,
    *,
    prevalence: Mapping[str, float] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    unscored: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Every score of one classifier on one set: the content of ``metrics.json``.

    The predicted class is the most probable of *all* trained classes; recalls are given for the classes that occur among
    the labels. An object with fewer than k images counts with its last one.

    Parameters
    ----------
    outcomes : Outcomes
    n_images : sequence of int
        Numbers of images to show in tables and figures; `by_n_images` holds them and all of 1..22.
    prevalence : mapping of str -> float, or None
        Share of each class among the objects that precision is stated for; shares of classes without objects here are
        dropped and the others scaled to a sum of 1. None: all classes are equally frequent.
    seed : int
        Of the bootstrap.
    resamples : int
    unscored : mapping of str -> int, or None
        Objects of each label that had no usable image (`predict.unscored`), to be passed on.

    Returns
    -------
    dict
        JSON-ready. At the top level the scores at each object's last image:

        - ``recall`` (class -> right / all of that class), ``mean_recall`` (every class weighs the same), ``accuracy``; each
          with ``..._error`` (binomial standard error, sqrt(r (1 - r) / n); 0 at r = 0 and 1) and ``..._interval``: ``68`` and
          ``95`` -> [lower, upper] of the bootstrap over fields (`resampling.resample`);
        - ``precision`` (class -> share of the objects given that class which belong to it, at the stated prevalence; None
          where none is given it);
        - ``log_loss`` (mean of -ln p of the true class over objects, p clipped at the smallest float32 step), ``brier``
          (mean over objects of sum (p - y)^2 over classes, 0 to 2; Brier 1950), ``ece``, ``ece_interval``, ``ece_chance``
          (`calibration.calibration_error`);
        - ``confusion`` (true class -> predicted class -> objects);

        and ``classes`` (trained), ``counts`` and ``unscored`` (class -> objects), ``n_objects``, ``n_images``, ``prevalence``
        (class -> share used), ``bootstrap`` (resamples, seed, clusters, n_clusters), ``area`` (mean of the mean recall over
        1..22 images) and ``area_interval``, ``stable`` (`timing.stable_answer`), ``alert`` (`timing.at_alert`), ``strata``
        (`strata.strata`), ``bright`` (None where every object is in the subset; else ``counts``, ``n_objects``, the recalls
        and accuracy with errors and intervals as above, and ``by_n_images`` -> ``mean_recall``), and ``by_n_images``: number
        of images -> the scores of the list above and ``reached``, the objects that have as many images.

    Raises
    ------
    ConfigError
        For a prevalence that lacks a class, is negative or zero for all classes.
    DataError
        If a label is not a trained class, there is no object, a probability is NaN, or a number of images is not positive.
    """
    _check(outcomes, n_images)
    shares = _shares(outcomes, prevalence)
    drawn = resample([outcomes], seed, resamples)
    steps = sorted({*range(1, LONGEST + 1), *n_images})
    longest = int(outcomes.n_images.max())
    tables = {k: _Answers(outcomes, k, drawn) for k in {*steps, longest}}
    scores = {k: table.scores() | table.quality(shares) for k, table in tables.items()}
    curve = np.stack([tables[k].found.mean_recall for k in range(1, LONGEST + 1)]).mean(axis=0)
    return {
        **scores[longest],
        "classes": list(outcomes.classes),
        "counts": _count(outcomes),
        "unscored": dict(unscored or {}),
        "n_objects": len(outcomes),
        "n_images": list(n_images),
        "prevalence": shares,
        "bootstrap": {"resamples": resamples, "seed": seed, "clusters": drawn.kind, "n_clusters": len(drawn.names)},
        "area": float(curve[0]),
        "area_interval": percentiles(curve[1:]),
        "stable": stable_answer(outcomes),
        "alert": at_alert(outcomes),
        "strata": strata(outcomes),
        "bright": _bright(outcomes, steps, seed, resamples),
        "by_n_images": {str(k): {**scores[k], "reached": int((outcomes.n_images >= k).sum())} for k in steps},
    }


class _Answers:
    """What a classifier said after k images, and the confusion counts of every resample.

    Parameters
    ----------
    outcomes : Outcomes
    k : int
    drawn : Resampling
        Of these outcomes.
    """

    def __init__(self, outcomes: Outcomes, k: int, drawn: Resampling) -> None:
        self.outcomes, self.k, self.drawn = outcomes, k, drawn
        classes = outcomes.classes
        self.probabilities = outcomes.after(k).astype(np.float64)
        self.truth = outcomes.truth
        guess = outcomes.after(k).argmax(axis=1)
        size = len(classes)
        self.confusion = np.bincount(self.truth * size + guess, minlength=size * size).reshape(size, size)
        self.found = recalls(outcomes, k, drawn)
        self.present = [classes.index(name) for name in self.found.names]

    def scores(self) -> dict[str, Any]:
        """Recalls and accuracy with errors and intervals, and the confusion matrix."""
        classes, found = self.outcomes.classes, self.found
        number = found.objects[0]
        recall, accuracy = found.recall[0], found.accuracy[0]
        error = _binomial_error(recall, number)
        return {
            "mean_recall": float(found.mean_recall[0]),
            "mean_recall_error": float(np.sqrt((error**2).sum()) / len(number)),
            "mean_recall_interval": percentiles(found.mean_recall[1:]),
            "accuracy": float(accuracy),
            "accuracy_error": float(_binomial_error(accuracy, number.sum())),
            "accuracy_interval": percentiles(found.accuracy[1:]),
            "recall": dict(zip(found.names, recall.tolist(), strict=True)),
            "recall_error": dict(zip(found.names, error.tolist(), strict=True)),
            "recall_interval": {name: percentiles(column) for name, column in zip(found.names, found.recall[1:].T, strict=True)},
            "confusion": {classes[row]: dict(zip(classes, self.confusion[row].tolist(), strict=True)) for row in self.present},
        }

    def quality(self, shares: Mapping[str, float]) -> dict[str, Any]:
        """Precision at the prevalence `shares`, log loss, Brier score and calibration error."""
        own = self.probabilities[np.arange(len(self.truth)), self.truth]
        answer = self.truth[:, None] == np.arange(len(self.outcomes.classes))
        return {
            "precision": self._precision(shares),
            "log_loss": float(-np.log(np.clip(own, np.finfo(np.float32).eps, 1.0)).mean()),
            "brier": float(((self.probabilities - answer) ** 2).sum(axis=1).mean()),
            **calibration_error(self.outcomes, self.k, self.drawn),
        }

    def _precision(self, shares: Mapping[str, float]) -> dict[str, float | None]:
        rates = self.confusion[self.present] / self.confusion[self.present].sum(axis=1, keepdims=True)
        given = np.array([shares[name] for name in self.found.names])[:, None] * rates
        total = given.sum(axis=0)
        return {
            name: float(given[row, index] / total[index]) if total[index] > 0 else None
            for row, (name, index) in enumerate(zip(self.found.names, self.present, strict=True))
        }


def _bright(outcomes: Outcomes, steps: Sequence[int], seed: int, resamples: int) -> dict[str, Any] | None:
    """Scores of the bright subset alone."""
    if outcomes.bright.all() or not outcomes.bright.any():
        return None
    subset = outcomes.take(outcomes.bright)
    drawn = resample([subset], seed, resamples)
    scores = {k: _Answers(subset, k, drawn).scores() for k in {*steps, int(subset.n_images.max())}}
    return {
        **scores[int(subset.n_images.max())],
        "counts": _count(subset),
        "n_objects": len(subset),
        "by_n_images": {str(k): {"mean_recall": scores[k]["mean_recall"], "recall": scores[k]["recall"]} for k in steps},
    }


def _shares(outcomes: Outcomes, prevalence: Mapping[str, float] | None) -> dict[str, float]:
    """Share of every class that occurs; they add up to 1."""
    names = list(_count(outcomes))
    given = dict.fromkeys(names, 1.0) if prevalence is None else dict(prevalence)
    missing = [name for name in names if name not in given]
    if missing:
        raise ConfigError("prevalence", f"no share of {', '.join(missing)}", "give one of every class in the set")
    if not all(0 <= share < np.inf for share in given.values()) or not sum(given[name] for name in names) > 0:
        remedy = "shares are finite and not negative, and at least one class of the set has a positive one"
        raise ConfigError("prevalence", str(given), remedy)
    total = sum(given[name] for name in names)
    return {name: float(given[name] / total) for name in names}


def _binomial_error(share: Any, number: Any) -> Any:
    return np.sqrt(share * (1.0 - share) / number)


def _count(outcomes: Outcomes) -> dict[str, int]:
    numbers = {name: int((outcomes.label == name).sum()) for name in outcomes.classes}
    return {name: number for name, number in numbers.items() if number}


def _check(outcomes: Outcomes, n_images: Sequence[int]) -> None:
    if not len(outcomes):
        raise DataError("scoring", "no object with a usable image", "check the movies' frame_mask")
    if not all(k >= 1 for k in n_images):
        raise DataError("scoring: n_images", str(list(n_images)), "numbers of images start at 1")
    exists = np.arange(outcomes.mjd.shape[1]) < outcomes.n_images[:, None]
    bad = exists & ~np.isfinite(outcomes.probabilities).all(axis=2)
    if bad.any():
        row, image = (int(index[0]) for index in np.nonzero(bad))
        found = f"NaN probability for object {str(outcomes.object_id[row])!r}, image {image + 1}"
        raise DataError("scoring", found, "look into the classifier")
