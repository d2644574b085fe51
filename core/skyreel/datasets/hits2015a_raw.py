"""The HiTS 2015A stamps as the public repository github.com/rodrigcd/HiTS_simulations keeps them: the same movies as `hits2015a`.

The folder is the repository, or its `real_obs`. What its files say and what they get wrong:

- A frame's conditions are those of the exposure of its field and filter with its date: within `EXACT` where the date has
  its full precision, within `ROUNDED` where the source keeps it in single precision. A date that fits two exposures has
  none. Epoch labels are not used: they are out of time order and differ from those of the conditions.
- Dates of stars are in single precision; those with a light curve take the exact ones from it.
- A supernova's light curve is used if more than half of its g points have the dates of its frames: five carry those of
  another field, one supernova has none.
- Supernovae closer than `SAME_PLACE` on one chip are one object under two names.
- Field 3 has no conditions: its frames are masked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.datasets import hits2015a_files as files
from skyreel.datasets.dataset import Dataset
from skyreel.datasets.hits2015a import OPTIONAL, REQUIRED
from skyreel.datasets.hits2015a_cuts import HitsOptions
from skyreel.datasets.hits2015a_movies import CLASSES, assemble
from skyreel.datasets.ragged import Columns, damaged, exposures_within, nearest_exposure
from skyreel.errors import DatasetError
from skyreel.registry import typed

NAME = "hits2015a_raw"
EXACT = 30.0 / 86400.0
"""Largest difference [d] between a date of full precision and its exposure's."""
ROUNDED = 680.0 / 86400.0
"""The same for dates in single precision, which are off by up to 169 s. Two g exposures of a field are 1500 s apart or more,
except three pairs in field 1."""
SAME_PLACE = 3.0
"""Supernovae of one chip nearer to each other [px] are one object."""
BRIGHT = 1500.0
"""The paper's authors scored the supernovae with a larger difference flux than this [ADU] (their public code)."""
DEVELOPMENT = (1, 3, 5, 6, 7, *range(10, 16), 17, 19, *range(21, 26), *range(27, 33), *range(36, 40), *range(45, 49), 50)
"""Sky fields of the split 'dev', as in the data set `hits2015a`."""
_STARS = {"rr_lyrae": "RRLyrae", "eclipsing_binary": "EB", "non_variable": "real_constants"}
"""Class -> folder of its stamps."""


def read(folder: Path, **options: Any) -> Dataset:
    """Reads the data set.

    Parameters
    ----------
    folder : Path
        The repository, or its folder ``real_obs``.
    **options
        Fields of `skyreel.datasets.hits2015a_cuts.HitsOptions`; `split` is 'dev', 'holdout' or 'all' sky fields.

    Returns
    -------
    Dataset
        As `skyreel.datasets.hits2015a.read`; within a class in the order of the names.

    Raises
    ------
    DatasetError
        If a file is missing or damaged, a pickle names anything but numpy's reconstruction, or no object is usable.
    ConfigError
        For an unknown option.
    """
    chosen = typed(HitsOptions, options, "dataset")
    root = folder / "real_obs" if (folder / "real_obs").is_dir() else folder
    table = files.read_conditions(_listed(root / "Blind15A_info", "Blind15A_*.npy"))
    stamps = root / "real_stamps"
    parts = {"supernova": _supernovae(stamps / "SNstamps", chosen.split)}
    parts |= {name: _stars(stamps / place, chosen.split) for name, place in _STARS.items()}
    found = [part for name in CLASSES for part in parts[name]]
    if not found:
        raise DatasetError(f"data set {NAME!r} in {folder}", f"no stamps of the split {chosen.split!r}", "choose split=all")
    label = np.repeat(np.asarray(CLASSES), [len(parts[name]) for name in CLASSES])
    data = _join(found)
    data["obj_duplicate_of"] = _duplicates(data, label == "supernova")
    row = _exposure_of(data, table)
    for name in files.SOURCE:
        # single precision is what `hits2015a` keeps: the two data sets give the same numbers
        data[name] = np.where(row >= 0, table[name][row], np.nan).astype(np.float32).astype(np.float64)
    data["cond_mjd"] = np.where(row >= 0, table["mjd"][row], np.nan)
    return assemble(NAME, folder, data, label, table, row, chosen)


def _listed(folder: Path, pattern: str) -> list[Path]:
    found = sorted(folder.glob(pattern))
    if not found:
        raise DatasetError(
            f"data set {NAME!r}: {folder}", f"no file {pattern}", "hand in the folder of github.com/rodrigcd/HiTS_simulations"
        )
    return found


def _in_split(field: int, split: str) -> bool:
    if split not in ("dev", "holdout", "all"):
        raise DatasetError(f"data set {NAME!r}, split {split!r}", "it has dev, holdout and all", "choose one of them")
    return split == "all" or (field in DEVELOPMENT) == (split == "dev")


def _stars(folder: Path, split: str) -> list[Columns]:
    listed = folder / "lightcurves" / "NV_15A_list.txt"
    mean = files.read_constants_list(listed) if listed.is_file() else {}
    places = {file: files.star_place(file) for file in _listed(folder, "*_stamp.npy")}
    chosen = sorted((place.object_id, file) for file, place in places.items() if _in_split(place.field, split))
    return [_star(file, places[file], mean.get(name, np.nan)) for name, file in chosen]


def _star(file: Path, place: files.Place, mean: float) -> Columns:
    stamps, mjd, rounded = files.read_star(file)
    curve_file = file.parent / "lightcurves" / f"{place.object_id}_{place.band}.dat"
    tolerance = ROUNDED if rounded else EXACT
    curve = _curve(curve_file, "MAG_KRON") if curve_file.is_file() else {}
    if not len(curve.get("MJD", ())):
        return _record(place, stamps, mjd, tolerance, mean=mean)
    near, known = _points(curve["MJD"], mjd, tolerance)
    exact = np.where(known, curve["MJD"][near], mjd)
    mag = np.where(known, curve["MAG_KRON"][near], np.nan)
    return _record(place, stamps, exact, np.where(known, EXACT, tolerance), mean=mean, mag=mag)


def _supernovae(folder: Path, split: str) -> list[Columns]:
    places = files.read_supernova_list(folder / "SNHiTS.txt")
    named = {file.name.removesuffix("_stamps.npy"): file for file in _listed(folder / "npy", "*_stamps.npy")}
    absent = sorted(set(named) - set(places))
    if absent:
        raise damaged(folder / "SNHiTS.txt", f"it does not list {', '.join(absent)}, of which there are stamps")
    chosen = [name for name in sorted(named) if _in_split(places[name].field, split)]
    return [_supernova(named[name], places[name], folder / "LC" / f"{name}.dat") for name in chosen]


def _supernova(file: Path, place: files.Place, curve_file: Path) -> Columns:
    stamps, mjd = files.read_supernova(file, file.with_name(f"{place.object_id}_MJDs.npy"))
    if not curve_file.is_file():
        return _record(place, stamps, mjd, EXACT, usable=False, bright=False)
    curve = _curve(curve_file, "ADU", "e_ADU", "band")
    curve = {name: column[curve["band"] == place.band] for name, column in curve.items()}
    if not _same_dates(curve["MJD"], mjd):
        return _record(place, stamps, mjd, EXACT, usable=False, bright=False)
    near, known = _points(curve["MJD"], mjd, EXACT)
    flux, error = (np.where(known, curve[name][near], np.nan) for name in ("ADU", "e_ADU"))
    return _record(place, stamps, mjd, EXACT, bright=bool((flux > BRIGHT).any()), flux=flux, error=error)


def _same_dates(curve_mjd: NDArray[np.float64], mjd: NDArray[np.float64]) -> bool:
    """Whether more than half of a light curve's points are of these frames."""
    return bool(len(curve_mjd)) and bool(2 * _points(mjd, curve_mjd, EXACT)[1].sum() > len(curve_mjd))


def _record(
    place: files.Place,
    stamps: NDArray[np.float32],
    mjd: NDArray[np.float64],
    tolerance: Any,
    *,
    usable: bool = True,
    bright: bool = True,
    mean: float = np.nan,
    mag: Any = np.nan,
    flux: Any = np.nan,
    error: Any = np.nan,
) -> Columns:
    """Columns of one object; those of frames are given whole or as one value."""
    columns: dict[str, Any] = {f"obj_{name}": getattr(place, name) for name in ("field", "x", "y")}
    columns |= {"obj_id": place.object_id, "obj_ccdnum": place.ccd, "obj_n": len(mjd)}
    columns |= {"obj_mean_mag": mean, "obj_lc_usable": usable, "obj_bright_subset": bright}
    frames = {"mjd": mjd, "mag": mag, "diff_adu": flux, "diff_adu_err": error, "band": place.band, "tolerance": tolerance}
    columns |= {f"frame_{name}": np.broadcast_to(value, len(mjd)) for name, value in frames.items()}
    return {**columns, "stamps": stamps}


def _curve(file: Path, *needed: str) -> Columns:
    """Light curve without points that have no date."""
    curve = files.read_curve(file)
    absent = [name for name in needed if name not in curve]
    if absent:
        raise damaged(file, f"it has no column {', '.join(absent)}")
    dated = np.isfinite(curve["MJD"])
    return {name: column[dated] for name, column in curve.items()}


def _points(curve_mjd: NDArray[np.float64], mjd: NDArray[np.float64], tolerance: float) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Point of a light curve of each frame and whether it has one.

    A curve with one point a frame goes with the frames in time order; else a frame has the only point within `tolerance` [d].
    """
    if len(curve_mjd) == len(mjd):
        paired = np.empty(len(mjd), np.intp)
        paired[np.argsort(mjd, kind="stable")] = np.argsort(curve_mjd, kind="stable")
        if (np.abs(curve_mjd[paired] - mjd) <= tolerance).all():
            return paired, np.ones(len(mjd), np.bool_)
    apart = np.abs(mjd[:, None] - curve_mjd)
    return apart.argmin(axis=1), (apart <= tolerance).sum(axis=1) == 1


def _join(parts: list[Columns]) -> Columns:
    shape = parts[0]["stamps"].shape[1:]
    for part in parts:
        if part["stamps"].shape[1:] != shape:
            found = f"stamps of {part['stamps'].shape[1:]} pixels, those of {parts[0]['obj_id']} have {shape}"
            raise DatasetError(f"data set {NAME!r}: object {part['obj_id']}", found, "restore the file from the data set's source")
    dtypes = REQUIRED | OPTIONAL
    single = ("obj_mean_mag", "frame_mag", "frame_diff_adu", "frame_diff_adu_err")
    joined = {name: np.array([part[name] for part in parts]) for name in parts[0] if name.startswith("obj_")}
    joined |= {name: np.concatenate([part[name] for part in parts]) for name in parts[0] if not name.startswith("obj_")}
    joined |= {name: joined[name].astype(np.float32) for name in single}  # as `hits2015a` keeps them
    return {name: column.astype(dtypes.get(name, column.dtype)) for name, column in joined.items()}


def _duplicates(data: Columns, supernova: NDArray[np.bool_]) -> NDArray[np.str_]:
    """First name (n,) of a supernova that an earlier one shares its place with, '' for all others."""
    field, ccd, x, y = (data[name] for name in ("obj_field", "obj_ccdnum", "obj_x", "obj_y"))
    near = np.hypot(x[:, None] - x, y[:, None] - y) <= SAME_PLACE
    same = near & (field[:, None] == field) & (ccd[:, None] == ccd) & supernova[:, None] & supernova
    first = np.where(supernova, same.argmax(axis=1), np.arange(len(x)))
    return np.where(first == np.arange(len(x)), "", data["obj_id"][first])


def _exposure_of(data: Columns, table: Columns) -> NDArray[np.intp]:
    """Row of the table for every frame (N,), -1 for none.

    A date that fits two exposures (rounded, in field 1) has none; of two frames nearest to one exposure the nearer has it.
    """
    filters, code = np.unique(table["filter"], return_inverse=True)
    own = np.searchsorted(filters, data["frame_band"])
    listed = filters[np.minimum(own, len(filters) - 1)] == data["frame_band"]
    objects = np.repeat(np.arange(len(data["obj_n"])), data["obj_n"])
    sequence, wanted = table["field"] * len(filters) + code, data["obj_field"][objects] * len(filters) + own
    row, apart = nearest_exposure(sequence, table["mjd"], wanted, data["frame_mjd"])
    candidates = exposures_within(sequence, table["mjd"], wanted, data["frame_mjd"], data["frame_tolerance"])
    row = np.where(listed & (candidates == 1), row, -1)
    order = np.lexsort((apart, row, objects))
    again = (np.diff(row[order]) == 0) & (np.diff(objects[order]) == 0)
    row[order[1:][again]] = -1
    return row
