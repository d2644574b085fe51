"""Stamps per second of the batch renderer beside GalSim, in one run: pytest benchmarks/bench_render.py

Point sources and n = 1 and n = 4 galaxies behind a Moffat PSF on 21 x 21 px, no noise; one thread. The last test prints
the ratios. Add `-s` to see them, `--benchmark-sort=name` to compare the tables.
"""

import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import galsim
import numpy as np
import pytest
import torch
from builders import exposures

from skyreel.seeding import Seeds
from skyreel.simulate.detector import expose
from skyreel.simulate.render import grid_size, render
from skyreel_ccd.detector import CCD
from skyreel_galsim.host import GalSimHost
from skyreel_psf.analytic import Gaussian, Moffat
from skyreel_psf.empirical import Empirical

SCALE, SIZE, OVERSAMPLE = 0.27, 21, 2
OBJECTS, EPOCHS = 64, 22
GRID = grid_size(SIZE)
PSFS = {"gaussian": Gaussian(), "moffat": Moffat(), "empirical": Empirical()}
torch.set_num_threads(1)


class Scene:
    """The arrays of one block of objects."""

    def __init__(self, psf: str, frac_dev: float | None = None) -> None:
        rng = np.random.default_rng(1)
        shape = (OBJECTS, EPOCHS)
        self.exposures = exposures(*shape).replace(
            psf_fwhm=rng.uniform(2.8, 7.0, shape), gain=np.full(shape, 4.0), read_noise=np.full(shape, 6.0), saturation=np.full(shape, 4e4)
        )
        self.flux = np.full(shape, 5000.0)
        self.centre = rng.uniform(-0.5, 0.5, (*shape, 2))
        self.turns = rng.integers(0, 8, OBJECTS)
        self.psf = PSFS[psf]
        self.host = None
        if frac_dev is not None:
            params = GalSimHost().sample(OBJECTS, rng)
            params["frac_dev"][:] = frac_dev
            self.host = (params, rng.uniform(-1, 1, (OBJECTS, 2)))

    def ours(self) -> torch.Tensor:
        """The whole block: PSF coefficients, galaxy images, rendering."""
        basis = self.psf.basis(SCALE, GRID, OVERSAMPLE)
        weights = self.psf.coefficients(self.exposures, Seeds(1))
        behind = {}
        if self.host is not None:
            image = GalSimHost().image(*self.host, "g", SCALE, GRID, OVERSAMPLE)
            behind = {"host_image": image, "host_flux": self.flux, "host_shift": self.centre}
        return render(basis, weights, self.flux, self.centre, self.turns, SIZE, OVERSAMPLE, GRID, **behind)

    def galsim(self, stamps: int = 60) -> None:
        """`stamps` stamps by GalSim: one object, every epoch with its own width."""
        galaxy = None
        if self.host is not None:
            radius = self.host[0]["r50_exp"][0] / SCALE
            kind = galsim.DeVaucouleurs if self.host[0]["frac_dev"][0] else galsim.Exponential
            galaxy = kind(half_light_radius=radius, flux=5000).shear(q=0.6, beta=0.5 * galsim.radians)
        for k in range(stamps):
            psf = galsim.Moffat(4.2, fwhm=float(self.exposures.psf_fwhm.flat[k]))
            image = galsim.ImageF(SIZE, SIZE, scale=1.0)
            at = self.centre.reshape(-1, 2)[k]
            scene = psf * 5000.0
            if galaxy is not None:
                scene = galsim.Add(scene, galsim.Convolve([galaxy, psf]))
            scene.drawImage(image, offset=tuple(at))


@pytest.mark.parametrize("psf", list(PSFS))
def test_points(benchmark, psf: str) -> None:
    scene = Scene(psf)
    scene.ours()
    benchmark.extra_info["stamps"] = OBJECTS * EPOCHS
    benchmark(scene.ours)


@pytest.mark.parametrize("frac_dev", [0.0, 1.0], ids=["n=1", "n=4"])
def test_points_on_galaxies(benchmark, frac_dev: float) -> None:
    scene = Scene("moffat", frac_dev)
    scene.ours()
    benchmark.extra_info["stamps"] = OBJECTS * EPOCHS
    benchmark(scene.ours)


def test_noise(benchmark) -> None:
    scene = Scene("moffat")
    light = scene.ours()[:, :, None] + 300
    benchmark.extra_info["stamps"] = OBJECTS * EPOCHS
    benchmark(lambda: expose(light, scene.exposures, CCD(), Seeds(1).torch("noise")))


def test_ratios_over_galsim() -> None:
    """Interleaved, process time, median of three."""
    print()
    for label, frac_dev in (("point", None), ("point + n=1", 0.0), ("point + n=4", 1.0)):
        scene = Scene("moffat", frac_dev)
        scene.ours()
        scene.galsim(5)
        ratios, ours = [], []
        for _ in range(3):
            begin = time.process_time()
            scene.ours()
            middle = time.process_time()
            scene.galsim(60)
            end = time.process_time()
            ours.append((middle - begin) / (OBJECTS * EPOCHS))
            ratios.append((end - middle) / 60 / ours[-1])
        print(f"{label:12s} {1e6 * np.median(ours):6.1f} us/stamp, GalSim {np.median(ratios):5.0f} times as long")
        assert np.median(ratios) > 5
