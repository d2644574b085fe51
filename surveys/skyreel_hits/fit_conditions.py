"""Fits the season model of `skyreel_hits.season` to the development fields of the HiTS 2015A conditions.

``python -m skyreel_hits.fit_conditions --data DIR --output FILE``: DIR holds ``conditions.ecsv`` and
``dev/non_variable.npz`` (repacked from github.com/rodrigcd/HiTS_simulations, commit 275198b, MIT licence).
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

from skyreel.errors import DatasetError
from skyreel.files import write_text
from skyreel_hits.fit_season import fit_season

Array = NDArray[np.float64]


COLUMNS = {
    "mjd": "mjd",
    "exptime": "exptime",
    "airmass": "airmass",
    "seeing": "seeing_arcsec",
    "sky": "sky",
    "zero_point": "zero_point",
    "limiting_mag": "limmag5",
}
"""Quantities and their columns in ``conditions.ecsv``."""
FIELDS = 50
"""Number of the season's last field; orders run from 0 (field 1) to 1."""


def read_conditions(folder: Path) -> dict[str, NDArray[Any]]:
    """Columns of the development fields' exposures, sorted by field and time.

    Raises
    ------
    DatasetError
        If ``conditions.ecsv`` is missing, lacks a column or holds no development field.
    """
    from astropy.table import Table

    path, remedy = folder / "conditions.ecsv", "hand in the folder that holds conditions.ecsv with --data"
    if not path.is_file():
        raise DatasetError("HiTS conditions", f"no file {path}", remedy)
    table = Table.read(path, format="ascii.ecsv")
    missing = sorted({"field", "filter", "split", *COLUMNS.values()} - set(table.colnames))
    if missing:
        raise DatasetError(f"HiTS conditions in {path}", f"no column {', '.join(missing)}", remedy)
    table = table[table["split"] == "dev"]
    if not len(table):
        raise DatasetError(f"HiTS conditions in {path}", "no row with split 'dev'", remedy)
    table.sort(["field", "mjd"])
    columns = {name: np.asarray(np.ma.filled(table[column], np.nan), np.float64) for name, column in COLUMNS.items()}
    field = np.asarray(table["field"], np.int64)
    return {"field": field, "band": np.asarray(table["filter"], np.str_), "order": (field - 1) / (FIELDS - 1), **columns}


SEEING = np.array([1.0, 1.25, 1.6, 2.0, 2.8])
"""Knots of the stellar width ["]: exposures with at least 15 constant stars lie between 1.01 and 2.42"."""


def stellar_widths(folder: Path) -> tuple[Array, Array]:
    """Header seeing ["] and stellar width (Gaussian fits) [px] of every exposure with at least 15 bright constant stars.

    Stars are brighter than 50 times the sky's scatter; medians over an exposure.

    Raises
    ------
    DatasetError
        If ``dev/non_variable.npz`` is missing.
    """
    path = folder / "dev" / "non_variable.npz"
    if not path.is_file():
        raise DatasetError("HiTS constant stars", f"no file {path}", "hand in the folder that holds dev/non_variable.npz with --data")
    with np.load(path, allow_pickle=False) as stars:
        width, seeing, mjd = stars["fit_fwhm_px"], stars["cond_seeing_arcsec"], stars["cond_mjd"]
        good = np.isfinite(width + seeing + mjd) & (stars["fit_amp"] > 50 * stars["stamp_sky_std"]) & (stars["fit_ellipticity"] < 0.3)
    good &= (width > 2) & (width < 12)
    _, exposure, counts = np.unique(np.round(mjd[good] * 1e4), return_inverse=True, return_counts=True)
    used = np.nonzero(counts >= 15)[0]
    x = np.array([np.median(seeing[good][exposure == e]) for e in used])
    y = np.array([np.median(width[good][exposure == e]) for e in used])
    return x, y


def fit_width(folder: Path) -> list[float]:
    """Slope [px / arcsec] and offset [px] of `stellar_widths`: the line behind the limiting magnitudes."""
    return [float(c) for c in np.polyfit(*stellar_widths(folder), 1)]


def fit_stellar_width(folder: Path) -> dict[str, list[float]]:
    """The polygon through `SEEING` that fits `stellar_widths` with the smallest relative errors."""
    x, y = stellar_widths(folder)
    hats = make_interp_spline(SEEING, np.eye(len(SEEING)), k=1)(x)
    return {"seeing": SEEING.tolist(), "fwhm": np.linalg.lstsq(hats / y[:, None], np.ones(len(y)), rcond=None)[0].tolist()}


def rounded(value: Any) -> Any:
    """The same nested structure with floats at six significant digits."""
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with conditions.ecsv and dev/non_variable.npz")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args()
    season = fit_season(read_conditions(options.data), fit_width(options.data))
    note = "HiTS 2015A, development fields; Foerster et al. 2016, Carrasco-Davis et al. 2018; made by skyreel_hits.fit_conditions"
    result = rounded({"source": note, **season, "stellar_width": fit_stellar_width(options.data)})
    write_text(options.output, re.sub(r"\n {3,}", " ", json.dumps(result, indent=1)) + "\n")


if __name__ == "__main__":
    main()
