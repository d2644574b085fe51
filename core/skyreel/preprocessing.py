"""What happens to an image before a network reads it: eq. 4, scaling by the object's flux, normalised conditions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import ConfigError, DataError
from skyreel.exposures import Exposures
from skyreel.interfaces import PixelBits
from skyreel.photometry import psf_flux

SCALINGS = ("zero_point", "running_max")
CONDITIONS = {"seeing": (1.4, 0.5), "psf_fwhm": (4.4, 1.6), "sky": (2.2, 0.4), "airmass": (1.4, 0.4)}
"""Offset and unit of the conditions, (value - offset) / unit: seeing [arcsec], psf_fwhm [px], log10 of sky [ADU / px],
airmass. Fixed numbers near the mean and twice the scatter (sky: once) of HiTS exposures with seeing below 2 arcsec."""

UNUSABLE = PixelBits.BAD | PixelBits.NO_DATA | PixelBits.COSMIC_RAY
"""Pixels set to 0 and left out of photometry. Saturated ones stay: they still say that the source is bright."""


@dataclass(frozen=True)
class SequenceOptions:
    """How a movie becomes a sequence (config group `sequence`).

    Attributes
    ----------
    n_stacked : int
        Images stacked in one input tensor, n_w (the paper: 3).
    max_images : int
        Dates used at most, N_d (the paper: 22); S = max_images - n_stacked + 1 steps.
    before_alert : int
        Images kept before the first alert (the paper: 5).
    scaling : 'zero_point' or 'running_max'
        'zero_point' is eq. 4 of the paper, divided by the constant `flux_unit`. 'running_max' also divides each
        object by the running (causal) maximum of its PSF-weighted flux and compresses with asinh.
    flux_unit : float, ADU
        Counts that become 1 with 'zero_point'; 1 is the paper's text.
    flux_floor : float, ADU
        Smallest running maximum.
    softening : float
        With 'running_max': asinh(1000 x / softening) / 3.
    conditions : tuple of str
        Reported conditions fed to the recurrent layer beside the time gaps: any of 'seeing', 'psf_fwhm', 'sky',
        'airmass', 'band'. The paper: none.
    """

    n_stacked: int = 3
    max_images: int = 22
    before_alert: int = 5
    scaling: str = "zero_point"
    flux_unit: float = field(default=1.0, metadata={"unit": "adu"})
    flux_floor: float = field(default=100.0, metadata={"unit": "adu"})
    softening: float = 20.0
    conditions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "conditions", tuple(self.conditions))
        known = (*CONDITIONS, "band")
        if self.scaling not in SCALINGS:
            raise ConfigError("sequence.scaling", repr(self.scaling), f"use one of {', '.join(SCALINGS)}")
        for name in self.conditions:
            if name not in known:
                raise ConfigError("sequence.conditions", repr(name), f"use any of {', '.join(known)}")
        if len(set(self.conditions)) != len(self.conditions):
            raise ConfigError("sequence.conditions", f"{list(self.conditions)}", "name each condition once")
        if not 1 <= self.n_stacked <= self.max_images:
            raise ConfigError("sequence.n_stacked", str(self.n_stacked), f"it must lie in 1..max_images ({self.max_images})")
        if not 0 <= self.before_alert < self.max_images:
            raise ConfigError("sequence.before_alert", str(self.before_alert), f"it must lie in 0..max_images - 1 ({self.max_images - 1})")
        for name in ("flux_unit", "flux_floor", "softening"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"sequence.{name}", str(getattr(self, name)), "it must be positive")


def n_conditions(options: SequenceOptions, bands: tuple[str, ...]) -> int:
    """Length K of the condition vector: 'band' is one-hot over `bands`, the others are one number each."""
    return sum(len(bands) if name == "band" else 1 for name in options.conditions)


def calibration(exposures: Exposures, zp_ref: NDArray[Any], exptime_ref: NDArray[Any]) -> NDArray[np.float64]:
    """Factor (n, T) of eq. 4 that brings counts to the zero point and exposure time of the first image; 0 for padding."""
    ratio = np.asarray(exptime_ref, np.float64)[:, None] / np.where(exposures.mask, exposures.exptime, 1)
    step = np.where(exposures.mask, np.asarray(zp_ref, np.float64)[:, None] - exposures.zero_point, 0.0)
    return np.where(exposures.mask, 10.0 ** (step / 2.5) * ratio, 0.0)


def calibrated(pixels: NDArray[Any], bad: NDArray[np.bool_], exposures: Exposures, factor: NDArray[np.float64]) -> NDArray[np.float32]:
    """Images (n, T, C, H, W) on the first image's scale (eq. 4): less the reported sky, times `factor` (n, T), 0 where `bad`.

    Raises
    ------
    DataError
        For NaN or infinite values in pixels that are not `bad`.
    """
    images = pixels.astype(np.float32)
    wide = (..., None, None, None)
    images -= exposures.sky[wide]
    images *= factor.astype(np.float32)[wide]
    np.copyto(images, 0, where=bad)
    if not np.isfinite(images).all():
        raise DataError("sequences: pixels", "NaN or infinite values in usable pixels", "set those pixels in pixel_mask (bad or no data)")
    return images


def calibrated_flux(pixels: NDArray[Any], bad: NDArray[np.bool_], exposures: Exposures, factor: NDArray[np.float64]) -> NDArray[np.float64]:
    """PSF-weighted flux (n, T) of the first channel on the first image's scale; -infinity where there is none."""
    fwhm, gain = (np.where(exposures.mask, column, 1) for column in (exposures.psf_fwhm, exposures.gain))
    sky, read_noise = (np.where(exposures.mask, column, 0) for column in (exposures.sky, exposures.read_noise))
    flux, _ = psf_flux(pixels[:, :, 0], fwhm, sky, gain, read_noise, pixel_mask=bad[:, :, 0])
    return np.where(np.isfinite(flux), flux * factor, -np.inf)


def scaled(
    stacks: NDArray[np.float32], scale: NDArray[np.float64], mask: NDArray[np.bool_], options: SequenceOptions
) -> NDArray[np.float32]:
    """Final scaling of (n, S, n_w, C, H, W), in place: by the constant unit, or by `scale` (n, S) and asinh."""
    unit = options.flux_unit if options.scaling == "zero_point" else scale * (options.softening / 1000.0)
    stacks *= np.where(mask, 1.0 / unit, 0.0).astype(np.float32)[..., None, None, None, None]
    if options.scaling == "running_max":
        np.arcsinh(stacks, out=stacks)
        stacks *= np.float32(1.0 / 3.0)
    return stacks


def condition_vectors(exposures: Exposures, options: SequenceOptions) -> NDArray[np.float32]:
    """Normalised conditions (n, T, K)."""
    columns = [np.zeros((*exposures.shape, 0), np.float32)]
    for name in options.conditions:
        if name == "band":
            columns.append((exposures.band[..., None] == np.arange(len(exposures.bands))).astype(np.float32))
            continue
        offset, unit = CONDITIONS[name]
        value = getattr(exposures, name)
        # a sky of less than one count carries no information on its noise
        value = np.log10(np.maximum(value, 1)) if name == "sky" else value
        columns.append(((value - np.float32(offset)) / np.float32(unit))[..., None].astype(np.float32))
    return np.concatenate(columns, axis=-1)
