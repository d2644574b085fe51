"""What has been measured on the images so far: the forest's memory of every object, and its bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from skyreel.errors import DataError, ModelError
from skyreel.light_curves import PhotometryOptions, measure
from skyreel.movies import Movies
from skyreel_forest.images import COLUMNS, frame_columns
from skyreel_forest.inputs import single_frames

DIGEST = 32
"""Bytes of SHA-256 ahead of the arrays: a flipped bit is told from a track."""
FRAMES = 2048
"""Frames measured at once: bounds memory."""
_DTYPES: dict[str, type[np.generic]] = {
    "count": np.int64,
    "mjd": np.float64,
    "mid": np.float64,
    "band": np.int8,
    "flux": np.float64,
    "error": np.float64,
    "good": np.bool_,
    "image": np.float64,
}


@dataclass(frozen=True)
class Track:
    """Measurements of n objects, the usable images of each in time order and at the front; 0 behind them.

    Attributes
    ----------
    count : int64 (n,)
        Usable images of each object.
    mjd : float64 (n, K), d
        Start of the exposure.
    mid : float64 (n, K), d
        Its middle, the time of the light curve.
    band : int8 (n, K)
        Index into the task's bands.
    flux, error : float64 (n, K)
        Calibrated PSF flux (`skyreel.light_curves`).
    good : bool (n, K)
        Whether the image gave a flux (not where hardly any pixel is usable).
    image : float64 (n, K, Q)
        `images.COLUMNS`; Q is 0 for a forest that does not read them.
    """

    count: NDArray[np.int64]
    mjd: NDArray[np.float64]
    mid: NDArray[np.float64]
    band: NDArray[np.int8]
    flux: NDArray[np.float64]
    error: NDArray[np.float64]
    good: NDArray[np.bool_]
    image: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.count)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by name."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    def take(self, rows: Any) -> Track:
        """The chosen objects (indices or boolean mask)."""
        return Track(**{name: array[rows] for name, array in self.arrays().items()})

    def appended(self, other: Track, rows: NDArray[np.intp]) -> Track:
        """A copy with one more image (`other`, one per row) of the objects `rows`.

        Raises
        ------
        DataError
            For an image that does not follow the object's last one.
        """
        wider = int((self.count[rows] + 1).max(initial=0)) - self.mjd.shape[1]
        arrays = {name: array if name == "count" else _widened(array, wider).copy() for name, array in self.arrays().items()}
        last = arrays["mjd"][rows, np.maximum(self.count[rows] - 1, 0)]
        back = (self.count[rows] > 0) & (other.mjd[:, 0] <= last)
        if back.any():
            k = int(np.flatnonzero(back)[0])
            found = f"object {rows[k]}: MJD {other.mjd[k, 0]:.6f} does not follow {last[k]:.6f}"
            raise DataError("one image at a time: exposure.mjd", found, "feed the images in time order and drop duplicates")
        for name, array in other.arrays().items():
            if name != "count":
                arrays[name][rows, self.count[rows]] = array[:, 0]
        count = self.count.copy()
        count[rows] += 1
        return Track(**arrays | {"count": count})

    def to_bytes(self) -> bytes:
        """SHA-256, then the arrays as safetensors."""
        data = save({name: np.ascontiguousarray(array) for name, array in self.arrays().items()})
        return hashlib.sha256(data).digest() + data

    @classmethod
    def from_bytes(cls, data: bytes, columns: int) -> Track:
        """The inverse of `to_bytes`.

        Raises
        ------
        ModelError
            For damaged bytes, or those of a model with another number of image columns than `columns`.
        """
        digest, body = data[:DIGEST], data[DIGEST:]
        if hashlib.sha256(body).digest() != digest:
            raise ModelError("reading a state", f"{len(data)} damaged or foreign bytes", "start from initial_state()")
        try:
            arrays = load(body)
            n, width = arrays["mjd"].shape
            wanted = dict.fromkeys(_DTYPES, (n, width)) | {"count": (n,), "image": (n, width, columns)}
            found = {name: (array.shape, array.dtype.type) for name, array in arrays.items()}
        except (SafetensorError, KeyError, ValueError) as err:
            raise ModelError("reading a state", f"bytes of something else ({err})", "start from initial_state()") from err
        if found != {name: (wanted[name], dtype) for name, dtype in _DTYPES.items()} or not _counts_fit(arrays["count"], width):
            raise ModelError("reading a state", f"arrays {found}, not {wanted}", "use the model that wrote it")
        return cls(**arrays)


def empty_track(n: int, columns: int) -> Track:
    """n objects before their first image."""
    shapes: dict[str, tuple[int, ...]] = {"count": (n,), "image": (n, 0, columns)}
    return Track(**{name: np.zeros(shapes.get(name, (n, 0)), dtype) for name, dtype in _DTYPES.items()})


def measured(movies: Movies, options: PhotometryOptions, images: bool) -> Track:
    """Measures every usable frame by itself.

    Parameters
    ----------
    movies : Movies
        As `inputs.fitted` returns them.
    options : PhotometryOptions
    images : bool
        Whether to keep `images.COLUMNS` too.
    """
    frames = single_frames(movies)
    parts = [_measured_frames(frames.take(slice(start, start + FRAMES)), options, images) for start in range(0, len(frames), FRAMES)]
    count = movies.frame_mask.sum(axis=1)
    kept = np.arange(int(count.max(initial=0))) < count[:, None]
    columns = {}
    for name in parts[0]:
        values = np.concatenate([part[name] for part in parts])
        columns[name] = np.zeros((*kept.shape, *values.shape[1:]), _DTYPES[name])
        columns[name][kept] = values
    return Track(count=count.astype(np.int64), **columns)


def _measured_frames(frames: Movies, options: PhotometryOptions, images: bool) -> dict[str, NDArray[Any]]:
    curves = measure(frames, options)
    image = frame_columns(frames, curves, options) if images else np.zeros((len(frames), 0))
    light_curve: dict[str, NDArray[Any]] = {
        "mid": curves.mjd,
        "band": curves.band,
        "flux": curves.flux,
        "error": curves.error,
        "good": curves.mask,
    }
    return {name: array[:, 0] for name, array in light_curve.items()} | {"mjd": frames.reported.mjd[:, 0], "image": image}


def n_columns(images: bool) -> int:
    """Number Q of image columns."""
    return len(COLUMNS) if images else 0


def _widened(array: NDArray[Any], extra: int) -> NDArray[Any]:
    return np.pad(array, [(0, 0), (0, max(extra, 0)), *[(0, 0)] * (array.ndim - 2)])


def _counts_fit(count: NDArray[np.int64], width: int) -> bool:
    return bool(((count >= 0) & (count <= width)).all())
