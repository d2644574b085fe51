"""What each control may see of a movie: one cheap thing, as a few numbers per object."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from skyreel import features
from skyreel.errors import DataError
from skyreel.evaluate.controls_first import FAINT, first_frame_inputs
from skyreel.evaluate.controls_noise import noise_inputs
from skyreel.light_curves import LightCurves, measure
from skyreel.movies import Movies
from skyreel.seeding import Seeds

CONTROLS = {
    "magnitude_only": "the median PSF magnitude",
    "first_frame_only": "the first image: flux, profile, shape, noise, conditions",
    "length_only": "the number of images",
    "noise_only": "background noise and centring, not the source",
    "shuffled_time": "the light curve with its points exchanged at random",
}
"""Name -> what it sees, in the order of all tables."""

SHUFFLED = tuple(
    name for name in (*features.FATS, *features.EXTENDED) if features.FEATURES[name].group in ("order", "moments", "level", "noise")
)
"""Features of the shuffled light curves: those of the distribution of fluxes and errors, and the cheap ones that read the
order (trend, slopes, memory), which then say nothing but how large they are by chance."""

_BATCH = 256
"""Movies worked on at once."""


def control_inputs(movies: Movies, *, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """The numbers each control sees.

    Those of an object depend on its own movie, its `object_id` and the seed alone.

    Parameters
    ----------
    movies : Movies
        Windows as a protocol cut them.
    seed : int
        Of the permutations of `shuffled_time`.

    Returns
    -------
    dict of str -> float32 (n, F)
        Keys of `CONTROLS`; always finite:

        - ``magnitude_only``: magnitude of the median PSF flux, as `Outcomes.mag`; 30 where that is not positive.
        - ``first_frame_only``: `skyreel.evaluate.controls_first.first_frame_inputs`.
        - ``length_only``: number of usable images.
        - ``noise_only``: `skyreel.evaluate.controls_noise.noise_inputs`.
        - ``shuffled_time``: the features `SHUFFLED` of a light curve whose fluxes, with their errors, have been permuted
          over its dates: all that the distribution of fluxes tells, and nothing of their order.

    Raises
    ------
    DataError
        For a movie without a usable image.
    """
    usable = (movies.frame_mask & movies.reported.mask).any(axis=1)
    if not usable.all():
        name = str(movies.object_id[int(np.argmin(usable))])
        raise DataError(f"controls: object {name!r}", "no usable image", "leave such objects out")
    parts = [_inputs(movies.take(slice(start, start + _BATCH)), seed) for start in range(0, len(movies), _BATCH)]
    return {name: np.concatenate([part[name] for part in parts]) for name in CONTROLS}


def _inputs(movies: Movies, seed: int) -> dict[str, NDArray[np.float32]]:
    curves = measure(movies)
    columns = {
        "magnitude_only": _magnitude(curves)[:, None],
        "first_frame_only": first_frame_inputs(movies, curves),
        "length_only": (movies.frame_mask & movies.reported.mask).sum(axis=1)[:, None],
        "noise_only": noise_inputs(movies, curves.snr),
        "shuffled_time": features.compute(*shuffled(curves, seed), names=SHUFFLED),
    }
    return {name: columns[name].astype(np.float32) for name in CONTROLS}


def _magnitude(curves: LightCurves) -> NDArray[np.float64]:
    known = np.asarray(curves.mask.any(axis=1))
    points = np.where(curves.mask, curves.flux, np.nan)
    flux = np.nanmedian(np.where(known[:, None], points, 0.0), axis=1)
    return np.where(flux > 0, curves.zero_point - 2.5 * np.log10(np.where(flux > 0, flux, 1.0)), FAINT)


def shuffled(curves: LightCurves, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Dates, and fluxes and errors that have been permuted over them.

    Parameters
    ----------
    curves : LightCurves
    seed : int

    Returns
    -------
    mjd, flux, error : float64 (n, T)
    mask : bool (n, T)
        As in `curves`: only points that exist exchange their places.
    """
    digests = b"".join(hashlib.sha256(name.encode()).digest()[:8] for name in curves.object_id.tolist())
    keys = np.frombuffer(digests, "<i8")[:, None] + np.arange(curves.mask.shape[1])
    draws = Seeds(seed).exposure_uniform(keys, "shuffled time")
    place = np.argsort(~curves.mask, axis=1, kind="stable")
    source = np.argsort(np.where(curves.mask, draws, np.inf), axis=1, kind="stable")
    flux, error = np.empty_like(curves.flux), np.empty_like(curves.error)
    for column, values in ((flux, curves.flux), (error, curves.error)):
        np.put_along_axis(column, place, np.take_along_axis(values, source, axis=1), axis=1)
    return curves.mjd, flux, error, curves.mask
