"""Measures a library of star shapes on movies of constant stars."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skyreel.movies import Movies
from skyreel_psf.departures import Departures, Measured, grouped_means, split
from skyreel_psf.library import SIDE, Library
from skyreel_psf.stars import STARS_PER_EXPOSURE, Shapes, shapes

Array = NDArray[np.float64]

COMPONENTS = 12
"""Principal components kept: those beyond carry less than the photon noise."""

DEGREE = 4
"""Of the average star as a polynomial in the logarithm of the width."""

DOUBLE = 3.5
"""Root mean square over components, in robust standard deviations of stars, beyond which a star is unlike those on its CCD."""

FRAMES_KEPT = 2000
"""Single frames whose departures can be drawn."""


def measure(movies: Movies) -> Library:
    """A library of the shapes of these stars.

    Stars are shifted to their centres and divided by their flux (`stars.shapes`). The average is a polynomial in the
    logarithm of the adaptive width; principal components of the rest hold how stars depart from it (`departures.split`).

    Parameters
    ----------
    movies : Movies
        Constant, isolated stars; every exposure is shared by many of them.

    Raises
    ------
    DataError
        For stamps that are too small or exposures with too few stars, see `stars.shapes`.
    """
    found = shapes(movies)
    found = found.take(~_double(_principal(found)[2], found))
    mean, component, amplitude = _principal(found)
    return Library(
        log_width=found.log_width[[np.argmin(found.log_width), np.argmax(found.log_width)]],
        mean=np.asarray(mean, np.float64).reshape(-1, SIDE, SIDE),
        ring=found.wings.ring,
        wing=found.wings.wing,
        fall=np.array(found.wings.fall),
        component=component.reshape(-1, SIDE, SIDE),
        departures=_departures(amplitude, found),
    )


def _principal(found: Shapes) -> tuple[Array, Array, Array]:
    """Polynomial of the average star, principal components of the rest, and their amplitudes (m, COMPONENTS)."""
    low, high = found.log_width.min(), found.log_width.max()
    powers = ((2.0 * found.log_width - low - high) / (high - low))[:, None] ** np.arange(DEGREE + 1)
    rows = found.image.reshape(len(found.image), -1)
    mean = np.linalg.lstsq(powers, rows, rcond=None)[0]
    rest = rows - powers @ mean
    component = np.linalg.svd(rest.T @ rest)[2][:COMPONENTS]
    return mean, component, rest @ component.T


def _double(amplitude: Array, found: Shapes) -> NDArray[np.bool_]:
    """Frames (m,) of stars whose mean shape is unlike that of all others on their CCD: stars with close companions."""
    frames = found.frames
    _, exposure, shared = np.unique(frames.exposure, return_inverse=True, return_counts=True)
    left = amplitude - grouped_means(amplitude, exposure, len(shared))[exposure]
    _, first, star = np.unique(frames.star, return_index=True, return_inverse=True)
    mean, ccd = grouped_means(left, star, len(first)), frames.ccd[first]
    usual = np.stack([np.median(mean[ccd == number], axis=0) for number in ccd])
    robust = 1.4826 * np.median(np.abs(mean - np.median(mean, axis=0)), axis=0)
    odd = np.sqrt((((mean - usual) / robust) ** 2).mean(axis=1)) > DOUBLE
    return np.asarray(odd[star])


def _departures(amplitude: Array, found: Shapes) -> Departures:
    frames = found.frames
    _, first, exposure, count = np.unique(frames.exposure, return_index=True, return_inverse=True, return_counts=True)
    rich = count >= STARS_PER_EXPOSURE
    usual = grouped_means(found.log_width[:, None], exposure, len(count))[:, 0]
    wider = found.log_width - usual[exposure]
    noise = np.append(np.broadcast_to(found.variance[:, None], amplitude.shape), np.zeros((len(wider), 1)), axis=1)
    seen = Measured(np.column_stack([amplitude, wider]), noise, exposure, frames.ccd.astype(np.int64), frames.star)
    ccd, pattern, star, frame = split(seen, rich)
    step = max(1, len(frame) // FRAMES_KEPT)
    return Departures(frames.seeing[first][rich], frames.mjd[first][rich], usual[rich], ccd, pattern, star, frame[::step])
