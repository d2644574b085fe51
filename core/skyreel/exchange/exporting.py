"""Movies to Parquet, HDF5 and FITS, a batch at a time; each format reads back as the same movies."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel import __version__
from skyreel.errors import ConfigError, OutputError
from skyreel.exchange.frame_rows import FRAME_UNITS, batches, frame_rows, kept_frames
from skyreel.interfaces import MovieStore

FORMATS = ("parquet", "hdf5", "fits")
ENDINGS = {".parquet": "parquet", ".pq": "parquet", ".h5": "hdf5", ".hdf5": "hdf5"}
HEADER = {
    "mjd": "MJD-OBS",
    "band": "FILTER",
    "exptime": "EXPTIME",
    "seeing": "SEEING",
    "psf_fwhm": "PSF_FWHM",
    "airmass": "AIRMASS",
    "sky": "SKYLEVEL",
    "zero_point": "MAGZERO",
    "limiting_mag": "MAGLIM",
    "exposure_id": "EXPNUM",
    "field": "FIELDID",
    "ccd": "CCDNUM",
    "gain": "GAIN",
    "read_noise": "RDNOISE",
    "saturation": "SATURATE",
}
"""Column -> FITS keyword of exported images."""
TABLE = "table.ecsv"


def export(store: MovieStore, target: Path, kind: str | None = None, tick: Callable[[int], None] | None = None) -> int:
    """Writes movies; returns the number of frames.

    Parameters
    ----------
    store : MovieStore
    target : Path
        File, or for FITS a new or empty folder.
    kind : 'parquet', 'hdf5', 'fits' or None
        None: by the ending of `target`, FITS for one that is no ending of a file.
    tick : callable, optional
        Called with the number of movies written since the last call.

    Raises
    ------
    ConfigError
        For an unknown format.
    DataError
        If two movies have the same name.
    OutputError
        If the target cannot be written; nothing is left of it.
    """
    chosen = kind or ENDINGS.get(target.suffix.lower(), "fits")
    writers: dict[str, Callable[[MovieStore, Path, Callable[[int], None]], int]] = {"parquet": _parquet, "hdf5": _hdf5, "fits": _fits}
    if chosen not in writers:
        raise ConfigError("format", repr(kind), f"use one of {', '.join(FORMATS)}")
    tick = tick or (lambda n: None)
    if chosen == "fits":
        return _to_folder(store, target, tick)
    if target.is_dir():
        raise OutputError(f"output={target}", "it is a folder", f"name a file for format={chosen}")
    temporary = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        frames = writers[chosen](store, temporary, tick)
        os.replace(temporary, target)
    except OSError as err:
        raise _unwritable(target, err) from err
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return frames


def _unwritable(target: Path, err: OSError) -> OutputError:
    if isinstance(err, OutputError):
        return err
    return OutputError(f"output={target}", str(err), "choose a place with free space that can be written to")


def _to_folder(store: MovieStore, folder: Path, tick: Callable[[int], None]) -> int:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"output={folder}", "it is a file or a folder that is not empty", "name a new folder for format=fits")
    temporary = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(temporary, ignore_errors=True)  # of a run that was killed
        temporary.mkdir(parents=True)
        frames = _fits(store, temporary, tick)
        if folder.exists():
            folder.rmdir()
        os.replace(temporary, folder)
    except OSError as err:
        raise _unwritable(folder, err) from err
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return frames


def _parquet(store: MovieStore, path: Path, tick: Callable[[int], None]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer, frames = None, 0
    try:
        for movies in batches(store):
            keep = kept_frames(movies)
            columns = {name: _arrow(column) for name, column in frame_rows(movies, keep).items()}
            bits = movies.pixel_mask[keep]
            columns["pixels"] = _lists(movies.pixels[keep], None)
            columns["pixel_mask"] = _lists(bits, _flagged(bits))
            head = {
                "skyreel.version": __version__,
                "skyreel.bands": json.dumps(movies.reported.bands),
                "skyreel.stamp": json.dumps(movies.pixels.shape[2:]),
            }
            units = {**FRAME_UNITS, "pixels": "adu"}
            schema = pa.schema(
                [pa.field(name, item.type, metadata={"unit": units[name]} if name in units else None) for name, item in columns.items()],
                metadata=head,
            )
            writer = writer or pq.ParquetWriter(path, schema, compression="zstd")
            if len(bits):
                writer.write_table(pa.table(list(columns.values()), schema=schema), row_group_size=2048)
            frames += len(bits)
            tick(len(movies))
    finally:
        if writer is not None:
            writer.close()
    return frames


def _arrow(column: NDArray[Any]) -> Any:
    import pyarrow as pa

    return pa.array(column.astype(object), pa.string()) if column.dtype.kind == "U" else pa.array(column)


def _flagged(bits: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """True (m,) for frames with a flagged pixel."""
    return np.asarray((bits > 0).any(axis=(1, 2, 3)))


def _lists(images: NDArray[Any], there: NDArray[np.bool_] | None) -> Any:
    """A list per image; null where not `there`."""
    import pyarrow as pa

    there = np.ones(len(images), bool) if there is None else there
    offsets = np.concatenate([[0], np.cumsum(there * int(np.prod(images.shape[1:])))]).astype(np.int64)
    return pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(images[there].ravel()), mask=pa.array(~there))


def _hdf5(store: MovieStore, path: Path, tick: Callable[[int], None]) -> int:
    import h5py

    frames = 0
    with h5py.File(path, "w") as file:
        file.attrs["skyreel_version"] = __version__
        for movies in batches(store):
            keep = kept_frames(movies)
            columns = frame_rows(movies, keep)
            columns |= {"pixels": movies.pixels[keep], "pixel_mask": movies.pixel_mask[keep]}
            file.attrs["bands"] = json.dumps(movies.reported.bands)
            for name, column in columns.items():
                _append(file, name, column)
            _append(file, "n_frames", keep.sum(axis=1).astype(np.int64))
            frames += int(keep.sum())
            tick(len(movies))
        for name, unit in {**FRAME_UNITS, "pixels": "adu"}.items():
            if name in file:
                file[name].attrs["units"] = unit
    return frames


def _append(file: Any, name: str, column: NDArray[Any]) -> None:
    import h5py

    text = column.dtype.kind == "U"
    if name not in file:
        shape = column.shape[1:]
        file.create_dataset(
            name,
            (0, *shape),
            h5py.string_dtype() if text else column.dtype,
            maxshape=(None, *shape),
            chunks=(64 if shape else 4096, *shape),
            compression="gzip",
            compression_opts=1,
            shuffle=not text,
        )
    data = file[name]
    start = data.shape[0]
    data.resize(start + len(column), axis=0)
    data[start:] = column.astype(object) if text else column


def _fits(store: MovieStore, folder: Path, tick: Callable[[int], None]) -> int:
    from astropy.table import Table, vstack

    tables: list[Table] = []
    taken: set[str] = set()
    bands: tuple[str, ...] = ()
    for movies in batches(store):
        bands = movies.reported.bands
        keep = kept_frames(movies)
        rows = frame_rows(movies, keep)
        bits, pixels = movies.pixel_mask[keep], movies.pixels[keep]
        number = len(pixels)
        flagged = _flagged(bits)
        files, hdu, mask_hdu = np.empty(number, object), np.zeros(number, np.int64), np.full(number, -1, np.int64)
        start = 0
        for name, count in zip(movies.object_id.tolist(), keep.sum(axis=1).tolist(), strict=True):
            part = slice(start, start + count)
            start += count
            if not count:
                continue
            file = file_name(name, taken)
            files[part] = file
            hdu[part], mask_hdu[part] = _write_object(
                folder / file, name, {k: v[part] for k, v in rows.items()}, pixels[part], bits[part], flagged[part]
            )
        table = Table({"file": files.astype(str), "hdu": hdu, "mask_hdu": mask_hdu, **rows})
        tables.append(table)
        tick(len(movies))
    joined = vstack(tables, metadata_conflicts="silent")
    for name, unit in FRAME_UNITS.items():
        if name in joined.colnames:
            joined[name].unit = unit
    joined.meta = {"bands": list(bands), "skyreel": __version__}
    joined.write(folder / TABLE, format="ascii.ecsv")
    return len(joined)


def file_name(object_id: str, taken: set[str]) -> str:
    """A name for an object's file that no other one has, on file systems that do not tell cases apart either; enters `taken`."""
    stem = re.sub(r"[^A-Za-z0-9._+-]", "_", object_id).strip(".")[:120] or "object"
    name, k = f"{stem}.fits", 1
    while name.lower() in taken:
        k += 1
        name = f"{stem}-{k}.fits"
    taken.add(name.lower())
    return name


def _write_object(
    path: Path, object_id: str, rows: dict[str, NDArray[Any]], pixels: NDArray[Any], bits: NDArray[np.uint8], flagged: NDArray[np.bool_]
) -> tuple[list[int], list[int]]:
    """Writes one file; returns the HDU of each frame and of its mask, -1 where no pixel is flagged."""
    from astropy.io import fits

    primary = fits.PrimaryHDU()
    primary.header["OBJECT"] = (_ascii(object_id), "name")
    primary.header["LABEL"] = (_ascii(str(rows["label"][0])), "class, empty if unknown")
    primary.header["FIRSTDET"] = (int(rows["first_detection"][0]), "frame of the first detection, 0-based; -1: none")
    hdus = fits.HDUList([primary])
    where, mask_where = [], []
    for k in range(len(pixels)):
        image = fits.ImageHDU(_plane(pixels[k]), name="FRAME", ver=k + 1)
        image.header["BUNIT"] = "adu"
        if rows["exists"][k]:
            for column, keyword in HEADER.items():
                value = rows[column][k].item()
                if isinstance(value, str) or np.isfinite(value):
                    image.header[keyword] = (value, FRAME_UNITS.get(column, ""))
        where.append(len(hdus))
        hdus.append(image)
        mask_where.append(len(hdus) if flagged[k] else -1)
        if flagged[k]:
            hdus.append(fits.ImageHDU(_plane(bits[k]), name="MASK", ver=k + 1))
    hdus.writeto(path)
    return where, mask_where


def _plane(image: NDArray[Any]) -> NDArray[Any]:
    return image[0] if len(image) == 1 else image


def _ascii(word: str) -> str:
    return word.encode("ascii", "replace").decode()
