"""A folder of FITS cutouts of stars with known sky, width, zero point and gain, and the table that goes with it."""

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from skyreel.errors import DataError
from skyreel.exchange.importing import Importer, ImportOptions
from skyreel.movie_files import MovieFolder
from skyreel.photometry import psf_image

GAIN, READ_NOISE, EXPTIME, SIDE = 3.5, 7.0, 90.0, 21


@dataclass
class Folder:
    """`rows` of the table, one per cutout, with images `pixels` (N, 21, 21) and the truth per exposure (T,)."""

    path: Path
    rows: list[dict[str, Any]]
    pixels: np.ndarray
    headers: list[dict[str, Any]]
    sky: np.ndarray
    fwhm: np.ndarray
    zero_point: np.ndarray
    mag: np.ndarray
    left_out: set[str] = field(default_factory=set)

    @property
    def table(self) -> Path:
        """CSV of the rows."""
        return self.path / "table.csv"

    def write(self) -> Path:
        """Writes table and files; returns the table's path."""
        self.path.mkdir(parents=True, exist_ok=True)
        names = list(self.rows[0])
        with self.table.open("w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(self.rows)
        for row, image, header in zip(self.rows, self.pixels, self.headers, strict=True):
            if row["file"] not in self.left_out:
                fits.PrimaryHDU(image, fits.Header(header)).writeto(self.path / row["file"], overwrite=True)
        return self.table


def stars(
    path: Path, objects: int = 8, epochs: int = 5, seed: int = 0, sky: tuple[float, float] = (150, 700), brightest: float = 17.0
) -> Folder:
    """Constant stars over 2.5 mag from `brightest` on, off the middle by up to half a pixel; headers hold MJD-OBS, FILTER and EXPTIME."""
    rng = np.random.default_rng(seed)
    mag = brightest + rng.uniform(0, 2.5, objects)
    level, fwhm, zero_point = rng.uniform(*sky, epochs), rng.uniform(3, 5, epochs), rng.uniform(25.0, 25.6, epochs)
    centre = rng.uniform(-0.5, 0.5, (objects, epochs, 2))
    counts = EXPTIME * 10 ** (0.4 * (zero_point - mag[:, None]))
    expected = counts[..., None, None] * psf_image((SIDE, SIDE), np.broadcast_to(fwhm, (objects, epochs)), centre) + level[:, None, None]
    electrons = rng.poisson(expected * GAIN) + rng.normal(0, READ_NOISE, expected.shape)
    pixels = np.rint(electrons / GAIN).astype(np.int32).reshape(-1, SIDE, SIDE)
    mjd = 60000.2 + np.arange(epochs) * 1.01
    rows = [
        {"file": f"star{k:03d}_{t}.fits", "object_id": f"{k:03d}", "reference": f"{mag[k]:.4f}", "label": "non_variable"}
        for k in range(objects)
        for t in range(epochs)
    ]
    headers = [{"MJD-OBS": mjd[t], "FILTER": "r band", "EXPTIME": EXPTIME} for _ in range(objects) for t in range(epochs)]
    return Folder(path, rows, pixels, headers, level, fwhm, zero_point, mag)


SCALE = {"pixel_scale": "0.27"}
PLAIN = {**SCALE, "gain": str(GAIN), "zero_point": "25.3"}


def imported(folder, constants=PLAIN, **options):
    done = Importer(folder.write(), None, ImportOptions(constants=constants, **options)).run(folder.path / "out")
    return MovieFolder(folder.path / "out").take(slice(None)), done


def refused_by(folder, match, error=DataError, constants=PLAIN, **options):
    with pytest.raises(error, match=match):
        imported(folder, constants, **options)
    assert not (folder.path / "out").exists()


def entry(done, name):
    return next(item for item in done.summary["quantities"] if item["quantity"] == name)


def hits():
    from skyreel.verbs.import_movies import _camera

    return _camera("hits")
