"""What the images say beside the flux: extended light round the source, its size and shape, in sums that add up over frames.

Noise and its correlation between pixels are left out on purpose: on HiTS they tell resampled stamps from others, and
with them the label (a shortcut, not astrophysics).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skyreel.light_curves import LightCurves, PhotometryOptions, usable_pixels
from skyreel.movies import Movies
from skyreel.photometry import background_variance, psf_image
from skyreel.photometry.widths import profile_width

RINGS = ((0.0, 0.5), (0.5, 1.0), (1.0, 1.6), (1.6, 2.4))
"""Inner and outer radii of the rings [FWHM]."""
COLUMNS = (
    *(f"excess_{k}" for k in range(len(RINGS))),
    *(f"variance_{k}" for k in range(len(RINGS))),
    *("light", "moment_xx", "moment_yy", "moment_xy", "fwhm"),
)
"""What `frame_columns` keeps of every frame. excess: light of a ring beyond the point source's share [calibrated flux];
variance: its variance from sky, gain and read noise; light and moments: sums of the counts with a Gaussian weight, times 1, x^2,
y^2, x y [px]; fwhm: reported [px]."""

IMAGE_FEATURES = {
    **{f"ring_{k}_share": f"light beyond a point source's {a}-{b} FWHM from the source / PSF flux" for k, (a, b) in enumerate(RINGS)},
    **{f"ring_{k}_significance": f"the same light over its standard deviation, {a}-{b} FWHM" for k, (a, b) in enumerate(RINGS)},
    **{f"faint_ring_{k}_significance": f"the same in the fainter half of the images, {RINGS[k][0]}-{RINGS[k][1]} FWHM" for k in (1, 2, 3)},
    "size": "weighted second moment x^2 + y^2 of all images together / mean FWHM^2, within -1..2; 0.24 for a Gaussian PSF",
    "ellipticity": "sqrt((xx - yy)^2 + 4 xy^2) / |xx + yy| of the same moments, at most 1",
    "width_correlation": "correlation of PSF flux and reported FWHM: extended light leaks in with the seeing",
    "width_slope": "slope of PSF flux / |mean PSF flux| against the reported FWHM [1/px], within -1..1",
}
"""Name -> meaning. Sums run over the images so far; 0 where a quantity has no value (no point, no light)."""


def frame_columns(frames: Movies, curves: LightCurves, options: PhotometryOptions) -> NDArray[np.float64]:
    """Sums over the pixels of single frames.

    Parameters
    ----------
    frames : Movies
        m movies of one usable frame each.
    curves : LightCurves, (m, 1)
        Sky, centre and flux measured on them.
    options : PhotometryOptions
        With which they were measured.

    Returns
    -------
    float64 array (m, len(COLUMNS))
        0 where the frame gave no flux.
    """
    kept = np.flatnonzero(curves.mask[:, 0])
    out = np.zeros((len(frames), len(COLUMNS)))
    if len(kept):
        out[kept] = _columns(frames.take(kept), curves.take(kept), options)
    return out


def _columns(frames: Movies, curves: LightCurves, options: PhotometryOptions) -> NDArray[np.float64]:
    counts, good, _ = usable_pixels(frames, (np.arange(len(frames)), 0))
    reported = frames.reported
    fwhm, gain = (column[:, 0].astype(np.float64) for column in (reported.psf_fwhm, reported.gain))
    scale = 10.0 ** (0.4 * (options.zero_point - reported.zero_point[:, 0].astype(np.float64))) / reported.exptime[:, 0]
    sky, centre = curves.sky[:, 0], curves.centre[:, 0]
    shape = (counts.shape[1], counts.shape[2])
    width = profile_width(fwhm, options.profile, options.beta) if options.width == "fitted" else fwhm
    star = psf_image(shape, width, centre, options.profile, options.beta) * (curves.flux[:, 0] / scale)[:, None, None]
    signal = np.where(good, counts - sky[:, None, None], 0.0)
    excess = np.where(good, signal - star, 0.0)
    noise = np.where(good, background_variance(sky, gain, reported.read_noise[:, 0])[:, None, None], 0.0)
    noise += np.maximum(signal, 0.0) / gain[:, None, None]

    x = (np.arange(shape[1]) - 0.5 * (shape[1] - 1)) - centre[:, :1]
    y = (np.arange(shape[0]) - 0.5 * (shape[0] - 1)) - centre[:, 1:]
    radius2 = (x[:, None, :] ** 2 + y[:, :, None] ** 2) / fwhm[:, None, None] ** 2
    rings = [(radius2 >= inner**2) & (radius2 < outer**2) for inner, outer in RINGS]
    weight = np.exp(-2.0 * np.log(2.0) * radius2) * signal  # a Gaussian of sqrt(2) times the PSF's width
    moments = [weight, weight * x[:, None, :] ** 2, weight * y[:, :, None] ** 2, weight * x[:, None, :] * y[:, :, None]]
    sums = [np.where(ring, excess, 0.0).sum(axis=(1, 2)) * scale for ring in rings]
    sums += [np.where(ring, noise, 0.0).sum(axis=(1, 2)) * scale**2 for ring in rings]
    sums += [moment.sum(axis=(1, 2)) * scale for moment in moments]
    return np.stack([*sums, fwhm], axis=1)


def image_features(columns: NDArray[np.float64], flux: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Features of the images so far.

    Parameters
    ----------
    columns : float64 (m, T, len(COLUMNS))
        Of `frame_columns`.
    flux : float64 (m, T)
        Calibrated PSF fluxes.
    mask : bool (m, T)
        The points that count.

    Returns
    -------
    float64 array (m, len(IMAGE_FEATURES))
        Always finite.
    """
    flux, columns = np.where(mask, flux, 0.0), np.where(mask[..., None], columns, 0.0)
    total, number = flux.sum(axis=1), mask.sum(axis=1)
    sums = dict(zip(COLUMNS, columns.sum(axis=1).T, strict=True))
    half = _faint_half(flux, mask)
    faint = dict(zip(COLUMNS, np.where(half[..., None], columns, 0.0).sum(axis=1).T, strict=True))
    values = [_ratio(sums[f"excess_{k}"], np.abs(total)) for k in range(len(RINGS))]
    values += [_ratio(sums[f"excess_{k}"], np.sqrt(sums[f"variance_{k}"])) for k in range(len(RINGS))]
    values += [_ratio(faint[f"excess_{k}"], np.sqrt(faint[f"variance_{k}"])) for k in (1, 2, 3)]
    fwhm = columns[..., COLUMNS.index("fwhm")]
    xx, yy, xy = (_ratio(sums[f"moment_{name}"], sums["light"]) for name in ("xx", "yy", "xy"))
    mean_fwhm2 = _ratio((fwhm**2).sum(axis=1), number)
    values += [np.clip(_ratio(xx + yy, mean_fwhm2), -1, 2), np.clip(_ratio(np.hypot(xx - yy, 2 * xy), np.abs(xx + yy)), 0, 1)]
    x = np.where(mask, fwhm - _ratio(fwhm.sum(axis=1), number)[:, None], 0.0)
    y = np.where(mask, flux - _ratio(total, number)[:, None], 0.0)
    xx, yy, xy = (x**2).sum(axis=1), (y**2).sum(axis=1), (x * y).sum(axis=1)
    values += [_ratio(xy, np.sqrt(xx * yy)), np.clip(_ratio(xy * number, xx * np.abs(total)), -1, 1)]
    return np.stack(values, axis=1)


def _faint_half(flux: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Points up to the (lower) median flux of their curve."""
    rank = np.argsort(np.argsort(np.where(mask, flux, np.inf), axis=1, kind="stable"), axis=1, kind="stable")
    return np.asarray(mask & (rank < (mask.sum(axis=1) + 1)[:, None] // 2))


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    """above / below, 0 where `below` is 0 or the ratio is beyond single precision's range."""
    with np.errstate(all="ignore"):
        value = above / below
    return np.where(np.isfinite(value) & (np.abs(value) < 1e30), value, 0.0)
