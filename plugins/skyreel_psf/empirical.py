"""PSF of real DECam stars: averages by width, and how single stars depart from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from skyreel.errors import ConfigError, DatasetError
from skyreel.exposures import Exposures
from skyreel.interfaces import PSF
from skyreel.photometry.widths import gaussian_fit_fwhm
from skyreel.seeding import Seeds
from skyreel.simulate.psf_basis import WidthBasis, pixel_axis
from skyreel_psf.shared import REFERENCE, check_range, shape_draws, width_grid

Array = NDArray[np.float64]

CORE_RADIUS = 10.0
"""Radius [px] up to which the stored images hold; beyond lie the Moffat wings."""

SHAPE_FWHM = 4.0
"""Width [px] at which the departures of single stars are stored."""

TOLERANCE = 1e-3
"""Largest error of the basis relative to the peak: the averages are known to some 4e-3."""

SHAPE_WEIGHT = 0.15
"""What an error of a departure counts beside one of the average: its own shape is known less well."""


@dataclass(frozen=True)
class Stars:
    """Content of a PSF file (see `skyreel_psf.build_empirical`); lengths in px of 0.27".

    Attributes
    ----------
    oversample : int
        Samples per px of the images; odd sides, centred.
    fwhm : (K,), px
        Gaussian-fit width of each average star.
    images : (K, S, S)
        Average effective PSFs per px^2, unit flux over the plane with the wings.
    wings : (K, 3)
        Moffat wings of each: central value [1 / px^2], alpha [px], beta.
    shapes : (F, S, S)
        Departures of single stars from the average at SHAPE_FWHM, zero flux, orthogonal, without shift and width.
    exposure_rms : (F,)
        Amplitude of each departure that stars of one exposure share.
    ccd_rms : (F,)
        Amplitude that differs between stars of one exposure.
    """

    oversample: int
    fwhm: Array
    images: Array
    wings: Array
    shapes: Array
    exposure_rms: Array
    ccd_rms: Array

    @staticmethod
    def read(path: Path) -> Stars:
        """Reads a PSF file.

        Raises
        ------
        DatasetError
            If it is missing or damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                content = {name: np.asarray(stored[name], np.float64) for name in stored.files}
            side = content["eigenimages"].shape[-1]
            images = (content["loadings"] @ content["eigenimages"].reshape(-1, side**2)).reshape(-1, side, side)
            rest = {name: content[name] for name in ("fwhm", "wings", "shapes", "exposure_rms", "ccd_rms")}
            return Stars(oversample=int(content["oversample"]), images=images, **rest)
        except (OSError, ValueError, KeyError, BadZipFile) as err:
            raise DatasetError(f"PSF file {path}", str(err), "build one with python -m skyreel_psf.build_empirical") from None

    def mean(self, fwhm: float, size: int, oversample: int) -> Array:
        """Average star of Gaussian-fit width `fwhm`, (M, M), samples times 1 / oversample^2.

        The two averages next in width are both magnified to `fwhm` and mixed in proportion; beyond the ends the last
        one is magnified.
        """
        position = np.interp(fwhm, self.fwhm, np.arange(len(self.fwhm)))
        below = min(int(position), len(self.fwhm) - 2)
        share = position - below
        return (1 - share) * self._magnified(below, fwhm, size, oversample) + share * self._magnified(below + 1, fwhm, size, oversample)

    def _magnified(self, k: int, fwhm: float, size: int, oversample: int) -> Array:
        ratio = self.fwhm[k] / fwhm
        x = pixel_axis(size, oversample) * ratio
        r2 = x**2 + x[:, None] ** 2
        core = sampled(self.images[k], self.oversample, x)
        peak, alpha, beta = self.wings[k]
        whole = np.where(r2 < CORE_RADIUS**2, core, peak * (1 + r2 / alpha**2) ** -beta)
        return np.asarray(whole * ratio**2 / oversample**2, np.float64)

    def departures(self, fwhm: float, size: int, oversample: int) -> Array:
        """Departures of single stars magnified to `fwhm`, (F, M, M), samples times 1 / oversample^2."""
        ratio = SHAPE_FWHM / fwhm
        x = pixel_axis(size, oversample) * ratio
        return np.stack([sampled(shape, self.oversample, x) for shape in self.shapes]) * ratio**2 / oversample**2


def sampled(image: Array, oversample: int, x: Array) -> Array:
    """Cubic spline through a centred image at the positions (x[j], x[i]) [px]; 0 outside."""
    index = x * oversample + (len(image) - 1) / 2
    grid = np.broadcast_arrays(index[:, None], index)
    return np.asarray(map_coordinates(image, grid, order=3, mode="constant"), np.float64)


@lru_cache(maxsize=4)
def _stars(path: str) -> Stars:
    return Stars.read(Path(path) if path else Path(str(files("skyreel_psf") / "decam_stars.npz")))


def _sampled_families(path: str, fwhm_min: float, fwhm_max: float, size: int, oversample: int) -> Array:
    stars = _stars(path)
    widths = _grid(fwhm_min, fwhm_max)
    return np.stack(
        [np.concatenate([stars.mean(w, size, oversample)[None], stars.departures(w, size, oversample)]) for w in widths], axis=1
    )


def _grid(fwhm_min: float, fwhm_max: float) -> Array:
    # Magnification scales the Gaussian-fit width, except for the fixed radius of the fit: a margin covers that.
    low, high = 0.9 * fwhm_min, 1.25 * fwhm_max
    return width_grid(low, high)


@lru_cache(maxsize=4)
def _family(path: str, fwhm_min: float, fwhm_max: float) -> WidthBasis:
    families = _sampled_families(path, fwhm_min, fwhm_max, *REFERENCE)
    stars = _stars(path)
    typical = SHAPE_WEIGHT * np.hypot(stars.exposure_rms, stars.ccd_rms)
    return WidthBasis.fit(gaussian_fit_fwhm(families[0], REFERENCE[1]), families, TOLERANCE, tuple(typical))


@lru_cache(maxsize=4)
def _images(path: str, fwhm_min: float, fwhm_max: float, size: int, oversample: int) -> Array:
    return _family(path, fwhm_min, fwhm_max).images(_sampled_families(path, fwhm_min, fwhm_max, size, oversample))


@dataclass
class Empirical(PSF):
    """Stars of the Dark Energy Camera in HiTS 2015, g band (stamps published by Carrasco-Davis et al. 2018, MIT licence).

    Averages over hundreds of stars of 3.0-6.6 px, interpolated in width and magnified beyond; their Gaussian-fit width
    on the stamp is `Exposures.psf_fwhm`. With seeds, principal components of single stars are added: one part shared
    by all stars of an exposure, one that stays with a CCD of a field. The shape lives in px (of 0.27"): for another
    pixel scale the same shape is used at the width asked for in px.

    Parameters
    ----------
    diversity : float
        Multiplies the departures of single stars from the average; 0 gives every star of a width the same shape.
    path : str
        PSF file made by `python -m skyreel_psf.build_empirical`; '' is the one that ships.
    fwhm_min, fwhm_max : float, px
        Range of widths the basis covers.
    """

    diversity: float = 1.0
    path: str = ""
    fwhm_min: float = field(default=1.8, metadata={"unit": "px"})
    fwhm_max: float = field(default=14.0, metadata={"unit": "px"})

    def __post_init__(self) -> None:
        check_range(self.fwhm_min, self.fwhm_max)
        if not 0 <= self.diversity <= 2:
            raise ConfigError("psf.diversity", str(self.diversity), "it must lie in [0, 2]")

    def basis(self, scale: float, size: int, oversample: int) -> Array:
        """Basis images (J, M, M); widths are in px, so `scale` plays no role."""
        return _images(self.path, self.fwhm_min, self.fwhm_max, size, oversample)

    def coefficients(self, exposures: Exposures, seeds: Seeds | None = None) -> Array:
        """Weights (n, T, J) for `exposures.psf_fwhm`; the average star without seeds.

        Raises
        ------
        DataError
            For a width outside fwhm_min..fwhm_max.
        """
        amplitudes = None
        if seeds is not None:
            stars = _stars(self.path)
            amplitudes = self.diversity * shape_draws(exposures, seeds, stars.exposure_rms, stars.ccd_rms)
        family = _family(self.path, self.fwhm_min, self.fwhm_max)
        return family.coefficients(exposures.psf_fwhm, exposures.mask, "psf empirical", amplitudes)
