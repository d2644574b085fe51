"""Basis images for PSF families that depend on one width: what an author of a PSF plugin needs besides the profiles.

A family is sampled on a grid of widths; the singular value decomposition over that grid says which few combinations
of the sampled profiles span the family, and cubic splines over the logarithm of the width say how much of each. The
combinations are fixed once, on a reference sampling, so that the coefficients do not depend on stamp size or oversampling.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from skyreel.errors import ConfigError, DataError

Array = NDArray[np.float64]

FLUX_WEIGHT = 100.0
"""What an error of the flux, relative to that of the widest profile, counts beside an error of the peak."""


def pixel_axis(size: int, oversample: int) -> Array:
    """Positions of the M = size * oversample samples relative to the centre [native px]."""
    samples = size * oversample
    return (np.arange(samples) - (samples - 1) / 2) / oversample


@dataclass(frozen=True)
class WidthBasis:
    """A family of profiles as few basis images with coefficients that follow the width.

    A profile of width w with amplitudes a_f of its F - 1 distortions is P_0(w) + sum_f a_f P_f(w).

    Attributes
    ----------
    fwhm : (W,)
        Grid of widths [px], increasing.
    mixing : (J, F, W)
        Weights of the sampled profiles in each basis image.
    coefficient : CubicSpline
        log(fwhm) -> (F, J).
    """

    fwhm: Array
    mixing: Array
    coefficient: CubicSpline

    @staticmethod
    def fit(fwhm: Array, profiles: Array, tolerance: float = 2e-4, amplitudes: tuple[float, ...] = ()) -> WidthBasis:
        """Chooses the basis.

        Parameters
        ----------
        fwhm : (W,)
            Widths of the sampled profiles [px], increasing; neighbours within some 5 % keep the splines below 1e-5.
        profiles : (F, W, M, M)
            The profile, of unit flux over the plane, and its distortions, of zero flux, on any sampling that resolves them.
        tolerance : float
            Largest error in any sample, relative to the peak of the undistorted profile of that width. The flux is held
            closer.
        amplitudes : tuple of float, F - 1 of them
            Typical size of each distortion: its error counts times this.

        Raises
        ------
        ConfigError
            If the widths do not increase or the amplitudes do not match the profiles.
        """
        families, widths = profiles.shape[:2]
        if not (np.diff(fwhm) > 0).all() or len(fwhm) != widths or len(amplitudes) != families - 1:
            raise ConfigError(
                "PSF basis",
                f"{len(fwhm)} widths and {len(amplitudes)} amplitudes for profiles {profiles.shape}",
                "give increasing widths and one amplitude per distortion",
            )
        scale = np.array([1.0, *amplitudes])[:, None] / profiles[0].max(axis=(1, 2))
        rows = (profiles.reshape(families, widths, -1) * scale[..., None]).reshape(families * widths, -1)
        # Two fluxes ride along as heavy samples, as small errors of many samples must not add up: on this grid and over the plane.
        plane = np.repeat([1.0] + [0.0] * (families - 1), widths) * scale.ravel()
        flux = np.stack([rows.sum(axis=1), plane], axis=1)
        rows = np.hstack([rows, FLUX_WEIGHT * flux / flux.max()])
        left, singular, right = np.linalg.svd(rows, full_matrices=False)
        kept = 1
        residual = rows - np.outer(left[:, 0] * singular[0], right[0])
        while np.abs(residual).max() > tolerance and kept < len(singular):
            residual -= np.outer(left[:, kept] * singular[kept], right[kept])
            kept += 1
        left = left[:, :kept].reshape(families, widths, kept)
        spline = CubicSpline(np.log(fwhm), np.moveaxis(left / scale[..., None], 1, 0), axis=0)
        return WidthBasis(fwhm, np.moveaxis(left * scale[..., None], 2, 0), spline)

    def images(self, profiles: Array) -> Array:
        """Basis images (J, M, M) on the sampling of `profiles` (F, W, M, M), read-only."""
        out: Array = np.tensordot(self.mixing, profiles, axes=([1, 2], [0, 1]))
        out.flags.writeable = False
        return out

    def coefficients(self, fwhm: NDArray[np.floating], mask: NDArray[np.bool_], who: str, amplitudes: Array | None = None) -> Array:
        """Weights of the basis images.

        Parameters
        ----------
        fwhm : (n, T)
            Wanted widths [px].
        mask : bool (n, T)
            False where the exposure does not exist; such widths are clipped into the grid.
        who : str
            Name of the PSF in error messages.
        amplitudes : (n, T, F - 1) or None
            Amplitudes of the distortions; None for the undistorted profile.

        Returns
        -------
        (n, T, J) array

        Raises
        ------
        DataError
            For a width outside the grid.
        """
        low, high = self.fwhm[0], self.fwhm[-1]
        bad = mask & ~((fwhm >= low) & (fwhm <= high))
        if bad.any():
            raise DataError(
                f"{who}: exposures.psf_fwhm",
                f"{float(fwhm[bad][0]):.3g} px, the basis covers {low:.3g} to {high:.3g} px",
                "change the options fwhm_min and fwhm_max, or leave such exposures out",
            )
        weights = self.coefficient(np.log(np.where(mask, fwhm, np.sqrt(low * high))))
        out: Array = weights[..., 0, :]
        if amplitudes is not None:
            out = out + np.einsum("ntf,ntfj->ntj", amplitudes, weights[..., 1:, :])
        return out
