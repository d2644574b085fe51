"""Movies on disk: Arrow IPC shards, memory-mapped, without pickle.

A folder holds ``*.arrow`` shards and, once complete, ``movies.json`` (classes, counts, provenance). One row is one
movie; frames are ragged lists, so nothing is stored for padding. The schema's metadata carry the version, bands,
stamp shape, units and the config that made them.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skyreel.errors import MovieFileError, OutputError
from skyreel.exposures import DTYPES, UNITS, Exposures
from skyreel.files import write_text
from skyreel.movies import Movies, Truth

SCHEMA_VERSION = 1
MANIFEST = "movies.json"
_COLUMNS = [name for name in DTYPES if name != "mask"]


def write_shard(path: Path, batches: Iterable[Movies], metadata: Mapping[str, Any]) -> int:
    """Writes movies as one Arrow IPC file, one record batch per item of `batches`, and returns their number.

    The file appears under its name only when it is whole.

    Raises
    ------
    OutputError
        If the folder cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.part")
    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sink: pa.OSFile | None = None
        writer = None
        try:
            for movies in batches:
                table = _to_arrow(movies, metadata)
                if writer is None:
                    sink = pa.OSFile(str(temporary), "wb")
                    writer = pa.ipc.new_file(sink, table.schema)
                writer.write_batch(table)
                count += len(movies)
        finally:
            if writer is not None:
                writer.close()
            if sink is not None:
                sink.close()
        if count:
            os.replace(temporary, path)
    except OSError as err:
        raise OutputError(f"writing {path}", str(err), "choose a folder with free space that can be written to") from err
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return count


def write_manifest(folder: Path, content: Mapping[str, Any]) -> None:
    """Writes `movies.json`, which marks the folder as complete."""
    write_text(folder / MANIFEST, json.dumps({"schema_version": SCHEMA_VERSION, **content}, indent=2, sort_keys=True))


def _ragged(values: NDArray[Any], keep: NDArray[np.bool_]) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum(keep.sum(axis=1) * int(np.prod(values.shape[2:], dtype=int)))])
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), pa.array(values[keep].ravel()))


def _to_arrow(movies: Movies, metadata: Mapping[str, Any]) -> pa.RecordBatch:
    n, epochs = movies.frame_mask.shape
    lengths = np.where(movies.reported.mask.any(axis=1), epochs - np.argmax(movies.reported.mask[:, ::-1], axis=1), 0)
    keep = np.arange(epochs) < lengths[:, None]
    flagged = np.asarray(movies.pixel_mask.reshape(n, -1).any(axis=1))
    columns: dict[str, pa.Array] = {
        "object_id": pa.array(movies.object_id.astype(object), pa.string()),
        "label": pa.array(movies.label.astype(object), pa.string()),
        "first_detection": pa.array(movies.first_detection),
        "n_frames": pa.array(lengths.astype(np.int32)),
        "frame_mask": _ragged(movies.frame_mask.astype(np.uint8), keep),
        "pixels": _ragged(movies.pixels, keep),
        "pixel_mask": _ragged(movies.pixel_mask, keep & flagged[:, None]),
        "reported.mask": _ragged(movies.reported.mask.astype(np.uint8), keep),
    }
    for name in _COLUMNS:
        columns[f"reported.{name}"] = _ragged(getattr(movies.reported, name), keep)
    if movies.truth is not None:
        for name in _COLUMNS:
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


class MovieFile:
    """One shard, memory-mapped: nothing is read before it is asked for.

    Parameters
    ----------
    path : Path

    Raises
    ------
    MovieFileError
        If the file is missing, truncated, damaged, not an Arrow file, not skyreel's or of another schema version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._table, head = _read(path)
        version = head.get("skyreel.schema_version")
        if version is None:
            raise MovieFileError(f"movies {path}", "an Arrow file that skyreel did not write", "convert it to movies first")
        if version != str(SCHEMA_VERSION):
            raise MovieFileError(
                f"movies {path}", f"schema version {version}, this skyreel reads {SCHEMA_VERSION}", "use the skyreel that wrote it"
            )
        try:
            self.bands: tuple[str, ...] = tuple(json.loads(head["skyreel.bands"]))
            self.stamp: tuple[int, ...] = tuple(json.loads(head["skyreel.stamp"]))
            self.metadata: dict[str, Any] = json.loads(head["skyreel.metadata"])
            _check_columns(self._table, self.stamp)
        except (KeyError, ValueError, TypeError, pa.ArrowException) as err:
            raise MovieFileError(f"movies {path}", f"a damaged file ({err})", "simulate or copy it again") from err

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def strings(self, column: str) -> NDArray[np.str_]:
        """A column of strings, for all movies."""
        return np.asarray(self._table[column].to_pylist(), dtype=str)

    def take(self, rows: NDArray[np.intp]) -> Movies:
        """The movies in these rows, in this order."""
        table = self._table.take(pa.array(rows)).combine_chunks() if len(rows) else self._table.slice(0, 0)
        if not len(rows):
            raise MovieFileError(f"movies {self.path}", "no rows asked for", "ask for at least one movie")
        lengths = table["n_frames"].to_numpy()
        epochs = max(int(lengths.max()), 1)
        keep = np.arange(epochs) < lengths[:, None]

        def dense(name: str, shape: tuple[int, ...] = (), dtype: Any = None) -> NDArray[Any]:
            flat = table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
            out = np.zeros((len(lengths), epochs, *shape), dtype or flat.dtype)
            have = np.diff(_offsets(table[name])) > 0
            out[keep & have[:, None]] = flat.reshape(-1, *shape)
            return out

        def exposures(prefix: str) -> Exposures:
            columns = {name: _pad_last(dense(f"{prefix}.{name}", dtype=DTYPES[name]), lengths) for name in _COLUMNS}
            return Exposures(self.bands, mask=dense("reported.mask").astype(bool), **columns)

        truth = None
        if "true.flux" in table.column_names:
            params = {name[6:]: table[name].to_numpy() for name in table.column_names if name.startswith("param.")}
            host = table["true.host"].to_numpy().astype(bool)
            truth = Truth(exposures("true"), dense("true.flux"), dense("true.centre", (2,)), host, params)
        return Movies(
            pixels=dense("pixels", self.stamp),
            pixel_mask=dense("pixel_mask", self.stamp, np.uint8),
            frame_mask=dense("frame_mask").astype(bool),
            reported=exposures("reported"),
            label=np.asarray(table["label"].to_pylist(), dtype=str),
            object_id=np.asarray(table["object_id"].to_pylist(), dtype=str),
            first_detection=table["first_detection"].to_numpy(),
            truth=truth,
        )


def _read(path: Path) -> tuple[pa.Table, dict[str, str]]:
    """The table, mapped and not read, and the metadata of its schema."""
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        table.validate(full=True)  # offsets that point outside the file would crash the process; values are not read
        return table, {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    except FileNotFoundError as err:
        raise MovieFileError(f"movies {path}", "no such file", "check the path") from err
    except (pa.ArrowException, OSError, UnicodeDecodeError) as err:
        raise MovieFileError(f"movies {path}", f"not a whole Arrow file ({err})", "simulate or copy it again") from err


def _check_columns(table: pa.Table, stamp: tuple[int, ...]) -> None:
    """ValueError where a column is missing or does not hold what its number of frames and the stamp's shape ask for."""
    copies = ["reported", "true"] if "true.flux" in table.column_names else ["reported"]
    sizes = {f"{copy}.{name}": 1 for copy in copies for name in _COLUMNS}
    sizes |= {"frame_mask": 1, "reported.mask": 1, "pixels": math.prod(stamp), "pixel_mask": math.prod(stamp)}
    sizes |= {"true.flux": 1, "true.centre": 2} if "true" in copies else {}
    plain = {"object_id", "label", "first_detection", "n_frames", *(["true.host"] if "true" in copies else [])}
    missing = ({*sizes} | plain) - set(table.column_names)
    if missing:
        raise ValueError(f"no column {', '.join(sorted(missing))}")
    frames = table["n_frames"].to_numpy()
    for name, size in sizes.items():
        found = pc.list_value_length(table[name]).to_numpy()
        fits = found == frames * size
        if name == "pixel_mask":
            fits |= found == 0  # left out where no pixel of the movie is flagged
        if not fits.all():
            row = int(np.argmin(fits))
            raise ValueError(f"column {name}, row {row}: {found[row]} values, {frames[row]} frames of {size} were announced")


def _offsets(column: pa.ChunkedArray) -> NDArray[np.int64]:
    return np.asarray(column.combine_chunks().offsets)


def _pad_last(column: NDArray[Any], lengths: NDArray[np.int32]) -> NDArray[Any]:
    """Fills the padding with each row's last value, as the simulation's own padding is finite and harmless."""
    index = np.minimum(np.arange(column.shape[1]), np.maximum(lengths - 1, 0)[:, None])
    return np.take_along_axis(column, index, axis=1)


class MovieFolder:
    """A folder of shards, or a single shard, as one set of movies with random access.

    Parameters
    ----------
    path : Path
        Folder of ``*.arrow`` files, or one such file.

    Raises
    ------
    MovieFileError
        If nothing is there, a shard is damaged, or the shards differ in bands or stamp shape.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        paths = sorted(self.path.glob("*.arrow")) if self.path.is_dir() else [self.path]
        if not paths:
            raise MovieFileError(f"movies {self.path}", "a folder without .arrow files", "run `skyreel simulate output=...` first")
        self.files = [MovieFile(item) for item in paths]
        kinds = {(item.bands, item.stamp) for item in self.files}
        if len(kinds) != 1:
            raise MovieFileError(f"movies {self.path}", f"shards that differ in bands or stamps: {sorted(kinds)}", "keep one kind a folder")
        self._first = np.cumsum([0, *[len(item) for item in self.files]])

    def __len__(self) -> int:
        return int(self._first[-1])

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands that the movies index."""
        return self.files[0].bands

    @property
    def stamp(self) -> tuple[int, ...]:
        """(channels, height, width) of the stamps."""
        return self.files[0].stamp

    @cached_property
    def label(self) -> NDArray[np.str_]:
        """Class of every movie."""
        return np.concatenate([item.strings("label") for item in self.files])

    @cached_property
    def object_id(self) -> NDArray[np.str_]:
        """Name of every movie."""
        return np.concatenate([item.strings("object_id") for item in self.files])

    def take(self, objects: Any) -> Movies:
        """The movies with these indices (int array, slice or boolean mask), in this order."""
        index = np.arange(len(self))[objects]
        shard = np.searchsorted(self._first, index, side="right") - 1
        order = np.argsort(shard, kind="stable")
        used = np.unique(shard)
        parts = [self.files[k].take(index[order][shard[order] == k] - self._first[k]) for k in used]
        joined = Movies.concatenate(parts) if len(parts) > 1 else parts[0]
        return joined if np.array_equal(order, np.arange(len(order))) else joined.take(np.argsort(order, kind="stable"))
