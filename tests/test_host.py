"""Host galaxies: images against GalSim, populations against what they are drawn from."""

import galsim
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import kstest

from skyreel.errors import BandError, ConfigError, DataError
from skyreel.simulate.render import grid_size, render
from skyreel_galsim.host import GalSimHost, physical_r50
from skyreel_galsim.images import profile
from skyreel_psf.analytic import moffat

Array = NDArray[np.float64]
SCALE = 0.27
BETA = 4.2


def params(r50: float, frac_dev: float, axis_ratio: float = 0.6, angle: float = 0.5, n: int = 1) -> dict[str, Array]:
    columns = {"mag_g": 20.0, "redshift": 0.2, "r50_exp": r50, "r50_dev": r50, "axis_ratio": axis_ratio, "position_angle": angle}
    return {name: np.full(n, value) for name, value in {**columns, "frac_dev": frac_dev}.items()}


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
    truth = galsim.Convolve([profile(r50 / SCALE, r50 / SCALE, frac_dev, 0.6, 0.5), psf], gsparams=accuracy)
    expected = truth.drawImage(galsim.ImageD(21, 21, scale=1.0), offset=tuple(offset + shift)).array
    stamp = behind_seeing(params(r50, frac_dev), offset, shift, seeing)
    assert np.abs(stamp - expected).max() < 1e-3 * expected.max()
    assert stamp.sum() == pytest.approx(expected.sum(), rel=5e-4)


@pytest.mark.parametrize("size", [20, 15, 31])
def test_other_stamp_sizes_match_galsim(size: int) -> None:
    offset, shift = np.array([1.3, -2.1]), np.array([0.2, 0.4])
    truth = galsim.Convolve([profile(1.0 / SCALE, 1.0 / SCALE, 1.0, 0.6, 0.5), galsim.Moffat(BETA, fwhm=1.2 / SCALE)])
    expected = truth.drawImage(galsim.ImageD(size, size, scale=1.0), offset=tuple(offset + shift)).array
    assert np.abs(behind_seeing(params(1.0, 1.0), offset, shift, 1.2, size) - expected).max() < 1e-3 * expected.max()


@pytest.mark.parametrize("offset", [(12.0, 3.0), (25.0, 5.0), (34.0, 0.0), (50.0, -20.0), (-200.0, 0.0)])
@pytest.mark.parametrize("frac_dev", [0.0, 1.0])
def test_galaxies_at_and_beyond_the_edge_match_galsim(offset: tuple[float, float], frac_dev: float) -> None:
    truth = galsim.Convolve([profile(2.0 / SCALE, 2.0 / SCALE, frac_dev, 0.6, 0.5), galsim.Moffat(BETA, fwhm=1.3 / SCALE)])
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


def test_half_light_radius_is_along_the_major_axis() -> None:
    image = GalSimHost().image(params(1.0, 0.0, axis_ratio=0.5, angle=0.0), np.zeros((1, 2)), "g", SCALE, 48, 2)[0, 0]
    y, x = (np.indices(image.shape) - 47.5) / 2 * SCALE
    assert image[np.hypot(x, y / 0.5) < 1.0].sum() == pytest.approx(0.5, abs=0.01)


def test_an_object_is_the_same_in_any_batch() -> None:
    host = GalSimHost()
    table = host.sample(6, np.random.default_rng(1))
    offset = host.offsets(table, np.random.default_rng(2))
    together = host.image(table, offset, "gr", SCALE, 48, 2)
    alone = host.image({name: column[4:5] for name, column in table.items()}, offset[4:5], "gr", SCALE, 48, 2)
    assert alone.tobytes() == together[4:5].tobytes()


# --------------------------------------------------------------------------------------------- populations


def test_counts_sizes_and_types_follow_their_laws() -> None:
    n = 20_000
    host = GalSimHost(mag_min=18, mag_max=22)
    table = host.sample(n, np.random.default_rng(1))
    steps = 10 ** (0.4 * (np.array([18, 22]) - 22))
    rank = (10 ** (0.4 * (table["mag_g"] - 22)) - steps[0]) / (steps[1] - steps[0])
    assert kstest(rank, "uniform").pvalue > 1e-3
    assert (table["frac_dev"] == 0).mean() == pytest.approx(0.55, abs=5 * np.sqrt(0.25 / n))
    assert (table["frac_dev"] == 1).mean() == pytest.approx(0.25, abs=5 * np.sqrt(0.19 / n))
    mean = np.log10(2.2) - 0.136 * (host.mag(table, ["r"])[:, 0] - 17.77)
    residual = (np.log10(table["r50_exp"]) - mean) / 0.2
    assert kstest(residual, "norm").pvalue > 1e-3
    axis = (table["axis_ratio"] - 0.2) / 0.8
    assert kstest(axis, "beta", args=(2, 1.2)).pvalue > 1e-3
    assert kstest(table["position_angle"] / np.pi, "uniform").pvalue > 1e-3


def test_a_given_redshift_fixes_luminosity_and_size() -> None:
    n = 5000
    host = GalSimHost()
    z = np.where(np.arange(n) % 2, 0.3, np.nan)
    table = host.sample(n, np.random.default_rng(2), z)
    tied = np.isfinite(z)
    assert (table["redshift"][tied] == 0.3).all()
    assert np.unique(table["redshift"][~tied]).size > 2000
    # H0 = 70, Omega_m = 0.3: luminosity distance 1553 Mpc at z = 0.3 (Hogg 1999, astro-ph/9905116, eq. 21).
    modulus = 5 * np.log10(1553.0) + 25
    absolute = host.mag(table, ["r"])[tied, 0] - modulus
    assert kstest((absolute + 22) / 3, "uniform").pvalue > 1e-3
    kpc = table["r50_exp"][tied] * 1553e3 / 1.3**2 * np.pi / 180 / 3600
    median, scatter = physical_r50(absolute, table["frac_dev"][tied])
    assert kstest(np.log(kpc / median) / scatter, "norm").pvalue > 1e-3


def test_physical_sizes_are_those_of_shen_2003() -> None:
    median, scatter = physical_r50(np.array([-20.52, -22.0, -22.0]), np.array([0.0, 0.0, 1.0]))
    # Late types at M0: 10^(0.084 x 20.52 + 0.32 log10 2 - 1.31) = 3.24 kpc with the mean of both dispersions.
    assert median[0] == pytest.approx(3.24, abs=0.01)
    assert scatter[0] == pytest.approx(0.365)
    assert median[2] == pytest.approx(10 ** (0.24 * 22 - 4.63))
    assert scatter[1] < 0.3


def test_old_stars_make_galaxies_redder_and_colours_are_those_of_galsim() -> None:
    host = GalSimHost()
    table = {name: np.concatenate([a, b]) for (name, a), b in zip(params(1, 0.0).items(), params(1, 1.0).values(), strict=True)}
    mags = host.mag(table, list("ugrizy"))
    assert (np.diff(mags, axis=1) < 0).all()
    assert (mags[1, 1] - mags[1, 2]) > (mags[0, 1] - mags[0, 2]) + 0.3
    np.testing.assert_allclose(mags[:, 1], 20.0)
    sed = galsim.SED("CWW_E_ext.sed", wave_type="Ang", flux_type="flambda").atRedshift(0.2)
    g, i = (sed.calculateMagnitude(galsim.Bandpass(f"LSST_{band}.dat", "nm").withZeropoint("AB")) for band in "gi")
    assert mags[1, 1] - mags[1, 3] == pytest.approx(g - i, abs=1e-6)
    with pytest.raises(BandError, match="host galsim in band 'w'"):
        host.mag(table, ["g", "w"])


def test_offsets_follow_the_exponential_light() -> None:
    n = 20_000
    galaxy = params(2.0, 0.0, axis_ratio=0.4, angle=0.8, n=n)
    offset = GalSimHost().offsets(galaxy, np.random.default_rng(6))
    turned = offset @ np.array([[np.cos(0.8), -np.sin(0.8)], [np.sin(0.8), np.cos(0.8)]])
    radius = np.hypot(turned[:, 0], turned[:, 1] / 0.4) / (2.0 / 1.67835)
    assert kstest(radius, "gamma", args=(2,)).pvalue > 1e-3
    assert (radius < 1.67835).mean() == pytest.approx(0.5, abs=5 * np.sqrt(0.25 / n))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: GalSimHost(mag_min=24), "host.mag_min, mag_max"),
        (lambda: GalSimHost(abs_mag_max=-23), "host.abs_mag_min, abs_mag_max"),
        (lambda: GalSimHost(axis_ratio_min=0), "host.axis_ratio_min"),
        (lambda: GalSimHost(count_slope=0), "host.count_slope"),
        (lambda: GalSimHost(disc_fraction=0.9), "host.disc_fraction"),
    ],
)
def test_options_out_of_range_are_named(make: object, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        make()  # type: ignore[operator]


def test_redshifts_must_be_positive() -> None:
    with pytest.raises(DataError, match="host: redshift"):
        GalSimHost().sample(2, np.random.default_rng(0), np.array([0.1, 0.0]))
