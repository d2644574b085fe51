"""The files of the public repository github.com/rodrigcd/HiTS_simulations, `real_obs/`, one function a format."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.datasets.numpy_pickle import read_array, read_record
from skyreel.datasets.ragged import READ_ERRORS, Columns, damaged

_CHIP_ROWS = {"S": ((29, 31, 1), (25, 28, 4), (20, 24, 8), (14, 19, 13), (8, 13, 19), (1, 7, 25)), "N": ((1, 31, 32),)}
CCD = {f"{side}{k}": k - low + number for side, rows in _CHIP_ROWS.items() for low, high, number in rows for k in range(low, high + 1)}
"""DECam chip name -> number (FITS keywords DETPOS and CCDNUM; Flaugher et al. 2015, AJ 150, 150). Numbers run row by row from
the southern edge, S29 is 1 and N31 is 62; names count from the middle outwards."""
SOURCE = {
    "cond_exptime": "EXP_TIME",
    "cond_seeing_arcsec": "SEEING",
    "cond_airmass": "AIRMASS",
    "cond_sky": "BACK_LEVEL",
    "cond_zero_point": "ZP_PS",
    "cond_limmag5": "LIMIT_MAG_EA5",
}
"""Our column -> field of a condition file: s, arcsec, none, ADU / px, mag, mag."""
_CONDITIONS = re.compile(r"Blind15A_(\d+)_(\d+)_(\w+)\.npy")
_STAR = re.compile(r"Blind15A_(\d+)_([NS]\d+)_(\d+)_(\d+)_(\w+)_stamp\.npy")
_TEXT_ERRORS = (*READ_ERRORS, UnicodeDecodeError, IndexError, TypeError)


@dataclass(frozen=True)
class Place:
    """Which object a stamp file is of, and where it lies.

    Attributes
    ----------
    object_id : str
        Of stars with positions of four digits, as the light curves and the list of constants write it.
    field, ccd : int
    x, y : float
        Position on the chip [px].
    band : str
        Filter of the stamps.
    """

    object_id: str
    field: int
    ccd: int
    x: float
    y: float
    band: str


def star_place(file: Path) -> Place:
    """Reads ``Blind15A_FIELD_CCD_X_Y_BAND_stamp.npy``.

    Raises
    ------
    DatasetError
        For another form or an unknown chip.
    """
    match = _STAR.fullmatch(file.name)
    if match is None:
        raise damaged(file, "its name is not Blind15A_FIELD_CCD_X_Y_BAND_stamp.npy")
    field, chip, x, y, band = match.groups()
    name = f"Blind15A_{int(field):02d}_{chip}_{int(x):04d}_{int(y):04d}"
    return Place(name, int(field), ccd_number(chip, file), float(x), float(y), band)


def ccd_number(chip: str, file: Path) -> int:
    """Number of a chip; DatasetError naming `file` for an unknown one."""
    if chip not in CCD:
        raise damaged(file, f"DECam has no chip {chip!r}")
    return CCD[chip]


def read_conditions(files: Iterable[Path]) -> Columns:
    """Condition files, one record each: ``field, epoch, filter, mjd`` [d, start] and the columns of `SOURCE`.

    Field, epoch and filter are taken from the name. Quantities that a file lacks (three exposures of field 25 have
    other columns, without zero point) are NaN.

    Raises
    ------
    DatasetError
        For a name of another form, a damaged file, or one without a date.
    """
    rows = [_condition(file) for file in files]
    return {name: np.array([row[name] for row in rows]) for name in ("field", "epoch", "filter", "mjd", *SOURCE)}


def _condition(file: Path) -> dict[str, Any]:
    match = _CONDITIONS.fullmatch(file.name)
    if match is None:
        raise damaged(file, "its name is not Blind15A_FIELD_EPOCH_BAND.npy")
    record = read_array(file)
    names = record.dtype.names or ()
    if record.size != 1 or "MJD" not in names:
        raise damaged(file, f"{record.size} records with the columns {', '.join(names) or 'none'}; one with MJD is needed")
    values = {ours: _number(record, theirs, file) if theirs in names else np.nan for ours, theirs in SOURCE.items()}
    mjd = _number(record, "MJD", file)
    if not np.isfinite(mjd):
        raise damaged(file, f"MJD is {mjd}")
    return {"field": int(match[1]), "epoch": int(match[2]), "filter": match[3], "mjd": mjd, **values}


def _number(record: NDArray[Any], name: str, file: Path) -> float:
    try:
        return float(record.reshape(())[name])
    except (ValueError, TypeError) as err:
        raise damaged(file, f"{name} is not a number ({err})") from err


def read_star(file: Path) -> tuple[NDArray[np.float32], NDArray[np.float64], bool]:
    """Stamps (T, H, W) [ADU] of a star, their MJD (T,) and whether those are rounded to single precision (338 s steps).

    Raises
    ------
    DatasetError
        If the file is damaged or its arrays do not fit together.
    """
    record = read_record(file)
    absent = [name for name in ("stamp", "time") if name not in record]
    if absent or "MJD" not in (record["time"].dtype.names or ()):
        raise damaged(file, f"it holds {', '.join(record) or 'nothing'}; stamp and time with MJD are needed")
    mjd = record["time"]["MJD"]
    return (*_frames(file, record["stamp"], mjd), mjd.dtype.itemsize < 8)


def read_supernova(stamps: Path, dates: Path) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Stamps (T, H, W) [ADU] of a supernova and their MJD (T,), which the source keeps as text.

    Raises
    ------
    DatasetError
        If a file is damaged or their lengths differ.
    """
    return _frames(stamps, read_array(stamps), read_array(dates))


def _frames(file: Path, stamps: NDArray[Any], mjd: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    if stamps.ndim != 3 or stamps.dtype.kind not in "fiu" or mjd.shape != stamps.shape[:1] or not len(mjd):
        raise damaged(file, f"stamps {stamps.dtype} of shape {stamps.shape} with dates of shape {mjd.shape}")
    try:
        dates = mjd.astype(np.float64)
    except ValueError as err:
        raise damaged(file, f"a date is not a number ({err})") from err
    if not np.isfinite(dates).all():
        raise damaged(file, "a date is not finite")
    return stamps.astype(np.float32), dates


def read_curve(file: Path) -> Columns:
    """A light curve: columns by the names of its header line, numbers except for ``band``.

    Raises
    ------
    DatasetError
        If the file is damaged: no header, rows of another length, text where a number belongs.
    """
    try:
        lines = [line.split() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except _TEXT_ERRORS as err:
        raise damaged(file, f"not readable ({type(err).__name__}: {err})") from err
    head = next((k for k, words in enumerate(lines) if "MJD" in words), None)
    if head is None:
        raise damaged(file, "it has no line of column names with MJD")
    names, rows = [word for word in lines[head] if word != "#"], lines[head + 1 :]
    if any(len(row) != len(names) for row in rows):
        raise damaged(file, f"a row does not have the {len(names)} values of the header")
    columns = {name: np.array([row[k] for row in rows], np.str_) for k, name in enumerate(names)}
    try:
        return {name: column if name == "band" else column.astype(np.float64) for name, column in columns.items()}
    except ValueError as err:
        raise damaged(file, f"a value is not a number ({err})") from err


def read_supernova_list(file: Path) -> dict[str, Place]:
    """``SNHiTS.txt``, by name. The list counts pixels from 1, row before column; all stamps of supernovae are g.

    Raises
    ------
    DatasetError
        If the file is absent or damaged, or names an unknown chip.
    """
    try:
        rows = [line.split() for line in file.read_text(encoding="utf-8").splitlines()[1:] if line.strip()]
        parts = [(name, int(field), chip, float(j) - 1, float(i) - 1) for name, field, chip, i, j in rows]
    except _TEXT_ERRORS as err:
        raise damaged(file, f"not a list of name, field, CCD, i, j ({type(err).__name__}: {err})") from err
    return {name: Place(name, field, ccd_number(chip, file), x, y, "g") for name, field, chip, x, y in parts}


def read_constants_list(file: Path) -> dict[str, float]:
    """``NV_15A_list.txt``: name -> mean magnitude.

    Raises
    ------
    DatasetError
        If the file is damaged.
    """
    try:
        rows = [line.split(",") for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        return {row[0]: float(row[1]) for row in rows}
    except _TEXT_ERRORS as err:
        raise damaged(file, f"not a list of name, magnitude, error ({type(err).__name__}: {err})") from err
