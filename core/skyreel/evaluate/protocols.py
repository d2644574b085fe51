"""How the movies of a scored set are cut before a classifier sees them: the frozen protocols of docs/protocol.md."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skyreel.errors import ConfigError, DataError
from skyreel.evaluate.triggers import first_rise
from skyreel.interfaces import MovieStore
from skyreel.movies import Movies
from skyreel.preprocessing import SequenceOptions
from skyreel.sequences import alert_window

PROTOCOLS = ("label_blind", "paper", "length_matched_first", "length_matched_last")
"""The primary protocol first."""
LONGEST_WINDOW = 18
"""Most images of a label-blind window: all but a few sequences of HiTS have at least as many usable images (19 to 25)."""
MATCHED = "supernova"
"""The class whose lengths the other classes get in the length-matched protocols."""


def check_protocol(protocol: str) -> str:
    """The name of a protocol, as it came in.

    Raises
    ------
    ConfigError
        For an unknown name; the message lists the known ones and the nearest.
    """
    if protocol not in PROTOCOLS:
        near = difflib.get_close_matches(protocol, PROTOCOLS, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError("protocol", repr(protocol), f"{hint}use one of {', '.join(PROTOCOLS)}")
    return protocol


def cut(movies: Movies, protocol: str, options: SequenceOptions, *, seed: int = 0, lengths: ArrayLike | None = None) -> Movies:
    """The frames that a classifier may see, under one protocol.

    Unusable frames are dropped first. What is drawn for an object depends on (seed, object_id) alone, so that neither
    the order nor the batch matters.

    - ``label_blind``: neither the label nor `first_detection` is read. The trigger is `triggers.first_rise`, or the
      middle of the sequence (image N // 2 of N, counted from 0) where nothing rises. A length is drawn from
      `window_lengths`, the same for all objects; the window starts `before_alert` images before the trigger, earlier
      where the sequence would end too soon, and holds the whole sequence where that is shorter.
    - ``paper``: `alert_window`: from `before_alert` images before the first alert; objects without alert from the first
      usable image (section 4 of Carrasco-Davis et al. 2018).
    - ``length_matched_first``: supernovae as in ``paper``; every other object gets a length drawn from `lengths` and keeps
      its first images. Other objects with an alert keep the paper's start.
    - ``length_matched_last``: the same, but objects without alert keep their last images.

    Parameters
    ----------
    movies : Movies
        Whole sequences.
    protocol : str
        One of `PROTOCOLS`.
    options : SequenceOptions
        `before_alert` and `max_images` are read.
    seed : int
    lengths : int array or None
        Numbers of images to draw from in the length-matched protocols; None takes those of the supernovae in `movies`.
        Hand them in when a set is cut in batches.

    Returns
    -------
    Movies
        Padded at the end. `first_detection` is the index of the trigger or alert in the window, -1 for none (label_blind:
        where the middle was taken).

    Raises
    ------
    ConfigError
        For an unknown protocol.
    DataError
        If a length-matched protocol has no lengths to draw from, or one that is not positive; label_blind: if the stamps are
        too small for a sky from their border, or conditions of usable frames are not finite.
    """
    check_protocol(protocol)
    if protocol == "label_blind":
        return _label_blind(movies, options, seed)
    paper = alert_window(movies, options)
    if protocol == "paper":
        return paper
    chosen = matched_lengths(movies, options) if lengths is None else np.asarray(lengths, np.intp)
    if not chosen.size or not (chosen >= 1).all():
        found = "no supernova with a usable image" if not chosen.size else f"a length of {chosen.min()}"
        raise DataError(f"protocol {protocol}", found, "hand in lengths of 1 or more, or movies of supernovae")
    others = movies.label != MATCHED
    length = np.where(others, _draw(chosen, movies.object_id, seed, "matched length"), options.max_images)
    if protocol == "length_matched_last":
        no_alert = others & (paper.first_detection < 0)
        count = usable_frames(movies).sum(axis=1)
        start = np.where(no_alert, np.maximum(count - length, 0), _paper_start(movies, paper, options))
    else:
        start = _paper_start(movies, paper, options)
    return _window(movies, start, np.minimum(length, options.max_images), movies.first_detection)


def matched_lengths(movies: Movies, options: SequenceOptions) -> NDArray[np.intp]:
    """Numbers of images of the supernovae's windows under the paper's protocol, in increasing order.

    Parameters
    ----------
    movies : Movies
    options : SequenceOptions

    Returns
    -------
    int array (number of supernovae with a usable image,)
    """
    supernovae = np.flatnonzero((movies.label == MATCHED) & usable_frames(movies).any(axis=1))
    if not supernovae.size:
        return np.zeros(0, np.intp)
    return np.sort(alert_window(movies.take(supernovae), options).frame_mask.sum(axis=1)).astype(np.intp)


def store_lengths(store: MovieStore, options: SequenceOptions, batch: int = 512) -> NDArray[np.intp]:
    """`matched_lengths` of a whole store, read in batches.

    Parameters
    ----------
    store : MovieStore
    options : SequenceOptions
    batch : int
        Movies held in memory at a time.
    """
    rows = np.flatnonzero(np.asarray(store.label) == MATCHED)
    parts = [matched_lengths(store.take(part), options) for part in _batches(rows, batch)]
    return np.sort(np.concatenate([np.zeros(0, np.intp), *parts]))


def window_lengths(options: SequenceOptions) -> NDArray[np.intp]:
    """The numbers of images that label-blind windows are drawn from, each with the same probability.

    From `before_alert` + 1 (the trigger is the last image) to `LONGEST_WINDOW`, or `max_images` where that is less.
    """
    return np.arange(options.before_alert + 1, max(min(LONGEST_WINDOW, options.max_images), options.before_alert + 1) + 1)


def blind_lengths(object_id: NDArray[np.str_], options: SequenceOptions, seed: int = 0) -> NDArray[np.intp]:
    """Numbers of images (n,) drawn for the label-blind windows of objects (n,), before short sequences shorten them."""
    return _draw(window_lengths(options), object_id, seed, "window length")


def usable_frames(movies: Movies) -> NDArray[np.bool_]:
    """Frames (n, T) that exist and can be used."""
    return np.asarray(movies.frame_mask & movies.reported.mask)


def _label_blind(movies: Movies, options: SequenceOptions, seed: int) -> Movies:
    usable = usable_frames(movies)
    count = usable.sum(axis=1)
    trigger = first_rise(movies)
    rose = trigger >= 0
    rank = np.where(rose, (usable & (np.arange(usable.shape[1]) < trigger[:, None])).sum(axis=1), count // 2)
    length = np.minimum(blind_lengths(movies.object_id, options, seed), count)
    start = np.clip(np.minimum(rank - options.before_alert, count - length), 0, None)
    return _window(movies, start, length, trigger)


def _paper_start(movies: Movies, paper: Movies, options: SequenceOptions) -> NDArray[np.intp]:
    """Rank (n,) of the first usable frame of the paper's window among the usable frames."""
    usable = usable_frames(movies)
    earlier = (usable & (np.arange(usable.shape[1]) < movies.first_detection[:, None])).sum(axis=1)
    return np.where(paper.first_detection >= 0, np.maximum(earlier - options.before_alert, 0), 0).astype(np.intp)


def _window(movies: Movies, start: NDArray[np.intp], length: NDArray[np.intp], first: NDArray[np.int32]) -> Movies:
    """`length` (n,) usable frames from the `start`-th on; `first` (n,) is the frame to find again in the window."""
    usable = usable_frames(movies)
    rank = np.cumsum(usable, axis=1) - 1
    inside = usable & (rank >= start[:, None]) & (rank < (start + length)[:, None])
    epochs = usable.shape[1]
    whole = SequenceOptions(n_stacked=1, max_images=epochs + 1, before_alert=epochs)
    return alert_window(replace(movies, frame_mask=inside, first_detection=first), whole)


def _draw(values: NDArray[np.intp], object_id: NDArray[np.str_], seed: int, purpose: str) -> NDArray[np.intp]:
    """One of `values` for each object (n,), a function of (seed, purpose, object_id) alone."""
    digests = b"".join(hashlib.sha256(f"{seed}\x1f{purpose}\x1f{name}".encode()).digest()[:8] for name in object_id.tolist())
    uniform = np.frombuffer(digests, "<u8") * 2.0**-64
    return np.asarray(values[np.minimum((uniform * len(values)).astype(np.intp), len(values) - 1)], np.intp)


def _batches(rows: NDArray[np.intp], batch: int) -> Sequence[NDArray[np.intp]]:
    return [rows[start : start + batch] for start in range(0, len(rows), batch)]
