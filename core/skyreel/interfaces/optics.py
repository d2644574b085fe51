"""What light passes on its way to a number: the PSF, a galaxy under the source, the detector."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import PluginError
from skyreel.exposures import Exposures
from skyreel.interfaces.vocabulary import Array, Params
from skyreel.seeding import Seeds

if TYPE_CHECKING:
    import torch

    from skyreel.movies import Movies


class PSF(ABC):
    """The shape of a point source: a linear combination of basis images.

    Attributes
    ----------
    orientations : 8 or 1
        8: every object has its PSF turned and mirrored at random (the square's symmetries); 1: directions are the PSF's own, as
        real stars share them.
    """

    orientations: ClassVar[int] = 8

    @abstractmethod
    def basis(self, scale: float, size: int, oversample: int) -> Array:
        """Basis images (J, M, M) with M = size * oversample.

        Each image samples an effective PSF (one that already holds the integration over a *native* pixel) every
        1/oversample px, times 1/oversample**2; its centre lies at (M - 1) / 2 on both axes, axes are (y, x).
        A combination with `coefficients` has unit flux over the plane (not over the stamp).

        Parameters
        ----------
        scale : float
            Native pixel scale [arcsec / px].
        size : int
            Side of the image [native px].
        oversample : int
            Samples per native px.
        """

    @abstractmethod
    def coefficients(self, exposures: Exposures, seeds: Seeds | None = None) -> Array:
        """Weights (n, T, J) of the basis images for the width `exposures.psf_fwhm` of each exposure.

        Parameters
        ----------
        exposures : Exposures
            The true conditions.
        seeds : Seeds or None
            For per-exposure shape draws (`seeds.exposure_normal`); None gives the mean shape.
        """

    def fitted(self, stars: Movies, pixel_scale: float) -> PSF:
        """A PSF of the same kind measured on real stars.

        Parameters
        ----------
        stars : Movies
            Constant stars.
        pixel_scale : float
            arcsec / px.

        Raises
        ------
        PluginError
            If this PSF cannot be measured.
        """
        raise PluginError(f"measuring PSF {type(self).__name__} on stars", "it has no method for that", "use psf=empirical, which has")


class Host(ABC):
    """A galaxy under or beside the source; also the object itself in the class `galaxy`."""

    bands: ClassVar[tuple[str, ...]] = ("u", "g", "r", "i", "z", "y")

    @abstractmethod
    def sample(self, n: int, rng: np.random.Generator, redshift: Array | None = None) -> Params:
        """Parameters of n galaxies; `redshift` (n,) fixes their redshift where it is not NaN."""

    @abstractmethod
    def mag(self, params: Params, bands: Sequence[str]) -> Array:
        """Total AB magnitude (n, B) in the named bands.

        Raises
        ------
        BandError
            For a band that is not in `self.bands`.
        """

    @abstractmethod
    def offsets(self, params: Params, rng: np.random.Generator) -> Array:
        """Positions (n, 2) = (x, y) [arcsec from the galaxy's centre] drawn from its light."""

    @abstractmethod
    def image(self, params: Params, offset: Array, bands: Sequence[str], scale: float, size: int, oversample: int) -> NDArray[np.float32]:
        """Unconvolved galaxies with unit flux over the plane, (n, B or 1, M, M), M = size * oversample.

        Each sample is the flux integrated over a sub-pixel of side scale / oversample; the galaxy's centre lies
        `offset` (n, 2) arcsec from the image centre (M - 1) / 2.
        """


class PixelBits:
    """Bits of the pixel mask that travels with every movie."""

    SATURATED = 1
    BAD = 2
    COSMIC_RAY = 4
    NO_DATA = 8


class Effect(ABC):
    """One step between the light that falls on the detector and the number that is stored.

    `stage` says in which unit the pixels arrive: 'scene' (expected ADU), 'electrons' or 'adu'. Effects of one stage
    run in the order the detector lists them.
    """

    stage: ClassVar[Literal["scene", "electrons", "adu"]]

    @abstractmethod
    def apply(
        self, pixels: torch.Tensor, bits: torch.Tensor, exposures: Exposures, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """New pixels (n, T, C, H, W) float32 and bit mask (same shape, uint8)."""


class Detector(ABC):
    """The ordered effects of a camera. The simulation rounds to whole ADU after the last one."""

    @abstractmethod
    def effects(self) -> Sequence[Effect]:
        """The effects, in order; stages must not go back (scene, then electrons, then adu)."""
