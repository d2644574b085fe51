"""Movies on disk: a folder of Arrow IPC shards, memory-mapped, without pickle.

A folder holds ``*.arrow`` shards (see `movie_shards`) and ``movies.json`` (see `movie_manifest`): classes, counts, provenance
and checksums. Nothing is read before it is asked for; every record batch is compared with its checksum when it is first used.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from skyreel.errors import MovieFileError
from skyreel.movie_batches import Batch, Group, gather
from skyreel.movie_manifest import MANIFEST, check_shards, read_manifest, write_manifest
from skyreel.movie_shards import CHECKSUM, COLUMNS, SCHEMA_VERSION, checksum, digest, write_shard
from skyreel.movies import Movies

HELD_BYTES = 256 * 2**20
"""Record batches that a folder keeps mapped: more than that and all are let go, so that memory does not grow with the set."""


class MovieFile:
    """One shard, memory-mapped.

    Parameters
    ----------
    path : Path
    truth : bool
        Whether `take` reads the truth; without it, reading takes half the time.

    Attributes
    ----------
    bands : tuple of str
        Bands that the movies index.
    stamp : tuple of int
        (channels, height, width) of the stamps.
    metadata : dict
        What the writer added: of a simulation, config, seed and versions.
    label, object_id : str (n,)

    Raises
    ------
    MovieFileError
        If the file is missing, truncated, damaged, not an Arrow file, not skyreel's or of another schema version.
    """

    def __init__(self, path: Path, *, truth: bool = True) -> None:
        self.path, self.truth = path, truth
        self._held: dict[int, Batch] = {}
        self._checked: set[int] = set()
        self.held_bytes = 0
        reader = self._open()
        try:
            head = {key.decode(): value.decode() for key, value in (reader.schema.metadata or {}).items()}
        except UnicodeDecodeError as err:
            raise MovieFileError(f"movies {path}", f"a damaged file ({err})", "simulate or copy it again") from err
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
            batches = [reader.get_batch(k) for k in range(reader.num_record_batches)]
            self.first = np.concatenate([[0], np.cumsum([batch.num_rows for batch in batches], dtype=int)])
            names: dict[str, list[Any]] = {"label": [], "object_id": []}
            for batch, start in zip(batches, self.first, strict=False):
                batch.validate(full=True)  # offsets that point outside the file would crash the process; values are not read
                _check_columns(batch, self.stamp, int(start))
                for name, column in names.items():
                    column.extend(batch[name].to_pylist())
            self.label, self.object_id = (np.asarray(column, dtype=str) for column in names.values())
        except (KeyError, ValueError, TypeError, OSError, pa.ArrowException) as err:
            raise MovieFileError(f"movies {path}", f"a damaged file ({err})", "simulate or copy it again") from err

    def __len__(self) -> int:
        return int(self.first[-1])

    def take(self, rows: NDArray[np.intp]) -> Movies:
        """The movies in these rows, in this order.

        Raises
        ------
        MovieFileError
            Where values differ from their checksum, and for no rows at all.
        """
        groups = list(self.groups(np.asarray(rows, np.intp), np.arange(len(rows))))
        if not groups:
            raise MovieFileError(f"movies {self.path}", "no rows asked for", "ask for at least one movie")
        return gather(groups, self.bands, self.stamp, truth=self.truth)

    def groups(self, rows: NDArray[np.intp], places: NDArray[np.intp]) -> Iterator[Group]:
        """The batches that hold `rows` (k,), with the rows in each and their `places` (k,)."""
        number = np.searchsorted(self.first, rows, side="right") - 1
        for k in np.unique(number):
            here = number == k
            yield Group(self._batch(int(k)), rows[here] - self.first[k], places[here])

    def verify(self) -> None:
        """Compares every record batch with its checksum.

        Raises
        ------
        MovieFileError
            For values that differ.
        """
        reader = self._open()
        for k in range(len(self.first) - 1):
            self._check(k, *_batch_of(reader, k, self.path))

    def release(self) -> None:
        """Lets the mapped file go; it is mapped again when next used."""
        self._held, self.held_bytes = {}, 0

    def _batch(self, k: int) -> Batch:
        held = self._held.get(k)
        if held is None:
            batch, stored = _batch_of(self._open(), k, self.path)
            if k not in self._checked:
                self._check(k, batch, stored)
                self._checked.add(k)
            held = self._held.setdefault(k, Batch(batch))
            self.held_bytes += batch.nbytes
        return held

    def _check(self, k: int, batch: pa.RecordBatch, stored: str | None) -> None:
        if stored is not None and stored != checksum(batch):
            found = f"values of movies {self.first[k]} to {self.first[k + 1] - 1} that differ from their checksum"
            raise MovieFileError(f"movies {self.path}", found, "the disk or a copy damaged it: simulate or copy it again")

    def _open(self) -> pa.ipc.RecordBatchFileReader:
        try:
            return pa.ipc.open_file(pa.memory_map(str(self.path)))
        except FileNotFoundError as err:
            raise MovieFileError(f"movies {self.path}", "no such file", "check the path") from err
        except (pa.ArrowException, OSError) as err:
            raise MovieFileError(f"movies {self.path}", f"not a whole Arrow file ({err})", "simulate or copy it again") from err


def _batch_of(reader: pa.ipc.RecordBatchFileReader, k: int, path: Path) -> tuple[pa.RecordBatch, str | None]:
    """A record batch and the checksum stored beside it, if any."""
    try:
        batch, extra = reader.get_batch_with_custom_metadata(k)
    except (pa.ArrowException, OSError) as err:
        raise MovieFileError(f"movies {path}", f"a damaged file ({err})", "simulate or copy it again") from err
    stored = None if extra is None else extra.get(CHECKSUM)
    return batch, None if stored is None else stored.decode(errors="replace")


def _check_columns(batch: pa.RecordBatch, stamp: tuple[int, ...], first_row: int) -> None:
    """ValueError where a column is missing or does not hold what its number of frames and the stamp's shape ask for."""
    there = set(batch.schema.names)
    copies = ["reported", "true"] if "true.flux" in there else ["reported"]
    sizes = {f"{copy}.{name}": 1 for copy in copies for name in COLUMNS}
    sizes |= {"frame_mask": 1, "reported.mask": 1, "pixels": math.prod(stamp), "pixel_mask": math.prod(stamp)}
    sizes |= {"true.flux": 1, "true.centre": 2} if "true" in copies else {}
    plain = {"object_id", "label", "first_detection", "n_frames", *(["true.host"] if "true" in copies else [])}
    missing = ({*sizes} | plain) - there
    if missing:
        raise ValueError(f"no column {', '.join(sorted(missing))}")
    frames = batch["n_frames"].to_numpy()
    for name, size in sizes.items():
        found = pc.list_value_length(batch[name]).to_numpy()
        if name == "pixels" and "pixels_float" in there:
            found = found + pc.list_value_length(batch["pixels_float"]).to_numpy()
        fits = found == frames * size
        if name == "pixel_mask":
            fits |= found == 0  # left out where no pixel of the movie is flagged
        if not fits.all():
            row = int(np.argmin(fits))
            raise ValueError(f"column {name}, row {first_row + row}: {found[row]} values, {frames[row]} frames of {size} were announced")


class MovieFolder:
    """A folder of shards, or a single shard, as one set of movies with random access.

    Parameters
    ----------
    path : Path
        Folder of ``*.arrow`` files, or one such file.
    partial : bool
        Read what is there of a simulation that was stopped.
    truth : bool
        Whether `take` reads the truth; without it, reading takes half the time.

    Raises
    ------
    MovieFileError
        If nothing is there, a shard is damaged, missing or of another set, the shards differ in bands or stamp shape, or the
        simulation was stopped and can go on.
    """

    def __init__(self, path: Path | str, *, partial: bool = False, truth: bool = True) -> None:
        self.path = Path(path)
        paths = sorted(self.path.glob("*.arrow")) if self.path.is_dir() else [self.path]
        self.manifest = read_manifest(self.path) if self.path.is_dir() else None
        if self.manifest is not None:
            check_shards(self.path, self.manifest, paths, partial)
        if not paths:
            raise MovieFileError(f"movies {self.path}", "a folder without .arrow files", "run `skyreel simulate output=...` first")
        self.files = [MovieFile(item, truth=truth) for item in paths]
        self.truth = truth
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
        return np.concatenate([item.label for item in self.files])

    @cached_property
    def object_id(self) -> NDArray[np.str_]:
        """Name of every movie."""
        return np.concatenate([item.object_id for item in self.files])

    @cached_property
    def chunk(self) -> NDArray[np.intp]:
        """Number of the record batch (n,) that holds each movie: what lies together on disk is read fastest together."""
        sizes = np.concatenate([np.diff(item.first) for item in self.files])
        return np.repeat(np.arange(len(sizes)), sizes)

    def without_truth(self) -> MovieFolder:
        """The same movies, read without their truth in half the time; the mapped files are shared."""
        bare = copy(self)
        bare.truth = False
        return bare

    def take(self, objects: Any) -> Movies:
        """The movies with these indices (int array, slice or boolean mask), in this order.

        Raises
        ------
        MovieFileError
            Where values differ from their checksum, and for no movies at all.
        """
        index = np.arange(len(self))[objects]
        shard = np.searchsorted(self._first, index, side="right") - 1
        places = np.arange(len(index))
        groups: list[Group] = []
        for k in np.unique(shard):
            here = shard == k
            groups += self.files[k].groups(index[here] - self._first[k], places[here])
        if not groups:
            raise MovieFileError(f"movies {self.path}", "no rows asked for", "ask for at least one movie")
        movies = gather(groups, self.bands, self.stamp, truth=self.truth)
        if sum(item.held_bytes for item in self.files) > HELD_BYTES:
            self.release()
        return movies

    def release(self) -> None:
        """Lets all mapped files go; they are mapped again when next used."""
        for item in self.files:
            item.release()

    def verify(self) -> None:
        """Compares every shard with the SHA-256 in `movies.json`, and every record batch with its own checksum.

        Reads the whole set. `take` does the second for each batch that it meets first.

        Raises
        ------
        MovieFileError
            For a shard that differs.
        """
        records = (self.manifest or {}).get("shards") or {}
        for item in self.files:
            wanted = (records.get(item.path.name) or {}).get("sha256")
            if wanted not in (None, digest(item.path)):
                found = f"{item.path.name} is not the file that {MANIFEST} describes (SHA-256 differs)"
                raise MovieFileError(f"movies {self.path}", found, "it is damaged or of another set: copy or simulate it again")
            item.verify()


__all__ = ["HELD_BYTES", "MANIFEST", "MovieFile", "MovieFolder", "write_manifest", "write_shard"]
