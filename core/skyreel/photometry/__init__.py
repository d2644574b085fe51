"""Optimal photometry of stamps (Naylor 1998, MNRAS 296, 339): profiles, weights, local sky, centres and hosts."""

from skyreel.photometry.optimal import background_variance, psf_flux
from skyreel.photometry.options import CENTRES, ERROR_FLOOR, HOSTS, SKIES, Flag, PhotometryOptions
from skyreel.photometry.profiles import MOFFAT_BETA, PROFILES, psf_image
from skyreel.photometry.sky import border_sky

__all__ = [
    "CENTRES",
    "ERROR_FLOOR",
    "HOSTS",
    "MOFFAT_BETA",
    "PROFILES",
    "SKIES",
    "Flag",
    "PhotometryOptions",
    "background_variance",
    "border_sky",
    "psf_flux",
    "psf_image",
]
