"""What a classifier said about a set of objects, image by image: the one table that scores, controls and figures read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from skyreel.errors import DataError, OutputError

OUTCOMES = "outcomes.parquet"
"""File of a run's folder that holds them."""
_OBJECT = ("object_id", "group", "label", "field", "alert", "mag", "snr", "saturated", "bright")
_KEY = ("data", "protocol", "model", "draw")
_CLASSES = "skyreel_classes"


@dataclass(frozen=True)
class Key:
    """Which set was scored how.

    Attributes
    ----------
    data : str
        Name of the set: 'hits2015a', 'simulated test', 'simulated train', a folder.
    protocol : str
        How the movies were cut (`skyreel.evaluate.protocols`).
    model : str
        'model', 'fine-tuned', or the name of a control.
    draw : int
        Draw of labelled examples that fine-tuned the model; -1 without.
    """

    data: str
    protocol: str
    model: str = "model"
    draw: int = -1


@dataclass(frozen=True)
class Outcomes:
    """Probabilities of n objects after 1..K images, and what the objects are.

    Attributes
    ----------
    classes : tuple of str
        The C trained classes.
    probabilities : float32 (n, K, C)
        After k + 1 images; NaN beyond an object's last image.
    mjd : float64 (n, K), d
        Start of that image's exposure; NaN beyond the last.
    n_images : int (n,)
        Images of each object, at least 1.
    object_id, group, label : str (n,)
        `group` names the physical object: duplicates share it.
    field : int (n,)
        Sky field, the cluster of the bootstrap.
    alert : int (n,)
        Images up to and including the alert; 0 for objects without one.
    mag : float (n,), mag
        Median PSF magnitude of the images of the window; NaN where the flux is not positive.
    snr : float (n,)
        Median signal to noise of the same.
    saturated : bool (n,)
        Whether any pixel of any image is saturated.
    bright : bool (n,)
        False for objects outside a data set's subset of bright ones (HiTS: the supernovae of the paper).
    """

    classes: tuple[str, ...]
    probabilities: NDArray[np.float32]
    mjd: NDArray[np.float64]
    n_images: NDArray[np.intp]
    object_id: NDArray[np.str_]
    group: NDArray[np.str_]
    label: NDArray[np.str_]
    field: NDArray[np.int32]
    alert: NDArray[np.int32]
    mag: NDArray[np.float64]
    snr: NDArray[np.float64]
    saturated: NDArray[np.bool_]
    bright: NDArray[np.bool_]

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        n, longest = self.mjd.shape
        wanted = {"probabilities": (n, longest, len(self.classes)), "n_images": (n,), **dict.fromkeys(_OBJECT, (n,))}
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise DataError(f"outcomes.{name}", f"shape {getattr(self, name).shape}", f"mjd {self.mjd.shape} asks for {shape}")
        if n and not ((self.n_images >= 1) & (self.n_images <= longest)).all():
            raise DataError("outcomes.n_images", f"{self.n_images.min()} to {self.n_images.max()}", f"it must lie in 1..{longest}")

    def __len__(self) -> int:
        return len(self.label)

    def take(self, objects: Any) -> Outcomes:
        """The chosen objects (indices or boolean mask)."""
        columns = {item.name: getattr(self, item.name)[objects] for item in fields(self) if item.name != "classes"}
        return replace(self, **columns)

    def after(self, k: int) -> NDArray[np.float32]:
        """Probabilities (n, C) after `k` images, or after the last where there are fewer.

        Raises
        ------
        DataError
            If `k` is below 1.
        """
        if k < 1:
            raise DataError("outcomes", f"answers after {k} images", "numbers of images start at 1")
        return np.asarray(self.probabilities[np.arange(len(self)), np.minimum(k, self.n_images) - 1], np.float32)

    def last(self) -> NDArray[np.float32]:
        """Probabilities (n, C) after each object's last image."""
        return self.after(self.probabilities.shape[1])

    @property
    def truth(self) -> NDArray[np.intp]:
        """Index of each object's label in `classes`.

        Raises
        ------
        DataError
            For a label that is no trained class.
        """
        labels, place = np.unique(self.label, return_inverse=True)
        unknown = [name for name in labels.tolist() if name not in self.classes]
        if unknown:
            names = ", ".join(map(repr, unknown))
            raise DataError("scoring", f"labels {names}; the classifier knows {', '.join(self.classes)}", "leave these objects out")
        return np.array([self.classes.index(name) for name in labels.tolist()], np.intp)[place]


def write_outcomes(path: Path, parts: Mapping[Key, Outcomes]) -> None:
    """Writes one Parquet file: one row per object and image, with the key's fields as columns.

    Raises
    ------
    DataError
        If there are no parts, or one of them has no object.
    OutputError
        If the file cannot be written; an older one then stays as it was.
    """
    empty = [key for key, part in parts.items() if not len(part)]
    if empty or not parts:
        found = f"no objects under {empty[0]}" if empty else "no outcomes"
        raise DataError(f"writing {path}", found, "score at least one object")
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pa.concat_tables([_table(key, part) for key, part in parts.items()], promote_options="default")
        classes = [[*astuple(key), list(part.classes)] for key, part in parts.items()]
        pq.write_table(table.replace_schema_metadata({_CLASSES: json.dumps(classes)}), temporary, compression="zstd")
        os.replace(temporary, path)
    except OSError as err:
        raise OutputError(f"writing {path}", str(err), "choose a folder with free space that can be written to") from err
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def read_outcomes(path: Path) -> dict[Key, Outcomes]:
    """Reads what `write_outcomes` wrote.

    Raises
    ------
    DataError
        For a missing, damaged or foreign file.
    """
    try:
        table = pq.read_table(path)
        classes = {Key(*row[:-1]): tuple(row[-1]) for row in json.loads(table.schema.metadata[_CLASSES.encode()])}
        part = _part_of_row(table, list(classes))
        columns = {name: _column(table[name]) for name in table.column_names if name not in _KEY}
        # rows of a part lie together: a stable sort keeps their order
        rows = np.split(np.argsort(part, kind="stable"), np.cumsum(np.bincount(part, minlength=len(classes)))[:-1])
        return {
            key: _outcomes({name: column[chosen] for name, column in columns.items()}, names)
            for (key, names), chosen in zip(classes.items(), rows, strict=True)
        }
    except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError) as err:
        raise DataError(f"outcomes {path}", f"not readable ({type(err).__name__}: {err})", "run `skyreel evaluate` again") from err


def _table(key: Key, part: Outcomes) -> pa.Table:
    row = np.repeat(np.arange(len(part), dtype=np.int32), part.n_images)
    image = np.arange(len(row)) - np.repeat(np.cumsum(part.n_images) - part.n_images, part.n_images)
    columns: dict[str, Any] = {name: _repeated(np.array([value]), np.zeros_like(row)) for name, value in asdict(key).items()}
    columns |= {name: _repeated(getattr(part, name), row) for name in _OBJECT}
    columns |= {"object": row, "image": (image + 1).astype(np.int32), "mjd": part.mjd[row, image]}
    columns |= {f"p_{name}": part.probabilities[row, image, k] for k, name in enumerate(part.classes)}
    return pa.table(columns)


def _repeated(values: NDArray[Any], row: NDArray[np.int32]) -> Any:
    """`values` of every row; texts as a dictionary column, which holds each of them once."""
    if values.dtype.kind != "U":
        return values[row]
    names, place = np.unique(values, return_inverse=True)
    return pa.DictionaryArray.from_arrays(place.astype(np.int32)[row], pa.array(names.tolist(), pa.string()))


def _column(column: pa.ChunkedArray) -> NDArray[Any]:
    plain = column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
    return np.asarray(plain.to_numpy())


def _part_of_row(table: pa.Table, keys: list[Key]) -> NDArray[np.intp]:
    """Index into `keys` of every row of the file."""
    code = np.zeros(table.num_rows, np.intp)
    wanted = np.zeros(len(keys), np.intp)
    for name in _KEY:
        column = table[name]
        encoded = (column if pa.types.is_dictionary(column.type) else column.dictionary_encode()).unify_dictionaries()
        values = encoded.chunk(0).dictionary.to_pylist()
        code = code * len(values) + np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks])
        wanted = wanted * len(values) + np.array([values.index(getattr(key, name)) for key in keys])
    order = np.argsort(wanted)
    place = order[np.minimum(np.searchsorted(wanted[order], code), len(keys) - 1)]
    if not np.array_equal(wanted[place], code):
        raise ValueError("rows of unknown parts")
    return np.asarray(place, np.intp)


def _outcomes(columns: Mapping[str, NDArray[Any]], classes: tuple[str, ...]) -> Outcomes:
    row, image = columns["object"].astype(np.intp), columns["image"].astype(np.intp) - 1
    n, longest = int(row.max()) + 1, int(image.max()) + 1
    first = np.flatnonzero(image == 0)
    probabilities = np.full((n, longest, len(classes)), np.nan, np.float32)
    mjd = np.full((n, longest), np.nan)
    probabilities[row, image] = np.stack([columns[f"p_{name}"] for name in classes], axis=1)
    mjd[row, image] = columns["mjd"]
    dtypes = {"object_id": np.str_, "group": np.str_, "label": np.str_, "field": np.int32, "alert": np.int32}
    per_object = {name: columns[name][first].astype(dtypes[name]) if name in dtypes else columns[name][first] for name in _OBJECT}
    return Outcomes(classes, probabilities, mjd, np.bincount(row, minlength=n), **per_object)


def join_outcomes(parts: Iterable[Outcomes]) -> Outcomes:
    """Joins outcomes of the same classifier on different objects; shorter ones are padded with NaN.

    Raises
    ------
    DataError
        If the classes differ or nothing is given.
    """
    parts = list(parts)
    if len({part.classes for part in parts}) != 1:
        raise DataError(
            "joining outcomes", f"{len({part.classes for part in parts})} different lists of classes", "join those of one model"
        )
    longest = max(part.mjd.shape[1] for part in parts)

    def wide(array: NDArray[Any]) -> NDArray[Any]:
        return np.pad(array, [(0, 0), (0, longest - array.shape[1]), *[(0, 0)] * (array.ndim - 2)], constant_values=np.nan)

    ragged = {name: np.concatenate([wide(getattr(part, name)) for part in parts]) for name in ("probabilities", "mjd")}
    flat = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ("n_images", *_OBJECT)}
    return Outcomes(parts[0].classes, **ragged, **flat)
