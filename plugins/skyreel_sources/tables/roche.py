"""Light curves of close binaries: Roche surfaces, limb and gravity darkening, irradiation and eclipses.

Circular orbits, synchronous rotation; detached, semi-detached and over-contact stars. Distances are in units of the
separation, star 1 at the origin, star 2 at (1, 0, 0), orbit in the plane z = 0. Formulas: Kopal 1959 (Close binary
systems), Kallrath & Milone 2009 (Eclipsing binary stars, chapter 3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

Array = NDArray[np.float64]
WAVELENGTH = 4.8e-5
"""Effective wavelength of g [cm]."""
LATITUDES, LONGITUDES = 32, 64
"""Surface elements from the line of centres and around it."""
SIGHT = np.linspace(-0.6, 0.6, 9)
"""Points along a line of sight, about its closest approach to the occulter, in units of the occulter's radius."""


def potential(q: float, x: Array, y: Array, z: Array) -> Array:
    """Kopal's potential 1/r1 + q (1/r2 - x) + (1+q)/2 (x^2 + y^2) for mass ratio q = M2 / M1."""
    r1 = np.sqrt(x**2 + y**2 + z**2)
    r2 = np.sqrt((x - 1.0) ** 2 + y**2 + z**2)
    return np.asarray(1.0 / r1 + q * (1.0 / r2 - x) + 0.5 * (1.0 + q) * (x**2 + y**2), np.float64)


def gradient(q: float, point: Array) -> Array:
    """Gradient of the potential at point (..., 3)."""
    x = point - np.array([1.0, 0.0, 0.0])
    near = point / np.sum(point**2, axis=-1, keepdims=True) ** 1.5
    far = x / np.sum(x**2, axis=-1, keepdims=True) ** 1.5
    turn = (1.0 + q) * point * np.array([1.0, 1.0, 0.0])
    return np.asarray(-near - q * far - q * np.array([1.0, 0.0, 0.0]) + turn, np.float64)


def lagrange(q: float) -> tuple[float, float, float]:
    """x of L1 (between the stars), of L2 (beyond star 2) and of L3 (beyond star 1)."""

    def slope(x: float) -> float:
        return float(gradient(q, np.array([x, 0.0, 0.0]))[0])

    return brentq(slope, 1e-3, 1 - 1e-3), brentq(slope, 1 + 1e-3, 2.5), brentq(slope, -2.5, -1e-3)


def on_axis(q: float, x: float) -> float:
    """Potential at (x, 0, 0)."""
    return float(potential(q, np.array(x), np.array(0.0), np.array(0.0)))


@dataclass
class Star:
    """Surface elements of one star: position (K, 3), outward normal (K, 3), area (K,), gravity (K,)."""

    centre: float
    level: float
    position: Array
    normal: Array
    area: Array
    gravity: Array


def surface(q: float, level: float, centre: float) -> Star:
    """The equipotential `level` around the star at x = `centre`, cut at the plane of L1."""
    l1, l2, l3 = lagrange(q)
    node, weight = np.polynomial.legendre.leggauss(LATITUDES)
    longitude = (np.arange(LONGITUDES) + 0.5) * 2.0 * np.pi / LONGITUDES
    cosine, angle = (grid.ravel() for grid in np.meshgrid(node, longitude, indexing="ij"))
    solid_angle = np.repeat(weight, LONGITUDES) * 2.0 * np.pi / LONGITUDES
    sine = np.sqrt(1.0 - cosine**2)
    ray = np.stack([cosine, sine * np.cos(angle), sine * np.sin(angle)], axis=1)
    origin = np.array([centre, 0.0, 0.0])

    def depth(radius: Array) -> Array:
        return potential(q, *(origin + radius[:, None] * ray).T) - level

    to_plane = l1 - centre
    back = abs(l3) if centre == 0.0 else l2 - 1.0
    forward = cosine * np.sign(to_plane)
    high = np.where(forward > 1e-9, np.minimum(abs(to_plane) / np.maximum(forward, 1e-9), max(back, abs(to_plane))), back)
    low = np.full_like(high, 1e-3)
    open_neck = depth(high) > 0.0
    for _ in range(45):
        middle = 0.5 * (low + high)
        inside = depth(middle) > 0.0
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    keep = ~open_neck
    position = origin + low[keep, None] * ray[keep]
    force = gradient(q, position)
    gravity = np.linalg.norm(force, axis=1)
    normal = -force / gravity[:, None]
    slant = np.clip(np.sum(normal * ray[keep], axis=1), 0.05, 1.0)
    return Star(centre, level, position, normal, low[keep] ** 2 * solid_angle[keep] / slant, gravity)


def brightness(star: Star, temperature: float, other: Star, other_temperature: float) -> tuple[Array, float]:
    """Normal intensity (K,) in g (blackbody) and linear limb darkening coefficient.

    Gravity darkening T ~ g^0.08 (Lucy 1967) below 6700 K and g^0.25 (von Zeipel 1924) above; one-bounce irradiation
    from the other star's centre with bolometric albedo 0.5 and 1; limb darkening falls linearly with temperature from
    0.80 at 4500 K to 0.60 at 7000 K (g band, after Claret 2000, A&A 363, 1081).
    """
    convective = temperature < 6700.0
    mean_gravity = np.average(star.gravity, weights=star.area)
    local = temperature * (star.gravity / mean_gravity) ** (0.08 if convective else 0.25)
    to_other = np.array([other.centre, 0.0, 0.0]) - star.position
    distance = np.linalg.norm(to_other, axis=1)
    facing = np.clip(np.sum(star.normal * to_other, axis=1) / distance, 0.0, 1.0)
    radius_squared = other.area.sum() / (4.0 * np.pi)
    heating = (0.5 if convective else 1.0) * other_temperature**4 * radius_squared / distance**2 * facing
    warm = (local**4 + heating) ** 0.25
    intensity = 1.0 / np.expm1(1.4387769 / (WAVELENGTH * warm))
    return intensity, float(np.clip(0.80 - 0.08 * (temperature - 4500.0) / 1000.0, 0.4, 0.9))


def hidden(q: float, star: Star, occulter: Star, sight: Array, l1: float) -> Array:
    """Hidden share (K,) of every element of `star` behind `occulter`, for an observer in direction `sight` (3,).

    A line of sight is blocked where it dips below the occulter's surface; an element on the limb is hidden in
    proportion to the depth of the dip over the element's width, so that whole rings of elements do not vanish at once.
    """
    centre = np.array([occulter.centre, 0.0, 0.0])
    reach = np.linalg.norm(occulter.position - centre, axis=1).max()
    width = np.sqrt(star.area)
    ahead = (centre - star.position) @ sight
    closest = star.position + ahead[:, None] * sight
    near = np.flatnonzero((ahead > 0.0) & (np.linalg.norm(closest - centre, axis=1) < reach + width))
    points = closest[near, None] + (SIGHT[:, None] * reach) * sight
    dip = potential(q, *np.moveaxis(points, -1, 0)) - occulter.level
    own_side = (points[..., 0] - l1) * (occulter.centre - l1) > 0.0
    deepest = np.where(own_side, dip, -np.inf).max(axis=1)
    out = np.zeros(len(width))
    out[near] = np.clip(0.5 + deepest / (np.median(occulter.gravity) * width[near]), 0.0, 1.0)
    return out


def light_curve(q: float, levels: tuple[float, float], temperatures: tuple[float, float], inclination: float, phases: Array) -> Array:
    """Magnitude in g relative to the brightest phase.

    Parameters
    ----------
    q : float
        Mass ratio M2 / M1.
    levels : (2,)
        Potentials of the two surfaces; equal for a contact binary.
    temperatures : (2,)
        Mean surface temperatures [K].
    inclination : float
        Degrees; 90 is edge-on.
    phases : (P,)
        Star 1 is behind star 2 at phase 0 and in front at phase 0.5.

    Returns
    -------
    (P,)
        mag; 0 at the brightest phase.
    """
    l1 = lagrange(q)[0]
    stars = [surface(q, levels[0], 0.0), surface(q, levels[1], 1.0)]
    lights = [brightness(stars[k], temperatures[k], stars[1 - k], temperatures[1 - k]) for k in (0, 1)]
    tilt = np.radians(inclination)
    flux = np.zeros(len(phases))
    for step, phase in enumerate(phases):
        turn = 2.0 * np.pi * phase
        sight = np.array([np.cos(turn) * np.sin(tilt), -np.sin(turn) * np.sin(tilt), np.cos(tilt)])
        for star, other, (intensity, darkening) in zip(stars, stars[::-1], lights, strict=True):
            mu = np.clip(star.normal @ sight, 0.0, None)
            light = intensity * (1.0 - darkening * (1.0 - mu)) * mu * star.area
            if (other.centre - star.centre) * sight[0] > 0.0:
                light *= 1.0 - hidden(q, star, other, sight, l1)
            flux[step] += light.sum()
    return np.asarray(-2.5 * np.log10(flux / flux.max()), np.float64)
