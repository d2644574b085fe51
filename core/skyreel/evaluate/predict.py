"""What a classifier says about every movie of a store under one protocol, image by image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skyreel.errors import DataError
from skyreel.evaluate.outcomes import Outcomes, join_outcomes
from skyreel.evaluate.protocols import check_protocol, cut, store_lengths, usable_frames
from skyreel.interfaces import Classifier, MovieStore, PixelBits, Predictions
from skyreel.light_curves import PhotometryOptions, measure
from skyreel.movies import Movies

BATCH = 512
PHOTON_NOISE = PhotometryOptions(error_floor=0.0)
"""Photometry behind `Outcomes.mag` and `snr`: a signal to noise without the floor of the calibration."""


def outcomes_of(
    classifier: Classifier,
    store: MovieStore,
    protocol: str,
    *,
    seed: int = 0,
    group: NDArray[np.str_] | None = None,
    bright: NDArray[np.bool_] | None = None,
    lengths: ArrayLike | None = None,
    tick: Callable[[int], Any] | None = None,
    batch: int = BATCH,
) -> Outcomes:
    """Cuts every movie, classifies it and keeps what scores, controls and figures need.

    Objects without a usable image have no outcome: compare lengths with the store's, or see `unscored`.

    Parameters
    ----------
    classifier : Classifier
        Fitted or loaded.
    store : MovieStore
        Whole sequences with labels that the classifier knows.
    protocol : str
        One of `skyreel.evaluate.protocols.PROTOCOLS`.
    seed : int
        Of the protocol's draws.
    group : str (n,) or None
        Physical object of each movie; None: every object_id is one.
    bright : bool (n,) or None
        Subset of bright objects; None: all are in.
    lengths : int array or None
        Lengths to draw from in the length-matched protocols; None takes those of the store's supernovae.
    tick : callable or None
        Told the number of movies that are done after each batch.
    batch : int
        Movies held in memory at a time; the outcomes do not depend on it.

    Returns
    -------
    Outcomes
        Objects in the store's order.

    Raises
    ------
    ConfigError
        For an unknown protocol.
    DataError
        If no object has a usable image, a probability is NaN, or a length-matched protocol finds no lengths.
    """
    assert classifier.task is not None
    options = classifier.task.sequence
    if check_protocol(protocol).startswith("length_matched") and lengths is None:
        lengths = store_lengths(store, options, batch)
    parts = []
    for start in range(0, len(store), batch):
        rows = np.arange(start, min(start + batch, len(store)))
        movies = store.take(rows)
        kept = usable_frames(movies).any(axis=1)
        if kept.any():
            window = cut(movies if kept.all() else movies.take(kept), protocol, options, seed=seed, lengths=lengths)
            names = window.object_id if group is None else group[rows[kept]]
            subset = np.ones(len(window), np.bool_) if bright is None else bright[rows[kept]]
            parts.append(outcomes_from(classifier.predict(window), window, group=names, bright=subset))
        if tick:
            tick(len(rows))
    if not parts:
        raise DataError("scoring", "no object with a usable image", "check the movies' frame_mask")
    return join_outcomes(parts)


def outcomes_from(predictions: Predictions, window: Movies, *, group: NDArray[np.str_], bright: NDArray[np.bool_]) -> Outcomes:
    """Outcomes of movies that are cut already.

    Parameters
    ----------
    predictions : Predictions, (n, T, C)
        On the frames of `window`.
    window : Movies
        What `skyreel.evaluate.protocols.cut` returned, with a usable image of every object.
    group, bright : (n,) arrays
        See `Outcomes`.

    Raises
    ------
    DataError
        If the shapes disagree, an object has no answer, or an answer is NaN.
    """
    mask = predictions.mask
    if mask.shape != window.frame_mask.shape:
        raise DataError("scoring", f"predictions of shape {mask.shape} for movies {window.frame_mask.shape}", "predict the same movies")
    total = mask.sum(axis=1)
    if not (total > 0).all():
        name = str(window.object_id[int(np.argmin(total > 0))])
        raise DataError("scoring", f"no probability for object {name!r}", "leave objects without a usable image out")
    bad = mask & ~np.isfinite(predictions.probabilities).all(axis=2)
    if bad.any():
        row, epoch = (int(index[0]) for index in np.nonzero(bad))
        found = f"NaN probability for object {str(window.object_id[row])!r}, frame {epoch}"
        raise DataError("scoring", found, "mask that frame or look into the classifier")
    order = np.argsort(~mask, axis=1, kind="stable")[:, : int(total.max())]
    exists = np.arange(order.shape[1]) < total[:, None]
    first = window.first_detection
    place = (mask & (np.arange(mask.shape[1]) <= first[:, None])).sum(axis=1)
    probabilities = np.take_along_axis(predictions.probabilities, order[..., None], axis=1)
    mag, snr = _brightness(window)
    saturated = ((window.pixel_mask & PixelBits.SATURATED) != 0).any(axis=(2, 3, 4))
    return Outcomes(
        predictions.classes,
        np.where(exists[..., None], probabilities, np.float32(np.nan)),
        np.where(exists, np.take_along_axis(window.reported.mjd, order, axis=1), np.nan),
        total.astype(np.intp),
        object_id=window.object_id,
        group=np.asarray(group),
        label=window.label,
        field=window.reported.field[:, 0],
        alert=np.where(first >= 0, place, 0).astype(np.int32),
        mag=mag,
        snr=snr,
        saturated=(saturated & usable_frames(window)).any(axis=1),
        bright=np.asarray(bright, np.bool_),
    )


def unscored(store: MovieStore, outcomes: Outcomes) -> dict[str, int]:
    """Label -> movies of the store that had no usable image, for labels with any."""
    names, total = np.unique(np.asarray(store.label), return_counts=True)
    missing = {str(name): int(n - (outcomes.label == name).sum()) for name, n in zip(names, total, strict=True)}
    return {name: number for name, number in missing.items() if number}


def _brightness(window: Movies) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Median PSF magnitude and median signal to noise (n,) of the window's images; NaN without a positive flux or any point."""
    curves = measure(window, PHOTON_NOISE)
    flux = np.where(curves.mask, curves.flux, np.nan)
    snr = np.divide(flux, curves.error, out=np.full(flux.shape, np.nan), where=curves.mask & (curves.error > 0))
    known = curves.mask.any(axis=1)
    middle, ratio = (np.full(len(window), np.nan) for _ in range(2))
    middle[known], ratio[known] = np.nanmedian(flux[known], axis=1), np.nanmedian(snr[known], axis=1)
    positive = middle > 0
    return np.where(positive, 25.0 - 2.5 * np.log10(np.where(positive, middle, 1.0)), np.nan), ratio
