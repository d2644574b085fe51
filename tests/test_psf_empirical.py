"""The PSF of measured stars: what stars of an exposure and of a CCD share, and what a measurement on stars gives back."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from builders import exposures
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from skyreel.errors import DataError, DatasetError
from skyreel.exposures import Exposures
from skyreel.movies import Movies
from skyreel.photometry.moments import adaptive_moments
from skyreel.seeding import Seeds
from skyreel.simulate.render import grid_size, render
from skyreel_psf.analytic import moffat
from skyreel_psf.departures import Departures, Measured, clipped, split
from skyreel_psf.empirical import Empirical
from skyreel_psf.library import END, Library, resampled

SCALE = 0.27
Array = NDArray[np.float64]


def library() -> Library:
    return Empirical().library


def schedule(n: int, epochs: int, **columns: Array | float) -> Exposures:
    """n stars of one field in the same exposures, years from those of the library, 0.9 d apart."""
    ids = np.tile(np.arange(epochs), (n, 1))
    base = {"mjd": 60000.2 + 0.9 * ids, "exposure_id": ids, "psf_fwhm": 4.0, "seeing": 1.3, "field": 1, "ccd": 1} | columns
    return exposures(n, epochs).replace(**{name: np.broadcast_to(value, (n, epochs)) for name, value in base.items()})


def shape(psf: Empirical, e: Exposures, seeds: Seeds, size: int = 21) -> Array:
    return np.tensordot(psf.coefficients(e, seeds), psf.basis(SCALE, size, 1), axes=1)


def ellipticity(images: Array) -> Array:
    """(e1, e2) (..., 2) of the matched Gaussians."""
    covariance = adaptive_moments(images.reshape(-1, *images.shape[-2:])).covariance
    xx, yy, xy = covariance[:, 0, 0], covariance[:, 1, 1], covariance[:, 0, 1]
    return (np.stack([xx - yy, 2 * xy], axis=1) / (xx + yy)[:, None]).reshape(*images.shape[:-2], 2)


# --------------------------------------------------------------------------------------------- draws


def test_what_stars_share_is_drawn_once_per_exposure_and_ccd() -> None:
    drawn = library().departures
    quiet = Departures(**{**vars(drawn), "star": 0 * drawn.star, "frame": 0 * drawn.frame})
    e = schedule(4, 3, ccd=np.array([[5], [5], [7], [5]]))
    first, width = quiet.drawn(e, Seeds(5, "train/cepheid", 3))
    second, _ = quiet.drawn(e, Seeds(5, "valid/galaxy", 9))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first[0], first[1])
    assert np.abs(first[0] - first[2]).max() > 1e-3
    assert np.abs(first[0, 0] - first[0, 1]).max() > 1e-4
    np.testing.assert_array_equal(width[0], width[3])
    # A star's draws depend on no other object: half of the block gives the same.
    np.testing.assert_array_equal(quiet.drawn(e.take(np.array([2, 3])), Seeds(5))[0], first[2:])


def test_stars_add_a_part_of_their_own_which_they_keep() -> None:
    drawn = library().departures
    own = Departures(**{**vars(drawn), "pattern": 0 * drawn.pattern, "frame": 0 * drawn.frame})
    amplitude, _ = own.drawn(schedule(3, 5), Seeds(1))
    np.testing.assert_array_equal(amplitude, np.broadcast_to(amplitude[:, :1], amplitude.shape))
    assert np.abs(amplitude[0] - amplitude[1]).max() > 0


def test_an_exposure_of_a_measured_half_hour_takes_its_pattern() -> None:
    drawn = library().departures
    quiet = Departures(**{**vars(drawn), "star": 0 * drawn.star, "frame": 0 * drawn.frame})
    apart = np.abs(drawn.mjd[:, None] - drawn.mjd)
    alone = np.flatnonzero((apart + 9.0 * np.eye(len(apart)) > 1 / 24).all(axis=1))[:8]
    assert len(alone) >= 3
    e = schedule(1, len(alone), mjd=drawn.mjd[alone] + 2.0 / 1440, seeing=1.1 * drawn.seeing[alone], ccd=drawn.ccd[4])
    for root in range(4):
        amplitude, width = quiet.drawn(e, Seeds(root))
        np.testing.assert_array_equal(amplitude[0], drawn.pattern[alone, 4])
        np.testing.assert_allclose(width[0], drawn.exposure_log_width[alone] + drawn.pattern[alone, 4, -1])
    later, _ = quiet.drawn(schedule(1, len(alone), mjd=drawn.mjd[alone] + 700, ccd=drawn.ccd[4]), Seeds(0))
    assert (later[0] != drawn.pattern[alone, 4]).any()


def test_other_exposures_take_patterns_of_similar_seeing() -> None:
    drawn = library().departures
    e = schedule(1, 3000, mjd=60000 + np.arange(3000.0), seeing=1.3)
    donor = drawn._donors(e, Seeds(3))[0]
    spread = np.log(drawn.seeing[donor] / 1.3)
    assert np.abs(spread).max() < 0.4
    assert len(np.unique(donor)) > 20
    assert np.abs(spread.mean()) < 0.05


def test_masked_exposures_change_nothing() -> None:
    e = schedule(2, 4)
    there = np.broadcast_to(np.arange(4) > 0, e.shape)
    gap = e.replace(mask=there, mjd=np.where(there, e.mjd, np.nan), psf_fwhm=np.where(there, 4.0, np.nan))
    whole, part = (Empirical().coefficients(x, Seeds(2)) for x in (e, gap))
    np.testing.assert_array_equal(whole[:, 1:], part[:, 1:])
    assert np.isfinite(part).all()


def test_a_ccd_that_was_not_measured_borrows_one_and_keeps_it() -> None:
    drawn = library().departures
    e = schedule(3, 2, ccd=np.array([[200], [200], [201]]))
    place = drawn._ccds(e, Seeds(1))
    assert (place[0] == place[1]).all()
    assert (place[:, 0] == place[:, 1]).all()
    assert place.max() < len(drawn.ccd)


def test_no_diversity_is_the_average_star() -> None:
    e = schedule(3, 4, psf_fwhm=np.linspace(3, 6, 4))
    flat = Empirical(diversity=0.0)
    np.testing.assert_allclose(flat.coefficients(e, Seeds(1)), flat.coefficients(e), atol=1e-12)


def test_widths_of_stars_vary_only_where_asked_for() -> None:
    e = schedule(200, 4, ccd=np.arange(200)[:, None] % 60 + 1)
    scatter = []
    for psf in (Empirical(), Empirical(widths=True)):
        fwhm = adaptive_moments(shape(psf, e, Seeds(3)).reshape(-1, 21, 21)).fwhm.reshape(200, 4)
        scatter.append((fwhm / fwhm.mean(axis=0)).std())
    assert scatter[0] < 0.015
    assert scatter[1] == pytest.approx(library().departures.pattern[..., -1].std(), rel=0.25)


@given(width=st.floats(2.0, 9.0), root=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_every_star_has_unit_flux_whatever_is_drawn(width: float, root: int) -> None:
    images = shape(Empirical(), schedule(2, 3, psf_fwhm=width, ccd=np.array([[1], [40]])), Seeds(root), 4 * int(END) + 1)
    np.testing.assert_allclose(images.sum(axis=(2, 3)), 1, atol=1e-3)


# --------------------------------------------------------------------------------------------- library


def test_the_shipped_library_is_small_and_holds_no_pickle(tmp_path: Path) -> None:
    import skyreel_psf

    path = Path(skyreel_psf.__file__).parent / "decam_stars.npz"
    assert path.stat().st_size < 500_000
    stored = Library.read(path)
    assert stored.departures.pattern.shape == (len(stored.departures.mjd), len(stored.departures.ccd), len(stored.component) + 1)
    assert (np.diff(stored.departures.ccd) > 0).all()
    assert (np.diff(stored.ring) > 0).all()
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(path.read_bytes()[:5000])
    other = tmp_path / "other.npz"
    np.savez(other, fwhm=np.ones(3))
    for wrong in (damaged, other, tmp_path / "absent.npz"):
        with pytest.raises(DatasetError, match="python -m skyreel_psf.build_empirical"):
            Library.read(wrong)


def test_a_library_comes_back_from_its_file(tmp_path: Path) -> None:
    library().write(tmp_path / "stars.npz")
    again = Empirical(path=str(tmp_path / "stars.npz")).library
    for name in ("mean", "wing", "component"):
        np.testing.assert_array_equal(getattr(again, name), getattr(library(), name))
    for item in fields(Departures):
        np.testing.assert_array_equal(getattr(again.departures, item.name), getattr(library().departures, item.name))


def test_resampling_is_exact_for_images_without_high_frequencies() -> None:
    wide, fine = moffat(5.0, 4.2, 33, 1)[0], moffat(5.0, 4.2, 33, 3)[0] * 9
    axis = (np.arange(99) - 49) / 3
    inside = np.hypot(axis, axis[:, None]) < 10
    assert np.abs(resampled(wide, axis) - fine)[inside].max() < 2e-3 * wide.max()


def test_stretching_a_shape_is_stretching_its_image() -> None:
    kept = library()
    amplitude = kept.departures.pattern.reshape(-1, len(kept.component) + 1)[::97, :-1]
    axis = np.arange(-16, 17) / np.exp(0.1)
    images = np.tensordot(amplitude, kept.component, axes=1)
    wanted = np.stack([resampled(image, axis) for image in images]) * np.exp(-0.2)
    found = np.tensordot(kept.magnified(amplitude, np.array(0.1)), kept.component, axes=1)
    # Stretched shapes leave the span of the components a little; left alone they would be more than twice as wrong.
    assert np.linalg.norm(found - wanted) < 0.5 * np.linalg.norm(images - wanted)


# --------------------------------------------------------------------------------------------- analysis of variance


def test_split_finds_what_patterns_stars_and_frames_were_made_of() -> None:
    rng = np.random.default_rng(4)
    n_exposures, n_ccds, per_ccd = 40, 20, 3
    exposure, star = (x.ravel() for x in np.meshgrid(np.arange(n_exposures), np.arange(n_ccds * per_ccd), indexing="ij"))
    ccd = star // per_ccd
    sizes = {"exposure": 3.0, "ccd": 2.0, "both": 1.5, "star": 1.0, "frame": 0.7, "noise": 0.5}
    parts = {
        "exposure": rng.standard_normal(n_exposures)[exposure],
        "ccd": rng.standard_normal(n_ccds)[ccd],
        "both": rng.standard_normal((n_exposures, n_ccds))[exposure, ccd],
        "star": rng.standard_normal(n_ccds * per_ccd)[star],
        "frame": rng.standard_normal(len(star)),
        "noise": rng.standard_normal(len(star)),
    }
    amplitude = sum(sizes[name] * part for name, part in parts.items())
    seen = Measured(np.asarray(amplitude)[:, None], np.full((len(star), 1), 0.25), exposure, ccd + 11, star)
    numbers, pattern, own, rest = split(seen, np.ones(n_exposures, bool))
    np.testing.assert_array_equal(numbers, np.arange(20) + 11)
    truth = sum(sizes[name] * parts[name] for name in ("exposure", "ccd", "both"))
    table = np.asarray(truth).reshape(n_exposures, n_ccds, per_ccd)[:, :, 0]
    assert np.corrcoef(pattern[..., 0].ravel(), table.ravel())[0, 1] > 0.97
    drawn = pattern.var() + own.var() + rest.var()
    assert drawn == pytest.approx(np.asarray(amplitude).var() - 0.25, rel=0.02)
    assert own.std() > 0.3
    assert rest.std() > 0.3


def test_a_ccd_without_a_star_in_an_exposure_has_what_exposure_and_ccd_have_on_average() -> None:
    common, of_ccd = np.array([5.0, -5.0, 1.0]), np.array([1.0, -1.0])
    exposure, ccd = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 0, 1, 0])
    seen = Measured((common[exposure] + of_ccd[ccd])[:, None], np.full((5, 1), 1e-9), exposure, ccd, np.arange(5))
    _, pattern, own, rest = split(seen, np.array([True, True, True]))
    assert pattern[2, 1, 0] == pytest.approx(0.0, abs=1e-3)
    assert own.shape == rest.shape == (1, 1)


@given(st.lists(st.floats(-1e3, 1e3), min_size=5, max_size=40))
@settings(max_examples=30, deadline=None)
def test_clipping_keeps_the_middle_and_the_order(values: list[float]) -> None:
    column = np.array(values)[:, None]
    kept = clipped(column)
    assert (np.argsort(kept[:, 0], kind="stable") == np.argsort(np.clip(column[:, 0], kept.min(), kept.max()), kind="stable")).all()
    middle = np.abs(column - np.median(column)) <= 1.4826 * np.median(np.abs(column - np.median(column)))
    np.testing.assert_allclose(kept[middle], column[middle])


# --------------------------------------------------------------------------------------------- measured on stars

SHEAR = 0.03


def constant_stars(n: int = 40, n_exposures: int = 12, size: int = 21, seed: int = 0) -> Movies:
    """Sheared Moffat stars of 17 to 18.5 mag in exposures of 3.2 to 5.5 px, with photon noise."""
    rng = np.random.default_rng(seed)
    fwhm = np.linspace(3.2, 5.5, n_exposures)
    grid = grid_size(size)
    profiles = [moffat(width, 4.2, grid, 2) for width in fwhm]
    basis = np.stack([profile[0] + SHEAR * profile[1] for profile in profiles])
    e = schedule(n, n_exposures, psf_fwhm=fwhm, seeing=fwhm * SCALE, sky=100.0, gain=4.0, read_noise=6.0)
    e = e.replace(ccd=np.broadcast_to(np.arange(n)[:, None] % 20, e.shape), saturation=np.full(e.shape, 6e4))
    flux = 10 ** rng.uniform(4.6, 5.2, (n, 1)) * np.ones(n_exposures)
    weights = np.broadcast_to(np.eye(n_exposures), (n, n_exposures, n_exposures))
    light = render(basis, weights, flux, rng.uniform(-0.5, 0.5, (n, n_exposures, 2)), np.zeros(n, int), size, 2, grid).numpy()
    electrons = rng.poisson(4.0 * (light + 100.0)) + 6.0 * rng.standard_normal(light.shape)
    pixels = np.round(electrons / 4.0)[:, :, None].astype(np.float32)
    names = np.array([f"star-{k}" for k in range(n)])
    bits = np.zeros(pixels.shape, np.uint8)
    return Movies(pixels, bits, e.mask.copy(), e, np.full(n, "non_variable"), names, np.full(n, -1, np.int32))


@pytest.fixture(scope="module")
def fitted() -> Empirical:
    return Empirical().fitted(constant_stars(), SCALE)


def test_a_known_star_is_measured_within_a_percent_of_its_peak(fitted: Empirical) -> None:
    from skyreel.photometry.widths import gaussian_fit_fwhm

    for width in (3.5, 4.2, 5.2):
        profile, shear, _ = moffat(width, 4.2, 48, 2)
        truth = profile + SHEAR * shear
        known = gaussian_fit_fwhm(truth[None], 2)
        e = schedule(1, 1, psf_fwhm=known[0])
        found = np.tensordot(fitted.coefficients(e)[0, 0], fitted.basis(SCALE, 48, 2), axes=1)
        x = (np.arange(96) - 47.5) / 2
        inside = np.hypot(x, x[:, None]) < 10
        assert np.abs(found - truth)[inside].max() < 0.01 * truth.max()
        assert found[inside].sum() == pytest.approx(truth[inside].sum(), abs=0.01)


def test_directions_that_all_stars_share_stay(fitted: Empirical) -> None:
    assert fitted.orientations == 1
    images = shape(fitted, schedule(30, 12, psf_fwhm=4.2), Seeds(1))
    truth = ellipticity((lambda p: p[0] + SHEAR * p[1])(moffat(4.0, 4.2, 21, 1)))
    found = ellipticity(images).reshape(-1, 2)
    np.testing.assert_allclose(found.mean(axis=0), truth, atol=0.004)
    assert truth[0] > 0.03
    # All stars were alike: what varies is what the measurement could not tell from noise.
    assert found.std(axis=0).max() < 0.015


def test_a_measurement_is_the_same_whenever_it_is_made(fitted: Empirical) -> None:
    again = Empirical().fitted(constant_stars(), SCALE)
    e = schedule(3, 4)
    np.testing.assert_array_equal(again.coefficients(e, Seeds(1)), fitted.coefficients(e, Seeds(1)))
    np.testing.assert_array_equal(again.basis(SCALE, 30, 1), fitted.basis(SCALE, 30, 1))
    assert np.abs(again.basis(SCALE, 30, 1)[0] - Empirical().basis(SCALE, 30, 1)[0]).max() > 1e-4


def test_a_measurement_keeps_the_options_and_the_stars_it_was_made_of(fitted: Empirical) -> None:
    psf = Empirical(diversity=0.5, widths=True, fwhm_min=2.5, fwhm_max=9.0).fitted(constant_stars(), SCALE)
    assert (psf.diversity, psf.widths, psf.fwhm_min, psf.fwhm_max) == (0.5, True, 2.5, 9.0)
    stars = constant_stars()
    np.testing.assert_array_equal(np.sort(fitted.library.departures.mjd), np.unique(stars.reported.mjd))
    np.testing.assert_array_equal(fitted.library.departures.ccd, np.unique(stars.reported.ccd))


def test_flagged_and_unusable_frames_are_left_out(fitted: Empirical) -> None:
    stars = constant_stars()
    stars.pixels[3, 2, 0, 10, 10] = 60000
    stars.pixel_mask[3, 2, 0, 10, 10] = 2
    stars.pixels[4, 1] = 0
    stars.frame_mask[4, 1] = False
    moved = Empirical().fitted(stars, SCALE).library.mean[0] - fitted.library.mean[0]
    assert np.abs(moved).max() < 2e-3 * fitted.library.mean[0].max()


def test_stars_with_close_companions_leave_no_trace_in_the_average(fitted: Empirical) -> None:
    stars = constant_stars()
    stars.pixels[7, :, 0] += 0.3 * (np.roll(stars.pixels[7, :, 0], 4, axis=-1) - 100.0)
    worst = np.abs(Empirical().fitted(stars, SCALE).library.mean[0] - fitted.library.mean[0]).max()
    assert worst < 2e-3 * fitted.library.mean[0].max()


def test_too_few_stars_and_too_small_stamps_are_named() -> None:
    with pytest.raises(DataError, match=r"measuring a PSF: 0 of 12 exposures with at least 15 usable stars; hand in constant stars"):
        Empirical().fitted(constant_stars(n=14), SCALE)
    with pytest.raises(DataError, match=r"stamps of 19 px; hand in stamps of at least 21 px"):
        Empirical().fitted(constant_stars(n=14, size=19), SCALE)


# --------------------------------------------------------------------------------------------- real stars


@pytest.mark.real_data
def test_average_stars_come_back(data_dir: Path) -> None:
    with np.load(data_dir / "hits2015a" / "psf.npz", allow_pickle=False) as stored:
        good = (stored["bin_n_stars"] >= 150) & (stored["bin_gauss_fwhm_px"] < 6.5)
        widths, real = stored["bin_gauss_fwhm_px"][good].astype(float), stored["bin_psf"][good].astype(float)
    psf = Empirical()
    images = np.tensordot(psf.coefficients(schedule(1, len(widths), psf_fwhm=widths))[0], psf.basis(SCALE, 21, 1), axes=1)
    worst = []
    for ours, theirs in zip(images, real, strict=True):
        # Those averages had their sky, wings included, read off at the border: flux and sky are free.
        columns = np.stack([ours.ravel(), np.ones(ours.size)], axis=1)
        rest = theirs.ravel() - columns @ np.linalg.lstsq(columns, theirs.ravel(), rcond=None)[0]
        worst.append(np.abs(rest).max() / theirs.max())
    assert max(worst) < 0.02  # shapes within a bin of width differ by 2 % of the peak
    assert np.median(worst) < 0.01


@pytest.mark.real_data
def test_simulated_stars_are_as_elliptical_as_real_ones_and_in_the_same_direction(data_dir: Path) -> None:
    with np.load(data_dir / "hits2015a" / "psf.npz", allow_pickle=False) as stored:
        sharp = (stored["star_gauss_fwhm_px"] > 3.5) & (stored["star_gauss_fwhm_px"] < 5) & (stored["star_peak_snr"] > 100)
        real = ellipticity(stored["star_psf"][sharp].astype(float))
    e = schedule(10, 200, mjd=60000 + 10.0 * np.arange(200), ccd=6 * np.arange(10)[:, None] + 1, seeing=1.25)
    found = ellipticity(shape(Empirical(), e, Seeds(3))).reshape(-1, 2)
    assert np.median(np.hypot(*found.T)) == pytest.approx(np.median(np.hypot(*real.T)), rel=0.25)
    assert np.hypot(*(found.mean(axis=0) - real.mean(axis=0))) < 0.04


@pytest.mark.slow
@pytest.mark.real_data
def test_the_shipped_library_is_what_the_script_makes_and_fields_can_be_left_out(data_dir: Path, tmp_path: Path) -> None:
    from skyreel_psf.build_empirical import constant, main

    data = str(data_dir / "hits2015a")
    main(["--data", data, "--output", str(tmp_path / "all.npz")])
    made, shipped = Library.read(tmp_path / "all.npz"), library()
    np.testing.assert_allclose(made.mean, shipped.mean, atol=1e-6)
    np.testing.assert_allclose(made.departures.pattern, shipped.departures.pattern, atol=1e-4)
    main(["--data", data, "--output", str(tmp_path / "part.npz"), "--leave-out", "10"])
    part = Library.read(tmp_path / "part.npz")
    assert not np.isin(part.departures.mjd, constant(data_dir / "hits2015a", [11, 17, 22, 30]).reported.mjd).any()
    with pytest.raises(DataError, match=r"--leave-out: no star in 99; name fields among 10, 11, 17"):
        constant(data_dir / "hits2015a", [99])
