"""The batch renderer with noise beside GalSim with noise, in one run: pytest benchmarks/bench_render.py -s

25 epochs, 25 Moffat PSFs of 0.8 to 2" on stamps of 21 x 21 px of 0.27", one thread, rounds of both in turn, CPU time.
GalSim: PSFs and galaxies are kept between stamps (FFT; a point on a galaxy as a sum of two, or as one convolution of both
with the PSF), or PSF images at the survey's pixels without another pixel (InterpolatedImage, its cheapest point); sky, photon
and read noise by CCDNoise. Ours: weights of the PSF, galaxies of their
own for every object, light, sky, photon and read noise, saturation, rounding, exact or fast.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import galsim
import numpy as np
import pytest
import torch
from builders import exposures

from skyreel.interfaces import PSF
from skyreel.seeding import BLOCK, Seeds
from skyreel.simulate.detector import expose
from skyreel.simulate.render import grid_size, render
from skyreel_ccd.detector import CCD
from skyreel_galsim.host import GalSimHost
from skyreel_psf.analytic import Gaussian, Moffat
from skyreel_psf.empirical import Empirical

SCALE, SIZE, OVERSAMPLE, BETA = 0.27, 21, 2, 4.2
EPOCHS, ROUNDS = 25, 9
GRID = grid_size(SIZE)
SKY, GAIN, READ_NOISE, FLUX = 300.0, 4.0, 6.0, 5000.0
WIDTHS = np.linspace(0.8, 2.0, EPOCHS) / SCALE
KINDS = {"point": None, "point + n=1 host": 0.0, "point + n=4 host": 1.0}
torch.set_num_threads(1)


class Ours:
    """A block of objects."""

    def __init__(self, psf: PSF, frac_dev: float | None, noise: str) -> None:
        rng = np.random.default_rng(1)
        shape = (BLOCK, EPOCHS)
        columns = {"sky": SKY, "gain": GAIN, "read_noise": READ_NOISE, "saturation": 4e4}
        self.exposures = exposures(*shape).replace(
            psf_fwhm=np.broadcast_to(np.hypot(WIDTHS, 0.8), shape).copy(),
            **{name: np.full(shape, value) for name, value in columns.items()},
        )
        self.flux, self.centre = np.full(shape, FLUX), rng.uniform(-0.5, 0.5, (*shape, 2))
        self.turns = rng.integers(0, 8, BLOCK)
        self.psf, self.detector, self.hosts = psf, CCD(noise=noise), None
        self.basis = psf.basis(SCALE, GRID, OVERSAMPLE).copy()
        self.basis.flags.writeable = False
        if frac_dev is not None:
            host = GalSimHost()
            params = host.sample(BLOCK, rng)
            params["frac_dev"][:] = frac_dev
            self.hosts = (host, params, rng.uniform(-1, 1, (BLOCK, 2)))

    def light(self) -> torch.Tensor:
        """Weights of the PSF, galaxies, expected counts."""
        behind = {}
        if self.hosts is not None:
            host, params, offset = self.hosts
            images = host.image(params, offset, "g", SCALE, GRID, OVERSAMPLE)
            behind = {"host_image": images, "host_flux": self.flux, "host_shift": self.centre}
        weights = self.psf.coefficients(self.exposures, Seeds(1))
        return render(self.basis, weights, self.flux, self.centre, self.turns, SIZE, OVERSAMPLE, GRID, **behind)

    def frames(self) -> int:
        """The same without sky and detector."""
        return len(self.light()) * EPOCHS

    def stamps(self) -> int:
        """The block as the detector writes it."""
        image, _ = expose(self.light()[:, :, None] + SKY, self.exposures, self.detector, Seeds(1).torch("noise"))
        return len(image) * EPOCHS


class GalSim:
    """A few objects, stamp by stamp."""

    def __init__(self, frac_dev: float | None, objects: int, interpolated: bool = False, at_once: bool = False) -> None:
        self.frac_dev, self.objects, self.method = frac_dev, objects, "no_pixel" if interpolated else "auto"
        self.at_once = at_once
        self.psfs = [galsim.Moffat(BETA, fwhm=width) for width in WIDTHS]
        if interpolated:
            drawn = [psf.drawImage(galsim.ImageD(25, 25, scale=1.0)) for psf in self.psfs]
            self.psfs = [galsim.InterpolatedImage(image, flux=1.0) for image in drawn]
        self.points = [psf.withFlux(FLUX) for psf in self.psfs]
        rng = np.random.default_rng(1)
        self.params = GalSimHost().sample(objects, rng)
        self.centre = rng.uniform(-0.5, 0.5, (objects, EPOCHS, 2))

    def stamps(self) -> int:
        """Every epoch of every object, with noise."""
        deviate = galsim.BaseDeviate(1)
        for k in range(self.objects):
            galaxy = None
            if self.frac_dev is not None:
                kind = galsim.DeVaucouleurs if self.frac_dev else galsim.Exponential
                radius = self.params["r50_dev" if self.frac_dev else "r50_exp"][k] / SCALE
                galaxy = kind(half_light_radius=radius, flux=FLUX).shear(q=0.6, beta=0.5 * galsim.radians)
                if self.at_once:
                    galaxy = galsim.Add(galaxy, galsim.DeltaFunction(flux=FLUX))
            for psf, point, at in zip(self.psfs, self.points, self.centre[k], strict=True):
                behind = None if galaxy is None else galsim.Convolve([galaxy, psf])
                scene = point if behind is None else behind if self.at_once else galsim.Add(point, behind)
                image = scene.drawImage(galsim.ImageF(SIZE, SIZE, scale=1.0), offset=tuple(at), method=self.method)
                image += SKY
                image.addNoise(galsim.CCDNoise(deviate, gain=GAIN, read_noise=READ_NOISE))
        return self.objects * EPOCHS


def cost(run: Callable[[], int]) -> float:
    """CPU time per stamp [us]."""
    begin = time.process_time()
    stamps = run()
    return 1e6 * (time.process_time() - begin) / stamps


def spread(values: list[float], digits: int = 0) -> str:
    """Median and range."""
    low, middle, high = np.percentile(values, [0, 50, 100])
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


@pytest.mark.parametrize("kind", list(KINDS))
def test_ratios_over_galsim(kind: str) -> None:
    """Medians and ranges over the rounds of times and of their ratios within a round."""
    frac_dev = KINDS[kind]
    few = 1 if frac_dev is not None else 2
    runs = {
        "GalSim, FFT": GalSim(frac_dev, few).stamps,
        "GalSim, InterpolatedImage": GalSim(frac_dev, 2 * few, interpolated=True).stamps,
        "exact noise": Ours(Moffat(), frac_dev, "exact").stamps,
        "fast noise": Ours(Moffat(), frac_dev, "fast").stamps,
        "no noise": Ours(Moffat(), frac_dev, "exact").frames,
    }
    if frac_dev is not None:
        runs["GalSim, FFT, one convolution"] = GalSim(frac_dev, few, at_once=True).stamps
    times: dict[str, list[float]] = {name: [] for name in runs}
    for round_ in range(ROUNDS + 1):
        for name, run in runs.items():
            found = cost(run)
            if round_:  # the first one fills caches
                times[name].append(found)
    fft, interpolated = (np.array(times[name]) for name in list(runs)[:2])
    print(f"\n| {kind} | us / stamp | GalSim's FFT over it | InterpolatedImage over it |\n|---|---|---|---|")
    for name, found in times.items():
        print(f"| {name} | {spread(found, 1)} | {spread(list(fft / found), 1)} | {spread(list(interpolated / found), 1)} |")


@pytest.mark.parametrize("population", ["field", "hosts of supernovae"])
def test_galaxies(population: str) -> None:
    """Unconvolved galaxies, in batches and by GalSim; hosts of supernovae lie at z < 0.6."""
    rng = np.random.default_rng(1)
    hosts = {name: GalSimHost(renderer=name) for name in ("batch", "galsim")}
    params = hosts["batch"].sample(BLOCK, rng, None if population == "field" else rng.uniform(0.02, 0.6, BLOCK))
    offset = -hosts["batch"].offsets(params, rng)
    times: dict[str, list[float]] = {name: [] for name in hosts}
    for round_ in range(ROUNDS + 1):
        for name, host in hosts.items():
            begin = time.process_time()
            host.image(params, offset, "g", SCALE, GRID, OVERSAMPLE)
            if round_:
                times[name].append(1e6 * (time.process_time() - begin) / BLOCK)
    ratio = list(np.divide(times["galsim"], times["batch"]))
    print(f"\n| galaxies: {population} | batch, us | GalSim, us | ratio |\n|---|---|---|---|")
    print(f"| {BLOCK} | {spread(times['batch'])} | {spread(times['galsim'])} | {spread(ratio, 1)} |")


def test_psf_families() -> None:
    """Points without noise: number of basis images and time per stamp; the first call makes the tables."""
    print("\n| PSF | basis images | us / stamp, weights included | first block, s |\n|---|---|---|---|")
    for psf in (Gaussian(), Moffat(), Empirical()):
        made = Ours(psf, None, "exact")
        begin = time.process_time()
        made.light()
        first = time.process_time() - begin
        found = [cost(made.frames) for _ in range(ROUNDS)]
        print(f"| {type(psf).__name__.lower()} | {len(made.basis)} | {spread(found, 1)} | {first:.2f} |")
