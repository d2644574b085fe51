"""From movies to the network's input: alert window, stacks of n_w images and time gaps.

`build_sequences` does it for whole movies; `stepwise.advance` does the same one image at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import DataError
from skyreel.exposures import Exposures
from skyreel.movies import Movies, Truth
from skyreel.preprocessing import UNUSABLE, SequenceOptions, calibrated, calibrated_flux, calibration, condition_vectors, scaled


@dataclass(frozen=True)
class Sequences:
    """Network input: n objects, S steps, n_w stacked images each. Padding steps are 0 with `mask` False.

    Attributes
    ----------
    stacks : float32 (n, S, n_w, C, H, W)
        Preprocessed images, the newest last.
    dt : float32 (n, S, n_w)
        Time of each stacked image since the sequence's first image [d].
    conditions : float32 (n, S, n_w, K)
        Reported conditions, normalised by `CONDITIONS`; K may be 0.
    mask : bool (n, S)
        True where the step exists.
    complete : bool (n, S)
        True where the stack holds n_w different images.
    frame : int (n, S)
        Index of the movie frame that completes the step; -1 for padding.
    """

    stacks: NDArray[np.float32]
    dt: NDArray[np.float32]
    conditions: NDArray[np.float32]
    mask: NDArray[np.bool_]
    complete: NDArray[np.bool_]
    frame: NDArray[np.intp]

    @property
    def n(self) -> int:
        """Number of objects."""
        return int(self.mask.shape[0])


def alert_window(movies: Movies, options: SequenceOptions) -> Movies:
    """The frames of section 3.1 of the paper: from `before_alert` images before the first alert, `max_images` at most.

    Unusable frames (`frame_mask` False) are dropped first. Where the frame of the alert is one of them, the next usable
    frame takes its place. Objects without an alert (or without a usable frame from it on) start at their first usable
    frame and have `first_detection` -1.

    Parameters
    ----------
    movies : Movies
    options : SequenceOptions

    Returns
    -------
    Movies
        With at most `max_images` frames, padded at the end; `truth` is cut in the same way.
    """
    usable = movies.frame_mask & movies.reported.mask
    order, valid = _time_order(usable)
    count = usable.sum(axis=1)
    earlier = np.arange(usable.shape[1]) < movies.first_detection[:, None]
    alert = np.where(movies.first_detection < 0, count, (usable & earlier).sum(axis=1))
    alerted = alert < count
    start = np.where(alerted, np.maximum(alert - options.before_alert, 0), 0)
    width = int(np.clip((count - start).max(initial=1), 1, options.max_images))
    place = start[:, None] + np.arange(width)
    inside = place < count[:, None]
    place = np.minimum(place, order.shape[1] - 1)
    inside &= np.take_along_axis(valid, place, axis=1)
    first = np.where(alerted, alert - start, -1).astype(np.int32)
    return replace(_select(movies, np.take_along_axis(order, place, axis=1), inside), first_detection=first)


def build_sequences(
    movies: Movies, options: SequenceOptions, *, incomplete: bool = False, flux: NDArray[np.float64] | None = None
) -> Sequences:
    """Network input from every usable frame, in time order (cut windows with `alert_window` before).

    Parameters
    ----------
    movies : Movies
        Every channel holds raw ADU with the reported sky.
    options : SequenceOptions
    incomplete : bool
        False: S = most usable frames - n_w + 1, all stacks complete. True: S = most usable frames; the first n_w - 1
        steps repeat the first image to fill the stack and have `complete` False.
    flux : float64 (n, U), optional
        What `fluxes` gives for these movies, if it is known; U: most usable frames.

    Returns
    -------
    Sequences

    Raises
    ------
    DataError
        For an object without a usable frame, unsorted or duplicate MJD, values that are not finite in usable frames and
        pixels, or (unless `incomplete`) when no object has n_w usable frames.
    BandError
        For a band index outside the movies' bands.
    """
    movies = replace(movies, frame_mask=movies.frame_mask & movies.reported.mask, truth=None)
    movies.check("sequences")
    order, valid = _time_order(movies.frame_mask)
    usable = _select(movies, order, valid)
    exposures, length = usable.reported, valid.sum(axis=1)
    if not incomplete and order.shape[1] < options.n_stacked:
        raise DataError(
            "sequences", f"at most {order.shape[1]} usable images", f"a stack needs {options.n_stacked}; set incomplete=True to fill it"
        )
    bad, factor = _unusable(usable), _factor(exposures)
    images = calibrated(usable.pixels, bad, exposures, factor)
    if options.scaling != "running_max":
        flux = np.zeros(valid.shape)
    elif flux is None:
        flux = calibrated_flux(usable.pixels, bad, exposures, factor)
    scale = np.maximum.accumulate(np.maximum(flux, options.flux_floor), axis=1)
    days = np.where(valid, exposures.mjd - exposures.mjd[:, :1], 0.0).astype(np.float32)

    last = np.arange(0 if incomplete else options.n_stacked - 1, order.shape[1])
    index = np.maximum(last[:, None] + np.arange(1 - options.n_stacked, 1), 0)
    mask = last < length[:, None]
    return Sequences(
        stacks=scaled(images[:, index], scale[:, last], mask, options),
        dt=np.where(mask[..., None], days[:, index], np.float32(0)),
        conditions=np.where(mask[..., None, None], condition_vectors(exposures, options)[:, index], np.float32(0)),
        mask=mask,
        complete=mask & (last >= options.n_stacked - 1),
        frame=np.where(mask, order[:, last], -1),
    )


def fluxes(movies: Movies) -> NDArray[np.float64]:
    """Flux (n, U) of the usable frames in time order on the scale of the first, -infinity where there is none.

    What ``scaling='running_max'`` divides by, and the costly part of `build_sequences`: it can be kept for movies that are used
    again.
    """
    kept = movies.frame_mask & movies.reported.mask
    usable = _select(replace(movies, truth=None), *_time_order(kept))
    return calibrated_flux(usable.pixels, _unusable(usable), usable.reported, _factor(usable.reported))


def _unusable(movies: Movies) -> NDArray[np.bool_]:
    """Pixels that are not to be used, those of masked frames among them."""
    return np.asarray(((movies.pixel_mask & UNUSABLE) != 0) | ~movies.frame_mask[:, :, None, None, None])


def _factor(exposures: Exposures) -> NDArray[np.float64]:
    """`calibration` to the first frame."""
    return calibration(exposures, exposures.zero_point[:, 0], exposures.exptime[:, 0])


def _time_order(usable: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Indices (n, U) of the usable frames moved to the front, and which of them exist."""
    order = np.argsort(~usable, axis=1, kind="stable")[:, : max(int(usable.sum(axis=1).max(initial=0)), 1)]
    return order, np.take_along_axis(usable, order, axis=1)


def _select(movies: Movies, index: NDArray[np.intp], valid: NDArray[np.bool_]) -> Movies:
    """The frames named by `index` (n, T'); where `valid` is False they are empty and masked."""
    rows = np.arange(len(movies))[:, None]
    pixels, bits = movies.pixels[rows, index], movies.pixel_mask[rows, index]
    pixels[~valid] = 0
    bits[~valid] = 0
    truth = movies.truth
    if truth is not None:
        truth = Truth(
            truth.exposures.gather(index, valid),
            np.where(valid, truth.flux[rows, index], np.float32(0)),
            np.where(valid[..., None], truth.centre[rows, index], np.float32(0)),
            truth.host,
            truth.params,
        )
    reported = movies.reported.gather(index, valid)
    return replace(movies, pixels=pixels, pixel_mask=bits, frame_mask=valid, reported=reported, truth=truth)
