"""The renderer against GalSim with the same PSF over seeings, galaxies, places and stamp sizes; precision, devices, memory."""

import galsim
import numpy as np
import pytest
import torch
from builders import exposures
from numpy.typing import NDArray
from torch.utils._python_dispatch import TorchDispatchMode

from skyreel.interfaces import PSF
from skyreel.simulate.render import grid_size, orient, render
from skyreel_galsim.host import GalSimHost
from skyreel_galsim.images import profile
from skyreel_psf.analytic import Gaussian, Moffat, gaussian, moffat
from skyreel_psf.empirical import Empirical

Array = NDArray[np.float64]
SCALE, BETA = 0.27, 4.2
ACCURATE = galsim.GSParams(folding_threshold=1e-3, maxk_threshold=5e-4, kvalue_accuracy=1e-6, maximum_fft_size=8192)
EXTREMES = [(21, seeing) for seeing in (0.8, 1.3, 2.0)] + [(size, seeing) for size in (15, 32, 63) for seeing in (0.8, 2.0)]


def galaxy_table(r50: Array, frac_dev: Array, ratio: Array, angle: Array) -> dict[str, Array]:
    """Galaxies whose parts have the same half-light radius ["] and axis ratio."""
    columns = {"r50_exp": r50, "r50_dev": r50, "axis_ratio_exp": ratio, "axis_ratio_dev": ratio}
    return {**columns, "frac_dev": frac_dev, "position_angle": angle, "mag_g": np.full(len(r50), 20.0), "redshift": np.full(len(r50), 0.2)}


def expected_stamp(galaxy: galsim.GSObject, seeing: float, centre: Array, size: int) -> Array:
    """GalSim's stamp behind a Moffat PSF."""
    psf = galsim.Moffat(BETA, fwhm=seeing / SCALE)
    scene = galsim.Convolve([galaxy, psf], gsparams=ACCURATE)
    return np.asarray(scene.drawImage(galsim.ImageD(size, size, scale=1.0), offset=tuple(centre)).array)


def compared(stamp: Array, expected: Array) -> tuple[float, float]:
    """Largest error over the peak, and error of the flux within the stamp over that flux."""
    return np.abs(stamp - expected).max() / expected.max(), abs(stamp.sum() / expected.sum() - 1)


@pytest.mark.parametrize(("size", "seeing"), EXTREMES)
def test_stars_on_galaxies_match_galsim(size: int, seeing: float) -> None:
    """Six galaxies a case in one batch: n = 1 and n = 4, 0.3", 1" and 3", random angles, places and turns of the PSF."""
    rng = np.random.default_rng([size, int(10 * seeing)])
    r50, frac_dev = (column.ravel() for column in np.meshgrid([0.3, 1.0, 3.0], [0.0, 1.0]))
    n, grid = len(r50), grid_size(size)
    table = galaxy_table(r50, frac_dev, rng.uniform(0.2, 1, n), rng.uniform(0, np.pi, n))
    offset, shift, centre = rng.uniform(-4, 4, (n, 2)), rng.uniform(-0.5, 0.5, (n, 2)), rng.uniform(-0.5, 0.5, (n, 2))
    basis = moffat(seeing / SCALE, BETA, grid, 2)[:1]
    one, turns = np.ones((n, 1, 1)), rng.integers(0, 8, n)
    images = GalSimHost().image(table, offset * SCALE, "g", SCALE, grid, 2)
    behind = {"host_image": images, "host_flux": one[..., 0], "host_shift": shift[:, None]}
    hosts = render(basis, one, 0 * one[..., 0], centre[:, None], turns, size, 2, grid, **behind)
    stars = render(basis, one, one[..., 0], centre[:, None], turns, size, 2, grid)
    for k in range(n):
        shape = (r50[k] / SCALE, table["axis_ratio_exp"][k])
        light = profile(shape, shape, frac_dev[k], table["position_angle"][k])
        error, flux = compared(hosts[k, 0].double().numpy(), expected_stamp(light, seeing, offset[k] + shift[k], size))
        assert error < 1e-3
        assert flux < 1e-3
        point = galsim.Moffat(BETA, fwhm=seeing / SCALE, gsparams=galsim.GSParams(folding_threshold=1e-4, maxk_threshold=1e-5))
        image = point.drawImage(galsim.ImageD(size, size, scale=1.0), offset=tuple(centre[k])).array
        error, flux = compared(stars[k, 0].double().numpy(), image)
        assert error < 1e-4
        assert flux < 1e-4


@pytest.mark.parametrize("psf", [Gaussian(), Moffat(), Empirical()], ids=["gaussian", "moffat", "empirical"])
@pytest.mark.parametrize(("low", "high", "tolerance"), [(2.5, 7.5, 1e-5), (1.85, 2.5, 1e-4)])
def test_single_precision_follows_double(psf: PSF, low: float, high: float, tolerance: float) -> None:
    """Sources within a pixel of the middle, corners of the squares that share polynomials included: double transforms each stamp."""
    rng = np.random.default_rng(1)
    edge = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    centre = np.concatenate([np.stack(np.meshgrid(edge, edge), axis=-1).reshape(1, -1, 2), rng.uniform(-1, 1, (7, 25, 2))])
    weights = psf.coefficients(exposures(8, 25).replace(psf_fwhm=rng.uniform(low, high, (8, 25))))
    parts = (psf.basis(SCALE, 48, 2), weights, np.ones((8, 25)), centre, np.arange(8), 21, 2, 48)
    single, double = render(*parts), render(*parts, dtype=torch.float64)
    assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
    peak = double.amax(dim=(2, 3), keepdim=True)
    assert ((single - double).abs() / peak).max() < tolerance


def test_sources_do_not_jump_where_the_way_of_rendering_changes() -> None:
    """From square to square of shifts, and a pixel from the middle, the stamp moves on as a shifted star does."""
    basis = moffat(4.0, BETA, 48, 2)[:1]
    border = np.array([-1.0, -0.5, 0.0, 0.5, 1.0], np.float32)
    x = np.stack([np.nextafter(border, -2), border, np.nextafter(border, 2)], axis=1)
    centre = np.stack([x, np.full_like(x, 0.1)], axis=-1)
    stamps = render(basis, np.ones((5, 3, 1)), np.ones((5, 3)), centre, [0] * 5, 21, 2, 48)
    assert (stamps.amax(dim=1) - stamps.amin(dim=1)).max() < 2e-6 * stamps.max()


@pytest.mark.parametrize("oversample", [1, 2, 3, 4])
def test_hosts_of_any_oversampling_are_turned_against_the_psf(oversample: int) -> None:
    """A turned PSF over a galaxy is the turned stamp of the upright PSF over the galaxy turned back."""
    rng = np.random.default_rng(oversample)
    samples = 48 * oversample
    image = gaussian(4.0, 48, oversample) * (1 + 0.3 * np.tanh((np.arange(samples) - samples / 2) / (3 * oversample)))
    host = np.roll(gaussian(5.0, 48, oversample), (2, -3), axis=(0, 1))
    inverse = [0, 3, 2, 1, 4, 5, 6, 7]
    shift = rng.uniform(-0.5, 0.5, 2)
    for turn in range(8):

        def stamp(galaxy: Array, at: Array, orientation: int) -> Array:
            nothing = np.zeros((1, 1))
            where = (nothing, np.zeros((1, 1, 2)), [orientation], 21, oversample, 48)
            light = render(image[None], np.ones((1, 1, 1)), *where, host_image=galaxy[None, None], host_flux=nothing + 1, host_shift=[[at]])
            return light[0, 0].double().numpy()

        quarter, mirror = np.array([[0, 1], [-1, 0]]), np.diag([-1, 1])
        matrix = np.linalg.matrix_power(quarter, turn % 4) @ (mirror if turn >= 4 else np.eye(2))
        upright = stamp(orient(host, inverse[turn]), matrix.T @ shift, 0)
        np.testing.assert_allclose(stamp(host, shift, turn), orient(upright, turn), atol=2e-6 * upright.max())


def scene(n: int, epochs: int, seed: int = 0) -> tuple[tuple[object, ...], dict[str, object]]:
    """Positional and named arguments of a scene with every option: moving, trailed and blurred sources, hosts in two bands."""
    rng = np.random.default_rng(seed)
    shape = (n, epochs)
    basis = np.stack([gaussian(width, 48, 2) for width in (3.0, 5.0)])
    sources = (basis, rng.random((*shape, 2)), rng.random(shape), rng.uniform(-3, 3, (*shape, 2)), rng.integers(0, 8, n), 21, 2, 48)
    behind = {"host_image": rng.random((n, 2, 96, 96), np.float32), "host_flux": rng.random(shape), "host_shift": rng.random((*shape, 2))}
    names = {"host_band": rng.integers(0, 2, shape), "trail": rng.random((*shape, 2)), "blur": rng.random(n)}
    return sources, {**behind, **names}


def test_nothing_is_made_on_another_device_than_the_one_asked_for() -> None:
    """With another default device, a tensor made without naming its device could not be combined with the others."""
    sources, options = scene(4, 3)
    expected = render(*sources, **options)  # type: ignore[arg-type]
    with torch.device("meta"):
        found = render(*sources, **options, device="cpu")  # type: ignore[arg-type]
    assert found.device.type == "cpu"
    assert torch.equal(found, expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_same_stamps() -> None:
    sources, options = scene(8, 5)
    expected = render(*sources, **options)  # type: ignore[arg-type]
    found = render(*sources, **options, device="cuda")  # type: ignore[arg-type]
    assert found.device.type == "cuda"
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-4, atol=1e-5 * float(expected.max()))


def test_tensors_are_taken_as_arrays_are() -> None:
    sources, options = scene(3, 2)
    tensors = [torch.as_tensor(part) if isinstance(part, np.ndarray) and k in (1, 2, 3) else part for k, part in enumerate(sources)]
    named = {name: torch.as_tensor(value) for name, value in options.items()}
    assert torch.equal(render(*tensors, **named), render(*sources, **options))  # type: ignore[arg-type]


class LargestTensor(TorchDispatchMode):
    """Remembers the memory [byte] of the largest tensor that any operation made, but for the stamps themselves."""

    def __init__(self, stamps: int) -> None:
        super().__init__()
        self.stamps, self.largest = stamps, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        made = [value.untyped_storage().nbytes() for value in (out if isinstance(out, list | tuple) else [out]) if torch.is_tensor(value)]
        self.largest = max([self.largest, *(size for size in made if size != 4 * self.stamps)])
        return out


def test_work_space_does_not_grow_with_the_number_of_stamps() -> None:
    """6,000 and 18,000 stamps: the largest tensor beside the stamps is the same."""
    found = []
    for n in (400, 1200):
        rng = np.random.default_rng(n)
        parts = [
            gaussian(4.0, 48, 2)[None],
            np.ones((n, 15, 1)),
            np.ones((n, 15)),
            rng.uniform(-0.5, 0.5, (n, 15, 2)),
            rng.integers(0, 8, n),
        ]
        galaxy = torch.as_tensor(gaussian(5.0, 48, 2), dtype=torch.float32).expand(n, 1, 96, 96)
        with LargestTensor(n * 15 * 441) as seen:
            render(*parts, 21, 2, 48, host_image=galaxy, host_flux=np.ones((n, 15)))  # type: ignore[arg-type]
            render(*parts, 21, 2, 48, blur=np.ones(n))  # type: ignore[arg-type]
        found.append(seen.largest)
    assert found[0] == found[1]
