"""Light curves of the HiTS development objects under every option against the survey's own: python benchmarks/photometry_real.py

Prints two tables in Markdown (results/photometry.md holds them). Stars: magnitude measured minus magnitude of the survey. Supernovae:
flux against the flux of the survey's difference images.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from astropy.table import Table

from skyreel.datasets import load_dataset, locate
from skyreel.light_curves import Flag, LightCurves, PhotometryOptions, measure
from skyreel.movies import Movies

STARS = ("non_variable", "rr_lyrae", "eclipsing_binary")
SETTINGS = {
    "default (moffat 4, fitted width, border sky, middle)": {},
    "sky=reported": {"sky": "reported"},
    "centre=object": {"centre": "object"},
    "centre=frame": {"centre": "frame"},
    "host=weights": {"host": "weights"},
    "host=subtract": {"host": "subtract"},
    "host=subtract centre=object": {"host": "subtract", "centre": "object"},
    "beta=3.5": {"beta": 3.5},
    "profile=gaussian": {"profile": "gaussian"},
    "width=profile": {"width": "profile"},
    "iterations=0": {"iterations": 0},
    "iterations=1": {"iterations": 1},
    "width=profile sky=reported iterations=1 (as the sequences)": {"width": "profile", "sky": "reported", "iterations": 1},
}


def references(movies: Movies, folder: Path) -> np.ndarray:
    """The survey's own number for every frame (n, T): magnitudes; for supernovae, flux at zero point 25 of the difference.

    The scale of a difference light curve follows from its own magnitudes: zp = mag + 2.5 log10(ADU / exptime).
    """
    out = np.full(movies.frame_mask.shape, np.nan)
    row = {str(name): k for k, name in enumerate(movies.object_id)}
    for label in ("supernova", *STARS):
        table = np.load(folder / f"{label}.npz")
        mjd = np.where(np.isfinite(table["cond_mjd"]), table["cond_mjd"], table["frame_mjd"])
        column = table["obj_mean_mag"][table["frame_obj"]] if label == "non_variable" else table["frame_mag"]
        for k, name in enumerate(table["obj_id"]):
            if str(name) not in row:
                continue
            frames = slice(table["obj_start"][k], table["obj_start"][k] + table["obj_n"][k])
            order = np.argsort(mjd[frames], kind="stable")
            values = column[frames]
            if label == "supernova":
                adu = table["frame_diff_adu"][frames]
                bright = np.isfinite(values) & (adu > 0)
                zero_point = np.median(values[bright] + 2.5 * np.log10(adu[bright] / EXPTIME_REF))
                values = adu / EXPTIME_REF * 10 ** (-0.4 * (zero_point - 25))
            out[row[str(name)], : len(order)] = values[order]
    return out


EXPTIME_REF = 86.0
"""Exposure time of all reference images of the difference light curves [s]."""


def star_cells(curves: LightCurves, reference: np.ndarray, rows: np.ndarray) -> list[str]:
    """Scatter (median over objects of 1.4826 MAD about the object's own offset), the same without the factor, bias."""
    difference = curves.magnitudes()[0][rows] - reference[rows]
    around = np.abs(difference - np.nanmedian(difference, axis=1, keepdims=True))
    mad = np.nanmedian(np.nanmedian(around, axis=1))
    return [f"{1.4826 * mad:.4f}", f"{mad:.4f}", f"{np.nanmedian(difference):+.3f}", f"{100 * np.nanmean(around > 0.15):.1f} %"]


def supernova_cells(curves: LightCurves, reference: np.ndarray, rows: np.ndarray) -> list[str]:
    """Median correlation, slope and constant light over the largest difference, and share of objects correlated above 0.8."""
    found = []
    for k in np.flatnonzero(rows):
        use = curves.mask[k] & np.isfinite(reference[k])
        x, y, weight = reference[k][use], curves.flux[k][use], curves.error[k][use] ** -2
        x0, y0 = np.average(x, weights=weight), np.average(y, weights=weight)
        slope = np.sum(weight * (x - x0) * (y - y0)) / np.sum(weight * (x - x0) ** 2)
        found.append((np.corrcoef(x, y)[0, 1], slope, (y0 - slope * x0) / np.abs(x).max()))
    correlation, slope, constant = np.array(found).T
    low, high = np.percentile(slope, [16, 84])
    return [
        f"{np.median(correlation):.3f}",
        f"{100 * np.mean(correlation > 0.8):.0f} %",
        f"{np.median(slope):.2f} ({low:.2f} to {high:.2f})",
        f"{np.median(constant):+.2f}",
    ]


def main(path: str | None = None) -> None:
    folder = locate("hits2015a", path)
    movies = load_dataset("hits2015a", folder).movies
    reference = references(movies, folder / "dev")
    numbers = {label: int((movies.label == label).sum()) for label in ("supernova", *STARS)}
    stars, supernovae = [], []
    for name, change in SETTINGS.items():
        curves = measure(movies, PhotometryOptions(**change))
        stars.append([name, *(cell for label in STARS for cell in star_cells(curves, reference, movies.label == label))])
        supernovae.append([name, *supernova_cells(curves, reference, movies.label == "supernova")])
    table = Table.read(folder / "dev" / "photometry_supernova.ecsv")
    assert set(np.asarray(table["exptime_ref"])) == {EXPTIME_REF}
    print(f"{movies.frame_mask.sum()} frames of " + ", ".join(f"{count} {label}" for label, count in numbers.items()) + "\n")
    head = [f"{label}: {word}" for label in STARS for word in ("scatter", "MAD", "bias", "> 0.15 mag")]
    print_table(["options", *head], stars)
    print_table(["options", "correlation", "above 0.8", "slope (16 to 84 %)", "constant / largest difference"], supernovae)
    flags = measure(movies).flags[movies.frame_mask]
    print(", ".join(f"{flag.name} {int((flags & flag.value > 0).sum())}" for flag in Flag))


def print_table(head: list[str], rows: list[list[str]]) -> None:
    for cells in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(cells) + " |")
    print()


if __name__ == "__main__":
    main(*sys.argv[1:])
