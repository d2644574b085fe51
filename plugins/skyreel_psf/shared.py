"""What the PSFs of this plugin have in common: the grid of widths and the seeds of a star's shape."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import ConfigError
from skyreel.exposures import Exposures
from skyreel.seeding import Seeds

Array = NDArray[np.float64]

REFERENCE = (48, 2)
"""Size [px] and oversampling on which a basis is chosen."""

WIDTHS_PER_EFOLD = 24
"""Sampled widths per factor e: steps of 4 % keep the cubic splines below 1e-5 of the peak."""

CCD_NUMBERS = 1000
"""More than any camera's CCDs: makes one number of field and CCD."""


def check_range(fwhm_min: float, fwhm_max: float) -> None:
    """Raises ConfigError unless 1.3 <= fwhm_min < fwhm_max <= 50: no star is narrower than a pixel [px]."""
    if not 1.3 <= fwhm_min < fwhm_max <= 50:
        raise ConfigError("psf.fwhm_min, fwhm_max", f"{fwhm_min}, {fwhm_max}", "they must satisfy 1.3 <= fwhm_min < fwhm_max <= 50 px")


def width_grid(low: float, high: float) -> Array:
    """Widths from `low` to `high` [px] in equal steps of the logarithm."""
    return np.geomspace(low, high, 2 + int(WIDTHS_PER_EFOLD * np.log(high / low)))


def shape_draws(exposures: Exposures, seeds: Seeds, exposure_rms: Array, ccd_rms: Array) -> Array:
    """Amplitudes (n, T, F) of F distortions: a part shared by all stars of an exposure, a part that stays with a CCD of a field.

    Parameters
    ----------
    exposures : Exposures, (n, T)
    seeds : Seeds
    exposure_rms, ccd_rms : (F,)
        Standard deviations of the two parts.
    """
    place = exposures.field.astype(np.int64) * CCD_NUMBERS + exposures.ccd
    parts = [
        common * seeds.exposure_normal(exposures.exposure_id, f"psf_{k}") + local * seeds.exposure_normal(place, f"psf_ccd_{k}")
        for k, (common, local) in enumerate(zip(exposure_rms, ccd_rms, strict=True))
    ]
    return np.stack(parts, axis=-1)
