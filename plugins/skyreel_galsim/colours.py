"""Magnitudes of galaxies in u, g, r, i, z, y: spectra of old stars and of star-forming discs, seen at a redshift.

The reference band of absolute magnitudes is that of Blanton et al. (2003, ApJ 592, 819): r blueshifted to z = 0.1, where a galaxy
at z = 0.1 is seen in r itself and the K correction is -2.5 log10(1.1) for every spectrum.
"""

from __future__ import annotations

from functools import lru_cache

import galsim
import numpy as np
from numpy.typing import NDArray

from skyreel_galsim.cosmology import MAX_REDSHIFT

Array = NDArray[np.float64]

BANDS = ("u", "g", "r", "i", "z", "y")
REFERENCE_REDSHIFT = 0.1

_REDSHIFTS = np.linspace(0.0, MAX_REDSHIFT, 81)


@lru_cache(maxsize=1)
def _corrections() -> Array:
    """m - M - distance modulus [mag], M in r at z = 0.1, of a disc (Scd) and of old stars (E) in every band, (2, B, Z).

    Spectra of Coleman, Wu & Weedman (1980, ApJS 43, 393) through the LSST filters, both as GalSim ships them. GalSim redshifts
    photon spectra without a factor (1 + z), as the luminosity distance asks; its own magnitude at z = 0.1 then lies
    2.5 log10(1.1) above the one in the shifted band.
    """
    filters = [galsim.Bandpass(f"LSST_{band}.dat", "nm").withZeropoint("AB") for band in BANDS]
    out = np.empty((2, len(BANDS), len(_REDSHIFTS)))
    for k, name in enumerate(("CWW_Scd_ext.sed", "CWW_E_ext.sed")):
        rest = galsim.SED(name, wave_type="Ang", flux_type="flambda")
        reference = rest.atRedshift(REFERENCE_REDSHIFT).calculateMagnitude(filters[BANDS.index("r")])
        for j, redshift in enumerate(_REDSHIFTS):
            seen = rest.atRedshift(float(redshift))
            out[k, :, j] = np.array([seen.calculateMagnitude(band) for band in filters]) - reference
    return np.asarray(out - 2.5 * np.log10(1.0 + REFERENCE_REDSHIFT), np.float64)


def _at(redshift: Array) -> tuple[Array, Array]:
    """Corrections of the disc and of the old stars at each redshift, two (n, B)."""
    disc, old = (np.stack([np.interp(redshift, _REDSHIFTS, row) for row in kind], axis=-1) for kind in _corrections())
    return disc, old


def g_magnitude(modulus: Array, abs_mag: Array, redshift: Array, bulge: Array) -> tuple[Array, Array]:
    """Apparent g of galaxies, and the share of old stars in that light.

    Parameters
    ----------
    modulus : (n,), mag
        Distance modulus.
    abs_mag : (n,), mag
        In r at z = 0.1.
    redshift : (n,)
        At most `MAX_REDSHIFT`.
    bulge : (n,)
        Share of old stars in the light of that band.

    Returns
    -------
    mag_g : (n,), mag
    frac_dev : (n,)
    """
    g = BANDS.index("g")
    disc, old = (np.interp(redshift, _REDSHIFTS, kind[g]) for kind in _corrections())
    young = (1.0 - bulge) * 10 ** (-0.4 * disc)
    total = young + bulge * 10 ** (-0.4 * old)
    return np.asarray(modulus + abs_mag - 2.5 * np.log10(total), np.float64), np.asarray(1.0 - young / total, np.float64)


def colours(redshift: Array, frac_dev: Array) -> Array:
    """AB colours band - g (n, 6) in ugrizy of galaxies with the share `frac_dev` of their g light from old stars."""
    g = BANDS.index("g")
    disc, old = (kind - kind[:, g : g + 1] for kind in _at(redshift))
    light = (1.0 - frac_dev)[:, None] * 10 ** (-0.4 * disc) + frac_dev[:, None] * 10 ** (-0.4 * old)
    return np.asarray(-2.5 * np.log10(light), np.float64)
