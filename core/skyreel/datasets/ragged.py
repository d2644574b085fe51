"""Ragged tables: frames of many objects one after the other, as the packed archives hold them."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import DatasetError

Columns = dict[str, NDArray[Any]]
READ_ERRORS = (OSError, ValueError, EOFError, KeyError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)
"""What numpy and astropy raise for files that are absent, cut short or of another format."""


def damaged(file: Path, found: str) -> DatasetError:
    """The error for a file that cannot be used, naming it."""
    return DatasetError(f"reading {file}", found, "restore the file from the data set's source")


def read_columns(file: Path, required: Mapping[str, Any], optional: Mapping[str, Any], count: str, frames: str) -> Columns:
    """Columns of one ``.npz`` archive, without pickle.

    Parameters
    ----------
    file : Path
    required, optional : mapping of str -> dtype
        Columns to read. An absent optional one is filled with NaN, True or '' according to its type.
    count : str
        Column with the number of frames per object; its length is the number of objects, as that of all columns
        called ``obj_...``.
    frames : str
        A column with one row per frame, as all other columns.

    Raises
    ------
    DatasetError
        If the file is absent, damaged, lacks a required column, or its lengths disagree.
    """
    if not file.is_file():
        raise damaged(file, "there is no such file")
    try:
        with np.load(file, allow_pickle=False) as archive:
            absent = [name for name in required if name not in archive.files]
            if absent:
                raise damaged(file, f"column {', '.join(absent)} is missing")
            dtypes = {name: dtype for name, dtype in {**required, **optional}.items() if name in archive.files}
            columns = {name: archive[name].astype(dtype, copy=False) for name, dtype in dtypes.items()}
    except READ_ERRORS as err:
        raise damaged(file, f"not a readable archive ({type(err).__name__}: {err})") from err
    objects, total = len(columns[count]), len(columns[frames])
    if int(columns[count].sum()) != total:
        raise damaged(file, f"{count} adds up to {int(columns[count].sum())} frames, {frames} has {total}")
    for name, dtype in optional.items():
        if name not in columns:
            columns[name] = _filler(dtype, objects if name.startswith("obj_") else total)
    for name, column in columns.items():
        if len(column) != (objects if name.startswith("obj_") else total):
            raise damaged(file, f"column {name} has {len(column)} rows for {objects} objects and {total} frames")
    return columns


def _filler(dtype: Any, length: int) -> NDArray[Any]:
    kind = np.dtype(dtype).kind
    return np.full(length, {"f": np.nan, "b": True, "U": ""}[kind], dtype)


def join(parts: Sequence[Columns]) -> Columns:
    """Archives one after the other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def nearest_exposure(
    sequence: NDArray[Any], mjd: NDArray[np.float64], wanted: NDArray[Any], wanted_mjd: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The exposure nearest in time, of the same sequence (such as a sky field).

    Parameters
    ----------
    sequence : int (M,)
        Which sequence each exposure belongs to.
    mjd : float (M,), d
    wanted : int (N,)
        The sequence to look in.
    wanted_mjd : float (N,), d

    Returns
    -------
    int (N,)
        Index of the exposure; meaningless where there is none.
    float (N,), d
        How far it is away; more than 10 000 where the sequence has no exposure.
    """
    key, goal = _sortable(sequence, mjd), _sortable(wanted, wanted_mjd)
    order = np.argsort(key)
    after = np.clip(np.searchsorted(key[order], goal), min(1, len(key) - 1), len(key) - 1)
    near = order[np.where(goal - key[order[after - 1]] < key[order[after]] - goal, after - 1, after)]
    return near, np.abs(key[near] - goal)


def exposures_within(
    sequence: NDArray[Any], mjd: NDArray[np.float64], wanted: NDArray[Any], wanted_mjd: NDArray[np.float64], tolerance: NDArray[np.float64]
) -> NDArray[np.intp]:
    """Number of exposures (N,) of the same sequence that are no farther than `tolerance` (N,) [d]; see `nearest_exposure`."""
    key, goal = np.sort(_sortable(sequence, mjd)), _sortable(wanted, wanted_mjd)
    return np.searchsorted(key, goal + tolerance, "right") - np.searchsorted(key, goal - tolerance)


def _sortable(sequence: NDArray[Any], mjd: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sequence and date as one number: any MJD of this century is smaller than 100 000."""
    return np.asarray(sequence * 100_000.0 + mjd)


@dataclass(frozen=True)
class Grid:
    """Places ragged frames on a rectangle (objects, epochs).

    Attributes
    ----------
    objects : int (N,)
        Object of each frame.
    epoch : int (N,)
        Its place in time.
    shape : tuple
        (objects, longest sequence).
    """

    objects: NDArray[np.intp]
    epoch: NDArray[np.intp]
    shape: tuple[int, int]

    @classmethod
    def in_time(cls, length: NDArray[Any], mjd: NDArray[np.float64]) -> Grid:
        """From the number of frames of each object and the frames' MJD (N,), which gives the order."""
        objects = np.repeat(np.arange(len(length)), length)
        order = np.lexsort((mjd, objects))
        start = np.cumsum(length) - length
        epoch = np.empty(len(mjd), np.intp)
        epoch[order] = np.arange(len(mjd)) - np.repeat(start, length)
        return cls(objects, epoch, (len(length), int(length.max(initial=0))))

    def spread(self, column: NDArray[Any], fill: Any = 0) -> NDArray[Any]:
        """The column (N, ...) as (objects, epochs, ...); places without a frame hold `fill`."""
        out = np.full((*self.shape, *column.shape[1:]), fill, column.dtype)
        out[self.objects, self.epoch] = column
        return out
