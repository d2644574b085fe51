"""The batch renderer against GalSim, and what any renderer must keep: flux, centre, orientation, linearity."""

import galsim
import numpy as np
import pytest
import torch
from builders import exposures
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from skyreel.errors import DataError
from skyreel.interfaces import PSF
from skyreel.simulate.render import grid_size, orient, render
from skyreel_psf.analytic import Gaussian, Moffat, gaussian, moffat
from skyreel_psf.empirical import Empirical

Array = NDArray[np.float64]
TIGHT = galsim.GSParams(folding_threshold=1e-4, maxk_threshold=1e-5, kvalue_accuracy=1e-7, xvalue_accuracy=1e-7)
SCALE = 0.27


def one(image: Array, centre: Array, size: int = 21, turn: int = 0, oversample: int = 2, **options: object) -> Array:
    """Stamp of a single source of unit flux behind a single basis image."""
    stamp = render(
        image[None],
        np.ones((1, 1, 1)),
        np.ones((1, 1)),
        np.asarray(centre)[None, None],
        [turn],
        size,
        oversample,
        len(image) // oversample,
        **options,  # type: ignore[arg-type]
    )
    return stamp[0, 0].double().numpy()


def lopsided(size: int = 48, oversample: int = 2) -> Array:
    """A PSF that tells all 8 orientations apart."""
    x = (np.arange(size * oversample) - (size * oversample - 1) / 2) / oversample
    image = gaussian(3.5, size, oversample)
    return image * (1 + 0.2 * np.tanh(x / 3) + 0.35 * np.tanh(x[:, None] / 2))


def galsim_stamp(profile: galsim.GSObject, centre: Array, size: int, method: str = "auto") -> Array:
    image = galsim.ImageD(size, size, scale=1.0)
    return profile.withGSParams(TIGHT).drawImage(image, offset=tuple(centre), method=method).array


@pytest.mark.parametrize("size", [21, 20, 15, 32])
@pytest.mark.parametrize("seeing", [0.8, 1.2, 2.0])
def test_moffat_and_gaussian_stars_match_galsim(size: int, seeing: float) -> None:
    rng = np.random.default_rng(size)
    width = seeing / SCALE
    grid = grid_size(size)
    for _ in range(3):
        centre = rng.uniform(-0.5, 0.5, 2)
        for image, truth in (
            (moffat(width, 4.2, grid, 2)[0], galsim.Moffat(4.2, fwhm=width)),
            (gaussian(width, grid, 2), galsim.Gaussian(fwhm=width)),
        ):
            expected = galsim_stamp(truth, centre, size)
            assert np.abs(one(image, centre, size) - expected).max() < 1e-4 * expected.max()


@pytest.mark.parametrize("psf", [Gaussian(), Moffat(), Empirical()], ids=["gaussian", "moffat", "empirical"])
def test_stars_of_every_family_match_galsim_drawing_the_same_image(psf: PSF) -> None:
    rng = np.random.default_rng(3)
    widths = rng.uniform(2.8, 7.5, (1, 6))
    weights = psf.coefficients(exposures(1, 6).replace(psf_fwhm=widths))
    centre = rng.uniform(-0.5, 0.5, (1, 6, 2))
    stamps = render(psf.basis(SCALE, 48, 2), weights, np.full((1, 6), 1000.0), centre, [0], 21, 2, 48)[0].double().numpy()
    fine = np.tensordot(weights[0], psf.basis(SCALE, 48, 4), axes=1)
    for stamp, image, at in zip(stamps, fine, centre[0], strict=True):
        truth = galsim.InterpolatedImage(galsim.ImageD(image, scale=1 / 4), flux=1000 * image.sum(), x_interpolant="quintic")
        expected = truth.drawImage(galsim.ImageD(21, 21, scale=1.0), offset=tuple(at), method="no_pixel").array
        assert np.abs(stamp - expected).max() < 2e-4 * expected.max()


@given(
    x=st.floats(-0.5, 0.5),
    y=st.floats(-0.5, 0.5),
    width=st.floats(2.8, 4.5),
    size=st.integers(15, 40),
    flux=st.floats(1, 1e6),
    oversample=st.integers(2, 4),
)
@settings(max_examples=25, deadline=None)
def test_flux_and_centroid_are_those_asked_for(x: float, y: float, width: float, size: int, flux: float, oversample: int) -> None:
    grid = grid_size(size)
    image = gaussian(width, grid, oversample)
    stamp = flux * one(image, np.array([x, y]), size, oversample=oversample)
    pixel = np.arange(size) - (size - 1) / 2
    # Half a stamp holds at least 3.6 sigma of the Gaussian; the pixel adds 0.29 px in quadrature.
    sigma = np.hypot(width / 2.35482, 0.2887)
    lost = 4 * np.exp(-0.5 * ((0.5 * size - 0.5) / sigma) ** 2)
    assert stamp.sum() == pytest.approx(flux, rel=1e-5 + lost)
    assert stamp.sum(axis=0) @ pixel / stamp.sum() == pytest.approx(x, abs=1e-4 + 10 * lost)
    assert stamp.sum(axis=1) @ pixel / stamp.sum() == pytest.approx(y, abs=1e-4 + 10 * lost)


@pytest.mark.parametrize("size", [20, 21])
@pytest.mark.parametrize("oversample", [1, 2, 3])
def test_a_centred_star_is_symmetric(size: int, oversample: int) -> None:
    stamp = one(gaussian(3.6, 48, oversample), np.zeros(2), size, oversample=oversample, dtype=torch.float64)
    for turned in (stamp[::-1], stamp[:, ::-1], stamp.T):
        np.testing.assert_allclose(turned, stamp, atol=1e-12)


def test_oversamplings_agree() -> None:
    centre = np.array([0.31, -0.44])
    coarse, fine, finest = (one(moffat(4.0, 4.2, 48, os)[0], centre, oversample=os) for os in (1, 2, 3))
    assert np.abs(fine - finest).max() < 1e-5 * finest.max()
    assert np.abs(coarse - finest).max() < 1e-3 * finest.max()


def test_each_orientation_turns_the_psf_and_not_the_position() -> None:
    image = lopsided()
    centre = np.array([0.0, 0.0])
    upright = one(image, centre)
    for turn in range(8):
        np.testing.assert_allclose(one(image, centre, turn=turn), orient(upright, turn), atol=1e-6 * upright.max())
    assert len({orient(upright, turn).tobytes() for turn in range(8)}) == 8
    # A shifted star stays where it was put.
    away = np.array([3.0, -2.0])
    for turn in range(8):
        expected = np.roll(orient(one(image, centre, 31), turn), (-2, 3), axis=(0, 1))[5:-5, 5:-5]
        np.testing.assert_allclose(one(image, away, turn=turn), expected, atol=1e-5 * upright.max())


def test_objects_of_a_batch_keep_their_own_orientation_and_coefficients() -> None:
    rng = np.random.default_rng(5)
    n, epochs = 13, 4
    basis = np.stack([lopsided(), gaussian(5.0, 48, 2)])
    weights, flux = rng.uniform(0, 1, (n, epochs, 2)), rng.uniform(0, 100, (n, epochs))
    centre, turns = rng.uniform(-1, 1, (n, epochs, 2)), rng.integers(0, 8, n)
    batch = render(basis, weights, flux, centre, turns, 21, 2, 48).double().numpy()
    for k in range(n):
        for t in range(epochs):
            alone = flux[k, t] * one(np.tensordot(weights[k, t], basis, axes=1), centre[k, t], turn=turns[k])
            np.testing.assert_allclose(batch[k, t], alone, atol=2e-6 * max(alone.max(), 1e-3))


@given(factor=st.floats(0, 1e4))
@settings(max_examples=10, deadline=None)
def test_linear_in_flux(factor: float) -> None:
    basis, weights = lopsided()[None], np.ones((1, 1, 1))
    centre = np.array([[[0.2, 0.1]]])
    once = render(basis, weights, [[1.0]], centre, [2], 21, 2, 48, dtype=torch.float64)
    scaled = render(basis, weights, [[factor]], centre, [2], 21, 2, 48, dtype=torch.float64)
    torch.testing.assert_close(scaled, factor * once, rtol=1e-10, atol=1e-12)


def test_single_precision_is_enough() -> None:
    image, centre = moffat(3.3, 4.2, 48, 2)[0], np.array([0.4, -0.3])
    exact = one(image, centre, dtype=torch.float64)
    assert np.abs(one(image, centre) - exact).max() < 2e-6 * exact.max()


def test_same_bytes_again_and_whether_or_not_the_basis_is_kept() -> None:
    rng = np.random.default_rng(2)
    basis = rng.random((3, 96, 96))
    frozen = basis.copy()
    frozen.flags.writeable = False
    rest = (rng.random((9, 5, 3)), rng.random((9, 5)), rng.uniform(-1, 1, (9, 5, 2)), rng.integers(0, 8, 9), 21, 2, 48)
    first = render(basis, *rest)
    for again in (basis, frozen, frozen):
        assert render(again, *rest).numpy().tobytes() == first.numpy().tobytes()
    # A basis that can be written to is read anew.
    basis *= 2
    torch.testing.assert_close(render(basis, *rest), 2 * first)


def test_sources_far_outside_give_no_light_and_none_wraps_around() -> None:
    image = moffat(4.0, 4.2, 48, 2)[0]
    assert not one(image, np.array([40.0, 0.0])).any()
    assert not one(image, np.array([0.0, -48.0])).any()
    near = one(image, np.array([13.0, 0.0]))
    expected = galsim_stamp(galsim.Moffat(4.2, fwhm=4.0), np.array([13.0, 0.0]), 21)
    assert np.abs(near - expected).max() < 1e-4 * expected.max()
    # The side away from the source stays dark.
    assert np.abs(near[:, :8]).max() < 1e-3 * near.max()


@pytest.mark.parametrize("angle", [0.0, 0.6, 2.1])
def test_trails_match_galsim(angle: float) -> None:
    length, centre = 5.0, np.array([0.2, -0.3])
    vector = length * np.array([np.cos(angle), np.sin(angle)])
    image = moffat(4.0, 4.2, 48, 2)[0]
    stamp = one(image, centre, trail=vector[None, None])
    line = galsim.Box(length, 1e-3).rotate(angle * galsim.radians)
    expected = galsim_stamp(galsim.Convolve([galsim.Moffat(4.2, fwhm=4.0), line]), centre, 21)
    assert np.abs(stamp - expected).max() < 5e-4 * expected.max()
    np.testing.assert_allclose(one(image, centre, trail=np.zeros((1, 1, 2))), one(image, centre), atol=1e-7)


@given(blur=st.floats(0, 2.5), x=st.floats(-12, 12), y=st.floats(-2, 2))
@settings(max_examples=10, deadline=None)
def test_a_blurred_source_is_that_source_behind_a_gaussian(blur: float, x: float, y: float) -> None:
    centre = np.array([x, y])
    stamp = one(moffat(4.0, 4.2, 48, 2)[0], centre, blur=[blur])
    truth = galsim.Moffat(4.2, fwhm=4.0)
    expected = galsim_stamp(galsim.Convolve([truth, galsim.Gaussian(sigma=blur)]) if blur else truth, centre, 21)
    assert np.abs(stamp - expected).max() < 1e-4 * galsim_stamp(truth, np.zeros(2), 21).max()


def test_blur_by_object_or_by_frame_leaves_the_host_alone() -> None:
    rng = np.random.default_rng(6)
    parts = (lopsided()[None], np.ones((3, 2, 1)), rng.random((3, 2)), rng.uniform(-1, 1, (3, 2, 2)), [0, 5, 7], 21, 2, 48)
    blur = np.array([0.0, 1.0, 2.0])
    by_object, by_frame = render(*parts, blur=blur), render(*parts, blur=np.repeat(blur[:, None], 2, axis=1))
    assert torch.equal(by_object, by_frame)
    assert torch.equal(by_object[0], render(*parts)[0])
    assert (by_object[1:].amax(dim=(2, 3)) < 0.97 * render(*parts)[1:].amax(dim=(2, 3))).all()
    behind = {"host_image": rng.random((3, 1, 96, 96)), "host_flux": np.ones((3, 2))}
    torch.testing.assert_close(render(*parts, **behind, blur=blur) - by_object, render(*parts, **behind) - render(*parts))


def test_hosts_match_galsim_in_their_band_and_with_their_shift() -> None:
    image = moffat(4.0, 4.2, 48, 2)[0]
    # Gaussian galaxies of 3 and 5 px integrated over sub-pixels; the second sits one sub-pixel (1/2 px) to the right.
    hosts = np.stack([gaussian(2 * 3.0, 96, 1), np.roll(gaussian(2 * 5.0, 96, 1), 1, axis=1)])[None]
    shift = np.array([[0.3, 0.0], [-0.1, 0.2], [0.0, 0.0]])
    stamps = render(
        image[None],
        np.ones((1, 3, 1)),
        np.zeros((1, 3)),
        np.zeros((1, 3, 2)),
        [0],
        21,
        2,
        48,
        host_image=hosts,
        host_flux=[[2.0, 3.0, 0.0]],
        host_band=[[0, 1, 0]],
        host_shift=shift[None],
    )
    for k, (width, flux, at) in enumerate([(3.0, 2.0, shift[0]), (5.0, 3.0, shift[1] + (0.5, 0))]):
        galaxy = galsim.Convolve([galsim.Gaussian(fwhm=width, flux=flux), galsim.Moffat(4.2, fwhm=4.0)])
        expected = galsim_stamp(galaxy, at, 21)
        assert np.abs(stamps[0, k].double().numpy() - expected).max() < 1e-4 * expected.max()
    assert not stamps[0, 2].any()


def test_an_empty_host_adds_nothing_to_the_source() -> None:
    rng = np.random.default_rng(4)
    parts = (lopsided()[None], np.ones((3, 2, 1)), rng.random((3, 2)), rng.uniform(-1, 1, (3, 2, 2)), [0, 5, 7], 21, 2, 48)
    galaxies = rng.random((3, 1, 96, 96))
    alone = render(*parts)
    assert torch.equal(render(*parts, host_image=galaxies, host_flux=np.zeros((3, 2))), alone)
    both = render(*parts, host_image=galaxies, host_flux=np.ones((3, 2)))
    dark = list(parts)
    dark[2] = np.zeros((3, 2))
    torch.testing.assert_close(both, alone + render(*dark, host_image=galaxies, host_flux=np.ones((3, 2))))


def test_grids_are_large_enough_and_factorise() -> None:
    assert grid_size(21) == 48
    for size in range(7, 257):
        grid = grid_size(size)
        assert grid >= 2 * size + 6
        assert grid % 2 == 0
        rest = grid
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        assert rest == 1


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"coefficients": np.ones((2, 3, 5))}, "render: psf_basis"),
        ({"flux": np.ones((2, 4))}, "render: coefficients"),
        ({"centre": np.zeros((2, 3))}, "render: centre"),
        ({"orientation": [0]}, "render: orientation"),
        ({"grid": 40}, "render: psf_basis"),
        ({"trail": np.zeros((2, 3))}, "render: trail"),
        ({"blur": np.zeros(3)}, "render: blur"),
        ({"blur": np.zeros((3, 2))}, "render: blur"),
        ({"host_image": np.zeros((2, 1, 9, 9)), "host_flux": np.ones((2, 3))}, "render: host_image"),
    ],
)
def test_shapes_that_do_not_fit_are_named(change: dict[str, object], text: str) -> None:
    given = {
        "psf_basis": np.ones((1, 96, 96)),
        "coefficients": np.ones((2, 3, 1)),
        "flux": np.ones((2, 3)),
        "centre": np.zeros((2, 3, 2)),
        "orientation": [0, 1],
        "size": 21,
        "oversample": 2,
        "grid": 48,
    }
    with pytest.raises(DataError, match=text):
        render(**{**given, **change})  # type: ignore[arg-type]
