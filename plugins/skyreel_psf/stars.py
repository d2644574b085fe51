"""Frames of constant stars, made ready for a PSF library: their sky, their wings, and images shifted to the middle."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import DataError
from skyreel.interfaces import PixelBits
from skyreel.movies import Movies
from skyreel.photometry.moments import adaptive_moments
from skyreel.simulate.psf_basis import pixel_axis
from skyreel_psf.library import SIDE, wing_profile

Array = NDArray[np.float64]

BORDER = 9.0
"""Radius [px] beyond which the sky is read off."""

APERTURE = 8.0
"""Radius [px] of the flux that stars are divided by."""

RINGS = np.array([6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 15.0])
"""Borders [px] of the rings in which the wings are measured."""

FALL_RINGS, FALL = 4, (3.0, 9.0)
"""How many of the outer rings show how the wings go on, and limits of that exponent: wings flatter than the third power have most
of their light outside the stamp (HiTS stars: 2.8 from 9 to 14 px)."""

STARS_PER_EXPOSURE = 15
"""Fewer stars say too little about what an exposure's stars share."""

EXPOSURES = 6
"""Fewer exposures span no range of widths."""

SIGNAL_TO_NOISE = 60.0
"""Of the aperture's flux, for stars that enter a library."""

LEAST_SIDE = 21
"""Of the stamps [px]: smaller ones show neither wings nor sky."""


@dataclass(frozen=True)
class Frames:
    """Frames of stars, flattened.

    Attributes
    ----------
    stamp : (m, H, H), ADU
    gain, read_noise : (m,)
        electron / ADU, electron
    seeing : (m,), arcsec
    mjd : (m,), d
    ccd : (m,)
    exposure, star : int (m,)
        Numbers of exposures and stars.
    """

    stamp: Array
    gain: Array
    read_noise: Array
    seeing: Array
    mjd: Array
    ccd: Array
    exposure: NDArray[np.int64]
    star: NDArray[np.intp]

    @staticmethod
    def of(movies: Movies) -> Frames:
        """Usable frames without flagged pixels.

        Raises
        ------
        DataError
            For stamps that are too small.
        """
        if movies.stamp_size < LEAST_SIDE:
            raise DataError("measuring a PSF", f"stamps of {movies.stamp_size} px", f"hand in stamps of at least {LEAST_SIDE} px")
        flagged = PixelBits.BAD | PixelBits.NO_DATA | PixelBits.SATURATED
        clean = ((movies.pixel_mask[:, :, 0] & flagged) == 0).all(axis=(2, 3))
        rows, epochs = np.nonzero(movies.frame_mask & movies.reported.mask & clean)
        names = ("gain", "read_noise", "seeing", "mjd", "ccd")
        column = {name: np.asarray(getattr(movies.reported, name)[rows, epochs], np.float64) for name in names}
        stamp = np.asarray(movies.pixels[rows, epochs, 0], np.float64)
        return Frames(stamp, **column, exposure=movies.reported.exposure_id[rows, epochs], star=rows)

    def take(self, chosen: NDArray[np.bool_]) -> Frames:
        """Some of the frames."""
        return Frames(**{name: column[chosen] for name, column in vars(self).items()})

    def variance(self) -> Array:
        """Of every pixel (m, H, H) [ADU^2]: photons and read noise."""
        gain, read_noise = self.gain[:, None, None], self.read_noise[:, None, None]
        return np.maximum(self.stamp, 1.0) / gain + (read_noise / gain) ** 2


@dataclass(frozen=True)
class Wings:
    """Radial profile far out, a power of the width in every ring; see `library.Library`.

    Attributes
    ----------
    ring : (R,), px
    wing : (R, 2)
    fall : float
    """

    ring: Array
    wing: Array
    fall: float

    def images(self, log_width: Array, radius: Array) -> Array:
        """Wings (m, ...) of stars of these widths; widths are rounded to 1 %, which the wings do not show."""
        values, member = np.unique(np.round(log_width, 2), return_inverse=True)
        return np.stack([wing_profile(self.ring, self.wing, self.fall, value, radius) for value in values])[member]


@dataclass(frozen=True)
class Shapes:
    """Stars in the middle of their images.

    Attributes
    ----------
    image : (m, SIDE, SIDE)
        Of unit flux within APERTURE.
    variance : (m,)
        Of the photon noise per pixel, on average over the aperture, in units of the flux squared.
    log_width : (m,)
        Logarithm of the adaptive width [px].
    frames : Frames
    wings : Wings
    """

    image: Array
    variance: Array
    log_width: Array
    frames: Frames
    wings: Wings

    def take(self, chosen: NDArray[np.bool_]) -> Shapes:
        """Some of the stars."""
        return Shapes(self.image[chosen], self.variance[chosen], self.log_width[chosen], self.frames.take(chosen), self.wings)


def shapes(movies: Movies) -> Shapes:
    """Bright, isolated stars, less their sky, divided by their flux and shifted to their centres.

    Parameters
    ----------
    movies : Movies
        Constant stars, every exposure shared by many of them.

    Raises
    ------
    DataError
        For stamps that are too small, and where fewer than EXPOSURES exposures are shared by STARS_PER_EXPOSURE stars.
    """
    frames = Frames.of(movies)
    axis = pixel_axis(frames.stamp.shape[-1], 1)
    radius = np.hypot(axis, axis[:, None])
    rough, flux = _first_look(frames, radius)
    wings = _wings(frames, radius, rough, flux)
    model = wings.images(np.log(rough), radius)
    for _ in range(2):  # the sky needs the flux, the flux the sky
        sky = np.median((frames.stamp - flux[:, None, None] * model)[:, radius > BORDER], axis=1)
        image = frames.stamp - sky[:, None, None]
        flux = (image * (radius < APERTURE)).sum(axis=(1, 2))
    moments = adaptive_moments(image)
    log_width = np.log(moments.fwhm)
    variance = frames.variance()
    noise = np.sqrt((variance * (radius < APERTURE)).sum(axis=(1, 2)))
    excess = (image - flux[:, None, None] * model) > 6 * np.sqrt(variance)
    kept = (flux > SIGNAL_TO_NOISE * noise) & ~(excess & (radius > APERTURE)).any(axis=(1, 2))
    kept &= (np.hypot(*moments.centre.T) < 1.3) & (np.abs(log_width - np.log(rough)) < 0.2)
    kept &= (log_width > np.quantile(log_width[kept], 0.002)) & (log_width < np.quantile(log_width[kept], 0.998))
    flux, log_width = flux[kept, None, None], log_width[kept]
    centred = _centred(image[kept] / flux, moments.centre[kept], wings.images(log_width, _radius(SIDE)))
    per_pixel = (noise[kept] / flux[:, 0, 0]) ** 2 / (radius < APERTURE).sum()
    return Shapes(centred, per_pixel, log_width, frames.take(kept), wings)


def _radius(side: int) -> Array:
    axis = pixel_axis(side, 1)
    return np.asarray(np.hypot(axis, axis[:, None]), np.float64)


def _first_look(frames: Frames, radius: Array) -> tuple[Array, Array]:
    """Width [px], the same for all stars of an exposure, and aperture flux, the sky read off at the border."""
    image = frames.stamp - np.median(frames.stamp[:, radius > BORDER], axis=1)[:, None, None]
    width = adaptive_moments(image).fwhm
    _, member = np.unique(frames.exposure, return_inverse=True)
    common = np.array([np.median(width[member == k]) for k in range(member.max(initial=-1) + 1)])
    return common[member], (image * (radius < APERTURE)).sum(axis=(1, 2))


def _wings(frames: Frames, radius: Array, rough: Array, flux: Array) -> Wings:
    """The slope of a ring's brightness against the star's flux over the stars of one exposure, ring by ring.

    No sky has to be known, and light that a sky read off at the border would take away is kept.
    """
    inside = [(radius >= low) & (radius < high) for low, high in pairwise(RINGS.tolist()) if (radius >= low).any()]
    level = np.stack([np.median(frames.stamp[:, chosen], axis=1) for chosen in inside], axis=1)
    names, member, count = np.unique(frames.exposure, return_inverse=True, return_counts=True)
    rich = np.flatnonzero(count >= STARS_PER_EXPOSURE)
    if len(rich) < EXPOSURES:
        found = f"{len(rich)} of {len(names)} exposures with at least {STARS_PER_EXPOSURE} usable stars"
        raise DataError("measuring a PSF", found, f"hand in constant stars that share {EXPOSURES} exposures or more")
    slope = np.stack([[robust_line(flux[member == k], column, 3.0)[1] for column in level[member == k].T] for k in rich])
    width = np.array([np.log(rough[member == k][0]) for k in rich])
    ring = np.array([radius[chosen].mean() for chosen in inside])
    wing = np.array([robust_line(width, np.log(np.maximum(column, 1e-7))) for column in slope.T])
    outer = wing[-FALL_RINGS:] @ [1.0, np.median(width)]
    return Wings(ring, wing, float(np.clip(-np.polyfit(np.log(ring[-FALL_RINGS:]), outer, 1)[0], *FALL)))


def robust_line(x: Array, y: Array, clip: float = 2.5) -> Array:
    """Intercept and slope by least squares, points beyond `clip` robust standard deviations left out."""
    used = np.ones(len(x), np.bool_)
    line = np.zeros(2)
    for _ in range(5):
        line = np.polyfit(x[used], y[used], 1)
        rest = np.abs(y - np.polyval(line, x))
        used = rest <= clip * 1.4826 * np.median(rest) + 1e-12
    return np.asarray(line[::-1], np.float64)


def _centred(image: Array, centre: Array, wide: Array) -> Array:
    """Stars (m, SIDE, SIDE) shifted to the middle by the Fourier shift theorem, the wings `wide` around the stamp."""
    radius = _radius(SIDE)
    margin = (SIDE - image.shape[-1]) // 2
    whole = wide.copy()
    if margin >= 0:
        whole[:, margin : margin + image.shape[-1], margin : margin + image.shape[-1]] = image
    else:
        whole = image[:, -margin : SIDE - margin, -margin : SIDE - margin].copy()
    share = 0.5 * (1 + np.cos(np.pi * np.clip((radius - 10.0) / 2.5, 0, 1)))
    whole = wide + share * (whole - wide)
    k = 2 * np.pi * np.fft.fftfreq(SIDE)
    phase = np.exp(1j * (centre[:, 1, None, None] * k[:, None] + centre[:, 0, None, None] * k))
    return np.asarray(np.fft.ifft2(np.fft.fft2(whole) * phase).real, np.float64)
