"""Shapes of close binary stars: the Roche potential, its critical points and surfaces, and Roche lobes.

Synchronous rotation on a circular orbit. Distances are in units of the separation, star 0 at the origin, star 1 at
(1, 0, 0), orbit in the plane z = 0, mass ratio q = M_1 / M_0. Formulas: Kopal 1959 (Close binary systems, chapter III),
Kallrath & Milone 2009 (Eclipsing binary stars, chapter 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from skyreel.errors import DataError

Array = NDArray[np.float64]
MASS_RATIOS = (0.01, 100.0)
"""Mass ratios for which the root finders were tested."""
LATITUDES, LONGITUDES = 32, 64
"""Surface elements from pole to pole and around; even numbers."""
STEPS = 60
"""Most iterations of a root finder; a star that fills its lobe needs some 40, others less than ten."""


def check_mass_ratio(q: float) -> None:
    """Raises DataError unless `q` lies within `MASS_RATIOS`."""
    if not MASS_RATIOS[0] <= q <= MASS_RATIOS[1]:
        raise DataError("Roche geometry", f"mass ratio {q}", "choose {} to {} (M_1 / M_0)".format(*MASS_RATIOS))


def potential(q: float, x: ArrayLike, y: ArrayLike, z: ArrayLike) -> Array:
    """Kopal's potential 1/r0 + q (1/r1 - x) + (1+q)/2 (x^2 + y^2); highest inside the stars."""
    x, y, z = np.asarray(x), np.asarray(y), np.asarray(z)
    plane = y * y + z * z
    near = 1.0 / np.sqrt(x * x + plane)
    far = 1.0 / np.sqrt((x - 1.0) ** 2 + plane)
    return np.asarray(near + q * (far - x) + 0.5 * (1.0 + q) * (x * x + y * y), np.float64)


def gradient(q: float, point: Array) -> Array:
    """Gradient of the potential at point (..., 3)."""
    x = point - np.array([1.0, 0.0, 0.0])
    near = point / np.sum(point**2, axis=-1, keepdims=True) ** 1.5
    far = x / np.sum(x**2, axis=-1, keepdims=True) ** 1.5
    turn = (1.0 + q) * point * np.array([1.0, 1.0, 0.0])
    return np.asarray(-near - q * far - q * np.array([1.0, 0.0, 0.0]) + turn, np.float64)


@lru_cache(maxsize=4096)
def lagrange(q: float) -> tuple[float, float, float]:
    """x of L1 (between the stars), of L2 (beyond star 1) and of L3 (beyond star 0).

    Raises
    ------
    DataError
        For a mass ratio outside `MASS_RATIOS`.
    """
    check_mass_ratio(q)

    def slope(x: float) -> float:
        return float(gradient(q, np.array([x, 0.0, 0.0]))[0])

    return brentq(slope, 1e-3, 1 - 1e-3), brentq(slope, 1 + 1e-3, 3.0), brentq(slope, -3.0, -1e-3)


def critical(q: float) -> tuple[float, float]:
    """Potentials of the inner (through L1) and the outer critical surface; contact binaries lie between them."""
    l1, l2, l3 = lagrange(q)
    return float(potential(q, l1, 0.0, 0.0)), max(float(potential(q, x, 0.0, 0.0)) for x in (l2, l3))


def lobe_radius(q: float) -> float:
    """Volume radius of the Roche lobe of a star whose companion has `q` times its mass.

    0.49 p^(2/3) / (0.6 p^(2/3) + ln(1 + p^(1/3))) with p = 1/q, good to 1 % (Eggleton 1983, ApJ 268, 368, equation 2).
    """
    third = q ** (-1.0 / 3.0)
    return float(0.49 * third**2 / (0.6 * third**2 + np.log1p(third)))


@dataclass
class Surface:
    """Elements of a star's surface at S separations: position (S, K, 3), outward normal (S, K, 3), area (S, K), gravity (S, K).

    Areas are 0 where a contact binary's surface is open towards the other star. `centre` is x of the star's centre,
    `level` (S,) the potential and `volume_radius` (S,) the radius of the sphere of equal volume; gravity is the potential's slope.
    """

    centre: float
    level: Array
    position: Array
    normal: Array
    area: Array
    gravity: Array
    volume_radius: Array


def surface(q: float, level: ArrayLike, star: int, latitudes: int = LATITUDES, longitudes: int = LONGITUDES) -> Surface:
    """The equipotentials `level` (S,) around star 0 or 1, cut at the plane of L1 where they lie outside the critical surface."""
    level = np.atleast_1d(np.asarray(level, np.float64))
    l1, l2, l3 = lagrange(q)
    to_plane, behind = (l1, -l3) if star == 0 else (1.0 - l1, l2 - 1.0)
    quarter, solid_angle = _quarter(latitudes, longitudes)
    cosine, across = quarter[:, 0], 1.0 - quarter[:, 2] ** 2
    highest = np.minimum(to_plane / np.maximum(cosine, 1e-9), max(behind, to_plane))
    # Around star 1 the potential is, but for a factor and a constant, that around star 0 of mass ratio 1/q.
    own, own_level = (q, level) if star == 0 else (1.0 / q, (level - 0.5 * (1.0 - q)) / q)
    radius = _radius(own, own_level[:, None], cosine, across, highest)
    is_open = radius >= highest
    volume = 4.0 * np.sum(solid_angle * radius**3, axis=1) / 3.0
    towards = 1.0 if star == 0 else -1.0
    ray = np.concatenate([quarter * np.array([towards, y, z]) for y in (1.0, -1.0) for z in (1.0, -1.0)])
    radius = np.tile(radius, (1, 4))
    position = np.array([float(star), 0.0, 0.0]) + radius[..., None] * ray
    force = gradient(q, position)
    gravity = np.linalg.norm(force, axis=-1)
    normal = -force / gravity[..., None]
    slant = np.clip(np.einsum("ski,ki->sk", normal, ray), 0.05, 1.0)
    area = np.where(np.tile(is_open, (1, 4)), 0.0, radius**2 * np.tile(solid_angle, 4) / slant)
    return Surface(float(star), level, position, normal, area, gravity, np.cbrt(0.75 * volume / np.pi))


@lru_cache(maxsize=8)
def _quarter(latitudes: int, longitudes: int) -> tuple[Array, Array]:
    """Directions (K/4, 3), x to the other star, and solid angles (K/4,) of the quarter y, z > 0 of a sphere.

    The grid's poles are those of the orbit: were they on the line of centres, its rings would vanish at once in a central eclipse.
    """
    node, weight = np.polynomial.legendre.leggauss(latitudes)
    node, weight = node[latitudes // 2 :], weight[latitudes // 2 :]
    longitude = (np.arange(longitudes // 2) + 0.5) * 2.0 * np.pi / longitudes
    z, angle = np.repeat(node, len(longitude)), np.tile(longitude, len(node))
    sine = np.sqrt(1.0 - z**2)
    directions = np.stack([sine * np.cos(angle), sine * np.sin(angle), z], axis=1)
    return directions, np.repeat(weight, len(longitude)) * 2.0 * np.pi / longitudes


def _radius(q: float, level: Array, cosine: Array, across: Array, highest: Array) -> Array:
    """Distance (S, K) from star 0 at which rays meet the potential `level` (S, 1), at most `highest` (K,).

    `cosine` (K,) is that of the angle to the other star, `across` (K,) the squared sine of that to the axis of rotation.
    Newton's method, held in a bracket by bisection.
    """

    def excess(r: Array) -> tuple[Array, Array]:
        far = 1.0 / np.sqrt(1.0 - 2.0 * r * cosine + r * r)
        value = 1.0 / r + q * (far - r * cosine) + 0.5 * (1.0 + q) * across * r * r - level
        slope = -1.0 / (r * r) + q * ((cosine - r) * far**3 - cosine) + (1.0 + q) * across * r
        return value, slope

    low = np.full(np.broadcast_shapes(level.shape, cosine.shape), 1e-4)
    high = np.broadcast_to(highest, low.shape).copy()
    is_open = excess(high)[0] > 0.0
    radius = np.minimum(1.0 / level, high) * np.ones_like(low)
    for _ in range(STEPS):
        value, slope = excess(radius)
        inside = value > 0.0
        low, high = np.where(inside, radius, low), np.where(inside, high, radius)
        step = radius - value / slope
        step = np.where((step > low) & (step < high), step, 0.5 * (low + high))
        moved = np.abs(step - radius)[~is_open].max(initial=0.0)
        radius = step
        if moved < 1e-11:
            break
    return np.where(is_open, highest, radius)


def level_of_radius(q: float, radius: ArrayLike, star: int) -> Array:
    """Potential (S,) of the surfaces whose volume is that of spheres of `radius` (S,), for star 0 or 1.

    Raises
    ------
    DataError
        For a radius that is not positive or beyond the star's Roche lobe, or a mass ratio outside `MASS_RATIOS`.
    """
    target = np.atleast_1d(np.asarray(radius, np.float64))
    inner = critical(q)[0]
    most = float(surface(q, inner, star, 16, 16).volume_radius[0])
    if not ((target > 0.0) & (target <= most)).all():
        found = f"volume radius {target.min():.4g} to {target.max():.4g} of star {star}, whose lobe has {most:.4g}"
        raise DataError("Roche geometry", found, "choose positive radii within the lobe, or the potential of a contact binary")
    own = 1.0 if star == 0 else q
    level = own / target + (q if star == 0 else 1.0)
    for _ in range(STEPS):
        shape = surface(q, np.maximum(level, inner), star, 16, 16)
        # A shell between two potentials is as thick as their difference over gravity.
        growth = np.sum(shape.area / shape.gravity, axis=1) / (4.0 * np.pi * target**2)
        change = (shape.volume_radius - target) / growth
        level = np.maximum(np.maximum(level, inner) + change, inner)
        if np.abs(change).max() < 1e-9 * level.max():
            break
    return level
