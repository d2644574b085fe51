"""Scores of a classifier after every number of images (section 4 of Carrasco-Davis et al. 2018, figures 5 to 7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from skyreel.errors import DataError
from skyreel.interfaces import Predictions

N_IMAGES = (3, 5, 10, 22)
"""Numbers of images that tables and confusion matrices show; 22 is the paper's N_d."""
LONGEST = 22
"""Scores are given after every number of images up to the paper's N_d (section 3.1)."""


def score(predictions: Predictions, label: NDArray[np.str_], n_images: Sequence[int] = N_IMAGES) -> dict[str, Any]:
    """Recall, accuracy, confusion and log loss after every number of images: the content of ``metrics.json``.

    The k-th image of an object is its k-th frame with ``predictions.mask``; an object with fewer than k images counts
    with its last one. The predicted class is the most probable of *all* trained classes, recalls are given for the
    classes that occur in `label`. Objects without any usable image have no score and are counted apart.

    Parameters
    ----------
    predictions : Predictions, (n, T, C)
    label : str (n,)
        True classes.
    n_images : sequence of int
        Numbers of images to show in tables and figures; `by_n_images` holds them and all of 1..22.

    Returns
    -------
    dict
        JSON-ready. At the top level the scores at each object's last image (see `_scores` for the keys), ``classes``
        (trained), ``counts`` and ``unscored`` (class -> objects), ``n_objects``, ``n_images``, and ``by_n_images``:
        number of images -> the same scores and ``reached``, the objects that have as many images.

    Raises
    ------
    DataError
        If shapes disagree, a label is not a trained class, no object is usable, a probability is NaN, or a number of
        images is not positive.
    """
    label = np.asarray(label, np.str_)
    _check(predictions, label, n_images)
    classes = predictions.classes
    total = predictions.mask.sum(axis=1)
    scored = total > 0
    truth = np.array([classes.index(name) for name in label[scored]], np.intp)
    total = total[scored]
    order = np.argsort(~predictions.mask[scored], axis=1, kind="stable")

    def at(k: int) -> dict[str, Any]:
        place = order[np.arange(len(total)), np.minimum(k, total) - 1]
        return _scores(predictions.probabilities[np.flatnonzero(scored), place], truth, classes)

    steps = sorted({*range(1, LONGEST + 1), *n_images})
    return {
        **at(int(total.max())),
        "classes": list(classes),
        "counts": _count(label[scored], classes),
        "unscored": _count(label[~scored], classes),
        "n_objects": len(total),
        "n_images": list(n_images),
        "by_n_images": {str(k): {**at(k), "reached": int((total >= k).sum())} for k in steps},
    }


def _scores(probabilities: NDArray[np.floating], truth: NDArray[np.intp], classes: Sequence[str]) -> dict[str, Any]:
    """Scores of one probability vector per object.

    Parameters
    ----------
    probabilities : (n, C)
    truth : int (n,)
    classes : sequence of str

    Returns
    -------
    dict
        ``recall`` (class -> correct / all of that class), ``recall_error`` (binomial standard error
        sqrt(r (1 - r) / n); 0 at r = 0 and 1), ``mean_recall`` (every class weighs the same) and ``accuracy`` with their
        errors, ``log_loss`` (mean of -ln p of the true class over objects, p clipped at the smallest float32 step),
        ``confusion`` (true class -> predicted class -> objects).
    """
    matrix = confusion_matrix(truth, probabilities.argmax(axis=1), labels=np.arange(len(classes)))
    objects = matrix.sum(axis=1)
    present = np.flatnonzero(objects).tolist()
    recall = matrix[present, present] / objects[present]
    error = _binomial_error(recall, objects[present])
    accuracy = np.trace(matrix) / objects.sum()
    own = np.clip(probabilities[np.arange(len(truth)), truth].astype(np.float64), np.finfo(np.float32).eps, 1.0)
    names = [classes[k] for k in present]
    return {
        "mean_recall": float(recall.mean()),
        "mean_recall_error": float(np.sqrt((error**2).sum()) / len(present)),
        "accuracy": float(accuracy),
        "accuracy_error": float(_binomial_error(accuracy, objects.sum())),
        "log_loss": float(-np.log(own).mean()),
        "recall": dict(zip(names, recall.tolist(), strict=True)),
        "recall_error": dict(zip(names, error.tolist(), strict=True)),
        "confusion": {classes[k]: dict(zip(classes, matrix[k].tolist(), strict=True)) for k in present},
    }


def _binomial_error(share: Any, number: Any) -> Any:
    return np.sqrt(share * (1.0 - share) / number)


def _count(label: NDArray[np.str_], classes: Sequence[str]) -> dict[str, int]:
    numbers = {name: int((label == name).sum()) for name in classes}
    return {name: number for name, number in numbers.items() if number}


def _check(predictions: Predictions, label: NDArray[np.str_], n_images: Sequence[int]) -> None:
    n, epochs = predictions.mask.shape
    wanted = (n, epochs, len(predictions.classes))
    if predictions.probabilities.shape != wanted or label.shape != (n,):
        found = f"probabilities {predictions.probabilities.shape} and {label.shape} labels"
        raise DataError("scoring", found, f"mask and classes ask for {wanted} and {(n,)}")
    unknown = sorted(set(label.tolist()) - set(predictions.classes))
    if unknown:
        names = ", ".join(repr(name) for name in unknown)
        raise DataError("scoring", f"labels {names}; the classifier knows {', '.join(predictions.classes)}", "leave these objects out")
    if not predictions.mask.any():
        raise DataError("scoring", "no object with a usable image", "check the movies' frame_mask")
    if not all(k >= 1 for k in n_images):
        raise DataError("scoring: n_images", str(list(n_images)), "numbers of images start at 1")
    bad = predictions.mask & ~np.isfinite(predictions.probabilities).all(axis=2)
    if bad.any():
        row, epoch = (int(index[0]) for index in np.nonzero(bad))
        raise DataError("scoring", f"NaN probability for object {row}, frame {epoch}", "mask that frame or look into the classifier")
