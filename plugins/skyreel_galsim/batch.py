"""Unconvolved galaxy images for a whole batch, from spectra that GalSim tabulates once.

The spectrum of an elliptical galaxy is that of the round one at scaled and turned frequencies, so that one table of the
radial spectrum serves every galaxy. Images are the same as those of `skyreel_galsim.images`: exact in the band that a PSF
lets through. The transform repeats a galaxy on a lattice; the light of the repeated ones is smooth over the image and is
taken out as polynomials through a few points of their profiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import galsim
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import BarycentricInterpolator
from scipy.special import gamma, gammaincc

from skyreel_galsim.shapes import B_DEV, R50_PER_SCALE

Array = NDArray[np.float64]

CORE = 2.0
"""A galaxy's centre this far outside the image [px] leaves no core in it: its profile is sampled as it is."""

SMALL, LARGE = 0.1, 1 / 3
"""Half-light radii, in image sides: discs below the first are small whatever their shape, galaxies above the second are large."""

FAINT = 0.01
"""Share of the light times half-light radius, in image sides, of bulges whose copies give no light to speak of."""

ROUND, THIN = 0.4, 0.25
"""Axis ratios above the first spread a copy's light smoothly over the image; below the second a disc's copies are ridges."""

INNER = 1 / 4
"""Largest offset, in image sides, of galaxies that are repeated at the image's own side; the copies of others, and of large
and of flat ones, are twice as far away."""

RINGS = 3
"""Copies taken out one by one, up to this many periods away; those beyond are spread evenly."""

CHUNK = 32
"""Galaxies transformed together: bounds memory."""

_FINE, _COARSE = 12, 3
"""Points per axis through which the light of the first ring and of the others is laid."""

_TURNS = 4
"""Directions in a quadrant over which an ellipse's light beyond a circle is averaged."""

_LOWEST, _HIGHEST, _ENTRIES = 1e-4, 1e4, 16384
"""Range of wave numbers times half-light radius of the table, and its length: linear interpolation is good to 1e-6."""


@dataclass(frozen=True)
class Shapes:
    """Exponential plus de Vaucouleurs galaxies, all (n,); lengths in px.

    Attributes
    ----------
    r50_exp, r50_dev
        Half-light radii along the major axes.
    ratio_exp, ratio_dev
        Axis ratios.
    frac_dev
        Share of the light in the de Vaucouleurs part.
    angle
        From +x towards +y to the major axis [radian].
    offset : (n, 2)
        Centre (x, y) from the image's middle.
    """

    r50_exp: Array
    ratio_exp: Array
    r50_dev: Array
    ratio_dev: Array
    frac_dev: Array
    angle: Array
    offset: Array

    def take(self, rows: Any) -> Shapes:
        """The chosen galaxies."""
        return Shapes(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def parts(self) -> tuple[tuple[bool, Array, Array, Array], ...]:
        """(exponential?, radius, axis ratio, share) of the parts that any of these galaxies has."""
        both = ((True, self.r50_exp, self.ratio_exp, 1 - self.frac_dev), (False, self.r50_dev, self.ratio_dev, self.frac_dev))
        return tuple(part for part in both if part[3].any())


def galaxy_images(shapes: Shapes, size: int, oversample: int) -> NDArray[np.float32]:
    """Flux in every sub-pixel of side 1 / oversample px of galaxies of unit flux, (n, M, M) with M = size * oversample."""
    samples = size * oversample
    out = np.empty((len(shapes.angle), samples, samples), np.float32)
    way = _ways(shapes, size)
    for kind in np.unique(way).tolist():
        rows = np.flatnonzero(way == kind)
        step = CHUNK if kind == 1 else CHUNK // 2
        for few in np.split(rows, range(step, len(rows), step)):
            part = shapes.take(few)
            images = _periodic(part, size, oversample, min(kind, 2), kind == 3) if kind else _sampled(part, size, oversample)
            out[few] = images.numpy()
    return out


def _ways(shapes: Shapes, size: int) -> NDArray[np.int64]:
    """How each galaxy is drawn, (n,): 0 sampled, 1 repeated at once, 2 at twice the side, 3 the same with copies like ridges."""
    away = np.abs(shapes.offset).max(axis=1)
    disc, bulge = shapes.frac_dev < 1, shapes.frac_dev > 0
    smooth = (shapes.ratio_exp > ROUND) | (shapes.r50_exp < SMALL * size) | ~disc
    smooth &= (shapes.ratio_dev > ROUND) | (shapes.r50_dev * shapes.frac_dev < FAINT * size)
    radius = np.maximum(np.where(disc, shapes.r50_exp, 0), np.where(bulge, shapes.r50_dev, 0))
    ridges = disc & (shapes.ratio_exp < THIN) & (shapes.r50_exp > LARGE * size)
    way = np.where(smooth & (radius < LARGE * size) & (away < INNER * size), 1, np.where(ridges, 3, 2))
    return np.where(away > 0.5 * size + CORE, 0, way)


def _periodic(shapes: Shapes, size: int, oversample: int, period: int, ridges: bool) -> torch.Tensor:
    """Images of galaxies that are repeated every `period` image sides, less the light of the copies."""
    samples = size * oversample
    n = samples * period
    rows, columns = (torch.as_tensor(k[None] * (2 * np.pi * oversample / n), dtype=torch.float32) for k in _indices(n))
    spectrum = torch.zeros((len(shapes.angle), n, n // 2 + 1))
    for exponential, r50, ratio, share in shapes.parts():
        squared = _quadratic(shapes.angle, r50, ratio * r50, columns, rows)
        value = _exponential(squared) if exponential else _tabulated(squared)
        spectrum.addcmul_(value, torch.as_tensor(share, dtype=torch.float32)[:, None, None])
    middle = (samples - 1) / 2 + shapes.offset * oversample
    y, x = (
        torch.as_tensor((np.sinc(k / n) * np.exp(-2j * np.pi * k / n * middle[:, axis, None])).astype(np.complex64))
        for k, axis in zip(_indices(n), (1, 0), strict=True)
    )
    wave = (spectrum * y[:, :, None]).mul_(x[:, None, :])
    lines = torch.fft.ifft(wave, dim=1)[:, :samples]
    images: torch.Tensor = torch.fft.irfft(lines, n=n, dim=2)[:, :, :samples]
    return images - _copies(shapes, size, oversample, period * size, ridges)


def _indices(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.fft.fftfreq(n, 1 / n).round().astype(np.int64), np.arange(n // 2 + 1)


def _quadratic(angle: Array, major: Array, minor: Array, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """(major u)^2 + (minor v)^2, (n, Y, X), at u, v = the places x (n or 1, X), y (n or 1, Y) in the galaxies' own axes."""
    cos, sin = np.cos(angle), np.sin(angle)
    xx, yy = (major * cos) ** 2 + (minor * sin) ** 2, (major * sin) ** 2 + (minor * cos) ** 2
    xy = 2 * cos * sin * (major**2 - minor**2)
    a, b, c = (torch.as_tensor(value[:, None], dtype=x.dtype) for value in (xx, xy, yy))
    out: torch.Tensor = (c * y * y)[:, :, None] + (a * x * x)[:, None, :]
    return out.addcmul_((b * y)[:, :, None], x[:, None, :])


@lru_cache(maxsize=1)
def _table() -> tuple[torch.Tensor, torch.Tensor]:
    """Spectrum of the de Vaucouleurs profile of unit half-light radius at log-spaced wave numbers, and its differences."""
    accuracy = galsim.GSParams(folding_threshold=1e-4, maxk_threshold=1e-7, kvalue_accuracy=1e-9)
    round_ = galsim.DeVaucouleurs(half_light_radius=1.0, gsparams=accuracy)
    values = np.array([round_.kValue(k, 0.0).real for k in np.geomspace(_LOWEST, _HIGHEST, _ENTRIES)])
    return torch.as_tensor(values, dtype=torch.float32), torch.as_tensor(np.diff(values, append=values[-1]), dtype=torch.float32)


def _exponential(squared: torch.Tensor) -> torch.Tensor:
    """The spectrum (1 + (k h)^2)^(-3/2) of the exponential profile at squared wave numbers times radii; overwrites them."""
    root = squared.mul_(R50_PER_SCALE**-2).add_(1).rsqrt_()
    return root * root * root


def _tabulated(squared: torch.Tensor) -> torch.Tensor:
    """The de Vaucouleurs spectrum at squared wave numbers times radii; overwrites them."""
    value, step = _table()
    place = squared.clamp_(_LOWEST**2, _HIGHEST**2).log_()
    place.sub_(2 * np.log(_LOWEST)).mul_(0.5 * (_ENTRIES - 1) / np.log(_HIGHEST / _LOWEST))
    index = place.to(torch.int32)
    place.sub_(index)
    flat = index.flatten()
    return torch.addcmul(value.index_select(0, flat).view_as(place), step.index_select(0, flat).view_as(place), place)


def _density(shapes: Shapes, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Surface brightness [1 / px^2], (n, Y, X), at the places x (n, X), y (n, Y) [px] from the galaxies' centres."""
    out = torch.zeros((len(x), y.shape[1], x.shape[1]), dtype=x.dtype)
    for exponential, r50, ratio, share in shapes.parts():
        squared = _quadratic(shapes.angle, 1 / r50, 1 / (ratio * r50), x, y).clamp_(min=0)
        if exponential:
            value, norm = squared.sqrt_().mul_(-R50_PER_SCALE).exp_(), R50_PER_SCALE**2 / (2 * np.pi)
        else:
            value, norm = squared.sqrt_().sqrt_().sqrt_().mul_(-B_DEV).exp_(), B_DEV**8 / (8 * np.pi * gamma(8))
        out.addcmul_(value, torch.as_tensor(share * norm / (ratio * r50**2), dtype=x.dtype)[:, None, None])
    return out


def _sampled(shapes: Shapes, size: int, oversample: int) -> torch.Tensor:
    """Surface brightness times sub-pixel area: enough where the core lies outside the image."""
    axis = _axis(size, oversample) - shapes.offset[..., None]
    x, y = torch.as_tensor(axis, dtype=torch.float32).unbind(dim=1)
    return _density(shapes, x, y) / oversample**2


def _copies(shapes: Shapes, size: int, oversample: int, period: float, ridges: bool) -> torch.Tensor:
    """Light of the galaxies repeated every `period` px in every sub-pixel, (n, M, M)."""
    count = _FINE if ridges else _COARSE
    rest = _ring(shapes, 0.5 * size * _nodes(count), period, 2, RINGS)
    rest += torch.as_tensor(_beyond(shapes, period), dtype=torch.float32)[:, None, None]
    light = _through(rest, size, oversample)
    if ridges:
        return light.add_(_ring(shapes, _axis(size, oversample), period, 1, 1), alpha=1 / oversample**2)
    return light.add_(_through(_ring(shapes, 0.5 * size * _nodes(_FINE), period, 1, 1), size, oversample))


def _ring(shapes: Shapes, places: Array, period: float, first: int, last: int) -> torch.Tensor:
    """Surface brightness [1 / px^2] of the copies `first` to `last` periods away at places (P,) along both axes, (n, P, P)."""
    copies = np.arange(-last, last + 1)
    axis = (places + period * copies[:, None]).ravel() - shapes.offset[..., None]
    x, y = torch.as_tensor(axis, dtype=torch.float32).unbind(dim=1)
    light = _density(shapes, x, y).view(len(x), len(copies), len(places), len(copies), len(places))
    inner = slice(last - first + 1, last + first)
    light[:, inner, :, inner] = 0
    return light.sum(dim=(1, 3))


def _through(light: torch.Tensor, size: int, oversample: int) -> torch.Tensor:
    """Flux in the sub-pixels, (n, M, M), of the polynomials through surface brightnesses (n, N, N) at `_nodes`."""
    spread = _polynomials(light.shape[1], size, oversample)
    return spread @ light @ spread.T


@lru_cache(maxsize=8)
def _polynomials(nodes: int, size: int, oversample: int) -> torch.Tensor:
    """Values in all M sub-pixels / oversample of the polynomials that are 1 at one of N nodes and 0 at the others, (M, N)."""
    at = BarycentricInterpolator(_nodes(nodes), np.eye(nodes))(_axis(size, oversample) / (0.5 * size))
    return torch.as_tensor(at / oversample, dtype=torch.float32)


def _beyond(shapes: Shapes, period: float) -> Array:
    """Light of a galaxy further out than `RINGS` periods, spread over one period [1 / px^2], (n,)."""
    radius = (2 * RINGS + 1) * period / np.sqrt(np.pi)  # the circle of the area that is taken out copy by copy
    turn = np.pi / 2 * (np.arange(_TURNS) + 0.5) / _TURNS
    out = np.zeros(len(shapes.angle))
    for exponential, r50, ratio, share in shapes.parts():
        reach = radius / (r50[:, None] * np.hypot(np.cos(turn), ratio[:, None] * np.sin(turn)))
        outside = gammaincc(2.0, R50_PER_SCALE * reach) if exponential else gammaincc(8.0, B_DEV * reach**0.25)
        out += share * outside.mean(axis=1)
    return out / period**2


def _axis(size: int, oversample: int) -> Array:
    """Places of the sub-pixels from the image's middle [px]."""
    samples = size * oversample
    return (np.arange(samples) - (samples - 1) / 2) / oversample


def _nodes(count: int) -> Array:
    """Roots of the Chebyshev polynomial, in -1..1."""
    return np.cos(np.pi * (np.arange(count) + 0.5) / count)
