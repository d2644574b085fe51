"""The HiTS 2015A stamps of Carrasco-Davis et al. 2018 (section 4): real supernovae, RR Lyrae, eclipsing binaries, constants.

The folder holds ``conditions.ecsv`` (one row per exposure) and ``SPLIT/CLASS.npz`` (stamps and what was measured on
them, frames of all objects one after the other). A frame's conditions are those of the row with its MJD: the epoch
labels of the source are out of time order and disagree with the condition files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.datasets import hits2015a_cuts as cuts
from skyreel.datasets.dataset import Dataset
from skyreel.datasets.ragged import READ_ERRORS, Columns, Grid, damaged, join, read_columns
from skyreel.errors import ConfigError, DatasetError
from skyreel.exposures import Exposures
from skyreel.movies import Movies
from skyreel.registry import typed

CLASSES = ("supernova", "rr_lyrae", "eclipsing_binary", "non_variable")
CAMERA = {
    1: (4.039, 6.139, 38652.0),
    5: (4.085, 6.209, 45237.0),
    6: (3.793, 5.936, 50304.0),
    7: (4.128, 6.258, 43219.0),
    9: (3.870, 5.944, 46442.0),
    25: (4.104, 6.119, 40469.0),
}
"""CCD number -> gain [electron / ADU], read noise [electron], saturation [ADU]: the six chips that the public simulator
of Carrasco-Davis et al. 2018 (github.com/rodrigcd/HiTS_simulations, `camera_params`) lists; others get the median."""
FWHM_PER_SEEING = (3.160, -0.064)
"""Gaussian FWHM [px] of a star on the stamp = 3.160 x header seeing [arcsec] - 0.064, rms 0.10 px: a fit to 70 g exposures of
the development constants (their width is 0.84 of seeing / 0.27 arcsec)."""

_OBJECT = {"obj_id": "U32", "obj_field": np.int32, "obj_ccdnum": np.int16, "obj_n": np.intp}
_FRAME = {"stamps": np.float32, "frame_mjd": np.float64, "cond_mjd": np.float64}
_CONDITIONS = {
    "cond_exptime": "exptime",
    "cond_seeing_arcsec": "seeing",
    "cond_airmass": "airmass",
    "cond_sky": "sky",
    "cond_zero_point": "zero_point",
    "cond_limmag5": "limiting_mag",
}
_SUPERNOVA = {
    "obj_duplicate_of": "U32",
    "obj_lc_usable": np.bool_,
    "obj_bright_subset": np.bool_,
    "frame_diff_adu": np.float64,
    "frame_diff_adu_err": np.float64,
}
_TABLE = ("field", "epoch", "filter", "mjd")
_SAME_EXPOSURE = 1.0 / 86400.0
"""Largest difference [d] between the MJD of a frame's matched conditions and that of the table's row."""


@dataclass
class HitsOptions:
    """Options of the data set `hits2015a`.

    Parameters
    ----------
    split : str
        Folder of the class files within the data set's folder.
    bands : tuple of str
        Filters that the movies' band index refers to; frames in others are masked. All stamps are g.
    max_seeing : float, arcsec
        Frames with this header seeing or more are masked (section 2.3 of the paper: 2).
    min_zero_point : float, mag
        Frames with a smaller zero point are masked as cloudy (clear g exposures have 24.9 to 25.1).
    saturation : float, ADU
        Pixels at or above it are flagged as saturated.
    max_bad_fraction : float
        Frames with a larger share of bad pixels are masked.
    detection_sigma : float
        A supernova's first alert is the first usable frame with a difference flux above this many sigma (section 4: 5).
    before_alert : int
        Usable frames kept before the first alert when the frames of a supernova's sequence are counted (section 3.1: 5).
    min_frames : int
        Objects with fewer usable frames in the sequence are left out.
    drop_duplicates : bool
        Keep one movie of supernovae that are listed under two names.
    bright_only : bool
        Keep only the supernovae that the paper's authors scored (largest difference flux above 1500 ADU).
    """

    split: str = "dev"
    bands: tuple[str, ...] = ("g",)
    max_seeing: float = field(default=2.0, metadata={"unit": "arcsec"})
    min_zero_point: float = field(default=24.0, metadata={"unit": "mag"})
    saturation: float = field(default=35000.0, metadata={"unit": "ADU"})
    max_bad_fraction: float = 0.25
    detection_sigma: float = 5.0
    before_alert: int = 5
    min_frames: int = 5
    drop_duplicates: bool = False
    bright_only: bool = False

    def __post_init__(self) -> None:
        for name in ("max_seeing", "saturation", "detection_sigma", "min_frames"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"dataset.{name}", str(getattr(self, name)), "it must be positive")
        if self.before_alert < 0:
            raise ConfigError("dataset.before_alert", str(self.before_alert), "it must be 0 or more")
        if not 0 <= self.max_bad_fraction <= 1:
            raise ConfigError("dataset.max_bad_fraction", str(self.max_bad_fraction), "it must lie in [0, 1]")


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
    wanted, optional = _OBJECT | _FRAME | dict.fromkeys(_CONDITIONS, np.float64), _SUPERNOVA
    files = [_class_file(folder, chosen.split, name) for name in CLASSES]
    parts = [read_columns(file, wanted, optional, "obj_n", "stamps") for file in files]
    for file, part in zip(files, parts, strict=True):
        if part["stamps"].ndim != 3 or part["stamps"].shape[1:] != parts[0]["stamps"].shape[1:]:
            raise damaged(file, f"stamps of shape {part['stamps'].shape}, those of {files[0].name} are {parts[0]['stamps'].shape}")
    data = join(parts)
    label = np.repeat(np.asarray(CLASSES), [len(part["obj_n"]) for part in parts])
    row = _table_row(data, table, folder / "conditions.ecsv")
    mjd = np.where(row >= 0, data["cond_mjd"], data["frame_mjd"])
    grid = Grid.in_time(data["obj_n"], mjd)
    reported = _exposures(data, table, row, mjd, grid, chosen)
    return _assemble(data, label, reported, row, grid, chosen, folder)


def _assemble(
    data: Columns, label: NDArray[np.str_], reported: Exposures, row: NDArray[np.intp], grid: Grid, options: HitsOptions, folder: Path
) -> Dataset:
    bits = cuts.pixel_bits(data["stamps"], options.saturation)
    fault = cuts.frame_fault(data, bits, row, reported.mask[grid.objects, grid.epoch], options)
    usable = grid.spread(fault == cuts.USABLE, False)
    snr = grid.spread(cuts.signal_to_noise(data), np.nan)
    first = cuts.first_detection(usable, snr, label == "supernova", options.detection_sigma)
    group = np.where(data["obj_duplicate_of"] == "", data["obj_id"], data["obj_duplicate_of"])
    fate = cuts.object_fault(data, label, usable, first, group, options)
    keep = fate == cuts.USABLE
    if not keep.any():
        raise DatasetError(f"data set 'hits2015a' in {folder}", "no usable object under these options", "relax them")
    movies = Movies(
        grid.spread(data["stamps"])[:, :, None],
        grid.spread(bits, cuts.NO_FRAME)[:, :, None],
        usable,
        reported,
        label,
        data["obj_id"],
        first,
    ).take(keep)
    movies.check("data set 'hits2015a'")
    counts = cuts.tally(CLASSES, label, fate, fault, grid.objects, bits)
    left_out = {str(name): str(why) for name, why in zip(data["obj_id"][~keep], fate[~keep], strict=True)}
    return Dataset(movies, group[keep], left_out, counts, "hits2015a", folder)


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
    span = 100_000.0  # any MJD of this century is smaller, so that field and date make one sortable number
    key = table["field"] * span + table["mjd"]
    order = np.argsort(key)
    matched = np.isfinite(data["cond_mjd"])
    wanted = np.repeat(data["obj_field"], data["obj_n"]) * span + np.where(matched, data["cond_mjd"], 0.0)
    after = np.clip(np.searchsorted(key[order], wanted), 1, len(key) - 1)
    near = order[np.where(wanted - key[order[after - 1]] < key[order[after]] - wanted, after - 1, after)]
    absent = matched & (np.abs(key[near] - wanted) > _SAME_EXPOSURE)
    if absent.any():
        raise damaged(file, f"{int(absent.sum())} frames have conditions of exposures that the table does not list")
    return np.where(matched, near, -1)


def _exposures(
    data: Columns, table: Columns, row: NDArray[np.intp], mjd: NDArray[np.float64], grid: Grid, options: HitsOptions
) -> Exposures:
    """What was reported about every frame; frames without finite conditions do not exist for a classifier."""
    values = {name: data[column] for column, name in _CONDITIONS.items()}
    filters = np.where(row >= 0, table["filter"][row], "")
    band = np.select([filters == name for name in options.bands], list(range(len(options.bands))), -1)
    exists = (row >= 0) & (band >= 0) & np.all([np.isfinite(column) for column in values.values()], axis=0)
    slope, intercept = FWHM_PER_SEEING
    values["psf_fwhm"] = slope * values["seeing"] + intercept
    values["exposure_id"] = np.where(row >= 0, 1000 * table["field"][row] + table["epoch"][row], -1)
    values |= {"band": band, "mjd": mjd}
    spread = {name: grid.spread(np.where(exists | (name == "mjd"), column, 0)) for name, column in values.items()}
    per_object = {"field": data["obj_field"], "ccd": data["obj_ccdnum"], **_camera(data["obj_ccdnum"])}
    wide = {name: np.broadcast_to(column[:, None], grid.shape) for name, column in per_object.items()}
    return Exposures(options.bands, mask=grid.spread(exists, False), **spread, **wide)


def _camera(ccd: NDArray[np.int16]) -> Columns:
    """Gain, read noise and saturation (n,) of each object's chip; the median of the known ones for the others."""
    known = np.array(list(CAMERA))
    constants = np.vstack([np.array(list(CAMERA.values())), np.median(list(CAMERA.values()), axis=0)])
    index = np.where(np.isin(ccd, known), np.searchsorted(known, ccd), len(known))
    return dict(zip(("gain", "read_noise", "saturation"), constants[index].T, strict=True))
