"""PSF of measured stars: shapes are drawn from those that stars of the camera have had."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import ConfigError
from skyreel.exposures import Exposures
from skyreel.interfaces import PSF
from skyreel.movies import Movies
from skyreel.photometry.widths import gaussian_fit_fwhm
from skyreel.seeding import Seeds
from skyreel.simulate.psf_basis import WidthBasis
from skyreel_psf.library import Library
from skyreel_psf.measure import measure
from skyreel_psf.shared import REFERENCE, check_range, width_grid

Array = NDArray[np.float64]

TOLERANCE = 1e-3
"""Largest error of the average star relative to the peak: averages of a hundred stars are known to some 4e-3."""


@lru_cache(maxsize=4)
def _stored(path: str) -> Library:
    return Library.read(Path(path) if path else Path(str(files("skyreel_psf") / "decam_stars.npz")))


def _grid(fwhm_min: float, fwhm_max: float) -> Array:
    """Adaptive widths [px] of the sampled averages; the margins cover what a Gaussian fit makes of them."""
    return width_grid(0.9 * fwhm_min, 1.4 * fwhm_max)


def _averages(library: Library, fwhm_min: float, fwhm_max: float, size: int, oversample: int) -> Array:
    grid = _grid(fwhm_min, fwhm_max)
    inside = np.clip(grid, *np.exp(library.log_width))
    pairs = zip(np.log(inside).tolist(), (grid / inside).tolist(), strict=True)
    return np.stack([library.average(log_width, size, oversample, ratio) for log_width, ratio in pairs])


@lru_cache(maxsize=8)
def _family(library: Library, fwhm_min: float, fwhm_max: float) -> WidthBasis:
    images = _averages(library, fwhm_min, fwhm_max, *REFERENCE)
    return WidthBasis.fit(gaussian_fit_fwhm(images, REFERENCE[1]), images[None], TOLERANCE)


@lru_cache(maxsize=8)
def _images(library: Library, fwhm_min: float, fwhm_max: float, size: int, oversample: int) -> Array:
    averages = _averages(library, fwhm_min, fwhm_max, size, oversample)
    both = np.concatenate([_family(library, fwhm_min, fwhm_max).images(averages[None]), library.components(size, oversample)])
    both.flags.writeable = False
    return both


@dataclass(eq=False)
class Empirical(PSF):
    """Shapes that stars of the Dark Energy Camera had in HiTS 2015, g band (stamps published by Carrasco-Davis et al. 2018, MIT).

    The average star of a width, wings included, has the Gaussian-fit width `Exposures.psf_fwhm` on the stamp; beyond the
    measured widths the last average is magnified. With seeds, principal components of single stars are added in proportions that real
    stars had: an exposure takes the pattern over the camera of a measured one (of the same half hour if there is one, else of
    similar seeing), a star the pattern's value on its CCD and a small part of its own. Directions are those of the camera's pixels:
    objects are not turned. The shape lives in px (of 0.27"): for another pixel scale the same shape is used at the width
    asked for in px.

    Parameters
    ----------
    diversity : float
        Multiplies the departures of single stars from the average; 0 gives every star of a width the same shape.
    widths : bool
        Whether stars of an exposure differ in width as well, as measured ones did (4 % rms; CCDs keep most of it). The options
        simulation.psf_width_scatter and psf_width_residual stand for the same without regard to place: set them to 0 beside it.
    path : str
        Library made by `python -m skyreel_psf.build_empirical`; '' is the one that ships.
    fwhm_min, fwhm_max : float, px
        Range of widths the basis covers.
    """

    orientations: ClassVar[int] = 1

    diversity: float = 1.0
    widths: bool = False
    path: str = ""
    fwhm_min: float = field(default=1.8, metadata={"unit": "px"})
    fwhm_max: float = field(default=14.0, metadata={"unit": "px"})

    def __post_init__(self) -> None:
        check_range(self.fwhm_min, self.fwhm_max)
        if not 0 <= self.diversity <= 2:
            raise ConfigError("psf.diversity", str(self.diversity), "it must lie in [0, 2]")

    @cached_property
    def library(self) -> Library:
        """The measured shapes."""
        return _stored(self.path)

    def basis(self, scale: float, size: int, oversample: int) -> Array:
        """Basis images (J, M, M): averages, then components; widths are in px, so `scale` plays no role."""
        return _images(self.library, self.fwhm_min, self.fwhm_max, size, oversample)

    def coefficients(self, exposures: Exposures, seeds: Seeds | None = None) -> Array:
        """Weights (n, T, J) for `exposures.psf_fwhm`; the average star without seeds.

        Raises
        ------
        DataError
            For a width outside fwhm_min..fwhm_max.
        """
        family = _family(self.library, self.fwhm_min, self.fwhm_max)
        average = family.coefficients(exposures.psf_fwhm, exposures.mask, "psf empirical")
        if seeds is None:
            return np.concatenate([average, np.zeros((*exposures.shape, len(self.library.component)))], axis=-1)
        departure, measured_at = self.library.departures.drawn(exposures, seeds)
        departure *= self.diversity
        width = exposures.psf_fwhm
        if self.widths:
            width = np.clip(width * np.exp(departure[..., -1]), family.fwhm[0], family.fwhm[-1])
            average = family.coefficients(width, exposures.mask, "psf empirical")
        grid = _grid(self.fwhm_min, self.fwhm_max)
        adaptive = np.interp(np.where(exposures.mask, width, grid[0]), family.fwhm, grid)
        shape = self.library.magnified(departure[..., :-1], np.log(adaptive) - measured_at)
        # Components hold a little flux: the average star gives it back, so that every star has unit flux.
        return np.concatenate([average * (1.0 - shape @ self.library.component_flux)[..., None], shape], axis=-1)

    def fitted(self, stars: Movies, pixel_scale: float) -> Empirical:
        """The same PSF with a library measured on these stars.

        Parameters
        ----------
        stars : Movies
            Constant stars, every exposure shared by many of them.
        pixel_scale : float
            arcsec / px. The library is in px, whatever their size.

        Raises
        ------
        DataError
            For stamps that are too small, and for exposures with too few stars, see `stars.shapes`.
        """
        other = Empirical(self.diversity, self.widths, self.path, self.fwhm_min, self.fwhm_max)
        other.library = measure(stars)
        return other
