"""Writing movies: one Arrow IPC file (a shard) per run of objects, whole or not there at all, every batch with its checksum.

One row is one movie; frames are ragged lists, so nothing is stored for padding. The schema's metadata carry the version,
bands, stamp shape, units and whatever the writer adds (the config that made them, versions of the software).
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from skyreel.errors import DataError, OutputError
from skyreel.exposures import DTYPES, UNITS
from skyreel.movies import Movies

SCHEMA_VERSION = 1
COLUMNS = [name for name in DTYPES if name != "mask"]
"""Columns of `Exposures` that are stored, once as ``reported.NAME`` and, with the truth, once as ``true.NAME``."""
CHECKSUM = b"skyreel.crc32"
"""Key of a batch's checksum in its own metadata."""


def write_shard(path: Path, batches: Iterable[Movies], metadata: Mapping[str, Any]) -> int:
    """Writes movies as one Arrow IPC file, one record batch per item of `batches`, and returns their number.

    The file appears under its name only when it is whole and on disk. Until then it has a name of its own, so that two
    writers of one shard do not meet. Pixels are stored as uint16 in every movie where that loses nothing (whole ADU from 0
    to 65535), else as float32, which holds whole ADU up to 2^24.

    Raises
    ------
    OutputError
        If the folder cannot be written to or is full.
    DataError
        For pixels that are neither uint16 nor float32.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as sink:
            count = _write(sink, batches, metadata)
            sink.flush()
            os.fsync(sink.fileno())  # a crash after the rename must not leave an empty file
        if count:
            os.replace(temporary, path)
    except OSError as err:
        raise OutputError(f"writing {path}", str(err), "choose a folder with free space that can be written to") from err
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return count


def stale_parts(folder: Path, shard: str) -> list[Path]:
    """What killed writers left of one shard."""
    return sorted(folder.glob(f".{shard}.*.part"))


def _write(sink: Any, batches: Iterable[Movies], metadata: Mapping[str, Any]) -> int:
    writer, count = None, 0
    try:
        for movies in batches:
            batch = to_arrow(movies, metadata)
            if writer is None:
                writer = pa.ipc.new_file(sink, batch.schema)
            writer.write_batch(batch, custom_metadata={CHECKSUM: checksum(batch)})
            count += len(movies)
        return count
    finally:
        if writer is not None:
            writer.close()


def checksum(batch: pa.RecordBatch) -> str:
    """CRC-32 of all values of a record batch, as eight hexadecimal digits."""
    value = 0
    for part in _values(batch):
        value = zlib.crc32(part, value)
    return f"{value:08x}"


def digest(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _values(batch: pa.RecordBatch) -> Iterator[Any]:
    """The numbers and letters of a batch as contiguous buffers, free of whatever padding Arrow adds."""
    for column in batch.columns:
        if pa.types.is_string(column.type):
            offsets = np.frombuffer(column.buffers()[1], np.int32, len(column) + 1, 4 * column.offset)
            yield np.ascontiguousarray(offsets - offsets[0])
            yield (column.buffers()[2] or pa.py_buffer(b""))[int(offsets[0]) : int(offsets[-1])]
        elif pa.types.is_large_list(column.type):
            yield np.asarray(column.offsets)
            yield np.ascontiguousarray(column.flatten().to_numpy(zero_copy_only=False))
        else:
            yield np.ascontiguousarray(column.to_numpy(zero_copy_only=False))


def _ragged(values: NDArray[Any], keep: NDArray[np.bool_]) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum(keep.sum(axis=1) * int(np.prod(values.shape[2:], dtype=int)))])
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), pa.array(values[keep].ravel()))


def _pixels(movies: Movies, keep: NDArray[np.bool_]) -> tuple[pa.Array, pa.Array]:
    """Pixels of the movies that fit uint16 and of those that do not: two columns, one of them empty in every row."""
    pixels = movies.pixels
    if pixels.dtype == np.uint16:
        return _ragged(pixels, keep), _ragged(np.zeros(pixels.shape[:2], np.float32), np.zeros_like(keep))
    if pixels.dtype != np.float32:
        raise DataError("writing movies", f"pixels of type {pixels.dtype}", "hand in uint16 or float32")
    with np.errstate(invalid="ignore"):  # what does not fit differs after the cast
        small = pixels.astype(np.uint16)
    fits = (small == pixels).all(axis=(2, 3, 4)) | ~keep
    whole = fits.all(axis=1)[:, None]
    return _ragged(small, keep & whole), _ragged(pixels, keep & ~whole)


def to_arrow(movies: Movies, metadata: Mapping[str, Any]) -> pa.RecordBatch:
    """The movies as one record batch of the schema above, which `metadata` becomes part of."""
    n, epochs = movies.frame_mask.shape
    lengths = np.where(movies.reported.mask.any(axis=1), epochs - np.argmax(movies.reported.mask[:, ::-1], axis=1), 0)
    keep = np.arange(epochs) < lengths[:, None]
    flagged = np.asarray(movies.pixel_mask.reshape(n, -1).any(axis=1))
    whole, other = _pixels(movies, keep)
    columns: dict[str, pa.Array] = {
        "object_id": pa.array(movies.object_id.astype(object), pa.string()),
        "label": pa.array(movies.label.astype(object), pa.string()),
        "first_detection": pa.array(movies.first_detection),
        "n_frames": pa.array(lengths.astype(np.int32)),
        "frame_mask": _ragged(movies.frame_mask.astype(np.uint8), keep),
        "pixels": whole,
        "pixels_float": other,
        "pixel_mask": _ragged(movies.pixel_mask, keep & flagged[:, None]),
        "reported.mask": _ragged(movies.reported.mask.astype(np.uint8), keep),
    }
    for name in COLUMNS:
        columns[f"reported.{name}"] = _ragged(getattr(movies.reported, name), keep)
    if movies.truth is not None:
        for name in COLUMNS:
            columns[f"true.{name}"] = _ragged(getattr(movies.truth.exposures, name), keep)
        columns["true.flux"] = _ragged(movies.truth.flux, keep)
        columns["true.centre"] = _ragged(movies.truth.centre, keep)
        columns["true.host"] = pa.array(movies.truth.host)
        for name, column in sorted(movies.truth.params.items()):
            columns[f"param.{name}"] = pa.array(np.asarray(column, np.float64))
    head = {
        "skyreel.schema_version": str(SCHEMA_VERSION),
        "skyreel.bands": json.dumps(movies.reported.bands),
        "skyreel.stamp": json.dumps(movies.pixels.shape[2:]),
        "skyreel.units": json.dumps({**UNITS, "pixels": "adu", "flux": "adu", "centre": "pix"}),
        "skyreel.metadata": json.dumps(metadata, sort_keys=True),
    }
    schema = pa.schema([pa.field(name, array.type) for name, array in columns.items()], metadata=head)
    return pa.record_batch(list(columns.values()), schema=schema)
