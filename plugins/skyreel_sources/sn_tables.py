"""Tables over (band, redshift, phase) and what is looked up in them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import DataError
from skyreel.interfaces import Array, Params
from skyreel_sources.extinction import ccm
from skyreel_sources.tables import load

TABLE = "snia.npz"
"""Its redshifts and effective wavelengths hold for all supernovae."""
R_V = 3.0
"""A(V) / E(B-V) of the hosts (authors' simulator)."""
FINE = 500
"""Steps of redshift, up to 1, at which constants of a band are tabulated."""
COLOUR_LAW = (-0.504294, 0.787691, -0.461715, 0.0815619)
"""Coefficients of the SALT2 colour law as trained by Betoule et al. 2014 (A&A 568, A22); sncosmo's tests use the same ones."""
COLOUR_RANGE = (2800.0, 7000.0)
"""Wavelengths [angstrom] of its polynomial; bluewards it is held, where its straight continuation is not trained and runs off."""
LAW_B, LAW_V = 4302.57, 5428.55
"""Wavelengths [angstrom] of B and V in the law."""


def redshifts() -> Array:
    """The redshifts of the tables, evenly from 0 to 1."""
    return load(TABLE)["redshift"]


def wavelengths(redshift: Array) -> Array:
    """Rest-frame effective wavelengths (n, 6) [angstrom] of the DECam bands u, g, r, i, z, y at redshifts (n,)."""
    return np.asarray(load(TABLE)["wavelength"] / (1.0 + np.asarray(redshift))[:, None], np.float64)


def check_range(who: str, params: Params) -> None:
    """Raises DataError unless every redshift lies in the tables: above 0, up to 1."""
    redshift = np.asarray(params["redshift"], np.float64)
    last = redshifts()[-1]
    if len(redshift) and not ((redshift > 0.0) & (redshift <= last)).all():
        found = "NaN" if np.isnan(redshift).any() else f"{redshift.min():.6g} to {redshift.max():.6g}"
        raise DataError(f"{who}.light_curve", f"redshifts {found}", f"the spectra are tabulated for redshifts above 0, up to {last:.6g}")


def check_above_zero(who: str, params: Params, names: tuple[str, ...], rows: NDArray[np.intp]) -> None:
    """Raises DataError unless the columns `names` are positive, finite numbers in `rows`."""
    for name in names:
        column = np.asarray(params[name], np.float64)[rows]
        if not ((column > 0.0) & np.isfinite(column)).all():
            found = "NaN" if np.isnan(column).any() else f"{column.min():.6g} to {column.max():.6g}"
            raise DataError(f"{who}.light_curve", f"{name} {found}", f"hand in finite {name} above 0")


def colour_law(wavelength: Array) -> Array:
    """Change of magnitude per unit colour c at a rest wavelength [angstrom]: 0 in B, -1 in V, so that c shifts B - V.

    Guy et al. 2007 (A&A 466, 11), eq. 1, with the polynomial of Guy et al. 2010 (A&A 523, A7) and `COLOUR_LAW`: with
    x = (wavelength - B) / (V - B), minus (a x + sum of COLOUR_LAW x^2 ... x^5), a = 1 - sum(COLOUR_LAW); within `COLOUR_RANGE`, beyond
    which it goes on as a straight line in the red (as in SALT2) and stays at its value in the ultraviolet (unlike SALT2).
    """
    polynomial = np.polynomial.Polynomial((0.0, 1.0 - sum(COLOUR_LAW), *COLOUR_LAW))
    slope = polynomial.deriv()
    x, low, high = ((np.asarray(w, np.float64) - LAW_B) / (LAW_V - LAW_B) for w in (wavelength, *COLOUR_RANGE))
    inside = np.clip(x, low, high)
    return np.asarray(-(polynomial(inside) + slope(high) * np.maximum(x - high, 0.0)), np.float64)


@lru_cache(maxsize=1)
def dust() -> Array:
    """A(band) / A(V) of the host's dust (6, FINE + 1) at redshifts 0 to 1: `extinction.ccm` with `R_V`."""
    return _constant(ccm(wavelengths(np.linspace(0.0, 1.0, FINE + 1)), R_V))


@lru_cache(maxsize=1)
def reddening() -> Array:
    """`colour_law` of the bands (6, FINE + 1) at redshifts 0 to 1."""
    return _constant(colour_law(wavelengths(np.linspace(0.0, 1.0, FINE + 1))))


def _constant(values: Array) -> Array:
    table = np.ascontiguousarray(values.T)
    table.setflags(write=False)
    return table


def fine(table: Array, redshift: Array, band: int) -> Array:
    """One band of a table (6, FINE + 1) at redshifts (n,) between 0 and 1, linear in redshift."""
    cell = redshift * FINE
    row = np.minimum(cell.astype(np.int32), FINE - 1)
    below, above = table[band].take(row), table[band].take(row + 1)
    return np.asarray(below + (cell - row) * (above - below), np.float64)


def used_bands(band: NDArray[np.int8]) -> list[int]:
    """The bands that occur in `band`, in increasing order."""
    return [index for index in range(6) if (band == index).any()] if band.size and band.min() != band.max() else band.ravel()[:1].tolist()


def bilinear(table: NDArray[np.float32], redshift: Array, column: NDArray[np.float32], band: NDArray[np.int8]) -> NDArray[np.float32]:
    """Values (n, T) linear in redshift (n,) and along the last axis at positions `column` (n, T), at one band index per epoch.

    Parameters
    ----------
    table : float32 (6, Z, P)
        On the redshifts of `redshifts`.
    redshift : (n,)
    column : float32 (n, T)
        0 to P - 1; beyond the last one its slope goes on.
    band : int8 (n, T) or an index
    """
    _, n_z, width = table.shape
    flat = table.reshape(-1)
    cell = redshift * (n_z - 1)
    row = np.minimum(cell.astype(np.int32), n_z - 2)
    weight = (cell - row).astype(np.float32)[:, None]
    whole = np.clip(column, 0, width - 2).astype(np.int32)
    along = column - whole
    start = (band.astype(np.int32) * np.int32(n_z * width) + (row * np.int32(width))[:, None] + whole).astype(np.intp)
    near, far = (_along(flat, start, along), _along(flat, start + width, along))
    far -= near
    far *= weight
    near += far
    return near


def _along(flat: NDArray[np.float32], start: NDArray[np.intp], along: NDArray[np.float32]) -> NDArray[np.float32]:
    left = flat.take(start, mode="clip")  # the start is inside by construction: clip only skips the check
    right = flat.take(start + 1, mode="clip")
    right -= left
    right *= along
    right += left
    return right
