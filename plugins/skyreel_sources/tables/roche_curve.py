"""Light curves of close binaries in several bands: orbits, circular or eccentric, and eclipses of Roche surfaces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skyreel.errors import DataError
from skyreel_sources.tables import roche
from skyreel_sources.tables.roche_light import check_temperature, shine, wavelengths

Array = NDArray[np.float64]
SIGHT = np.linspace(-0.6, 0.6, 9)
"""Points along a line of sight, about its closest approach to the occulter, in units of the occulter's longest radius."""
ECCENTRICITY = 0.8
"""Largest eccentricity."""


@dataclass(frozen=True)
class Binary:
    """A binary star.

    Parameters
    ----------
    q : float
        Mass ratio M_1 / M_0.
    levels : (2,)
        Potentials of the two surfaces when the stars are one semi-major axis apart (`roche.level_of_radius`); equal for a
        contact binary, that of L1 for a star that fills its lobe (`roche.critical`).
    temperatures : (2,)
        Effective temperatures [K].
    inclination : float
        Degrees, 0 to 90 (edge-on).
    eccentricity : float
        0 to 0.8. On an eccentric orbit each star keeps its volume and has at every phase the shape of the circular orbit of
        that momentary separation (rotation, too, is taken to be synchronous with it).
    periastron : float
        Argument of periastron of star 0 [deg]: at 90 it is farthest from the observer when the stars are closest.

    Raises
    ------
    DataError
        For values out of range, or a surface outside the outer critical one.
    """

    q: float
    levels: tuple[float, float]
    temperatures: tuple[float, float]
    inclination: float = 90.0
    eccentricity: float = 0.0
    periastron: float = 0.0

    def __post_init__(self) -> None:
        inner, outer = roche.critical(self.q)
        for temperature in self.temperatures:
            check_temperature(temperature)
        if not 0.0 <= self.inclination <= 90.0:
            raise DataError("Binary.inclination", f"{self.inclination} deg", "choose 0 to 90 deg (edge-on)")
        if not 0.0 <= self.eccentricity <= ECCENTRICITY:
            raise DataError("Binary.eccentricity", str(self.eccentricity), f"choose 0 to {ECCENTRICITY}")
        if not np.isfinite(self.periastron):
            raise DataError("Binary.periastron", str(self.periastron), "choose an angle in degrees")
        lowest = outer if self.levels[0] == self.levels[1] and self.eccentricity == 0.0 else inner
        if not min(self.levels) >= lowest - 1e-9 * inner or not np.isfinite(self.levels).all():
            remedy = (
                "only a contact binary, of equal potentials and circular orbit, may lie between the inner and the outer critical surface"
            )
            raise DataError("Binary.levels", f"{self.levels}, critical {inner:.5g} and {outer:.5g}", remedy)


def eccentric_anomaly(mean_anomaly: ArrayLike, eccentricity: float) -> Array:
    """E of Kepler's equation E - e sin E = M [rad], by Newton's method to 1e-12."""
    mean = np.asarray(mean_anomaly, np.float64)
    anomaly = mean + eccentricity * np.sin(mean) / (1.0 - eccentricity * np.cos(mean)).clip(0.5)
    for _ in range(50):
        step = (anomaly - eccentricity * np.sin(anomaly) - mean) / (1.0 - eccentricity * np.cos(anomaly))
        anomaly = anomaly - step
        if np.abs(step).max(initial=0.0) < 1e-12:
            break
    return np.asarray(anomaly, np.float64)


def orbit(binary: Binary, phases: ArrayLike) -> tuple[Array, Array]:
    """Angle (P,) [rad] that the stars have turned since star 0 was behind star 1 at phase 0, and separation (P,) [semi-major axes]."""
    e, omega = binary.eccentricity, np.radians(binary.periastron)
    behind = 0.5 * np.pi - omega  # true anomaly when star 0 is farthest from the observer
    start = 2.0 * np.arctan2(np.sqrt(1.0 - e) * np.sin(0.5 * behind), np.sqrt(1.0 + e) * np.cos(0.5 * behind))
    anomaly = eccentric_anomaly(start - e * np.sin(start) + 2.0 * np.pi * np.asarray(phases, np.float64), e)
    true = 2.0 * np.arctan2(np.sqrt(1.0 + e) * np.sin(0.5 * anomaly), np.sqrt(1.0 - e) * np.cos(0.5 * anomaly))
    return true - behind, 1.0 - e * np.cos(anomaly)


def light_curve(binary: Binary, phases: ArrayLike, bands: tuple[str, ...] = ("g",)) -> Array:
    """Flux (B, P) in the units of `roche_light.blackbody` per squared semi-major axis; compare it within one band only.

    Parameters
    ----------
    binary : Binary
    phases : (P,)
        Share of the period since star 0 was behind star 1.
    bands : tuple of str
        Of u, g, r, i, z, y.

    Raises
    ------
    BandError
        For an unknown band.
    DataError
        For phases that are not finite, or a star that overflows its Roche lobe at periastron.
    """
    wavelengths(bands)
    phases = np.asarray(phases, np.float64)
    if phases.ndim != 1 or not np.isfinite(phases).all():
        raise DataError("light_curve", f"phases {phases.shape}, finite {int(np.isfinite(phases).sum())}", "hand in finite phases (P,)")
    turn, separation = orbit(binary, phases)
    tilt = np.radians(binary.inclination)
    sight = np.stack([np.cos(turn) * np.sin(tilt), -np.sin(turn) * np.sin(tilt), np.full_like(turn, np.cos(tilt))], axis=1)
    stars = _shapes(binary, separation)
    flux = np.zeros((len(phases), len(bands)))
    for k, star in enumerate(stars):
        other = stars[1 - k]
        lights = shine(star, binary.temperatures[k], other, binary.temperatures[1 - k], bands)
        mu = np.clip(np.matmul(star.normal, sight[:, :, None])[..., 0], 0.0, None)
        seen = mu * (1.0 - hidden(binary.q, star, other, sight, (mu > 0.0) & (star.area > 0.0)))
        total = np.matmul(lights.amount, np.stack([seen, seen * mu], axis=-1))
        flux += total[..., 0] * (1.0 - lights.darkening) + total[..., 1] * lights.darkening
    return np.asarray((flux * separation[:, None] ** 2).T, np.float64)


def magnitudes(flux: Array) -> Array:
    """Magnitude (..., P) relative to the brightest phase."""
    return np.asarray(-2.5 * np.log10(flux / flux.max(axis=-1, keepdims=True)), np.float64)


def _shapes(binary: Binary, separation: Array) -> list[roche.Surface]:
    """Both stars in units of the separation: one shape for a circular orbit, one a phase for an eccentric one."""
    shapes = [roche.surface(binary.q, level, star) for star, level in enumerate(binary.levels)]
    if binary.eccentricity == 0.0:
        return shapes
    radii = [shape.volume_radius[0] / separation for shape in shapes]
    for star, shape in enumerate(shapes):
        roche.level_of_radius(binary.q, shape.volume_radius / (1.0 - binary.eccentricity), star)  # refuses what overflows at periastron
    return [roche.surface(binary.q, roche.level_of_radius(binary.q, radius, star), star, 24, 48) for star, radius in enumerate(radii)]


def hidden(q: float, star: roche.Surface, occulter: roche.Surface, sight: Array, facing: NDArray[np.bool_]) -> Array:
    """Hidden share (P, K) of the elements of `star` behind `occulter` for observers in the directions `sight` (P, 3).

    A line of sight is blocked where it dips below the occulter's surface; an element on the limb is hidden in
    proportion to the depth of the dip over the element's width, so that whole rings of elements do not vanish at once.
    Elements that do not face the observer (`facing` (P, K) False) are left out.
    """
    out = np.zeros(facing.shape)
    centre = np.array([occulter.centre, 0.0, 0.0])
    distance = np.linalg.norm(occulter.position - centre, axis=-1)
    real = occulter.area > 0.0
    reach = np.where(real, distance, 0.0).max(axis=1)
    own_reach = np.linalg.norm(star.position - np.array([star.centre, 0.0, 0.0]), axis=-1).max(axis=1)
    x = sight[:, 0] * (occulter.centre - star.centre)
    phases = np.flatnonzero((x > 0.0) & (1.0 - x**2 < (reach + own_reach) ** 2))
    if not len(phases):
        return out
    each = len(star.position) > 1
    where = phases if each else np.zeros(len(phases), np.intp)
    offset = star.position - centre
    ahead = -np.matmul(offset[where] if each else offset, sight[phases, :, None])[..., 0]
    squared = np.sum(offset**2, axis=-1)[where] - ahead**2
    width = np.sqrt(star.area)[where]
    inner = np.where(real, distance, np.inf).min(axis=1)[where]
    behind = (ahead > 0.0) & facing[phases]
    inside = behind & (squared < np.clip(inner[:, None] - width, 0.0, None) ** 2)
    limb = behind & ~inside & (squared < (reach[where][:, None] + width) ** 2)
    share = inside.astype(np.float64)
    row, element = np.nonzero(limb)
    shape, direction, step = where[row], sight[phases[row]], reach[where[row]]
    closest = star.position[shape, element] + ahead[row, element, None] * direction
    deepest = np.full(len(row), -np.inf)
    l1 = roche.lagrange(q)[0]
    for along in SIGHT:
        x, y, z = (closest + (along * step)[:, None] * direction).T
        dip = roche.potential(q, x, y, z)
        own_side = (x - l1) * (occulter.centre - l1) > 0.0
        np.maximum(deepest, np.where(own_side, dip, -np.inf), out=deepest)
    slope = np.median(occulter.gravity, axis=1)[shape]
    share[row, element] = np.clip(0.5 + (deepest - occulter.level[shape]) / (slope * width[row, element]), 0.0, 1.0)
    out[phases] = share
    return out
