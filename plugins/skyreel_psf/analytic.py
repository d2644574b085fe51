"""Gaussian and Moffat PSFs, integrated over pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from skyreel.errors import ConfigError
from skyreel.exposures import Exposures
from skyreel.interfaces import PSF
from skyreel.photometry.widths import FWHM_PER_SIGMA, gaussian_fit_fwhm
from skyreel.seeding import Seeds
from skyreel.simulate.psf_basis import WidthBasis, pixel_axis
from skyreel_psf.shared import REFERENCE, check_range, shape_draws, width_grid

Array = NDArray[np.float64]

TYPICAL_SHEAR = 0.05
"""Shear of an elliptical star (e = 0.1), for the tolerance of the basis."""


def gaussian(fwhm: float, size: int, oversample: int) -> Array:
    """Circular Gaussian of half-maximum width `fwhm` [px] integrated over native pixels (error functions), (M, M)."""
    x = pixel_axis(size, oversample)
    root = np.sqrt(2) * fwhm / FWHM_PER_SIGMA
    line = 0.5 * (erf((x + 0.5) / root) - erf((x - 0.5) / root)) / oversample
    return np.outer(line, line)


def moffat(fwhm: float, beta: float, size: int, oversample: int) -> Array:
    """Moffat profile (Moffat 1969, A&A 3, 455) and its two shear derivatives, integrated over native pixels.

    The profile is I(r) = (beta - 1) / (pi alpha^2) (1 + r^2 / alpha^2)^-beta with unit flux over the plane. A shear
    (g1, g2) that keeps areas adds to first order g1 (x^2 - y^2) D + g2 2 x y D with D = -I'(r) / r. Pixels are integrated
    with 4 x 4 Gauss-Legendre points.

    Parameters
    ----------
    fwhm : float
        Half-maximum width before the integration over pixels [px].
    beta : float
    size : int, px
    oversample : int
        Samples per px.

    Returns
    -------
    (3, M, M) array
        Profile, derivative by g1, derivative by g2; samples times 1 / oversample^2.
    """
    alpha2 = (0.5 * fwhm) ** 2 / (2 ** (1 / beta) - 1)
    axis = pixel_axis(size, oversample)
    nodes, weights = np.polynomial.legendre.leggauss(4)
    out = np.zeros((3, len(axis), len(axis)))
    for dy, wy in zip(0.5 * nodes, 0.5 * weights, strict=True):
        for dx, wx in zip(0.5 * nodes, 0.5 * weights, strict=True):
            x, y = axis + dx, (axis + dy)[:, None]
            base = 1 + (x**2 + y**2) / alpha2
            profile = wx * wy * (beta - 1) / (np.pi * alpha2) * base**-beta
            slope = profile * 2 * beta / (alpha2 * base)
            out += np.stack([profile, slope * (x**2 - y**2), slope * 2 * x * y])
    return out / oversample**2


def _profile_widths(fwhm_min: float, fwhm_max: float) -> Array:
    # Fits widen the profile by the pixel (0.7 px in quadrature) and by its wings (some 10 % at most).
    low, high = 0.9 * np.sqrt(max(fwhm_min**2 - 0.6, 0.1)), 1.15 * fwhm_max
    return width_grid(low, high)


@lru_cache(maxsize=8)
def _family(profile: Callable[[float, int, int], Array], fwhm_min: float, fwhm_max: float, amplitude: float) -> WidthBasis:
    images = _sampled(profile, fwhm_min, fwhm_max, *REFERENCE)
    return WidthBasis.fit(gaussian_fit_fwhm(images[0], REFERENCE[1]), images, amplitudes=(amplitude,) * (len(images) - 1))


def _sampled(profile: Callable[[float, int, int], Array], fwhm_min: float, fwhm_max: float, size: int, oversample: int) -> Array:
    return np.stack([profile(width, size, oversample) for width in _profile_widths(fwhm_min, fwhm_max)], axis=1)


@lru_cache(maxsize=8)
def _images(
    profile: Callable[[float, int, int], Array], fwhm_min: float, fwhm_max: float, amplitude: float, size: int, oversample: int
) -> Array:
    return _family(profile, fwhm_min, fwhm_max, amplitude).images(_sampled(profile, fwhm_min, fwhm_max, size, oversample))


def _one_gaussian(fwhm: float, size: int, oversample: int) -> Array:
    return gaussian(fwhm, size, oversample)[None]


@dataclass(frozen=True)
class _Moffat:
    """The profile of one beta as a hashable function."""

    beta: float

    def __call__(self, fwhm: float, size: int, oversample: int) -> Array:
        return moffat(fwhm, self.beta, size, oversample)


@dataclass
class Gaussian(PSF):
    """Circular Gaussian whose Gaussian-fit width on the stamp is `Exposures.psf_fwhm`.

    Parameters
    ----------
    fwhm_min, fwhm_max : float, px
        Range of widths the basis covers.
    """

    fwhm_min: float = field(default=1.5, metadata={"unit": "px"})
    fwhm_max: float = field(default=16.0, metadata={"unit": "px"})

    def __post_init__(self) -> None:
        check_range(self.fwhm_min, self.fwhm_max)

    def basis(self, scale: float, size: int, oversample: int) -> Array:
        """Basis images (J, M, M); widths are in px, so `scale` plays no role."""
        return _images(_one_gaussian, self.fwhm_min, self.fwhm_max, 0.0, size, oversample)

    def coefficients(self, exposures: Exposures, seeds: Seeds | None = None) -> Array:
        """Weights (n, T, J) for `exposures.psf_fwhm`; circular whatever the seeds.

        Raises
        ------
        DataError
            For a width outside fwhm_min..fwhm_max.
        """
        family = _family(_one_gaussian, self.fwhm_min, self.fwhm_max, 0.0)
        return family.coefficients(exposures.psf_fwhm, exposures.mask, "psf gaussian")


@dataclass
class Moffat(PSF):
    """Moffat profile with wings, and ellipticity that stars of one exposure and of one CCD share.

    The Gaussian-fit width on the stamp is `Exposures.psf_fwhm`. Ellipticities e = 1 - b/a are normal in both components,
    half of them as shear, to first order. Stars of HiTS have 0.065 (median) per exposure and a scatter of 0.069 within
    exposures; averages of them have beta 3.9-4.5.

    Parameters
    ----------
    beta : float
        Exponent of the wings, above 1.5.
    ellipticity : float
        Root mean square of |e| over exposures.
    ellipticity_ccd : float
        Root mean square of |e| over CCDs of a field; the same in all exposures.
    fwhm_min, fwhm_max : float, px
        Range of widths the basis covers.
    """

    beta: float = 4.2
    ellipticity: float = 0.07
    ellipticity_ccd: float = 0.07
    fwhm_min: float = field(default=1.5, metadata={"unit": "px"})
    fwhm_max: float = field(default=16.0, metadata={"unit": "px"})

    def __post_init__(self) -> None:
        check_range(self.fwhm_min, self.fwhm_max)
        if not self.beta > 1.5:
            raise ConfigError("psf.beta", str(self.beta), "use at least 1.5: flatter wings hold most light outside the stamp")
        for name in ("ellipticity", "ellipticity_ccd"):
            if not 0 <= getattr(self, name) <= 0.2:
                raise ConfigError(f"psf.{name}", str(getattr(self, name)), "use 0 to 0.2: the shear is linear")

    def basis(self, scale: float, size: int, oversample: int) -> Array:
        """Basis images (J, M, M); widths are in px, so `scale` plays no role."""
        return _images(_Moffat(self.beta), self.fwhm_min, self.fwhm_max, TYPICAL_SHEAR, size, oversample)

    def coefficients(self, exposures: Exposures, seeds: Seeds | None = None) -> Array:
        """Weights (n, T, J) for `exposures.psf_fwhm`; round stars without seeds.

        Raises
        ------
        DataError
            For a width outside fwhm_min..fwhm_max.
        """
        family = _family(_Moffat(self.beta), self.fwhm_min, self.fwhm_max, TYPICAL_SHEAR)
        shear = None
        if seeds is not None:
            # e = 1 - b/a is twice the shear, and its square is shared by two components.
            common, local = (0.5 * np.sqrt(0.5) * np.full(2, e) for e in (self.ellipticity, self.ellipticity_ccd))
            shear = shape_draws(exposures, seeds, common, local)
        return family.coefficients(exposures.psf_fwhm, exposures.mask, "psf moffat", shear)
