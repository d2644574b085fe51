"""A library of star shapes: the average as a function of width, principal components, and how real stars combine them."""

from __future__ import annotations

import io
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import DatasetError
from skyreel.files import write_bytes
from skyreel.simulate.psf_basis import pixel_axis
from skyreel_psf.departures import Departures

Array = NDArray[np.float64]

SIDE = 33
"""Side of the stored images [px]: the stamp's corners and room for the shift to its centre."""

INNER, OUTER = 12.0, 14.5
"""Radii [px] between which the images pass into the radial wings."""

FADE, END = 35.0, 48.0
"""Radii [px] over which the wings fade to nothing: 1 to 2 % of the light of HiTS stars lies between the last ring and there."""

LARGEST_RATIO = 0.3
"""Of the logarithms of widths: the components span no larger stretch of themselves."""

PRECISION = {"mjd": np.float64, "exposure_log_width": np.float32, "seeing": np.float32, "ccd": np.int16}
"""Of stored columns; amplitudes have half precision."""


@dataclass(frozen=True, eq=False)
class Library:
    """Star shapes measured on one camera; lengths in px, images per px^2.

    Attributes
    ----------
    log_width : (2,)
        Smallest and largest logarithm of the adaptive width [px] of the stars used.
    mean : (P, SIDE, SIDE)
        Average star: polynomial of degree P - 1 in `place`.
    ring : (R,)
        Radii [px] of the wings.
    wing : (R, 2)
        Logarithm of the surface brightness there: intercept and slope in the logarithm of the width.
    fall : ()
        Exponent by which the wings fall beyond the outermost ring.
    component : (K, SIDE, SIDE)
        Principal components of single stars about the average.
    departures : Departures
        How real stars combine them.
    """

    log_width: Array
    mean: Array
    ring: Array
    wing: Array
    fall: Array
    component: Array
    departures: Departures

    @staticmethod
    def read(path: Path) -> Library:
        """Reads a library.

        Raises
        ------
        DatasetError
            If the file is missing or damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                content = {name: np.asarray(stored[name], np.float64) for name in stored.files}
            drawn = Departures(**{item.name: content.pop(item.name) for item in fields(Departures)})
            return Library(**content, departures=drawn)
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as err:
            raise DatasetError(f"PSF file {path}", str(err), "build one with python -m skyreel_psf.build_empirical") from None

    def write(self, path: Path) -> None:
        """Writes the library: images in single, amplitudes in half precision (errors of 1e-3 of a star's departure).

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        names = [item.name for item in fields(Library) if item.name != "departures"]
        content: dict[str, Any] = {name: getattr(self, name).astype(np.float32) for name in names}
        for item in fields(Departures):
            value = getattr(self.departures, item.name)
            content[item.name] = value.astype(PRECISION.get(item.name, np.float16))
        file = io.BytesIO()
        np.savez_compressed(file, **content)
        write_bytes(path, file.getvalue())

    def place(self, log_width: Array | float) -> Array:
        """Variable of the polynomials: -1 to 1 over the library's range of widths."""
        low, high = self.log_width
        return np.asarray((2.0 * np.asarray(log_width) - low - high) / (high - low), np.float64)

    def wings(self, log_width: float, radius: Array) -> Array:
        """Surface brightness [1 / px^2] of a star at radii [px] from the innermost ring outwards."""
        return wing_profile(self.ring, self.wing, float(self.fall), log_width, radius)

    def average(self, log_width: float, size: int, oversample: int, magnification: float = 1.0) -> Array:
        """Average star of a width, (M, M), samples times 1 / oversample^2 and of unit flux over the plane.

        Parameters
        ----------
        log_width : float
            Logarithm of the adaptive width [px], within the library's range.
        size : int, px
        oversample : int
        magnification : float
            Stretches the image.
        """
        axis = pixel_axis(size, oversample) / magnification
        return self._image(log_width, axis) / (oversample * magnification) ** 2 / self._plane(log_width)

    def _image(self, log_width: float, axis: Array) -> Array:
        radius = np.hypot(axis, axis[:, None])
        powers = self.place(log_width) ** np.arange(len(self.mean))
        core = resampled(np.tensordot(powers, self.mean, axes=1), axis)
        return blended(core, self.wings(log_width, radius), radius)

    def _plane(self, log_width: float) -> float:
        """Flux over the plane before `average` divides by it: 1 to within the errors of the fits."""
        return float(self._image(log_width, pixel_axis(2 * int(END) + 1, 1)).sum())

    def components(self, size: int, oversample: int) -> Array:
        """Principal components (K, M, M), samples times 1 / oversample^2."""
        axis = pixel_axis(size, oversample)
        radius = np.hypot(axis, axis[:, None])
        return np.stack([blended(resampled(image, axis), np.zeros_like(radius), radius) for image in self.component]) / oversample**2

    @cached_property
    def component_flux(self) -> Array:
        """Flux (K,) of the components, which the average star must make up for."""
        return np.asarray(self.components(2 * int(END) + 1, 1).sum(axis=(1, 2)), np.float64)

    @cached_property
    def magnifying(self) -> Array:
        """Generator G (K, K) of magnification: components stretched by a factor s have amplitudes expm(G ln s) of themselves."""
        step = 0.01
        axis = pixel_axis(SIDE, 1) / (1 + step)
        stretched = np.stack([resampled(image, axis) for image in self.component]) / (1 + step) ** 2
        flat = self.component.reshape(len(self.component), -1)
        return np.asarray(flat @ (stretched.reshape(flat.shape) - flat).T / step, np.float64)

    def magnified(self, amplitude: Array, log_ratio: Array) -> Array:
        """Amplitudes (..., K) of a shape after it was stretched by exp(log_ratio) (...), to second order, at most by LARGEST_RATIO."""
        ratio = np.clip(log_ratio, -LARGEST_RATIO, LARGEST_RATIO)[..., None]
        first = amplitude @ self.magnifying.T
        return np.asarray(amplitude + ratio * first + 0.5 * ratio**2 * (first @ self.magnifying.T), np.float64)


def wing_profile(ring: Array, wing: Array, fall: float, log_width: float, radius: Array) -> Array:
    """Surface brightness at radii [px]: power laws between rings and beyond the last, see `Library.ring`, `wing`, `fall`."""
    level = wing[:, 0] + wing[:, 1] * log_width
    edge = np.log(ring)
    at = np.log(np.maximum(radius, ring[0]))
    fade = 0.5 * (1 + np.cos(np.pi * np.clip((radius - FADE) / (END - FADE), 0, 1)))
    return np.asarray(fade * np.exp(np.interp(at, edge, level) - fall * np.maximum(at - edge[-1], 0.0)), np.float64)


def blended(core: Array, wings: Array, radius: Array) -> Array:
    """`core` within INNER, `wings` beyond OUTER, half a cosine between."""
    share = 0.5 * (1 + np.cos(np.pi * np.clip((radius - INNER) / (OUTER - INNER), 0, 1)))
    return np.asarray(wings + share * (core - wings), np.float64)


def resampled(image: Array, axis: Array) -> Array:
    """A centred image (odd side, 1 px) at the positions axis x axis [px], by its Fourier series; 0 beyond its border.

    Stars wider than 2.5 px hold no frequencies that their pixels do not show.
    """
    side = len(image)
    k = 2 * np.pi * np.fft.fftfreq(side)
    wave = np.exp(1j * np.outer(axis + (side - 1) / 2, k))
    inside = np.abs(axis) <= side / 2
    values = (wave @ np.fft.fft2(image) @ wave.T).real / side**2
    return np.asarray(values * inside * inside[:, None], np.float64)
