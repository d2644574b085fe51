"""Checks of the components that make movies: survey, source, PSF, host, detector.

Each check takes a fresh instance with default options and raises AssertionError with the broken sentence of the contract.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from skyreel.errors import BandError, DataError
from skyreel.exposures import DTYPES, Exposures
from skyreel.interfaces import PSF, Array, Detector, Effect, Host, Params, Source, Survey
from skyreel.seeding import Seeds
from skyreel.testing.packaging import must_raise
from skyreel.testing.toys import PIXEL_SCALE, toy_exposures

N = 16
WINDOW = (57070.0, 57095.0)
"""First and last MJD of the checks' epochs."""


def _rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def _same_exposures(a: Exposures, b: Exposures) -> bool:
    return a.bands == b.bands and all(np.array_equal(getattr(a, name), getattr(b, name)) for name in DTYPES)


def _same_params(a: Params, b: Params) -> bool:
    return set(a) == set(b) and all(np.array_equal(a[name], b[name], equal_nan=a[name].dtype.kind == "f") for name in a)


def _check_columns(params: Params, n: int) -> None:
    wrong = {name: np.shape(column) for name, column in params.items() if np.shape(column)[:1] != (n,)}
    assert not wrong, f"columns must have {n} rows, these have {wrong}"


# --------------------------------------------------------------------------------------------------- survey


def survey_camera(survey: Survey) -> None:
    """The camera's table is complete and positive; sampling and channels are known words."""
    camera = survey.camera
    assert camera.pixel_scale > 0, "camera.pixel_scale must be positive [arcsec / px]"
    assert len(camera.bands) == len(set(camera.bands)) > 0, "camera.bands must name each band once"
    lengths = {len(camera.ccd), len(camera.gain), len(camera.read_noise), len(camera.saturation)}
    assert len(lengths) == 1, "camera: ccd, gain, read_noise and saturation differ in length"
    for name in ("gain", "read_noise", "saturation"):
        assert (getattr(camera, name) > 0).all(), f"camera.{name} must be positive"
    assert survey.sampling in ("all_visits", "detections_only"), f"sampling is {survey.sampling!r}"
    assert survey.channels[0] == "science", "the first channel must be 'science'"


def survey_exposures(survey: Survey) -> None:
    """`sample` gives n objects whose exposures pass `Exposures.check`, in the survey's bands."""
    for n in (1, N):
        exposures = survey.sample(n, Seeds(1, "conformance"))
        assert len(exposures) == n, f"asked for {n} objects, got {len(exposures)}"
        assert exposures.bands == survey.bands, f"bands are {exposures.bands}, the camera's are {survey.bands}"
        exposures.check("survey.sample")


def survey_seeds(survey: Survey) -> None:
    """The same seeds give the same exposures, whatever was drawn before; another block or root gives others."""
    first = survey.sample(N, Seeds(1, "conformance", 0))
    other_block = survey.sample(N, Seeds(1, "conformance", 1))
    other_root = survey.sample(N, Seeds(2, "conformance", 0))
    assert _same_exposures(first, survey.sample(N, Seeds(1, "conformance", 0))), "same seeds, different exposures"
    assert not _same_exposures(first, other_block), "two blocks have the same exposures"
    assert not _same_exposures(first, other_root), "two root seeds have the same exposures"


def survey_shared_exposures(survey: Survey) -> None:
    """Objects that share an exposure_id share its time, band, seeing, sky and zero point, in every block."""
    parts = [survey.sample(4 * N, Seeds(1, "conformance", block)) for block in (0, 1)]
    exposures = Exposures.concatenate(parts)
    used = exposures.mask
    _, index = np.unique(exposures.exposure_id[used], return_inverse=True)
    for name in ("mjd", "band", "exptime", "seeing", "sky", "zero_point"):
        column = getattr(exposures, name)[used].astype(np.float64)
        low = np.full(index.max() + 1, np.inf)
        high = -low
        np.minimum.at(low, index, column)
        np.maximum.at(high, index, column)
        assert np.array_equal(low, high), f"objects of one exposure_id differ in {name}"


def survey_detect(survey: Survey) -> None:
    """`detect` marks epochs of (n, T); never a masked one, never one without light, and a new bright source at least once."""
    exposures = survey.sample(N, Seeds(1, "conformance"))
    dark = np.full(exposures.shape, np.inf)
    assert not survey.detect(exposures, dark).any(), "epochs without light are detected"
    middle = np.nanmedian(np.where(exposures.mask, exposures.mjd, np.nan), axis=1, keepdims=True)
    flash = np.where(exposures.mjd > middle, 18.0, np.inf)
    found = survey.detect(exposures, flash)
    assert found.shape == exposures.shape, f"detect gives shape {found.shape}, exposures have {exposures.shape}"
    assert found.dtype == np.bool_, f"detect gives {found.dtype}, not bool"
    assert not found[~exposures.mask].any(), "masked epochs are detected"
    assert not found[np.isinf(flash)].any(), "epochs before the source appears are detected"
    assert found.any(axis=1).mean() > 0.5, "a source of 18 mag that appears in mid-survey is missed in most objects"


def survey_replay(survey: Survey) -> None:
    """`replay` repeats the schedule of one object for its twins, and refuses several objects."""
    exposures = survey.sample(2, Seeds(1, "conformance"))
    twins = survey.replay(exposures.take([0]), 3)
    assert _same_exposures(twins, exposures.take([0, 0, 0])), "replay changes the schedule"
    with must_raise(DataError, "replay of two objects"):
        survey.replay(exposures)


# --------------------------------------------------------------------------------------------------- source


def _epochs(n: int = N, epochs: int = 24, shift: float = 0.0) -> tuple[Array, Array]:
    mjd = np.sort(_rng(3).uniform(*WINDOW, (n, epochs)), axis=1) + shift
    return mjd, np.tile(np.array(WINDOW) + shift, (n, 1))


def _light(source: Source, params: Params, mjd: Array, band: Any = None) -> dict[str, Array]:
    index = np.zeros(mjd.shape, np.int8) if band is None else np.asarray(band, np.int8)
    curve = source.light_curve(params, mjd, index)
    parts = {"mag": curve.mag, "offset": curve.offset, "trail": curve.trail}
    return {name: np.asarray(part) for name, part in parts.items() if part is not None}


def source_params(source: Source) -> None:
    """`sample` gives n rows a column, the same for the same generator, with or without a window."""
    _, window = _epochs()
    for given in (None, window):
        first = source.sample(N, _rng(), window=given)
        _check_columns(first, N)
        assert _same_params(first, source.sample(N, _rng(), window=given)), "same generator, different params"
    _check_columns(source.sample(1, _rng(), window=window[:1]), 1)


def source_light(source: Source) -> None:
    """`light_curve` gives (n, T) magnitudes in every band: finite or +inf, never NaN; offsets and trails of their shapes."""
    mjd, window = _epochs()
    params = source.sample(N, _rng(), window=window)
    for band in range(len(source.bands)):
        light = _light(source, params, mjd, np.full(mjd.shape, band))
        mag = light["mag"]
        assert mag.shape == mjd.shape, f"mag has shape {mag.shape}, epochs {mjd.shape}"
        assert not np.isnan(mag).any(), f"NaN in band {source.bands[band]}"
        assert not np.isneginf(mag).any(), f"-inf in band {source.bands[band]}"
        if "offset" in light:
            assert light["offset"].shape == (*mjd.shape, 2), f"offset has shape {light['offset'].shape}"
            assert np.isfinite(light["offset"]).all(), "offsets must be finite [arcsec]"
        if "trail" in light:
            assert light["trail"].shape == mjd.shape, f"trail has shape {light['trail'].shape}"
            assert (light["trail"] >= 0).all(), "trails are lengths [arcsec]"


def source_pure(source: Source) -> None:
    """`light_curve` changes nothing and draws nothing: twice the same, and the same epochs in another order alike."""
    mjd, window = _epochs()
    band = _rng(5).integers(0, len(source.bands), mjd.shape)
    params = source.sample(N, _rng(), window=window)
    before = {name: np.copy(column) for name, column in params.items()}
    first = _light(source, params, mjd, band)
    order = _rng(4).permutation(mjd.shape[1])
    again = _light(source, params, mjd, band)
    permuted = _light(source, params, mjd[:, order], band[:, order])
    assert _same_params(before, params), "light_curve changes the params it is given"
    for name, part in first.items():
        assert np.array_equal(part, again[name]), f"{name}: two calls differ"
        np.testing.assert_allclose(permuted[name], part[:, order], rtol=1e-9, err_msg=f"{name} depends on the order of the epochs")


def source_batch(source: Source) -> None:
    """A batch equals its objects one by one."""
    mjd, window = _epochs()
    params = source.sample(N, _rng(), window=window)
    batch = _light(source, params, mjd)
    for i in range(0, N, 5):
        row = {name: column[i : i + 1] for name, column in params.items()}
        for name, part in _light(source, row, mjd[i : i + 1]).items():
            np.testing.assert_allclose(part[0], batch[name][i], rtol=1e-9, err_msg=f"{name}: object {i} alone differs from its batch")


def source_window(source: Source) -> None:
    """The light of a transient (`triggers`) follows its window, and lies within it for at least some objects."""
    if not source.triggers:
        return
    mjd, window = _epochs()
    shift = 5000.0
    later_mjd, later_window = _epochs(shift=shift)
    here = _light(source, source.sample(N, _rng(), window=window), mjd)["mag"]
    there = _light(source, source.sample(N, _rng(), window=later_window), later_mjd)["mag"]
    assert np.isfinite(here).any(axis=1).mean() > 0.5, "most transients give no light in their window"
    assert np.isfinite(there).any(axis=1).mean() > 0.5, "most transients give no light in a window that lies 5000 d later"
    early = np.stack([window[:, 0], window[:, 0] + 2.0], axis=1)
    late = np.stack([window[:, 1] - 2.0, window[:, 1]], axis=1)
    dates = [_light(source, source.sample(N, _rng(), window=part), mjd)["mag"] for part in (early, late)]
    assert not np.array_equal(dates[0], dates[1]), "the light does not depend on the window"


def source_catalogue(source: Source) -> None:
    """`select` gives a bool per object; `host_policy` names a known law and an existing redshift column."""
    mjd, window = _epochs()
    params = source.sample(N, _rng(), window=window)
    kept = source.select(params, _light(source, params, mjd)["mag"], _rng())
    assert np.shape(kept) == (N,), f"select gives shape {np.shape(kept)}, not ({N},)"
    assert np.asarray(kept).dtype == np.bool_, "select must give bool"
    policy = source.host_policy
    assert 0.0 <= policy.fraction <= 1.0, f"host_policy.fraction is {policy.fraction}"
    assert policy.offset in ("light", "chance", "centre"), f"host_policy.offset is {policy.offset!r}"
    if policy.redshift is not None:
        assert policy.redshift in params, f"host_policy.redshift names no column: {policy.redshift!r}, have {sorted(params)}"
        assert (params[policy.redshift] > 0).all(), "redshifts must be positive"


# ------------------------------------------------------------------------------------------------ PSF, host

FLUX_TOLERANCE = 1e-3
"""Light that a PSF may miss over 101 px: a Moffat of beta 2.5 and 4 px leaves 8e-4 outside."""

FWHM_TOLERANCE = 0.08
"""Relative; the full width at half maximum and that of a fitted Gaussian, both in use, differ by this much."""


def _psf_exposures() -> Exposures:
    exposures = toy_exposures(4, 6)
    fwhm = np.linspace(3.0, 6.0, 6) * np.ones((4, 1))
    return exposures.replace(psf_fwhm=fwhm, seeing=fwhm * PIXEL_SCALE)


def psf_shapes(psf: PSF) -> None:
    """Basis (J, M, M), coefficients (n, T, J), finite; the same for the same seeds and the same exposures."""
    exposures = _psf_exposures()
    basis = psf.basis(PIXEL_SCALE, 21, 2)
    assert basis.ndim == 3, f"basis has shape {basis.shape}, not (J, M, M)"
    assert basis.shape[1:] == (42, 42), f"basis has shape {basis.shape}, asked for 21 px x 2 samples"
    assert np.isfinite(basis).all(), "the basis holds NaN or infinite values"
    for seeds in (None, Seeds(1, "conformance")):
        weights = psf.coefficients(exposures, seeds)
        assert weights.shape == (*exposures.shape, len(basis)), f"coefficients have shape {weights.shape}"
        assert np.isfinite(weights).all(), "coefficients hold NaN or infinite values"
        assert np.array_equal(weights, psf.coefficients(exposures, seeds)), "same seeds, different coefficients"
    mean = psf.coefficients(exposures)
    assert np.array_equal(mean, mean[:1].repeat(4, axis=0)), "objects of one exposure differ in the mean PSF"


def psf_flux(psf: PSF) -> None:
    """Unit flux: the sum over 101 px is 1 to `FLUX_TOLERANCE`, for the mean shape and for drawn ones."""
    exposures = _psf_exposures()
    sums = psf.basis(PIXEL_SCALE, 101, 2).sum(axis=(1, 2))
    for seeds in (None, Seeds(1, "conformance")):
        total = psf.coefficients(exposures, seeds) @ sums
        worst = np.abs(total - 1.0).max()
        assert worst <= FLUX_TOLERANCE, f"the PSF's sum over 101 px differs from 1 by {worst:.2g}"


def psf_width(psf: PSF) -> None:
    """A star is as wide as `psf_fwhm` asks, within `FWHM_TOLERANCE`, and centred within 0.1 px."""
    exposures = _psf_exposures()
    size, oversample = 31, 6
    images = np.tensordot(psf.coefficients(exposures)[0], psf.basis(PIXEL_SCALE, size, oversample), axes=1)
    area = (images >= images.max(axis=(1, 2), keepdims=True) / 2).sum(axis=(1, 2))
    fwhm = 2.0 * np.sqrt(area / np.pi) / oversample
    wrong = np.abs(fwhm / exposures.psf_fwhm[0] - 1.0) > FWHM_TOLERANCE
    assert not wrong.any(), f"asked for FWHM {exposures.psf_fwhm[0][wrong]} px, drew {fwhm[wrong]}"
    axis = (np.arange(size * oversample) - (size * oversample - 1) / 2) / oversample
    core = np.where(images >= images.max(axis=(1, 2), keepdims=True) / 4, images, 0.0)
    weight = core.sum(axis=(1, 2))
    centre = np.stack([(core * axis).sum(axis=(1, 2)), (core * axis[:, None]).sum(axis=(1, 2))]) / weight
    assert np.abs(centre).max() < 0.1, f"the star's centre is {np.abs(centre).max():.2f} px off (M - 1) / 2"


def host_params(host: Host) -> None:
    """`sample` is seeded, has n rows a column and keeps the redshifts it is given."""
    first = host.sample(N, _rng())
    _check_columns(first, N)
    assert _same_params(first, host.sample(N, _rng())), "same generator, different galaxies"
    redshift = np.where(np.arange(N) % 2, 0.3, np.nan)
    given = host.sample(N, _rng(), redshift)
    _check_columns(given, N)
    if "redshift" in given:
        np.testing.assert_allclose(given["redshift"][1::2], 0.3, err_msg="the redshift asked for is not kept")


def host_mag(host: Host) -> None:
    """Magnitudes (n, B) are finite in the host's bands; another band is a BandError."""
    params = host.sample(N, _rng())
    bands = host.bands[:2]
    mag = host.mag(params, bands)
    assert mag.shape == (N, len(bands)), f"mag has shape {mag.shape}, not {(N, len(bands))}"
    assert np.isfinite(mag).all(), "magnitudes must be finite"
    with must_raise(BandError, "magnitudes in an unknown band"):
        host.mag(params, ["no_such_band"])


def host_offsets(host: Host) -> None:
    """Positions (n, 2) are finite, seeded, and on both sides of the centre."""
    params = host.sample(8 * N, _rng())
    offsets = host.offsets(params, _rng(2))
    assert offsets.shape == (8 * N, 2), f"offsets have shape {offsets.shape}"
    assert np.isfinite(offsets).all(), "offsets must be finite [arcsec]"
    assert np.array_equal(offsets, host.offsets(params, _rng(2))), "same generator, different offsets"
    assert (offsets.min(axis=0) < 0).all(), "offsets never go to negative x or y"
    assert (offsets.max(axis=0) > 0).all(), "offsets never go to positive x or y"


def host_image(host: Host) -> None:
    """Images (n, B or 1, M, M) hold at most the galaxy's unit flux, most of it over a large stamp; `offset` moves them by (x, y)."""
    params = host.sample(4, _rng())
    size, oversample = 80, 2
    centred = host.image(params, np.zeros((4, 2)), host.bands[:1], PIXEL_SCALE, size, oversample)
    assert centred.shape == (4, 1, size * oversample, size * oversample), f"image has shape {centred.shape}"
    assert centred.dtype == np.float32, f"image is {centred.dtype}, not float32"
    assert np.isfinite(centred).all(), "the image holds NaN or infinite values"
    total = centred.sum(axis=(2, 3), dtype=np.float64)
    assert total.max() <= 1.0 + 1e-3, f"the image holds {total.max():.4f} of the galaxy's flux"
    assert total.min() > 0.5, f"the image of {size} px holds only {total.min():.2f} of the galaxy's flux"
    peak = centred.max(axis=(1, 2, 3))
    for axis, offset in ((-1, (4 * PIXEL_SCALE, 0.0)), (-2, (0.0, 4 * PIXEL_SCALE))):
        moved = host.image(params, np.tile(offset, (4, 1)), host.bands[:1], PIXEL_SCALE, size, oversample)
        inner = (..., slice(40, -40), slice(40, -40))
        off = np.abs(moved - np.roll(centred, 4 * oversample, axis=axis))[inner].max(axis=(1, 2, 3)) / peak
        assert off.max() < 0.02, f"an offset of {offset} arcsec does not move the galaxy by 4 px along axis {axis}"


# ------------------------------------------------------------------------------------------------- detector


def detector_stages(detector: Detector) -> None:
    """The effects are Effects whose stages never go back: scene, electrons, adu."""
    effects = list(detector.effects())
    assert all(isinstance(effect, Effect) for effect in effects), f"{effects} are not all skyreel.interfaces.Effect"
    order = ["scene", "electrons", "adu"]
    stages = [effect.stage for effect in effects]
    assert set(stages) <= set(order), f"stages are {stages}, known are {order}"
    assert stages == sorted(stages, key=order.index), f"stages go back: {stages}"


def _flat(detector: Detector, level: float) -> tuple[Any, Any, Exposures]:
    import torch

    from skyreel.simulate.detector import expose

    exposures = toy_exposures(8, 4)
    scene = torch.full((8, 4, 1, 32, 32), level)
    pixels, bits = expose(scene, exposures, detector, torch.Generator().manual_seed(1))
    again, _ = expose(scene, exposures, detector, torch.Generator().manual_seed(1))
    assert torch.equal(pixels, again), "same generator, different pixels"
    assert pixels.shape == bits.shape == scene.shape, f"pixels {tuple(pixels.shape)}, bits {tuple(bits.shape)}, scene {tuple(scene.shape)}"
    assert bits.dtype == torch.uint8, f"the bit mask is {bits.dtype}, not uint8"
    return pixels.numpy().astype(np.float64), bits.numpy(), exposures


def detector_noise(detector: Detector) -> None:
    """A flat field has the mean and variance of photon and read noise plus rounding, within five standard errors."""
    level = 50.0  # faint enough that read noise is a visible share of the variance
    pixels, bits, exposures = _flat(detector, level)
    values = pixels[bits == 0]
    gain, read_noise = float(exposures.gain[0, 0]), float(exposures.read_noise[0, 0])
    variance = level / gain + (read_noise / gain) ** 2 + 1.0 / 12.0
    error = np.sqrt(variance / values.size)
    assert abs(values.mean() - level) < 5 * error, f"a flat field of {level} ADU has mean {values.mean():.2f} +- {error:.2f}"
    relative = np.sqrt(2.0 / values.size)
    assert abs(values.var() / variance - 1.0) < 5 * relative, f"variance {values.var():.2f} ADU^2, expected {variance:.2f}"
    assert np.array_equal(pixels, np.rint(pixels)), "pixels are not whole ADU"


SIMULATION: dict[str, dict[str, Callable[[Any], None]]] = {
    "survey": {
        "camera": survey_camera,
        "exposures": survey_exposures,
        "seeds": survey_seeds,
        "shared_exposures": survey_shared_exposures,
        "detect": survey_detect,
        "replay": survey_replay,
    },
    "source": {
        "params": source_params,
        "light": source_light,
        "pure": source_pure,
        "batch": source_batch,
        "window": source_window,
        "catalogue": source_catalogue,
    },
    "psf": {"shapes": psf_shapes, "flux": psf_flux, "width": psf_width},
    "host": {"params": host_params, "mag": host_mag, "offsets": host_offsets, "image": host_image},
    "detector": {"stages": detector_stages, "noise": detector_noise},
}
"""Kind -> label -> check(component)."""
