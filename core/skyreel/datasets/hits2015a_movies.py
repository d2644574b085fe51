"""Movies from what either reader of the HiTS 2015A stamps found: frames, their conditions, and the rules of what is usable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

from skyreel.datasets import hits2015a_cuts as cuts
from skyreel.datasets.dataset import Dataset
from skyreel.datasets.ragged import Columns, Grid
from skyreel.errors import DatasetError
from skyreel.exposures import Exposures
from skyreel.movies import Movies

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
STELLAR_WIDTH = ((1.0, 1.25, 1.6, 2.0, 2.8), (2.94281, 3.90324, 5.09686, 6.24908, 8.29602))
"""Header seeing [arcsec] and width of a star on the stamp (Gaussian fit) [px], to be joined by straight lines: a fit to the 71 g exposures
with 15 or more constant stars of the development fields, which scatter by 1.4 % about it."""

CONDITIONS = {
    "cond_exptime": "exptime",
    "cond_seeing_arcsec": "seeing",
    "cond_airmass": "airmass",
    "cond_sky": "sky",
    "cond_zero_point": "zero_point",
    "cond_limmag5": "limiting_mag",
}
"""Column of a frame's conditions -> column of `Exposures`."""


def assemble(
    name: str, folder: Path, data: Columns, label: NDArray[np.str_], table: Columns, row: NDArray[np.intp], options: cuts.HitsOptions
) -> Dataset:
    """Builds the data set; frames go to their place in time.

    Parameters
    ----------
    name : str
        Name of the data set.
    folder : Path
        Where it was read from.
    data : Columns
        Ragged: ``obj_...`` has a row per object, all others one per frame; those of `hits2015a.REQUIRED` and `hits2015a.OPTIONAL`.
    label : str (n,)
    table : Columns
        ``field, epoch, filter, mjd`` [d] of every exposure.
    row : int (N,)
        Row of the table with a frame's conditions, -1 for none.
    options : HitsOptions

    Raises
    ------
    DatasetError
        If no object is usable.
    """
    mjd = np.where(row >= 0, data["cond_mjd"], data["frame_mjd"])
    grid = Grid.in_time(data["obj_n"], mjd)
    reported = _exposures(data, table, row, mjd, grid, options)
    bits = cuts.pixel_bits(data["stamps"], options.saturation)
    fault = cuts.frame_fault(data, bits, row, reported.mask[grid.objects, grid.epoch], options)
    usable = grid.spread(fault == cuts.USABLE, False)
    snr = grid.spread(cuts.signal_to_noise(data), np.nan)
    first = cuts.first_detection(usable, snr, label == "supernova", options.detection_sigma)
    group = np.where(data["obj_duplicate_of"] == "", data["obj_id"], data["obj_duplicate_of"])
    fate = cuts.object_fault(data, label, usable, first, group, options)
    keep = fate == cuts.USABLE
    if not keep.any():
        raise DatasetError(f"data set {name!r} in {folder}", "no usable object under these options", "relax them")
    movies = Movies(
        grid.spread(data["stamps"])[:, :, None],
        grid.spread(bits, cuts.NO_FRAME)[:, :, None],
        usable,
        reported,
        label,
        data["obj_id"],
        first,
    ).take(keep)
    movies.check(f"data set {name!r}")
    counts = cuts.tally(CLASSES, label, fate, fault, grid.objects, bits)
    left_out = {str(who): str(why) for who, why in zip(data["obj_id"][~keep], fate[~keep], strict=True)}
    columns = {
        "bright": data["obj_bright_subset"],
        "peak_snr": cuts.peak(snr),
        "mean_mag": cuts.mean_magnitude(data, label, grid),
        "ccd_x": data["obj_x"],
        "ccd_y": data["obj_y"],
    }
    kept = {key: column[keep] for key, column in columns.items()}
    return Dataset(movies, group[keep], left_out, counts, name, folder, kept)


def _exposures(
    data: Columns, table: Columns, row: NDArray[np.intp], mjd: NDArray[np.float64], grid: Grid, options: cuts.HitsOptions
) -> Exposures:
    """What was reported about every frame; frames without finite conditions do not exist for a classifier."""
    values = {name: data[column] for column, name in CONDITIONS.items()}
    filters = np.where(row >= 0, table["filter"][row], "")
    band = np.select([filters == name for name in options.bands], list(range(len(options.bands))), -1)
    exists = (row >= 0) & (band >= 0) & np.all([np.isfinite(column) for column in values.values()], axis=0)
    values["psf_fwhm"] = make_interp_spline(*STELLAR_WIDTH, k=1)(np.where(exists, values["seeing"], 1.0))
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
