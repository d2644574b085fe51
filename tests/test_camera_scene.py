"""What makes stamps real: registered images, neighbours, errors of the reported conditions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skyreel.errors import ConfigError
from skyreel.hydra_glue import compose
from skyreel.interfaces import PixelBits
from skyreel.seeding import Seeds
from skyreel.simulate.device import available, device
from skyreel.simulate.neighbours import BRIGHTEST, FAINTEST, GALAXIES, STARS, cumulative, density, draw, radii
from skyreel.simulate.options import SimulationOptions
from skyreel.simulate.resampling import interpolate, lanczos, margin, register, weights
from skyreel.simulate.run import build, simulation_config
from skyreel.simulate.scene import cuts, true_conditions

KERNELS = ("lanczos2", "lanczos3")


def simulation(*overrides: str):
    return build(simulation_config(compose("simulate", ["survey.n_fields=20", *overrides])))


@pytest.mark.parametrize("kernel", KERNELS)
@given(shift=st.floats(-0.5, 0.5))
@settings(max_examples=25, deadline=None)
def test_interpolation_keeps_a_flat_sky_and_moves_a_smooth_star(kernel, shift):
    size, edge = 15, margin(kernel)
    rows = weights(np.array(shift), size, kernel)
    np.testing.assert_allclose(rows.sum(axis=1), 1.0, atol=1e-6)
    axis = np.arange(size + 2 * edge) - edge - (size - 1) / 2
    line = np.exp(-0.5 * (axis / 2.0) ** 2)
    expected = np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2 + shift) / 2.0) ** 2)
    assert np.abs(rows @ line - expected).max() < 0.02


def test_no_shift_leaves_the_pixels_as_they_are():
    np.testing.assert_allclose(weights(np.array(0.0), 9, "lanczos2")[:, 2:-2], np.eye(9), atol=1e-7)
    assert lanczos(np.array([0.0, 1.0, 2.0, 2.5]), 2) == pytest.approx([1, 0, 0, 0], abs=1e-12)


@pytest.mark.parametrize("kernel", KERNELS)
def test_noise_of_registered_images_is_that_of_the_kernel(kernel):
    """Variance and correlation of white noise, averaged over random shifts, within 2 %: sums of products of the weights."""
    rng = np.random.default_rng(0)
    n, size, edge = 10_000, 9, margin(kernel)
    shift = rng.uniform(-0.5, 0.5, (n, 1, 2))
    noise = torch.from_numpy(rng.normal(0, 10, (n, 1, 1, size + 2 * edge, size + 2 * edge)).astype(np.float32))
    image = interpolate(noise, shift, size, kernel)[:, 0, 0].numpy().astype(float)
    one_axis = [weights(shift[:, 0, k], size, kernel).astype(float) for k in (0, 1)]
    products = [np.einsum("nij,nkj->nik", w, w) for w in one_axis]

    def theory(dy: int, dx: int) -> float:
        along = [np.mean(np.stack([p[:, i, i + d] for i in range(size - d)], 1), axis=1) for p, d in zip(products, (dx, dy), strict=True)]
        return 100 * float(np.mean(along[0] * along[1]))

    def found(dy: int, dx: int) -> float:
        return float(np.mean(image[:, : size - dy, : size - dx] * image[:, dy:, dx:]))

    variance = theory(0, 0)
    assert found(0, 0) == pytest.approx(variance, rel=0.02)
    for lag in ((0, 1), (1, 0), (1, 1), (0, 2)):
        assert found(*lag) == pytest.approx(theory(*lag), abs=0.02 * variance)
    if kernel == "lanczos2":  # real supernovae of HiTS: 0.52 to 1.02 (5 to 95 %), median 0.73, and 0.146, 0.145 at one pixel
        assert 0.52 < variance / 100 < 0.85
        assert 0.05 < theory(0, 1) / variance < 0.25
        assert theory(0, 2) / variance < 0


def test_registered_stamps_are_whole_adu_and_flags_spread():
    pixels = torch.full((1, 1, 1, 13, 13), 100.0)
    bits = torch.zeros(pixels.shape, dtype=torch.uint8)
    bits[..., 6, 6] = PixelBits.SATURATED
    pixels[..., 6, 6] = 1000.0
    image, flags = register(pixels, bits, np.array([[[0.5, 0.0]]]), 9, "lanczos2")
    assert torch.equal(image, torch.round(image))
    assert image.shape == flags.shape == (1, 1, 1, 9, 9)
    row = flags[0, 0, 0, 4]
    assert (row[3:5] == PixelBits.SATURATED).all()  # half a pixel to either side, and the negative lobes
    assert int((flags > 0).sum()) == 4
    still, none = register(pixels, torch.zeros_like(bits), np.zeros((1, 1, 2)), 9, "lanczos2")
    assert torch.equal(still, pixels[..., 2:-2, 2:-2])
    assert not none.any()


def test_registration_goes_by_object_and_not_by_class():
    sim = simulation("source=[supernova,non_variable]")
    for label in ("supernova", "non_variable"):
        movies = sim.block("test", label, 0)
        registered = movies.truth.params["registered"].astype(bool)
        assert 16 < registered.sum() < 48
        offset = movies.truth.centre - movies.truth.centre[:, :1]
        still = np.abs(np.where(movies.frame_mask[..., None], offset, 0)).max(axis=(1, 2)) == 0
        assert (still == registered).all()


def test_registered_images_have_the_light_and_less_noise():
    """Faint stars: the same counts in both kinds, a background that is 0.4 to 0.9 times as variable."""
    sim = simulation("source=[non_variable]", "source.non_variable.mag_min=17", "source.non_variable.mag_max=19", "simulation.neighbours=0")
    sim_movies = sim.block("test", "non_variable", 0)
    truth, registered = sim_movies.truth, sim_movies.truth.params["registered"].astype(bool)
    light = sim_movies.pixels[:, :, 0].astype(float) - truth.exposures.sky[..., None, None]
    fine = sim_movies.frame_mask & (truth.exposures.psf_fwhm < 4.5) & (truth.flux > 3000)
    ratio = light.sum(axis=(2, 3)) / truth.flux
    for chosen in (registered, ~registered):
        assert np.median(ratio[chosen][fine[chosen]]) == pytest.approx(0.99, abs=0.02)
    noise = truth.exposures.sky / truth.exposures.gain + (truth.exposures.read_noise / truth.exposures.gain) ** 2
    corner = light[:, :, :3, :3].reshape(*light.shape[:2], -1).var(axis=2, ddof=1) / noise
    kinds = [np.mean(corner[chosen][fine[chosen]]) for chosen in (registered, ~registered)]
    assert 0.4 < kinds[0] / kinds[1] < 0.9


def test_neighbours_follow_the_number_counts():
    n, half = 40_000, 3.0
    found = draw(n, ("g", "r"), half, 1.0, Seeds(0, "test"))
    area = (2 * half / 3600) ** 2
    assert found.number.mean() == pytest.approx(sum(density()) * area, rel=0.03)
    g = found.mag[..., 0][np.isfinite(found.mag[..., 0])]
    assert g.min() >= BRIGHTEST
    assert g.max() <= FAINTEST
    for limit in (23.0, 24.0, 25.0):
        expected = sum(cumulative(limit, law, at) - cumulative(BRIGHTEST, law, at) for law, at in ((STARS, 20.0), (GALAXIES, 24.0)))
        assert (g < limit).sum() / n == pytest.approx(expected * area, rel=0.06)
    # Visible on stacks of real stamps (brighter than about 24): 10.5 % of the constant stars.
    whole = draw(n, ("g",), 0.5 * 21 * 0.27, 1.0, Seeds(1, "test"))
    assert 0.07 < np.mean((whole.mag[..., 0] < 24).any(axis=1)) < 0.16
    assert np.abs(found.offset).max() <= half
    assert draw(5, ("g",), half, 0.0, Seeds(0)) is None
    assert radii(np.array([24.0, 22.0])) == pytest.approx([0.5, 0.5 * 10**0.16])


def test_neighbours_are_in_the_pixels_and_in_the_truth():
    bare, crowded = (
        simulation("source=[asteroid]", "source.asteroid.host_fraction=0", f"simulation.neighbours={k}").block("test", "asteroid", 0)
        for k in (0, 20)
    )
    assert not bare.truth.params["neighbours"].any()
    assert crowded.truth.params["neighbours"].mean() > 4
    more = crowded.pixels.astype(float).sum(axis=(2, 3, 4)) - bare.pixels.astype(float).sum(axis=(2, 3, 4))
    assert np.median(more[bare.frame_mask]) > 300


def test_errors_of_the_conditions_are_shared_as_named():
    reported = simulation("source=[non_variable]").survey.sample(400, Seeds(0, "a"))
    names = {"sky_common": 0.02, "sky_offset": 0.0, "sky_jitter": 0.0, "sky_level": 0.9}
    common = true_conditions(reported, SimulationOptions(**names), Seeds(0, "a")).sky / reported.sky
    ids, first = np.unique(reported.exposure_id[reported.mask], return_index=True)
    by_exposure = common[reported.mask][first]
    assert by_exposure.mean() == pytest.approx(0.9, abs=0.002)
    assert by_exposure.std() == pytest.approx(0.018, rel=0.1)
    again = dict(zip(ids, by_exposure, strict=True))
    assert max(abs(again[e] - v) for e, v in zip(reported.exposure_id[reported.mask], common[reported.mask], strict=True)) < 1e-5
    offset = true_conditions(reported, SimulationOptions(sky_offset=0.03), Seeds(0, "a")).sky / reported.sky
    assert np.ptp(np.where(reported.mask, offset, offset[:, :1]), axis=1).max() < 1e-5
    assert offset[:, 0].std() == pytest.approx(0.03, rel=0.12)
    width = true_conditions(reported, SimulationOptions(psf_width_residual=0.05), Seeds(0, "a")).psf_fwhm / reported.psf_fwhm
    assert width[reported.mask].std() == pytest.approx(0.05, rel=0.03)


def test_stamps_cut_per_frame_have_the_measured_offset():
    rng = np.random.default_rng(0)
    cut = cuts((2000, 10), SimulationOptions(centring="both", centre_offset=[0.1, -0.2]), rng)
    loose = cut.place[~cut.registered]
    assert loose.mean(axis=(0, 1)) == pytest.approx([0.1, -0.2], abs=0.01)
    assert np.ptp(loose[..., 0]) == pytest.approx(1.0, abs=0.01)
    assert not cut.shift[~cut.registered].any()
    assert np.abs(cut.shift[cut.registered]).max() <= 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resampling": "cubic"}, "simulation.resampling: 'cubic'; use one of none, lanczos2, lanczos3"),
        ({"centre_offset": [0.1]}, "give x and y, each within half a pixel"),
        ({"centre_offset": [0.0, 0.7]}, "give x and y, each within half a pixel"),
        ({"sky_level": 0.1}, r"simulation.sky_level: 0.1; it must lie in \[0.5, 2\]"),
        ({"sky_common": -0.1}, r"simulation.sky_common: -0.1; it must lie in \[0, 1\)"),
        ({"neighbours": 100.0}, r"simulation.neighbours: 100.0; it must lie in \[0, 20\]"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ConfigError, match=message):
        SimulationOptions(**options)


def test_a_device_that_is_missing_is_named_with_those_that_exist():
    assert device("cpu") == torch.device("cpu")
    assert str(device("auto")) == available()[0]
    with pytest.raises(ConfigError, match=r"simulation.device=cuda:77: this machine has .*cpu; use one of these, or auto"):
        device("cuda:77")
    with pytest.raises(ConfigError, match=r"simulation.device=tpu"):
        simulation("simulation.device=tpu").block("test", "non_variable", 0)
