"""The HiTS 2015A stamps of Carrasco-Davis et al. 2018 (section 4): real supernovae, RR Lyrae, eclipsing binaries, constants.

The folder holds ``conditions.ecsv`` (one row per exposure) and ``SPLIT/CLASS.npz`` (stamps and what was measured on
them, frames of all objects one after the other). A frame's conditions are those of the row with its MJD: the epoch
labels of the source are out of time order and disagree with the condition files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.datasets.dataset import Dataset
from skyreel.datasets.hits2015a_cuts import HitsOptions
from skyreel.datasets.hits2015a_movies import CLASSES, CONDITIONS, assemble
from skyreel.datasets.ragged import READ_ERRORS, Columns, damaged, join, nearest_exposure, read_columns
from skyreel.errors import DatasetError
from skyreel.registry import typed

__all__ = ["CLASSES", "OPTIONAL", "REQUIRED", "HitsOptions", "read"]

REQUIRED: dict[str, Any] = {
    "obj_id": "U32",
    "obj_field": np.int32,
    "obj_ccdnum": np.int16,
    "obj_n": np.intp,
    "stamps": np.float32,
    "frame_mjd": np.float64,
    "cond_mjd": np.float64,
    **dict.fromkeys(CONDITIONS, np.float64),
}
"""Columns of a class file -> dtype."""
OPTIONAL: dict[str, Any] = {
    "obj_mean_mag": np.float64,
    "obj_x": np.float64,
    "obj_y": np.float64,
    "obj_duplicate_of": "U32",
    "obj_lc_usable": np.bool_,
    "obj_bright_subset": np.bool_,
    "frame_mag": np.float64,
    "frame_diff_adu": np.float64,
    "frame_diff_adu_err": np.float64,
}
"""Columns that a class may lack."""
_TABLE = ("field", "epoch", "filter", "mjd")
_SAME_EXPOSURE = 1.0 / 86400.0
"""Largest difference [d] between the MJD of a frame's matched conditions and that of the table's row."""


def read(folder: Path, **options: Any) -> Dataset:
    """Reads the data set.

    Parameters
    ----------
    folder : Path
        Folder with ``conditions.ecsv`` and ``SPLIT/CLASS.npz``.
    **options
        Fields of `HitsOptions`.

    Returns
    -------
    Dataset
        Usable objects in the order supernova, rr_lyrae, eclipsing_binary, non_variable; every frame of the source keeps
        its place in time, unusable ones are masked.

    Raises
    ------
    DatasetError
        If a file is missing or damaged, or no object is usable.
    ConfigError
        For an unknown option.
    """
    chosen = typed(HitsOptions, options, "dataset")
    table = _read_table(folder / "conditions.ecsv")
    files = [_class_file(folder, chosen.split, name) for name in CLASSES]
    parts = [read_columns(file, REQUIRED, OPTIONAL, "obj_n", "stamps") for file in files]
    for file, part in zip(files, parts, strict=True):
        if part["stamps"].ndim != 3 or part["stamps"].shape[1:] != parts[0]["stamps"].shape[1:]:
            raise damaged(file, f"stamps of shape {part['stamps'].shape}, those of {files[0].name} are {parts[0]['stamps'].shape}")
    data = join(parts)
    label = np.repeat(np.asarray(CLASSES), [len(part["obj_n"]) for part in parts])
    row = _table_row(data, table, folder / "conditions.ecsv")
    return assemble("hits2015a", folder, data, label, table, row, chosen)


def _class_file(folder: Path, split: str, name: str) -> Path:
    if not (folder / split).is_dir():
        have = sorted(item.name for item in folder.iterdir() if item.is_dir())
        raise DatasetError(
            f"data set 'hits2015a', split {split!r}", f"{folder} holds the folders {', '.join(have) or 'none'}", "choose one of them"
        )
    return folder / split / f"{name}.npz"


def _read_table(file: Path) -> Columns:
    if not file.is_file():
        raise damaged(file, "there is no such file")
    from astropy.table import Table

    try:
        table = Table.read(file, format="ascii.ecsv")
        return {name: np.asarray(table[name]) for name in _TABLE}
    except (*READ_ERRORS, TypeError, IndexError) as err:
        raise damaged(file, f"not a readable ECSV table ({type(err).__name__}: {str(err).splitlines()[0]})") from err


def _table_row(data: Columns, table: Columns, file: Path) -> NDArray[np.intp]:
    """Row of the table for every frame, by field and MJD; -1 where the source has no conditions."""
    matched = np.isfinite(data["cond_mjd"])
    field = np.repeat(data["obj_field"], data["obj_n"])
    near, apart = nearest_exposure(table["field"], table["mjd"], field, np.where(matched, data["cond_mjd"], 0.0))
    absent = matched & (apart > _SAME_EXPOSURE)
    if absent.any():
        raise damaged(file, f"{int(absent.sum())} frames have conditions of exposures that the table does not list")
    return np.where(matched, near, -1)
