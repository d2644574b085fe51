"""Unconvolved galaxy images from GalSim's k-space profiles, exact in the band that a PSF lets through.

A de Vaucouleurs core is sharper than any sub-pixel, so images are not sampled from the profile: the profile's spectrum
times that of the sub-pixel box is cut at the Nyquist frequency of the sub-pixels and transformed back. The image rings
around sharp cores; behind a PSF that the sub-pixels resolve it gives the galaxy to better than 1e-3 of the peak.
"""

from __future__ import annotations

import galsim
import numpy as np
from numpy.typing import NDArray
from scipy.fft import ifft, irfft

Array = NDArray[np.float64]

PERIOD = 2
"""Side of the transformed field in units of the image side."""

RINGS = 4
"""Periodic copies of the galaxy taken out again, up to this many periods away."""

CORE = 2.0
"""A galaxy's centre this far outside the image [px] leaves no core in it: it is sampled as it is."""

_NODES = 4
"""Points per period at which the copies' light is evaluated; it is smooth over the image."""


def profile(disc: tuple[float, float], bulge: tuple[float, float], frac_dev: float, angle: float) -> galsim.GSObject:
    """Exponential plus de Vaucouleurs profile of unit flux.

    Parameters
    ----------
    disc, bulge : (float, float)
        Half-light radius along the major axis, in any unit of length, and axis ratio of the exponential and of the
        de Vaucouleurs part.
    frac_dev : float
        Share of the light in the de Vaucouleurs part.
    angle : float, radian
        From +x towards +y to the major axis of both.
    """
    parts = []
    if frac_dev < 1:
        parts.append(_inclined(galsim.Exponential(half_light_radius=disc[0], flux=1 - frac_dev), disc[1], angle))
    if frac_dev > 0:
        parts.append(_inclined(galsim.DeVaucouleurs(half_light_radius=bulge[0], flux=frac_dev), bulge[1], angle))
    return parts[0] if len(parts) == 1 else galsim.Add(parts)


def _inclined(part: galsim.GSObject, axis_ratio: float, angle: float) -> galsim.GSObject:
    """The round profile flattened to `axis_ratio`, its major axis as long as before."""
    # A shear keeps the area of ellipses; the dilation gives the major axis its length back.
    return part.shear(galsim.Shear(q=axis_ratio, beta=angle * galsim.radians)).dilate(np.sqrt(axis_ratio))


def galaxy_image(galaxy: galsim.GSObject, offset: Array, size: int, oversample: int) -> NDArray[np.float32]:
    """Flux in every sub-pixel of side 1 / oversample px, (M, M) with M = size * oversample.

    Parameters
    ----------
    galaxy : GSObject
        Lengths in px.
    offset : (2,), px
        Galaxy's centre (x, y) from the image's middle (M - 1) / 2.
    size : int, px
    oversample : int
    """
    if np.abs(offset).max() > 0.5 * size + CORE:
        return _smooth_image(galaxy, offset, size, oversample)
    samples = size * oversample
    n = PERIOD * samples
    spectrum = _half_spectrum(galaxy, n, oversample)
    middle = (samples - 1) / 2 + offset * oversample
    for axis, (k, shift) in enumerate(zip(_indices(n), middle[::-1], strict=True)):
        factor = np.sinc(k / n) * np.exp(-2j * np.pi * k * shift / n)
        spectrum *= np.expand_dims(factor.astype(np.complex64), 1 - axis)
    lines = ifft(spectrum, axis=0, overwrite_x=True)[:samples]
    # Rows of the spectrum begin at the lowest frequency, not at 0: that turns the sign of every other line.
    lines[1::2] *= -1
    image = irfft(lines, n=n, axis=1)[:, :samples]
    return np.asarray(image - _copies(galaxy, offset, size, oversample), np.float32)


def _indices(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.arange(-(n // 2), n // 2), np.arange(n // 2 + 1)


def _half_spectrum(galaxy: galsim.GSObject, n: int, oversample: int) -> NDArray[np.complex64]:
    """GalSim's k-image on the frequencies of a real transform, (n, n / 2 + 1), rows from the lowest frequency up."""
    step = 2 * np.pi * oversample / n
    bounds = galsim.BoundsI(0, n // 2, -n // 2, n // 2 - 1)
    return np.asarray(galaxy.drawKImage(galsim.ImageCF(bounds, scale=step), recenter=False).array, np.complex64)


def _copies(galaxy: galsim.GSObject, offset: Array, size: int, oversample: int) -> Array:
    """Light of the periodic copies (PERIOD * size apart) in every sub-pixel, by quadratics through 3 x 3 points."""
    step = PERIOD * size / _NODES
    reach = _NODES * RINGS + 1
    side = 2 * reach + 1
    field = galsim.ImageD(side, side, scale=step)
    galaxy.drawImage(field, method="sb", offset=tuple(offset / step))
    # Node i of copy m has index i + _NODES m; nodes -1, 0, 1 span the image.
    folded = np.zeros((3, 3))
    for i in range(3):
        for j in range(3):
            values = field.array[i::_NODES, j::_NODES]
            folded[i, j] = values[: 2 * RINGS + 1, : 2 * RINGS + 1].sum() - values[RINGS, RINGS]
    x = (np.arange(size * oversample) - (size * oversample - 1) / 2) / oversample / step
    quadratic = np.stack([x * (x - 1) / 2, 1 - x**2, x * (x + 1) / 2])
    return np.asarray(quadratic.T @ folded @ quadratic / oversample**2, np.float64)


def _smooth_image(galaxy: galsim.GSObject, offset: Array, size: int, oversample: int) -> NDArray[np.float32]:
    """Surface brightness times sub-pixel area: enough where the core lies outside the image."""
    samples = size * oversample
    image = galsim.ImageD(samples, samples, scale=1 / oversample)
    galaxy.drawImage(image, method="sb", offset=tuple(offset * oversample))
    return np.asarray(image.array / oversample**2, np.float32)
