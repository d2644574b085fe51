"""One batch of frames from pixels to fluxes: sky, centre, host, weights, errors, flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from skyreel.photometry.centring import LIMIT, Stamps, frame_centres, object_centres
from skyreel.photometry.hosts import PSF_ERROR, WIDTHS, fit_hosts, host_centres
from skyreel.photometry.optimal import background_variance, optimal_weights, variance
from skyreel.photometry.options import Flag, PhotometryOptions
from skyreel.photometry.profiles import psf_image
from skyreel.photometry.sky import border, border_sky

ROUNDS = 2
"""Times that the border is measured again without the wings of source and host, and the host is fitted again. Left in, the wings
would cost 0.4 % (FWHM 4 px) to 4 % (6 px) of the flux."""
NEGLIGIBLE = 0.02
"""Light in the border [ADU] that needs no correction."""
FEWEST_BORDER_PIXELS = 30
UNDER_PSF = 0.02
"""A pixel is under the PSF where the profile exceeds this part of its peak."""
FEWEST_LIGHT, BAD_LIGHT, EDGE_LIGHT = 0.1, 0.1, 0.8


@dataclass(frozen=True)
class Frames:
    """m usable frames of n objects.

    Attributes
    ----------
    counts : float32 (m, H, W), ADU
    good : bool (m, H, W)
        Pixels that count.
    saturated : bool (m, H, W)
    owner : int (m,)
        Object of each frame, ascending.
    n : int
    fwhm, sky, gain, read_noise : float32 (m,)
        px, ADU / px, electron / ADU, electron.
    factor : float64 (m,)
        Calibrated flux of 1 ADU.
    """

    counts: NDArray[np.float32]
    good: NDArray[np.bool_]
    saturated: NDArray[np.bool_]
    owner: NDArray[np.intp]
    n: int
    fwhm: NDArray[np.float32]
    sky: NDArray[np.float32]
    gain: NDArray[np.float32]
    read_noise: NDArray[np.float32]
    factor: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the stamps."""
        return int(self.counts.shape[1]), int(self.counts.shape[2])


@dataclass(frozen=True)
class Points:
    """What was measured on m frames.

    Attributes
    ----------
    flux, error : float64 (m,), ADU
        Without error floor; 0 and infinity where nothing is left.
    sky : float64 (m,), ADU / px
    centre : float64 (m, 2), px
    flags : uint8 (m,)
        `Flag`.
    """

    flux: NDArray[np.float64]
    error: NDArray[np.float64]
    sky: NDArray[np.float64]
    centre: NDArray[np.float64]
    flags: NDArray[np.uint8]

    @staticmethod
    def joined(parts: Sequence[Points]) -> Points:
        """One after the other."""
        return Points(**{item.name: np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(Points)})


def measure_frames(frames: Frames, options: PhotometryOptions) -> Points:
    """Fluxes of a batch of frames; a function of each object's own frames alone, to the last bit."""
    if not len(frames):
        nothing = np.zeros(0)
        return _points(nothing, nothing, nothing, np.zeros((0, 2)), np.zeros(0, np.uint8))
    noise = background_variance(frames.sky, frames.gain, frames.read_noise)
    sky, sky_variance, flags = _first_sky(frames, noise, options)
    counts = frames.counts - np.asarray(sky, np.float32)[:, None, None]
    if options.host != "none" and options.centre != "middle":
        # the host would draw the centre to itself
        middle = _Fit(frames, np.zeros((len(frames), 2)), noise, options)
        middle.solve(sky)
        counts = counts - middle.host
    centre, centre_flags = _centres(frames, counts, noise, options)
    fit = _Fit(frames, centre, noise, options)
    fit.solve(sky)
    for _ in range(ROUNDS if options.sky == "border" or options.host != "none" else 0):
        sky = _without_wings(frames, fit.light(), sky, sky_variance > 0)
        fit.solve(sky)
    flux, error = fit.flux(sky_variance)
    flags |= centre_flags | _pixel_flags(frames.good, frames.saturated, fit.profile)
    return _points(flux, error, sky, centre, flags)


def known_light(
    counts: NDArray[np.float32],
    good: NDArray[np.bool_],
    saturated: NDArray[np.bool_],
    profile: NDArray[np.float32],
    host: NDArray[np.float32],
    sky: NDArray[np.float32],
    gain: NDArray[np.float32],
    read_noise: NDArray[np.float32],
    centre: NDArray[np.float64],
    iterations: int,
) -> Points:
    """Fluxes of m frames whose PSF, host and sky are known.

    Parameters
    ----------
    counts : float32 (m, H, W), ADU
    good, saturated : bool (m, H, W)
    profile : float32 (m, H, W)
        Share of the source's flux in each pixel.
    host : float32 (m, H, W), ADU
    sky, gain, read_noise : float32 (m,)
        ADU / px, electron / ADU, electron.
    centre : float64 (m, 2), px
        Only handed on.
    iterations : int
    """
    share = _flat(np.where(good, profile, 0))
    signal = _flat(np.where(good, counts - host - sky[:, None, None], 0))
    per_electron = np.asarray(1.0 / gain, np.float32)
    noise = background_variance(sky, gain, read_noise)
    background = np.asarray(noise[:, None] + np.maximum(_flat(host), 0) * per_electron[:, None], np.float32)
    weight, flux = optimal_weights(signal, share, background, per_electron, iterations)
    norm = (weight * share).sum(axis=1, dtype=np.float64)
    squares = (weight**2 * variance(flux, share, background, per_electron)).sum(axis=1, dtype=np.float64)
    error = np.sqrt(squares) / np.where(norm > 0, norm, 1)
    return _points(flux, error, sky.astype(np.float64), centre, _pixel_flags(good, saturated, profile))


def _points(
    flux: NDArray[np.float64], error: NDArray[np.float64], sky: NDArray[np.float64], centre: NDArray[np.float64], flags: NDArray[np.uint8]
) -> Points:
    empty = (flags & Flag.EMPTY.value) > 0
    flags = np.where(~empty & (flux <= 0), flags | Flag.NEGATIVE.value, flags).astype(np.uint8)
    return Points(np.where(empty, 0.0, flux), np.where(empty, np.inf, error), sky, centre, flags)


class _Fit:
    """Point source and host of all frames at given sky levels: `solve`, then `light` or `flux`."""

    def __init__(self, frames: Frames, centre: NDArray[np.float64], noise: NDArray[np.float32], options: PhotometryOptions) -> None:
        self._frames, self._centre, self._noise, self._options = frames, centre, noise, options
        self.profile = psf_image(frames.shape, frames.fwhm, centre, options.profile, options.beta)
        self._per_electron = np.asarray(1.0 / frames.gain, np.float32)
        self._share = _flat(np.where(frames.good, self.profile, 0))
        self._components: NDArray[np.float32] | None = None
        self._host = np.zeros_like(self._share)
        self._host_variance = np.zeros(len(frames))
        self._squares = (self._share**2).sum(axis=1, dtype=np.float64)
        self._weight, self._point = self._share, np.zeros(len(frames))

    def solve(self, sky: NDArray[np.float64]) -> None:
        """Fits host and fluxes to the counts without `sky`."""
        signal = self._signal(sky)
        if self._options.host == "none":
            self._weight, self._point = self._weights(signal)
            return
        if self._components is None:
            self._components = self._host_components(signal)
            self._weight, self._point = self._weights(signal)
        frames = self._frames
        shapes = self._components * np.where(frames.good, 1, 0).reshape(len(frames), 1, -1)
        # an error that all frames of an object share does not average out
        number = np.bincount(frames.owner, minlength=frames.n)[frames.owner]
        misfit = np.asarray(PSF_ERROR * np.sqrt(number) * self._point, np.float32)[:, None] * self._share
        hosts = fit_hosts(_flat(signal), self._share, shapes, self._variance() + misfit**2, frames.owner, frames.n)
        self._host = np.einsum("mk,mkp->mp", hosts.flux[frames.owner].astype(np.float32), self._components)
        self._weight, self._point = self._weights(signal)
        lever = (self._weight[:, None] * shapes).sum(axis=2, dtype=np.float64) / self._norm()[:, None]
        self._host_variance = np.einsum("mi,mij,mj->m", lever, hosts.covariance[frames.owner], lever)

    def light(self) -> NDArray[np.float32]:
        """Counts of source and host (m, H, W) [ADU], masked pixels included."""
        source = np.asarray(self._point, np.float32)[:, None, None] * self.profile
        return np.asarray(source + self.host, np.float32)

    @property
    def host(self) -> NDArray[np.float32]:
        """Counts of the host (m, H, W) [ADU]."""
        return self._host.reshape(self.profile.shape)

    def flux(self, sky_variance: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Flux and error (m,) [ADU]: photon and read noise, error of the sky and, where it is subtracted, of the host."""
        norm = self._norm()
        squares = (self._weight**2 * self._variance()).sum(axis=1, dtype=np.float64)
        leverage = self._weight.sum(axis=1, dtype=np.float64)
        error = np.sqrt(squares + leverage**2 * sky_variance) / norm
        if self._options.host == "weights":
            # through the bare profile: weights that follow the noise would see more of the host in one frame than in another
            seen = (self._share * self._host).sum(axis=1, dtype=np.float64)
            return self._point + np.divide(seen, self._squares, out=np.zeros_like(seen), where=self._squares > 0), error
        return self._point, np.hypot(error, np.sqrt(self._host_variance))

    def _signal(self, sky: NDArray[np.float64]) -> NDArray[np.float32]:
        return np.where(self._frames.good, self._frames.counts - np.asarray(sky, np.float32)[:, None, None], 0)

    def _weights(self, signal: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        residual = np.where(self._share > 0, _flat(signal) - self._host, 0)
        weight, flux = optimal_weights(residual, self._share, self._background(), self._per_electron, self._options.iterations)
        return weight, np.nan_to_num(flux, nan=0.0)

    def _variance(self) -> NDArray[np.float32]:
        return variance(self._point, self._share, self._background(), self._per_electron)

    def _background(self) -> NDArray[np.float32]:
        return np.asarray(self._noise[:, None] + self._host * self._per_electron[:, None], np.float32)

    def _norm(self) -> NDArray[np.float64]:
        norm = (self._weight * self._share).sum(axis=1, dtype=np.float64)
        return np.where(norm > 0, norm, 1.0)

    def _host_components(self, signal: NDArray[np.float32]) -> NDArray[np.float32]:
        """Counts (m, K, pixels) [ADU] of each component for a calibrated flux of 1, masked pixels included."""
        frames, options = self._frames, self._options
        counts = 1.0 / frames.factor
        centre = host_centres(signal, frames.good, frames.fwhm, self._noise, counts, frames.owner, frames.n)[frames.owner]
        widths = [np.hypot(frames.fwhm, width) for width in WIDTHS]
        shapes = [psf_image(frames.shape, width, centre, options.profile, options.beta) for width in widths]
        return np.asarray(np.stack([_flat(shape) for shape in shapes], axis=1) * counts[:, None, None], np.float32)


def _first_sky(
    frames: Frames, noise: NDArray[np.float32], options: PhotometryOptions
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.uint8]]:
    """Sky (m,), the variance of its measurement and flags."""
    reported, nothing = np.asarray(frames.sky, np.float64), np.zeros(len(frames))
    flags = np.zeros(len(frames), np.uint8)
    if options.sky == "reported":
        return reported, nothing, flags
    number = frames.good[:, border(*frames.shape)].sum(axis=1)
    enough = number >= FEWEST_BORDER_PIXELS
    flags[~enough] = Flag.SKY.value
    # of the median of normal deviates
    spread = 0.5 * np.pi * noise / np.maximum(number, 1)
    return np.where(enough, border_sky(frames.counts, ~frames.good), reported), np.where(enough, spread, nothing), flags


def _without_wings(frames: Frames, light: NDArray[np.float32], sky: NDArray[np.float64], local: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Sky (m,) of the counts without `light`, where that matters and the sky is `local`."""
    matters = local & (np.abs(light[:, border(*frames.shape)]).max(axis=1) > NEGLIGIBLE)
    sky = sky.copy()
    sky[matters] = border_sky(frames.counts[matters] - light[matters], ~frames.good[matters])
    return sky


def _centres(
    frames: Frames, counts: NDArray[np.float32], noise: NDArray[np.float32], options: PhotometryOptions
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Positions (m, 2) of the sources in `counts` without sky and host, and flags."""
    flags = np.zeros(len(frames), np.uint8)
    if options.centre == "middle":
        return np.zeros((len(frames), 2)), flags
    stamps = Stamps(np.where(frames.good, counts, 0), frames.good, frames.fwhm, noise, np.asarray(1.0 / frames.gain, np.float32))
    per_object, found = object_centres(stamps, frames.owner, frames.n)
    centre, detected = per_object[frames.owner], found[frames.owner]
    if options.centre == "frame":
        centre, detected = frame_centres(stamps, centre)
    flags[~detected] |= Flag.CENTRE_FALLBACK.value
    flags[(np.abs(centre) >= LIMIT).any(axis=1)] |= Flag.CENTRE_LIMIT.value
    return centre, flags


def _pixel_flags(good: NDArray[np.bool_], saturated: NDArray[np.bool_], profile: NDArray[np.float32]) -> NDArray[np.uint8]:
    flags = np.zeros(len(profile), np.uint8)
    under = profile > UNDER_PSF * profile.max(axis=(1, 2), keepdims=True)
    inside = profile.sum(axis=(1, 2), dtype=np.float64)
    usable = np.where(good, profile, 0).sum(axis=(1, 2), dtype=np.float64)
    flags[(under & saturated).any(axis=(1, 2))] |= Flag.SATURATED.value
    flags[usable < (1 - BAD_LIGHT) * inside] |= Flag.BAD_PIXELS.value
    flags[inside < EDGE_LIGHT] |= Flag.EDGE.value
    flags[usable < FEWEST_LIGHT] |= Flag.EMPTY.value
    return flags


def _flat(stamps: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(stamps).reshape(len(stamps), stamps.shape[1] * stamps.shape[2])
