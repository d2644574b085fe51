"""Point-spread functions: widths, fluxes and shapes of what the basis delivers."""

import numpy as np
import pytest
from builders import exposures, movies
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import least_squares

from skyreel.errors import ConfigError, DataError, PluginError
from skyreel.exposures import Exposures
from skyreel.interfaces import PSF
from skyreel.photometry.widths import gaussian_fit_fwhm
from skyreel.seeding import Seeds
from skyreel.simulate.psf_basis import WidthBasis
from skyreel.simulate.render import grid_size, render
from skyreel_psf.analytic import Gaussian, Moffat, gaussian, moffat
from skyreel_psf.empirical import Empirical
from skyreel_psf.shared import shape_draws

FAMILIES = [Gaussian(), Moffat(), Empirical()]
NAMES = ["gaussian", "moffat", "empirical"]
SIZE, OVERSAMPLE, SCALE = 48, 2, 0.27
Array = NDArray[np.float64]


def with_widths(widths: Array) -> Exposures:
    return exposures(1, len(widths)).replace(psf_fwhm=widths[None])


def delivered(psf: PSF, widths: Array, seeds: Seeds | None = None, size: int = SIZE, oversample: int = OVERSAMPLE) -> Array:
    """Images (W, M, M) of the widths asked for."""
    return np.tensordot(psf.coefficients(with_widths(widths), seeds)[0], psf.basis(SCALE, size, oversample), axes=1)


def elliptical_fit(stamp: Array) -> tuple[float, float]:
    """Width [px] and 1 - b/a of an elliptical Gaussian plus a constant, unweighted, r < 8 px: how the data were measured."""
    y, x = np.indices(stamp.shape) - (len(stamp) - 1) / 2
    used = np.hypot(x, y) < 8

    def misfit(p: Array) -> Array:
        dx, dy = (x - p[1])[used], (y - p[2])[used]
        return p[0] * np.exp(-0.5 * (p[3] * dx**2 + p[4] * dy**2 + 2 * p[5] * dx * dy)) + p[6] - stamp[used]

    found = least_squares(misfit, [stamp.max(), 0, 0, 0.3, 0.3, 0, 0], method="lm").x
    sigma = 1 / np.sqrt(np.linalg.eigvalsh([[found[3], found[5]], [found[5], found[4]]]))
    return 2.35482 * float(np.sqrt(sigma.prod())), float(1 - sigma.min() / sigma.max())


@pytest.mark.parametrize("psf", FAMILIES, ids=NAMES)
def test_the_width_asked_for_is_the_width_of_a_gaussian_fit_to_the_stamp(psf: PSF) -> None:
    rng = np.random.default_rng(1)
    widths = np.concatenate([[2.8, 7.5], rng.uniform(2.8, 7.5, 10)])
    stamps = render(
        psf.basis(SCALE, grid_size(21), 2),
        psf.coefficients(with_widths(widths)),
        np.ones((1, 12)),
        rng.uniform(-0.5, 0.5, (1, 12, 2)),
        [3],
        21,
        2,
        grid_size(21),
    )
    measured = [elliptical_fit(stamp.double().numpy())[0] for stamp in stamps[0]]
    np.testing.assert_allclose(measured, widths, rtol=0.03)


@pytest.mark.parametrize("psf", FAMILIES, ids=NAMES)
def test_width_is_exact_on_the_oversampled_image_over_the_whole_range(psf: PSF) -> None:
    widths = np.linspace(psf.fwhm_min, psf.fwhm_max, 60)
    np.testing.assert_allclose(gaussian_fit_fwhm(delivered(psf, widths), OVERSAMPLE), widths, rtol=1e-3)


@given(width=st.floats(1.5, 12), beta=st.floats(2.5, 6))
@settings(max_examples=25, deadline=None)
def test_moffat_encloses_the_analytic_flux(width: float, beta: float) -> None:
    size = 96
    image = moffat(width, beta, size, 1)[0]
    y, x = np.indices(image.shape) - (size - 1) / 2
    inside = np.hypot(x, y) < 40
    alpha = 0.5 * width / np.sqrt(2 ** (1 / beta) - 1)
    expected = 1 - (1 + (40 / alpha) ** 2) ** (1 - beta)
    # The circle's edge cuts pixels: their share of the light is what may differ.
    edge = image[(np.hypot(x, y) > 39) & (np.hypot(x, y) < 41)].sum()
    assert abs(image[inside].sum() - expected) < 1e-5 + 0.2 * edge


@pytest.mark.parametrize("psf", FAMILIES, ids=NAMES)
def test_unit_flux_over_the_plane(psf: PSF) -> None:
    widths = np.array([2.8, 3.7, 4.5, 6.0])
    total = delivered(psf, widths, size=160, oversample=1).sum(axis=(1, 2))
    # Moffat wings of beta 4.2 leave 2e-4 outside a radius of 80 px at 6 px.
    np.testing.assert_allclose(total, 1, atol=1.5e-3)
    shaped = delivered(psf, widths, Seeds(1), size=160, oversample=1).sum(axis=(1, 2))
    np.testing.assert_allclose(shaped, total, atol=5e-4)


@given(width=st.floats(1.6, 15))
@settings(max_examples=15, deadline=None)
def test_basis_reproduces_profiles_between_its_nodes_on_any_sampling(width: float) -> None:
    grid = np.geomspace(1.4, 17, 70)
    basis = WidthBasis.fit(grid, np.stack([gaussian(w, 48, 2) for w in grid])[None], tolerance=2e-4)
    weights = basis.coefficients(np.array([[width]]), np.ones((1, 1), bool), "test")[0, 0]
    for size, oversample in ((48, 2), (21, 3), (30, 1)):
        images = basis.images(np.stack([gaussian(w, size, oversample) for w in grid])[None])
        truth = gaussian(width, size, oversample)
        assert np.abs(np.tensordot(weights, images, axes=1) - truth).max() < 4e-4 * truth.max()
    assert len(weights) < 16


def test_basis_refuses_widths_that_do_not_increase() -> None:
    with pytest.raises(ConfigError, match="increasing widths"):
        WidthBasis.fit(np.array([2.0, 1.0]), np.ones((1, 2, 4, 4)))


@pytest.mark.parametrize("psf", FAMILIES, ids=NAMES)
def test_widths_outside_the_range_are_named_unless_masked(psf: PSF) -> None:
    wide = with_widths(np.array([3.0, 60.0]))
    with pytest.raises(DataError, match=r"exposures\.psf_fwhm: 60 px, the basis covers .* fwhm_max"):
        psf.coefficients(wide)
    masked = wide.replace(mask=np.array([[True, False]]), psf_fwhm=np.array([[3.0, np.nan]]))
    assert np.isfinite(psf.coefficients(masked)).all()


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Gaussian(fwhm_min=0.5), "fwhm_min, fwhm_max"),
        (lambda: Moffat(beta=1.0), "psf.beta"),
        (lambda: Moffat(ellipticity=0.5), "psf.ellipticity"),
        (lambda: Empirical(fwhm_min=9, fwhm_max=3), "fwhm_min, fwhm_max"),
        (lambda: Empirical(diversity=-1), "psf.diversity"),
    ],
)
def test_options_out_of_range_are_named(make: object, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        make()  # type: ignore[operator]


def test_moffat_stars_of_one_exposure_and_ccd_share_their_shape() -> None:
    psf = Moffat()
    e = exposures(4, 3).replace(
        psf_fwhm=np.full((4, 3), 4.0),
        exposure_id=np.tile([11, 12, 13], (4, 1)),
        field=np.ones((4, 3)),
        ccd=np.array([[1] * 3, [1] * 3, [2] * 3, [1] * 3]),
    )
    shape = psf.coefficients(e, Seeds(5, "train/cepheid", 3))
    np.testing.assert_array_equal(shape, psf.coefficients(e, Seeds(5, "valid/galaxy", 9)))
    np.testing.assert_array_equal(shape[0], shape[1])
    assert np.abs(shape[0, 0] - shape[0, 1]).max() > 1e-4
    assert np.abs(shape[0, 0] - shape[2, 0]).max() > 1e-4
    # What a CCD adds is the same in all exposures.
    np.testing.assert_allclose(shape[0] - shape[2], np.broadcast_to(shape[0, 0] - shape[2, 0], shape[0].shape), atol=1e-12)
    assert np.abs(shape - psf.coefficients(e, Seeds(6))).max() > 1e-4


def test_shape_draws_have_the_scatter_asked_for() -> None:
    n = 20_000
    e = exposures(n, 1).replace(exposure_id=np.arange(n)[:, None], field=np.arange(n)[:, None], ccd=np.ones((n, 1)))
    draws = shape_draws(e, Seeds(1), np.array([3.0, 0.0]), np.array([4.0, 1.0]))[:, 0]
    np.testing.assert_allclose(draws.std(axis=0), [5.0, 1.0], rtol=5 / np.sqrt(2 * n))
    assert abs(np.corrcoef(draws.T)[0, 1]) < 5 / np.sqrt(n)


def test_moffat_stars_have_the_ellipticity_asked_for() -> None:
    n = 300
    e = with_widths(np.full(n, 5.0)).replace(exposure_id=np.arange(n)[None], field=np.arange(n)[None])
    psf = Moffat(ellipticity=0.08, ellipticity_ccd=0.0)
    images = np.tensordot(psf.coefficients(e, Seeds(2))[0], psf.basis(SCALE, 24, 1), axes=1)
    found = np.array([elliptical_fit(image)[1] for image in images])
    # |e| is Rayleigh: the mean square of n draws scatters by 1 / sqrt(n).
    assert np.mean(found**2) == pytest.approx(0.08**2, rel=5 / np.sqrt(n))


def test_sheared_moffat_follows_galsim_to_first_order() -> None:
    import galsim

    profile = moffat(4.0, 4.2, 33, 1)
    round_star = galsim.Moffat(4.2, fwhm=4.0)
    for g1, g2, limit in ((0.01, 0.0, 3e-4), (0.0, 0.01, 3e-4), (0.03, -0.02, 4e-3)):
        truth = round_star.shear(g1=g1, g2=g2).drawImage(nx=33, ny=33, scale=1, dtype=float).array
        assert np.abs(profile[0] + g1 * profile[1] + g2 * profile[2] - truth).max() < limit * truth.max()


@pytest.mark.parametrize("psf", [Gaussian(), Moffat()], ids=["gaussian", "moffat"])
def test_analytic_profiles_cannot_be_measured_on_stars(psf: PSF) -> None:
    assert psf.orientations == 8
    with pytest.raises(PluginError, match=r"measuring PSF (Gaussian|Moffat) on stars.*psf=empirical"):
        psf.fitted(movies(), SCALE)
