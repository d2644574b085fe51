"""Cutouts in arrays: numpy .npz archives, HDF5 files and Parquet tables with a column of pixels."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import DataError
from skyreel.exchange.stamps import Images
from skyreel.exchange.tables import FrameTable, read_table

HDF5 = (".h5", ".hdf5", ".hdf")
ARRAYS = (".npz", *HDF5)
_BROKEN = (OSError, ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error)
_PIXELS = ("pixels", "pixel_mask")


class ArrayCutouts:
    """Images of an array whose first axis are the frames (see `stamps.Cutouts`).

    Parameters
    ----------
    table : FrameTable
        N rows.
    pixels, mask : callable, or None for no mask
        Index of frames -> (m, H, W) or (m, C, H, W).
    """

    def __init__(
        self,
        table: FrameTable,
        pixels: Callable[[NDArray[np.intp]], NDArray[Any]],
        mask: Callable[[NDArray[np.intp]], NDArray[Any]] | None,
    ) -> None:
        self.table, self._pixels, self._mask = table, pixels, mask
        self.masked = mask is not None
        self.notes: list[str] = []

    def where(self, row: int) -> str:
        """A row's name for messages."""
        return f"{Path(self.table.name).name} (frame {row + 1})"

    def read(self, rows: NDArray[np.intp]) -> Images:
        """The images of these rows."""
        cubes = _cubes(self._pixels(rows))
        masks = [None] * len(rows) if self._mask is None else list(_cubes(self._mask(rows)).astype(np.uint8))
        return Images(list(cubes), masks, [{}] * len(rows))


def _cubes(images: NDArray[Any]) -> NDArray[Any]:
    return images[:, None] if images.ndim == 3 else images


def read_arrays(path: Path) -> ArrayCutouts:
    """A ``.npz`` or HDF5 file.

    ``pixels`` is (n, T, H, W) or (n, T, C, H, W), other arrays (n, T) or (n,); or, with ``n_frames`` (n,) or with ``object_id``
    per frame, ``pixels`` is (N, H, W) or (N, C, H, W) and other arrays (N,) or (n,). ``pixel_mask`` has the shape of
    ``pixels``. Frames of (n, T) arrays without a finite ``mjd`` do not exist.

    Raises
    ------
    DataError
        If the file is missing, damaged, lacks ``pixels``, or holds arrays that do not fit.
    """
    if not path.is_file():
        raise DataError(f"arrays {path}", "there is no such file", "check the path")
    try:
        if path.suffix.lower() in HDF5:
            import h5py

            file = h5py.File(path, "r")
            found: Mapping[str, Any] = {name: item for name, item in file.items() if isinstance(item, h5py.Dataset)}
            units = {name: str(item.attrs["units"]) for name, item in found.items() if "units" in item.attrs}
            bands = tuple(json.loads(file.attrs.get("bands", "[]")))
        else:
            with np.load(path, allow_pickle=False) as archive:
                found, units, bands = {name: archive[name] for name in archive.files}, {}, ()
        columns = {name: _column(item) for name, item in found.items() if name not in _PIXELS}
    except _BROKEN as err:
        raise DataError(
            f"arrays {path}", f"not a readable archive ({type(err).__name__}: {err})", "write it again, without pickle"
        ) from err
    if "pixels" not in found:
        raise DataError(f"arrays {path}", f"holds {', '.join(found) or 'nothing'}", "store the images under the name `pixels`")
    return _arranged(path, columns, found["pixels"], found.get("pixel_mask"), units, bands)


def _column(item: Any) -> NDArray[Any]:
    values = np.asarray(item[()])
    if values.dtype.kind in "SO":  # strings of HDF5
        flat = [value.decode() if isinstance(value, bytes) else str(value) for value in values.ravel().tolist()]
        return np.array(flat, dtype=object).reshape(values.shape)
    return values.astype(object) if values.dtype.kind == "U" else values


def _arranged(
    path: Path, columns: dict[str, NDArray[Any]], pixels: Any, mask: Any, units: dict[str, str], bands: tuple[str, ...]
) -> ArrayCutouts:
    if mask is not None and mask.shape != pixels.shape:
        raise DataError(f"arrays {path}: pixel_mask", f"shape {mask.shape}", f"pixels have {pixels.shape}")
    lengths = columns.pop("n_frames", None)
    if lengths is not None or len(pixels.shape) == 3:
        total = len(pixels)
        number = np.ones(total, int) if lengths is None else np.asarray(lengths, int)
        if number.sum() != total:
            raise DataError(f"arrays {path}: n_frames", f"{number.sum()} frames in sum", f"pixels hold {total}")
        owner, epoch = np.repeat(np.arange(len(number)), number), None
        at = np.arange(total)
    else:
        if len(pixels.shape) not in (4, 5):
            raise DataError(f"arrays {path}: pixels", f"shape {pixels.shape}", "give (objects, epochs, height, width)")
        exists = (
            np.isfinite(columns["mjd"])
            if "mjd" in columns and columns["mjd"].shape == pixels.shape[:2]
            else np.ones(pixels.shape[:2], bool)
        )
        owner, epoch = np.nonzero(exists)
        at = np.flatnonzero(exists)
    n = int(owner.max(initial=-1)) + 1 if epoch is None else pixels.shape[0]
    grid = (n, pixels.shape[1])
    table: dict[str, NDArray[Any]] = {}
    for name, column in columns.items():
        if epoch is not None and column.shape == grid:
            table[name] = column[owner, epoch]
        elif epoch is None and column.shape == (len(at),):
            table[name] = column
        elif column.shape in ((n,), ()):
            table[name] = np.broadcast_to(column, (n,))[owner]
        else:
            raise DataError(f"arrays {path}: {name}", f"shape {column.shape}", f"pixels {pixels.shape} ask for one value a frame or object")
    if lengths is not None or epoch is not None:
        table.setdefault("object_id", owner.astype(str).astype(object))
    return ArrayCutouts(
        FrameTable(str(path), table, units, bands),
        lambda rows: _frames_of(pixels, at[rows], epoch is not None),
        None if mask is None else lambda rows: _frames_of(mask, at[rows], epoch is not None),
    )


def _frames_of(array: Any, index: NDArray[np.intp], dense: bool) -> NDArray[Any]:
    """Frames by their flat index; HDF5 hands out sorted, unique indices along one axis only."""
    if isinstance(array, np.ndarray):
        return np.asarray(array.reshape(-1, *array.shape[2:])[index] if dense else array[index])
    owner, epoch = np.divmod(index, array.shape[1]) if dense else (index, None)
    wanted, back = np.unique(owner, return_inverse=True)
    run = wanted[-1] - wanted[0] + 1 == len(wanted)
    block = array[wanted[0] : wanted[-1] + 1] if run else array[wanted]  # lists of indices are slow in HDF5
    return np.asarray(block[back] if epoch is None else block[back, epoch])


def read_pixel_table(path: Path) -> ArrayCutouts | None:
    """A Parquet table with the images in a list column ``pixels``; None if it has no such column.

    The shape (C, H, W) comes from the metadata ``skyreel.stamp``, else images are taken as square.

    Raises
    ------
    DataError
        For lists of the wrong length, and as `tables.read_table`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = read_table(path)
    file = pq.ParquetFile(path)
    schema = file.schema_arrow
    if "pixels" not in schema.names:
        return None
    stated = json.loads((schema.metadata or {}).get(b"skyreel.stamp", b"null"))
    first = np.cumsum([0, *[file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)]])

    def lists(column: str) -> Callable[[NDArray[np.intp]], NDArray[Any]]:
        def read(rows: NDArray[np.intp]) -> NDArray[Any]:
            groups = np.searchsorted(first, rows, side="right") - 1
            used = np.unique(groups)
            start = np.concatenate([[0], np.cumsum(first[used + 1] - first[used])])
            values = file.read_row_groups(used.tolist(), columns=[column])[column].combine_chunks()
            at = start[np.searchsorted(used, groups)] + rows - first[groups]
            return _images_of(values.take(pa.array(at)), stated, column, path)

        return read

    return ArrayCutouts(table, lists("pixels"), lists("pixel_mask") if "pixel_mask" in schema.names else None)


def _images_of(values: Any, stated: list[int] | None, column: str, path: Path) -> NDArray[Any]:
    import pyarrow.compute as pc

    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy()
    size = int(np.prod(stated)) if stated else int(lengths.max(initial=0))
    side = int(np.sqrt(size))
    shape = tuple(stated) if stated else (1, side, side)
    empty = (lengths == 0) & (column == "pixel_mask")
    if size != int(np.prod(shape)) or not np.all((lengths == size) | empty):
        raise DataError(f"table {path}: {column}", f"lists of {sorted(set(lengths.tolist()))} values", f"every image must have {shape}")
    flat = values.flatten().to_numpy(zero_copy_only=False)
    out = np.zeros((len(lengths), *shape), flat.dtype if flat.dtype.kind in "iuf" else np.float32)
    out[~empty] = flat.reshape(-1, *shape)
    return out
