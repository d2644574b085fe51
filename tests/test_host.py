"""Images of galaxies against GalSim, positions in their light, and hosts in the simulation."""

from collections.abc import Callable

import galsim
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import kstest

from skyreel.errors import ConfigError, SimulationError
from skyreel.interfaces import HostPolicy, Source
from skyreel.seeding import Seeds
from skyreel.simulate.render import grid_size, render
from skyreel.simulate.scene import Galaxies, galaxies
from skyreel_galsim.host import GalSimHost
from skyreel_galsim.images import profile
from skyreel_psf.analytic import moffat
from skyreel_sources.constant import NonVariable
from skyreel_sources.galaxy import Galaxy
from skyreel_sources.supernova import Supernova

Array = NDArray[np.float64]
SCALE = 0.27
BETA = 4.2


def params(r50: float, frac_dev: float, axis_ratio: float = 0.6, angle: float = 0.5, n: int = 1) -> dict[str, Array]:
    """n equal galaxies whose parts have the same half-light radius ["] and axis ratio."""
    columns = {"mag_g": 20.0, "redshift": 0.2, "position_angle": angle, "frac_dev": frac_dev}
    columns |= {"r50_exp": r50, "r50_dev": r50, "axis_ratio_exp": axis_ratio, "axis_ratio_dev": axis_ratio}
    return {name: np.full(n, value) for name, value in columns.items()}


def behind_seeing(galaxy: dict[str, Array], offset: Array, shift: Array, seeing: float, size: int = 21) -> Array:
    """Rendered stamp of unit flux."""
    grid = grid_size(size)
    image = GalSimHost().image(galaxy, offset[None] * SCALE, "g", SCALE, grid, 2)
    nothing = np.zeros((1, 1))
    stamp = render(
        moffat(seeing / SCALE, BETA, grid, 2)[:1],
        np.ones((1, 1, 1)),
        nothing,
        nothing[..., None].repeat(2, -1),
        [0],
        size,
        2,
        grid,
        host_image=image,
        host_flux=np.ones((1, 1)),
        host_shift=shift[None, None],
    )
    return stamp[0, 0].double().numpy()


@pytest.mark.parametrize("seeing", [0.8, 1.3, 2.0])
@pytest.mark.parametrize("r50", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("frac_dev", [0.0, 0.4, 1.0])
def test_galaxies_behind_a_moffat_match_galsim(seeing: float, r50: float, frac_dev: float) -> None:
    rng = np.random.default_rng(int(100 * seeing + 10 * r50 + frac_dev))
    offset, shift = rng.uniform(-3, 3, 2), rng.uniform(-0.5, 0.5, 2)
    psf = galsim.Moffat(BETA, fwhm=seeing / SCALE)
    accuracy = galsim.GSParams(folding_threshold=2e-3, maxk_threshold=5e-4, maximum_fft_size=8192)
    truth = galsim.Convolve([profile((r50 / SCALE, 0.6), (r50 / SCALE, 0.6), frac_dev, 0.5), psf], gsparams=accuracy)
    expected = truth.drawImage(galsim.ImageD(21, 21, scale=1.0), offset=tuple(offset + shift)).array
    stamp = behind_seeing(params(r50, frac_dev), offset, shift, seeing)
    assert np.abs(stamp - expected).max() < 1e-3 * expected.max()
    assert stamp.sum() == pytest.approx(expected.sum(), rel=5e-4)


@pytest.mark.parametrize("size", [20, 15, 31])
def test_other_stamp_sizes_match_galsim(size: int) -> None:
    offset, shift = np.array([1.3, -2.1]), np.array([0.2, 0.4])
    truth = galsim.Convolve([profile((1.0 / SCALE, 0.6), (1.0 / SCALE, 0.6), 1.0, 0.5), galsim.Moffat(BETA, fwhm=1.2 / SCALE)])
    expected = truth.drawImage(galsim.ImageD(size, size, scale=1.0), offset=tuple(offset + shift)).array
    assert np.abs(behind_seeing(params(1.0, 1.0), offset, shift, 1.2, size) - expected).max() < 1e-3 * expected.max()


@pytest.mark.parametrize("offset", [(12.0, 3.0), (25.0, 5.0), (34.0, 0.0), (50.0, -20.0), (-200.0, 0.0)])
@pytest.mark.parametrize("frac_dev", [0.0, 1.0])
def test_galaxies_at_and_beyond_the_edge_match_galsim(offset: tuple[float, float], frac_dev: float) -> None:
    truth = galsim.Convolve([profile((2.0 / SCALE, 0.6), (2.0 / SCALE, 0.6), frac_dev, 0.5), galsim.Moffat(BETA, fwhm=1.3 / SCALE)])
    peak = truth.drawImage(galsim.ImageD(21, 21, scale=1.0)).array.max()
    wide = galsim.ImageD(501, 501, scale=1.0)
    expected = truth.drawImage(wide, offset=offset).array[240:261, 240:261]
    stamp = behind_seeing(params(2.0, frac_dev), np.array(offset), np.zeros(2), 1.3)
    # Beyond the padded grid the PSF's own far wings from the galaxy's core are left out: below 1e-3 of the galaxy's peak.
    assert np.abs(stamp - expected).max() < 1e-3 * peak


def test_images_hold_the_flux_that_falls_on_them() -> None:
    small = GalSimHost().image(params(0.5, 0.0), np.zeros((1, 2)), "g", SCALE, 48, 2)
    assert small.shape == (1, 1, 96, 96)
    assert small.dtype == np.float32
    assert small.sum() == pytest.approx(1, abs=1e-4)
    large = GalSimHost().image(params(3.0, 0.0, axis_ratio=1.0), np.zeros((1, 2)), "g", SCALE, 48, 2)
    x = np.linspace(-24, 24, 481) * SCALE
    density = np.exp(-np.hypot(x, x[:, None]) * 1.67835 / 3.0)
    scale_length = 3.0 / 1.67835
    expected = np.trapezoid(np.trapezoid(density, x), x) / (2 * np.pi * scale_length**2)
    assert large.sum() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("frac_dev", [0.0, 1.0])
@pytest.mark.parametrize(("axis_ratio", "angle"), [(1.0, 0.0), (0.5, 0.0), (0.5, 0.9)])
def test_half_of_the_light_lies_within_the_half_light_ellipse(frac_dev: float, axis_ratio: float, angle: float) -> None:
    # Cut at the Nyquist frequency, the image rings; summed over an ellipse of 100 sub-pixels it does not.
    image = GalSimHost().image(params(1.35, frac_dev, axis_ratio, angle), np.zeros((1, 2)), "g", SCALE, 96, 4)[0, 0]
    y, x = (np.indices(image.shape) - (len(image) - 1) / 2) / 4 * SCALE
    major, minor = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    assert image[np.hypot(major, minor / axis_ratio) < 1.35].sum() == pytest.approx(0.5, abs=0.006)


def test_disc_and_bulge_have_their_own_sizes_and_axis_ratios() -> None:
    galaxy = params(2.0, 0.4) | {"r50_dev": np.array([0.5]), "axis_ratio_exp": np.array([0.3]), "axis_ratio_dev": np.array([0.8])}
    psf = galsim.Moffat(BETA, fwhm=1.0 / SCALE)
    parts = [
        galsim.Exponential(half_light_radius=2.0 * np.sqrt(0.3) / SCALE, flux=0.6).shear(q=0.3, beta=0.5 * galsim.radians),
        galsim.DeVaucouleurs(half_light_radius=0.5 * np.sqrt(0.8) / SCALE, flux=0.4).shear(q=0.8, beta=0.5 * galsim.radians),
    ]
    expected = galsim.Convolve([galsim.Add(parts), psf]).drawImage(galsim.ImageD(21, 21, scale=1.0)).array
    stamp = behind_seeing(galaxy, np.zeros(2), np.zeros(2), 1.0)
    assert np.abs(stamp - expected).max() < 1e-3 * expected.max()


def test_bulges_smaller_than_a_pixel_match_galsim() -> None:
    galaxy = params(0.8, 0.3) | {"r50_dev": np.array([0.05])}
    parts = [
        galsim.Exponential(half_light_radius=0.8 * np.sqrt(0.6) / SCALE, flux=0.7).shear(q=0.6, beta=0.5 * galsim.radians),
        galsim.DeVaucouleurs(half_light_radius=0.05 * np.sqrt(0.6) / SCALE, flux=0.3).shear(q=0.6, beta=0.5 * galsim.radians),
    ]
    expected = galsim.Convolve([galsim.Add(parts), galsim.Moffat(BETA, fwhm=1.0 / SCALE)])
    at = np.array([0.3, -0.2])
    image = expected.drawImage(galsim.ImageD(21, 21, scale=1.0), offset=tuple(at)).array
    assert np.abs(behind_seeing(galaxy, at, np.zeros(2), 1.0) - image).max() < 1e-3 * image.max()


def test_an_object_is_the_same_in_any_batch() -> None:
    host = GalSimHost()
    table = host.sample(6, np.random.default_rng(1))
    offset = host.offsets(table, np.random.default_rng(2))
    together = host.image(table, offset, "gr", SCALE, 48, 2)
    alone = host.image({name: column[4:5] for name, column in table.items()}, offset[4:5], "gr", SCALE, 48, 2)
    assert alone.tobytes() == together[4:5].tobytes()


# --------------------------------------------------------------------------------------------- positions


def test_offsets_follow_the_exponential_light() -> None:
    n = 20_000
    galaxy = params(2.0, 0.0, axis_ratio=0.4, angle=0.8, n=n)
    offset = GalSimHost().offsets(galaxy, np.random.default_rng(6))
    turned = offset @ np.array([[np.cos(0.8), -np.sin(0.8)], [np.sin(0.8), np.cos(0.8)]])
    radius = np.hypot(turned[:, 0], turned[:, 1] / 0.4) / (2.0 / 1.67835)
    assert kstest(radius, "gamma", args=(2,)).pvalue > 1e-3
    assert (radius < 1.67835).mean() == pytest.approx(0.5, abs=5 * np.sqrt(0.25 / n))
    azimuth = np.arctan2(turned[:, 1] / 0.4, turned[:, 0]) / (2 * np.pi) % 1
    assert kstest(azimuth, "uniform").pvalue > 1e-3


def drawn(source: Source, table: dict[str, Array] | None = None, n: int = 20_000, half: float = 2.8) -> Galaxies:
    return galaxies(GalSimHost(), source, "test", table or {}, ("g",), half, Seeds(3, "test"), n)


def test_chance_alignments_are_uniform_over_the_stamp_and_as_frequent_as_asked() -> None:
    hosts = drawn(NonVariable(host_fraction=0.2))
    assert hosts.present.mean() == pytest.approx(0.2, abs=5 * np.sqrt(0.16 / 20_000))
    for axis in (0, 1):
        assert kstest(hosts.centre[:, axis] / 5.6 + 0.5, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(hosts.centre.T)[0, 1]) < 5 / np.sqrt(20_000)
    # They are galaxies of a field: nothing ties them to the source.
    assert kstest(hosts.mag[:, 0], drawn(Galaxy()).mag[:, 0]).pvalue > 1e-3


def test_supernovae_lie_in_the_light_of_hosts_at_their_redshift() -> None:
    source = Supernova(host_fraction=0.7)
    table = source.sample(4000, np.random.default_rng(1))
    hosts = drawn(source, table, 4000)
    np.testing.assert_array_equal(hosts.params["redshift"], table["redshift"])
    assert hosts.present.mean() == pytest.approx(0.7, abs=5 * np.sqrt(0.21 / 4000))
    angle, ratio = hosts.params["position_angle"], hosts.params["axis_ratio_exp"]
    x, y = -hosts.centre.T
    major, minor = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    radius = np.hypot(major, minor / ratio) * 1.67835 / hosts.params["r50_exp"]
    assert kstest(radius, "gamma", args=(2,)).pvalue > 1e-3


def test_galaxies_of_the_class_galaxy_are_in_every_stamp() -> None:
    centred, spread = drawn(Galaxy(), n=2000), drawn(Galaxy(offset="light"), n=2000)
    assert centred.present.all()
    assert not centred.centre.any()
    radius = np.linalg.norm(spread.centre, axis=1) / spread.params["r50_exp"]
    assert 0.4 < np.median(radius) < 1.0
    light = Galaxy().light_curve({"has_point_source": np.zeros(5, bool)}, np.zeros((5, 4)), np.zeros((5, 4), np.int8))
    assert np.isposinf(light.mag).all()


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: HostPolicy(fraction=1.2), "host_policy.fraction: 1.2; choose a share from 0 to 1"),
        (lambda: HostPolicy(fraction=float("nan")), "host_policy.fraction"),
        (lambda: HostPolicy(offset="edge"), "host_policy.offset: 'edge'; choose one of light, chance, centre"),  # type: ignore[arg-type]
        (lambda: NonVariable(host_fraction=-0.1), "host_fraction"),
    ],
)
def test_policies_out_of_range_are_named(make: Callable[[], object], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        make()


def test_a_redshift_column_that_does_not_exist_is_named() -> None:
    with pytest.raises(SimulationError, match=r"source 'test': host_policy.redshift 'redshift'.*params hold peak.*or None"):
        drawn(Supernova(), {"peak": np.zeros(4)}, 4)
