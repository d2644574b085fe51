"""Reading one record batch of a shard, and movies gathered from rows of several: the fast path of random access."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyreel.exposures import DTYPES, Exposures
from skyreel.movie_shards import COLUMNS
from skyreel.movies import Movies, Truth

_FLAGS = ("frame_mask", "reported.mask")


def _list(column: pa.Array) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Values of a ragged column, not copied, and where each row begins."""
    offsets = np.asarray(column.offsets)
    return column.flatten().to_numpy(zero_copy_only=False), offsets - offsets[0]


class Batch:
    """The rows of one record batch as arrays; pixels stay where the file is mapped.

    Parameters
    ----------
    batch : pyarrow.RecordBatch
        Checked: every column has the length that ``n_frames`` announces.
    """

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._batch = batch
        self.lengths: NDArray[np.int32] = batch["n_frames"].to_numpy()
        self.first = np.concatenate([[0], np.cumsum(self.lengths)])
        self.has_truth = "true.flux" in batch.schema.names
        names = [name for name in ("pixels", "pixels_float") if name in batch.schema.names]
        self.images = [_list(batch[name]) for name in names]
        self.bits = _list(batch["pixel_mask"])

    @cached_property
    def frames(self) -> NDArray[np.void]:
        """What belongs to a frame but its pixels, one record per frame."""
        copies = ["reported", "true"] if self.has_truth else ["reported"]
        fields: list[tuple[Any, ...]] = [(name, np.bool_) for name in _FLAGS]
        fields += [(f"{copy}.{name}", DTYPES[name]) for copy in copies for name in COLUMNS]
        fields += [("true.flux", np.float32), ("true.centre", np.float32, (2,))] if self.has_truth else []
        out = np.empty(int(self.first[-1]), fields)
        for name, *_ in fields:
            values, _ = _list(self._batch[name])
            out[name] = values.reshape(out[name].shape)
        return out

    @cached_property
    def rows(self) -> dict[str, NDArray[Any]]:
        """What belongs to a movie: ``label``, ``object_id``, ``first_detection``, ``true.host`` and ``param.*``."""
        out: dict[str, NDArray[Any]] = {name: np.asarray(self._batch[name].to_pylist(), dtype=str) for name in ("label", "object_id")}
        plain = [name for name in self._batch.schema.names if name.startswith("param.")]
        plain += ["first_detection", *(["true.host"] if self.has_truth else [])]
        return out | {name: self._batch[name].to_numpy(zero_copy_only=False) for name in plain}


@dataclass(frozen=True)
class Group:
    """Rows of one batch and their places in the movies that are put together.

    Attributes
    ----------
    batch : Batch
    rows : int (k,)
    places : int (k,)
    """

    batch: Batch
    rows: NDArray[np.intp]
    places: NDArray[np.intp]


def _runs(start: NDArray[Any], length: NDArray[Any]) -> NDArray[np.intp]:
    """start[0], start[0] + 1, ... start[0] + length[0] - 1, start[1], ..."""
    ends = np.cumsum(length)
    return np.asarray(np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(start - (ends - length), length), np.intp)


def gather(groups: Sequence[Group], bands: tuple[str, ...], stamp: tuple[int, ...], *, truth: bool) -> Movies:
    """The movies of some rows of some batches, each at its place.

    Parameters
    ----------
    groups : sequence of Group
        Their places are 0 .. n - 1, each once.
    bands : tuple of str
    stamp : (channels, height, width)
    truth : bool
        Whether to read the truth where all batches have it.
    """
    places = np.concatenate([group.places for group in groups])
    lengths = np.concatenate([group.batch.lengths[group.rows] for group in groups])
    shape = len(places), max(int(lengths.max(initial=0)), 1)
    frame = np.repeat(places, lengths), _runs(np.zeros_like(lengths), lengths)
    found = np.concatenate([g.batch.frames[_runs(g.batch.first[g.rows], g.batch.lengths[g.rows])] for g in groups])
    truth = truth and all(group.batch.has_truth for group in groups)
    length = np.empty(len(places), np.intp)
    length[places] = lengths

    def dense(name: str) -> NDArray[Any]:
        values = found[name]
        out = np.zeros((*shape, *values.shape[1:]), values.dtype)
        out[frame] = values
        return out

    def exposures(prefix: str) -> Exposures:
        # padding repeats the last value, which is finite and harmless
        columns = {name: _pad_last(dense(f"{prefix}.{name}"), length) for name in COLUMNS}
        return Exposures(bands, mask=dense("reported.mask"), **columns)

    pixels, bits = _images(groups, shape, stamp)
    return Movies(
        pixels=pixels,
        pixel_mask=bits,
        frame_mask=dense("frame_mask"),
        reported=exposures("reported"),
        label=_row_column(groups, "label"),
        object_id=_row_column(groups, "object_id"),
        first_detection=_row_column(groups, "first_detection"),
        truth=Truth(exposures("true"), dense("true.flux"), dense("true.centre"), _row_column(groups, "true.host"), _params(groups))
        if truth
        else None,
    )


def _images(groups: Sequence[Group], shape: tuple[int, int], stamp: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Pixels, uint16 where all movies fit, and their bits."""
    filled = [values.dtype for g in groups for values, first in g.batch.images if (first[g.rows + 1] > first[g.rows]).any()]
    pixels = np.zeros((*shape, *stamp), np.uint16 if set(filled) <= {np.dtype(np.uint16)} else np.float32)
    bits = np.zeros((*shape, *stamp), np.uint8)
    for group in groups:
        for values, first in group.batch.images:
            _scatter(values, first, group, pixels)
        _scatter(*group.batch.bits, group, bits)
    return pixels, bits


def _scatter(values: NDArray[Any], first: NDArray[np.int64], group: Group, out: NDArray[Any]) -> None:
    """Copies the frames of a group's rows, where a row has any, to their places."""
    size = int(np.prod(out.shape[2:]))
    start, length = first[group.rows] // size, (first[group.rows + 1] - first[group.rows]) // size
    if length.any():
        place = np.repeat(group.places, length), _runs(np.zeros_like(length), length)
        out[place] = values.reshape(-1, *out.shape[2:])[_runs(start, length)]


def _row_column(groups: Sequence[Group], name: str) -> NDArray[Any]:
    values = np.concatenate([group.batch.rows[name][group.rows] for group in groups])
    out = np.empty_like(values)
    out[np.concatenate([group.places for group in groups])] = values
    return out


def _params(groups: Sequence[Group]) -> dict[str, NDArray[Any]]:
    """Parameters of all classes; NaN where a movie's class has no such parameter."""
    names = sorted({name for group in groups for name in group.batch.rows if name.startswith("param.")})
    out = {name: np.full(sum(len(group.rows) for group in groups), np.nan) for name in names}
    for group in groups:
        for name in names:
            if name in group.batch.rows:
                out[name][group.places] = group.batch.rows[name][group.rows]
    return {name.removeprefix("param."): column for name, column in out.items()}


def _pad_last(column: NDArray[Any], lengths: NDArray[np.intp]) -> NDArray[Any]:
    """Fills the padding with each row's last value."""
    index = np.minimum(np.arange(column.shape[1]), np.maximum(lengths - 1, 0)[:, None])
    return np.take_along_axis(column, index, axis=1)
