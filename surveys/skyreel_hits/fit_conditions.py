"""Fits the season model of `skyreel_hits.season` to the development fields of the HiTS 2015A conditions.

``python -m skyreel_hits.fit_conditions --data DIR --output FILE``: DIR holds ``conditions.ecsv`` and
``dev/non_variable.npz`` (repacked from github.com/rodrigcd/HiTS_simulations, commit 275198b, MIT licence).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import DatasetError
from skyreel_hits.season import LOCAL_NOON, QUANTITIES, SEEING_AIRMASS, sec_z

Array = NDArray[np.float64]

FIRST_MJD = 57070.0
ROUND_GAP = 0.6  # visits of one round follow the order of the fields within this many hours
MIN_FIELDS = 5  # a visit made to fewer fields is an irregularity, not part of the season
CLOUD = 0.1  # mag below the clear zero point that counts as cloud
BANDS = ("g", "r", "i")


def read_conditions(folder: Path) -> dict[str, NDArray[Any]]:
    """Columns of the development fields' exposures, sorted by field and time.

    Raises
    ------
    DatasetError
        If ``conditions.ecsv`` is missing.
    """
    from astropy.table import Table

    path = folder / "conditions.ecsv"
    if not path.is_file():
        raise DatasetError("HiTS conditions", f"no file {path}", "hand in the folder that holds conditions.ecsv with --data")
    table = Table.read(path)
    table = table[table["split"] == "dev"]
    table.sort(["field", "mjd"])

    def column(name: str) -> Array:
        return np.asarray(np.ma.filled(table[name], np.nan), np.float64)

    return {
        "field": np.asarray(table["field"], np.int64),
        "band": np.asarray(table["filter"], np.str_),
        "order": (column("field") - 1) / 49,
        "mjd": column("mjd"),
        "exptime": column("exptime"),
        "airmass": column("airmass"),
        "seeing": column("seeing_arcsec"),
        "sky": column("sky"),
        "zero_point": column("zero_point"),
        "limiting_mag": column("limmag5"),
    }


def number_visits(rows: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
    """Number of the visit (night, band, round) that each exposure belongs to; -1 for irregular exposures."""
    night = np.floor(rows["mjd"] - LOCAL_NOON)
    hour = (rows["mjd"] - night - 1) * 24 - 1.65 * rows["order"]
    visit = np.full(len(night), -1)
    found = 0
    for key in np.unique(night):
        for band in BANDS:
            chosen = np.nonzero((night == key) & (rows["band"] == band))[0]
            chosen = chosen[np.argsort(hour[chosen])]
            for part in np.split(chosen, np.nonzero(np.diff(hour[chosen]) > ROUND_GAP)[0] + 1):
                first = part[np.unique(rows["field"][part], return_index=True)[1]]
                if len(first) >= MIN_FIELDS:
                    visit[first] = found
                    found += 1
    return visit


def positions(rows: Mapping[str, NDArray[Any]]) -> Array:
    """RA and Dec [deg] (fields, 2) that reproduce each field's airmasses."""
    from scipy.optimize import least_squares

    out = []
    for field in np.unique(rows["field"]):
        chosen = rows["field"] == field
        mjd, airmass = rows["mjd"][chosen], rows["airmass"][chosen]
        out.append(least_squares(lambda p, t=mjd, x=airmass: sec_z(t, p[0], p[1]) - x, [148.0, 0.0], loss="soft_l1", f_scale=0.01).x)
    return np.array(out)


def line(order: Array, value: Array, floor: float = -np.inf) -> tuple[float, float, Array]:
    """Level at order 0.5, slope and residuals of a line; residuals below `floor` do not enter the fit."""
    keep = np.isfinite(value)
    keep &= value > np.nanmedian(value) + 2 * floor if np.isfinite(floor) else True
    for _ in range(4):
        slope, level = np.polyfit(order[keep] - 0.5, value[keep], 1)
        rest = value - level - slope * (order - 0.5)
        keep = np.isfinite(value) & (rest > floor)
    return float(level), float(slope), np.asarray(rest, np.float64)


def within_visits(visit: NDArray[np.int64], order: Array, value: Array, covariate: Array, floor: float = -np.inf) -> float:
    """Slope of `value` with `covariate` when each visit has its own level and drift over the fields."""
    rest, change = [], []
    for v in np.unique(visit[visit >= 0]):
        chosen = visit == v
        rest.append(line(order[chosen], value[chosen], floor)[2])
        change.append(line(order[chosen], covariate[chosen])[2])
    y, x = np.concatenate(rest), np.concatenate(change)
    keep = np.isfinite(y) & (y > floor)
    return float(y[keep] @ x[keep] / (x[keep] @ x[keep]))


def extinction(rows: Mapping[str, NDArray[Any]], visit: NDArray[np.int64]) -> dict[str, float]:
    """Loss of zero point with airmass in clear exposures [mag per airmass], for each band."""
    out = {}
    for band in BANDS:
        chosen = np.where(rows["band"] == band, visit, -1)
        slope = within_visits(chosen, rows["order"], rows["zero_point"], rows["airmass"], -CLOUD)
        out[band] = max(-slope, 0.0)
    return out


def field_share(residual: Array, field: NDArray[np.int64]) -> float:
    """Share of the variance of standardised residuals that all visits of a field have in common."""
    means, counts = [], []
    for key in np.unique(field):
        values = residual[(field == key) & np.isfinite(residual)]
        means.append(values.mean())
        counts.append(len(values))
    white = 1 / np.mean(counts)
    return float(np.clip((np.var(means) - white) / (1 - white), 0, 0.95))


def fit_season(rows: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Coefficients of the season: see `skyreel_hits.season` for their meaning."""
    visit = number_visits(rows)
    night = np.floor(rows["mjd"] - LOCAL_NOON)
    slope = extinction(rows, visit)
    k = np.array([slope[band] for band in rows["band"]])
    fields, first, member = np.unique(rows["field"], return_index=True, return_inverse=True)
    place = positions(rows)
    declination = place[member, 1]
    zodiacal = within_visits(visit, rows["order"], np.log10(rows["sky"]), declination)
    value = {
        "hour": (rows["mjd"] - night - 1) * 24,
        "seeing": np.log10(rows["seeing"]) - SEEING_AIRMASS * np.log10(rows["airmass"]),
        "sky": np.log10(rows["sky"]) - zodiacal * declination,
        "zero_point": rows["zero_point"] + k * rows["airmass"],
        "limiting_mag": rows["limiting_mag"],
    }
    numbers = range(visit.max() + 1)
    visits: dict[str, list[Any]] = {
        "night": [int(night[visit == v][0] + 1 - FIRST_MJD) for v in numbers],
        "band": [str(rows["band"][visit == v][0]) for v in numbers],
        "exptime": [float(np.median(rows["exptime"][visit == v])) for v in numbers],
    }
    rest = {name: np.full(len(visit), np.nan) for name in QUANTITIES}
    for name in QUANTITIES:
        floor = -CLOUD if name == "zero_point" else -np.inf
        fits = [line(rows["order"][visit == v], value[name][visit == v], floor) for v in numbers]
        visits[name] = [fit[0] for fit in fits]
        visits[f"{name}_slope"] = [fit[1] for fit in fits]
        for v in numbers:
            rest[name][visit == v] = fits[v][2]
    cloudy = rest["zero_point"] < -CLOUD
    visits["cloud_fraction"] = [float(cloudy[visit == v].mean()) for v in numbers]
    visits["cloud_depth"] = [float(-rest["zero_point"][(visit == v) & cloudy].mean()) if cloudy[visit == v].any() else 0.0 for v in numbers]

    depth = np.stack([rest["seeing"], rest["sky"], rest["zero_point"]], axis=1)
    known = np.isfinite(depth).all(axis=1) & np.isfinite(rest["limiting_mag"])
    response = np.linalg.lstsq(depth[known], rest["limiting_mag"][known], rcond=None)[0]
    rest["limiting_mag"] = rest["limiting_mag"] - depth @ response
    rest["zero_point"] = np.where(cloudy, np.nan, rest["zero_point"])

    shape, share = {}, {}
    probability = (np.arange(41) + 0.5) / 41
    for name in QUANTITIES:
        width = np.array([np.nanstd(rest[name][visit == v]) for v in numbers])
        visits[f"{name}_scatter"] = width.tolist()
        standard = np.where(visit >= 0, rest[name] / width[visit], np.nan)
        shape[name] = np.nanquantile(standard[rows["band"] == "g"], probability).tolist()
        share[name] = field_share(standard, rows["field"])

    made = np.array([[((rows["field"] == f) & (visit == v)).any() for v in numbers] for f in fields])
    drift, start = np.polyfit(rows["order"][first], place[:, 0], 1)
    return {
        "first_mjd": FIRST_MJD,
        "extinction": slope,
        "sky_declination": zodiacal,
        "dark_sky": {band: float(rows["sky"][rows["band"] == band].min()) for band in BANDS},
        "visits": visits,
        "shape": shape,
        "field_share": share,
        "limiting_mag_response": dict(zip(("seeing", "sky", "zero_point"), response.tolist(), strict=True)),
        "patterns": ["".join("1" if m else "0" for m in row) for row in made],
        "pattern_order": rows["order"][first].tolist(),
        "right_ascension": [float(start), float(drift), float(np.std(place[:, 0] - start - drift * rows["order"][first]))],
        "declination": [float(place[:, 1].min()), float(place[:, 1].max())],
    }


def fit_width(folder: Path) -> list[float]:
    """Slope [px / arcsec] and offset [px] of the stellar width (Gaussian fits) against the header's seeing.

    Uses constant stars brighter than 50 times the sky's scatter and takes the median over an exposure with at least 15.

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
    x = [np.median(seeing[good][exposure == e]) for e in used]
    y = [np.median(width[good][exposure == e]) for e in used]
    return [float(c) for c in np.polyfit(x, y, 1)]


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
    season = fit_season(read_conditions(options.data))
    note = "HiTS 2015A, development fields; Foerster et al. 2016, Carrasco-Davis et al. 2018; made by skyreel_hits.fit_conditions"
    result = rounded({"source": note, "psf_width": fit_width(options.data), **season})
    options.output.write_text(json.dumps(result, indent=1).replace("\n   ", " ") + "\n")


if __name__ == "__main__":
    main()
