"""Galaxy images made in batches against those that GalSim makes, one by one and behind a PSF."""

import galsim
import numpy as np
import pytest
from numpy.typing import NDArray

from skyreel.errors import ConfigError
from skyreel.hydra_glue import compose
from skyreel.simulate.render import grid_size, render
from skyreel_galsim.batch import Shapes, galaxy_images
from skyreel_galsim.host import GalSimHost
from skyreel_galsim.images import profile
from skyreel_psf.analytic import moffat

Array = NDArray[np.float64]
SCALE, BETA, SIZE = 0.27, 4.2, 21
GRID = grid_size(SIZE)


def seen(images: NDArray[np.float32], seeing: float) -> Array:
    """Stamps (n, SIZE, SIZE) of galaxy images (n, 1, M, M) behind a Moffat PSF."""
    n = len(images)
    one = np.ones((n, 1))
    basis = moffat(seeing / SCALE, BETA, GRID, 2)[:1]
    where = (np.zeros((n, 1, 2)), np.zeros(n, np.int64), SIZE, 2, GRID)
    return render(basis, one[..., None], 0 * one, *where, host_image=images, host_flux=one)[:, 0].double().numpy()


def shape(r50: float, ratio: float, frac_dev: float, angle: float, offset: tuple[float, float]) -> Shapes:
    """One galaxy, lengths in px, whose parts have the same radius and axis ratio."""
    columns = (np.array([value]) for value in (r50, ratio, r50, ratio, frac_dev, angle))
    return Shapes(*columns, np.array([offset], np.float64))


@pytest.mark.parametrize("tied", [False, True], ids=["field", "hosts"])
def test_both_renderers_show_the_same_galaxies(tied: bool) -> None:
    """Of the population: their stamps differ by at most 1e-3 of the galaxy's peak behind the PSF."""
    rng = np.random.default_rng(4)
    batch, one_by_one = GalSimHost(), GalSimHost(renderer="galsim")
    table = batch.sample(60, rng, rng.uniform(0.03, 0.6, 60) if tied else None)
    offset = -batch.offsets(table, rng)
    fast, slow = (seen(host.image(table, offset, "g", SCALE, GRID, 2), 1.0) for host in (batch, one_by_one))
    # The peak of a galaxy whose core lies elsewhere is that of the galaxy moved into the stamp.
    peak = seen(batch.image(table, 0 * offset, "g", SCALE, GRID, 2), 1.0).max(axis=(1, 2))
    assert (np.abs(fast - slow).max(axis=(1, 2)) / peak).max() < 1e-3
    assert (np.abs(offset).max(axis=1) > 0.25 * GRID * SCALE).any() == tied


DISCS = [(r50, ratio, 0.0) for r50 in (4.7, 11.0, 16.5, 40.0) for ratio in (0.1, 0.39, 0.41, 1.0)]
BULGES = [(r50, ratio, 1.0) for r50 in (4.7, 11.0) for ratio in (0.39, 0.41, 1.0)]
LARGEST = [pytest.param(r50, 0.39, 1.0, marks=pytest.mark.slow) for r50 in (16.5, 40.0)]  # GalSim's own transforms are huge


@pytest.mark.parametrize(("r50", "ratio", "frac_dev"), [*DISCS, *BULGES, *LARGEST])
def test_flat_and_large_galaxies_match_galsim(r50: float, ratio: float, frac_dev: float) -> None:
    """On both sides of every border between the ways of drawing, ridges through the corners of the image included."""
    rng = np.random.default_rng([int(10 * r50), int(100 * ratio), int(frac_dev)])
    accuracy = galsim.GSParams(folding_threshold=1e-3, maxk_threshold=5e-4, maximum_fft_size=16384)
    for angle, offset in ((np.pi / 4, (3.0, 3.0)), (rng.uniform(0, np.pi), tuple(rng.uniform(-11.5, 11.5, 2)))):
        both = (r50, ratio)
        truth = galsim.Convolve([profile(both, both, frac_dev, angle), galsim.Moffat(BETA, fwhm=1.0 / SCALE)], gsparams=accuracy)
        expected = truth.drawImage(galsim.ImageD(SIZE, SIZE, scale=1.0), offset=offset).array
        peak = truth.drawImage(galsim.ImageD(SIZE, SIZE, scale=1.0)).array.max()
        stamp = seen(galaxy_images(shape(*both, frac_dev, angle, offset), GRID, 2)[:, None], 1.0)[0]
        assert np.abs(stamp - expected).max() < 1e-3 * peak
        assert stamp.sum() == pytest.approx(expected.sum(), rel=1e-3)


@pytest.mark.parametrize("frac_dev", [0.0, 0.3, 1.0])
def test_a_galaxy_does_not_jump_where_the_way_of_drawing_changes(frac_dev: float) -> None:
    """Behind a PSF, moved or grown by 1e-6 across each border."""
    below, above = 1 - 1e-6, 1 + 1e-6
    pairs = [
        [shape(5.0, 0.7, frac_dev, 0.3, (factor * GRID / 4, 1.0)) for factor in (below, above)],
        [shape(5.0, 0.7, frac_dev, 0.3, (factor * (GRID / 2 + 2), 1.0)) for factor in (below, above)],
        [shape(factor * GRID / 3, 0.7, frac_dev, 0.3, (2.0, 1.0)) for factor in (below, above)],
        [shape(6.0, factor * 0.4, frac_dev, 0.3, (2.0, 1.0)) for factor in (below, above)],
        [shape(20.0, factor * 0.25, frac_dev, 0.3, (2.0, 1.0)) for factor in (below, above)],
    ]
    for pair in pairs:
        first, second = (seen(galaxy_images(item, GRID, 2)[:, None], 1.0)[0] for item in pair)
        centred = Shapes(
            *(getattr(pair[0], name) for name in ("r50_exp", "ratio_exp", "r50_dev", "ratio_dev", "frac_dev", "angle")), np.zeros((1, 2))
        )
        assert np.abs(first - second).max() < 5e-4 * seen(galaxy_images(centred, GRID, 2)[:, None], 1.0).max()


def test_a_galaxy_is_the_same_in_any_company() -> None:
    """Byte for byte: all ways of drawing in one batch, shuffled, and alone."""
    rng = np.random.default_rng(7)
    host = GalSimHost()
    table = host.sample(80, rng, rng.uniform(0.02, 0.3, 80))
    offset = -host.offsets(table, rng)
    together = host.image(table, offset, "g", SCALE, GRID, 2)
    order = rng.permutation(80)
    shuffled = host.image({name: column[order] for name, column in table.items()}, offset[order], "g", SCALE, GRID, 2)
    assert shuffled.tobytes() == together[order].tobytes()
    for k in range(0, 80, 9):
        alone = host.image({name: column[k : k + 1] for name, column in table.items()}, offset[k : k + 1], "g", SCALE, GRID, 2)
        assert alone.tobytes() == together[k : k + 1].tobytes()


def test_no_galaxies_give_no_images() -> None:
    host = GalSimHost()
    table = host.sample(0, np.random.default_rng(1))
    assert host.image(table, np.zeros((0, 2)), "g", SCALE, GRID, 2).shape == (0, 1, 96, 96)


def test_renderer_is_an_option_by_name() -> None:
    assert compose("simulate", ["host.renderer=galsim"]).host.renderer == "galsim"
    with pytest.raises(ConfigError, match=r"host\.renderer.*'gpu'.*use one of batch, galsim"):
        GalSimHost(renderer="gpu")
