"""Rows of cutouts as objects in time order, and as batches of movies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import DataError
from skyreel.exchange.settle import Settling
from skyreel.exchange.values import Values
from skyreel.exposures import DTYPES, Exposures
from skyreel.movies import Movies

NUMBERED = ("exposure_id", "field", "ccd")
"""Conditions that may be given as names and are stored as numbers."""


@dataclass(frozen=True)
class Timeline:
    """Which rows are an object's frames, in time order.

    Attributes
    ----------
    rows : int (N,)
        Object after object, in the order in which the table first names them.
    start : int (n + 1,)
        Where each object begins in `rows`.
    object_id, label : str (n,)
    first_detection : int32 (n,)
    """

    rows: NDArray[np.intp]
    start: NDArray[np.intp]
    object_id: NDArray[np.str_]
    label: NDArray[np.str_]
    first_detection: NDArray[np.int32]

    def batches(self, frames: int) -> list[slice]:
        """Runs of objects that fill at most `frames` frames, padding included; one object at least."""
        out, first, longest = [], 0, 0
        lengths = np.diff(self.start).tolist()
        for k, length in enumerate(lengths):
            longest = max(longest, length)
            if k > first and longest * (k + 1 - first) > frames:
                out.append(slice(first, k))
                first, longest = k, length
        return [*out, slice(first, len(lengths))]


def timeline(values: Values, complete: NDArray[np.bool_], where: Callable[[int], str]) -> Timeline:
    """Sorts rows by object and by ``frame``, or without that column by MJD.

    Parameters
    ----------
    values : Values
    complete : bool (N,)
        Rows whose conditions are known.
    where : callable
        Row -> its name for messages.

    Raises
    ------
    DataError
        For a row without an object, two frames of an object at the same MJD, frames out of time order, and labels or
        detections that differ between the rows of an object.
    """
    names = values["object_id"].astype(str)
    unnamed = np.flatnonzero(names == "")
    if len(unnamed):
        raise DataError("import: object_id", f"empty in {where(int(unnamed[0]))}", "name the object or drop the row")
    _, first, inverse = np.unique(names, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.intp)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    owner = rank[inverse]
    mjd = np.where(values.known("mjd"), values["mjd"], np.inf)
    frame = values["frame"]
    if np.isnan(frame).any() and not np.isnan(frame).all():
        row = int(np.flatnonzero(np.isnan(frame))[0])
        raise DataError("import: frame", f"not given for {where(row)}", "number all frames or none (then MJD is the order)")
    rows = np.lexsort((mjd if np.isnan(frame).all() else frame, owner))
    _check_order(rows[complete[rows]], owner, mjd, names, where)
    start = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=len(first)))]).astype(np.intp)
    label = _one_each("label", values["label"].astype(str), rows, start, names, where)
    return Timeline(rows, start, names[rows[start[:-1]]], label, _first_detections(values, rows, start, names, where))


def _check_order(
    rows: NDArray[np.intp], owner: NDArray[np.intp], mjd: NDArray[np.float64], names: NDArray[np.str_], where: Callable[[int], str]
) -> None:
    same = owner[rows[1:]] == owner[rows[:-1]]
    wrong = np.flatnonzero(same & (mjd[rows[1:]] <= mjd[rows[:-1]]))
    if not len(wrong):
        return
    before, after = (int(rows[wrong[0] + k]) for k in (0, 1))
    kind = "have the same MJD" if mjd[before] == mjd[after] else "are out of time order"
    found = f"object {str(names[before])!r}: {where(before)} and {where(after)} {kind} ({mjd[after]:.6f})"
    raise DataError("import: mjd", found, "an object has one image at a time: drop or correct one of the rows")


def _one_each(
    name: str, column: NDArray[Any], rows: NDArray[np.intp], start: NDArray[np.intp], names: NDArray[np.str_], where: Callable[[int], str]
) -> NDArray[Any]:
    """The value (n,) that all rows of an object share."""
    sorted_values = column[rows]
    first = np.repeat(sorted_values[start[:-1]], np.diff(start))
    differ = first != sorted_values
    if column.dtype.kind == "f":
        differ &= ~(np.isnan(first) & np.isnan(sorted_values))
    if differ.any():
        at = int(np.flatnonzero(differ)[0])
        found = f"{str(sorted_values[at])!r} in {where(int(rows[at]))}, {str(first[at])!r} in another row of {str(names[rows[at]])!r}"
        raise DataError(f"import: {name}", found, "give all rows of an object the same")
    return sorted_values[start[:-1]]


def _first_detections(
    values: Values, rows: NDArray[np.intp], start: NDArray[np.intp], names: NDArray[np.str_], where: Callable[[int], str]
) -> NDArray[np.int32]:
    index = _one_each("first_detection", values["first_detection"], rows, start, names, where)
    when = _one_each("first_detection_mjd", values["first_detection_mjd"], rows, start, names, where)
    owner = np.repeat(np.arange(len(when)), np.diff(start))
    # the first frame that ends after the alert's date; MJD of detections are rounded more often than not
    later = values["mjd"][rows] + values["exptime"][rows] / 86400.0 >= when[owner]
    at = np.arange(len(rows)) - start[owner]
    reached = np.full(len(when), np.iinfo(np.int32).max)
    np.minimum.at(reached, owner[later], at[later])
    from_date = np.where(reached < np.iinfo(np.int32).max, reached, -1)
    out = np.where(np.isnan(index), np.where(np.isnan(when), -1, from_date), np.nan_to_num(index, nan=-1))
    lengths = np.diff(start)
    wrong = np.flatnonzero((out < -1) | (out >= lengths) | (out != np.rint(out)))
    if len(wrong):
        row = int(rows[start[wrong[0]]])
        found = f"{out[wrong[0]]:g} for {str(names[row])!r} with {lengths[wrong[0]]} frames"
        raise DataError("import: first_detection", found, "give the 0-based index of a frame in time order, or -1")
    return out.astype(np.int32)


def integers(words: NDArray[Any], dtype: type[np.signedinteger[Any]]) -> NDArray[Any] | None:
    """Words as whole numbers of a type ('' is 0); None where one is no such number."""
    limits = np.iinfo(dtype)
    try:
        numbers = [int(word) if word else 0 for word in words.tolist()]
    except ValueError:
        return None
    if any(not limits.min <= number <= limits.max for number in numbers):
        return None
    return np.array(numbers, dtype)


def numbered(settled: Settling, name: str) -> NDArray[Any]:
    """A column of `NUMBERED` (N,) as numbers: those that are given, or the place of each name among all, sorted."""
    words = settled.values[name]
    found = integers(words, DTYPES[name])  # type: ignore[arg-type]
    if name == "exposure_id" and (found is None or not settled.values.known(name).any()):
        return settled.exposure.astype(DTYPES[name])
    return np.unique(words.astype(str), return_inverse=True)[1].astype(DTYPES[name]) if found is None else found


def movies_of(
    order: Timeline,
    objects: slice,
    pixels: NDArray[Any],
    bits: NDArray[np.uint8],
    settled: Settling,
    numbers: Mapping[str, NDArray[Any]],
    complete: NDArray[np.bool_],
    frames: NDArray[np.bool_],
) -> Movies:
    """Movies of a run of objects.

    Parameters
    ----------
    order : Timeline
    objects : slice
    pixels, bits : arrays (m, C, H, W)
        Of the objects' rows, in the order's order.
    settled : Settling
    numbers : mapping of str -> (N,) array
        Columns of `NUMBERED`, see `numbered`.
    complete, frames : bool (N,)
        Rows whose conditions are known, and rows that can be used.
    """
    start = order.start[objects.start : objects.stop + 1]
    rows = order.rows[start[0] : start[-1]]
    lengths = np.diff(start)
    place = np.repeat(np.arange(len(lengths)), lengths), np.arange(len(rows)) - np.repeat(start[:-1] - start[0], lengths)
    shape = (len(lengths), int(lengths.max()))

    def spread(column: NDArray[Any]) -> NDArray[Any]:
        out = np.zeros((*shape, *column.shape[1:]), column.dtype)
        out[place] = column
        return out

    index = {name: k for k, name in enumerate(settled.bands)}
    columns: dict[str, NDArray[Any]] = {}
    for name, dtype in DTYPES.items():
        if name == "mask":
            continue
        if name == "band":
            columns[name] = spread(np.array([index.get(word, 0) for word in settled.values["band"][rows].tolist()], np.int8))
        elif name in NUMBERED:
            columns[name] = spread(numbers[name][rows])
        else:
            columns[name] = spread(np.nan_to_num(settled.values[name][rows], nan=0.0).astype(dtype))
    return Movies(
        spread(pixels),
        spread(bits),
        spread(frames[rows]),
        Exposures(settled.bands, mask=spread(complete[rows]), **columns),
        order.label[objects],
        order.object_id[objects],
        order.first_detection[objects],
    )
