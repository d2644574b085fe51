"""Rows of features: what a tree reads after k images of an object."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import ConfigError
from skyreel.features import EXTENDED, FATS, compute
from skyreel_forest.images import IMAGE_FEATURES, image_features
from skyreel_forest.track import Track

SETS = {"fats": FATS, "extended": FATS + EXTENDED}
"""Option `features` -> names of light-curve features."""
ROWS = 4096
"""Rows computed at once: bounds memory."""


def feature_names(features: str, images: bool, bands: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the columns: every light-curve feature in every band (``g.Mean``), then those of the images.

    Raises
    ------
    ConfigError
        For an unknown set.
    """
    if features not in SETS:
        raise ConfigError("classifier.features", repr(features), f"use one of {', '.join(SETS)}")
    return (*(f"{band}.{name}" for band in bands for name in SETS[features]), *(IMAGE_FEATURES if images else ()))


def feature_rows(
    track: Track, row: NDArray[np.intp], number: NDArray[np.intp], features: str, images: bool, bands: tuple[str, ...]
) -> NDArray[np.float32]:
    """Features of objects after their first images.

    Parameters
    ----------
    track : Track
    row : int (m,)
        Objects.
    number : int (m,)
        Images of each that have been seen.
    features : str
        Key of `SETS`.
    images : bool
        Whether to add `images.IMAGE_FEATURES`.
    bands : tuple of str

    Returns
    -------
    float32 array (m, F)
        In the order of `feature_names`; never NaN or infinite.
    """
    out = np.empty((len(row), len(feature_names(features, images, bands))), np.float32)
    for start in range(0, len(row), ROWS):
        part = slice(start, start + ROWS)
        out[part] = _rows(track.take(row[part]), number[part], features, images, len(bands))
    return out


def _rows(track: Track, number: NDArray[np.intp], features: str, images: bool, bands: int) -> NDArray[np.float64]:
    seen = track.good & (np.arange(track.mjd.shape[1]) < number[:, None])
    names = SETS[features]
    columns = [compute(track.mid, track.flux, track.error, seen & (track.band == band), names) for band in range(bands)]
    if images:
        columns.append(image_features(track.image, track.flux, seen))
    return np.concatenate(columns, axis=1)
