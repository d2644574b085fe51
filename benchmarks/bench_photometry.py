"""Cost of light curves beside that of `psf_flux` alone, in one run: pytest benchmarks/bench_photometry.py -s

200 stars at 25 epochs on 21 x 21 px, every width of its own, one thread; process time, median of three, interleaved.
"""

import os
import sys
import time
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
import pytest
from builders import exposures

from skyreel.light_curves import PhotometryOptions, measure
from skyreel.movies import Movies
from skyreel.photometry import psf_flux, psf_image

OBJECTS, EPOCHS, SIZE = 200, 25, 21
SETTINGS = {
    "reported sky": {"sky": "reported"},
    "default": {},
    "centre per object": {"centre": "object"},
    "centre per frame": {"centre": "frame"},
    "host subtracted": {"host": "subtract"},
    "host and centre per object": {"host": "subtract", "centre": "object"},
}


@pytest.fixture(scope="module")
def movies() -> Movies:
    rng = np.random.default_rng(1)
    e = exposures(OBJECTS, EPOCHS)
    shape = e.shape
    constants = {"exptime": 86.0, "zero_point": 25.0, "sky": 110.0, "gain": 4.0, "read_noise": 6.0}
    e = e.replace(psf_fwhm=rng.uniform(3, 6, shape), **{name: np.full(shape, value) for name, value in constants.items()})
    flux = 86 * 10 ** rng.uniform(0, 3, (OBJECTS, 1))
    scene = 110 + flux[..., None, None] * psf_image((SIZE, SIZE), e.psf_fwhm, rng.uniform(-0.5, 0.5, (*shape, 2)))
    pixels = np.round(rng.poisson(scene * 4) / 4).astype(np.uint16)[:, :, None]
    names = np.array([f"star-{i}" for i in range(OBJECTS)])
    return Movies(pixels, np.zeros(pixels.shape, np.uint8), e.mask, e, np.full(OBJECTS, ""), names, np.full(OBJECTS, -1, np.int32))


def test_cost(movies: Movies) -> None:
    e = movies.reported

    def bare() -> None:
        for rows in np.split(np.arange(OBJECTS), 5):
            psf_flux(movies.pixels[rows, :, 0], e.psf_fwhm[rows], e.sky[rows], e.gain[rows], e.read_noise[rows])

    def spent(function) -> float:
        begin = time.process_time()
        function()
        return 1e6 * (time.process_time() - begin) / (OBJECTS * EPOCHS)

    runs = {"psf_flux alone": bare, **{name: partial(measure, movies, PhotometryOptions(**s)) for name, s in SETTINGS.items()}}
    times = {name: [] for name in runs}
    bare()
    for _ in range(3):
        for name, function in runs.items():
            times[name].append(spent(function))
    print("\n| | us a stamp | ms an object of 25 frames | over psf_flux |\n|---|---|---|---|")
    unit = np.median(times["psf_flux alone"])
    for name, values in times.items():
        one = float(np.median(values))
        print(f"| {name} | {one:.0f} | {one * EPOCHS / 1000:.2f} | {one / unit:.1f} |")
