"""Makes the file of real stars that the empirical PSF reads:

    python -m skyreel_psf.build_empirical --psf psf.npz --output plugins/skyreel_psf/decam_stars.npz

`psf.npz` holds stacks of DECam stars measured on the public HiTS 2015A stamps (github.com/rodrigcd/HiTS_simulations):
averages in bins of width on a grid of 1/3 px (bin_psf_os3, bin_gauss_fwhm_px, bin_n_stars) and single stars
(star_psf, star_gauss_fwhm_px, star_field, star_mjd).
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from skyreel.photometry.widths import FWHM_PER_SIGMA
from skyreel_psf.empirical import CORE_RADIUS, SHAPE_FWHM, Stars, sampled

Array = NDArray[np.float64]

OVERSAMPLE = 3
"""Samples per px of the averages (their file's name: os3)."""

MIN_STARS = 150
"""Bins with fewer stars are left out: the widest two are noisy and elongated."""

RANK = 9
"""Eigenimages kept of the averages; within 4e-3 of the peak, their noise."""

N_SHAPES = 4
"""Principal components kept of single stars."""

MAX_STAR_FWHM = 6.0
"""Widest single stars used [px]: the stamp must hold 1.7 widths."""


def taper(r: Array, inner: float, outer: float) -> Array:
    """1 within `inner`, 0 beyond `outer`, half a cosine between."""
    return np.asarray(0.5 * (1 + np.cos(np.pi * np.clip((r - inner) / (outer - inner), 0, 1))), np.float64)


def radii(side: int, oversample: int) -> Array:
    """Distance of every sample from the image's middle [px]."""
    x = (np.arange(side) - (side - 1) / 2) / oversample
    return np.asarray(np.hypot(x, x[:, None]), np.float64)


def fit_wings(image: Array, fwhm: float) -> Array:
    """Central value, alpha and beta of the Moffat profile that fits an average star from 0.6 FWHM outwards."""
    r = radii(len(image), OVERSAMPLE)
    used = (r > 0.6 * fwhm) & (r < 10)
    weight = 1 / np.sqrt(np.maximum(image[used], 0) + 1e-4)

    def misfit(p: Array) -> Array:
        return np.asarray(weight * (np.exp(p[0]) * (1 + (r[used] / np.exp(p[1])) ** 2) ** -p[2] - image[used]))

    found = least_squares(misfit, [np.log(image.max()), np.log(fwhm), 4.2], bounds=([-20, -3, 2.5], [5, 5, 8]))
    return np.array([np.exp(found.x[0]), np.exp(found.x[1]), found.x[2]])


def smooth(image: Array, fwhm: float) -> Array:
    """Removes noise at frequencies that a star of this width does not have: a taper from 4.5 to 6 / sigma."""
    k = 2 * np.pi * OVERSAMPLE * np.fft.fftfreq(len(image)) * fwhm / FWHM_PER_SIGMA
    return np.asarray(np.fft.ifft2(np.fft.fft2(image) * taper(np.hypot(k, k[:, None]), 4.5, 6.0)).real)


def average_star(image: Array, fwhm: float) -> tuple[Array, Array]:
    """An average star, smoothed and with Moffat wings for outskirts, unit flux over the plane; and those wings."""
    peak, alpha, beta = fit_wings(image, fwhm)
    r = radii(len(image), OVERSAMPLE)
    wings = peak * (1 + (r / alpha) ** 2) ** -beta
    outer = min(2.5 * fwhm, CORE_RADIUS)
    whole = wings + taper(r, 0.65 * outer, outer) * smooth(image - wings, fwhm)
    inside = r < CORE_RADIUS
    beyond = np.pi * alpha**2 * peak / (beta - 1) * (1 + (CORE_RADIUS / alpha) ** 2) ** (1 - beta)
    flux = whole[inside].sum() / OVERSAMPLE**2 + beyond
    return whole / flux, np.array([peak / flux, alpha, beta])


def averages(stacks: dict[str, Array]) -> Stars:
    """The averages by width, without departures."""
    used = stacks["bin_n_stars"] >= MIN_STARS
    fwhm = stacks["bin_gauss_fwhm_px"][used]
    made = [average_star(image, width) for image, width in zip(stacks["bin_psf_os3"][used], fwhm, strict=True)]
    side = stacks["bin_psf_os3"].shape[-1]
    none = np.zeros(0)
    return Stars(OVERSAMPLE, fwhm, np.stack([m[0] for m in made]), np.stack([m[1] for m in made]), np.zeros((0, side, side)), none, none)


def nuisances(stars: Stars, fwhm: float, size: int, oversample: int) -> Array:
    """The average star and its derivatives by x, y and width, (4, M, M): what is no change of shape."""
    mean = stars.mean(fwhm, size, oversample)
    dy, dx = np.gradient(mean)
    wider = stars.mean(1.02 * fwhm, size, oversample) - stars.mean(fwhm / 1.02, size, oversample)
    return np.stack([mean, dx, dy, wider])


def without(rows: Array, directions: Array) -> Array:
    """Rows less their projection on the directions."""
    basis = np.linalg.qr(directions.T)[0]
    return np.asarray(rows - rows @ basis @ basis.T)


def departures(stars: Stars, stamps: Array, widths: Array) -> Array:
    """What single stars have beyond the average of their width, magnified to SHAPE_FWHM, (n, S, S)."""
    side = stars.images.shape[-1]
    x = (np.arange(side) - (side - 1) / 2) / OVERSAMPLE
    out = np.empty((len(stamps), side, side))
    size = stamps.shape[-1]
    for k, (stamp, width) in enumerate(zip(stamps, widths, strict=True)):
        known = nuisances(stars, width, size, 1).reshape(4, -1)
        scale = np.linalg.lstsq(known.T, stamp.ravel(), rcond=None)[0]
        residual = (stamp.ravel() - scale @ known).reshape(size, size) / scale[0]
        ratio = width / SHAPE_FWHM
        out[k] = sampled(residual, 1, x * ratio) * ratio**2
    window = taper(radii(side, OVERSAMPLE), SHAPE_FWHM, 1.6 * SHAPE_FWHM)
    flat = (out * window).reshape(len(out), -1)
    known = nuisances(stars, SHAPE_FWHM, side // OVERSAMPLE, OVERSAMPLE) * window
    return without(flat, known.reshape(4, -1)).reshape(out.shape)


def spread(amplitudes: Array, group: NDArray[np.integer]) -> tuple[Array, Array]:
    """Standard deviation of the groups' means and within groups, (F,) each (analysis of variance).

    Amplitudes beyond 3 robust standard deviations are clipped: blends and cosmic rays.
    """
    middle = np.median(amplitudes, axis=0)
    sigma = 1.4826 * np.median(np.abs(amplitudes - middle), axis=0)
    clean = np.clip(amplitudes - middle, -3 * sigma, 3 * sigma)
    count = np.bincount(group).astype(float)
    means = np.stack([np.bincount(group, column) for column in clean.T], axis=1) / count[:, None]
    within = ((clean - means[group]) ** 2).sum(axis=0) / (count.sum() - len(count))
    typical = (count.sum() - (count**2).sum() / count.sum()) / (len(count) - 1)
    between = ((count[:, None] * means**2).sum(axis=0) / (len(count) - 1) - within) / typical
    return np.sqrt(np.maximum(between, 0)), np.sqrt(within)


def build(stacks: dict[str, Array]) -> Stars:
    """Averages and departures from the stacks of stars."""
    stars = averages(stacks)
    used = stacks["star_gauss_fwhm_px"] < MAX_STAR_FWHM
    shapes = departures(stars, stacks["star_psf"][used], stacks["star_gauss_fwhm_px"][used])
    flat = shapes.reshape(len(shapes), -1)
    size = np.linalg.norm(flat, axis=1)
    good = size < 3 * np.median(size)
    right = np.linalg.svd(flat[good], full_matrices=False)[2][:N_SHAPES]
    exposure = np.stack([stacks["star_field"][used][good], stacks["star_mjd"][used][good]], axis=1)
    group = np.unique(exposure, axis=0, return_inverse=True)[1].ravel()
    between, within = spread(flat[good] @ right.T, group)
    side = shapes.shape[-1]
    right = np.stack([smooth(row.reshape(side, side), SHAPE_FWHM).ravel() for row in right])
    # Amplitudes in units in which each departure has the height of the average star; a departure holds no flux.
    mean = (stars.mean(SHAPE_FWHM, side // OVERSAMPLE, OVERSAMPLE) * OVERSAMPLE**2).ravel()
    right -= (right.sum(axis=1) / mean.sum())[:, None] * mean
    height = np.abs(right).max(axis=1) / mean.max()
    return replace(
        stars,
        shapes=(right / height[:, None]).reshape(N_SHAPES, side, side),
        exposure_rms=between * height,
        ccd_rms=within * height,
    )


def write(stars: Stars, path: Path) -> None:
    """Stores the averages as eigenimages, all in float32."""
    flat = stars.images.reshape(len(stars.images), -1)
    left, singular, right = np.linalg.svd(flat, full_matrices=False)
    np.savez_compressed(
        path,
        oversample=np.int32(stars.oversample),
        fwhm=stars.fwhm.astype(np.float32),
        loadings=(left * singular)[:, :RANK].astype(np.float32),
        eigenimages=right[:RANK].reshape(RANK, *stars.images.shape[1:]).astype(np.float32),
        wings=stars.wings.astype(np.float32),
        shapes=stars.shapes.astype(np.float32),
        exposure_rms=stars.exposure_rms.astype(np.float32),
        ccd_rms=stars.ccd_rms.astype(np.float32),
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m skyreel_psf.build_empirical", description="build the file of the empirical PSF")
    parser.add_argument("--psf", type=Path, required=True, help="stacks of stars, psf.npz")
    parser.add_argument("--output", type=Path, required=True, help="file to write (.npz)")
    options = parser.parse_args()
    with np.load(options.psf, allow_pickle=False) as stored:
        stacks = {name: np.asarray(stored[name], np.float64) for name in stored.files}
    stars = build(stacks)
    write(stars, options.output)
    print(f"{options.output}: {len(stars.fwhm)} averages, {len(stars.shapes)} departures, {options.output.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
